//! Sessions of a call while rows only make them grow: the one that a key's last row is in is at
//! hand, and what has become of it is told once, when something else comes or the call is over.

use weir_operator::Failure;
use weir_window::{Assigner, Window};

use super::{
    WindowOperator, broken,
    plan::{KeySessions, Plan},
};

/// By key, the session that its last row is in.
pub(super) struct Growing {
    /// None where rows are looked at one by one.
    of_keys: Vec<Option<Session>>,
    gap: i64,
    /// Up to when sessions are over.
    passed: i64,
}

#[derive(Clone, Copy)]
struct Session {
    slot: u32,
    /// What it covers now.
    now: Window,
    is_grown: bool,
    /// What is between these touches no other one.
    after: i64,
    before: i64,
}

impl WindowOperator {
    /// Nothing at hand, of sessions where a row that makes one grow changes nothing else.
    pub(super) fn growing(&self, plan: &Plan<'_>) -> Growing {
        let rules = &self.options.rules;
        let (gap, keys) = match rules.assigner {
            Assigner::Session { gap } if self.defers_timers() => (gap, plan.sessions.len()),
            _ => (0, 0),
        };
        Growing {
            of_keys: vec![None; keys],
            gap,
            passed: match rules.event_time {
                true => plan.watermark.0,
                false => i64::MIN,
            },
        }
    }
}

impl Growing {
    /// Takes in a row of a key if it is in the session at hand, and does not join another one to
    /// it; gives back the number of that session.
    #[inline]
    pub(super) fn grow(&mut self, key: u32, time: i64) -> Option<u32> {
        let of_key = self.of_keys.get_mut(key as usize)?.as_mut()?;
        let window = Window {
            start: time,
            end: time.saturating_add(self.gap),
        };
        let is_free = of_key.after < window.start && window.end < of_key.before;
        let grown = of_key.now.cover(window);
        if !is_free || !window.touches(of_key.now) || grown.max_timestamp().0 <= self.passed {
            return None;
        }
        of_key.is_grown |= grown != of_key.now;
        of_key.now = grown;
        Some(of_key.slot)
    }

    /// A row is in this session of a key now: it is at hand from now on.
    pub(super) fn watch(
        &mut self,
        plan: &mut Plan<'_>,
        key: u32,
        slot: u32,
    ) -> Result<(), Failure> {
        let Some(of_key) = self.of_keys.get_mut(key as usize) else {
            return Ok(());
        };
        let now = plan.call.at(slot)?.window;
        let sessions = sessions_of(plan, key)?.all.all();
        // They are in order.
        let at = sessions.partition_point(|(session, _)| session.start < now.start);
        let at =
            Some(at).filter(|&at| sessions.get(at).is_some_and(|(session, _)| *session == now));
        *of_key = at.map(|at| {
            let before = at.checked_sub(1).and_then(|before| sessions.get(before));
            let next = sessions.get(at + 1);
            Session {
                slot,
                now,
                is_grown: false,
                after: before.map_or(i64::MIN, |(session, _)| session.end),
                before: next.map_or(i64::MAX, |(session, _)| session.start),
            }
        });
        Ok(())
    }

    /// Tells what has become of the session at hand of a key, which is so no more.
    pub(super) fn settle(&mut self, plan: &mut Plan<'_>, key: u32) -> Result<(), Failure> {
        let of_key = self.of_keys.get_mut(key as usize).and_then(Option::take);
        let Some(Session { slot, now, .. }) = of_key.filter(|of| of.is_grown) else {
            return Ok(());
        };
        let sessions = sessions_of(plan, key)?;
        let merge = sessions.all.add(now);
        sessions.is_changed = true;
        plan.call.at(slot)?.window = merge.session;
        Ok(())
    }
}

fn sessions_of<'a>(plan: &'a mut Plan<'_>, key: u32) -> Result<&'a mut KeySessions, Failure> {
    let sessions = plan.sessions.get_mut(key as usize);
    sessions.ok_or_else(|| broken("a key without sessions"))
}
