//! Operators with several inputs: which function gets which row, what needs a key, and what of a
//! row that fails is left.

use crate::testing::{Harness, Input};
use crate::{
    Checkpointed, CoProcess, Counter, Csv, Ctx, Describe, Env, Initialize, KeyedCoProcess,
    KeyedDescribe, KeyedProcess, Level, Map, OperatorList, Process, Result, Row, SideOutput,
    Snapshot, Value, bail, inputs,
};

/// Counts, per key, what comes by each of two inputs.
#[derive(Default)]
struct Sides {
    seen: Map<u32, ()>,
    counts: Value<(u64, u64)>,
    aside: SideOutput<String>,
    rows: Counter,
}

impl KeyedCoProcess for Sides {
    type First = u64;
    type Second = String;
    type Out = String;

    fn describe(&mut self, d: &mut KeyedDescribe) {
        d.map("seen", &mut self.seen).prefetch();
        d.value("counts", &mut self.counts).prefetch();
        d.side_output("aside", &mut self.aside);
        d.counter("rows", &mut self.rows);
    }

    fn prefetch_first(&mut self, row: &Row<u64>) -> Result<()> {
        self.seen.prefetch(row.value as u32)
    }

    fn prefetch_second(&mut self, row: &Row<String>) -> Result<()> {
        self.seen.prefetch(row.len() as u32)
    }

    fn process_first(&mut self, row: Row<u64>, ctx: &mut Ctx<String>) -> Result<()> {
        assert_eq!((row.input, ctx.input()), (0, 0));
        self.rows.add(1);
        self.seen.put(row.value as u32, ())?;
        let (first, second) = self.counts.get()?.copied().unwrap_or_default();
        self.counts.set((first + 1, second))?;
        ctx.emit(format_args!("{} {second}", first + 1))
    }

    fn process_second(&mut self, row: Row<String>, ctx: &mut Ctx<String>) -> Result<()> {
        assert_eq!((row.input, ctx.input()), (1, 1));
        self.rows.add(1);
        let (first, second) = self.counts.get()?.copied().unwrap_or_default();
        self.counts.set((first, second + 1))?;
        ctx.to(&self.aside).emit(row.value)?;
        if !self.seen.contains(row.len() as u32)? {
            bail!("nothing seen for {}", row.value);
        }
        ctx.emit(format_args!("{first} {}", second + 1))
    }

    fn end_of_input(&mut self, ctx: &mut Ctx<String>) -> Result<()> {
        ctx.log(Level::Info, "ended");
        ctx.emit(format_args!("end of {}", ctx.input()))
    }

    fn finish(&mut self, ctx: &mut Ctx<String>) -> Result<()> {
        ctx.to(&self.aside).emit("finished")
    }
}

fn second(rows: &[(&str, &str)]) -> Vec<Input> {
    let row = |(key, value): &(&str, &str)| Input::row(value).key([key]);
    rows.iter().map(row).collect()
}

#[test]
fn rows_of_two_inputs_meet_the_same_state_by_key() {
    let mut sides = Harness::open::<Sides, _>("null").unwrap();
    assert_eq!(sides.descriptor().inputs, 2);
    assert_eq!(
        sides
            .keyed([("a", "1"), ("a", "2"), ("b", "1")])
            .unwrap()
            .main(),
        ["1 0", "2 0", "1 0"]
    );
    sides.imports();
    let out = sides
        .batch(1, second(&[("a", "x"), ("a", "yy"), ("b", "x")]))
        .unwrap();
    assert_eq!(out.main(), ["2 1", "2 2", "1 1"]);
    assert_eq!(out.side("aside"), ["x", "yy", "x"]);
    // The entries of all rows were asked for at once.
    assert_eq!(sides.imports(), ["map-get", "counter-add"]);
    let (ended, finished) = sides.finish().unwrap();
    assert_eq!(ended.main(), ["end of 0", "end of 1"]);
    assert_eq!(finished.side("aside"), ["finished"]);
    assert_eq!(sides.logs(), ["Level::Info: ended"; 2]);
}

#[test]
fn a_row_that_fails_leaves_nothing_whichever_input_it_came_by() {
    let mut sides = Harness::open::<Sides, _>("null").unwrap();
    sides.keyed([("a", "1")]).unwrap();
    let out = sides
        .batch(1, second(&[("a", "x"), ("a", "yy"), ("a", "x")]))
        .unwrap();
    assert_eq!(out.poisoned, Some((1, "nothing seen for yy".to_owned())));
    assert_eq!(out.main(), ["1 1"]);
    assert_eq!(out.side("aside"), ["x"]);
    assert_eq!(sides.metric("rows"), Some(2.0));
    // Each input has a type of its own.
    let out = sides.keyed([("a", "x")]).unwrap();
    let message = "`x`: invalid digit found in string".to_owned();
    assert_eq!(out.poisoned, Some((0, message)));
    let out = sides.batch(1, second(&[("a", "1")])).unwrap();
    assert_eq!(out.main(), ["1 2"]);
}

#[test]
fn each_keyed_input_needs_a_key() {
    let mut sides = Harness::open::<Sides, _>("null").unwrap();
    let error = sides.batch(1, [Input::row("x")]).unwrap_err();
    assert_eq!(
        error,
        "the operator has keyed state: its input 1 needs a `key`"
    );
}

#[test]
fn an_input_that_the_operator_does_not_have_is_a_mistake_of_the_host() {
    let mut sides = Harness::open::<Sides, _>("null").unwrap();
    let error = sides.batch(2, second(&[("a", "x")])).unwrap_err();
    assert_eq!(error, "malformed call from the host: input 2 of 2");
}

inputs! {
    struct Orders;
    enum Order {
        Placed(Csv),
        Paid(u64),
        Note(String),
    }
}

/// Tells of rows of three types what they are.
#[derive(Default)]
struct Desk;

impl Process for Desk {
    type In = Orders;
    type Out = String;

    fn process(&mut self, row: Row<Orders>, ctx: &mut Ctx<String>) -> Result<()> {
        let input = row.input;
        match row.value {
            Order::Placed(row) => ctx.emit(format_args!("{input}: {} fields", row.len())),
            Order::Paid(cents) => ctx.emit(format_args!("{input}: {cents} cents")),
            Order::Note(note) => ctx.emit(format_args!("{input}: {note}")),
        }
    }
}

#[test]
fn any_number_of_inputs_have_types_of_their_own() {
    let mut desk = Harness::open::<Desk, _>("null").unwrap();
    assert_eq!(desk.descriptor().inputs, 3);
    let mut told = |input, row: &str| desk.batch(input, [Input::row(row)]);
    assert_eq!(told(0, "a,b").unwrap().main(), ["0: 2 fields"]);
    assert_eq!(told(1, "7").unwrap().main(), ["1: 7 cents"]);
    assert_eq!(told(2, "7").unwrap().main(), ["2: 7"]);
    let (row, message) = told(1, "a,b").unwrap().poisoned.unwrap();
    assert_eq!(
        (row, &*message),
        (0, "`a,b`: invalid digit found in string")
    );
    let error = told(3, "x").unwrap_err();
    assert_eq!(error, "malformed call from the host: input 3 of 3");
}

#[test]
fn mistakes_about_inputs_are_named() {
    #[derive(Default)]
    struct Wrong {
        rules: crate::Broadcast<String, u64>,
    }
    impl Process for Wrong {
        type In = Orders;
        type Out = String;
        fn describe(&mut self, d: &mut Describe) {
            d.inputs(2);
            d.broadcast("rules", &mut self.rules);
        }
        fn process(&mut self, _row: Row<Orders>, _ctx: &mut Ctx<String>) -> Result<()> {
            Ok(())
        }
    }
    let error = Harness::open::<Wrong, _>("null").err().unwrap();
    let number = "2 inputs are declared, but the type of the rows is for 3";
    let unwritten = "broadcast state `rules` could never be written: no input is declared as a \
                     broadcast input";
    assert_eq!(error, format!("{number}; {unwritten}"));

    #[derive(Default)]
    struct Beyond;
    impl KeyedProcess for Beyond {
        type In = String;
        type Out = String;
        fn describe(&mut self, d: &mut KeyedDescribe) {
            d.broadcast_input(1);
            d.broadcast_input(64);
        }
        fn process(&mut self, _row: Row<String>, _ctx: &mut Ctx<String>) -> Result<()> {
            Ok(())
        }
    }
    let error = Harness::open::<Beyond, _>("null").err().unwrap();
    let most = "input 64 is declared as a broadcast input; 64 inputs are the most";
    assert!(error.contains(most), "{error}");
    let beyond = "input 1 is declared as a broadcast input, but there are 1 inputs, counted from 0";
    assert!(error.contains(beyond), "{error}");
}

/// Counts what is asked of it.
#[derive(Default)]
struct Counts {
    calls: Counter,
    saved: OperatorList<u64>,
    fails: bool,
}

impl CoProcess for Counts {
    type First = String;
    type Second = u64;
    type Out = String;

    fn describe(&mut self, d: &mut Describe) {
        d.counter("calls", &mut self.calls);
        d.operator_list("saved", &mut self.saved);
    }

    fn process_first(&mut self, row: Row<String>, ctx: &mut Ctx<String>) -> Result<()> {
        self.fails = row.value == "fail";
        ctx.emit(row.value)
    }

    fn process_second(&mut self, row: Row<u64>, ctx: &mut Ctx<String>) -> Result<()> {
        ctx.emit(format_args!("number {}", row.value))
    }
}

impl Counts {
    fn called(&mut self, what: &str, env: &Env) -> Result<()> {
        self.calls.add(1);
        env.log(Level::Info, format_args!("{what} by {}", env.config()));
        match self.fails {
            true => bail!("{what} failed"),
            false => Ok(()),
        }
    }
}

impl Checkpointed for Counts {
    fn initialize(&mut self, init: &Initialize) -> Result<()> {
        let raw: Vec<&[u8]> = init.raw().collect();
        self.called(&format!("initialize {} {raw:?}", init.is_restored()), init)
    }

    fn snapshot(&mut self, snapshot: &mut Snapshot) -> Result<()> {
        self.saved.add(snapshot.checkpoint())?;
        snapshot.add_raw(snapshot.checkpoint().to_le_bytes()[..1].to_vec());
        self.called("snapshot", snapshot)
    }

    fn complete(&mut self, checkpoint: u64, env: Env) -> Result<()> {
        self.called(&format!("complete {checkpoint}"), &env)
    }

    fn aborted(&mut self, checkpoint: u64, env: Env) -> Result<()> {
        self.called(&format!("aborted {checkpoint}"), &env)
    }
}

#[test]
fn an_operator_that_takes_part_in_checkpoints_is_told_of_them_in_order() {
    let mut counts = Harness::open_checkpointed::<Counts, _>("7").unwrap();
    assert_eq!(
        counts.batch(1, [Input::row("8")]).unwrap().main(),
        ["number 8"]
    );
    let first = counts.checkpoint().unwrap();
    let second = counts.checkpoint().unwrap();
    counts.aborted(&first).unwrap();
    counts.complete(&second).unwrap();
    counts.restore(&first).unwrap();
    assert_eq!(counts.items::<u64>("saved").unwrap(), [1]);
    let told = [
        "initialize false []",
        "snapshot",
        "snapshot",
        "aborted 1",
        "complete 2",
        "initialize true [[1]]",
    ];
    assert_eq!(
        counts.logs(),
        told.map(|what| format!("Level::Info: {what} by 7"))
    );
    assert_eq!(counts.metric("calls"), Some(6.0));
}

#[test]
fn a_snapshot_that_fails_keeps_nothing_and_the_next_one_may_succeed() {
    let mut counts = Harness::open_checkpointed::<Counts, _>("7").unwrap();
    counts.rows(["fail"]).unwrap();
    assert_eq!(counts.checkpoint().err().unwrap(), "snapshot failed");
    assert_eq!(counts.held("saved"), 0);
    assert_eq!(counts.metric("calls"), Some(1.0), "that of `initialize`");
    counts.rows(["go on"]).unwrap();
    let saved = counts.checkpoint().unwrap();
    assert_eq!(counts.items::<u64>("saved").unwrap(), [2]);
    assert_eq!(saved.raw(), [[2]]);
    counts.rows(["fail"]).unwrap();
    assert_eq!(counts.complete(&saved).unwrap_err(), "complete 2 failed");
}
