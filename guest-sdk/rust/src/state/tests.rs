//! All kinds of keyed state against a plain model of them, in random batches with failing rows.

mod broadcast;
mod cases;
mod imports;
mod lists;
mod order;
mod subtask;

use std::collections::BTreeMap;

use crate::testing::Harness;
use crate::{
    Aggregate, Aggregating, Ctx, KeyedDescribe, KeyedProcess, List, Map, Reducing, Result, Row,
    Value, bail,
};

/// Does what its rows say, and emits what it reads.
#[derive(Default)]
struct Script {
    value: Value<String>,
    fetched: Value<String>,
    list: List<String>,
    map: Map<u32, String>,
    sum: Reducing<i64>,
    longest: Aggregating<Longest>,
}

crate::record! {
    #[derive(Clone, Default)]
    struct Longest {
        text: String,
    }
}

impl Aggregate for Longest {
    type In = String;
    type Out = usize;

    fn add(&mut self, text: String) {
        if text.len() > self.text.len() {
            self.text = text;
        }
    }

    fn result(&self) -> usize {
        self.text.len()
    }
}

impl KeyedProcess for Script {
    type In = String;
    type Out = String;

    fn describe(&mut self, d: &mut KeyedDescribe) {
        d.value("value", &mut self.value);
        d.value("fetched", &mut self.fetched).prefetch();
        d.list("list", &mut self.list);
        d.map("map", &mut self.map).prefetch();
        d.reducing("sum", &mut self.sum, |held, added| held * 3 + added)
            .prefetch();
        d.aggregating("longest", &mut self.longest);
    }

    fn prefetch(&mut self, row: &Row<String>) -> Result<()> {
        for step in row.split(' ') {
            // Some entries are named, some are not.
            if let Some(number) = step.strip_prefix("map-get:") {
                let number: u32 = number.parse()?;
                if number.is_multiple_of(2) {
                    self.map.prefetch(number)?;
                }
            }
        }
        Ok(())
    }

    fn process(&mut self, row: Row<String>, ctx: &mut Ctx<String>) -> Result<()> {
        for step in row.split(' ') {
            let read = self.step(step)?;
            ctx.emit(format_args!("{step}={read}"))?;
        }
        Ok(())
    }
}

impl Script {
    fn step(&mut self, step: &str) -> Result<String> {
        let (verb, argument) = step.split_once(':').unwrap_or((step, ""));
        let number = argument.parse::<u32>().unwrap_or(0);
        match verb {
            "value" => return Ok(format!("{:?}", self.value.get()?)),
            "value-set" => self.value.set(argument.to_owned())?,
            "value-clear" => self.value.clear()?,
            "fetched" => return Ok(format!("{:?}", self.fetched.get()?)),
            "fetched-push" => {
                self.fetched
                    .get_mut()?
                    .get_or_insert_default()
                    .push_str(argument);
            }
            "fetched-clear" => self.fetched.clear()?,
            "list" => return Ok(format!("{:?}", self.list.get()?)),
            "list-add" => self.list.add(argument.to_owned())?,
            "list-set" => self.list.set(vec![argument.to_owned(), "end".to_owned()])?,
            "list-clear" => self.list.clear()?,
            "map" => {
                let entries: Result<Vec<_>> = self.map.iter()?.collect();
                return Ok(format!("{:?}", entries?));
            }
            "map-get" => return Ok(format!("{:?}", self.map.get(number)?)),
            "map-empty" => return Ok(format!("{:?}", self.map.is_empty()?)),
            "map-put" => self.map.put(number, argument.to_owned())?,
            "map-remove" => self.map.remove(number)?,
            "map-clear" => self.map.clear()?,
            "sum" => return Ok(format!("{:?}", self.sum.get()?)),
            "sum-add" => self.sum.add(i64::from(number))?,
            "sum-none" => self.sum.add(None)?,
            "longest" => return Ok(format!("{:?}", self.longest.get()?)),
            "longest-add" => return Ok(self.longest.add(argument.to_owned())?.to_string()),
            "longest-clear" => self.longest.clear()?,
            "fail" => bail!("as told"),
            other => bail!("no such step: {other}"),
        }
        Ok(String::new())
    }
}

/// The state of one key, plainly.
#[derive(Clone, Default)]
struct Model {
    value: Option<String>,
    fetched: Option<String>,
    list: Vec<String>,
    map: BTreeMap<u32, String>,
    sum: Option<i64>,
    longest: Option<String>,
}

impl Model {
    fn step(&mut self, step: &str) -> Option<String> {
        let (verb, argument) = step.split_once(':').unwrap_or((step, ""));
        let number = argument.parse::<u32>().unwrap_or(0);
        match verb {
            "value" => return Some(format!("{:?}", self.value)),
            "value-set" => self.value = Some(argument.to_owned()),
            "value-clear" => self.value = None,
            "fetched" => return Some(format!("{:?}", self.fetched)),
            "fetched-push" => self.fetched.get_or_insert_default().push_str(argument),
            "fetched-clear" => self.fetched = None,
            "list" => return Some(format!("{:?}", self.list)),
            "list-add" => self.list.push(argument.to_owned()),
            "list-set" => self.list = vec![argument.to_owned(), "end".to_owned()],
            "list-clear" => self.list.clear(),
            "map" => return Some(format!("{:?}", self.map.iter().collect::<Vec<_>>())),
            "map-get" => return Some(format!("{:?}", self.map.get(&number))),
            "map-empty" => return Some(self.map.is_empty().to_string()),
            "map-put" => drop(self.map.insert(number, argument.to_owned())),
            "map-remove" => drop(self.map.remove(&number)),
            "map-clear" => self.map.clear(),
            "sum" => return Some(format!("{:?}", self.sum)),
            "sum-add" => {
                let added = i64::from(number);
                self.sum = Some(self.sum.map_or(added, |held| held * 3 + added));
            }
            "sum-none" => self.sum = None,
            "longest" => return Some(format!("{:?}", self.longest.as_ref().map(String::len))),
            "longest-add" => {
                let held = self.longest.get_or_insert_default();
                if argument.len() > held.len() {
                    *held = argument.to_owned();
                }
                return Some(held.len().to_string());
            }
            "longest-clear" => self.longest = None,
            _ => return None,
        }
        Some(String::new())
    }
}

const STEPS: [&str; 22] = [
    "value",
    "value-set:",
    "value-clear",
    "fetched",
    "fetched-push:",
    "fetched-clear",
    "list",
    "list-add:",
    "list-add:",
    "list-set:",
    "list-clear",
    "map",
    "map-get:",
    "map-empty",
    "map-put:",
    "map-put:",
    "map-remove:",
    "map-clear",
    "sum",
    "sum-add:",
    "longest",
    "longest-add:",
];
const RARE: [&str; 3] = ["sum-none", "longest-clear", "fail"];

/// Splitmix64.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((mixed ^ (mixed >> 31)) % bound as u64) as usize
    }

    fn row(&mut self) -> String {
        let steps = 1 + self.below(4);
        let steps: Vec<String> = (0..steps).map(|_| self.step()).collect();
        steps.join(" ")
    }

    fn step(&mut self) -> String {
        if self.below(40) == 0 {
            return RARE[self.below(RARE.len())].to_owned();
        }
        let verb = STEPS[self.below(STEPS.len())];
        if verb.ends_with(':') {
            format!("{verb}{}", 7 + self.below(6))
        } else {
            verb.to_owned()
        }
    }
}

/// What a batch should lead to: the rows emitted, and the row that fails.
fn expected(
    models: &mut BTreeMap<String, Model>,
    rows: &[(String, String)],
) -> (Vec<String>, Option<usize>) {
    let mut emitted = Vec::new();
    for (index, (key, row)) in rows.iter().enumerate() {
        let model = models.entry(key.clone()).or_default();
        let before = model.clone();
        let mark = emitted.len();
        for step in row.split(' ') {
            match model.step(step) {
                Some(read) => emitted.push(format!("{step}={read}")),
                None => {
                    *model = before;
                    emitted.truncate(mark);
                    return (emitted, Some(index));
                }
            }
        }
    }
    (emitted, None)
}

#[test]
fn every_kind_of_state_is_what_a_plain_model_says() {
    for seed in 0..200 {
        let mut random = Random(seed);
        let mut script = Harness::open::<Script, _>("null").unwrap();
        let mut models = BTreeMap::new();
        for _ in 0..12 {
            let count = 1 + random.below(30);
            let rows: Vec<(String, String)> = (0..count)
                .map(|_| (format!("k{}", random.below(4)), random.row()))
                .collect();
            let (emitted, failed) = expected(&mut models, &rows);
            let out = script.keyed(rows).unwrap();
            assert_eq!(out.main(), emitted, "seed {seed}");
            assert_eq!(out.poisoned.map(|(row, _)| row), failed, "seed {seed}");
        }
        let held = |count: fn(&Model) -> usize| models.values().map(count).sum::<usize>();
        assert_eq!(
            script.held("value"),
            held(|m| usize::from(m.value.is_some())),
            "seed {seed}"
        );
        assert_eq!(script.held("list"), held(|m| m.list.len()), "seed {seed}");
        assert_eq!(script.held("map"), held(|m| m.map.len()), "seed {seed}");
        assert_eq!(
            script.held("sum"),
            held(|m| usize::from(m.sum.is_some())),
            "seed {seed}"
        );
    }
}
