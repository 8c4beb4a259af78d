//! Windows on batches against the reference, which takes one row after the other.

mod guest;
mod large;
mod layout;

use std::collections::BTreeMap;

use proptest::prelude::*;
use weir_model::{
    Attempt, Column, ColumnView, EventTime, KeyedView, MaxParallelism, Name, OptionalColumn,
    Parallelism, ProcessingTime, Rows, SubtaskIndex, hash64,
};
use weir_operator::{
    Added, Asked, Context, Decided, DueTimers, Emitted, Failure, Metrics, TaskInfo,
};
use weir_state::{HeapBackend, KeyedState, OperatorState, TimerKind, Timers};
use weir_window::{
    Assigner, Calendar, Each, Evictor, Fired, Lateness, Reference, Rules, Trigger, Zone,
};

use super::*;

/// Rows end to end, each a number and a comma: what they were added in shows.
struct Joined {
    aggregates: bool,
    /// Whether the row 13 is refused.
    refuses: bool,
    /// The trigger, where it is not the host's.
    trigger: Option<Box<dyn guest::Decides>>,
    calls: usize,
}

impl WindowFunction for Joined {
    fn aggregates(&self) -> bool {
        self.aggregates
    }

    fn open(&mut self, _: &mut Box<Context>) -> Result<(), Failure> {
        Ok(())
    }

    fn reset(&mut self, _: &mut Box<Context>) -> Result<(), Failure> {
        Ok(())
    }

    fn accept(&mut self, _: &mut Box<Context>, rows: ColumnView<'_>) -> Result<(), Failure> {
        match rows.iter().position(|row| row == b"13," && self.refuses) {
            None => Ok(()),
            Some(row) => Err(Failure::Guest {
                message: "unlucky".into(),
                row: Some(row as u32),
            }),
        }
    }

    fn accumulate(
        &mut self,
        _: &mut Box<Context>,
        accumulators: &OptionalColumn,
        accumulator_of_row: &[u32],
        rows: ColumnView<'_>,
    ) -> Result<Column, Failure> {
        self.calls += 1;
        if let Some(row) = rows.iter().position(|row| row == b"13," && self.refuses) {
            return Err(Failure::Guest {
                message: "unlucky".into(),
                row: Some(row as u32),
            });
        }
        let mut all: Vec<Vec<u8>> = accumulators
            .iter()
            .map(|bytes| bytes.unwrap_or_default().to_vec())
            .collect();
        for (&at, row) in accumulator_of_row.iter().zip(rows.iter()) {
            all[at as usize].extend_from_slice(row);
        }
        Ok(all.iter().map(Vec::as_slice).collect())
    }

    fn decide_rows(
        &mut self,
        _: &mut Box<Context>,
        asked: Asked<'_>,
        added: Added<'_>,
    ) -> Result<Decided, Failure> {
        Ok(guest::rows(self.trigger.as_deref().unwrap(), asked, added))
    }

    fn decide_timers(
        &mut self,
        _: &mut Box<Context>,
        asked: Asked<'_>,
        due: DueTimers<'_>,
    ) -> Result<Decided, Failure> {
        Ok(guest::timers(self.trigger.as_deref().unwrap(), asked, due))
    }

    fn merge(
        &mut self,
        _: &mut Box<Context>,
        accumulators: ColumnView<'_>,
        ends: &[u32],
    ) -> Result<Column, Failure> {
        let mut from = 0;
        let mut merged = Column::new();
        for &to in ends {
            assert!(to as usize > from + 1, "one alone is not merged");
            let group: Vec<u8> = (from..to as usize)
                .flat_map(|at| accumulators.get(at).to_vec())
                .collect();
            merged.push(&group);
            from = to as usize;
        }
        Ok(merged)
    }

    fn apply(
        &mut self,
        _: &mut Box<Context>,
        fired: FiredWindows<'_>,
    ) -> Result<Vec<Emitted>, Failure> {
        let mut values = Column::new();
        let mut from = 0;
        for (at, window) in fired.windows.iter().enumerate() {
            let mut held = match fired.contents {
                Contents::Accumulators(all) => all.get(at).to_vec(),
                Contents::Rows { values, ends, .. } => {
                    let to = ends[at] as usize;
                    let rows = (from..to).flat_map(|row| values.get(row).to_vec());
                    let rows = rows.collect();
                    from = to;
                    rows
                }
            };
            let key = String::from_utf8_lossy(fired.keys.get(at)).into_owned();
            let mut row = format!("{key} {window} ").into_bytes();
            row.append(&mut held);
            values.push(&row);
        }
        Ok(vec![Emitted {
            values,
            ..Emitted::default()
        }])
    }
}

fn column(rows: impl Iterator<Item = String>) -> Column {
    let mut column = Column::new();
    rows.for_each(|row| column.push(row.as_bytes()));
    column
}

/// An operator and the part of the engine that it needs.
struct Bench {
    operator: WindowOperator,
    cx: Box<Context>,
    late: Vec<u64>,
    /// The row that the last call has refused.
    poisoned: Option<u32>,
    /// How many pieces the last call has emitted.
    parts: usize,
}

impl Bench {
    fn new(rules: Rules, aggregates: bool) -> Self {
        Self::with(rules, aggregates, false, None)
    }

    /// With a function that refuses the row 13, or with a trigger that is not the host's.
    fn with(
        rules: Rules,
        aggregates: bool,
        refuses: bool,
        trigger: Option<Box<dyn guest::Decides>>,
    ) -> Self {
        let max = MaxParallelism::new(128).unwrap();
        let all = max.range_of(SubtaskIndex(0), Parallelism::ONE).unwrap();
        let states = WindowStates::of(&rules, aggregates).declared(&rules);
        let backend = HeapBackend::new(states, all).unwrap();
        let cx = Context {
            task: TaskInfo {
                job: Name::new("test").unwrap(),
                operator: Name::new("window").unwrap(),
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
        };
        let options = WindowOptions {
            rules,
            late: Some(1),
        };
        let function = Joined {
            aggregates,
            refuses,
            trigger,
            calls: 0,
        };
        Self {
            operator: WindowOperator::new(options, Box::new(function)),
            cx: Box::new(cx),
            late: Vec::new(),
            poisoned: None,
            parts: 0,
        }
    }

    /// The results of rows `(key, time, number)`.
    fn rows(&mut self, rows: &[(u8, i64, u64)]) -> Vec<String> {
        let mut keys: Vec<u8> = Vec::new();
        let mut key_of_row = Vec::new();
        for (key, ..) in rows {
            let at = keys.iter().position(|known| known == key);
            key_of_row.push(at.unwrap_or(keys.len()) as u32);
            if at.is_none() {
                keys.push(*key);
            }
        }
        let keys = column(keys.iter().map(|key| format!("k{key}")));
        let hashes: Vec<u64> = keys.iter().map(hash64).collect();
        let keyed = KeyedView {
            keys: keys.view(),
            hashes: &hashes,
            key_of_row: &key_of_row,
        };
        let values = column(rows.iter().map(|(.., row)| format!("{row},")));
        let timestamps: Vec<i64> = rows.iter().map(|(_, time, _)| *time).collect();
        self.cx.state.begin(Some(keyed));
        let rows = Rows {
            values: values.view(),
            timestamps: &timestamps,
            keyed: Some(keyed),
        };
        let outcome = self.operator.process(&mut self.cx, 0, rows).unwrap();
        self.cx.state.commit().unwrap();
        self.parts = outcome.emitted.len();
        self.poisoned = outcome.poisoned.as_ref().map(|poison| poison.row);
        self.shown(outcome)
    }

    /// Fires what is due, `limit` timers to a call, as the engine does.
    fn fire(&mut self, kind: TimerKind, until: i64, limit: usize) -> Vec<String> {
        let mut shown = Vec::new();
        for calls in 0.. {
            assert!(calls < 10_000, "it goes on for ever");
            let mut due = Timers::default();
            let state = &mut self.cx.state;
            state.due_timers(kind, until, limit, &mut due).unwrap();
            if due.is_empty() {
                return shown;
            }
            let mut keys: Vec<&[u8]> = Vec::new();
            let mut key_of_timer = Vec::new();
            for key in due.keys.iter() {
                let at = keys.iter().position(|known| *known == key);
                key_of_timer.push(at.unwrap_or(keys.len()) as u32);
                if at.is_none() {
                    keys.push(key);
                }
            }
            let keys: Column = keys.into_iter().collect();
            let hashes: Vec<u64> = keys.iter().map(hash64).collect();
            let keyed = KeyedView {
                keys: keys.view(),
                hashes: &hashes,
                key_of_row: &key_of_timer,
            };
            let mut most = due.len();
            let outcome = loop {
                let timers = &due.at[..most];
                let key_of_timer = &key_of_timer[..most];
                let keyed = KeyedView {
                    key_of_row: key_of_timer,
                    ..keyed
                };
                self.cx.state.begin(Some(keyed));
                self.cx.state.fire(kind, timers, key_of_timer).unwrap();
                let due = Due {
                    kind,
                    at: timers,
                    keyed,
                };
                let outcome = self.operator.on_timers(&mut self.cx, due).unwrap();
                match self.cx.state.timer_conflict() {
                    None => break outcome,
                    Some(sure) => most = sure,
                }
            };
            self.cx.state.commit().unwrap();
            shown.extend(self.shown(outcome));
        }
        shown
    }

    /// Nothing is left, of windows that are all over by now.
    fn check_empty(&mut self, rules: &Rules) -> Result<(), String> {
        let is_over = match rules.assigner {
            Assigner::Global => false,
            Assigner::Calendar(_) => rules.event_time,
            Assigner::Tumbling { .. } | Assigner::Sliding { .. } | Assigner::Session { .. } => true,
        };
        if !is_over {
            return Ok(());
        }
        let backend = self.cx.state.backend_mut();
        let names: Vec<String> = backend.states().iter().map(|of| of.name.clone()).collect();
        for (state, name) in (0..).zip(names) {
            let left = backend.entries(StateIndex(state));
            if left > 0 {
                return Err(format!("{left} entries of {name} are left"));
            }
        }
        Ok(())
    }

    fn watermark(&mut self, to: EventTime, limit: usize) -> Vec<String> {
        self.cx.watermark = to.max(self.cx.watermark);
        self.fire(TimerKind::EventTime, self.cx.watermark.0, limit)
    }

    fn clock(&mut self, to: ProcessingTime, limit: usize) -> Vec<String> {
        self.cx.processing_time = to.max(self.cx.processing_time);
        self.fire(TimerKind::ProcessingTime, self.cx.processing_time.0, limit)
    }

    fn shown(&mut self, outcome: Outcome) -> Vec<String> {
        let mut shown = Vec::new();
        for emitted in outcome.emitted {
            let rows = emitted
                .values
                .iter()
                .map(|row| String::from_utf8_lossy(row).into_owned());
            match emitted.output {
                0 => shown.extend(rows),
                _ => self
                    .late
                    .extend(rows.map(|row| row.trim_end_matches(',').parse::<u64>().unwrap())),
            }
        }
        shown
    }
}

/// The reference for several keys.
struct Expected {
    rules: Rules,
    by_key: BTreeMap<u8, Reference>,
    watermark: EventTime,
    now: ProcessingTime,
}

impl Expected {
    fn show(key: u8, fired: Vec<Fired>) -> Vec<String> {
        let show = |Fired { window, rows }: Fired| {
            let rows: String = rows.iter().map(|row| format!("{row},")).collect();
            format!("k{key} {window} {rows}")
        };
        fired.into_iter().map(show).collect()
    }

    fn of(&mut self, key: u8) -> &mut Reference {
        let (rules, watermark, now) = (&self.rules, self.watermark, self.now);
        self.by_key.entry(key).or_insert_with(|| {
            let mut of = Reference::new(rules.clone());
            of.watermark(watermark);
            of.clock(now);
            of
        })
    }
}

#[derive(Clone, Debug)]
enum Event {
    Rows(Vec<(u8, i64)>),
    Watermark(i64),
    Clock(i64),
}

/// A result with its rows in order.
fn sorted(result: &str) -> String {
    let (window, rows) = result.rsplit_once(' ').unwrap();
    let mut rows: Vec<u64> = rows
        .split_terminator(',')
        .map(|row| row.parse().unwrap())
        .collect();
    rows.sort_unstable();
    format!("{window} {rows:?}")
}

/// Whether what the operator gives is what the reference gives, for each key in order.
fn compare(rules: &Rules, aggregates: bool, events: &[Event], limit: usize) -> Result<(), String> {
    let bench = Bench::new(rules.clone(), aggregates);
    compare_with(bench, rules, events, limit)
}

fn compare_with(
    mut bench: Bench,
    rules: &Rules,
    events: &[Event],
    limit: usize,
) -> Result<(), String> {
    let mut expected = Expected {
        rules: rules.clone(),
        by_key: BTreeMap::new(),
        watermark: EventTime::MIN,
        now: ProcessingTime(0),
    };
    let mut number = 0;
    let last = [Event::Watermark(i64::MAX), Event::Clock(200)];
    for event in events.iter().chain(&last) {
        let (found, wanted) = match event {
            Event::Rows(rows) => {
                let mut numbered = Vec::new();
                let mut wanted = Vec::new();
                for &(key, time) in rows {
                    number += 1;
                    numbered.push((key, time, number));
                    wanted.extend(Expected::show(key, expected.of(key).row(time, number)));
                }
                (bench.rows(&numbered), wanted)
            }
            Event::Watermark(to) => {
                let to = EventTime(*to).max(expected.watermark);
                expected.watermark = to;
                let all = expected.by_key.iter_mut();
                let wanted = all.flat_map(|(key, of)| Expected::show(*key, of.watermark(to)));
                (bench.watermark(to, limit), wanted.collect())
            }
            Event::Clock(to) => {
                let to = ProcessingTime(*to).max(expected.now);
                expected.now = to;
                let all = expected.by_key.iter_mut();
                let wanted = all.flat_map(|(key, of)| Expected::show(*key, of.clock(to)));
                (bench.clock(to, limit), wanted.collect())
            }
        };
        // Keys have no order among each other, nor have the rows of panes that were merged.
        let is_shared = bench.operator.shared_panes().is_some();
        let by_key = |mut all: Vec<String>| {
            if is_shared {
                all.iter_mut().for_each(|row| *row = sorted(row));
            }
            all.sort_by(|a, b| a.split(' ').next().cmp(&b.split(' ').next()));
            all
        };
        let (found, wanted) = (by_key(found), by_key(wanted));
        if found != wanted {
            return Err(format!("{event:?}: {found:?} and not {wanted:?}"));
        }
    }
    let mut late: Vec<u64> = expected
        .by_key
        .values()
        .flat_map(|of| of.late().iter().copied())
        .collect();
    late.sort_unstable();
    if bench.late != late {
        return Err(format!("late: {:?} and not {late:?}", bench.late));
    }
    bench.check_empty(rules)
}

fn assigner() -> impl Strategy<Value = Assigner> {
    prop_oneof![
        (1_i64..30, -5_i64..5).prop_map(|(size, offset)| Assigner::Tumbling {
            size: size.max(6),
            offset
        }),
        (6_i64..30, 3_i64..30).prop_map(|(size, slide)| Assigner::Sliding {
            size,
            slide: slide.min(size),
            offset: 0
        }),
        (1_i64..20).prop_map(|gap| Assigner::Session { gap }),
        Just(Assigner::Global),
    ]
}

fn trigger() -> impl Strategy<Value = Trigger> {
    let plain = prop_oneof![
        3 => Just(Trigger::EventTime),
        2 => (1_u64..5).prop_map(Trigger::Count),
        1 => (2_i64..9).prop_map(Trigger::ContinuousEventTime),
        1 => Just(Trigger::Never),
    ];
    (plain, any::<bool>()).prop_map(|(trigger, purging)| match purging {
        true => Trigger::Purging(Box::new(trigger)),
        false => trigger,
    })
}

fn evictor() -> impl Strategy<Value = Option<(Evictor, bool)>> {
    let evictor = prop_oneof![
        (1_usize..4).prop_map(Evictor::Count),
        (1_i64..20).prop_map(Evictor::Time),
    ];
    proptest::option::weighted(0.2, (evictor, any::<bool>()))
}

fn events() -> impl Strategy<Value = Vec<Event>> {
    let rows = proptest::collection::vec((0_u8..3, -20_i64..120), 1..12).prop_map(Event::Rows);
    let event = prop_oneof![
        4 => rows,
        2 => (-20_i64..120).prop_map(Event::Watermark),
        1 => (0_i64..120).prop_map(Event::Clock),
    ];
    proptest::collection::vec(event, 1..12)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1500))]

    #[test]
    fn c24_c25_c26_batches_give_what_rows_one_by_one_give(
        (assigner, trigger, lateness) in (assigner(), trigger(), prop_oneof![Just(0), 0_u64..15]),
        evictor in evictor(),
        aggregates: bool,
        events in events(),
        limit in 1_usize..20,
    ) {
        let rules = Rules {
            assigner,
            trigger,
            lateness: Lateness { allowed_ms: lateness },
            evictor,
            event_time: true,
        };
        let compared = compare(&rules, aggregates, &events, limit);
        prop_assert!(compared.is_ok(), "{}", compared.unwrap_err());
    }

    #[test]
    fn windows_of_the_clock_are_as_the_reference_has_them(
        assigner in assigner(),
        continuous in proptest::option::of(2_i64..9),
        purging: bool,
        aggregates: bool,
        events in events(),
        limit in 1_usize..20,
    ) {
        let trigger = continuous.map_or(Trigger::ProcessingTime, Trigger::ContinuousProcessingTime);
        let rules = Rules {
            assigner,
            trigger: if purging { Trigger::Purging(Box::new(trigger)) } else { trigger },
            lateness: Lateness::default(),
            evictor: None,
            event_time: false,
        };
        let compared = compare(&rules, aggregates, &events, limit);
        prop_assert!(compared.is_ok(), "{}", compared.unwrap_err());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn c26_windows_without_an_end_are_as_the_reference_has_them(
        trigger in prop_oneof![
            trigger(),
            (2_i64..9).prop_map(Trigger::ContinuousProcessingTime),
        ],
        evictor in evictor(),
        aggregates: bool,
        events in events(),
        limit in 1_usize..20,
    ) {
        let rules = Rules {
            assigner: Assigner::Global,
            trigger,
            lateness: Lateness::default(),
            evictor,
            event_time: false,
        };
        let compared = compare(&rules, aggregates, &events, limit);
        prop_assert!(compared.is_ok(), "{}", compared.unwrap_err());
    }
}

/// Days around one on which clocks are put forward, and one on which they are put back.
const CHANGES: [i64; 2] = [1_711_846_800_000, 1_729_990_800_000];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn windows_of_the_calendar_are_as_the_reference_has_them(
        zone in prop_oneof![Just("Europe/Berlin"), Just("America/New_York"), Just("Asia/Tokyo")],
        each in prop_oneof![Just(Each::Day), Just(Each::Week), Just(Each::Month)],
        (change, trigger) in (0..CHANGES.len(), trigger()),
        (offset, lateness) in (0_i64..20, prop_oneof![Just(0), 0_u64..15]),
        aggregates: bool,
        events in events(),
        limit in 1_usize..20,
    ) {
        // What is some 140 ms elsewhere is as many hours here.
        const HOUR: i64 = 3_600_000;
        let at = |time: i64| CHANGES[change] + (time - 40) * HOUR;
        let events: Vec<Event> = events.into_iter().map(|event| match event {
            Event::Rows(rows) => {
                let rows = rows.into_iter().map(|(key, time)| (key, at(time)));
                Event::Rows(rows.collect())
            }
            Event::Watermark(to) => Event::Watermark(at(to)),
            Event::Clock(to) => Event::Clock(to),
        }).collect();
        let rules = Rules {
            assigner: Assigner::Calendar(Calendar {
                each,
                zone: Zone::named(zone).unwrap(),
                offset: offset * HOUR,
            }),
            trigger: slower(trigger, HOUR),
            lateness: Lateness { allowed_ms: lateness * HOUR.unsigned_abs() },
            evictor: None,
            event_time: true,
        };
        let compared = compare(&rules, aggregates, &events, limit);
        prop_assert!(compared.is_ok(), "{}", compared.unwrap_err());
    }
}

fn slower(trigger: Trigger, times: i64) -> Trigger {
    match trigger {
        Trigger::ContinuousEventTime(every) => Trigger::ContinuousEventTime(every * times),
        Trigger::Purging(inner) => Trigger::Purging(Box::new(slower(*inner, times))),
        other => other,
    }
}

/// Windows of all rows of a key, with a trigger and an evictor.
fn last(count: u64, last: usize) -> Rules {
    Rules {
        assigner: Assigner::Global,
        trigger: Trigger::Count(count),
        lateness: Lateness::default(),
        evictor: Some((Evictor::Count(last), false)),
        event_time: false,
    }
}

#[test]
fn c26_the_last_four_rows_after_each_two() {
    let mut bench = Bench::new(last(2, 4), false);
    let mut fired = Vec::new();
    for row in 1..=6 {
        fired.extend(bench.rows(&[(1, 0, row)]));
    }
    assert_eq!(
        fired,
        [
            "k1 all of time 1,2,",
            "k1 all of time 1,2,3,4,",
            "k1 all of time 3,4,5,6,"
        ]
    );
    // The same in one batch, and what is left gives nothing at the end.
    let mut bench = Bench::new(last(2, 4), false);
    let rows: Vec<(u8, i64, u64)> = (1..=7).map(|row| (1, 0, row)).collect();
    assert_eq!(bench.rows(&rows), fired);
    assert!(bench.watermark(EventTime::MAX, 10).is_empty());
}

#[test]
fn a_row_that_a_function_of_all_rows_refuses_is_in_no_window() {
    let rules = Rules {
        assigner: Assigner::Tumbling {
            size: 10,
            offset: 0,
        },
        trigger: Trigger::EventTime,
        lateness: Lateness::default(),
        evictor: None,
        event_time: true,
    };
    let mut bench = Bench::with(rules, false, true, None);
    // The row 13 is refused, and only those before it count.
    let fired = bench.rows(&[(1, 1, 11), (1, 2, 12), (1, 3, 13), (1, 4, 14)]);
    assert!(fired.is_empty());
    assert_eq!(bench.poisoned, Some(2));
    bench.rows(&[(1, 4, 14)]);
    assert_eq!(bench.poisoned, None);
    assert_eq!(bench.watermark(EventTime(9), 10), ["k1 [0, 10) 11,12,14,"]);
}

#[test]
fn a_window_that_gives_many_results_in_a_call_is_laid_out_piece_by_piece() {
    let rules = Rules {
        evictor: None,
        ..last(1, 1)
    };
    let mut bench = Bench::new(rules, false);
    // Each row is some digits, and the last result has all of them: a hundred times what is kept.
    let rows: Vec<(u8, i64, u64)> = (0..3000).map(|row| (1, 0, u64::MAX - row)).collect();
    let fired = bench.rows(&rows);
    assert_eq!(fired.len(), 3000);
    assert_eq!(fired[2999].matches(',').count(), 3000);
    assert!(bench.parts > 5, "{} calls", bench.parts);
    let laid_out: usize = fired.iter().map(String::len).sum();
    assert!(laid_out > 80 << 20, "{laid_out}");
}

#[test]
fn a_window_that_stays_for_late_rows_gives_its_result_again_where_time_begins_anew() {
    let rules = |assigner| Rules {
        assigner,
        trigger: Trigger::EventTime,
        lateness: Lateness { allowed_ms: 5 },
        evictor: None,
        event_time: true,
    };
    let tumbling = Assigner::Tumbling {
        size: 10,
        offset: 0,
    };
    for aggregates in [true, false] {
        let mut bench = Bench::new(rules(tumbling.clone()), aggregates);
        bench.rows(&[(1, 1, 1)]);
        assert_eq!(bench.watermark(EventTime(9), 10), ["k1 [0, 10) 1,"]);
        // As behind a restore.
        bench.cx.watermark = EventTime::MIN;
        assert!(bench.rows(&[(1, 7, 2)]).is_empty());
        assert_eq!(bench.watermark(EventTime(13), 10), ["k1 [0, 10) 1,2,"]);
        assert!(bench.watermark(EventTime(40), 10).is_empty());
    }
}

#[test]
fn a_session_by_the_clock_is_not_over_while_the_clock_shows_its_last_millisecond() {
    let rules = Rules {
        assigner: Assigner::Session { gap: 10 },
        trigger: Trigger::ProcessingTime,
        lateness: Lateness::default(),
        evictor: None,
        event_time: false,
    };
    let mut bench = Bench::new(rules, true);
    for (clock, row) in [(0, 1), (1, 2)] {
        bench.cx.processing_time = ProcessingTime(clock);
        bench.rows(&[(1, 0, row)]);
    }
    // The timer of the first row is due; 10 is the last millisecond of the session by now.
    bench.cx.processing_time = ProcessingTime(10);
    assert!(bench.fire(TimerKind::ProcessingTime, 9, 10).is_empty());
    bench.rows(&[(1, 0, 3)]);
    bench.cx.processing_time = ProcessingTime(30);
    let shown = bench.fire(TimerKind::ProcessingTime, 29, 10);
    assert_eq!(shown, ["k1 [0, 20) 1,2,3,"]);
}

#[test]
fn a_session_has_one_timer_while_it_grows_and_ends_when_no_row_came() {
    let rules = |allowed_ms| Rules {
        assigner: Assigner::Session { gap: 10 },
        trigger: Trigger::EventTime,
        lateness: Lateness { allowed_ms },
        evictor: None,
        event_time: true,
    };
    let timers = |bench: &mut Bench| {
        let (mut all, state) = (Timers::default(), &mut bench.cx.state);
        let kind = TimerKind::EventTime;
        state.due_timers(kind, i64::MAX, 100, &mut all).unwrap();
        all.at.clone()
    };
    let mut bench = Bench::new(rules(0), true);
    bench.rows(&[(1, 0, 1), (1, 4, 2)]);
    bench.rows(&[(1, 8, 3), (1, 7, 4)]);
    assert_eq!(timers(&mut bench), [9]);
    // It is due before the session is over, and set anew.
    assert!(bench.watermark(EventTime(12), 10).is_empty());
    assert_eq!(timers(&mut bench), [17]);
    bench.rows(&[(1, 17, 5)]);
    assert_eq!(timers(&mut bench), [17]);
    assert_eq!(
        bench.watermark(EventTime(40), 10),
        ["k1 [0, 27) 1,2,3,4,5,"]
    );
    assert!(timers(&mut bench).is_empty());
    // A session that stays for late rows has the timers of its end and of when it goes.
    let mut bench = Bench::new(rules(5), true);
    bench.rows(&[(1, 0, 1)]);
    bench.rows(&[(1, 4, 2)]);
    assert_eq!(timers(&mut bench), [13, 18]);
}
