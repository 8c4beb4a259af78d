//! Per carrier: flights, cancelled flights, and how late flights arrived; one update per row.

use weir_guest::{
    Aggregate, Aggregating, Csv, Ctx, KeyedDescribe, KeyedProcess, Result, Row, columns, object,
    operator, record,
};

columns! { _, DEPARTED_MS, CARRIER, _, _, _, _, _, ARR_DELAY_MIN }

#[derive(Default)]
struct Carriers {
    totals: Aggregating<Totals>,
}

record! {
    /// What is known of a carrier.
    #[derive(Clone, Copy, Default)]
    struct Totals {
        flights: i64,
        cancelled: i64,
        arrived: i64,
        arr_delay_sum: i64,
        arr_delay_worst: Option<i64>,
    }
}

struct Flight {
    cancelled: bool,
    arr_delay: Option<i64>,
}

impl Aggregate for Totals {
    type In = Flight;
    type Out = Totals;

    fn add(&mut self, flight: Flight) {
        self.flights += 1;
        self.cancelled += i64::from(flight.cancelled);
        if let Some(delay) = flight.arr_delay {
            self.arrived += 1;
            self.arr_delay_sum += delay;
            self.arr_delay_worst = self.arr_delay_worst.max(Some(delay));
        }
    }

    fn result(&self) -> Totals {
        *self
    }
}

impl KeyedProcess for Carriers {
    type In = Csv;
    type Out = String;

    fn describe(&mut self, d: &mut KeyedDescribe) {
        d.aggregating("totals", &mut self.totals).prefetch();
    }

    fn process(&mut self, row: Row<Csv>, ctx: &mut Ctx<String>) -> Result<()> {
        let totals = self.totals.add(Flight {
            cancelled: row.is_blank(DEPARTED_MS)?,
            arr_delay: row.optional(ARR_DELAY_MIN)?,
        })?;
        ctx.emit(object! {
            "carrier": row.text(CARRIER)?,
            "flights": totals.flights,
            "cancelled": totals.cancelled,
            "arrived": totals.arrived,
            "arr_delay_sum": totals.arr_delay_sum,
            "arr_delay_worst": totals.arr_delay_worst,
        })
    }
}

operator!(Carriers);

#[cfg(test)]
mod tests {
    use super::*;
    use weir_guest::testing::Harness;

    #[test]
    fn a_carrier_sums_up_its_flights() {
        let mut carriers = Harness::open::<Carriers, _>("null").unwrap();
        let rows = [
            // Late, early, cancelled, and diverted: departed, but never arrived here.
            ("UA", "60000,120000,UA,1545,N14228,EWR,IAH,1,11,1400"),
            ("UA", "60000,60000,UA,1714,N24211,LGA,IAH,0,-20,1416"),
            ("B6", "60000,,B6,125,N618JB,JFK,FLL,,,1069"),
            ("UA", "60000,90000,UA,7,N24211,LGA,IAH,0,,1416"),
        ];
        let out = carriers.keyed(rows).unwrap();
        let update = |carrier, [flights, cancelled, arrived, sum]: [i64; 4], worst| {
            let counts = format!(r#""flights":{flights},"cancelled":{cancelled}"#);
            let delays = format!(r#""arr_delay_sum":{sum},"arr_delay_worst":{worst}"#);
            format!(r#"{{"carrier":"{carrier}",{counts},"arrived":{arrived},{delays}}}"#)
        };
        let expected = [
            update("UA", [1, 0, 1, 11], "11"),
            update("UA", [2, 0, 2, -9], "11"),
            update("B6", [1, 1, 0, 0], "null"),
            update("UA", [3, 0, 2, -9], "11"),
        ];
        assert_eq!(out.main(), expected);
        assert_eq!(carriers.held("totals"), 2);
    }

    #[test]
    fn a_delay_that_is_no_number_is_a_bad_row() {
        let mut carriers = Harness::open::<Carriers, _>("null").unwrap();
        let row = ("UA", "60000,120000,UA,1545,N14228,EWR,IAH,1,late,1400");
        let (_, message) = carriers.keyed([row]).unwrap().poisoned.unwrap();
        assert!(
            message.starts_with("column 8 (ARR_DELAY_MIN): `late`"),
            "{message}"
        );
        assert_eq!(carriers.held("totals"), 0);
    }
}
