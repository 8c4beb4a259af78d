//! A plan in the language of Graphviz.

use std::fmt::Write as _;

use super::{Notes, kind};
use crate::{Link, NodeKind, Plan, Port};

/// A digraph with a cluster for each chain. Every name is quoted.
#[must_use]
pub fn dot(plan: &Plan, notes: &Notes) -> String {
    let mut out = String::new();
    // Writing to a `String` does not fail.
    let _ = write(&mut out, plan, notes);
    out
}

fn write(out: &mut String, plan: &Plan, notes: &Notes) -> std::fmt::Result {
    writeln!(out, "digraph {} {{", quoted(plan.job.as_str()))?;
    let title = format!("{} (max-parallelism {})", plan.job, plan.max_parallelism);
    writeln!(
        out,
        "  graph [rankdir=LR, fontname=\"sans-serif\", labelloc=t, label={}];",
        quoted(&title)
    )?;
    writeln!(
        out,
        "  node [shape=box, style=\"rounded,filled\", fontname=\"sans-serif\"];"
    )?;
    writeln!(out, "  edge [fontname=\"sans-serif\", fontsize=11];")?;
    for (at, chain) in plan.chains.iter().enumerate() {
        writeln!(out, "  subgraph {} {{", quoted(&format!("cluster_{at}")))?;
        let label = format!("parallelism {}", chain.parallelism);
        writeln!(
            out,
            "    style=rounded; color=gray50; fontsize=11; label={};",
            quoted(&label)
        )?;
        for node in &chain.nodes {
            let name = node.name.as_str();
            let label = match notes.node(&node.name) {
                Some(note) => format!("{name}\n{note}"),
                None => name.to_owned(),
            };
            let fill = match node.kind {
                NodeKind::Source { .. } => "#d9f2e3",
                NodeKind::Operator { .. } => "#dde8fb",
                NodeKind::Sink => "#fbe8d3",
            };
            writeln!(
                out,
                "    {} [label={}, class={}, fillcolor=\"{fill}\"];",
                quoted(name),
                quoted(&label),
                quoted(kind(&node.kind)),
            )?;
        }
        for node in &chain.nodes {
            for (_, link) in &node.links {
                if let Link::Chained(next) = link {
                    let next = chain.nodes[*next].name.as_str();
                    writeln!(
                        out,
                        "    {} -> {};",
                        quoted(node.name.as_str()),
                        quoted(next)
                    )?;
                }
            }
        }
        writeln!(out, "  }}")?;
    }
    write_edges(out, plan, notes)?;
    writeln!(out, "}}")
}

/// The edges between chains.
fn write_edges(out: &mut String, plan: &Plan, notes: &Notes) -> std::fmt::Result {
    for edge in &plan.edges {
        let from = &plan.chains[edge.from.0].nodes[edge.from_node].name;
        let to = &plan.chains[edge.to.0].name;
        let label = notes.edge(plan, edge);
        let style = match edge.port {
            Port::Output(_) => "",
            Port::DeadLetters => ", style=dashed",
        };
        writeln!(
            out,
            "  {} -> {} [label={}{style}];",
            quoted(from.as_str()),
            quoted(to.as_str()),
            quoted(&label)
        )?;
    }
    Ok(())
}

/// A string of the language: quotes and backslashes escaped, so that nothing in it is an escape
/// of Graphviz but the line break.
pub(super) fn quoted(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            c if c.is_control() => out.push(' '),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}
