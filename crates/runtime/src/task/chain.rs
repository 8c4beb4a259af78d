//! The nodes of one chain and subtask, and how rows run through them.
//!
//! A call into an operator is a transaction: it is begun, and committed or rolled back, here. What
//! it emits goes on only after it was committed.

use std::{ops::Range, sync::Arc, time::Duration};

use tokio::time::Instant;
use weir_graph::{Link, OnError};
use weir_model::{Column, Element, EventTime, Name, ProcessingTime, Rows};
use weir_operator::{Context, Emitted, Failure, Limit, Operator, Outcome, Poison, RowInfo};

use super::{
    sink::SinkNode,
    slicer::{Pace, Slicer},
};
use crate::{
    clock::Clock,
    exchange::{EdgeOut, TimedRows},
    meters::NodeMeters,
};

/// One chained node.
pub(crate) struct Node {
    pub(crate) name: Name,
    pub(crate) kind: Kind,
    pub(crate) links: Vec<(u32, Link)>,
    pub(crate) meters: Arc<NodeMeters>,
}

/// What a node is.
pub(crate) enum Kind {
    /// The head of a source task; its rows come in from outside.
    Source,
    Operator(OperatorNode),
    Sink(SinkNode),
}

/// An operator with what it sees of the host.
pub(crate) struct OperatorNode {
    pub(crate) operator: Box<dyn Operator>,
    pub(crate) cx: Box<Context>,
    pub(crate) on_error: OnError,
    pub(crate) stateful: bool,
    pub(crate) keeps_memory: bool,
    pub(crate) slicer: Slicer,
    /// What a row costs here, whatever follows.
    pub(crate) pace: Pace,
}

/// A failure with the node that it happened in.
#[derive(Debug)]
pub(crate) struct NodeFailure {
    pub(crate) node: Name,
    pub(crate) failure: Failure,
}

/// All nodes of a task and the edges out of it.
pub(crate) struct Chain {
    pub(crate) nodes: Vec<Node>,
    pub(crate) outputs: Vec<EdgeOut>,
    pub(crate) clock: Arc<dyn Clock>,
}

/// A deadline for the calls that look for a row, so that looking for one that loops stays short. A
/// row that was found for taking too long is then run alone, with all the time there is.
const ISOLATION_DEADLINE: Duration = Duration::from_millis(200);

impl Chain {
    /// Opens all operators.
    pub(crate) fn open(&mut self) -> Result<(), NodeFailure> {
        let now = self.clock.now();
        for node in &mut self.nodes {
            let Kind::Operator(op) = &mut node.kind else {
                continue;
            };
            op.begin(now, None);
            let opened = op.operator.open(&mut op.cx);
            op.end(opened).map_err(|failure| NodeFailure {
                node: node.name.clone(),
                failure,
            })?;
        }
        Ok(())
    }

    /// Runs rows through a node and all that is chained behind it.
    pub(crate) fn process(
        &mut self,
        at: usize,
        input: u32,
        rows: Rows<'_>,
    ) -> Result<(), NodeFailure> {
        let mut from = 0;
        let all = rows.len();
        self.nodes[at].meters.rows_in.add(all);
        while from < all {
            // The head has cut the batch by what the whole chain costs; but a source hands over
            // what it read, and an operator may make many rows out of few (D6).
            let count = match &self.nodes[at].kind {
                Kind::Operator(op) => op.pace.rows(all - from),
                Kind::Source | Kind::Sink(_) => all - from,
            };
            from = self.process_from(at, input, rows, from..from + count)?;
        }
        Ok(())
    }

    /// Runs the rows `range` of `rows` through a node, in one call; gives back the row to go on
    /// with: behind the range, or behind a row that was left out.
    fn process_from(
        &mut self,
        at: usize,
        input: u32,
        rows: Rows<'_>,
        range: Range<usize>,
    ) -> Result<usize, NodeFailure> {
        let now = self.clock.now();
        let Node {
            name, kind, meters, ..
        } = &mut self.nodes[at];
        let fail = |failure| NodeFailure {
            node: name.clone(),
            failure,
        };
        match kind {
            Kind::Source => Ok(range.end),
            Kind::Sink(sink) => {
                sink.opened.get_or_insert(now);
                sink.sink.write(rows).map_err(fail)?;
                Ok(range.end)
            }
            Kind::Operator(op) => {
                let start = range.start;
                let mut slicer = std::mem::take(&mut op.slicer);
                let slice = slicer.cut(rows, range.clone());
                op.begin(now, Some(slice));
                let began = Instant::now();
                let result = op.operator.process(&mut op.cx, input, slice);
                // A refused row ends its call: where there are many, calls get short.
                let refused = result.as_ref().ok().and_then(|o| o.poisoned.as_ref());
                let done = refused.map_or(slice.len(), |poison| poison.row as usize + 1);
                op.pace.learn(done, began.elapsed());
                let mut next = range.end;
                let result = result.or_else(|failure| {
                    let (outcome, rows) = op.isolate(input, slice, failure)?;
                    next = start + rows;
                    Ok(outcome)
                });
                let outcome = op.end(result).map_err(fail)?;
                if let Some(poison) = &outcome.poisoned {
                    match op.on_error {
                        OnError::Fail => {
                            let row = info_of(slice, poison.row as usize);
                            let message = format!("{}\n{row}", poison.message);
                            return Err(fail(Failure::Guest {
                                message,
                                row: Some(poison.row),
                            }));
                        }
                        OnError::Skip => {
                            meters.skipped.add(1);
                            next = start + poison.row as usize + 1;
                        }
                    }
                }
                self.dispatch(at, outcome.emitted, slice.timestamps)?;
                if let Kind::Operator(op) = &mut self.nodes[at].kind {
                    op.slicer = slicer;
                }
                Ok(next)
            }
        }
    }

    /// Sends what a node emitted on to where its outputs lead.
    fn dispatch(
        &mut self,
        at: usize,
        emitted: Vec<Emitted>,
        input_times: &[i64],
    ) -> Result<(), NodeFailure> {
        for mut one in emitted {
            let timestamps = timestamps_of(&mut one, input_times);
            self.emit(at, one.output, one.values, timestamps)?;
        }
        Ok(())
    }

    /// Sends rows of one output on to where it leads.
    pub(crate) fn emit(
        &mut self,
        at: usize,
        output: u32,
        values: Column,
        timestamps: Vec<i64>,
    ) -> Result<(), NodeFailure> {
        self.nodes[at].meters.rows_out.add(values.len());
        let links: Vec<Link> = self.nodes[at].links_of(output).collect();
        let Some((last, others)) = links.split_last() else {
            return Ok(());
        };
        for link in others {
            self.emit_shared(
                at,
                *link,
                TimedRows {
                    values: values.view(),
                    timestamps: &timestamps,
                },
            )?;
        }
        match *last {
            Link::Edge(edge) => {
                self.outputs[edge.0]
                    .push_owned(values, timestamps)
                    .map_err(|failure| NodeFailure {
                        node: self.nodes[at].name.clone(),
                        failure,
                    })
            }
            Link::Chained(_) => self.emit_shared(
                at,
                *last,
                TimedRows {
                    values: values.view(),
                    timestamps: &timestamps,
                },
            ),
        }
    }

    fn emit_shared(
        &mut self,
        at: usize,
        link: Link,
        rows: TimedRows<'_>,
    ) -> Result<(), NodeFailure> {
        match link {
            Link::Edge(edge) => self.outputs[edge.0]
                .push(rows)
                .map_err(|failure| NodeFailure {
                    node: self.nodes[at].name.clone(),
                    failure,
                }),
            Link::Chained(next) => {
                let rows = Rows {
                    values: rows.values,
                    timestamps: rows.timestamps,
                    keyed: None,
                };
                self.process(next, 0, rows)
            }
        }
    }

    /// One input of the head has ended.
    pub(crate) fn end_of_input(&mut self, at: usize, input: u32) -> Result<(), NodeFailure> {
        let now = self.clock.now();
        let Node { name, kind, .. } = &mut self.nodes[at];
        let Kind::Operator(op) = kind else {
            return Ok(());
        };
        op.begin(now, None);
        let result = op.operator.end_of_input(&mut op.cx, input);
        let emitted = op.end(result).map_err(|failure| NodeFailure {
            node: name.clone(),
            failure,
        })?;
        self.dispatch(at, emitted, &[])
    }

    /// All inputs of a node have ended: it finishes, and with it what is chained behind it.
    pub(crate) fn finish(&mut self, at: usize) -> Result<(), NodeFailure> {
        let now = self.clock.now();
        let Node {
            name, kind, links, ..
        } = &mut self.nodes[at];
        let next: Vec<usize> = links
            .iter()
            .filter_map(|(_, link)| match link {
                Link::Chained(next) => Some(*next),
                Link::Edge(_) => None,
            })
            .collect();
        if let Kind::Operator(op) = kind {
            op.begin(now, None);
            let result = op.operator.finish(&mut op.cx);
            let emitted = op.end(result).map_err(|failure| NodeFailure {
                node: name.clone(),
                failure,
            })?;
            self.dispatch(at, emitted, &[])?;
        }
        for next in next {
            self.end_of_input(next, 0)?;
            self.finish(next)?;
        }
        Ok(())
    }

    /// The input has run dry: nothing is held back.
    pub(crate) fn flush(&mut self) -> Result<(), NodeFailure> {
        for node in &mut self.nodes {
            if let Kind::Sink(sink) = &mut node.kind {
                sink.sink.flush().map_err(|failure| NodeFailure {
                    node: node.name.clone(),
                    failure,
                })?;
            }
        }
        self.hand_over();
        Ok(())
    }

    /// Hands all builders over.
    pub(crate) fn hand_over(&mut self) {
        for output in &mut self.outputs {
            output.hand_over_all();
        }
    }

    /// Hands over what has waited too long (D7).
    pub(crate) fn hand_over_old(&mut self, now: Instant) {
        for output in &mut self.outputs {
            output.hand_over_old(now);
        }
    }

    /// Sends an element that is not a batch to all that follows.
    pub(crate) fn send_all(&mut self, element: &Element) {
        for output in &mut self.outputs {
            output.send_all(element);
        }
    }

    /// Whether an output is over its budget, so that no further batch should be taken (D5).
    pub(crate) fn is_over(&self) -> bool {
        self.outputs.iter().any(EdgeOut::is_over)
    }

    /// The watermark of the task has risen.
    pub(crate) fn set_watermark(&mut self, watermark: EventTime) {
        for node in &mut self.nodes {
            if let Kind::Operator(op) = &mut node.kind {
                op.cx.watermark = watermark;
            }
        }
    }
}

impl Node {
    fn links_of(&self, output: u32) -> impl Iterator<Item = Link> {
        self.links
            .iter()
            .filter(move |(o, _)| *o == output)
            .map(|(_, link)| *link)
    }
}

impl OperatorNode {
    fn begin(&mut self, now: ProcessingTime, rows: Option<Rows<'_>>) {
        self.cx.processing_time = now;
        self.cx.state.begin(rows.and_then(|rows| rows.keyed));
    }

    /// Keeps what the call did, or drops it.
    fn end<T>(&mut self, result: Result<T, Failure>) -> Result<T, Failure> {
        match result {
            Ok(value) => {
                self.cx.state.commit()?;
                self.cx.metrics.commit();
                Ok(value)
            }
            Err(failure) => {
                self.cx.state.rollback();
                self.cx.metrics.rollback();
                Err(failure)
            }
        }
    }

    /// What becomes of a call that lost its instance. Under `on-error: skip` so many of its rows
    /// are done with, left out or not; else the failure names its row. Operators that keep
    /// something in their own memory can only fail (D13).
    fn isolate(
        &mut self,
        input: u32,
        rows: Rows<'_>,
        mut failure: Failure,
    ) -> Result<(Outcome, usize), Failure> {
        if !failure.lost_instance() {
            return Err(failure);
        }
        if self.on_error == OnError::Skip && !self.keeps_memory {
            return self.get_past(input, rows, failure);
        }
        let row = if rows.len() == 1 {
            Some(0)
        } else if self.keeps_memory {
            None
        } else {
            let found = self.find_row(input, rows, &failure);
            // Many rows that each take their time are no row that takes too long.
            found.filter(|&row| {
                !is_too_long(&failure) || self.passes(input, rows, row..row + 1) == Some(false)
            })
        };
        let info = row.map(|row| info_of(rows, row));
        match &mut failure {
            Failure::Trap(trap) => trap.row = info,
            Failure::Limit(limit) => limit.row = info,
            Failure::Guest { .. }
            | Failure::Contract { .. }
            | Failure::BadRow { .. }
            | Failure::BadKey { .. }
            | Failure::External { .. }
            | Failure::Restore { .. }
            | Failure::Unfit { .. }
            | Failure::Existing { .. }
            | Failure::Internal { .. } => {}
        }
        Err(failure)
    }

    /// Goes on behind a trap or a limit: keeps the rows before the one that seems to be its cause;
    /// leaves out only a row that fails alone, on a fresh instance and with all the time there is.
    /// What many rows use up together is nobody's fault.
    fn get_past(
        &mut self,
        input: u32,
        rows: Rows<'_>,
        failure: Failure,
    ) -> Result<(Outcome, usize), Failure> {
        let row = match rows.len() {
            1 => 0,
            _ => match self.find_row(input, rows, &failure) {
                Some(row) => row,
                None => return Err(failure),
            },
        };
        let count = row.max(1);
        match self.run_anew(input, rows, 0..count)? {
            Ok(outcome) => Ok((outcome, count)),
            Err(again) if row == 0 && again.lost_instance() => {
                self.cx.state.rollback();
                self.cx.metrics.rollback();
                self.operator.reset(&mut self.cx)?;
                self.cx.state.begin(None);
                let message = again.to_string();
                let poisoned = Some(Poison { row: 0, message });
                let outcome = Outcome {
                    poisoned,
                    ..Outcome::default()
                };
                Ok((outcome, count))
            }
            Err(again) => Err(again),
        }
    }

    /// Runs some rows on a fresh instance; whoever asks keeps what that came to, or does not.
    ///
    /// # Errors
    /// The outer one where there is no fresh instance.
    fn run_anew(
        &mut self,
        input: u32,
        rows: Rows<'_>,
        range: Range<usize>,
    ) -> Result<Result<Outcome, Failure>, Failure> {
        self.cx.state.rollback();
        self.cx.metrics.rollback();
        self.operator.reset(&mut self.cx)?;
        let mut slicer = Slicer::default();
        let some = slicer.cut(rows, range);
        self.cx.state.begin(some.keyed);
        let mut result = self.operator.process(&mut self.cx, input, some);
        for emitted in result.iter_mut().flat_map(|outcome| &mut outcome.emitted) {
            // Empty says that row `i` comes from row `i`, of fewer rows than the call had.
            if emitted.origin.is_empty() {
                emitted.origin.extend(0..emitted.values.len() as u32);
            }
        }
        Ok(result)
    }

    /// The last row of the shortest prefix that fails; the last of all where no shorter one does.
    /// `None` where there is no fresh instance.
    fn find_row(&mut self, input: u32, rows: Rows<'_>, failure: &Failure) -> Option<usize> {
        // Looking for a row that loops stays short; whoever is found is given all the time then.
        self.cx.deadline = is_too_long(failure).then_some(ISOLATION_DEADLINE);
        // Invariant: a prefix of `good` rows passes, one of `bad` rows fails.
        let (mut good, mut bad) = (0, rows.len());
        while bad - good > 1 {
            let mid = good + (bad - good) / 2;
            match self.passes(input, rows, 0..mid) {
                Some(true) => good = mid,
                Some(false) => bad = mid,
                None => {
                    self.cx.deadline = None;
                    return None;
                }
            }
        }
        self.cx.deadline = None;
        Some(bad - 1)
    }

    /// Whether a fresh instance takes these rows; `None` where there is none.
    fn passes(&mut self, input: u32, rows: Rows<'_>, range: Range<usize>) -> Option<bool> {
        let result = self.run_anew(input, rows, range).ok()?;
        Some(result.is_ok())
    }
}

fn is_too_long(failure: &Failure) -> bool {
    matches!(failure, Failure::Limit(limit) if limit.key == Limit::TIME)
}

fn info_of(rows: Rows<'_>, row: usize) -> RowInfo {
    let hash = rows.keyed.and_then(|keyed| {
        let key = *keyed.key_of_row.get(row)? as usize;
        keyed.hashes.get(key).copied()
    });
    RowInfo::new(
        rows.values.get(row),
        rows.timestamps.get(row).copied(),
        hash,
    )
}

/// The event times of emitted rows: their own, or those of the rows that they come from.
fn timestamps_of(emitted: &mut Emitted, input: &[i64]) -> Vec<i64> {
    if !emitted.timestamps.is_empty() || input.is_empty() {
        return std::mem::take(&mut emitted.timestamps);
    }
    if emitted.origin.is_empty() {
        return if emitted.values.len() == input.len() {
            input.to_vec()
        } else {
            Vec::new()
        };
    }
    emitted
        .origin
        .iter()
        .map(|&row| input[row as usize])
        .collect()
}
