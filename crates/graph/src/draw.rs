//! A plan as a picture: in the language of Graphviz, and as an SVG that is laid out here, so that
//! the command line, the documentation and a page show the same.
//!
//! INVARIANT: the same plan gives the same bytes, whatever machine draws it.

mod chain;
mod dot;
mod layers;
mod layout;
mod stack;
mod svg;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use weir_model::Name;

use crate::{Edge, Link, NodeKind, Plan, Port, VertexId};

pub use self::{dot::dot, svg::svg};

/// What a picture says besides the plan, by whoever knows more than names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Notes {
    /// A line under the name of a node: a path, a component.
    pub nodes: BTreeMap<Name, String>,
    /// The names of a node's side outputs, in order; output 1 is the first.
    pub outputs: BTreeMap<Name, Vec<String>>,
}

impl Notes {
    fn node(&self, name: &Name) -> Option<&str> {
        self.nodes.get(name).map(String::as_str)
    }

    /// The name of a side output of a node.
    #[must_use]
    pub fn output(&self, node: &Name, output: u32) -> Option<&str> {
        let at = usize::try_from(output.checked_sub(1)?).ok()?;
        self.outputs.get(node)?.get(at).map(String::as_str)
    }

    /// What is written at an edge: how rows are dealt out, and which output and input it joins
    /// where there are several.
    fn edge(&self, plan: &Plan, edge: &Edge) -> String {
        let mut text = edge.partitioning.as_str().to_owned();
        let from = &plan.chains[edge.from.0].nodes[edge.from_node].name;
        match edge.port {
            Port::Output(0) => {}
            Port::Output(output) => match self.output(from, output) {
                Some(name) => text = format!("{name}: {text}"),
                None => text = format!("output {output}: {text}"),
            },
            // However they are dealt out; and a sink takes them as they come.
            Port::DeadLetters => return "dead letters".to_owned(),
        }
        if plan.chains[edge.to.0].inputs.len() > 1 {
            text.push_str(&format!(", input {}", edge.input));
        }
        text
    }
}

/// All that leads on from a node, in the order in which it is drawn: what its outputs lead to, then
/// what else leaves it.
fn branches(plan: &Plan, chain: usize, node: usize) -> Vec<Link> {
    let links = plan.chains[chain].nodes[node].links.iter();
    let mut branches: Vec<Link> = links.map(|(_, link)| *link).collect();
    for (id, edge) in plan.edges_from(VertexId(chain)) {
        if edge.from_node == node && !branches.contains(&Link::Edge(id)) {
            branches.push(Link::Edge(id));
        }
    }
    branches
}

/// The kind of a node in one word, for classes and words of a picture.
fn kind(kind: &NodeKind) -> &'static str {
    match kind {
        NodeKind::Source { .. } => "source",
        NodeKind::Operator { .. } => "operator",
        NodeKind::Sink => "sink",
    }
}
