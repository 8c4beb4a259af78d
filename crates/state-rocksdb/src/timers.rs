//! Timers: a column family in the order of (key group, kind, time, key), and the first of them in
//! memory.
//!
//! Of each kind the timers up to some place in the order of all (time, key group, key) are held in
//! memory, some thousand: so the next ones are known without reading, and memory does not grow with
//! what is pending. When they are used up the next are read, from that place on in each key group:
//! what was deleted before it, and is not compacted away yet, is never passed over again.
//!
//! INVARIANT: what is in memory is what the database has up to that place, or gets before it is
//! read again. It is changed after the database was, and forgotten where that failed.

use rocksdb::DB;
use weir_model::{KeyGroup, KeyGroupRange};
use weir_state::{Error, KeyBatch, PendingTimer, TimerKind, TimerQueue, TimerWrites, Timers, When};

use crate::{
    Family,
    error::{damaged, failed},
    keys, options,
};

/// So many timers of a kind are read at once; twice as many are held. Our own tests meet it sooner.
const AHEAD: usize = if cfg!(test) { 8 } else { 4096 };
/// And no more than so many bytes of their keys.
const AHEAD_BYTES: usize = 4 << 20;

/// The first timers of both kinds.
pub(crate) struct Ahead {
    queue: TimerQueue,
    event: Held,
    processing: Held,
}

/// What of a kind is in memory.
#[derive(Default)]
struct Held {
    through: Through,
    /// Bytes of keys.
    bytes: usize,
}

/// Up to where.
#[derive(Clone, Debug, Default)]
enum Through {
    /// Nothing is known.
    #[default]
    Nothing,
    /// The last one that is.
    Place(Place),
    /// To the end.
    All,
}

/// A place in the order of all timers of a kind.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Place {
    at: i64,
    group: KeyGroup,
    key: Vec<u8>,
}

impl Place {
    fn of(timer: PendingTimer<'_>) -> Self {
        Self {
            at: timer.at,
            group: timer.group,
            key: timer.key.to_vec(),
        }
    }
}

impl Through {
    fn covers(&self, timer: PendingTimer<'_>) -> bool {
        match self {
            Self::Nothing => false,
            Self::Place(place) => {
                (timer.at, timer.group, timer.key) <= (place.at, place.group, place.key.as_slice())
            }
            Self::All => true,
        }
    }
}

impl Ahead {
    /// Of a database without timers.
    pub(crate) fn empty() -> Self {
        let held = || Held {
            through: Through::All,
            bytes: 0,
        };
        Self {
            queue: TimerQueue::new(),
            event: held(),
            processing: held(),
        }
    }

    /// Forgets what is in memory: the database is, or may be, another one.
    pub(crate) fn forget(&mut self) {
        *self = Self {
            queue: TimerQueue::new(),
            event: Held::default(),
            processing: Held::default(),
        };
    }

    /// What a call did is in the database.
    pub(crate) fn written(&mut self, batch: &KeyBatch<'_>, writes: &TimerWrites) {
        let mut deleted = writes.deleted(batch);
        deleted.retain(|&(kind, timer)| self.held(kind).through.covers(timer));
        let mut bytes = [0, 0];
        self.queue.remove_all(&mut deleted, |kind, timer| {
            bytes[usize::from(kind == TimerKind::ProcessingTime)] += timer.key.len();
        });
        self.event.bytes -= bytes[0];
        self.processing.bytes -= bytes[1];
        for (when, key, set) in writes.iter() {
            let timer = PendingTimer {
                at: when.at,
                group: batch.groups[key],
                key: batch.keys.get(key),
            };
            if set && self.held(when.kind).through.covers(timer) {
                self.add(when.kind, timer);
            }
        }
        for kind in TimerKind::ALL {
            self.bound(kind, AHEAD * 2, AHEAD);
        }
    }

    /// Whether the database is not asked for the first timer of a kind.
    pub(crate) fn is_known(&self, kind: TimerKind) -> bool {
        let held = match kind {
            TimerKind::EventTime => &self.event,
            TimerKind::ProcessingTime => &self.processing,
        };
        self.queue.len(kind) > 0 || matches!(held.through, Through::All)
    }

    /// When the first timer of a kind is due.
    pub(crate) fn next(
        &mut self,
        kind: TimerKind,
        db: &DB,
        family: &Family<'_>,
        range: KeyGroupRange,
    ) -> Result<Option<i64>, Error> {
        self.fill(kind, db, family, range)?;
        Ok(self.queue.next(kind))
    }

    /// Appends the first timers of a kind that are due at `until`: as many as are at hand, and one
    /// if there is any.
    pub(crate) fn due(
        &mut self,
        (kind, until, limit): (TimerKind, i64, usize),
        db: &DB,
        family: &Family<'_>,
        range: KeyGroupRange,
        out: &mut Timers,
    ) -> Result<(), Error> {
        self.fill(kind, db, family, range)?;
        self.queue.due(kind, until, limit, out)
    }

    fn held(&mut self, kind: TimerKind) -> &mut Held {
        match kind {
            TimerKind::EventTime => &mut self.event,
            TimerKind::ProcessingTime => &mut self.processing,
        }
    }

    fn add(&mut self, kind: TimerKind, timer: PendingTimer<'_>) {
        let when = When { kind, at: timer.at };
        if self.queue.add(when, timer.group, timer.key, 0) {
            self.held(kind).bytes += timer.key.len();
        }
    }

    /// Reads the next timers where all that were in memory are used up.
    fn fill(
        &mut self,
        kind: TimerKind,
        db: &DB,
        family: &Family<'_>,
        range: KeyGroupRange,
    ) -> Result<(), Error> {
        if self.is_known(kind) {
            return Ok(());
        }
        let after = match std::mem::take(&mut self.held(kind).through) {
            Through::Place(place) => Some(place),
            Through::Nothing | Through::All => None,
        };
        let read = self.read(kind, after.as_ref(), db, family, range);
        if read.is_err() {
            self.forget();
        }
        read
    }

    /// Reads the first timers behind a place. Of each key group it goes on only as long as what
    /// comes is earlier than what is in memory, once that is enough.
    fn read(
        &mut self,
        kind: TimerKind,
        after: Option<&Place>,
        db: &DB,
        family: &Family<'_>,
        range: KeyGroupRange,
    ) -> Result<(), Error> {
        self.held(kind).through = Through::All;
        let wrong = || damaged("a timer");
        let (mut from, mut time) = (Vec::new(), Vec::new());
        for group in (range.start.0..=range.end.0).map(KeyGroup) {
            let end = start_of(kind, group, after, &mut from);
            let mut options = options::timer_scan();
            options.set_iterate_upper_bound(end);
            let mut entries = db.raw_iterator_cf_opt(family, options);
            entries.seek(&from);
            while let Some((stored, _)) = entries.item() {
                let (group, key) = keys::split(stored, true, &mut time).ok_or_else(wrong)?;
                let When { at, .. } = When::decode(&time).ok_or_else(wrong)?;
                let timer = PendingTimer { at, group, key };
                if !self.held(kind).through.covers(timer) {
                    break;
                }
                self.add(kind, timer);
                self.bound(kind, AHEAD, AHEAD);
                entries.next();
            }
            entries.status().map_err(failed("read timers"))?;
        }
        Ok(())
    }

    /// Lets go of the last ones where there are more than `most`, or too many bytes of them: then
    /// `keep` are left, or as many as fit, and one at least.
    fn bound(&mut self, kind: TimerKind, most: usize, keep: usize) {
        let over = |ahead: &mut Self, most: usize| {
            ahead.queue.len(kind) > most as u64 || ahead.held(kind).bytes > AHEAD_BYTES
        };
        if !over(self, most) {
            return;
        }
        while over(self, keep) && self.queue.len(kind) > 1 {
            let Some(last) = self.queue.last(kind).map(Place::of) else {
                break;
            };
            let when = When { kind, at: last.at };
            self.queue.remove(when, last.group, &last.key);
            self.held(kind).bytes -= last.key.len();
        }
        if let Some(last) = self.queue.last(kind).map(Place::of) {
            self.held(kind).through = Through::Place(last);
        }
    }
}

/// Where the timers of a kind and key group begin that are behind a place of all; gives back where
/// they end.
fn start_of(
    kind: TimerKind,
    group: KeyGroup,
    after: Option<&Place>,
    from: &mut Vec<u8>,
) -> Vec<u8> {
    from.clear();
    let first = When { kind, at: i64::MIN };
    match after {
        None => keys::put_map_prefix(from, group, &first.encode()),
        Some(after) => {
            let when = When { kind, at: after.at };
            keys::put_map_prefix(from, group, &when.encode());
            if group < after.group {
                // All of this time are before the place.
                *from = keys::after_map(from);
            } else if group == after.group {
                from.extend_from_slice(&after.key);
                from.push(0);
            }
        }
    }
    let last = When { kind, at: i64::MAX };
    let mut end = Vec::new();
    keys::put_map_prefix(&mut end, group, &last.encode());
    keys::after_map(&end)
}

/// Adds what a call did to timers to a batch.
pub(crate) fn write(
    batch: &mut rocksdb::WriteBatch,
    family: &Family<'_>,
    keys: &KeyBatch<'_>,
    writes: &TimerWrites,
    scratch: &mut Vec<u8>,
) {
    for (when, key, set) in writes.iter() {
        scratch.clear();
        keys::put_map_prefix(scratch, keys.groups[key], &when.encode());
        scratch.extend_from_slice(keys.keys.get(key));
        match set {
            true => batch.put_cf(family, &scratch, []),
            false => batch.delete_cf(family, &scratch),
        }
    }
}
