//! A case: its steps, one after the other, until one of them is not as it should be.

use std::iter::Peekable;

use serde_json::Value;
use weir_harness::{Differs, Harness, Row, Snapshot, Stopped};
use weir_job_file::{
    Diagnostic, ExpectedJson, ExpectedRow, ExpectedState, GivenRow, Step, TestCase, TestFile,
    TestPlace, TestStep,
};
use weir_model::Column;

use super::{
    compare::{Line, in_any_order, in_order, unordered},
    held::Held,
};
use crate::{assemble::Tested, render::failure_text};

/// The code of an expectation that does not hold.
const UNEXPECTED: &str = "W0060";
/// The code of a step that cannot be done.
const NOT_DONE: &str = "W0061";
/// The code of a crash that is seen.
const CRASH_SEEN: &str = "W0062";

/// What is not as it should be.
#[derive(Debug)]
pub(super) struct Failed {
    pub(super) diagnostic: Diagnostic,
    /// What was expected beside what came.
    pub(super) lines: Vec<Line>,
}

/// Runs a case.
///
/// # Errors
/// The first thing that is not as it should be.
pub(super) fn run(test: &TestFile, tested: &Tested, case: &TestCase) -> Result<(), Box<Failed>> {
    let mut running = Running {
        test,
        tested,
        case,
        harness: None,
        snapshots: Vec::new(),
        stopped: None,
    };
    match Harness::start(tested.setup(case.parallelism)) {
        Ok(harness) => running.harness = Some(harness),
        Err(stopped) => running.stopped = Some((stopped, case.place)),
    }
    let mut steps = case.steps.iter().peekable();
    running.is_told(&mut steps)?;
    while let Some(step) = steps.next() {
        running.step(step)?;
        running.is_told(&mut steps)?;
    }
    Ok(())
}

/// A case while it runs.
struct Running<'a> {
    test: &'a TestFile,
    tested: &'a Tested,
    case: &'a TestCase,
    /// `None` where the job could not begin.
    harness: Option<Harness>,
    snapshots: Vec<(Option<String>, Snapshot)>,
    /// What stopped the step before, and where that is; `fails` looks at it.
    stopped: Option<(Stopped, TestPlace)>,
}

impl Running<'_> {
    /// A step that was stopped is told of, unless the next one expects it.
    fn is_told<'s>(
        &self,
        steps: &mut Peekable<impl Iterator<Item = &'s TestStep>>,
    ) -> Result<(), Box<Failed>> {
        let Some((stopped, place)) = &self.stopped else {
            return Ok(());
        };
        let next = steps.peek().map(|next| &next.step);
        match (stopped, next) {
            (Stopped::Failed(_), Some(Step::Fails { .. })) => Ok(()),
            (stopped, _) => Err(self.not_done(*place, stopped)),
        }
    }

    fn not_done(&self, place: TestPlace, stopped: &Stopped) -> Box<Failed> {
        let (what, help) = match stopped {
            Stopped::Failed(failure) => (
                format!(
                    "the job failed\n{}",
                    failure_text(failure, &self.tested.components)
                ),
                Some("if it should, say `fails` behind the step".to_owned()),
            ),
            other => (other.to_string(), None),
        };
        self.failed(place, NOT_DONE, &what, "with this step", help, Vec::new())
    }

    fn failed(
        &self,
        place: TestPlace,
        code: &'static str,
        what: &str,
        label: &str,
        help: Option<String>,
        lines: Vec<Line>,
    ) -> Box<Failed> {
        let message = format!("{}: {what}", self.case.name);
        let diagnostic = self.test.diagnose(place, code, message, label, help);
        Box::new(Failed { diagnostic, lines })
    }

    /// What is expected is not what came.
    fn unexpected(&self, place: TestPlace, what: &str, lines: Vec<Line>) -> Box<Failed> {
        let count = |is: fn(&Line) -> bool| lines.iter().filter(|line| is(line)).count();
        let missing = count(|line| matches!(line, Line::Missing(_)));
        let surplus = count(|line| matches!(line, Line::Surplus(_)));
        let label = match (missing, surplus) {
            (0, 0) => "expected here".to_owned(),
            (missing, 0) => format!("{missing} missing (-)"),
            (0, surplus) => format!("{surplus} too many (+)"),
            (missing, surplus) => format!("{missing} missing (-), {surplus} not expected (+)"),
        };
        self.failed(place, UNEXPECTED, what, &label, None, lines)
    }

    fn step(&mut self, step: &TestStep) -> Result<(), Box<Failed>> {
        let place = step.place;
        match &step.step {
            Step::Expect {
                output,
                rows,
                any_order,
            } => {
                let name = output.as_ref().map(|(name, _)| name.as_str());
                self.expect(place, name, rows, *any_order)
            }
            Step::DeadLetters(expected) => self.dead_letters(place, expected),
            Step::Skipped(expected) => self.skipped(place, *expected),
            Step::Timers(expected) => match self.held(place)?.timers(expected) {
                Ok(()) => Ok(()),
                Err(lines) => Err(self.unexpected(place, "other timers are set", lines)),
            },
            Step::State(expected) => self.state(place, expected),
            Step::Fails { code, message, row } => {
                let texts = [code.as_deref(), message.as_deref(), row.as_deref()];
                self.fails(place, texts)
            }
            Step::Crash => self.crash(place),
            does => {
                let done = self.does(does, place)?;
                self.stopped = done.err().map(|stopped| (stopped, place));
                Ok(())
            }
        }
    }

    /// The harness; a job that could not begin has none.
    fn harness(&mut self, place: TestPlace) -> Result<&mut Harness, Box<Failed>> {
        let what = "the job could not begin: there is nothing to be done with it";
        let none = match self.harness {
            Some(_) => None,
            None => Some(self.failed(place, NOT_DONE, what, "", None, Vec::new())),
        };
        match (&mut self.harness, none) {
            (Some(harness), None) => Ok(harness),
            (_, Some(failed)) => Err(failed),
            (None, None) => Err(Box::new(Failed {
                diagnostic: self.test.diagnose(place, NOT_DONE, what, "", None),
                lines: Vec::new(),
            })),
        }
    }

    /// Steps that do something.
    fn does(&mut self, step: &Step, place: TestPlace) -> Result<Result<(), Stopped>, Box<Failed>> {
        let rows = match step {
            Step::Rows { input, rows } => Some((*input, self.timed(*input, rows)?)),
            _ => None,
        };
        let named = match step {
            Step::Restore(name) => self.snapshot(name.as_deref()),
            _ => None,
        };
        let harness = self.harness(place)?;
        let each = |harness: &mut Harness,
                    inputs: &[usize],
                    does: &dyn Fn(&mut Harness, usize) -> Result<(), Stopped>| {
            inputs.iter().try_for_each(|&input| does(harness, input))
        };
        Ok(match step {
            Step::Watermark { inputs, to } => each(harness, inputs, &|harness, input| {
                harness.watermark(input, *to)
            }),
            Step::Idle(inputs) => each(harness, inputs, &Harness::idle),
            Step::End(inputs) => each(harness, inputs, &Harness::end),
            Step::Advance(by) => harness.advance(*by),
            Step::Rescale(parallelism) => harness.rescale(*parallelism),
            Step::Snapshot(name) => match harness.snapshot() {
                Ok(snapshot) => {
                    self.snapshots.push((name.clone(), snapshot));
                    Ok(())
                }
                Err(stopped) => Err(stopped),
            },
            Step::Restore(_) => match named {
                Some(snapshot) => harness.restore(&snapshot),
                None => Err(Stopped::Broken("there is no such snapshot".into())),
            },
            Step::Rows { .. }
            | Step::Crash
            | Step::Expect { .. }
            | Step::DeadLetters(_)
            | Step::Skipped(_)
            | Step::Timers(_)
            | Step::State(_)
            | Step::Fails { .. } => match rows {
                Some((input, rows)) => harness.rows(input, rows),
                None => Ok(()),
            },
        })
    }

    /// The latest snapshot of that name, or of any.
    fn snapshot(&self, name: Option<&str>) -> Option<Snapshot> {
        let mut taken = self.snapshots.iter().rev();
        let is_it = |known: &Option<String>| name.is_none() || known.as_deref() == name;
        let found = taken.find(|(known, _)| is_it(known));
        found.map(|(_, snapshot)| snapshot.clone())
    }

    /// The rows with their times, as their source would give them.
    fn timed(&self, input: usize, given: &[GivenRow]) -> Result<Vec<Row>, Box<Failed>> {
        let selector = self.tested.times.get(input).and_then(Option::as_ref);
        let mut rows = Vec::new();
        for row in given {
            let (mut times, mut bad) = (Vec::new(), Vec::new());
            let time = match (row.time, selector) {
                (Some(time), _) => Some(time),
                (None, None) => None,
                (None, Some(selector)) => {
                    let column: Column = [row.text.as_bytes()].into_iter().collect();
                    selector.select(column.view(), &mut times, &mut bad);
                    times.first().copied()
                }
            };
            match bad.first() {
                None => {}
                Some(bad) if bad.left_out => continue,
                Some(bad) => {
                    let what = format!("the row has no event time: {}", bad.message);
                    let help = "say it beside the row: `{ row: …, time: … }`".to_owned();
                    let (code, none) = (NOT_DONE, Vec::new());
                    return Err(self.failed(row.place, code, &what, "this row", Some(help), none));
                }
            }
            rows.push(Row {
                value: row.text.clone().into_bytes(),
                time,
            });
        }
        Ok(rows)
    }

    fn expect(
        &mut self,
        place: TestPlace,
        output: Option<&str>,
        expected: &[ExpectedRow],
        any_order: bool,
    ) -> Result<(), Box<Failed>> {
        let number = self.output(output);
        let came = self.harness(place)?.take(number);
        let compared = match any_order {
            true => in_any_order(expected, &came),
            false => in_order(expected, &came),
        };
        compared.map_err(|lines| {
            let what = match (output, expected.is_empty()) {
                (None, true) => "rows came, and none were expected".to_owned(),
                (None, false) => "other rows came".to_owned(),
                (Some(side), _) => format!("other rows came out of `{side}`"),
            };
            self.unexpected(place, &what, lines)
        })
    }

    /// The number of an output: 0 is the main one.
    fn output(&self, name: Option<&str>) -> usize {
        let Some(name) = name else { return 0 };
        let mut all = self.tested.side_outputs.iter();
        // That there is such an output was looked at before the first case.
        all.position(|side| side == name).map_or(0, |at| at + 1)
    }

    fn dead_letters(
        &mut self,
        place: TestPlace,
        expected: &[ExpectedJson],
    ) -> Result<(), Box<Failed>> {
        let came = self.harness(place)?.take_dead_letters();
        let json = |bytes: &[u8]| serde_json::from_slice(bytes).unwrap_or(Value::Null);
        let came: Vec<Value> = came.iter().map(|row| json(&row.value)).collect();
        let texts: Vec<String> = expected.iter().map(|e| e.value.to_string()).collect();
        let came_texts: Vec<String> = came.iter().map(Value::to_string).collect();
        let fits = |e: usize, c: usize| is_letter(&expected[e].value, &came[c]);
        unordered(&texts, &came_texts, fits)
            .map_err(|lines| self.unexpected(place, "other dead letters came", lines))
    }

    fn skipped(&mut self, place: TestPlace, expected: u64) -> Result<(), Box<Failed>> {
        let came = self.harness(place)?.take_skipped();
        if came == expected {
            return Ok(());
        }
        let what = format!("{came} rows were left out, and not {expected}");
        Err(self.unexpected(place, &what, Vec::new()))
    }

    fn held(&mut self, place: TestPlace) -> Result<Held, Box<Failed>> {
        let tested = self.tested;
        let held = Held::of(self.harness(place)?, tested);
        held.map_err(|what| {
            let what = format!("what the operator holds cannot be read: {what}");
            self.failed(place, NOT_DONE, &what, "needed here", None, Vec::new())
        })
    }

    fn state(&mut self, place: TestPlace, expected: &[ExpectedState]) -> Result<(), Box<Failed>> {
        let held = self.held(place)?;
        for state in expected {
            let declared = self.tested.state(&state.name);
            if let Err(lines) = held.state(state, declared) {
                let what = format!("state `{}` holds something else", state.name);
                return Err(self.unexpected(state.place, &what, lines));
            }
        }
        Ok(())
    }

    fn fails(
        &mut self,
        place: TestPlace,
        [code, message, row]: [Option<&str>; 3],
    ) -> Result<(), Box<Failed>> {
        let Some((Stopped::Failed(failure), _)) = self.stopped.take() else {
            let what = "the step before did not fail";
            return Err(self.unexpected(place, what, Vec::new()));
        };
        let text = failure.failure.to_string();
        let is_code = code.is_none_or(|code| code == failure.failure.code());
        let is_message = message.is_none_or(|message| text.contains(message));
        let is_row = row.is_none_or(|row| text.contains(&format!("row: {row:?}")));
        if is_code && is_message && is_row {
            return Ok(());
        }
        let told = failure_text(&failure, &self.tested.components);
        let what = format!("the job failed in another way\n{told}");
        let label = match (is_code, is_message) {
            (false, _) => "another code",
            (true, false) => "not in the message",
            (true, true) => "another row",
        };
        Err(self.failed(place, UNEXPECTED, &what, label, None, Vec::new()))
    }

    fn crash(&mut self, place: TestPlace) -> Result<(), Box<Failed>> {
        match self.harness(place)?.crash() {
            Ok(differs) => match differs.into_iter().next() {
                None => Ok(()),
                Some(differs) => Err(self.crash_seen(place, &differs)),
            },
            Err(stopped) => {
                self.stopped = Some((stopped, place));
                Ok(())
            }
        }
    }

    fn crash_seen(&self, place: TestPlace, differs: &Differs) -> Box<Failed> {
        let text = |row: &weir_harness::Caught| String::from_utf8_lossy(&row.value).into_owned();
        let before: Vec<String> = differs.before.iter().map(text).collect();
        let after: Vec<String> = differs.after.iter().map(text).collect();
        let lines = unordered(&before, &after, |b, a| before[b] == after[a]).err();
        let of = match differs.output.checked_sub(1) {
            None => String::new(),
            Some(side) => match self.tested.side_outputs.get(side) {
                Some(name) => format!(" out of `{name}`"),
                None => " as dead letters".to_owned(),
            },
        };
        let what = format!(
            "the crash is seen: the same input since the last snapshot gave other rows{of} after \
             it than before"
        );
        let help = "what an operator goes on from must be in its state: fields of its own are gone \
                    after a crash";
        let label = "before (-), after (+)";
        let lines = lines.unwrap_or_default();
        self.failed(
            place,
            CRASH_SEEN,
            &what,
            label,
            Some(help.to_owned()),
            lines,
        )
    }
}

/// Whether a dead letter is the one that is expected: it has all that is named, and the error says
/// what is written.
fn is_letter(expected: &Value, came: &Value) -> bool {
    let Value::Object(members) = expected else {
        return false;
    };
    members
        .iter()
        .all(|(key, value)| match (key.as_str(), value, &came[key]) {
            ("error", Value::String(part), Value::String(error)) => error.contains(part.as_str()),
            // A row that is JSON may be written as such.
            ("row", Value::Object(_) | Value::Array(_), Value::String(row)) => {
                serde_json::from_str::<Value>(row).is_ok_and(|row| row == *value)
            }
            (_, expected, came) => expected == came,
        })
}
