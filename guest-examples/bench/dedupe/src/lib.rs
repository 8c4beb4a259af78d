//! Lets the first row of each key and value pass, as key and value. Rows are key, value and time.

use weir_guest::{
    BatchCtx, Batched, Binary, Ctx, InputBatch, KeyedDescribe, KeyedProcess, Map, Result, Row,
    operator,
};

#[derive(Default)]
struct Dedupe {
    /// The values that the key has had: a set.
    seen: Map<u64, ()>,
}

impl KeyedProcess for Dedupe {
    type In = Binary<(u64, u64, u64)>;
    type Out = Binary<(u64, u64)>;

    fn describe(&mut self, d: &mut KeyedDescribe) {
        d.map("seen", &mut self.seen).prefetch();
    }

    fn prefetch(&mut self, row: &Row<Self::In>) -> Result<()> {
        self.seen.prefetch(row.value.1)
    }

    fn process(&mut self, row: Row<Self::In>, ctx: &mut Ctx<Self::Out>) -> Result<()> {
        let (key, value, _) = row.value;
        if self.seen.contains(value)? {
            return Ok(());
        }
        self.seen.put(value, ())?;
        ctx.emit((key, value))
    }

    fn process_batch(
        &mut self,
        batch: &InputBatch<Self::In>,
        ctx: &mut BatchCtx<Self::Out>,
    ) -> Result<Batched> {
        let keys = batch.keys()?;
        let named = batch.rows().zip(keys.of_rows());
        let named = named.map(|(row, &key)| Ok((key, row?.value.1)));
        let mut seen = self.seen.of_entries(named)?;
        for (number, row) in batch.rows().enumerate() {
            let (key, value, _) = row?.value;
            if !seen.contains(number) {
                seen.put(number, ());
                ctx.emit(number, (key, value))?;
            }
        }
        Ok(Batched::Done)
    }
}

operator!(Dedupe);

#[cfg(test)]
mod tests {
    use super::*;
    use weir_guest::testing::{Harness, binary};

    #[test]
    fn a_value_passes_the_first_time_for_each_key() {
        for by_row in [false, true] {
            let mut firsts = Harness::open::<Dedupe, _>("null").unwrap();
            if by_row {
                firsts.row_by_row();
            }
            let rows = [(7_u64, 1_u64), (7, 2), (7, 1), (8, 1)];
            let rows = rows.map(|(key, value)| (key.to_le_bytes(), binary((key, value, 0_u64))));
            let out = firsts.keyed(rows).unwrap();
            assert_eq!(
                out.binary::<(u64, u64)>().unwrap(),
                [(7, 1), (7, 2), (8, 1)]
            );
            assert_eq!(firsts.was_whole(), !by_row);
            assert_eq!(firsts.imports(), ["map-get", "map-put"]);
        }
    }
}
