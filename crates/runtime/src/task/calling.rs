//! What a call of an operator is about: rows of an input, timers that are due, or keys of a state.

use std::ops::Range;

use weir_model::Rows;
use weir_operator::{Due, Failure, Outcome, RowInfo};

use super::{operator::OperatorNode, slicer::Slicer};
use crate::letters::BadRow;

/// See the module. Rows and timers are counted alike, and left out alike.
#[derive(Clone, Copy)]
pub(crate) enum Calling<'a> {
    Rows {
        input: u32,
        rows: Rows<'a>,
    },
    Timers(Due<'a>),
    /// Some of the keys that have something in a state; the rows are empty.
    Keys {
        tag: &'a [u8],
        rows: Rows<'a>,
    },
}

impl<'a> Calling<'a> {
    /// How many rows or timers it is about.
    pub(crate) fn len(self) -> usize {
        match self {
            Self::Rows { rows, .. } | Self::Keys { rows, .. } => rows.len(),
            Self::Timers(due) => due.len(),
        }
    }

    /// A part of it, with only the keys that occur in that.
    pub(crate) fn cut(self, slicer: &'a mut Slicer, range: Range<usize>) -> Self {
        match self {
            Self::Rows { input, rows } => Self::Rows {
                input,
                rows: slicer.cut(rows, range),
            },
            Self::Timers(due) => Self::Timers(slicer.cut_timers(due, range)),
            Self::Keys { tag, rows } => Self::Keys {
                tag,
                rows: slicer.cut(rows, range),
            },
        }
    }

    /// The event times that emitted rows inherit.
    pub(crate) fn timestamps(self) -> &'a [i64] {
        match self {
            Self::Rows { rows, .. } | Self::Keys { rows, .. } => rows.timestamps,
            Self::Timers(due) => match due.kind {
                weir_state::TimerKind::EventTime => due.at,
                weir_state::TimerKind::ProcessingTime => &[],
            },
        }
    }

    /// The row or timer at a place, as a failure tells it.
    pub(crate) fn info(self, at: usize) -> RowInfo {
        match self {
            Self::Rows { rows, .. } => RowInfo::new(
                rows.values.get(at),
                rows.timestamps.get(at).copied(),
                key_hash(rows, at),
            ),
            Self::Timers(due) => {
                let (key, hash) = key_of(due, at);
                RowInfo::timer(due.kind, due.at[at], key, hash)
            }
            Self::Keys { rows, .. } => RowInfo::key(key_bytes(rows, at), key_hash(rows, at)),
        }
    }

    /// The row or timer at a place, as a letter tells it.
    pub(crate) fn bad_row(self, at: usize) -> BadRow<'a> {
        match self {
            Self::Rows { rows, .. } => BadRow {
                timer: None,
                value: rows.values.get(at),
                timestamp: rows.timestamps.get(at).copied(),
                key_hash: key_hash(rows, at),
            },
            Self::Timers(due) => {
                let (key, hash) = key_of(due, at);
                BadRow {
                    timer: Some((due.kind, due.at[at])),
                    value: key,
                    timestamp: self.timestamps().get(at).copied(),
                    key_hash: Some(hash),
                }
            }
            Self::Keys { rows, .. } => BadRow {
                timer: None,
                value: key_bytes(rows, at),
                timestamp: None,
                key_hash: key_hash(rows, at),
            },
        }
    }

    /// The input that rows came by.
    pub(crate) fn input(self) -> Option<u32> {
        match self {
            Self::Rows { input, .. } => Some(input),
            Self::Timers(_) | Self::Keys { .. } => None,
        }
    }

    /// Whether it is about keys, for which no row and no timer has come.
    pub(crate) fn is_of_keys(self) -> bool {
        matches!(self, Self::Keys { .. })
    }
}

impl OperatorNode {
    /// Begins the transaction of a call.
    ///
    /// # Errors
    /// Where timers are not of this operator.
    pub(crate) fn begin_calling(&mut self, calling: Calling<'_>) -> Result<(), Failure> {
        match calling {
            Calling::Rows { input, rows } => {
                self.begin_writes(rows.keyed, self.is_broadcast(input));
                Ok(())
            }
            Calling::Timers(due) => {
                self.begin_writes(Some(due.keyed), false);
                let fired = self.cx.state.fire(due.kind, due.at, due.keyed.key_of_row);
                fired.map_err(|error| Failure::Internal {
                    message: format!("timers cannot fire: {error}"),
                })
            }
            Calling::Keys { rows, .. } => {
                self.begin_writes(rows.keyed, false);
                Ok(())
            }
        }
    }

    /// Makes the call.
    pub(crate) fn call(&mut self, calling: Calling<'_>) -> Result<Outcome, Failure> {
        let outcome = self.call_operator(calling)?;
        if !self.cx.said_watermarks.is_empty() && !self.says_watermarks {
            return Err(Failure::Contract {
                message: "`context.emit-watermark` is for operators with \
                          `watermark: { component: true }` in the job file, and this one has no such \
                          key"
                    .into(),
            });
        }
        if self.cx.state.asks() {
            self.check_asked(calling)?;
            if outcome.poisoned.is_some() {
                // It came alone, and counts for nothing.
                self.cx.state.forget_asks();
            }
        }
        Ok(outcome)
    }

    /// Calls for all keys are asked for where every subtask asks alike (C28).
    fn check_asked(&self, calling: Calling<'_>) -> Result<(), Failure> {
        let input = calling.input();
        if input.is_some_and(|input| self.is_broadcast(input)) && self.all_keys.is_some() {
            return Ok(());
        }
        let why = match input {
            _ if self.all_keys.is_none() => {
                "the component does not export `keyed-broadcast`".into()
            }
            Some(input) => format!("input {input} is no broadcast input"),
            None => "no row is processed".to_owned(),
        };
        Err(Failure::Contract {
            message: format!("`state.apply-to-keys` cannot be used here: {why}"),
        })
    }

    fn call_operator(&mut self, calling: Calling<'_>) -> Result<Outcome, Failure> {
        match calling {
            Calling::Rows { input, rows } => self.operator.process(&mut self.cx, input, rows),
            Calling::Timers(due) => self.operator.on_timers(&mut self.cx, due),
            Calling::Keys { tag, rows } => self.operator.on_keys(&mut self.cx, tag, rows),
        }
    }

    /// Whether what is refused or traps in such a call may be left out, if the job says so. Of a
    /// row of a broadcast input all subtasks keep the same or they differ for ever, and whether a
    /// row traps or takes too long may differ: it is left out nowhere. Nor is a timer that the
    /// operator keeps something for that only the timer would clear or set anew.
    pub(crate) fn may_leave_out(&self, calling: Calling<'_>) -> bool {
        let broadcast = calling
            .input()
            .is_some_and(|input| self.is_broadcast(input));
        let needed = self.needs_all_timers && matches!(calling, Calling::Timers(_));
        let whole = broadcast || needed || calling.is_of_keys();
        self.bad_rows.leaves_out() && !self.keeps_memory && !whole
    }
}

fn key_hash(rows: Rows<'_>, row: usize) -> Option<u64> {
    let keyed = rows.keyed?;
    let key = *keyed.key_of_row.get(row)? as usize;
    keyed.hashes.get(key).copied()
}

/// The key of an empty row.
fn key_bytes(rows: Rows<'_>, row: usize) -> &[u8] {
    let keyed = rows.keyed;
    let key = keyed.and_then(|keyed| Some(keyed.keys.get(*keyed.key_of_row.get(row)? as usize)));
    key.unwrap_or_default()
}

fn key_of(due: Due<'_>, at: usize) -> (&[u8], u64) {
    let key = due.keyed.key_of_row[at] as usize;
    (due.keyed.keys.get(key), due.keyed.hashes[key])
}
