//! Joins on batches against the references, which take one row after the other: with both inputs in
//! any order, and saved and loaded at another parallelism in between.

use std::collections::BTreeMap;

use proptest::prelude::*;
use weir_model::{
    Attempt, CheckpointId, Column, ColumnView, EventTime, KeyGroup, KeyedView, MaxParallelism,
    Name, Parallelism, ProcessingTime, SubtaskIndex, hash64,
};
use weir_operator::{Metrics, Pairs};
use weir_state::{
    Backend as _, Chain, HeapBackend, KeyedState, OperatorState, SnapshotFormat, SnapshotRequest,
    SnapshotSink, TimerKind, Timers,
};
use weir_window::{IntervalReference, JoinKind, TemporalReference};

use super::*;

mod limits;
mod refused;

/// Rows of a pair and its time, as `key left+right@time`.
struct Shown;

impl JoinFunction for Shown {
    fn open(&mut self, _: &mut Box<Context>) -> Result<(), Failure> {
        Ok(())
    }

    fn reset(&mut self, _: &mut Box<Context>) -> Result<(), Failure> {
        Ok(())
    }

    fn project(&mut self, _: &mut Box<Context>, pairs: Pairs<'_>) -> Result<Vec<Emitted>, Failure> {
        let mut values = Column::new();
        for at in 0..pairs.len() {
            let key = pairs.keys.get(pairs.key_of_pair[at] as usize);
            let mut text = String::from_utf8_lossy(key).into_owned();
            let sides = [
                (' ', pairs.left, pairs.left_times, pairs.left_of_pair[at]),
                ('+', pairs.right, pairs.right_times, pairs.right_of_pair[at]),
            ];
            for (before, rows, times, row) in sides {
                text.push(before);
                match row {
                    Pairs::ABSENT => text.push('-'),
                    row => {
                        let (row, time) = (rows.get(row as usize), times[row as usize]);
                        text.push_str(&String::from_utf8_lossy(row));
                        assert!(text.ends_with(&format!("t{time}")), "{text} has its time");
                    }
                }
            }
            text.push_str(&format!("@{}", pairs.timestamps[at]));
            values.push(text.as_bytes());
        }
        Ok(vec![Emitted {
            values,
            ..Emitted::default()
        }])
    }
}

/// What a checkpoint holds.
#[derive(Default)]
struct Saved(Vec<(StateIndex, KeyGroup, Vec<u8>)>);

impl SnapshotSink for Saved {
    fn block(
        &mut self,
        state: StateIndex,
        group: KeyGroup,
        _: u64,
        bytes: &[u8],
    ) -> Result<(), weir_state::Error> {
        self.0.push((state, group, bytes.to_vec()));
        Ok(())
    }

    fn base(&self) -> Option<CheckpointId> {
        None
    }

    fn chain(&self, _: StateIndex, _: KeyGroup) -> Chain {
        Chain::default()
    }

    fn keep(&mut self, _: StateIndex, _: KeyGroup) -> Result<(), weir_state::Error> {
        unreachable!("there is no base")
    }

    fn delta(
        &mut self,
        _: StateIndex,
        _: KeyGroup,
        _: u64,
        _: &[u8],
    ) -> Result<(), weir_state::Error> {
        unreachable!("there is no base")
    }

    fn blob(
        &mut self,
        _: &str,
        _: u64,
        _: &mut dyn std::io::Read,
    ) -> Result<(), weir_state::Error> {
        unreachable!("the format is canonical")
    }

    fn keep_blob(&mut self, _: &str) -> Result<bool, weir_state::Error> {
        unreachable!("the format is canonical")
    }

    fn note(&mut self, _: &[u8]) -> Result<(), weir_state::Error> {
        unreachable!("the format is canonical")
    }
}

/// A subtask, and the part of the engine that it needs.
struct Subtask {
    operator: Join,
    cx: Box<Context>,
}

impl Subtask {
    fn new(rules: Rule, index: u32, parallelism: u32) -> Self {
        let max = MaxParallelism::new(128).unwrap();
        let parallelism = Parallelism::new(parallelism).unwrap();
        let range = max.range_of(SubtaskIndex(index), parallelism).unwrap();
        let backend = HeapBackend::new(rules.states(), range).unwrap();
        let cx = Context {
            task: TaskInfo {
                job: Name::new("test").unwrap(),
                operator: Name::new("join").unwrap(),
                subtask: SubtaskIndex(index),
                parallelism,
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
        let options = Options {
            rule: rules,
            late: Some(1),
            output: usize::MAX,
        };
        Self {
            operator: Join {
                options,
                function: Box::new(Shown),
            },
            cx: Box::new(cx),
        }
    }

    fn rows(&mut self, side: Side, rows: &[(String, i64, String)]) -> Outcome {
        let keyed = Grouped::of(rows.iter().map(|(key, ..)| key.as_bytes()));
        let values: Column = rows.iter().map(|(.., row)| row.as_bytes()).collect();
        let timestamps: Vec<i64> = rows.iter().map(|(_, time, _)| *time).collect();
        let rows = Rows {
            values: values.view(),
            timestamps: &timestamps,
            keyed: Some(keyed.view()),
        };
        self.cx.state.begin(Some(keyed.view()));
        let outcome = self.operator.process(&mut self.cx, side as u32, rows);
        let outcome = outcome.unwrap();
        self.cx.state.commit().unwrap();
        outcome
    }

    /// Fires what is due, `limit` timers to a call, as the engine does.
    fn watermark(&mut self, to: EventTime, limit: usize) -> Vec<Outcome> {
        if to <= self.cx.watermark {
            return Vec::new();
        }
        self.cx.watermark = to;
        let kind = TimerKind::EventTime;
        let mut all = Vec::new();
        for calls in 0.. {
            assert!(calls < 100_000, "it goes on for ever");
            let mut due = Timers::default();
            let until = self.cx.watermark.0;
            self.cx
                .state
                .due_timers(kind, until, limit, &mut due)
                .unwrap();
            if due.is_empty() {
                return all;
            }
            let mut most = due.len();
            let outcome = loop {
                let at = &due.at[..most];
                let keyed = Grouped::of((0..most).map(|timer| due.keys.get(timer)));
                self.cx.state.begin(Some(keyed.view()));
                let state = &mut self.cx.state;
                state.fire(kind, at, &keyed.key_of_row).unwrap();
                let keyed = keyed.view();
                let due = Due { kind, at, keyed };
                let outcome = self.operator.on_timers(&mut self.cx, due).unwrap();
                match self.cx.state.timer_conflict() {
                    None => break outcome,
                    Some(sure) => most = sure,
                }
            };
            self.cx.state.commit().unwrap();
            all.push(outcome);
        }
        all
    }

    /// How many entries are kept of all states, timers too.
    fn kept(&mut self) -> usize {
        let mut saved = Saved::default();
        self.save(&mut saved);
        saved.0.len()
    }

    fn save(&mut self, to: &mut Saved) {
        let request = SnapshotRequest {
            format: SnapshotFormat::Canonical,
            ..SnapshotRequest::full(CheckpointId(1), ProcessingTime(0))
        };
        let snapshot = self.cx.state.snapshot(&request).unwrap();
        snapshot.write(to).unwrap();
    }
}

/// Rows by their keys.
struct Grouped {
    keys: Column,
    hashes: Vec<u64>,
    key_of_row: Vec<u32>,
}

impl Grouped {
    fn of<'a>(keys: impl Iterator<Item = &'a [u8]>) -> Self {
        let mut found: Vec<&[u8]> = Vec::new();
        let mut key_of_row = Vec::new();
        for key in keys {
            let at = found.iter().position(|known| *known == key);
            key_of_row.push(at.unwrap_or(found.len()) as u32);
            if at.is_none() {
                found.push(key);
            }
        }
        let keys: Column = found.into_iter().collect();
        Self {
            hashes: keys.iter().map(hash64).collect(),
            keys,
            key_of_row,
        }
    }

    fn view(&self) -> KeyedView<'_> {
        KeyedView {
            keys: self.keys.view(),
            hashes: &self.hashes,
            key_of_row: &self.key_of_row,
        }
    }
}

/// All subtasks.
struct Bench {
    rules: Rule,
    subtasks: Vec<Subtask>,
    late: Vec<u64>,
}

impl Bench {
    fn new(rules: Rule) -> Self {
        Self {
            subtasks: vec![Subtask::new(rules, 0, 1)],
            rules,
            late: Vec::new(),
        }
    }

    fn subtask_of(&self, key: &str) -> usize {
        let of = |subtask: &Subtask| {
            let task = &subtask.cx.task;
            let range = task
                .max_parallelism
                .range_of(task.subtask, task.parallelism);
            let group = task.max_parallelism.key_group_of(hash64(key.as_bytes()));
            range.unwrap().contains(group)
        };
        self.subtasks.iter().position(of).unwrap()
    }

    /// What rows `(key, time, number)` give.
    fn rows(&mut self, side: Side, rows: &[(u8, i64, u64)]) -> Vec<String> {
        let mut parts: Vec<Vec<_>> = vec![Vec::new(); self.subtasks.len()];
        for (key, time, number) in rows {
            let key = format!("k{key}");
            let at = self.subtask_of(&key);
            parts[at].push((key, *time, format!("{number}t{time}")));
        }
        let mut all = Vec::new();
        for (at, rows) in parts
            .iter()
            .enumerate()
            .filter(|(_, rows)| !rows.is_empty())
        {
            let outcome = self.subtasks[at].rows(side, rows);
            for part in &outcome.emitted {
                assert!(
                    part.origin
                        .iter()
                        .all(|&origin| (origin as usize) < rows.len())
                );
            }
            all.extend(self.shown(outcome));
        }
        all
    }

    fn watermark(&mut self, to: i64, limit: usize) -> Vec<String> {
        let mut all = Vec::new();
        for at in 0..self.subtasks.len() {
            for outcome in self.subtasks[at].watermark(EventTime(to), limit) {
                all.extend(self.shown(outcome));
            }
        }
        all
    }

    /// All is saved, and loaded by so many subtasks.
    fn rescale(&mut self, parallelism: u32) {
        let mut saved = Saved::default();
        self.subtasks
            .iter_mut()
            .for_each(|one| one.save(&mut saved));
        let watermark = self.subtasks[0].cx.watermark;
        let max = MaxParallelism::new(128).unwrap();
        self.subtasks = (0..parallelism)
            .map(|index| {
                let mut one = Subtask::new(self.rules, index, parallelism);
                let of = Parallelism::new(parallelism).unwrap();
                let range = max.range_of(SubtaskIndex(index), of).unwrap();
                let mut backend = HeapBackend::new(self.rules.states(), range).unwrap();
                for (state, group, bytes) in &saved.0 {
                    if range.contains(*group) {
                        backend.load(*state, *group, bytes).unwrap();
                    }
                }
                one.cx.state = KeyedState::new(Box::new(backend), max);
                one.cx.watermark = watermark;
                one
            })
            .collect();
    }

    fn shown(&mut self, outcome: Outcome) -> Vec<String> {
        let mut shown = Vec::new();
        for emitted in outcome.emitted {
            let rows = emitted.values.iter();
            let rows = rows.map(|row| String::from_utf8_lossy(row).into_owned());
            match emitted.output {
                0 => shown.extend(rows),
                _ => {
                    let number =
                        |row: String| row.split('t').next().unwrap().parse::<u64>().unwrap();
                    self.late.extend(rows.map(number));
                }
            }
        }
        shown
    }
}

#[derive(Clone, Debug)]
enum Event {
    Rows(Side, Vec<(u8, i64)>),
    Watermark(i64),
    Rescale(u32),
}

fn events() -> impl Strategy<Value = Vec<Event>> {
    let side = prop_oneof![Just(Side::Left), Just(Side::Right)];
    let rows = proptest::collection::vec((0_u8..3, -20_i64..100), 1..14);
    let event = prop_oneof![
        6 => (side, rows).prop_map(|(side, rows)| Event::Rows(side, rows)),
        2 => (-20_i64..110).prop_map(Event::Watermark),
        1 => (1_u32..4).prop_map(Event::Rescale),
    ];
    // Times begin with the first that there is, or end with the last.
    let shift = prop_oneof![4 => Just(0), 1 => Just(i64::MIN + 20), 1 => Just(i64::MAX - 99)];
    let shifted = |(shift, mut events): (i64, Vec<Event>)| {
        for event in &mut events {
            match event {
                Event::Rows(_, rows) => rows.iter_mut().for_each(|(_, time)| *time += shift),
                Event::Watermark(to) => *to = to.saturating_add(shift).min(i64::MAX - 1),
                Event::Rescale(_) => {}
            }
        }
        events
    };
    (shift, proptest::collection::vec(event, 1..20)).prop_map(shifted)
}

/// The reference of one key.
enum OfKey {
    Interval(IntervalReference),
    Temporal(TemporalReference),
}

type Sight = (Option<u64>, Option<u64>, i64);

impl OfKey {
    fn new(rules: Rule) -> Self {
        match rules {
            Rule::Interval(interval) => Self::Interval(IntervalReference::new(interval)),
            Rule::Temporal(rules) => Self::Temporal(TemporalReference::new(rules)),
        }
    }

    fn row(&mut self, side: Side, time: i64, number: u64) -> Vec<Sight> {
        match (self, side) {
            (Self::Interval(of), side) => {
                let pairs = of.row(side, time, number).into_iter();
                let pairs = pairs.map(|(left, right, time)| (Some(left), Some(right), time));
                return pairs.collect();
            }
            (Self::Temporal(of), Side::Left) => of.left(time, number),
            (Self::Temporal(of), Side::Right) => of.right(time, number),
        }
        Vec::new()
    }

    fn watermark(&mut self, to: i64) -> Vec<Sight> {
        match self {
            Self::Interval(of) => {
                of.watermark(EventTime(to));
                Vec::new()
            }
            Self::Temporal(of) => {
                let all = of.watermark(EventTime(to)).into_iter();
                all.map(|(left, right, time)| (Some(left), right, time))
                    .collect()
            }
        }
    }

    fn late(&self) -> &[u64] {
        match self {
            Self::Interval(of) => of.late(),
            Self::Temporal(of) => of.late(),
        }
    }
}

/// Whether the operator gives what the references give, for each key in order.
fn compare(rules: Rule, events: &[Event], limit: usize) -> Result<(), String> {
    let mut bench = Bench::new(rules);
    let mut expected = BTreeMap::<u8, OfKey>::new();
    let (mut watermark, mut times) = (i64::MIN, Vec::<i64>::new());
    let last = [Event::Watermark(i64::MAX)];
    for event in events.iter().chain(&last) {
        let mut wanted: Vec<(u8, Sight)> = Vec::new();
        let found = match event {
            Event::Rows(side, rows) => {
                let mut numbered = Vec::new();
                for &(key, time) in rows {
                    let number = times.len() as u64;
                    times.push(time);
                    numbered.push((key, time, number));
                    let of = expected.entry(key).or_insert_with(|| {
                        let mut of = OfKey::new(rules);
                        of.watermark(watermark);
                        of
                    });
                    let pairs = of.row(*side, time, number).into_iter();
                    wanted.extend(pairs.map(|pair| (key, pair)));
                }
                bench.rows(*side, &numbered)
            }
            Event::Watermark(to) => {
                watermark = watermark.max(*to);
                for (key, of) in &mut expected {
                    let pairs = of.watermark(watermark).into_iter();
                    wanted.extend(pairs.map(|pair| (*key, pair)));
                }
                bench.watermark(watermark, limit)
            }
            Event::Rescale(parallelism) => {
                bench.rescale(*parallelism);
                Vec::new()
            }
        };
        let row = |row: Option<u64>| match row {
            None => "-".to_owned(),
            Some(row) => format!("{row}t{}", times[row as usize]),
        };
        let wanted = wanted.into_iter().map(|(key, (left, right, time))| {
            format!("k{key} {}+{}@{time}", row(left), row(right))
        });
        // Keys have no order among each other.
        let by_key = |mut all: Vec<String>| {
            all.sort_by(|a, b| a.split(' ').next().cmp(&b.split(' ').next()));
            all
        };
        let (found, wanted) = (by_key(found), by_key(wanted.collect()));
        if found != wanted {
            return Err(format!("{event:?}: {found:?} and not {wanted:?}"));
        }
    }
    let late = expected.values().flat_map(|of| of.late().iter().copied());
    let mut late: Vec<u64> = late.collect();
    late.sort_unstable();
    bench.late.sort_unstable();
    if bench.late != late {
        return Err(format!("late: {:?} and not {late:?}", bench.late));
    }
    // Only versions without an age stay, one a key.
    let kept: usize = bench.subtasks.iter_mut().map(Subtask::kept).sum();
    let is_kept = matches!(rules, Rule::Temporal(rules) if rules.max_age.is_none());
    if kept > 0 && !is_kept {
        return Err(format!("{kept} blocks are left"));
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1500))]

    #[test]
    fn c27_interval_joins_of_batches_give_what_rows_one_by_one_give(
        (lower, length) in (-30_i64..20, 0_i64..40),
        events in events(),
        limit in 1_usize..8,
    ) {
        let interval = Interval::new(lower, lower + length).unwrap();
        let compared = compare(Rule::Interval(interval), &events, limit);
        prop_assert!(compared.is_ok(), "{}", compared.unwrap_err());
    }

    #[test]
    fn lookups_of_batches_give_what_rows_one_by_one_give(
        keeps_left: bool,
        max_age in proptest::option::of(0_i64..40),
        events in events(),
        limit in 1_usize..8,
    ) {
        let kind = if keeps_left { JoinKind::Left } else { JoinKind::Inner };
        let rules = Rule::Temporal(Temporal { kind, max_age });
        let compared = compare(rules, &events, limit);
        prop_assert!(compared.is_ok(), "{}", compared.unwrap_err());
    }
}

/// More rows than a call takes, at the last time there is.
#[test]
fn a_version_stays_for_all_rows_at_the_last_time() {
    let (kind, max_age) = (JoinKind::Inner, Some(8));
    let rules = Rule::Temporal(Temporal { kind, max_age });
    let events = [
        Event::Rows(Side::Right, vec![(1, i64::MAX - 8)]),
        Event::Rows(Side::Left, vec![(1, i64::MAX); 13]),
    ];
    compare(rules, &events, 8).unwrap();
}

#[test]
fn c27_interval_join() {
    for (lower, all) in [
        (
            -2,
            &[
                "k1 0t5+2t3@5",
                "k1 0t5+3t6@6",
                "k1 1t10+5t8@10",
                "k1 1t10+6t11@11",
            ][..],
        ),
        (-1, &["k1 0t5+3t6@6", "k1 1t10+6t11@11"]),
    ] {
        let mut bench = Bench::new(Rule::Interval(Interval::new(lower, 1).unwrap()));
        assert!(bench.rows(Side::Left, &[(1, 5, 0), (1, 10, 1)]).is_empty());
        let right = [3, 6, 7, 8, 11, 12];
        let right: Vec<_> = (2..)
            .zip(right)
            .map(|(number, time)| (1, time, number))
            .collect();
        assert_eq!(bench.rows(Side::Right, &right), all);
    }
}

#[test]
fn a_batch_of_a_key_with_many_rows_reads_those_that_are_near() {
    let interval = Interval::new(0, 20).unwrap();
    let mut bench = Bench::new(Rule::Interval(interval));
    let rows =
        |times: std::ops::Range<i64>| times.map(|time| (1, time * 10, 0)).collect::<Vec<_>>();
    for from in (0..100_000).step_by(1000) {
        bench.rows(Side::Left, &rows(from..from + 1000));
    }
    let right = rows(50_000..50_512);
    let cx = &mut bench.subtasks[0].cx;
    let keyed = Grouped::of(right.iter().map(|_| &b"k1"[..]));
    cx.state.begin(Some(keyed.view()));
    let times: Vec<i64> = right.iter().map(|(_, time, _)| *time).collect();
    let asks = (0..).zip(&times).map(|(row, &time)| {
        let (from, to) = interval.range(Side::Right, time).unwrap();
        interval::Asks {
            key: 0,
            from,
            to,
            row,
        }
    });
    let (arena, _) = interval::partners(cx, Side::Right, asks.collect()).unwrap();
    let read = arena.times().len();
    assert!(
        (514..2048).contains(&read),
        "{read} of 100,000 rows were read"
    );
    assert_eq!(bench.rows(Side::Right, &right).len(), 512 * 3);
    assert!(bench.watermark(i64::MAX, 100).is_empty());
    assert_eq!(bench.subtasks[0].kept(), 0);
}

#[test]
fn pairs_are_listed_a_part_at_a_time_and_no_more_than_a_call_may_give() {
    let mut bench = Bench::new(Rule::Interval(Interval::new(0, 0).unwrap()));
    let left: Vec<_> = (0..100).map(|number| (1, 7, number)).collect();
    assert!(bench.rows(Side::Left, &left).is_empty());
    let cx = &mut bench.subtasks[0].cx;
    let keyed = Grouped::of([&b"k1"[..]; 50].into_iter());
    let values: Vec<String> = (0..50).map(|number| format!("{number}t7")).collect();
    let values: Column = values.iter().map(String::as_bytes).collect();
    let coming = Coming {
        side: Side::Right,
        keys: keyed.keys.view(),
        key_of_row: &keyed.key_of_row,
        rows: Timed {
            values: values.view(),
            times: &[7; 50],
        },
    };
    cx.state.begin(Some(keyed.view()));
    let (key, from, to) = (0, 7, 7);
    let asks = (0..50).map(|row| interval::Asks { key, from, to, row });
    let (arena, partners) = interval::partners(cx, Side::Right, asks.collect()).unwrap();
    let of = (&arena, &partners[..]);

    let (mut found, mut out) = (pairs::Found::default(), Given::at_most(200));
    let failed = interval::pair(cx, &mut Shown, coming, of, (&mut found, &mut out));
    assert!(matches!(failed, Err(Failure::Limit(_))), "{failed:?}");
    assert!(found.len() <= 3, "{} of 5000 pairs are listed", found.len());

    let (mut found, mut out) = (pairs::Found::default(), Given::at_most(1 << 20));
    interval::pair(cx, &mut Shown, coming, of, (&mut found, &mut out)).unwrap();
    let given = out.emitted.iter().flat_map(|part| {
        let rows = part.values.iter().map(|row| String::from_utf8_lossy(row));
        rows.zip(part.origin.iter().copied())
    });
    let all = (0..50).flat_map(|right| (0..100).map(move |left| (left, right)));
    let all = all.map(|(left, right)| (format!("k1 {left}t7+{right}t7@7"), right));
    assert!(given.map(|(row, of)| (row.into_owned(), of)).eq(all));
    assert!(out.emitted.len() > 1000, "in parts");
}

#[test]
fn a_call_that_gives_too_much_is_a_limit_and_keeps_nothing() {
    let mut bench = Bench::new(Rule::Interval(Interval::new(0, 0).unwrap()));
    let rows: Vec<_> = (0..100).map(|number| (1, 7, number)).collect();
    assert!(bench.rows(Side::Left, &rows).is_empty());
    let subtask = &mut bench.subtasks[0];
    subtask.operator.options.output = 200;
    let before = subtask.kept();
    let keyed = Grouped::of([&b"k1"[..]].into_iter());
    let values: Column = [&b"9t7"[..]].into_iter().collect();
    let rows = Rows {
        values: values.view(),
        timestamps: &[7],
        keyed: Some(keyed.view()),
    };
    subtask.cx.state.begin(Some(keyed.view()));
    let failed = subtask.operator.process(&mut subtask.cx, 1, rows);
    let Err(Failure::Limit(limit)) = failed else {
        panic!("{failed:?}");
    };
    assert_eq!((limit.key, &*limit.value), ("output", "200 bytes"));
    subtask.cx.state.rollback();
    assert_eq!(subtask.kept(), before);
}

#[test]
fn w0160_rows_without_event_time_are_told_for_what_they_are() {
    let mut bench = Bench::new(Rule::Interval(Interval::new(0, 0).unwrap()));
    let subtask = &mut bench.subtasks[0];
    let keyed = Grouped::of([&b"k1"[..]].into_iter());
    let values: Column = [&b"9"[..]].into_iter().collect();
    let rows = Rows {
        values: values.view(),
        timestamps: &[],
        keyed: Some(keyed.view()),
    };
    subtask.cx.state.begin(Some(keyed.view()));
    let failed = subtask.operator.process(&mut subtask.cx, 0, rows);
    let is_told = matches!(&failed, Err(Failure::NoEventTime { what }) if what == "joins");
    assert!(is_told, "{failed:?}");
}

/// The rows of a key may be more than a column holds.
#[test]
fn of_rows_that_go_a_page_is_read_at_a_time_and_forgotten() {
    let mut bench = Bench::new(Rule::Interval(Interval::new(0, 0).unwrap()));
    let row = |time: i64| {
        let long = "x".repeat(10_000);
        ("k1".to_owned(), time, format!("{long}t{time}"))
    };
    let rows: Vec<_> = (0..50).map(row).collect();
    let subtask = &mut bench.subtasks[0];
    subtask.rows(Side::Left, &rows);
    let keyed = Grouped::of([&b"k1"[..]].into_iter());
    subtask.cx.state.begin(Some(keyed.view()));

    let mut arena = buffer::Arena::default();
    let mut run = arena.run(LEFT, 0, 0);
    let mut all = 0;
    while !run.is_whole {
        let known = arena.times().len();
        arena
            .read(&mut subtask.cx, &mut run, i64::MAX, known + 1)
            .unwrap();
        let page = arena.values().byte_len();
        assert!(page < 100_000, "a page of {page} bytes");
        all += page;
        arena.forget_values();
    }
    assert!(arena.times().iter().copied().eq(0..50));
    assert!(all > 500_000, "{all} bytes were read");

    let mut arena = buffer::Arena::default();
    let mut run = arena.run(LEFT, 0, 0);
    let count = interval::first_of(&mut subtask.cx, &mut arena, &mut run, |_| true).unwrap();
    assert!((MOST..50).contains(&count), "{count} rows go");
    assert!(arena.values().is_empty());
    subtask.cx.state.rollback();

    let calls = subtask.watermark(EventTime(60), 8).len();
    assert!(calls > 5, "{calls} calls");
    assert_eq!(subtask.kept(), 0);
}

#[test]
fn late_rows_go_to_their_output_and_leave_nothing() {
    for rule in [
        Rule::Interval(Interval::new(-5, 5).unwrap()),
        Rule::Temporal(Temporal::default()),
    ] {
        let mut bench = Bench::new(rule);
        bench.watermark(10, 8);
        for side in [Side::Left, Side::Right] {
            bench.rows(side, &[(1, 9, 1), (2, -3, 2)]);
        }
        assert_eq!(bench.late, [1, 2, 1, 2]);
        assert_eq!(bench.subtasks[0].kept(), 0);
    }
}
