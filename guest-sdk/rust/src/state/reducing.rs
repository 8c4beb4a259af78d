//! Reducing state: what was added so far, folded into one value of the same type.

use super::cells::Cells;
use crate::call::undeclared;
use crate::codec::StateCodec;
use crate::error::Result;
use crate::handles::made_handle;

/// How a [`Reducing`] state joins what it holds, first, and what is added, second.
pub type Fold<T> = fn(&T, T) -> T;

/// One folded value per key. The fold is given where the state is declared:
///
/// ```
/// # use weir_guest::{KeyedDescribe, Reducing};
/// # struct Paid { sum: Reducing<i64> }
/// # impl Paid {
/// fn describe(&mut self, d: &mut KeyedDescribe) {
///     d.reducing("sum", &mut self.sum, |sum, price| sum + price);
/// }
/// # }
/// ```
pub struct Reducing<T> {
    pub(crate) cells: Cells<T>,
    pub(crate) fold: Option<Fold<T>>,
}

impl<T> Default for Reducing<T> {
    fn default() -> Self {
        made_handle::<Self>();
        Self {
            cells: Cells::default(),
            fold: None,
        }
    }
}

impl<T: StateCodec> Reducing<T> {
    /// The folded value of the key in hand, or nothing if nothing was added.
    ///
    /// # Errors
    /// Fatal if what the host holds cannot be decoded.
    pub fn get(&mut self) -> Result<Option<&T>> {
        self.cells.get()
    }

    /// Folds `value` into what the key in hand holds, from the left; adding `None` clears it.
    ///
    /// # Errors
    /// As [`get`](Self::get).
    pub fn add(&mut self, value: impl Into<Option<T>>) -> Result<()> {
        let Some(value) = value.into() else {
            return self.clear();
        };
        let Some(fold) = self.fold else {
            return Err(undeclared());
        };
        self.cells.fold(|held| match held {
            Some(held) => fold(held, value),
            None => value,
        })
    }

    /// Removes the value of the key in hand.
    ///
    /// # Errors
    /// As for [`Value`](crate::Value).
    pub fn clear(&mut self) -> Result<()> {
        self.cells.set(None)
    }

    /// Has [`on_key`](crate::KeyedBroadcastProcess::on_key) called for each key that has something
    /// here, with this tag: see there. Only while a row of the broadcast input is processed.
    ///
    /// # Errors
    /// Fatal anywhere else.
    pub fn apply_to_keys(&self, tag: impl AsRef<[u8]>) -> Result<()> {
        self.cells.apply_to_keys(tag.as_ref())
    }
}
