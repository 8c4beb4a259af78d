//! The overlay of a cell state: one slot a key of the call, so that no access hashes anything.

use weir_model::{Column, OptionalColumn, same_key};

use super::Access;
use crate::{Error, StateIndex, ValueWrites, Which, limits};

/// The bytes of a word.
const WORD: u32 = 8;

/// Of so many values one may be written though it has not changed.
const FEW: usize = 64;

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
    /// Whether the values of all keys were read at once: each is the row of its key.
    all_read: bool,
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
        values: &mut OptionalColumn,
    ) -> Result<(), Error> {
        self.write_as(Written::Slots, access, values)?;
        // Slots come once a call; were they to come twice, the last count.
        self.dirty.clear();
        self.written.clear();
        // With a time to live, to write the same again is an access.
        let decl = access.backend.states().get(access.state.0 as usize);
        let lives = decl.is_some_and(|decl| decl.ttl.is_some());
        // To write what is as it was does no harm: where it is little, that takes less than to
        // leave it out.
        if values.len() == self.slots.len()
            && (lives || (self.all_read && nearly_all_differ(&self.read, values)))
        {
            let keys = 0..values.len() as u32;
            self.dirty.extend(keys.clone());
            let slots = self.slots.iter_mut().zip(keys);
            slots.for_each(|(slot, row)| *slot = Slot::Dirty(row));
            std::mem::swap(&mut self.written, values);
            return Ok(());
        }
        for ((key, value), slot) in (0..).zip(values.iter()).zip(&mut self.slots) {
            let unchanged = match *slot {
                Slot::Clean(row) if !lives => is_same(self.read.get(row as usize), value),
                Slot::Clean(_) | Slot::Unread | Slot::Dirty(_) => false,
            };
            if !unchanged {
                *slot = Slot::Dirty(self.dirty.len() as u32);
                self.dirty.push(key);
            }
        }
        if self.dirty.len() == values.len() {
            std::mem::swap(&mut self.written, values);
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
        self.all_read = false;
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
        self.all_read = true;
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
        self.all_read = false;
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

/// Whether nearly all values differ from those that were read of their rows: of so many rows all
/// but one in [`FEW`] at most. One that is absent is empty here, so that an empty one may be taken
/// for it.
fn nearly_all_differ(read: &OptionalColumn, values: &OptionalColumn) -> bool {
    let (read, values) = (read.column(), values.column());
    if read.len() != values.len() {
        return false;
    }
    let most = values.len() / FEW;
    // Numbers of one width are compared without a branch.
    let same = same_numbers::<8>(read, values)
        .or_else(|| same_numbers::<4>(read, values))
        .or_else(|| same_numbers::<16>(read, values))
        .or_else(|| same_words(read, values, most));
    let same = same.unwrap_or_else(|| {
        let pairs = read.iter().zip(values.iter());
        let same = pairs.filter(|(old, new)| same_key(old, new));
        same.take(most + 1).count()
    });
    same <= most
}

/// How many rows of two columns of as many are the same, if all have `N` bytes.
fn same_numbers<const N: usize>(left: &Column, right: &Column) -> Option<usize> {
    let pairs = left.even::<N>()?.iter().zip(right.even::<N>()?);
    Some(pairs.map(|(left, right)| usize::from(left == right)).sum())
}

/// How many rows of two columns of as many are the same, or one more than `most`; `None` where one
/// is longer than a word. Numbers that come and go are as often there as not: which are is no
/// branch, for none could be foretold.
fn same_words(left: &Column, right: &Column, most: usize) -> Option<usize> {
    let (mut starts, mut same) = ((0, 0), 0);
    for (&left_end, &right_end) in left.ends().iter().zip(right.ends()) {
        let lengths = (left_end - starts.0, right_end - starts.1);
        if lengths.0.max(lengths.1) > WORD {
            return None;
        }
        let left = word_at(left.bytes(), starts.0 as usize, lengths.0);
        let right = word_at(right.bytes(), starts.1 as usize, lengths.1);
        if (lengths.0 == lengths.1) & (left == right) {
            same += 1;
            if same > most {
                break;
            }
        }
        starts = (left_end, right_end);
    }
    Some(same)
}

/// So many bytes at an offset, at most [`WORD`], as a number.
#[inline]
fn word_at(bytes: &[u8], at: usize, len: u32) -> u64 {
    let bytes = &bytes[at..];
    let word = match bytes.first_chunk() {
        Some(word) => *word,
        // Only of the last rows.
        None => {
            let mut word = [0; WORD as usize];
            word[..bytes.len()].copy_from_slice(bytes);
            word
        }
    };
    // What is behind it does not count.
    u64::from_le_bytes(word) & !u64::MAX.unbounded_shl(8 * len)
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

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*};
    use weir_model::{KeyGroup, KeyGroupRange, hash64};

    use super::*;
    use crate::{Backend, HeapBackend, KeyBatch, StateDecl, StateKind, Writes};

    const STATE: StateIndex = StateIndex(0);

    /// Values of so many bytes, one of which is the number; 0 = there is none.
    fn column(numbers: &[u8], width: usize) -> OptionalColumn {
        let mut column = OptionalColumn::new();
        for &number in numbers {
            let mut value = vec![7; width];
            value[width / 2] = number;
            column.push((number > 0).then_some(&value[..]));
        }
        column
    }

    /// A heap in which keys have these values.
    fn heap(batch: &KeyBatch<'_>, numbers: &[u8], width: usize) -> HeapBackend {
        let one = KeyGroupRange {
            start: KeyGroup(0),
            end: KeyGroup(0),
        };
        let decl = StateDecl {
            name: "value".into(),
            kind: StateKind::Value,
            format: "raw".into(),
            version: 1,
            prefetch: true,
            ttl: None,
        };
        let mut backend = HeapBackend::new(vec![decl], one).unwrap();
        let stored = ValueWrites {
            keys: (0..numbers.len() as u32).collect(),
            values: column(numbers, width),
        };
        let writes = Writes {
            values: vec![(STATE, stored)],
            ..Writes::default()
        };
        backend.apply(batch, &writes).unwrap();
        backend
    }

    fn access<'a>(backend: &'a mut HeapBackend, keys: KeyBatch<'a>) -> Access<'a> {
        Access {
            backend,
            keys,
            state: STATE,
        }
    }

    /// Values of so many bytes, first of so many keys and then of all, are read and written as
    /// slots, and what is handed over is what has changed.
    fn read_and_written(
        (old, new): (&[u8], &[u8]),
        width: usize,
        begun: usize,
        (backwards, twice): (bool, bool),
    ) {
        let count = old.len();
        let mut names = Column::new();
        (0..count as u32).for_each(|name| names.push(&name.to_le_bytes()));
        let hashes: Vec<u64> = names.iter().map(hash64).collect();
        let groups = vec![KeyGroup(0); count];
        let batch = |keys: usize| KeyBatch {
            keys: names.view().slice(0, keys),
            hashes: &hashes[..keys],
            groups: &groups[..keys],
        };
        let mut backend = heap(&batch(count), old, width);
        let (mut cells, mut read) = (Cells::default(), OptionalColumn::new());
        let begun = begun.min(count);
        cells
            .get(access(&mut backend, batch(begun)), Which::All, &mut read)
            .unwrap();
        cells.widen(count);
        let mut order: Vec<u32> = (0..count as u32).collect();
        if backwards {
            order.reverse();
        }
        let of = |numbers: &[u8]| -> Vec<u8> {
            order.iter().map(|&key| numbers[key as usize]).collect()
        };
        let holds = |cells: &mut Cells, backend: &mut HeapBackend, numbers: &[u8]| {
            let (all, mut read) = (batch(count), OptionalColumn::new());
            let which = Which::Some(&order);
            cells.get(access(backend, all), which, &mut read).unwrap();
            assert_eq!(read, column(&of(numbers), width));
        };
        holds(&mut cells, &mut backend, old);
        let values = column(new, width);
        for _ in 0..1 + usize::from(twice) {
            cells
                .put_slots(&access(&mut backend, batch(count)), &mut values.clone())
                .unwrap();
        }
        holds(&mut cells, &mut backend, new);
        let mut writes = Vec::new();
        cells.drain_into(STATE, &mut writes);
        let written = writes.pop().map(|(_, writes)| writes).unwrap_or_default();
        // What was written twice counts as changed.
        let changed = |key: &usize| old[*key] != new[*key];
        let expected: Vec<usize> = (0..count).filter(changed).collect();
        let keys: Vec<usize> = written.keys.iter().map(|&key| key as usize).collect();
        match twice {
            true => assert!(expected.iter().all(|key| keys.contains(key))),
            false => assert_eq!(&keys, &expected),
        }
        let numbers: Vec<u8> = keys.iter().map(|&key| new[key]).collect();
        assert_eq!(written.values, column(&numbers, width));
        cells.reset();
        assert!(!cells.all_read && cells.slots.is_empty());
    }

    #[test]
    fn what_was_read_in_another_order_is_compared_by_key() {
        for width in [3, 4, 8, 16] {
            let numbers = (&[1, 2, 3][..], &[9, 2, 8][..]);
            read_and_written(numbers, width, 1, (true, false));
        }
    }

    #[test]
    fn few_values_that_have_not_changed_are_written_and_not_many() {
        let count = 3 * FEW;
        let mut names = Column::new();
        (0..count as u32).for_each(|name| names.push(&name.to_le_bytes()));
        let (hashes, groups): (Vec<_>, Vec<_>) =
            names.iter().map(|name| (hash64(name), KeyGroup(0))).unzip();
        let batch = || KeyBatch {
            keys: names.view(),
            hashes: &hashes,
            groups: &groups,
        };
        // Widths of all ways to compare: numbers, words, and others; and some are not there.
        for (width, old) in [3, 4, 8, 16, 9]
            .into_iter()
            .flat_map(|it| [(it, 1), (it, 0)])
        {
            for same in 0..=5 {
                let old: Vec<u8> = (0..count).map(|key| old + (key % 2) as u8).collect();
                let mut new: Vec<u8> = old.iter().map(|number| number + 7).collect();
                (0..same).for_each(|key| new[31 * key] = old[31 * key]);
                let mut backend = heap(&batch(), &old, width);
                let (mut cells, mut read) = (Cells::default(), OptionalColumn::new());
                cells
                    .get(access(&mut backend, batch()), Which::All, &mut read)
                    .unwrap();
                let mut values = column(&new, width);
                cells
                    .put_slots(&access(&mut backend, batch()), &mut values)
                    .unwrap();
                let mut writes = Vec::new();
                cells.drain_into(STATE, &mut writes);
                let (_, written) = writes.pop().unwrap();
                let keys = if same <= 3 { count } else { count - same };
                assert_eq!(written.keys.len(), keys, "{same} of width {width}");
                let expected = written.keys.iter().map(|&key| new[key as usize]);
                let expected = column(&expected.collect::<Vec<_>>(), width);
                assert_eq!(written.values, expected);
            }
        }
    }

    proptest! {
        #[test]
        fn slots_are_written_where_another_value_was_read(
            pairs in vec((0..4u8, 0..4u8), 1..12),
            width in prop::sample::select(vec![1usize, 3, 4, 8, 9, 16]),
            // Often none is missing, or everything is another, and some come or go.
            from in prop::sample::select(vec![(0, 0), (1, 1), (1, 9), (0, 9), (9, 0)]),
            // The keys that a call begins with; the others come with a timer, say.
            begun in 1..12usize,
            how in any::<(bool, bool)>(),
        ) {
            let number = |&(old, new): &(u8, u8)| (from.0 + old, from.1 + new);
            let (old, new): (Vec<u8>, Vec<u8>) = pairs.iter().map(number).unzip();
            read_and_written((&old, &new), width, begun, how);
        }
    }
}
