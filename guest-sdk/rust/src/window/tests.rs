//! Windows: what is folded, merged, refused, and what other operators say to it.

use crate::testing::Harness;
use crate::{
    Ctx, Describe, Process, Result, Row, SideOutput, Window, WindowAggregate, bail, record,
};

record! {
    #[derive(Clone, Default)]
    struct Numbers { sum: i64, count: u64 }
}

/// Averages, with those of large windows aside.
#[derive(Default)]
struct Averages {
    large: SideOutput<String>,
}

impl WindowAggregate for Averages {
    type In = String;
    type Accumulator = Numbers;
    type Out = String;

    fn describe(&mut self, d: &mut Describe) {
        d.side_output("large", &mut self.large);
    }

    fn add(&mut self, numbers: &mut Numbers, row: &str) -> Result<()> {
        let Ok(number) = row.parse::<i64>() else {
            bail!("{row} is no number");
        };
        numbers.sum += number;
        numbers.count += 1;
        Ok(())
    }

    fn merge(&mut self, numbers: &mut Numbers, other: Numbers) -> Result<()> {
        numbers.sum += other.sum;
        numbers.count += other.count;
        Ok(())
    }

    fn result(&mut self, window: Window, numbers: Numbers, ctx: &mut Ctx<String>) -> Result<()> {
        let average = numbers.sum / numbers.count as i64;
        if numbers.count > 3 {
            ctx.to(&self.large)
                .emit(format_args!("{}", ctx_key(window)))?;
        }
        ctx.emit(format_args!("{} {}", ctx.key(), average))
    }
}

fn ctx_key(window: Window) -> String {
    format!("{}-{}", window.start, window.end)
}

crate::operator!(Averages, aggregate);

const MINUTE: Window = Window {
    start: 60_000,
    end: 120_000,
};

#[test]
fn rows_are_folded_and_halves_merged() {
    let mut averages = Harness::open::<Averages, _>("null").unwrap();
    let out = averages.window("a", MINUTE, ["1", "2", "3", "10"]).unwrap();
    assert_eq!(out.main(), ["a 4"]);
    assert_eq!(out.side("large"), ["60000-120000"]);
    assert_eq!(out.emitted[0].timestamps, [119_999]);
    let out = averages.window("b", MINUTE, ["7"]).unwrap();
    assert_eq!(out.main(), ["b 7"]);
    assert!(out.side("large").is_empty());
}

#[test]
fn a_row_that_is_refused_is_named() {
    let mut averages = Harness::open::<Averages, _>("null").unwrap();
    let out = averages.window("a", MINUTE, ["1", "x", "3"]).unwrap();
    assert_eq!(out.poisoned, Some((1, "x is no number".to_owned())));
    assert_eq!(out.main(), ["a 1"]);
}

#[derive(Default)]
struct Pass;

impl Process for Pass {
    type In = String;
    type Out = String;

    fn process(&mut self, row: Row<String>, ctx: &mut Ctx<String>) -> Result<()> {
        ctx.emit(row.value)
    }
}

#[test]
fn who_is_used_for_something_else_says_so() {
    let mut averages = Harness::open::<Averages, _>("null").unwrap();
    let why = averages.rows(["1"]).unwrap_err();
    assert!(why.contains("give it `window:`"), "{why}");
    let mut pass = Harness::open::<Pass, _>("null").unwrap();
    let why = pass.window("a", MINUTE, ["1"]).unwrap_err();
    assert!(why.contains("leave out `window:`"), "{why}");
}
