//! Aggregating state: an accumulator per key, of another type than what is added and what is read.

use super::cells::Cells;
use crate::codec::StateCodec;
use crate::error::Result;
use crate::handles::made_handle;

/// An accumulator: it starts as `Default`, takes in values, and gives a result.
///
/// ```
/// use weir_guest::{record, Aggregate};
///
/// record! {
///     #[derive(Clone, Default)]
///     struct Average { sum: f64, count: u64 }
/// }
///
/// impl Aggregate for Average {
///     type In = f64;
///     type Out = f64;
///     fn add(&mut self, price: f64) {
///         self.sum += price;
///         self.count += 1;
///     }
///     fn result(&self) -> f64 {
///         self.sum / self.count as f64
///     }
/// }
///
/// let mut average = Average::default();
/// average.add(1.0);
/// average.add(2.0);
/// assert_eq!(average.result(), 1.5);
/// ```
pub trait Aggregate: StateCodec + Clone + Default {
    /// What is added.
    type In;
    /// What is read.
    type Out;

    /// Takes in one value.
    fn add(&mut self, value: Self::In);

    /// The result so far.
    fn result(&self) -> Self::Out;
}

/// An accumulator per key. A field of the operator, declared in `describe`.
///
/// ```
/// # use weir_guest::{Aggregating, Aggregate, record, Result};
/// # record! { #[derive(Clone, Default)] struct Average { sum: f64, count: u64 } }
/// # impl Aggregate for Average {
/// #     type In = f64;
/// #     type Out = f64;
/// #     fn add(&mut self, price: f64) { self.sum += price; self.count += 1; }
/// #     fn result(&self) -> f64 { self.sum / self.count as f64 }
/// # }
/// fn is_dear(average: &mut Aggregating<Average>, price: f64) -> Result<bool> {
///     Ok(price > 2.0 * average.add(price)?)
/// }
/// ```
///
/// Its functions fail where those of [`Value`](crate::Value) do.
pub struct Aggregating<A> {
    pub(crate) cells: Cells<A>,
}

impl<A> Default for Aggregating<A> {
    fn default() -> Self {
        made_handle::<Self>();
        Self {
            cells: Cells::default(),
        }
    }
}

impl<A: Aggregate> Aggregating<A> {
    /// The result for the key in hand, or nothing if nothing was added.
    ///
    /// # Errors
    /// Fatal if what the host holds cannot be decoded.
    pub fn get(&mut self) -> Result<Option<A::Out>> {
        Ok(self.cells.get()?.map(A::result))
    }

    /// Adds to the accumulator of the key in hand, and gives the result.
    ///
    /// # Errors
    /// As [`get`](Self::get).
    pub fn add(&mut self, value: A::In) -> Result<A::Out> {
        let accumulator = self.cells.get_mut()?.get_or_insert_default();
        accumulator.add(value);
        Ok(accumulator.result())
    }

    /// Removes the accumulator of the key in hand.
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
