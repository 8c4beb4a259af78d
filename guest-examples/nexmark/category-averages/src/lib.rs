//! Query 4, second step: the average winning price of a category so far, with each winning bid,
//! `category,price`. Rows that come out are `category,average,sum,count`.

use weir_guest::{Binary, Ctx, KeyedDescribe, KeyedProcess, Result, Row, Value, operator};

#[derive(Default)]
struct CategoryAverages {
    /// Sum and count.
    so_far: Value<(u64, u64)>,
}

impl KeyedProcess for CategoryAverages {
    type In = Binary<[u64; 2]>;
    type Out = Binary<[u64; 4]>;

    fn describe(&mut self, d: &mut KeyedDescribe) {
        d.value("so-far", &mut self.so_far).prefetch();
    }

    fn process(&mut self, row: Row<Self::In>, ctx: &mut Ctx<Self::Out>) -> Result<()> {
        let [category, price] = row.value;
        let (sum, count) = self.so_far.get()?.copied().unwrap_or_default();
        let (sum, count) = (sum + price, count + 1);
        self.so_far.set((sum, count))?;
        ctx.emit([category, sum / count, sum, count])
    }
}

operator!(CategoryAverages);

#[cfg(test)]
mod tests {
    use super::*;
    use nexmark::rows;
    use weir_guest::testing::Harness;

    #[test]
    fn a_category_has_the_average_of_its_prices_so_far() {
        let mut averages = Harness::open::<CategoryAverages, _>("null").unwrap();
        let mut told = |winning: &[(u64, u64)]| {
            let rows = winning.iter().map(|(category, price)| {
                let row = rows::row(&[*category, *price], &[]);
                (category.to_le_bytes(), row)
            });
            let out = averages.keyed(rows).unwrap();
            averages.restart().unwrap();
            rows::told::<[u64; 4]>(&out).unwrap()
        };
        let first = told(&[(10, 5), (11, 7), (10, 6)]);
        assert_eq!(first, [[10, 5, 5, 1], [11, 7, 7, 1], [10, 5, 11, 2]]);
        assert_eq!(told(&[(10, 7)]), [[10, 6, 18, 3]]);
    }
}
