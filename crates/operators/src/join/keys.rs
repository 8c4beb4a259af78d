//! What there is of each key of a call: how its rows are numbered, between which times they lie,
//! and which timer it waits for. It is read once for all keys of a call, and says of most rows
//! without a partner that there is none, so that nothing else is read for them.

use weir_model::{EventTime, OptionalColumn};
use weir_operator::{Context, Failure};
use weir_state::{StateIndex, TimerKind, Which};
use weir_window::Side;

use super::broken;

/// What there is of a key.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Known {
    /// The number of the next row.
    next: u64,
    /// Between which times the rows of each input lie that are kept. `None` = there is none.
    spans: [Option<(i64, i64)>; 2],
    /// The first timer that is set.
    timer: Option<i64>,
}

const HAS_LEFT: u8 = 1;
const HAS_RIGHT: u8 = 2;
const HAS_TIMER: u8 = 4;

impl Known {
    fn encode(&self, out: &mut Vec<u8>) {
        let [left, right] = self.spans;
        let flag = |is_there: bool, flag: u8| if is_there { flag } else { 0 };
        out.push(
            flag(left.is_some(), HAS_LEFT)
                | flag(right.is_some(), HAS_RIGHT)
                | flag(self.timer.is_some(), HAS_TIMER),
        );
        out.extend_from_slice(&self.next.to_le_bytes());
        for (first, last) in [left, right].into_iter().flatten() {
            out.extend_from_slice(&first.to_le_bytes());
            out.extend_from_slice(&last.to_le_bytes());
        }
        if let Some(timer) = self.timer {
            out.extend_from_slice(&timer.to_le_bytes());
        }
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let (&flags, rest) = bytes.split_first()?;
        let (numbers, rest) = rest.as_chunks::<8>();
        let mut numbers = numbers.iter().map(|bytes| u64::from_le_bytes(*bytes));
        let next = numbers.next()?;
        let mut time = || numbers.next().map(u64::cast_signed);
        let mut span = |flag: u8| match flags & flag {
            0 => Some(None),
            _ => Some(Some((time()?, time()?))),
        };
        let spans = [span(HAS_LEFT)?, span(HAS_RIGHT)?];
        let timer = match flags & HAS_TIMER {
            0 => None,
            _ => Some(time()?),
        };
        (numbers.next().is_none() && rest.is_empty()).then_some(Self { next, spans, timer })
    }

    pub(super) fn span(&self, side: Side) -> Option<(i64, i64)> {
        self.spans[side as usize]
    }

    /// A row is added; gives back its number.
    pub(super) fn add(&mut self, side: Side, time: i64) -> u64 {
        let span = &mut self.spans[side as usize];
        let (first, last) = span.unwrap_or((time, time));
        *span = Some((first.min(time), last.max(time)));
        self.next += 1;
        self.next - 1
    }

    /// The first row of an input is this one now.
    pub(super) fn begins(&mut self, side: Side, first: Option<i64>) {
        let span = &mut self.spans[side as usize];
        *span = first.map(|first| (first, span.map_or(first, |(_, last)| last.max(first))));
    }

    /// Has a timer fire at this time, or before it.
    pub(super) fn wants(&mut self, at: i64) {
        if self.timer.is_none_or(|timer| at < timer) {
            self.timer = Some(at);
        }
    }

    fn is_empty(&self) -> bool {
        self.spans == [None, None]
    }
}

/// All keys of a call.
pub(super) struct Keys {
    state: StateIndex,
    kept: Vec<Known>,
    now: Vec<Known>,
    /// Whose timer has fired: one that is set for the same time again is another one.
    fired: Vec<bool>,
}

impl Keys {
    /// Those of the call, of which there are so many.
    pub(super) fn load(cx: &mut Context, state: StateIndex, count: usize) -> Result<Self, Failure> {
        let mut bytes = OptionalColumn::new();
        cx.state.value_get(state, Which::All, &mut bytes)?;
        let known = |bytes: Option<&[u8]>| match bytes {
            None => Ok(Known::default()),
            Some(bytes) => Known::decode(bytes).ok_or_else(|| broken("a key")),
        };
        let kept: Vec<Known> = bytes.iter().map(known).collect::<Result<_, _>>()?;
        if kept.len() != count {
            return Err(broken("another number of keys"));
        }
        Ok(Self {
            state,
            now: kept.clone(),
            fired: vec![false; kept.len()],
            kept,
        })
    }

    pub(super) fn get(&mut self, key: u32) -> Result<&mut Known, Failure> {
        let found = self.now.get_mut(key as usize);
        found.ok_or_else(|| broken("a key that the call does not have"))
    }

    /// A timer of a key has fired; whether it is the first one in the call and one that is waited
    /// for. What a later one finds is not written yet, so that is left to a later call.
    pub(super) fn fires(&mut self, key: u32, watermark: EventTime) -> Result<bool, Failure> {
        let known = self.get(key)?;
        let is_due = known.timer.is_some_and(|at| EventTime(at) <= watermark);
        if !is_due || self.fired[key as usize] {
            return Ok(false);
        }
        self.get(key)?.timer = None;
        self.fired[key as usize] = true;
        Ok(true)
    }

    /// Writes what has changed, and sets timers.
    pub(super) fn write(self, cx: &mut Context) -> Result<(), Failure> {
        let (mut keys, mut values) = (Vec::new(), OptionalColumn::new());
        let (mut timed, mut times) = (Vec::new(), Vec::new());
        let mut bytes = Vec::new();
        for (at, (kept, now)) in self.kept.iter().zip(&self.now).enumerate() {
            let key = at as u32;
            if kept != now {
                bytes.clear();
                now.encode(&mut bytes);
                keys.push(key);
                values.push(Some(&bytes[..]).filter(|_| !now.is_empty()));
            }
            if let Some(at) = now
                .timer
                .filter(|_| self.fired[at] || kept.timer != now.timer)
            {
                timed.push(key);
                times.push(at);
            }
        }
        if !keys.is_empty() {
            cx.state
                .value_put(self.state, Which::Some(&keys), &values)?;
        }
        if !timed.is_empty() {
            cx.state.timers_set(TimerKind::EventTime, &timed, &times)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_is_known_of_a_key_is_read_again(
            next: u64, left: Option<(i64, i64)>, right: Option<(i64, i64)>, timer: Option<i64>,
        ) {
            let known = Known { next, spans: [left, right], timer };
            let mut bytes = Vec::new();
            known.encode(&mut bytes);
            prop_assert_eq!(Known::decode(&bytes), Some(known));
            bytes.push(0);
            prop_assert_eq!(Known::decode(&bytes), None);
            bytes.truncate(bytes.len() - 2);
            prop_assert_eq!(Known::decode(&bytes), None);
        }
    }
}
