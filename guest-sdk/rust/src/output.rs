//! The rows a call emits: one growing column per output, with the input row that each came from.

use std::marker::PhantomData;

use crate::bindings::weir::operator::data::{BytesColumn, Emitted, Slots};
use crate::call::{Binding, undeclared};
use crate::column;
use crate::error::{Error, Result};
use crate::handles::made_handle;
use crate::host::Host;
use crate::row::EncodeAs;
use crate::state::Handle;

/// A side output. A field of the operator, declared in `describe`, written to by
/// [`Ctx::to`](crate::Ctx::to).
///
/// ```
/// use weir_guest::{Counter, Ctx, Describe, Process, Result, Row, SideOutput};
///
/// /// Passes on numbers; what is none goes to `<operator>.rejected`.
/// #[derive(Default)]
/// struct Numbers { rejected: SideOutput<String>, bad: Counter }
///
/// impl Process for Numbers {
///     type In = String;
///     type Out = i64;
///
///     fn describe(&mut self, d: &mut Describe) {
///         d.side_output("rejected", &mut self.rejected);
///         d.counter("bad", &mut self.bad);
///     }
///
///     fn process(&mut self, row: Row<String>, ctx: &mut Ctx<i64>) -> Result<()> {
///         match row.parse::<i64>() {
///             Ok(number) => ctx.emit(number),
///             Err(_) => {
///                 self.bad.add(1);
///                 ctx.to(&self.rejected).emit(row.value)
///             }
///         }
///     }
/// }
/// # use weir_guest::testing::Harness;
/// # let mut numbers = Harness::open::<Numbers, _>("null").unwrap();
/// # let out = numbers.rows(["7", "x"]).unwrap();
/// # assert_eq!((out.main(), out.side("rejected")), (vec!["7".to_owned()], vec!["x".to_owned()]));
/// # assert_eq!(numbers.metric("bad"), Some(1.0));
/// ```
pub struct SideOutput<T> {
    binding: Option<Binding>,
    types: PhantomData<fn(T)>,
}

/// An output, about to get one row. Made by [`Ctx::main`](crate::Ctx::main) and
/// [`Ctx::to`](crate::Ctx::to).
#[must_use = "`emit` writes the row"]
pub struct Output<'o, T> {
    rows: Result<&'o mut Rows>,
    origin: Option<u32>,
    timestamp: Option<i64>,
    key: Option<&'o [u8]>,
    types: PhantomData<fn(T)>,
}

/// The rows of all outputs. Output 0 is the main one, then the side outputs as declared.
pub(crate) struct Outputs {
    outputs: Vec<Rows>,
    /// Watermarks: which input row said it, behind how many rows of the main output, and up to
    /// when.
    watermarks: Vec<(u32, u32, i64)>,
}

/// The rows of one output.
struct Rows {
    values: BytesColumn,
    /// So many rows come from the input row of the same number: most operators give one row for
    /// each, and then nothing more has to be kept.
    straight: usize,
    /// The input row that each row behind those comes from; empty at the end of an input.
    origin: Vec<u32>,
    /// The rows that have an event time of their own.
    timestamps: Vec<(usize, i64)>,
    /// The keys of all rows, or of none.
    keys: BytesColumn,
}

impl<T> Default for SideOutput<T> {
    fn default() -> Self {
        made_handle::<Self>();
        Self {
            binding: None,
            types: PhantomData,
        }
    }
}

impl<T> SideOutput<T> {
    pub(crate) fn index(&self) -> Result<usize> {
        let binding = self.binding.as_ref().ok_or_else(undeclared)?;
        Ok(binding.index as usize)
    }
}

impl<T> Handle for SideOutput<T> {
    fn bind(&mut self, binding: Binding) -> bool {
        self.binding.replace(binding).is_none()
    }

    fn rollback(&mut self) {}

    fn flush(&mut self, _slots: &mut Vec<Slots>) -> Result<()> {
        Ok(())
    }
}

impl<'o, T> Output<'o, T> {
    /// Gives the row an event time, in milliseconds since the Unix epoch, instead of that of the
    /// row in hand.
    pub fn at(mut self, timestamp: i64) -> Self {
        self.timestamp = Some(timestamp);
        self
    }

    /// Gives the row a key, made by [`Key::encode`](crate::Key::encode), for edges with
    /// `key: { guest: true }`. All rows that a call emits to the output must have one then.
    pub fn key(mut self, encoded: &'o [u8]) -> Self {
        self.key = Some(encoded);
        self
    }

    /// Writes the row.
    ///
    /// # Errors
    /// If the value has no written form; fatal if the output is not declared, or if this row has a
    /// key and the one before it has none.
    #[inline]
    pub fn emit(self, value: impl EncodeAs<T>) -> Result<()> {
        let rows = self.rows?;
        // Were it found out only at the end of the call, a row that is dropped could leave its key
        // to a row before it.
        if rows.mixes_keys(self.key.is_some()) {
            return Err(keys_of_some());
        }
        let start = rows.values.bytes.len();
        if let Err(error) = value.encode_as(&mut rows.values.bytes) {
            rows.values.bytes.truncate(start);
            return Err(error);
        }
        if let Some(timestamp) = self.timestamp {
            rows.timestamps.push((rows.values.ends.len(), timestamp));
        }
        if let Some(key) = self.key {
            column::push(&mut rows.keys, key)?;
        }
        if let Some(origin) = self.origin {
            rows.comes_from(origin);
        }
        column::end_row(&mut rows.values)
    }
}

#[cold]
fn keys_of_some() -> Error {
    Error::fatal("some of the rows emitted in a call have keys of their own, some have none")
}

impl Outputs {
    pub(crate) fn new(side_outputs: usize) -> Self {
        Self {
            outputs: (0..=side_outputs)
                .map(|_| Rows::with_room(0, 0, 0))
                .collect(),
            watermarks: Vec::new(),
        }
    }

    /// The output with that index, for a row that comes from input row `origin`.
    pub(crate) fn to<T>(&mut self, index: Result<usize>, origin: Option<u32>) -> Output<'_, T> {
        let outputs = &mut self.outputs;
        let rows = index.and_then(|index| outputs.get_mut(index).ok_or_else(undeclared));
        Output {
            rows,
            origin,
            timestamp: None,
            key: None,
            types: PhantomData,
        }
    }

    /// Input row `origin` says a watermark, behind what was emitted so far.
    pub(crate) fn watermark(&mut self, origin: Option<u32>, at: i64) -> Result<()> {
        let Some(origin) = origin else {
            return Err(Error::fatal(
                "a watermark can be said only while a row, a timer or a key is in hand",
            ));
        };
        let behind = self
            .outputs
            .first()
            .map_or(0, |main| main.values.ends.len());
        self.watermarks.push((origin, behind as u32, at));
        Ok(())
    }

    /// Tells the host the watermarks of a call.
    pub(crate) fn say_watermarks(&mut self, host: &dyn Host) {
        for (_, behind, at) in self.watermarks.drain(..) {
            host.emit_watermark(at, behind);
        }
    }

    /// Drops what came from input row `origin`, the last one that was processed.
    pub(crate) fn rollback(&mut self, origin: u32) {
        while self.watermarks.last().is_some_and(|(of, ..)| *of == origin) {
            self.watermarks.pop();
        }
        for rows in &mut self.outputs {
            let before = rows.origin.iter().rposition(|row| *row != origin);
            let kept = match before {
                Some(last) => rows.straight + last + 1,
                None => rows.straight.min(origin as usize),
            };
            rows.truncate(kept);
        }
    }

    /// Drops everything.
    pub(crate) fn clear(&mut self) {
        self.watermarks.clear();
        for rows in &mut self.outputs {
            *rows = Rows::with_room(0, 0, 0);
        }
    }

    /// Hands over what was emitted in a call with so many input rows and these event times.
    pub(crate) fn take(&mut self, rows: usize, timestamps: &[i64]) -> Result<Vec<Emitted>> {
        let mut emitted = Vec::new();
        for (index, output) in self.outputs.iter_mut().enumerate() {
            if output.values.ends.is_empty() {
                continue;
            }
            // The next call most likely emits about as much.
            let values = &output.values;
            let room = Rows::with_room(values.ends.len(), values.bytes.len(), output.origin.len());
            let taken = std::mem::replace(output, room);
            let taken = taken.into_emitted(index as u32, rows, timestamps);
            emitted.push(taken.map_err(|why| Error::fatal(format_args!("output {index}: {why}")))?);
        }
        Ok(emitted)
    }
}

impl Rows {
    fn with_room(rows: usize, bytes: usize, origins: usize) -> Self {
        Self {
            values: column::with_room(rows, bytes + bytes / 8),
            straight: 0,
            origin: Vec::with_capacity(origins),
            timestamps: Vec::new(),
            keys: column::with_room(0, 0),
        }
    }

    /// Whether the next row would be the first with a key, or the first without.
    fn mixes_keys(&self, next_has_key: bool) -> bool {
        !self.values.ends.is_empty() && self.keys.ends.is_empty() == next_has_key
    }

    /// The next row comes from this input row.
    #[inline]
    fn comes_from(&mut self, origin: u32) {
        if self.origin.is_empty() && self.straight == origin as usize {
            self.straight += 1;
        } else {
            self.origin.push(origin);
        }
    }

    /// The input row that each row comes from.
    fn origins(&self) -> impl Iterator<Item = u32> {
        (0..self.straight as u32).chain(self.origin.iter().copied())
    }

    fn truncate(&mut self, rows: usize) {
        let end = |column: &BytesColumn| match rows.checked_sub(1) {
            Some(last) => column
                .ends
                .get(last)
                .map_or(column.bytes.len(), |end| *end as usize),
            None => 0,
        };
        let (values, keys) = (end(&self.values), end(&self.keys));
        self.values.bytes.truncate(values);
        self.values.ends.truncate(rows);
        self.keys.bytes.truncate(keys);
        self.keys.ends.truncate(rows);
        self.origin.truncate(rows.saturating_sub(self.straight));
        self.straight = self.straight.min(rows);
        while self.timestamps.last().is_some_and(|(row, _)| *row >= rows) {
            self.timestamps.pop();
        }
    }

    fn into_emitted(
        mut self,
        output: u32,
        input_rows: usize,
        input_timestamps: &[i64],
    ) -> Result<Emitted, &'static str> {
        let timestamps = self.all_timestamps(input_timestamps)?;
        let one_to_one = self.origin.is_empty() && self.straight == input_rows;
        let origin = match self.straight {
            _ if one_to_one => Vec::new(),
            0 => std::mem::take(&mut self.origin),
            _ => self.origins().collect(),
        };
        let Self { values, keys, .. } = self;
        Ok(Emitted {
            output,
            values,
            origin,
            timestamps,
            keys,
        })
    }

    /// One event time per row, or none at all if all are inherited.
    fn all_timestamps(&self, input: &[i64]) -> Result<Vec<i64>, &'static str> {
        if self.timestamps.is_empty() {
            return Ok(Vec::new());
        }
        if self.timestamps.len() == self.values.ends.len() {
            return Ok(self
                .timestamps
                .iter()
                .map(|(_, timestamp)| *timestamp)
                .collect());
        }
        let inherited = self.origins().map(|row| input.get(row as usize).copied());
        let inherited: Option<Vec<i64>> = inherited.collect();
        match inherited {
            Some(mut all) if all.len() == self.values.ends.len() => {
                for (row, timestamp) in &self.timestamps {
                    all[*row] = *timestamp;
                }
                Ok(all)
            }
            _ => Err(
                "some of the rows emitted in a call have event times, some have none to inherit",
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How many rows input rows give, of up to two each.
    fn all_counts() -> impl Iterator<Item = [usize; 4]> {
        (0..3_usize.pow(4)).map(|number| [1, 3, 9, 27].map(|place| number / place % 3))
    }

    #[test]
    fn rows_come_from_the_row_that_was_in_hand_whichever_fails() {
        for (counts, failing) in
            all_counts().flat_map(|counts| (0..=4).map(move |row| (counts, row)))
        {
            let mut outputs = Outputs::new(0);
            let mut expected = Vec::new();
            for (row, count) in (0..).zip(counts).take(failing + 1) {
                for _ in 0..count {
                    let output = outputs.to::<String>(Ok(0), Some(row));
                    output.emit(format_args!("of {row}")).unwrap();
                }
                if row as usize == failing {
                    outputs.rollback(row);
                } else {
                    expected.extend(std::iter::repeat_n(row, count));
                }
            }
            let emitted = outputs.take(counts.len(), &[]).unwrap();
            let Some(emitted) = emitted.first() else {
                assert!(expected.is_empty());
                continue;
            };
            let text: String = expected.iter().map(|row| format!("of {row}")).collect();
            assert_eq!(emitted.values.bytes, text.as_bytes());
            assert_eq!(emitted.values.ends.len(), expected.len());
            match expected[..] {
                // From each row one, so that nothing needs to be said.
                [0, 1, 2, 3] => assert!(emitted.origin.is_empty()),
                _ => assert_eq!(emitted.origin, expected),
            }
        }
    }
}
