//! A whole batch in the hands of an author: its rows, its keys and the way out.
//!
//! INVARIANT: a batch is processed as one row that has no key would be. So whatever it did can be
//! taken back, and its rows be processed one by one, as if nothing had been.

use std::fmt;
use std::marker::PhantomData;
use std::ops::Deref;

use crate::codec::StateCodec;
use crate::column::{self, BatchRef, ColumnRef};
use crate::ctx::Env;
use crate::driver::check_keys;
use crate::error::{Error, Result};
use crate::inputs::{Either, Inputs, Two, no_input};
use crate::key::Key;
use crate::output::{Hand, Output, Outputs, SideOutput, number};
use crate::row::{Decode, EncodeAs, Row};

/// What became of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Batched {
    /// All its rows are processed.
    Done,
    /// Nothing that was done with it counts: its rows are to be processed one by one.
    RowByRow,
    /// The operator has no function for batches.
    #[doc(hidden)]
    NotWritten,
}

/// The rows of one call of an operator, which came by one input. See
/// [`KeyedProcess::process_batch`](crate::KeyedProcess::process_batch).
pub struct InputBatch<'b, T> {
    batch: BatchRef<'b>,
    input: u32,
    types: PhantomData<fn(T)>,
}

/// The distinct keys of a batch, numbered from 0 in the order in which its rows first have them.
#[derive(Clone, Copy)]
pub struct BatchKeys<'b> {
    keys: ColumnRef<'b>,
    of_rows: &'b [u32],
}

/// What a function for batches is handed besides the rows. It can be used like [`Env`].
pub struct BatchCtx<'c, Out> {
    pub(crate) env: Env<'c>,
    pub(crate) outputs: &'c mut Outputs,
    pub(crate) rows: ColumnRef<'c>,
    pub(crate) types: PhantomData<fn(Out)>,
}

impl<'b, T: Inputs> InputBatch<'b, T> {
    pub(crate) fn new(batch: BatchRef<'b>, input: u32) -> Self {
        Self {
            batch,
            input,
            types: PhantomData,
        }
    }

    /// How many rows there are.
    pub fn len(&self) -> usize {
        self.batch.values.ends.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The input that they came in by, from 0.
    pub fn input(&self) -> u32 {
        self.input
    }

    /// The rows, in order. One that does not have the type of the input is an error, which
    /// the function for batches may return as it is: in its turn, the one for rows is told so.
    #[inline]
    pub fn rows(&self) -> impl Iterator<Item = Result<Row<'b, T>>> + use<'b, T> {
        let Self { batch, input, .. } = *self;
        column::rows(batch.values)
            .enumerate()
            .map(move |(index, row)| {
                Ok(Row {
                    value: T::decode_row(input, row?)?,
                    timestamp: batch.timestamps.get(index).copied(),
                    input,
                })
            })
    }

    /// The keys of the rows; none if the input is not keyed.
    ///
    /// # Errors
    /// Fatal if the host has sent none for a row.
    pub fn keys(&self) -> Result<BatchKeys<'b>> {
        check_keys(self.batch)?;
        let (keys, rows) = (self.batch.keys, self.len());
        Ok(BatchKeys {
            keys,
            of_rows: match keys.ends.is_empty() {
                true => &[],
                false => self.batch.key_of_row.get(..rows).unwrap_or_default(),
            },
        })
    }
}

impl<'b, A: Decode, B: Decode> InputBatch<'b, Two<A, B>> {
    /// The batch as one of the input that it came in by; fatal if there is no such input.
    #[inline]
    pub(crate) fn split(&self) -> Result<Either<InputBatch<'b, A>, InputBatch<'b, B>>> {
        let Self { batch, input, .. } = *self;
        match input {
            0 => Ok(Either::First(InputBatch::new(batch, input))),
            1 => Ok(Either::Second(InputBatch::new(batch, input))),
            _ => Err(no_input(input, 2)),
        }
    }
}

impl<'b> BatchKeys<'b> {
    /// How many there are.
    pub fn len(&self) -> usize {
        self.keys.ends.len()
    }

    /// Whether there is none: the input is not keyed.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// All keys, in the order of their numbers.
    #[inline]
    pub fn iter(&self) -> impl Iterator<Item = Key<'b>> + use<'b> {
        let keys = column::rows(self.keys);
        // All were found to be right.
        keys.map(|key| Key::from_encoded(key.unwrap_or_default()))
    }

    /// What part `part` of each key says, in the order of their numbers, of keys that the job file
    /// selects by `bytes:`.
    ///
    /// # Errors
    /// As [`Key::binary`].
    pub fn binary<V: StateCodec>(&self, part: usize) -> Result<Vec<V>> {
        let mut parts = Vec::with_capacity(self.len());
        for key in self.iter() {
            parts.push(key.binary(part)?);
        }
        Ok(parts)
    }

    /// The number of the key of each row: as many as there are rows, each less than
    /// [`len`](Self::len).
    #[inline]
    pub fn of_rows(&self) -> &'b [u32] {
        self.of_rows
    }
}

impl<'c, Out> BatchCtx<'c, Out> {
    /// Emits a row to the main output, which comes from row `row` of the batch and inherits its
    /// event time. Rows of an output are emitted in the order of those that they come from.
    ///
    /// # Errors
    /// If the value has no written form. At the end of the batch it is fatal if there is no such
    /// row, or if it is before one that a row was emitted for.
    #[inline]
    pub fn emit(&mut self, row: usize, value: impl EncodeAs<Out>) -> Result<()> {
        self.outputs.push(row, &value, self.rows)
    }

    /// The main output, for a row with options: `ctx.main(row).at(timestamp).emit(value)`.
    pub fn main(&mut self, row: usize) -> Output<'_, Out> {
        let hand = self.hand(row);
        self.outputs.to(Ok(0), Some(number(row)), hand)
    }

    /// A side output: `ctx.to(&self.late, row).emit(value)`.
    pub fn to<T>(&mut self, output: &SideOutput<T>, row: usize) -> Output<'_, T> {
        let hand = self.hand(row);
        self.outputs.to(output.index(), Some(number(row)), hand)
    }

    /// A row of the batch, which may be emitted as it came. That there is none is found out when
    /// the batch is done.
    fn hand(&self, row: usize) -> Hand<'c> {
        match column::row(self.rows, row) {
            Ok(bytes) => Hand {
                rows: self.rows,
                row: bytes,
            },
            Err(_) => Hand::EMPTY,
        }
    }

    /// Emits row `row` of the batch to the main output as it came, whatever type its bytes have.
    ///
    /// # Errors
    /// As [`emit`](Self::emit).
    #[inline]
    pub fn pass(&mut self, row: usize) -> Result<()> {
        self.outputs.pass(row, self.rows)
    }

    /// Emits one row to the main output for each of the batch, in order. It is the quickest way
    /// out, above all where a row has a fixed width. Where it fails, none of them is emitted.
    ///
    /// # Errors
    /// What `values` gives first, or why one of them has no written form; fatal if they are not as
    /// many as the rows of the batch, or if something was emitted there before.
    #[inline]
    pub fn emit_each<V: EncodeAs<Out>>(
        &mut self,
        values: impl IntoIterator<Item = Result<V>>,
    ) -> Result<()> {
        let rows = self.rows.ends.len();
        self.outputs.push_each(rows, values.into_iter())
    }

    /// Emits one row to the main output for each of the batch, in order, or none where a value is
    /// `None`: the quickest way to choose rows and what of them is passed on, above all where what
    /// is emitted has a fixed width. Where it fails, none of them is emitted.
    ///
    /// # Errors
    /// As [`emit_each`](Self::emit_each): there are as many values as rows.
    ///
    /// ```
    /// use weir_guest::{BatchCtx, Batched, Binary, Ctx, InputBatch, Process, Result, Row};
    ///
    /// /// The halves of even numbers.
    /// #[derive(Default)]
    /// struct Halves;
    ///
    /// impl Process for Halves {
    ///     type In = Binary<u64>;
    ///     type Out = Binary<u64>;
    ///
    ///     fn process(&mut self, row: Row<Self::In>, ctx: &mut Ctx<Self::Out>) -> Result<()> {
    ///         if row.value % 2 == 0 {
    ///             ctx.emit(row.value / 2)?;
    ///         }
    ///         Ok(())
    ///     }
    ///
    ///     fn process_batch(
    ///         &mut self,
    ///         batch: &InputBatch<Self::In>,
    ///         ctx: &mut BatchCtx<Self::Out>,
    ///     ) -> Result<Batched> {
    ///         ctx.emit_some(batch.rows().map(|row| {
    ///             let number = row?.value;
    ///             Ok((number % 2 == 0).then_some(number / 2))
    ///         }))?;
    ///         Ok(Batched::Done)
    ///     }
    /// }
    /// # use weir_guest::testing::Harness;
    /// # let mut halves = Harness::open::<Halves, _>("null").unwrap();
    /// # let out = halves.rows([6, 7, 8].map(u64::to_le_bytes)).unwrap();
    /// # assert_eq!(out.binary::<u64>().unwrap(), [3, 4]);
    /// # assert!(halves.was_whole());
    /// ```
    #[inline]
    pub fn emit_some<V: EncodeAs<Out>>(
        &mut self,
        values: impl IntoIterator<Item = Result<Option<V>>>,
    ) -> Result<()> {
        let rows = self.rows.ends.len();
        self.outputs.push_some(rows, values.into_iter())
    }
}

impl<'c, Out> Deref for BatchCtx<'c, Out> {
    type Target = Env<'c>;

    fn deref(&self) -> &Self::Target {
        &self.env
    }
}

impl<T: Inputs> fmt::Debug for InputBatch<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("InputBatch");
        shown.field("input", &self.input).field("rows", &self.len());
        shown.finish()
    }
}

/// A row was emitted for a row that there is not, or too late.
#[cold]
pub(crate) fn out_of_order(rows: usize) -> Error {
    Error::fatal(format_args!(
        "the rows of an output are to be emitted in the order of the rows of the batch that they \
         come from, which has {rows}"
    ))
}

#[cold]
pub(crate) fn not_for_each(rows: usize) -> Error {
    Error::fatal(format_args!(
        "`emit_each` and `emit_some` are to be given a value for each of the {rows} rows of the \
         batch, and nothing else is to be emitted to the output"
    ))
}

#[cfg(test)]
mod tests;
