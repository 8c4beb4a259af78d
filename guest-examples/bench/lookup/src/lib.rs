//! Rows of key, value and time look up a rule by their value and emit key and rule. Rules, of
//! number and rule, come by a broadcast input; each is acknowledged by each subtask with its number
//! and -1.

use weir_guest::{
    BatchCtx, Batched, Binary, Broadcast, BroadcastProcess, Ctx, Describe, Error, InputBatch,
    Result, Row, operator,
};

/// How many rules there are.
const RULES: u64 = 1_000;

#[derive(Default)]
struct Lookup {
    rules: Broadcast<u64, i64>,
}

impl Lookup {
    fn rule(&mut self, value: u64) -> Result<i64> {
        let number = value % RULES;
        let rule = self.rules.get(number)?.copied();
        rule.ok_or_else(|| Error::new(format!("there is no rule {number}")))
    }
}

impl BroadcastProcess for Lookup {
    type In = Binary<(u64, u64, u64)>;
    type BroadcastIn = Binary<(u64, i64)>;
    type Out = Binary<(u64, i64)>;

    fn describe(&mut self, d: &mut Describe) {
        d.broadcast("rules", &mut self.rules);
    }

    fn process(&mut self, row: Row<Self::In>, ctx: &mut Ctx<Self::Out>) -> Result<()> {
        let (key, value, _) = row.value;
        ctx.emit((key, self.rule(value)?))
    }

    fn process_batch(
        &mut self,
        batch: &InputBatch<Self::In>,
        ctx: &mut BatchCtx<Self::Out>,
    ) -> Result<Batched> {
        ctx.emit_each(batch.rows().map(|row| {
            let (key, value, _) = row?.value;
            Ok((key, self.rule(value)?))
        }))?;
        Ok(Batched::Done)
    }

    fn process_broadcast(
        &mut self,
        row: Row<Self::BroadcastIn>,
        ctx: &mut Ctx<Self::Out>,
    ) -> Result<()> {
        let (number, rule) = row.value;
        self.rules.put(number, rule)?;
        ctx.emit((number, -1))
    }
}

operator!(Lookup);

#[cfg(test)]
mod tests {
    use super::*;
    use weir_guest::testing::{Harness, binary};

    #[test]
    fn rows_look_up_rules_that_have_come() {
        for by_row in [false, true] {
            let mut lookup = Harness::open::<Lookup, _>("null").unwrap();
            if by_row {
                lookup.row_by_row();
            }
            let rules = [(1_u64, 50_i64), (2, 60)].map(binary);
            let out = lookup.broadcast(rules).unwrap();
            assert_eq!(out.binary::<(u64, i64)>().unwrap(), [(1, -1), (2, -1)]);
            let rows = [(7_u64, 1002_u64, 0_u64), (8, 1, 0)].map(binary);
            let out = lookup.rows(rows).unwrap();
            assert_eq!(out.binary::<(u64, i64)>().unwrap(), [(7, 60), (8, 50)]);
            assert_eq!(lookup.was_whole(), !by_row);
            let out = lookup.rows([binary((7_u64, 3_u64, 0_u64))]).unwrap();
            let (row, why) = out.poisoned.unwrap();
            assert_eq!((row, why.as_str()), (0, "there is no rule 3"));
        }
    }
}
