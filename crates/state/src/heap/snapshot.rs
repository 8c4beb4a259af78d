//! The frozen pages of a heap backend and how they are written out in order.

use std::{cmp::Ordering, sync::Arc};

use weir_model::{CheckpointId, KeyGroup, KeyGroupRange, ProcessingTime};

use super::{
    Shape, delta, list, map, page::Page, record::prefix_of, removals, segment::At,
    segment::Segment, timers,
};
use crate::{
    Error, Snapshot, SnapshotSink, StateIndex, TimerQueue, Ttl,
    rows::{self, Reader},
};

/// A block is handed over when it has this many bytes. One list or map of any size is cut, too.
pub const BLOCK_BYTES: usize = 256 * 1024;

/// Fewer records are sorted by comparing them.
const MANY: usize = 64;
/// A record is touched when so many others are to be written before it.
const RECORDS_AHEAD: usize = 16;

/// What was in a heap backend when it was taken.
pub(super) struct HeapSnapshot {
    pub(super) states: Vec<StateSnapshot>,
    /// The base, and the epoch that ended with it.
    pub(super) base: Option<(CheckpointId, u64)>,
    /// The epoch that this snapshot has ended.
    pub(super) epoch: u64,
}

/// One state of a snapshot.
pub(super) struct StateSnapshot {
    pub(super) shape: Shape,
    pub(super) alive: Alive,
    pub(super) pages: Vec<(KeyGroupRange, Arc<Page>)>,
    /// What was removed since the base, if that is known.
    pub(super) removed: Option<Vec<Arc<Vec<u8>>>>,
    /// What is there of timers, and of which key groups; then no pages are.
    pub(super) timers: Option<(KeyGroupRange, TimerQueue)>,
}

/// Which values are written: those that have not expired (D16).
#[derive(Clone, Copy, Debug)]
pub(super) struct Alive {
    pub(super) ttl: Option<Ttl>,
    pub(super) now: ProcessingTime,
}

impl Alive {
    /// Whether a stored value is written.
    #[inline]
    pub(super) fn is(&self, stored: &[u8]) -> bool {
        self.ttl
            .is_none_or(|ttl| !ttl.expired_value(stored, self.now))
    }
}

impl Snapshot for HeapSnapshot {
    fn write(self: Box<Self>, sink: &mut dyn SnapshotSink) -> Result<(), Error> {
        let base = self.base.filter(|&(id, _)| sink.base() == Some(id));
        for (index, state) in self.states.into_iter().enumerate() {
            let state_index = StateIndex(index as u32);
            let StateSnapshot {
                shape,
                alive,
                pages,
                removed,
                timers,
            } = state;
            if shape == Shape::Foreign {
                continue;
            }
            if let Some((range, queue)) = timers {
                match (base, &removed) {
                    (Some((_, base)), Some(logs)) => {
                        let increment = timers::Increment {
                            state: state_index,
                            queue: &queue,
                            base,
                            removed: removals::sorted(logs),
                        };
                        increment.write(range, sink)?;
                    }
                    _ => timers::write(&queue, state_index, sink)?,
                }
                continue;
            }
            let increment = match (base, &removed) {
                (Some((_, base)), Some(logs)) => Some(delta::Increment {
                    state: state_index,
                    shape,
                    alive,
                    base,
                    epoch: self.epoch,
                    removed: removals::sorted(logs),
                }),
                _ => None,
            };
            // Each page is let go of as soon as it is written, so that its backend takes it back.
            for (groups, page) in pages {
                if let Some(increment) = &increment {
                    increment.write(groups, &page, sink)?;
                    continue;
                }
                let mut write =
                    |group, rows, bytes: &[u8]| sink.block(state_index, group, rows, bytes);
                let mut block = Block::new(&mut write);
                for record in some_ahead(&records(&page, |_, _| true)) {
                    write_full(shape, alive, record, &mut block)?;
                }
                block.flush()?;
            }
        }
        Ok(())
    }
}

/// What takes blocks of rows.
pub(super) type TakeBlock<'a> = dyn FnMut(KeyGroup, u64, &[u8]) -> Result<(), Error> + 'a;

/// Rows on their way to the sink.
pub(super) struct Block<'a> {
    take: &'a mut TakeBlock<'a>,
    group: KeyGroup,
    rows: u64,
    pub(super) bytes: Vec<u8>,
}

impl<'a> Block<'a> {
    pub(super) fn new(take: &'a mut TakeBlock<'a>) -> Self {
        Self {
            take,
            group: KeyGroup(0),
            rows: 0,
            bytes: Vec::new(),
        }
    }

    /// Begins a row.
    pub(super) fn row(&mut self, group: KeyGroup, key: &[u8]) -> Result<(), Error> {
        if group != self.group || self.bytes.len() >= BLOCK_BYTES {
            self.flush()?;
            self.group = group;
        }
        self.rows += 1;
        rows::put_bytes(&mut self.bytes, key);
        rows::put_bytes(&mut self.bytes, &[]);
        Ok(())
    }

    pub(super) fn flush(&mut self) -> Result<(), Error> {
        if self.rows > 0 {
            (self.take)(self.group, self.rows, &self.bytes)?;
        }
        self.rows = 0;
        self.bytes.clear();
        Ok(())
    }
}

/// A record with what it is sorted by: most comparisons need no look at the key itself.
#[derive(Clone, Copy)]
pub(super) struct Sorted<'a> {
    pub(super) group: u16,
    prefix: u64,
    pub(super) segment: &'a Segment,
    pub(super) at: At,
}

impl<'a> Sorted<'a> {
    pub(super) fn of(segment: &'a Segment, at: At) -> Self {
        Self {
            group: segment.group(at),
            prefix: prefix_of(segment.key(at)),
            segment,
            at,
        }
    }

    pub(super) fn key(&self) -> &'a [u8] {
        self.segment.key(self.at)
    }

    pub(super) fn cmp(&self, other: &Self) -> Ordering {
        (self.group, self.prefix)
            .cmp(&(other.group, other.prefix))
            .then_with(|| self.key().cmp(other.key()))
    }
}

/// The records of a page that are `wanted`, in order.
pub(super) fn records(page: &Page, wanted: impl Fn(&Segment, At) -> bool) -> Vec<Sorted<'_>> {
    let mut records = Vec::new();
    collect(page, wanted, &mut records);
    sort(&mut records);
    records
}

/// Puts records in order.
pub(super) fn sort(records: &mut [Sorted<'_>]) {
    // A page has one key group, or a few.
    if !records.is_sorted_by_key(|record| record.group) {
        records.sort_unstable_by_key(|record| record.group);
    }
    for of_group in records.chunk_by_mut(|a, b| a.group == b.group) {
        sort_group(of_group);
    }
}

/// Puts records of one key group in order: each is put where its prefix says that it about is, if
/// they are spread evenly, and then those that have come to the same place are sorted.
fn sort_group(records: &mut [Sorted<'_>]) {
    let prefixes = records.iter().map(|record| record.prefix);
    let (least, most) = prefixes.fold((u64::MAX, 0), |(least, most), prefix| {
        (least.min(prefix), most.max(prefix))
    });
    if records.len() < MANY || least == most {
        records.sort_unstable_by(Sorted::cmp);
        return;
    }
    // Half as many places as there are records at least, and twice as many at most; fewer where
    // there are not so many prefixes.
    let bits = u64::BITS - (most - least).leading_zeros();
    let shift = bits.saturating_sub(records.len().ilog2() + 1);
    let place_of = |record: &Sorted<'_>| ((record.prefix - least) >> shift) as usize;
    let mut ends = vec![0; ((most - least) >> shift) as usize + 1];
    records
        .iter()
        .for_each(|record| ends[place_of(record)] += 1);
    let mut end = 0;
    for place in &mut ends {
        end += *place;
        *place = end;
    }
    let unsorted = records.to_vec();
    // What is the end of a place becomes its beginning.
    for record in unsorted {
        let end = &mut ends[place_of(&record)];
        *end -= 1;
        records[*end] = record;
    }
    let begins = ends;
    let mut from = 0;
    for &to in begins.iter().skip(1).chain([&records.len()]) {
        if to - from > 1 {
            records[from..to].sort_unstable_by(Sorted::cmp);
        }
        from = to;
    }
}

/// Segments, each touched while the one before it is gone through.
pub(super) fn one_ahead<'a>(
    segments: impl Iterator<Item = &'a Segment>,
) -> impl Iterator<Item = &'a Segment> {
    let mut segments = segments.inspect(|segment| segment.touch_all());
    let mut next = segments.next();
    std::iter::from_fn(move || std::mem::replace(&mut next, segments.next()))
}

/// Records in order, each touched some before its turn.
pub(super) fn some_ahead<'b, 'a>(
    records: &'b [Sorted<'a>],
) -> impl Iterator<Item = &'b Sorted<'a>> {
    records.iter().enumerate().map(|(number, record)| {
        if let Some(next) = records.get(number + RECORDS_AHEAD) {
            next.segment.touch(next.at);
        }
        record
    })
}

/// Appends the records of a page that are `wanted`, in no order.
pub(super) fn collect<'a>(
    page: &'a Page,
    wanted: impl Fn(&Segment, At) -> bool,
    records: &mut Vec<Sorted<'a>>,
) {
    for segment in one_ahead(page.segments()) {
        let found = segment.records().filter(|&at| wanted(segment, at));
        records.extend(found.map(|at| Sorted::of(segment, at)));
    }
}

/// Writes what is alive of a record in full.
pub(super) fn write_full(
    shape: Shape,
    alive: Alive,
    record: &Sorted<'_>,
    block: &mut Block<'_>,
) -> Result<(), Error> {
    let (segment, at) = (record.segment, record.at);
    let group = KeyGroup(record.group);
    let key = record.key();
    match shape {
        Shape::Cell => {
            let value = segment.value(at);
            if alive.is(value) {
                block.row(group, key)?;
                rows::put_bytes(&mut block.bytes, value);
            }
            Ok(())
        }
        Shape::List => {
            let elements = list::runs(segment, at).flat_map(Elements::of);
            let elements = elements.filter(|element| alive.is(element));
            let mut cut = Cut::new(group, key);
            cut.items(block, elements, |out, element| {
                rows::put_bytes(out, element)
            })?;
            cut.finish(block)
        }
        Shape::Map => {
            let entries = map::iter_after(segment, at, None);
            let entries = entries.filter(|(_, value)| alive.is(value));
            let mut cut = Cut::new(group, key);
            cut.items(block, entries, |out, (map_key, value)| {
                rows::put_bytes(out, map_key);
                rows::put_bytes(out, value);
            })?;
            cut.finish(block)
        }
        Shape::Timers | Shape::Foreign => Ok(()),
    }
}

/// A list or a map on its way into one row, or into several where it is large.
pub(super) struct Cut<'a> {
    group: KeyGroup,
    key: &'a [u8],
    /// What a row says before the number of its items; given how many rows were before it and how
    /// many items.
    head: fn(&mut Vec<u8>, u64, u64),
    rows: u64,
    items: u64,
    before: u64,
    encoded: Vec<u8>,
}

impl<'a> Cut<'a> {
    /// Into full rows.
    pub(super) fn new(group: KeyGroup, key: &'a [u8]) -> Self {
        Self::with_head(group, key, 0, |_, _, _| {})
    }

    /// Into rows that begin with something; `before` items are counted as gone already.
    pub(super) fn with_head(
        group: KeyGroup,
        key: &'a [u8],
        before: u64,
        head: fn(&mut Vec<u8>, u64, u64),
    ) -> Self {
        Self {
            group,
            key,
            head,
            rows: 0,
            items: 0,
            before,
            encoded: Vec::new(),
        }
    }

    pub(super) fn items<T>(
        &mut self,
        block: &mut Block<'_>,
        items: impl Iterator<Item = T>,
        put: impl Fn(&mut Vec<u8>, T),
    ) -> Result<(), Error> {
        for item in items {
            put(&mut self.encoded, item);
            self.items += 1;
            if self.encoded.len() >= BLOCK_BYTES {
                self.row(block)?;
            }
        }
        Ok(())
    }

    /// How many rows there are, with the one in hand.
    pub(super) fn rows(&self) -> u64 {
        self.rows + u64::from(self.items > 0)
    }

    /// Writes what is left.
    pub(super) fn finish(&mut self, block: &mut Block<'_>) -> Result<(), Error> {
        if self.items > 0 {
            self.row(block)?;
        }
        Ok(())
    }

    fn row(&mut self, block: &mut Block<'_>) -> Result<(), Error> {
        block.row(self.group, self.key)?;
        (self.head)(&mut block.bytes, self.rows, self.before);
        rows::put_uvarint(&mut block.bytes, self.items);
        block.bytes.append(&mut self.encoded);
        self.rows += 1;
        self.before += self.items;
        self.items = 0;
        Ok(())
    }
}

/// The elements of a run.
pub(super) struct Elements<'a>(Reader<'a>);

impl<'a> Elements<'a> {
    pub(super) fn of(run: &'a [u8]) -> Self {
        Self(Reader::new(run))
    }
}

impl<'a> Iterator for Elements<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<Self::Item> {
        self.0.bytes()
    }
}
