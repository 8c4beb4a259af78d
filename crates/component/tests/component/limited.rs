//! The guest `operator-state`, compiled as any author's: all state that belongs to a subtask,
//! through checkpoints, restores and a change of the parallelism.

use weir_component::Limits;
use weir_model::{CheckpointId, Column, Parallelism, SubtaskIndex};
use weir_operator::{Failure, Metric, Poison};
use weir_state::{
    EntriesColumn, SavedOperatorState, StateDecl, StateFileReader, StateFileWriter, StateIndex,
    StateKind, redistribute,
};

use crate::{
    guests::guest,
    support::{Running, emitted, texts},
};

const MOST: StateIndex = StateIndex(1);
const HELD_BACK: StateIndex = StateIndex(2);

fn open() -> Running {
    Running::open(&guest("operator-state"), Limits::default())
}

fn rules(running: &mut Running, rows: &[&str]) {
    assert_eq!(running.process_input(1, true, rows).unwrap(), [""; 0]);
}

fn list(running: &Running, state: StateIndex) -> Column {
    let mut list = Column::new();
    running
        .cx
        .operator_state
        .list_get(state, &mut list)
        .unwrap();
    list
}

fn entries(running: &Running) -> Vec<String> {
    let mut entries = EntriesColumn::default();
    let state = &running.cx.operator_state;
    state.map_scan(MOST, None, 100, &mut entries).unwrap();
    texts(&entries.keys)
}

fn states() -> Vec<StateDecl> {
    guest("operator-state").descriptor().states.clone()
}

/// A checkpoint, by way of a file.
fn checkpoint(running: &mut Running) -> SavedOperatorState {
    let raw = running.snapshot(1).unwrap();
    let operator = &running.cx.task.operator;
    let mut file = StateFileWriter::new();
    let snapshot = running.cx.operator_state.snapshot();
    file.add_operator_state(operator, &states(), snapshot, raw)
        .unwrap();
    let file = file.finish().unwrap().out;
    StateFileReader::open(file)
        .unwrap()
        .operator_state(operator)
        .unwrap()
}

/// A subtask of so many that goes on from a checkpoint of all.
fn restored(old: &[SavedOperatorState], subtask: u32, parallelism: u32) -> Running {
    let mut running = Running::start(&guest("operator-state"), Limits::default()).unwrap();
    let parallelism = Parallelism::new(parallelism).unwrap();
    running.cx.task.subtask = SubtaskIndex(subtask);
    running.cx.task.parallelism = parallelism;
    let share = redistribute(&states(), old, parallelism, SubtaskIndex(subtask));
    let raw = share.raw.clone();
    running.cx.operator_state.restore(share).unwrap();
    running.initialize(true, &raw).unwrap();
    running.call(false, None, |o, cx| o.open(cx)).unwrap();
    running
}

fn subtasks_before(running: &Running) -> Option<&Metric> {
    running.cx.metrics.all().get("subtasks-before")
}

/// What the guest emits at its end.
fn finish(running: &mut Running) -> Vec<String> {
    let emitted = running.call(false, None, |o, cx| o.finish(cx)).unwrap();
    emitted
        .iter()
        .flat_map(|rows| texts(&rows.values))
        .collect()
}

#[test]
fn the_guest_declares_its_state_and_that_it_saves_some_itself() {
    let component = guest("operator-state");
    let descriptor = component.descriptor();
    assert!(descriptor.checkpointed && descriptor.keeps_memory);
    assert_eq!(descriptor.inputs, 2);
    let kinds = descriptor
        .states
        .iter()
        .map(|state| (&*state.name, state.kind));
    let expected = [
        ("count", StateKind::Value),
        ("most", StateKind::Broadcast),
        ("held-back", StateKind::OperatorList),
        ("subtasks", StateKind::OperatorUnion),
    ];
    assert_eq!(kinds.collect::<Vec<_>>(), expected);
    assert_eq!(descriptor.states[1].format, "utf8->u64-le");
}

#[test]
fn rows_of_the_broadcast_input_write_what_the_others_read() {
    let mut running = open();
    assert_eq!(running.process_keyed(&["a", "a"]).unwrap(), ["a", "a"]);
    rules(&mut running, &["a=3,b=1", "*=0"]);
    assert_eq!(entries(&running), ["*", "a", "b"]);
    assert_eq!(
        running.process_keyed(&["a", "a", "b", "c"]).unwrap(),
        ["a", "b"]
    );
    rules(&mut running, &["*="]);
    assert_eq!(running.process_keyed(&["c"]).unwrap(), ["c"]);
    // On the side what was held back, and 2 + 2 + 1 rows.
    assert_eq!(finish(&mut running), ["5 passed on", "a", "c"]);
}

#[test]
fn more_rules_than_are_fetched_at_once_hold_too() {
    let mut running = open();
    let many: Vec<String> = (0..300).map(|key| format!("k{key:03}=1")).collect();
    rules(&mut running, &[&many.join(","), "k250=,*=0"]);
    let rows = ["k000", "k000", "k299", "k299", "k250", "other"];
    assert_eq!(running.process_keyed(&rows).unwrap(), ["k000", "k299"]);
    assert_eq!(
        finish(&mut running),
        ["2 passed on", "k000", "k299", "k250", "other"]
    );
}

#[test]
fn a_refused_row_takes_its_writes_to_broadcast_state_along() {
    let mut running = open();
    let outcome = running
        .outcome_input(1, true, &["a=1", "a=7,b=x", "b=1"])
        .unwrap();
    let poison = Poison {
        row: 1,
        message: "x: invalid digit found in string".into(),
    };
    assert_eq!(outcome.poisoned, Some(poison));
    assert_eq!(entries(&running), ["a"]);
    let outcome = running.outcome_keyed(&["a", "a"]).unwrap();
    assert_eq!(emitted(&outcome), ["a"]);
}

#[test]
fn what_was_saved_is_there_after_a_restore() {
    let mut running = open();
    assert_eq!(subtasks_before(&running), None, "nothing was restored");
    rules(&mut running, &["*=1"]);
    running.process_keyed(&["a", "a", "b"]).unwrap();
    let saved = checkpoint(&mut running);
    assert_eq!(saved.raw, [2_u64.to_le_bytes()]);
    assert_eq!(saved.list("held-back").unwrap().collect::<Vec<_>>(), [b"a"]);

    let mut restored = restored(&[saved], 0, 1);
    assert_eq!(subtasks_before(&restored), Some(&Metric::Gauge(1.0)));
    // The rules hold; counts are keyed state, which this test does not restore.
    assert_eq!(restored.process_keyed(&["a", "a"]).unwrap(), ["a"]);
    assert_eq!(finish(&mut restored), ["3 passed on", "a", "a"]);
}

#[test]
fn c05_c06_c28_state_of_the_subtask_follows_a_change_of_the_parallelism() {
    let mut running = open();
    rules(&mut running, &["*=0,z=2"]);
    running.process_keyed(&["a", "b", "c", "z"]).unwrap();
    let one = [checkpoint(&mut running)];
    let mut two = [0, 1].map(|subtask| restored(&one, subtask, 2));
    for running in &two {
        assert_eq!(subtasks_before(running), Some(&Metric::Gauge(1.0)));
        assert_eq!(entries(running), ["*", "z"], "each has the rules, once");
    }
    assert_eq!(texts(&list(&two[0], HELD_BACK)), ["a", "b"]);
    assert_eq!(texts(&list(&two[1], HELD_BACK)), ["c"]);

    two[1].process_keyed(&["d"]).unwrap();
    let saved = two.each_mut().map(checkpoint);
    let mut three = [0, 1, 2].map(|subtask| restored(&saved, subtask, 3));
    for running in &three {
        assert_eq!(subtasks_before(running), Some(&Metric::Gauge(2.0)));
        assert_eq!(entries(running), ["*", "z"]);
    }
    let finished = three.each_mut().map(finish);
    // The raw state of two subtasks is dealt out to the first two of three.
    assert_eq!(finished[0], ["1 passed on", "a", "b"]);
    assert_eq!(finished[1], ["0 passed on", "c"]);
    assert_eq!(finished[2], ["0 passed on", "d"]);
}

#[test]
fn notifications_count_as_calls() {
    let mut running = open();
    for checkpoint in [1, 2] {
        running.snapshot(checkpoint).unwrap();
    }
    let told = running.call(false, None, |o, cx| o.aborted(cx, CheckpointId(1)));
    told.unwrap();
    let told = running.call(false, None, |o, cx| o.complete(cx, CheckpointId(2)));
    told.unwrap();
    let metrics = running.cx.metrics.all();
    assert_eq!(metrics.get("aborted"), Some(&Metric::Counter(1)));
    assert_eq!(metrics.get("completed"), Some(&Metric::Counter(1)));
}

#[test]
fn raw_state_that_does_not_fit_into_memory_is_told_by_the_limit() {
    let component = guest("operator-state");
    let mut running = Running::start(&component, Limits::default()).unwrap();
    let failure = running.initialize(true, &[vec![0; 80 << 20]]).unwrap_err();
    let Failure::Limit(limit) = failure else {
        panic!("{failure:?}");
    };
    assert_eq!((limit.key, &*limit.value), ("memory", "64MiB"));
    assert!(
        limit.message.starts_with("`initialize` wanted"),
        "{}",
        limit.message
    );
}

#[test]
fn raw_state_of_another_operator_fails_the_start() {
    let component = guest("operator-state");
    let mut running = Running::start(&component, Limits::default()).unwrap();
    let failure = running.initialize(true, &[b"seven".to_vec()]).unwrap_err();
    let words = "the component reports: could not convert slice to array";
    assert_eq!(failure.to_string(), words);
}
