//! What a row of a window costs the host, timers and results included, with state on the heap.
//! Times are those of the processor, so that it matters little what else the machine does.
//!
//! ```text
//! cargo run --release -p weir-operators --example windows [sessions|kept]
//! ```

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "it measures and tells"
)]

use std::{collections::HashMap, fs, time::Duration};

use weir_model::{
    Attempt, Column, ColumnView, EventTime, Keyed, KeyedView, MaxParallelism, Name, OptionalColumn,
    Parallelism, ProcessingTime, Rows, SubtaskIndex, hash64,
};
use weir_operator::{
    Contents, Context, Due, Emitted, Failure, FiredWindows, Metrics, Operator as _, TaskInfo,
    WindowFunction,
};
use weir_operators::{WindowOperator, WindowOptions, WindowStates};
use weir_state::{HeapBackend, KeyedState, OperatorState, TimerKind, Timers};
use weir_window::{Assigner, Lateness, Rules, Trigger};

const ROUNDS: usize = 5;
const CALLS: usize = 1_000;
/// The calls whose content is made before, and gone through over and over.
const MADE: usize = 16;

struct Case {
    name: &'static str,
    assigner: Assigner,
    /// How many rows a call has, and a millisecond.
    rows: usize,
    per_ms: usize,
    /// By how many milliseconds they are out of order.
    disorder: u64,
    keys: Keys,
    /// Whether windows keep their rows, and fold none.
    keeps: bool,
}

/// Which keys rows have.
#[derive(Clone, Copy)]
enum Keys {
    /// Any of so many.
    Of(u64),
    /// Half the rows have the newest one, the others one of the last hundred; so many are new in
    /// each millisecond.
    New(u64),
}

struct Call {
    values: Column,
    keyed: Keyed,
    timestamps: Vec<i64>,
}

/// Adds up numbers of eight bytes, as they come or out of all rows.
struct Sum {
    keeps: bool,
}

/// What the processor has done for this thread.
fn spent() -> Duration {
    let times = fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    Duration::from_nanos(times.split(' ').next().unwrap().parse().unwrap())
}

fn main() {
    let tumbling = |size| Assigner::Tumbling { size, offset: 0 };
    let many = |rows, keys| Case {
        name: "tumbling 10 s",
        assigner: tumbling(10_000),
        rows,
        per_ms: 100,
        disorder: 1_024,
        keys: Keys::Of(keys),
        keeps: false,
    };
    let new = |name, assigner| Case {
        name,
        assigner,
        rows: 4_096,
        per_ms: 92,
        disorder: 1,
        keys: Keys::New(6),
        keeps: false,
    };
    let kept = |name, case| Case {
        name,
        keeps: true,
        ..case
    };
    let sliding = Assigner::Sliding {
        size: 10_000,
        slide: 2_000,
        offset: 0,
    };
    let cases = [
        many(4_096, 1_000),
        many(1_024, 1_000),
        many(4_096, 4),
        new("tumbling 10 s, new keys", tumbling(10_000)),
        new("sliding 10 s by 2 s, new keys", sliding),
        new(
            "sessions of 1 s, new keys",
            Assigner::Session { gap: 1_000 },
        ),
        kept("tumbling 10 s, kept", many(4_096, 1_000)),
        kept("tumbling 10 s, kept", many(1_024, 100_000)),
    ];
    let only = std::env::args().nth(1).unwrap_or_default();
    for case in cases.iter().filter(|case| case.name.contains(&only)) {
        let best = (0..ROUNDS).map(|_| measure(case)).fold(f64::MAX, f64::min);
        let keys = match case.keys {
            Keys::Of(keys) => format!("{keys} keys"),
            Keys::New(_) => String::new(),
        };
        let (name, rows) = (case.name, case.rows);
        println!("{name:<30} {keys:>10} calls of {rows} rows: {best:6.1} ns a row");
    }
}

fn measure(case: &Case) -> f64 {
    let rules = Rules {
        assigner: case.assigner.clone(),
        trigger: Trigger::EventTime,
        lateness: Lateness::default(),
        evictor: None,
        event_time: true,
    };
    let mut cx = context(&rules, !case.keeps);
    let sum = Sum { keeps: case.keeps };
    let mut windows = WindowOperator::new(WindowOptions { rules, late: None }, Box::new(sum));
    windows.open(&mut cx).unwrap();
    let mut calls: Vec<Call> = (0..MADE).map(|number| call(case, number)).collect();
    let took = (MADE * case.rows / case.per_ms) as i64;
    let began = spent();
    for number in 0..CALLS {
        let call = &mut calls[number % MADE];
        let keyed = KeyedView {
            keys: call.keyed.keys.view(),
            hashes: &call.keyed.hashes,
            key_of_row: &call.keyed.key_of_row,
        };
        cx.state.begin(Some(keyed));
        let rows = Rows {
            values: call.values.view(),
            timestamps: &call.timestamps,
            keyed: Some(keyed),
        };
        windows.process(&mut cx, 0, rows).unwrap();
        cx.state.commit().unwrap();
        let last = call.timestamps.iter().max().unwrap();
        cx.watermark = EventTime(last - case.disorder as i64 - 1).max(cx.watermark);
        // The next time this content comes, it is later.
        call.timestamps.iter_mut().for_each(|time| *time += took);
        fire(&mut windows, &mut cx);
    }
    (spent() - began).as_nanos() as f64 / (CALLS * case.rows) as f64
}

/// Fires what is due, as a task does.
fn fire(windows: &mut WindowOperator, cx: &mut Box<Context>) {
    let kind = TimerKind::EventTime;
    loop {
        let mut due = Timers::default();
        let until = cx.watermark.0;
        cx.state.due_timers(kind, until, 4_096, &mut due).unwrap();
        if due.is_empty() {
            return;
        }
        let (mut names, mut hashes, mut key_of_row) = (Column::new(), Vec::new(), Vec::new());
        let mut known = HashMap::new();
        for key in due.keys.iter() {
            let next = known.len() as u32;
            let at = *known.entry(key).or_insert(next);
            if at == next {
                hashes.push(hash64(key));
                names.push(key);
            }
            key_of_row.push(at);
        }
        let keyed = KeyedView {
            keys: names.view(),
            hashes: &hashes,
            key_of_row: &key_of_row,
        };
        cx.state.begin(Some(keyed));
        cx.state.fire(kind, &due.at, &key_of_row).unwrap();
        let at = &due.at;
        windows.on_timers(cx, Due { kind, at, keyed }).unwrap();
        assert!(cx.state.timer_conflict().is_none());
        cx.state.commit().unwrap();
    }
}

fn call(case: &Case, number: usize) -> Call {
    let mut random = number as u64;
    let mut next = || {
        random = random
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        random >> 33
    };
    let mut values = Column::new();
    let (mut names, mut hashes) = (Column::new(), Vec::new());
    let (mut key_of_row, mut timestamps) = (Vec::new(), Vec::new());
    let mut known = HashMap::new();
    for row in 0..case.rows {
        let ms = ((number * case.rows + row) / case.per_ms) as u64;
        let key = match case.keys {
            Keys::Of(keys) => next() % keys,
            Keys::New(each_ms) => {
                let newest = 100 + ms * each_ms;
                newest - if next() % 2 == 0 { 0 } else { next() % 100 }
            }
        };
        values.push(&(next() % 1_000).to_le_bytes());
        let of = known.len() as u32;
        let at = *known.entry(key).or_insert(of);
        if at == of {
            let name = key.to_le_bytes();
            hashes.push(hash64(&name));
            names.push(&name);
        }
        key_of_row.push(at);
        timestamps.push((ms + next() % case.disorder) as i64);
    }
    Call {
        values,
        keyed: Keyed {
            keys: names,
            hashes,
            key_of_row,
        },
        timestamps,
    }
}

fn context(rules: &Rules, aggregates: bool) -> Box<Context> {
    let max = MaxParallelism::new(128).unwrap();
    let range = max.range_of(SubtaskIndex(0), Parallelism::ONE).unwrap();
    let states = WindowStates::of(rules, aggregates).declared(rules);
    let backend = HeapBackend::new(states, range).unwrap();
    Box::new(Context {
        task: TaskInfo {
            job: Name::new("cost").unwrap(),
            operator: Name::new("windows").unwrap(),
            subtask: SubtaskIndex(0),
            parallelism: Parallelism::ONE,
            max_parallelism: max,
            attempt: Attempt(1),
        },
        config: "null".into(),
        state: KeyedState::new(Box::new(backend), max),
        operator_state: OperatorState::new(&[]),
        watermark: EventTime::MIN,
        processing_time: ProcessingTime(0),
        metrics: Metrics::default(),
        deadline: None,
        rehearsal: false,
        said_watermarks: Vec::new(),
    })
}

impl WindowFunction for Sum {
    fn aggregates(&self) -> bool {
        !self.keeps
    }

    fn open(&mut self, _: &mut Box<Context>) -> Result<(), Failure> {
        Ok(())
    }

    fn reset(&mut self, _: &mut Box<Context>) -> Result<(), Failure> {
        Ok(())
    }

    fn accumulate(
        &mut self,
        _: &mut Box<Context>,
        accumulators: &OptionalColumn,
        accumulator_of_row: &[u32],
        rows: ColumnView<'_>,
    ) -> Result<Column, Failure> {
        let mut sums: Vec<u64> = accumulators
            .iter()
            .map(|held| held.map_or(0, number))
            .collect();
        for (&at, row) in accumulator_of_row.iter().zip(rows.iter()) {
            sums[at as usize] += number(row);
        }
        let mut folded = Column::with_capacity(sums.len(), sums.len() * 8);
        sums.iter().for_each(|sum| folded.push(&sum.to_le_bytes()));
        Ok(folded)
    }

    fn merge(
        &mut self,
        _: &mut Box<Context>,
        accumulators: ColumnView<'_>,
        ends: &[u32],
    ) -> Result<Column, Failure> {
        let mut sums = Column::with_capacity(ends.len(), ends.len() * 8);
        let mut from = 0;
        for &to in ends {
            let sum: u64 = (from..to as usize)
                .map(|at| number(accumulators.get(at)))
                .sum();
            sums.push(&sum.to_le_bytes());
            from = to as usize;
        }
        Ok(sums)
    }

    fn apply(
        &mut self,
        _: &mut Box<Context>,
        fired: FiredWindows<'_>,
    ) -> Result<Vec<Emitted>, Failure> {
        let windows = fired.windows.len();
        let mut values = Column::with_capacity(windows, windows * 8);
        match fired.contents {
            Contents::Accumulators(sums) => values.extend_from(sums),
            Contents::Rows {
                values: rows, ends, ..
            } => {
                let mut from = 0;
                for &to in ends {
                    let sum: u64 = (from..to as usize).map(|at| number(rows.get(at))).sum();
                    values.push(&sum.to_le_bytes());
                    from = to as usize;
                }
            }
        }
        Ok(vec![Emitted {
            values,
            ..Emitted::default()
        }])
    }
}

fn number(bytes: &[u8]) -> u64 {
    u64::from_le_bytes(bytes.try_into().unwrap())
}
