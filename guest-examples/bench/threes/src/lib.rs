//! Collects three values of each key, then emits the key and their sum and begins anew. How many
//! there are is kept apart: adding to the list does not read it. Rows are key, value and time.

use weir_guest::{
    BatchCtx, Batched, Binary, Ctx, InputBatch, KeyedDescribe, KeyedProcess, List, Result, Row,
    Value, operator,
};

/// How many values make a sum.
const FULL: u32 = 3;

#[derive(Default)]
struct Threes {
    values: List<u64>,
    size: Value<u32>,
}

impl KeyedProcess for Threes {
    type In = Binary<(u64, u64, u64)>;
    type Out = Binary<(u64, u64)>;

    fn describe(&mut self, d: &mut KeyedDescribe) {
        d.list("values", &mut self.values);
        d.value("size", &mut self.size).prefetch();
    }

    fn process(&mut self, row: Row<Self::In>, ctx: &mut Ctx<Self::Out>) -> Result<()> {
        let (key, value, _) = row.value;
        self.values.add(value)?;
        let size = self.size.get()?.copied().unwrap_or(0) + 1;
        if size < FULL {
            return self.size.set(size);
        }
        let sum: u64 = self.values.get()?.iter().sum();
        self.values.clear()?;
        self.size.clear()?;
        ctx.emit((key, sum))
    }

    fn process_batch(
        &mut self,
        batch: &InputBatch<Self::In>,
        ctx: &mut BatchCtx<Self::Out>,
    ) -> Result<Batched> {
        let keys = batch.keys()?;
        let mut values = self.values.of_keys()?;
        let mut sizes = self.size.of_keys()?;
        // Only lists that become full are looked at.
        let mut added = vec![0; keys.len()];
        keys.of_rows()
            .iter()
            .for_each(|&key| added[key as usize] += 1);
        let size_of = |key| sizes.get(key).copied().unwrap_or(0);
        // Nobody can foretell which do: each is put down, and the next one over it if it does not.
        let (mut full, mut count) = (vec![0; keys.len()], 0);
        for (key, &added) in added.iter().enumerate() {
            full[count] = key as u32;
            count += usize::from(size_of(key) + added >= FULL);
        }
        full.truncate(count);
        values.fetch(&full)?;
        for ((number, row), &key) in batch.rows().enumerate().zip(keys.of_rows()) {
            let (of, value, _) = row?.value;
            let key = key as usize;
            values.add(key, value)?;
            let size = sizes.get(key).copied().unwrap_or(0) + 1;
            if size < FULL {
                sizes.set(key, size);
                continue;
            }
            let sum: u64 = values.get(key)?.iter().sum();
            values.clear(key);
            sizes.clear(key);
            ctx.emit(number, (of, sum))?;
        }
        Ok(Batched::Done)
    }
}

operator!(Threes);

#[cfg(test)]
mod tests {
    use super::*;
    use weir_guest::testing::{Harness, binary};

    type Rows<'r> = &'r [(u64, u64)];

    fn sums(threes: &mut Harness, rows: Rows<'_>) -> Vec<(u64, u64)> {
        let row = |&(key, value): &(u64, u64)| (key.to_le_bytes(), binary((key, value, 0_u64)));
        let out = threes.keyed(rows.iter().map(row)).unwrap();
        out.binary::<(u64, u64)>().unwrap()
    }

    #[test]
    fn each_third_value_of_a_key_completes_a_sum() {
        for by_row in [false, true] {
            let mut threes = Harness::open::<Threes, _>("null").unwrap();
            if by_row {
                threes.row_by_row();
            }
            let mut sums = |rows: Rows<'_>| {
                let sums = sums(&mut threes, rows);
                (sums, (threes.held("values"), threes.held("size")))
            };
            assert_eq!(sums(&[(7, 1), (8, 9), (7, 2)]), (vec![], (3, 2)));
            assert_eq!(sums(&[(7, 3), (7, 4)]).0, [(7, 6)]);
            assert_eq!(sums(&[(7, 5), (7, 6)]), (vec![(7, 15)], (1, 1)));
            assert_eq!(threes.was_whole(), !by_row);
        }
    }

    #[test]
    fn lists_that_do_not_become_full_are_not_read() {
        let mut threes = Harness::open::<Threes, _>("null").unwrap();
        sums(&mut threes, &[(7, 1), (8, 2), (9, 3), (9, 4)]);
        assert_eq!(threes.imports(), ["list-add"]);
        sums(&mut threes, &[(8, 1), (7, 1)]);
        assert_eq!(threes.imports(), ["list-add"]);
        // One that is full with its first row here, and one with its second.
        sums(&mut threes, &[(7, 1), (9, 2), (9, 5)]);
        threes.imports();
        let rows = [(10, 1), (8, 1), (9, 6), (7, 2), (9, 7), (7, 3)];
        assert_eq!(sums(&mut threes, &rows), [(8, 4), (9, 18)]);
        assert_eq!(threes.imports(), ["list-get", "list-set", "list-add"]);
    }
}
