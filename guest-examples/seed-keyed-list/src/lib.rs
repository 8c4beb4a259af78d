//! Per user and item: how often it was put into the cart in a row. Rows are
//! `uuid,itemCode,behavior,price`.
//!
//! Each `add` is appended to a list, which is emitted; anything else clears it. Where the list
//! reaches three, the side output `three-in-a-row` says so.

use ad_log::{BEHAVIOR, ITEM};
use weir_guest::{Csv, Ctx, KeyedDescribe, KeyedProcess, List, Result, Row, SideOutput, operator};

/// How many in a row are told of.
const MANY: usize = 3;

#[derive(Default)]
struct Adds {
    items: List<String>,
    three_in_a_row: SideOutput<String>,
}

impl KeyedProcess for Adds {
    type In = Csv;
    type Out = String;

    fn describe(&mut self, d: &mut KeyedDescribe) {
        d.list("items", &mut self.items);
        d.side_output("three-in-a-row", &mut self.three_in_a_row);
    }

    fn process(&mut self, row: Row<Csv>, ctx: &mut Ctx<String>) -> Result<()> {
        if row.text(BEHAVIOR)? != "add" {
            return self.items.clear();
        }
        self.items.add(row.text(ITEM)?.into_owned())?;
        let items = self.items.get()?;
        ctx.emit(items.join(","))?;
        if items.len() == MANY {
            ctx.to(&self.three_in_a_row).emit("three in a row")?;
        }
        Ok(())
    }
}

operator!(Adds);

#[cfg(test)]
mod tests {
    use super::*;
    use weir_guest::testing::{Harness, Input};

    fn row(line: &str) -> Input {
        Input::row(line).key(line.split(',').take(2))
    }

    #[test]
    fn each_add_emits_the_list_and_the_third_is_told_of() {
        let mut adds = Harness::open::<Adds, _>("null").unwrap();
        let rows = ["u1,i1,add,7", "u2,i1,add,7", "u1,i1,add,7", "u1,i2,add,7"];
        let out = adds.batch(0, rows.map(row)).unwrap();
        assert_eq!(out.main(), ["i1", "i1", "i1,i1", "i2"]);
        assert!(out.side("three-in-a-row").is_empty());

        adds.restart().unwrap();
        let out = adds
            .batch(0, [row("u1,i1,add,7"), row("u1,i1,add,7")])
            .unwrap();
        assert_eq!(out.main(), ["i1,i1,i1", "i1,i1,i1,i1"]);
        assert_eq!(out.side("three-in-a-row"), ["three in a row"]);
    }

    #[test]
    fn anything_else_begins_the_list_anew() {
        let mut adds = Harness::open::<Adds, _>("null").unwrap();
        let behaviors = [
            "add", "add", "pay", "add", "add", "del", "add", "gaze", "add",
        ];
        let rows = behaviors.map(|behavior| row(&format!("u1,i1,{behavior},7")));
        let out = adds.batch(0, rows).unwrap();
        assert_eq!(out.main(), ["i1", "i1,i1", "i1", "i1,i1", "i1", "i1"]);
        assert!(out.side("three-in-a-row").is_empty());
        assert_eq!(adds.held("items"), 1);
    }
}
