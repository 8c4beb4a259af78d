//! Lists of numbers, whose elements need no ends, against a plain model of them: many keys in a
//! call, of which some are looked at, with failing rows.

use std::collections::BTreeMap;

use super::Random;
use crate::testing::Harness;
use crate::{Ctx, KeyedDescribe, KeyedProcess, List, Result, Row, bail};

/// Does what its rows say, and emits what it reads.
#[derive(Default)]
struct Numbers {
    list: List<u64>,
}

impl KeyedProcess for Numbers {
    type In = String;
    type Out = String;

    fn describe(&mut self, d: &mut KeyedDescribe) {
        d.list("list", &mut self.list);
    }

    fn process(&mut self, row: Row<String>, ctx: &mut Ctx<String>) -> Result<()> {
        for step in row.split(' ') {
            match step.split_once(':').unwrap_or((step, "")) {
                ("add", number) => self.list.add(number.parse()?)?,
                ("set", number) => self.list.set(vec![number.parse()?, 0])?,
                ("clear", _) => self.list.clear()?,
                ("in-use", _) => ctx.emit(self.list.in_use().to_string())?,
                ("get", _) => ctx.emit(format_args!("{:?}", self.list.get()?))?,
                _ => bail!("as told"),
            }
        }
        Ok(())
    }
}

/// What a row leads to; nothing if it fails, and then the list is as before.
fn expected(list: &mut Vec<u64>, row: &str) -> Option<Vec<String>> {
    let before = list.clone();
    let mut emitted = Vec::new();
    for step in row.split(' ') {
        match step.split_once(':').unwrap_or((step, "")) {
            ("add", number) => list.push(number.parse().unwrap()),
            ("set", number) => *list = vec![number.parse().unwrap(), 0],
            ("clear", _) => list.clear(),
            ("get", _) => emitted.push(format!("{list:?}")),
            _ => {
                *list = before;
                return None;
            }
        }
    }
    Some(emitted)
}

fn row(random: &mut Random, number: usize) -> String {
    let steps = (0..1 + random.below(3)).map(|_| match random.below(60) {
        0 if random.below(20) == 0 => "fail".to_owned(),
        0..3 => format!("set:{number}"),
        3..15 => "clear".to_owned(),
        15..30 => "get".to_owned(),
        _ => format!("add:{number}"),
    });
    steps.collect::<Vec<_>>().join(" ")
}

#[test]
fn lists_of_numbers_are_what_a_plain_model_says() {
    for seed in 0..20 {
        let mut random = Random(seed);
        let mut numbers = Harness::open::<Numbers, _>("null").unwrap();
        let mut models = BTreeMap::<String, Vec<u64>>::new();
        for _ in 0..6 {
            let keys = 1 + random.below(400);
            let rows: Vec<(String, String)> = (0..600)
                .map(|number| {
                    let key = format!("k{}", random.below(keys));
                    (key, row(&mut random, number))
                })
                .collect();
            let (mut emitted, mut failed) = (Vec::new(), None);
            for (index, (key, row)) in rows.iter().enumerate() {
                match expected(models.entry(key.clone()).or_default(), row) {
                    Some(told) => emitted.extend(told),
                    None => {
                        failed = Some(index);
                        break;
                    }
                }
            }
            let out = numbers.keyed(rows).unwrap();
            assert_eq!(out.main(), emitted, "seed {seed}");
            assert_eq!(out.poisoned.map(|(row, _)| row), failed, "seed {seed}");
        }
        let held = models.values().map(Vec::len).sum::<usize>();
        assert_eq!(numbers.held("list"), held, "seed {seed}");
    }
}

#[test]
fn lists_that_were_replaced_are_not_kept_for_the_call() {
    let mut numbers = Harness::open::<Numbers, _>("null").unwrap();
    let rows = (0..501).map(|number| match number % 3 {
        0 => format!("get set:{number} set:{number}"),
        1 => "clear get".to_owned(),
        _ => format!("add:{number} clear add:1"),
    });
    let rows = rows.chain(["in-use".to_owned()]).map(|row| ("k", row));
    let out = numbers.keyed(rows.collect::<Vec<_>>()).unwrap();
    // Those that one row may need, and not one for each row.
    let in_use: usize = out.main().last().unwrap().parse().unwrap();
    assert!(in_use <= 4, "{in_use}");
    assert_eq!(numbers.held("list"), 1);
}
