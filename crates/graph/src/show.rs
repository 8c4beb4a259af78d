//! A plan as text, for people: `weir check` prints it.

use std::fmt;

use crate::{Chain, ChainNode, Link, Plan, Port, VertexId};

impl fmt::Display for Plan {
    /// One line a chain, then one a leaving edge:
    ///
    /// ```text
    /// flights -> clean (parallelism 2)
    ///   clean --hash--> carriers
    /// carriers -> carriers-out (parallelism 2)
    /// ```
    ///
    /// A node with several consumers in its chain shows them in brackets; side outputs and inputs
    /// other than the first are named by number.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, chain) in self.chains.iter().enumerate() {
            if at > 0 {
                writeln!(f)?;
            }
            write_tree(f, chain, 0)?;
            write!(f, " (parallelism {})", chain.parallelism)?;
            for (_, edge) in self.edges_from(VertexId(at)) {
                let from = &chain.nodes[edge.from_node].name;
                let to = &self.chains[edge.to.0];
                write!(f, "\n  {from}")?;
                match edge.port {
                    Port::Output(0) => write!(f, " --{}--> ", edge.partitioning.as_str())?,
                    Port::Output(side) => {
                        let how = edge.partitioning.as_str();
                        write!(f, " (output {side}) --{how}--> ")?;
                    }
                    Port::DeadLetters => f.write_str(" --dead letters--> ")?,
                }
                f.write_str(to.name.as_str())?;
                if to.inputs.len() > 1 {
                    write!(f, " (input {})", edge.input)?;
                }
            }
        }
        Ok(())
    }
}

/// A node of a chain and what is chained to it. A chain is a tree, and its depth is bounded by the
/// number of names in a job file.
fn write_tree(f: &mut fmt::Formatter<'_>, chain: &Chain, at: usize) -> fmt::Result {
    let node = &chain.nodes[at];
    write!(f, "{}", node.name)?;
    let chained: Vec<_> = chained(node).collect();
    match chained[..] {
        [] => Ok(()),
        [next] => {
            f.write_str(" -> ")?;
            write_tree(f, chain, next)
        }
        [..] => {
            f.write_str(" -> (")?;
            for (i, &next) in chained.iter().enumerate() {
                if i > 0 {
                    f.write_str(", ")?;
                }
                write_tree(f, chain, next)?;
            }
            f.write_str(")")
        }
    }
}

fn chained(node: &ChainNode) -> impl Iterator<Item = usize> {
    node.links.iter().filter_map(|(_, link)| match link {
        Link::Chained(next) => Some(*next),
        Link::Edge(_) => None,
    })
}
