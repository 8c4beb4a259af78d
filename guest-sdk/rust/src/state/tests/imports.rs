//! What a call asks of the host: each thing at most once, and little that nobody looks at.

use std::cell::Cell;

use super::Script;
use crate::testing::Harness;
use crate::{Ctx, KeyedDescribe, KeyedProcess, List, Map, Result, Row, StateCodec, Value};

/// Runs rows of one batch, and gives the imports that it took.
#[track_caller]
fn imports(script: &mut Harness, rows: &[(&str, &str)]) -> Vec<&'static str> {
    let out = script.keyed(rows.iter().copied()).unwrap();
    assert_eq!(out.poisoned, None);
    script.imports()
}

#[test]
fn a_call_reads_and_writes_each_state_at_most_once() {
    let mut script = Harness::open::<Script, _>("null").unwrap();
    // But for the first reads of all, which show how large values are.
    let first = imports(&mut script, &[("a", "value list")]);
    assert_eq!(first, ["value-get", "list-get"]);
    let rows = [
        ("a", "value value-set:1"),
        ("b", "value value-set:2"),
        ("a", "value-set:3"),
    ];
    assert_eq!(imports(&mut script, &rows), ["value-get", "value-put"]);
    let rows = [
        ("a", "list-add:1"),
        ("b", "list-add:2"),
        ("a", "list-add:3"),
    ];
    assert_eq!(imports(&mut script, &rows), ["list-add"]);
    let rows = [
        ("a", "list list-add:1"),
        ("b", "list"),
        ("a", "list list-clear"),
    ];
    assert_eq!(imports(&mut script, &rows), ["list-get", "list-set"]);
    let rows = [
        ("a", "map-put:1 map-get:1"),
        ("b", "map-put:2"),
        ("a", "map-remove:1"),
    ];
    assert_eq!(imports(&mut script, &rows), ["map-put"]);
    let rows = [
        ("a", "map-get:2"),
        ("b", "map-get:4 map-get:2"),
        ("a", "map-get:2 map-get:4"),
    ];
    assert_eq!(imports(&mut script, &rows), ["map-get"]);
    let rows = [("a", "map-clear map-get:2 map-put:3 map-get:4 map")];
    assert_eq!(imports(&mut script, &rows), ["map-clear", "map-put"]);
}

#[test]
fn what_is_not_touched_costs_nothing() {
    let mut script = Harness::open::<Script, _>("null").unwrap();
    assert_eq!(
        imports(&mut script, &[("a", "fetched sum")]),
        Vec::<&str>::new()
    );
}

#[test]
fn entries_named_while_a_row_is_processed_are_asked_for_together() {
    #[derive(Default)]
    struct Both {
        map: Map<u32, String>,
    }
    impl KeyedProcess for Both {
        type In = String;
        type Out = String;
        fn describe(&mut self, d: &mut KeyedDescribe) {
            d.map("map", &mut self.map);
        }
        fn process(&mut self, _row: Row<String>, ctx: &mut Ctx<String>) -> Result<()> {
            self.map.prefetch(1_u32)?;
            self.map.prefetch(2_u32)?;
            let both = (self.map.contains(1_u32)?, self.map.contains(2_u32)?);
            self.map.put(2_u32, "b".to_owned())?;
            ctx.emit(format_args!("{both:?}"))
        }
    }
    let mut both = Harness::open::<Both, _>("null").unwrap();
    let rows = [("a", "row"), ("a", "row")];
    let expected = ["(false, false)", "(false, true)"];
    assert_eq!(both.keyed(rows).unwrap().main(), expected);
    assert_eq!(both.imports(), ["map-get", "map-put"]);
}

#[test]
fn an_entry_that_is_named_after_its_map_was_cleared_stays_away() {
    #[derive(Default)]
    struct Clears {
        map: Map<u32, String>,
    }
    impl KeyedProcess for Clears {
        type In = String;
        type Out = String;
        fn describe(&mut self, d: &mut KeyedDescribe) {
            d.map("map", &mut self.map);
        }
        fn process(&mut self, row: Row<String>, ctx: &mut Ctx<String>) -> Result<()> {
            match row.value {
                "put" => self.map.put(1_u32, "old".to_owned()),
                "clear" => {
                    self.map.clear()?;
                    self.map.prefetch(1_u32)
                }
                _ => ctx.emit(format_args!("{:?}", self.map.get(1_u32)?)),
            }
        }
    }
    let mut clears = Harness::open::<Clears, _>("null").unwrap();
    clears.keyed([("a", "put"), ("b", "put")]).unwrap();
    clears.imports();
    let rows = [("a", "clear"), ("b", "get"), ("a", "get")];
    let out = clears.keyed(rows).unwrap();
    assert_eq!(out.main(), [r#"Some("old")"#, "None"]);
    assert_eq!(clears.imports(), ["map-get", "map-clear"]);
    assert_eq!(clears.read(), 1);
    assert_eq!(clears.held("map"), 1);
}

#[test]
fn naming_entries_neither_reads_nor_writes_state() {
    #[derive(Default)]
    struct Eager {
        map: Map<u32, String>,
        value: Value<String>,
    }
    impl KeyedProcess for Eager {
        type In = String;
        type Out = String;
        fn describe(&mut self, d: &mut KeyedDescribe) {
            d.map("map", &mut self.map).prefetch();
            d.value("value", &mut self.value);
        }
        fn prefetch(&mut self, row: &Row<String>) -> Result<()> {
            let written = self.map.put(1_u32, row.to_string());
            let written = written.or_else(|_| self.value.set(row.to_string()));
            let error = written.unwrap_err().to_string();
            assert_eq!(
                error,
                "state `value`: keyed state can be used only while a row is processed"
            );
            self.map.prefetch(1_u32)
        }
        fn process(&mut self, _row: Row<String>, ctx: &mut Ctx<String>) -> Result<()> {
            ctx.emit(format_args!(
                "{:?} {:?}",
                self.map.get(1_u32)?,
                self.value.get()?
            ))
        }
    }
    let mut eager = Harness::open::<Eager, _>("null").unwrap();
    let out = eager.keyed([("a", "row")]).unwrap();
    assert_eq!(out.main(), ["None None"]);
    assert_eq!((eager.held("map"), eager.held("value")), (0, 0));
}

/// Reads the list and the value of a key where its row says so.
#[derive(Default)]
struct Reads {
    list: List<String>,
    value: Value<String>,
    map: Map<u32, String>,
}

impl KeyedProcess for Reads {
    type In = String;
    type Out = String;

    fn describe(&mut self, d: &mut KeyedDescribe) {
        d.list("list", &mut self.list);
        d.value("value", &mut self.value);
        d.map("map", &mut self.map);
    }

    fn process(&mut self, row: Row<String>, ctx: &mut Ctx<String>) -> Result<()> {
        match row.value {
            "list" => ctx.emit(format_args!("{:?}", self.list.get()?)),
            "value" => ctx.emit(format_args!("{:?}", self.value.get()?)),
            "empty" => ctx.emit(format_args!("{:?}", self.map.is_empty()?)),
            "fill" => (0..100).try_for_each(|entry| self.map.put(entry, row.to_string())),
            _ => {
                self.list.add(row.to_string())?;
                self.value.set(row.to_string())
            }
        }
    }
}

/// How many keys a call with so many keys reads, and by how many imports, if it looks at the state
/// of one key in `every`.
fn reads(state: &str, keys: usize, every: usize) -> (usize, usize) {
    let mut reads = Harness::open::<Reads, _>("null").unwrap();
    let key = |key: usize| format!("k{key}");
    reads
        .keyed((0..keys).map(|at| (key(at), format!("of {at}"))))
        .unwrap();
    reads.imports();
    let rows = (0..keys).flat_map(|at| {
        let looks = (at % every == 0).then(|| (key(at), state.to_owned()));
        // Each key is met, in this order.
        std::iter::once((key(at), format!("again {at}"))).chain(looks)
    });
    let out = reads.keyed(rows).unwrap();
    let told = (0..keys).step_by(every).map(|at| match state {
        "list" => format!("{:?}", [format!("of {at}"), format!("again {at}")]),
        _ => format!("{:?}", Some(format!("again {at}"))),
    });
    assert_eq!(out.main(), told.collect::<Vec<_>>());
    let imports = reads.imports();
    let gets = imports.iter().filter(|import| import.ends_with("-get"));
    (reads.read(), gets.count())
}

#[test]
fn lists_that_every_row_looks_at_are_read_by_few_imports() {
    assert_eq!(reads("list", 1000, 1), (1000, 9));
}

#[test]
fn short_lists_that_a_third_of_the_rows_look_at_are_read_by_few_imports() {
    let (read, imports) = reads("list", 1000, 3);
    assert!(read <= 1000 && imports <= 10, "{read} by {imports} imports");
}

#[test]
fn lists_that_few_rows_look_at_are_not_all_read() {
    let (read, imports) = reads("list", 1000, 20);
    assert!(read <= 100, "{read} lists read for 50");
    assert!(imports <= 50, "{imports} imports");
}

#[test]
fn a_value_that_was_set_is_not_read() {
    assert_eq!(reads("value", 1000, 1), (0, 0));
}

#[test]
fn values_that_few_rows_look_at_are_not_all_read() {
    let mut reads = Harness::open::<Reads, _>("null").unwrap();
    let rows =
        |row: fn(usize) -> &'static str| (0..1000).map(move |key| (format!("k{key}"), row(key)));
    reads.keyed(rows(|_| "old")).unwrap();
    let sparse = rows(|key| if key % 20 == 0 { "value" } else { "new" });
    assert_eq!(reads.keyed(sparse).unwrap().main(), [r#"Some("old")"#; 50]);
    let read = reads.read();
    assert!(read <= 100, "{read} values read for 50");
    reads.imports();
    reads.keyed(rows(|_| "value")).unwrap();
    assert_eq!(reads.read(), 1000);
    assert!(reads.imports().len() < 20);
}

#[test]
fn whether_a_map_is_empty_takes_one_entry() {
    let mut reads = Harness::open::<Reads, _>("null").unwrap();
    reads.keyed([("a", "fill")]).unwrap();
    reads.imports();
    let out = reads.keyed([("a", "empty"), ("b", "empty")]).unwrap();
    assert_eq!(out.main(), ["false", "true"]);
    assert_eq!(reads.imports(), ["map-scan", "map-scan"]);
    assert_eq!(reads.read(), 1);
    let out = reads.keyed([("b", "fill"), ("b", "empty")]).unwrap();
    assert_eq!(out.main(), ["false"]);
    assert_eq!(reads.imports(), ["map-put"]);
}

thread_local! {
    static CLONES: Cell<usize> = const { Cell::new(0) };
}

/// Counts its clones.
struct Costly(u64);

impl Clone for Costly {
    fn clone(&self) -> Self {
        CLONES.set(CLONES.get() + 1);
        Self(self.0)
    }
}

impl StateCodec for Costly {
    fn format() -> String {
        u64::format()
    }

    fn encode(&self, out: &mut Vec<u8>) -> Result<()> {
        self.0.encode(out)
    }

    fn decode(bytes: &[u8]) -> Result<Self> {
        u64::decode(bytes).map(Self)
    }
}

#[test]
fn a_value_is_cloned_only_to_undo_a_change_of_what_the_call_had_changed() {
    #[derive(Default)]
    struct Counts {
        count: Value<Costly>,
    }
    impl KeyedProcess for Counts {
        type In = String;
        type Out = u64;
        fn describe(&mut self, d: &mut KeyedDescribe) {
            d.value("count", &mut self.count).prefetch();
        }
        fn process(&mut self, row: Row<String>, ctx: &mut Ctx<u64>) -> Result<()> {
            let count = self.count.get_mut()?.get_or_insert(Costly(0));
            count.0 += 1;
            ctx.emit(count.0)?;
            match row.value {
                "fail" => crate::bail!("as told"),
                _ => Ok(()),
            }
        }
    }
    let mut counts = Harness::open::<Counts, _>("null").unwrap();
    let out = counts.keyed([("a", ""), ("b", "")]).unwrap();
    assert_eq!(out.main(), ["1", "1"]);
    let out = counts.keyed([("a", ""), ("b", "fail")]).unwrap();
    assert_eq!(out.main(), ["2"]);
    assert_eq!(CLONES.get(), 0);
    let out = counts.keyed([("b", ""), ("b", ""), ("b", "fail")]).unwrap();
    assert_eq!(out.main(), ["2", "3"]);
    assert_eq!(CLONES.get(), 2);
    assert_eq!(counts.keyed([("b", "")]).unwrap().main(), ["4"]);
}
