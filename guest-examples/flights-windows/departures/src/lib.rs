//! Per airport and window: how many flights departed, and the sum of their delays.

use weir_guest::{
    Csv, CsvRow, Ctx, Result, Window, WindowAggregate, columns, object, operator, record,
};

columns! { _, _, _, _, _, _, _, DEP_DELAY_MIN }

#[derive(Default)]
struct Departures;

record! {
    /// What is known of the departures of a window.
    #[derive(Clone, Copy, Default)]
    struct Totals {
        flights: i64,
        dep_delay_sum: i64,
    }
}

impl WindowAggregate for Departures {
    type In = Csv;
    type Accumulator = Totals;
    type Out = String;

    fn add(&mut self, totals: &mut Totals, row: CsvRow<'_>) -> Result<()> {
        let delay: Option<i64> = row.optional(DEP_DELAY_MIN)?;
        totals.flights += 1;
        totals.dep_delay_sum += delay.unwrap_or(0);
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

operator!(Departures, aggregate);

#[cfg(test)]
mod tests {
    use super::*;
    use weir_guest::testing::Harness;

    const HOUR: Window = Window {
        start: 1_357_034_400_000,
        end: 1_357_038_000_000,
    };

    #[test]
    fn departures_of_an_hour_are_summed_up() {
        let mut departures = Harness::open::<Departures, _>("null").unwrap();
        let rows = [
            "1357035300000,1357035420000,UA,1545,N14228,EWR,IAH,2,11,1400",
            "1357035300000,1357035660000,UA,1714,N24211,EWR,IAH,6,20,1416",
            "1357035300000,1357035120000,B6,125,N618JB,EWR,FLL,-2,,1069",
        ];
        let out = departures.window("EWR", HOUR, rows).unwrap();
        let hour =
            r#"{"origin":"EWR","window_start_ms":1357034400000,"flights":3,"dep_delay_sum":6}"#;
        assert_eq!(out.main(), [hour]);
    }

    #[test]
    fn a_delay_that_is_no_number_is_refused() {
        let mut departures = Harness::open::<Departures, _>("null").unwrap();
        let rows = ["1,2,UA,1545,N14228,EWR,IAH,late,11,1400"];
        let (row, why) = departures
            .window("EWR", HOUR, rows)
            .unwrap()
            .poisoned
            .unwrap();
        assert_eq!(row, 0);
        assert!(why.contains("`late`"), "{why}");
    }
}
