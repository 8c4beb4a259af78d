//! Windows in whole jobs that die and go on at other parallelisms: what they give is what the
//! reference gives that sees one row after the other.

#![expect(
    clippy::unwrap_used,
    reason = "a panic is how a test says that something is wrong"
)]

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
};

use weir_checkpoint::Config;
use weir_event_time::WatermarkStrategy;
use weir_graph::Partitioning;
use weir_model::{Column, ColumnView, EventTime, OptionalColumn};
use weir_operator::{
    Added, Asked, Contents, Context, Decided, DueTimers, Emitted, Failure, FiredWindows, TaskInfo,
    TimerChange, Trap, Verdict, WindowFunction, WindowFunctionFactory,
};
use weir_operators::WindowFactory;
use weir_runtime::{JobEvent, Outcome as Ended};
use weir_testkit::{Events, Ledger, LedgerSink, MemorySource, TestJob, Valve};
use weir_window::{Assigner, Lateness, Reference, Rules, Trigger};

/// Counts rows, or keeps them. As a trigger it has windows give their results at their end, and
/// traps where a row ends with an `x`.
#[derive(Clone, Copy)]
struct Count {
    aggregates: bool,
}

impl WindowFunctionFactory for Count {
    fn aggregates(&self) -> bool {
        self.aggregates
    }

    fn side_outputs(&self) -> &[String] {
        &[]
    }

    fn create(&self, _: &TaskInfo) -> Result<Box<dyn WindowFunction>, Failure> {
        Ok(Box::new(*self))
    }
}

fn number(bytes: Option<&[u8]>) -> u64 {
    bytes.map_or(0, |bytes| u64::from_le_bytes(bytes.try_into().unwrap()))
}

fn column(numbers: impl IntoIterator<Item = u64>) -> Column {
    let mut column = Column::new();
    numbers
        .into_iter()
        .for_each(|number| column.push(&number.to_le_bytes()));
    column
}

impl WindowFunction for Count {
    fn aggregates(&self) -> bool {
        self.aggregates
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
        _: ColumnView<'_>,
    ) -> Result<Column, Failure> {
        let mut all: Vec<u64> = accumulators.iter().map(number).collect();
        accumulator_of_row
            .iter()
            .for_each(|&at| all[at as usize] += 1);
        Ok(column(all))
    }

    fn merge(
        &mut self,
        _: &mut Box<Context>,
        accumulators: ColumnView<'_>,
        ends: &[u32],
    ) -> Result<Column, Failure> {
        let mut from = 0;
        Ok(column(ends.iter().map(|&to| {
            let group = from..to as usize;
            from = to as usize;
            group.map(|at| number(Some(accumulators.get(at)))).sum()
        })))
    }

    fn decide_rows(
        &mut self,
        _: &mut Box<Context>,
        asked: Asked<'_>,
        added: Added<'_>,
    ) -> Result<Decided, Failure> {
        let rows = added.row_of.iter().map(|&row| added.rows.get(row as usize));
        if rows.into_iter().any(|row| row.ends_with(b"x")) {
            return Err(Failure::Trap(Box::new(Trap {
                message: "as told".into(),
                backtrace: Vec::new(),
                row: None,
            })));
        }
        let end = |window: u32| asked.windows[window as usize].max_timestamp();
        let timers = added.window_of.iter();
        Ok(Decided {
            verdicts: vec![Verdict::CONTINUE; added.row_of.len()],
            remembered: asked.remembered.clone(),
            timers: timers
                .map(|&of| (of, TimerChange::Event(end(of))))
                .collect(),
        })
    }

    fn decide_timers(
        &mut self,
        _: &mut Box<Context>,
        asked: Asked<'_>,
        due: DueTimers<'_>,
    ) -> Result<Decided, Failure> {
        Ok(Decided {
            verdicts: vec![Verdict::FIRE; due.at.len()],
            remembered: asked.remembered.clone(),
            timers: Vec::new(),
        })
    }

    fn apply(
        &mut self,
        _: &mut Box<Context>,
        fired: FiredWindows<'_>,
    ) -> Result<Vec<Emitted>, Failure> {
        let mut values = Column::new();
        let mut from = 0;
        for (at, window) in fired.windows.iter().enumerate() {
            let count = match fired.contents {
                Contents::Accumulators(all) => number(Some(all.get(at))),
                Contents::Rows { ends, .. } => {
                    let count = ends[at] - from;
                    from = ends[at];
                    u64::from(count)
                }
            };
            let key = String::from_utf8_lossy(fired.keys.get(at));
            values.push(format!("{key} {window} {count}").as_bytes());
        }
        Ok(vec![Emitted {
            values,
            ..Emitted::default()
        }])
    }
}

/// Rows `<key>-<time>`, out of order by up to 49.
fn rows(count: i64) -> Vec<String> {
    let time = |i: i64| i * 3 + i * 37 % 50;
    (0..count)
        .map(|i| format!("k{}-{}", i % 13, time(i)))
        .collect()
}

fn time_of(row: &str) -> i64 {
    row.split('-').nth(1).unwrap().parse().unwrap()
}

/// What rows give that come in order.
fn expected(rules: &Rules, rows: &[String]) -> Vec<String> {
    let mut by_key = BTreeMap::<&str, Reference>::new();
    for (row, number) in rows.iter().zip(0..) {
        let key = row.split('-').next().unwrap();
        let of = by_key
            .entry(key)
            .or_insert_with(|| Reference::new(rules.clone()));
        assert!(of.row(time_of(row), number).is_empty(), "no watermark yet");
    }
    let mut all = Vec::new();
    for (key, mut of) in by_key {
        for fired in of.watermark(EventTime::MAX) {
            all.push(format!("{key} {} {}", fired.window, fired.rows.len()));
        }
        assert!(of.is_empty());
    }
    all.sort();
    all
}

fn rules(assigner: Assigner) -> Rules {
    Rules {
        assigner,
        trigger: Trigger::EventTime,
        lateness: Lateness::default(),
        evictor: None,
        event_time: true,
    }
}

/// Runs a job that is stopped twice, each time to go on at another parallelism.
fn stops_and_goes_on(assigner: &Assigner, aggregates: bool, unaligned: bool) {
    stops_with(assigner, Trigger::EventTime, (aggregates, unaligned));
}

// tidy: long function, one run after the other
/// The same with another trigger, which has windows give their results when they end.
fn stops_with(assigner: &Assigner, trigger: Trigger, (aggregates, unaligned): (bool, bool)) {
    let all = rows(6000);
    let expected = expected(&rules(assigner.clone()), &all);
    let rules = Rules {
        trigger,
        ..rules(assigner.clone())
    };
    let ledger = Ledger::default();
    let mut store = None;
    for (run, parallelism) in [3, 1, 2].into_iter().enumerate() {
        let to = [1500, 4000, u64::MAX][run];
        let source = MemorySource::of(std::slice::from_ref(&all))
            .reading(100)
            .behind(Valve::at(to))
            .timed(time_of);
        let factory = WindowFactory::new(rules.clone(), None, Box::new(Count { aggregates }));
        let mut job = TestJob::new()
            .source("rows", 1, source)
            .watermarks(WatermarkStrategy {
                max_out_of_orderness_ms: 50,
                idle_after_ms: None,
                alignment: None,
                every_rows: WatermarkStrategy::EVERY_ROWS,
            })
            .operator("window", parallelism, "rows", TestJob::by_prefix(), factory)
            .sink(
                "out",
                1,
                "window",
                Partitioning::Global,
                LedgerSink::new(&ledger),
            );
        job.checkpoints = Some(Config {
            interval_ms: Some(2),
            incremental: run % 2 == 0,
            unaligned,
            ..Config::default()
        });
        if let Some(store) = store.take() {
            job.store = store;
        }
        store = Some(job.store.clone());
        if to == u64::MAX {
            let report = job.run();
            assert!(
                matches!(report.outcome, Ended::Finished),
                "{:?}",
                report.outcome
            );
            break;
        }
        // Stopped where all has been read that may be: some windows are over, others are not.
        let (stop, stopped) = (job.stopper(), AtomicBool::new(false));
        let quiet = AtomicUsize::new(0);
        let seen = Arc::new(AtomicUsize::new(usize::MAX));
        let sink = ledger.clone();
        job.events = Events::reacting(move |event| {
            let count = sink.rows().len();
            if !matches!(event, JobEvent::Checkpoint(_)) || stopped.load(Ordering::SeqCst) {
                return;
            }
            match seen.swap(count, Ordering::SeqCst) == count && count > 0 {
                true => quiet.fetch_add(1, Ordering::SeqCst),
                false => quiet.swap(0, Ordering::SeqCst),
            };
            if quiet.load(Ordering::SeqCst) > 20 {
                stopped.store(true, Ordering::SeqCst);
                stop(true);
            }
        });
        let report = job.run();
        assert!(
            matches!(report.outcome, Ended::Stopped(_)),
            "{:?}",
            report.outcome
        );
    }
    assert_eq!(ledger.sorted(), expected, "{assigner:?}");
}

const SLIDING: Assigner = Assigner::Sliding {
    size: 240,
    slide: 60,
    offset: 0,
};

#[test]
fn tumbling_windows_are_saved_and_move_with_their_keys() {
    let tumbling = Assigner::Tumbling {
        size: 100,
        offset: 0,
    };
    stops_and_goes_on(&tumbling, true, false);
    stops_and_goes_on(&tumbling, false, true);
}

#[test]
fn sliding_windows_are_saved_and_move_with_their_keys() {
    stops_and_goes_on(&SLIDING, true, true);
    stops_and_goes_on(&SLIDING, false, false);
}

#[test]
fn sessions_are_saved_and_move_with_their_keys() {
    let session = Assigner::Session { gap: 30 };
    stops_and_goes_on(&session, true, false);
    stops_and_goes_on(&session, false, true);
}

#[test]
fn triggers_of_functions_are_saved_and_move_with_their_keys() {
    let tumbling = Assigner::Tumbling {
        size: 100,
        offset: 0,
    };
    stops_with(&tumbling, Trigger::Guest, (true, true));
    stops_with(&SLIDING, Trigger::Guest, (false, false));
}

#[test]
fn a_row_at_which_a_trigger_traps_is_found_and_left_out() {
    let good = rows(300);
    let mut all = good.clone();
    for (at, row) in [(7, "k1-20x"), (150, "k2-400x"), (151, "k2-401x")] {
        all.insert(at, row.to_owned());
    }
    let time = |row: &str| time_of(row.trim_end_matches('x'));
    let tumbling = Assigner::Tumbling {
        size: 100,
        offset: 0,
    };
    let expected = expected(&rules(tumbling.clone()), &good);
    let rules = Rules {
        trigger: Trigger::Guest,
        ..rules(tumbling)
    };
    for aggregates in [true, false] {
        let ledger = Ledger::default();
        let factory = WindowFactory::new(rules.clone(), None, Box::new(Count { aggregates }));
        let job = TestJob::new()
            .source(
                "rows",
                1,
                MemorySource::of(std::slice::from_ref(&all)).timed(time),
            )
            .watermarks(WatermarkStrategy {
                max_out_of_orderness_ms: 1000,
                idle_after_ms: None,
                alignment: None,
                every_rows: WatermarkStrategy::EVERY_ROWS,
            })
            .operator("window", 2, "rows", TestJob::by_prefix(), factory)
            .skipping()
            .sink(
                "out",
                1,
                "window",
                Partitioning::Global,
                LedgerSink::new(&ledger),
            );
        let report = job.run();
        assert!(
            matches!(report.outcome, Ended::Finished),
            "{:?}",
            report.outcome
        );
        assert_eq!(ledger.sorted(), expected);
    }
}
