//! What the harness shows that a host would.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, Location};
use std::time::Duration;

use super::*;
use crate::{
    Counter, Ctx, Describe, Error, KeyedDescribe, KeyedProcess, List, Map, Process, Result, Row,
    SideOutput, TtlOptions, Value,
};

/// Numbers the rows of a key, in state and in a field.
#[derive(Default)]
struct Numbers {
    state: Value<u64>,
    field: u64,
}

impl KeyedProcess for Numbers {
    type In = String;
    type Out = String;

    fn describe(&mut self, d: &mut KeyedDescribe) {
        d.value("number", &mut self.state).prefetch();
    }

    fn process(&mut self, _row: Row<String>, ctx: &mut Ctx<String>) -> Result<()> {
        self.field += 1;
        let number = self.state.get()?.copied().unwrap_or(0) + 1;
        self.state.set(number)?;
        ctx.emit(format_args!("{number} {}", self.field))
    }
}

#[test]
fn a_restart_forgets_fields_and_keeps_state() {
    let mut numbers = Harness::open::<Numbers, _>("null").unwrap();
    let out = numbers.keyed([("a", ""), ("a", "")]).unwrap();
    assert_eq!(out.main(), ["1 1", "2 2"]);
    numbers.restart().unwrap();
    assert_eq!(numbers.keyed([("a", "")]).unwrap().main(), ["3 1"]);
}

#[test]
fn a_name_that_is_not_declared_fails_the_test_where_it_stands() {
    thread_local! {
        static LINE: Cell<Option<u32>> = const { Cell::new(None) };
    }
    /// The message of a panic, which has to be in the line that this is called in.
    #[track_caller]
    fn panic_of<T>(look: impl FnOnce() -> T) -> String {
        std::panic::set_hook(Box::new(|panic| {
            let here = panic.location().filter(|at| at.file() == file!());
            LINE.set(here.map(Location::line));
        }));
        let failed = std::panic::catch_unwind(AssertUnwindSafe(look)).err();
        // The one before was the usual one.
        drop(std::panic::take_hook());
        assert_eq!(LINE.take(), Some(Location::caller().line()));
        *failed.unwrap().downcast::<String>().unwrap()
    }
    let numbers = Harness::open::<Numbers, _>("null").unwrap();
    let message = panic_of(|| numbers.held("numbers"));
    assert_eq!(message, "no state `numbers` is declared; there is `number`");
    let message = panic_of(|| numbers.metric("rows"));
    assert_eq!(message, "no metric `rows` is declared, and no other");

    let mut times = Harness::open::<Times, _>("null").unwrap();
    assert_eq!(times.metric("rows"), None);
    let message = panic_of(|| times.metric("row"));
    assert_eq!(message, "no metric `row` is declared; there is `rows`");
    let out = times.rows(["a"]).unwrap();
    let message = panic_of(|| out.side("time"));
    assert_eq!(
        message,
        "no side output `time` is declared; there is `timed`"
    );
}

#[test]
fn an_output_is_shown_as_text_and_tells_the_row_that_failed() {
    let mut times = Harness::open::<Times, _>("null").unwrap();
    let out = times
        .batch(0, [Input::row("a"), Input::row("\u{fe}")])
        .unwrap();
    let first = format!("0 {}", i64::MIN);
    let expected = format!(
        "Output {{ main: [{first:?}, {first:?}], timed: [\"a\", \"\u{fe}\"], poisoned: None }}"
    );
    assert_eq!(format!("{:?}", out.expect_all()), expected);
    let out = times.rows([&b"a"[..], b"\xff"]).unwrap();
    let failed = std::panic::catch_unwind(|| out.expect_all());
    let message = failed.unwrap_err().downcast::<String>().unwrap();
    assert!(
        message.starts_with("row 1 failed: the row is not text: "),
        "{message}"
    );
}

/// Emits the time it sees, and rows with an event time on the side.
#[derive(Default)]
struct Times {
    rows: Counter,
    timed: SideOutput<String>,
}

impl Process for Times {
    type In = String;
    type Out = String;

    fn describe(&mut self, d: &mut Describe) {
        d.counter("rows", &mut self.rows);
        d.side_output("timed", &mut self.timed);
    }

    fn process(&mut self, row: Row<String>, ctx: &mut Ctx<String>) -> Result<()> {
        self.rows.add(1);
        let (now, watermark) = (ctx.processing_time(), ctx.current_watermark());
        ctx.emit(format_args!("{now} {watermark}"))?;
        match row.value {
            "timed" => ctx.to(&self.timed).at(now).emit(row.value),
            _ => ctx.to(&self.timed).emit(row.value),
        }
    }
}

#[test]
fn time_is_what_the_test_says() {
    let mut times = Harness::open::<Times, _>("null").unwrap();
    let first = format!("0 {}", i64::MIN);
    assert_eq!(times.rows(["a"]).unwrap().main(), [first]);
    times.set_processing_time(1000);
    times.set_watermark(900);
    assert_eq!(times.rows(["a"]).unwrap().main(), ["1000 900"]);
}

#[test]
fn a_call_that_fails_at_its_end_counts_nothing() {
    let mut times = Harness::open::<Times, _>("null").unwrap();
    let error = times.rows(["timed", "a"]).unwrap_err();
    assert!(error.starts_with("output 1: "), "{error}");
    assert_eq!(times.metric("rows"), None);
    assert_eq!(times.rows(["timed"]).unwrap().side("timed"), ["timed"]);
    assert_eq!(times.metric("rows"), Some(1.0));
}

/// Remembers rows, and what it knows of them.
#[derive(Default)]
struct Forgetting {
    last: Value<String>,
    all: List<String>,
    by_name: Map<String, u64>,
}

impl KeyedProcess for Forgetting {
    type In = String;
    type Out = String;

    fn describe(&mut self, d: &mut KeyedDescribe) {
        let life = Duration::from_millis(100);
        d.value("last", &mut self.last).ttl(life).prefetch();
        d.list("all", &mut self.all).ttl(life);
        let options = TtlOptions {
            on_read: true,
            return_expired: false,
        };
        d.map("by-name", &mut self.by_name).ttl_with(life, options);
    }

    fn process(&mut self, row: Row<String>, ctx: &mut Ctx<String>) -> Result<()> {
        let row = row.to_string();
        let last = self.last.get()?.cloned().unwrap_or_default();
        let count = self.by_name.get("rows")?.copied().unwrap_or(0) + 1;
        if row == "?" {
            let all = self.all.get()?.join("+");
            return ctx.emit(format_args!("{last} {all} {}", count - 1));
        }
        if row == "!" {
            return Err(Error::fatal("what was read is forgotten"));
        }
        self.last.set(row.clone())?;
        self.all.add(row)?;
        self.by_name.put("rows", count)
    }
}

#[test]
fn c13_c15_state_expires_as_on_a_host() {
    let mut harness = Harness::open::<Forgetting, _>("null").unwrap();
    let mut at = |now: i64, row: &str| {
        harness.set_processing_time(now);
        let out = harness.keyed([("k", row)]);
        out.map(|out| out.main().first().cloned().unwrap_or_default())
    };
    assert_eq!(at(0, "a").unwrap(), "");
    assert_eq!(at(50, "b").unwrap(), "");
    assert_eq!(at(99, "?").unwrap(), "b a+b 2");
    assert_eq!(at(100, "?").unwrap(), "b b 2");
    assert!(at(149, "!").is_err());
    // What counts the rows was read at 100; that it was read at 149 is forgotten.
    assert_eq!(at(150, "?").unwrap(), "  2");
    assert_eq!(at(250, "?").unwrap(), "  0");
    assert_eq!(harness.held("all"), 0);
    assert_eq!(harness.held("by-name"), 0);
}
