//! Whether the component and the inputs of an operator fit the windows that the job file gives it.

use weir_component::Component as Guest;
use weir_job_file::{Diagnostic, Input, JobFile, Operator, SourceConnector, Spot, Windows};
use weir_model::Name;

use super::components::has_key;

const MISFIT: &str = "W0317";

/// Windows need a component that folds rows or sees them, keys to group by, and nothing of the
/// component's own beside them.
pub(super) fn misfit(
    job: &JobFile,
    name: &Name,
    operator: &Operator,
    component: &Guest,
) -> Option<Diagnostic> {
    let windows = operator.windows.as_ref()?;
    component_misfit(job, name, windows, component)
        .or_else(|| input_misfit(job, name, operator, windows))
}

fn component_misfit(
    job: &JobFile,
    name: &Name,
    windows: &Windows,
    component: &Guest,
) -> Option<Diagnostic> {
    let descriptor = component.descriptor();
    let wrong = |message: String, label: &str, help: &str| {
        let spot = Spot::OperatorKey(name.clone(), "window");
        let help = Some(help.to_owned());
        Some(job.diagnose(&spot, MISFIT, message, label, help))
    };
    if !component.aggregates() && !component.sees_windows() {
        let message = format!("operator `{name}` has windows, and its component is made for none");
        let help = "use a component that exports `weir:operator/aggregate` or \
                    `weir:operator/window-function`, or leave `window` out";
        let label = "needs a component that exports `aggregate` or `window-function`";
        return wrong(message, label, help);
    }
    if windows.rules.evictor.is_some() && !component.sees_windows() {
        let message = format!(
            "operator `{name}` leaves rows out of windows, and its component folds them as they come"
        );
        let help = "use a component that exports `weir:operator/window-function` (in the Rust SDK \
                    `WindowFunction`), or leave `evict` out";
        let label = "`evict` needs a component that exports `window-function`";
        return wrong(message, label, help);
    }
    if windows.asks_component() && !component.triggers() {
        let message = format!(
            "operator `{name}` asks its component when windows give their results, and it is no \
             trigger"
        );
        let help = "use a component that exports `weir:operator/trigger` (in the Rust SDK \
                    `Trigger`), or say `every` or `count`";
        let label = "`guest` needs a component that exports `trigger`";
        return wrong(message, label, help);
    }
    if let Some(state) = descriptor.states.first() {
        let message = format!(
            "operator `{name}` has windows, and its component declares the state `{}`",
            state.name
        );
        let help = "keep what a window needs in its accumulator, or have all its rows";
        return wrong(message, "what windows hold is kept by the host", help);
    }
    if let Some(late) = &windows.late
        && descriptor.side_outputs.contains(late)
    {
        let message = format!("operator `{name}` has two side outputs `{late}`");
        let help = "choose another name for `late`";
        return wrong(message, "its component has one, too", help);
    }
    None
}

fn input_misfit(
    job: &JobFile,
    name: &Name,
    operator: &Operator,
    windows: &Windows,
) -> Option<Diagnostic> {
    let wrong = |at: usize, message: &str, label: &str, help: &str| {
        let spot = Spot::OperatorInput(name.clone(), at);
        let message = format!("operator `{name}` has {message}");
        Some(job.diagnose(&spot, MISFIT, message, label, Some(help.to_owned())))
    };
    // Of rows that another component gives it is not known here whether they have times.
    let is_untimed = |input: &Input| {
        let source = job.sources.get(&input.from);
        source.is_some_and(|source| match &source.connector {
            SourceConnector::File(file) => file.timestamp.is_none(),
            SourceConnector::Socket(socket) => socket.timestamp.is_none(),
            SourceConnector::Generator(_) => true,
        })
    };
    let untimed = operator.inputs.iter().position(is_untimed);
    if let Some(at) = untimed.filter(|_| windows.rules.needs_event_time()) {
        let message = "windows of event time, and its rows have none";
        let help = "say `timestamp` at the source, or `time: processing-time` in `window`";
        return wrong(at, message, "this source has no `timestamp`", help);
    }
    if let Some(at) = operator.inputs.iter().position(|input| !has_key(input)) {
        let message = "windows and an input without a key";
        let help = "give the input a `key`, such as `key: { columns: [0] }`";
        return wrong(at, message, "this input has no key", help);
    }
    None
}
