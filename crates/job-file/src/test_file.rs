//! What a test file says, as plain values: an operator and what is done with it step by step.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use serde_json::Value as Json;
use weir_model::{EventTime, Name, Parallelism, ProcessingTime};

use crate::{
    Diagnostic, JobFile,
    diagnostic::Label,
    source::{Document, Span},
};

/// A test file that was read without an error.
#[derive(Clone, Debug)]
pub struct TestFile {
    /// The operator that is tested.
    pub operator: Name,
    /// The job that it stands in: that of `job`, or one made of what the test file says.
    pub job: JobFile,
    /// `columns` of `sources`: what their headers are.
    pub headers: BTreeMap<Name, Vec<String>>,
    /// `start`: what the clock says when a case begins.
    pub start: ProcessingTime,
    /// `cases`, in order.
    pub cases: Vec<TestCase>,
    pub(crate) document: Arc<Document>,
}

/// One of `cases`.
#[derive(Clone, Debug)]
pub struct TestCase {
    /// `name`.
    pub name: String,
    /// `parallelism` of the case, of the file, or of the operator in its job.
    pub parallelism: Parallelism,
    /// `steps`, in order.
    pub steps: Vec<TestStep>,
    /// Where its name is written.
    pub place: TestPlace,
}

/// A place of a test file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TestPlace(pub(crate) Span);

/// One of `steps`.
#[derive(Clone, Debug)]
pub struct TestStep {
    /// What is done.
    pub step: Step,
    /// Where it is written.
    pub place: TestPlace,
}

/// What is done with an operator, or expected of it. Inputs are told by their index.
#[derive(Clone, Debug)]
pub enum Step {
    /// `rows`.
    Rows {
        /// The input.
        input: usize,
        /// The rows.
        rows: Vec<GivenRow>,
    },
    /// `watermark`.
    Watermark {
        /// The inputs.
        inputs: Vec<usize>,
        /// What it rises to; [`EventTime::MAX`] for `end`.
        to: EventTime,
    },
    /// `idle`.
    Idle(Vec<usize>),
    /// `end`.
    End(Vec<usize>),
    /// `advance`.
    Advance(Duration),
    /// `snapshot`, with the name it gets.
    Snapshot(Option<String>),
    /// `restore`, with the name of the snapshot; `None` = the latest one.
    Restore(Option<String>),
    /// `rescale`.
    Rescale(Parallelism),
    /// `crash`.
    Crash,
    /// `expect`.
    Expect {
        /// `output`: the side output; `None` = the main one.
        output: Option<(String, TestPlace)>,
        /// The rows.
        rows: Vec<ExpectedRow>,
        /// `order: any`.
        any_order: bool,
    },
    /// `dead-letters`: of each what it must have.
    DeadLetters(Vec<ExpectedJson>),
    /// `skipped`.
    Skipped(u64),
    /// `timers`: all there are.
    Timers(Vec<ExpectedTimer>),
    /// `state`: of each state that is named, all that it holds.
    State(Vec<ExpectedState>),
    /// `fails`.
    Fails {
        /// `code`.
        code: Option<String>,
        /// `message`: what is in it.
        message: Option<String>,
        /// `row`.
        row: Option<String>,
    },
}

/// A row that is given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GivenRow {
    /// Its text.
    pub text: String,
    /// Its event time, where it is written beside it.
    pub time: Option<i64>,
    /// Where it is written.
    pub place: TestPlace,
}

/// A row that is expected.
#[derive(Clone, Debug, PartialEq)]
pub struct ExpectedRow {
    /// What it is.
    pub value: ExpectedValue,
    /// Its event time, where it is written beside it.
    pub time: Option<i64>,
    /// Where it is written.
    pub place: TestPlace,
}

/// What a row is expected to be.
#[derive(Clone, Debug, PartialEq)]
pub enum ExpectedValue {
    /// This text; where it is JSON, any text of the same value.
    Text(String),
    /// JSON of this value.
    Json(Json),
}

/// A value that is expected.
#[derive(Clone, Debug, PartialEq)]
pub struct ExpectedJson {
    /// The value.
    pub value: Json,
    /// Where it is written.
    pub place: TestPlace,
}

/// A timer that is expected.
#[derive(Clone, Debug, PartialEq)]
pub struct ExpectedTimer {
    /// The parts of its key.
    pub key: Vec<Json>,
    /// Whether it goes by event time, and not by the clock.
    pub event_time: bool,
    /// When it is due, in milliseconds.
    pub at: i64,
    /// Where it is written.
    pub place: TestPlace,
}

/// A state with what it is expected to hold.
#[derive(Clone, Debug, PartialEq)]
pub struct ExpectedState {
    /// Its name.
    pub name: String,
    /// What it holds: of keyed state the parts of each key and what it has, else the content.
    pub holds: ExpectedContent,
    /// Where its name is written.
    pub place: TestPlace,
}

/// What a state is expected to hold.
#[derive(Clone, Debug, PartialEq)]
pub enum ExpectedContent {
    /// Of each key.
    Keys(Vec<(Vec<Json>, ExpectedJson)>),
    /// Of the operator as a whole.
    Whole(Json),
}

impl ExpectedRow {
    /// A row that is written nowhere.
    #[must_use]
    pub fn new(value: ExpectedValue, time: Option<i64>) -> Self {
        let place = TestPlace(Span {
            document: crate::source::FILE,
            start: 0,
            end: 0,
        });
        Self { value, time, place }
    }
}

impl TestFile {
    /// The path of the file.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.document.name
    }

    /// An error at a place of the file.
    #[must_use]
    pub fn diagnose(
        &self,
        place: TestPlace,
        code: &'static str,
        message: impl Into<String>,
        label: impl Into<String>,
        help: Option<String>,
    ) -> Diagnostic {
        let span = place.0;
        Diagnostic {
            code,
            message: message.into(),
            labels: vec![Label {
                span: span.start..span.end,
                text: label.into(),
            }],
            help,
            document: Arc::clone(&self.document),
        }
    }

    /// The bytes of the file that a place is.
    #[must_use]
    pub fn range(&self, place: TestPlace) -> std::ops::Range<usize> {
        place.0.start..place.0.end
    }
}
