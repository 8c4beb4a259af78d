//! How rows leave an operator whose calls wait: what they gave goes on, in batches, and what gave
//! nothing is left out or fails the task.

use weir_model::{Batch, Column, Lineage};
use weir_operator::{BatchRow, Called, Emitted, Failure, RowInfo};

use super::{
    node::{Settled, WaitingNode},
    queue::{Leaving, Mark},
};
use crate::{
    exchange::EdgeOut,
    letters::{BadRow, BadRows, Cause},
    meters::NodeMeters,
    task::{
        chain::{Chain, Kind, NodeFailure, set_aside},
        isolate::{REFUSED, cause_of},
    },
};

/// About how many bytes of results leave at once.
const MAX_BYTES: usize = 4 * Batch::MAX_BYTES;

/// What has left.
#[derive(Default)]
pub(crate) struct Left {
    /// How many rows.
    pub(crate) rows: usize,
    /// The mark behind them.
    pub(crate) mark: Option<Mark>,
}

/// Rows of one output, all of which have an event time or none.
struct Group {
    output: u32,
    timed: bool,
    values: Column,
    timestamps: Vec<i64>,
    lineage: Vec<Lineage>,
}

impl Chain {
    /// Lets leave what can: rows up to the next mark, and that; at most so many rows.
    pub(crate) fn let_leave(&mut self, most: usize) -> Result<Left, NodeFailure> {
        let mut left = Left::default();
        let mut groups: Vec<Group> = Vec::new();
        let keeps_lineage = self.keeps_lineage;
        let Some(node) = self.nodes.first_mut() else {
            return Ok(left);
        };
        let Kind::Waiting(waiting) = &mut node.kind else {
            return Ok(left);
        };
        let mut bytes = 0;
        while left.rows < most
            && bytes < MAX_BYTES
            && let Some(leaving) = waiting.leave()
        {
            let (row, settled) = match leaving {
                Leaving::Row(row, settled) => (row, settled),
                Leaving::Mark(mark) => {
                    left.mark = Some(mark);
                    break;
                }
            };
            left.rows += 1;
            let called = waiting.settle(&row, settled, &node.meters, &mut self.outputs);
            let called = called.map_err(|failure| NodeFailure {
                node: node.name.clone(),
                failure,
            })?;
            for emitted in called.map(|called| called.emitted).unwrap_or_default() {
                bytes += emitted.values.byte_len();
                gather(&mut groups, emitted, &row, keeps_lineage);
            }
        }
        for group in groups {
            let Group {
                output,
                values,
                timestamps,
                lineage,
                ..
            } = group;
            self.emit(0, output, values, timestamps, lineage)?;
        }
        Ok(left)
    }
}

/// Adds what a row gave to the rows of its output.
fn gather(groups: &mut Vec<Group>, emitted: Emitted, row: &BatchRow, keeps_lineage: bool) {
    let inherited = row.timestamp();
    let timed = !emitted.timestamps.is_empty() || inherited.is_some();
    let last = groups
        .iter_mut()
        .rev()
        .find(|group| group.output == emitted.output);
    let group = match last.filter(|group| group.timed == timed) {
        Some(group) => group,
        None => {
            groups.push(Group {
                output: emitted.output,
                timed,
                values: Column::new(),
                timestamps: Vec::new(),
                lineage: Vec::new(),
            });
            let last = groups.len() - 1;
            &mut groups[last]
        }
    };
    for value in emitted.values.iter() {
        group.values.push(value);
    }
    match inherited.filter(|_| emitted.timestamps.is_empty()) {
        Some(timestamp) => group.timestamps.resize(group.values.len(), timestamp),
        None => group.timestamps.extend(&emitted.timestamps),
    }
    if keeps_lineage {
        group.lineage.resize(group.values.len(), row.lineage());
    }
}

impl WaitingNode {
    /// What a row gave; `None` where it is left out.
    fn settle(
        &mut self,
        row: &BatchRow,
        settled: Settled,
        meters: &NodeMeters,
        outputs: &mut [EdgeOut],
    ) -> Result<Option<Called>, Failure> {
        let (message, code, failure) = match settled {
            Settled::Called(mut called) => {
                for (name, metric) in called.metrics.drain(..) {
                    self.metrics.report(&name, metric);
                }
                self.metrics.commit();
                return Ok(Some(called));
            }
            Settled::TimedOut(calls) => {
                let times = match calls {
                    0 | 1 => String::new(),
                    calls => format!(", with {calls} calls"),
                };
                let message = format!("a row took longer than `async.timeout`{times}");
                (
                    message.clone(),
                    Failure::TIMED_OUT,
                    unanswered(row, message, true),
                )
            }
            Settled::Failed(why) => {
                let message = format!("a call for a row failed: {why}");
                (
                    message.clone(),
                    Failure::GIVEN_UP,
                    unanswered(row, message, false),
                )
            }
            Settled::Refused(why) => {
                let message = format!("{why}\n{}", info(row));
                let failure = Failure::Guest { message, row: None };
                (why, REFUSED, failure)
            }
            Settled::Lost(failure) => (cause_of(&failure), failure.code(), with_row(failure, row)),
        };
        if matches!(self.bad_rows, BadRows::Fail) {
            return Err(failure);
        }
        let cause = Cause {
            code,
            error: &message,
        };
        let bad = BadRow {
            timer: None,
            value: row.value(),
            timestamp: row.timestamp(),
            key_hash: row.key().map(|(_, hash)| hash),
        };
        set_aside(&mut self.bad_rows, meters, outputs, (Some(0), cause, bad))?;
        Ok(None)
    }
}

fn info(row: &BatchRow) -> RowInfo {
    let key_hash = row.key().map(|(_, hash)| hash);
    RowInfo::new(row.value(), row.timestamp(), key_hash)
}

fn unanswered(row: &BatchRow, message: String, timed_out: bool) -> Failure {
    Failure::Unanswered {
        message,
        timed_out,
        row: Box::new(info(row)),
    }
}

/// A lost instance with the row that it was lost by: a call has one.
fn with_row(mut failure: Failure, row: &BatchRow) -> Failure {
    if let Failure::Trap(trap) = &mut failure {
        trap.row = Some(info(row));
    }
    if let Failure::Limit(limit) = &mut failure {
        limit.row = Some(info(row));
    }
    failure
}
