//! Per aircraft: a departure from another airport than the last time.

use weir_guest::{
    Csv, Ctx, KeyedDescribe, KeyedProcess, Result, Row, Value, columns, object, operator,
};

columns! { SCHEDULED_MS, DEPARTED_MS, _, _, TAIL, ORIGIN }

#[derive(Default)]
struct Switches {
    last_origin: Value<String>,
}

impl KeyedProcess for Switches {
    type In = Csv;
    type Out = String;

    fn describe(&mut self, d: &mut KeyedDescribe) {
        d.value("last-origin", &mut self.last_origin).prefetch();
    }

    fn process(&mut self, row: Row<Csv>, ctx: &mut Ctx<String>) -> Result<()> {
        let (tail, now) = (row.text(TAIL)?, row.text(ORIGIN)?);
        if tail.is_empty() || row.is_blank(DEPARTED_MS)? {
            return Ok(());
        }
        match self.last_origin.get()? {
            Some(before) if *before == now => return Ok(()),
            Some(before) => {
                let scheduled_ms: i64 = row.get(SCHEDULED_MS)?;
                ctx.emit(object! {
                    "tail": tail, "before": before, "now": now, "scheduled_ms": scheduled_ms,
                })?;
            }
            None => {}
        }
        self.last_origin.set(now.into_owned())
    }
}

operator!(Switches);

#[cfg(test)]
mod tests {
    use super::*;
    use weir_guest::testing::Harness;

    #[test]
    fn a_departure_from_elsewhere_is_told() {
        let mut switches = Harness::open::<Switches, _>("null").unwrap();
        let rows = [
            ("N1", "1000,1000,B6,1,N1,EWR,FLL,0,0,1"),
            ("N1", "2000,2000,B6,1,N1,EWR,FLL,0,0,1"),
            // Cancelled: it went nowhere from there.
            ("N1", "3000,,B6,1,N1,JFK,FLL,,,1"),
            ("N2", "3000,3000,B6,1,N2,JFK,FLL,0,0,1"),
            ("N1", "4000,4000,B6,1,N1,LGA,FLL,0,0,1"),
            // Nobody knows which aircraft.
            ("", "5000,5000,B6,1,,LGA,FLL,0,0,1"),
        ];
        let out = switches.keyed(rows).unwrap();
        let told = [r#"{"tail":"N1","before":"EWR","now":"LGA","scheduled_ms":4000}"#];
        assert_eq!(out.main(), told);
        assert_eq!(switches.held("last-origin"), 2);

        switches.restart().unwrap();
        let back = ("N1", "6000,6000,B6,1,N1,EWR,FLL,0,0,1");
        let told = [r#"{"tail":"N1","before":"LGA","now":"EWR","scheduled_ms":6000}"#];
        assert_eq!(switches.keyed([back]).unwrap().main(), told);
    }

    #[test]
    fn an_aircraft_that_stays_costs_no_write() {
        let mut switches = Harness::open::<Switches, _>("null").unwrap();
        let row = ("N1", "1000,1000,B6,1,N1,EWR,FLL,0,0,1");
        switches.keyed([row]).unwrap();
        switches.imports();
        assert!(switches.keyed([row, row]).unwrap().emitted.is_empty());
        assert!(switches.imports().is_empty());
    }

    #[test]
    fn a_row_that_is_cut_short_is_a_bad_row_and_the_ones_before_it_count() {
        let mut switches = Harness::open::<Switches, _>("null").unwrap();
        let rows = [
            ("N1", "1000,1000,B6,1,N1,EWR,FLL,0,0,1"),
            ("N1", "2000,2000,B6,1,N1"),
        ];
        let (row, message) = switches.keyed(rows).unwrap().poisoned.unwrap();
        assert_eq!(
            (row, &*message),
            (1, "no column 5 (ORIGIN): the record has 5 columns")
        );
        assert_eq!(switches.held("last-origin"), 1);
    }
}
