//! Dead letters: rows that could not be taken, each as a line of JSON with what is wrong with it.
//!
//! INVARIANT: a line says nothing that depends on the attempt or on parallelism; so a row that is
//! run again after a failure makes the same letter again.

use base64::prelude::{BASE64_STANDARD, Engine};
use weir_graph::{EdgeId, OnError};
use weir_model::{Column, Name};
use weir_operator::{Failure, RowInfo};
use weir_state::TimerKind;

use crate::exchange::TimedRows;

/// What becomes of rows that an operator cannot take.
pub(crate) enum BadRows {
    /// The task fails.
    Fail,
    /// They are left out and counted.
    Skip,
    /// They are left out, counted and sent on with what is wrong with them.
    DeadLetter(Box<Letters>),
}

impl BadRows {
    /// What `on_error` says; `letters` are told where to go by the plan.
    ///
    /// # Errors
    /// Where the plan has no edge for dead letters.
    pub(crate) fn new(on_error: &OnError, letters: Option<Letters>) -> Result<Self, Failure> {
        match (on_error, letters) {
            (OnError::Fail, _) => Ok(Self::Fail),
            (OnError::Skip, _) => Ok(Self::Skip),
            (OnError::DeadLetter(_), Some(letters)) => Ok(Self::DeadLetter(Box::new(letters))),
            (OnError::DeadLetter(sink), None) => Err(Failure::Internal {
                message: format!("the plan has no edge for dead letters to `{sink}`"),
            }),
        }
    }

    /// Whether the job goes on behind a row that cannot be taken.
    pub(crate) fn leaves_out(&self) -> bool {
        match self {
            Self::Fail => false,
            Self::Skip | Self::DeadLetter(_) => true,
        }
    }
}

/// What is wrong with a row.
#[derive(Clone, Copy)]
pub(crate) struct Cause<'a> {
    /// The code of the failure that it is without a dead letter.
    pub(crate) code: &'static str,
    pub(crate) error: &'a str,
}

/// A row that could not be taken.
#[derive(Clone, Copy)]
pub(crate) struct BadRow<'a> {
    /// Of a timer, by which time it went and when it was due; then the value is its key.
    pub(crate) timer: Option<(TimerKind, i64)>,
    pub(crate) value: &'a [u8],
    pub(crate) timestamp: Option<i64>,
    pub(crate) key_hash: Option<u64>,
}

impl BadRow<'_> {
    /// The row or timer, as a failure tells it.
    pub(crate) fn info(&self) -> RowInfo {
        let hash = self.key_hash;
        match self.timer {
            Some((kind, at)) => RowInfo {
                timer: Some(kind),
                ..RowInfo::new(self.value, Some(at), hash)
            },
            None => RowInfo::new(self.value, self.timestamp, hash),
        }
    }
}

/// Writes the dead letters of one operator, or of one edge into it.
pub(crate) struct Letters {
    /// The edge of the task that they leave on.
    to: EdgeId,
    /// How the letters of each input begin.
    begin: Vec<Vec<u8>>,
    /// How those begin that are of no input.
    begin_timer: Vec<u8>,
    lines: Column,
    timestamps: Vec<i64>,
}

impl Letters {
    /// For an operator with inputs of these names.
    pub(crate) fn new(
        to: EdgeId,
        operator: &Name,
        inputs: impl IntoIterator<Item = String>,
    ) -> Self {
        let mut begin_timer = b"{\"operator\":".to_vec();
        text(&mut begin_timer, operator.as_str());
        let begin = |input: String| {
            let mut begin = begin_timer.clone();
            begin.extend_from_slice(b",\"input\":");
            text(&mut begin, &input);
            begin
        };
        Self {
            to,
            begin: inputs.into_iter().map(begin).collect(),
            begin_timer,
            lines: Column::new(),
            timestamps: Vec::new(),
        }
    }

    /// The edge that the letters leave on.
    pub(crate) fn to(&self) -> EdgeId {
        self.to
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }

    /// The letters so far, with the event times of their rows.
    pub(crate) fn rows(&self) -> TimedRows<'_> {
        TimedRows {
            values: self.lines.view(),
            timestamps: &self.timestamps,
            // Letters leave on an edge that deals out by turns: where they go does not matter.
            lineage: &[],
        }
    }

    /// Forgets the letters, which have been sent.
    pub(crate) fn clear(&mut self) {
        self.lines.clear();
        self.timestamps.clear();
    }

    /// Gives the letters away.
    pub(crate) fn take(&mut self) -> (Column, Vec<i64>) {
        let lines = std::mem::take(&mut self.lines);
        (lines, std::mem::take(&mut self.timestamps))
    }

    /// Writes a letter. The rows between two [`clear`](Self::clear)s are of one batch: all of them
    /// have an event time, or none.
    pub(crate) fn add(&mut self, input: Option<usize>, cause: Cause<'_>, row: BadRow<'_>) {
        let begin = input.and_then(|input| self.begin.get(input));
        let begin = begin.unwrap_or(&self.begin_timer);
        self.lines.push_with(|line| {
            line.extend_from_slice(begin);
            line.extend_from_slice(b",\"code\":");
            text(line, cause.code);
            line.extend_from_slice(b",\"error\":");
            text(line, cause.error);
            let what = match row.timer {
                None => "row",
                Some((kind, at)) => {
                    let timer = format!(",\"timer\":\"{kind}\",\"at_ms\":{at}");
                    line.extend_from_slice(timer.as_bytes());
                    "key"
                }
            };
            line.extend_from_slice(b",\"");
            line.extend_from_slice(what.as_bytes());
            match std::str::from_utf8(row.value) {
                Ok(value) => {
                    line.extend_from_slice(b"\":");
                    text(line, value);
                }
                Err(_) => {
                    line.extend_from_slice(b"_base64\":\"");
                    line.extend_from_slice(BASE64_STANDARD.encode(row.value).as_bytes());
                    line.push(b'"');
                }
            }
            if let Some(ms) = row.timestamp {
                line.extend_from_slice(b",\"timestamp_ms\":");
                line.extend_from_slice(ms.to_string().as_bytes());
            }
            if let Some(hash) = row.key_hash {
                let hash = format!(",\"key_hash\":\"{hash:016x}\"");
                line.extend_from_slice(hash.as_bytes());
            }
            line.push(b'}');
        });
        self.timestamps.extend(row.timestamp);
    }
}

/// A JSON string.
fn text(line: &mut Vec<u8>, text: &str) {
    // A string can be written to memory, always.
    let _ = serde_json::to_writer(line, text);
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn letters() -> Letters {
        let inputs = ["clicks".to_owned(), "parse.late".to_owned()];
        Letters::new(EdgeId(0), &Name::new("cart").unwrap(), inputs)
    }

    const CAUSE: Cause<'_> = Cause {
        code: "W0101",
        error: "no \"price\"\n\u{1}",
    };

    #[test]
    fn a_letter_says_where_what_and_why() {
        let mut letters = letters();
        let row = BadRow {
            timer: None,
            value: "a,\"b\\,ü".as_bytes(),
            timestamp: Some(-5),
            key_hash: Some(0xbeef),
        };
        letters.add(Some(1), CAUSE, row);
        let line = letters.rows().values.get(0);
        assert!(!line.contains(&b'\n'), "it is one line");
        assert_eq!(
            serde_json::from_slice::<Value>(line).unwrap(),
            json!({
                "operator": "cart", "input": "parse.late", "code": "W0101",
                "error": "no \"price\"\n\u{1}", "row": "a,\"b\\,ü",
                "timestamp_ms": -5, "key_hash": "000000000000beef",
            })
        );
        assert_eq!(letters.rows().timestamps, [-5]);
    }

    #[test]
    fn a_letter_of_a_timer_says_when_it_was_due_and_for_which_key() {
        let mut letters = letters();
        let timer = BadRow {
            timer: Some((TimerKind::EventTime, 700)),
            value: b"\x02UA",
            timestamp: Some(700),
            key_hash: Some(1),
        };
        letters.add(None, CAUSE, timer);
        let line: Value = serde_json::from_slice(letters.rows().values.get(0)).unwrap();
        assert_eq!(
            line,
            json!({
                "operator": "cart", "code": "W0101", "error": CAUSE.error,
                "timer": "event-time", "at_ms": 700, "key": "\u{2}UA",
                "timestamp_ms": 700, "key_hash": "0000000000000001",
            })
        );
    }

    #[test]
    fn a_row_that_is_no_text_is_told_in_base64_and_what_there_is_not_is_left_out() {
        // Of RFC 4648, with a byte in front that is in no text.
        for (row, expected) in [
            (&b"\xff"[..], "/w=="),
            (b"\xfff", "/2Y="),
            (b"\xfffo", "/2Zv"),
            (b"\xff\xff\xfe\xfb", "///++w=="),
        ] {
            let mut letters = letters();
            let row = BadRow {
                timer: None,
                value: row,
                timestamp: None,
                key_hash: None,
            };
            letters.add(Some(0), CAUSE, row);
            let line: Value = serde_json::from_slice(letters.rows().values.get(0)).unwrap();
            assert_eq!(
                line,
                json!({
                    "operator": "cart", "input": "clicks", "code": "W0101",
                    "error": CAUSE.error, "row_base64": expected,
                })
            );
            assert!(letters.rows().timestamps.is_empty());
        }
    }
}
