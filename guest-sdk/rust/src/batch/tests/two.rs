//! Batches of operators with two inputs, with rules, and timers by batch: they come to what their
//! rows come to one by one.

use super::{Said, said, shown};
use crate::testing::{Harness, Input};
use crate::{
    BatchCtx, Batched, Broadcast, BroadcastProcess, CoProcess, Ctx, Describe, Error, InputBatch,
    KeyedBroadcastProcess, KeyedCoProcess, KeyedDescribe, Result, Row, Timer, Timers, Value, bail,
};

const SET_EVENT: u32 = 0;
const DELETE_EVENT: u32 = 1;
const SET_PROCESSING: u32 = 2;
const DELETE_PROCESSING: u32 = 3;
const REFUSE: u32 = 4;
const BY_ROW: u32 = 5;
const FATAL: u32 = 6;

/// Rows of the first input say which timers are set and deleted; those of the second, texts, are
/// told with what the first one said last.
#[derive(Default)]
struct Both {
    last: Value<u64>,
    timers: Timers,
}

impl KeyedCoProcess for Both {
    type First = Said;
    type Second = String;
    type Out = String;

    fn describe(&mut self, d: &mut KeyedDescribe) {
        d.value("last", &mut self.last).prefetch();
        d.timers(&mut self.timers);
    }

    fn process_first(&mut self, row: Row<Said>, _ctx: &mut Ctx<String>) -> Result<()> {
        let (at, deed) = row.value;
        self.last.set(at)?;
        let at = at as i64;
        match deed {
            SET_EVENT => self.timers.set_event(at),
            DELETE_EVENT => self.timers.delete_event(at),
            SET_PROCESSING => self.timers.set_processing(at),
            DELETE_PROCESSING => self.timers.delete_processing(at),
            REFUSE => {
                self.timers.set_event(at)?;
                Err(Error::new("refused"))
            }
            _ => Ok(()),
        }
    }

    fn process_first_batch(
        &mut self,
        batch: &InputBatch<Said>,
        _ctx: &mut BatchCtx<String>,
    ) -> Result<Batched> {
        assert_eq!(batch.input(), 0);
        let keys = batch.keys()?;
        let mut last = self.last.of_keys()?;
        let mut timers = self.timers.of_keys()?;
        for (row, &key) in batch.rows().zip(keys.of_rows()) {
            let ((at, deed), key) = (row?.value, key as usize);
            last.set(key, at);
            let at = at as i64;
            match deed {
                SET_EVENT => timers.set_event(key, at),
                DELETE_EVENT => timers.delete_event(key, at),
                SET_PROCESSING => timers.set_processing(key, at),
                DELETE_PROCESSING => timers.delete_processing(key, at),
                REFUSE => {
                    timers.set_event(key, at);
                    bail!("refused");
                }
                FATAL => {
                    timers.set_event(key, at);
                    return Err(Error::fatal("no more"));
                }
                _ => {
                    // None of this counts.
                    timers.set_event(key, at);
                    return Ok(Batched::RowByRow);
                }
            }
        }
        Ok(Batched::Done)
    }

    fn process_second(&mut self, row: Row<String>, ctx: &mut Ctx<String>) -> Result<()> {
        let last = self.last.get()?.copied().unwrap_or(0);
        ctx.emit(format_args!("{last} {}", row.value))
    }

    fn process_second_batch(
        &mut self,
        batch: &InputBatch<String>,
        ctx: &mut BatchCtx<String>,
    ) -> Result<Batched> {
        assert_eq!(batch.input(), 1);
        let keys = batch.keys()?;
        let last = self.last.of_keys()?;
        ctx.emit_each(batch.rows().zip(keys.of_rows()).map(|(row, &key)| {
            let last = last.get(key as usize).copied().unwrap_or(0);
            Ok(format!("{last} {}", row?.value))
        }))?;
        Ok(Batched::Done)
    }

    fn on_timer(&mut self, timer: Timer, ctx: &mut Ctx<String>) -> Result<()> {
        ctx.emit(format_args!("{:?} {} {}", timer.kind, timer.at, ctx.key()))
    }
}

crate::operator!(Both, timed);

/// What rows of an input gave, which is the same both ways, until all have had their turn; and how
/// often a call was one batch.
fn same(both: &mut [Harness; 2], input: u32, mut rows: Vec<Input>) -> usize {
    let mut whole = 0;
    while !rows.is_empty() {
        let outs = both
            .each_mut()
            .map(|of| of.batch(input, rows.clone()).unwrap());
        assert_eq!(shown(&outs[0]), shown(&outs[1]));
        assert_eq!(both[0].timers(), both[1].timers());
        assert_eq!(both[0].held("last"), both[1].held("last"));
        assert!(!both[1].was_whole());
        whole += usize::from(both[0].was_whole());
        let refused = outs[0].poisoned.as_ref();
        rows.drain(..refused.map_or(rows.len(), |(row, _)| *row + 1));
    }
    whole
}

#[test]
fn two_inputs_and_timers_by_batch_come_to_what_they_come_to_row_by_row() {
    let mut seed = 7_u64;
    let mut below = |n: u64| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (seed >> 33) % n
    };
    let mut both = [(); 2].map(|()| Harness::open::<Both, _>("null").unwrap());
    both[1].row_by_row();
    let (mut whole, mut fired) = (0, 0);
    for round in 0..400 {
        let first = (0..below(12)).map(|_| {
            // What ends a batch is rare.
            let deed = match below(30) {
                0 => REFUSE,
                1 => BY_ROW,
                deed => deed as u32 % REFUSE,
            };
            said(below(4) as u8, round * 3 + below(20), deed)
        });
        let first = first.collect();
        whole += same(&mut both, 0, first);
        let text = |key: u64| match key {
            // One that is no text.
            9 => Input::row([0xff]).key([[1]]),
            _ => Input::row("text").key([[key as u8 % 4]]),
        };
        let second = (0..below(6)).map(|_| text(below(10))).collect();
        whole += same(&mut both, 1, second);
        if below(3) == 0 {
            let outs = both
                .each_mut()
                .map(|of| of.advance_watermark(round as i64 * 3).unwrap());
            fired += outs[0].main().len();
            assert_eq!(shown(&outs[0]), shown(&outs[1]));
        }
    }
    assert!(whole > 200 && fired > 300, "{whole} {fired}");
}

#[test]
fn of_a_call_that_fails_no_timer_is_left() {
    let mut both = Harness::open::<Both, _>("null").unwrap();
    let rows = [said(1, 5, SET_EVENT), said(2, 6, FATAL)];
    assert!(both.batch(0, rows).is_err());
    both.batch(0, [said(3, 7, SET_EVENT)]).unwrap();
    let at: Vec<i64> = both.timers().iter().map(|(_, at, _)| *at).collect();
    assert_eq!(at, [7]);
}

#[test]
fn timers_by_batch_are_handed_over_once() {
    let mut both = Harness::open::<Both, _>("null").unwrap();
    let rows = [(1, 5), (2, 5), (1, 5), (1, 6)].map(|(key, at)| said(key, at, SET_EVENT));
    both.batch(0, rows).unwrap();
    assert!(both.was_whole());
    assert_eq!(both.imports(), ["timers.register"]);
    assert_eq!(both.timers().len(), 3);
    // Of each timer the last word counts.
    let deeds = [DELETE_EVENT, SET_EVENT, DELETE_EVENT];
    both.batch(0, deeds.map(|deed| said(1, 5, deed))).unwrap();
    assert_eq!(both.imports(), ["timers.delete"]);
    assert_eq!(both.timers().len(), 2);
}

/// Uses its timers where they cannot be used so.
#[derive(Default)]
struct Misused {
    timers: Timers,
}

impl KeyedCoProcess for Misused {
    type First = String;
    type Second = String;
    type Out = String;

    fn describe(&mut self, d: &mut KeyedDescribe) {
        d.timers(&mut self.timers);
    }

    fn process_first(&mut self, _row: Row<String>, _ctx: &mut Ctx<String>) -> Result<()> {
        self.timers.of_keys().map(|_| ())
    }

    fn process_second(&mut self, row: Row<String>, ctx: &mut Ctx<String>) -> Result<()> {
        ctx.emit(row.value)
    }

    fn process_second_batch(
        &mut self,
        _batch: &InputBatch<String>,
        _ctx: &mut BatchCtx<String>,
    ) -> Result<Batched> {
        self.timers.set_event(5)?;
        Ok(Batched::Done)
    }

    fn on_timer(&mut self, _timer: Timer, _ctx: &mut Ctx<String>) -> Result<()> {
        Ok(())
    }
}

#[test]
fn timers_that_are_used_in_the_wrong_place_say_what_to_use() {
    for (input, part) in [
        (0, "`of_keys` can be used only in a function for batches"),
        (1, "set and deleted by `Timers::of_keys`"),
    ] {
        let mut misused = Harness::open::<Misused, _>("null").unwrap();
        let error = misused.batch(input, [Input::row("x").key(["a"])]);
        let error = error.unwrap_err();
        assert!(error.contains(part), "{error}");
    }
}

/// Rows are texts of one input and numbers of the other; one of them has a function for batches
/// that takes its rows.
#[derive(Default)]
struct Plain<const BATCHED: u32>;

impl<const BATCHED: u32> CoProcess for Plain<BATCHED> {
    type First = String;
    type Second = u64;
    type Out = String;

    fn process_first(&mut self, row: Row<String>, ctx: &mut Ctx<String>) -> Result<()> {
        ctx.emit(row.value)
    }

    fn process_first_batch(
        &mut self,
        batch: &InputBatch<String>,
        ctx: &mut BatchCtx<String>,
    ) -> Result<Batched> {
        if BATCHED != batch.input() {
            return Ok(Batched::RowByRow);
        }
        (0..batch.len()).try_for_each(|row| ctx.pass(row))?;
        Ok(Batched::Done)
    }

    fn process_second(&mut self, row: Row<u64>, ctx: &mut Ctx<String>) -> Result<()> {
        ctx.emit(format_args!("number {}", row.value))
    }

    fn process_second_batch(
        &mut self,
        batch: &InputBatch<u64>,
        ctx: &mut BatchCtx<String>,
    ) -> Result<Batched> {
        if BATCHED != batch.input() {
            return Ok(Batched::RowByRow);
        }
        let numbers = batch.rows().map(|row| Ok(format!("number {}", row?.value)));
        ctx.emit_each(numbers)?;
        Ok(Batched::Done)
    }
}

#[test]
fn one_of_two_inputs_may_go_by_batch() {
    for (batched, mut plain) in [
        (0, Harness::open::<Plain<0>, _>("null").unwrap()),
        (1, Harness::open::<Plain<1>, _>("null").unwrap()),
    ] {
        let out = plain.batch(0, ["a", "b"].map(Input::row)).unwrap();
        assert_eq!(out.main(), ["a", "b"]);
        assert_eq!(plain.was_whole(), batched == 0);
        let out = plain.batch(1, ["7", "8"].map(Input::row)).unwrap();
        assert_eq!(out.main(), ["number 7", "number 8"]);
        assert_eq!(plain.was_whole(), batched == 1);
    }
}

/// Looks words up in what the rows of the second input have said, `word=meaning`.
#[derive(Default)]
struct Meanings {
    meanings: Broadcast<String, String>,
}

impl BroadcastProcess for Meanings {
    type In = String;
    type BroadcastIn = String;
    type Out = String;

    fn describe(&mut self, d: &mut Describe) {
        d.broadcast("meanings", &mut self.meanings);
    }

    fn process(&mut self, row: Row<String>, ctx: &mut Ctx<String>) -> Result<()> {
        match self.meanings.get(row.value)? {
            Some(meaning) => ctx.emit(meaning),
            None => bail!("no meaning"),
        }
    }

    fn process_batch(
        &mut self,
        batch: &InputBatch<String>,
        ctx: &mut BatchCtx<String>,
    ) -> Result<Batched> {
        assert_eq!(batch.input(), 0);
        for (number, row) in batch.rows().enumerate() {
            match self.meanings.get(row?.value)? {
                Some(meaning) => ctx.emit(number, meaning)?,
                None => bail!("no meaning"),
            }
        }
        Ok(Batched::Done)
    }

    fn process_broadcast(&mut self, row: Row<String>, _ctx: &mut Ctx<String>) -> Result<()> {
        match row.split_once('=') {
            Some((word, meaning)) => self.meanings.put(word, meaning.to_owned()),
            None => bail!("no rule"),
        }
    }
}

#[test]
fn broadcast_state_is_looked_up_by_batch_and_written_row_by_row() {
    let mut both = [(); 2].map(|()| Harness::open::<Meanings, _>("null").unwrap());
    both[1].row_by_row();
    for meanings in &mut both {
        meanings.broadcast(["a=1", "b=2"]).unwrap();
        assert!(!meanings.was_whole());
    }
    let found = both.each_mut().map(|of| of.rows(["a", "b", "a"]).unwrap());
    assert_eq!(found[0].main(), ["1", "2", "1"]);
    assert_eq!(shown(&found[0]), shown(&found[1]));
    assert!(both[0].was_whole() && !both[1].was_whole());
    let missed = both.each_mut().map(|of| of.rows(["a", "c", "b"]).unwrap());
    assert_eq!(missed[0].poisoned, Some((1, "no meaning".to_owned())));
    assert_eq!(shown(&missed[0]), shown(&missed[1]));
    assert!(!both[0].was_whole());
    // There is no third input, by batch either.
    for meanings in &mut both {
        let error = meanings.batch(2, [Input::row("a")]).unwrap_err();
        assert!(error.contains("input 2 of 2"), "{error}");
    }
}

/// Numbers the rows of each key, from what the rows of the second input say on.
#[derive(Default)]
struct Numbered {
    from: Broadcast<u32, u64>,
    rows: Value<u64>,
}

impl KeyedBroadcastProcess for Numbered {
    type In = String;
    type BroadcastIn = u64;
    type Out = String;

    fn describe(&mut self, d: &mut KeyedDescribe) {
        d.broadcast("from", &mut self.from);
        d.value("rows", &mut self.rows).prefetch();
    }

    fn process(&mut self, row: Row<String>, ctx: &mut Ctx<String>) -> Result<()> {
        let from = self.from.get(0_u32)?.copied().unwrap_or(0);
        let number = self.rows.get()?.copied().unwrap_or(from);
        self.rows.set(number + 1)?;
        match row.value {
            "!" => Err(Error::new("refused")),
            _ => ctx.emit(number.to_string()),
        }
    }

    fn process_batch(
        &mut self,
        batch: &InputBatch<String>,
        ctx: &mut BatchCtx<String>,
    ) -> Result<Batched> {
        let keys = batch.keys()?;
        let from = self.from.get(0_u32)?.copied().unwrap_or(0);
        let mut rows = self.rows.of_keys()?;
        ctx.emit_each(batch.rows().zip(keys.of_rows()).map(|(row, &key)| {
            let number = rows.get(key as usize).copied().unwrap_or(from);
            rows.set(key as usize, number + 1);
            match row?.value {
                "!" => Err(Error::new("refused")),
                _ => Ok(number.to_string()),
            }
        }))?;
        Ok(Batched::Done)
    }

    fn process_broadcast(&mut self, row: Row<u64>, _ctx: &mut Ctx<String>) -> Result<()> {
        self.from.put(0_u32, row.value)
    }
}

#[test]
fn keyed_rows_meet_rules_and_their_state_by_batch() {
    for by_row in [false, true] {
        let mut numbered = Harness::open::<Numbered, _>("null").unwrap();
        if by_row {
            numbered.row_by_row();
        }
        let out = numbered.keyed([("a", ""), ("b", ""), ("a", "")]).unwrap();
        assert_eq!(out.main(), ["0", "0", "1"]);
        assert_eq!(numbered.was_whole(), !by_row);
        numbered.broadcast(["5"]).unwrap();
        let out = numbered.keyed([("a", ""), ("c", "")]).unwrap();
        assert_eq!(out.main(), ["2", "5"]);
        // What the batch did up to the row that fails is done once, by the rows before it.
        let out = numbered.keyed([("a", ""), ("a", "!")]).unwrap();
        assert_eq!(out.main(), ["3"]);
        assert_eq!(out.poisoned, Some((1, "refused".to_owned())));
        assert_eq!(numbered.keyed([("a", "")]).unwrap().main(), ["4"]);
    }
}
