//! Whether a graph can run, and in which order.

use std::collections::{BTreeSet, HashMap};

use weir_model::{Name, Parallelism, SinkName};

use crate::{
    Endpoint, GraphError, Input, LogicalGraph, NodeKind, OnError, OperatorNode, Partitioning,
};

impl LogicalGraph {
    /// Everything that is wrong with the graph; nothing where it can run.
    #[must_use]
    pub fn validate(&self) -> Vec<GraphError> {
        let nodes = Nodes::of(self);
        let mut errors = Vec::new();
        if self.sources.is_empty() {
            errors.push(GraphError::NoSource);
        }
        for (at, node) in nodes.list.iter().enumerate() {
            if nodes.by_name.get(node.name) != Some(&at) {
                let name = node.name.clone();
                errors.push(GraphError::DuplicateName { name });
            }
            self.check_node(&nodes, node, &mut errors);
        }
        if let Err(names) = nodes.order() {
            errors.push(GraphError::Cycle { names });
        }
        errors
    }

    fn check_node(&self, nodes: &Nodes<'_>, node: &Node<'_>, errors: &mut Vec<GraphError>) {
        let name = || node.name.clone();
        if node.parallelism.get() > self.max_parallelism.get() {
            errors.push(GraphError::AboveMax {
                node: name(),
                parallelism: node.parallelism,
                max: self.max_parallelism,
            });
        }
        if matches!(node.kind, NodeKind::Operator { .. }) && node.inputs.is_empty() {
            errors.push(GraphError::NoInput { node: name() });
        }
        if matches!(node.kind, NodeKind::Sink) && node.inputs.is_empty() && node.letters.is_empty()
        {
            errors.push(GraphError::NothingFeeds { sink: name() });
        }
        if let OnError::DeadLetter(sink) = node.on_error()
            && !self.sinks.contains_key(&sink)
        {
            let operator = name();
            errors.push(GraphError::UnknownDeadLetters { operator, sink });
        }
        for input in node.inputs {
            let Some(producer) = nodes.producer(input) else {
                let from = spell(&input.from);
                errors.push(GraphError::UnknownInput { node: name(), from });
                continue;
            };
            let producer = &nodes.list[producer];
            let forward = matches!(input.partitioning, Partitioning::Forward);
            if forward && producer.parallelism != node.parallelism {
                errors.push(GraphError::UnequalForward {
                    from: producer.name.clone(),
                    left: producer.parallelism,
                    to: name(),
                    right: node.parallelism,
                });
            }
        }
    }
}

/// An endpoint in messages: the node, and which of its side outputs.
fn spell(endpoint: &Endpoint) -> String {
    match endpoint.output {
        0 => endpoint.node.to_string(),
        side => format!("{} (output {side})", endpoint.node),
    }
}

/// All nodes of a graph in one list, in order of the job file: sources, operators, sinks.
pub(crate) struct Nodes<'g> {
    pub(crate) list: Vec<Node<'g>>,
    /// Of nodes with the same name, the first.
    by_name: HashMap<&'g Name, usize>,
}

pub(crate) struct Node<'g> {
    pub(crate) name: &'g Name,
    pub(crate) parallelism: Parallelism,
    pub(crate) inputs: &'g [Input],
    pub(crate) kind: NodeKind,
    /// The nodes whose dead letters a sink takes, in order of the job file.
    pub(crate) letters: Vec<usize>,
    /// Number of outputs; none for a sink.
    outputs: u32,
    /// Whether it may be chained to what is before it.
    chain: bool,
}

impl Node<'_> {
    /// What happens to a row that the node cannot take.
    pub(crate) fn on_error(&self) -> OnError {
        match &self.kind {
            NodeKind::Operator { on_error, .. } => on_error.clone(),
            NodeKind::Source { .. } | NodeKind::Sink => OnError::Fail,
        }
    }

    /// The sink that takes the node's dead letters.
    fn dead_letters(&self) -> Option<&SinkName> {
        match &self.kind {
            NodeKind::Operator {
                on_error: OnError::DeadLetter(sink),
                ..
            } => Some(sink),
            NodeKind::Operator {
                on_error: OnError::Fail | OnError::Skip,
                ..
            }
            | NodeKind::Source { .. }
            | NodeKind::Sink => None,
        }
    }
}

impl<'g> Nodes<'g> {
    pub(crate) fn of(graph: &'g LogicalGraph) -> Self {
        let sources = graph.sources.iter().map(|(name, source)| Node {
            name,
            parallelism: source.parallelism,
            inputs: &[],
            kind: NodeKind::Source {
                rate: source.rate,
                watermarks: source.watermarks.clone(),
            },
            letters: Vec::new(),
            outputs: 1,
            chain: false,
        });
        let sinks = graph.sinks.iter().map(|(name, sink)| Node {
            name,
            parallelism: sink.parallelism,
            inputs: &sink.inputs,
            kind: NodeKind::Sink,
            letters: Vec::new(),
            outputs: 0,
            chain: true,
        });
        let operators = graph.operators.iter().map(operator_node);
        let list: Vec<_> = sources.chain(operators).chain(sinks).collect();
        let mut by_name = HashMap::new();
        for (at, node) in list.iter().enumerate() {
            by_name.entry(node.name).or_insert(at);
        }
        let mut nodes = Self { list, by_name };
        nodes.address_letters();
        nodes
    }

    /// Tells each sink whose dead letters it takes. A row that an operator cannot take comes from
    /// the operator, or where it has no key for a hash edge, from whoever was to send it: there it
    /// belongs to no subtask of the operator yet.
    fn address_letters(&mut self) {
        let mut letters = vec![BTreeSet::new(); self.list.len()];
        for (at, node) in self.list.iter().enumerate() {
            let Some(sink) = node.dead_letters().and_then(|sink| self.sink(sink)) else {
                continue;
            };
            letters[sink].insert(at);
            let keyed = node.inputs.iter().filter(|input| {
                // A key is chosen on hash edges alone.
                matches!(input.partitioning, Partitioning::Hash(_))
            });
            letters[sink].extend(keyed.filter_map(|input| self.producer(input)));
        }
        for (node, letters) in self.list.iter_mut().zip(letters) {
            node.letters.extend(letters);
        }
    }

    /// The node of a sink.
    fn sink(&self, name: &SinkName) -> Option<usize> {
        let at = *self.by_name.get(name)?;
        matches!(self.list[at].kind, NodeKind::Sink).then_some(at)
    }

    /// Where the dead letters of a node's inputs go, by its index.
    pub(crate) fn letters_to(&self, at: usize) -> Option<usize> {
        self.sink(self.list[at].dead_letters()?)
    }

    /// The node that an input reads; `None` where there is none or it has no such output.
    pub(crate) fn producer(&self, input: &Input) -> Option<usize> {
        let at = *self.by_name.get(&input.from.node)?;
        (input.from.output < self.list[at].outputs).then_some(at)
    }

    /// The producer that a node runs in one task with; `None` where it is the head of a chain.
    pub(crate) fn chained_to(&self, at: usize) -> Option<usize> {
        let node = &self.list[at];
        let [input] = node.inputs else {
            return None;
        };
        if !node.letters.is_empty() {
            return None; // they come over an edge of their own
        }
        let producer = self.producer(input)?;
        let forward = matches!(input.partitioning, Partitioning::Forward);
        let equal = self.list[producer].parallelism == node.parallelism;
        let makes_watermarks = match &self.list[producer].kind {
            NodeKind::Operator { watermarks, .. } => watermarks.is_some(),
            NodeKind::Source { .. } | NodeKind::Sink => false,
        };
        (node.chain && forward && equal && !makes_watermarks).then_some(producer)
    }

    /// The nodes with producers before consumers, otherwise in order of the job file. The error is
    /// a cycle, as its names joined by arrows.
    pub(crate) fn order(&self) -> Result<Vec<usize>, String> {
        let mut waits_for = vec![0; self.list.len()];
        let mut consumers = vec![Vec::new(); self.list.len()];
        for (at, node) in self.list.iter().enumerate() {
            let producers = node.inputs.iter().filter_map(|input| self.producer(input));
            // No cycle comes of dead letters: nothing follows a sink.
            for producer in producers.chain(node.letters.iter().copied()) {
                waits_for[at] += 1;
                consumers[producer].push(at);
            }
        }
        let free = (0..self.list.len()).filter(|&at| waits_for[at] == 0);
        let mut ready: BTreeSet<_> = free.collect();
        let mut order = Vec::with_capacity(self.list.len());
        while let Some(at) = ready.pop_first() {
            order.push(at);
            for &consumer in &consumers[at] {
                waits_for[consumer] -= 1;
                if waits_for[consumer] == 0 {
                    ready.insert(consumer);
                }
            }
        }
        match waits_for.iter().position(|&count| count > 0) {
            None => Ok(order),
            Some(stuck) => Err(self.cycle(stuck, &waits_for)),
        }
    }

    /// A cycle upstream of a node that waits for one. Every such node has a producer that waits
    /// too, so that going up comes to a node for the second time.
    fn cycle(&self, stuck: usize, waits_for: &[usize]) -> String {
        let mut path = vec![stuck];
        loop {
            let at = path[path.len() - 1];
            let inputs = self.list[at].inputs.iter();
            let up = inputs
                .filter_map(|input| self.producer(input))
                .find(|&producer| waits_for[producer] > 0);
            let Some(up) = up else {
                break; // not reached: see above
            };
            let seen = path.iter().position(|&node| node == up);
            path.push(up);
            if let Some(seen) = seen {
                path.drain(..seen);
                break;
            }
        }
        let names = path.iter().rev().map(|&at| self.list[at].name.as_str());
        names.collect::<Vec<_>>().join(" -> ")
    }
}

fn operator_node<'g>((name, operator): (&'g Name, &'g OperatorNode)) -> Node<'g> {
    Node {
        name,
        parallelism: operator.parallelism,
        inputs: &operator.inputs,
        kind: NodeKind::Operator {
            on_error: operator.on_error.clone(),
            inputs: u32::try_from(operator.inputs.len()).unwrap_or(u32::MAX),
            watermarks: operator.watermarks,
        },
        letters: Vec::new(),
        outputs: operator.outputs,
        chain: operator.chain,
    }
}

#[cfg(test)]
pub(crate) mod tests;
