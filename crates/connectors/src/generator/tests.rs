//! The generator as the engine drives it: the same rows whoever reads them and however often it is
//! restarted, and keys spread as asked.

use std::collections::BTreeMap;

use proptest::prelude::*;
use serde_json::{Value, json};
use weir_model::{Attempt, Batch, MaxParallelism, Name, Parallelism, SubtaskIndex};
use weir_operator::{Enumerator, ReadStatus, SavedSource, SourceRows, Split};

use super::*;

fn options(count: Option<u64>) -> GeneratorOptions {
    GeneratorOptions {
        source: Name::new("in").unwrap(),
        count,
        keys: 10,
        distribution: KeyDistribution::Uniform,
        payload_bytes: 7,
        seed: 42,
        splits: 16,
    }
}

fn source(options: &GeneratorOptions) -> GeneratorSource {
    GeneratorSource::new(options).unwrap()
}

fn reader(source: &GeneratorSource) -> Box<dyn SourceReader> {
    let task = TaskInfo {
        job: Name::new("job").unwrap(),
        operator: Name::new("in").unwrap(),
        subtask: SubtaskIndex(0),
        parallelism: Parallelism::ONE,
        max_parallelism: MaxParallelism::new(128).unwrap(),
        attempt: Attempt(1),
    };
    source.reader(&task).unwrap()
}

fn texts(rows: &SourceRows) -> Vec<String> {
    rows.values
        .iter()
        .map(|row| String::from_utf8(row.to_vec()).unwrap())
        .collect()
}

/// The first rows as a single reader gives them.
fn rows(options: &GeneratorOptions, count: u64) -> Vec<String> {
    let source = source(&GeneratorOptions {
        count: Some(count),
        ..options.clone()
    });
    let mut reader = reader(&source);
    for split in source.discover().unwrap().splits {
        reader.add_split(split).unwrap();
    }
    let mut rows = SourceRows::default();
    while reader.read(&mut rows, 4096).unwrap() != ReadStatus::NoSplit {}
    texts(&rows)
}

fn keys(options: &GeneratorOptions, count: u64) -> BTreeMap<u64, u64> {
    let mut keys = BTreeMap::new();
    for row in rows(options, count) {
        let row: Value = serde_json::from_str(&row).unwrap();
        *keys
            .entry(row["key"].as_str().unwrap().parse().unwrap())
            .or_default() += 1;
    }
    keys
}

/// One attempt of a source with readers in turn, until so many reads are done or all has ended.
struct Attempted {
    rows: Vec<String>,
    saved: Option<SavedSource>,
}

fn attempt(
    source: &GeneratorSource,
    saved: Option<SavedSource>,
    parallelism: u32,
    sizes: &[usize],
) -> Attempted {
    let mut enumerator = Enumerator::new(source.discover().unwrap(), saved).unwrap();
    let mut readers: Vec<_> = (0..parallelism).map(|_| reader(source)).collect();
    let enumerated = enumerator.snapshot();
    for (at, split) in enumerator.deal(parallelism) {
        readers[at.0 as usize].add_split(split).unwrap();
    }
    let (mut all, mut ended) = (Vec::new(), Vec::new());
    for (turn, &size) in sizes.iter().enumerate() {
        let mut rows = SourceRows::default();
        let reader = &mut readers[turn % parallelism as usize];
        if let ReadStatus::SplitEnded(id) = reader.read(&mut rows, size).unwrap() {
            enumerator.split_ended(&id);
            ended.push(id);
        }
        assert!(rows.values.len() <= size);
        all.extend(texts(&rows));
    }
    let open: Vec<Split> = readers
        .iter_mut()
        .flat_map(|r| r.snapshot().unwrap())
        .collect();
    let saved = (enumerator.open() > 0).then_some(SavedSource {
        enumerator: enumerated,
        open,
        ended,
    });
    Attempted { rows: all, saved }
}

#[test]
fn a_row_is_as_it_is_described() {
    let made = rows(&options(None), 300);
    for (seq, text) in made.iter().enumerate() {
        let row: Value = serde_json::from_str(text).unwrap();
        assert_eq!(row["seq"], seq);
        assert!(row["key"].as_str().unwrap().parse::<u64>().unwrap() < 10);
        assert_eq!(row["payload"].as_str().unwrap().len(), 7);
        assert_eq!(row.as_object().unwrap().len(), 3);
    }
    // Pinned: what a later version restores goes on with the same rows.
    let first = [
        r#"{"seq":0,"key":"7","payload":"ut6kOHx"}"#,
        r#"{"seq":1,"key":"3","payload":"cpHnBU6"}"#,
    ];
    assert_eq!(made[..2], first);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn every_row_comes_once_however_often_it_is_restarted_and_rescaled(
        count in 0_u64..3000,
        splits in 1_u32..20,
        attempts in prop::collection::vec(
            (1_u32..6, prop::collection::vec(1_usize..400, 1..12)), 0..6
        ),
    ) {
        let options = GeneratorOptions { splits, ..options(Some(count)) };
        let source = source(&options);
        let (mut all, mut saved) = (Vec::new(), None);
        let mut at_end = false;
        for (parallelism, sizes) in attempts {
            let next = attempt(&source, saved, parallelism, &sizes);
            all.extend(next.rows);
            saved = next.saved;
            at_end = saved.is_none();
            if at_end {
                break;
            }
        }
        if !at_end {
            all.extend(attempt(&source, saved, 3, &[1000; 200]).rows);
        }
        let expected = rows(&options, count);
        prop_assert_eq!(expected.len() as u64, count);
        all.sort_by_key(|row| serde_json::from_str::<Value>(row).unwrap()["seq"].as_u64());
        prop_assert_eq!(all, expected);
    }

    #[test]
    fn one_reader_gives_all_rows_in_order(splits in 1_u32..20, size in 1_usize..700) {
        let source = source(&GeneratorOptions { splits, ..options(None) });
        let made = attempt(&source, None, 1, &[size; 5]);
        prop_assert_eq!(&made.rows, &rows(&options(None), 5 * size as u64));
        let after = attempt(&source, made.saved, 1, &[size; 2]);
        prop_assert_eq!(&after.rows[..], &rows(&options(None), 7 * size as u64)[5 * size..]);
    }
}

#[test]
fn what_the_options_change_is_what_they_say() {
    let base = options(None);
    let same = rows(&base, 500);
    assert_eq!(rows(&base.clone(), 500), same);
    assert_eq!(
        rows(
            &GeneratorOptions {
                splits: 3,
                ..base.clone()
            },
            500
        ),
        same
    );
    assert_ne!(
        rows(
            &GeneratorOptions {
                seed: 43,
                ..base.clone()
            },
            500
        ),
        same
    );
    let payload = |row: &String| serde_json::from_str::<Value>(row).unwrap()["payload"].clone();
    let longer = rows(
        &GeneratorOptions {
            payload_bytes: 25,
            ..base.clone()
        },
        500,
    );
    for (long, short) in longer.iter().zip(&same) {
        let (long, short) = (payload(long), payload(short));
        assert!(long.as_str().unwrap().starts_with(short.as_str().unwrap()));
    }
    let other_keys = rows(&GeneratorOptions { keys: 1, ..base }, 500);
    assert!(other_keys.iter().map(payload).eq(same.iter().map(payload)));
}

#[test]
fn a_batch_is_cut_by_bytes_too_and_never_grows() {
    for payload_bytes in [0, 1000, 2 * Batch::MAX_BYTES] {
        let source = source(&GeneratorOptions {
            payload_bytes,
            ..options(None)
        });
        let mut reader = reader(&source);
        reader
            .add_split(source.discover().unwrap().splits.remove(0))
            .unwrap();
        let mut rows = SourceRows::default();
        assert_eq!(
            reader.read(&mut rows, Batch::MAX_ROWS).unwrap(),
            ReadStatus::More
        );
        let longest = payload_bytes + 100;
        assert!(!rows.values.is_empty());
        assert!(
            rows.values.byte_len() < Batch::MAX_BYTES + longest,
            "{payload_bytes}"
        );
    }
}

#[test]
fn keys_in_sequence_and_uniform_are_even() {
    let sequence = GeneratorOptions {
        distribution: KeyDistribution::Sequence,
        ..options(None)
    };
    assert!(keys(&sequence, 1000).values().eq(&[100; 10]));
    let first: Vec<_> = rows(
        &GeneratorOptions {
            keys: 3,
            ..sequence
        },
        5,
    )
    .iter()
    .map(|row| serde_json::from_str::<Value>(row).unwrap()["key"].clone())
    .collect();
    assert_eq!(first, ["0", "1", "2", "0", "1"]);

    let uniform = keys(&options(None), 20_000);
    assert_eq!(uniform.len(), 10);
    // 2,000 expected with a standard deviation of 42: five of them.
    assert!(
        uniform.values().all(|&n| n.abs_diff(2000) < 212),
        "{uniform:?}"
    );
}

#[test]
fn keys_by_zipf_are_as_frequent_as_the_law_says() {
    const ROWS: u64 = 40_000;
    for exponent in [0.5, 1.0, 1.000_000_1, 2.5] {
        let distribution = KeyDistribution::Zipf { exponent };
        let counted = keys(
            &GeneratorOptions {
                distribution,
                ..options(None)
            },
            ROWS,
        );
        let weight = |key: u64| ((key + 1) as f64).powf(-exponent);
        let sum: f64 = (0..10).map(weight).sum();
        for key in 0..10 {
            let chance = weight(key) / sum;
            let expected = ROWS as f64 * chance;
            let deviation = (expected * (1.0 - chance)).sqrt();
            let found = counted.get(&key).copied().unwrap_or_default() as f64;
            assert!(
                (found - expected).abs() < 5.0 * deviation,
                "exponent {exponent}, key {key}: {found}, expected {expected:.0}"
            );
        }
    }
}

#[test]
fn zipf_works_at_its_edges() {
    for (number, exponent) in [
        (1, 1.0),
        (2, 50.0),
        (u64::MAX, 0.01),
        (u64::MAX, 1.0),
        (3, 700.0),
    ] {
        let distribution = KeyDistribution::Zipf { exponent };
        let options = GeneratorOptions {
            distribution,
            keys: number,
            ..options(None)
        };
        let keys = keys(&options, 2000);
        assert!(keys.keys().all(|&key| key < number), "{number} {exponent}");
        let expected = if number == u64::MAX { 500 } else { 1 };
        assert!(
            keys.len() >= expected,
            "{number} {exponent}: {}",
            keys.len()
        );
    }
}

#[test]
fn only_splits_with_rows_are_found() {
    let ids = |count| {
        let splits = source(&options(count)).discover().unwrap().splits;
        splits.into_iter().map(|split| split.id).collect::<Vec<_>>()
    };
    assert_eq!(ids(Some(0)), [] as [&str; 0]);
    assert_eq!(ids(Some(1)), ["0-of-16"]);
    assert_eq!(ids(Some(129)), ["0-of-16", "1-of-16"]);
    assert_eq!(ids(None).len(), 16);
}

#[test]
fn positions_that_do_not_fit_are_refused() {
    let source = source(&options(Some(5000)));
    let open = |id: &str, position: Value| {
        let split = Split {
            id: id.into(),
            position,
        };
        reader(&source).add_split(split)
    };
    open("1-of-16", Value::Null).unwrap();
    open("1-of-16", json!({ "v": 1, "next": 200, "count": 5000 })).unwrap();
    let cases = [
        ("1-of-8", Value::Null, "no split of a generator with 16"),
        ("16-of-16", Value::Null, "no split"),
        ("01-of-16", Value::Null, "no split"),
        (
            "1-of-16",
            json!({ "v": 2, "next": 200, "count": 5000 }),
            "version Some(2)",
        ),
        (
            "1-of-16",
            json!({ "v": 1, "next": -1, "count": 5000 }),
            "unreadable",
        ),
        (
            "1-of-16",
            json!({ "v": 1, "next": 0, "count": 5000 }),
            "row 0 is not in",
        ),
        (
            "1-of-16",
            json!({ "v": 1, "next": 200, "count": 6000 }),
            "of 6000 rows",
        ),
        (
            "1-of-16",
            json!({ "v": 1, "next": 200, "count": null }),
            "of no end",
        ),
    ];
    for (id, position, told) in cases {
        let failure = open(id, position).unwrap_err();
        assert!(matches!(failure, Failure::Restore { .. }));
        assert!(failure.to_string().contains(told), "{failure}");
    }
}

#[test]
fn the_last_numbers_there_are_end_an_endless_generator() {
    let source = source(&options(None));
    let mut reader = reader(&source);
    let last = u64::MAX - 1;
    let index = last / split::BLOCK_ROWS % 16;
    let position = json!({ "v": 1, "next": last, "count": null });
    reader
        .add_split(Split {
            id: format!("{index}-of-16"),
            position,
        })
        .unwrap();
    let mut rows = SourceRows::default();
    let status = reader.read(&mut rows, 100).unwrap();
    assert!(matches!(status, ReadStatus::SplitEnded(_)), "{status:?}");
    assert_eq!(rows.values.len(), 1);
    assert_eq!(reader.read(&mut rows, 100).unwrap(), ReadStatus::NoSplit);
}

#[test]
fn options_out_of_bounds_are_refused_by_name() {
    let zipf = |exponent| KeyDistribution::Zipf { exponent };
    let cases = [
        (
            GeneratorOptions {
                keys: 0,
                ..options(None)
            },
            "`keys` is 0",
        ),
        (
            GeneratorOptions {
                splits: 0,
                ..options(None)
            },
            "0 splits",
        ),
        (
            GeneratorOptions {
                payload_bytes: usize::MAX,
                ..options(None)
            },
            "`payload`",
        ),
        (
            GeneratorOptions {
                distribution: zipf(0.0),
                ..options(None)
            },
            "`exponent` is 0",
        ),
        (
            GeneratorOptions {
                distribution: zipf(-1.0),
                ..options(None)
            },
            "`exponent` is -1",
        ),
        (
            GeneratorOptions {
                distribution: zipf(f64::NAN),
                ..options(None)
            },
            "`exponent` is NaN",
        ),
        (
            GeneratorOptions {
                distribution: zipf(f64::INFINITY),
                ..options(None)
            },
            "inf",
        ),
    ];
    for (options, told) in cases {
        let failure = GeneratorSource::new(&options).unwrap_err().to_string();
        assert!(
            failure.contains("generator `in`") && failure.contains(told),
            "{failure}"
        );
    }
}
