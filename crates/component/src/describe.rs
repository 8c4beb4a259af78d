//! What a component declares of itself, checked before anything of a job is made.

use std::collections::BTreeSet;

use weir_model::Name;
use weir_operator::Descriptor;
use weir_state::{StateDecl, StateKind, Ttl};

use crate::{Error, bindings::weir::operator::data, interfaces};

/// The most states of an operator.
const MAX_STATES: usize = 256;
/// The most inputs of an operator.
const MAX_INPUTS: u32 = 64;
/// The most side outputs of an operator.
const MAX_SIDE_OUTPUTS: usize = 64;
/// The longest name of a state or a format, in bytes.
const MAX_NAME: usize = 255;

/// Checks a declaration, given the optional interfaces that the component exports.
///
/// # Errors
/// [`Error::Descriptor`] where it makes no sense.
pub(crate) fn check(declared: data::Descriptor, optional: &[&str]) -> Result<Descriptor, Error> {
    if declared.inputs == 0 || declared.inputs > MAX_INPUTS {
        let inputs = declared.inputs;
        return Err(nonsense(format!(
            "{inputs} inputs; it is 1 to {MAX_INPUTS}"
        )));
    }
    check_side_outputs(&declared.side_outputs)?;
    if optional.contains(&interfaces::ENRICH) {
        return check_waiting(declared, optional);
    }
    let mut states = check_states(declared.states)?;
    match (declared.timers, optional.contains(&interfaces::TIMED)) {
        (true, true) => states.push(StateDecl::timers()),
        (true, false) => {
            let export = interfaces::TIMED_EXPORT;
            let problem = format!("timers, but the component does not export `{export}`");
            return Err(nonsense(problem));
        }
        (false, true) => {
            let export = interfaces::TIMED_EXPORT;
            let problem = format!("no timers, but the component exports `{export}` for them");
            return Err(nonsense(problem));
        }
        (false, false) => {}
    }
    let keyed_broadcast = optional.contains(&interfaces::KEYED_BROADCAST);
    if keyed_broadcast && !states.iter().any(|state| state.kind.is_keyed()) {
        let export = interfaces::KEYED_BROADCAST_EXPORT;
        let problem = format!("no keyed state, but the component exports `{export}` for it");
        return Err(nonsense(problem));
    }
    let checkpointed = optional.contains(&interfaces::CHECKPOINTED);
    Ok(Descriptor {
        states,
        inputs: declared.inputs,
        side_outputs: declared.side_outputs,
        timers: declared.timers,
        needs_all_timers: false,
        keyed_broadcast,
        // What it holds between two checkpoints cannot be made anew.
        keeps_memory: declared.keeps_memory || checkpointed,
        checkpointed,
        evolving: optional.contains(&interfaces::EVOLVING),
    })
}

/// Checks the declaration of an operator whose calls wait: it has no state and no timers (semantics
/// 1.11), and what its one input brings is all that it is called with.
fn check_waiting(declared: data::Descriptor, optional: &[&str]) -> Result<Descriptor, Error> {
    let waits = "and the calls of the component wait (it exports `enrich`)";
    if declared.inputs != 1 {
        let inputs = declared.inputs;
        return Err(nonsense(format!("{inputs} inputs, {waits}: it has one")));
    }
    if let Some(state) = declared.states.first() {
        let name = &state.name;
        let problem = format!("the state `{name}`, {waits}: such an operator has no state");
        return Err(nonsense(problem));
    }
    if declared.timers || declared.keeps_memory {
        let what = match declared.timers {
            true => "timers",
            false => "`keeps-memory`",
        };
        let problem = format!("{what}, {waits}: each call has an instance of its own");
        return Err(nonsense(problem));
    }
    if let Some(other) = optional.iter().find(|&&name| name != interfaces::ENRICH) {
        let problem =
            format!("nothing wrong, but the component exports `{other}` as well, {waits}");
        return Err(nonsense(problem));
    }
    Ok(Descriptor {
        states: vec![StateDecl::waiting()],
        inputs: 1,
        side_outputs: declared.side_outputs,
        ..Descriptor::default()
    })
}

fn nonsense(problem: String) -> Error {
    Error::Descriptor { problem }
}

/// Side outputs are named in job files, so they are names as all others there (D3).
fn check_side_outputs(names: &[String]) -> Result<(), Error> {
    if names.len() > MAX_SIDE_OUTPUTS {
        let count = names.len();
        return Err(nonsense(format!(
            "{count} side outputs; {MAX_SIDE_OUTPUTS} are the most"
        )));
    }
    let mut seen = BTreeSet::new();
    for name in names {
        Name::new(name).map_err(|error| nonsense(format!("a side output, but {error}")))?;
        if !seen.insert(name) {
            return Err(nonsense(format!("the side output `{name}` twice")));
        }
    }
    Ok(())
}

fn check_states(declared: Vec<data::StateDecl>) -> Result<Vec<StateDecl>, Error> {
    if declared.len() > MAX_STATES {
        let count = declared.len();
        return Err(nonsense(format!(
            "{count} states; {MAX_STATES} are the most"
        )));
    }
    let mut seen = BTreeSet::new();
    let mut states = Vec::with_capacity(declared.len());
    for declared in declared {
        check_text("the name of a state", &declared.name)?;
        for (prefix, of) in [(StateDecl::WINDOWS, "windows"), (StateDecl::JOINS, "joins")] {
            if declared.name.starts_with(prefix) {
                let problem = format!(
                    "the state `{}`, and names that begin with `{prefix}` are those of what the \
                     host keeps of {of}",
                    declared.name
                );
                return Err(nonsense(problem));
            }
        }
        if declared.name == StateDecl::TIMERS {
            let problem = format!(
                "the state `{}`, which is the name of what the host keeps of its timers",
                declared.name
            );
            return Err(nonsense(problem));
        }
        if declared.name == StateDecl::WAITING {
            let problem = format!(
                "the state `{}`, which is the name of the rows whose results are not out yet",
                declared.name
            );
            return Err(nonsense(problem));
        }
        if !seen.insert(declared.name.clone()) {
            return Err(nonsense(format!("the state `{}` twice", declared.name)));
        }
        states.push(check_state(declared)?);
    }
    Ok(states)
}

fn check_state(declared: data::StateDecl) -> Result<StateDecl, Error> {
    let name = &declared.name;
    check_text(&format!("the format of state `{name}`"), &declared.format)?;
    let kind = kind(declared.kind);
    if declared
        .ttl
        .as_ref()
        .is_some_and(|ttl| ttl.duration_ms == 0)
    {
        return Err(nonsense(format!(
            "a time to live of 0 ms for state `{name}`"
        )));
    }
    if declared.prefetch && !kind.is_cell() {
        return Err(nonsense(format!(
            "that state `{name}` is prefetched, but it is a {kind} state; value, reducing and \
             aggregating state can be"
        )));
    }
    if declared.ttl.is_some() && !kind.is_keyed() {
        return Err(nonsense(format!(
            "a time to live for state `{name}`, but it is a {kind} state; keyed state can have one"
        )));
    }
    Ok(StateDecl {
        name: declared.name,
        kind,
        format: declared.format,
        version: declared.version,
        prefetch: declared.prefetch,
        ttl: declared.ttl.map(|ttl| Ttl {
            duration_ms: ttl.duration_ms,
            on_read: ttl.on_read,
            return_expired: ttl.return_expired,
        }),
    })
}

fn check_text(what: &str, text: &str) -> Result<(), Error> {
    if text.is_empty() {
        return Err(nonsense(format!("{what} as empty")));
    }
    if text.len() > MAX_NAME {
        let len = text.len();
        return Err(nonsense(format!(
            "{what} with {len} bytes; {MAX_NAME} are the most"
        )));
    }
    if text.chars().any(char::is_control) {
        return Err(nonsense(format!(
            "{what} as {text:?}, with control characters"
        )));
    }
    Ok(())
}

fn kind(kind: data::StateKind) -> StateKind {
    match kind {
        data::StateKind::Value => StateKind::Value,
        data::StateKind::List => StateKind::List,
        data::StateKind::Map => StateKind::Map,
        data::StateKind::Reducing => StateKind::Reducing,
        data::StateKind::Aggregating => StateKind::Aggregating,
        data::StateKind::OperatorList => StateKind::OperatorList,
        data::StateKind::OperatorUnion => StateKind::OperatorUnion,
        data::StateKind::Broadcast => StateKind::Broadcast,
    }
}

#[cfg(test)]
mod tests;
