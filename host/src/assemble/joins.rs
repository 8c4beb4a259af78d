//! Joins of a job: operators that the host runs itself, and whether their inputs fit, and the
//! components that make rows of pairs.

use std::{collections::HashMap, sync::Arc};

use weir_component::Component as Guest;
use weir_connectors::FileSource;
use weir_formats::{Embed, JsonPairs};
use weir_job_file::{
    Diagnostic, Format, Input, JobFile, Join, JoinRules, Key, Operator, Partitioning,
    SourceConnector, Spot,
};
use weir_model::Name;
use weir_operator::{JoinFunctionFactory, OperatorFactory};
use weir_operators::{JoinFactory, JoinRules as Rules};

use super::{World, components::limits_of};

const MISFIT: &str = "W0345";

/// How many bytes of pairs a call may give where the job file does not say it: a window with many
/// rows of both inputs gives all of them in one call.
const OUTPUT: u64 = 512 << 20;

/// What a join needs and the job does not give it.
pub(super) fn misfits(job: &JobFile, wrong: &mut Vec<Diagnostic>) {
    for (name, operator) in &job.operators {
        if operator.join.is_some() {
            wrong.extend(misfit(job, name, operator));
        }
    }
}

fn misfit(job: &JobFile, name: &Name, operator: &Operator) -> Option<Diagnostic> {
    let wrong = |spot: Spot, message: String, label: &str, help: &str| {
        Some(job.diagnose(&spot, MISFIT, message, label, Some(help.to_owned())))
    };
    let inputs = &operator.inputs;
    if inputs.len() != 2 {
        let (count, plural) = (inputs.len(), if inputs.len() == 1 { "" } else { "s" });
        let message = format!("operator `{name}` is a join, and has {count} input{plural}");
        let help = "give it two: the first is the left one, the second the right one; more are \
                    joined by one join after the other";
        let spot = Spot::OperatorInputs(name.clone());
        return wrong(spot, message, "a join has two inputs", help);
    }
    let has_key = |input: &Input| matches!(input.partitioning, Partitioning::Key(_));
    if let Some(at) = inputs.iter().position(|input| !has_key(input)) {
        let message = format!("operator `{name}` is a join and has an input without a key");
        let help = "give both inputs a `key`, such as `key: { columns: [0] }`: rows with the same \
                    one are joined";
        let spot = Spot::OperatorInput(name.clone(), at);
        return wrong(spot, message, "this input has no key", help);
    }
    if let [left, right] = &inputs[..]
        && let Some(why) = never_equal(&left.partitioning, &right.partitioning)
    {
        let message = format!("the keys of the inputs of join `{name}` are never equal: {why}");
        let help = "rows with the same key are joined: choose keys of as many parts, of JSON rows \
                    with `json` in both inputs or in none";
        return wrong(
            Spot::OperatorInputs(name.clone()),
            message,
            "these inputs",
            help,
        );
    }
    // Of rows that another operator gives it is not known here whether they have times.
    let is_untimed = |input: &Input| {
        let source = job.sources.get(&input.from);
        source.is_some_and(|source| match &source.connector {
            SourceConnector::File(file) => file.timestamp.is_none(),
            SourceConnector::Socket(socket) => socket.timestamp.is_none(),
            SourceConnector::Generator(_) => true,
        })
    };
    let at = inputs.iter().position(is_untimed)?;
    let message = format!("operator `{name}` is a join, and rows of an input have no event time");
    let spot = Spot::OperatorInput(name.clone(), at);
    let help = "say `timestamp` at the source: which rows are joined goes by their times";
    wrong(spot, message, "this source has no `timestamp`", help)
}

/// Whether a component makes rows of pairs, and the operator has some, and whether it has nothing
/// of its own beside them.
pub(super) fn component_misfit(
    job: &JobFile,
    name: &Name,
    operator: &Operator,
    component: &Guest,
) -> Option<Diagnostic> {
    let wrong = |spot: Spot, message: String, label: &str, help: &str| {
        Some(job.diagnose(&spot, MISFIT, message, label, Some(help.to_owned())))
    };
    let of_component = Spot::OperatorComponent(name.clone());
    let of_join = Spot::OperatorKey(name.clone(), "join");
    let Some(join) = &operator.join else {
        // One that is made for windows as well is one of windows here.
        if !component.joins() || operator.windows.is_some() {
            return None;
        }
        let message = format!("operator `{name}` has a component for pairs of rows, and no join");
        let help = "say in `join` which rows belong together, such as `join: { temporal: {} }`";
        return wrong(of_component, message, "it exports `join`", help);
    };
    if !component.joins() {
        let message = format!("operator `{name}` is a join, and its component is made for none");
        let help = "use a component that exports `weir:operator/join` (in the Rust SDK \
                    `JoinFunction`), or leave `component` out: each pair is a JSON object then";
        return wrong(of_component, message, "it does not export `join`", help);
    }
    let descriptor = component.descriptor();
    let own = match descriptor.states.first() {
        Some(state) => Some(format!("declares the state `{}`", state.name)),
        None => (descriptor.checkpointed).then(|| "exports `checkpointed`".to_owned()),
    };
    if let Some(own) = own {
        let message = format!("operator `{name}` is a join, and its component {own}");
        let help = "make the rows of a pair of nothing but the pair; what needs state goes into an \
                    operator behind the join";
        return wrong(
            of_join,
            message,
            "what joins need is kept by the host",
            help,
        );
    }
    if let Some(late) = &join.late
        && descriptor.side_outputs.contains(late)
    {
        let message = format!("operator `{name}` has two side outputs `{late}`");
        let help = "choose another name for `late`";
        return wrong(of_join, message, "its component has one, too", help);
    }
    None
}

/// Why no key of one input is one of the other (D2): a part of a JSON row says of what type it is.
fn never_equal(left: &Partitioning, right: &Partitioning) -> Option<String> {
    let parts = |of: &Partitioning| match of {
        Partitioning::Key(Key::Columns(columns)) => Some((false, columns.len())),
        Partitioning::Key(Key::Json(pointers)) => Some((true, pointers.len())),
        Partitioning::Key(Key::Row | Key::Bytes { .. }) => Some((false, 1)),
        Partitioning::Automatic
        | Partitioning::Forward
        | Partitioning::Rebalance
        | Partitioning::Broadcast
        | Partitioning::Global => None,
    };
    let ((is_json, count), (is_json_too, other)) = (parts(left)?, parts(right)?);
    if is_json != is_json_too {
        return Some("one is of JSON rows, the other is not".to_owned());
    }
    (count != other).then(|| format!("one has {count} parts, the other has {other}"))
}

/// Makes the instances of a join; the component makes the rows of its pairs, if it has one.
pub(super) fn factory(
    world: &World<'_>,
    operator: &Operator,
    join: &Join,
    component: Option<&Guest>,
) -> Arc<dyn OperatorFactory> {
    let World { job, files, .. } = *world;
    let rules = match &join.rules {
        JoinRules::Interval(interval) => Rules::Interval(*interval),
        JoinRules::Temporal(temporal) => Rules::Temporal(*temporal),
        JoinRules::Window(rules) => Rules::Window(rules.clone(), join.kind),
    };
    let output = operator.limits.output.unwrap_or(OUTPUT);
    let output = output.min(job.bounds.output.unwrap_or(u64::MAX));
    let output = usize::try_from(output).unwrap_or(usize::MAX);
    let embed = |at: usize| {
        let input = operator.inputs.get(at);
        input.map_or(Embed::Text, |input| embed(job, input, files))
    };
    let function: Box<dyn JoinFunctionFactory> = match component {
        Some(component) => Box::new(component.joining(limits_of(operator, &job.bounds))),
        None => Box::new(JsonPairs {
            left: embed(0),
            right: embed(1),
        }),
    };
    Arc::new(JoinFactory::new(rules, join.late.clone(), output, function))
}

/// How rows of an input are shown in pairs. Those of an operator may be anything.
fn embed(job: &JobFile, input: &Input, files: &HashMap<Name, FileSource>) -> Embed {
    let Some(source) = job.sources.get(&input.from) else {
        return Embed::Json;
    };
    let format = match &source.connector {
        SourceConnector::File(file) => file.format,
        SourceConnector::Socket(socket) => socket.format,
        SourceConnector::Generator(_) => Format::Json,
    };
    match format {
        Format::Json => Embed::Json,
        Format::Lines | Format::Csv { header: false, .. } => Embed::Text,
        Format::Csv {
            header: true,
            delimiter,
        } => {
            // A header that cannot be read is told of where the source reads it.
            let header = files.get(&input.from).map(FileSource::header);
            match header {
                Some(Ok(Some(columns))) => Embed::Csv {
                    delimiter,
                    columns: columns.into(),
                },
                Some(Ok(None) | Err(_)) | None => Embed::Text,
            }
        }
    }
}
