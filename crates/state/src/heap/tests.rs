//! The laws on the heap backend, and what is particular to it.

mod calls;
mod chunks;
mod collisions;
mod increments;
mod memory;
mod ttl;

use crate::{HeapBackend, laws};

#[test]
fn the_heap_backend_keeps_the_laws() {
    laws::check_backend(|decls, range| Box::new(HeapBackend::new(decls, range).unwrap()));
}
