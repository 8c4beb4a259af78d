//! The limit of memory: asked by wasmtime before a linear memory or a table is made or grows.
//!
//! INVARIANT: growth beyond the limit traps. The guest's allocator is not asked to cope, since a
//! guest that runs out of memory ends in an abort that does not tell why.

use wasmtime::ResourceLimiter;

use crate::breach::Breach;

/// The most elements of all tables: a table holds the functions that are called by pointer, of
/// which a language runtime has some ten thousand.
const MAX_TABLE_ELEMENTS: usize = 1 << 20;
/// The most core instances, memories and tables of a component: those of a component with several
/// modules linked together are some ten.
const MAX_PARTS: usize = 1000;

/// Counts and bounds the memory of a store.
pub(crate) struct MemoryLimit {
    limit: usize,
    bytes: usize,
    elements: usize,
}

impl MemoryLimit {
    pub(crate) fn new(limit: usize) -> Self {
        Self {
            limit,
            bytes: 0,
            elements: 0,
        }
    }

    /// The linear memory in use.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }
}

impl ResourceLimiter for MemoryLimit {
    fn memory_growing(
        &mut self,
        current: usize,
        desired: usize,
        _maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        let wanted = self.bytes.saturating_add(desired.saturating_sub(current));
        if wanted > self.limit {
            return Err(wasmtime::Error::new(Breach::Memory { wanted }));
        }
        self.bytes = wanted;
        Ok(true)
    }

    /// The module's own maximum, or the machine has no more. Traps as well, so that `bytes` never
    /// counts what is not there.
    fn memory_grow_failed(&mut self, error: wasmtime::Error) -> wasmtime::Result<()> {
        Err(error)
    }

    fn table_growing(
        &mut self,
        current: usize,
        desired: usize,
        _maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        let wanted = self
            .elements
            .saturating_add(desired.saturating_sub(current));
        if wanted > MAX_TABLE_ELEMENTS {
            let what = format!("a table of {wanted} elements, {MAX_TABLE_ELEMENTS} is the most");
            return Err(wasmtime::Error::new(Breach::Excess { what }));
        }
        self.elements = wanted;
        Ok(true)
    }

    fn instances(&self) -> usize {
        MAX_PARTS
    }

    fn tables(&self) -> usize {
        MAX_PARTS
    }

    fn memories(&self) -> usize {
        MAX_PARTS
    }
}
