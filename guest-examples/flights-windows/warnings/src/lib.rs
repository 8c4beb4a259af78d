//! Per airport and window: what has departed by then, each time ten more flights were an hour late.

use weir_guest::{
    Csv, CsvRow, Ctx, Result, Row, Trigger, TriggerCtx, Verdict, Window, WindowAggregate, columns,
    object, operator, record,
};

columns! { _, _, _, _, _, _, _, DEP_DELAY_MIN }

/// From this delay on a flight counts as late, in minutes.
const LATE: i64 = 60;
/// So many late flights are a warning.
const MANY: u64 = 10;

#[derive(Default)]
struct Warnings;

record! {
    /// What is known of the departures of a window.
    #[derive(Clone, Copy, Default)]
    struct Totals {
        flights: i64,
        dep_delay_sum: i64,
    }
}

impl WindowAggregate for Warnings {
    type In = Csv;
    type Accumulator = Totals;
    type Out = String;

    fn add(&mut self, totals: &mut Totals, row: CsvRow<'_>) -> Result<()> {
        totals.flights += 1;
        totals.dep_delay_sum += row.get::<i64>(DEP_DELAY_MIN)?;
        Ok(())
    }

    fn merge(&mut self, totals: &mut Totals, other: Totals) -> Result<()> {
        totals.flights += other.flights;
        totals.dep_delay_sum += other.dep_delay_sum;
        Ok(())
    }

    fn result(&mut self, window: Window, totals: Totals, ctx: &mut Ctx<String>) -> Result<()> {
        let origin = ctx.key().part(0)?;
        ctx.emit(object! {
            "origin": origin,
            "window_start_ms": window.start,
            "flights": totals.flights,
            "dep_delay_sum": totals.dep_delay_sum,
        })
    }
}

impl Trigger for Warnings {
    type Row = Csv;
    /// How many flights were late since the last warning.
    type State = u64;

    fn on_row(&mut self, row: Row<'_, Csv>, ctx: &mut TriggerCtx<'_, u64>) -> Result<Verdict> {
        if row.get::<i64>(DEP_DELAY_MIN)? < LATE {
            return Ok(Verdict::Continue);
        }
        ctx.state += 1;
        if ctx.state < MANY {
            return Ok(Verdict::Continue);
        }
        ctx.state = 0;
        Ok(Verdict::Fire)
    }
}

operator!(Warnings, aggregate, trigger);

#[cfg(test)]
mod tests {
    use super::*;
    use weir_guest::testing::Harness;

    const DAY: Window = Window {
        start: 0,
        end: 86_400_000,
    };

    fn row(delay: i64) -> (i64, String) {
        (1, format!("1,2,UA,1545,N14228,EWR,IAH,{delay},11,1400"))
    }

    #[test]
    fn ten_late_flights_are_a_warning() {
        let mut warnings = Harness::open_trigger::<Warnings, _>("null").unwrap();
        let nine = (0..18).map(|n| row(if n % 2 == 0 { LATE } else { 0 }));
        let verdicts = warnings.trigger("EWR", DAY, nine).unwrap();
        assert!(verdicts.iter().all(|verdict| *verdict == Verdict::Continue));
        let verdicts = warnings.trigger("EWR", DAY, [row(61), row(61)]).unwrap();
        assert_eq!(verdicts, [Verdict::Fire, Verdict::Continue]);
        assert!(warnings.trigger_timers("EWR", DAY).is_empty());
    }

    #[test]
    fn what_has_departed_is_told() {
        let mut warnings = Harness::open_trigger::<Warnings, _>("null").unwrap();
        let rows = [row(60).1, row(-2).1];
        let out = warnings.window("EWR", DAY, rows).unwrap();
        let told = r#"{"origin":"EWR","window_start_ms":0,"flights":2,"dep_delay_sum":58}"#;
        assert_eq!(out.main(), [told]);
    }
}
