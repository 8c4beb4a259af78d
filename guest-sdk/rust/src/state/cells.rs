//! One optional value per key: the cache behind value, reducing and aggregating state.

use std::mem;

use super::Handle;
use super::ahead::Ahead;
use crate::bindings::weir::operator::data::{BytesColumn, OptionalColumn, Slots};
use crate::call::{self, Binding, undeclared};
use crate::codec::StateCodec;
use crate::column;
use crate::error::{Error, Result};

/// The values of a state for the keys of the call in hand.
pub(crate) struct Cells<T> {
    binding: Option<Binding>,
    /// The call that the rest belongs to.
    call: u64,
    /// One per distinct key of the call.
    cells: Vec<Cell<T>>,
    /// What the host holds for all keys of the call, if that is known.
    slots: Option<OptionalColumn>,
    /// Whether it came with the call, as the state is prefetched: slots may be returned then.
    is_prefetched: bool,
    ahead: Ahead,
    /// The row that has entered, and its key: it has no other.
    row: u64,
    key: usize,
    /// What its first write has replaced, if it has written: that of its key.
    before: Option<Cell<T>>,
}

/// The values of a state for all keys of a batch, by the numbers that
/// [`BatchKeys`](crate::BatchKeys) gives them. Like a slice it panics where there is no key of that
/// number. Made by [`Value::of_keys`](crate::Value::of_keys).
pub struct KeyValues<'s, T> {
    cells: &'s mut [Cell<T>],
}

/// So many values are written before it is asked whether all of them were there.
const ROUND: usize = 64;

/// No row has this number.
const NO_ROW: u64 = u64::MAX;

#[derive(Clone)]
pub(crate) struct Cell<T> {
    status: Status,
    value: Option<T>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Status {
    /// Unknown: the value is whatever the host holds.
    Stored,
    /// Read along with that of another key, and not looked at.
    Unseen,
    /// As the host holds it.
    Clean,
    /// To be written back.
    Dirty,
}

impl<T> Default for Cells<T> {
    fn default() -> Self {
        Self {
            binding: None,
            call: 0,
            cells: Vec::new(),
            slots: None,
            is_prefetched: false,
            ahead: Ahead::default(),
            row: NO_ROW,
            key: 0,
            before: None,
        }
    }
}

impl<T: StateCodec> Cells<T> {
    /// Asks for calls for all keys that have a value.
    pub(crate) fn apply_to_keys(&self, tag: &[u8]) -> Result<()> {
        let binding = self.binding.as_ref().ok_or_else(undeclared)?;
        binding.apply_to_keys(tag)
    }

    /// The value of the key in hand.
    #[inline]
    pub(crate) fn get(&mut self) -> Result<Option<&T>> {
        let key = self.load()?;
        Ok(self.cells[key].value.as_ref())
    }

    /// Replaces the value of the key in hand, unread.
    #[inline]
    pub(crate) fn set(&mut self, value: Option<T>) -> Result<()> {
        let key = self.enter()?;
        self.replace(key, value);
        Ok(())
    }

    /// Replaces the value of the key in hand by what `next` makes of it.
    pub(crate) fn fold(&mut self, next: impl FnOnce(Option<&T>) -> T) -> Result<()> {
        let key = self.load()?;
        let value = next(self.cells[key].value.as_ref());
        self.replace(key, Some(value));
        Ok(())
    }

    /// The value of the key in hand, to be changed in place.
    pub(crate) fn get_mut(&mut self) -> Result<&mut Option<T>>
    where
        T: Clone,
    {
        let key = self.load()?;
        let cell = &mut self.cells[key];
        if self.before.is_none() {
            self.before = Some(match cell.status {
                Status::Dirty => cell.clone(),
                // The host still holds what it was.
                Status::Stored | Status::Unseen | Status::Clean => Cell::stored(),
            });
        }
        cell.status = Status::Dirty;
        Ok(&mut cell.value)
    }

    /// The values of all keys of the batch in hand.
    pub(crate) fn of_keys(&mut self) -> Result<KeyValues<'_, T>> {
        let binding = self.binding.as_ref().ok_or_else(undeclared)?;
        binding.batch("of_keys")?;
        if self.call != binding.call.number() {
            self.enter_call();
        }
        self.look_at_all()?;
        Ok(KeyValues {
            cells: &mut self.cells,
        })
    }

    /// Decodes what the host holds for each key of the call that was not looked at. What should not
    /// be read for all keys, or cannot, is left to the rows one by one, by an error that is not
    /// fatal: each of them may use less.
    fn look_at_all(&mut self) -> Result<()> {
        let is_known = |cell: &Cell<T>| matches!(cell.status, Status::Clean | Status::Dirty);
        if self.cells.iter().all(is_known) {
            return Ok(());
        }
        if self.slots.is_none()
            && let Some(binding) = &self.binding
        {
            if binding.call.is_read_alone(binding.index) {
                return Err(call::read_is_access());
            }
            let keys: Vec<u32> = (0..self.cells.len() as u32).collect();
            self.slots = Some(binding.call.host.value_get(binding.index, &keys));
        }
        for key in 0..self.cells.len() {
            if !is_known(&self.cells[key]) {
                self.read(key)
                    .map_err(|error| Error::new(error.into_message()))?;
            }
        }
        Ok(())
    }

    /// The index of the key in hand; what belongs to an earlier row or call is dropped first.
    #[inline]
    fn enter(&mut self) -> Result<usize> {
        let binding = self.binding.as_ref().ok_or_else(undeclared)?;
        let row = binding.call.row();
        if self.row != row {
            let key = binding.key()?;
            if self.call != binding.call.number() {
                self.enter_call();
            }
            (self.row, self.key) = (row, key as usize);
            self.before = None;
        }
        Ok(self.key)
    }

    /// Begins anew with what came with the call. Once a call; kept apart, so that what is left for
    /// each row is small enough to stand where it is used.
    #[cold]
    fn enter_call(&mut self) {
        let Some(binding) = &self.binding else {
            return;
        };
        self.call = binding.call.number();
        self.slots = binding.call.take_slots(binding.index);
        self.is_prefetched = self.slots.is_some();
        self.begin();
    }

    /// Nothing has been written in the call.
    fn begin(&mut self) {
        self.cells.clear();
        let keys = self
            .binding
            .as_ref()
            .map_or(0, |binding| binding.call.keys());
        let keys = keys as usize;
        if let Some(slots) = &self.slots {
            self.cells.extend(decode_all(slots).take(keys));
        }
        self.cells.resize_with(keys, Cell::stored);
    }

    /// The index of the key in hand, its value at hand.
    #[inline]
    fn load(&mut self) -> Result<usize> {
        let key = self.enter()?;
        if matches!(self.cells[key].status, Status::Stored | Status::Unseen) {
            self.look(key)?;
        }
        Ok(key)
    }

    /// Looks at the value of a key for the first time in a call.
    fn look(&mut self, key: usize) -> Result<()> {
        match self.cells[key].status {
            Status::Stored => self.read(key),
            Status::Unseen => {
                self.ahead.seen();
                self.cells[key].status = Status::Clean;
                Ok(())
            }
            Status::Clean | Status::Dirty => Ok(()),
        }
    }

    /// Decodes what the host holds for a key.
    fn read(&mut self, key: usize) -> Result<()> {
        let Some(slots) = &self.slots else {
            return self.ask(key);
        };
        let binding = self.binding.as_ref().ok_or_else(undeclared)?;
        self.cells[key] = Cell {
            status: Status::Clean,
            value: decode(binding, slots, key)?,
        };
        Ok(())
    }

    /// Asks the host for the value of a key, and of some that will be wanted next.
    #[cold]
    fn ask(&mut self, key: usize) -> Result<()> {
        let binding = self.binding.as_ref().ok_or_else(undeclared)?;
        let mut keys: Vec<u32> = self.ahead.keys(binding, key as u32).collect();
        keys.retain(|key| self.cells[*key as usize].status == Status::Stored);
        let values = binding.call.host.value_get(binding.index, &keys);
        for (row, other) in keys.iter().enumerate() {
            let status = Status::Unseen;
            match decode(binding, &values, row) {
                Ok(value) => self.cells[*other as usize] = Cell { status, value },
                Err(error) if *other as usize == key => return Err(error),
                // It is an error only for who looks at it.
                Err(_) => {}
            }
        }
        self.ahead.asked(keys.len(), values.column.bytes.len());
        self.ahead.seen();
        self.cells[key].status = Status::Clean;
        Ok(())
    }

    #[inline]
    fn replace(&mut self, key: usize, value: Option<T>) {
        let new = Cell {
            status: Status::Dirty,
            value,
        };
        let cell = &mut self.cells[key];
        match self.before {
            Some(_) => *cell = new,
            None => self.before = Some(mem::replace(cell, new)),
        }
    }

    /// The values to write back, so many.
    fn encode(&self, count: usize) -> Result<OptionalColumn> {
        if count == self.cells.len()
            && let Some(all) = self.encode_even().or_else(|| self.encode_some_even())
        {
            return Ok(all);
        }
        let mut values = column::optional_with_room(count, count * column::small_width::<T>());
        for cell in self.cells.iter().filter(|cell| cell.is_dirty()) {
            column::push_optional(&mut values, cell.value.as_ref())?;
        }
        Ok(values)
    }

    /// All values, if each is there and takes the same few bytes: nothing is asked of each then but
    /// these.
    fn encode_even(&self) -> Option<OptionalColumn> {
        let width = T::WIDTH.filter(|width| (1..=64).contains(width))?;
        let count = self.cells.len();
        let mut bytes = vec![0; count * width];
        let mut are_filled = true;
        let rounds = self
            .cells
            .chunks(ROUND)
            .zip(bytes.chunks_mut(ROUND * width));
        for (cells, places) in rounds {
            for (cell, place) in cells.iter().zip(places.chunks_exact_mut(width)) {
                let value = cell.value.as_ref();
                are_filled &= value.is_some_and(|value| value.fill(place));
            }
            if !are_filled {
                return None;
            }
        }
        let ends = (1..=count).map(|row| (row * width) as u32).collect();
        Some(OptionalColumn {
            present: vec![1; count],
            column: BytesColumn { bytes, ends },
        })
    }

    /// The same where some are not there.
    fn encode_some_even(&self) -> Option<OptionalColumn> {
        let width = T::WIDTH.filter(|width| (1..=64).contains(width))?;
        let count = self.cells.len();
        let mut bytes = vec![0; count * width];
        let (mut present, mut ends) = (vec![0; count], vec![0; count]);
        let mut places = bytes.chunks_exact_mut(width);
        let mut end = 0;
        for ((cell, is_there), row_end) in self.cells.iter().zip(&mut present).zip(&mut ends) {
            if let Some(value) = &cell.value {
                if !value.fill(places.next()?) {
                    return None;
                }
                *is_there = 1;
                end += width;
            }
            *row_end = end as u32;
        }
        bytes.truncate(end);
        let column = BytesColumn { bytes, ends };
        Some(OptionalColumn { present, column })
    }
}

impl<T> Cell<T> {
    fn stored() -> Self {
        Self {
            status: Status::Stored,
            value: None,
        }
    }

    fn is_dirty(&self) -> bool {
        self.status == Status::Dirty
    }
}

impl<T> KeyValues<'_, T> {
    /// The value of a key, or nothing.
    #[inline]
    pub fn get(&self, key: usize) -> Option<&T> {
        self.cells[key].value.as_ref()
    }

    /// The value of a key, to be changed in place; `None` clears it.
    #[inline]
    pub fn get_mut(&mut self, key: usize) -> &mut Option<T> {
        let cell = &mut self.cells[key];
        cell.status = Status::Dirty;
        &mut cell.value
    }

    /// Sets the value of a key.
    #[inline]
    pub fn set(&mut self, key: usize, value: T) {
        *self.get_mut(key) = Some(value);
    }

    /// Removes the value of a key.
    #[inline]
    pub fn clear(&mut self, key: usize) {
        *self.get_mut(key) = None;
    }
}

/// All values that came with a call, if each takes little. What cannot be decoded is left to who
/// looks at it.
fn decode_all<T: StateCodec>(slots: &OptionalColumn) -> impl Iterator<Item = Cell<T>> {
    column::small_values(slots).map(|value| match value {
        Some(value) => Cell {
            status: Status::Clean,
            value,
        },
        None => Cell::stored(),
    })
}

/// The value in a row of what the host sent.
fn decode<T: StateCodec>(
    binding: &Binding,
    values: &OptionalColumn,
    row: usize,
) -> Result<Option<T>> {
    let value = column::optional(values, row)?.map(T::decode).transpose();
    value.map_err(|error| binding.corrupt(error))
}

impl<T: StateCodec> Handle for Cells<T> {
    fn bind(&mut self, binding: Binding) -> bool {
        self.binding.replace(binding).is_none()
    }

    fn rollback(&mut self) {
        let Some(binding) = &self.binding else {
            return;
        };
        if binding.is_batch() {
            self.begin();
        } else if binding.call.row() == self.row
            && let Some(before) = self.before.take()
        {
            self.cells[self.key] = before;
        }
    }

    fn flush(&mut self, slots: &mut Vec<Slots>) -> Result<()> {
        let Some(binding) = &self.binding else {
            return Ok(());
        };
        if self.call != binding.call.number() {
            return Ok(());
        }
        let dirty = self.cells.iter().filter(|cell| cell.is_dirty()).count();
        if dirty == 0 {
            return Ok(());
        }
        let values = self.encode(dirty)?;
        // Slots would overwrite every key: returned only if every key was written, so that a value
        // that did not change is not part of the next incremental checkpoint.
        if self.is_prefetched && dirty == self.cells.len() {
            slots.push(Slots {
                state: binding.index,
                values,
            });
        } else {
            let cells = self.cells.iter().enumerate();
            let dirty = cells.filter(|(_, cell)| cell.is_dirty());
            let keys: Vec<u32> = dirty.map(|(key, _)| key as u32).collect();
            binding.call.host.value_put(binding.index, &keys, &values);
        }
        Ok(())
    }
}
