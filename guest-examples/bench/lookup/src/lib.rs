//! Rows `key,value,…` look up a rule by their value and emit `key,rule`. Rules `number,rule` come
//! by a broadcast input; each is acknowledged by each subtask with `number,-1`.

use weir_guest::{
    Broadcast, BroadcastProcess, Csv, Ctx, Describe, Error, Result, Row, columns, operator,
};

columns! { KEY, VALUE }

/// How many rules there are.
const RULES: u64 = 1_000;

#[derive(Default)]
struct Lookup {
    rules: Broadcast<u64, u64>,
}

impl BroadcastProcess for Lookup {
    type In = Csv;
    type BroadcastIn = Csv;
    type Out = String;

    fn describe(&mut self, d: &mut Describe) {
        d.broadcast("rules", &mut self.rules);
    }

    fn process(&mut self, row: Row<Csv>, ctx: &mut Ctx<String>) -> Result<()> {
        let number = row.get::<u64>(VALUE)? % RULES;
        let rule = self.rules.get(number)?.copied();
        let rule = rule.ok_or_else(|| Error::new(format!("there is no rule {number}")))?;
        ctx.emit((&*row.text(KEY)?, ",", rule))
    }

    fn process_broadcast(&mut self, row: Row<Csv>, ctx: &mut Ctx<String>) -> Result<()> {
        let number = row.get::<u64>(KEY)?;
        self.rules.put(number, row.get::<u64>(VALUE)?)?;
        ctx.emit((number, ",-1"))
    }
}

operator!(Lookup);

#[cfg(test)]
mod tests {
    use super::*;
    use weir_guest::testing::Harness;

    #[test]
    fn rows_look_up_rules_that_have_come() {
        let mut lookup = Harness::open::<Lookup, _>("null").unwrap();
        let out = lookup.broadcast(["1,50", "2,60"]).unwrap();
        assert_eq!(out.main(), ["1,-1", "2,-1"]);
        let out = lookup.rows(["7,1002,0", "8,1,0"]).unwrap();
        assert_eq!(out.main(), ["7,60", "8,50"]);
        let (row, why) = lookup.rows(["7,3,0"]).unwrap().poisoned.unwrap();
        assert_eq!((row, why.as_str()), (0, "there is no rule 3"));
    }
}
