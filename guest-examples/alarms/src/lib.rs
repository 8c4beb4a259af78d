//! Tells when a sensor gets too hot and when it is cool again. Rows are `sensor,celsius`.

use weir_guest::{
    Counter, Csv, Ctx, Env, KeyedDescribe, KeyedProcess, Result, Row, Value, bail, columns, object,
};

columns! { SENSOR, CELSIUS }

#[derive(Default)]
struct Alarms {
    /// Whether the sensor is hot. State: Weir keeps it per key, through crashes.
    hot: Value<bool>,
    /// A metric.
    alarms: Counter,
    /// Configuration: not state, read anew whenever the operator is made.
    limit: f64,
}

impl KeyedProcess for Alarms {
    type In = Csv;
    type Out = String;

    // Declares state and metrics; it is called more than once.
    fn describe(&mut self, d: &mut KeyedDescribe) {
        d.value("hot", &mut self.hot).prefetch();
        d.counter("alarms", &mut self.alarms);
    }

    // Called once before the first row.
    fn open(&mut self, env: Env) -> Result<()> {
        self.limit = match env.config().trim().parse() {
            Ok(limit) => limit,
            Err(_) => bail!(
                "config is the limit in degrees Celsius, not `{}`",
                env.config()
            ),
        };
        Ok(())
    }

    // Called for each row. `?` on a row that cannot be read refuses that row and no other.
    fn process(&mut self, row: Row<Csv>, ctx: &mut Ctx<String>) -> Result<()> {
        let is_hot = row.get::<f64>(CELSIUS)? > self.limit;
        let was_hot = self.hot.get()?.copied().unwrap_or(false);
        if is_hot == was_hot {
            return Ok(());
        }
        self.hot.set(is_hot)?;
        if is_hot {
            self.alarms.add(1);
        }
        ctx.emit(object! { "sensor": row.text(SENSOR)?, "hot": is_hot })
    }
}

weir_guest::operator!(Alarms);

#[cfg(test)]
mod tests {
    use super::*;
    use weir_guest::testing::Harness;

    #[test]
    fn an_alarm_is_raised_once_and_cleared_once() {
        let mut alarms = Harness::open::<Alarms, _>("30").unwrap();
        let rows = [
            ("a", "a,29.5"),
            ("a", "a,31"),
            ("b", "b,20"),
            ("a", "a,35"),
            ("a", "a,22"),
        ];
        let told = [
            r#"{"sensor":"a","hot":true}"#,
            r#"{"sensor":"a","hot":false}"#,
        ];
        assert_eq!(alarms.keyed(rows).unwrap().main(), told);
        // As after a crash: fields are made anew, state is kept.
        alarms.keyed([("b", "b,40")]).unwrap();
        alarms.restart().unwrap();
        assert!(alarms.keyed([("b", "b,41")]).unwrap().main().is_empty());
    }

    #[test]
    fn a_row_that_is_no_number_is_refused_and_named() {
        let mut alarms = Harness::open::<Alarms, _>("30").unwrap();
        let outcome = alarms.keyed([("a", "a,31"), ("a", "a,warm")]).unwrap();
        assert_eq!(outcome.main().len(), 1);
        assert_eq!(outcome.poisoned.unwrap().0, 1);
    }
}
