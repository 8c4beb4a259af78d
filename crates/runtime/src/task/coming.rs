//! Time that has come: what a task still has to do about a watermark, and whatever waits behind it,
//! and the clock's timers.
//!
//! A watermark goes on only after the timers that it makes due have fired, which may take many
//! calls; between them the task looks at control, and stops where its outputs are full. So what has
//! come waits in a queue, and no row or other element is taken before it is empty.
//!
//! INVARIANT: elements go out in the order in which what they come from came in. A timer never
//! fires in a task that has finished, nor behind a barrier that stops the job.

use weir_event_time::Change;
use weir_model::{EventTime, ProcessingTime};
use weir_state::TimerKind;

use super::{Flow, NodeFailure, Running, Step};

/// What has come.
#[derive(Clone, Copy, Debug)]
pub(super) enum Coming {
    /// The watermark rises; the timers of nodes before this one have fired.
    Watermark {
        to: EventTime,
        node: usize,
    },
    Idle(bool),
    /// A row has asked for calls for all keys.
    Keys,
    /// All rows are through.
    EndOfData,
}

/// Timers that go by the clock.
#[derive(Debug, Default)]
pub(super) struct Alarm {
    /// The nodes that have timers.
    nodes: Vec<usize>,
    /// The last time of which timers are firing that were due. Those that they set for the same
    /// time fire in the same round.
    round: Option<ProcessingTime>,
    /// A round has just ended: something else is done before the next begins.
    rests: bool,
}

impl Alarm {
    pub(super) fn of(nodes: Vec<usize>) -> Self {
        Self {
            nodes,
            ..Self::default()
        }
    }
}

impl Running {
    pub(super) fn time_changed(&mut self, changes: impl IntoIterator<Item = Change>) {
        for change in changes {
            if self.mark(change) {
                continue;
            }
            self.coming.push_back(match change {
                Change::Watermark(to) => Coming::Watermark { to, node: 0 },
                Change::Idle(idle) => Coming::Idle(idle),
            });
        }
    }

    /// Does a call's worth of what has come; `None` where nothing has.
    pub(super) fn come(&mut self) -> Result<Option<Step>, NodeFailure> {
        let Some(coming) = self.coming.pop_front() else {
            return Ok(None);
        };
        match coming {
            Coming::Watermark { to, node } => self.advance(to, node)?,
            Coming::Idle(idle) => self.task.chain.send_idle(idle),
            Coming::Keys => {
                if self.task.chain.call_keys()? {
                    self.coming.push_front(Coming::Keys);
                }
            }
            Coming::EndOfData => self.end_of_data()?,
        }
        Ok(Some(Step::Worked))
    }

    /// The watermark rises in one node after the other, and at last downstream.
    fn advance(&mut self, to: EventTime, mut node: usize) -> Result<(), NodeFailure> {
        while node < self.task.chain.nodes.len() {
            self.task.chain.set_watermark(node, to);
            if node == 0 {
                self.passed(to);
            }
            if !self.finished && self.task.chain.fire(node, TimerKind::EventTime, to.0)? {
                self.coming.push_front(Coming::Watermark { to, node });
                return Ok(());
            }
            node += 1;
        }
        self.task.chain.send_watermark(to);
        Ok(())
    }

    /// Whether timers that go by the clock fire at all.
    fn is_ticking(&self) -> bool {
        !self.alarm.nodes.is_empty() && !self.finished && self.stopping.is_none()
    }

    /// The time that the first of them is set for: it is due when that has passed.
    pub(super) fn next_alarm(&mut self) -> Result<Option<ProcessingTime>, NodeFailure> {
        if !self.is_ticking() {
            return Ok(None);
        }
        let mut first = None;
        for at in 0..self.alarm.nodes.len() {
            let next = self.task.chain.next_timer(self.alarm.nodes[at])?;
            first = first.into_iter().chain(next).min();
        }
        Ok(first)
    }

    /// Fires a call's worth of the timers that are due by the clock; `On` where there were any.
    pub(super) fn tick(&mut self) -> Result<Flow, NodeFailure> {
        if !self.is_ticking() || std::mem::take(&mut self.alarm.rests) {
            return Ok(Flow::End);
        }
        let until = match self.alarm.round {
            Some(until) => until,
            None => {
                let passed = self.task.chain.clock.passed();
                if self.next_alarm()?.is_none_or(|next| next > passed) {
                    return Ok(Flow::End);
                }
                passed
            }
        };
        for at in 0..self.alarm.nodes.len() {
            let node = self.alarm.nodes[at];
            if self
                .task
                .chain
                .fire(node, TimerKind::ProcessingTime, until.0)?
            {
                self.alarm.round = Some(until);
                return Ok(Flow::On);
            }
        }
        self.alarm.round = None;
        self.alarm.rests = true;
        Ok(Flow::On)
    }
}
