//! The timers of a heap backend: in a [`TimerQueue`], and how they are written out and read back.
//!
//! A queue is in order of times and a snapshot in order of key groups, so what is written is sorted
//! first: off the task, as all writing is.
//!
//! INVARIANT: the base with its deltas is what is in the frozen queue.

use std::cmp::Ordering;

use weir_model::{KeyGroup, KeyGroupRange};

use super::{
    delta::{Changes, Rule},
    removals::{Removals, Removed},
    snapshot::{Block, Cut},
};
use crate::{
    Error, KeyBatch, SnapshotSink, StateIndex, TimerKind, TimerQueue, TimerWrites, When,
    file::MAP,
    rows::{self, Reader},
};

/// A timer on its way into a snapshot.
#[derive(Clone, Copy)]
struct Line<'a> {
    group: u16,
    when: [u8; When::BYTES],
    key: &'a [u8],
}

impl Line<'_> {
    fn cmp_to(&self, gone: &Removed<'_>) -> Ordering {
        let gone_key = gone.map_key.unwrap_or_default();
        (&self.when[..], self.key).cmp(&(gone.key, gone_key))
    }
}

/// Applies writes that were checked; gives back by how much the number of timers changes.
pub(super) fn apply(
    queue: &mut TimerQueue,
    removals: &mut Removals,
    keys: &KeyBatch<'_>,
    writes: &TimerWrites,
    epoch: u64,
) -> i64 {
    let mut change = 0;
    let mut deleted = writes.deleted(keys);
    queue.remove_all(&mut deleted, |kind, timer| {
        let when = When { kind, at: timer.at };
        removals.push(timer.group.0, &when.encode(), Some(timer.key));
        change -= 1;
    });
    for (when, key, set) in writes.iter() {
        if set {
            let is_new = queue.add(when, keys.groups[key], keys.keys.get(key), epoch);
            change += i64::from(is_new);
        }
    }
    change
}

/// Adds the timers of some rows of one key group; gives back how many are new, also where it fails.
pub(super) fn load(
    queue: &mut TimerQueue,
    group: KeyGroup,
    bytes: &[u8],
    epoch: u64,
) -> (i64, Result<(), Error>) {
    let mut reader = Reader::new(bytes);
    let mut new = 0;
    while !reader.is_empty() {
        let row = bytes.len() - reader.len();
        if load_row(queue, group, &mut reader, epoch, &mut new).is_none() {
            let what = format!("the row at byte {row} of key group {group} cannot be read");
            return (new, Err(Error::Damaged(what)));
        }
    }
    (new, Ok(()))
}

fn load_row(
    queue: &mut TimerQueue,
    group: KeyGroup,
    reader: &mut Reader<'_>,
    epoch: u64,
    new: &mut i64,
) -> Option<()> {
    let when = When::decode(reader.bytes()?)?;
    reader.bytes()?.is_empty().then_some(())?;
    for _ in 0..reader.uvarint()? {
        let key = reader.bytes()?;
        reader.bytes()?.is_empty().then_some(())?;
        *new += i64::from(queue.add(when, group, key, epoch));
    }
    Some(())
}

/// Writes all timers.
pub(super) fn write(
    queue: &TimerQueue,
    state: StateIndex,
    sink: &mut dyn SnapshotSink,
) -> Result<(), Error> {
    let mut take = |group, rows, bytes: &[u8]| sink.block(state, group, rows, bytes);
    let mut block = Block::new(&mut take);
    write_full(&lines(queue, |_| true), &mut block)?;
    block.flush()
}

/// What is to be told of the timers of a state.
pub(super) struct Increment<'a> {
    pub(super) state: StateIndex,
    pub(super) queue: &'a TimerQueue,
    /// The epoch of the base.
    pub(super) base: u64,
    /// What was removed since, in order.
    pub(super) removed: Vec<Removed<'a>>,
}

impl Increment<'_> {
    /// Writes the timers of these key groups.
    pub(super) fn write(
        &self,
        range: KeyGroupRange,
        sink: &mut dyn SnapshotSink,
    ) -> Result<(), Error> {
        let all = || (range.start.0..=range.end.0).map(KeyGroup);
        let at = |group: u16| usize::from(group - range.start.0);
        let mut there = vec![false; range.count()];
        for kind in TimerKind::ALL {
            let groups = self.queue.pending(kind).map(|timer| timer.group.0);
            groups.for_each(|group| there[at(group)] = true);
        }
        let changed = by_group(TimerKind::ALL.into_iter().flat_map(|kind| {
            let set = self.queue.set_since(kind, self.base);
            set.map(move |timer| Line::of(kind, timer.at, timer.group, timer.key))
        }));
        let mut plans = Vec::with_capacity(there.len());
        for group in all() {
            let chain = sink.chain(self.state, group);
            let (changed, removed) = (of_group(&changed, group.0), self.removed_of(group.0));
            let is_changed = !(changed.is_empty() && removed.is_empty());
            plans.push(match Rule::of(chain, there[at(group.0)], is_changed) {
                Rule::Delta { room } => match delta(group, changed, removed, room)? {
                    Some(blocks) => Plan::Delta(blocks),
                    None => Plan::Full,
                },
                Rule::Nothing => Plan::Nothing,
                Rule::Keep => Plan::Keep,
                Rule::Full => Plan::Full,
            });
        }
        let is_full = |group: u16| matches!(plans[at(group)], Plan::Full);
        let full = match plans.iter().any(|plan| matches!(plan, Plan::Full)) {
            true => lines(self.queue, is_full),
            false => Vec::new(),
        };
        for (group, plan) in all().zip(&plans) {
            match plan {
                Plan::Nothing => {}
                Plan::Keep => sink.keep(self.state, group)?,
                Plan::Delta(blocks) => {
                    sink.keep(self.state, group)?;
                    for (rows, bytes) in blocks {
                        sink.delta(self.state, group, *rows, bytes)?;
                    }
                }
                Plan::Full => {
                    let mut take =
                        |group, rows, bytes: &[u8]| sink.block(self.state, group, rows, bytes);
                    let mut block = Block::new(&mut take);
                    write_full(of_group(&full, group.0), &mut block)?;
                    block.flush()?;
                }
            }
        }
        Ok(())
    }

    fn removed_of(&self, group: u16) -> &[Removed<'_>] {
        let from = self.removed.partition_point(|gone| gone.group < group);
        let to = self.removed.partition_point(|gone| gone.group <= group);
        &self.removed[from..to]
    }
}

/// What is written of a key group.
enum Plan {
    Nothing,
    Keep,
    Delta(Changes),
    Full,
}

impl<'a> Line<'a> {
    fn of(kind: TimerKind, at: i64, group: KeyGroup, key: &'a [u8]) -> Self {
        Self {
            group: group.0,
            when: When { kind, at }.encode(),
            key,
        }
    }
}

/// The timers of wanted key groups, in order of these.
fn lines(queue: &TimerQueue, wanted: impl Fn(u16) -> bool) -> Vec<Line<'_>> {
    let wanted = &wanted;
    by_group(TimerKind::ALL.into_iter().flat_map(|kind| {
        let timers = queue.pending(kind);
        timers
            .filter(move |timer| wanted(timer.group.0))
            .map(move |timer| Line::of(kind, timer.at, timer.group, timer.key))
    }))
}

/// In order of key groups, and within each as they came: by time.
fn by_group<'a>(lines: impl Iterator<Item = Line<'a>>) -> Vec<Line<'a>> {
    let mut lines: Vec<Line<'a>> = lines.collect();
    lines.sort_by_key(|line| line.group);
    lines
}

fn of_group<'a, 'b>(lines: &'b [Line<'a>], group: u16) -> &'b [Line<'a>] {
    let from = lines.partition_point(|line| line.group < group);
    let to = lines.partition_point(|line| line.group <= group);
    &lines[from..to]
}

/// Writes timers in order as full rows.
fn write_full(lines: &[Line<'_>], block: &mut Block<'_>) -> Result<(), Error> {
    for row in lines.chunk_by(|a, b| (a.group, a.when) == (b.group, b.when)) {
        let mut cut = Cut::new(KeyGroup(row[0].group), &row[0].when);
        cut.items(block, row.iter(), |out, line| {
            rows::put_bytes(out, line.key);
            rows::put_bytes(out, &[]);
        })?;
        cut.finish(block)?;
    }
    Ok(())
}

/// The changes of a key group; `None` where they take more than `room` bytes.
fn delta(
    group: KeyGroup,
    changed: &[Line<'_>],
    removed: &[Removed<'_>],
    room: u64,
) -> Result<Option<Changes>, Error> {
    let mut blocks: Changes = Vec::new();
    let mut bytes = 0;
    let mut keep = |_, rows, block: &[u8]| {
        bytes += block.len() as u64;
        if bytes <= room {
            blocks.push((rows, block.to_vec()));
        }
        Ok(())
    };
    let mut block = Block::new(&mut keep);
    let (mut changed, mut removed) = (changed.iter().peekable(), removed.iter().peekable());
    let mut row: Option<RowChange<'_>> = None;
    loop {
        // One that was removed and is there again is there.
        let (when, key, set) = match (changed.peek(), removed.peek()) {
            (None, None) => break,
            (Some(line), gone) if gone.is_none_or(|gone| line.cmp_to(gone).is_le()) => {
                removed.next_if(|gone| line.cmp_to(gone).is_eq());
                (&line.when[..], line.key, changed.next().is_some())
            }
            (_, Some(_)) => match removed.next() {
                Some(gone) => (gone.key, gone.map_key.unwrap_or_default(), false),
                None => break,
            },
            (Some(_), None) => break,
        };
        match &mut row {
            Some((of, items)) if of == when => items.push((key, set)),
            Some(_) | None => {
                write_change(
                    group,
                    row.replace((when.to_vec(), vec![(key, set)])),
                    &mut block,
                )?;
            }
        }
    }
    write_change(group, row, &mut block)?;
    block.flush()?;
    Ok((bytes <= room).then_some(blocks))
}

/// A time, and the keys whose timer at it is set or removed.
type RowChange<'a> = (Vec<u8>, Vec<(&'a [u8], bool)>);

/// Writes what is set and removed of one time.
fn write_change(
    group: KeyGroup,
    row: Option<RowChange<'_>>,
    block: &mut Block<'_>,
) -> Result<(), Error> {
    let Some((when, items)) = row else {
        return Ok(());
    };
    let mut cut = Cut::with_head(group, &when, 0, |out, _, _| out.push(MAP));
    cut.items(block, items.into_iter(), |out, (key, set)| {
        rows::put_bytes(out, key);
        out.push(u8::from(set));
        if set {
            rows::put_bytes(out, &[]);
        }
    })?;
    cut.finish(block)
}
