//! What a call may give and read at most.

use weir_window::{Assigner, Lateness, Trigger};

use super::*;

/// A join of windows of ten milliseconds whose calls give so many bytes at most, with one pair of
/// long rows in each of two windows.
fn two_windows(output: usize) -> (Box<dyn Operator>, Subtask) {
    let rules = WindowRules {
        assigner: Assigner::Tumbling {
            size: 10,
            offset: 0,
        },
        trigger: Trigger::EventTime,
        lateness: Lateness::default(),
        evictor: None,
        event_time: true,
    };
    let kind = JoinKind::Inner;
    let rules = JoinRules::Window(rules, kind);
    let factory = JoinFactory::new(rules, None, output, Box::new(ShownFactory));
    let mut subtask = Subtask::new(Rule::Temporal(Temporal::default()), 0, 1);
    let task = &subtask.cx.task;
    let range = task
        .max_parallelism
        .range_of(task.subtask, task.parallelism);
    let states = factory.descriptor().states.clone();
    let backend = HeapBackend::new(states, range.unwrap()).unwrap();
    subtask.cx.state = KeyedState::new(Box::new(backend), task.max_parallelism);
    let mut operator = factory.create(&subtask.cx.task).unwrap();
    let keyed = Grouped::of([&b"k"[..]; 2].into_iter());
    let long = "x".repeat(4 << 20);
    for (input, rows) in [
        (0, [format!("{long}t1"), format!("{long}t11")]),
        (1, ["t2".to_owned(), "t12".to_owned()]),
    ] {
        let values: Column = rows.iter().map(String::as_bytes).collect();
        let times = [i64::from(input) + 1, i64::from(input) + 11];
        let rows = Rows {
            values: values.view(),
            timestamps: &times,
            keyed: Some(keyed.view()),
        };
        subtask.cx.state.begin(Some(keyed.view()));
        operator.process(&mut subtask.cx, input, rows).unwrap();
        subtask.cx.state.commit().unwrap();
    }
    (operator, subtask)
}

struct ShownFactory;

impl JoinFunctionFactory for ShownFactory {
    fn side_outputs(&self) -> &[String] {
        &[]
    }

    fn create(&self, _: &TaskInfo) -> Result<Box<dyn JoinFunction>, Failure> {
        Ok(Box::new(Shown))
    }
}

/// Fires what is due in one call.
fn fire(
    operator: &mut dyn Operator,
    subtask: &mut Subtask,
    watermark: i64,
) -> Result<usize, Failure> {
    let (kind, mut due) = (TimerKind::EventTime, Timers::default());
    subtask.cx.watermark = EventTime(watermark);
    let state = &mut subtask.cx.state;
    state.due_timers(kind, watermark, 8, &mut due).unwrap();
    let keyed = Grouped::of((0..due.len()).map(|timer| due.keys.get(timer)));
    state.begin(Some(keyed.view()));
    state.fire(kind, &due.at, &keyed.key_of_row).unwrap();
    let (at, keyed) = (&due.at[..], keyed.view());
    let outcome = operator.on_timers(&mut subtask.cx, Due { kind, at, keyed })?;
    subtask.cx.state.commit().unwrap();
    Ok(outcome
        .emitted
        .iter()
        .map(|part| part.values.byte_len())
        .sum())
}

#[test]
fn what_windows_of_a_call_give_together_is_limited() {
    const LIMIT: usize = 6 << 20;
    // One after the other.
    let (mut operator, mut subtask) = two_windows(LIMIT);
    for watermark in [10, 20] {
        let given = fire(&mut *operator, &mut subtask, watermark).unwrap();
        assert!((4 << 20..LIMIT).contains(&given), "{given} bytes");
    }
    // Both in one call.
    let (mut operator, mut subtask) = two_windows(LIMIT);
    let failed = fire(&mut *operator, &mut subtask, 20);
    let Err(Failure::Limit(limit)) = failed else {
        panic!("{failed:?}");
    };
    assert_eq!(limit.key, "output");
    assert!(
        limit.message.starts_with("the first 2 pairs"),
        "{}",
        limit.message
    );
    subtask.cx.state.rollback();
    // A limit for both.
    let (mut operator, mut subtask) = two_windows(2 * LIMIT);
    let given = fire(&mut *operator, &mut subtask, 20).unwrap();
    assert!(given > 8 << 20, "{given} bytes");
}
