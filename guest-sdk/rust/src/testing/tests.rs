//! What the harness shows that a host would.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, Location};

use super::*;
use crate::{
    Counter, Ctx, Describe, KeyedDescribe, KeyedProcess, Process, Result, Row, SideOutput, Value,
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
