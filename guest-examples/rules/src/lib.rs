//! A rules engine: tells when a user has made so many payments of so much, by rules that come while
//! it runs.
//!
//! Input 0 has payments, `user,cents`, by user. Input 1 has rules and goes to all subtasks:
//! `often,1000,3` tells of each third payment of 1,000 cents or more, a rule of the same name
//! replaces it, and `often` alone drops it. Payments that a rule has counted go on to count when it
//! is replaced: where there are enough by then, that is told at once.

use weir_guest::{
    Broadcast, Csv, Ctx, KeyedBroadcastProcess, KeyedDescribe, Map, Result, Row, bail, object,
    operator,
};

/// Columns of payments.
mod payments {
    weir_guest::columns! { pub(crate) USER, CENTS }
}

/// Columns of rules.
mod rules {
    weir_guest::columns! { pub(crate) NAME, CENTS, TIMES }
}

#[derive(Default)]
struct Rules {
    /// Of each rule how many cents a payment has at least, and how many of them make an alert.
    rules: Broadcast<String, (u64, u64)>,
    /// Of a user and each rule how many payments count for the next alert.
    counted: Map<String, u64>,
}

impl Rules {
    /// A payment counts for a rule, or the rule has changed: tells if there are enough.
    fn count(&mut self, rule: &str, times: u64, more: u64, ctx: &mut Ctx<String>) -> Result<()> {
        let counted = self.counted.get(rule)?.copied().unwrap_or(0) + more;
        if counted < times {
            return self.counted.put(rule, counted);
        }
        self.counted.remove(rule)?;
        let user = ctx.key().part(0)?;
        ctx.emit(object! { "user": user, "rule": rule, "payments": counted })
    }
}

impl KeyedBroadcastProcess for Rules {
    type In = Csv;
    type BroadcastIn = Csv;
    type Out = String;

    fn describe(&mut self, d: &mut KeyedDescribe) {
        d.broadcast("rules", &mut self.rules);
        d.map("counted", &mut self.counted);
    }

    fn process(&mut self, row: Row<Csv>, ctx: &mut Ctx<String>) -> Result<()> {
        let cents = row.get::<u64>(payments::CENTS)?;
        let rules = self.rules.iter()?;
        let matching = rules.filter(|(_, (at_least, _))| cents >= *at_least);
        let matching = matching.map(|(rule, (_, times))| (rule.clone(), *times));
        let matching: Vec<(String, u64)> = matching.collect();
        for (rule, times) in matching {
            self.count(&rule, times, 1, ctx)?;
        }
        Ok(())
    }

    fn process_broadcast(&mut self, row: Row<Csv>, ctx: &mut Ctx<String>) -> Result<()> {
        let name = row.text(rules::NAME)?;
        if name.is_empty() {
            bail!("a rule has a name");
        }
        if row.len() == 1 {
            self.rules.remove(&*name)?;
        } else {
            let times = row.get::<u64>(rules::TIMES)?;
            if times == 0 {
                bail!("a rule tells of one payment at least");
            }
            self.rules.put(&*name, (row.get(rules::CENTS)?, times))?;
        }
        ctx.emit(object! { "rule": &*name, "is_known": row.len() > 1 })?;
        // All users whose payments it has counted hear of it.
        self.counted.apply_to_keys(name.as_bytes())
    }

    fn on_key(&mut self, name: &[u8], ctx: &mut Ctx<String>) -> Result<()> {
        let name = std::str::from_utf8(name)?;
        match self.rules.get(name)?.copied() {
            None => self.counted.remove(name),
            Some((_, times)) if self.counted.contains(name)? => self.count(name, times, 0, ctx),
            Some(_) => Ok(()),
        }
    }
}

operator!(Rules, keyed_broadcast);

#[cfg(test)]
mod tests {
    use weir_guest::testing::Harness;

    use super::*;

    /// Payments, each with its user as the key.
    fn pay(engine: &mut Harness, payments: &[&str]) -> Vec<String> {
        let keyed = payments
            .iter()
            .map(|row| (row.split(',').next().unwrap(), *row));
        engine.keyed(keyed).unwrap().main()
    }

    #[test]
    fn each_third_payment_of_enough_is_told() {
        let mut engine = Harness::open::<Rules, _>("null").unwrap();
        let told = engine.broadcast(["often,1000,3"]).unwrap();
        assert_eq!(told.main(), [r#"{"rule":"often","is_known":true}"#]);
        let told = pay(
            &mut engine,
            &["ann,1000", "ann,999", "bob,2000", "ann,5000"],
        );
        assert!(told.is_empty(), "{told:?}");
        let told = pay(&mut engine, &["bob,1", "ann,1000", "ann,1000"]);
        assert_eq!(told, [r#"{"user":"ann","rule":"often","payments":3}"#]);
    }

    #[test]
    fn a_rule_that_changes_is_heard_by_all_whose_payments_it_has_counted() {
        let mut engine = Harness::open::<Rules, _>("null").unwrap();
        engine.broadcast(["often,10,5", "large,500,2"]).unwrap();
        pay(
            &mut engine,
            &["ann,10", "bob,10", "ann,10", "bob,500", "ann,10", "eve,1"],
        );
        assert_eq!(engine.held("counted"), 3);
        let told = engine.broadcast(["often,10,3", "large"]).unwrap();
        assert_eq!(
            told.main(),
            [
                r#"{"rule":"often","is_known":true}"#,
                r#"{"user":"ann","rule":"often","payments":3}"#,
                r#"{"rule":"large","is_known":false}"#,
            ]
        );
        assert_eq!(engine.held("counted"), 1, "that of bob, for `often`");
        assert_eq!(
            pay(&mut engine, &["bob,500"]),
            [r#"{"user":"bob","rule":"often","payments":3}"#]
        );
    }

    #[test]
    fn a_rule_that_cannot_be_read_is_refused_and_changes_nothing() {
        let mut engine = Harness::open::<Rules, _>("null").unwrap();
        for (rule, why) in [
            (",1,1", "a rule has a name"),
            ("often,1,0", "a rule tells of one payment at least"),
        ] {
            let refused = engine.broadcast([rule]).unwrap();
            assert_eq!(refused.poisoned.unwrap(), (0, why.to_owned()));
        }
        assert!(engine.broadcast(["often,x,1"]).unwrap().poisoned.is_some());
        assert_eq!(engine.held("rules"), 0);
    }
}
