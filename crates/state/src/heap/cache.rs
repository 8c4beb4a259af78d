//! Cells in memory before a slower store: what was read from it last, and what was written and it
//! does not have yet. A short list is a cell as well (`lists.rs`).
//!
//! The table is that of the heap, so look-ups of a column overlap their cache misses, and what is
//! to be stored is frozen in microseconds and written out beside the data path.
//!
//! INVARIANT: what the store does not have was changed after the epoch `stored`, and is here. The
//! other way round it may err: what was not changed for 256 epochs may be stored once too often.

mod lists;

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use weir_model::{KeyGroup, KeyGroupRange, OptionalColumn};

use super::{
    page::Page,
    snapshot::{Sorted, records},
    table::{Probed, Table},
};
use crate::{Error, KeyBatch, ValueWrites, Which};

pub use lists::SortedLists;

/// A page is let go of as a whole, so there are more of them than a table has else: each costs a
/// snapshot some 100 ns.
const PAGES: usize = 128;

/// What takes cells in order of key group and key: `None` = there is no value.
pub type PutCell<'a> = dyn FnMut(KeyGroup, &[u8], Option<&[u8]>) -> Result<(), Error> + 'a;

/// See the module.
#[derive(Debug)]
pub struct CellCache {
    values: Table,
    /// The keys that have no value in spite of what the store says.
    gone: Table,
    gone_keys: i64,
    entries: i64,
    epoch: u64,
    stored: Arc<AtomicU64>,
    /// The page whose turn it is to go.
    turn: usize,
    probed: Probed,
    /// Whether the cells are lists.
    of_lists: bool,
    /// Of each page whether the store has nothing of a key of which nothing is here, not even that
    /// it has no value.
    whole: Vec<bool>,
    scratch: Vec<u8>,
}

/// What a store lacks of the cells of a moment.
#[derive(Debug)]
pub struct FrozenCells {
    /// In reverse order, each with its keys that have no value.
    pages: Vec<(Arc<Page>, Arc<Page>)>,
    since: u64,
    epoch: u64,
    stored: Arc<AtomicU64>,
    of_lists: bool,
}

impl CellCache {
    /// Nothing, of keys of these key groups.
    #[must_use]
    pub fn new(range: KeyGroupRange) -> Self {
        Self::with(range, false)
    }

    fn with(range: KeyGroupRange, of_lists: bool) -> Self {
        // Not 0: that is the mark of what nobody has changed.
        let epoch = 1;
        let table = |tagged| Table::with_pages(range, PAGES, tagged, epoch);
        Self {
            values: table(of_lists),
            gone: table(false),
            gone_keys: 0,
            entries: 0,
            epoch,
            stored: Arc::new(AtomicU64::new(0)),
            turn: 0,
            probed: Probed::default(),
            of_lists,
            whole: vec![false; table(false).page_count()],
            scratch: Vec::new(),
        }
    }

    /// Says whether the store has nothing of keys of which nothing is here: it is empty when it is
    /// made, say. As long as that is so, nobody has to ask it. It ends by itself for a page of
    /// which something is let go of.
    pub fn set_whole(&mut self, is_whole: bool) {
        self.whole.fill(is_whole);
    }

    /// Whether the store has nothing of the keys of a key group of which nothing is here.
    fn is_whole_of(&self, group: KeyGroup) -> bool {
        self.whole[self.values.page_of(group)]
    }

    /// Appends the value of each key to `out`, and to `missing` the position in the access of each
    /// key that nothing is known of.
    ///
    /// # Errors
    /// [`Error::TooLarge`] where the values are too much for one column.
    pub fn get(
        &mut self,
        keys: &KeyBatch<'_>,
        which: Which<'_>,
        out: &mut OptionalColumn,
        missing: &mut Vec<u32>,
    ) -> Result<(), Error> {
        let first = out.len();
        self.values.get(keys, which, &mut self.probed, out)?;
        for position in 0..out.len() - first {
            let key = which.get(position);
            if out.present()[first + position] == 0
                && !self.is_whole_of(keys.groups[key])
                && !self.is_gone(keys, key)
            {
                missing.push(position as u32);
            }
        }
        Ok(())
    }

    /// Keeps values that were just read from the store, of the keys with these indices. Of keys
    /// that are known it is nothing new.
    pub fn remember(&mut self, keys: &KeyBatch<'_>, which: &[u32], values: &OptionalColumn) {
        self.thaw();
        let mark = self.stored.load(Ordering::Acquire) as u8;
        for (&key, value) in which.iter().zip(values.iter()) {
            let Some(value) = value else { continue };
            let key = key as usize;
            let (group, hash) = (keys.groups[key], keys.hashes[key]);
            let segment = self.values.segment_mut(group, hash);
            if segment.remember(hash, group.0, mark, keys.keys.get(key), value) {
                self.values.split_if_due(group, hash);
                self.entries += 1;
            }
        }
    }

    /// Takes what a call wrote, which was checked.
    pub fn put(&mut self, keys: &KeyBatch<'_>, writes: &ValueWrites) {
        self.thaw();
        self.entries += self.values.apply(keys, writes, &mut self.probed);
        self.probed.recycle();
        if self.gone_keys == 0 && !writes.values.present().contains(&0) {
            return;
        }
        for (&key, value) in writes.keys.iter().zip(writes.values.iter()) {
            let key = key as usize;
            let (group, hash, bytes) = (keys.groups[key], keys.hashes[key], keys.keys.get(key));
            if value.is_some() {
                self.gone_keys -= i64::from(self.gone.remove(group, hash, bytes));
            } else {
                let segment = self.gone.segment_mut(group, hash);
                self.gone_keys += i64::from(segment.put(hash, group.0, bytes, &[]));
                self.gone.split_if_due(group, hash);
            }
        }
    }

    /// Lets go of what is here of some keys, for the store has something newer, or will have.
    pub fn forget(&mut self, keys: &KeyBatch<'_>, which: &[u32]) {
        self.thaw();
        for &key in which {
            let key = key as usize;
            let (group, hash, bytes) = (keys.groups[key], keys.hashes[key], keys.keys.get(key));
            self.whole[self.values.page_of(group)] = false;
            self.entries -= i64::from(self.values.remove(group, hash, bytes));
            if self.gone_keys > 0 {
                self.gone_keys -= i64::from(self.gone.remove(group, hash, bytes));
            }
        }
    }

    /// How many values there are.
    #[must_use]
    pub fn entries(&self) -> u64 {
        self.entries.unsigned_abs()
    }

    /// How many pages there are, that go one after the other.
    #[must_use]
    pub fn pages(&self) -> usize {
        self.values.page_count()
    }

    /// The bytes that are held, with what is frozen and was changed since.
    pub fn memory(&mut self) -> usize {
        self.thaw();
        self.values.held() + self.gone.held()
    }

    /// Freezes what the store does not have now.
    pub fn freeze(&mut self) -> FrozenCells {
        let values = self.values.freeze().into_iter();
        let pages = values.zip(self.gone.freeze());
        let pages = pages.map(|((_, values), (_, gone))| (values, gone));
        let frozen = FrozenCells {
            pages: pages.rev().collect(),
            since: self.stored.load(Ordering::Acquire),
            epoch: self.epoch,
            stored: Arc::clone(&self.stored),
            of_lists: self.of_lists,
        };
        self.epoch += 1;
        self.values.enter(self.epoch);
        self.gone.enter(self.epoch);
        frozen
    }

    /// Gives to `put` what the store does not have of the page whose turn it is to go. Nothing
    /// frozen may be on its way to the store.
    ///
    /// # Errors
    /// What `put` gives.
    pub fn write_page(&mut self, put: &mut PutCell<'_>) -> Result<(), Error> {
        let since = (self.stored.load(Ordering::Acquire), self.epoch);
        match (self.values.page(self.turn), self.gone.page(self.turn)) {
            (Some(values), Some(gone)) => write(values, gone, since, self.of_lists, put),
            (None, _) | (_, None) => Ok(()),
        }
    }

    /// Lets go of that page, for the store has all of it.
    pub fn drop_page(&mut self) {
        self.empty(self.turn);
        self.turn = (self.turn + 1) % self.pages();
    }

    /// Lets go of what is here of a key group, and of some others: the store has something newer,
    /// or will have. The group is in the range.
    pub fn forget_group(&mut self, group: KeyGroup) {
        self.empty(self.values.page_of(group));
    }

    fn empty(&mut self, page: usize) {
        self.whole[page] = false;
        let values = self.values.empty(page, self.of_lists, self.epoch);
        self.entries -= values as i64;
        self.gone_keys -= self.gone.empty(page, false, self.epoch) as i64;
    }

    /// Takes back what nobody writes out any more.
    fn thaw(&mut self) {
        self.values.thaw();
        self.gone.thaw();
    }

    fn is_gone(&self, keys: &KeyBatch<'_>, key: usize) -> bool {
        self.gone_keys > 0 && {
            let segment = self.gone.segment(keys.groups[key], keys.hashes[key]);
            segment.is_some_and(|s| s.find(keys.hashes[key], keys.keys.get(key)).is_some())
        }
    }
}

impl FrozenCells {
    /// How many cells there are.
    #[must_use]
    pub fn count(&self) -> usize {
        let of = |page: &Page| {
            let segments = page.segments().filter(|s| s.epoch() > self.since);
            let count = segments.map(|s| {
                let changed = |&at: &_| s.changed_since(at, self.since, self.epoch);
                s.records().filter(changed).count()
            });
            count.sum::<usize>()
        };
        let pages = self.pages.iter();
        pages.map(|(values, gone)| of(values) + of(gone)).sum()
    }

    /// Gives them to `put`. Each page is let go of as soon as it is written.
    ///
    /// # Errors
    /// What `put` gives.
    pub fn write(&mut self, put: &mut PutCell<'_>) -> Result<(), Error> {
        while let Some((values, gone)) = self.pages.pop() {
            let since = (self.since, self.epoch);
            write(&values, &gone, since, self.of_lists, put)?;
        }
        Ok(())
    }

    /// The store has them now.
    pub fn stored(self) {
        self.stored.fetch_max(self.epoch, Ordering::AcqRel);
    }
}

/// Gives to `put` what was changed in a page after the epoch `since`, when the epoch is `now`.
fn write(
    values: &Page,
    gone: &Page,
    (since, now): (u64, u64),
    of_lists: bool,
    put: &mut PutCell<'_>,
) -> Result<(), Error> {
    let changed = |page| {
        records(page, |segment, at| {
            segment.epoch() > since && segment.changed_since(at, since, now)
        })
    };
    let group = |record: &Sorted<'_>| KeyGroup(record.group);
    let gone = changed(gone);
    let mut gone = gone.iter().peekable();
    for record in &changed(values) {
        while let Some(gone) = gone.next_if(|gone| gone.cmp(record).is_lt()) {
            put(group(gone), gone.key(), None)?;
        }
        let value = record.segment.value(record.at);
        let value = match of_lists {
            true => lists::run_of(value),
            false => Some(value),
        };
        put(group(record), record.key(), value)?;
    }
    gone.try_for_each(|gone| put(group(gone), gone.key(), None))
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use proptest::{collection::vec, prelude::*};
    use weir_model::{Column, MaxParallelism, hash64};

    use super::*;

    /// What one step does: a key is below 60.
    #[derive(Clone, Debug)]
    enum Step {
        Put(Vec<(u8, Option<u8>)>),
        /// Reads keys, and remembers what the store has of them.
        Read(Vec<u8>),
        /// The same, and writes them as a call does that has read them.
        Update(Vec<u8>, u8),
        Freeze,
        /// The oldest frozen cells are stored, or given up.
        Write(bool),
        /// A page gives way, with all that is frozen stored before.
        Evict,
        /// The store gets the value of a key at once, and what is here of it is let go of.
        Forget(u8, u8),
    }

    pub(super) type Store = BTreeMap<(KeyGroup, Vec<u8>), Vec<u8>>;

    pub(super) struct Keys {
        keys: Column,
        hashes: Vec<u64>,
        groups: Vec<KeyGroup>,
    }

    fn key_of(n: u8) -> Vec<u8> {
        vec![n; usize::from(n % 4) + 1]
    }

    impl Keys {
        pub(super) fn of(numbers: impl IntoIterator<Item = u8>) -> Self {
            let mut keys = Column::new();
            numbers.into_iter().for_each(|n| keys.push(&key_of(n)));
            let max = MaxParallelism::new(9).unwrap();
            let hashes: Vec<u64> = keys.iter().map(hash64).collect();
            let groups = hashes.iter().map(|&hash| max.key_group_of(hash)).collect();
            Self {
                keys,
                hashes,
                groups,
            }
        }

        pub(super) fn batch(&self) -> KeyBatch<'_> {
            KeyBatch {
                keys: self.keys.view(),
                hashes: &self.hashes,
                groups: &self.groups,
            }
        }

        pub(super) fn stored(&self, key: usize) -> (KeyGroup, Vec<u8>) {
            (self.groups[key], self.keys.get(key).to_vec())
        }
    }

    pub(super) fn all() -> KeyGroupRange {
        KeyGroupRange {
            start: KeyGroup(0),
            end: KeyGroup(8),
        }
    }

    /// A store that takes cells, and checks that they come in order.
    pub(super) fn take<'a>(
        store: &'a mut Store,
    ) -> impl FnMut(KeyGroup, &[u8], Option<&[u8]>) -> Result<(), Error> + 'a {
        let mut last = None;
        move |group, key, value| {
            let here = Some((group, key.to_vec()));
            assert!(last < here, "{here:?} after {last:?}");
            last.clone_from(&here);
            match value {
                Some(value) => drop(store.insert((group, key.to_vec()), value.to_vec())),
                None => drop(store.remove(&(group, key.to_vec()))),
            }
            Ok(())
        }
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            4 => vec((0..60u8, any::<Option<u8>>()), 1..30).prop_map(Step::Put),
            3 => vec(0..60u8, 1..30).prop_map(Step::Read),
            3 => (vec(0..60u8, 1..30), any::<u8>()).prop_map(|(k, v)| Step::Update(k, v)),
            2 => Just(Step::Freeze),
            2 => any::<bool>().prop_map(Step::Write),
            2 => Just(Step::Evict),
            1 => (0..60u8, any::<u8>()).prop_map(|(k, v)| Step::Forget(k, v)),
        ]
    }

    /// What is frozen is stored.
    fn settle(frozen: &mut Vec<(FrozenCells, Store)>, store: &mut Store) {
        for (mut cells, _) in frozen.drain(..) {
            cells.write(&mut take(store)).unwrap();
            cells.stored();
        }
    }

    fn write(cache: &mut CellCache, keys: &[(u8, Option<u8>)], model: &mut Store) {
        let last: BTreeMap<u8, Option<u8>> = keys.iter().copied().collect();
        let keys = Keys::of(last.keys().copied());
        let mut writes = ValueWrites::default();
        for (at, value) in (0..).zip(last.values()) {
            writes.keys.push(at);
            writes.values.push(value.as_ref().map(std::slice::from_ref));
            match value {
                Some(value) => drop(model.insert(keys.stored(at as usize), vec![*value])),
                None => drop(model.remove(&keys.stored(at as usize))),
            }
        }
        cache.put(&keys.batch(), &writes);
    }

    fn read(cache: &mut CellCache, numbers: &[u8], store: &Store, model: &Store) {
        let keys = Keys::of(numbers.iter().copied());
        let (mut found, mut missing) = (OptionalColumn::new(), Vec::new());
        cache
            .get(&keys.batch(), Which::All, &mut found, &mut missing)
            .unwrap();
        let mut values = OptionalColumn::new();
        for &at in &missing {
            assert_eq!(found.get(at as usize), None);
            values.push(store.get(&keys.stored(at as usize)).map(Vec::as_slice));
        }
        let mut from_store = missing.iter().zip(values.iter()).peekable();
        for (at, value) in (0..).zip(found.iter()) {
            let stored = from_store.next_if(|&(&missing, _)| missing == at);
            let value = stored.map_or(value, |(_, value)| value);
            let expected = model.get(&keys.stored(at as usize)).map(Vec::as_slice);
            assert_eq!(value, expected, "key {}", numbers[at as usize]);
        }
        drop(from_store);
        cache.remember(&keys.batch(), &missing, &values);
    }

    proptest! {
        #[test]
        fn a_cache_and_its_store_tell_what_was_written(
            steps in vec(step(), 1..60),
            is_whole in any::<bool>(),
        ) {
            let mut cache = CellCache::new(all());
            cache.set_whole(is_whole);
            let (mut store, mut model) = (Store::new(), Store::new());
            // What was frozen, and what was there then.
            let mut frozen: Vec<(FrozenCells, Store)> = Vec::new();
            for step in steps {
                match step {
                    Step::Put(writes) => write(&mut cache, &writes, &mut model),
                    Step::Read(numbers) => read(&mut cache, &numbers, &store, &model),
                    Step::Update(numbers, value) => {
                        // In the order in which they are written.
                        let numbers: BTreeSet<u8> = numbers.into_iter().collect();
                        let numbers: Vec<u8> = numbers.into_iter().collect();
                        read(&mut cache, &numbers, &store, &model);
                        let writes = numbers.iter().map(|&key| (key, Some(value)));
                        write(&mut cache, &writes.collect::<Vec<_>>(), &mut model);
                    }
                    Step::Freeze => frozen.push((cache.freeze(), model.clone())),
                    Step::Write(kept) if !frozen.is_empty() => {
                        let (mut cells, then) = frozen.remove(0);
                        if kept {
                            let count = cells.count();
                            let mut told = 0;
                            let mut put = take(&mut store);
                            cells
                                .write(&mut |group, key, value| {
                                    told += 1;
                                    put(group, key, value)
                                })
                                .unwrap();
                            drop(put);
                            prop_assert_eq!(told, count);
                            cells.stored();
                            prop_assert_eq!(&store, &then, "the store is what was there");
                        }
                    }
                    Step::Write(_) => {}
                    Step::Evict => {
                        settle(&mut frozen, &mut store);
                        cache.write_page(&mut take(&mut store)).unwrap();
                        cache.drop_page();
                    }
                    Step::Forget(number, value) => {
                        settle(&mut frozen, &mut store);
                        let keys = Keys::of([number]);
                        store.insert(keys.stored(0), vec![value]);
                        model.insert(keys.stored(0), vec![value]);
                        cache.forget(&keys.batch(), &[0]);
                    }
                }
                read(&mut cache, &(0..60).collect::<Vec<u8>>(), &store, &model);
            }
            drop(frozen);
            for _ in 0..cache.pages() {
                cache.write_page(&mut take(&mut store)).unwrap();
                cache.drop_page();
            }
            prop_assert_eq!(cache.entries(), 0);
            prop_assert_eq!(store, model);
        }
    }

    #[test]
    fn of_a_whole_cache_only_what_is_let_go_of_is_asked_for() {
        let mut cache = CellCache::new(all());
        let keys = Keys::of(0..60);
        let missing = |cache: &mut CellCache| {
            let (mut found, mut missing) = (OptionalColumn::new(), Vec::new());
            let batch = keys.batch();
            cache
                .get(&batch, Which::All, &mut found, &mut missing)
                .unwrap();
            missing
        };
        assert_eq!(missing(&mut cache).len(), 60);
        cache.set_whole(true);
        assert!(missing(&mut cache).is_empty());
        cache.forget(&keys.batch(), &[]);
        assert!(missing(&mut cache).is_empty());
        cache.forget(&keys.batch(), &[7]);
        let page = cache.values.page_of(keys.groups[7]);
        let is_there = |&key: &u32| cache.values.page_of(keys.groups[key as usize]) == page;
        let others: Vec<u32> = (0..60).filter(is_there).collect();
        assert!(others.contains(&7) && others.len() < 30);
        assert_eq!(missing(&mut cache), others);
        cache.set_whole(false);
        assert_eq!(missing(&mut cache).len(), 60);
    }

    #[test]
    fn what_was_read_or_stored_is_not_stored_again() {
        let mut cache = CellCache::new(all());
        let mut model = Store::new();
        write(&mut cache, &[(1, Some(1)), (2, None)], &mut model);
        let mut cells = cache.freeze();
        assert_eq!(cells.count(), 2);
        let mut store = Store::new();
        cells.write(&mut take(&mut store)).unwrap();
        cells.stored();
        assert_eq!(cache.freeze().count(), 0);
        store.insert(Keys::of([3]).stored(0), vec![3]);
        model.clone_from(&store);
        read(&mut cache, &[1, 2, 3], &store, &model);
        assert_eq!((cache.freeze().count(), cache.entries()), (0, 2));
        write(&mut cache, &[(3, Some(4))], &mut model);
        assert_eq!(cache.freeze().count(), 1);
    }

    #[test]
    fn what_is_held_is_counted_and_given_back_by_the_page() {
        let mut cache = CellCache::new(all());
        let empty = cache.memory();
        let keys = Keys::of(0..60);
        let large = [7; 10_000];
        let mut writes = ValueWrites::default();
        for key in 0..60 {
            writes.keys.push(key);
            writes.values.push(Some(&large));
        }
        cache.put(&keys.batch(), &writes);
        let full = cache.memory();
        assert!(full - empty > 600_000, "{full} after {empty}");
        let frozen = cache.freeze();
        cache.put(&keys.batch(), &writes);
        assert!(cache.memory() > full + 600_000, "what is frozen counts");
        drop(frozen);
        assert!(cache.memory() < full + full / 2, "it was given back");
        let before = cache.memory();
        cache.drop_page();
        assert!(cache.memory() < before && cache.entries() < 60);
        (1..cache.pages()).for_each(|_| cache.drop_page());
        assert_eq!((cache.memory(), cache.entries()), (empty, 0));
    }
}
