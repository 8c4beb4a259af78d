//! The overlay of a cell state: one slot a key of the call, so that no access hashes anything.

use weir_model::{OptionalColumn, same_key};

use super::Access;
use crate::{Error, StateIndex, ValueWrites, Which, limits};

/// What the call knows of the value of one key.
#[derive(Clone, Copy, Debug)]
enum Slot {
    Unread,
    /// As the backend has it: a row of `read`.
    Clean(u32),
    /// Written by the call: a row of `written`; absent = cleared.
    Dirty(u32),
}

/// How the call wrote to the state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Written {
    #[default]
    Not,
    Put,
    Slots,
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Cells {
    /// One a key, or none while the call has not touched the state.
    slots: Vec<Slot>,
    read: OptionalColumn,
    written: OptionalColumn,
    /// The keys written, in order of their first write.
    dirty: Vec<u32>,
    how: Written,
    missing: Vec<u32>,
    spare: ValueWrites,
}

impl Cells {
    pub(super) fn get(
        &mut self,
        access: Access<'_>,
        which: Which<'_>,
        out: &mut OptionalColumn,
    ) -> Result<(), Error> {
        if let Which::All = which
            && self.slots.is_empty()
        {
            self.read_all(access)?;
            out.extend_from(&self.read);
            return Ok(());
        }
        self.touch(&access);
        let known = self.read.len();
        self.read_missing(access, which)?;
        let count = which.len(self.slots.len());
        let mut bytes = out.column().byte_len();
        if self.missing.len() == count {
            // All of them were read just now, in this order.
            let read = self.read.column().view().slice(known, known + count);
            bytes += read.contents().len();
            limits::check_column("the column of values", bytes, out.len() + count)?;
            out.extend_from_rows(&self.read, known..known + count);
            return Ok(());
        }
        for position in 0..count {
            let value = self.value(which.get(position));
            bytes += value.map_or(0, <[u8]>::len);
            limits::check_column("the column of values", bytes, out.len())?;
            out.push(value);
        }
        Ok(())
    }

    pub(super) fn put(
        &mut self,
        access: &Access<'_>,
        which: Which<'_>,
        values: &OptionalColumn,
    ) -> Result<(), Error> {
        self.write_as(Written::Put, access, values)?;
        let first = self.written.len() as u32;
        for (position, row) in (0..values.len()).zip(first..) {
            let key = which.get(position);
            if !matches!(self.slots[key], Slot::Dirty(_)) {
                self.dirty.push(key as u32);
            }
            self.slots[key] = Slot::Dirty(row);
        }
        self.written.extend_from(values);
        Ok(())
    }

    pub(super) fn put_slots(
        &mut self,
        access: &Access<'_>,
        values: &OptionalColumn,
    ) -> Result<(), Error> {
        self.write_as(Written::Slots, access, values)?;
        // Slots come once a call; were they to come twice, the last count.
        self.dirty.clear();
        self.written.clear();
        // With a time to live, to write the same again is an access.
        let decl = access.backend.states().get(access.state.0 as usize);
        let lives = decl.is_some_and(|decl| decl.ttl.is_some());
        for ((key, value), slot) in (0..).zip(values.iter()).zip(&mut self.slots) {
            let unchanged = !lives
                && match *slot {
                    Slot::Clean(row) => is_same(self.read.get(row as usize), value),
                    Slot::Unread | Slot::Dirty(_) => false,
                };
            if !unchanged {
                *slot = Slot::Dirty(self.dirty.len() as u32);
                self.dirty.push(key);
            }
        }
        if self.dirty.len() == values.len() {
            self.written.extend_from(values);
        } else {
            for &key in &self.dirty {
                self.written.push(values.get(key as usize));
            }
        }
        Ok(())
    }

    /// Moves the writes of the call to `writes`.
    pub(super) fn drain_into(
        &mut self,
        state: StateIndex,
        writes: &mut Vec<(StateIndex, ValueWrites)>,
    ) {
        if self.dirty.is_empty() {
            return;
        }
        let mut out = std::mem::take(&mut self.spare);
        std::mem::swap(&mut out.keys, &mut self.dirty);
        if self.written.len() == out.keys.len() {
            // Nothing was written twice: the rows are in the order of the keys.
            std::mem::swap(&mut out.values, &mut self.written);
        } else {
            for &key in &out.keys {
                out.values.push(self.value(key as usize));
            }
        }
        writes.push((state, out));
    }

    /// Takes back the buffers of a commit.
    pub(super) fn reclaim(&mut self, mut buffers: ValueWrites) {
        limits::recycle(&mut buffers.keys);
        limits::recycle(&mut buffers.values);
        self.spare = buffers;
    }

    /// The call has so many keys now.
    pub(super) fn widen(&mut self, keys: usize) {
        if !self.slots.is_empty() {
            self.slots.resize(keys, Slot::Unread);
        }
    }

    pub(super) fn reset(&mut self) {
        limits::recycle(&mut self.slots);
        limits::recycle(&mut self.read);
        limits::recycle(&mut self.written);
        limits::recycle(&mut self.dirty);
        self.how = Written::Not;
    }

    fn value(&self, key: usize) -> Option<&[u8]> {
        match self.slots[key] {
            Slot::Unread => None,
            Slot::Clean(row) => self.read.get(row as usize),
            Slot::Dirty(row) => self.written.get(row as usize),
        }
    }

    fn touch(&mut self, access: &Access<'_>) {
        if self.slots.is_empty() {
            self.slots.resize(access.keys.keys.len(), Slot::Unread);
        }
    }

    /// Notes how the call writes to the state, and refuses to mix.
    fn write_as(
        &mut self,
        how: Written,
        access: &Access<'_>,
        values: &OptionalColumn,
    ) -> Result<(), Error> {
        if self.how != Written::Not && self.how != how {
            let name = access.name();
            return Err(Error::SlotsAndPut { name });
        }
        limits::check_column(
            "what a call wrote to one state",
            self.written.column().byte_len() + values.column().byte_len(),
            self.written.len() + values.len(),
        )?;
        self.how = how;
        self.touch(access);
        Ok(())
    }

    fn read_all(&mut self, access: Access<'_>) -> Result<(), Error> {
        let keys = access.keys.keys.len();
        let read =
            access
                .backend
                .get_values(access.state, &access.keys, Which::All, &mut self.read);
        if let Err(error) = read {
            self.read.clear();
            return Err(error);
        }
        self.slots.extend((0..keys as u32).map(Slot::Clean));
        Ok(())
    }

    /// Reads what the call has not read or written yet.
    fn read_missing(&mut self, access: Access<'_>, which: Which<'_>) -> Result<(), Error> {
        limits::recycle(&mut self.missing);
        let known = self.read.len();
        for position in 0..which.len(self.slots.len()) {
            let key = which.get(position);
            if let Slot::Unread = self.slots[key] {
                self.slots[key] = Slot::Clean((known + self.missing.len()) as u32);
                self.missing.push(key as u32);
            }
        }
        if self.missing.is_empty() {
            return Ok(());
        }
        let read = limits::check(
            "the column of values",
            self.read.column().byte_len(),
            limits::MAX_COLUMN_BYTES,
        )
        .and_then(|()| {
            let missing = Which::Some(&self.missing);
            access
                .backend
                .get_values(access.state, &access.keys, missing, &mut self.read)
        });
        if read.is_err() {
            // Rows may be there in part: forget all that was read.
            self.read.clear();
            for slot in &mut self.slots {
                if let Slot::Clean(_) = slot {
                    *slot = Slot::Unread;
                }
            }
        }
        read
    }
}

/// Values are short: they are compared in line.
#[inline]
fn is_same(left: Option<&[u8]>, right: Option<&[u8]>) -> bool {
    match (left, right) {
        (Some(left), Some(right)) => same_key(left, right),
        (None, None) => true,
        (Some(_), None) | (None, Some(_)) => false,
    }
}
