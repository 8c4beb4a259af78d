//! The components of a job, and whether each fits what the job file says of its operator.

use std::{borrow::Cow, collections::HashMap};

use weir_component::{Component as Guest, Engine, EngineOptions, Error, Limits};
use weir_job_file::{Bounds, Diagnostic, Input, JobFile, Operator, Partitioning, Spot};
use weir_model::Name;
use weir_operator::Descriptor;
use weir_state::StateKind;

use super::{joins, waiting, windows};
use crate::{cli::Shared, render::Bar};

/// Loads the component of each operator and checks it against what the job says of it.
pub(super) fn load_components(
    job: &JobFile,
    shared: &Shared,
    wrong: &mut Vec<Diagnostic>,
) -> HashMap<Name, Guest> {
    let mut loaded = HashMap::new();
    if job.operators.values().all(|node| node.component.is_none()) {
        return loaded;
    }
    let options = EngineOptions {
        cache: shared.cache_dir.clone(),
        perf_map: shared.perf_map,
        ..EngineOptions::default()
    };
    let engine = match Engine::new(&options) {
        Ok(engine) => engine,
        Err(error) => {
            wrong.push(job.diagnose(&Spot::File, error.code(), error.to_string(), "", None));
            return loaded;
        }
    };
    for (name, operator) in &job.operators {
        let Some(path) = &operator.component else {
            continue;
        };
        let file = path.file_name().unwrap_or_default();
        let what = format!("compiling {name} ({})", file.to_string_lossy());
        let bar = Bar::begin(what, shared.terminal);
        let component = engine.load(path, &limits_of(operator, &job.bounds));
        drop(bar);
        match component {
            Ok(component) => {
                wrong.extend(misfits(job, name, operator, component.descriptor()));
                wrong.extend(windows::misfit(job, name, operator, &component));
                wrong.extend(joins::component_misfit(job, name, operator, &component));
                wrong.extend(waiting::misfit(job, name, operator, &component));
                loaded.insert(name.clone(), component);
            }
            Err(error) => {
                let spot = Spot::OperatorComponent(name.clone());
                let message = format!("component of operator `{name}`: {error}");
                let mut help = error.help().map(Cow::into_owned);
                if let (Error::Missing { similar: None, .. }, Some(help)) = (&error, &mut help) {
                    help.push_str(
                        "; a relative path in a job file begins at the folder of the job file",
                    );
                }
                wrong.push(job.diagnose(&spot, error.code(), message, "this component", help));
            }
        }
    }
    loaded
}

/// What an instance may use: what the job file says, else what is built in, and never more than the
/// bounds of the host.
pub(super) fn limits_of(operator: &Operator, bounds: &Bounds) -> Limits {
    let mut limits = Limits::default();
    let bytes = |bytes: u64| usize::try_from(bytes).unwrap_or(usize::MAX);
    if let Some(memory) = operator.limits.memory {
        limits.memory = bytes(memory);
    }
    if let Some(time) = operator.limits.time_per_call {
        limits.time_per_call = time;
    }
    if let Some(output) = operator.limits.output {
        limits.output_bytes = bytes(output);
    }
    let most = |bound: Option<u64>| bound.map_or(usize::MAX, bytes);
    limits.memory = limits.memory.min(most(bounds.memory));
    limits.output_bytes = limits.output_bytes.min(most(bounds.output));
    let time = bounds.time_per_call.unwrap_or(limits.time_per_call);
    limits.time_per_call = limits.time_per_call.min(time);
    limits
}

/// What a component declares and the job does not give it.
fn misfits(
    job: &JobFile,
    name: &Name,
    operator: &Operator,
    descriptor: &Descriptor,
) -> impl Iterator<Item = Diagnostic> {
    [
        inputs_misfit(job, name, operator, descriptor),
        no_key(job, name, operator, descriptor),
        no_broadcast(job, name, operator, descriptor),
    ]
    .into_iter()
    .flatten()
}

fn inputs_misfit(
    job: &JobFile,
    name: &Name,
    operator: &Operator,
    descriptor: &Descriptor,
) -> Option<Diagnostic> {
    let given = operator.inputs.len();
    // That a join has two is told of all joins.
    if descriptor.inputs as usize == given || operator.join.is_some() && given != 2 {
        return None;
    }
    let plural = if given == 1 { "" } else { "s" };
    let message = format!(
        "operator `{name}` has {given} input{plural}, its component takes {}",
        descriptor.inputs
    );
    let label = if given == 1 {
        "this input"
    } else {
        "these inputs"
    };
    let spot = Spot::OperatorInputs(name.clone());
    Some(job.diagnose(&spot, "W0314", message, label, None))
}

/// Keyed state and timers need a key. One keyed input is enough: rows of another may come without a
/// key and touch no state.
fn no_key(
    job: &JobFile,
    name: &Name,
    operator: &Operator,
    descriptor: &Descriptor,
) -> Option<Diagnostic> {
    let mut states = descriptor.states.iter();
    let state = states.find(|state| state.kind.is_keyed())?;
    if operator.inputs.iter().any(has_key) {
        return None;
    }
    let data = operator
        .inputs
        .iter()
        .position(|input| !is_broadcast(input));
    let has = match state.kind {
        StateKind::Timers => "timers".to_owned(),
        _ => format!("keyed state (`{}`)", state.name),
    };
    let message = format!("operator `{name}` has {has} and no input with a key");
    let help = "give an input a `key`, such as `key: { columns: [0] }`".to_owned();
    let spot = Spot::OperatorInput(name.clone(), data.unwrap_or(0));
    Some(job.diagnose(&spot, "W0315", message, "this input has no key", Some(help)))
}

/// Broadcast state is only ever written for rows of a broadcast input. Which input the component
/// means is not known here, so the last one without a key is named: such inputs stand last.
fn no_broadcast(
    job: &JobFile,
    name: &Name,
    operator: &Operator,
    descriptor: &Descriptor,
) -> Option<Diagnostic> {
    let mut states = descriptor.states.iter();
    let state = states.find(|state| state.kind == StateKind::Broadcast)?;
    let inputs = &operator.inputs;
    if inputs.iter().any(is_broadcast) {
        return None;
    }
    let message = format!(
        "operator `{name}` has broadcast state (`{}`) and no input with `broadcast: true`",
        state.name
    );
    // Of too few inputs it is the broadcast one that is missing.
    let is_whole = inputs.len() >= descriptor.inputs as usize;
    let meant = inputs.iter().rposition(|input| !has_key(input));
    let (spot, label, from) = match meant.filter(|_| is_whole) {
        Some(at) => {
            let input = inputs.get(at)?;
            let from = match &input.side_output {
                None => input.from.to_string(),
                Some(side) => format!("{}.{side}", input.from),
            };
            let spot = Spot::OperatorInput(name.clone(), at);
            (spot, "rows of this input go to one subtask each", from)
        }
        None => {
            let spot = Spot::OperatorInputs(name.clone());
            (spot, "none of them is broadcast", "…".to_owned())
        }
    };
    let help = format!("write `{{ from: {from}, broadcast: true }}`");
    Some(job.diagnose(&spot, "W0316", message, label, Some(help)))
}

pub(super) fn has_key(input: &Input) -> bool {
    matches!(input.partitioning, Partitioning::Key(_))
}

fn is_broadcast(input: &Input) -> bool {
    matches!(input.partitioning, Partitioning::Broadcast)
}

#[cfg(test)]
mod tests;
