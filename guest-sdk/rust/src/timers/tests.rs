//! Timers in the harness: what a row or timer that fails has set, what is handed over, and the
//! order of Flink.

use std::collections::BTreeSet;

use super::UNSORTED_MOST;
use crate::testing::{Harness, Input};
use crate::{
    Ctx, KeyedCoProcess, KeyedDescribe, KeyedProcess, Result, Row, Timer, TimerKind, Timers, Value,
    bail,
};

const EVENT: TimerKind = TimerKind::EventTime;
const PROCESSING: TimerKind = TimerKind::ProcessingTime;

/// Rows are commands, one after the other: `e10` and `p10` set, `-e10` and `-p10` delete, `fail`
/// fails. What fires is emitted; a timer at 13 fails, one at 8 of key `a` sets 9.
#[derive(Default)]
struct Told {
    timers: Timers,
    fired: Value<u64>,
}

impl KeyedProcess for Told {
    type In = String;
    type Out = String;

    fn describe(&mut self, d: &mut KeyedDescribe) {
        d.value("fired", &mut self.fired).prefetch();
        d.timers(&mut self.timers);
    }

    fn process(&mut self, row: Row<String>, _ctx: &mut Ctx<String>) -> Result<()> {
        for word in row.value.split(' ') {
            let (delete, word) = match word.strip_prefix('-') {
                Some(word) => (true, word),
                None => (false, word),
            };
            let at = word.get(1..).and_then(|at| at.parse().ok());
            match (word.get(..1), delete, at) {
                (Some("e"), false, Some(at)) => self.timers.set_event(at)?,
                (Some("e"), true, Some(at)) => self.timers.delete_event(at)?,
                (Some("p"), false, Some(at)) => self.timers.set_processing(at)?,
                (Some("p"), true, Some(at)) => self.timers.delete_processing(at)?,
                _ => bail!("`{word}`"),
            }
        }
        Ok(())
    }

    fn on_timer(&mut self, timer: Timer, ctx: &mut Ctx<String>) -> Result<()> {
        let fired = self.fired.get()?.copied().unwrap_or(0) + 1;
        self.fired.set(fired)?;
        let key = ctx.key().to_string();
        if timer.at == 8 && key == "a" {
            self.timers.set_event(9)?;
        }
        ctx.emit(format_args!("{}({key})", timer.at))?;
        if timer.at == 13 {
            self.timers.set_event(99)?;
            bail!("unlucky");
        }
        Ok(())
    }
}

crate::operator!(Told, timed);

fn told() -> Harness {
    Harness::open::<Told, _>("null").unwrap()
}

fn times(told: &Harness) -> Vec<i64> {
    told.timers().iter().map(|(_, at, _)| *at).collect()
}

#[test]
fn c18_order_past_cascade_and_delete() {
    let mut told = told();
    let row = |key: &str, row: &str| Input::row(row).key([key]);
    let rows = [
        row("a", "e10 e8"),
        row("b", "e10 e8"),
        row("a", "e10 e8 e9 -e9 -e777"),
    ];
    told.batch(0, rows).unwrap().expect_all();
    let fired = told.advance_watermark(10).unwrap();
    assert_eq!(fired.main(), ["8(a)", "8(b)", "9(a)", "10(a)", "10(b)"]);
    let stamps = fired
        .emitted
        .iter()
        .flat_map(|emitted| emitted.timestamps.clone());
    assert_eq!(stamps.collect::<Vec<_>>(), [8, 8, 9, 10, 10]);
    told.batch(0, [row("a", "e10 e8")]).unwrap().expect_all();
    assert_eq!(
        told.advance_watermark(11).unwrap().main(),
        ["8(a)", "9(a)", "10(a)"]
    );
    assert!(told.advance_watermark(20).unwrap().main().is_empty());
}

#[test]
fn a_call_hands_over_the_last_word_on_each_timer_in_few_imports() {
    let mut told = told();
    let rows = [
        ("a", "e1 p1 -e1 e2 e1"),
        ("b", "e1 -e1 -p5"),
        ("a", "-p1 e2"),
    ];
    told.keyed(rows).unwrap().expect_all();
    assert_eq!(
        told.imports(),
        ["timers.register", "timers.delete", "timers.delete",]
    );
    let named = |kind, at| (kind, at, "a".to_owned());
    assert_eq!(told.timers(), [named(EVENT, 1), named(EVENT, 2)]);
    told.keyed([("a", "p7")]).unwrap().expect_all();
    assert_eq!(told.imports(), ["timers.register"]);
    assert_eq!(told.timers()[2], named(PROCESSING, 7));
}

/// Sets and deletes in any order, of some keys, as a plain set has them.
#[test]
fn the_last_word_on_each_timer_counts_whatever_the_order() {
    for seed in 1..200_u64 {
        let mut random = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let mut below = |bound: u64| {
            random = random
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            (random >> 33) % bound
        };
        let mut told = told();
        let mut model = BTreeSet::new();
        for _ in 0..4 {
            // Some calls delete nothing.
            let deletes = below(2) == 0;
            let (mut rows, mut has_failed) = (Vec::new(), false);
            for _ in 0..30 {
                let (key, at) = (["a", "b", "c"][below(3) as usize], below(6) as i64);
                let kind = [EVENT, PROCESSING][below(2) as usize];
                let letter = if kind == EVENT { "e" } else { "p" };
                let (is_set, fails) = (!deletes || below(2) == 0, below(100) == 0);
                let sign = if is_set { "" } else { "-" };
                let fail = if fails { " fail" } else { "" };
                rows.push((key, format!("{sign}{letter}{at}{fail}")));
                has_failed |= fails;
                if has_failed {
                    continue;
                }
                let timer = (kind as u8, at, key.to_owned());
                match is_set {
                    true => model.insert(timer),
                    false => model.remove(&timer),
                };
            }
            told.keyed(rows).unwrap();
            let timers = told.timers();
            let timers = timers
                .into_iter()
                .map(|(kind, at, key)| (kind as u8, at, key));
            assert_eq!(timers.collect::<BTreeSet<_>>(), model, "seed {seed}");
        }
    }
}

#[test]
fn what_is_said_again_and_again_is_handed_over_once() {
    let mut told = told();
    let again = "e1 e2 ".repeat(UNSORTED_MOST);
    told.keyed([("a", again.trim_end())]).unwrap().expect_all();
    assert_eq!(told.imports(), ["timers.register"]);
    assert_eq!(times(&told), [1, 2]);
}

#[test]
fn what_a_row_set_that_failed_is_not_set() {
    let mut told = told();
    let outcome = told
        .keyed([("a", "e1"), ("a", "e2 -e1 nonsense"), ("a", "e3")])
        .unwrap();
    assert_eq!(outcome.poisoned.unwrap().0, 1);
    assert_eq!(times(&told), [1]);
}

#[test]
fn a_timer_that_fails_is_gone_with_what_it_did_and_those_before_it_count() {
    let mut told = told();
    told.keyed([("a", "e12 e13 e14")]).unwrap().expect_all();
    let fired = told.advance_watermark(20).unwrap();
    assert_eq!(fired.main(), ["12(a)"]);
    assert_eq!(fired.poisoned, Some((1, "unlucky".to_owned())));
    assert_eq!(times(&told), [14]);
    assert_eq!(told.held("fired"), 1);
    assert_eq!(told.advance_watermark(21).unwrap().main(), ["14(a)"]);
}

#[test]
fn timers_are_in_a_checkpoint() {
    let mut told = told();
    told.keyed([("a", "e1 p2")]).unwrap().expect_all();
    let saved = told.checkpoint().unwrap();
    told.advance_watermark(5).unwrap();
    told.keyed([("b", "e9")]).unwrap().expect_all();
    told.restore(&saved).unwrap();
    assert_eq!(times(&told), [1, 2]);
    assert_eq!(told.advance_processing_time(2).unwrap().main(), ["2(a)"]);
    let (ended, _) = told.finish().unwrap();
    assert_eq!(ended.main(), ["1(a)"]);
}

/// Sets timers without a function for them, and at the end, where no key is in hand.
#[derive(Default)]
struct Careless {
    timers: Timers,
}

impl KeyedCoProcess for Careless {
    type First = i64;
    type Second = i64;
    type Out = String;

    fn describe(&mut self, d: &mut KeyedDescribe) {
        d.timers(&mut self.timers);
    }

    fn process_first(&mut self, row: Row<i64>, _ctx: &mut Ctx<String>) -> Result<()> {
        self.timers.set_event(row.value)
    }

    fn process_second(&mut self, row: Row<i64>, _ctx: &mut Ctx<String>) -> Result<()> {
        self.timers.set_event(row.value)
    }

    fn end_of_input(&mut self, _ctx: &mut Ctx<String>) -> Result<()> {
        self.timers.set_event(7)
    }
}

#[test]
fn misuse_is_told() {
    let mut careless = Harness::open::<Careless, _>("null").unwrap();
    assert!(careless.descriptor().timers);
    careless
        .batch(1, [Input::row("5").key(["a"])])
        .unwrap()
        .expect_all();
    let error = careless.advance_watermark(5).unwrap_err();
    assert!(error.contains("has no `on_timer`"), "{error}");
    let error = careless.finish().unwrap_err();
    assert!(error.contains("timers belong to keys"), "{error}");
}
