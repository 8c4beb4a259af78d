//! When a window gives its result (semantics 1.10).
//!
//! A trigger is a value; what it remembers of a window of a key is a [`TriggerState`], and what it
//! wants of timers is given back as [`TimerChange`]s.

use weir_model::{EventTime, ProcessingTime};

use crate::Window;

/// When a window gives its result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Trigger {
    /// When the watermark passes the end of the window; for each row that comes later, at once.
    EventTime,
    /// When the clock passes the end of the window.
    ProcessingTime,
    /// After each so many rows.
    Count(u64),
    /// At each multiple of so many milliseconds in event time that rows came before, and at the end
    /// of the window.
    ContinuousEventTime(i64),
    /// The same by the clock.
    ContinuousProcessingTime(i64),
    /// Never.
    Never,
    /// When the function of the windows says so: whoever works on windows asks it, and this one
    /// says nothing. It keeps what it remembers by itself, and windows do not become one.
    Guest,
    /// When another says so, and what it gave is gone then.
    Purging(Box<Self>),
}

/// What a trigger remembers of one window of one key.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TriggerState {
    /// Rows since it fired.
    pub count: u64,
    /// When it fires next, in milliseconds.
    pub next: Option<i64>,
    /// Whether it waits for the end of the window, where it waits for other times too: then one of
    /// them may be at the end of a window that has given its result there already.
    pub awaits_end: bool,
}

/// What a trigger decides.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Verdict {
    /// The window gives its result.
    pub fire: bool,
    /// Its content is gone then.
    pub purge: bool,
}

/// A timer of a window that is set or taken back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TimerChange {
    /// Calls back when the watermark gets there.
    Event(EventTime),
    /// Calls back when the clock gets there.
    Processing(ProcessingTime),
    /// Does not.
    NoEvent(EventTime),
    /// Does not.
    NoProcessing(ProcessingTime),
}

/// The moment at which a trigger is asked, and what it wants of timers.
#[derive(Debug)]
struct Asked<'a> {
    window: Window,
    watermark: EventTime,
    timers: &'a mut Vec<TimerChange>,
}

impl TimerChange {
    /// What takes a timer back that was set.
    #[must_use]
    pub fn taken_back(self) -> Self {
        match self {
            Self::Event(at) | Self::NoEvent(at) => Self::NoEvent(at),
            Self::Processing(at) | Self::NoProcessing(at) => Self::NoProcessing(at),
        }
    }
}

impl Verdict {
    /// Nothing happens.
    pub const CONTINUE: Self = Self {
        fire: false,
        purge: false,
    };
    /// The window gives its result and keeps its content.
    pub const FIRE: Self = Self {
        fire: true,
        purge: false,
    };
}

impl Trigger {
    /// A row with this time has been added to the window.
    pub fn on_element(
        &self,
        state: &mut TriggerState,
        (window, time): (Window, i64),
        (watermark, now): (EventTime, ProcessingTime),
        timers: &mut Vec<TimerChange>,
    ) -> Verdict {
        let mut asked = Asked {
            window,
            watermark,
            timers,
        };
        match self {
            Self::Never | Self::Guest => Verdict::CONTINUE,
            Self::Count(most) => {
                state.count += 1;
                if state.count < *most {
                    return Verdict::CONTINUE;
                }
                state.count = 0;
                Verdict::FIRE
            }
            Self::EventTime => asked.at_end(),
            Self::ProcessingTime => {
                let end = ProcessingTime(window.max_timestamp().0);
                asked.timers.push(TimerChange::Processing(end));
                Verdict::CONTINUE
            }
            Self::ContinuousEventTime(every) => {
                let verdict = asked.at_end();
                state.awaits_end |= !verdict.fire;
                if !verdict.fire && state.next.is_none() {
                    let before = time - time.rem_euclid(*every);
                    let at = asked.next(before, *every);
                    state.next = Some(at);
                    asked.timers.push(TimerChange::Event(EventTime(at)));
                }
                verdict
            }
            Self::ContinuousProcessingTime(every) => {
                if state.next.is_none() {
                    let at = asked.next(now.0 - now.0.rem_euclid(*every), *every);
                    state.next = Some(at);
                    asked
                        .timers
                        .push(TimerChange::Processing(ProcessingTime(at)));
                }
                Verdict::CONTINUE
            }
            Self::Purging(inner) => {
                let at = (watermark, now);
                let verdict = inner.on_element(state, (window, time), at, asked.timers);
                verdict.purging()
            }
        }
    }

    /// The watermark has got to a timer of the window.
    pub fn on_event_time(
        &self,
        state: &mut TriggerState,
        window: Window,
        (time, watermark): (EventTime, EventTime),
        timers: &mut Vec<TimerChange>,
    ) -> Verdict {
        let is_end = time == window.max_timestamp();
        match self {
            Self::EventTime if is_end => Verdict::FIRE,
            Self::ContinuousEventTime(_) if is_end => {
                let is_wanted = state.awaits_end || state.next == Some(time.0);
                (state.awaits_end, state.next) = (false, None);
                Verdict {
                    fire: is_wanted,
                    ..Verdict::CONTINUE
                }
            }
            Self::ContinuousEventTime(every) if state.next == Some(time.0) => {
                // At the end of the input a window without an end would give its result for ever.
                let goes_on = window != Window::GLOBAL || watermark < EventTime::MAX;
                state.next = goes_on.then(|| next_of(window, time.0, *every));
                let next = state.next.map(EventTime);
                timers.extend(next.map(TimerChange::Event));
                Verdict::FIRE
            }
            Self::Purging(inner) => {
                let at = (time, watermark);
                inner.on_event_time(state, window, at, timers).purging()
            }
            Self::EventTime
            | Self::ContinuousEventTime(_)
            | Self::ProcessingTime
            | Self::ContinuousProcessingTime(_)
            | Self::Count(_)
            | Self::Never
            | Self::Guest => Verdict::CONTINUE,
        }
    }

    /// The clock has got to a timer of the window.
    pub fn on_processing_time(
        &self,
        state: &mut TriggerState,
        window: Window,
        time: ProcessingTime,
        timers: &mut Vec<TimerChange>,
    ) -> Verdict {
        match self {
            Self::ProcessingTime => Verdict::FIRE,
            Self::ContinuousProcessingTime(every) if state.next == Some(time.0) => {
                let at = next_of(window, time.0, *every);
                state.next = Some(at);
                timers.push(TimerChange::Processing(ProcessingTime(at)));
                Verdict::FIRE
            }
            Self::Purging(inner) => {
                let verdict = inner.on_processing_time(state, window, time, timers);
                verdict.purging()
            }
            Self::ContinuousProcessingTime(_)
            | Self::EventTime
            | Self::ContinuousEventTime(_)
            | Self::Count(_)
            | Self::Never
            | Self::Guest => Verdict::CONTINUE,
        }
    }

    /// Windows with these states have become this one.
    pub fn on_merge(
        &self,
        states: impl IntoIterator<Item = TriggerState>,
        window: Window,
        (watermark, now): (EventTime, ProcessingTime),
        timers: &mut Vec<TimerChange>,
    ) -> TriggerState {
        let all = states.into_iter();
        let mut merged = all.fold(TriggerState::default(), |all, one| TriggerState {
            count: all.count + one.count,
            next: all.next.into_iter().chain(one.next).min(),
            awaits_end: false,
        });
        let end = window.max_timestamp();
        match self {
            Self::EventTime | Self::ContinuousEventTime(_) if end > watermark => {
                merged.awaits_end = *self != Self::EventTime;
                timers.push(TimerChange::Event(end));
            }
            Self::ProcessingTime if end.0 > now.0 => {
                timers.push(TimerChange::Processing(ProcessingTime(end.0)));
            }
            Self::Purging(inner) => {
                return inner.on_merge([merged], window, (watermark, now), timers);
            }
            _ => {}
        }
        match (self, merged.next) {
            (Self::ContinuousEventTime(_), Some(at)) => {
                timers.push(TimerChange::Event(EventTime(at)));
            }
            (Self::ContinuousProcessingTime(_), Some(at)) => {
                timers.push(TimerChange::Processing(ProcessingTime(at)));
            }
            _ => {}
        }
        merged
    }

    /// The window is gone, and with it all that the trigger wanted.
    pub fn clear(&self, state: TriggerState, window: Window, timers: &mut Vec<TimerChange>) {
        let end = window.max_timestamp();
        match self {
            Self::EventTime => timers.push(TimerChange::NoEvent(end)),
            Self::ProcessingTime => {
                timers.push(TimerChange::NoProcessing(ProcessingTime(end.0)));
            }
            Self::ContinuousEventTime(_) => {
                timers.push(TimerChange::NoEvent(end));
                let next = state.next.map(EventTime);
                timers.extend(next.map(TimerChange::NoEvent));
            }
            Self::ContinuousProcessingTime(_) => {
                let next = state.next.map(ProcessingTime);
                timers.extend(next.map(TimerChange::NoProcessing));
            }
            Self::Purging(inner) => inner.clear(state, window, timers),
            Self::Count(_) | Self::Never | Self::Guest => {}
        }
    }

    /// Whether it asks for nothing but the end of a window, whose times are those of events or of
    /// the clock, and remembers nothing: then windows may share what they have in common.
    #[must_use]
    pub fn is_plain(&self, event_time: bool) -> bool {
        match event_time {
            true => *self == Self::EventTime,
            false => *self == Self::ProcessingTime,
        }
    }

    /// Whether it looks at the event times of rows.
    #[must_use]
    pub fn goes_by_times(&self) -> bool {
        match self {
            Self::ContinuousEventTime(_) => true,
            Self::Purging(inner) => inner.goes_by_times(),
            Self::EventTime
            | Self::ProcessingTime
            | Self::Count(_)
            | Self::ContinuousProcessingTime(_)
            | Self::Never
            | Self::Guest => false,
        }
    }

    /// Whether it remembers something of each window.
    #[must_use]
    pub fn remembers(&self) -> bool {
        match self {
            Self::Count(_)
            | Self::ContinuousEventTime(_)
            | Self::ContinuousProcessingTime(_)
            | Self::Guest => true,
            Self::Purging(inner) => inner.remembers(),
            Self::EventTime | Self::ProcessingTime | Self::Never => false,
        }
    }
}

impl Asked<'_> {
    /// The end of the window in event time: now if the watermark is there, else by a timer.
    fn at_end(&mut self) -> Verdict {
        let end = self.window.max_timestamp();
        if end <= self.watermark {
            return Verdict::FIRE;
        }
        self.timers.push(TimerChange::Event(end));
        Verdict::CONTINUE
    }

    fn next(&self, from: i64, every: i64) -> i64 {
        next_of(self.window, from, every)
    }
}

/// The next multiple behind `from`, no later than the end of the window.
fn next_of(window: Window, from: i64, every: i64) -> i64 {
    from.saturating_add(every).min(window.max_timestamp().0)
}

impl Verdict {
    fn purging(self) -> Self {
        Self {
            purge: self.purge || self.fire,
            ..self
        }
    }
}

impl TriggerState {
    /// As bytes; empty where nothing is remembered.
    #[must_use]
    pub fn encode(self) -> Vec<u8> {
        if self == Self::default() {
            return Vec::new();
        }
        let mut bytes = self.count.to_le_bytes().to_vec();
        bytes.push(u8::from(self.awaits_end));
        bytes.extend(self.next.map(i64::to_le_bytes).into_iter().flatten());
        bytes
    }

    /// Reads what [`encode`](Self::encode) gave; `None` where it is something else.
    #[must_use]
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        if bytes.is_empty() {
            return Some(Self::default());
        }
        let (count, rest) = bytes.split_first_chunk()?;
        let (awaits_end, next) = rest.split_first()?;
        let awaits_end = match awaits_end {
            0 => false,
            1 => true,
            _ => return None,
        };
        let next = match next {
            [] => None,
            next => Some(i64::from_le_bytes(next.try_into().ok()?)),
        };
        let count = u64::from_le_bytes(*count);
        Some(Self {
            count,
            next,
            awaits_end,
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_is_remembered_is_read_again(
            count: u64,
            next: Option<i64>,
            awaits_end: bool,
        ) {
            let state = TriggerState { count, next, awaits_end };
            prop_assert_eq!(TriggerState::decode(&state.encode()), Some(state));
        }
    }
}
