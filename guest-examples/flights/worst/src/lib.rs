//! Per route and UTC day: a new worst departure delay.

use weir_guest::{
    Csv, Ctx, KeyedDescribe, KeyedProcess, Map, Result, Row, columns, object, operator,
};

columns! { SCHEDULED_MS, DEPARTED_MS, _, _, _, ORIGIN, DEST, DEP_DELAY_MIN }

const DAY_MS: i64 = 86_400_000;

#[derive(Default)]
struct Worst {
    /// The worst delay, in minutes, of each day.
    by_day: Map<i64, i64>,
}

impl KeyedProcess for Worst {
    type In = Csv;
    type Out = String;

    fn describe(&mut self, d: &mut KeyedDescribe) {
        d.map("worst-by-day", &mut self.by_day).prefetch();
    }

    fn prefetch(&mut self, row: &Row<Csv>) -> Result<()> {
        self.by_day.prefetch(day(row)?)
    }

    fn process(&mut self, row: Row<Csv>, ctx: &mut Ctx<String>) -> Result<()> {
        let day = day(&row)?;
        let departed = !row.is_blank(DEPARTED_MS)?;
        let Some(delay) = row.optional::<i64>(DEP_DELAY_MIN)?.filter(|_| departed) else {
            return Ok(());
        };
        if self.by_day.get(day)?.is_some_and(|worst| delay <= *worst) {
            return Ok(());
        }
        self.by_day.put(day, delay)?;
        let (origin, dest) = (row.text(ORIGIN)?, row.text(DEST)?);
        ctx.emit(object! {
            "origin": origin, "dest": dest, "day": day, "dep_delay_min": delay,
        })
    }
}

/// The day of the scheduled departure, counted from 1970.
fn day(row: &Row<Csv>) -> Result<i64> {
    Ok(row.get::<i64>(SCHEDULED_MS)?.div_euclid(DAY_MS))
}

operator!(Worst);

#[cfg(test)]
mod tests {
    use super::*;
    use weir_guest::testing::Harness;

    #[test]
    fn only_a_worse_delay_of_the_same_day_is_told() {
        let mut worst = Harness::open::<Worst, _>("null").unwrap();
        let route = |row| ("JFK-FLL", row);
        let rows = [
            route("0,1,B6,1,N1,JFK,FLL,-3,0,1"),
            route("1000,1001,B6,1,N1,JFK,FLL,5,0,1"),
            route("2000,2001,B6,1,N1,JFK,FLL,5,0,1"),
            // Cancelled.
            route("3000,,B6,1,N1,JFK,FLL,,,1"),
            route("86400000,86400001,B6,1,N1,JFK,FLL,2,0,1"),
            ("EWR-FLL", "4000,4001,B6,1,N1,EWR,FLL,1,0,1"),
        ];
        let told = |origin, day, delay| {
            format!(r#"{{"origin":"{origin}","dest":"FLL","day":{day},"dep_delay_min":{delay}}}"#)
        };
        let expected = [
            told("JFK", 0, -3),
            told("JFK", 0, 5),
            told("JFK", 1, 2),
            told("EWR", 0, 1),
        ];
        assert_eq!(worst.keyed(rows).unwrap().main(), expected);
        assert_eq!(worst.held("worst-by-day"), 3);
        // What rows look up is fetched once for all of them.
        assert_eq!(worst.imports(), ["map-get", "map-put"]);
        worst.restart().unwrap();
        let rows = [
            route("5000,5001,B6,1,N1,JFK,FLL,4,0,1"),
            route("6000,6001,B6,1,N1,JFK,FLL,6,0,1"),
        ];
        assert_eq!(worst.keyed(rows).unwrap().main(), [told("JFK", 0, 6)]);
    }

    #[test]
    fn a_day_begins_at_midnight_before_1970_too() {
        let mut worst = Harness::open::<Worst, _>("null").unwrap();
        let out = worst
            .keyed([("JFK-FLL", "-1,0,B6,1,N1,JFK,FLL,0,0,1")])
            .unwrap();
        assert!(out.main()[0].contains(r#""day":-1,"#), "{:?}", out.main());
    }
}
