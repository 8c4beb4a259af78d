//! Per aircraft: the times in which it was in operation, and how far it flew in each.

use weir_guest::{
    Csv, CsvRow, Ctx, Result, Window, WindowAggregate, columns, object, operator, record,
};

columns! { _, DEPARTED_MS, _, _, _, _, _, _, _, DISTANCE_MILES }

#[derive(Default)]
struct Sessions;

record! {
    /// What is known of a time in operation.
    #[derive(Clone, Copy, Default)]
    struct Session {
        flights: i64,
        distance_miles: i64,
        last_ms: i64,
    }
}

impl WindowAggregate for Sessions {
    type In = Csv;
    type Accumulator = Session;
    type Out = String;

    fn add(&mut self, session: &mut Session, row: CsvRow<'_>) -> Result<()> {
        session.flights += 1;
        session.distance_miles += row.get::<i64>(DISTANCE_MILES)?;
        session.last_ms = session.last_ms.max(row.get(DEPARTED_MS)?);
        Ok(())
    }

    fn merge(&mut self, session: &mut Session, other: Session) -> Result<()> {
        session.flights += other.flights;
        session.distance_miles += other.distance_miles;
        session.last_ms = session.last_ms.max(other.last_ms);
        Ok(())
    }

    fn result(&mut self, window: Window, session: Session, ctx: &mut Ctx<String>) -> Result<()> {
        let tail = ctx.key().part(0)?;
        if tail.is_empty() {
            // Of these flights it is not known which aircraft flew them.
            return Ok(());
        }
        ctx.emit(object! {
            "tail": tail,
            "first_ms": window.start,
            "last_ms": session.last_ms,
            "flights": session.flights,
            "distance_miles": session.distance_miles,
        })
    }
}

operator!(Sessions, aggregate);

#[cfg(test)]
mod tests {
    use super::*;
    use weir_guest::testing::Harness;

    #[test]
    fn a_session_goes_from_its_first_flight_to_its_last() {
        let mut sessions = Harness::open::<Sessions, _>("null").unwrap();
        let window = Window {
            start: 60_000,
            end: 900_000,
        };
        let rows = [
            "0,240000,UA,1545,N14228,EWR,IAH,2,11,1400",
            "0,60000,UA,1714,N14228,LGA,IAH,6,20,1416",
        ];
        let out = sessions.window("N14228", window, rows).unwrap();
        let session = r#"{"tail":"N14228","first_ms":60000,"last_ms":240000,"flights":2,"distance_miles":2816}"#;
        assert_eq!(out.main(), [session]);
        assert!(sessions.window("", window, rows).unwrap().main().is_empty());
    }
}
