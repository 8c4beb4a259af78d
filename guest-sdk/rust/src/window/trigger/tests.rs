//! Triggers: what is remembered of windows, timers, and rows that are refused.

use crate::testing::Harness;
use crate::{
    Ctx, Result, Row, TimerKind, Trigger, TriggerCtx, Verdict, Window, WindowFunction, WindowRows,
    bail,
};

/// A result when enough has come up, or when nothing has come for a while.
#[derive(Default)]
struct Enough;

impl WindowFunction for Enough {
    type In = String;
    type Out = String;

    fn apply(
        &mut self,
        _: Window,
        rows: WindowRows<'_, String>,
        ctx: &mut Ctx<String>,
    ) -> Result<()> {
        ctx.emit(format_args!("{}", rows.len()))
    }
}

impl Trigger for Enough {
    type Row = String;
    type State = (u64, i64);

    fn on_row(
        &mut self,
        row: Row<'_, String>,
        ctx: &mut TriggerCtx<'_, (u64, i64)>,
    ) -> Result<Verdict> {
        let Ok(amount) = row.value.parse::<u64>() else {
            bail!("{} is no number", row.value);
        };
        let (sum, wakes) = ctx.state;
        if wakes != 0 {
            ctx.delete_processing(wakes);
        }
        let wakes = ctx.processing_time() + 100;
        ctx.set_processing(wakes);
        ctx.state = (sum + amount, wakes);
        if ctx.state.0 < 10 {
            return Ok(Verdict::Continue);
        }
        ctx.state.0 = 0;
        Ok(Verdict::FireAndPurge)
    }

    fn on_processing_time(
        &mut self,
        time: i64,
        ctx: &mut TriggerCtx<'_, (u64, i64)>,
    ) -> Result<Verdict> {
        assert_eq!(ctx.state.1, time);
        assert_eq!(ctx.key().part(0)?, "a");
        ctx.state = (0, 0);
        Ok(Verdict::Fire)
    }
}

crate::operator!(Enough, window, trigger);

const MINUTE: Window = Window {
    start: 0,
    end: 60_000,
};

#[test]
fn what_is_remembered_is_of_a_window_and_of_a_key() {
    use Verdict::{Continue, FireAndPurge};
    let mut enough = Harness::open_trigger::<Enough, _>("null").unwrap();
    let next = Window {
        start: 60_000,
        end: 120_000,
    };
    let verdicts = enough.trigger("a", MINUTE, [(1, "4"), (2, "5")]).unwrap();
    assert_eq!(verdicts, [Continue, Continue]);
    assert_eq!(enough.trigger("a", next, [(1, "4")]).unwrap(), [Continue]);
    assert_eq!(enough.trigger("b", MINUTE, [(1, "4")]).unwrap(), [Continue]);
    let verdicts = enough.trigger("a", MINUTE, [(3, "1"), (4, "9")]).unwrap();
    assert_eq!(verdicts, [FireAndPurge, Continue]);
}

#[test]
fn timers_are_set_and_deleted_for_a_window() {
    let mut enough = Harness::open_trigger::<Enough, _>("null").unwrap();
    enough.set_processing_time(1_000);
    enough.trigger("a", MINUTE, [(1, "4")]).unwrap();
    enough.set_processing_time(1_050);
    enough.trigger("a", MINUTE, [(1, "4")]).unwrap();
    let clock = TimerKind::ProcessingTime;
    assert_eq!(enough.trigger_timers("a", MINUTE), [(clock, 1_150)]);
    assert!(enough.trigger_at("a", MINUTE, clock, 1_100).is_err());
    let verdict = enough.trigger_at("a", MINUTE, clock, 1_150).unwrap();
    assert_eq!(verdict, Verdict::Fire);
    assert!(enough.trigger_timers("a", MINUTE).is_empty());
}

#[test]
fn a_row_that_is_refused_changes_nothing() {
    let mut enough = Harness::open_trigger::<Enough, _>("null").unwrap();
    let why = enough
        .trigger("a", MINUTE, [(1, "9"), (2, "x")])
        .unwrap_err();
    assert_eq!(why, "x is no number");
    let verdicts = enough.trigger("a", MINUTE, [(1, "9")]).unwrap();
    assert_eq!(verdicts, [Verdict::Continue]);
}
