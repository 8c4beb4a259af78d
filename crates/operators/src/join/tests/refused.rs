//! Rows and pairs that a function refuses.

use weir_window::{Assigner, Lateness, Trigger};

use super::*;

/// Refuses rows with an `x` as they come, and pairs of two rows with a `y`.
struct Choosy;

impl JoinFunction for Choosy {
    fn looks_at_rows(&self) -> bool {
        true
    }

    fn open(&mut self, _: &mut Box<Context>) -> Result<(), Failure> {
        Ok(())
    }

    fn reset(&mut self, _: &mut Box<Context>) -> Result<(), Failure> {
        Ok(())
    }

    fn accept(
        &mut self,
        _: &mut Box<Context>,
        input: u32,
        rows: ColumnView<'_>,
    ) -> Result<(), Failure> {
        let row = rows.iter().position(|row| row.starts_with(b"x"));
        row.map_or(Ok(()), |row| {
            Err(Failure::Guest {
                message: format!("an x in input {input}"),
                row: Some(row as u32),
            })
        })
    }

    fn project(
        &mut self,
        cx: &mut Box<Context>,
        pairs: Pairs<'_>,
    ) -> Result<Vec<Emitted>, Failure> {
        let is_y = |rows: ColumnView<'_>, row: u32| {
            row != Pairs::ABSENT && rows.get(row as usize).starts_with(b"y")
        };
        let refused = (0..pairs.len()).find(|&at| {
            is_y(pairs.left, pairs.left_of_pair[at]) && is_y(pairs.right, pairs.right_of_pair[at])
        });
        match refused {
            None => Shown.project(cx, pairs),
            Some(pair) => Err(Failure::Guest {
                message: "two y".into(),
                row: Some(pair as u32),
            }),
        }
    }
}

fn choosy(rule: Rule) -> Subtask {
    let mut subtask = Subtask::new(rule, 0, 1);
    subtask.operator.function = Box::new(Choosy);
    subtask
}

fn rows(rows: &[&str]) -> Vec<(String, i64, String)> {
    let row = |row: &&str| {
        let (_, time) = row.split_once('t').unwrap();
        ("k".to_owned(), time.parse().unwrap(), (*row).to_owned())
    };
    rows.iter().map(row).collect()
}

fn texts(outcome: &Outcome) -> Vec<String> {
    let values = outcome.emitted.iter().flat_map(|part| part.values.iter());
    values
        .map(|row| String::from_utf8_lossy(row).into_owned())
        .collect()
}

#[test]
fn a_refused_row_is_in_no_pair_and_those_before_it_count() {
    for rule in [
        Rule::Interval(Interval::new(0, 9).unwrap()),
        Rule::Temporal(Temporal::default()),
    ] {
        let mut subtask = choosy(rule);
        let outcome = subtask.rows(Side::Right, &rows(&["at1", "xt2", "bt3"]));
        let poison = outcome.poisoned.unwrap();
        assert_eq!((poison.row, &*poison.message), (1, "an x in input 1"));
        // The engine calls again behind it.
        let outcome = subtask.rows(Side::Right, &rows(&["bt3"]));
        assert!(outcome.poisoned.is_none());
        let mut saved = Saved::default();
        subtask.save(&mut saved);
        let bytes: Vec<u8> = saved.0.into_iter().flat_map(|(.., bytes)| bytes).collect();
        let bytes = String::from_utf8_lossy(&bytes);
        let kept = ["at1", "xt2", "bt3"].map(|row| bytes.contains(row));
        assert_eq!(kept, [true, false, true]);
    }
}

#[test]
fn of_a_refused_pair_the_later_to_come_is_refused() {
    let mut subtask = choosy(Rule::Interval(Interval::new(0, 9).unwrap()));
    subtask.rows(Side::Left, &rows(&["yt0", "at0"]));
    let outcome = subtask.rows(Side::Right, &rows(&["bt1", "ct2", "yt3", "dt4"]));
    assert_eq!(texts(&outcome).len(), 4);
    let poison = outcome.poisoned.unwrap();
    assert_eq!(poison.row, 2);
    for says in [
        "two y",
        "left row: \"yt0\", event time 0",
        "right row: \"yt3\", event time 3",
    ] {
        assert!(poison.message.contains(says), "{}", poison.message);
    }
    // It is not there for rows to come.
    let outcome = subtask.rows(Side::Left, &rows(&["yt1"]));
    assert_eq!(texts(&outcome), ["k yt1+bt1@1", "k yt1+ct2@2"]);
    assert!(outcome.poisoned.is_none());
}

#[test]
fn of_pairs_that_time_makes_no_row_is_refused() {
    let mut subtask = choosy(Rule::Temporal(Temporal::default()));
    subtask.rows(Side::Right, &rows(&["yt1"]));
    subtask.rows(Side::Left, &rows(&["yt5"]));
    subtask.cx.watermark = EventTime(9);
    let mut due = Timers::default();
    let kind = TimerKind::EventTime;
    let state = &mut subtask.cx.state;
    state.due_timers(kind, 9, 8, &mut due).unwrap();
    let keyed = Grouped::of((0..due.len()).map(|timer| due.keys.get(timer)));
    state.begin(Some(keyed.view()));
    state.fire(kind, &due.at, &keyed.key_of_row).unwrap();
    let (at, keyed) = (&due.at[..], keyed.view());
    let failed = subtask
        .operator
        .on_timers(&mut subtask.cx, Due { kind, at, keyed });
    let Err(Failure::Guest { message, row: None }) = failed else {
        panic!("{failed:?}");
    };
    assert!(message.contains("left row: \"yt5\""), "{message}");
}

#[test]
fn a_window_join_shows_rows_without_their_marks() {
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
    let factory = JoinFactory::new(
        JoinRules::Window(rules, JoinKind::Inner),
        None,
        usize::MAX,
        Box::new(ChoosyFactory),
    );
    let mut subtask = Subtask::new(Rule::Temporal(Temporal::default()), 0, 1);
    let states = factory.descriptor().states.clone();
    let task = &subtask.cx.task;
    let range = task
        .max_parallelism
        .range_of(task.subtask, task.parallelism);
    let backend = HeapBackend::new(states, range.unwrap()).unwrap();
    subtask.cx.state = KeyedState::new(Box::new(backend), task.max_parallelism);
    let mut operator = factory.create(&subtask.cx.task).unwrap();
    let keyed = Grouped::of([&b"k"[..], b"k"].into_iter());
    let values: Column = [&b"at1"[..], b"xt2"].into_iter().collect();
    let rows = Rows {
        values: values.view(),
        timestamps: &[1, 2],
        keyed: Some(keyed.view()),
    };
    subtask.cx.state.begin(Some(keyed.view()));
    let outcome = operator.process(&mut subtask.cx, 1, rows).unwrap();
    let poison = outcome.poisoned.unwrap();
    assert_eq!((poison.row, &*poison.message), (1, "an x in input 1"));
}

struct ChoosyFactory;

impl JoinFunctionFactory for ChoosyFactory {
    fn side_outputs(&self) -> &[String] {
        &[]
    }

    fn create(&self, _: &TaskInfo) -> Result<Box<dyn JoinFunction>, Failure> {
        Ok(Box::new(Choosy))
    }
}
