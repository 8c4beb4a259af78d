//! Per user and item: what was paid so far. Rows are `uuid,itemCode,behavior,price`; each `pay`
//! emits the sum, exact in decimal.

use ad_log::{BEHAVIOR, Decimal, PRICE};
use weir_guest::{Csv, Ctx, KeyedDescribe, KeyedProcess, Reducing, Result, Row, operator};

#[derive(Default)]
struct Paid {
    sum: Reducing<Decimal>,
}

impl KeyedProcess for Paid {
    type In = Csv;
    type Out = String;

    fn describe(&mut self, d: &mut KeyedDescribe) {
        let state = d.reducing("sum", &mut self.sum, |sum, price| *sum + price);
        state.prefetch();
    }

    fn process(&mut self, row: Row<Csv>, ctx: &mut Ctx<String>) -> Result<()> {
        if row.text(BEHAVIOR)? != "pay" {
            return Ok(());
        }
        self.sum.add(row.get::<Decimal>(PRICE)?)?;
        let sum = self.sum.get()?.copied().unwrap_or_default();
        ctx.emit(format_args!("{sum}"))
    }
}

operator!(Paid);

#[cfg(test)]
mod tests {
    use super::*;
    use weir_guest::testing::{Harness, Input};

    fn row(line: &str) -> Input {
        Input::row(line).key(line.split(',').take(2))
    }

    #[test]
    fn what_is_paid_is_summed_up_per_user_and_item() {
        let mut paid = Harness::open::<Paid, _>("null").unwrap();
        let rows = [
            "u1,i1,pay,0.1",
            "u1,i1,add,5",
            "u1,i1,pay,0.2",
            "u1,i2,pay,7",
        ];
        assert_eq!(
            paid.batch(0, rows.map(row)).unwrap().main(),
            ["0.1", "0.3", "7"]
        );
        paid.restart().unwrap();
        let rows = ["u2,i1,pay,12.50", "u1,i1,pay,9.7"];
        assert_eq!(paid.batch(0, rows.map(row)).unwrap().main(), ["12.5", "10"]);
        assert_eq!(paid.held("sum"), 3);
    }

    #[test]
    fn a_price_that_is_no_number_is_a_bad_row_and_changes_nothing() {
        let mut paid = Harness::open::<Paid, _>("null").unwrap();
        let out = paid
            .batch(0, [row("u1,i1,pay,1"), row("u1,i1,pay,cheap")])
            .unwrap();
        let (at, message) = out.poisoned.unwrap();
        assert_eq!(at, 1);
        assert!(
            message.starts_with("column 3 (price): `cheap` is not a Decimal"),
            "{message}"
        );
        assert_eq!(paid.batch(0, [row("u1,i1,pay,1")]).unwrap().main(), ["2"]);
    }
}
