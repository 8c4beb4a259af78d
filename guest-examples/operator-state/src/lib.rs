//! Passes on so many rows of each key as rules allow, and holds the others back until the end:
//! state of every kind that belongs to a subtask, side by side.
//!
//! The first input has rows by key, the second one, which goes to all subtasks, rules: `ann=2,*=1`
//! allows two rows of the key `ann` and one of any other, `ann=` takes that back. What is held back
//! and how many rows were passed on is kept in fields, and saved by the operator itself.

use weir_guest::{
    Broadcast, Checkpointed, Context, Counter, Ctx, Env, Gauge, Initialize, KeyedBroadcastProcess,
    KeyedDescribe, OperatorList, Result, Row, SideOutput, Snapshot, Value, bail, operator,
};

#[derive(Default)]
struct Limited {
    most: Broadcast<String, u64>,
    count: Value<u64>,
    over: SideOutput<String>,
    held_back: Vec<String>,
    saved: OperatorList<String>,
    /// How many rows were passed on, saved as raw state.
    passed: u64,
    /// The numbers of all subtasks at the last checkpoint.
    subtasks: OperatorList<u32>,
    subtasks_before: Gauge,
    completed: Counter,
    aborted: Counter,
}

impl Limited {
    /// How many rows of a key are allowed.
    fn most(&mut self, key: &str) -> Result<u64> {
        if let Some(most) = self.most.get(key)? {
            return Ok(*most);
        }
        Ok(self.most.get("*")?.copied().unwrap_or(u64::MAX))
    }
}

impl KeyedBroadcastProcess for Limited {
    type In = String;
    type BroadcastIn = String;
    type Out = String;

    fn describe(&mut self, d: &mut KeyedDescribe) {
        d.value("count", &mut self.count).prefetch();
        d.broadcast("most", &mut self.most);
        d.operator_list("held-back", &mut self.saved);
        d.union_list("subtasks", &mut self.subtasks);
        d.side_output("over", &mut self.over);
        d.gauge("subtasks-before", &mut self.subtasks_before);
        d.counter("completed", &mut self.completed);
        d.counter("aborted", &mut self.aborted);
    }

    fn process(&mut self, row: Row<String>, ctx: &mut Ctx<String>) -> Result<()> {
        let count = self.count.get()?.copied().unwrap_or(0) + 1;
        self.count.set(count)?;
        if row.is_empty() {
            bail!("an empty row");
        }
        if count > self.most(ctx.key().part(0)?)? {
            self.held_back.push(row.to_string());
            return Ok(());
        }
        ctx.emit(row.value)?;
        self.passed += 1;
        Ok(())
    }

    fn process_broadcast(&mut self, row: Row<String>, _ctx: &mut Ctx<String>) -> Result<()> {
        for rule in row.split(',') {
            let (key, most) = rule.split_once('=').context("a rule is `key=most`")?;
            match most {
                "" => self.most.remove(key)?,
                most => self.most.put(key, most.parse().context(most)?)?,
            }
        }
        Ok(())
    }

    fn finish(&mut self, ctx: &mut Ctx<String>) -> Result<()> {
        let held_back = std::mem::take(&mut self.held_back);
        held_back
            .into_iter()
            .try_for_each(|row| ctx.to(&self.over).emit(row))?;
        ctx.emit(format_args!("{} passed on", self.passed))
    }
}

impl Checkpointed for Limited {
    fn initialize(&mut self, init: &Initialize) -> Result<()> {
        if !init.is_restored() {
            return Ok(());
        }
        self.held_back = self.saved.get()?.to_vec();
        for piece in init.raw() {
            self.passed += u64::from_le_bytes(piece.try_into()?);
        }
        self.subtasks_before.set(self.subtasks.get()?.len() as f64);
        Ok(())
    }

    fn snapshot(&mut self, snapshot: &mut Snapshot) -> Result<()> {
        self.saved.set(self.held_back.clone())?;
        self.subtasks.set(vec![snapshot.task().subtask])?;
        snapshot.add_raw(self.passed.to_le_bytes());
        Ok(())
    }

    fn complete(&mut self, _checkpoint: u64, _env: Env) -> Result<()> {
        self.completed.add(1);
        Ok(())
    }

    fn aborted(&mut self, _checkpoint: u64, _env: Env) -> Result<()> {
        self.aborted.add(1);
        Ok(())
    }
}

operator!(Limited, checkpointed);

#[cfg(test)]
mod tests {
    use super::*;
    use weir_guest::testing::{Harness, Saved};

    fn open() -> Harness {
        Harness::open_checkpointed::<Limited, _>("null").unwrap()
    }

    #[test]
    fn rules_hold_for_rows_after_them() {
        let mut limited = open();
        let rows = [("ann", "1"), ("ann", "2"), ("ben", "3"), ("ben", "4")];
        assert_eq!(limited.keyed(rows).unwrap().main(), ["1", "2", "3", "4"]);
        limited.broadcast(["ann=3,*=2"]).unwrap();
        let rows = [("ann", "5"), ("ann", "6"), ("ben", "7")];
        assert_eq!(limited.keyed(rows).unwrap().main(), ["5"]);
        let (_, finished) = limited.finish().unwrap();
        assert_eq!(finished.side("over"), ["6", "7"]);
        assert_eq!(finished.main(), ["5 passed on"]);
    }

    #[test]
    fn a_rule_that_is_wrong_takes_those_beside_it_along() {
        let mut limited = open();
        let out = limited
            .broadcast(["ann=1", "ann=7,ben=x", "ben=1"])
            .unwrap();
        let message = "x: invalid digit found in string".to_owned();
        assert_eq!(out.poisoned, Some((1, message)));
        assert_eq!(limited.held("most"), 1);
        assert_eq!(
            limited.keyed([("ann", "1"), ("ann", "2")]).unwrap().main(),
            ["1"]
        );
    }

    #[test]
    fn what_is_held_back_is_dealt_out_when_the_parallelism_changes() {
        let mut limited = open();
        limited.broadcast(["*=1"]).unwrap();
        let rows = [("a", "1"), ("a", "2"), ("a", "3"), ("a", "4")];
        limited.keyed(rows).unwrap();
        let saved = limited.checkpoint().unwrap();
        limited.complete(&saved).unwrap();
        assert_eq!(limited.metric("completed"), Some(1.0));

        let mut two = Saved::rescale(&[saved], 2).unwrap();
        let counts = [2, 1].map(|held_back| held_back.to_string());
        for (limited, held_back) in two.iter_mut().zip(counts) {
            assert_eq!(limited.metric("subtasks-before"), Some(1.0));
            // The rules are in both.
            let rows = limited.keyed([("b", "x"), ("b", "y")]).unwrap();
            assert_eq!(rows.main(), ["x"]);
            let over = limited.held("held-back").to_string();
            assert_eq!(over, held_back);
        }
        let saved: Vec<Saved> = two.iter_mut().map(|l| l.checkpoint().unwrap()).collect();
        let mut one = Saved::rescale(&saved, 1).unwrap();
        assert_eq!(one[0].metric("subtasks-before"), Some(2.0));
        let (_, finished) = one[0].finish().unwrap();
        assert_eq!(finished.side("over"), ["2", "3", "y", "4", "y"]);
        // One row before, and one in each of two subtasks.
        assert_eq!(finished.main(), ["3 passed on"]);
    }
}
