//! Value state: at most one value per key.

use super::cells::{Cells, KeyValues};
use crate::codec::StateCodec;
use crate::error::Result;
use crate::handles::made_handle;

/// A value per key. A field of the operator, declared in `describe`.
///
/// ```
/// # use weir_guest::{Value, Result};
/// fn visits(count: &mut Value<i64>) -> Result<i64> {
///     let visits = count.get()?.copied().unwrap_or(0) + 1;
///     count.set(visits)?;
///     Ok(visits)
/// }
/// ```
///
/// All its functions fail, fatally, outside of `process` ([`of_keys`](Value::of_keys): of
/// functions for batches), and where the operator's `describe` does not declare the handle. Values
/// are written at the end of the call; one that has no written form fails the call.
pub struct Value<T> {
    pub(crate) cells: Cells<T>,
}

impl<T> Default for Value<T> {
    fn default() -> Self {
        made_handle::<Self>();
        Self {
            cells: Cells::default(),
        }
    }
}

impl<T: StateCodec> Value<T> {
    /// The value of the key in hand, or nothing.
    ///
    /// # Errors
    /// Fatal if what the host holds cannot be decoded.
    pub fn get(&mut self) -> Result<Option<&T>> {
        self.cells.get()
    }

    /// The value of the key in hand, to be changed in place; `None` clears it.
    ///
    /// # Errors
    /// As [`get`](Self::get).
    pub fn get_mut(&mut self) -> Result<&mut Option<T>>
    where
        T: Clone,
    {
        self.cells.get_mut()
    }

    /// Sets the value of the key in hand. What it was before is not read.
    ///
    /// # Errors
    /// See [`Value`].
    pub fn set(&mut self, value: T) -> Result<()> {
        self.cells.set(Some(value))
    }

    /// Removes the value of the key in hand.
    ///
    /// # Errors
    /// See [`Value`].
    pub fn clear(&mut self) -> Result<()> {
        self.cells.set(None)
    }

    /// The values of all keys of the batch in hand. Only in
    /// functions for batches, such as [`process_batch`](crate::KeyedProcess::process_batch).
    ///
    /// # Errors
    /// Fatal anywhere else. Not fatal, so that the rows are processed one by one, if what the host
    /// holds cannot be decoded; and of state that is not prefetched if to read it is an access, by
    /// `on_read` or `return_expired` of its [time to live](crate::TtlOptions).
    #[inline]
    pub fn of_keys(&mut self) -> Result<KeyValues<'_, T>> {
        self.cells.of_keys()
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
