//! The laws on the heap backend, and what is particular to it.

mod calls;
mod chunks;
mod collisions;
mod increments;
mod memory;
mod order;
mod ttl;

use crate::{HeapBackend, StateDecl, StateKind, laws};

/// A state of each of these kinds, with its name.
fn decls<const N: usize>(kinds: [StateKind; N]) -> Vec<StateDecl> {
    let decl = |kind: StateKind| StateDecl {
        name: kind.as_str().into(),
        kind,
        format: "raw".into(),
        version: 1,
        prefetch: false,
        ttl: None,
    };
    kinds.map(decl).into()
}

#[test]
fn the_heap_backend_keeps_the_laws() {
    laws::check_backend(|decls, range| Box::new(HeapBackend::new(decls, range).unwrap()));
}
