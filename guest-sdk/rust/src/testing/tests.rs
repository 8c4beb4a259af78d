//! What the harness shows that a host would.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, Location};
use std::time::Duration;

use super::*;
use crate::{
    Broadcast, Counter, Ctx, Describe, Error, KeyedBroadcastProcess, KeyedDescribe, KeyedProcess,
    List, Map, Process, Result, Row, SideOutput, TtlOptions, Value, Window, WindowAggregate,
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

/// Keeps rows while they are read, and reads them only for rows that ask.
#[derive(Default)]
struct Kept {
    last: Value<String>,
    all: List<String>,
}

impl KeyedProcess for Kept {
    type In = String;
    type Out = String;

    fn describe(&mut self, d: &mut KeyedDescribe) {
        let options = TtlOptions {
            on_read: true,
            return_expired: false,
        };
        let life = Duration::from_millis(100);
        d.value("last", &mut self.last).ttl_with(life, options);
        d.list("all", &mut self.all).ttl_with(life, options);
    }

    fn process(&mut self, row: Row<String>, ctx: &mut Ctx<String>) -> Result<()> {
        match row.value {
            "-" => Ok(()),
            "?" => {
                let last = self.last.get()?.cloned().unwrap_or_default();
                let all = self.all.get()?.join("+");
                ctx.emit(format_args!("{last} {all}"))
            }
            other => {
                self.last.set(other.to_owned())?;
                self.all.add(other.to_owned())
            }
        }
    }
}

#[test]
fn what_is_read_ahead_is_no_access() {
    let mut harness = Harness::open::<Kept, _>("null").unwrap();
    let mut at = |now: i64, rows: &[(&str, &str)]| {
        harness.set_processing_time(now);
        harness.keyed(rows.iter().copied()).unwrap().main()
    };
    at(0, &[("a", "x"), ("b", "y")]);
    // As often as it takes until many keys would be read at once.
    for _ in 0..3 {
        let read = at(10, &[("a", "?"), ("b", "?")]);
        assert_eq!(read, ["x x", "y y"]);
    }
    assert_eq!(at(90, &[("a", "?"), ("b", "-")]), ["x x"]);
    assert_eq!(at(150, &[("a", "?"), ("b", "?")]), ["x x", " "]);
}

/// Numbers the rows of its broadcast input, and tells each key the number.
#[derive(Default)]
struct Numbered {
    numbers: Broadcast<String, u64>,
    seen: Value<u64>,
}

impl KeyedBroadcastProcess for Numbered {
    type In = String;
    type BroadcastIn = String;
    type Out = String;

    fn describe(&mut self, d: &mut KeyedDescribe) {
        d.broadcast("numbers", &mut self.numbers);
        d.value("seen", &mut self.seen);
    }

    fn process(&mut self, _row: Row<String>, _ctx: &mut Ctx<String>) -> Result<()> {
        self.seen.set(1)
    }

    fn process_broadcast(&mut self, _row: Row<String>, _ctx: &mut Ctx<String>) -> Result<()> {
        let number = self.numbers.get("n")?.copied().unwrap_or(0) + 1;
        self.numbers.put("n", number)?;
        self.seen.apply_to_keys(number.to_string())
    }

    fn on_key(&mut self, tag: &[u8], ctx: &mut Ctx<String>) -> Result<()> {
        let key = ctx.key().part(0)?;
        ctx.emit(format_args!("{key} {}", String::from_utf8_lossy(tag)))
    }
}

#[test]
fn rows_that_ask_for_all_keys_are_given_one_by_one_and_once() {
    let mut harness = Harness::open::<Numbered, _>("null").unwrap();
    harness.keyed([("k", "row")]).unwrap();
    let told = harness.broadcast(["a", "b"]).unwrap();
    assert_eq!(told.main(), ["k 1", "k 2"]);
    let told = harness.batch(1, [Input::row("c")]).unwrap();
    assert_eq!(told.main(), ["k 3"]);
    assert_eq!(harness.broadcast(["d"]).unwrap().main(), ["k 4"]);
}

/// Says a watermark where windows give their results.
#[derive(Default)]
struct Hasty;

impl WindowAggregate for Hasty {
    type In = String;
    type Accumulator = u64;
    type Out = String;

    fn add(&mut self, count: &mut u64, _row: &str) -> Result<()> {
        *count += 1;
        Ok(())
    }

    fn merge(&mut self, count: &mut u64, other: u64) -> Result<()> {
        *count += other;
        Ok(())
    }

    fn result(&mut self, window: Window, _count: u64, ctx: &mut Ctx<String>) -> Result<()> {
        ctx.emit_watermark(window.end)
    }
}

#[test]
fn a_watermark_is_not_said_by_windows() {
    let mut harness = Harness::open::<Hasty, _>("null").unwrap();
    let minute = Window {
        start: 0,
        end: 60_000,
    };
    let refused = harness.window("a", minute, ["x"]).unwrap_err();
    assert!(refused.contains("only while a row"), "{refused}");
    assert!(harness.said_watermarks().is_empty());
}
