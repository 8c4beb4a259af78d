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
        let mut plan = Plan::new(cx, keyed);
        if self.states.merges {
            self.load_sessions(cx, &mut plan)?;
        }
        let mut due: Vec<(u32, u32)> = Vec::new();
        let mut windows = Vec::new();
        for (timer, (&at, &key)) in at.iter().zip(keyed.key_of_row).enumerate() {
            windows.clear();
            self.windows_of_timer(&plan, key, at, &mut windows);
            for &of in &windows {
                let slot = plan.slot(key, of, false);
                due.push((timer as u32, slot));
            }
        }
        plan.call.add_keys(cx)?;
        self.load_triggers(cx, &mut plan)?;
        plan.is_plain = false;
        for (timer, slot) in due {
            let at = at.get(timer as usize).copied().unwrap_or_default();
            self.timer_is_due(&mut plan, (kind, at), slot, timer)?;
        }
        Ok(plan)
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
        let one = plan.call.at(slot)?;
        if verdict.purge || is_over {
            one.steps.push(Step::Purge);
        }
        if is_over {
            one.trigger = Default::default();
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
