//! The nodes of one chain and subtask, and how rows run through them.
//!
//! A call into an operator is a transaction: it is begun, and committed or rolled back, here. What
//! it emits goes on only after it was committed.

use std::{ops::Range, sync::Arc};

use tokio::time::Instant;
use weir_graph::{EdgeId, Link};
use weir_model::{CheckpointId, Column, Element, Lineage, Name, Rows};
use weir_operator::{Emitted, Failure, Outcome, Poison};

use super::{
    calling::Calling,
    isolate::REFUSED,
    operator::{Fate, OperatorNode},
    own_time::{Leaving, OwnTime},
    sink::SinkNode,
    waiting::WaitingNode,
};
use crate::{
    clock::Clock,
    exchange::{EdgeOut, TimedRows, hand_over_beside},
    letters::{BadRow, BadRows, Cause},
    meters::NodeMeters,
};

/// One chained node.
pub(crate) struct Node {
    pub(crate) name: Name,
    pub(crate) kind: Kind,
    pub(crate) links: Vec<(u32, Link)>,
    /// Where it makes watermarks of what it emits.
    pub(crate) own_time: Option<Box<OwnTime>>,
    pub(crate) meters: Arc<NodeMeters>,
}

/// What a node is.
pub(crate) enum Kind {
    /// The head of a source task; its rows come in from outside.
    Source,
    Operator(Box<OperatorNode>),
    /// Only ever the head: its rows come and go by the task's loop.
    Waiting(Box<WaitingNode>),
    Sink(SinkNode),
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
    /// Whether it matters where rows came from, because some edge keeps it (D10).
    pub(crate) keeps_lineage: bool,
}

/// What emitted rows inherit from those they come from: one of each a row, or none at all.
#[derive(Clone, Copy, Default)]
struct Inherited<'a> {
    timestamps: &'a [i64],
    lineage: &'a [Lineage],
}

impl Chain {
    /// Initializes and opens all operators.
    pub(crate) fn open(&mut self) -> Result<(), NodeFailure> {
        let now = self.clock.now();
        for node in &mut self.nodes {
            let opened = match &mut node.kind {
                Kind::Operator(op) => op.open(now),
                Kind::Waiting(waiting) => waiting.open(),
                Kind::Source | Kind::Sink(_) => Ok(()),
            };
            opened.map_err(|failure| NodeFailure {
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
        lineage: &[Lineage],
    ) -> Result<(), NodeFailure> {
        let mut from = 0;
        let all = rows.len();
        self.nodes[at].meters.rows_in.add(all);
        while from < all {
            // The head has cut the batch by what the whole chain costs; but a source hands over
            // what it read, and an operator may make many rows out of few (D6).
            let count = match &self.nodes[at].kind {
                Kind::Operator(op) => op.pace.rows(all - from),
                Kind::Source | Kind::Waiting(_) | Kind::Sink(_) => all - from,
            };
            from = self.process_from(at, input, (rows, lineage), from..from + count)?;
        }
        Ok(())
    }

    /// Runs the rows `range` of some rows through a node, in one call; gives back the row to go on
    /// with: behind the range, or behind a row that was left out.
    fn process_from(
        &mut self,
        at: usize,
        input: u32,
        (rows, lineage): (Rows<'_>, &[Lineage]),
        range: Range<usize>,
    ) -> Result<usize, NodeFailure> {
        let now = self.clock.now();
        let Node { name, kind, .. } = &mut self.nodes[at];
        let fail = |failure| NodeFailure {
            node: name.clone(),
            failure,
        };
        match kind {
            Kind::Source | Kind::Waiting(_) => Ok(range.end),
            Kind::Sink(sink) => {
                sink.opened.get_or_insert(now);
                sink.sink.write(rows).map_err(fail)?;
                Ok(range.end)
            }
            Kind::Operator(op) => {
                let start = range.start;
                // Cutting counts: behind a refused row the rest is cut anew.
                let began = Instant::now();
                let mut slicer = std::mem::take(&mut op.slicer);
                let rows = slicer.cut(rows, range.clone());
                let calling = Calling::Rows { input, rows };
                op.set_time(now);
                op.begin_calling(calling).map_err(fail)?;
                let result = op.call(calling);
                // A refused row ends its call: where there are many, calls get short.
                let refused = result.as_ref().ok().and_then(|o| o.poisoned.as_ref());
                let done = refused.map_or(rows.len(), |poison| poison.row as usize + 1);
                op.pace.learn(done, began.elapsed());
                let lineage = lineage.get(range).unwrap_or_default();
                let done = self.conclude(at, calling, lineage, result)?;
                if let Kind::Operator(op) = &mut self.nodes[at].kind {
                    op.slicer = slicer;
                }
                Ok(start + done)
            }
        }
    }

    /// Ends a call of an operator: what it did is kept or dropped, what it refused is left out or
    /// fails the task, and what it emitted goes on. Gives back how many rows or timers are done
    /// with.
    pub(super) fn conclude(
        &mut self,
        at: usize,
        calling: Calling<'_>,
        lineage: &[Lineage],
        result: Result<Outcome, Failure>,
    ) -> Result<usize, NodeFailure> {
        let Node {
            name, kind, meters, ..
        } = &mut self.nodes[at];
        let fail = |failure| NodeFailure {
            node: name.clone(),
            failure,
        };
        let Kind::Operator(op) = kind else {
            return Ok(calling.len());
        };
        let (mut done, mut code) = (calling.len(), REFUSED);
        let result = result.or_else(|failure| {
            let past = op.isolate(calling, failure)?;
            (done, code) = (past.rows, past.code);
            Ok(past.outcome)
        });
        if let Ok(outcome) = &result
            && let Some(poison) = &outcome.poisoned
        {
            done = poison.row as usize + 1;
            // Those behind a refused timer are still to fire.
            op.cx.state.fired_only(done);
        }
        let outcome = op.end(result).map_err(fail)?;
        let asked = op.cx.state.take_asked();
        if !asked.is_empty()
            && let Some(all) = &mut op.all_keys
        {
            let timestamp = calling.timestamps().first().copied();
            all.ask(asked, timestamp, op.cx.state.key_groups());
        }
        if let Some(poison) = &outcome.poisoned {
            let bad = Bad {
                calling,
                poison,
                code,
            };
            leave_out(op, meters, &mut self.outputs, bad).map_err(fail)?;
        }
        let inherited = Inherited {
            timestamps: calling.timestamps(),
            lineage,
        };
        self.dispatch(at, outcome.emitted, inherited)?;
        Ok(done)
    }

    /// Sends what a node emitted on to where its outputs lead.
    fn dispatch(
        &mut self,
        at: usize,
        emitted: Vec<Emitted>,
        input: Inherited<'_>,
    ) -> Result<(), NodeFailure> {
        let makes_watermarks = self.nodes[at].own_time.is_some();
        let mut leaving = Vec::new();
        for mut one in emitted {
            let timestamps = timestamps_of(&mut one, input.timestamps);
            let lineage = match self.keeps_lineage {
                true => lineage_of(&one, input.lineage),
                false => Vec::new(),
            };
            if makes_watermarks && one.output == 0 {
                leaving.push(Leaving {
                    values: one.values,
                    timestamps,
                    lineage,
                });
                continue;
            }
            self.emit(at, one.output, one.values, timestamps, lineage)?;
        }
        if makes_watermarks {
            let said = match &mut self.nodes[at].kind {
                Kind::Operator(op) => std::mem::take(&mut op.cx.said_watermarks),
                Kind::Source | Kind::Waiting(_) | Kind::Sink(_) => Vec::new(),
            };
            self.emit_with_watermarks(at, leaving, &said)?;
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
        lineage: Vec<Lineage>,
    ) -> Result<(), NodeFailure> {
        if output == 0 && self.nodes[at].own_time.is_some() {
            let leaving = Leaving {
                values,
                timestamps,
                lineage,
            };
            return self.emit_with_watermarks(at, vec![leaving], &[]);
        }
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
                    lineage: &lineage,
                },
            )?;
        }
        match *last {
            Link::Edge(edge) => {
                let pushed = self.outputs[edge.0].push_owned(values, timestamps, lineage);
                self.pushed(at, edge, pushed)
            }
            Link::Chained(_) => self.emit_shared(
                at,
                *last,
                TimedRows {
                    values: values.view(),
                    timestamps: &timestamps,
                    lineage: &lineage,
                },
            ),
        }
    }

    pub(super) fn emit_shared(
        &mut self,
        at: usize,
        link: Link,
        rows: TimedRows<'_>,
    ) -> Result<(), NodeFailure> {
        match link {
            Link::Edge(edge) => {
                let pushed = self.outputs[edge.0].push(rows);
                self.pushed(at, edge, pushed)
            }
            Link::Chained(next) => {
                let lineage = rows.lineage;
                let rows = Rows {
                    values: rows.values,
                    timestamps: rows.timestamps,
                    keyed: None,
                };
                self.process(next, 0, rows, lineage)
            }
        }
    }

    /// Rows were given to an edge: those without a key may have become dead letters, which leave
    /// on an edge of their own.
    fn pushed(
        &mut self,
        at: usize,
        edge: EdgeId,
        pushed: Result<(), Failure>,
    ) -> Result<(), NodeFailure> {
        let sent = pushed.and_then(|()| match self.outputs[edge.0].letters() {
            None => Ok(()),
            Some((to, lines, timestamps)) => {
                self.outputs[to.0].push_owned(lines, timestamps, Vec::new())
            }
        });
        sent.map_err(|failure| NodeFailure {
            node: self.nodes[at].name.clone(),
            failure,
        })
    }

    /// One input of the head has ended.
    pub(crate) fn end_of_input(&mut self, at: usize, input: u32) -> Result<(), NodeFailure> {
        let now = self.clock.now();
        let Node { name, kind, .. } = &mut self.nodes[at];
        let Kind::Operator(op) = kind else {
            return Ok(());
        };
        op.begin(now);
        let result = op.operator.end_of_input(&mut op.cx, input);
        let emitted = op.end(result).map_err(|failure| NodeFailure {
            node: name.clone(),
            failure,
        })?;
        self.dispatch(at, emitted, Inherited::default())
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
            op.begin(now);
            let result = op.operator.finish(&mut op.cx);
            let emitted = op.end(result).map_err(|failure| NodeFailure {
                node: name.clone(),
                failure,
            })?;
            self.dispatch(at, emitted, Inherited::default())?;
        }
        for next in next {
            self.end_of_input(next, 0)?;
            self.finish(next)?;
        }
        Ok(())
    }

    /// Tells all operators what became of a checkpoint, in the order in which rows run.
    pub(crate) fn told(&mut self, id: CheckpointId, fate: Fate) -> Result<(), NodeFailure> {
        let now = self.clock.now();
        for node in &mut self.nodes {
            let Kind::Operator(op) = &mut node.kind else {
                continue;
            };
            op.told(now, id, fate).map_err(|failure| NodeFailure {
                node: node.name.clone(),
                failure,
            })?;
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

    /// Hands over what has waited too long (D7), and what goes with what was handed over.
    pub(crate) fn hand_over_old(&mut self, now: Instant) {
        for output in &mut self.outputs {
            output.hand_over_old(now);
        }
        hand_over_beside(&mut self.outputs);
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
}

impl Node {
    pub(super) fn links_of(&self, output: u32) -> impl Iterator<Item = Link> {
        self.links
            .iter()
            .filter(move |(o, _)| *o == output)
            .map(|(_, link)| *link)
    }
}

/// A row or timer of a call that an operator could not take.
struct Bad<'a> {
    calling: Calling<'a>,
    poison: &'a Poison,
    code: &'static str,
}

/// What becomes of a row that an operator could not take. Its letter is handed over with the rows
/// that its neighbours made, so that it belongs to the same checkpoint.
fn leave_out(
    op: &mut OperatorNode,
    meters: &NodeMeters,
    outputs: &mut [EdgeOut],
    bad: Bad<'_>,
) -> Result<(), Failure> {
    let Bad {
        calling,
        poison,
        code,
    } = bad;
    let row = poison.row as usize;
    let input = calling.input().map(|input| input as usize);
    let error = &poison.message;
    let left_out = (input, Cause { code, error }, calling.bad_row(row));
    // A key is no row that could be left out: it would stay as it was, for ever.
    if !calling.is_of_keys() && set_aside(&mut op.bad_rows, meters, outputs, left_out)? {
        return Ok(());
    }
    let message = format!("{}\n{}", poison.message, calling.info(row));
    let row = Some(poison.row);
    Err(Failure::Guest { message, row })
}

/// Leaves a row out, given with the input that it came by and with what is wrong with it; `false`
/// where it is to fail the task.
pub(super) fn set_aside(
    bad_rows: &mut BadRows,
    meters: &NodeMeters,
    outputs: &mut [EdgeOut],
    (input, cause, row): (Option<usize>, Cause<'_>, BadRow<'_>),
) -> Result<bool, Failure> {
    match bad_rows {
        BadRows::Fail => return Ok(false),
        BadRows::Skip => meters.skip(cause.error, || row.info()),
        BadRows::DeadLetter(letters) => {
            meters.dead_lettered.add(1);
            letters.add(input, cause, row);
            let sent = outputs[letters.to().0].push(letters.rows());
            letters.clear();
            sent?;
        }
    }
    Ok(true)
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

/// Where emitted rows came from, by the same rule as their event times.
fn lineage_of(emitted: &Emitted, input: &[Lineage]) -> Vec<Lineage> {
    if input.is_empty() {
        return Vec::new();
    }
    if emitted.origin.is_empty() {
        return if emitted.values.len() == input.len() {
            input.to_vec()
        } else {
            Vec::new()
        };
    }
    let origin = emitted.origin.iter();
    origin.map(|&row| input[row as usize]).collect()
}
