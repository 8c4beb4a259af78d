//! Per airport and window: how many flights departed, and the delay that half did not exceed.

use weir_guest::{
    Csv, CsvRow, Ctx, Result, Window, WindowFunction, WindowRows, columns, object, operator,
};

columns! { _, _, _, _, _, _, _, DEP_DELAY_MIN }

const HOUR_MS: i64 = 3_600_000;

#[derive(Default)]
struct Medians;

impl WindowFunction for Medians {
    type In = Csv;
    type Out = String;

    fn accept(&mut self, row: CsvRow<'_>) -> Result<()> {
        row.get::<i64>(DEP_DELAY_MIN).map(|_| ())
    }

    fn apply(
        &mut self,
        window: Window,
        rows: WindowRows<'_, Csv>,
        ctx: &mut Ctx<String>,
    ) -> Result<()> {
        let mut delays = Vec::with_capacity(rows.len());
        for row in rows {
            delays.push(row?.get::<i64>(DEP_DELAY_MIN)?);
        }
        // Of an even number the lower one of the two in the middle.
        let middle = delays.len().saturating_sub(1) / 2;
        let (_, median, _) = delays.select_nth_unstable(middle);
        let median = *median;
        let origin = ctx.key().part(0)?;
        ctx.emit(object! {
            "origin": origin,
            "window_start_ms": window.start,
            "hours": window.end.saturating_sub(window.start) / HOUR_MS,
            "flights": delays.len() as i64,
            "median_dep_delay_min": median,
        })
    }
}

operator!(Medians, window);

#[cfg(test)]
mod tests {
    use super::*;
    use weir_guest::testing::Harness;

    const DAY: Window = Window {
        start: 1_357_016_400_000,
        end: 1_357_102_800_000,
    };

    fn row(delay: &str) -> String {
        format!("1357035300000,1357035420000,UA,1545,N14228,EWR,IAH,{delay},11,1400")
    }

    #[test]
    fn the_delay_in_the_middle_is_told() {
        let mut medians = Harness::open::<Medians, _>("null").unwrap();
        let rows = ["9", "-3", "40", "2"].map(row);
        let out = medians.window("EWR", DAY, rows).unwrap();
        let day = concat!(
            r#"{"origin":"EWR","window_start_ms":1357016400000,"hours":24,"#,
            r#""flights":4,"median_dep_delay_min":2}"#
        );
        assert_eq!(out.main(), [day]);
    }

    #[test]
    fn a_flight_without_a_delay_is_refused_as_it_comes() {
        let mut medians = Harness::open::<Medians, _>("null").unwrap();
        let out = medians.window("EWR", DAY, ["1", "", "3"].map(row)).unwrap();
        assert_eq!(out.poisoned.as_ref().map(|(row, _)| *row), Some(1));
    }
}
