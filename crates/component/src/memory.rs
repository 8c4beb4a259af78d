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

    /// More than the module itself allows or than can be addressed (then nobody has asked above),
    /// or the machine has no more. Traps as well, so that `bytes` never counts what is not there.
    fn memory_grow_failed(&mut self, error: wasmtime::Error) -> wasmtime::Result<()> {
        let what = format!("more memory than there can be: {error:#}");
        Err(wasmtime::Error::new(Breach::Excess { what }))
    }

    fn table_growing(
        &mut self,
        current: usize,
        desired: usize,
        maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        if maximum.is_some_and(|maximum| desired > maximum) {
            // It will not be made, so it is not counted.
            return Ok(true);
        }
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

#[cfg(test)]
mod tests {
    use super::*;

    fn excess(error: &wasmtime::Error) -> &str {
        match error.downcast_ref::<Breach>() {
            Some(Breach::Excess { what }) => what,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn memories_count_together() {
        let mut limit = MemoryLimit::new(100);
        assert!(limit.memory_growing(0, 60, None).unwrap());
        assert!(limit.memory_growing(0, 40, None).unwrap());
        assert_eq!(limit.bytes(), 100);
        let error = limit.memory_growing(60, 61, None).unwrap_err();
        let breach = error.downcast_ref::<Breach>();
        assert!(matches!(breach, Some(Breach::Memory { wanted: 101 })));
        assert_eq!(limit.bytes(), 100);
    }

    #[test]
    fn tables_count_together_and_only_what_is_made() {
        let mut limit = MemoryLimit::new(0);
        assert!(limit.table_growing(0, MAX_TABLE_ELEMENTS, None).unwrap());
        assert!(limit.table_growing(0, 11, Some(10)).unwrap());
        let error = limit.table_growing(0, 1, Some(10)).unwrap_err();
        assert_eq!(
            excess(&error),
            "a table of 1048577 elements, 1048576 is the most"
        );
    }
}
