//! What is to be done when timers are due.

use weir_model::{EventTime, KeyedView, ProcessingTime};
use weir_operator::{Context, Failure};
use weir_state::TimerKind;
use weir_window::{Assigner, Window};

use super::{WindowOperator, call::Step, plan::Plan};

impl WindowOperator {
    /// What is to be done with the windows of timers of a kind, in their order.
    pub(super) fn plan_timers<'a>(
        &self,
        cx: &mut Context,
        (kind, at): (TimerKind, &[i64]),
        keyed: KeyedView<'a>,
    ) -> Result<Plan<'a>, Failure> {
        let mut plan = Plan::new(cx, keyed, self.states.merges);
        if self.states.merges {
            self.load_sessions(cx, &mut plan)?;
        }
        let mut due: Vec<(i64, u32, u32)> = Vec::new();
        let mut windows = Vec::new();
        let defers_timers = self.defers_timers();
        for (timer, (&at, &key)) in at.iter().zip(keyed.key_of_row).enumerate() {
            windows.clear();
            self.windows_of_timer(&plan, key, at, &mut windows);
            for &of in &windows {
                let at = match defers_timers {
                    true => self.end_of_session(&mut plan, key, of.0, at),
                    false => Some(at),
                };
                if let Some(at) = at {
                    due.push((at, timer as u32, plan.slot(key, of, false)));
                }
            }
        }
        if defers_timers {
            due.sort_by_key(|(at, ..)| *at);
        }
        plan.call.add_keys(cx)?;
        self.load_triggers(cx, &mut plan)?;
        for (at, timer, slot) in due {
            self.timer_is_due(&mut plan, (kind, at), slot, timer)?;
        }
        Ok(plan)
    }

    /// The end of a session for which a timer is due that may have been set when it was shorter, if
    /// that is over too. If it is not, the timer is set anew.
    fn end_of_session(
        &self,
        plan: &mut Plan<'_>,
        key: u32,
        session: Window,
        at: i64,
    ) -> Option<i64> {
        let end = session.max_timestamp();
        let passed = match self.kind() {
            TimerKind::EventTime => plan.watermark.0,
            // The millisecond that the clock shows is not over, but timers that are due are.
            TimerKind::ProcessingTime => at.max(plan.now.0.saturating_sub(1)),
        };
        if at < session.start {
            // One that begins later has a timer of its own.
            None
        } else if end.0 <= passed {
            Some(end.0)
        } else {
            plan.await_time(self.kind(), key, end);
            None
        }
    }

    /// The windows of a key that a timer at that time may be for, with their state windows.
    fn windows_of_timer(
        &self,
        plan: &Plan<'_>,
        key: u32,
        at: i64,
        out: &mut Vec<(Window, Window)>,
    ) {
        let rules = &self.options.rules;
        match &rules.assigner {
            Assigner::Global => out.push((Window::GLOBAL, Window::GLOBAL)),
            Assigner::Session { .. } => {
                let sessions = plan.sessions.get(key as usize);
                out.extend(sessions.into_iter().flat_map(|of| of.all.all()));
            }
            Assigner::Tumbling { .. } | Assigner::Sliding { .. } | Assigner::Calendar(_) => {
                let late = i64::try_from(rules.lateness.allowed_ms).unwrap_or(i64::MAX);
                let late = if rules.event_time { late } else { 0 };
                // Those that end now, and those that are cleared now.
                for last in [Some(at), at.checked_sub(late).filter(|_| late > 0)] {
                    let ends = last.and_then(|last| self.window_until(last));
                    out.extend(ends.map(|window| (window, window)));
                }
                if self.states.remembers {
                    let around = rules.assigner.assign(at);
                    out.extend(around.map(|window| (window, window)));
                }
                out.sort_unstable();
                out.dedup();
            }
        }
    }

    /// The window whose last time that is.
    pub(super) fn window_until(&self, last: i64) -> Option<Window> {
        let assigner = &self.options.rules.assigner;
        let first = match assigner {
            Assigner::Tumbling { size, .. } | Assigner::Sliding { size, .. } => {
                last.checked_sub(size - 1)?
            }
            Assigner::Calendar(_) | Assigner::Session { .. } | Assigner::Global => last,
        };
        // Of several that hold their first time the latest begins there.
        let window = assigner.assign(first).next()?;
        (window.max_timestamp().0 == last).then_some(window)
    }

    fn timer_is_due(
        &self,
        plan: &mut Plan<'_>,
        (kind, at): (TimerKind, i64),
        slot: u32,
        timer: u32,
    ) -> Result<(), Failure> {
        let rules = &self.options.rules;
        let one = plan.call.at(slot)?;
        let (key, window) = (one.key, one.window);
        if self.states.merges {
            let sessions = plan.sessions.get(key as usize);
            if sessions.is_none_or(|of| of.all.state_of(window).is_none()) {
                return Ok(());
            }
        }
        let one = plan.call.at(slot)?;
        let is_end = at == window.max_timestamp().0;
        let (state, mut changes) = (&mut one.trigger, Vec::new());
        let is_wanted = is_end || state.next == Some(at);
        let verdict = match kind {
            _ if !is_wanted => Default::default(),
            TimerKind::EventTime => {
                let at = (EventTime(at), plan.watermark);
                rules.trigger.on_event_time(state, window, at, &mut changes)
            }
            TimerKind::ProcessingTime => {
                let at = ProcessingTime(at);
                rules
                    .trigger
                    .on_processing_time(state, window, at, &mut changes)
            }
        };
        plan.want(key, changes);
        if verdict.fire {
            plan.fire(slot, timer)?;
        }
        let is_over = kind == self.kind()
            && match rules.event_time {
                true => rules.lateness.cleanup(window) == EventTime(at),
                false => is_end,
            };
        if verdict.purge || is_over {
            plan.call.push(slot, Step::Purge)?;
        }
        if is_over {
            plan.call.at(slot)?.trigger = Default::default();
            if self.states.merges
                && let Some(sessions) = plan.sessions.get_mut(key as usize)
            {
                sessions.all.remove(window);
                sessions.is_changed = true;
            }
        }
        Ok(())
    }
}
