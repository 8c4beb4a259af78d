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

/// What lookups have read at once for timers that are due, in rows and bytes.
fn read_at_once(subtask: &mut Subtask, rules: Temporal, watermark: i64) -> (usize, usize) {
    let (kind, mut due) = (TimerKind::EventTime, Timers::default());
    let cx = &mut subtask.cx;
    cx.watermark = EventTime(watermark);
    cx.state
        .due_timers(kind, watermark, 1000, &mut due)
        .unwrap();
    let keyed = Grouped::of((0..due.len()).map(|timer| due.keys.get(timer)));
    cx.state.begin(Some(keyed.view()));
    cx.state.fire(kind, &due.at, &keyed.key_of_row).unwrap();
    let mut keys = keys::Keys::load(cx, KEYS, keyed.keys.len()).unwrap();
    let (at, keyed) = (&due.at[..], keyed.view());
    let call = temporal::Call::of(cx, &mut keys, rules, Due { kind, at, keyed }).unwrap();
    cx.state.rollback();
    let of = [&call.left, &call.versions];
    let bytes = of.iter().map(|arena| arena.values().byte_len());
    let rows = of.iter().map(|arena| arena.times().len());
    (rows.sum(), bytes.sum())
}

/// Keys with so many left rows, and as many versions a millisecond before each, of so many bytes.
fn lookups(keys: u32, rows: i64, bytes: usize) {
    let rules = Temporal::default();
    let mut subtask = Subtask::new(Rule::Temporal(rules), 0, 1);
    let long = "x".repeat(bytes);
    for (side, before) in [(Side::Left, 0), (Side::Right, 1)] {
        let of_key = |key: u32| {
            let row = move |at: i64| (format!("k{key}"), at * 10 - before);
            (0..rows).map(row)
        };
        let all = (0..keys).flat_map(of_key);
        let all = all.map(|(key, time)| (key, time, format!("{long}t{time}")));
        subtask.rows(side, &all.collect::<Vec<_>>());
    }
    let end = rows * 10;
    let read = read_at_once(&mut subtask, rules, end);
    // A key more than fits, and of it a page more than is taken.
    assert!(read.0 < MOST * 6, "{} rows", read.0);
    // Three rows of a side are read however large they are.
    assert!(
        read.1 < MOST_BYTES * 6 + 2 * 3 * (bytes + 8),
        "{} bytes",
        read.1
    );

    let mut given = BTreeMap::<String, Vec<String>>::new();
    for outcome in subtask.watermark(EventTime(end + 1), 100) {
        for row in outcome.emitted.iter().flat_map(|part| part.values.iter()) {
            let row = String::from_utf8_lossy(row).replace(&long, "");
            let (key, pair) = row.split_once(' ').unwrap();
            given.entry(key.into()).or_default().push(pair.into());
        }
    }
    let pair = |at: i64| format!("t{}+t{}@{}", at * 10, at * 10 - 1, at * 10);
    let pairs: Vec<String> = (0..rows).map(pair).collect();
    assert_eq!(given.len(), keys as usize);
    for (key, given) in given {
        assert_eq!(given, pairs, "{key}");
    }
}

#[test]
fn lookups_of_a_call_read_no_more_than_it_takes_of_all_keys() {
    // Many rows, and large ones; of many keys and of one.
    lookups(60, 3, 10);
    lookups(1, 200, 10);
    lookups(20, 2, 50_000);
    lookups(1, 40, 50_000);
    lookups(1, 10, 200_000);
}
