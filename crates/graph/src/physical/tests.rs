//! Tests of `physical`.

use std::{collections::HashMap, sync::Arc};

use proptest::prelude::*;
use weir_event_time::EmittedStrategy;
use weir_model::{Column, ColumnView};
use weir_operator::{BadKey, KeySelector};

use super::*;
use crate::{Endpoint, Input, OperatorNode, SinkNode, SourceNode, validate::tests::graph};

#[track_caller]
fn check(text: &str, expected: &str) {
    let plan = plan(&graph(text)).unwrap();
    assert_valid(&graph(text), &plan);
    assert_eq!(plan.to_string(), expected);
}

#[test]
fn forward_edges_of_equal_parallelism_are_chained() {
    check(
        "s\na <- s\nb <- ~a\nout <- b",
        "s -> a (parallelism 2)\n  a --rebalance--> b\nb -> out (parallelism 2)",
    );
}

#[test]
fn a_node_may_be_chained_to_several() {
    check(
        "s\nout <- s\na <- s\nb <- a\nc <- a.1",
        "s -> (a -> (b, c), out) (parallelism 2)",
    );
}

#[test]
fn a_node_with_two_inputs_is_a_head() {
    check(
        "s\nt*1\na <- s, !t\nout <- a",
        "s (parallelism 2)\n  s --forward--> a (input 0)\n\
         t (parallelism 1)\n  t --broadcast--> a (input 1)\n\
         a -> out (parallelism 2)",
    );
}

#[test]
fn producers_come_first_in_whatever_order_they_were_written() {
    check(
        "out <- c\nc <- ~b\nb <- ~a.1\na <- ~s\ns",
        "s (parallelism 2)\n  s --rebalance--> a\n\
         a (parallelism 2)\n  a (output 1) --rebalance--> b\n\
         b (parallelism 2)\n  b --rebalance--> c\n\
         c -> out (parallelism 2)",
    );
}

#[test]
fn an_operator_may_forbid_to_be_chained() {
    let mut graph = graph("s\na <- s\nb <- a");
    graph.operators[0].chain = false;
    let plan = plan(&graph).unwrap();
    assert_valid(&graph, &plan);
    assert_eq!(
        plan.to_string(),
        "s (parallelism 2)\n  s --forward--> a\na -> b (parallelism 2)"
    );
}

#[test]
fn nothing_is_chained_behind_an_operator_that_makes_watermarks() {
    let mut graph = graph("s\na <- s\nb <- a");
    graph.operators[0].watermarks = Some(EmittedStrategy::Component);
    let plan = plan(&graph).unwrap();
    assert_valid(&graph, &plan);
    assert_eq!(
        plan.to_string(),
        "s -> a (parallelism 2)\n  a --forward--> b\nb (parallelism 2)"
    );
}

#[test]
fn an_edge_knows_what_its_consumer_does_with_bad_rows() {
    let plan = plan(&graph("s\na <- ~s\nout <- ~a")).unwrap();
    let on_error: Vec<_> = plan.edges.iter().map(|e| e.on_error.clone()).collect();
    assert_eq!(on_error, [OnError::Skip, OnError::Fail]);
}

#[test]
fn dead_letters_come_from_the_operator_and_from_whoever_chooses_its_keys() {
    let mut graph = graph("s\na <- s\nb <- #a, ~s\nout <- b\nout-dead*1 <-");
    let dead = OnError::DeadLetter(Name::new("out-dead").unwrap());
    graph.operators[1].on_error = dead;
    let plan = plan(&graph).unwrap();
    assert_valid(&graph, &plan);
    assert_eq!(
        plan.to_string(),
        "s -> a (parallelism 2)\n  a --hash--> b (input 0)\n  s --rebalance--> b (input 1)\n  \
         a --dead letters--> out-dead (input 0)\n\
         b -> out (parallelism 2)\n  b --dead letters--> out-dead (input 1)\n\
         out-dead (parallelism 1)"
    );
}

#[test]
fn a_sink_takes_dead_letters_of_several_beside_its_own_rows_and_is_then_a_head() {
    let mut graph = graph("s\na <- s\nb <- a\nout <- b");
    for operator in [0, 1] {
        let dead = OnError::DeadLetter(Name::new("out").unwrap());
        graph.operators[operator].on_error = dead;
    }
    let plan = plan(&graph).unwrap();
    assert_valid(&graph, &plan);
    assert_eq!(
        plan.to_string(),
        "s -> a -> b (parallelism 2)\n  b --forward--> out (input 0)\n  \
         a --dead letters--> out (input 1)\n  b --dead letters--> out (input 2)\n\
         out (parallelism 2)"
    );
}

#[test]
fn a_graph_that_cannot_run_has_no_plan() {
    assert_eq!(plan(&graph("a <- a")).unwrap_err(), GraphError::NoSource);
}

struct NoKey;

impl KeySelector for NoKey {
    fn select(&self, _: ColumnView<'_>, _: &mut Column, _: &mut Vec<BadKey>) {}

    fn describe(&self) -> String {
        "none".into()
    }
}

/// What a node of a random graph is like. Inputs are picked among the nodes before it.
#[derive(Clone, Debug)]
struct Draft {
    parallelism: u32,
    chain: bool,
    inputs: Vec<(prop::sample::Index, u32, u8)>,
}

fn draft() -> impl Strategy<Value = Draft> {
    let input = (any::<prop::sample::Index>(), 0..2_u32, 0..8_u8);
    let inputs = prop::collection::vec(input, 1..=3);
    (1..=2_u32, prop::bool::weighted(0.8), inputs).prop_map(|(parallelism, chain, inputs)| Draft {
        parallelism,
        chain,
        inputs: if chain { inputs[..1].to_vec() } else { inputs },
    })
}

// tidy: long function, one closure over what is drawn
/// A graph that can run, of a few nodes.
pub(crate) fn random_graph() -> impl Strategy<Value = LogicalGraph> {
    let sources = prop::collection::vec(1..=2_u32, 1..=3);
    let operators = prop::collection::vec((draft(), any::<bool>()), 0..8);
    let sinks = prop::collection::vec(draft(), 0..4);
    let letters = prop::collection::vec(prop::option::of(any::<prop::sample::Index>()), 8);
    (sources, operators, sinks, letters).prop_map(|(sources, operators, sinks, letters)| {
        let mut built = graph("");
        // What can be read: name, parallelism, whether it has a side output.
        let mut known: Vec<(Name, u32, bool)> = Vec::new();
        for (i, parallelism) in sources.into_iter().enumerate() {
            let name = Name::new(&format!("s{i}")).unwrap();
            known.push((name.clone(), parallelism, false));
            let parallelism = Parallelism::new(parallelism).unwrap();
            built.sources.insert(
                name,
                SourceNode {
                    parallelism,
                    rate: None,
                    watermarks: None,
                },
            );
        }
        let make = |draft: &Draft, known: &[(Name, u32, bool)]| -> Vec<Input> {
            let pick = |(index, output, kind): &(prop::sample::Index, u32, u8)| {
                let (node, parallelism, side) = known[index.index(known.len())].clone();
                let from = Endpoint {
                    node,
                    output: if side { *output } else { 0 },
                };
                let partitioning = match kind {
                    0 => Partitioning::Hash(Arc::new(NoKey)),
                    1 => Partitioning::Broadcast,
                    2 => Partitioning::Global,
                    3..=6 if parallelism == draft.parallelism => Partitioning::Forward,
                    _ => Partitioning::Rebalance,
                };
                Input { from, partitioning }
            };
            draft.inputs.iter().map(pick).collect()
        };
        for (i, (draft, first)) in operators.into_iter().enumerate() {
            let name = Name::new(&format!("o{i}")).unwrap();
            let operator = OperatorNode {
                parallelism: Parallelism::new(draft.parallelism).unwrap(),
                inputs: make(&draft, &known),
                outputs: 2,
                on_error: OnError::Fail,
                chain: draft.chain,
                watermarks: (i % 3 == 2).then_some(EmittedStrategy::Component),
            };
            known.push((name.clone(), draft.parallelism, true));
            // The order of the job file need not be that of the rows.
            let at = if first { 0 } else { built.operators.len() };
            built.operators.shift_insert(at, name, operator);
        }
        for (i, draft) in sinks.into_iter().enumerate() {
            let name = Name::new(&format!("out{i}")).unwrap();
            let inputs = make(&draft, &known);
            let parallelism = Parallelism::new(draft.parallelism).unwrap();
            built.sinks.insert(
                name,
                SinkNode {
                    parallelism,
                    inputs,
                },
            );
        }
        send_letters(&mut built, &letters);
        built
    })
}

/// Sends the dead letters of some operators to one sink or another.
fn send_letters(graph: &mut LogicalGraph, letters: &[Option<prop::sample::Index>]) {
    if graph.sinks.is_empty() {
        return;
    }
    for (operator, to) in graph.operators.values_mut().zip(letters) {
        if let Some(to) = to {
            let (sink, _) = graph.sinks.get_index(to.index(graph.sinks.len())).unwrap();
            operator.on_error = OnError::DeadLetter(sink.clone());
        }
    }
}

proptest! {
    #[test]
    fn a_plan_holds_each_input_once_and_keeps_the_rules(graph in random_graph()) {
        prop_assert_eq!(graph.validate(), []);
        assert_valid(&graph, &plan(&graph).unwrap());
    }
}

/// Inputs of a graph, as consumer and number.
fn inputs(graph: &LogicalGraph) -> HashMap<(Name, u32), Input> {
    let operators = graph.operators.iter().flat_map(|(name, operator)| {
        let inputs = operator.inputs.iter().cloned();
        inputs
            .zip(0..)
            .map(|(input, at)| ((name.clone(), at), input))
    });
    let sinks = graph.sinks.iter().flat_map(|(name, sink)| {
        let inputs = sink.inputs.iter().cloned();
        inputs
            .zip(0..)
            .map(|(input, at)| ((name.clone(), at), input))
    });
    operators.chain(sinks).collect()
}

#[track_caller]
fn assert_valid(graph: &LogicalGraph, plan: &Plan) {
    let mut left = inputs(graph);
    let mut names = Vec::new();
    for (at, chain) in plan.chains.iter().enumerate() {
        assert_eq!(chain.name, chain.nodes[0].name);
        let mut fed = vec![0; chain.nodes.len()];
        for (from, node) in chain.nodes.iter().enumerate() {
            names.push(node.name.clone());
            assert_eq!(parallelism(graph, &node.name), chain.parallelism);
            for &(output, link) in &node.links {
                let (to, input, chained) = match link {
                    Link::Chained(to) => {
                        assert!(to > from);
                        fed[to] += 1;
                        (&chain.nodes[to].name, 0, true)
                    }
                    Link::Edge(id) => {
                        let edge = &plan.edges[id.0];
                        let to = &plan.chains[edge.to.0];
                        assert!(edge.to.0 > at);
                        assert_eq!(to.inputs[edge.input as usize], id);
                        assert_eq!(
                            (edge.from.0, edge.from_node, edge.port),
                            (at, from, Port::Output(output))
                        );
                        (&to.name, edge.input, false)
                    }
                };
                let logical = left.remove(&(to.clone(), input)).expect("once");
                assert_eq!(
                    (&logical.from.node, logical.from.output),
                    (&node.name, output)
                );
                assert_eq!(chained, may_chain(graph, to, &logical), "{to}");
            }
        }
        assert_eq!(fed[0], 0);
        assert!(fed[1..].iter().all(|&count| count == 1));
    }
    assert!(left.is_empty(), "{left:?}");
    assert_letters(graph, plan);
    let in_chains: usize = plan.chains.iter().map(|c| c.inputs.len()).sum();
    assert_eq!(in_chains, plan.edges.len());
    names.sort();
    let mut all: Vec<_> = graph
        .sources
        .keys()
        .chain(graph.operators.keys())
        .cloned()
        .collect();
    all.extend(graph.sinks.keys().cloned());
    all.sort();
    assert_eq!(names, all);
}

fn parallelism(graph: &LogicalGraph, name: &Name) -> Parallelism {
    let source = graph.sources.get(name).map(|s| s.parallelism);
    let operator = graph.operators.get(name).map(|o| o.parallelism);
    let sink = graph.sinks.get(name).map(|s| s.parallelism);
    source.or(operator).or(sink).unwrap()
}

fn may_chain(graph: &LogicalGraph, to: &Name, input: &Input) -> bool {
    let alone = match graph.operators.get(to) {
        Some(operator) => operator.chain && operator.inputs.len() == 1,
        None => {
            let takes = |o: &OperatorNode| o.on_error == OnError::DeadLetter(to.clone());
            graph.sinks[to].inputs.len() == 1 && !graph.operators.values().any(takes)
        }
    };
    let from = graph.operators.get(&input.from.node);
    let makes_watermarks = from.is_some_and(|from| from.watermarks.is_some());
    alone && !makes_watermarks && matches!(input.partitioning, Partitioning::Forward)
}

/// Each operator with dead letters has an edge for them to its sink, as has whoever chooses keys
/// for it, and there are no others.
#[track_caller]
fn assert_letters(graph: &LogicalGraph, plan: &Plan) {
    let mut needed = std::collections::BTreeSet::new();
    for chain in &plan.chains {
        for (at, node) in chain.nodes.iter().enumerate() {
            let on_error = graph.operators.get(&node.name).map(|o| &o.on_error);
            let Some(OnError::DeadLetter(sink)) = on_error else {
                assert_eq!(node.dead_letters, None);
                continue;
            };
            let leads = |id: Option<EdgeId>, from: &Name| {
                let id = id.expect("an edge for dead letters");
                let edge = &plan.edges[id.0];
                assert_eq!(edge.port, Port::DeadLetters);
                assert_eq!(edge.dead_letters, None);
                let node = &plan.chains[edge.from.0].nodes[edge.from_node];
                assert_eq!((&node.name, &plan.chains[edge.to.0].name), (from, sink));
                id.0
            };
            needed.insert(leads(node.dead_letters, &node.name));
            for id in chain.inputs.iter().filter(|_| at == 0) {
                let edge = &plan.edges[id.0];
                let from = &plan.chains[edge.from.0].nodes[edge.from_node].name;
                match edge.partitioning {
                    Partitioning::Hash(_) => {
                        needed.insert(leads(edge.dead_letters, from));
                    }
                    _ => assert_eq!(edge.dead_letters, None),
                }
            }
        }
    }
    let edges = plan.edges.iter().enumerate();
    let there = edges.filter(|(_, edge)| edge.port == Port::DeadLetters);
    assert_eq!(
        there.map(|(at, _)| at).collect::<Vec<_>>(),
        Vec::from_iter(needed)
    );
}
