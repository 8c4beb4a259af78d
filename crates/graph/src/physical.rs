//! What runs: chains of nodes, the edges between them, how many subtasks each has.
//!
//! INVARIANT: each input of the logical graph is in the plan once, as a link inside a chain or as
//! an edge between two; a chain has one head, and all its nodes have its parallelism.

use weir_event_time::{EmittedStrategy, WatermarkStrategy};
use weir_model::{JobName, MaxParallelism, Name, Parallelism};

use crate::{GraphError, LogicalGraph, OnError, Partitioning, validate::Nodes};

/// Index of a chain in [`Plan::chains`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct VertexId(pub usize);

/// Index of an edge in [`Plan::edges`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EdgeId(pub usize);

/// The whole plan. Chains are in an order in which producers come before consumers.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The job.
    pub job: JobName,
    /// Number of key groups.
    pub max_parallelism: MaxParallelism,
    /// The chains; each becomes one task per subtask.
    pub chains: Vec<Chain>,
    /// The edges between chains.
    pub edges: Vec<Edge>,
}

/// Nodes joined by forward edges, run as one task per subtask. A tree: node 0 is the head, the only
/// one with inputs from other chains; every other node has exactly one input, from inside. A sink
/// that takes dead letters is always a head.
#[derive(Clone, Debug)]
pub struct Chain {
    /// The name of the head, which names the task.
    pub name: Name,
    /// Number of subtasks.
    pub parallelism: Parallelism,
    /// The nodes, producers before consumers.
    pub nodes: Vec<ChainNode>,
    /// The edges into the head, by input index.
    pub inputs: Vec<EdgeId>,
}

/// One node of a chain.
#[derive(Clone, Debug)]
pub struct ChainNode {
    /// Its name.
    pub name: Name,
    /// What it is.
    pub kind: NodeKind,
    /// Where its outputs go, in order of the job file.
    pub links: Vec<(u32, Link)>,
    /// The edge to the sink that takes its dead letters.
    pub dead_letters: Option<EdgeId>,
}

/// What a node is.
#[derive(Clone, Debug, PartialEq)]
pub enum NodeKind {
    /// A source; always a head.
    Source {
        /// Rows per second of the whole source.
        rate: Option<f64>,
        /// How it makes watermarks.
        watermarks: Option<WatermarkStrategy>,
    },
    /// An operator.
    Operator {
        /// What happens to a row that it refuses.
        on_error: OnError,
        /// Number of inputs.
        inputs: u32,
        /// How it makes watermarks of what it emits. Nothing is chained behind one that does, for a
        /// task has one watermark.
        watermarks: Option<EmittedStrategy>,
    },
    /// A sink.
    Sink,
}

/// What of a node leaves on an edge.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Port {
    /// The rows of an output: 0 is the main one, then the side outputs.
    Output(u32),
    /// Rows that could not be taken: by the node itself, or for want of a key by whoever is behind
    /// one of its hash edges.
    DeadLetters,
}

/// Where an output leads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Link {
    /// To a node of the same chain, by its index in [`Chain::nodes`].
    Chained(usize),
    /// Over a channel.
    Edge(EdgeId),
}

/// An edge between two chains; goes from every producing subtask to those its partitioning reaches.
#[derive(Clone, Debug)]
pub struct Edge {
    /// The producing chain.
    pub from: VertexId,
    /// The producing node in it.
    pub from_node: usize,
    /// What of that node.
    pub port: Port,
    /// The consuming chain (its head).
    pub to: VertexId,
    /// The input of the head.
    pub input: u32,
    /// How rows are dealt out.
    pub partitioning: Partitioning,
    /// What happens to a row without a key on a hash edge: the consumer's `on-error`.
    pub on_error: OnError,
    /// The edge out of the same node that takes such rows as dead letters.
    pub dead_letters: Option<EdgeId>,
}

impl Plan {
    /// The edges that leave a chain, in order of their numbers.
    pub fn edges_from(&self, chain: VertexId) -> impl Iterator<Item = (EdgeId, &Edge)> {
        let all = self.edges.iter().enumerate();
        all.filter(move |(_, edge)| edge.from == chain)
            .map(|(at, edge)| (EdgeId(at), edge))
    }

    /// By what the rows of each input of a chain are dealt out by key, in the selector's words;
    /// `None` for an input without keys.
    #[must_use]
    pub fn keys_of(&self, chain: &Chain) -> Vec<Option<String>> {
        let edges = chain.inputs.iter().map(|id| &self.edges[id.0]);
        edges
            .map(|edge| match &edge.partitioning {
                Partitioning::Hash(key) => Some(key.describe()),
                Partitioning::Forward
                | Partitioning::Rebalance
                | Partitioning::Broadcast
                | Partitioning::Global => None,
            })
            .collect()
    }
}

/// Makes the plan of a graph: validates it, chains what can be chained (forward edge, equal
/// parallelism, the consumer has no other input and does not forbid it), numbers edges.
///
/// # Errors
/// The first [`GraphError`] of [`LogicalGraph::validate`], where the graph cannot run.
pub fn plan(graph: &LogicalGraph) -> Result<Plan, GraphError> {
    if let Some(error) = graph.validate().into_iter().next() {
        return Err(error);
    }
    let nodes = Nodes::of(graph);
    let order = nodes.order().map_err(|names| GraphError::Cycle { names })?;
    let (mut chains, places) = chain_nodes(&nodes, &order);
    let mut edges = join_chains(&nodes, &order, &places, &mut chains);
    link_nodes(&nodes, &places, &mut chains);
    link_letters(&nodes, &places, &mut chains, &mut edges);
    Ok(Plan {
        job: graph.job.clone(),
        max_parallelism: graph.max_parallelism,
        chains,
        edges,
    })
}

/// Where a node went: its chain and its index in it.
#[derive(Clone, Copy, Default)]
struct Place {
    chain: usize,
    node: usize,
}

/// Puts each node into the chain of its producer, or at the head of one of its own. As `order` has
/// producers first, so have the chains and the nodes of each.
fn chain_nodes(nodes: &Nodes<'_>, order: &[usize]) -> (Vec<Chain>, Vec<Place>) {
    let mut chains: Vec<Chain> = Vec::new();
    let mut places = vec![Place::default(); order.len()];
    for &at in order {
        let node = &nodes.list[at];
        let chain = match nodes.chained_to(at) {
            Some(producer) => places[producer].chain,
            None => {
                chains.push(Chain {
                    name: node.name.clone(),
                    parallelism: node.parallelism,
                    nodes: Vec::new(),
                    inputs: Vec::new(),
                });
                chains.len() - 1
            }
        };
        let members = &mut chains[chain].nodes;
        places[at] = Place {
            chain,
            node: members.len(),
        };
        members.push(ChainNode {
            name: node.name.clone(),
            kind: node.kind.clone(),
            links: Vec::new(),
            dead_letters: None,
        });
    }
    (chains, places)
}

/// Makes the edges into the head of each chain, in order of chains and of their inputs.
fn join_chains(
    nodes: &Nodes<'_>,
    order: &[usize],
    places: &[Place],
    chains: &mut [Chain],
) -> Vec<Edge> {
    let mut edges = Vec::new();
    for &at in order {
        if nodes.chained_to(at).is_some() {
            continue;
        }
        let node = &nodes.list[at];
        let declared = node.inputs.iter().filter_map(|input| {
            let port = Port::Output(input.from.output);
            Some((nodes.producer(input)?, port, input.partitioning.clone()))
        });
        let letters = node
            .letters
            .iter()
            .map(|&producer| (producer, Port::DeadLetters, Partitioning::Rebalance));
        let to = places[at].chain;
        for ((producer, port, partitioning), input) in declared.chain(letters).zip(0..) {
            let from = places[producer];
            chains[to].inputs.push(EdgeId(edges.len()));
            edges.push(Edge {
                from: VertexId(from.chain),
                from_node: from.node,
                port,
                to: VertexId(to),
                input,
                partitioning,
                on_error: node.on_error(),
                dead_letters: None,
            });
        }
    }
    edges
}

/// Tells each operator, and each hash edge into it, where its dead letters go.
fn link_letters(nodes: &Nodes<'_>, places: &[Place], chains: &mut [Chain], edges: &mut [Edge]) {
    for at in 0..nodes.list.len() {
        let Some(sink) = nodes.letters_to(at) else {
            continue;
        };
        let (place, sink) = (places[at], places[sink].chain);
        let letters_from = |edges: &[Edge], chain, node| {
            let leads = |&&id: &&EdgeId| {
                let edge: &Edge = &edges[id.0];
                edge.port == Port::DeadLetters && (edge.from.0, edge.from_node) == (chain, node)
            };
            chains[sink].inputs.iter().find(leads).copied()
        };
        let own = letters_from(edges, place.chain, place.node);
        // Only a head has hash edges in front of it.
        if place.node == 0 {
            for id in &chains[place.chain].inputs {
                let edge = &edges[id.0];
                if matches!(edge.partitioning, Partitioning::Hash(_)) {
                    let letters = letters_from(edges, edge.from.0, edge.from_node);
                    edges[id.0].dead_letters = letters;
                }
            }
        }
        chains[place.chain].nodes[place.node].dead_letters = own;
    }
}

/// Tells each producer where its outputs go, in order of the job file.
fn link_nodes(nodes: &Nodes<'_>, places: &[Place], chains: &mut [Chain]) {
    for (at, node) in nodes.list.iter().enumerate() {
        let place = places[at];
        for (number, input) in node.inputs.iter().enumerate() {
            let Some(from) = nodes.producer(input).map(|producer| places[producer]) else {
                continue;
            };
            let link = match nodes.chained_to(at) {
                Some(_) => Link::Chained(place.node),
                None => Link::Edge(chains[place.chain].inputs[number]),
            };
            let links = &mut chains[from.chain].nodes[from.node].links;
            links.push((input.from.output, link));
        }
    }
}

#[cfg(test)]
pub(crate) mod tests;
