//! Entries of maps by batch come to what they come to row by row.

use super::{Said, said, shown};
use crate::testing::{Harness, Input};
use crate::{
    BatchCtx, Batched, Counter, Ctx, Error, InputBatch, KeyedDescribe, KeyedProcess, Map, Result,
    Row, StateCodec, TtlOptions, column,
};

const FORGET: u32 = 1;
const REFUSE: u32 = 2;
const BY_ROW: u32 = 3;
/// Entries are named up to an error, which is let go.
const ERR: u32 = 4;
/// Entries are named once more in the middle of the batch.
const AGAIN: u32 = 5;

/// Counts how often each number was said of a key, by the number and by a text of it, which may be
/// long, and tells what was there before.
#[derive(Default)]
struct Counts {
    numbers: Map<u64, u32>,
    texts: Map<String, String>,
    batches: Counter,
}

fn text(number: u64) -> String {
    "long ".repeat(number as usize % 3) + &number.to_string()
}

impl KeyedProcess for Counts {
    type In = Said;
    type Out = String;

    fn describe(&mut self, d: &mut KeyedDescribe) {
        d.map("numbers", &mut self.numbers).prefetch();
        d.map("texts", &mut self.texts);
        d.counter("batches", &mut self.batches);
    }

    fn process(&mut self, row: Row<Said>, ctx: &mut Ctx<String>) -> Result<()> {
        let (number, deed) = row.value;
        let count = self.numbers.get(number)?.copied();
        let told = self.texts.get(text(number))?.cloned();
        ctx.emit(format_args!("{number} {count:?} {told:?}"))?;
        if deed == FORGET {
            self.numbers.remove(number)?;
            return self.texts.remove(text(number));
        }
        let count = count.unwrap_or(0) + 1;
        self.numbers.put(number, count)?;
        self.texts.put(text(number), format!("{count} times"))?;
        match deed {
            REFUSE => Err(Error::new("refused")),
            _ => Ok(()),
        }
    }

    fn process_batch(
        &mut self,
        batch: &InputBatch<Said>,
        ctx: &mut BatchCtx<String>,
    ) -> Result<Batched> {
        let rows: Vec<_> = batch.rows().map(|row| row.map(|row| row.value)).collect();
        let rows = rows.into_iter().collect::<Result<Vec<_>>>()?;
        let keys = batch.keys()?;
        let named = || rows.iter().zip(keys.of_rows());
        let by_number = named().map(|(row, &key)| Ok((key, row.0)));
        // Some are learned first, and so the others apart from them.
        self.numbers.of_entries(by_number.clone().take(1))?;
        let mut numbers = self.numbers.of_entries(by_number)?;
        // In two parts, of which the second finds what the first has written.
        let half = rows.len() / 2;
        for part in [0..half, half..rows.len()] {
            let by_text = named().map(|(row, &key)| Ok((key, text(row.0))));
            let by_text = by_text.skip(part.start).take(part.len());
            if rows[part.clone()].iter().any(|(_, deed)| *deed == ERR) {
                let failing = by_text.clone().chain([Err(Error::new("not named"))]);
                assert!(self.texts.of_entries(failing).is_err());
            }
            let mut texts = self.texts.of_entries(by_text)?;
            for (entry, number) in part.enumerate() {
                let (said, deed) = rows[number];
                let (count, told) = (numbers.get(number).copied(), texts.get(entry).cloned());
                ctx.emit(number, format_args!("{said} {count:?} {told:?}"))?;
                if deed == FORGET {
                    numbers.remove(number);
                    texts.remove(entry);
                    continue;
                }
                let count = numbers.get_mut(number).get_or_insert(0);
                *count += 1;
                texts.put(entry, format!("{count} times"));
                assert!(numbers.contains(number));
                match deed {
                    REFUSE => return Err(Error::new("refused")),
                    BY_ROW => return Ok(Batched::RowByRow),
                    _ => {}
                }
            }
        }
        self.batches.add(1);
        Ok(Batched::Done)
    }
}

#[test]
fn entries_by_batch_come_to_what_they_come_to_row_by_row() {
    let mut seed = 7_u64;
    let mut below = |n: u64| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (seed >> 33) % n
    };
    let mut by_batch = Harness::open::<Counts, _>("null").unwrap();
    let mut by_row = Harness::open::<Counts, _>("null").unwrap();
    by_row.row_by_row();
    let (mut refused, mut went, mut long) = (0, 0, 0);
    for round in 0..400 {
        // Some batches have few keys with many entries, which are found by a table.
        let (rows, keys, numbers) = match round % 4 {
            0 => (60, 1, 40),
            1 => (60, 2, 12),
            _ => (9, 4, 6),
        };
        let mut rows: Vec<Input> = (0..below(rows))
            .map(|_| {
                let deed = match below(60) {
                    0 => REFUSE,
                    1 => BY_ROW,
                    2..8 => FORGET,
                    8..10 => ERR,
                    _ => 0,
                };
                said(below(keys) as u8, below(numbers), deed)
            })
            .collect();
        while !rows.is_empty() {
            let batches = by_batch.metric("batches");
            let outs = [&mut by_batch, &mut by_row].map(|of| of.batch(0, rows.clone()).unwrap());
            let was_whole = by_batch.metric("batches") != batches;
            long += usize::from(was_whole && rows.len() > 30);
            assert_eq!(shown(&outs[0]), shown(&outs[1]));
            for state in ["numbers", "texts"] {
                assert_eq!(by_batch.held(state), by_row.held(state));
            }
            let behind = match &outs[0].poisoned {
                Some((row, _)) => *row + 1,
                None => rows.len(),
            };
            (refused, went) = (refused + usize::from(behind < rows.len()), went + behind);
            rows.drain(..behind);
        }
    }
    assert!(
        refused > 50 && went > 5000 && long > 10,
        "{refused} {went} {long}"
    );
    assert!(by_batch.metric("batches") > Some(200.0));
    assert!(
        by_row
            .metric("batches")
            .is_none_or(|batches| batches == 0.0)
    );
}

#[test]
fn the_host_is_asked_once_and_told_what_was_changed() {
    let mut counts = Harness::open::<Counts, _>("null").unwrap();
    let (get, put) = ("map-get", "map-put");
    // The second call has its entries apart, and puts them together for what is asked for next.
    for before in ["None None", r#"Some(1) Some("1 times")"#] {
        let rows = [said(1, 7, 0), said(1, 8, 0), said(2, 7, 0)];
        let out = counts.batch(0, rows).unwrap();
        let expected = [7, 8, 7].map(|number| format!("{number} {before}"));
        assert_eq!(out.main(), expected);
        // Both were asked for in two parts, and what was met before not again.
        assert_eq!(
            counts.imports(),
            [get, get, get, get, put, put, "counter-add"]
        );
        assert_eq!(counts.read(), 1 + 2 + 1 + 2);
    }
    let again = [said(1, 7, 0), said(1, 8, 0), said(1, 7, 0), said(1, 7, 0)];
    let out = counts.batch(0, again).unwrap();
    let last = r#"7 Some(4) Some("4 times")"#;
    assert_eq!(out.main()[3], last);
    // The first half was asked for, and the other one had nothing else.
    assert_eq!(counts.imports(), [get, get, get, put, put, "counter-add"]);
    assert_eq!(counts.read(), 1 + 1 + 2);
    assert_eq!((counts.held("numbers"), counts.held("texts")), (3, 3));
}

/// Counts as [`Counts`] does, asking once for all, or for all again in the middle; a text that was
/// said an even number of times is forgotten.
#[derive(Default)]
struct Once {
    numbers: Map<u64, u32>,
    texts: Map<String, u64>,
}

/// What comes of what was said often.
fn next(count: Option<u32>) -> u32 {
    count.unwrap_or(0) + 1
}

impl KeyedProcess for Once {
    type In = Said;
    type Out = String;

    fn describe(&mut self, d: &mut KeyedDescribe) {
        d.map("numbers", &mut self.numbers);
        d.map("texts", &mut self.texts);
    }

    fn process(&mut self, row: Row<Said>, ctx: &mut Ctx<String>) -> Result<()> {
        let (number, deed) = row.value;
        let count = self.numbers.get(number)?.copied();
        let told = self.texts.get(text(number))?.copied();
        ctx.emit(format_args!("{number} {count:?} {told:?}"))?;
        if deed == FORGET {
            return Ok(());
        }
        self.numbers.put(number, next(count))?;
        match next(count) % 2 {
            0 => self.texts.remove(text(number))?,
            _ => self.texts.put(text(number), number)?,
        }
        match deed {
            REFUSE => Err(Error::new("refused")),
            _ => Ok(()),
        }
    }

    fn process_batch(
        &mut self,
        batch: &InputBatch<Said>,
        ctx: &mut BatchCtx<String>,
    ) -> Result<Batched> {
        let rows: Vec<_> = batch.rows().map(|row| row.map(|row| row.value)).collect();
        let rows = rows.into_iter().collect::<Result<Vec<_>>>()?;
        let keys = batch.keys()?;
        let named = || rows.iter().zip(keys.of_rows());
        let middle = match rows.iter().any(|(_, deed)| *deed == AGAIN) {
            true => rows.len() / 2,
            false => rows.len(),
        };
        for part in [0..middle, middle..rows.len()] {
            if part.is_empty() {
                continue;
            }
            let by_number = named().map(|(row, &key)| Ok((key, row.0)));
            let mut numbers = self.numbers.of_entries(by_number)?;
            let by_text = named().map(|(row, &key)| Ok((key, text(row.0))));
            let mut texts = self.texts.of_entries(by_text)?;
            for at in part {
                let (number, deed) = rows[at];
                let (count, told) = (numbers.get(at).copied(), texts.get(at).copied());
                ctx.emit(at, format_args!("{number} {count:?} {told:?}"))?;
                if deed == FORGET {
                    continue;
                }
                let changed = numbers.get_mut(at);
                *changed = Some(next(*changed));
                match next(count) % 2 {
                    0 => texts.remove(at),
                    _ => texts.put(at, number),
                }
                match deed {
                    REFUSE => return Err(Error::new("refused")),
                    BY_ROW => return Ok(Batched::RowByRow),
                    _ => {}
                }
            }
        }
        Ok(Batched::Done)
    }
}

/// Few entries are named twice, and those are asked for twice.
#[test]
fn entries_of_which_few_are_named_twice_come_to_what_they_come_to_row_by_row() {
    let mut seed = 7_u64;
    let mut below = |n: u64| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (seed >> 33) % n
    };
    let mut by_batch = Harness::open::<Once, _>("null").unwrap();
    let mut by_row = Harness::open::<Once, _>("null").unwrap();
    by_row.row_by_row();
    let mut apart = 0;
    for _ in 0..64 {
        // Few are written in some batches, all in others.
        let few = below(2) * 8;
        let keys = 40 + below(40);
        let all = (0..keys).chain((0..keys / 10).map(|row| row % 2));
        let rows: Vec<Input> = all
            .map(|key| {
                let deed = if below(10) < few { FORGET } else { 0 };
                said(key as u8, below(3), deed)
            })
            .collect();
        let outs = [&mut by_batch, &mut by_row].map(|of| of.batch(0, rows.clone()).unwrap());
        assert_eq!(shown(&outs[0]), shown(&outs[1]));
        assert!(by_batch.was_whole());
        for state in ["numbers", "texts"] {
            assert_eq!(by_batch.held(state), by_row.held(state));
        }
        apart += usize::from(by_batch.read() == 2 * rows.len());
    }
    // Of each sixteen calls one looks at how many are named twice.
    assert_eq!(apart, 60);
}

/// What was written before a call asks again, or goes row by row, or is refused.
#[test]
fn what_is_asked_for_by_itself_is_known_to_all_that_the_call_asks_for_behind_it() {
    let mut seed = 7_u64;
    let mut below = |n: u64| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (seed >> 33) % n
    };
    let mut twice = 0;
    for first in 0..120 {
        let mut by_batch = Harness::open::<Once, _>("null").unwrap();
        let mut by_row = Harness::open::<Once, _>("null").unwrap();
        by_row.row_by_row();
        // The first call looks at how many are named twice; what asks again, asks for all at once
        // from then on.
        for round in 0..4 {
            let keys = 20 + below(9);
            let all = (0..keys).chain(0..2).map(|key| (key, below(3)));
            let all: Vec<_> = all.collect();
            let deed = match (round, first % 3) {
                (1, 0) | (3, _) => AGAIN,
                (1, 1) => REFUSE,
                (1, 2) => BY_ROW,
                _ => 0,
            };
            let at = below(all.len() as u64) as usize;
            let deeds = (0..).map(|row| if row == at { deed } else { 0 });
            let rows = all.iter().zip(deeds);
            let mut rows: Vec<Input> = rows
                .map(|(&(key, number), deed)| said(key as u8, number, deed))
                .collect();
            while !rows.is_empty() {
                let outs =
                    [&mut by_batch, &mut by_row].map(|of| of.batch(0, rows.clone()).unwrap());
                assert_eq!(shown(&outs[0]), shown(&outs[1]));
                for state in ["numbers", "texts"] {
                    assert_eq!(by_batch.held(state), by_row.held(state));
                }
                let behind = outs[0]
                    .poisoned
                    .as_ref()
                    .map_or(rows.len(), |(row, _)| row + 1);
                rows.drain(..behind);
            }
            twice += usize::from(deed == AGAIN && by_batch.was_whole());
        }
    }
    assert_eq!(twice, 160);
}

/// A set. `WAY` is how it is declared and used.
#[derive(Default)]
struct Seen<const WAY: u8> {
    seen: Map<u64, u32>,
    other: Map<u64, String>,
}

/// To read the set is an access.
const ACCESS: u8 = 1;
/// Entries are asked for of a key that there is not, where this number was said.
const OTHER_KEY: u8 = 2;
const OF_ANOTHER: u64 = 99;
/// Entries are asked for twice, whatever becomes of the first.
const TWICE: u8 = 3;

const PUT_OTHER: u32 = 1;
const GET_AS_BATCH: u32 = 2;
const GET: u32 = 3;

impl<const WAY: u8> KeyedProcess for Seen<WAY> {
    type In = Said;
    type Out = String;

    fn describe(&mut self, d: &mut KeyedDescribe) {
        let seen = d.map("seen", &mut self.seen);
        if WAY == ACCESS {
            let refreshed = TtlOptions {
                on_read: true,
                ..Default::default()
            };
            seen.ttl_with(std::time::Duration::from_secs(60), refreshed);
        }
        d.map("other", &mut self.other);
    }

    fn process(&mut self, row: Row<Said>, ctx: &mut Ctx<String>) -> Result<()> {
        let (number, deed) = row.value;
        match deed {
            PUT_OTHER => self.other.put(number, "no number".to_owned())?,
            GET_AS_BATCH => self.seen.of_entries([Ok((0, 1))]).map(|_| ())?,
            GET => self.seen.get(number).map(|_| ())?,
            _ => self.seen.put(number, 1)?,
        }
        ctx.emit("by row")
    }

    fn process_batch(
        &mut self,
        batch: &InputBatch<Said>,
        ctx: &mut BatchCtx<String>,
    ) -> Result<Batched> {
        if batch.rows().any(|row| row.is_ok_and(|row| row.value.1 > 0)) {
            return Ok(Batched::RowByRow);
        }
        let numbers: Vec<_> = batch.rows().map(|row| row.map(|row| row.value.0)).collect();
        let numbers: Vec<_> = numbers.into_iter().collect::<Result<_>>()?;
        let is_of_another = WAY == OTHER_KEY && numbers.contains(&OF_ANOTHER);
        let key = if is_of_another { 9 } else { 0 };
        let named = numbers.iter().map(|number| Ok((key, *number)));
        if WAY == TWICE {
            let first = self.seen.of_entries(named.clone());
            assert!(first.is_err());
        }
        let mut seen = self.seen.of_entries(named)?;
        let new = (0..batch.len()).filter(|row| !seen.contains(*row)).count();
        (0..batch.len()).for_each(|row| seen.put(row, 1));
        ctx.emit(0, format_args!("{new} by batch"))?;
        Ok(Batched::Done)
    }
}

fn told(harness: &mut Harness, number: u64, deed: u32) -> Result<Vec<String>, String> {
    let out = harness.batch(0, [said(1, number, deed)])?;
    Ok(out.main().iter().map(ToString::to_string).collect())
}

#[test]
fn entries_that_cannot_be_decoded_hurt_only_the_row_that_reads_them() {
    let mut seen = Harness::open::<Seen<0>, _>("null").unwrap();
    told(&mut seen, 7, PUT_OTHER).unwrap();
    seen.copy_state("other", "seen");
    // The batch cannot learn it, and the row does not read it.
    assert_eq!(told(&mut seen, 7, 0).unwrap(), ["by row"]);
    assert_eq!(told(&mut seen, 7, 0).unwrap(), ["0 by batch"]);
    assert_eq!(told(&mut seen, 8, 0).unwrap(), ["1 by batch"]);
    // The same of a call that asks for each by itself.
    seen.copy_state("other", "seen");
    assert_eq!(told(&mut seen, 7, 0).unwrap(), ["by row"]);
    assert_eq!(told(&mut seen, 7, 0).unwrap(), ["0 by batch"]);
    seen.copy_state("other", "seen");
    let error = told(&mut seen, 7, GET).unwrap_err();
    assert!(error.contains("state `seen` cannot be read"), "{error}");
}

#[test]
fn entries_that_cannot_be_decoded_are_not_taken_for_none() {
    let mut seen = Harness::open::<Seen<TWICE>, _>("null").unwrap();
    told(&mut seen, 7, PUT_OTHER).unwrap();
    seen.copy_state("other", "seen");
    assert_eq!(told(&mut seen, 7, 0).unwrap(), ["by row"]);
    assert_eq!(seen.imports(), ["map-put", "map-get", "map-get", "map-put"]);
}

#[test]
fn where_a_read_is_an_access_rows_go_one_by_one() {
    let mut seen = Harness::open::<Seen<ACCESS>, _>("null").unwrap();
    assert_eq!(told(&mut seen, 7, 0).unwrap(), ["by row"]);
    // Not even asked for.
    assert_eq!(seen.imports(), ["map-put"]);
}

#[test]
fn entries_can_be_had_only_in_a_batch() {
    let mut seen = Harness::open::<Seen<0>, _>("null").unwrap();
    let error = told(&mut seen, 7, GET_AS_BATCH).unwrap_err();
    let part = "state `seen`: `of_entries` can be used only in a function for batches";
    assert!(error.contains(part), "{error}");
}

#[test]
fn a_key_that_there_is_not_has_no_entries() {
    // The second call has its entries apart.
    for (before, expected) in [(0, "index out of bounds"), (1, "no key has the number 9")] {
        let of_another = std::panic::catch_unwind(|| {
            let mut seen = Harness::open::<Seen<OTHER_KEY>, _>("null").unwrap();
            (0..before).for_each(|_| assert!(told(&mut seen, 7, 0).is_ok()));
            told(&mut seen, OF_ANOTHER, 0)
        });
        let told = of_another.unwrap_err();
        let told = told.downcast_ref::<String>().unwrap();
        assert!(told.contains(expected), "{told}");
    }
}

#[test]
fn small_values_are_there_or_not_or_wrong() {
    let mut values = column::optional_with_room(0, 0);
    column::push_optional(&mut values, Some(&7_u32)).unwrap();
    column::push_optional::<u32>(&mut values, None).unwrap();
    column::push_optional(&mut values, Some(&"x".to_owned())).unwrap();
    let small: Vec<_> = column::small_values::<u32>(&values).collect();
    assert_eq!(small, [Some(Some(7)), Some(None), None]);
    assert_eq!(column::small_values::<String>(&values).count(), 0);
    // A type may have no value of zeros.
    assert_eq!(
        column::small_values::<Seven>(&values).collect::<Vec<_>>(),
        [Some(Some(Seven)), Some(None), None]
    );
    assert!(column::is_small::<()>() && column::is_small::<[u64; 8]>());
    assert!(!column::is_small::<[u64; 9]>() && !column::is_small::<String>());
}

#[derive(Debug, PartialEq)]
struct Seven;

impl StateCodec for Seven {
    const WIDTH: Option<usize> = Some(4);

    fn format() -> String {
        "seven".to_owned()
    }

    fn encode(&self, out: &mut Vec<u8>) -> Result<()> {
        out.extend([7, 0, 0, 0]);
        Ok(())
    }

    fn decode(bytes: &[u8]) -> Result<Self> {
        match bytes {
            [7, 0, 0, 0] => Ok(Self),
            _ => Err(Error::new("not seven")),
        }
    }
}
