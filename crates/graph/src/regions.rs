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

#[cfg(test)]
mod tests {
    use crate::{Plan, plan, validate::tests::graph};

    /// The heads of the chains of each region.
    fn regions(text: &str) -> Vec<Vec<String>> {
        let plan: Plan = plan(&graph(text)).unwrap();
        let names = |region: Vec<crate::VertexId>| {
            let heads = region.into_iter().map(|vertex| &plan.chains[vertex.0].name);
            heads.map(ToString::to_string).collect()
        };
        let regions = plan.regions();
        for edge in &plan.edges {
            let of = |vertex| regions.iter().position(|region| region.contains(vertex));
            assert_eq!(of(&edge.from), of(&edge.to));
        }
        assert_eq!(
            regions.iter().map(Vec::len).sum::<usize>(),
            plan.chains.len()
        );
        regions.into_iter().map(names).collect()
    }

    #[test]
    fn what_hangs_together_is_one_region() {
        assert_eq!(regions("s\na <- s\nout <- ~a"), [["s", "out"]]);
        // Two sources that one operator joins, however late.
        let joined = regions("s\nt\na <- ~s\nb <- ~t\nc <- ~a, ~b\nout <- c");
        assert_eq!(joined, [["s", "t", "a", "b", "c"]]);
    }

    #[test]
    fn graphs_that_nothing_joins_are_regions_of_their_own() {
        let two = regions("s\nt\na <- ~s\nb <- ~t\nout <- a\nother <- ~b");
        assert_eq!(two, [vec!["s", "a"], vec!["t", "b", "other"]]);
    }
}
