//! Lists by batch come to what they come to row by row.

use super::{Said, said, shown};
use crate::testing::{Harness, Input};
use crate::{
    BatchCtx, Batched, Counter, Ctx, Error, InputBatch, KeyedDescribe, KeyedProcess, List, Result,
    Row, StateCodec, TtlOptions,
};

const ADD: u32 = 0;
const TELL: u32 = 1;
const CLEAR: u32 = 2;
const SET: u32 = 3;
const SET_NONE: u32 = 4;
const REFUSE: u32 = 5;
const BY_ROW: u32 = 6;
const UNWRITTEN: u32 = 7;

/// A text that has no written form if it says so.
#[derive(Clone, Debug)]
struct Text(String);

impl StateCodec for Text {
    fn format() -> String {
        "text".to_owned()
    }

    fn encode(&self, out: &mut Vec<u8>) -> Result<()> {
        out.extend_from_slice(self.0.as_bytes());
        match self.0.as_str() {
            "unwritten" => Err(Error::new("unwritten")),
            _ => Ok(()),
        }
    }

    fn decode(bytes: &[u8]) -> Result<Self> {
        String::from_utf8(bytes.to_vec())
            .map(Self)
            .map_err(|_| Error::new("no text"))
    }
}

/// Keeps numbers of each key, and texts of them.
#[derive(Default)]
struct Kept {
    numbers: List<u64>,
    texts: List<Text>,
    batches: Counter,
}

fn text(number: u64, deed: u32) -> Text {
    Text(match deed {
        UNWRITTEN => "unwritten".to_owned(),
        _ => "x".repeat(number as usize % 40),
    })
}

fn told(numbers: &[u64], texts: &[Text]) -> String {
    let lengths: Vec<_> = texts.iter().map(|text| text.0.len()).collect();
    format!("{numbers:?} {lengths:?}")
}

impl KeyedProcess for Kept {
    type In = Said;
    type Out = String;

    fn describe(&mut self, d: &mut KeyedDescribe) {
        d.list("numbers", &mut self.numbers);
        d.list("texts", &mut self.texts);
        d.counter("batches", &mut self.batches);
    }

    fn process(&mut self, row: Row<Said>, ctx: &mut Ctx<String>) -> Result<()> {
        let (number, deed) = row.value;
        match deed {
            TELL => ctx.emit(told(self.numbers.get()?, self.texts.get()?))?,
            CLEAR => {
                self.numbers.clear()?;
                self.texts.clear()?;
            }
            SET => {
                self.numbers.set(vec![number, 7])?;
                self.texts.set(vec![text(number, deed); 3])?;
            }
            SET_NONE => self.texts.set(Vec::new())?,
            _ => {
                self.numbers.add(number)?;
                self.texts.add(text(number, deed))?;
            }
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
        let keys = batch.keys()?;
        let mut numbers = self.numbers.of_keys()?;
        let mut texts = self.texts.of_keys()?;
        // In some batches the lists of some keys are asked for before, of some twice.
        if batch.len() % 5 == 4 {
            let some: Vec<u32> = keys.of_rows().iter().copied().step_by(2).collect();
            numbers.fetch(&some)?;
            texts.fetch(&some[some.len() / 2..])?;
        }
        for ((row, said), &key) in batch.rows().enumerate().zip(keys.of_rows()) {
            let ((number, deed), key) = (said?.value, key as usize);
            match deed {
                TELL => ctx.emit(row, told(numbers.get(key)?, texts.get(key)?))?,
                CLEAR => {
                    numbers.clear(key);
                    texts.clear(key);
                }
                SET => {
                    numbers.set(key, vec![number, 7]);
                    texts.set(key, vec![text(number, deed); 3]);
                }
                SET_NONE => texts.set(key, Vec::new()),
                _ => {
                    numbers.add(key, number)?;
                    texts.add(key, text(number, deed))?;
                }
            }
            match deed {
                REFUSE => return Err(Error::new("refused")),
                BY_ROW => return Ok(Batched::RowByRow),
                _ => {}
            }
        }
        self.batches.add(1);
        Ok(Batched::Done)
    }
}

#[test]
fn lists_by_batch_come_to_what_they_come_to_row_by_row() {
    let mut seed = 7_u64;
    let mut below = |n: u64| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (seed >> 33) % n
    };
    let mut by_batch = Harness::open::<Kept, _>("null").unwrap();
    let mut by_row = Harness::open::<Kept, _>("null").unwrap();
    by_row.row_by_row();
    let (mut refused, mut went) = (0, 0);
    for _ in 0..600 {
        let mut rows: Vec<Input> = (0..below(24))
            .map(|_| {
                // What ends a batch is rare.
                let deed = match below(5) {
                    0 | 1 => ADD,
                    2 => TELL,
                    _ => match below(u64::from(UNWRITTEN) + 1) as u32 {
                        deed @ REFUSE.. if below(5) > 0 => deed - REFUSE,
                        deed => deed,
                    },
                };
                said(below(5) as u8, below(1000), deed)
            })
            .collect();
        while !rows.is_empty() {
            let outs = [&mut by_batch, &mut by_row].map(|of| of.batch(0, rows.clone()).unwrap());
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
    assert!(refused > 50 && went > 5000, "{refused} {went}");
    assert!(by_batch.metric("batches") > Some(300.0));
    assert!(
        by_row
            .metric("batches")
            .is_none_or(|batches| batches == 0.0)
    );
}

#[test]
fn what_has_no_written_form_is_refused_with_its_row() {
    for by_row in [false, true] {
        let mut kept = Harness::open::<Kept, _>("null").unwrap();
        if by_row {
            kept.row_by_row();
        }
        let rows = [said(1, 7, ADD), said(1, 8, UNWRITTEN), said(1, 9, ADD)];
        let out = kept.batch(0, rows).unwrap();
        assert_eq!(out.poisoned.unwrap().0, 1);
        assert_eq!((kept.held("numbers"), kept.held("texts")), (1, 1));
        // Of lists that are replaced as well, which are written when the call ends.
        let rows = [said(1, 5, SET), said(1, 8, UNWRITTEN)];
        let out = kept.batch(0, rows).unwrap();
        assert_eq!(out.poisoned.unwrap().0, 1);
        assert_eq!((kept.held("numbers"), kept.held("texts")), (2, 3));
    }
}

#[test]
fn what_is_added_is_not_read_and_what_is_replaced_is_not_added() {
    let mut kept = Harness::open::<Kept, _>("null").unwrap();
    kept.batch(0, [said(1, 7, ADD), said(2, 8, ADD), said(1, 9, ADD)])
        .unwrap();
    assert_eq!(kept.imports(), ["list-add", "list-add", "counter-add"]);
    // The lists of two keys, with one import for each state at least.
    let out = kept.batch(0, [said(1, 0, TELL), said(2, 0, TELL)]).unwrap();
    assert_eq!(out.main(), ["[7, 9] [7, 9]", "[8] [8]"]);
    assert!(kept.imports().iter().all(|import| *import != "list-add"));
    kept.batch(0, [said(1, 5, ADD), said(1, 6, SET), said(1, 4, ADD)])
        .unwrap();
    assert_eq!(kept.imports(), ["list-set", "list-set", "counter-add"]);
    let out = kept.batch(0, [said(1, 0, TELL)]).unwrap();
    assert_eq!(out.main(), ["[6, 7, 4] [6, 6, 6, 4]"]);
}

/// Numbers of each key, and how they are used, as rows say.
#[derive(Default)]
struct Used<const ON_READ: bool> {
    numbers: List<u64>,
    texts: List<String>,
}

const PUT_TEXT: u32 = 1;
const AS_BATCH: u32 = 2;
const GET: u32 = 3;
/// Not for a row: its list is looked at by batch, replaced whatever became of that, and again.
const REPLACE: u32 = 4;

impl<const ON_READ: bool> KeyedProcess for Used<ON_READ> {
    type In = Said;
    type Out = String;

    fn describe(&mut self, d: &mut KeyedDescribe) {
        let numbers = d.list("numbers", &mut self.numbers);
        if ON_READ {
            let refreshed = TtlOptions {
                on_read: true,
                ..Default::default()
            };
            numbers.ttl_with(std::time::Duration::from_secs(60), refreshed);
        }
        d.list("texts", &mut self.texts);
    }

    fn process(&mut self, row: Row<Said>, ctx: &mut Ctx<String>) -> Result<()> {
        let (number, deed) = row.value;
        match deed {
            PUT_TEXT => self.texts.add("no number".to_owned())?,
            AS_BATCH => self.numbers.of_keys().map(|_| ())?,
            GET => self.numbers.get().map(|_| ())?,
            _ => self.numbers.add(number)?,
        }
        ctx.emit("by row")
    }

    fn process_batch(
        &mut self,
        batch: &InputBatch<Said>,
        ctx: &mut BatchCtx<String>,
    ) -> Result<Batched> {
        let deed = batch
            .rows()
            .next()
            .and_then(Result::ok)
            .map_or(0, |row| row.value.1);
        let mut numbers = match deed {
            0 | REPLACE => self.numbers.of_keys()?,
            _ => return Ok(Batched::RowByRow),
        };
        if deed == REPLACE {
            let failed = numbers.get(0).is_err();
            numbers.add(0, 3)?;
            for round in 0..50 {
                numbers.clear(0);
                numbers.add(0, round)?;
            }
            ctx.emit(0, format_args!("{failed} {:?}", numbers.get(0)?))?;
            return Ok(Batched::Done);
        }
        let sum: u64 = numbers.get(0)?.iter().sum();
        numbers.add(0, 1)?;
        ctx.emit(0, format_args!("{sum} by batch"))?;
        Ok(Batched::Done)
    }
}

fn used(harness: &mut Harness, deed: u32) -> Result<Vec<String>, String> {
    let out = harness.batch(0, [said(1, 7, deed)])?;
    Ok(out.main().iter().map(ToString::to_string).collect())
}

/// Keeps numbers of each key. By batch the lists that some rows ask for are read together.
#[derive(Default)]
struct Told {
    numbers: List<u64>,
}

const FETCH: u32 = 8;

impl KeyedProcess for Told {
    type In = Said;
    type Out = String;

    fn describe(&mut self, d: &mut KeyedDescribe) {
        d.list("numbers", &mut self.numbers);
    }

    fn process(&mut self, row: Row<Said>, ctx: &mut Ctx<String>) -> Result<()> {
        match row.value {
            (_, TELL) => ctx.emit(told(self.numbers.get()?, &[])),
            (_, FETCH) => Ok(()),
            (number, _) => self.numbers.add(number),
        }
    }

    fn process_batch(
        &mut self,
        batch: &InputBatch<Said>,
        ctx: &mut BatchCtx<String>,
    ) -> Result<Batched> {
        let keys = batch.keys()?;
        let mut numbers = self.numbers.of_keys()?;
        let mut named = Vec::new();
        for (row, &key) in batch.rows().zip(keys.of_rows()) {
            if row?.value.1 == FETCH {
                named.push(key);
            }
        }
        if !named.is_empty() {
            numbers.fetch(&named)?;
        }
        if batch.len() == usize::from(KEYS) + 1 {
            return Ok(Batched::NotWritten);
        }
        for ((row, said), &key) in batch.rows().enumerate().zip(keys.of_rows()) {
            match said?.value {
                (_, TELL) => ctx.emit(row, told(numbers.get(key as usize)?, &[]))?,
                (_, FETCH) => {}
                (number, _) => numbers.add(key as usize, number)?,
            }
        }
        Ok(Batched::Done)
    }
}

/// By batch one row more than these is too much.
const KEYS: u8 = 12;

#[test]
fn lists_that_are_fetched_are_read_together_and_no_others_with_them() {
    let mut lists = Harness::open::<Told, _>("null").unwrap();
    let all = |deed: u32| (0..KEYS).map(move |key| said(key, u64::from(key), deed));
    lists.batch(0, all(ADD)).unwrap();
    assert_eq!(lists.imports(), ["list-add"]);
    // How large lists are is not known before the first has come.
    let out = lists.batch(0, all(FETCH).chain(all(TELL))).unwrap();
    let expected: Vec<_> = (0..KEYS).map(|key| format!("[{key}] []")).collect();
    assert_eq!(out.main(), expected);
    assert_eq!(lists.imports(), ["list-get"; 2]);
    let out = lists.batch(0, all(FETCH).chain(all(TELL))).unwrap();
    assert_eq!(out.main(), expected);
    assert_eq!(lists.imports(), ["list-get"]);
    // Two that are named, one of them twice, and one that has none; and two that are not.
    let named = [3, 5, 3, KEYS].map(|key| said(key, 0, FETCH));
    let looked_at = [5, 3, KEYS, 7, 8].map(|key| said(key, 0, TELL));
    let rows = named.into_iter().chain(all(FETCH + 1)).chain(looked_at);
    let out = lists.batch(0, rows).unwrap();
    let expected = ["[5, 5] []", "[3, 3] []", "[] []", "[7, 7] []", "[8, 8] []"];
    assert_eq!(out.main(), expected);
    assert_eq!(
        lists.imports(),
        ["list-get", "list-get", "list-get", "list-add"]
    );
    // Who names a key again and again has its list once.
    let rows = (0..300)
        .map(|_| said(3, 0, FETCH))
        .chain([said(3, 0, TELL)]);
    assert_eq!(lists.batch(0, rows).unwrap().main(), ["[3, 3] []"]);
    assert_eq!(lists.imports(), ["list-get"]);
    // Rows that are processed one by one after all are read ahead as ever.
    let rows = [said(3, 0, FETCH)].into_iter().chain(all(TELL));
    lists.batch(0, rows).unwrap();
    assert!(!lists.was_whole() && lists.imports().len() < 7);
    // The next call begins anew, and reads ahead.
    let out = lists.batch(0, all(TELL)).unwrap();
    assert_eq!(out.main().len(), usize::from(KEYS));
    assert!(lists.imports().len() < 6);
}

#[test]
fn lists_that_cannot_be_decoded_hurt_only_the_row_that_reads_them() {
    let mut lists = Harness::open::<Used<false>, _>("null").unwrap();
    assert_eq!(used(&mut lists, 0).unwrap(), ["0 by batch"]);
    assert_eq!(used(&mut lists, 0).unwrap(), ["1 by batch"]);
    used(&mut lists, PUT_TEXT).unwrap();
    lists.copy_state("texts", "numbers");
    // The batch cannot learn it, and the row does not read it.
    assert_eq!(used(&mut lists, 0).unwrap(), ["by row"]);
    let error = used(&mut lists, GET).unwrap_err();
    assert!(error.contains("state `numbers` cannot be read"), "{error}");
    // Who lets the error go replaces what cannot be read.
    assert_eq!(used(&mut lists, REPLACE).unwrap(), ["true [49]"]);
    assert_eq!(used(&mut lists, REPLACE).unwrap(), ["false [49]"]);
    assert_eq!(used(&mut lists, 0).unwrap(), ["49 by batch"]);
}

#[test]
fn where_a_read_of_a_list_is_an_access_rows_go_one_by_one() {
    let mut lists = Harness::open::<Used<true>, _>("null").unwrap();
    assert_eq!(used(&mut lists, 0).unwrap(), ["by row"]);
    // Not even asked for.
    assert_eq!(lists.imports(), ["list-add"]);
}

#[test]
fn lists_of_all_keys_can_be_had_only_in_a_batch() {
    let mut lists = Harness::open::<Used<false>, _>("null").unwrap();
    let error = used(&mut lists, AS_BATCH).unwrap_err();
    let part = "state `numbers`: `of_keys` can be used only in a function for batches";
    assert!(error.contains(part), "{error}");
}
