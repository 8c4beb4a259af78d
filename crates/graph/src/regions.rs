//! What fails together: the parts of a plan that no edge joins (semantics 1.16).
//!
//! INVARIANT: every chain is in one region; no edge leads from one region into another.

use crate::{Plan, VertexId};

impl Plan {
    /// The chains of each region, in order. A job whose chains all hang together is one region.
    #[must_use]
    pub fn regions(&self) -> Vec<Vec<VertexId>> {
        // The region of a chain has the number of its first chain.
        let mut region: Vec<usize> = (0..self.chains.len()).collect();
        for edge in &self.edges {
            let (from, to) = (region[edge.from.0], region[edge.to.0]);
            let (kept, gone) = (from.min(to), from.max(to));
            for of in region.iter_mut().filter(|of| **of == gone) {
                *of = kept;
            }
        }
        let mut regions: Vec<Vec<VertexId>> = vec![Vec::new(); self.chains.len()];
        for (vertex, &region) in region.iter().enumerate() {
            regions[region].push(VertexId(vertex));
        }
        regions.retain(|region| !region.is_empty());
        regions
    }
}
