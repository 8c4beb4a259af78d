//! What the steps of a test file say of its operator, looked at before the first case runs.

use weir_job_file::{Diagnostic, Diagnostics, Step, TestFile, TestPlace, code};
use weir_model::Parallelism;

use crate::assemble::Tested;

/// Whether there is all that steps name.
///
/// # Errors
/// All that there is not.
pub(super) fn check(test: &TestFile, tested: &Tested) -> Result<(), Diagnostics> {
    let mut wrong = Vec::new();
    for case in &test.cases {
        wrong.extend(too_many(test, tested, case.place, case.parallelism));
        for step in &case.steps {
            match &step.step {
                Step::Expect {
                    output: Some((name, place)),
                    ..
                } => wrong.extend(no_output(test, tested, *place, name)),
                Step::DeadLetters(_) if !tested.has_dead_letters() => {
                    let message = "the operator sends no dead letters";
                    let label = "there are none";
                    let help = "say `on-error: { dead-letter: letters }` of it".to_owned();
                    let code = code::CONTRADICTION;
                    wrong.push(test.diagnose(step.place, code, message, label, Some(help)));
                }
                Step::State(states) => {
                    for state in states {
                        wrong.extend(no_state(test, tested, state.place, &state.name));
                    }
                }
                Step::Rescale(parallelism) => {
                    wrong.extend(too_many(test, tested, step.place, *parallelism));
                }
                Step::Expect { output: None, .. }
                | Step::Rows { .. }
                | Step::Watermark { .. }
                | Step::Idle(_)
                | Step::End(_)
                | Step::Advance(_)
                | Step::Snapshot(_)
                | Step::Restore(_)
                | Step::Crash
                | Step::DeadLetters(_)
                | Step::Skipped(_)
                | Step::Timers(_)
                | Step::Fails { .. } => {}
            }
        }
    }
    Diagnostics::from_list(wrong)
}

fn too_many(
    test: &TestFile,
    tested: &Tested,
    place: TestPlace,
    parallelism: Parallelism,
) -> Option<Diagnostic> {
    let max = tested.max_parallelism();
    (parallelism.get() > max.get()).then(|| {
        let message = format!("parallelism {parallelism} is larger than max-parallelism {max}");
        test.diagnose(place, code::PARALLELISM, message, "too many", None)
    })
}

fn no_output(test: &TestFile, tested: &Tested, place: TestPlace, name: &str) -> Option<Diagnostic> {
    let all = &tested.side_outputs;
    (!all.iter().any(|side| side == name)).then(|| {
        let message = format!("operator `{}` has no side output `{name}`", tested.name());
        let label = told("side outputs", all.iter().map(String::as_str));
        test.diagnose(place, code::UNKNOWN_INPUT, message, label, None)
    })
}

fn no_state(test: &TestFile, tested: &Tested, place: TestPlace, name: &str) -> Option<Diagnostic> {
    tested.state(name).is_none().then(|| {
        let message = format!("operator `{}` has no state `{name}`", tested.name());
        let all = tested.states().iter().map(|state| state.name.as_str());
        let label = told("states", all);
        test.diagnose(place, code::UNKNOWN_INPUT, message, label, None)
    })
}

fn told<'a>(what: &str, all: impl Iterator<Item = &'a str>) -> String {
    let all: Vec<String> = all.map(|name| format!("`{name}`")).collect();
    match all.as_slice() {
        [] => format!("it has no {what}"),
        [one] => format!("it has {one}"),
        all => format!("its {what} are {}", all.join(", ")),
    }
}
