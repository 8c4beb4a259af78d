//! `weir check`: says whether a job could run, and what it would be; starts nothing.

use std::path::PathBuf;

use clap::Args;
use serde_json::{Value, json};
use weir_graph::OnError;
use weir_operator::SinkGuarantee;
use weir_runtime::{Examined, examine};
use weir_state::Change;

use super::{JobArgs, Output, Shared};
use crate::{
    assemble::{Assembly, assemble},
    exit::Exit,
    load::{load, refuse},
    render::{error, tell},
    storage::{NO_CHECKPOINT, checkpoint_at},
};

/// Checks a job file and its components, and shows the plan and what the job guarantees.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  weir check job.yaml
  weir check job.yaml --set parallelism=8
  weir check job.yaml --from checkpoints/flights/chk-7")]
pub(crate) struct Check {
    #[command(flatten)]
    job: JobArgs,

    /// Also judges whether the job could go on from this checkpoint.
    #[arg(long, value_name = "CHECKPOINT")]
    from: Option<PathBuf>,
}

impl Check {
    pub(crate) fn run(self, shared: &Shared) -> Exit {
        let assembly = match load(&self.job).and_then(|job| assemble(job, shared)) {
            Ok(assembly) => assembly,
            Err(diagnostics) => return refuse(&diagnostics, shared),
        };
        let examined = match &self.from {
            None => None,
            Some(path) => match checkpoint_at(path) {
                Err(message) => {
                    error(shared, NO_CHECKPOINT, &format!("--from: {message}"), None);
                    return Exit::Usage;
                }
                Ok(foreign) => match examine(&assembly.deployment, &foreign) {
                    Ok(examined) => Some(examined),
                    Err(failure) => {
                        error(shared, failure.code(), &failure.to_string(), None);
                        return Exit::of_failure(&failure);
                    }
                },
            },
        };
        match shared.output {
            Output::Text => tell(&text(&assembly, examined.as_ref())),
            Output::Json => tell(&document(&assembly, examined.as_ref()).to_string()),
        }
        Exit::Done
    }
}

/// What a sink of the job guarantees from end to end, and why not more.
fn guarantees(assembly: &Assembly) -> Vec<(String, &'static str, &'static str)> {
    let replayable = assembly
        .deployment
        .sources
        .values()
        .all(|source| source.replayable());
    let of = |(name, sink): (&weir_model::Name, &weir_runtime::SinkDeployment)| {
        let (guarantee, why) = match sink.factory.guarantee() {
            _ if assembly.job.checkpoint.is_none() => {
                ("at-most-once", "the job has no `checkpoint:`")
            }
            _ if !replayable => ("at-most-once", "a source cannot be read again"),
            SinkGuarantee::AtLeastOnce => {
                ("at-least-once", "after a failure the sink may repeat rows")
            }
            SinkGuarantee::ExactlyOnce => ("exactly-once", ""),
        };
        (name.to_string(), guarantee, why)
    };
    let mut all: Vec<_> = assembly.deployment.sinks.iter().map(of).collect();
    all.sort();
    all
}

/// What the job says and cannot have.
fn notes(assembly: &Assembly) -> Vec<String> {
    let keeps = |name: &weir_model::Name| {
        let deployed = assembly.deployment.operators.get(name);
        deployed.is_some_and(|operator| operator.factory.descriptor().keeps_memory)
    };
    let skipping = assembly.job.operators.iter();
    let skipping = skipping.filter(|(name, o)| o.on_error == OnError::Skip && keeps(name));
    skipping
        .map(|(name, _)| {
            format!(
                "operator `{name}` keeps something in its own memory, which cannot be taken back: \
                 a trap fails the job in spite of `on-error: skip`"
            )
        })
        .collect()
}

fn text(assembly: &Assembly, examined: Option<&Examined>) -> String {
    let plan = &assembly.deployment.plan;
    let mut lines = vec![
        format!("{}: nothing wrong", plan.job),
        String::new(),
        format!("plan (max-parallelism {})", plan.max_parallelism),
    ];
    lines.extend(plan.to_string().lines().map(|line| format!("  {line}")));
    lines.push(String::new());
    lines.push("guarantees".into());
    for (sink, guarantee, why) in guarantees(assembly) {
        let why = if why.is_empty() {
            String::new()
        } else {
            format!(" ({why})")
        };
        lines.push(format!("  {sink:<16} {guarantee}{why}"));
    }
    lines.extend(notes(assembly).iter().map(|note| format!("\nnote: {note}")));
    if let Some(examined) = examined {
        lines.push(String::new());
        lines.push(format!(
            "from checkpoint {} ({})",
            examined.id, examined.location
        ));
        for (operator, verdicts) in &examined.states {
            for verdict in verdicts {
                lines.push(format!(
                    "  {operator}.{}: {}",
                    verdict.state,
                    becomes(&verdict.change)
                ));
            }
        }
    }
    lines.join("\n")
}

/// What becomes of a state; those that cannot be restored were refused before.
fn becomes(change: &Change) -> &'static str {
    match change {
        Change::Same => "goes on",
        Change::New => "new, begins empty",
        Change::Missing | Change::Kind { .. } | Change::Format { .. } | Change::Version { .. } => {
            "cannot be restored"
        }
    }
}

fn document(assembly: &Assembly, examined: Option<&Examined>) -> Value {
    let plan = &assembly.deployment.plan;
    let chain = |chain: &weir_graph::Chain| {
        let nodes: Vec<&str> = chain.nodes.iter().map(|node| node.name.as_str()).collect();
        json!({ "nodes": nodes, "parallelism": chain.parallelism.get() })
    };
    let edge = |edge: &weir_graph::Edge| {
        json!({
            "from": plan.chains[edge.from.0].nodes[edge.from_node].name.as_str(),
            "to": plan.chains[edge.to.0].name.as_str(),
            "partitioning": edge.partitioning.as_str(),
        })
    };
    let guarantee = |(sink, guarantee, why): (String, &str, &str)| {
        let because = (!why.is_empty()).then_some(why);
        json!({ "sink": sink, "guarantee": guarantee, "because": because })
    };
    let from = |examined: &Examined| {
        let mut states = Vec::new();
        for (operator, verdicts) in &examined.states {
            for verdict in verdicts {
                states.push(json!({
                    "operator": operator.as_str(),
                    "state": verdict.state,
                    "becomes": becomes(&verdict.change),
                }));
            }
        }
        json!({ "id": examined.id.0, "path": examined.location, "states": states })
    };
    json!({
        "job": plan.job.as_str(),
        "errors": [],
        "max_parallelism": plan.max_parallelism.get(),
        "chains": plan.chains.iter().map(chain).collect::<Vec<_>>(),
        "edges": plan.edges.iter().map(edge).collect::<Vec<_>>(),
        "guarantees": guarantees(assembly).into_iter().map(guarantee).collect::<Vec<_>>(),
        "notes": notes(assembly),
        "from": examined.map(from),
    })
}
