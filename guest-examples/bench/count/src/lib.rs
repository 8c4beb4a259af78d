//! Counts the rows of each key and emits `key,count`.

use weir_guest::{Ctx, KeyedDescribe, KeyedProcess, Result, Row, Value, operator};

#[derive(Default)]
struct Count {
    count: Value<u64>,
}

impl KeyedProcess for Count {
    type In = Vec<u8>;
    type Out = String;

    fn describe(&mut self, d: &mut KeyedDescribe) {
        d.value("count", &mut self.count).prefetch();
    }

    fn process(&mut self, _row: Row<Vec<u8>>, ctx: &mut Ctx<String>) -> Result<()> {
        let count = self.count.get()?.copied().unwrap_or(0) + 1;
        self.count.set(count)?;
        ctx.emit((ctx.key(), ",", count))
    }
}

operator!(Count);

#[cfg(test)]
mod tests {
    use super::*;
    use weir_guest::testing::Harness;

    #[test]
    fn each_key_has_a_count_of_its_own() {
        let mut counts = Harness::open::<Count, _>("null").unwrap();
        let rows = [("7", "7,0,1"), ("8", "8,1,1"), ("7", "7,2,1")];
        let out = counts.keyed(rows).unwrap();
        assert_eq!(out.main(), ["7,1", "8,1", "7,2"]);
        // Counts come with the batch and go back with its result.
        assert!(counts.imports().is_empty());
    }
}
