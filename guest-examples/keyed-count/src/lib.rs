//! Counts the rows of each key and emits `key=count`.

use weir_guest::{Ctx, KeyedDescribe, KeyedProcess, Result, Row, Value, operator};

#[derive(Default)]
struct KeyedCount {
    count: Value<u64>,
}

impl KeyedProcess for KeyedCount {
    type In = Vec<u8>;
    type Out = String;

    fn describe(&mut self, d: &mut KeyedDescribe) {
        d.value("count", &mut self.count).prefetch();
    }

    fn process(&mut self, _row: Row<Vec<u8>>, ctx: &mut Ctx<String>) -> Result<()> {
        let count = self.count.get()?.copied().unwrap_or(0) + 1;
        self.count.set(count)?;
        ctx.emit((ctx.key(), "=", count))
    }
}

operator!(KeyedCount);

#[cfg(test)]
mod tests {
    use super::*;
    use weir_guest::testing::Harness;

    #[test]
    fn each_key_has_a_count_of_its_own() {
        let mut counts = Harness::open::<KeyedCount, _>("null").unwrap();
        let out = counts.keyed([("a", "x"), ("b", "x"), ("a", "x")]).unwrap();
        assert_eq!(out.main(), ["a=1", "b=1", "a=2"]);
        assert_eq!(counts.keyed([("b", "x")]).unwrap().main(), ["b=2"]);
    }

    #[test]
    fn counts_go_on_after_a_restart() {
        let mut counts = Harness::open::<KeyedCount, _>("null").unwrap();
        counts.keyed([("a", "x"), ("a", "x")]).unwrap();
        counts.restart().unwrap();
        assert_eq!(counts.keyed([("a", "x")]).unwrap().main(), ["a=3"]);
        // Counts come with the batch and go back with its result.
        assert!(counts.imports().is_empty());
    }
}
