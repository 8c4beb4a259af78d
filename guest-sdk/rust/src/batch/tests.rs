//! Batches and rows one by one come to the same, whatever fails; what is misused is told.

mod entries;
mod lists;
mod some;
mod two;

use std::iter;

use super::*;
use crate::testing::{Harness, Input};
use crate::{
    Binary, Counter, Ctx, Describe, KeyedDescribe, KeyedProcess, Map, Process, StateCodec, Value,
};

/// Keeps the longest row of each key, in state that is prefetched or not and whose values have a
/// width or not, and how often it was another. A row that ends with `!` is refused, and so is in a
/// batch one of another type.
#[derive(Default)]
struct Longest<const PREFETCHED: bool> {
    longest: Value<String>,
    changes: Value<u64>,
    rows: Counter,
    short: crate::SideOutput<String>,
}

impl<const PREFETCHED: bool> KeyedProcess for Longest<PREFETCHED> {
    type In = String;
    type Out = String;

    fn describe(&mut self, d: &mut KeyedDescribe) {
        if PREFETCHED {
            d.value("longest", &mut self.longest).prefetch();
            d.value("changes", &mut self.changes).prefetch();
        } else {
            d.value("longest", &mut self.longest);
            d.value("changes", &mut self.changes);
        }
        d.counter("rows", &mut self.rows);
        d.side_output("short", &mut self.short);
    }

    fn process(&mut self, row: Row<String>, ctx: &mut Ctx<String>) -> Result<()> {
        self.rows.add(1);
        if row.value.is_empty() {
            self.longest.clear()?;
            return ctx.emit("cleared");
        }
        let longest = self.longest.get()?.map_or(0, String::len);
        if row.value.len() <= longest {
            return ctx.to(&self.short).emit(row.value);
        }
        self.longest.set(row.value.to_owned())?;
        let changes = self.changes.get()?.copied().unwrap_or(0) + 1;
        self.changes.set(changes)?;
        if row.value.ends_with('!') {
            return Err(Error::new("loud"));
        }
        ctx.main()
            .at(7)
            .emit(format_args!("{} {changes}", row.value))
    }

    fn process_batch(
        &mut self,
        batch: &InputBatch<String>,
        ctx: &mut BatchCtx<String>,
    ) -> Result<Batched> {
        let keys = batch.keys()?;
        assert_eq!(keys.len(), keys.iter().count());
        let mut longest = self.longest.of_keys()?;
        let mut changes = self.changes.of_keys()?;
        for (number, row) in batch.rows().enumerate() {
            self.rows.add(1);
            let (row, key) = (row?, keys.of_rows()[number] as usize);
            if row.value == "row by row" {
                return Ok(Batched::RowByRow);
            }
            if row.value.is_empty() {
                longest.clear(key);
                ctx.emit(number, "cleared")?;
            } else if row.value.len() <= longest.get(key).map_or(0, String::len) {
                ctx.to(&self.short, number).emit(row.value)?;
            } else {
                longest.set(key, row.value.to_owned());
                *changes.get_mut(key).get_or_insert(0) += 1;
                if row.value.ends_with('!') {
                    return Err(Error::new("loud"));
                }
                let count = changes.get(key).copied().unwrap_or(0);
                let out = ctx.main(number).at(7);
                out.emit(format_args!("{} {count}", row.value))?;
            }
        }
        Ok(Batched::Done)
    }
}

/// A number, and what is to be done with what is kept of it.
type Said = Binary<(u64, u32)>;

fn said(key: u8, number: u64, deed: u32) -> Input {
    let mut row = number.to_le_bytes().to_vec();
    row.extend(deed.to_le_bytes());
    Input::row(row).key([[key]])
}

/// What is emitted, with its origins and times, and which row is refused.
fn shown(out: &crate::testing::Output) -> String {
    let emitted = out.emitted.iter().map(|of| {
        let rows: Vec<_> = column::rows(&of.values).map(Result::unwrap).collect();
        // The host takes no column with bytes behind its last row.
        assert_eq!(of.values.bytes.len(), rows.concat().len());
        format!("{} {rows:?} {:?} {:?}", of.output, of.origin, of.timestamps)
    });
    let emitted: Vec<_> = emitted.collect();
    format!("{emitted:?} {:?}", out.poisoned)
}

fn same_by_batch_and_by_row<const PREFETCHED: bool>() {
    let words = [
        "a",
        "bb",
        "",
        "ccc",
        "ccc!",
        "\u{fffd}",
        "row by row",
        "dddd",
        "!",
    ];
    let mut seed = 7_u64;
    let mut below = |n: usize| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (seed >> 33) as usize % n
    };
    let mut by_batch = Harness::open::<Longest<PREFETCHED>, _>("null").unwrap();
    let mut by_row = Harness::open::<Longest<PREFETCHED>, _>("null").unwrap();
    by_row.row_by_row();
    let (mut refused, mut went) = (0, 0);
    for _ in 0..600 {
        let mut rows: Vec<Input> = (0..below(9))
            .map(|_| {
                let word = words[below(words.len())].as_bytes();
                // One that is no text.
                let word = if word == "\u{fffd}".as_bytes() {
                    b"\xff"
                } else {
                    word
                };
                Input::row(word).key([[below(4) as u8]]).at(below(5) as i64)
            })
            .collect();
        while !rows.is_empty() {
            let outs = [&mut by_batch, &mut by_row].map(|harness| {
                let out = harness.batch(0, rows.clone()).unwrap();
                (shown(&out), out.poisoned, harness.metric("rows"))
            });
            assert_eq!(outs[0], outs[1]);
            for state in ["longest", "changes"] {
                assert_eq!(by_batch.held(state), by_row.held(state));
            }
            // The host goes on behind the row that is refused.
            let behind = match &outs[0].1 {
                Some((row, _)) => *row + 1,
                None => rows.len(),
            };
            (refused, went) = (refused + usize::from(behind < rows.len()), went + behind);
            rows.drain(..behind);
        }
    }
    assert!(refused > 100 && went > 1000, "{refused} {went}");
}

#[test]
fn batches_come_to_what_their_rows_come_to_one_by_one() {
    same_by_batch_and_by_row::<false>();
    same_by_batch_and_by_row::<true>();
}

#[test]
fn only_what_was_changed_is_written() {
    let row = |key: &str, row: &str| Input::row(row).key([key]);
    let imports = |of: &Harness| {
        let mut imports = of.imports();
        imports.retain(|import| import.starts_with("value"));
        imports
    };
    let mut longest = Harness::open::<Longest<true>, _>("null").unwrap();
    // All keys of both states: they go back with the call.
    longest.batch(0, [row("a", "x"), row("b", "x")]).unwrap();
    assert!(imports(&longest).is_empty());
    longest.batch(0, [row("a", "xy"), row("b", "x")]).unwrap();
    assert_eq!(imports(&longest), ["value-put", "value-put"]);
    longest.batch(0, [row("a", "x"), row("b", "x")]).unwrap();
    assert!(imports(&longest).is_empty());
    // What is not prefetched is asked for once, for all keys, and may not go back with the call.
    let mut longest = Harness::open::<Longest<false>, _>("null").unwrap();
    longest.batch(0, [row("a", "x"), row("b", "x")]).unwrap();
    assert_eq!(
        imports(&longest),
        ["value-get", "value-get", "value-put", "value-put"]
    );
}

/// What a [`Process`] does with a batch, which its configuration names.
#[derive(Default)]
struct Told(String);

impl Process for Told {
    type In = String;
    type Out = String;

    fn open(&mut self, env: Env) -> Result<()> {
        self.0 = env.config();
        Ok(())
    }

    fn process(&mut self, row: Row<String>, ctx: &mut Ctx<String>) -> Result<()> {
        ctx.emit(row.value)
    }

    fn process_batch(
        &mut self,
        batch: &InputBatch<String>,
        ctx: &mut BatchCtx<String>,
    ) -> Result<Batched> {
        let rows = batch.len();
        let each = |rows: usize| (0..rows).map(|row| Ok(row.to_string()));
        match self.0.as_str() {
            "few" => ctx.emit_each(each(rows - 1))?,
            "many" => ctx.emit_each(each(rows + 1))?,
            "endless" => ctx.emit_each(iter::repeat_with(|| Ok("x")))?,
            "endless none" => ctx.emit_some(iter::repeat_with(|| Ok(None::<&str>)))?,
            "some, few" => ctx.emit_some(each(rows - 1).map(|row| row.map(Some)))?,
            "some, many" => ctx.emit_some(each(rows + 1).map(|row| row.map(Some)))?,
            "behind" => (0..2).rev().try_for_each(|row| ctx.emit(row, "x"))?,
            "passed" => (0..2).rev().try_for_each(|row| ctx.pass(row))?,
            "copied, passed" => {
                ctx.emit(1, "x")?;
                ctx.pass(0)?;
            }
            "beyond" => ctx.emit(rows, "x")?,
            "empty beyond" => ctx.main(rows).emit("")?,
            "far beyond" => ctx.main(u32::MAX as usize).emit("")?,
            "handled" => {
                // Values of which one fails, or fails when a part of it is written, and what the
                // author does then.
                let values = [Ok("a".to_owned()), Err(Error::new("no more"))];
                assert!(ctx.emit_each(values).is_err());
                assert!(ctx.emit(0, Broken).is_err());
                ctx.emit(1, "x")?;
            }
            "passed beyond" => ctx.pass(rows)?,
            "twice" => {
                ctx.emit(0, "x")?;
                ctx.emit_each(each(rows))?;
            }
            "again" => {
                ctx.pass(0)?;
                ctx.emit(0, "x")?;
                ctx.emit(0, "y")?;
                ctx.pass(2)?;
            }
            "failing" => {
                let values = each(1).chain([Err(Error::new("not this one"))]);
                ctx.emit_each(values)?;
            }
            _ => ctx.emit_each(each(rows))?,
        }
        Ok(Batched::Done)
    }
}

#[test]
fn rows_go_out_in_order_and_what_does_not_is_told() {
    let told = |config: &str| {
        let mut told = Harness::open::<Told, _>(config).unwrap();
        told.rows(["a", "b", "c"]).map(|out| shown(&out))
    };
    let shown = |rows: &[&str], origin: &[u32]| {
        let rows: Vec<_> = rows.iter().map(|row| row.as_bytes()).collect();
        let one = format!("0 {rows:?} {origin:?} []");
        format!("{:?} None", [one])
    };
    assert_eq!(told("each").unwrap(), shown(&["0", "1", "2"], &[]));
    assert_eq!(
        told("again").unwrap(),
        shown(&["a", "x", "y", "c"], &[0, 0, 0, 2])
    );
    for config in [
        "few",
        "many",
        "twice",
        "endless",
        "endless none",
        "some, few",
        "some, many",
    ] {
        let error = told(config).unwrap_err();
        assert!(error.contains("a value for each of the 3 rows"), "{error}");
    }
    for config in [
        "empty beyond",
        "far beyond",
        "behind",
        "passed",
        "copied, passed",
        "beyond",
        "passed beyond",
    ] {
        let error = told(config).unwrap_err();
        assert!(
            error.contains("in the order of the rows of the batch"),
            "{error}"
        );
    }
    assert_eq!(told("handled").unwrap(), shown(&["x"], &[1]));
    let mut one = Harness::open::<Told, _>("empty beyond").unwrap();
    assert!(one.rows(["a"]).is_err());
    // Where it is no fatal error, it is for each row to say.
    assert_eq!(told("failing").unwrap(), shown(&["a", "b", "c"], &[]));
}

/// A row that fails when a part of it is written.
struct Broken;

impl crate::EncodeAs<String> for Broken {
    fn encode_as(&self, out: &mut Vec<u8>) -> Result<()> {
        out.extend_from_slice(b"bro");
        Err(Error::new("broken"))
    }
}

/// A number that says its width and does not fill its place by itself, and writes one byte more
/// where it is 9.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Slow(u8);

impl StateCodec for Slow {
    const WIDTH: Option<usize> = Some(1);

    fn format() -> String {
        "slow".to_owned()
    }

    fn encode(&self, out: &mut Vec<u8>) -> Result<()> {
        out.push(self.0);
        if self.0 == 9 {
            out.push(0);
        }
        Ok(())
    }

    fn decode(bytes: &[u8]) -> Result<Self> {
        bytes
            .first()
            .map(|byte| Self(*byte))
            .ok_or_else(|| Error::new("empty"))
    }
}

#[derive(Default)]
struct Slowly;

impl Process for Slowly {
    type In = Binary<Slow>;
    type Out = Binary<Slow>;

    fn process(&mut self, row: Row<Binary<Slow>>, ctx: &mut Ctx<Binary<Slow>>) -> Result<()> {
        ctx.emit(row.value)
    }

    fn process_batch(
        &mut self,
        batch: &InputBatch<Binary<Slow>>,
        ctx: &mut BatchCtx<Binary<Slow>>,
    ) -> Result<Batched> {
        ctx.emit_each(batch.rows().map(|row| Ok(row?.value)))?;
        Ok(Batched::Done)
    }
}

#[test]
fn values_that_do_not_fill_their_place_are_encoded() {
    let mut slowly = Harness::open::<Slowly, _>("null").unwrap();
    let out = slowly.rows([[1], [2]]).unwrap();
    assert_eq!(out.binary::<Slow>().unwrap(), [Slow(1), Slow(2)]);
    let error = slowly.rows([[1], [9]]).map(|out| shown(&out)).unwrap_err();
    assert!(
        error.contains("the `WIDTH` of its type is wrong"),
        "{error}"
    );
}

/// Keeps the last number of each key, which does not fill its place.
#[derive(Default)]
struct Last {
    last: Value<Slow>,
}

impl KeyedProcess for Last {
    type In = Binary<Slow>;
    type Out = Binary<Slow>;

    fn describe(&mut self, d: &mut KeyedDescribe) {
        d.value("last", &mut self.last).prefetch();
    }

    fn process(&mut self, row: Row<Self::In>, ctx: &mut Ctx<Self::Out>) -> Result<()> {
        if let Some(last) = self.last.get()? {
            ctx.emit(*last)?;
        }
        self.last.set(row.value)
    }
}

#[test]
fn values_of_state_that_do_not_fill_their_place_are_encoded() {
    let mut last = Harness::open::<Last, _>("null").unwrap();
    let out = last.keyed([("a", [1]), ("b", [2])]).unwrap();
    assert!(out.emitted.is_empty());
    let out = last.keyed([("b", [4]), ("a", [3])]).unwrap();
    assert_eq!(out.binary::<Slow>().unwrap(), [Slow(2), Slow(1)]);
}

/// Uses what it may not, as its rows say.
#[derive(Default)]
struct Misuse {
    value: Value<u64>,
    map: Map<String, u64>,
}

impl KeyedProcess for Misuse {
    type In = String;
    type Out = String;

    fn describe(&mut self, d: &mut KeyedDescribe) {
        d.value("value", &mut self.value);
        d.map("map", &mut self.map);
    }

    fn process(&mut self, _row: Row<String>, _ctx: &mut Ctx<String>) -> Result<()> {
        self.value.of_keys().map(|_| ())
    }

    fn process_batch(
        &mut self,
        batch: &InputBatch<String>,
        _ctx: &mut BatchCtx<String>,
    ) -> Result<Batched> {
        for row in batch.rows() {
            match row?.value {
                "value" => self.value.set(1)?,
                "value behind all" => {
                    self.value.of_keys()?.set(0, 7);
                    self.value.set(1)?;
                }
                "map" => self.map.put("x", 1)?,
                _ => return Ok(Batched::RowByRow),
            }
        }
        Ok(Batched::Done)
    }
}

#[test]
fn state_that_a_batch_cannot_use_is_named() {
    let mut misuse = Harness::open::<Misuse, _>("null").unwrap();
    for (row, part) in [
        (
            "value",
            "state `value`: a function for batches can use no keyed state",
        ),
        (
            "value behind all",
            "state `value`: a function for batches can use no keyed state",
        ),
        (
            "map",
            "state `map`: a function for batches can use no keyed state",
        ),
        (
            "row",
            "state `value`: `of_keys` can be used only in a function for batches",
        ),
    ] {
        let error = misuse
            .keyed([("k", row)])
            .map(|out| shown(&out))
            .unwrap_err();
        assert!(error.contains(part), "{error}");
    }
}

/// Says how many keys a batch has.
#[derive(Default)]
struct Keys;

impl Process for Keys {
    type In = String;
    type Out = String;

    fn describe(&mut self, d: &mut Describe) {
        d.inputs(2);
    }

    fn process(&mut self, _row: Row<String>, _ctx: &mut Ctx<String>) -> Result<()> {
        Err(Error::new("not by row"))
    }

    fn process_batch(
        &mut self,
        batch: &InputBatch<String>,
        ctx: &mut BatchCtx<String>,
    ) -> Result<Batched> {
        let keys = batch.keys()?;
        let names: Vec<_> = keys.iter().map(|key| key.to_string()).collect();
        let (input, is_empty) = (batch.input(), keys.is_empty());
        ctx.emit(
            0,
            format_args!("{input} {names:?} {:?} {is_empty}", keys.of_rows()),
        )?;
        Ok(Batched::Done)
    }
}

#[test]
fn keys_are_numbered_and_there_may_be_none() {
    let mut keys = Harness::open::<Keys, _>("null").unwrap();
    let rows = ["b", "a", "b"].map(|key| Input::row("x").key([key]));
    assert_eq!(
        keys.batch(1, rows).unwrap().main(),
        ["1 [\"b\", \"a\"] [0, 1, 0] false"]
    );
    assert_eq!(keys.rows(["x"]).unwrap().main(), ["0 [] [] true"]);
}

/// Adds up numbers by batch; a row of input 1, which is a broadcast input, is told.
#[derive(Default)]
struct Sums {
    sum: Value<u64>,
    other: Value<String>,
}

impl KeyedProcess for Sums {
    type In = String;
    type Out = String;

    fn describe(&mut self, d: &mut KeyedDescribe) {
        d.value("sum", &mut self.sum).ttl_with(
            std::time::Duration::from_secs(60),
            crate::TtlOptions {
                return_expired: true,
                ..Default::default()
            },
        );
        d.value("other", &mut self.other);
        d.inputs(2);
        d.broadcast_input(1);
    }

    fn process(&mut self, row: Row<String>, ctx: &mut Ctx<String>) -> Result<()> {
        match row.value {
            "by row" => self.other.set("x".to_owned())?,
            "told" => return ctx.emit("told"),
            _ => {}
        }
        let sum = self.sum.get()?.copied().unwrap_or(0) + 1;
        self.sum.set(sum)?;
        ctx.emit(format_args!("{sum} by row"))
    }

    fn process_batch(
        &mut self,
        batch: &InputBatch<String>,
        ctx: &mut BatchCtx<String>,
    ) -> Result<Batched> {
        assert_eq!(batch.input(), 0);
        self.other.of_keys()?;
        let mut sum = self.sum.of_keys()?;
        sum.set(0, 1000);
        ctx.emit_each((0..batch.len()).map(|_| Ok("by batch")))?;
        Ok(Batched::Done)
    }
}

#[test]
fn what_a_batch_cannot_have_is_left_to_its_rows() {
    // To read such a state is an access, and a row of a broadcast input has no key.
    let mut sums = Harness::open::<Sums, _>("null").unwrap();
    let out = sums.keyed([("a", "x"), ("a", "x")]).unwrap();
    assert_eq!(out.main(), ["1 by row", "2 by row"]);
    assert_eq!(sums.broadcast(["told"]).unwrap().main(), ["told"]);
}

/// Replaces a number, or reads it.
#[derive(Default)]
struct Numbers {
    text: Value<String>,
    number: Value<u64>,
}

impl KeyedProcess for Numbers {
    type In = String;
    type Out = String;

    fn describe(&mut self, d: &mut KeyedDescribe) {
        d.value("text", &mut self.text);
        d.value("number", &mut self.number);
    }

    fn process(&mut self, row: Row<String>, ctx: &mut Ctx<String>) -> Result<()> {
        match row.value {
            "text" => self.text.set("no number".to_owned())?,
            "read" => drop(self.number.get()?),
            _ => self.number.set(1)?,
        }
        ctx.emit("by row")
    }

    fn process_batch(
        &mut self,
        batch: &InputBatch<String>,
        ctx: &mut BatchCtx<String>,
    ) -> Result<Batched> {
        if batch
            .rows()
            .any(|row| row.is_ok_and(|row| row.value == "text"))
        {
            return Ok(Batched::RowByRow);
        }
        let mut numbers = self.number.of_keys()?;
        numbers.set(0, 1);
        ctx.emit_each((0..batch.len()).map(|_| Ok("by batch")))?;
        Ok(Batched::Done)
    }
}

#[test]
fn what_cannot_be_decoded_hurts_only_the_row_that_reads_it() {
    let mut numbers = Harness::open::<Numbers, _>("null").unwrap();
    numbers.keyed([("a", "text")]).unwrap();
    numbers.copy_state("text", "number");
    let error = numbers.keyed([("a", "read")]).map(|out| shown(&out));
    assert!(error.unwrap_err().contains("state `number` cannot be read"));
    assert_eq!(numbers.keyed([("a", "set")]).unwrap().main(), ["by row"]);
    assert_eq!(numbers.keyed([("a", "set")]).unwrap().main(), ["by batch"]);
}

/// Emits numbers, which have a fixed width: not as many as there are rows.
#[derive(Default)]
struct Miscounted(String);

impl Process for Miscounted {
    type In = String;
    type Out = Binary<u64>;

    fn open(&mut self, env: Env) -> Result<()> {
        self.0 = env.config();
        Ok(())
    }

    fn process(&mut self, _row: Row<String>, ctx: &mut Ctx<Binary<u64>>) -> Result<()> {
        ctx.emit(0)
    }

    fn process_batch(
        &mut self,
        batch: &InputBatch<String>,
        ctx: &mut BatchCtx<Binary<u64>>,
    ) -> Result<Batched> {
        let rows = batch.len() as u64;
        match self.0.as_str() {
            "few" => ctx.emit_each((1..rows).map(Ok))?,
            "many" => ctx.emit_each((0..=rows).map(Ok))?,
            "endless" => ctx.emit_each(iter::repeat_with(|| Ok(7)))?,
            "some, few" => ctx.emit_some((1..rows).map(|number| Ok(Some(number))))?,
            "some, many" => ctx.emit_some((0..=rows).map(|number| Ok(Some(number))))?,
            "some, endless" => ctx.emit_some(iter::repeat_with(|| Ok(Some(7))))?,
            _ => ctx.emit_some(iter::repeat_with(|| Ok(None::<u64>)))?,
        }
        Ok(Batched::Done)
    }
}

#[test]
fn numbers_that_are_not_as_many_as_the_rows_are_refused() {
    for config in [
        "few",
        "many",
        "endless",
        "some, few",
        "some, many",
        "some, endless",
        "none, endless",
    ] {
        let mut told = Harness::open::<Miscounted, _>(config).unwrap();
        let error = told.rows(["a", "b", "c"]).map(|_| ()).unwrap_err();
        assert!(error.contains("a value for each of the 3 rows"), "{error}");
    }
}

/// Tells the number that is kept of a key, and keeps that of the row, or nothing where it is odd.
#[derive(Default)]
struct Kept {
    number: Value<u32>,
}

impl KeyedProcess for Kept {
    type In = Binary<u32>;
    type Out = String;

    fn describe(&mut self, d: &mut KeyedDescribe) {
        d.value("number", &mut self.number).prefetch();
    }

    fn process(&mut self, row: Row<Self::In>, ctx: &mut Ctx<String>) -> Result<()> {
        ctx.emit(format_args!("{:?}", self.number.get()?))?;
        match row.value % 2 {
            0 => self.number.set(row.value),
            _ => self.number.clear(),
        }
    }

    fn process_batch(
        &mut self,
        batch: &InputBatch<Self::In>,
        ctx: &mut BatchCtx<String>,
    ) -> Result<Batched> {
        let keys = batch.keys()?;
        let mut numbers = self.number.of_keys()?;
        for ((number, row), &key) in batch.rows().enumerate().zip(keys.of_rows()) {
            let (row, key) = (row?.value, key as usize);
            ctx.emit(number, format_args!("{:?}", numbers.get(key)))?;
            match row % 2 {
                0 => numbers.set(key, row),
                _ => numbers.clear(key),
            }
        }
        Ok(Batched::Done)
    }
}

#[test]
fn numbers_of_which_some_go_are_written_with_the_call() {
    for by_row in [false, true] {
        let mut kept = Harness::open::<Kept, _>("null").unwrap();
        if by_row {
            kept.row_by_row();
        }
        let mut told = |numbers: [u32; 5]| {
            let rows = numbers.into_iter().zip("abcde".chars());
            let rows = rows.map(|(row, key)| Input::row(row.to_le_bytes()).key([key.to_string()]));
            let out = kept.batch(0, rows).unwrap();
            assert_eq!(kept.was_whole(), !by_row);
            (out.main().join(" "), kept.held("number"))
        };
        let none = "None None None None None".to_owned();
        assert_eq!(told([1, 2, 3, 4, 5]), (none, 2));
        let all = "None Some(2) None Some(4) None".to_owned();
        assert_eq!(told([6, 8, 10, 11, 13]), (all, 3));
        let all = "Some(6) Some(8) Some(10) None None".to_owned();
        assert_eq!(told([2, 4, 6, 8, 10]), (all, 5));
        let all = "Some(2) Some(4) Some(6) Some(8) Some(10)".to_owned();
        assert_eq!(told([1, 3, 5, 7, 9]), (all, 0));
        // They go back with the call, and are not put by a call of their own.
        assert!(!kept.imports().contains(&"value-put"));
    }
}
