//! The windows of one key, one row at a time, as the specification tells it. It is slow and holds
//! all rows in memory: whoever works on batches is compared with it.

use std::collections::{BTreeMap, BTreeSet};

use weir_model::{EventTime, ProcessingTime};

use crate::{
    Assigner, Evictor, Lateness, Sessions, TimerChange, Trigger, TriggerState, Verdict, Window,
};

/// What an operator on windows was told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rules {
    /// Which windows a row belongs to.
    pub assigner: Assigner,
    /// When they give their result.
    pub trigger: Trigger,
    /// How long they are kept.
    pub lateness: Lateness,
    /// What is left out, and whether only after the function has seen it.
    pub evictor: Option<(Evictor, bool)>,
    /// Whether windows are of the times of rows, and not of the clock.
    pub event_time: bool,
}

impl Rules {
    /// Whether each row has to have an event time: by which it is put into windows, or at which
    /// they give their results, or by which it is left out of them.
    #[must_use]
    pub fn needs_event_time(&self) -> bool {
        let leaves_out = matches!(self.evictor, Some((Evictor::Time(_), _)));
        self.event_time || leaves_out || self.trigger.goes_by_times()
    }
}

/// A window has given its result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fired {
    /// The window.
    pub window: Window,
    /// The rows in it, in the order in which they came.
    pub rows: Vec<u64>,
}

/// The windows of one key.
#[derive(Clone, Debug)]
pub struct Reference {
    rules: Rules,
    sessions: Sessions,
    /// By state window.
    contents: BTreeMap<Window, Vec<(i64, u64)>>,
    triggers: BTreeMap<Window, TriggerState>,
    event_timers: BTreeSet<(EventTime, Window)>,
    processing_timers: BTreeSet<(ProcessingTime, Window)>,
    watermark: EventTime,
    now: ProcessingTime,
    late: Vec<u64>,
}

impl Reference {
    /// No row has come.
    #[must_use]
    pub fn new(rules: Rules) -> Self {
        Self {
            rules,
            sessions: Sessions::default(),
            contents: BTreeMap::new(),
            triggers: BTreeMap::new(),
            event_timers: BTreeSet::new(),
            processing_timers: BTreeSet::new(),
            watermark: EventTime::MIN,
            now: ProcessingTime(0),
            late: Vec::new(),
        }
    }

    /// A row with this time comes.
    pub fn row(&mut self, time: i64, row: u64) -> Vec<Fired> {
        let mut fired = Vec::new();
        let mut is_taken = false;
        let by = match self.rules.event_time {
            true => time,
            false => self.now.0,
        };
        for window in self.rules.assigner.assign(by) {
            let (window, state) = match self.rules.assigner.merges() {
                true => self.merge(window),
                false => (window, window),
            };
            if self.rules.event_time && self.rules.lateness.is_gone(window, self.watermark) {
                self.sessions.remove(window);
                continue;
            }
            is_taken = true;
            self.contents.entry(state).or_default().push((time, row));
            let mut timers = Vec::new();
            let remembered = self.triggers.entry(window).or_default();
            let at = (self.watermark, self.now);
            let verdict =
                self.rules
                    .trigger
                    .on_element(remembered, (window, time), at, &mut timers);
            self.set(window, timers);
            self.obey(verdict, window, state, &mut fired);
            let cleanup = self.cleanup(window);
            self.set(window, cleanup);
        }
        if !is_taken && self.rules.event_time && self.rules.lateness.is_late(time, self.watermark) {
            self.late.push(row);
        }
        fired
    }

    /// The watermark rises.
    pub fn watermark(&mut self, watermark: EventTime) -> Vec<Fired> {
        self.watermark = self.watermark.max(watermark);
        let mut fired = Vec::new();
        while let Some((time, window)) = self.event_timers.first().copied()
            && time <= self.watermark
        {
            self.event_timers.pop_first();
            let Some(state) = self.state_of(window) else {
                continue;
            };
            let mut timers = Vec::new();
            let mut remembered = self.triggers.remove(&window).unwrap_or_default();
            let verdict = self.rules.trigger.on_event_time(
                &mut remembered,
                window,
                (time, self.watermark),
                &mut timers,
            );
            self.triggers.insert(window, remembered);
            self.set(window, timers);
            self.obey(verdict, window, state, &mut fired);
            if self.rules.event_time && time == self.rules.lateness.cleanup(window) {
                self.clear(window);
            }
        }
        fired
    }

    /// The clock goes on.
    pub fn clock(&mut self, now: ProcessingTime) -> Vec<Fired> {
        self.now = self.now.max(now);
        let mut fired = Vec::new();
        while let Some((time, window)) = self.processing_timers.first().copied()
            && time <= self.now
        {
            self.processing_timers.pop_first();
            let Some(state) = self.state_of(window) else {
                continue;
            };
            let mut timers = Vec::new();
            let mut remembered = self.triggers.remove(&window).unwrap_or_default();
            let trigger = &self.rules.trigger;
            let verdict = trigger.on_processing_time(&mut remembered, window, time, &mut timers);
            self.triggers.insert(window, remembered);
            self.set(window, timers);
            self.obey(verdict, window, state, &mut fired);
            if !self.rules.event_time && time.0 == window.max_timestamp().0 {
                self.clear(window);
            }
        }
        fired
    }

    /// The rows that came too late.
    #[must_use]
    pub fn late(&self) -> &[u64] {
        &self.late
    }

    /// Whether nothing is kept any more.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        let timers = self.event_timers.len() + self.processing_timers.len();
        self.contents.is_empty() && self.sessions.all().is_empty() && timers == 0
    }

    /// The session that a window becomes part of, and its state window.
    fn merge(&mut self, window: Window) -> (Window, Window) {
        let merge = self.sessions.add(window);
        if merge.merged.is_empty() {
            return (merge.session, merge.state);
        }
        let states: Vec<(Window, TriggerState)> = merge
            .merged
            .iter()
            .map(|old| (*old, self.triggers.remove(old).unwrap_or_default()))
            .collect();
        let mut timers = Vec::new();
        let (at, trigger) = ((self.watermark, self.now), self.rules.trigger.clone());
        let remembered = states.iter().map(|(_, state)| *state);
        let remembered = trigger.on_merge(remembered, merge.session, at, &mut timers);
        self.triggers.insert(merge.session, remembered);
        self.set(merge.session, timers);
        for (old, state) in states {
            let mut timers = Vec::new();
            trigger.clear(state, old, &mut timers);
            timers.extend(self.cleanup(old).into_iter().map(TimerChange::taken_back));
            self.set(old, timers);
        }
        for from in &merge.contents {
            let rows = self.contents.remove(from).unwrap_or_default();
            self.contents.entry(merge.state).or_default().extend(rows);
        }
        (merge.session, merge.state)
    }

    fn state_of(&self, window: Window) -> Option<Window> {
        match self.rules.assigner.merges() {
            true => self.sessions.state_of(window),
            false => Some(window),
        }
    }

    fn obey(&mut self, verdict: Verdict, window: Window, state: Window, fired: &mut Vec<Fired>) {
        if verdict.fire
            && let Some(rows) = self.contents.get_mut(&state)
        {
            let times: Vec<i64> = rows.iter().map(|(time, _)| *time).collect();
            let mut seen = rows.clone();
            if let Some((evictor, after)) = self.rules.evictor {
                let mut keeps = evictor.keeps(&times);
                rows.retain(|_| keeps.next().unwrap_or(true));
                if !after {
                    seen.clone_from(rows);
                }
            }
            let rows = seen.into_iter().map(|(_, row)| row).collect();
            fired.push(Fired { window, rows });
        }
        if verdict.purge {
            self.contents.remove(&state);
        }
    }

    fn cleanup(&self, window: Window) -> Option<TimerChange> {
        if window == Window::GLOBAL {
            return None;
        }
        Some(match self.rules.event_time {
            true => TimerChange::Event(self.rules.lateness.cleanup(window)),
            false => TimerChange::Processing(ProcessingTime(window.max_timestamp().0)),
        })
    }

    fn clear(&mut self, window: Window) {
        let state = self.state_of(window).unwrap_or(window);
        self.sessions.remove(window);
        self.contents.remove(&state);
        let remembered = self.triggers.remove(&window).unwrap_or_default();
        let mut timers = Vec::new();
        self.rules.trigger.clear(remembered, window, &mut timers);
        self.set(window, timers);
    }

    fn set(&mut self, window: Window, timers: impl IntoIterator<Item = TimerChange>) {
        for change in timers {
            match change {
                TimerChange::Event(at) => self.event_timers.insert((at, window)),
                TimerChange::Processing(at) => self.processing_timers.insert((at, window)),
                TimerChange::NoEvent(at) => self.event_timers.remove(&(at, window)),
                TimerChange::NoProcessing(at) => self.processing_timers.remove(&(at, window)),
            };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules(assigner: Assigner) -> Rules {
        Rules {
            assigner,
            trigger: Trigger::EventTime,
            lateness: Lateness::default(),
            evictor: None,
            event_time: true,
        }
    }

    const TEN: Assigner = Assigner::Tumbling {
        size: 10,
        offset: 0,
    };

    /// What happens in order: a row `(time, number)`, or a watermark.
    enum Step {
        Row(i64, u64),
        Mark(i64),
    }
    use Step::{Mark, Row};

    /// A result: the step at which it came, the window, and its rows.
    type Result = (usize, i64, i64, Vec<u64>);

    /// All results of these steps.
    fn play(of: Reference, steps: &[Step]) -> (Vec<Result>, Reference) {
        let mut of = of;
        let mut all = Vec::new();
        for (at, step) in steps.iter().enumerate() {
            let fired = match *step {
                Row(time, row) => of.row(time, row),
                Mark(time) => of.watermark(EventTime(time)),
            };
            for Fired { window, rows } in fired {
                all.push((at, window.start, window.end, rows));
            }
        }
        (all, of)
    }

    #[test]
    fn c24_tumbling_with_lateness() {
        let mut late = rules(TEN);
        late.lateness.allowed_ms = 5;
        let steps = [
            Row(1, 1),
            Row(5, 2),
            Mark(8),
            Row(9, 3),
            Mark(9),
            Row(7, 4),
            Mark(13),
            Row(8, 5),
            Mark(14),
            Row(8, 6),
            Row(12, 8),
            Mark(19),
        ];
        let (fired, of) = play(Reference::new(late), &steps);
        assert_eq!(
            fired,
            [
                (4, 0, 10, vec![1, 2, 3]),
                (5, 0, 10, vec![1, 2, 3, 4]),
                (7, 0, 10, vec![1, 2, 3, 4, 5]),
                (11, 10, 20, vec![8]),
            ]
        );
        assert_eq!(of.late(), [6]);
    }

    #[test]
    fn c25_sliding_and_session() {
        let sliding = Assigner::Sliding {
            size: 10,
            slide: 5,
            offset: 0,
        };
        let steps = [Row(1, 1), Row(6, 2), Mark(4), Row(3, 3), Mark(9), Mark(14)];
        let (fired, of) = play(Reference::new(rules(sliding)), &steps);
        assert_eq!(
            fired,
            [
                (2, -5, 5, vec![1]),
                (4, 0, 10, vec![1, 2, 3]),
                (5, 5, 15, vec![2]),
            ]
        );
        assert!(of.late().is_empty() && of.is_empty());

        let session = Assigner::Session { gap: 10 };
        let steps = [
            Row(0, 1),
            Row(20, 2),
            Mark(5),
            Row(10, 3),
            Mark(28),
            Mark(29),
        ];
        let (fired, of) = play(Reference::new(rules(session.clone())), &steps);
        assert_eq!(fired, [(5, 0, 30, vec![1, 2, 3])]);
        assert!(of.is_empty());

        let steps = [
            Row(0, 1),
            Mark(9),
            Row(5, 2),
            Row(30, 3),
            Mark(20),
            Row(22, 4),
            Row(12, 5),
            Mark(i64::MAX),
        ];
        let (fired, of) = play(Reference::new(rules(session)), &steps);
        assert_eq!(
            fired,
            [
                (1, 0, 10, vec![1]),
                (4, 5, 15, vec![2]),
                // Three rows in the order of their state windows.
                (7, 12, 40, vec![3, 4, 5]),
            ]
        );
        assert!(of.late().is_empty());
    }

    fn count(most: u64) -> Trigger {
        Trigger::Count(most)
    }

    #[test]
    fn c26_count_windows() {
        let purging = Rules {
            trigger: Trigger::Purging(Box::new(count(3))),
            ..rules(Assigner::Global)
        };
        let steps: Vec<Step> = (1..=6).map(|row| Row(0, row)).collect();
        let (fired, _) = play(Reference::new(purging), &steps);
        let rows: Vec<_> = fired.into_iter().map(|(.., rows)| rows).collect();
        assert_eq!(rows, [vec![1, 2, 3], vec![4, 5, 6]]);

        let sliding = Rules {
            trigger: count(2),
            evictor: Some((Evictor::Count(4), false)),
            ..rules(Assigner::Global)
        };
        let (fired, _) = play(Reference::new(sliding), &steps);
        let rows: Vec<_> = fired.into_iter().map(|(.., rows)| rows).collect();
        assert_eq!(rows, [vec![1, 2], vec![1, 2, 3, 4], vec![3, 4, 5, 6]]);

        let never = Rules {
            trigger: Trigger::Never,
            ..rules(Assigner::Global)
        };
        let (fired, _) = play(Reference::new(never), &[Row(0, 1), Mark(i64::MAX)]);
        assert!(fired.is_empty());
    }

    #[test]
    fn c26_triggers_and_evictors() {
        let mut purging = Rules {
            trigger: Trigger::Purging(Box::new(Trigger::EventTime)),
            ..rules(TEN)
        };
        purging.lateness.allowed_ms = 5;
        let (fired, _) = play(Reference::new(purging), &[Row(1, 1), Mark(9), Row(2, 2)]);
        assert_eq!(fired, [(1, 0, 10, vec![1]), (2, 0, 10, vec![2])]);

        let two = Rules {
            trigger: count(2),
            ..rules(TEN)
        };
        let steps = [Row(1, 1), Row(2, 2), Row(3, 3), Mark(9)];
        let (fired, of) = play(Reference::new(two), &steps);
        assert_eq!(fired, [(1, 0, 10, vec![1, 2])]);
        assert!(of.is_empty(), "what is left is cleared without a result");

        let continuous = Rules {
            trigger: Trigger::ContinuousEventTime(3),
            ..rules(TEN)
        };
        let steps = [
            Row(1, 1),
            Mark(2),
            Mark(3),
            Row(4, 2),
            Mark(5),
            Mark(6),
            Mark(9),
        ];
        let (fired, of) = play(Reference::new(continuous), &steps);
        assert_eq!(
            fired,
            [
                (2, 0, 10, vec![1]),
                (5, 0, 10, vec![1, 2]),
                (6, 0, 10, vec![1, 2]),
            ]
        );
        assert!(of.is_empty());

        for (evictor, left) in [(Evictor::Count(2), vec![2, 3]), (Evictor::Time(1), vec![3])] {
            let evicting = Rules {
                evictor: Some((evictor, false)),
                ..rules(TEN)
            };
            let steps = [Row(1, 1), Row(2, 2), Row(3, 3), Mark(9)];
            let (fired, _) = play(Reference::new(evicting), &steps);
            assert_eq!(fired, [(3, 0, 10, left)]);
        }
    }

    #[test]
    fn windows_of_the_clock() {
        let clock = Rules {
            trigger: Trigger::ProcessingTime,
            event_time: false,
            ..rules(TEN)
        };
        let mut of = Reference::new(clock);
        of.clock(ProcessingTime(3));
        assert!(of.row(-500, 1).is_empty());
        assert!(of.clock(ProcessingTime(8)).is_empty());
        of.row(900, 2);
        let fired = of.clock(ProcessingTime(12));
        assert_eq!(fired[0].rows, [1, 2]);
        assert!(of.is_empty());
    }
}
