//! Counts the rows of each key and emits `key,count,made`: when each row was made is in its second
//! column.

use weir_guest::{Csv, Ctx, KeyedDescribe, KeyedProcess, Result, Row, Value, columns, operator};

columns! { _, MADE }

#[derive(Default)]
struct Count {
    count: Value<u64>,
}

impl KeyedProcess for Count {
    type In = Csv;
    type Out = String;

    fn describe(&mut self, d: &mut KeyedDescribe) {
        d.value("count", &mut self.count).prefetch();
    }

    fn process(&mut self, row: Row<Csv>, ctx: &mut Ctx<String>) -> Result<()> {
        let count = self.count.get()?.copied().unwrap_or(0) + 1;
        self.count.set(count)?;
        ctx.emit((ctx.key(), ",", count, ",", &*row.text(MADE)?))
    }
}

operator!(Count);

#[cfg(test)]
mod tests {
    use super::*;
    use weir_guest::testing::Harness;

    #[test]
    fn a_count_has_the_time_of_its_row() {
        let mut counts = Harness::open::<Count, _>("null").unwrap();
        let rows = [("7", "7,100,1"), ("8", "8,101,1"), ("7", "7,102,1")];
        let out = counts.keyed(rows).unwrap();
        assert_eq!(out.main(), ["7,1,100", "8,1,101", "7,2,102"]);
    }
}
