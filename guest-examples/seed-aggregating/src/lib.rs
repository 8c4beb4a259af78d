//! Per user: the average price of what is in the log so far. Rows are
//! `uuid,itemCode,behavior,price`; each emits the average.
//!
//! The accumulator is (sum, count) and begins at (0, 0). The sum is exact; the average is exact too
//! where nine places behind the point are enough, else rounded to nine, a half away from zero:
//! the average of 1, 1 and 2 is `1.333333333`.

use ad_log::{Decimal, PRICE};
use weir_guest::{
    Aggregate, Aggregating, Context, Csv, Ctx, KeyedDescribe, KeyedProcess, Result, Row, operator,
    record,
};

record! {
    /// What is known of the prices.
    #[derive(Clone, Default)]
    struct Average {
        sum: Decimal,
        count: u64,
    }
}

impl Aggregate for Average {
    type In = Decimal;
    /// Nothing was added, nothing is the average.
    type Out = Option<Decimal>;

    fn add(&mut self, price: Decimal) {
        self.sum = self.sum + price;
        self.count += 1;
    }

    fn result(&self) -> Option<Decimal> {
        self.sum.mean_of(self.count)
    }
}

#[derive(Default)]
struct Averages {
    average: Aggregating<Average>,
}

impl KeyedProcess for Averages {
    type In = Csv;
    type Out = String;

    fn describe(&mut self, d: &mut KeyedDescribe) {
        d.aggregating("average", &mut self.average).prefetch();
    }

    fn process(&mut self, row: Row<Csv>, ctx: &mut Ctx<String>) -> Result<()> {
        let average = self.average.add(row.get(PRICE)?)?.context("no price")?;
        ctx.emit(format_args!("{average}"))
    }
}

operator!(Averages);

#[cfg(test)]
mod tests {
    use super::*;
    use weir_guest::testing::Harness;

    #[test]
    fn the_average_of_a_user_begins_with_its_first_price() {
        let mut averages = Harness::open::<Averages, _>("null").unwrap();
        let rows = [
            ("u1", "u1,i1,add,10"),
            ("u1", "u1,i2,pay,5.5"),
            ("u2", "u2,i1,del,0.01"),
        ];
        assert_eq!(averages.keyed(rows).unwrap().main(), ["10", "7.75", "0.01"]);
        averages.restart().unwrap();
        let rows = [("u2", "u2,i1,add,0.01"), ("u1", "u1,i1,add,4.5")];
        let out = averages.keyed(rows).unwrap();
        assert_eq!(out.main(), ["0.01", "6.666666667"]);
        assert_eq!(averages.held("average"), 2);
    }

    #[test]
    fn a_price_that_is_missing_is_a_bad_row_and_does_not_count() {
        let mut averages = Harness::open::<Averages, _>("null").unwrap();
        let rows = [("u1", "u1,i1,add,1"), ("u1", "u1,i1,add,")];
        let (at, message) = averages.keyed(rows).unwrap().poisoned.unwrap();
        assert_eq!(at, 1);
        assert!(message.starts_with("column 3 (price): ``"), "{message}");
        let out = averages.keyed([("u1", "u1,i1,add,2")]).unwrap();
        assert_eq!(out.main(), ["1.5"]);
    }
}
