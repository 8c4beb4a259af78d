//! Whether a job can go on from a checkpoint, told from its metadata and what the job declares:
//! each thing it holds must have a home, found by name (D3), or be left behind because the user
//! said so.
//!
//! INVARIANT: nothing is left behind without being told, and nothing unless that was allowed.

use std::collections::BTreeMap;

use weir_checkpoint::{Metadata, OperatorMeta, StateMeta};
use weir_model::Name;
use weir_state::{Change, SavedState, StateKind, Verdict, compare};

use crate::deployment::{Deployment, OperatorDeployment};

/// What becomes of what a checkpoint holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Fit {
    /// Why the job cannot go on from it.
    pub(crate) problems: Vec<String>,
    /// What is left behind, where that is allowed.
    pub(crate) left: Vec<String>,
}

/// How what is left behind is allowed.
pub(crate) const ALLOW: &str = "--allow-non-restored-state";

/// Gives each node of a checkpoint the name that it has in the job now, and says what it was
/// called. A new name that the checkpoint knows already was taken up by an earlier run, unless what
/// has it there is called otherwise now: then what is there under the old one is another node's,
/// and stays where it is.
pub(crate) fn rename(
    metadata: &mut Metadata,
    renamed_from: &BTreeMap<Name, Name>,
) -> BTreeMap<Name, Name> {
    // The new name of each old one. Names are free from the end of a chain on: where `b` was `a`
    // and `c` was `b`, that of `c` comes first.
    let mut renamed = BTreeMap::<&Name, &Name>::new();
    loop {
        let is_there = |name: &Name| metadata.operators.contains_key(name);
        let moves = |name: &Name| renamed.contains_key(name);
        let is_next = |(new, old): &(&Name, &Name)| {
            is_there(old) && !moves(old) && (!is_there(new) || moves(new))
        };
        let Some((new, old)) = renamed_from.iter().find(is_next) else {
            break;
        };
        renamed.insert(old, new);
    }
    let rename = |name: Name| match renamed.get(&name) {
        Some(new) => (*new).clone(),
        None => name,
    };
    let Metadata {
        operators,
        sources,
        sinks,
        ..
    } = metadata;
    *operators = (std::mem::take(operators).into_iter())
        .map(|(name, operator)| (rename(name), operator))
        .collect();
    *sources = (std::mem::take(sources).into_iter())
        .map(|(name, source)| (rename(name), source))
        .collect();
    *sinks = (std::mem::take(sinks).into_iter())
        .map(|(name, sink)| (rename(name), sink))
        .collect();
    (renamed.into_iter())
        .map(|(old, new)| (new.clone(), old.clone()))
        .collect()
}

/// Judges a checkpoint whose nodes were [renamed](rename).
pub(crate) fn judge(metadata: &Metadata, deployment: &Deployment) -> Fit {
    let mut fit = Fit::default();
    let plan = &deployment.plan;
    if metadata.job != plan.job {
        let problem = format!(
            "this is a checkpoint of job `{}`, not of `{}`",
            metadata.job, plan.job
        );
        fit.problems.push(problem);
    }
    fit.problems.extend(max_parallelism(metadata, deployment));
    operators(metadata, deployment, &mut fit);
    let changed = states(metadata, deployment, &mut fit);
    ends(metadata, deployment, &mut fit);
    fit.problems.extend(unknown_kinds(metadata));
    fit.problems.extend(changed);
    fit.problems.extend(changed_key(metadata, deployment));
    fit
}

impl Fit {
    /// Something has no home: it is left behind, or that is a problem.
    fn homeless(&mut self, deployment: &Deployment, what: String, why: String) {
        match deployment.mapping.allow_non_restored_state {
            true => self.left.push(what),
            false => self.problems.push(why),
        }
    }
}

/// Operators that are gone.
fn operators(metadata: &Metadata, deployment: &Deployment, fit: &mut Fit) {
    for (name, operator) in &metadata.operators {
        // Of a sink it is asked elsewhere whether there is anything left of it.
        let is_sink = metadata.sinks.contains_key(name);
        if holds_state(operator) && !is_sink && !deployment.operators.contains_key(name) {
            let why = no_operator(name, metadata, deployment);
            fit.homeless(deployment, format!("state of operator `{name}`"), why);
        }
    }
}

/// States that are gone; those that have changed so that they cannot be restored are given back.
fn states(metadata: &Metadata, deployment: &Deployment, fit: &mut Fit) -> Vec<String> {
    let mut changed = Vec::new();
    for (name, verdicts) in verdicts(metadata, deployment) {
        let evolves = deployment.operators.get(&name);
        let evolves = evolves.is_some_and(|operator| operator.factory.descriptor().evolving);
        for Verdict { state, change } in verdicts {
            if change == Change::Missing {
                let what = format!("state `{state}` of operator `{name}`");
                let why = format!(
                    "{what} is in the checkpoint, and the component does not declare it any more: \
                     its content would be lost; to leave it behind: {ALLOW}"
                );
                fit.homeless(deployment, what, why);
            } else if let Some(problem) = problem(&change, evolves) {
                changed.push(format!("state `{state}` of operator `{name}` {problem}"));
            }
        }
    }
    changed
}

/// Sources and sinks that are gone.
fn ends(metadata: &Metadata, deployment: &Deployment, fit: &mut Fit) {
    for name in metadata.sources.keys() {
        if !deployment.sources.contains_key(name) {
            let why = format!(
                "it was reading source `{name}`, which the job does not have; a source under \
                 another name would be read from its beginning: say `renamed-from: {name}` where \
                 it is now, or leave it behind with {ALLOW}"
            );
            let what = format!("where source `{name}` had come to");
            fit.homeless(deployment, what, why);
        }
    }
    for (name, transactions) in &metadata.sinks {
        let count: usize = transactions.iter().map(|t| t.committables.len()).sum();
        if count > 0 && !deployment.sinks.contains_key(name) {
            let why = format!(
                "it holds results of sink `{name}` that are to be committed, and the job does not \
                 have that sink: say `renamed-from: {name}` where it is now, or give the results \
                 up with {ALLOW}"
            );
            let what = format!("results of sink `{name}` that were not committed yet ({count})");
            fit.homeless(deployment, what, why);
        }
    }
}

/// What has become of each state of each operator, in order of their names.
pub(crate) fn verdicts(
    metadata: &Metadata,
    deployment: &Deployment,
) -> BTreeMap<Name, Vec<Verdict>> {
    let of = |(name, operator): (&Name, &OperatorDeployment)| {
        let declared = &operator.factory.descriptor().states;
        let saved = metadata.operators.get(name);
        let saved = saved_states(saved.map_or(&[], |saved| saved.states.as_slice()));
        (name.clone(), compare(declared, &saved))
    };
    deployment.operators.iter().map(of).collect()
}

/// Whether anything in a checkpoint is an operator's own. What a component had said itself is no
/// declared state, and in a file all the same.
pub(crate) fn holds_state(operator: &OperatorMeta) -> bool {
    !operator.states.is_empty() || operator.subtasks.iter().any(|s| s.file.is_some())
}

/// State is divided by the number of key groups, so it stays what it was (semantics 1.7).
fn max_parallelism(metadata: &Metadata, deployment: &Deployment) -> Option<String> {
    let plan = &deployment.plan;
    let (saved, own) = (metadata.max_parallelism, plan.max_parallelism);
    if saved == own {
        return None;
    }
    if !deployment.mapping.adopt_max_parallelism {
        return Some(format!(
            "it was taken with max-parallelism {saved}, the job has {own}; state is divided by it \
             and it cannot change: set `max-parallelism: {saved}` or leave it out; `weir state \
             rekey` makes a savepoint with another number"
        ));
    }
    let mut chains = plan.chains.iter();
    let wide = chains.find(|chain| chain.parallelism.get() > saved.get())?;
    Some(format!(
        "it was taken with max-parallelism {saved}, and `{}` has parallelism {}, which is more; \
         `weir state rekey` makes a savepoint with a larger max-parallelism",
        wide.name, wide.parallelism
    ))
}

/// That state has no operator any more; the one that it may have now, where there is only one.
fn no_operator(name: &Name, metadata: &Metadata, deployment: &Deployment) -> String {
    let is_new = |name: &&Name| !metadata.operators.contains_key(*name);
    let mut new = deployment.operators.keys().filter(is_new);
    let hint = match (new.next(), new.next()) {
        (Some(one), None) => format!("; if it is `{one}` now, say `renamed-from: {name}` there"),
        _ => format!("; if it has another name now, say `renamed-from: {name}` there"),
    };
    format!(
        "it holds state of operator `{name}`, which the job does not have; state is found by the \
         name of its operator{hint}; to leave it behind: {ALLOW}"
    )
}

/// Keyed state whose keys are others now: what is saved under one would never be found. What was
/// not written down is not judged, nor is an input that had no keys, or has none any more.
fn changed_key(metadata: &Metadata, deployment: &Deployment) -> Option<String> {
    let plan = &deployment.plan;
    for chain in &plan.chains {
        let Some(saved) = metadata.operators.get(&chain.name) else {
            continue;
        };
        let states = saved_states(&saved.states);
        let Some(state) = states.iter().find(|state| state.kind.is_keyed()) else {
            continue;
        };
        let inputs = saved.keys.iter().zip(plan.keys_of(chain)).enumerate();
        for (input, (was, is)) in inputs {
            let (Some(was), Some(is)) = (was, is) else {
                continue;
            };
            if *was != is {
                return Some(format!(
                    "state `{}` of operator `{}` was keyed by {was}, the job keys by {is} (input \
                     {input}): what is saved would not be found under the new keys; key by {was} \
                     again, or begin anew (`--restore none`)",
                    state.name, chain.name
                ));
            }
        }
    }
    None
}

/// Saved states as `weir-state` compares them.
pub(crate) fn saved_states(saved: &[StateMeta]) -> Vec<SavedState> {
    let of = |meta: &StateMeta| {
        Some(SavedState {
            name: meta.name.clone(),
            kind: StateKind::of(&meta.kind)?,
            format: meta.format.clone(),
            version: meta.version,
            rows: 0,
            ttl: None,
        })
    };
    saved.iter().filter_map(of).collect()
}

/// States of kinds that only a newer host knows.
fn unknown_kinds(metadata: &Metadata) -> impl Iterator<Item = String> {
    metadata.operators.iter().flat_map(|(name, operator)| {
        let unknown = |state: &&StateMeta| StateKind::of(&state.kind).is_none();
        operator.states.iter().filter(unknown).map(move |state| {
            format!(
                "state `{}` of operator `{name}` is {} state, which this host does not know",
                state.name, state.kind
            )
        })
    })
}

/// What is wrong with a state that has changed; nothing where it can go on, or begin.
fn problem(change: &Change, evolves: bool) -> Option<String> {
    match change {
        // What is missing is told where it is known whether that is allowed.
        Change::Same | Change::New | Change::Missing => None,
        Change::Kind { saved, declared } => Some(format!(
            "was saved as {saved} state, the component declares {declared} state"
        )),
        Change::Format { saved, declared } => Some(format!(
            "was saved in format `{saved}`, the component declares `{declared}`"
        )),
        Change::Version { .. } if evolves => None,
        Change::Version { saved, declared } => Some(format!(
            "was saved in version {saved} of its format, the component declares version {declared} \
             and does not export `weir:operator/evolving`, which would migrate it"
        )),
    }
}
