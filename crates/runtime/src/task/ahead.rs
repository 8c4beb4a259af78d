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

    fn set_paused(&mut self, split: &str, paused: bool) -> bool {
        self.with_reader(|reader, _| reader.set_paused(split, paused))
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

#[cfg(test)]
mod tests {
    use std::{collections::HashSet, thread, thread::ThreadId};

    use proptest::prelude::*;
    use serde_json::json;
    use weir_model::Batch;
    use weir_operator::SplitRun;

    use super::*;

    /// What a read of [`Numbers`] comes to.
    #[derive(Clone, Copy, Debug)]
    enum Turn {
        /// So many rows, or as many as were asked for, if those are fewer.
        Rows(usize),
        Dry,
        Fails,
        Panics,
    }

    /// Gives numbers from 0 on, of one split.
    struct Numbers {
        turns: VecDeque<Turn>,
        splits: Vec<Split>,
        next: u64,
        asked: Arc<Mutex<Vec<usize>>>,
        threads: Arc<Mutex<HashSet<ThreadId>>>,
        /// The last row; what is behind it is the end of the split.
        last: u64,
    }

    impl Numbers {
        fn new(turns: impl Into<VecDeque<Turn>>) -> Self {
            Self {
                turns: turns.into(),
                splits: vec![split("a", 0)],
                next: 0,
                asked: Arc::default(),
                threads: Arc::default(),
                last: u64::MAX,
            }
        }
    }

    impl SourceReader for Numbers {
        fn add_split(&mut self, split: Split) -> Result<(), Failure> {
            self.splits.push(split);
            Ok(())
        }

        fn read(&mut self, rows: &mut SourceRows, most: usize) -> Result<ReadStatus, Failure> {
            lock(&self.threads).insert(thread::current().id());
            lock(&self.asked).push(most);
            let count = match self.turns.pop_front().unwrap_or(Turn::Rows(most)) {
                Turn::Rows(count) => count.min(most),
                Turn::Dry => return Ok(ReadStatus::Dry { retry_ms: 1 }),
                Turn::Fails => {
                    return Err(Failure::Internal {
                        message: "it is broken".into(),
                    });
                }
                Turn::Panics => panic!("the reader is broken"),
            };
            for _ in 0..count {
                if self.next == self.last {
                    self.splits.clear();
                    return Ok(ReadStatus::SplitEnded("a".into()));
                }
                rows.values.push(&self.next.to_le_bytes());
                self.next += 1;
            }
            Ok(ReadStatus::More)
        }

        fn snapshot(&mut self) -> Result<Vec<Split>, Failure> {
            let next = self.next;
            let splits = self.splits.iter();
            Ok(splits.map(|of| split(&of.id, next)).collect())
        }

        fn skipped(&self) -> u64 {
            self.next
        }
    }

    fn split(id: &str, next: u64) -> Split {
        Split {
            id: id.into(),
            position: json!(next),
        }
    }

    /// A reader and how many rows of it the task has.
    struct Rig {
        reader: ReadAhead,
        had: u64,
        splits: Vec<String>,
    }

    impl Rig {
        fn new(reader: Numbers) -> Self {
            Self {
                reader: ReadAhead::new(Box::new(reader)),
                had: 0,
                splits: vec!["a".into()],
            }
        }

        /// Reads, and looks that what comes is what comes next.
        fn read(&mut self, most: usize) -> Result<ReadStatus, Failure> {
            let mut rows = SourceRows::default();
            let status = self.reader.read(&mut rows, most)?;
            for row in rows.values.iter() {
                assert_eq!(row, self.had.to_le_bytes(), "in order, none lost");
                self.had += 1;
            }
            Ok(status)
        }

        fn follow(&mut self, plan: Option<Plan>) {
            self.reader.follow(plan);
        }

        /// Waits until the thread has nothing to do.
        fn settle(&self) {
            let is_done = |held: &Held| {
                held.thread_waits && (held.plan.is_none() || held.ready.len() > READS / 2)
            };
            while self.reader.thread.is_some() && !is_done(&lock(&self.reader.desk.held)) {
                thread::yield_now();
            }
        }

        /// What a checkpoint would keep is what the task has, however much was read.
        fn look(&mut self) {
            let splits: Vec<Split> = self.splits.iter().map(|id| split(id, self.had)).collect();
            let open = self.reader.snapshot().unwrap();
            let of_new = |of: &Split| of.id != "a" && of.position == json!(0);
            for (open, wanted) in open.iter().zip(&splits) {
                assert!(
                    open == wanted || of_new(open),
                    "{open:?} where {wanted:?} was expected"
                );
            }
            assert_eq!(open.len(), splits.len());
            assert_eq!(self.reader.skipped(), self.had);
        }
    }

    /// A plan for one split without watermarks.
    fn plan(most: usize) -> Option<Plan> {
        Plan::new(most, None, 1)
    }

    /// What the task can do.
    #[derive(Clone, Debug)]
    enum Act {
        Read,
        Settle,
        Rest,
        Look,
        Split,
    }

    fn acts() -> impl Strategy<Value = Vec<Act>> {
        let act = prop_oneof![
            8 => Just(Act::Read),
            4 => Just(Act::Settle),
            1 => Just(Act::Rest),
            3 => Just(Act::Look),
            1 => Just(Act::Split),
        ];
        prop::collection::vec(act, 1..60)
    }

    fn turns() -> impl Strategy<Value = Vec<Turn>> {
        let turn = prop_oneof![
            4 => (0..20_usize).prop_map(Turn::Rows),
            1 => Just(Turn::Dry),
        ];
        prop::collection::vec(turn, 0..60)
    }

    proptest! {
        #[test]
        fn the_task_has_all_rows_in_order_and_keeps_the_place_of_the_last(
            acts in acts(),
            turns in turns(),
        ) {
            let mut rig = Rig::new(Numbers::new(turns));
            for act in acts {
                match act {
                    Act::Read => {
                        if rig.read(10).unwrap() == ReadStatus::More {
                            rig.follow(plan(10));
                        }
                    }
                    Act::Settle => rig.settle(),
                    Act::Rest => rig.follow(None),
                    Act::Look => rig.look(),
                    Act::Split => {
                        let id = format!("b{}", rig.splits.len());
                        rig.reader.add_split(split(&id, 0)).unwrap();
                        rig.splits.push(id);
                    }
                }
            }
            rig.look();
        }

        #[test]
        fn a_watermark_is_due_behind_the_same_rows_as_without(
            most in 1..30_usize,
            every in 1..50_usize,
            read in prop::collection::vec(0..30_usize, 1..50),
        ) {
            let marks = Marks { left: every, every };
            let mut plan = Plan::new(most, Some(marks), 1).unwrap();
            let mut rows = 0;
            for count in read {
                let until = every - rows % every;
                prop_assert_eq!(plan.size(), most.min(until));
                let count = count.min(plan.size());
                rows += count;
                plan = plan.behind(count).unwrap();
            }
        }
    }

    #[test]
    fn another_thread_reads_and_no_further_than_it_may() {
        let numbers = Numbers::new([]);
        let (asked, threads) = (numbers.asked.clone(), numbers.threads.clone());
        let mut rig = Rig::new(numbers);
        rig.read(10).unwrap();
        rig.follow(plan(10));
        rig.settle();
        rig.look();
        assert_eq!(rig.had, 10);
        assert_eq!(*lock(&asked), [10; 1 + READS]);
        assert_eq!(lock(&threads).len(), 2);
        for _ in 0..3 * READS {
            rig.read(10).unwrap();
            rig.follow(plan(10));
            rig.look();
        }
        let read = lock(&asked).len();
        assert!(read <= 1 + 4 * READS, "{read} reads");
    }

    #[test]
    fn with_many_bytes_there_is_less_ahead() {
        let mut held = Held {
            reader: Some(Box::new(Numbers::new([]))),
            plan: plan(Batch::MAX_ROWS),
            ready: VecDeque::new(),
            thread_waits: false,
            task_waits: false,
            over: false,
        };
        let mut reads = 0;
        while let Some((mut reader, most)) = held.begin() {
            assert_eq!(most, Batch::MAX_ROWS);
            let mut portion = Portion::read(&mut *reader, 1);
            portion.rows.values.push(&vec![0; BYTES / 2]);
            held.end(reader, portion);
            reads += 1;
        }
        assert_eq!(reads, 2);
    }

    #[test]
    fn of_several_splits_the_task_says_where_the_next_watermark_is() {
        let marks = Marks {
            left: 10,
            every: 10,
        };
        let plan = Plan::new(8, Some(marks), 2).unwrap();
        let plan = plan.behind(8).unwrap();
        assert_eq!(plan.size(), 2);
        assert_eq!(plan.behind(2), None);
        assert_eq!(Plan::new(8, None, SPLITS + 1), None);
        assert_eq!(Plan::new(8, None, 0), None);
    }

    #[test]
    fn a_failure_and_a_panic_come_behind_the_rows_before_them() {
        let turns = [Turn::Rows(10), Turn::Rows(3), Turn::Fails];
        let mut rig = Rig::new(Numbers::new(turns));
        rig.read(10).unwrap();
        rig.follow(plan(10));
        rig.read(10).unwrap();
        assert_eq!(rig.had, 13);
        rig.look();
        let failed = rig.read(10).unwrap_err();
        assert!(failed.to_string().contains("it is broken"), "{failed}");

        let turns = [Turn::Rows(10), Turn::Rows(3), Turn::Panics];
        let mut rig = Rig::new(Numbers::new(turns));
        rig.read(10).unwrap();
        rig.follow(plan(10));
        rig.read(10).unwrap();
        assert_eq!(rig.had, 13);
        let panic = catch_unwind(AssertUnwindSafe(|| rig.read(10))).unwrap_err();
        assert_eq!(panic.downcast_ref(), Some(&"the reader is broken"));
    }

    #[test]
    fn that_there_is_nothing_now_is_said_by_who_looks_now() {
        let turns = [Turn::Rows(10), Turn::Dry, Turn::Dry, Turn::Rows(5)];
        let mut rig = Rig::new(Numbers::new(turns));
        rig.read(10).unwrap();
        rig.follow(plan(10));
        rig.settle();
        assert_eq!(rig.read(10).unwrap(), ReadStatus::More);
        // What was seen a while ago does not let the thread begin again.
        rig.follow(plan(10));
        assert!(lock(&rig.reader.desk.held).plan.is_none());
        let status = rig.read(10).unwrap();
        assert_eq!(status, ReadStatus::Dry { retry_ms: 1 });
        assert_eq!(rig.had, 10);
    }

    #[test]
    fn a_plan_ends_where_its_reads_would_be_of_another_size() {
        let mut rig = Rig::new(Numbers::new([]));
        rig.read(10).unwrap();
        rig.follow(plan(10));
        rig.follow(plan(20));
        assert_eq!(lock(&rig.reader.desk.held).plan, plan(10));
        rig.follow(plan(21));
        assert_eq!(lock(&rig.reader.desk.held).plan, None);
    }

    #[test]
    fn two_threads_pay_where_the_task_has_work_while_the_other_reads() {
        let us = Duration::from_micros;
        let costs = |read, work| Costs {
            read: Some(us(read)),
            work: Some(us(work)),
        };
        assert!(costs(70, 60).pay());
        assert!(costs(70, 20).pay());
        assert!(!costs(70, 8).pay(), "it would sleep behind each read");
        assert!(costs(8, 8).pay(), "the reader is ahead");
        assert!(!Costs::default().pay());
        let mut costs = costs(70, 8);
        for _ in 0..8 {
            Costs::learn(&mut costs.work, us(60));
        }
        assert!(costs.pay());
    }

    #[test]
    fn rows_stay_those_of_their_split_when_another_comes() {
        let mut rig = Rig::new(Numbers::new([]));
        rig.read(10).unwrap();
        rig.follow(plan(10));
        rig.settle();
        rig.reader.add_split(split("b", 0)).unwrap();
        let mut rows = SourceRows::default();
        rig.reader.read(&mut rows, 10).unwrap();
        let of_a = SplitRun {
            split: "a".into(),
            end: 10,
        };
        assert_eq!(rows.runs, [of_a]);
    }

    #[test]
    fn the_end_of_a_split_comes_behind_its_rows() {
        let mut numbers = Numbers::new([]);
        numbers.last = 25;
        let mut rig = Rig::new(numbers);
        while rig.read(10).unwrap() == ReadStatus::More {
            rig.follow(plan(10));
            rig.look();
        }
        assert_eq!(rig.had, 25);
        rig.splits.clear();
        rig.look();
    }
}
