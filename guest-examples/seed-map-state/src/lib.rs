//! Per user: the first record of each item, and never another. Rows are
//! `uuid,itemCode,behavior,price`, and pass as they are.

use ad_log::ITEM;
use weir_guest::{Csv, Ctx, KeyedDescribe, KeyedProcess, Map, Result, Row, operator};

#[derive(Default)]
struct Firsts {
    /// The items that the user has had to do with: a set.
    seen: Map<String, ()>,
}

impl KeyedProcess for Firsts {
    type In = Csv;
    type Out = Vec<u8>;

    fn describe(&mut self, d: &mut KeyedDescribe) {
        d.map("seen", &mut self.seen).prefetch();
    }

    fn prefetch(&mut self, row: &Row<Csv>) -> Result<()> {
        self.seen.prefetch(&*row.text(ITEM)?)
    }

    fn process(&mut self, row: Row<Csv>, ctx: &mut Ctx<Vec<u8>>) -> Result<()> {
        let item = row.text(ITEM)?;
        if self.seen.contains(&*item)? {
            return Ok(());
        }
        self.seen.put(&*item, ())?;
        ctx.emit(row.raw())
    }
}

operator!(Firsts);

#[cfg(test)]
mod tests {
    use super::*;
    use weir_guest::testing::Harness;

    #[test]
    fn an_item_passes_the_first_time_for_each_user() {
        let mut firsts = Harness::open::<Firsts, _>("null").unwrap();
        let rows = [
            ("u1", "u1,i1,add,7"),
            ("u1", "u1,i1,add,7"),
            ("u1", "u1,\"i,2\",add,7"),
            ("u2", "u2,i1,pay,7"),
            ("u1", "u1,i1,del,7"),
        ];
        let out = firsts.keyed(rows).unwrap();
        assert_eq!(
            out.main(),
            ["u1,i1,add,7", "u1,\"i,2\",add,7", "u2,i1,pay,7"]
        );
        // What rows look up is fetched once for all of them.
        assert_eq!(firsts.imports(), ["map-get", "map-put"]);

        firsts.restart().unwrap();
        let rows = [
            ("u1", "u1,i1,add,7"),
            ("u1", "u1,i3,add,7"),
            ("u2", "u2,i1,add,7"),
        ];
        assert_eq!(firsts.keyed(rows).unwrap().main(), ["u1,i3,add,7"]);
        assert_eq!(firsts.held("seen"), 4);
    }
}
