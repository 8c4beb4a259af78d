//! Per flight: how late it departed, and how the wind was. A join finds the report of the weather.

use weir_guest::{Csv, CsvRow, Ctx, JoinFunction, Result, Row, columns, object, operator};

mod weather {
    weir_guest::columns! { pub(crate) _, _, _, WIND_MPH }
}

columns! { _, _, CARRIER, FLIGHT, _, ORIGIN, _, DEP_DELAY_MIN }

#[derive(Default)]
struct Winds;

impl Winds {
    fn emit(flight: &CsvRow<'_>, wind: Option<f64>, ctx: &mut Ctx<String>) -> Result<()> {
        ctx.emit(object! {
            "origin": flight.text(ORIGIN)?,
            "carrier": flight.text(CARRIER)?,
            "flight": flight.get::<u32>(FLIGHT)?,
            "dep_delay_min": flight.get::<i64>(DEP_DELAY_MIN)?,
            "wind_mph": wind,
        })
    }
}

impl JoinFunction for Winds {
    type Left = Csv;
    type Right = Csv;
    type Out = String;

    fn accept_left(&mut self, flight: CsvRow<'_>) -> Result<()> {
        flight.get::<u32>(FLIGHT)?;
        flight.get::<i64>(DEP_DELAY_MIN).map(|_| ())
    }

    fn accept_right(&mut self, report: CsvRow<'_>) -> Result<()> {
        report.optional::<f64>(weather::WIND_MPH).map(|_| ())
    }

    fn join(&mut self, flight: Row<Csv>, report: Row<Csv>, ctx: &mut Ctx<String>) -> Result<()> {
        Self::emit(&flight, report.optional(weather::WIND_MPH)?, ctx)
    }

    fn left_only(&mut self, flight: Row<Csv>, ctx: &mut Ctx<String>) -> Result<()> {
        Self::emit(&flight, None, ctx)
    }
}

operator!(Winds, join);

#[cfg(test)]
mod tests {
    use super::*;
    use weir_guest::testing::Harness;

    const HOUR: i64 = 3_600_000;

    fn flight(delay: &str) -> String {
        format!("1357035300000,1357035420000,UA,1545,N14228,EWR,IAH,{delay},11,1400")
    }

    fn report(wind: &str) -> String {
        format!("1357020000000,EWR,39.02,{wind},0,10")
    }

    #[test]
    fn a_flight_comes_with_its_wind() {
        let mut winds = Harness::open::<Winds, _>("null").unwrap();
        let flights = [(HOUR + 5, flight("2"))];
        let out = winds.join("EWR", flights.clone(), [(HOUR, report("10.5"))]);
        let line = |wind: &str| {
            format!(
                r#"{{"origin":"EWR","carrier":"UA","flight":1545,"dep_delay_min":2,"wind_mph":{wind}}}"#
            )
        };
        assert_eq!(out.unwrap().main(), [line("10.5")]);
        let out = winds.join("EWR", flights.clone(), [(HOUR, report(""))]);
        assert_eq!(out.unwrap().main(), [line("null")]);
        let none: [(i64, String); 0] = [];
        assert_eq!(
            winds.join("EWR", flights, none).unwrap().main(),
            [line("null")]
        );
    }

    #[test]
    fn a_report_of_something_else_is_refused_as_it_comes() {
        let mut winds = Harness::open::<Winds, _>("null").unwrap();
        let out = winds.join("EWR", [(HOUR, flight("2"))], [(HOUR, report("strong"))]);
        assert_eq!(out.unwrap().poisoned.map(|(row, _)| row), Some(1));
        let out = winds.join("EWR", [(HOUR, flight(""))], [(HOUR, report("1"))]);
        assert_eq!(out.unwrap().poisoned.map(|(row, _)| row), Some(0));
    }
}
