//! State without keys and what an operator says itself: how it is restored at another parallelism,
//! and when which call comes.

use std::sync::{Mutex, OnceLock};

use weir_checkpoint::{Metadata, SubtaskMeta};
use weir_model::{Column, ColumnView, Name, OptionalColumn, Rows, SubtaskIndex};
use weir_operator::{Context, Descriptor, Operator, OperatorFactory, TaskInfo, Trap};
use weir_state::{EntriesColumn, SavedOperatorState, StateDecl, StateFileReader, StateIndex};

use super::*;

const LIST: StateIndex = StateIndex(0);
const UNION: StateIndex = StateIndex(1);
const MAP: StateIndex = StateIndex(2);

/// What a subtask found when it began or ended.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Held {
    list: Vec<String>,
    union: Vec<String>,
    map: Vec<String>,
    raw: Vec<String>,
}

/// What keepers have been called for.
#[derive(Default)]
struct Log {
    calls: Mutex<Vec<(u32, String)>>,
    began: Mutex<Vec<(u32, Held)>>,
    ended: Mutex<Vec<(u32, Held)>>,
}

impl Log {
    fn calls(&self) -> Vec<String> {
        let calls = self.calls.lock().unwrap();
        calls.iter().map(|(_, call)| call.clone()).collect()
    }

    fn count(&self, call: &str) -> usize {
        self.calls().iter().filter(|c| *c == call).count()
    }

    /// What each subtask had, in their order; forgets it.
    fn take(of: &Mutex<Vec<(u32, Held)>>) -> Vec<Held> {
        let mut all = std::mem::take(&mut *of.lock().unwrap());
        all.sort_by_key(|(subtask, _)| *subtask);
        all.into_iter().map(|(_, held)| held).collect()
    }
}

type Refuse = dyn Fn(CheckpointId) -> Result<(), Failure> + Send + Sync;
type Seen = dyn Fn(&Log) + Send + Sync;

/// An operator that keeps the rows of its first input in lists and in its own memory, and those of
/// its second, a broadcast one, in broadcast state.
#[derive(Clone)]
pub(super) struct Keeper {
    descriptor: Descriptor,
    log: Arc<Log>,
    refuse: Arc<Refuse>,
    seen: Arc<Seen>,
    subtask: SubtaskIndex,
    chunks: Vec<Vec<u8>>,
}

impl Keeper {
    pub(super) fn new(inputs: u32) -> Self {
        let state = |name: &str, kind| StateDecl {
            name: name.into(),
            kind,
            format: "utf8".into(),
            version: 1,
            prefetch: false,
            ttl: None,
        };
        Self {
            descriptor: Descriptor {
                states: vec![
                    state("list", StateKind::OperatorList),
                    state("union", StateKind::OperatorUnion),
                    state("map", StateKind::Broadcast),
                ],
                inputs,
                checkpointed: true,
                ..Descriptor::default()
            },
            log: Arc::default(),
            refuse: Arc::new(|_| Ok(())),
            seen: Arc::new(|_| ()),
            subtask: SubtaskIndex(0),
            chunks: Vec::new(),
        }
    }

    /// Does this after each call that processed rows or finished.
    fn seeing(mut self, seen: impl Fn(&Log) + Send + Sync + 'static) -> Self {
        self.seen = Arc::new(seen);
        self
    }

    /// Does this when it is asked for a snapshot.
    pub(super) fn refusing(
        mut self,
        refuse: impl Fn(CheckpointId) -> Result<(), Failure> + Send + Sync + 'static,
    ) -> Self {
        self.refuse = Arc::new(refuse);
        self
    }

    /// What it was called for, but for rows.
    pub(super) fn calls_without_rows(&self) -> Vec<String> {
        let calls = self.log.calls().into_iter();
        calls.filter(|call| call != "row").collect()
    }

    /// How often it was called for this.
    pub(super) fn count(&self, call: &str) -> usize {
        self.log.count(call)
    }

    fn called(&self, call: impl Into<String>) {
        let mut calls = self.log.calls.lock().unwrap();
        calls.push((self.subtask.0, call.into()));
    }

    fn held(&self, cx: &Context) -> Result<Held, Failure> {
        let text = |column: &Column| -> Vec<String> {
            let rows = column.iter();
            rows.map(|row| String::from_utf8_lossy(row).into_owned())
                .collect()
        };
        let (mut list, mut union) = (Column::new(), Column::new());
        let mut map = EntriesColumn::default();
        cx.operator_state.list_get(LIST, &mut list)?;
        cx.operator_state.list_get(UNION, &mut union)?;
        cx.operator_state.map_scan(MAP, None, 1000, &mut map)?;
        Ok(Held {
            list: text(&list),
            union: text(&union),
            map: text(&map.keys),
            raw: text(&self.chunks.iter().map(Vec::as_slice).collect()),
        })
    }
}

fn append(cx: &mut Context, state: StateIndex, rows: ColumnView<'_>) -> Result<(), Failure> {
    let mut list = Column::new();
    cx.operator_state.list_get(state, &mut list)?;
    list.extend_from(rows);
    cx.operator_state.list_set(state, list)?;
    Ok(())
}

fn put(cx: &mut Context, rows: ColumnView<'_>) -> Result<(), Failure> {
    let mut values = OptionalColumn::new();
    rows.iter().for_each(|row| values.push(Some(row)));
    cx.operator_state.map_put(MAP, rows, &values)?;
    Ok(())
}

impl OperatorFactory for Keeper {
    fn descriptor(&self) -> &Descriptor {
        &self.descriptor
    }

    fn create(&self, task: &TaskInfo) -> Result<Box<dyn Operator>, Failure> {
        Ok(Box::new(Self {
            subtask: task.subtask,
            ..self.clone()
        }))
    }
}

impl Operator for Keeper {
    fn initialize(
        &mut self,
        cx: &mut Box<Context>,
        restored: bool,
        raw: &[Vec<u8>],
    ) -> Result<(), Failure> {
        self.called(format!("initialize restored={restored}"));
        self.chunks = raw.to_vec();
        let held = self.held(cx)?;
        self.log.began.lock().unwrap().push((self.subtask.0, held));
        Ok(())
    }

    fn open(&mut self, _: &mut Box<Context>) -> Result<(), Failure> {
        self.called("open");
        Ok(())
    }

    fn process(
        &mut self,
        cx: &mut Box<Context>,
        input: u32,
        rows: Rows<'_>,
    ) -> Result<Outcome, Failure> {
        match input {
            0 => {
                append(cx, LIST, rows.values)?;
                append(cx, UNION, rows.values)?;
                self.chunks.extend(rows.values.iter().map(<[u8]>::to_vec));
            }
            _ => put(cx, rows.values)?,
        }
        rows.values.iter().for_each(|_| self.called("row"));
        (self.seen)(&self.log);
        Ok(Outcome::default())
    }

    fn end_of_input(&mut self, _: &mut Box<Context>, input: u32) -> Result<Vec<Emitted>, Failure> {
        self.called(format!("end of input {input}"));
        Ok(Vec::new())
    }

    fn finish(&mut self, cx: &mut Box<Context>) -> Result<Vec<Emitted>, Failure> {
        self.called("finish");
        let held = self.held(cx)?;
        self.log.ended.lock().unwrap().push((self.subtask.0, held));
        (self.seen)(&self.log);
        Ok(Vec::new())
    }

    fn snapshot(
        &mut self,
        cx: &mut Box<Context>,
        checkpoint: CheckpointId,
    ) -> Result<Vec<Vec<u8>>, Failure> {
        self.called(format!("snapshot {checkpoint}"));
        // What a snapshot writes counts if it succeeds.
        append(cx, LIST, ColumnView::empty())?;
        (self.refuse)(checkpoint)?;
        Ok(self.chunks.clone())
    }

    fn complete(&mut self, _: &mut Box<Context>, checkpoint: CheckpointId) -> Result<(), Failure> {
        self.called(format!("complete {checkpoint}"));
        Ok(())
    }

    fn aborted(&mut self, _: &mut Box<Context>, checkpoint: CheckpointId) -> Result<(), Failure> {
        self.called(format!("aborted {checkpoint}"));
        Ok(())
    }

    fn reset(&mut self, _: &mut Box<Context>) -> Result<(), Failure> {
        Ok(())
    }
}

type AskToStop = dyn Fn(bool) + Send + Sync;

/// Whoever asks a job to stop from inside of it.
#[derive(Clone, Default)]
struct Stop(Arc<OnceLock<Box<AskToStop>>>);

impl Stop {
    fn now(&self) {
        self.0.get().into_iter().for_each(|stop| stop(true));
    }

    fn of(&self, job: &TestJob) {
        assert!(self.0.set(Box::new(job.stopper())).is_ok());
    }
}

pub(super) fn numbered(prefix: &str, count: usize) -> Vec<String> {
    (0..count).map(|i| format!("{prefix}{i}")).collect()
}

/// rows -> keep <- broadcast control, at a parallelism.
fn keeping(keeper: Keeper, parallelism: u32, valve: &Valve) -> TestJob {
    let source = MemorySource::of(&[numbered("r", 10)]).behind(valve.clone());
    let control = MemorySource::of(&[numbered("c", 2)]);
    TestJob::new()
        .source("rows", 1, source)
        .source("control", 1, control)
        .operator("keep", parallelism, "rows", Partitioning::Rebalance, keeper)
        .and_from("control", Partitioning::Broadcast)
}

#[track_caller]
fn stopped(report: &Report) {
    let stopped = matches!(
        report.outcome,
        Ended::Stopped(StopDone {
            checkpoint: Some(_),
            ..
        })
    );
    assert!(stopped, "{:?}", report.outcome);
}

#[track_caller]
pub(super) fn finished(report: &Report) {
    let finished = matches!(report.outcome, Ended::Finished);
    assert!(finished, "{:?}", report.outcome);
}

#[test]
fn c05_c06_lists_union_broadcast_and_raw_state_are_dealt_out_anew_from_one_to_three_to_two() {
    let valve = Valve::at(7);
    let stop = Stop::default();
    let asked = stop.clone();
    let keeper = Keeper::new(2).seeing(move |log| {
        if log.count("row") == 7 + 2 {
            asked.now();
        }
    });
    let job = keeping(keeper.clone(), 1, &valve);
    stop.of(&job);
    stopped(&job.run());
    assert_eq!(Log::take(&keeper.log.began), [Held::default()]);

    // Nothing more comes: what there is, is dealt out.
    let mut three = keeping(keeper.clone(), 3, &valve);
    three.store = job.store.clone();
    let ask = three.stopper();
    three.events = Events::reacting(move |event| {
        if matches!(event, JobEvent::Running { .. }) {
            ask(true);
        }
    });
    stopped(&three.run());
    let (all, map) = (numbered("r", 7), numbered("c", 2));
    let share = |rows: &[String], union: &[String]| Held {
        list: rows.to_vec(),
        union: union.to_vec(),
        map: map.clone(),
        raw: rows.to_vec(),
    };
    assert_eq!(
        Log::take(&keeper.log.began),
        [
            share(&all[..3], &all),
            share(&all[3..5], &all),
            share(&all[5..], &all)
        ]
    );

    valve.open_to(u64::MAX);
    let mut two = keeping(keeper.clone(), 2, &valve);
    two.store = job.store.clone();
    finished(&two.run());
    let union = [&all[..], &all[..], &all[..]].concat();
    assert_eq!(
        Log::take(&keeper.log.began),
        [share(&all[..4], &union), share(&all[4..], &union)]
    );
    let ended = Log::take(&keeper.log.ended);
    for of in [
        |held: &Held| held.list.clone(),
        |held: &Held| held.raw.clone(),
    ] {
        let mut rows: Vec<String> = ended.iter().flat_map(of).collect();
        rows.sort();
        assert_eq!(rows, numbered("r", 10));
    }
    assert!(ended.iter().all(|held| held.map == map));
}

#[test]
fn at_the_same_parallelism_each_subtask_keeps_its_own_list() {
    let valve = Valve::at(7);
    let stop = Stop::default();
    let asked = stop.clone();
    let keeper = Keeper::new(2).seeing(move |log| {
        if log.count("row") == 7 + 2 * 2 {
            asked.now();
        }
    });
    let job = keeping(keeper.clone(), 2, &valve);
    stop.of(&job);
    stopped(&job.run());
    Log::take(&keeper.log.began);
    valve.open_to(u64::MAX);
    finished(&keeping_on(&job, &keeper, 2, &valve).run());
    let began = Log::take(&keeper.log.began);
    let held: usize = began.iter().map(|held| held.list.len()).sum();
    assert_eq!(held, 7);
    for held in &began {
        assert_eq!(held.list, held.raw, "both stay where they were");
        assert_eq!(held.union.len(), 7);
    }
}

fn keeping_on(before: &TestJob, keeper: &Keeper, parallelism: u32, valve: &Valve) -> TestJob {
    let mut job = keeping(keeper.clone(), parallelism, valve);
    job.store = before.store.clone();
    job
}

/// rows -> keep, in one task.
fn alone(keeper: &Keeper, rows: usize) -> TestJob {
    let source = MemorySource::of(&[numbered("r", rows)]);
    TestJob::new().source("rows", 1, source).operator(
        "keep",
        1,
        "rows",
        Partitioning::Forward,
        keeper.clone(),
    )
}

#[test]
fn c20_order_of_life_with_and_without_checkpoints() {
    let keeper = Keeper::new(1);
    let mut job = alone(&keeper, 3);
    job.checkpoints = Some(Config::default());
    finished(&job.run());
    let life = ["initialize restored=false", "open", "row", "row", "row"];
    let end = ["end of input 0", "finish", "snapshot 1", "complete 1"];
    assert_eq!(keeper.log.calls(), [&life[..], &end[..]].concat());

    let keeper = Keeper::new(1);
    let mut job = alone(&keeper, 3);
    job.checkpoints = None;
    finished(&job.run());
    assert_eq!(keeper.log.calls(), [&life[..], &end[..2]].concat());
}

#[test]
fn c39_a_stop_is_a_snapshot_and_its_completion_and_no_end_of_the_data() {
    let keeper = Keeper::new(1);
    let mut job = TestJob::new()
        .source(
            "rows",
            1,
            MemorySource::of(&[numbered("r", 3)]).behind(Valve::at(0)),
        )
        .operator("keep", 1, "rows", Partitioning::Forward, keeper.clone());
    job.checkpoints = Some(Config::default());
    let ask = job.stopper();
    job.events = Events::reacting(move |event| {
        if matches!(event, JobEvent::Running { .. }) {
            ask(true);
        }
    });
    stopped(&job.run());
    let life = [
        "initialize restored=false",
        "open",
        "snapshot 1",
        "complete 1",
    ];
    assert_eq!(keeper.log.calls(), life);
    stopped(&job.run());
    let again = [
        "initialize restored=true",
        "open",
        "snapshot 2",
        "complete 2",
    ];
    assert_eq!(keeper.log.calls()[4..], again);
}

#[test]
fn a_snapshot_that_is_refused_declines_the_checkpoint_and_leaves_no_trace() {
    let mut keeper = Keeper::new(1);
    keeper.refuse = Arc::new(|id| match id {
        CheckpointId(1) => Err(Failure::Guest {
            message: "not now".into(),
            row: None,
        }),
        CheckpointId(_) => Ok(()),
    });
    let valve = Valve::at(0);
    let opened = valve.clone();
    let refused = Arc::new(Mutex::new(String::new()));
    let why = refused.clone();
    let source = MemorySource::of(&[numbered("r", 3)]).behind(valve);
    let mut job = TestJob::new()
        .source("rows", 1, source)
        .operator("keep", 1, "rows", Partitioning::Forward, keeper.clone())
        .listening(Events::reacting(move |event| match event {
            JobEvent::CheckpointFailed { reason, .. } => {
                reason.clone_into(&mut why.lock().unwrap());
            }
            JobEvent::Checkpoint(_) => opened.open_to(u64::MAX),
            JobEvent::Reading { .. }
            | JobEvent::Restoring { .. }
            | JobEvent::Running { .. }
            | JobEvent::Failed(_)
            | JobEvent::Restarting { .. }
            | JobEvent::Savepoint { .. }
            | JobEvent::Note(_) => {}
        }));
    job.checkpoints = Some(Config {
        interval_ms: Some(1),
        tolerable_failures: 1,
        ..Config::default()
    });
    let report = job.run();
    finished(&report);
    assert_eq!(report.failed, 1);
    let reason = refused.lock().unwrap().clone();
    assert!(reason.contains("not now"), "{reason}");
    let calls = keeper.log.calls();
    let at = |call: &str| calls.iter().position(|c| c == call).unwrap();
    assert!(at("snapshot 1") < at("aborted 1"));
    assert!(at("aborted 1") < at("snapshot 2"));
    assert!(at("snapshot 2") < at("complete 2"));
    assert!(!calls.iter().any(|call| call == "complete 1"), "{calls:?}");
}

#[test]
fn an_instance_that_is_lost_in_a_snapshot_fails_its_task() {
    let trap = Failure::Trap(Box::new(Trap {
        message: "gone".into(),
        backtrace: Vec::new(),
        row: None,
    }));
    let breach = Failure::Contract {
        message: "gone".into(),
    };
    for gone in [trap, breach] {
        let (code, mut keeper) = (gone.code(), Keeper::new(1));
        keeper.refuse = Arc::new(move |_| Err(gone.clone()));
        let mut job = alone(&keeper, 3);
        job.checkpoints = Some(Config {
            tolerable_failures: 9,
            ..Config::default()
        });
        let report = job.run();
        let Ended::Failed(failed) = &report.outcome else {
            panic!("{:?}", report.outcome)
        };
        assert_eq!(failed.failure.code(), code, "{}", failed.failure);
        assert_eq!(report.failed, 1, "it is not asked again");
    }
}

#[test]
fn a_call_that_failed_leaves_no_trace_in_a_list() {
    let trapping = Closures::new(|cx, _, rows| {
        append(cx, LIST, rows.values)?;
        Ok(Outcome::default())
    })
    .with_state("list", StateKind::OperatorList)
    .trapping_at(|row| row.ends_with(b"7"))
    .with_finish(|cx| {
        let mut values = Column::new();
        cx.operator_state.list_get(LIST, &mut values)?;
        Ok(vec![Emitted {
            values,
            ..Emitted::default()
        }])
    });
    let all = rows(0, 200, 4);
    let ledger = Ledger::default();
    let report = TestJob::new()
        .source("rows", 1, MemorySource::of(std::slice::from_ref(&all)))
        .operator("list", 1, "rows", Partitioning::Forward, trapping)
        .skipping()
        .sink(
            "out",
            1,
            "list",
            Partitioning::Forward,
            LedgerSink::new(&ledger),
        )
        .run();
    finished(&report);
    let good = all.into_iter().filter(|row| !row.ends_with('7'));
    assert_eq!(ledger.rows(), good.collect::<Vec<_>>());
}

#[test]
fn broadcast_state_is_written_by_a_broadcast_input_alone() {
    let writing = || {
        Closures::new(|cx, _, rows| {
            put(cx, rows.values)?;
            Ok(Outcome::default())
        })
        .with_state("other", StateKind::OperatorList)
        .with_state("more", StateKind::OperatorList)
        .with_state("map", StateKind::Broadcast)
    };
    let run = |partitioning| {
        TestJob::new()
            .source("rows", 1, MemorySource::of(&[rows(0, 5, 1)]))
            .operator("map", 2, "rows", partitioning, writing())
            .run()
    };
    finished(&run(Partitioning::Broadcast));
    let text = failure(&run(Partitioning::Rebalance));
    assert!(text.contains("map"), "{text}");
}

#[test]
fn what_subtasks_hold_that_have_finished_is_in_every_later_checkpoint() {
    // The first split ends, the second waits: so one subtask has finished and the other has not.
    let splits = [numbered("a", 3), numbered("b", 10)];
    let job = |keeper: &Keeper, valve: &Valve, parallelism| {
        let source = MemorySource::of(&splits).behind(valve.clone());
        TestJob::new().source("rows", parallelism, source).operator(
            "keep",
            parallelism,
            "rows",
            Partitioning::Forward,
            keeper.clone(),
        )
    };
    for then in [1, 2, 3] {
        let valve = Valve::at(5);
        let stop = Stop::default();
        let asked = stop.clone();
        let keeper = Keeper::new(1).seeing(move |log| {
            if log.count("row") == 3 + 5 && log.count("finish") == 1 {
                asked.now();
            }
        });
        let first = job(&keeper, &valve, 2);
        stop.of(&first);
        stopped(&first.run());
        Log::take(&keeper.log.began);
        Log::take(&keeper.log.ended);

        valve.open_to(u64::MAX);
        let mut second = job(&keeper, &valve, then);
        second.store = first.store.clone();
        finished(&second.run());
        let mut expected = [&splits[0][..], &splits[1][..5]].concat();
        expected.sort();
        let began = Log::take(&keeper.log.began);
        assert_eq!(began.len(), then as usize);
        for held in &began {
            let mut union = held.union.clone();
            union.sort();
            assert_eq!(
                union, expected,
                "everyone gets what the finished one held, too"
            );
        }
        let mut rows: Vec<String> = Log::take(&keeper.log.ended)
            .into_iter()
            .flat_map(|held| held.list)
            .collect();
        rows.sort();
        let mut all = splits.concat();
        all.sort();
        assert_eq!(rows, all);
    }
}

#[test]
fn what_a_finished_operator_held_is_carried_on_without_calling_it() {
    let keeper = Keeper::new(1);
    let valve = Valve::at(1);
    let job = || {
        TestJob::new()
            .source("rows", 1, MemorySource::of(&[numbered("r", 4)]))
            .operator("keep", 1, "rows", Partitioning::Rebalance, keeper.clone())
            .source(
                "others",
                1,
                MemorySource::of(&[numbered("o", 4)]).behind(valve.clone()),
            )
            .operator(
                "drop",
                1,
                "others",
                Partitioning::Rebalance,
                map_rows(|_| Ok(Vec::new())),
            )
    };
    let mut first = job();
    let stop = first.stopper();
    let log = keeper.log.clone();
    first.events = Events::reacting(move |event| {
        if matches!(event, JobEvent::Checkpoint(_)) && log.count("finish") == 1 {
            stop(true);
        }
    });
    stopped(&first.run());
    let calls = keeper.log.calls().len();

    let mut second = job();
    second.store = first.store.clone();
    let stop = second.stopper();
    second.events = Events::reacting(move |event| {
        if matches!(event, JobEvent::Running { .. }) {
            stop(true);
        }
    });
    let report = second.run();
    stopped(&report);
    assert_eq!(keeper.log.calls().len(), calls, "it is not called any more");

    let [saved] = &saved_finished(&second, &report)[..] else {
        panic!("one subtask")
    };
    let rows = numbered("r", 4);
    let list = saved.list("list").unwrap();
    let list = list.map(|row| String::from_utf8_lossy(row).into_owned());
    assert_eq!(list.collect::<Vec<_>>(), rows);
    let raw: Vec<Vec<u8>> = rows.into_iter().map(String::into_bytes).collect();
    assert_eq!(saved.raw, raw);
}

/// What the finished subtasks of `keep` have saved in the checkpoint that a job stopped with.
fn saved_finished(job: &TestJob, report: &Report) -> Vec<SavedOperatorState> {
    let Ended::Stopped(StopDone {
        checkpoint: Some(id),
        ..
    }) = report.outcome
    else {
        panic!("{:?}", report.outcome)
    };
    let get = |inside: &str| job.store.get(&format!("test/chk-{id}/{inside}")).unwrap();
    let metadata = Metadata::decode(&get("_metadata")).unwrap();
    let name = Name::new("keep").unwrap();
    let of = |subtask: &SubtaskMeta| {
        assert!(subtask.finished);
        let file = get(&subtask.file.as_ref().unwrap().path);
        let file = StateFileReader::open(file).unwrap();
        file.operator_state(&name).unwrap()
    };
    metadata.operators[&name].subtasks.iter().map(of).collect()
}

#[test]
fn what_finished_subtasks_held_does_not_grow_with_each_restart() {
    let keeper = Keeper::new(1);
    let source = MemorySource::of(&[numbered("r", 4)]);
    let others = MemorySource::of(&[numbered("o", 4)]).behind(Valve::at(1));
    let mut job = TestJob::new()
        .source("rows", 1, source)
        .operator("keep", 2, "rows", Partitioning::Rebalance, keeper.clone())
        .source("others", 1, others);
    let (stop, log) = (job.stopper(), keeper.log.clone());
    job.events = Events::reacting(move |event| {
        if matches!(event, JobEvent::Checkpoint(_)) && log.count("finish") == 2 {
            stop(true);
        }
    });
    for _ in 0..3 {
        let report = job.run();
        let saved = saved_finished(&job, &report);
        for name in ["list", "union"] {
            let lists = saved.iter().filter_map(|saved| saved.list(name));
            let mut rows: Vec<_> = lists
                .flatten()
                .map(|row| String::from_utf8_lossy(row).into_owned())
                .collect();
            rows.sort();
            assert_eq!(rows, numbered("r", 4), "{name}");
        }
    }
    assert_eq!(keeper.log.count("initialize restored=true"), 0);
}

#[test]
fn what_a_component_said_itself_is_not_lost_unnoticed() {
    let raw = Closures::new(|_, _, _| Ok(Outcome::default()))
        .with_snapshot(|_, _| Ok(vec![b"mine".to_vec()]));
    let job = |name: &str, operator: Closures| {
        let source = MemorySource::of(&[numbered("r", 4)]).behind(Valve::at(1));
        TestJob::new().source("rows", 1, source).operator(
            name,
            1,
            "rows",
            Partitioning::Forward,
            operator,
        )
    };
    let mut first = job("raw", raw.clone());
    let stop = first.stopper();
    first.events = Events::reacting(move |event| {
        if matches!(event, JobEvent::Running { .. }) {
            stop(true);
        }
    });
    stopped(&first.run());
    let forgetful = || Closures::new(|_, _, _| Ok(Outcome::default()));
    for (name, operator, expected) in [
        (
            "raw",
            forgetful(),
            "does not export `checkpointed` any more",
        ),
        (
            "renamed",
            raw,
            "operator `raw`, which the job does not have",
        ),
    ] {
        let mut second = job(name, operator);
        second.store = first.store.clone();
        let text = failure(&second.run());
        assert!(text.contains(expected), "{text}");
    }
}
