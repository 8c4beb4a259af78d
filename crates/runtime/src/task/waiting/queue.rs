//! The rows of an operator whose calls wait, from their arrival until their results leave: pure.
//!
//! What has come between rows - watermarks, idleness, the end of data - is a *mark* and waits in
//! its place. The rows between two marks are a *segment*: unordered results leave as they come
//! within theirs and never across a mark, ordered ones in the order of the rows.
//!
//! INVARIANT: at most `capacity` rows have been begun and have not left; each row leaves once, with
//! a result; what has not left is what a snapshot holds. Time comes in as a value.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use weir_model::{EventTime, ProcessingTime};
use weir_operator::{AsyncOptions, Order};

/// The rows. `T` is what a row is, `R` what becomes of it.
pub(crate) struct Queue<T, R> {
    options: AsyncOptions,
    timeout_ms: u64,
    /// By number, which is the order of arrival.
    rows: BTreeMap<u64, Slot<T, R>>,
    /// The number of the next row to come.
    next: u64,
    /// The first row that was not begun; neither was any behind it.
    unbegun: u64,
    /// Rows to be called again, whose time has come.
    again: VecDeque<u64>,
    /// When something becomes of a row by itself.
    alarms: BTreeSet<(ProcessingTime, u64)>,
    /// At least one; only the last has no mark behind it.
    segments: VecDeque<Segment>,
    /// The number of the first segment.
    first: u64,
}

struct Slot<T, R> {
    row: T,
    state: State<R>,
    segment: u64,
    /// How many calls were made.
    calls: u32,
    /// When it has taken too long; known when it is begun.
    deadline: ProcessingTime,
}

enum State<R> {
    /// It was not begun.
    Waits,
    /// A call is under way; its alarm is the deadline.
    Runs,
    /// A call failed; it is made again when its alarm goes, or its time has come already.
    Rests { until: ProcessingTime },
    /// It can leave.
    Ended(R),
}

#[derive(Default)]
struct Segment {
    /// Rows of it that have not left.
    left: usize,
    /// Where results leave as they come, those that can, in the order in which they ended.
    ended: VecDeque<u64>,
    /// What stands behind it.
    mark: Option<Mark>,
}

/// What stands between rows. What comes without a row in between is one mark.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Mark {
    /// The watermark rises.
    pub(crate) watermark: Option<EventTime>,
    /// The input will be silent, or speaks again.
    pub(crate) idle: Option<bool>,
    /// All rows are through.
    pub(crate) end: bool,
}

impl Mark {
    /// Both, as one: what came later holds.
    fn and(self, later: Self) -> Self {
        Self {
            watermark: later.watermark.or(self.watermark),
            idle: later.idle.or(self.idle),
            end: self.end || later.end,
        }
    }
}

/// What a call came to.
pub(crate) enum Ended<R> {
    /// This is what becomes of the row.
    Settled(R),
    /// Another call may get more; where none is made, this is what becomes of the row.
    Failed(R),
}

/// What leaves.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Leaving<T, R> {
    Row(T, R),
    Mark(Mark),
}

impl<T, R> Queue<T, R> {
    pub(crate) fn new(options: AsyncOptions) -> Self {
        Self {
            timeout_ms: u64::try_from(options.timeout.as_millis()).unwrap_or(u64::MAX),
            options,
            rows: BTreeMap::new(),
            next: 0,
            unbegun: 0,
            again: VecDeque::new(),
            alarms: BTreeSet::new(),
            segments: VecDeque::from([Segment::default()]),
            first: 0,
        }
    }

    /// A row has come.
    pub(crate) fn push(&mut self, row: T) {
        let slot = Slot {
            row,
            state: State::Waits,
            segment: self.first + self.segments.len() as u64 - 1,
            calls: 0,
            deadline: ProcessingTime(i64::MAX),
        };
        self.rows.insert(self.next, slot);
        self.next += 1;
        if let Some(last) = self.segments.back_mut() {
            last.left += 1;
        }
    }

    /// Something else has come, that stays behind the rows before it.
    pub(crate) fn mark(&mut self, mark: Mark) {
        let last = self.segments.len() - 1;
        // A segment behind another has lost no row yet: where it has none, none has come.
        let at = match self.segments[last].left {
            0 if last > 0 => last - 1,
            _ => last,
        };
        let before = self.segments[at].mark.unwrap_or_default();
        self.segments[at].mark = Some(before.and(mark));
        if at == last {
            self.segments.push_back(Segment::default());
        }
    }

    /// Whether a row waits to be begun: no more should be taken then.
    pub(crate) fn is_full(&self) -> bool {
        self.unbegun < self.next
    }

    /// How many calls could be begun now.
    pub(crate) fn wanted(&self) -> usize {
        let waits = usize::try_from(self.next - self.unbegun).unwrap_or(usize::MAX);
        let free = self.options.capacity.saturating_sub(self.begun());
        self.again.len() + waits.min(free)
    }

    /// How many rows are being called, or will be as soon as that can be.
    pub(crate) fn under_way(&self) -> usize {
        self.begun() + self.wanted() - self.again.len()
    }

    /// Time stood still for so long: nothing takes longer for it, and nothing rests longer.
    pub(crate) fn postpone(&mut self, by_ms: u64) {
        let alarms = std::mem::take(&mut self.alarms).into_iter();
        self.alarms = alarms.map(|(at, row)| (at.plus_ms(by_ms), row)).collect();
        for slot in self.rows.values_mut() {
            slot.deadline = slot.deadline.plus_ms(by_ms);
            if let State::Rests { until } = &mut slot.state {
                *until = until.plus_ms(by_ms);
            }
        }
    }

    /// How many rows have been begun and have not left.
    pub(crate) fn begun(&self) -> usize {
        let waits = usize::try_from(self.next - self.unbegun).unwrap_or(usize::MAX);
        self.rows.len().saturating_sub(waits)
    }

    /// The rows that have not left, in the order in which they came.
    pub(crate) fn rows(&self) -> impl Iterator<Item = &T> {
        self.rows.values().map(|slot| &slot.row)
    }

    /// The next row whose call is to be made, with its number.
    pub(crate) fn begin(&mut self, now: ProcessingTime) -> Option<(u64, &T)> {
        let number = match self.again.pop_front() {
            Some(number) => number,
            None if self.unbegun < self.next && self.begun() < self.options.capacity => {
                self.unbegun += 1;
                self.unbegun - 1
            }
            None => return None,
        };
        let slot = self.rows.get_mut(&number)?;
        if slot.calls == 0 {
            slot.deadline = now.plus_ms(self.timeout_ms);
            self.alarms.insert((slot.deadline, number));
        }
        slot.calls = slot.calls.saturating_add(1);
        slot.state = State::Runs;
        Some((number, &slot.row))
    }

    /// A call has ended. That of a row that took too long does not count any more.
    pub(crate) fn ended(&mut self, number: u64, ended: Ended<R>, now: ProcessingTime) {
        let Some(slot) = self.rows.get_mut(&number) else {
            return;
        };
        let State::Runs = slot.state else {
            return;
        };
        let result = match ended {
            Ended::Settled(result) => result,
            Ended::Failed(result) => {
                let delay = self.options.retry.delay_ms(slot.calls);
                let until = delay.map(|delay| now.plus_ms(delay));
                // What could only end too late is not tried: why it failed says more.
                if let Some(until) = until.filter(|&until| until < slot.deadline) {
                    slot.state = State::Rests { until };
                    self.alarms.insert((until, number));
                    return;
                }
                result
            }
        };
        self.settle(number, result);
    }

    /// That is what becomes of a row.
    fn settle(&mut self, number: u64, result: R) {
        let Some(slot) = self.rows.get_mut(&number) else {
            return;
        };
        self.alarms.remove(&(slot.deadline, number));
        if let State::Rests { until } = slot.state {
            self.alarms.remove(&(until, number));
        }
        slot.state = State::Ended(result);
        if self.options.order == Order::Ordered {
            return;
        }
        let at = usize::try_from(slot.segment - self.first).unwrap_or(usize::MAX);
        if let Some(segment) = self.segments.get_mut(at) {
            segment.ended.push_back(number);
        }
    }

    /// Time has come to `now`: rows that rested are to be called again, and those that took too
    /// long end as `late` says, which is told how many calls were made. Gives the numbers of these:
    /// their calls are to be dropped.
    pub(crate) fn tick(&mut self, now: ProcessingTime, late: impl Fn(u32) -> R) -> Vec<u64> {
        let mut dropped = Vec::new();
        while let Some(&(at, number)) = self.alarms.first()
            && at <= now
        {
            self.alarms.pop_first();
            let Some(slot) = self.rows.get(&number) else {
                continue;
            };
            if slot.deadline <= now {
                dropped.push(number);
                let result = late(slot.calls);
                self.again.retain(|&other| other != number);
                self.settle(number, result);
            } else {
                self.again.push_back(number);
            }
        }
        dropped
    }

    /// When the next thing happens by itself.
    pub(crate) fn next_alarm(&self) -> Option<ProcessingTime> {
        self.alarms.first().map(|&(at, _)| at)
    }

    /// Takes out what leaves next, if it can.
    pub(crate) fn leave(&mut self) -> Option<Leaving<T, R>> {
        let segment = self.segments.front_mut()?;
        if segment.left == 0 {
            let mark = segment.mark?;
            self.segments.pop_front();
            self.first += 1;
            return Some(Leaving::Mark(mark));
        }
        let number = match self.options.order {
            Order::Unordered => segment.ended.pop_front()?,
            Order::Ordered => {
                let first = self.rows.first_key_value();
                let (&number, _) = first.filter(|(_, slot)| slot.has_ended())?;
                number
            }
        };
        segment.left -= 1;
        match self.rows.remove(&number) {
            Some(Slot {
                row,
                state: State::Ended(result),
                ..
            }) => Some(Leaving::Row(row, result)),
            Some(_) | None => None,
        }
    }
}

impl<T, R> Slot<T, R> {
    fn has_ended(&self) -> bool {
        matches!(self.state, State::Ended(_))
    }
}

#[cfg(test)]
mod tests;
