//! State of the subtask against a plain model of it, in random batches with failing rows; what a
//! call asks of the host for it, and where it is out of reach.

use std::collections::BTreeMap;

use super::Random;
use crate::testing::{Harness, Input};
use crate::{
    Broadcast, BroadcastProcess, Checkpointed, Ctx, Describe, Env, Initialize,
    KeyedBroadcastProcess, KeyedDescribe, KeyedProcess, Map, OperatorList, Result, Row, Snapshot,
    Value, bail,
};

/// Does what its rows say, and emits what it reads.
#[derive(Default)]
struct Script {
    list: OperatorList<String>,
    map: Broadcast<u32, String>,
}

impl Script {
    fn step(&mut self, step: &str) -> Result<String> {
        let (verb, argument) = step.split_once(':').unwrap_or((step, ""));
        let number = argument.parse::<u32>().unwrap_or(0);
        match verb {
            "list" => return Ok(format!("{:?}", self.list.get()?)),
            "list-add" => self.list.add(argument.to_owned())?,
            "list-set" => self.list.set(vec![argument.to_owned(), "end".to_owned()])?,
            "list-clear" => self.list.clear()?,
            "map" => return Ok(format!("{:?}", self.map.iter()?.collect::<Vec<_>>())),
            "map-get" => return Ok(format!("{:?}", self.map.get(number)?)),
            "map-has" => return Ok(self.map.contains(number)?.to_string()),
            "map-empty" => return Ok(self.map.is_empty()?.to_string()),
            "map-put" => self.map.put(number, argument.to_owned())?,
            "map-fill" => {
                for key in 0..number {
                    self.map.put(key, key.to_string())?;
                }
            }
            "map-remove" => self.map.remove(number)?,
            "map-clear" => self.map.clear()?,
            "fail" => bail!("as told"),
            other => bail!("no such step: {other}"),
        }
        Ok(String::new())
    }

    fn row(&mut self, row: &str, ctx: &mut Ctx<String>) -> Result<()> {
        for step in row.split(' ') {
            let read = self.step(step)?;
            ctx.emit(format_args!("{step}={read}"))?;
        }
        Ok(())
    }
}

impl BroadcastProcess for Script {
    type In = String;
    type BroadcastIn = String;
    type Out = String;

    fn describe(&mut self, d: &mut Describe) {
        d.operator_list("list", &mut self.list);
        d.broadcast("map", &mut self.map);
    }

    fn process(&mut self, row: Row<String>, ctx: &mut Ctx<String>) -> Result<()> {
        self.row(row.value, ctx)
    }

    fn process_broadcast(&mut self, row: Row<String>, ctx: &mut Ctx<String>) -> Result<()> {
        self.row(row.value, ctx)
    }
}

#[derive(Clone, Default)]
struct Model {
    list: Vec<String>,
    map: BTreeMap<u32, String>,
}

impl Model {
    fn step(&mut self, step: &str) -> Option<String> {
        let (verb, argument) = step.split_once(':').unwrap_or((step, ""));
        let number = argument.parse::<u32>().unwrap_or(0);
        match verb {
            "list" => return Some(format!("{:?}", self.list)),
            "list-add" => self.list.push(argument.to_owned()),
            "list-set" => self.list = vec![argument.to_owned(), "end".to_owned()],
            "list-clear" => self.list.clear(),
            "map" => return Some(format!("{:?}", self.map.iter().collect::<Vec<_>>())),
            "map-get" => return Some(format!("{:?}", self.map.get(&number))),
            "map-has" => return Some(self.map.contains_key(&number).to_string()),
            "map-empty" => return Some(self.map.is_empty().to_string()),
            "map-put" => drop(self.map.insert(number, argument.to_owned())),
            "map-fill" => self
                .map
                .extend((0..number).map(|key| (key, key.to_string()))),
            "map-remove" => drop(self.map.remove(&number)),
            "map-clear" => self.map.clear(),
            _ => return None,
        }
        Some(String::new())
    }
}

const READS: [&str; 5] = ["list", "map", "map-get:", "map-has:", "map-empty"];
const LIST: [&str; 4] = ["list-add:", "list-add:", "list-set:", "list-clear"];
const MAP: [&str; 4] = ["map-put:", "map-put:", "map-remove:", "map-remove:"];
const RARE: [&str; 3] = ["map-clear", "map-fill:", "fail"];

/// A row, of the broadcast input or of the other.
fn row(random: &mut Random, broadcast: bool) -> String {
    let mut steps = Vec::new();
    for _ in 0..=random.below(4) {
        let verb = match random.below(40) {
            0 if broadcast => RARE[random.below(RARE.len())],
            0 => "fail",
            1..=18 => READS[random.below(READS.len())],
            19..=28 if broadcast => MAP[random.below(MAP.len())],
            _ => LIST[random.below(LIST.len())],
        };
        // Some maps are longer than a page.
        let most = if verb == "map-fill:" { 400 } else { 12 };
        steps.push(match verb.ends_with(':') {
            true => format!("{verb}{}", random.below(most)),
            false => verb.to_owned(),
        });
    }
    steps.join(" ")
}

#[test]
fn state_of_the_subtask_is_what_a_plain_model_says() {
    for seed in 0..200 {
        let mut random = Random(seed);
        let mut script = Harness::open::<Script, _>("null").unwrap();
        let mut model = Model::default();
        for _ in 0..12 {
            let broadcast = random.below(2) == 1;
            let count = 1 + random.below(20);
            let rows: Vec<String> = (0..count).map(|_| row(&mut random, broadcast)).collect();
            let (mut emitted, mut failed) = (Vec::new(), None);
            for (index, row) in rows.iter().enumerate() {
                let (before, mark) = (model.clone(), emitted.len());
                for step in row.split(' ') {
                    let Some(read) = model.step(step) else {
                        failed = Some(index);
                        break;
                    };
                    emitted.push(format!("{step}={read}"));
                }
                if failed.is_some() {
                    model = before;
                    emitted.truncate(mark);
                    break;
                }
            }
            let rows = rows.iter().map(Input::row);
            let out = script.batch(u32::from(broadcast), rows).unwrap();
            assert_eq!(out.main(), emitted, "seed {seed}");
            assert_eq!(out.poisoned.map(|(row, _)| row), failed, "seed {seed}");
            if random.below(6) == 0 {
                script.restart().unwrap();
            }
        }
        assert_eq!(script.held("list"), model.list.len(), "seed {seed}");
        assert_eq!(script.held("map"), model.map.len(), "seed {seed}");
    }
}

#[test]
fn a_call_reads_and_writes_state_of_the_subtask_at_most_once() {
    let mut script = Harness::open::<Script, _>("null").unwrap();
    let mut imports = |broadcast: bool, rows: &[&str]| {
        let rows = rows.iter().map(Input::row);
        let out = script.batch(u32::from(broadcast), rows).unwrap();
        assert_eq!(out.poisoned, None);
        script.imports()
    };
    assert_eq!(
        imports(false, &["list list-add:1", "list-add:2 list"]),
        ["operator-get", "operator-set"]
    );
    assert_eq!(
        imports(false, &["list-set:1", "list list-add:2"]),
        ["operator-set"]
    );
    assert_eq!(imports(false, &["list", "list"]), ["operator-get"]);
    assert_eq!(
        imports(true, &["map-put:1 map-get:1", "map-put:2"]),
        ["broadcast-put"]
    );
    // A small map is there as a whole after the first look, and so is what is not in it.
    assert_eq!(
        imports(false, &["map-get:1 map-get:7", "map", "map-empty"]),
        ["broadcast-scan"]
    );
    imports(true, &["map-fill:70"]);
    let rows = [
        "map-get:1 map-get:69",
        "map-get:69 map-get:99",
        "map-get:99",
    ];
    assert_eq!(
        imports(false, &rows),
        ["broadcast-scan", "broadcast-get", "broadcast-get"]
    );
    assert_eq!(
        imports(false, &["map", "map-get:99"]),
        ["broadcast-scan", "broadcast-scan"]
    );
}

#[test]
fn broadcast_state_is_only_read_for_rows_of_another_input() {
    let mut script = Harness::open::<Script, _>("null").unwrap();
    for step in ["map-put:1", "map-remove:1", "map-clear"] {
        let error = script.rows(["list-add:1", step]).unwrap_err();
        let expected = "state `map`: broadcast state can be written only while a row of a broadcast \
                        input is processed";
        assert_eq!(error, expected);
    }
    assert_eq!(script.held("list"), 0, "nothing of the call was kept");
    let error = script.batch(1, [Input::row("map").key(["k"])]).unwrap_err();
    assert_eq!(error, "input 1 is a broadcast input: its rows have no key");
}

#[test]
fn keyed_state_is_out_of_reach_for_rows_without_a_key() {
    #[derive(Default)]
    struct Both {
        count: Value<u64>,
        map: Broadcast<u32, u32>,
    }
    impl KeyedBroadcastProcess for Both {
        type In = String;
        type BroadcastIn = String;
        type Out = String;
        fn describe(&mut self, d: &mut KeyedDescribe) {
            d.value("count", &mut self.count).prefetch();
            d.broadcast("map", &mut self.map);
        }
        fn process(&mut self, _row: Row<String>, _ctx: &mut Ctx<String>) -> Result<()> {
            self.count.set(1)
        }
        fn process_broadcast(&mut self, row: Row<String>, ctx: &mut Ctx<String>) -> Result<()> {
            self.map.put(row.len() as u32, 1)?;
            ctx.emit(self.count.get().unwrap_err().to_string())
        }
    }
    let mut both = Harness::open::<Both, _>("null").unwrap();
    let out = both.broadcast(["x"]).unwrap();
    let expected = "state `count`: a row of a broadcast input has no key, so keyed state cannot be \
                    used";
    assert_eq!(out.main(), [expected]);
    both.keyed([("a", "1")]).unwrap();
    assert_eq!((both.held("count"), both.held("map")), (1, 1));
    let error = both.rows(["1"]).unwrap_err();
    assert_eq!(
        error,
        "the operator has keyed state: its input 0 needs a `key`"
    );
}

/// Tries state where there is none to be had.
#[derive(Default)]
struct Tries {
    list: OperatorList<u32>,
    map: Map<u32, u32>,
    errors: Vec<String>,
}

impl KeyedProcess for Tries {
    type In = u64;
    type Out = String;

    fn describe(&mut self, d: &mut KeyedDescribe) {
        d.union_list("list", &mut self.list);
        d.map("map", &mut self.map).prefetch();
    }

    fn prefetch(&mut self, _row: &Row<u64>) -> Result<()> {
        self.errors
            .extend(self.list.get().err().map(|error| error.to_string()));
        self.errors
            .extend(self.list.set(vec![9]).err().map(|error| error.to_string()));
        Ok(())
    }

    fn process(&mut self, _row: Row<u64>, ctx: &mut Ctx<String>) -> Result<()> {
        self.list.add(1)?;
        self.errors.drain(..).try_for_each(|error| ctx.emit(error))
    }
}

impl Checkpointed for Tries {
    fn initialize(&mut self, _init: &Initialize) -> Result<()> {
        self.list.add(0)
    }

    fn snapshot(&mut self, _snapshot: &mut Snapshot) -> Result<()> {
        self.list.add(2)
    }

    fn complete(&mut self, _checkpoint: u64, _env: Env) -> Result<()> {
        self.list.add(3)
    }

    fn aborted(&mut self, _checkpoint: u64, _env: Env) -> Result<()> {
        self.list.get().map(drop)
    }
}

#[test]
fn operator_state_is_out_of_reach_where_nothing_could_become_of_it() {
    let mut tries = Harness::open_checkpointed::<Tries, _>("null").unwrap();
    let out = tries.keyed([("a", "1")]).unwrap();
    let in_prefetch = "state `list`: state cannot be used in `prefetch`";
    assert_eq!(out.main(), [in_prefetch; 2]);
    let saved = tries.checkpoint().unwrap();
    let told = "state `list`: state cannot be used in `describe`, `complete` and `aborted`";
    assert_eq!(tries.complete(&saved).unwrap_err(), told);
    assert_eq!(tries.aborted(&saved).unwrap_err(), told);
    assert_eq!(tries.items::<u32>("list").unwrap(), [0, 1, 2]);
}

#[test]
fn what_cannot_be_decoded_fails_the_call() {
    #[derive(Default)]
    struct Odd {
        words: OperatorList<String>,
        numbers: OperatorList<u32>,
    }
    impl crate::Process for Odd {
        type In = String;
        type Out = String;
        fn describe(&mut self, d: &mut Describe) {
            d.operator_list("words", &mut self.words);
            d.operator_list("numbers", &mut self.numbers);
        }
        fn process(&mut self, row: Row<String>, _ctx: &mut Ctx<String>) -> Result<()> {
            match row.value {
                "read" => self.numbers.get().map(drop),
                word => self.words.add(word.to_owned()),
            }
        }
    }
    let mut odd = Harness::open::<Odd, _>("null").unwrap();
    odd.rows(["a"]).unwrap();
    odd.copy_state("words", "numbers");
    let error = odd.rows(["b", "read"]).unwrap_err();
    let expected = "state `numbers` cannot be read: `u32-le` has 4 bytes, not 1";
    assert_eq!(error, expected);
    assert_eq!(odd.held("words"), 1);
    // Who does not look at it is not disturbed.
    odd.rows(["b"]).unwrap();
}
