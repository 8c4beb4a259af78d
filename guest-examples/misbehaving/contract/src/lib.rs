//! Breaks the contract, each row in the way it names: for tests of what a host does about it.
//!
//! Made by hand against the bindings, for the SDK would not let it. Rows without a `!` are passed
//! on and counted under their key; of a call that breaks the contract nothing may be left.

use weir_guest::bindings::{
    exports::weir::operator::logic::Guest,
    weir::operator::{
        data::{
            Batch, BytesColumn, Descriptor, Emitted, OptionalColumn, Outcome, Poison, Slots,
            StateDecl, StateKind, TimerKind,
        },
        state, timers,
    },
};

/// The state that counts rows.
const COUNT: u32 = 0;

/// A list, which must not be taken for a value.
const LIST: u32 = 1;

/// Nothing that was declared.
const UNDECLARED: u32 = 7;

struct Contract;

fn column(rows: &[&[u8]]) -> BytesColumn {
    let mut bytes = Vec::new();
    let mut ends = Vec::new();
    for row in rows {
        bytes.extend_from_slice(row);
        ends.push(bytes.len() as u32);
    }
    BytesColumn { bytes, ends }
}

fn present(value: &[u8]) -> OptionalColumn {
    OptionalColumn {
        present: vec![1],
        column: column(&[value]),
    }
}

fn emitted(values: BytesColumn, origin: Vec<u32>) -> Emitted {
    Emitted {
        output: 0,
        values,
        origin,
        timestamps: Vec::new(),
        keys: column(&[]),
    }
}

fn declare(name: &str, kind: StateKind) -> StateDecl {
    StateDecl {
        name: name.to_owned(),
        kind,
        format: "utf8".to_owned(),
        version: 1,
        prefetch: false,
        ttl: None,
    }
}

/// What a call returns that passes all rows on.
fn passed_on(rows: &Batch) -> Outcome {
    let origin = (0..rows.values.ends.len() as u32).collect();
    Outcome {
        emitted: vec![emitted(rows.values.clone(), origin)],
        slots: Vec::new(),
        poisoned: None,
    }
}

/// Does what `deed` names; gives what the call returns.
fn act(deed: &str, rows: &Batch) -> Outcome {
    let mut outcome = passed_on(rows);
    let all = rows.values.ends.len() as u32;
    match deed {
        "!outside-its-keys" => state::value_put(COUNT, &[all + 1000], &present(b"1")),
        "!more-values-than-keys" => state::value_put(COUNT, &[0, 0], &present(b"1")),
        "!undeclared-state" => state::value_put(UNDECLARED, &[0], &present(b"1")),
        "!wrong-kind" => drop(state::value_get(LIST, &[0])),
        "!timer" => timers::register(TimerKind::EventTime, &[0], &[1]),
        "!ends-fall" => {
            outcome.emitted[0].values = BytesColumn {
                bytes: b"abc".to_vec(),
                ends: vec![2, 1, 3],
            };
        }
        "!ends-too-far" => {
            outcome.emitted[0].values = BytesColumn {
                bytes: b"abc".to_vec(),
                ends: vec![4],
            };
        }
        "!origin-nowhere" => outcome.emitted[0].origin = vec![all; all as usize],
        "!origin-short" => {
            outcome.emitted[0].origin.pop();
            outcome.emitted[0].origin.push(0);
            outcome.emitted[0].origin.push(0);
        }
        "!undeclared-output" => outcome.emitted[0].output = 3,
        "!slots-unasked" => {
            outcome.slots = vec![Slots {
                state: UNDECLARED,
                values: present(b"1"),
            }];
        }
        "!poison-nowhere" => {
            outcome.poisoned = Some(Poison {
                row: all,
                message: "a row that is not there".to_owned(),
            });
        }
        _ => {}
    }
    outcome
}

impl Guest for Contract {
    fn describe() -> Descriptor {
        Descriptor {
            states: vec![
                declare("count", StateKind::Value),
                declare("list", StateKind::List),
            ],
            inputs: 1,
            side_outputs: Vec::new(),
            timers: false,
            keeps_memory: false,
        }
    }

    fn open() -> Result<(), String> {
        Ok(())
    }

    fn process(_input: u32, rows: Batch, _slots: Vec<Slots>) -> Result<Outcome, String> {
        // What is counted before the deed must be gone after it.
        let keys: Vec<u32> = (0..rows.keys.ends.len() as u32).collect();
        let before = state::value_get(COUNT, &keys);
        let mut counts = Vec::new();
        let mut start = 0;
        for (at, end) in before.column.ends.iter().enumerate() {
            let text = String::from_utf8_lossy(&before.column.bytes[start..*end as usize]);
            let more = rows.key_of_row.iter().filter(|key| **key == at as u32);
            let count = text.parse::<u64>().unwrap_or(0) + more.count() as u64;
            counts.push(count.to_string());
            start = *end as usize;
        }
        let texts: Vec<&[u8]> = counts.iter().map(String::as_bytes).collect();
        let after = OptionalColumn {
            present: vec![1; texts.len()],
            column: column(&texts),
        };
        state::value_put(COUNT, &keys, &after);
        let mut start = 0;
        for end in &rows.values.ends {
            let row = String::from_utf8_lossy(&rows.values.bytes[start..*end as usize]);
            start = *end as usize;
            if row.starts_with('!') {
                return Ok(act(&row, &rows));
            }
        }
        Ok(passed_on(&rows))
    }

    fn end_of_input(_input: u32) -> Result<Vec<Emitted>, String> {
        Ok(Vec::new())
    }

    fn finish() -> Result<Vec<Emitted>, String> {
        Ok(Vec::new())
    }
}

#[cfg(target_family = "wasm")]
weir_guest::bindings::export! { Contract with_types_in weir_guest::bindings }

// Elsewhere nothing is exported; so it counts as used.
#[cfg(not(target_family = "wasm"))]
const _: fn() -> Descriptor = <Contract as Guest>::describe;
