//! Short lists in the cache: each a cell whose value is its run of elements.
//!
//! A list comes here when it was read from the store or replaced, for then all of it is known; what
//! is appended to it from then on stays here. What is appended to a list that nothing is known of
//! goes to the store unread, and so does a list that has become long: of such nothing is kept here.
//! Where the cache is whole it is known of each list that is not here that there is none.
//!
//! INVARIANT: a list that is here is here whole, a tag and its run. That of a list without elements
//! is empty: so it is known that the store has none, and the next append need not ask.

use std::{convert::Infallible, ops::Range, sync::atomic::Ordering};

use weir_model::KeyGroupRange;

use super::{
    super::{list, segment::INLINE},
    CellCache,
};
use crate::{
    Error, KeyBatch, ListWrites, NestedColumn, Which, limits,
    rows::{self, Reader},
};

/// Lists of up to about so many bytes are kept: each append copies no more, and neither does a
/// checkpoint for it.
const MAX_RUN: usize = 1024;
/// A length before an element takes no more bytes.
const LENGTH_BYTES: usize = 5;

/// What a call wrote to lists, sorted by whether it stays in the cache.
#[derive(Debug, Default)]
pub struct SortedLists {
    /// All of it stays: then the rest is empty.
    pub all_here: bool,
    /// What stays.
    pub here: ListWrites,
    /// What goes to the store. Of these lists nothing stays here: one that was here is whole.
    pub to_store: ListWrites,
}

impl SortedLists {
    /// Forgets what was sorted, and keeps the memory.
    fn clear(&mut self) {
        self.all_here = true;
        for writes in [&mut self.here, &mut self.to_store] {
            limits::recycle(&mut writes.keys);
            limits::recycle(&mut writes.replace);
            limits::recycle(&mut writes.lists);
        }
    }
}

/// Where the writes to one list go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Goes {
    Here,
    ToStore,
    /// With all that is here of it.
    WholeToStore,
}

impl CellCache {
    /// Nothing, of lists of keys of these key groups.
    #[must_use]
    pub fn of_lists(range: KeyGroupRange) -> Self {
        Self::with(range, true)
    }

    /// Appends the list of each key to `out`, and to `missing` the position in the access of each
    /// key that nothing is known of.
    ///
    /// # Errors
    /// [`Error::TooLarge`] where the lists are too much for one column.
    pub fn get_lists(
        &mut self,
        keys: &KeyBatch<'_>,
        which: Which<'_>,
        out: &mut NestedColumn,
        missing: &mut Vec<u32>,
    ) -> Result<(), Error> {
        let (first, mut end) = (out.ends.len(), out.elements.len() as u32);
        list::get(&self.values, keys, which, &mut self.probed, out)?;
        for (position, &next) in out.ends[first..].iter().enumerate() {
            let (key, probed) = (which.get(position), &mut self.probed);
            if next == end
                && !self.whole[self.values.page_of(keys.groups[key])]
                && self.values.record(keys, key, probed, position).is_none()
            {
                missing.push(position as u32);
            }
            end = next;
        }
        Ok(())
    }

    /// Keeps lists that were just read from the store, of the keys with these indices: the last
    /// ones of `lists`. Of keys that are known it is nothing new.
    pub fn remember_lists(&mut self, keys: &KeyBatch<'_>, which: &[u32], lists: &NestedColumn) {
        self.thaw();
        let mark = self.stored.load(Ordering::Acquire) as u8;
        let first = lists.ends.len().saturating_sub(which.len());
        for (&key, list) in which.iter().zip(first..) {
            let elements = elements_of(lists, list);
            if most_bytes(lists, &elements) > MAX_RUN {
                continue;
            }
            encode(lists, elements, &mut self.scratch);
            let key = key as usize;
            let (group, hash) = (keys.groups[key], keys.hashes[key]);
            let segment = self.values.segment_mut(group, hash);
            if segment.remember(hash, group.0, mark, keys.keys.get(key), &self.scratch) {
                self.values.split_if_due(group, hash);
                self.entries += 1;
            }
        }
    }

    /// Sorts what a call wrote, which was checked; nothing is changed.
    pub fn sort_lists(
        &mut self,
        keys: &KeyBatch<'_>,
        writes: &ListWrites,
        sorted: &mut SortedLists,
    ) {
        sorted.clear();
        self.look_for(keys, writes);
        let rows = 0..writes.keys.len();
        sorted.all_here = rows
            .clone()
            .all(|row| self.goes(keys, writes, row) == Goes::Here);
        if sorted.all_here {
            return;
        }
        for row in rows {
            let goes = self.goes(keys, writes, row);
            let out = match goes {
                Goes::Here => &mut sorted.here,
                Goes::ToStore | Goes::WholeToStore => &mut sorted.to_store,
            };
            let key = writes.keys[row];
            if goes == Goes::WholeToStore
                && let Some((_, _, list)) =
                    self.values
                        .record(keys, key as usize, &mut self.probed, row)
            {
                let mut run = Reader::new(run_of(list).unwrap_or_default());
                while let Some(element) = run.bytes() {
                    out.lists.elements.push(element);
                }
            }
            for element in elements_of(&writes.lists, row) {
                out.lists.elements.push(writes.lists.elements.get(element));
            }
            out.keys.push(key);
            let replace = writes.replace[row] | u8::from(goes == Goes::WholeToStore);
            out.replace.push(replace);
            out.lists.ends.push(out.lists.elements.len() as u32);
        }
    }

    /// Takes what stays of a call's writes.
    pub fn put_lists(&mut self, keys: &KeyBatch<'_>, writes: &ListWrites) {
        self.thaw();
        self.look_for(keys, writes);
        // What finds room where its list is comes first: that moves no record, so what was found
        // before is still there.
        for (row, &key) in writes.keys.iter().enumerate() {
            let replace = writes.replace[row] != 0;
            let elements = elements_of(&writes.lists, row);
            if elements.is_empty() && !replace {
                self.probed.set_written(row);
                continue;
            }
            encode(&writes.lists, elements, &mut self.scratch);
            let (group, bytes) = (keys.groups[key as usize], keys.keys.get(key as usize));
            let run = &self.scratch[1..];
            self.values
                .write_in_place(group, &mut self.probed, row, |segment, at| {
                    let is_written = segment.has_value(at)
                        && match replace {
                            true => segment.splice_at(at, 1..segment.value(at).len(), run),
                            false => segment.append_at(at, bytes, run, usize::MAX),
                        };
                    is_written.then_some(0)
                });
        }
        for (row, &key) in writes.keys.iter().enumerate() {
            if !self.probed.is_written(row) {
                encode(
                    &writes.lists,
                    elements_of(&writes.lists, row),
                    &mut self.scratch,
                );
                self.put_list(keys, key as usize, writes.replace[row] != 0);
            }
        }
        self.probed.recycle();
    }

    /// Finds what is here of the lists that are written.
    fn look_for(&mut self, keys: &KeyBatch<'_>, writes: &ListWrites) {
        let which = Which::Some(&writes.keys);
        let found = self.values.each(
            keys,
            which,
            &mut self.probed,
            |_, _| Ok::<_, Infallible>(()),
        );
        let Ok(()) = found;
    }

    /// Where the writes of a row go, of lists that were looked for.
    fn goes(&mut self, keys: &KeyBatch<'_>, writes: &ListWrites, row: usize) -> Goes {
        let new = most_bytes(&writes.lists, &elements_of(&writes.lists, row));
        let key = writes.keys[row] as usize;
        let replace = writes.replace[row] != 0;
        let is_whole = self.is_whole_of(keys.groups[key]);
        let here = match replace {
            true => None,
            false => self.values.record(keys, key, &mut self.probed, row),
        };
        match here.map(|(_, _, list)| list.len()) {
            Some(old) if old + new > MAX_RUN => Goes::WholeToStore,
            None if new > MAX_RUN || (!replace && new > 0 && !is_whole) => Goes::ToStore,
            Some(_) | None => Goes::Here,
        }
    }

    /// Writes the list of one key, of which the scratch buffer has a tag and a run.
    fn put_list(&mut self, keys: &KeyBatch<'_>, key: usize, replace: bool) {
        let (group, hash, bytes) = (keys.groups[key], keys.hashes[key], keys.keys.get(key));
        let segment = self.values.segment_mut(group, hash);
        if !replace && segment.find(hash, bytes).is_some() {
            segment.append(hash, bytes, &self.scratch[1..]);
        } else if segment.put_growing(hash, group.0, bytes, &self.scratch) {
            self.entries += 1;
        }
        self.values.split_if_due(group, hash);
    }
}

/// The run of a list as it is here; `None` where it has no elements.
pub(super) fn run_of(value: &[u8]) -> Option<&[u8]> {
    value.get(1..).filter(|run| !run.is_empty())
}

/// Which of the elements are of a list.
fn elements_of(lists: &NestedColumn, list: usize) -> Range<usize> {
    let first = list.checked_sub(1).map_or(0, |before| lists.ends[before]);
    first as usize..lists.ends[list] as usize
}

/// How many bytes the run of these elements takes at most.
fn most_bytes(lists: &NestedColumn, elements: &Range<usize>) -> usize {
    let ends = lists.elements.ends();
    let end_before = |row: usize| row.checked_sub(1).map_or(0, |last| ends[last] as usize);
    end_before(elements.end) - end_before(elements.start) + elements.len() * LENGTH_BYTES
}

/// Writes a tag and these elements to `to`.
fn encode(lists: &NestedColumn, elements: Range<usize>, to: &mut Vec<u8>) {
    to.clear();
    to.push(INLINE);
    for element in elements {
        rows::put_bytes(to, lists.elements.get(element));
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::{collection::vec, prelude::*};

    use super::{
        super::{
            FrozenCells,
            tests::{Keys, Store, all, take},
        },
        *,
    };

    /// The lists that there should be: a list without elements is not there.
    type Lists = BTreeMap<u8, Vec<Vec<u8>>>;

    /// What a call does to the list of a key: appends elements of these lengths, or replaces it.
    type Write = (u8, bool, Vec<u16>);

    #[derive(Clone, Debug)]
    enum Step {
        Write(Vec<Write>),
        Read(Vec<u8>),
        Freeze,
        /// The oldest frozen lists are stored, or given up.
        Store(bool),
        /// A page gives way, with all that is frozen stored before.
        Evict,
    }

    /// A cache over a store, and what is frozen with what was there then.
    struct World {
        cache: CellCache,
        store: Store,
        lists: Lists,
        frozen: Vec<(FrozenCells, Lists)>,
        sorted: SortedLists,
    }

    fn step() -> impl Strategy<Value = Step> {
        // Few elements do, and some lists become long by many.
        let len = prop_oneof![6 => 0..20_u16, 1 => 100..1100_u16];
        let write = (0..40_u8, any::<bool>(), vec(len, 0..4));
        prop_oneof![
            5 => vec(write, 1..20).prop_map(Step::Write),
            3 => vec(0..40_u8, 1..20).prop_map(Step::Read),
            2 => Just(Step::Freeze),
            2 => any::<bool>().prop_map(Step::Store),
            2 => Just(Step::Evict),
        ]
    }

    fn put_run(elements: &[Vec<u8>]) -> Vec<u8> {
        let mut run = Vec::new();
        elements.iter().for_each(|e| rows::put_bytes(&mut run, e));
        run
    }

    fn elements_in(run: &[u8]) -> Vec<Vec<u8>> {
        let mut reader = Reader::new(run);
        std::iter::from_fn(|| reader.bytes().map(<[u8]>::to_vec)).collect()
    }

    /// The lists of a column, one after the other.
    fn of_column(lists: &NestedColumn) -> Vec<Vec<Vec<u8>>> {
        let all = (0..lists.ends.len()).map(|list| elements_of(lists, list));
        all.map(|elements| elements.map(|e| lists.elements.get(e).to_vec()).collect())
            .collect()
    }

    impl World {
        fn new() -> Self {
            Self {
                cache: CellCache::of_lists(all()),
                store: Store::new(),
                lists: Lists::new(),
                frozen: Vec::new(),
                sorted: SortedLists::default(),
            }
        }

        fn step(&mut self, step: Step) {
            match step {
                Step::Write(writes) => self.write(writes),
                Step::Read(numbers) => self.read(&numbers),
                Step::Freeze => self.frozen.push((self.cache.freeze(), self.lists.clone())),
                Step::Store(kept) if !self.frozen.is_empty() => {
                    let (mut lists, then) = self.frozen.remove(0);
                    if kept {
                        lists.write(&mut take(&mut self.store)).unwrap();
                        lists.stored();
                        assert_eq!(self.stored_lists(), then, "the store is what was there");
                    }
                }
                Step::Store(_) => {}
                Step::Evict => {
                    self.settle();
                    self.evict();
                }
            }
        }

        /// Stores what is frozen.
        fn settle(&mut self) {
            for (mut lists, then) in std::mem::take(&mut self.frozen) {
                lists.write(&mut take(&mut self.store)).unwrap();
                lists.stored();
                assert_eq!(self.stored_lists(), then, "the store is what was there");
            }
        }

        fn evict(&mut self) {
            self.cache.write_page(&mut take(&mut self.store)).unwrap();
            self.cache.drop_page();
        }

        fn stored_lists(&self) -> Lists {
            let numbers = (0..40_u8).filter_map(|number| {
                let run = self.store.get(&Keys::of([number]).stored(0))?;
                assert!(!run.is_empty());
                Some((number, elements_in(run)))
            });
            numbers.collect()
        }

        fn write(&mut self, writes: Vec<Write>) {
            let each: BTreeMap<u8, (bool, Vec<u16>)> =
                writes.into_iter().map(|(n, r, e)| (n, (r, e))).collect();
            let keys = Keys::of(each.keys().copied());
            let mut writes = ListWrites::default();
            for (at, (&number, (replace, lens))) in (0..).zip(&each) {
                writes.keys.push(at);
                writes.replace.push(u8::from(*replace));
                let list = self.lists.entry(number).or_default();
                if *replace {
                    list.clear();
                }
                for &len in lens {
                    let element = vec![len as u8; len.into()];
                    writes.lists.elements.push(&element);
                    list.push(element);
                }
                if list.is_empty() {
                    self.lists.remove(&number);
                }
                let end = writes.lists.elements.len() as u32;
                writes.lists.ends.push(end);
            }
            let batch = keys.batch();
            let mut sorted = std::mem::take(&mut self.sorted);
            self.cache.sort_lists(&batch, &writes, &mut sorted);
            if sorted.all_here {
                self.cache.put_lists(&batch, &writes);
            } else {
                // Nothing else is written to the store before what is frozen is there.
                self.settle();
                let direct = &sorted.to_store;
                for (row, elements) in of_column(&direct.lists).into_iter().enumerate() {
                    let key = keys.stored(direct.keys[row] as usize);
                    let stored = self.store.entry(key).or_default();
                    if direct.replace[row] != 0 {
                        stored.clear();
                    }
                    stored.extend_from_slice(&put_run(&elements));
                }
                self.cache.put_lists(&batch, &sorted.here);
                self.cache.forget(&batch, &direct.keys);
            }
            self.sorted = sorted;
        }

        fn read(&mut self, numbers: &[u8]) {
            let keys = Keys::of(numbers.iter().copied());
            let batch = keys.batch();
            let (mut found, mut missing) = (NestedColumn::default(), Vec::new());
            self.cache
                .get_lists(&batch, Which::All, &mut found, &mut missing)
                .unwrap();
            let mut found = of_column(&found);
            let mut read = NestedColumn::default();
            for &at in &missing {
                assert!(found[at as usize].is_empty());
                let run = self.store.get(&keys.stored(at as usize));
                found[at as usize] = elements_in(run.map_or(&[], Vec::as_slice));
                for element in &found[at as usize] {
                    read.elements.push(element);
                }
                read.ends.push(read.elements.len() as u32);
            }
            for (number, found) in numbers.iter().zip(found) {
                let expected = self.lists.get(number).cloned().unwrap_or_default();
                assert_eq!(found, expected, "key {number}");
            }
            self.cache.remember_lists(&batch, &missing, &read);
        }
    }

    proptest! {
        #[test]
        fn a_cache_of_lists_and_its_store_tell_what_was_written(
            steps in vec(step(), 1..60),
            is_whole in any::<bool>(),
        ) {
            let mut world = World::new();
            world.cache.set_whole(is_whole);
            for step in steps {
                world.step(step);
            }
            world.read(&(0..40).collect::<Vec<u8>>());
            world.settle();
            (0..world.cache.pages()).for_each(|_| world.evict());
            prop_assert_eq!(world.cache.entries(), 0);
            prop_assert_eq!(world.stored_lists(), world.lists);
        }
    }

    /// Writes that are sorted as a call does that appends to, or replaces, one list.
    fn sorted(cache: &mut CellCache, replace: bool, element: &[u8]) -> (Keys, SortedLists) {
        let keys = Keys::of([1]);
        let mut writes = ListWrites::default();
        writes.keys.push(0);
        writes.replace.push(u8::from(replace));
        if !element.is_empty() {
            writes.lists.elements.push(element);
        }
        writes.lists.ends.push(writes.lists.elements.len() as u32);
        let mut sorted = SortedLists::default();
        cache.sort_lists(&keys.batch(), &writes, &mut sorted);
        if sorted.all_here {
            cache.put_lists(&keys.batch(), &writes);
        } else {
            cache.forget(&keys.batch(), &sorted.to_store.keys);
        }
        (keys, sorted)
    }

    #[test]
    fn a_list_that_was_cleared_or_found_empty_takes_what_is_appended_unread() {
        let mut cache = CellCache::of_lists(all());
        let unknown = sorted(&mut cache, false, b"a").1;
        assert!(!unknown.all_here && unknown.to_store.replace == [0]);
        assert!(sorted(&mut cache, true, b"").1.all_here);
        assert!(sorted(&mut cache, false, b"b").1.all_here);
        let mut store = Store::new();
        cache.freeze().write(&mut take(&mut store)).unwrap();
        assert_eq!(store.into_values().collect::<Vec<_>>(), [b"\x01b"]);

        let mut cache = CellCache::of_lists(all());
        let nothing = NestedColumn {
            ends: vec![0],
            ..NestedColumn::default()
        };
        cache.remember_lists(&Keys::of([1]).batch(), &[0], &nothing);
        assert_eq!(cache.freeze().count(), 0, "the store has none as well");
        assert!(sorted(&mut cache, false, b"c").1.all_here);
        assert_eq!(cache.freeze().count(), 1);
    }

    #[test]
    fn a_list_that_has_become_long_goes_to_the_store_whole_and_is_appended_to_there() {
        let mut cache = CellCache::of_lists(all());
        sorted(&mut cache, true, &[1; 600]);
        let long = sorted(&mut cache, false, &[2; 600]).1;
        assert_eq!((long.all_here, long.to_store.replace), (false, vec![1]));
        let elements = of_column(&long.to_store.lists);
        assert_eq!(elements, [[vec![1; 600], vec![2; 600]]]);
        assert_eq!(cache.entries(), 0);
        let more = sorted(&mut cache, false, &[3]).1.to_store;
        assert_eq!((more.replace, more.lists.elements.len()), (vec![0], 1));
    }
}
