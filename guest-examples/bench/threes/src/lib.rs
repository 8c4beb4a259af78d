//! Collects three values of each key, then emits `key,sum` of them and begins anew. How many there
//! are is kept apart: adding to the list does not read it.

use weir_guest::{
    Csv, Ctx, KeyedDescribe, KeyedProcess, List, Result, Row, Value, columns, operator,
};

columns! { _, VALUE }

/// How many values make a sum.
const FULL: u32 = 3;

#[derive(Default)]
struct Threes {
    values: List<u64>,
    size: Value<u32>,
}

impl KeyedProcess for Threes {
    type In = Csv;
    type Out = String;

    fn describe(&mut self, d: &mut KeyedDescribe) {
        d.list("values", &mut self.values);
        d.value("size", &mut self.size).prefetch();
    }

    fn process(&mut self, row: Row<Csv>, ctx: &mut Ctx<String>) -> Result<()> {
        self.values.add(row.get(VALUE)?)?;
        let size = self.size.get()?.copied().unwrap_or(0) + 1;
        if size < FULL {
            return self.size.set(size);
        }
        let sum: u64 = self.values.get()?.iter().sum();
        self.values.clear()?;
        self.size.clear()?;
        ctx.emit((ctx.key(), ",", sum))
    }
}

operator!(Threes);

#[cfg(test)]
mod tests {
    use super::*;
    use weir_guest::testing::Harness;

    #[test]
    fn each_third_value_of_a_key_completes_a_sum() {
        let mut threes = Harness::open::<Threes, _>("null").unwrap();
        let rows = [("7", "7,1,0"), ("8", "8,9,0"), ("7", "7,2,0")];
        assert!(threes.keyed(rows).unwrap().main().is_empty());
        assert_eq!((threes.held("values"), threes.held("size")), (3, 2));
        let rows = [("7", "7,3,0"), ("7", "7,4,0")];
        assert_eq!(threes.keyed(rows).unwrap().main(), ["7,6"]);
        let rows = [("7", "7,5,0"), ("7", "7,6,0")];
        assert_eq!(threes.keyed(rows).unwrap().main(), ["7,15"]);
        assert_eq!((threes.held("values"), threes.held("size")), (1, 1));
    }
}
