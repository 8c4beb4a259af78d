//! Reads and writes the state of the keys of a call by the imports of the contract, without the
//! SDK's handles, for `benches/boundary`: what an import costs. `config` says how: `none`, `single`
//! (each key by calls of its own) or `many` (all keys by one call to read and one to write).

use std::cell::Cell;

use weir_guest::bindings::exports::weir::operator::logic::Guest;
use weir_guest::bindings::weir::operator::data::{
    Batch, Descriptor, Emitted, OptionalColumn, Outcome, Slots, StateDecl, StateKind,
};
use weir_guest::bindings::weir::operator::{context, state};

#[derive(Clone, Copy, Default)]
enum How {
    #[default]
    None,
    Single,
    Many,
}

thread_local! {
    static HOW: Cell<How> = Cell::default();
}

struct StateAccess;

/// Adds one to the count in each value.
fn count(values: &mut OptionalColumn) -> Result<(), String> {
    let numbers = values.column.bytes.chunks_exact_mut(8);
    for number in numbers {
        let bytes: [u8; 8] = (&*number).try_into().map_err(|_| "no count")?;
        let counted = u64::from_le_bytes(bytes) + 1;
        number.copy_from_slice(&counted.to_le_bytes());
    }
    if values.present.contains(&0) {
        // Absent ones begin with one: the benchmark fills the state in its first calls.
        let keys = values.present.len() as u32;
        values.present.fill(1);
        values.column.bytes = 1_u64.to_le_bytes().repeat(keys as usize);
        values.column.ends = (1..=keys).map(|key| key * 8).collect();
    }
    Ok(())
}

fn access(keys: &[u32]) -> Result<(), String> {
    let mut values = state::value_get(0, keys);
    count(&mut values)?;
    state::value_put(0, keys, &values);
    Ok(())
}

impl Guest for StateAccess {
    fn describe() -> Descriptor {
        Descriptor {
            states: vec![StateDecl {
                name: "count".into(),
                kind: StateKind::Value,
                format: "u64-le".into(),
                version: 1,
                prefetch: false,
                ttl: None,
            }],
            inputs: 1,
            side_outputs: Vec::new(),
            timers: false,
            keeps_memory: false,
        }
    }

    fn open() -> Result<(), String> {
        HOW.set(match context::config().as_str() {
            "\"none\"" => How::None,
            "\"single\"" => How::Single,
            "\"many\"" => How::Many,
            other => return Err(format!("{other} is neither none, single nor many")),
        });
        Ok(())
    }

    fn process(_: u32, rows: Batch, _: Vec<Slots>) -> Result<Outcome, String> {
        let keys: Vec<u32> = (0..rows.keys.ends.len() as u32).collect();
        match HOW.get() {
            How::None => {}
            How::Single => keys.iter().try_for_each(|&key| access(&[key]))?,
            How::Many => access(&keys)?,
        }
        Ok(Outcome {
            emitted: Vec::new(),
            slots: Vec::new(),
            poisoned: None,
        })
    }

    fn end_of_input(_: u32) -> Result<Vec<Emitted>, String> {
        Ok(Vec::new())
    }

    fn finish() -> Result<Vec<Emitted>, String> {
        Ok(Vec::new())
    }
}

#[cfg(target_family = "wasm")]
weir_guest::bindings::export! { StateAccess with_types_in weir_guest::bindings }

// Elsewhere nothing is exported, but it is checked and counts as used.
#[cfg(not(target_family = "wasm"))]
const _: fn() -> Descriptor = <StateAccess as Guest>::describe;
