//! Describes itself as nothing can be: a state twice, a side output that is no name, a time to live
//! of nothing. A host refuses it before anything runs.

use weir_guest::bindings::{
    exports::weir::operator::logic::Guest,
    weir::operator::data::{Batch, Descriptor, Emitted, Outcome, Slots, StateDecl, StateKind, Ttl},
};

struct Describe;

fn declare(kind: StateKind) -> StateDecl {
    StateDecl {
        name: "twice".to_owned(),
        kind,
        format: "utf8".to_owned(),
        version: 1,
        prefetch: false,
        ttl: Some(Ttl {
            duration_ms: 0,
            on_read: false,
            return_expired: false,
        }),
    }
}

impl Guest for Describe {
    fn describe() -> Descriptor {
        Descriptor {
            states: vec![declare(StateKind::Value), declare(StateKind::Map)],
            inputs: 1,
            side_outputs: vec!["No Name!".to_owned()],
            timers: false,
            keeps_memory: false,
        }
    }

    fn open() -> Result<(), String> {
        Ok(())
    }

    fn process(_input: u32, _rows: Batch, _slots: Vec<Slots>) -> Result<Outcome, String> {
        Err("never called".to_owned())
    }

    fn end_of_input(_input: u32) -> Result<Vec<Emitted>, String> {
        Ok(Vec::new())
    }

    fn finish() -> Result<Vec<Emitted>, String> {
        Ok(Vec::new())
    }
}

#[cfg(target_family = "wasm")]
weir_guest::bindings::export! { Describe with_types_in weir_guest::bindings }

// Elsewhere nothing is exported; so it counts as used.
#[cfg(not(target_family = "wasm"))]
const _: fn() -> Descriptor = <Describe as Guest>::describe;
