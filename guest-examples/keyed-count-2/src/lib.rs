//! The next version of `keyed-count`: it counts the bytes of the rows of each key as well, and goes
//! on from what version 1 has counted.

use weir_guest::{
    Ctx, Error, Evolve, Evolving, KeyedDescribe, KeyedProcess, Result, Row, Value, operator, record,
};

record! {
    version 2;
    #[derive(Clone, Default)]
    struct Total {
        rows: u64,
        bytes: u64,
    }
}

#[derive(Default)]
struct KeyedCount {
    count: Value<Total>,
}

impl KeyedProcess for KeyedCount {
    type In = Vec<u8>;
    type Out = String;

    fn describe(&mut self, d: &mut KeyedDescribe) {
        d.value("count", &mut self.count).prefetch();
    }

    fn process(&mut self, row: Row<Vec<u8>>, ctx: &mut Ctx<String>) -> Result<()> {
        let mut total = self.count.get()?.cloned().unwrap_or_default();
        total.rows += 1;
        total.bytes += row.len() as u64;
        ctx.emit((ctx.key(), "=", total.rows))?;
        self.count.set(total)
    }
}

impl Evolving for KeyedCount {
    #[expect(
        clippy::panic,
        reason = "what becomes of a migration that traps is tested with it"
    )]
    fn evolve(e: &mut Evolve) {
        e.migrate("count", 1, |rows: u64| match rows {
            // Nobody has counted so far: for tests of what becomes of a migration that fails.
            1_000_000 => Err(Error::new("a count of one million is not to be believed")),
            2_000_000 => panic!("a count of two million"),
            rows => Ok(Total { rows, bytes: 0 }),
        });
        e.show("count", |total: &Total| {
            format!("{} rows, {} bytes", total.rows, total.bytes)
        });
    }
}

operator!(KeyedCount, evolving);

#[cfg(test)]
mod tests {
    use super::*;
    use weir_guest::testing::{Evolved, Harness};

    #[test]
    fn rows_and_bytes_are_counted() {
        let mut counts = Harness::open::<KeyedCount, _>("null").unwrap();
        let out = counts.keyed([("a", "xx"), ("b", "x"), ("a", "x")]).unwrap();
        assert_eq!(out.main(), ["a=1", "b=1", "a=2"]);
    }

    #[test]
    fn what_version_1_counted_goes_on() {
        let evolved = Evolved::of::<KeyedCount>();
        let total: Total = evolved.migrate("count", 1, &7u64).unwrap();
        assert_eq!((total.rows, total.bytes), (7, 0));
        assert_eq!(evolved.show("count", &total).unwrap(), "7 rows, 0 bytes");
        assert!(
            evolved
                .migrate::<u64, Total>("count", 1, &1_000_000)
                .is_err()
        );
    }
}
