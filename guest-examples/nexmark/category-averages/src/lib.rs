//! Query 4, second step: the average winning price of a category so far, with each winning bid,
//! `category,price`. Rows that come out are `category,average,sum,count`.

use nexmark::Numbers;
use weir_guest::{Ctx, KeyedDescribe, KeyedProcess, Result, Row, Value, operator};

#[derive(Default)]
struct CategoryAverages {
    /// Sum and count.
    so_far: Value<(u64, u64)>,
}

impl KeyedProcess for CategoryAverages {
    type In = Numbers<2>;
    type Out = String;

    fn describe(&mut self, d: &mut KeyedDescribe) {
        d.value("so-far", &mut self.so_far).prefetch();
    }

    fn process(&mut self, row: Row<Numbers<2>>, ctx: &mut Ctx<String>) -> Result<()> {
        let [category, price] = row.value;
        let (sum, count) = self.so_far.get()?.copied().unwrap_or_default();
        let (sum, count) = (sum + price, count + 1);
        self.so_far.set((sum, count))?;
        ctx.emit((category, ",", sum / count, ",", sum, ",", count))
    }
}

operator!(CategoryAverages);

#[cfg(test)]
mod tests {
    use super::*;
    use weir_guest::testing::Harness;

    #[test]
    fn a_category_has_the_average_of_its_prices_so_far() {
        let mut averages = Harness::open::<CategoryAverages, _>("null").unwrap();
        let out = averages.keyed([("10", "10,5"), ("11", "11,7"), ("10", "10,6")]);
        assert_eq!(out.unwrap().main(), ["10,5,5,1", "11,7,7,1", "10,5,11,2"]);
        averages.restart().unwrap();
        assert_eq!(
            averages.keyed([("10", "10,7")]).unwrap().main(),
            ["10,6,18,3"]
        );
    }
}
