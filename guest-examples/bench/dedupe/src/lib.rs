//! Lets the first row of each key and value pass, as `key,value`.

use weir_guest::{Csv, Ctx, KeyedDescribe, KeyedProcess, Map, Result, Row, columns, operator};

columns! { _, VALUE }

#[derive(Default)]
struct Dedupe {
    /// The values that the key has had: a set.
    seen: Map<u64, ()>,
}

impl KeyedProcess for Dedupe {
    type In = Csv;
    type Out = String;

    fn describe(&mut self, d: &mut KeyedDescribe) {
        d.map("seen", &mut self.seen).prefetch();
    }

    fn prefetch(&mut self, row: &Row<Csv>) -> Result<()> {
        self.seen.prefetch(row.get::<u64>(VALUE)?)
    }

    fn process(&mut self, row: Row<Csv>, ctx: &mut Ctx<String>) -> Result<()> {
        let value = row.get::<u64>(VALUE)?;
        if self.seen.contains(value)? {
            return Ok(());
        }
        self.seen.put(value, ())?;
        ctx.emit((ctx.key(), ",", value))
    }
}

operator!(Dedupe);

#[cfg(test)]
mod tests {
    use super::*;
    use weir_guest::testing::Harness;

    #[test]
    fn a_value_passes_the_first_time_for_each_key() {
        let mut firsts = Harness::open::<Dedupe, _>("null").unwrap();
        let rows = [
            ("7", "7,1,0"),
            ("7", "7,2,0"),
            ("7", "7,1,0"),
            ("8", "8,1,0"),
        ];
        let out = firsts.keyed(rows).unwrap();
        assert_eq!(out.main(), ["7,1", "7,2", "8,1"]);
        assert_eq!(firsts.imports(), ["map-get", "map-put"]);
    }
}
