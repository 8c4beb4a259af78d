//! What a hash edge deals out in passes is what it would deal out row by row.

use std::collections::HashMap;

use proptest::prelude::*;
use weir_model::Keyed;

use super::*;
use crate::exchange::hand_over_beside;

/// So many first bytes of a row are its key; one that begins with [`BAD`] has none. With
/// [`NUMBER`] they are it behind their length, and a row that is shorter has none.
struct FirstBytes(usize);

const BAD: u8 = b'!';
const NUMBER: usize = 8;

impl KeySelector for FirstBytes {
    fn select(&self, values: ColumnView<'_>, keys: &mut Column, bad: &mut Vec<BadKey>) {
        for (row, value) in (0..).zip(values.iter()) {
            let key = key_of(value, self.0);
            keys.push(key.as_deref().unwrap_or_default());
            if key.is_none() {
                let message = "it says so".into();
                bad.push(BadKey { row, message });
            }
        }
    }

    fn number_at(&self) -> Option<usize> {
        (self.0 == NUMBER).then_some(0)
    }

    fn describe(&self) -> String {
        "first bytes".into()
    }
}

fn key_of(value: &[u8], length: usize) -> Option<Vec<u8>> {
    if length == NUMBER {
        let number = value.first_chunk::<NUMBER>()?;
        return Some([&[NUMBER as u8][..], number].concat());
    }
    let is_bad = value.first() == Some(&BAD);
    (!is_bad).then(|| value[..value.len().min(length)].to_vec())
}

/// Rows that are pushed together.
#[derive(Clone, Debug)]
struct Piece {
    rows: usize,
    /// The shortest and the longest row.
    lengths: (usize, usize),
    /// How many keys there are at most, and one row of how many has none.
    keys: u64,
    bad: u64,
    timestamped: bool,
    owned: bool,
    seed: u64,
}

fn piece() -> impl Strategy<Value = Piece> {
    let even = prop::sample::select(vec![0_usize, 1, 8, 16, 24, 32, 33, 5_000]);
    let lengths = prop_oneof![
        even.prop_map(|length| (length, length)),
        Just((0, 60)),
        Just((0, 9_000)),
    ];
    // Columns beyond the limits of a batch, and such that several of them fill one.
    let sizes = (
        prop_oneof![0usize..40, 0usize..3_000, 0usize..10_000],
        lengths,
    );
    let sizes = sizes.prop_map(|(rows, lengths)| match lengths.1 {
        ..=60 => (rows, lengths),
        _ => (rows % 200, lengths),
    });
    let keys = prop::sample::select(vec![1_u64, 3, 900, 60_000]);
    let bad = prop::sample::select(vec![u64::MAX, 50, 2]);
    (
        sizes,
        keys,
        bad,
        prop::bool::weighted(0.8),
        any::<(bool, u64)>(),
    )
        .prop_map(
            |((rows, lengths), keys, bad, timestamped, (owned, seed))| Piece {
                rows,
                lengths,
                keys,
                bad,
                timestamped,
                owned,
                seed,
            },
        )
}

impl Piece {
    fn values(&self) -> Column {
        let mut values = Column::new();
        for row in 0..self.rows as u64 {
            let drawn = hash64(&(self.seed ^ row).to_le_bytes());
            let (least, most) = self.lengths;
            let length = least + (drawn >> 40) as usize % (most - least + 1);
            let mut value = vec![b'-'; length];
            if let Some(rest) = value.get_mut(20..) {
                let drawn = drawn.to_le_bytes().into_iter().cycle();
                rest.iter_mut().zip(drawn).for_each(|(to, byte)| *to = byte);
            }
            // Letters, so that none is bad by chance.
            let key = (drawn % self.keys) as u16;
            let [low, high] = key.to_le_bytes().map(|byte| byte.max(BAD + 1));
            value
                .iter_mut()
                .zip([low, high])
                .for_each(|(to, byte)| *to = byte);
            if (drawn >> 20).is_multiple_of(self.bad)
                && let Some(first) = value.first_mut()
            {
                *first = BAD;
            }
            values.push(&value);
        }
        values
    }

    fn timestamps(&self) -> Vec<i64> {
        match self.timestamped {
            true => (0..self.rows as i64).map(|row| row * 3).collect(),
            false => Vec::new(),
        }
    }
}

/// A target that is given one row after the other.
#[derive(Default)]
struct Plain {
    batch: Batch,
    numbers: HashMap<Vec<u8>, u32>,
    sent: Vec<Batch>,
}

impl Plain {
    fn push(&mut self, value: &[u8], key: &[u8], timestamp: Option<i64>) {
        if !self.batch.is_empty() && self.batch.timestamps.is_empty() == timestamp.is_some() {
            self.send();
        }
        self.batch.values.push(value);
        self.batch.timestamps.extend(timestamp);
        let keyed = self.batch.keyed.get_or_insert_default();
        let Keyed {
            keys,
            hashes,
            key_of_row,
        } = keyed;
        let number = *self.numbers.entry(key.to_vec()).or_insert_with(|| {
            keys.push(key);
            hashes.push(hash64(key));
            keys.len() as u32 - 1
        });
        key_of_row.push(number);
        let values = &self.batch.values;
        if values.len() >= Batch::MAX_ROWS || values.byte_len() >= Batch::MAX_BYTES {
            self.send();
        }
    }

    fn send(&mut self) {
        self.numbers.clear();
        let batch = std::mem::take(&mut self.batch);
        self.sent.extend((!batch.is_empty()).then_some(batch));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn what_is_dealt_out_in_passes_is_what_would_be_row_by_row(
        pieces in prop::collection::vec(piece(), 1..6),
        // Where there is one, large columns go as they are.
        consumers in 2u32..6,
        // One that is no power of two as well.
        max in prop::sample::select(vec![128_u32, 100]),
        // Those of most numbers, which are looked at in line, and others.
        key_length in prop::sample::select(vec![2_usize, 5, 9, 17, NUMBER, NUMBER]),
    ) {
        let max = MaxParallelism::new(max).unwrap();
        let selector = Partitioning::Hash(Arc::new(FirstBytes(key_length)));
        let mut edge = edge_of(selector, BadRows::Skip, consumers, max);
        let mut expected: Vec<Plain> = (0..consumers).map(|_| Plain::default()).collect();
        let mut bad = 0;
        for piece in pieces {
            let (values, timestamps) = (piece.values(), piece.timestamps());
            for (row, value) in values.iter().enumerate() {
                let Some(key) = key_of(value, key_length) else {
                    bad += 1;
                    continue;
                };
                let group = max.key_group_of(hash64(&key));
                let to = max.subtask_of(group, Parallelism::new(consumers).unwrap());
                expected[to.index()].push(value, &key, timestamps.get(row).copied());
            }
            match piece.owned {
                true => edge.out.push_owned(values, timestamps, vec![]).unwrap(),
                false => {
                    let (values, timestamps) = (values.view(), &timestamps[..]);
                    let rows = TimedRows { values, timestamps, lineage: &[] };
                    edge.out.push(rows).unwrap();
                }
            }
        }
        edge.out.hand_over_all();
        prop_assert_eq!(edge.consumer.skipped.get(), bad);
        for (consumer, mut plain) in expected.into_iter().enumerate() {
            plain.send();
            let found: Vec<Batch> = edge
                .received(consumer)
                .into_iter()
                .map(|element| match element {
                    Element::Batch(batch) => Batch::clone(&batch),
                    other => panic!("{other:?}"),
                })
                .collect();
            // Not as a whole: what differs in megabytes is not to be read.
            prop_assert_eq!(found.len(), plain.sent.len());
            for (at, (found, expected)) in found.iter().zip(&plain.sent).enumerate() {
                prop_assert_eq!(found.len(), expected.len(), "batch {}", at);
                prop_assert!(found == expected, "batch {at} of {consumer}");
            }
        }
    }
}

#[test]
fn event_times_of_some_rows_only_are_refused() {
    let selector = Partitioning::Hash(Arc::new(FirstBytes(2)));
    let mut edge = edge(selector, BadRows::Fail, 2);
    let values = column(&["aa", "bb", "cc"]);
    let rows = TimedRows {
        values: values.view(),
        timestamps: &[1, 2],
        lineage: &[],
    };
    let error = edge.out.push(rows).unwrap_err().to_string();
    assert!(error.contains("2 event times for 3 rows"), "{error}");
    edge.out.hand_over_all();
    assert!(edge.received(0).is_empty() && edge.received(1).is_empty());
}

#[test]
fn an_edge_with_few_rows_hands_over_beside_one_with_many() {
    let many = edge(Partitioning::Forward, BadRows::Fail, 1);
    let few = edge(
        Partitioning::Hash(Arc::new(FirstBytes(2))),
        BadRows::Fail,
        2,
    );
    let mut outs = [many.out, few.out];
    let rows_of = |gates: Vec<Gate>| -> [Vec<usize>; 2] {
        let mut gates = gates.into_iter();
        let mut next = || {
            let Some(mut gate) = gates.next() else {
                return Vec::new();
            };
            let elements = std::iter::from_fn(|| gate.next(|_| false, true).map(|(_, e)| e));
            let rows = elements.map(|element| match element {
                Element::Batch(batch) => batch.len(),
                other => panic!("{other:?}"),
            });
            rows.collect()
        };
        [next(), next()]
    };
    let mut push = |edge: usize, count: usize| {
        let mut values = Column::new();
        (0..count).for_each(|row| values.push(&[b'a' + (row % 20) as u8; 2]));
        let rows = TimedRows {
            values: values.view(),
            timestamps: &[],
            lineage: &[],
        };
        outs[edge].push(rows).unwrap();
        hand_over_beside(&mut outs);
    };
    // Before a batch of the other edge is full, nothing is handed over.
    push(1, 100);
    push(0, 10);
    push(0, Batch::MAX_ROWS - 10);
    push(0, 1);
    let [sent, _] = rows_of(many.gates);
    assert_eq!(sent, [Batch::MAX_ROWS]);
    let [left, right] = rows_of(few.gates);
    assert_eq!((left.len(), right.len()), (1, 1), "{left:?} {right:?}");
    assert_eq!(left[0] + right[0], 100);
}

#[test]
fn a_handful_of_rows_is_not_handed_over_beside_others() {
    let many = edge(Partitioning::Forward, BadRows::Fail, 1);
    let mut few = edge(Partitioning::Forward, BadRows::Fail, 1);
    few.push(&["a", "b"]).unwrap();
    let mut outs = [many.out, few.out];
    let values: Column = (0..Batch::MAX_ROWS).map(|_| &b"row"[..]).collect();
    outs[0].push_owned(values, Vec::new(), Vec::new()).unwrap();
    hand_over_beside(&mut outs);
    let [mut sent, mut waiting] = [many.gates, few.gates].map(|mut gates| gates.remove(0));
    assert!(sent.next(|_| false, true).is_some());
    assert!(waiting.next(|_| false, true).is_none());
    outs[1].hand_over_all();
    assert!(waiting.next(|_| false, true).is_some());
}
