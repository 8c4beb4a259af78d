//! What is to be done with which window: row by row, in the order of the batch.

use foldhash::fast::FixedState;
use hashbrown::HashSet;
use weir_model::{EventTime, KeyedView, OptionalColumn, ProcessingTime, Rows};
use weir_operator::{Context, Failure};
use weir_state::{TimerKind, Which};
use weir_window::{Sessions, TimerChange, TriggerState, Window};

use super::{
    WindowOperator, WindowStates, broken,
    call::{Call, Step, bytes_of},
    guest::AskedOf,
};

/// What a call is going to do.
pub(super) struct Plan<'a> {
    pub(super) call: Call,
    pub(super) keyed: KeyedView<'a>,
    /// The sessions of each key, where windows merge.
    pub(super) sessions: Vec<KeySessions>,
    /// For each result, the row or timer that it comes from.
    pub(super) origins: Vec<u32>,
    /// For each result, what its window covered then: it may have grown since.
    pub(super) windows: Vec<Window>,
    /// Rows that no window has taken.
    pub(super) late: Vec<u32>,
    pub(super) timers: Vec<(u32, TimerChange)>,
    /// What a trigger of the function remembers and waits for.
    pub(super) asked: AskedOf,
    changes: Vec<TimerChange>,
    pub(super) watermark: EventTime,
    pub(super) now: ProcessingTime,
}

/// The sessions of a key.
#[derive(Default)]
pub(super) struct KeySessions {
    pub(super) all: Sessions,
    pub(super) is_changed: bool,
    /// What has become part of another one: nobody needs its timers.
    gone: Vec<Window>,
}

impl<'a> Plan<'a> {
    pub(super) fn new(cx: &Context, keyed: KeyedView<'a>, merges: bool) -> Self {
        Self {
            call: Call::new(keyed.keys.len(), merges),
            keyed,
            sessions: Vec::new(),
            origins: Vec::new(),
            windows: Vec::new(),
            late: Vec::new(),
            timers: Vec::new(),
            asked: AskedOf::default(),
            changes: Vec::new(),
            watermark: cx.watermark,
            now: cx.processing_time,
        }
    }

    /// A window of a key, by its state window.
    pub(super) fn slot(&mut self, key: u32, of: (Window, Window), is_new: bool) -> u32 {
        let key = (key, bytes_of(self.keyed.keys, key));
        self.call.slot(key, of, is_new)
    }

    /// Takes what a trigger wants of timers of a key.
    fn note(&mut self, key: u32) {
        let wanted = self.changes.drain(..);
        self.timers.extend(wanted.map(|change| (key, change)));
    }

    /// A trigger wants this of timers of a key.
    pub(super) fn want(&mut self, key: u32, changes: Vec<TimerChange>) {
        self.changes = changes;
        self.note(key);
    }

    /// A key has a timer.
    pub(super) fn await_time(&mut self, kind: TimerKind, key: u32, at: EventTime) {
        let change = match kind {
            TimerKind::EventTime => TimerChange::Event(at),
            TimerKind::ProcessingTime => TimerChange::Processing(ProcessingTime(at.0)),
        };
        self.timers.push((key, change));
    }

    /// The next result of the call, of this window.
    pub(super) fn fire(&mut self, slot: u32, origin: u32) -> Result<(), Failure> {
        self.origins.push(origin);
        let window = self.call.at(slot)?.window;
        self.windows.push(window);
        self.call.fire(slot)
    }
}

impl WindowOperator {
    /// Which time windows go by.
    pub(super) fn kind(&self) -> TimerKind {
        match self.options.rules.event_time {
            true => TimerKind::EventTime,
            false => TimerKind::ProcessingTime,
        }
    }

    /// What is to be done with the rows of a call.
    pub(super) fn plan<'a>(&self, cx: &mut Context, rows: Rows<'a>) -> Result<Plan<'a>, Failure> {
        let mut plan = self.begin_rows(cx, rows)?;
        plan.call.expect(rows.len());
        match self.options.rules.assigner.merges() {
            true => self.plan_sessions(cx, rows, &mut plan)?,
            false => self.plan_windows(cx, rows, &mut plan)?,
        }
        Ok(plan)
    }

    /// Begins to plan, with rows that can be in windows.
    pub(super) fn begin_rows<'a>(&self, cx: &Context, rows: Rows<'a>) -> Result<Plan<'a>, Failure> {
        let Some(keyed) = rows.keyed else {
            return Err(broken("rows without keys"));
        };
        if self.options.rules.needs_event_time() && rows.timestamps.len() != rows.len() {
            return Err(Failure::NoEventTime {
                what: "windows of event time".into(),
            });
        }
        Ok(Plan::new(cx, keyed, self.states.merges))
    }

    /// By which time a row is put into windows.
    pub(super) fn time_of(&self, plan: &Plan<'_>, rows: Rows<'_>, row: usize) -> i64 {
        match self.options.rules.event_time {
            true => rows.timestamps.get(row).copied().unwrap_or_default(),
            false => plan.now.0,
        }
    }

    /// Whether the timer of a session stays where it was while the session grows, and is set anew
    /// when it is due before the session ends. Each session has one then, at its end or before it,
    /// but not one for each row. Where windows stay after their end, or a trigger remembers
    /// something, timers follow the session.
    pub(super) fn defers_timers(&self) -> bool {
        let rules = &self.options.rules;
        let goes_at_end = !rules.event_time || rules.lateness.allowed_ms == 0;
        self.states.merges && rules.trigger.is_plain(rules.event_time) && goes_at_end
    }

    pub(super) fn is_gone(&self, plan: &Plan<'_>, window: Window) -> bool {
        let rules = &self.options.rules;
        rules.event_time && rules.lateness.is_gone(window, plan.watermark)
    }

    fn plan_windows(
        &self,
        cx: &mut Context,
        rows: Rows<'_>,
        plan: &mut Plan<'_>,
    ) -> Result<(), Failure> {
        let placed = self.place_rows(rows, plan);
        plan.call.add_keys(cx)?;
        self.load_triggers(cx, plan)?;
        for (row, slot) in placed {
            self.add(plan, (row, event_time(rows, row as usize)), slot)?;
        }
        Ok(())
    }

    /// Finds the windows of rows: pairs of a row and a window, in order.
    pub(super) fn place_rows(&self, rows: Rows<'_>, plan: &mut Plan<'_>) -> Vec<(u32, u32)> {
        let mut placed: Vec<(u32, u32)> = Vec::with_capacity(rows.len());
        let mut windows: Vec<Window> = Vec::new();
        let assigner = &self.options.rules.assigner;
        let has_one = assigner.has_one_window();
        for (row, &key) in plan.keyed.key_of_row.iter().enumerate() {
            let before = placed.len();
            let time = self.time_of(plan, rows, row);
            // Rows next to each other are mostly in the same window.
            let known = windows.first().filter(|_| has_one);
            if !known.is_some_and(|window| window.start <= time && time < window.end) {
                windows.clear();
                windows.extend(assigner.assign(time));
            }
            for &window in &windows {
                if !self.is_gone(plan, window) {
                    let slot = plan.slot(key, (window, window), false);
                    placed.push((row as u32, slot));
                }
            }
            if placed.len() == before {
                self.leave_out(plan, row, time);
            }
        }
        placed
    }

    fn plan_sessions(
        &self,
        cx: &mut Context,
        rows: Rows<'_>,
        plan: &mut Plan<'_>,
    ) -> Result<(), Failure> {
        self.load_sessions(cx, plan)?;
        if self.states.remembers {
            for key in 0..plan.sessions.len() {
                let known = plan.sessions[key].all.all().to_vec();
                for of in known {
                    plan.slot(key as u32, of, false);
                }
            }
            plan.call.add_keys(cx)?;
            self.load_triggers(cx, plan)?;
        }
        let mut growing = self.growing(plan);
        for (row, &key) in plan.keyed.key_of_row.iter().enumerate() {
            let time = self.time_of(plan, rows, row);
            if let Some(slot) = growing.grow(key, time) {
                plan.call.add_row(row as u32, slot)?;
                continue;
            }
            growing.settle(plan, key)?;
            let mut is_taken = false;
            for window in self.options.rules.assigner.assign(time) {
                if let Some(slot) = self.join(plan, key, window)? {
                    is_taken = true;
                    self.add(plan, (row as u32, event_time(rows, row)), slot)?;
                    growing.watch(plan, key, slot)?;
                }
            }
            if !is_taken {
                self.leave_out(plan, row, time);
            }
        }
        for key in 0..plan.sessions.len() {
            growing.settle(plan, key as u32)?;
        }
        plan.call.add_keys(cx)?;
        Ok(())
    }

    pub(super) fn leave_out(&self, plan: &mut Plan<'_>, row: usize, time: i64) {
        let rules = &self.options.rules;
        if rules.event_time && rules.lateness.is_late(time, plan.watermark) {
            plan.late.push(row as u32);
        }
    }

    /// A window becomes part of a session of its key; `None` = it is over already.
    fn join(&self, plan: &mut Plan<'_>, key: u32, window: Window) -> Result<Option<u32>, Failure> {
        let Some(sessions) = plan.sessions.get_mut(key as usize) else {
            return Err(broken("a key without sessions"));
        };
        let merge = sessions.all.add(window);
        if merge.is_new && self.is_gone(plan, merge.session) {
            plan.sessions[key as usize].all.remove(merge.session);
            return Ok(None);
        }
        plan.sessions[key as usize].is_changed |= merge.is_new || !merge.merged.is_empty();
        let slot = plan.slot(key, (merge.session, merge.state), merge.is_new);
        let defers_timers = self.defers_timers();
        if defers_timers {
            let stays = plan.call.at(slot)?;
            stays.window = merge.session;
            stays.is_timed |= !merge.is_new;
        }
        if merge.merged.is_empty() || (defers_timers && merge.contents.is_empty()) {
            return Ok(Some(slot));
        }
        // What was there, by its state windows: the first is the one that stays.
        let mut old = vec![slot];
        for state in &merge.contents {
            let other = plan.slot(key, (*state, *state), false);
            old.push(other);
            plan.call.push(slot, Step::Take(other))?;
        }
        if defers_timers {
            return Ok(Some(slot));
        }
        let mut remembered = Vec::with_capacity(old.len());
        for other in old {
            let other = plan.call.at(other)?;
            remembered.push(std::mem::take(&mut other.trigger));
        }
        plan.sessions[key as usize].gone.extend(merge.merged);
        let at = (plan.watermark, plan.now);
        let trigger = &self.options.rules.trigger;
        let state = trigger.on_merge(remembered, merge.session, at, &mut plan.changes);
        plan.note(key);
        let stays = plan.call.at(slot)?;
        stays.trigger = state;
        stays.window = merge.session;
        stays.is_timed = false;
        Ok(Some(slot))
    }

    /// A row is added to a window.
    fn add(&self, plan: &mut Plan<'_>, (row, time): (u32, i64), slot: u32) -> Result<(), Failure> {
        let rules = &self.options.rules;
        let at = (plan.watermark, plan.now);
        plan.call.add_row(row, slot)?;
        let one = plan.call.at(slot)?;
        let (key, window) = (one.key, one.window);
        let is_open = !rules.event_time || window.max_timestamp() > plan.watermark;
        if one.is_timed && is_open && rules.trigger.is_plain(rules.event_time) {
            // All that it waits for is its end, which is known already.
            return Ok(());
        }
        let changes = &mut plan.changes;
        let verdict = rules
            .trigger
            .on_element(&mut one.trigger, (window, time), at, changes);
        if !one.is_timed {
            one.is_timed = true;
            let cleanup = self.cleanup(window);
            changes.extend(cleanup.filter(|cleanup| !changes.contains(cleanup)));
        } else {
            // The end of the window is known already; only what is remembered can be new.
            let end = window.max_timestamp();
            changes.retain(|change| match change {
                TimerChange::Event(at) => *at != end,
                TimerChange::Processing(at) => at.0 != end.0,
                TimerChange::NoEvent(_) | TimerChange::NoProcessing(_) => true,
            });
        }
        plan.note(key);
        if verdict.fire {
            plan.fire(slot, row)?;
        }
        if verdict.purge {
            plan.call.push(slot, Step::Purge)?;
        }
        Ok(())
    }

    /// The timer at which a window is cleared.
    pub(super) fn cleanup(&self, window: Window) -> Option<TimerChange> {
        let rules = &self.options.rules;
        if window == Window::GLOBAL {
            return None;
        }
        Some(match rules.event_time {
            true => TimerChange::Event(rules.lateness.cleanup(window)),
            false => TimerChange::Processing(ProcessingTime(window.max_timestamp().0)),
        })
    }

    pub(super) fn load_triggers(
        &self,
        cx: &mut Context,
        plan: &mut Plan<'_>,
    ) -> Result<(), Failure> {
        if !self.states.remembers {
            return Ok(());
        }
        let places: Vec<u32> = plan.call.slots().iter().map(|slot| slot.place).collect();
        let mut kept = OptionalColumn::new();
        let which = Which::Some(&places);
        cx.state
            .value_get(WindowStates::TRIGGERS, which, &mut kept)?;
        for (at, slot) in plan.call.slots_mut().iter_mut().enumerate() {
            let bytes = kept.get(at).unwrap_or_default();
            let state = TriggerState::decode(bytes).ok_or_else(|| broken("a trigger"))?;
            (slot.trigger, slot.kept) = (state, state);
        }
        Ok(())
    }

    pub(super) fn load_sessions(
        &self,
        cx: &mut Context,
        plan: &mut Plan<'_>,
    ) -> Result<(), Failure> {
        let keys: Vec<u32> = (0..plan.keyed.keys.len() as u32).collect();
        let mut kept = OptionalColumn::new();
        let which = Which::Some(&keys);
        cx.state
            .value_get(self.states.sessions(), which, &mut kept)?;
        for bytes in kept.iter() {
            let (pairs, rest) = bytes
                .unwrap_or_default()
                .as_chunks::<{ 2 * Window::ENCODED }>();
            let pair = |pair: &[u8; 2 * Window::ENCODED]| {
                let (session, state) = pair.split_at(Window::ENCODED);
                Some((Window::decode(session).ok()?, Window::decode(state).ok()?))
            };
            let all: Option<Vec<_>> = pairs.iter().map(pair).collect();
            let all = all.filter(|_| rest.is_empty());
            plan.sessions.push(KeySessions {
                all: Sessions::of(all.ok_or_else(|| broken("sessions"))?),
                ..KeySessions::default()
            });
        }
        Ok(())
    }

    /// Writes what is remembered of windows beside what they hold, and sets and deletes timers.
    pub(super) fn keep(&self, cx: &mut Context, plan: &mut Plan<'_>) -> Result<(), Failure> {
        if self.states.asks {
            self.keep_asked(cx, plan)?;
        } else if self.states.remembers {
            let (mut keys, mut values) = (Vec::new(), OptionalColumn::new());
            for slot in plan.call.slots() {
                if slot.trigger != slot.kept {
                    keys.push(slot.place);
                    let bytes = slot.trigger.encode();
                    values.push(Some(&bytes[..]).filter(|bytes| !bytes.is_empty()));
                }
            }
            cx.state
                .value_put(WindowStates::TRIGGERS, Which::Some(&keys), &values)?;
        }
        if self.states.merges {
            self.keep_sessions(cx, plan)?;
        }
        self.keep_timers(cx, plan)
    }

    /// Sets and deletes timers. Of each what is said last counts.
    ///
    /// One that is set and deleted again is set here as well: what has set it may be an earlier
    /// timer of the call than what deleted it, and then it is due in between (D14).
    fn keep_timers(&self, cx: &mut Context, plan: &Plan<'_>) -> Result<(), Failure> {
        let (mut sets, mut deletions) = (OfKinds::default(), OfKinds::default());
        let mut some_deleted = false;
        for (key, change) in &plan.timers {
            let (kind, at, is_set) = timer_of(*change);
            match is_set {
                true => sets.push(kind, (*key, at)),
                false => some_deleted = true,
            }
        }
        // Those of the host's triggers stay: another window may wait for them.
        if some_deleted && self.states.asks {
            let mut decided: HashSet<(u32, TimerKind, i64), FixedState> = HashSet::default();
            for (key, change) in plan.timers.iter().rev() {
                let (kind, at, is_set) = timer_of(*change);
                if decided.insert((*key, kind, at)) && !is_set {
                    deletions.push(kind, (*key, at));
                }
            }
        }
        for (kind, keys, times) in sets.each() {
            cx.state.timers_set(kind, keys, times)?;
        }
        for (kind, keys, times) in deletions.each() {
            cx.state.timers_delete(kind, keys, times)?;
        }
        Ok(())
    }

    fn keep_sessions(&self, cx: &mut Context, plan: &mut Plan<'_>) -> Result<(), Failure> {
        let (mut keys, mut values) = (Vec::new(), OptionalColumn::new());
        let (mut idle_keys, mut idle_times) = (Vec::new(), Vec::new());
        let lateness = self.options.rules.lateness;
        let ends = |window: Window| match self.options.rules.event_time {
            true => [window.max_timestamp().0, lateness.cleanup(window).0],
            false => [window.max_timestamp().0; 2],
        };
        let mut bytes = Vec::new();
        for (key, of) in plan.sessions.iter().enumerate() {
            if !of.is_changed {
                continue;
            }
            bytes.clear();
            for (session, state) in of.all.all() {
                bytes.extend_from_slice(&session.encode());
                bytes.extend_from_slice(&state.encode());
            }
            keys.push(key as u32);
            values.push(Some(&bytes[..]).filter(|bytes| !bytes.is_empty()));
            // Timers are those of the key: one that another session waits for stays.
            let wanted = |at: i64| {
                of.all
                    .all()
                    .iter()
                    .any(|(session, _)| ends(*session).contains(&at))
            };
            for at in of.gone.iter().flat_map(|window| ends(*window)) {
                if !wanted(at) {
                    idle_keys.push(key as u32);
                    idle_times.push(at);
                }
            }
        }
        let which = Which::Some(&keys);
        cx.state.value_put(self.states.sessions(), which, &values)?;
        // What is remembered may be due at the same time as an end; its timer would go with it.
        if !idle_keys.is_empty() && !self.states.remembers {
            cx.state
                .timers_delete(self.kind(), &idle_keys, &idle_times)?;
        }
        Ok(())
    }
}

/// Timers by their kind: the keys and the times.
#[derive(Default)]
struct OfKinds([(Vec<u32>, Vec<i64>); TimerKind::ALL.len()]);

impl OfKinds {
    fn push(&mut self, kind: TimerKind, (key, at): (u32, i64)) {
        let [event, processing] = &mut self.0;
        let (keys, times) = match kind {
            TimerKind::EventTime => event,
            TimerKind::ProcessingTime => processing,
        };
        keys.push(key);
        times.push(at);
    }

    /// Those of the kinds that there are some of.
    fn each(&self) -> impl Iterator<Item = (TimerKind, &[u32], &[i64])> {
        let [event, processing] = &self.0;
        let all = [
            (TimerKind::EventTime, event),
            (TimerKind::ProcessingTime, processing),
        ];
        let all = all.into_iter().filter(|(_, (keys, _))| !keys.is_empty());
        all.map(|(kind, (keys, times))| (kind, &keys[..], &times[..]))
    }
}

/// The timer that a change is about, and whether it is set.
pub(super) fn timer_of(change: TimerChange) -> (TimerKind, i64, bool) {
    match change {
        TimerChange::Event(EventTime(at)) => (TimerKind::EventTime, at, true),
        TimerChange::NoEvent(EventTime(at)) => (TimerKind::EventTime, at, false),
        TimerChange::Processing(ProcessingTime(at)) => (TimerKind::ProcessingTime, at, true),
        TimerChange::NoProcessing(ProcessingTime(at)) => (TimerKind::ProcessingTime, at, false),
    }
}

/// The event time of a row; the least one where it has none.
fn event_time(rows: Rows<'_>, row: usize) -> i64 {
    rows.timestamps.get(row).copied().unwrap_or(i64::MIN)
}
