//! What a guest may return, and with which words it may not.

use proptest::prelude::*;

use super::*;

/// So many bytes may be emitted by the calls of these tests.
const OUTPUT: usize = 1000;

/// `process` of a component with two outputs and three states, in a call with three rows and two
/// distinct keys.
fn process(limits: &Limits) -> Check<'_> {
    Check {
        phase: Phase::Process,
        outputs: 2,
        states: 3,
        rows: Some(3),
        keys: 2,
        limits,
    }
}

fn limits() -> Limits {
    Limits {
        output_bytes: OUTPUT,
        ..Limits::default()
    }
}

fn column(rows: &[&str]) -> data::BytesColumn {
    let column: Column = rows.iter().map(|row| row.as_bytes()).collect();
    let (bytes, ends) = column.into_parts();
    data::BytesColumn { bytes, ends }
}

/// Rows on the main output that inherit from the rows of the same number.
fn rows(rows: &[&str]) -> data::Emitted {
    data::Emitted {
        output: 0,
        values: column(rows),
        origin: Vec::new(),
        timestamps: Vec::new(),
        keys: column(&[]),
    }
}

/// Values for both keys of the call.
fn slots(state: u32) -> data::Slots {
    let column = column(&["1", ""]);
    let values = data::OptionalColumn {
        present: vec![1, 0],
        column,
    };
    data::Slots { state, values }
}

/// A row for each row of the call, and values of state 1.
fn outcome() -> data::Outcome {
    data::Outcome {
        emitted: vec![rows(&["a", "", "bc"])],
        slots: vec![slots(1)],
        poisoned: None,
    }
}

fn poison(row: u32, message: &str) -> Option<data::Poison> {
    let message = message.into();
    Some(data::Poison { row, message })
}

/// What becomes of an outcome that is well but for this change.
fn checked(change: impl FnOnce(&mut data::Outcome)) -> Result<Checked, Failure> {
    let mut outcome = outcome();
    change(&mut outcome);
    process(&limits()).outcome(outcome)
}

/// The change breaks the contract, which is told in these words.
#[track_caller]
fn check_wrong(text: &str, change: impl FnOnce(&mut data::Outcome)) {
    let Err(failure) = checked(change) else {
        panic!("it was taken");
    };
    assert!(matches!(failure, Failure::Contract { .. }), "{failure:?}");
    let text = format!("the component broke the contract: `process` returned a wrong {text}");
    assert_eq!(failure.to_string(), text);
}

/// The change is over a limit, which is told in these words.
#[track_caller]
fn check_over(text: &str, change: impl FnOnce(&mut data::Outcome)) {
    let Err(failure) = checked(change) else {
        panic!("it was taken");
    };
    assert!(matches!(failure, Failure::Limit(_)), "{failure:?}");
    assert_eq!(failure.to_string(), text);
}

#[test]
fn what_fits_is_taken_over() {
    let side = data::Emitted {
        output: 1,
        origin: vec![2, 0],
        timestamps: vec![-1, i64::MAX],
        keys: column(&["k", ""]),
        ..rows(&["x", "y"])
    };
    let Checked { outcome, slots } = checked(|o| o.emitted.push(side)).unwrap();
    assert_eq!(outcome.poisoned, None);
    let [main, side] = &outcome.emitted[..] else {
        panic!("{outcome:?}");
    };
    let expected: [&[u8]; 3] = [b"a", b"", b"bc"];
    assert!(main.values.iter().eq(expected));
    assert_eq!((main.output, side.output), (0, 1));
    assert_eq!((&*main.origin, &*side.origin), (&[][..], &[2, 0][..]));
    assert_eq!(side.timestamps, [-1, i64::MAX]);
    let expected: [&[u8]; 2] = [b"k", b""];
    assert!(side.keys.iter().eq(expected));
    let [(StateIndex(1), values)] = &slots[..] else {
        panic!("{slots:?}");
    };
    assert!(values.iter().eq([Some(&b"1"[..]), None]));
}

#[test]
fn nothing_is_an_outcome() {
    let nothing = data::Outcome {
        emitted: vec![rows(&[])],
        slots: Vec::new(),
        poisoned: None,
    };
    let Checked { outcome, slots } = checked(|o| *o = nothing).unwrap();
    assert!(outcome.emitted[0].values.is_empty() && slots.is_empty());
}

#[test]
fn ends_rise_and_cover_the_bytes() {
    let falling = "row 1 ends at 1, before the row before it, which ends at 2";
    check_wrong(&format!("`emitted[0].values`: {falling}"), |o| {
        o.emitted[0].values.ends = vec![2, 1, 3];
    });
    let past = "the last row ends at 4, but there are 3 bytes";
    check_wrong(&format!("`emitted[0].values`: {past}"), |o| {
        o.emitted[0].values.ends = vec![1, 1, 4];
    });
    let short = "the last row ends at 2, but there are 3 bytes";
    check_wrong(&format!("`emitted[0].values`: {short}"), |o| {
        o.emitted[0].values.ends = vec![1, 1, 2];
    });
    let none = "the last row ends at 0, but there are 3 bytes";
    check_wrong(&format!("`emitted[0].values`: {none}"), |o| {
        o.emitted[0].values.ends.clear()
    });
    // The same holds for keys and for slots.
    check_wrong(
        "`emitted[0].keys`: the last row ends at 9, but there are 0 bytes",
        |o| {
            o.emitted[0].keys.ends = vec![0, 0, 9];
        },
    );
    check_wrong(
        "`slots[0].values`: the last row ends at 2, but there are 1 bytes",
        |o| {
            o.slots[0].values.column.ends = vec![1, 2];
        },
    );
}

#[test]
fn columns_of_rows_are_as_long_as_each_other() {
    check_wrong("`emitted[0].keys`: 2 entries for 3 rows", |o| {
        o.emitted[0].keys = column(&["k", "l"]);
    });
    check_wrong("`emitted[0].timestamps`: 4 entries for 3 rows", |o| {
        o.emitted[0].timestamps = vec![0; 4];
    });
    check_wrong("`emitted[0].origin`: 1 entry for 3 rows", |o| {
        o.emitted[0].origin = vec![0];
    });
    check_wrong("`emitted[1].timestamps`: 1 entry for 0 rows", |o| {
        o.emitted.push(data::Emitted {
            timestamps: vec![0],
            ..rows(&[])
        });
    });
}

#[test]
fn each_row_comes_from_a_row_of_the_call() {
    check_wrong(
        "`emitted[0].origin`: entry 1 is 3, of 3 rows that count",
        |o| {
            o.emitted[0].origin = vec![2, 3, 4];
        },
    );
    check_wrong("`emitted[0].origin`: empty, but 2 rows come from 3", |o| {
        o.emitted = vec![rows(&["a", "b"])];
    });
}

#[test]
fn outputs_are_those_declared() {
    check_wrong(
        "`emitted[0].output`: 2, the component declares 2 outputs",
        |o| {
            o.emitted[0].output = 2;
        },
    );
    check_wrong(
        "`emitted[0].output`: 4294967295, the component declares 2 outputs",
        |o| {
            o.emitted[0].output = u32::MAX;
        },
    );
}

#[test]
fn slots_are_for_each_key_of_a_declared_state_once() {
    check_wrong(
        "`slots[1]`: state 3, the component declares 3 states",
        |o| {
            o.slots.push(slots(3));
        },
    );
    check_wrong("`slots[2]`: state 1 a second time", |o| {
        o.slots.extend([slots(2), slots(1)]);
    });
    check_wrong("`slots[0].values`: 1 value for 2 keys", |o| {
        o.slots[0].values.present.pop();
        o.slots[0].values.column.ends.pop();
    });
    check_wrong("`slots[0].values`: 3 flags of presence for 2 rows", |o| {
        o.slots[0].values.present.push(0);
    });
    check_wrong(
        "`slots[0].values`: row 1 is absent and not empty: its length is 1",
        |o| {
            o.slots[0].values.column = column(&["1", "2"]);
        },
    );
}

#[test]
fn the_number_of_slots_is_not_the_guests_to_choose() {
    // Were each compared with all before it, this would not end.
    check_wrong(
        "`slots[3]`: state 3, the component declares 3 states",
        |o| {
            o.slots = (0..1_000_000).map(slots).collect();
        },
    );
}

#[test]
fn the_poisoned_row_is_a_row_of_the_call() {
    check_wrong("`poisoned.row`: 3, the call has 3 rows", |o| {
        o.poisoned = poison(3, "")
    });
    let long = "x".repeat(MAX_MESSAGE + 1);
    let Checked { outcome, .. } = checked(|o| {
        o.emitted.clear();
        o.poisoned = poison(2, &long);
    })
    .unwrap();
    let poison = outcome.poisoned.unwrap();
    assert_eq!((poison.row, poison.message.len()), (2, MAX_MESSAGE));
}

#[test]
fn only_rows_before_the_poisoned_one_count() {
    check_wrong(
        "`emitted[0].origin`: entry 1 is 1, of 1 row that counts",
        |o| {
            o.poisoned = poison(1, "bad");
            o.emitted[0].origin = vec![0, 1, 0];
        },
    );
    check_wrong("`emitted[0].origin`: empty, but 3 rows come from 1", |o| {
        o.poisoned = poison(1, "bad");
    });
    check_wrong(
        "`emitted[0].origin`: entry 0 is 0, of 0 rows that count",
        |o| {
            o.poisoned = poison(0, "bad");
            o.emitted[0].origin = vec![0, 0, 0];
        },
    );
}

#[test]
fn rows_before_the_poisoned_one_say_where_they_come_from() {
    // As many rows as count: row i from row i. But that is not as many as came, by which an empty
    // origin is known.
    let Checked { outcome, slots } = checked(|o| {
        o.poisoned = poison(2, "bad");
        o.emitted = vec![rows(&["a", "b"]), rows(&[])];
    })
    .unwrap();
    assert_eq!(outcome.emitted[0].origin, [0, 1]);
    assert_eq!(outcome.emitted[1].origin, [0; 0]);
    assert_eq!(slots.len(), 1, "what they did to state counts, too");
}

#[test]
fn without_rows_there_is_nothing_to_inherit_from() {
    let limits = limits();
    let finish = Check {
        phase: Phase::Finish,
        rows: None,
        ..process(&limits)
    };
    let emitted = finish.emitted(vec![rows(&["a", "b"])]).unwrap();
    assert_eq!(emitted[0].values.len(), 2);
    let with_origin = data::Emitted {
        origin: vec![0],
        ..rows(&["a"])
    };
    let failure = finish.emitted(vec![with_origin]).unwrap_err();
    assert_eq!(
        failure.to_string(),
        "the component broke the contract: `finish` returned a wrong `emitted[0].origin`: not \
         empty, but there is no row to inherit from"
    );
}

#[test]
fn bytes_are_limited_over_all_outputs_keys_included() {
    let full = "x".repeat(OUTPUT - 3);
    let emit = |o: &mut data::Outcome, more: &str| {
        o.emitted.push(data::Emitted {
            output: 1,
            origin: vec![0],
            keys: column(&[more]),
            ..rows(&[&full])
        });
    };
    assert!(checked(|o| emit(o, "")).is_ok());
    check_over(
        "`process` emitted 1001 bytes in one call (limit `limits.output` is 1000 bytes)",
        |o| emit(o, "k"),
    );
}

#[test]
fn rows_are_limited_over_all_outputs() {
    let most = limits().output_rows();
    let emit = |o: &mut data::Outcome, rows: usize| {
        for output in [0, 1] {
            let half = if output == 0 {
                rows / 2
            } else {
                rows - rows / 2
            };
            o.emitted.push(data::Emitted {
                output,
                values: column(&vec![""; half]),
                origin: vec![1; half],
                ..self::rows(&[])
            });
        }
    };
    assert!(checked(|o| emit(o, most - 3)).is_ok());
    check_over(
        "`process` emitted 65537 rows in one call, 65536 are the most (limit `limits.output` is \
         1000 bytes)",
        |o| emit(o, most - 2),
    );
}

#[test]
fn what_is_written_to_state_is_limited() {
    let long = "x".repeat(OUTPUT - 1);
    let write = |o: &mut data::Outcome, values: [&str; 2]| {
        o.slots.push(data::Slots {
            state: 0,
            values: data::OptionalColumn {
                present: vec![1, 1],
                column: column(&values),
            },
        });
    };
    assert!(checked(|o| write(o, [&long, ""])).is_ok());
    check_over(
        "`process` wrote 1001 bytes to state in one call (limit `limits.output` is 1000 bytes)",
        |o| write(o, [&long, "y"]),
    );
}

#[test]
fn a_row_is_limited_whatever_the_output_may_be() {
    let limits = Limits::default();
    let long = "x".repeat(Limits::ROW + 1);
    let mut outcome = outcome();
    outcome.emitted = vec![rows(&["", &long[1..], ""])];
    assert!(process(&limits).outcome(outcome.clone()).is_ok());
    outcome.emitted = vec![rows(&["", &long, ""])];
    let Err(failure) = process(&limits).outcome(outcome.clone()) else {
        panic!("it was taken");
    };
    assert_eq!(
        failure.to_string(),
        "`process` returned `emitted[0].values` whose row 1 has 16777217 bytes (limit \
         `limits.output` is 16MiB a row, whatever the job file says)"
    );
    // Two rows may together be longer than one.
    outcome.emitted = vec![rows(&["", &long[..9_000_000], &long[..9_000_000]])];
    assert!(process(&limits).outcome(outcome).is_ok());
}

/// Columns that mostly do not fit.
fn emitted() -> impl Strategy<Value = data::Emitted> {
    let column = || {
        (
            prop::collection::vec(any::<u8>(), 0..4),
            prop::collection::vec(0_u32..5, 0..4),
        )
            .prop_map(|(bytes, ends)| data::BytesColumn { bytes, ends })
    };
    let numbers = || prop::collection::vec(0_u32..5, 0..4);
    (0_u32..3, column(), numbers(), numbers(), column()).prop_map(
        |(output, values, origin, timestamps, keys)| data::Emitted {
            output,
            values,
            origin,
            timestamps: timestamps.into_iter().map(i64::from).collect(),
            keys,
        },
    )
}

/// The contract, read off naively, for a call of so many rows that count.
fn fits(emitted: &data::Emitted, count: usize) -> bool {
    let column = |column: &data::BytesColumn| {
        column.ends.is_sorted()
            && column.ends.last().copied().unwrap_or(0) as usize == column.bytes.len()
    };
    let rows = emitted.values.ends.len();
    let per_row = |len: usize| len == 0 || len == rows;
    emitted.output < 2
        && column(&emitted.values)
        && column(&emitted.keys)
        && per_row(emitted.keys.ends.len())
        && per_row(emitted.timestamps.len())
        && per_row(emitted.origin.len())
        && emitted.origin.iter().all(|&from| (from as usize) < count)
        && (!emitted.origin.is_empty() || rows == 0 || rows == count)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]
    #[test]
    fn what_is_taken_is_what_fits(
        emitted in prop::collection::vec(emitted(), 0..3),
        row in prop::option::of(0_u32..4),
    ) {
        let count = row.map_or(3, |row| row as usize);
        let expected = count <= 3
            && row.is_none_or(|row| row < 3)
            && emitted.iter().all(|emitted| fits(emitted, count));
        let taken = checked(|o| {
            o.emitted.clone_from(&emitted);
            o.poisoned = row.and_then(|row| poison(row, "bad"));
        });
        prop_assert_eq!(taken.is_ok(), expected);
        let Ok(Checked { outcome, .. }) = taken else {
            return Ok(());
        };
        for (emitted, given) in outcome.emitted.iter().zip(&emitted) {
            // Nothing panics that reads it, and all of it is there.
            prop_assert_eq!(emitted.values.iter().flatten().count(), given.values.bytes.len());
            prop_assert_eq!(emitted.keys.iter().flatten().count(), given.keys.bytes.len());
        }
    }
}
