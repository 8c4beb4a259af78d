//! The session windows of one key: a row that closes the gap between two makes them one.
//!
//! INVARIANT: no two of them touch; each has a *state window*, under which its content is kept, and
//! which stays the same while the session grows, so that growing moves nothing.

use crate::Window;

/// The sessions of one key, with their state windows, by time.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sessions {
    all: Vec<(Window, Window)>,
}

/// What came of a new window.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Merge {
    /// The session it is part of now.
    pub session: Window,
    /// Under which its content is kept.
    pub state: Window,
    /// Whether it touched none that was there.
    pub is_new: bool,
    /// The sessions that are part of it now and are no more: their triggers and timers are to be
    /// cleared. Empty where the new one stands for itself, or is within one that is there.
    pub merged: Vec<Window>,
    /// The state windows whose content is to be added to that of `state`, and is gone then.
    pub contents: Vec<Window>,
}

impl Sessions {
    /// Adds the window of a row.
    pub fn add(&mut self, window: Window) -> Merge {
        let from = self
            .all
            .partition_point(|(session, _)| session.end < window.start);
        let rest = self.all.get(from..).unwrap_or_default();
        let count = rest
            .iter()
            .take_while(|(session, _)| session.touches(window));
        let to = from + count.count();
        match self.all.get_mut(from..to) {
            Some([]) => {
                self.all.insert(from, (window, window));
                return Merge {
                    session: window,
                    state: window,
                    is_new: true,
                    merged: Vec::new(),
                    contents: Vec::new(),
                };
            }
            Some([(session, state)]) => {
                let before = std::mem::replace(session, session.cover(window));
                let grown = Some(before).filter(|before| before != session);
                return Merge {
                    session: *session,
                    state: *state,
                    is_new: false,
                    merged: grown.into_iter().collect(),
                    contents: Vec::new(),
                };
            }
            _ => {}
        }
        let old: Vec<(Window, Window)> = self.all.get(from..to).unwrap_or_default().to_vec();
        let session = old.iter().fold(window, |all, (one, _)| all.cover(*one));
        let state = old.first().map_or(window, |(_, state)| *state);
        self.all.splice(from..to, [(session, state)]);
        let merged = old
            .iter()
            .map(|(one, _)| *one)
            .filter(|one| *one != session);
        Merge {
            session,
            state,
            is_new: false,
            merged: merged.collect(),
            contents: old.iter().skip(1).map(|(_, state)| *state).collect(),
        }
    }

    /// A session is over; gives back its state window.
    pub fn remove(&mut self, session: Window) -> Option<Window> {
        let at = self.all.iter().position(|(one, _)| *one == session)?;
        Some(self.all.remove(at).1)
    }

    /// The state window of a session.
    #[must_use]
    pub fn state_of(&self, session: Window) -> Option<Window> {
        let found = self.all.iter().find(|(one, _)| *one == session);
        found.map(|(_, state)| *state)
    }

    /// All sessions with their state windows, by time.
    #[must_use]
    pub fn all(&self) -> &[(Window, Window)] {
        &self.all
    }

    /// Those of the given ones; they are put in order.
    #[must_use]
    pub fn of(mut all: Vec<(Window, Window)>) -> Self {
        all.sort_unstable();
        Self { all }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn window(start: i64, end: i64) -> Window {
        Window { start, end }
    }

    #[test]
    fn c25_sessions_merge() {
        let mut sessions = Sessions::default();
        let first = sessions.add(window(0, 10));
        assert_eq!((first.session, first.state), (window(0, 10), window(0, 10)));
        assert!(first.merged.is_empty() && first.contents.is_empty());
        sessions.add(window(20, 30));
        let both = sessions.add(window(10, 20));
        assert_eq!((both.session, both.state), (window(0, 30), window(0, 10)));
        assert_eq!(both.merged, [window(0, 10), window(20, 30)]);
        assert_eq!(both.contents, [window(20, 30)]);
        let within = sessions.add(window(3, 13));
        assert!(within.merged.is_empty() && within.contents.is_empty());
        assert_eq!(within.state, window(0, 10));
        assert_eq!(sessions.remove(window(0, 30)), Some(window(0, 10)));
        assert_eq!(sessions.remove(window(0, 30)), None);
    }

    proptest! {
        /// In whatever order rows come, the sessions are the runs of rows without a gap.
        #[test]
        fn sessions_are_runs_without_a_gap(
            times in proptest::collection::vec(-50_i64..200, 1..60),
            gap in 1_i64..20,
        ) {
            let mut sessions = Sessions::default();
            for &time in &times {
                let merge = sessions.add(window(time, time + gap));
                prop_assert_eq!(sessions.state_of(merge.session), Some(merge.state));
            }
            let mut sorted = times.clone();
            sorted.sort_unstable();
            let mut runs: Vec<Window> = Vec::new();
            for time in sorted {
                match runs.last_mut() {
                    Some(run) if time <= run.end => run.end = time + gap,
                    _ => runs.push(window(time, time + gap)),
                }
            }
            let found: Vec<Window> = sessions.all().iter().map(|(one, _)| *one).collect();
            prop_assert_eq!(found, runs);
            let states: std::collections::BTreeSet<_> =
                sessions.all().iter().map(|(_, state)| *state).collect();
            prop_assert_eq!(states.len(), sessions.all().len());
        }
    }
}
