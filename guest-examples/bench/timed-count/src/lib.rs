//! Counts the rows of each key and emits the key, its count and when the row was made. Rows are key
//! and when they were made.

use weir_guest::{Binary, Ctx, KeyedDescribe, KeyedProcess, Result, Row, Value, operator};

#[derive(Default)]
struct Count {
    count: Value<u64>,
}

impl KeyedProcess for Count {
    type In = Binary<(u64, u64)>;
    type Out = Binary<(u64, u64, u64)>;

    fn describe(&mut self, d: &mut KeyedDescribe) {
        d.value("count", &mut self.count).prefetch();
    }

    fn process(&mut self, row: Row<Self::In>, ctx: &mut Ctx<Self::Out>) -> Result<()> {
        let count = self.count.get()?.copied().unwrap_or(0) + 1;
        self.count.set(count)?;
        let (key, made) = row.value;
        ctx.emit((key, count, made))
    }
}

operator!(Count);

#[cfg(test)]
mod tests {
    use super::*;
    use weir_guest::testing::{Harness, binary};

    #[test]
    fn a_count_has_the_time_of_its_row() {
        let mut counts = Harness::open::<Count, _>("null").unwrap();
        let rows = [(7_u64, 100_u64), (8, 101), (7, 102)];
        let rows = rows.map(|row| (row.0.to_le_bytes(), binary(row)));
        let out = counts.keyed(rows).unwrap();
        let expected = [(7, 1, 100), (8, 1, 101), (7, 2, 102)];
        assert_eq!(out.binary::<(u64, u64, u64)>().unwrap(), expected);
    }
}
