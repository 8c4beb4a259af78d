//! Snapshots that are still to be made: cells that the database does not have yet are written to
//! it, then its files are linked.
//!
//! A snapshot takes its cells while the task waits, in microseconds, and is made by whoever needs
//! it first: who writes it out, or the task where it has to change the database.
//!
//! INVARIANT: what a snapshot links is the database as it was at its barrier. So snapshots are made
//! in the order in which they were taken, and nothing else is written to the database before
//! [`Jobs::settle`]. One that was not made, or failed, leaves nothing behind: its cells are taken
//! again by the next.

use std::{
    collections::VecDeque,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
};

use weir_state::{
    Error, Snapshot, SnapshotSink,
    backends::{FrozenCells, Shape},
};

use crate::{
    cells::CellWriter,
    database::Database,
    error::failed,
    snapshot::{self, Frozen},
};

/// The snapshots of one backend that are still to be made.
#[derive(Default)]
pub(crate) struct Jobs {
    shared: Arc<Shared>,
    next: u64,
}

#[derive(Default)]
struct Shared {
    /// Held by who makes a snapshot.
    worker: Mutex<()>,
    waiting: Mutex<VecDeque<Job>>,
    /// Those that wait or are being made.
    unfinished: AtomicUsize,
}

/// A snapshot to be made.
struct Job {
    number: u64,
    work: Work,
    made: Made,
}

/// What it became.
type Made = Arc<Mutex<Option<Result<Frozen, Error>>>>;

/// What a snapshot is made of.
pub(crate) struct Work {
    pub(crate) database: Arc<Database>,
    /// Of each state, what the database lacks.
    pub(crate) cells: Vec<(usize, Shape, FrozenCells)>,
    /// Whom the folder is named after.
    pub(crate) owner: String,
}

/// The right to what a snapshot became. Dropped, it is not made any more.
struct Ticket {
    number: u64,
    made: Made,
    shared: Arc<Shared>,
}

/// What a snapshot writes once its files are linked.
type Then = Box<dyn FnOnce(Frozen) -> Box<dyn Snapshot> + Send>;

struct Later {
    ticket: Ticket,
    then: Then,
}

impl Jobs {
    /// Takes a snapshot, made later.
    pub(crate) fn take(&mut self, work: Work, then: Then) -> Box<dyn Snapshot> {
        let made = Made::default();
        let number = self.next;
        self.next += 1;
        self.shared.unfinished.fetch_add(1, Ordering::AcqRel);
        lock(&self.shared.waiting).push_back(Job {
            number,
            work,
            made: Arc::clone(&made),
        });
        let ticket = Ticket {
            number,
            made,
            shared: Arc::clone(&self.shared),
        };
        Box::new(Later { ticket, then })
    }

    /// Whether all are made.
    pub(crate) fn are_settled(&self) -> bool {
        self.shared.unfinished.load(Ordering::Acquire) == 0
    }

    /// Makes all, or waits until they are made. What becomes of them is told to their owners.
    pub(crate) fn settle(&self) {
        if !self.are_settled() {
            self.shared.make_up_to(u64::MAX);
        }
    }
}

impl Shared {
    fn make_up_to(&self, number: u64) {
        let _worker = lock(&self.worker);
        loop {
            let mut waiting = lock(&self.waiting);
            let due = waiting.front().is_some_and(|job| job.number <= number);
            let Some(job) = due.then(|| waiting.pop_front()).flatten() else {
                return;
            };
            drop(waiting);
            let made = job.work.make();
            *lock(&job.made) = Some(made);
            self.unfinished.fetch_sub(1, Ordering::AcqRel);
        }
    }
}

impl Work {
    fn make(self) -> Result<Frozen, Error> {
        let Self {
            database,
            mut cells,
            owner,
        } = self;
        for (state, shape, cells) in &mut cells {
            let mut writer = CellWriter::new(&database, *state, *shape)?;
            cells.write(&mut |group, key, value| writer.put(group, key, value))?;
            writer.finish()?;
        }
        for (_, _, cells) in cells {
            cells.stored();
        }
        snapshot::freeze(&database, &owner)
    }
}

impl Snapshot for Later {
    fn write(self: Box<Self>, sink: &mut dyn SnapshotSink) -> Result<(), Error> {
        let Self { ticket, then } = *self;
        ticket.shared.make_up_to(ticket.number);
        let made = lock(&ticket.made).take();
        let not_made = || failed("make a snapshot")("whoever began it did not end");
        then(made.ok_or_else(not_made)??).write(sink)
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        let mut waiting = lock(&self.shared.waiting);
        let before = waiting.len();
        waiting.retain(|job| job.number != self.number);
        let dropped = before - waiting.len();
        drop(waiting);
        self.shared.unfinished.fetch_sub(dropped, Ordering::AcqRel);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
