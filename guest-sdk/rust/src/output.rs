//! The rows a call emits: one growing column per output, with the input row that each came from.

use std::marker::PhantomData;
use std::ops::{Range, RangeInclusive};

use crate::append::append_row;
use crate::batch::{not_for_each, out_of_order};
use crate::bindings::weir::operator::data::{BytesColumn, Emitted, Slots};
use crate::call::{Binding, undeclared};
use crate::column::{self, ColumnRef};
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
    hand: Hand<'o>,
    timestamp: Option<i64>,
    key: Option<&'o [u8]>,
    types: PhantomData<fn(T)>,
}

/// The rows of a call, and which of them is in hand: an operator may emit it as it came.
#[derive(Clone, Copy)]
pub(crate) struct Hand<'a> {
    pub(crate) rows: ColumnRef<'a>,
    pub(crate) row: &'a [u8],
}

impl Hand<'_> {
    /// Of a call without rows that could be emitted.
    pub(crate) const EMPTY: Self = Self {
        rows: ColumnRef::EMPTY,
        row: &[],
    };

    /// Whether this is the row in hand, and not only one like it. One that is empty may lie
    /// anywhere.
    #[inline]
    fn holds(&self, row: &[u8]) -> bool {
        !self.rows.ends.is_empty() && std::ptr::eq(row, self.row)
    }
}

/// The rows of a call when it ends.
pub(crate) enum Lent<'a> {
    /// They stay with who lent them.
    Borrowed(ColumnRef<'a>),
    /// They may be handed back.
    Owned(BytesColumn),
}

impl Lent<'_> {
    fn rows(&self) -> ColumnRef<'_> {
        match self {
            Self::Borrowed(rows) => *rows,
            Self::Owned(rows) => rows.into(),
        }
    }
}

/// The rows of all outputs. Output 0 is the main one, then the side outputs as declared.
pub(crate) struct Outputs {
    outputs: Vec<Rows>,
    /// Watermarks: which input row said it, behind how many rows of the main output, and up to
    /// when.
    watermarks: Vec<(u32, u32, i64)>,
    /// Whether watermarks may be said in the call: between its rows, and not where it has none.
    between_rows: bool,
}

/// The rows of one output.
struct Rows {
    values: BytesColumn,
    /// Where there are no others: rows of the call as they are, before those that are `lent`, in
    /// order and none twice.
    runs: Vec<Range<u32>>,
    /// Behind those come these rows of the call as they are. They are copied all at once, or handed
    /// back where they are most of what came and all that is emitted. Where there are none it is
    /// `0..0`: it outlives the call, and the rows of the next are numbered anew.
    lent: Range<u32>,
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

/// Rows that came are moved together where they are if so many stand side by side: to move fewer is
/// no quicker than to copy them.
const LONG_RUN: usize = 4;

/// Of rows as wide as these, room is made for one from each input row before it is known which give
/// one.
const NARROW: RangeInclusive<usize> = 1..=64;

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
        let is_plain = self.timestamp.is_none() && self.key.is_none();
        if let Some(origin) = self.origin.filter(|_| is_plain)
            && value.written().is_some_and(|row| self.hand.holds(row))
            && rows.keys.ends.is_empty()
        {
            return rows.push_lent(origin, self.hand.rows);
        }
        rows.copy_lent(self.hand.rows)?;
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

/// The number of a row as the contract has it; one that is too high is that of no row.
#[inline]
pub(crate) fn number(row: usize) -> u32 {
    u32::try_from(row).unwrap_or(u32::MAX)
}

/// Writes a value of fixed width that does not fill the place of its row by itself.
#[cold]
fn encode_into<T>(value: &impl EncodeAs<T>, row: &mut [u8]) -> Result<()> {
    let mut bytes = Vec::with_capacity(row.len());
    value.encode_as(&mut bytes)?;
    if bytes.len() != row.len() {
        return Err(Error::fatal(format_args!(
            "a row of {} bytes is emitted as one of {}: the `WIDTH` of its type is wrong",
            bytes.len(),
            row.len()
        )));
    }
    row.copy_from_slice(&bytes);
    Ok(())
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
            between_rows: true,
        }
    }

    /// The call is about something else than rows, timers or keys: it says no watermarks.
    pub(crate) fn refuse_watermarks(&mut self) {
        self.between_rows = false;
    }

    /// The call is about rows, timers or keys.
    pub(crate) fn take_watermarks(&mut self) {
        self.between_rows = true;
    }

    /// The output with that index, for a row that comes from input row `origin`, which is in hand.
    pub(crate) fn to<'o, T>(
        &'o mut self,
        index: Result<usize>,
        origin: Option<u32>,
        hand: Hand<'o>,
    ) -> Output<'o, T> {
        let outputs = &mut self.outputs;
        let rows = index.and_then(|index| outputs.get_mut(index).ok_or_else(undeclared));
        Output {
            rows,
            origin,
            hand,
            timestamp: None,
            key: None,
            types: PhantomData,
        }
    }

    /// Emits this row of the call, which are these, to the main output.
    #[inline]
    pub(crate) fn pass(&mut self, row: usize, rows: ColumnRef<'_>) -> Result<()> {
        match self.outputs.first_mut() {
            Some(main) if row < rows.ends.len() && main.keys.ends.is_empty() => {
                main.push_lent(row as u32, rows)
            }
            Some(_) if row < rows.ends.len() => Err(keys_of_some()),
            _ => Err(out_of_order(rows.ends.len())),
        }
    }

    /// Emits a row that has nothing of its own to the main output, which comes from this one of the
    /// call, which are these.
    #[inline]
    pub(crate) fn push<T>(
        &mut self,
        row: usize,
        value: &impl EncodeAs<T>,
        rows: ColumnRef<'_>,
    ) -> Result<()> {
        let main = self.outputs.first_mut().ok_or_else(undeclared)?;
        if !main.lent.is_empty() || !main.keys.ends.is_empty() {
            main.make_way(rows)?;
        }
        let start = main.values.bytes.len();
        if let Err(error) = value.encode_as(&mut main.values.bytes) {
            main.values.bytes.truncate(start);
            return Err(error);
        }
        main.comes_from(number(row));
        column::end_row(&mut main.values)
    }

    /// Checks that the rows of each output come from rows of the call, which are so many, and in
    /// their order.
    pub(crate) fn check_order(&self, rows: usize) -> Result<()> {
        match self.outputs.iter().all(|output| output.is_in_order(rows)) {
            true => Ok(()),
            false => Err(out_of_order(rows)),
        }
    }

    /// Emits one row for each of the call, which are so many.
    #[inline]
    pub(crate) fn push_each<T, V: EncodeAs<T>>(
        &mut self,
        rows: usize,
        values: impl Iterator<Item = Result<V>>,
    ) -> Result<()> {
        match self.outputs.first_mut() {
            Some(main) if main.values.ends.is_empty() && main.lent.is_empty() => {
                let pushed = main.push_each(rows, values);
                if pushed.is_err() {
                    main.truncate(0);
                }
                pushed
            }
            _ => Err(not_for_each(rows)),
        }
    }

    /// Emits one row, or none, for each of the call, which are so many.
    #[inline]
    pub(crate) fn push_some<T, V: EncodeAs<T>>(
        &mut self,
        rows: usize,
        values: impl Iterator<Item = Result<Option<V>>>,
    ) -> Result<()> {
        match self.outputs.first_mut() {
            Some(main) if main.values.ends.is_empty() && main.lent.is_empty() => {
                let pushed = main.push_some(rows, values);
                if pushed.is_err() {
                    main.truncate(0);
                }
                pushed
            }
            _ => Err(not_for_each(rows)),
        }
    }

    /// Input row `origin` says a watermark, behind what was emitted so far.
    pub(crate) fn watermark(&mut self, origin: Option<u32>, at: i64) -> Result<()> {
        let Some(origin) = origin.filter(|_| self.between_rows) else {
            return Err(Error::fatal(
                "a watermark can be said only while a row, a timer or a key is in hand",
            ));
        };
        let behind = self
            .outputs
            .first()
            .map_or(0, |main| main.values.ends.len() + main.lent_rows());
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
            rows.lent.end = rows.lent.end.min(origin);
            if rows.lent.is_empty() {
                rows.lent = rows.runs.pop().unwrap_or(0..0);
            }
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

    /// Hands over what was emitted in a call with so many input rows, which are these where there
    /// are any that could be emitted, with these event times.
    pub(crate) fn take(
        &mut self,
        rows: usize,
        timestamps: &[i64],
        lent: Lent<'_>,
    ) -> Result<Vec<Emitted>> {
        let mut outputs = self.outputs.iter_mut();
        let main = outputs.next();
        for output in outputs {
            output.copy_lent(lent.rows())?;
        }
        let back = match main {
            Some(main) => main.take_lent(lent)?,
            None => None,
        };
        let mut emitted: Vec<Emitted> = back.into_iter().collect();
        for (index, output) in self.outputs.iter_mut().enumerate() {
            if output.values.ends.is_empty() {
                continue;
            }
            // The next call most likely emits about as much.
            let room = Rows::with_room(
                output.values.ends.len(),
                output.values.bytes.len(),
                output.origin.len(),
            );
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
            runs: Vec::new(),
            lent: 0..0,
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

    /// Sees to it that a row without a key can be appended; `rows` are those of the call.
    #[cold]
    fn make_way(&mut self, rows: ColumnRef<'_>) -> Result<()> {
        self.copy_lent(rows)?;
        match self.mixes_keys(false) {
            true => Err(keys_of_some()),
            false => Ok(()),
        }
    }

    /// The next row is this one of the call as it is.
    #[inline]
    fn push_lent(&mut self, row: u32, rows: ColumnRef<'_>) -> Result<()> {
        if self.lent.end != row {
            self.end_run(row, rows)?;
            self.lent.start = row;
        }
        self.lent.end = row + 1;
        Ok(())
    }

    /// The next row as it came is not the one behind those that are lent.
    fn end_run(&mut self, row: u32, rows: ColumnRef<'_>) -> Result<()> {
        if self.lent.is_empty() {
            return Ok(());
        }
        match self.values.ends.is_empty() && self.lent.end < row {
            true => {
                self.runs.push(self.lent.clone());
                Ok(())
            }
            false => self.copy_lent(rows),
        }
    }

    /// How many rows are emitted as they came, and not copied.
    fn lent_rows(&self) -> usize {
        let runs = self.runs.iter().chain([&self.lent]);
        runs.map(ExactSizeIterator::len).sum()
    }

    /// Copies the rows of the call that are still to be copied.
    #[inline]
    fn copy_lent(&mut self, rows: ColumnRef<'_>) -> Result<()> {
        if self.lent.is_empty() {
            return Ok(());
        }
        // In pieces: what is handed over by address would be written for each row that comes here.
        self.copy_runs(rows.bytes, rows.ends)
    }

    fn copy_runs(&mut self, bytes: &[u8], ends: &[u32]) -> Result<()> {
        let rows = ColumnRef { bytes, ends };
        let mut runs = std::mem::take(&mut self.runs);
        runs.push(std::mem::take(&mut self.lent));
        runs.into_iter()
            .try_for_each(|run| self.copy_run(run, rows))
    }

    fn copy_run(&mut self, run: Range<u32>, rows: ColumnRef<'_>) -> Result<()> {
        let (before, bytes, ends) = column::run(rows, run.start as usize..run.end as usize)?;
        let start = column::end_of(self.values.bytes.len())?;
        append_row(&mut self.values.bytes, bytes);
        column::end_of(self.values.bytes.len())?;
        let shift = start.wrapping_sub(before);
        self.values
            .ends
            .extend(ends.iter().map(|end| end.wrapping_add(shift)));
        self.come_from(run);
        Ok(())
    }

    /// The next rows come from these input rows.
    fn come_from(&mut self, run: Range<u32>) {
        if self.origin.is_empty() && self.straight == run.start as usize {
            self.straight += run.len();
        } else {
            self.origin.extend(run);
        }
    }

    /// The same at the end of a call. Where all that was emitted to the main output is what came,
    /// or most of it in long runs, it is handed back if it may be, without the rest, and the output
    /// stays as it is.
    fn take_lent(&mut self, lent: Lent<'_>) -> Result<Option<Emitted>> {
        let (all, count) = (lent.rows().ends.len(), self.lent_rows());
        let is_most = count > all / 2 && count >= LONG_RUN * self.runs.len();
        match lent {
            Lent::Owned(mut values) if self.values.ends.is_empty() && is_most => {
                let mut runs = std::mem::take(&mut self.runs);
                runs.push(std::mem::take(&mut self.lent));
                column::keep(&mut values, &runs)?;
                let mut origin = Vec::new();
                if count < all {
                    origin.reserve(count);
                    runs.into_iter().for_each(|run| origin.extend(run));
                }
                Ok(Some(Emitted {
                    output: 0,
                    values,
                    origin,
                    timestamps: Vec::new(),
                    keys: column::with_room(0, 0),
                }))
            }
            lent => self.copy_lent(lent.rows()).map(|()| None),
        }
    }

    /// Whether the rows come from input rows, which are so many, in their order.
    fn is_in_order(&self, rows: usize) -> bool {
        let straight = (self.straight as u32).checked_sub(1);
        let first = straight.or(self.origin.first().copied());
        let last = self.origin.last().copied().or(straight);
        let first_lent = self.runs.first().unwrap_or(&self.lent);
        let lent = (!first_lent.is_empty()).then_some(first_lent.start);
        let begins_behind = self.origin.first().is_none_or(|own| first <= Some(*own));
        begins_behind
            && self.origin.is_sorted()
            && last.is_none_or(|last| (last as usize) < rows && lent.is_none_or(|own| last <= own))
    }

    /// Appends one row for each of so many input rows.
    ///
    /// As in [`push_some`](Self::push_some), values are made in one place: then what makes them is
    /// compiled into the loop, where each would be handed over by address.
    #[inline]
    fn push_each<T, V: EncodeAs<T>>(
        &mut self,
        rows: usize,
        values: impl Iterator<Item = Result<V>>,
    ) -> Result<()> {
        let mut count = 0;
        match V::ROW_WIDTH {
            Some(width) if width > 0 => {
                self.values.bytes.resize(rows * width, 0);
                let mut places = self.values.bytes.chunks_exact_mut(width);
                for value in values {
                    let place = places.next().ok_or_else(|| not_for_each(rows))?;
                    let value = value?;
                    if !value.fill_row(place) {
                        encode_into(&value, place)?;
                    }
                    count += 1;
                }
                column::end_of(rows * width)?;
                let ends = (1..=rows).map(|row| (row * width) as u32);
                self.values.ends.extend(ends);
            }
            _ => {
                for value in values {
                    if count == rows {
                        return Err(not_for_each(rows));
                    }
                    value?.encode_as(&mut self.values.bytes)?;
                    column::end_row(&mut self.values)?;
                    count += 1;
                }
            }
        }
        self.straight = rows;
        match count == rows {
            true => Ok(()),
            false => Err(not_for_each(rows)),
        }
    }

    /// Appends one row, or none, for each of so many input rows.
    #[inline]
    fn push_some<T, V: EncodeAs<T>>(
        &mut self,
        rows: usize,
        values: impl Iterator<Item = Result<Option<V>>>,
    ) -> Result<()> {
        let mut row = 0;
        match V::ROW_WIDTH {
            Some(width) if NARROW.contains(&width) => {
                // As if each gave one: the rest is taken back.
                self.values.bytes.resize(rows * width, 0);
                self.origin.resize(rows, 0);
                let mut places = self.values.bytes.chunks_exact_mut(width);
                let mut origins = self.origin.iter_mut();
                let mut count = 0;
                for value in values {
                    if row == rows {
                        return Err(not_for_each(rows));
                    }
                    if let Some(value) = value? {
                        let (Some(place), Some(origin)) = (places.next(), origins.next()) else {
                            return Err(not_for_each(rows));
                        };
                        if !value.fill_row(place) {
                            encode_into(&value, place)?;
                        }
                        *origin = number(row);
                        count += 1;
                    }
                    row += 1;
                }
                column::end_of(count * width)?;
                self.values.bytes.truncate(count * width);
                let ends = (1..=count).map(|row| (row * width) as u32);
                self.values.ends.extend(ends);
                self.origin.truncate(count);
                if count == rows {
                    self.origin.clear();
                    self.straight = rows;
                }
            }
            _ => {
                for value in values {
                    if row == rows {
                        return Err(not_for_each(rows));
                    }
                    if let Some(value) = value? {
                        value.encode_as(&mut self.values.bytes)?;
                        self.comes_from(number(row));
                        column::end_row(&mut self.values)?;
                    }
                    row += 1;
                }
            }
        }
        match row == rows {
            true => Ok(()),
            false => Err(not_for_each(rows)),
        }
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

    /// What an input row gives: itself, or another row.
    const GIVEN: [&[bool]; 5] = [&[], &[true], &[false], &[true, true], &[false, true]];

    /// What each of four input rows gives.
    fn all_given() -> impl Iterator<Item = [&'static [bool]; 4]> {
        let count = GIVEN.len();
        (0..count.pow(4)).map(move |number| [1, 5, 25, 125].map(|place| GIVEN[number / place % 5]))
    }

    /// Input rows, of which one is empty.
    fn input() -> BytesColumn {
        BytesColumn {
            bytes: b"acccdd".to_vec(),
            ends: vec![1, 1, 4, 6],
        }
    }

    fn emit_to(outputs: &mut Outputs, index: usize, origin: u32, rows: &BytesColumn, own: bool) {
        let rows = ColumnRef::from(rows);
        let row = column::row(rows, origin as usize).unwrap();
        let hand = Hand { rows, row };
        let output = outputs.to::<Vec<u8>>(Ok(index), Some(origin), hand);
        let emitted = match own {
            true => output.emit(row),
            false => output.emit(&b"other"[..]),
        };
        emitted.unwrap();
    }

    #[test]
    fn rows_are_what_was_emitted_and_come_from_the_row_in_hand_whichever_fails() {
        for (given, failing) in all_given().flat_map(|given| (0..=4).map(move |row| (given, row))) {
            let rows = input();
            let (mut outputs, mut expected, mut origins) = (Outputs::new(0), Vec::new(), vec![]);
            for (row, given) in (0..).zip(given).take(failing + 1) {
                for own in given {
                    emit_to(&mut outputs, 0, row, &rows, *own);
                }
                if row as usize == failing {
                    outputs.rollback(row);
                    continue;
                }
                for own in given {
                    origins.push(row);
                    expected.push(match own {
                        true => column::row(&rows, row as usize).unwrap().to_vec(),
                        false => b"other".to_vec(),
                    });
                }
            }
            // Three rows in one run are most of four. What fails may have had others copied.
            let is_own = |given: &&[bool]| *given == [true];
            let shown = &given[..failing];
            let begins = shown.iter().position(is_own).unwrap_or(0);
            let run = shown[begins..].iter().take_while(|given| is_own(given));
            let is_run = run.count() == origins.len() && origins.len() > 2;
            let failed = given.get(failing).copied().unwrap_or_default();
            let is_moved = is_run && (failed.is_empty() || failed == [true]);
            let place = rows.bytes.as_ptr();
            let emitted = outputs.take(4, &[], Lent::Owned(rows)).unwrap();
            let Some(emitted) = emitted.first() else {
                assert!(expected.is_empty());
                continue;
            };
            let found: Vec<_> = column::rows(&emitted.values).map(Result::unwrap).collect();
            assert_eq!(found, expected, "{given:?}, {failing} fails");
            assert_eq!(emitted.values.bytes.as_ptr() == place, is_moved);
            match origins[..] {
                // From each row one, so that nothing needs to be said.
                [0, 1, 2, 3] => assert!(emitted.origin.is_empty()),
                _ => assert_eq!(emitted.origin, origins),
            }
        }
    }

    #[test]
    fn of_many_rows_those_that_were_passed_are_there_moved_or_copied() {
        const ROWS: u32 = 12;
        let mut rows = column::with_room(0, 0);
        for row in 0..ROWS {
            let length = [1, 0, 3, 2][row as usize % 4];
            column::push(&mut rows, &vec![b'a' + row as u8; length]).unwrap();
        }
        let mut moved = 0;
        for (passed, failing) in (0..1_u32 << ROWS).map(|passed| (passed, passed % 16)) {
            let is_in = |row: &u32| passed >> row & 1 == 1 && *row != failing;
            let told = [true, false].map(|is_owned| {
                let mut outputs = Outputs::new(0);
                for row in 0..ROWS {
                    if passed >> row & 1 == 1 {
                        emit_to(&mut outputs, 0, row, &rows, true);
                    }
                    outputs.watermark(Some(row), 5).unwrap();
                    if row == failing {
                        outputs.rollback(row);
                    }
                }
                let behind = |of: &u32| (0..=*of).filter(is_in).count() as u32;
                let said = (0..ROWS).filter(|row| *row != failing);
                let said: Vec<_> = said.map(|row| (row, behind(&row), 5)).collect();
                assert_eq!(outputs.watermarks, said);
                let own = rows.clone();
                let place = own.bytes.as_ptr();
                let lent = match is_owned {
                    true => Lent::Owned(own),
                    false => Lent::Borrowed((&rows).into()),
                };
                let emitted = outputs.take(ROWS as usize, &[], lent).unwrap().pop();
                moved += usize::from(emitted.as_ref().is_some_and(|of| {
                    of.values.bytes.as_ptr() == place && of.values.ends.len() < ROWS as usize
                }));
                // The next call finds nothing of this one.
                let nothing = Lent::Borrowed(ColumnRef::EMPTY);
                assert!(outputs.take(0, &[], nothing).unwrap().is_empty());
                emitted.map(|of| (of.values.bytes, of.values.ends, of.origin))
            });
            let expected: Vec<_> = (0..ROWS).filter(is_in).collect();
            for told in told {
                let (bytes, ends, origin) = told.unwrap_or_default();
                let found = BytesColumn { bytes, ends };
                let found: Vec<_> = column::rows(&found).map(Result::unwrap).collect();
                let row = |row: &u32| column::row(&rows, *row as usize).unwrap();
                assert_eq!(found, expected.iter().map(row).collect::<Vec<_>>());
                match expected.len() as u32 == ROWS {
                    true => assert!(origin.is_empty()),
                    false => assert_eq!(origin, expected),
                }
            }
        }
        assert!(moved > 500, "{moved} of the cases");
    }

    #[test]
    fn each_output_has_the_rows_that_were_emitted_to_it() {
        let rows = input();
        let mut outputs = Outputs::new(2);
        for (row, outputs_of) in (0..).zip([&[0, 1][..], &[0], &[0, 1, 2], &[0, 2]]) {
            for &output in outputs_of {
                emit_to(&mut outputs, output, row, &rows, true);
            }
        }
        let emitted = outputs.take(4, &[], Lent::Borrowed((&rows).into()));
        let told: Vec<_> = emitted
            .unwrap()
            .into_iter()
            .map(|of| {
                let text = String::from_utf8(of.values.bytes).unwrap();
                (of.output, text, of.values.ends, of.origin)
            })
            .collect();
        let expected = [
            (0, "acccdd", vec![1, 1, 4, 6], vec![]),
            (1, "accc", vec![1, 4], vec![0, 2]),
            (2, "cccdd", vec![3, 5], vec![2, 3]),
        ];
        let expected = expected.map(|(of, text, ends, from)| (of, text.to_owned(), ends, from));
        assert_eq!(told, expected);
    }

    #[test]
    fn rows_that_failed_leave_nothing_to_the_calls_behind() {
        let rows = input();
        for (first, second) in (0..4).flat_map(|first| (0..4).map(move |second| (first, second))) {
            let mut outputs = Outputs::new(1);
            for index in [0, 1] {
                emit_to(&mut outputs, index, first, &rows, true);
            }
            outputs.rollback(first);
            let lent = || Lent::Borrowed((&rows).into());
            assert!(outputs.take(4, &[], lent()).unwrap().is_empty());
            outputs.rollback(second);
            assert!(outputs.take(4, &[], lent()).unwrap().is_empty());
            for row in second..4 {
                emit_to(&mut outputs, 0, row, &rows, true);
                emit_to(&mut outputs, 1, row, &rows, true);
                outputs.watermark(Some(row), 5).unwrap();
            }
            let behind: Vec<_> = outputs
                .watermarks
                .iter()
                .map(|(_, behind, _)| *behind)
                .collect();
            assert!((1..=4 - second).eq(behind), "{first}, {second}");
            let emitted = outputs.take(4, &[], lent()).unwrap();
            let expected: Vec<_> = column::rows(&rows).skip(second as usize).collect();
            for output in &emitted {
                let found: Vec<_> = column::rows(&output.values).map(Result::unwrap).collect();
                let expected: Vec<_> = expected.iter().map(|row| *row.as_ref().unwrap()).collect();
                assert_eq!(found, expected, "{first}, {second}");
            }
            assert_eq!(emitted.len(), 2);
        }
    }

    #[test]
    fn an_empty_row_is_emitted_where_no_row_is_in_hand() {
        let mut outputs = Outputs::new(0);
        for origin in 0..2 {
            let output = outputs.to::<Vec<u8>>(Ok(0), Some(origin), Hand::EMPTY);
            output.emit(Hand::EMPTY.row).unwrap();
        }
        let nothing = Lent::Borrowed(ColumnRef::EMPTY);
        assert_eq!(
            outputs.take(2, &[], nothing).unwrap()[0].values.ends,
            [0, 0]
        );
    }

    #[test]
    fn a_watermark_is_behind_the_rows_before_it_copied_or_not() {
        let rows = input();
        let mut outputs = Outputs::new(0);
        for (row, own) in [(0, false), (1, true), (2, true)] {
            emit_to(&mut outputs, 0, row, &rows, own);
            outputs.watermark(Some(row), 5).unwrap();
        }
        assert_eq!(outputs.watermarks, [(0, 1, 5), (1, 2, 5), (2, 3, 5)]);
    }

    #[test]
    fn a_row_as_it_came_may_have_a_time_or_a_key_of_its_own() {
        let rows = input();
        let column = ColumnRef::from(&rows);
        let hand = |row| Hand {
            rows: column,
            row: column::row(column, row).unwrap(),
        };
        let mut outputs = Outputs::new(0);
        for (row, timestamp) in (0..).zip([None, Some(7), None, Some(9)]) {
            let hand = hand(row as usize);
            let mut output = outputs.to::<Vec<u8>>(Ok(0), Some(row), hand);
            output.timestamp = timestamp;
            output.emit(hand.row).unwrap();
        }
        let emitted = outputs
            .take(4, &[1, 2, 3, 4], Lent::Owned(input()))
            .unwrap();
        assert_eq!(emitted[0].timestamps, [1, 7, 3, 9]);
        assert_eq!(emitted[0].values.ends, rows.ends);
        // Some with keys and some without are an error at once, whichever was first.
        for with_key in [0, 1] {
            let mut outputs = Outputs::new(0);
            let mut emit = |row: u32| {
                let hand = hand(row as usize);
                let output = outputs.to::<Vec<u8>>(Ok(0), Some(row), hand);
                match row == with_key {
                    true => output.key(b"k").emit(hand.row),
                    false => output.emit(hand.row),
                }
            };
            emit(0).unwrap();
            assert!(emit(1).unwrap_err().is_fatal());
        }
    }
}
