//! Tests of `validate`.

use std::sync::Arc;

use weir_model::{Column, ColumnView, MaxParallelism, Parallelism};
use weir_operator::{BadKey, KeySelector};

use super::*;
use crate::{SinkNode, SourceNode};

/// A graph of `name <- input, input` lines: a name without inputs is a source, one that begins with
/// `out` a sink, any other an operator; `name*3` has parallelism 3, all others 2.
pub(crate) fn graph(text: &str) -> LogicalGraph {
    let mut graph = LogicalGraph {
        job: Name::new("job").unwrap(),
        max_parallelism: MaxParallelism::new(8).unwrap(),
        sources: Default::default(),
        operators: Default::default(),
        sinks: Default::default(),
    };
    for line in text.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let (head, inputs) = line.split_once("<-").unwrap_or((line, ""));
        let (name, parallelism) = head.trim().split_once('*').unwrap_or((head.trim(), "2"));
        let name = Name::new(name).unwrap();
        let parallelism = Parallelism::new(parallelism.parse().unwrap()).unwrap();
        let inputs: Vec<_> = inputs
            .split(',')
            .filter(|i| !i.trim().is_empty())
            .map(input)
            .collect();
        if name.as_str().starts_with("out") {
            graph.sinks.insert(
                name,
                SinkNode {
                    parallelism,
                    inputs,
                },
            );
        } else if line.contains("<-") {
            let operator = OperatorNode {
                parallelism,
                inputs,
                outputs: 2,
                on_error: OnError::Skip,
                chain: true,
                watermarks: None,
            };
            graph.operators.insert(name, operator);
        } else {
            let node = SourceNode {
                parallelism,
                rate: None,
                watermarks: None,
            };
            graph.sources.insert(name, node);
        }
    }
    graph
}

/// The same key for all rows.
#[derive(Debug)]
struct OneKey;

impl KeySelector for OneKey {
    fn select(&self, values: ColumnView<'_>, keys: &mut Column, _: &mut Vec<BadKey>) {
        values.iter().for_each(|_| keys.push(b""));
    }

    fn describe(&self) -> String {
        "one".into()
    }
}

/// `node`, or `node.1` for its side output, after `~` for rebalance, `!` for broadcast, `#` for
/// hash.
fn input(text: &str) -> Input {
    let text = text.trim();
    let (partitioning, text) = match text.split_at(1) {
        ("~", rest) => (Partitioning::Rebalance, rest),
        ("!", rest) => (Partitioning::Broadcast, rest),
        ("#", rest) => (Partitioning::Hash(Arc::new(OneKey)), rest),
        _ => (Partitioning::Forward, text),
    };
    let (node, output) = text.split_once('.').unwrap_or((text, "0"));
    let from = Endpoint {
        node: Name::new(node).unwrap(),
        output: output.parse().unwrap(),
    };
    Input { from, partitioning }
}

#[track_caller]
fn check(text: &str, errors: &[&str]) {
    let found: Vec<_> = graph(text)
        .validate()
        .iter()
        .map(ToString::to_string)
        .collect();
    assert_eq!(found, errors);
}

#[test]
fn a_good_graph_has_no_errors() {
    check("s\na <- s\nb <- a.1, s\nout <- b", &[]);
}

#[test]
fn everything_that_is_wrong_is_told() {
    check(
        "a*9 <- \nb <- c\nout-1 <- b.2\nout-2 <- out-1",
        &[
            "the job has no source",
            "`a` has parallelism 9, which is larger than max-parallelism 8",
            "operator `a` has no input",
            "`b` reads `c`, which is not a source, an operator or one of its outputs",
            "`out-1` reads `b (output 2)`, which is not a source, an operator or one of its outputs",
            "`out-2` reads `out-1`, which is not a source, an operator or one of its outputs",
        ],
    );
    check(
        "s*3\na <- s\nout*4 <- ~a",
        &["forward from `s` (parallelism 3) to `a` (parallelism 2) needs the same parallelism"],
    );
}

#[test]
fn dead_letters_need_a_sink_and_a_sink_needs_rows() {
    let mut graph = graph("s\na <- s\nb <- s\nout-1 <-\nout-2 <-");
    for (operator, sink) in [(0, "a"), (1, "out-1")] {
        let sink = OnError::DeadLetter(Name::new(sink).unwrap());
        graph.operators[operator].on_error = sink;
    }
    let errors: Vec<_> = graph.validate().iter().map(ToString::to_string).collect();
    assert_eq!(
        errors,
        [
            "operator `a` sends its dead letters to `a`, which is not a sink",
            "nothing feeds sink `out-2`: it has no input, and takes no operator's dead letters",
        ]
    );
}

#[test]
fn a_source_has_no_side_output() {
    check(
        "s\nout <- s.1",
        &["`out` reads `s (output 1)`, which is not a source, an operator or one of its outputs"],
    );
}

#[test]
fn a_name_is_used_once() {
    let mut twice = graph("s\na <- s\nout <- a");
    let operator = twice.operators[0].clone();
    twice.operators.insert(Name::new("s").unwrap(), operator);
    let errors = twice.validate();
    assert!(errors.contains(&GraphError::DuplicateName {
        name: Name::new("s").unwrap()
    }));
}

#[test]
fn a_cycle_is_told_in_the_direction_of_the_rows() {
    check(
        "s\nx <- s\na <- x, c\nb <- a\nc <- b\nd <- c\nout <- d",
        &["the operators a -> b -> c -> a form a cycle"],
    );
    check("s\na <- s, a", &["the operators a -> a form a cycle"]);
}
