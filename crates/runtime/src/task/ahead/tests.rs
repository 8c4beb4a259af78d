//! Rows, positions and watermarks of a reader that is further than its task.

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

/// A task that has all rows before the read that goes wrong.
fn before(wrong: Turn) -> Rig {
    let turns = [Turn::Rows(10), Turn::Rows(3), wrong];
    let mut rig = Rig::new(Numbers::new(turns));
    rig.read(10).unwrap();
    rig.follow(plan(10));
    rig.settle();
    rig.read(10).unwrap();
    assert_eq!(rig.had, 13);
    rig.look();
    rig
}

#[test]
fn a_failure_and_a_panic_come_behind_the_rows_before_them() {
    let failed = before(Turn::Fails).read(10).unwrap_err();
    assert!(failed.to_string().contains("it is broken"), "{failed}");
    let mut rig = before(Turn::Panics);
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
