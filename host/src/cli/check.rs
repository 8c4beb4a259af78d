//! `weir check`: says whether a job could run, and what it would be; starts nothing.

mod from;

use std::{collections::BTreeSet, path::PathBuf};

use clap::Args;
use serde_json::{Value, json};
use weir_checkpoint::{CheckpointMode, RestartStrategy};
use weir_graph::OnError;
use weir_job_file::{FromHost, Location};
use weir_runtime::{Examined, examine};

use super::{JobArgs, NonRestored, Output, Shared, graph};
use crate::{
    assemble::{Assembly, assemble},
    exit::Exit,
    guarantee::{Checkpoints, Guarantees, SinkFacts, SourceFacts, judge, sources_of},
    load::{load, refuse},
    render::{
        error, error_document, guarantees_document, guarantees_text, plan_document, plan_text, tell,
    },
    storage::checkpoint_at,
};

/// The code of a checkpoint that does not fit the job.
const UNFIT: &str = "W0110";

/// Checks a job file and its components, and shows the plan and what the job
/// guarantees.
///
/// Nothing is started and nothing is written. Shown are the guarantee of each source and sink, that
/// of the job from end to end, and which link keeps it from more. With `--from`, what would become
/// of each state if the job went on from that checkpoint.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  weir check job.yaml
  weir check job.yaml --set parallelism=8
  weir check job.yaml --from checkpoints/flights/chk-7
  weir check job.yaml --from /backup/savepoint-flights-3 --allow-non-restored-state")]
pub(crate) struct Check {
    #[command(flatten)]
    job: JobArgs,

    /// Also judges whether the job could go on from this checkpoint.
    #[arg(long, value_name = "CHECKPOINT")]
    from: Option<PathBuf>,

    #[command(flatten)]
    non_restored: NonRestored,
}

impl Check {
    pub(crate) fn run(self, shared: &Shared) -> Exit {
        let loaded = load(&self.job, shared).and_then(|mut job| {
            self.non_restored.apply(&mut job);
            assemble(job, shared)
        });
        let assembly = match loaded {
            Ok(assembly) => assembly,
            Err(diagnostics) => return refuse(&diagnostics, shared),
        };
        let examined = match &self.from {
            None => None,
            Some(path) => match checkpoint_at(path, &shared.stores) {
                Err(wrong) => {
                    error(shared, wrong.code(), &format!("--from: {wrong}"), None);
                    return wrong.exit();
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
        let Some(unfit) = examined.filter(|examined| !examined.problems.is_empty()) else {
            return Exit::Done;
        };
        if shared.output == Output::Text {
            let message = format!("the job cannot go on from {}", unfit.location);
            error(
                shared,
                UNFIT,
                &message,
                Some("what does not fit is listed above"),
            );
        }
        Exit::Usage
    }
}

/// What the job guarantees.
fn guarantees(assembly: &Assembly) -> Guarantees {
    let deployment = &assembly.deployment;
    let sources = assembly.job.sources.keys().map(|name| SourceFacts {
        name: name.clone(),
        replayable: deployment
            .sources
            .get(name)
            .is_some_and(|source| source.replayable()),
    });
    let sinks = assembly.job.sinks.keys().filter_map(|name| {
        let delivery = deployment.sinks.get(name)?.factory.delivery();
        let sources = sources_of(&deployment.plan, name);
        Some(SinkFacts {
            name: name.clone(),
            delivery,
            sources,
        })
    });
    let checkpoints = match &assembly.job.checkpoint {
        None => Checkpoints::None,
        Some(checkpoint) => match (&checkpoint.dir, checkpoint.mode) {
            (Location::Memory { .. }, _) => Checkpoints::InMemory,
            (_, CheckpointMode::ExactlyOnce) => Checkpoints::ExactlyOnce,
            (_, CheckpointMode::AtLeastOnce) => Checkpoints::AtLeastOnce,
        },
    };
    judge(
        &sources.collect::<Vec<_>>(),
        checkpoints,
        &sinks.collect::<Vec<_>>(),
    )
}

/// What the job says and cannot have.
fn notes(assembly: &Assembly) -> Vec<String> {
    let keeps = |name: &weir_model::Name| {
        let deployed = assembly.deployment.operators.get(name);
        deployed.is_some_and(|operator| operator.factory.descriptor().keeps_memory)
    };
    let sparing = assembly.job.operators.iter();
    let sparing = sparing.filter(|(name, _)| keeps(name));
    let mut notes: Vec<String> = sparing
        .filter_map(|(name, operator)| {
            let setting = setting(&operator.on_error)?;
            Some(format!(
                "operator `{name}` keeps something in its own memory, which cannot be taken back: \
                 a trap fails the job in spite of `on-error: {setting}`"
            ))
        })
        .collect();
    notes.extend(unread(assembly));
    let restarts = assembly.job.restart != RestartStrategy::None;
    if restarts && assembly.job.checkpoint.is_none() {
        notes.push(
            "the job restarts after a failure and takes no checkpoints: it begins anew then, and \
             sinks show again what they had shown"
                .into(),
        );
    }
    notes.extend(assembly.job.notes.iter().cloned());
    let host = assembly.job.host_notes.iter();
    notes.extend(host.map(|note| format!("host file: {note}")));
    notes
}

/// Side outputs that nobody reads: allowed, and easily forgotten.
fn unread(assembly: &Assembly) -> Vec<String> {
    let job = &assembly.job;
    let of_operators = job.operators.values().flat_map(|operator| &operator.inputs);
    let of_sinks = job.sinks.values().filter_map(|sink| sink.input.as_ref());
    let read: BTreeSet<(&str, &str)> = of_operators
        .chain(of_sinks)
        .filter_map(|input| Some((input.from.as_str(), input.side_output.as_deref()?)))
        .collect();
    let mut unread = Vec::new();
    for name in job.operators.keys() {
        let Some(deployed) = assembly.deployment.operators.get(name) else {
            continue;
        };
        for side in &deployed.factory.descriptor().side_outputs {
            if !read.contains(&(name.as_str(), side.as_str())) {
                unread.push(format!(
                    "nobody reads `{name}.{side}`: its rows are dropped"
                ));
            }
        }
    }
    unread
}

/// How a job file says what becomes of a row that cannot be processed, where that is not to fail.
fn setting(on_error: &OnError) -> Option<String> {
    match on_error {
        OnError::Fail => None,
        OnError::Skip => Some("skip".into()),
        OnError::DeadLetter(sink) => Some(format!("{{ dead-letter: {sink} }}")),
    }
}

fn text(assembly: &Assembly, examined: Option<&Examined>) -> String {
    let plan = &assembly.deployment.plan;
    let mut lines = vec![
        format!("{}: nothing wrong", plan.job),
        String::new(),
        plan_text(plan),
    ];
    lines.push(String::new());
    lines.extend(guarantees_text(&guarantees(assembly)));
    if !assembly.job.from_host.is_empty() {
        lines.push(String::new());
        lines.push("settings that the job has from its host".into());
    }
    for from in &assembly.job.from_host {
        let FromHost {
            key,
            value,
            file,
            line,
        } = from;
        lines.push(format!("  {key} {value} (host file {file}:{line})"));
    }
    lines.extend(notes(assembly).iter().map(|note| format!("\nnote: {note}")));
    if let Some(examined) = examined {
        lines.push(String::new());
        lines.extend(from::text(assembly, examined));
    }
    lines.join("\n")
}

fn document(assembly: &Assembly, examined: Option<&Examined>) -> Value {
    let plan = &assembly.deployment.plan;
    let mut document = plan_document(plan, &graph::notes(assembly));
    document["guarantees"] = guarantees_document(&guarantees(assembly));
    let from_host = assembly.job.from_host.iter().map(|from| {
        json!({ "key": from.key, "value": from.value, "file": from.file, "line": from.line })
    });
    document["from_host"] = from_host.collect();
    document["notes"] = json!(notes(assembly));
    document["from"] = json!(examined.map(|examined| from::document(assembly, examined)));
    let problems = examined.iter().flat_map(|examined| &examined.problems);
    let errors = problems.map(|problem| error_document(UNFIT, problem, None));
    document["errors"] = json!(errors.collect::<Vec<_>>());
    document
}
