//! Counts the rows of each key and emits the key and its count. The key is a number.

use weir_guest::{
    BatchCtx, Batched, Binary, Ctx, InputBatch, KeyedDescribe, KeyedProcess, Result, Row, Value,
    operator,
};

#[derive(Default)]
struct Count {
    count: Value<u64>,
}

impl KeyedProcess for Count {
    type In = Vec<u8>;
    type Out = Binary<(u64, u64)>;

    fn describe(&mut self, d: &mut KeyedDescribe) {
        d.value("count", &mut self.count).prefetch();
    }

    fn process(&mut self, _row: Row<Self::In>, ctx: &mut Ctx<Self::Out>) -> Result<()> {
        let count = self.count.get()?.copied().unwrap_or(0) + 1;
        self.count.set(count)?;
        ctx.emit((ctx.key().binary(0)?, count))
    }

    fn process_batch(
        &mut self,
        batch: &InputBatch<Self::In>,
        ctx: &mut BatchCtx<Self::Out>,
    ) -> Result<Batched> {
        let keys = batch.keys()?;
        let names = keys.binary::<u64>(0)?;
        let mut counts = self.count.of_keys()?;
        ctx.emit_each(keys.of_rows().iter().map(|&key| {
            let key = key as usize;
            let count = counts.get(key).copied().unwrap_or(0) + 1;
            counts.set(key, count);
            Ok((names[key], count))
        }))?;
        Ok(Batched::Done)
    }
}

operator!(Count);

#[cfg(test)]
mod tests {
    use super::*;
    use weir_guest::testing::Harness;

    #[test]
    fn each_key_has_a_count_of_its_own() {
        for by_row in [false, true] {
            let mut counts = Harness::open::<Count, _>("null").unwrap();
            if by_row {
                counts.row_by_row();
            }
            let rows = [7_u64, 8, 7].map(|key| (key.to_le_bytes(), "row"));
            let out = counts.keyed(rows).unwrap();
            assert_eq!(
                out.binary::<(u64, u64)>().unwrap(),
                [(7, 1), (8, 1), (7, 2)]
            );
            assert_eq!(counts.was_whole(), !by_row);
            // Counts come with the batch and go back with its result.
            assert!(counts.imports().is_empty());
        }
    }
}
