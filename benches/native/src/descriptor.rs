//! What an operator declares, in the words of the host.

use weir_guest::native::{Descriptor as Declared, StateDecl as State, StateKind as Kind};
use weir_operator::Descriptor;
use weir_state::{StateDecl, StateKind, Ttl};

/// Takes a declaration over as that of a component. Timers are a state of their own.
pub(crate) fn descriptor(declared: Declared, is_keyed_broadcast: bool) -> Descriptor {
    let mut states: Vec<StateDecl> = declared.states.into_iter().map(state).collect();
    if declared.timers {
        states.push(StateDecl::timers());
    }
    Descriptor {
        states,
        inputs: declared.inputs,
        side_outputs: declared.side_outputs,
        timers: declared.timers,
        keeps_memory: declared.keeps_memory,
        keyed_broadcast: is_keyed_broadcast,
        ..Descriptor::default()
    }
}

fn state(declared: State) -> StateDecl {
    StateDecl {
        name: declared.name,
        kind: match declared.kind {
            Kind::Value => StateKind::Value,
            Kind::List => StateKind::List,
            Kind::Map => StateKind::Map,
            Kind::Reducing => StateKind::Reducing,
            Kind::Aggregating => StateKind::Aggregating,
            Kind::OperatorList => StateKind::OperatorList,
            Kind::OperatorUnion => StateKind::OperatorUnion,
            Kind::Broadcast => StateKind::Broadcast,
        },
        format: declared.format,
        version: declared.version,
        prefetch: declared.prefetch,
        ttl: declared.ttl.map(|ttl| Ttl {
            duration_ms: ttl.duration_ms,
            on_read: ttl.on_read,
            return_expired: ttl.return_expired,
        }),
    }
}
