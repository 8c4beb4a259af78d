//! The overlay of a map state: for each key whether its map was cleared, and the entries put or
//! removed since.
//!
//! INVARIANT: the rows of a key that count are the chain of its slot, each map key once, in order
//! of their first put: what comes in order is committed in order, which backends like. `index`
//! holds the rows of those keys that have too many to look at all of them. A row that a clear has
//! dropped is in neither.

use std::hash::{BuildHasher, Hasher};

use foldhash::fast::FixedState;
use hashbrown::HashTable;
use weir_model::{Column, ColumnView, OptionalColumn, same_key};

use super::Access;
use crate::{EntriesColumn, Error, MapWrites, StateIndex, Which, limits};

/// The end of a chain.
const NONE: u32 = u32::MAX;
/// How many entries of the backend a scan asks for at most at once.
const SCAN_PAGE: usize = 1024;
/// Of a key with so many rows all are looked at, for that takes less than to find one by its hash;
/// most calls put no more of a key. Our own tests do sooner.
const MAX_CHAIN: u32 = if cfg!(test) { 2 } else { 8 };
/// So many new rows are put into order one by one; for more all are sorted again.
const FEW: usize = 64;

/// What the call has done to the map of one key.
#[derive(Clone, Copy, Debug)]
struct Slot {
    dirty: bool,
    cleared: bool,
    first: u32,
    last: u32,
    /// How many rows count.
    rows: u32,
}

const UNTOUCHED: Slot = Slot {
    dirty: false,
    cleared: false,
    first: NONE,
    last: NONE,
    rows: 0,
};

/// An entry that the call put or removed. Its map key is the row of the same number in `map_keys`.
#[derive(Clone, Copy, Debug)]
struct Row {
    key: u32,
    next: u32,
    /// A row of `values`; absent = removed.
    value: u32,
}

/// Where the value of an entry comes from.
#[derive(Clone, Copy, Debug)]
enum From {
    Absent,
    Call(u32),
    Backend(u32),
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Maps {
    /// One a key, or none while the call has not written to the state.
    slots: Vec<Slot>,
    rows: Vec<Row>,
    map_keys: Column,
    values: OptionalColumn,
    index: HashTable<u32>,
    /// The keys written, in order of their first write.
    dirty: Vec<u32>,
    /// Whether some map was cleared.
    cleared: bool,
    /// The rows of one key in byte order of map keys, kept between the pages of a scan.
    sorted: Vec<u32>,
    sorted_key: Option<u32>,
    /// Rows of that key that are not in `sorted` yet.
    unsorted: Vec<u32>,
    plan: Vec<From>,
    wanted: Vec<u32>,
    wanted_map_keys: Column,
    base: OptionalColumn,
    base_entries: EntriesColumn,
    spare: MapWrites,
}

impl Maps {
    pub(super) fn get(
        &mut self,
        access: Access<'_>,
        which: Which<'_>,
        map_keys: ColumnView<'_>,
        out: &mut OptionalColumn,
    ) -> Result<(), Error> {
        if self.dirty.is_empty() {
            return access
                .backend
                .get_entries(access.state, &access.keys, which, map_keys, out);
        }
        self.plan(which, map_keys);
        limits::recycle(&mut self.base);
        if !self.wanted.is_empty() {
            access.backend.get_entries(
                access.state,
                &access.keys,
                Which::Some(&self.wanted),
                self.wanted_map_keys.view(),
                &mut self.base,
            )?;
        }
        let mut bytes = out.column().byte_len();
        for from in &self.plan {
            let value = match *from {
                From::Absent => None,
                From::Call(row) => self.values.get(row as usize),
                From::Backend(row) => self.base.get(row as usize),
            };
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
        map_keys: ColumnView<'_>,
        values: &OptionalColumn,
    ) -> Result<(), Error> {
        let what = "what a call wrote to one state";
        // Rows of values are never fewer than those of map keys.
        let rows = self.values.len() + values.len();
        let bytes = self.map_keys.byte_len() + map_keys.contents().len();
        limits::check_column(what, bytes, rows)?;
        let bytes = self.values.column().byte_len() + values.column().byte_len();
        limits::check_column(what, bytes, rows)?;
        self.touch(access);
        let first = self.values.len() as u32;
        self.values.extend_from(values);
        for ((position, map_key), value) in map_keys.iter().enumerate().zip(first..) {
            let key = which.get(position) as u32;
            self.mark(key);
            match self.find(key, map_key) {
                Ok(row) => self.rows[row as usize].value = value,
                Err(hash) => self.insert(key, map_key, value, hash),
            }
        }
        Ok(())
    }

    pub(super) fn clear(&mut self, access: &Access<'_>, keys: &[u32]) {
        self.touch(access);
        for &key in keys {
            self.mark(key);
            let slot = &mut self.slots[key as usize];
            slot.cleared = true;
            self.cleared = true;
            let is_indexed = std::mem::take(&mut slot.rows) > MAX_CHAIN;
            let mut row = std::mem::replace(&mut slot.first, NONE);
            while is_indexed && row != NONE {
                let hash = self.hash_of(row);
                if let Ok(entry) = self.index.find_entry(hash, |&other| other == row) {
                    entry.remove();
                }
                row = self.rows[row as usize].next;
            }
            if self.sorted_key == Some(key) {
                self.sorted_key = None;
            }
        }
    }

    pub(super) fn scan(
        &mut self,
        access: Access<'_>,
        key: u32,
        after: Option<&[u8]>,
        limit: usize,
        out: &mut EntriesColumn,
    ) -> Result<(), Error> {
        let slot = self.slots.get(key as usize).copied().unwrap_or(UNTOUCHED);
        if !slot.dirty {
            let (state, keys) = (access.state, &access.keys);
            return access
                .backend
                .scan_entries(state, keys, key, after, limit, out);
        }
        self.sort(key);
        let mut own = self.sorted.partition_point(|&row| {
            after.is_some_and(|after| self.map_keys.get(row as usize) <= after)
        });
        let mut token: Option<Vec<u8>> = after.map(<[u8]>::to_vec);
        let mut left = limit;
        let mut exhausted = slot.cleared;
        // Where the call has removed what comes first, many entries may have to be passed.
        let mut ahead = 1;
        loop {
            limits::recycle(&mut self.base_entries);
            if !exhausted && left > 0 {
                let page = left.max(ahead).min(SCAN_PAGE);
                let read = access.backend.scan_entries(
                    access.state,
                    &access.keys,
                    key,
                    token.as_deref(),
                    page,
                    &mut self.base_entries,
                );
                if let Err(Error::TooLarge { .. }) = read
                    && page > left
                {
                    // Nobody asked for so much.
                    ahead = 1;
                    continue;
                }
                read?;
                exhausted = self.base_entries.keys.len() < page;
                ahead = (ahead * 2).min(SCAN_PAGE);
            }
            own += self.merge(own, exhausted, &mut left, out)?;
            if left == 0 || exhausted {
                return Ok(());
            }
            if let Some(last) = self.base_entries.keys.len().checked_sub(1) {
                token = Some(self.base_entries.keys.get(last).to_vec());
            }
        }
    }

    /// Moves the writes of the call to `writes`.
    pub(super) fn drain_into(
        &mut self,
        state: StateIndex,
        writes: &mut Vec<(StateIndex, MapWrites)>,
    ) {
        if self.dirty.is_empty() {
            return;
        }
        let mut out = std::mem::take(&mut self.spare);
        if self.is_in_order() {
            out.keys.extend(self.rows.iter().map(|row| row.key));
            std::mem::swap(&mut out.map_keys, &mut self.map_keys);
            std::mem::swap(&mut out.values, &mut self.values);
            writes.push((state, out));
            return;
        }
        for &key in &self.dirty {
            let slot = self.slots[key as usize];
            if slot.cleared {
                out.clear.push(key);
            }
            let mut row = slot.first;
            while row != NONE {
                let entry = self.rows[row as usize];
                let value = self.values.get(entry.value as usize);
                // Nothing need be removed from a map that is cleared first.
                if value.is_some() || !slot.cleared {
                    out.keys.push(key);
                    out.map_keys.push(self.map_keys.get(row as usize));
                    out.values.push(value);
                }
                row = entry.next;
            }
        }
        writes.push((state, out));
    }

    /// Whether all rows count, each has the value of the same number, and those of a key follow
    /// each other: then the keys do so in order of their first write. Most calls write so.
    fn is_in_order(&self) -> bool {
        let in_order = |in_order, (row, behind): (&Row, u32)| {
            in_order & ((row.next == NONE) | (row.next == behind))
        };
        !self.cleared
            && self.values.len() == self.rows.len()
            && self.rows.iter().zip(1..).fold(true, in_order)
    }

    /// Takes back the buffers of a commit.
    pub(super) fn reclaim(&mut self, mut buffers: MapWrites) {
        limits::recycle(&mut buffers.clear);
        limits::recycle(&mut buffers.keys);
        limits::recycle(&mut buffers.map_keys);
        limits::recycle(&mut buffers.values);
        self.spare = buffers;
    }

    /// The call has so many keys now.
    pub(super) fn widen(&mut self, keys: usize) {
        if !self.slots.is_empty() {
            self.slots.resize(keys, UNTOUCHED);
        }
    }

    pub(super) fn reset(&mut self) {
        if self.slots.is_empty() {
            return;
        }
        limits::recycle(&mut self.slots);
        limits::recycle(&mut self.rows);
        limits::recycle(&mut self.map_keys);
        limits::recycle(&mut self.values);
        limits::recycle_index(&mut self.index);
        limits::recycle(&mut self.dirty);
        self.cleared = false;
        limits::recycle(&mut self.sorted);
        limits::recycle(&mut self.unsorted);
        self.sorted_key = None;
        limits::recycle(&mut self.base);
        limits::recycle(&mut self.base_entries);
    }

    fn touch(&mut self, access: &Access<'_>) {
        if self.slots.is_empty() {
            self.slots.resize(access.keys.keys.len(), UNTOUCHED);
        }
    }

    fn mark(&mut self, key: u32) {
        let slot = &mut self.slots[key as usize];
        if !slot.dirty {
            slot.dirty = true;
            self.dirty.push(key);
        }
    }

    /// The row of an entry; if there is none its hash, where that was needed to know.
    fn find(&self, key: u32, map_key: &[u8]) -> Result<u32, Option<u64>> {
        let Slot { first, rows, .. } = self.slots[key as usize];
        if rows > MAX_CHAIN {
            let same = |&row: &u32| {
                self.rows[row as usize].key == key && self.map_keys.get(row as usize) == map_key
            };
            let hash = hash(key, map_key);
            return self.index.find(hash, same).copied().ok_or(Some(hash));
        }
        let mut row = first;
        while row != NONE && !same_key(self.map_keys.get(row as usize), map_key) {
            row = self.rows[row as usize].next;
        }
        (row != NONE).then_some(row).ok_or(None)
    }

    /// Adds a row for an entry that was not found.
    fn insert(&mut self, key: u32, map_key: &[u8], value: u32, hash: Option<u64>) {
        let row = self.rows.len() as u32;
        let slot = &mut self.slots[key as usize];
        if slot.first == NONE {
            slot.first = row;
        } else {
            self.rows[slot.last as usize].next = row;
        }
        slot.last = row;
        slot.rows += 1;
        let Slot { first, rows, .. } = *slot;
        self.rows.push(Row {
            key,
            next: NONE,
            value,
        });
        self.map_keys.push(map_key);
        if let Some(hash) = hash {
            self.add_to_index(row, hash);
        } else if rows > MAX_CHAIN {
            // From now on they are found by their hashes.
            let mut row = first;
            while row != NONE {
                self.add_to_index(row, self.hash_of(row));
                row = self.rows[row as usize].next;
            }
        }
        if self.sorted_key == Some(key) {
            self.unsorted.push(row);
        }
    }

    fn add_to_index(&mut self, row: u32, hash: u64) {
        // Taken out, for what is in it is hashed again when it grows.
        let mut index = std::mem::take(&mut self.index);
        index.insert_unique(hash, row, |&row| self.hash_of(row));
        self.index = index;
    }

    fn hash_of(&self, row: u32) -> u64 {
        hash(self.rows[row as usize].key, self.map_keys.get(row as usize))
    }

    /// Says for each entry where its value comes from, and gathers what the backend is asked for.
    fn plan(&mut self, which: Which<'_>, map_keys: ColumnView<'_>) {
        limits::recycle(&mut self.plan);
        limits::recycle(&mut self.wanted);
        limits::recycle(&mut self.wanted_map_keys);
        for (position, map_key) in map_keys.iter().enumerate() {
            let key = which.get(position) as u32;
            let slot = self.slots[key as usize];
            let own = self.find(key, map_key).ok();
            let from = match own {
                Some(row) => From::Call(self.rows[row as usize].value),
                None if slot.cleared => From::Absent,
                None => {
                    self.wanted.push(key);
                    self.wanted_map_keys.push(map_key);
                    From::Backend(self.wanted.len() as u32 - 1)
                }
            };
            self.plan.push(from);
        }
    }

    /// Brings the rows of a key that was written into byte order, unless they are.
    fn sort(&mut self, key: u32) {
        let map_keys = &self.map_keys;
        if self.sorted_key == Some(key) && self.unsorted.len() <= FEW {
            for row in self.unsorted.drain(..) {
                let map_key = map_keys.get(row as usize);
                let before = |&other: &u32| map_keys.get(other as usize) < map_key;
                let at = self.sorted.partition_point(before);
                self.sorted.insert(at, row);
            }
            return;
        }
        limits::recycle(&mut self.unsorted);
        limits::recycle(&mut self.sorted);
        let mut row = self.slots[key as usize].first;
        while row != NONE {
            self.sorted.push(row);
            row = self.rows[row as usize].next;
        }
        self.sorted
            .sort_unstable_by(|&a, &b| map_keys.get(a as usize).cmp(map_keys.get(b as usize)));
        self.sorted_key = Some(key);
    }

    /// Merges the call's rows from `own` on with the page of the backend in hand, until `left` is
    /// used up, or the page is and more may follow; gives back how many of the rows were used.
    fn merge(
        &self,
        own: usize,
        exhausted: bool,
        left: &mut usize,
        out: &mut EntriesColumn,
    ) -> Result<usize, Error> {
        let base = &self.base_entries;
        let mut used = 0;
        let mut i = 0;
        while *left > 0 {
            let ours = self.sorted.get(own + used).map(|&row| row as usize);
            let our_key = ours.map(|row| self.map_keys.get(row));
            let their_key = (i < base.keys.len()).then(|| base.keys.get(i));
            let value = match (our_key, their_key) {
                (None, None) => break,
                (Some(_), None) if !exhausted => break,
                (Some(our), Some(their)) if our > their => None,
                (None, Some(_)) => None,
                (Some(_), None | Some(_)) => ours,
            };
            let (map_key, value) = match value {
                Some(row) => {
                    used += 1;
                    i += usize::from(our_key == their_key);
                    let value = self.values.get(self.rows[row].value as usize);
                    (self.map_keys.get(row), value)
                }
                None => {
                    i += 1;
                    (base.keys.get(i - 1), Some(base.values.get(i - 1)))
                }
            };
            if let Some(value) = value {
                push(out, map_key, value)?;
                *left -= 1;
            }
        }
        Ok(used)
    }
}

fn push(out: &mut EntriesColumn, map_key: &[u8], value: &[u8]) -> Result<(), Error> {
    let bytes = (out.keys.byte_len() + map_key.len()).max(out.values.byte_len() + value.len());
    limits::check_column("the column of entries", bytes, out.keys.len() + 1)?;
    out.keys.push(map_key);
    out.values.push(value);
    Ok(())
}

fn hash(key: u32, map_key: &[u8]) -> u64 {
    // The seed is fixed: a call must run the same every time.
    let mut hasher = FixedState::with_seed(u64::from(key)).build_hasher();
    hasher.write(map_key);
    hasher.finish()
}
