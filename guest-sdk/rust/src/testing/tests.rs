//! What the harness shows that a host would.

use std::panic::AssertUnwindSafe;

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
fn a_name_that_is_not_declared_fails_the_test() {
    let numbers = Harness::open::<Numbers, _>("null").unwrap();
    let failed = std::panic::catch_unwind(AssertUnwindSafe(|| numbers.held("numbers")));
    let message = failed.unwrap_err().downcast::<String>().unwrap();
    assert_eq!(*message, "no state `numbers` is declared");

    let mut times = Harness::open::<Times, _>("null").unwrap();
    let out = times.rows(["a"]).unwrap();
    let failed = std::panic::catch_unwind(|| out.side("time"));
    let message = failed.unwrap_err().downcast::<String>().unwrap();
    assert_eq!(*message, "no side output `time` is declared");
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
