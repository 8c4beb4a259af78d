//! The same source natively and as a component: what comes out is equal to the byte, and so is what
//! is in the state.

#![expect(
    clippy::unwrap_used,
    reason = "a panic is how a test says that something is wrong"
)]

#[path = "../../../guest-examples/flights-windows/departures/src/lib.rs"]
mod departures;
#[path = "../../../guest-examples/idle-alert/src/lib.rs"]
mod idle_alert;
#[path = "../../../guest-examples/keyed-count/src/lib.rs"]
mod keyed_count;
#[path = "../../../guest-examples/flights-windows/medians/src/lib.rs"]
mod medians;
#[path = "../../../guest-examples/passthrough/src/lib.rs"]
mod passthrough;
#[path = "../../../guest-examples/flights-windows/warnings/src/lib.rs"]
mod warnings;

use std::{path::Path, sync::Arc};

use weir_component::{Component, Engine, EngineOptions, Limits};
use weir_model::{
    Attempt, Column, EventTime, Keyed, KeyedView, MaxParallelism, Name, OptionalColumn,
    Parallelism, ProcessingTime, Rows, SubtaskIndex, hash64,
};
use weir_native::{Make, NativeOperator, NativeWindows};
use weir_operator::{
    Context, Due, Metrics, Operator, OperatorFactory, Outcome, TaskInfo, WindowFunctionFactory,
};
use weir_operators::{WindowOperator, WindowOptions, WindowStates};
use weir_state::{
    HeapBackend, KeyedState, OperatorState, StateDecl, StateIndex, TimerKind, Timers, Which,
};
use weir_window::{Assigner, Lateness, Rules, Trigger};

/// Rows of some keys, with times.
fn batch(of: u32, text: impl Fn(u32) -> String) -> (Column, Keyed, Vec<i64>) {
    let mut values = Column::new();
    let (mut keys, mut hashes, mut key_of_row) = (Column::new(), Vec::new(), Vec::new());
    for row in 0..200 {
        values.push(text(of * 200 + row).as_bytes());
        // Keys come in order of first appearance, as the engine has them.
        let key = row % 7;
        if row < 7 {
            let name = format!("\u{5}user{}", (key + of) % 9);
            hashes.push(hash64(name.as_bytes()));
            keys.push(name.as_bytes());
        }
        key_of_row.push(key);
    }
    let times = (0..200).map(|row| i64::from(of) * 60_000 + row * 250);
    let keyed = Keyed {
        keys,
        hashes,
        key_of_row,
    };
    (values, keyed, times.collect())
}

fn view(keyed: &Keyed) -> KeyedView<'_> {
    KeyedView {
        keys: keyed.keys.view(),
        hashes: &keyed.hashes,
        key_of_row: &keyed.key_of_row,
    }
}

fn context(states: Vec<StateDecl>, config: &str) -> Box<Context> {
    let max = MaxParallelism::new(128).unwrap();
    let all = max.range_of(SubtaskIndex(0), Parallelism::ONE).unwrap();
    Box::new(Context {
        task: TaskInfo {
            job: Name::new("test").unwrap(),
            operator: Name::new("operator").unwrap(),
            subtask: SubtaskIndex(0),
            parallelism: Parallelism::ONE,
            max_parallelism: max,
            attempt: Attempt(1),
        },
        config: config.into(),
        state: KeyedState::new(Box::new(HeapBackend::new(states, all).unwrap()), max),
        operator_state: OperatorState::new(&[]),
        watermark: EventTime::MIN,
        processing_time: ProcessingTime(0),
        metrics: Metrics::default(),
        deadline: None,
        rehearsal: false,
        said_watermarks: Vec::new(),
    })
}

/// An operator and what it needs of the engine.
struct Bench {
    operator: Box<dyn Operator>,
    cx: Box<Context>,
}

impl Bench {
    fn new(mut operator: Box<dyn Operator>, mut cx: Box<Context>) -> Self {
        cx.state.begin(None);
        operator.open(&mut cx).unwrap();
        cx.state.commit().unwrap();
        Self { operator, cx }
    }

    fn of(factory: &dyn OperatorFactory, config: &str) -> Self {
        let cx = context(factory.descriptor().states.clone(), config);
        Self::new(factory.create(&cx.task).unwrap(), cx)
    }

    fn process(&mut self, (values, keyed, times): &(Column, Keyed, Vec<i64>)) -> Outcome {
        self.cx.state.begin(Some(view(keyed)));
        let rows = Rows {
            values: values.view(),
            timestamps: times,
            keyed: Some(view(keyed)),
        };
        let outcome = self.operator.process(&mut self.cx, 0, rows).unwrap();
        self.cx.state.commit().unwrap();
        outcome
    }

    /// Fires all timers up to a time, those of one moment to a call.
    fn watermark(&mut self, to: i64) -> Vec<Outcome> {
        self.cx.watermark = EventTime(to);
        let mut outcomes = Vec::new();
        loop {
            let mut due = Timers::default();
            let state = &mut self.cx.state;
            (state.due_timers(TimerKind::EventTime, to, 1, &mut due)).unwrap();
            if due.is_empty() {
                return outcomes;
            }
            let keys: Column = due.keys.iter().collect();
            let hashes: Vec<u64> = keys.iter().map(hash64).collect();
            let keyed = KeyedView {
                keys: keys.view(),
                hashes: &hashes,
                key_of_row: &[0],
            };
            state.begin(Some(keyed));
            state.fire(TimerKind::EventTime, &due.at, &[0]).unwrap();
            let due = Due {
                kind: TimerKind::EventTime,
                at: &due.at,
                keyed,
            };
            let outcome = self.operator.on_timers(&mut self.cx, due).unwrap();
            self.cx.state.commit().unwrap();
            outcomes.push(outcome);
        }
    }

    /// What a state holds for some keys.
    fn held(&mut self, state: u32, keyed: &Keyed) -> OptionalColumn {
        let mut held = OptionalColumn::new();
        self.cx.state.begin(Some(view(keyed)));
        let state_index = StateIndex(state);
        (self.cx.state.value_get(state_index, Which::All, &mut held)).unwrap();
        self.cx.state.commit().unwrap();
        held
    }
}

fn component(file: &str) -> Component {
    let folder =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../../guest-examples/target/components");
    let engine = Engine::new(&EngineOptions::default()).unwrap();
    engine.load(&folder.join(file), &Limits::default()).unwrap()
}

/// The operator both ways.
fn both(make: Make, file: &str, config: &str) -> [Bench; 2] {
    let native = NativeOperator::new(make).unwrap();
    let component = component(file).factory(Limits::default());
    assert_eq!(native.descriptor(), component.descriptor());
    [Bench::of(&native, config), Bench::of(&component, config)]
}

/// The windows both ways.
fn both_windows(make: Make, file: &str, trigger: &Trigger) -> [Bench; 2] {
    let native: Arc<dyn WindowFunctionFactory> = Arc::new(NativeWindows::new(make).unwrap());
    let component = component(file);
    let folds = component.aggregates();
    let component: Arc<dyn WindowFunctionFactory> =
        Arc::new(component.windows(Limits::default(), folds));
    assert_eq!(native.aggregates(), component.aggregates());
    assert_eq!(native.side_outputs(), component.side_outputs());
    [native, component].map(|factory| {
        let rules = Rules {
            assigner: Assigner::Tumbling {
                size: 60_000,
                offset: 0,
            },
            trigger: trigger.clone(),
            lateness: Lateness::default(),
            evictor: None,
            event_time: true,
        };
        let cx = context(WindowStates::of(&rules, folds).declared(&rules), "null");
        let function = factory.create(&cx.task).unwrap();
        let options = WindowOptions { rules, late: None };
        Bench::new(Box::new(WindowOperator::new(options, function)), cx)
    })
}

fn rows_of(outcomes: &[Outcome]) -> usize {
    let emitted = outcomes.iter().flat_map(|outcome| &outcome.emitted);
    emitted.map(|one| one.values.len()).sum()
}

/// A flight with a delay, some of which no number.
fn flight(row: u32) -> String {
    let delay = row * 37 % 150;
    format!("1357035300000,1357035420000,UA,1545,N14228,EWR,IAH,{delay},11,{row}")
}

#[test]
fn rows_pass_through_alike() {
    let [mut native, mut component] =
        both(passthrough::native_operator, "passthrough.wasm", "null");
    let rows = batch(0, |row| format!("row {row}"));
    let passed = native.process(&rows);
    assert_eq!(passed, component.process(&rows));
    assert_eq!(passed.emitted[0].values, rows.0);
}

#[test]
fn counts_are_alike_in_the_output_and_in_the_state() {
    let [mut native, mut component] =
        both(keyed_count::native_operator, "keyed-count.wasm", "null");
    for of in 0..4 {
        let rows = batch(of, |row| row.to_string());
        let counted = native.process(&rows);
        assert_eq!(counted, component.process(&rows));
        assert_eq!(rows_of(&[counted]), 200);
        let held = native.held(0, &rows.1);
        assert!(held.iter().all(|count| count.is_some()));
        assert_eq!(held, component.held(0, &rows.1));
    }
}

#[test]
fn timers_fire_alike() {
    let config = r#"{"after_ms":10000,"by":"event-time"}"#;
    let [mut native, mut component] = both(idle_alert::native_operator, "idle-alert.wasm", config);
    for of in 0..2 {
        let rows = batch(of, |row| row.to_string());
        assert_eq!(native.process(&rows), component.process(&rows));
    }
    let fired = native.watermark(i64::MAX);
    assert!(rows_of(&fired) >= 8, "{fired:?}");
    assert_eq!(fired, component.watermark(i64::MAX));
    assert_eq!(native.cx.metrics.take(), component.cx.metrics.take());
}

#[test]
fn windows_that_fold_give_alike() {
    let trigger = Trigger::EventTime;
    let [mut native, mut component] = both_windows(
        departures::native_operator,
        "flights-departures.wasm",
        &trigger,
    );
    for of in 0..3 {
        let rows = batch(of, flight);
        assert_eq!(native.process(&rows), component.process(&rows));
    }
    let fired = native.watermark(i64::MAX);
    assert!(rows_of(&fired) == 21, "{fired:?}");
    assert_eq!(fired, component.watermark(i64::MAX));
}

#[test]
fn windows_that_see_all_rows_give_alike() {
    let trigger = Trigger::EventTime;
    let [mut native, mut component] =
        both_windows(medians::native_operator, "flights-medians.wasm", &trigger);
    // The last row is refused, and those before it count.
    let rows = batch(0, |row| match row {
        199 => "no flight".to_owned(),
        row => flight(row),
    });
    let refused = native.process(&rows);
    assert!(refused.poisoned.is_some());
    assert_eq!(refused, component.process(&rows));
    let fired = native.watermark(i64::MAX);
    assert!(rows_of(&fired) == 7, "{fired:?}");
    assert_eq!(fired, component.watermark(i64::MAX));
}

#[test]
fn triggers_decide_alike() {
    let [mut native, mut component] = both_windows(
        warnings::native_operator,
        "flights-warnings.wasm",
        &Trigger::Guest,
    );
    let mut warned = 0;
    for of in 0..3 {
        let rows = batch(of, |row| flight(row).replace(",11,", ",12,"));
        let outcome = native.process(&rows);
        warned += rows_of(std::slice::from_ref(&outcome));
        assert_eq!(outcome, component.process(&rows));
    }
    assert!(warned > 0);
    assert_eq!(native.watermark(i64::MAX), component.watermark(i64::MAX));
}
