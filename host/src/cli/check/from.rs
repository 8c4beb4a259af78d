//! What `weir check --from` says: what would become of all that a checkpoint holds.

use serde_json::{Value, json};
use weir_runtime::{Deployment, Examined};
use weir_state::Change;

use crate::assemble::Assembly;

/// A state and what would become of it.
struct Fate {
    operator: String,
    state: String,
    becomes: String,
}

/// The lines for people.
pub(super) fn text(assembly: &Assembly, examined: &Examined) -> Vec<String> {
    let mut lines = vec![format!(
        "from checkpoint {} ({})",
        examined.id, examined.location
    )];
    lines.push(format!(
        "  max-parallelism: {}",
        max_parallelism(&assembly.deployment, examined)
    ));
    for (new, old) in &examined.renamed {
        lines.push(format!("  {new}: was called `{old}`"));
    }
    for (operator, keys) in &examined.keys {
        for (input, key) in keys.iter().enumerate() {
            if let Some(key) = key {
                lines.push(format!("  {operator}: keyed by {key} (input {input})"));
            }
        }
    }
    for fate in fates(&assembly.deployment, examined) {
        lines.push(format!(
            "  {}.{}: {}",
            fate.operator, fate.state, fate.becomes
        ));
    }
    lines.extend(
        examined
            .left
            .iter()
            .map(|left| format!("  left behind: {left}")),
    );
    lines.extend(
        examined
            .problems
            .iter()
            .map(|problem| format!("  does not fit: {problem}")),
    );
    lines
}

/// The same for programs.
pub(super) fn document(assembly: &Assembly, examined: &Examined) -> Value {
    let deployment = &assembly.deployment;
    let states = fates(deployment, examined).into_iter().map(
        |fate| json!({ "operator": fate.operator, "state": fate.state, "becomes": fate.becomes }),
    );
    let renamed = examined.renamed.iter();
    let renamed: Vec<Value> = renamed
        .map(|(new, old)| json!({ "name": new.as_str(), "was": old.as_str() }))
        .collect();
    let keys: serde_json::Map<String, Value> = examined
        .keys
        .iter()
        .map(|(operator, keys)| (operator.to_string(), json!(keys)))
        .collect();
    json!({
        "id": examined.id.0,
        "path": examined.location,
        "max_parallelism": examined.max_parallelism.get(),
        "renamed": renamed,
        "keys": keys,
        "states": states.collect::<Vec<_>>(),
        "left_behind": examined.left,
        "problems": examined.problems,
    })
}

fn max_parallelism(deployment: &Deployment, examined: &Examined) -> String {
    let (saved, own) = (examined.max_parallelism, deployment.plan.max_parallelism);
    match deployment.mapping.adopt_max_parallelism {
        _ if saved == own => format!("{saved}, as the job has it"),
        true => format!("{saved}, which the job takes over (without the checkpoint {own})"),
        false => format!("{saved}, and the job has {own}"),
    }
}

fn fates(deployment: &Deployment, examined: &Examined) -> Vec<Fate> {
    let mut fates = Vec::new();
    for (operator, verdicts) in &examined.states {
        let deployed = deployment.operators.get(operator);
        let evolves = deployed.is_some_and(|o| o.factory.descriptor().evolving);
        for verdict in verdicts {
            fates.push(Fate {
                operator: operator.to_string(),
                state: verdict.state.clone(),
                becomes: becomes(
                    &verdict.change,
                    evolves,
                    deployment.mapping.allow_non_restored_state,
                ),
            });
        }
    }
    fates
}

/// What becomes of a state; `evolves`: its component knows older versions; `allowed`: what has no
/// home may be left behind.
fn becomes(change: &Change, evolves: bool, allowed: bool) -> String {
    match change {
        Change::Same => "goes on".to_owned(),
        Change::New => "new, begins empty".to_owned(),
        Change::Missing if allowed => "left behind".to_owned(),
        Change::Version { saved, declared } if evolves => {
            format!("version {saved}, which the component migrates to {declared}")
        }
        Change::Missing | Change::Kind { .. } | Change::Format { .. } | Change::Version { .. } => {
            "cannot be restored".to_owned()
        }
    }
}
