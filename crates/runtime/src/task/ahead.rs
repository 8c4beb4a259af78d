//! Reading ahead: where cores are idle, a thread of its own reads what comes next from a source
//! while the task works on what it has.
//!
//! What was read ahead is in no checkpoint: the positions that are saved are those behind the last
//! row that the task was given. So whether a host reads ahead changes neither a plan nor a state;
//! and the watermarks of a split come behind the same rows. Flink has its fetchers for it
//! (FLIP-27).

use std::{
    any::Any,
    collections::VecDeque,
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread::{Builder, JoinHandle},
    time::{Duration, Instant},
};

use weir_operator::{Failure, ReadStatus, SourceReader, SourceRows, Split, Waker};

use super::lock;
use crate::memory;

#[cfg(test)]
mod tests;

/// How many reads are ahead at most.
const READS: usize = 4;
/// With so many bytes of rows ahead no more is read.
const BYTES: usize = 1 << 20;
/// With more open splits than these nothing is read ahead: behind each read their positions are
/// noted, which is to cost nothing beside its rows.
const SPLITS: usize = 16;
/// What it takes two threads to wait for each other once: with less work behind each read, and less
/// than the read takes, they would do so each time, and gain nothing by it. In a virtual machine
/// they took 8 to 16 us more for a batch than it took to read it, and a third more of CPU.
const WAKING: Duration = Duration::from_micros(20);

/// How many rows the next reads take, until one comes to something else than more rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Plan {
    /// One of them at most.
    most: usize,
    /// Where watermarks come by the number of rows.
    marks: Option<Marks>,
    /// How many splits are open.
    splits: usize,
}

/// Where watermarks are due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Marks {
    /// How many rows are left until the next one.
    pub(crate) left: usize,
    /// How many rows are from one to the next.
    pub(crate) every: usize,
}

impl Plan {
    /// A plan for a reader with so many open splits; `None` where it is not to read ahead.
    pub(crate) fn new(most: usize, marks: Option<Marks>, splits: usize) -> Option<Self> {
        let is_worth_it = (1..=SPLITS).contains(&splits);
        is_worth_it.then_some(Self {
            most,
            marks,
            splits,
        })
    }

    /// How many rows the next read takes at most.
    fn size(&self) -> usize {
        self.marks
            .map_or(self.most, |marks| self.most.min(marks.left))
    }

    /// Whether the reads of both are about as large.
    fn is_like(&self, other: &Self) -> bool {
        self.most <= 2 * other.most && other.most <= 2 * self.most
    }

    /// The plan behind a read of so many rows.
    fn behind(mut self, rows: usize) -> Option<Self> {
        if let Some(marks) = &mut self.marks {
            marks.left = marks.left.saturating_sub(rows);
            if marks.left == 0 {
                // Of several splits, one of them may be as far or not: the task knows.
                if self.splits > 1 {
                    return None;
                }
                marks.left = marks.every;
            }
        }
        Some(self)
    }
}

/// How long reads take of late, and the work on their rows.
#[derive(Clone, Copy, Debug, Default)]
struct Costs {
    read: Option<Duration>,
    work: Option<Duration>,
}

impl Costs {
    /// The mean of what was known, three parts of it, and what is new.
    fn learn(known: &mut Option<Duration>, took: Duration) {
        *known = Some(known.map_or(took, |known| (known * 3 + took) / 4));
    }

    /// Whether two threads are quicker than one.
    fn pay(&self) -> bool {
        let (Some(read), Some(work)) = (self.read, self.work) else {
            return false;
        };
        work >= WAKING || work >= read
    }
}

/// A reader that is read from on a thread of its own, as far as there is a plan for it, and else by
/// whoever asks.
pub(crate) struct ReadAhead {
    desk: Arc<Desk>,
    /// There is one from the first plan on.
    thread: Option<JoinHandle<()>>,
    /// The open splits behind the last row that was handed over. Valid while the reader is further.
    at: Vec<Split>,
    /// Malformed rows before that.
    skipped: u64,
    /// Whether what was handed over last was read when it was asked for.
    is_up_to_date: bool,
    costs: Costs,
    /// When rows were handed over behind which there may be more.
    given: Option<Instant>,
}

/// What the task and the thread share.
struct Desk {
    held: Mutex<Held>,
    /// There is something for the thread.
    asked: Condvar,
    /// The thread has ended a read.
    came: Condvar,
}

struct Held {
    /// `None` = the thread reads.
    reader: Option<Box<dyn SourceReader>>,
    plan: Option<Plan>,
    /// What was read and not handed over yet, in order.
    ready: VecDeque<Portion>,
    thread_waits: bool,
    task_waits: bool,
    /// The thread is to end.
    over: bool,
}

/// What a read ahead came to.
struct Portion {
    rows: SourceRows,
    /// Or with what it panicked.
    status: Result<Result<ReadStatus, Failure>, Box<dyn Any + Send>>,
    /// The open splits behind its rows; `None` where the reader could not say.
    behind: Option<Vec<Split>>,
    skipped: u64,
    took: Duration,
}

impl Portion {
    fn read(reader: &mut dyn SourceReader, most: usize) -> Self {
        let began = Instant::now();
        let mut rows = SourceRows::default();
        let read = || -> Result<_, Failure> {
            let status = reader.read(&mut rows, most)?;
            Ok((status, reader.snapshot().ok(), reader.skipped()))
        };
        let (status, behind, skipped) = match catch_unwind(AssertUnwindSafe(read)) {
            Ok(Ok((status, behind, skipped))) => (Ok(Ok(status)), behind, skipped),
            Ok(Err(failure)) => (Ok(Err(failure)), None, 0),
            Err(panic) => (Err(panic), None, 0),
        };
        Self {
            rows,
            status,
            behind,
            skipped,
            took: began.elapsed(),
        }
    }

    /// Whether more may be read at once.
    fn goes_on(&self) -> bool {
        matches!(self.status, Ok(Ok(ReadStatus::More))) && self.behind.is_some()
    }
}

impl Held {
    /// The reader and how much to read, if there is something to do.
    fn begin(&mut self) -> Option<(Box<dyn SourceReader>, usize)> {
        let plan = self.plan?;
        let bytes: usize = self.ready.iter().map(|p| p.rows.values.byte_len()).sum();
        if self.ready.len() >= READS || bytes >= BYTES {
            return None;
        }
        Some((self.reader.take()?, plan.size()))
    }

    /// The thread has read.
    fn end(&mut self, reader: Box<dyn SourceReader>, portion: Portion) {
        self.reader = Some(reader);
        let plan = self.plan.filter(|_| portion.goes_on());
        self.plan = plan.and_then(|plan| plan.behind(portion.rows.values.len()));
        self.ready.push_back(portion);
    }
}

impl Desk {
    /// What the thread does.
    fn read(&self) {
        let mut held = lock(&self.held);
        while !held.over {
            let Some((mut reader, most)) = held.begin() else {
                held.thread_waits = true;
                held = wait(&self.asked, held);
                held.thread_waits = false;
                continue;
            };
            drop(held);
            let portion = Portion::read(&mut *reader, most);
            memory::step();
            held = lock(&self.held);
            held.end(reader, portion);
            if held.task_waits {
                self.came.notify_one();
            }
        }
    }

    /// Waits as long as the thread reads and there is nothing that it has read.
    fn until<'a>(
        &self,
        mut held: MutexGuard<'a, Held>,
        is_enough: impl Fn(&Held) -> bool,
    ) -> MutexGuard<'a, Held> {
        while !is_enough(&held) && held.reader.is_none() {
            held.task_waits = true;
            held = wait(&self.came, held);
            held.task_waits = false;
        }
        held
    }
}

impl ReadAhead {
    pub(crate) fn new(reader: Box<dyn SourceReader>) -> Self {
        let held = Held {
            reader: Some(reader),
            plan: None,
            ready: VecDeque::new(),
            thread_waits: false,
            task_waits: false,
            over: false,
        };
        Self {
            desk: Arc::new(Desk {
                held: Mutex::new(held),
                asked: Condvar::new(),
                came: Condvar::new(),
            }),
            thread: None,
            at: Vec::new(),
            skipped: 0,
            is_up_to_date: false,
            costs: Costs::default(),
            given: None,
        }
    }

    /// Whether to read ahead makes the task quicker.
    pub(crate) fn pays(&self) -> bool {
        self.costs.pay()
    }

    /// What comes next is to be read so; without a plan only what is asked for. A plan that is
    /// being followed is followed on, unless its reads have become too small or too large. Behind
    /// one that has ended, a read that was asked for has to tell first that there is more.
    pub(crate) fn follow(&mut self, plan: Option<Plan>) {
        let mut held = lock(&self.desk.held);
        let Some(plan) = plan else {
            held.plan = None;
            return;
        };
        if held.plan.is_some() || !self.is_up_to_date {
            held.plan = held.plan.filter(|followed| followed.is_like(&plan));
            return;
        }
        let Some(reader) = &mut held.reader else {
            return;
        };
        // Why it cannot say them is told by the checkpoint that asks.
        let Ok(at) = reader.snapshot() else {
            return;
        };
        self.at = at;
        self.skipped = reader.skipped();
        if self.thread.is_none() {
            let desk = Arc::clone(&self.desk);
            let thread = Builder::new().name("weir-source".into());
            // Without a thread the task reads itself.
            let Ok(thread) = thread.spawn(move || desk.read()) else {
                return;
            };
            self.thread = Some(thread);
        }
        held.plan = Some(plan);
        if held.thread_waits {
            self.desk.asked.notify_one();
        }
    }

    /// Hands over what was read, or reads.
    fn next(&mut self, rows: &mut SourceRows, max_rows: usize) -> Result<ReadStatus, Failure> {
        let held = lock(&self.desk.held);
        let mut held = self.desk.until(held, |held| !held.ready.is_empty());
        let Some(portion) = held.ready.pop_front() else {
            // The thread has not begun, or there is nothing for it to do.
            held.plan = None;
            self.is_up_to_date = true;
            self.at.clear();
            let began = Instant::now();
            let status = match &mut held.reader {
                Some(reader) => reader.read(rows, max_rows)?,
                None => ReadStatus::More,
            };
            Costs::learn(&mut self.costs.read, began.elapsed());
            return Ok(status);
        };
        self.is_up_to_date = false;
        if held.thread_waits && held.plan.is_some() && held.ready.len() <= READS / 2 {
            self.desk.asked.notify_one();
        }
        drop(held);
        *rows = portion.rows;
        let status = portion
            .status
            .unwrap_or_else(|panic| resume_unwind(panic))?;
        Costs::learn(&mut self.costs.read, portion.took);
        self.skipped = portion.skipped;
        self.at = portion.behind.unwrap_or_default();
        Ok(match status {
            // That was some time ago: what is there now is seen by the next read, and whoever was
            // woken for it since may have been woken for something else.
            ReadStatus::Dry { .. } | ReadStatus::NoSplit => ReadStatus::More,
            status @ (ReadStatus::More | ReadStatus::SplitEnded(_)) => status,
        })
    }

    /// Does something with the reader itself, which reads ahead no further then.
    fn with_reader<T>(&self, act: impl FnOnce(&mut dyn SourceReader, &mut Held) -> T) -> T {
        let mut held = lock(&self.desk.held);
        held.plan = None;
        let mut reader = loop {
            held = self.desk.until(held, |_| false);
            if let Some(reader) = held.reader.take() {
                break reader;
            }
        };
        let done = act(&mut *reader, &mut held);
        held.reader = Some(reader);
        done
    }
}

impl SourceReader for ReadAhead {
    fn set_waker(&mut self, wake: Waker) {
        self.with_reader(|reader, _| reader.set_waker(wake));
    }

    fn add_split(&mut self, split: Split) -> Result<(), Failure> {
        let only: Option<Arc<str>> = match &self.at[..] {
            [only] => Some(only.id.as_str().into()),
            _ => None,
        };
        self.at.push(split.clone());
        self.with_reader(|reader, held| {
            // What was read before it did not know of it.
            for portion in &mut held.ready {
                portion
                    .behind
                    .iter_mut()
                    .for_each(|at| at.push(split.clone()));
                // Whose rows they are need not be said where one split is open.
                if let (Some(only), true) = (&only, portion.rows.runs.is_empty()) {
                    portion.rows.end_run(only);
                }
            }
            reader.add_split(split)
        })
    }

    fn read(&mut self, rows: &mut SourceRows, max_rows: usize) -> Result<ReadStatus, Failure> {
        if let Some(given) = self.given.take() {
            Costs::learn(&mut self.costs.work, given.elapsed());
        }
        let status = self.next(rows, max_rows)?;
        self.given = matches!(status, ReadStatus::More).then(Instant::now);
        Ok(status)
    }

    fn snapshot(&mut self) -> Result<Vec<Split>, Failure> {
        let mut held = lock(&self.desk.held);
        let is_further = !held.ready.is_empty();
        match &mut held.reader {
            Some(reader) if !is_further => reader.snapshot(),
            Some(_) | None => Ok(self.at.clone()),
        }
    }

    fn skipped(&self) -> u64 {
        let held = lock(&self.desk.held);
        match &held.reader {
            Some(reader) if held.ready.is_empty() => reader.skipped(),
            Some(_) | None => self.skipped,
        }
    }
}

impl Drop for ReadAhead {
    fn drop(&mut self) {
        lock(&self.desk.held).over = true;
        self.desk.asked.notify_one();
        // What the reader holds is given back before whoever waits for the task goes on. A panic of
        // a read has been caught.
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn wait<'a>(until: &Condvar, held: MutexGuard<'a, Held>) -> MutexGuard<'a, Held> {
    until.wait(held).unwrap_or_else(PoisonError::into_inner)
}
