//! The frozen pages of a heap backend and how they are written out in order.

use std::{cmp::Ordering, sync::Arc};

use weir_model::KeyGroup;

use super::{Shape, list, map, page::Page, record::prefix_of, segment::At, segment::Segment};
use crate::{
    Error, Snapshot, SnapshotSink, StateIndex,
    rows::{self, Reader},
};

/// A block is handed over when it has this many bytes. One list or map of any size is cut, too.
pub const BLOCK_BYTES: usize = 256 * 1024;

/// What was in a heap backend when it was taken.
pub(super) struct HeapSnapshot {
    states: Vec<StateSnapshot>,
}

/// One state of a snapshot.
pub(super) struct StateSnapshot {
    pub(super) shape: Shape,
    pub(super) pages: Vec<Arc<Page>>,
}

impl HeapSnapshot {
    pub(super) fn new(states: Vec<StateSnapshot>) -> Self {
        Self { states }
    }
}

impl Snapshot for HeapSnapshot {
    fn write(self: Box<Self>, sink: &mut dyn SnapshotSink) -> Result<(), Error> {
        for (index, state) in self.states.into_iter().enumerate() {
            let state_index = StateIndex(index as u32);
            // Each page is let go of as soon as it is written, so that its backend takes it back.
            for page in state.pages {
                let mut block = Block {
                    sink: &mut *sink,
                    state: state_index,
                    group: KeyGroup(0),
                    rows: 0,
                    bytes: Vec::new(),
                };
                write_page(state.shape, &page, &mut block)?;
                block.flush()?;
            }
        }
        Ok(())
    }
}

/// Rows on their way to the sink.
struct Block<'a> {
    sink: &'a mut dyn SnapshotSink,
    state: StateIndex,
    group: KeyGroup,
    rows: u64,
    bytes: Vec<u8>,
}

impl Block<'_> {
    /// Begins a row.
    fn row(&mut self, group: KeyGroup, key: &[u8]) -> Result<(), Error> {
        if group != self.group || self.bytes.len() >= BLOCK_BYTES {
            self.flush()?;
            self.group = group;
        }
        self.rows += 1;
        rows::put_bytes(&mut self.bytes, key);
        rows::put_bytes(&mut self.bytes, &[]);
        Ok(())
    }

    fn flush(&mut self) -> Result<(), Error> {
        if self.rows > 0 {
            self.sink
                .block(self.state, self.group, self.rows, &self.bytes)?;
        }
        self.rows = 0;
        self.bytes.clear();
        Ok(())
    }
}

/// A record with what it is sorted by: most comparisons need no look at the key itself.
struct Sorted<'a> {
    group: u16,
    prefix: u64,
    segment: &'a Segment,
    at: At,
}

impl Sorted<'_> {
    fn cmp(&self, other: &Self) -> Ordering {
        (self.group, self.prefix)
            .cmp(&(other.group, other.prefix))
            .then_with(|| self.segment.key(self.at).cmp(other.segment.key(other.at)))
    }
}

fn write_page(shape: Shape, page: &Page, block: &mut Block<'_>) -> Result<(), Error> {
    let mut records: Vec<Sorted<'_>> = page
        .segments()
        .flat_map(|segment| {
            segment.records().map(move |at| Sorted {
                group: segment.group(at),
                prefix: prefix_of(segment.key(at)),
                segment,
                at,
            })
        })
        .collect();
    records.sort_unstable_by(Sorted::cmp);
    for record in records {
        let (segment, at) = (record.segment, record.at);
        let group = KeyGroup(record.group);
        let key = segment.key(at);
        match shape {
            Shape::Cell => {
                block.row(group, key)?;
                rows::put_bytes(&mut block.bytes, segment.value(at));
            }
            Shape::List => {
                let elements = list::runs(segment, at).flat_map(Elements::of);
                write_items(block, group, key, elements, |out, element| {
                    rows::put_bytes(out, element);
                })?;
            }
            Shape::Map => {
                let entries = map::iter_after(segment, at, None);
                write_items(block, group, key, entries, |out, (map_key, value)| {
                    rows::put_bytes(out, map_key);
                    rows::put_bytes(out, value);
                })?;
            }
            Shape::Foreign => {}
        }
    }
    Ok(())
}

/// Writes a list or a map as one row, or as several where it is large.
fn write_items<T>(
    block: &mut Block<'_>,
    group: KeyGroup,
    key: &[u8],
    items: impl Iterator<Item = T>,
    put: impl Fn(&mut Vec<u8>, T),
) -> Result<(), Error> {
    let mut count = 0;
    let mut encoded = Vec::new();
    for item in items {
        put(&mut encoded, item);
        count += 1;
        if encoded.len() >= BLOCK_BYTES {
            write_part(block, group, key, count, &mut encoded)?;
            count = 0;
        }
    }
    if count > 0 {
        write_part(block, group, key, count, &mut encoded)?;
    }
    Ok(())
}

fn write_part(
    block: &mut Block<'_>,
    group: KeyGroup,
    key: &[u8],
    count: u64,
    encoded: &mut Vec<u8>,
) -> Result<(), Error> {
    block.row(group, key)?;
    rows::put_uvarint(&mut block.bytes, count);
    block.bytes.append(encoded);
    Ok(())
}

/// The elements of a run.
struct Elements<'a>(Reader<'a>);

impl<'a> Elements<'a> {
    fn of(run: &'a [u8]) -> Self {
        Self(Reader::new(run))
    }
}

impl<'a> Iterator for Elements<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<Self::Item> {
        self.0.bytes()
    }
}
