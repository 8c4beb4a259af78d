//! Triggers that are the function's: what they are asked, and what comes of their answers.
//!
//! The timers of a key do not say which of its windows has set them, so that is kept under the key.
//! What is kept of a window ends with it, and so do the timers that only it waits for: a trigger
//! need not clear anything.
//!
//! INVARIANT: a timer of the key is set as long as a window waits for it, or is cleared then.

use std::collections::{BTreeSet, HashSet};

use weir_model::{Column, EventTime, KeyedView, OptionalColumn, ProcessingTime, Rows};
use weir_operator::{Added, Asked, Context, Decided, DueTimers, Failure, Verdict};
use weir_state::{TimerKind, Which};
use weir_window::{TimerChange, Window};

use super::{
    WindowOperator, WindowStates, broken,
    call::Step,
    plan::{Plan, timer_of},
};

/// The kind of time, the time, and the window that waits for it.
type Wanted = (TimerKind, i64, Window);
/// The bytes of one: those of its window, its kind, and its time in little endian.
const WANTED: usize = Window::ENCODED + 1 + 8;

/// What the trigger of a call remembers and waits for.
#[derive(Default)]
pub(super) struct AskedOf {
    /// By key, what its windows wait for: in the order of time, for that is what is looked up.
    wanted: Vec<BTreeSet<Wanted>>,
    is_changed: Vec<bool>,
    /// What was remembered of each window, and what is from now on.
    kept: OptionalColumn,
    remembered: OptionalColumn,
    /// Windows that are cleared in the call.
    cleared: HashSet<u32>,
}

/// A timer that a window has waited for, or that clears one.
struct Due {
    timer: u32,
    slot: u32,
    /// Whether the trigger has set it.
    is_asked: bool,
    is_over: bool,
}

impl WindowOperator {
    /// Puts rows into windows, and asks the trigger about each.
    pub(super) fn ask_for_rows<'a>(
        &mut self,
        cx: &mut Box<Context>,
        rows: Rows<'a>,
    ) -> Result<Plan<'a>, Failure> {
        let mut plan = self.begin_rows(cx, rows)?;
        plan.call.expect(rows.len());
        let placed = self.place_rows(rows, &mut plan);
        if placed.is_empty() {
            return Ok(plan);
        }
        plan.call.add_keys(cx)?;
        load(cx, &mut plan)?;
        let (row_of, window_of): (Vec<u32>, Vec<u32>) = placed.iter().copied().unzip();
        let keys = keys_of(&plan);
        let windows = windows_of(&plan);
        let added = Added {
            rows: rows.values,
            timestamps: rows.timestamps,
            row_of: &row_of,
            window_of: &window_of,
        };
        let asked = asked(&plan, &keys, &windows);
        let decided = self.function.decide_rows(cx, asked, added)?;
        let verdicts = self.take_in(&mut plan, decided, placed.len())?;
        for ((row, slot), verdict) in placed.into_iter().zip(verdicts) {
            plan.call.add_row(row, slot)?;
            let one = plan.call.at(slot)?;
            if !one.is_timed {
                one.is_timed = true;
                let (key, window) = (one.key, one.window);
                let cleanup = self.cleanup(window);
                plan.want(key, cleanup.into_iter().collect());
            }
            obey(&mut plan, slot, row, verdict)?;
        }
        Ok(plan)
    }

    /// Timers are due: the trigger is asked about those that it has set, and windows are cleared.
    pub(super) fn ask_for_timers<'a>(
        &mut self,
        cx: &mut Box<Context>,
        (kind, at): (TimerKind, &[i64]),
        keyed: KeyedView<'a>,
    ) -> Result<Plan<'a>, Failure> {
        let mut plan = Plan::new(cx, keyed, self.states.merges);
        load_wanted(cx, &mut plan)?;
        let due = self.due(&mut plan, (kind, at));
        plan.call.add_keys(cx)?;
        load_remembered(cx, &mut plan)?;
        let set: Vec<&Due> = due.iter().filter(|due| due.is_asked).collect();
        let mut verdicts = Vec::new().into_iter();
        if !set.is_empty() {
            let time = |due: &&Due| at.get(due.timer as usize).copied().unwrap_or_default();
            let at: Vec<i64> = set.iter().map(time).collect();
            let window_of: Vec<u32> = set.iter().map(|due| due.slot).collect();
            let (keys, windows) = (keys_of(&plan), windows_of(&plan));
            let timers = DueTimers {
                kind,
                at: &at,
                window_of: &window_of,
            };
            let asked = asked(&plan, &keys, &windows);
            let decided = self.function.decide_timers(cx, asked, timers)?;
            verdicts = self.take_in(&mut plan, decided, at.len())?.into_iter();
        }
        for due in &due {
            if due.is_asked {
                let verdict = verdicts.next().unwrap_or_default();
                obey(&mut plan, due.slot, due.timer, verdict)?;
            }
            if due.is_over {
                plan.call.push(due.slot, Step::Purge)?;
            }
        }
        Ok(plan)
    }

    /// Who waits for these timers. What waits for one does no more.
    fn due(&self, plan: &mut Plan<'_>, (kind, at): (TimerKind, &[i64])) -> Vec<Due> {
        let mut all = Vec::new();
        let mut over_windows: Vec<(u32, Window)> = Vec::new();
        for (timer, (&at, &key)) in at.iter().zip(plan.keyed.key_of_row).enumerate() {
            let wanted = plan.asked.wanted_at(key, kind, at);
            let mut windows: Vec<(Window, bool)> = wanted.map(|window| (window, true)).collect();
            let over = self.window_over(kind, at);
            if let Some(over) = over
                && !windows.iter().any(|(window, _)| *window == over)
            {
                windows.push((over, false));
            }
            windows.sort_unstable();
            for (window, is_asked) in windows {
                let slot = plan.slot(key, (window, window), false);
                if plan.asked.cleared.contains(&slot) {
                    continue;
                }
                let is_over = over == Some(window);
                plan.asked.forget(key, (kind, at, window));
                if is_over {
                    plan.asked.cleared.insert(slot);
                    over_windows.push((key, window));
                }
                all.push(Due {
                    timer: timer as u32,
                    slot,
                    is_asked,
                    is_over,
                });
            }
        }
        self.end_waiting(plan, (kind, at), over_windows);
        all
    }

    /// Windows are over: the timers that nothing but them has waited for go with them.
    fn end_waiting(
        &self,
        plan: &mut Plan<'_>,
        (kind, at): (TimerKind, &[i64]),
        mut over: Vec<(u32, Window)>,
    ) {
        over.sort_unstable();
        let mut gone = Vec::new();
        for over in over.chunk_by(|(key, _), (other, _)| key == other) {
            let key = over.first().map_or(0, |(key, _)| *key);
            plan.asked.forget_all(key, |(of, at, window)| {
                let is_over = over.binary_search(&(key, window)).is_ok();
                if is_over {
                    gone.push((key, of, at));
                }
                is_over
            });
        }
        if gone.is_empty() {
            return;
        }
        let keys = plan.keyed.key_of_row.iter();
        let fired: HashSet<(u32, i64)> = keys.copied().zip(at.iter().copied()).collect();
        for (key, of, at) in gone {
            // Those of the call are gone without it, and to delete one of them would be a conflict.
            let is_fired = of == kind && fired.contains(&(key, at));
            if !is_fired && !self.is_needed(plan, key, (of, at), None) {
                plan.timers.push((key, deletion(of, at)));
            }
        }
    }

    /// Whether a window of the key waits for that timer, or may be cleared by it, but for one.
    fn is_needed(
        &self,
        plan: &Plan<'_>,
        key: u32,
        (kind, at): (TimerKind, i64),
        but: Option<Window>,
    ) -> bool {
        let over = self.window_over(kind, at);
        plan.asked.wanted_at(key, kind, at).next().is_some() || (over.is_some() && over != but)
    }

    /// When a window is cleared, in time of its kind.
    fn time_over(&self, window: Window) -> Option<i64> {
        self.cleanup(window).map(|cleanup| timer_of(cleanup).1)
    }

    /// The window that is cleared by a timer at that time.
    pub(super) fn window_over(&self, kind: TimerKind, at: i64) -> Option<Window> {
        let rules = &self.options.rules;
        if kind != self.kind() {
            return None;
        }
        let late = match rules.event_time {
            true => i64::try_from(rules.lateness.allowed_ms).unwrap_or(i64::MAX),
            false => 0,
        };
        let window = self.window_until(at.checked_sub(late)?)?;
        (window != Window::GLOBAL).then_some(window)
    }

    /// Takes in what a trigger has decided, but for its verdicts, which it gives back.
    fn take_in(
        &self,
        plan: &mut Plan<'_>,
        decided: Decided,
        count: usize,
    ) -> Result<Vec<Verdict>, Failure> {
        let windows = plan.call.slots().len();
        if decided.verdicts.len() != count || decided.remembered.len() != windows {
            return Err(broken("another number of decisions than was asked for"));
        }
        plan.asked.remembered = decided.remembered;
        for (slot, change) in decided.timers {
            let one = plan.call.at(slot)?;
            let (key, window) = (one.key, one.window);
            let is_over = plan.asked.cleared.contains(&slot);
            let (kind, at, is_set) = timer_of(change);
            plan.asked.forget(key, (kind, at, window));
            match is_set {
                true if !is_over => {
                    plan.asked.want(key, (kind, at, window));
                    plan.timers.push((key, change));
                }
                true => {
                    // It may have been set before its window was over, and be due before that: then
                    // it is to be known (D14). Nobody waits for it any more.
                    let over = self.time_over(window);
                    if kind == self.kind() && over.is_some_and(|over| at <= over) {
                        plan.timers.push((key, change));
                        if !self.is_needed(plan, key, (kind, at), Some(window)) {
                            plan.timers.push((key, change.taken_back()));
                        }
                    }
                }
                // It is a timer of the key: another window may wait for it, or be cleared by it.
                // Set once more it is as it was, and still known to have been touched (D14).
                false if self.is_needed(plan, key, (kind, at), is_over.then_some(window)) => {
                    let again = match kind {
                        TimerKind::EventTime => TimerChange::Event(EventTime(at)),
                        TimerKind::ProcessingTime => TimerChange::Processing(ProcessingTime(at)),
                    };
                    plan.timers.push((key, again));
                }
                false => plan.timers.push((key, change)),
            }
        }
        Ok(decided.verdicts)
    }

    /// Writes what the trigger remembers and waits for.
    pub(super) fn keep_asked(&self, cx: &mut Context, plan: &mut Plan<'_>) -> Result<(), Failure> {
        let of = &plan.asked;
        let (mut keys, mut values) = (Vec::new(), OptionalColumn::new());
        for (at, slot) in plan.call.slots().iter().enumerate() {
            let is_over = of.cleared.contains(&(at as u32));
            let known = at < of.remembered.len() && !is_over;
            let now = known.then(|| of.remembered.get(at)).flatten();
            let was = (at < of.kept.len()).then(|| of.kept.get(at)).flatten();
            if (known || is_over) && now != was {
                keys.push(slot.place);
                values.push(now);
            }
        }
        cx.state
            .value_put(WindowStates::TRIGGERS, Which::Some(&keys), &values)?;
        let (mut keys, mut values) = (Vec::new(), OptionalColumn::new());
        let changed = of.wanted.iter().zip(&of.is_changed).enumerate();
        for (key, (wanted, _)) in changed.filter(|(_, (_, is_changed))| **is_changed) {
            let bytes: Vec<u8> = wanted.iter().flat_map(encode).collect();
            keys.push(key as u32);
            values.push(Some(&bytes[..]).filter(|bytes| !bytes.is_empty()));
        }
        cx.state
            .value_put(WindowStates::WANTED, Which::Some(&keys), &values)?;
        Ok(())
    }
}

impl AskedOf {
    fn of_key(&mut self, key: u32) -> Option<(&mut BTreeSet<Wanted>, &mut bool)> {
        let key = key as usize;
        self.wanted.get_mut(key).zip(self.is_changed.get_mut(key))
    }

    /// What a window of a key waits for no more.
    fn forget(&mut self, key: u32, wanted: Wanted) {
        if let Some((all, is_changed)) = self.of_key(key) {
            *is_changed |= all.remove(&wanted);
        }
    }

    /// What a key waits for and fits is waited for no more.
    fn forget_all(&mut self, key: u32, mut fits: impl FnMut(Wanted) -> bool) {
        if let Some((all, is_changed)) = self.of_key(key) {
            let before = all.len();
            all.retain(|wanted| !fits(*wanted));
            *is_changed |= all.len() != before;
        }
    }

    fn want(&mut self, key: u32, wanted: Wanted) {
        if let Some((all, is_changed)) = self.of_key(key) {
            *is_changed |= all.insert(wanted);
        }
    }

    /// The windows of a key that wait for a time.
    fn wanted_at(&self, key: u32, kind: TimerKind, at: i64) -> impl Iterator<Item = Window> {
        let window = |bound: i64| Window {
            start: bound,
            end: bound,
        };
        let around = (kind, at, window(i64::MIN))..=(kind, at, window(i64::MAX));
        let all = self.wanted.get(key as usize).into_iter();
        all.flat_map(move |all| all.range(around.clone()).map(|(.., window)| *window))
    }
}

/// What a trigger says is done.
fn obey(plan: &mut Plan<'_>, slot: u32, origin: u32, verdict: Verdict) -> Result<(), Failure> {
    if verdict.fire {
        plan.fire(slot, origin)?;
    }
    if verdict.purge {
        plan.call.push(slot, Step::Purge)?;
    }
    Ok(())
}

fn deletion(kind: TimerKind, at: i64) -> TimerChange {
    match kind {
        TimerKind::EventTime => TimerChange::NoEvent(EventTime(at)),
        TimerKind::ProcessingTime => TimerChange::NoProcessing(ProcessingTime(at)),
    }
}

fn asked<'a>(plan: &'a Plan<'_>, keys: &'a Column, windows: &'a [Window]) -> Asked<'a> {
    Asked {
        keys: keys.view(),
        windows,
        remembered: &plan.asked.kept,
        watermark: plan.watermark,
        now: plan.now,
    }
}

fn windows_of(plan: &Plan<'_>) -> Vec<Window> {
    plan.call.slots().iter().map(|slot| slot.window).collect()
}

fn keys_of(plan: &Plan<'_>) -> Column {
    let mut keys = Column::new();
    for slot in plan.call.slots() {
        keys.push(plan.keyed.keys.get(slot.key as usize));
    }
    keys
}

fn load(cx: &mut Context, plan: &mut Plan<'_>) -> Result<(), Failure> {
    load_wanted(cx, plan)?;
    load_remembered(cx, plan)
}

fn load_remembered(cx: &mut Context, plan: &mut Plan<'_>) -> Result<(), Failure> {
    let places: Vec<u32> = plan.call.slots().iter().map(|slot| slot.place).collect();
    let which = Which::Some(&places);
    cx.state
        .value_get(WindowStates::TRIGGERS, which, &mut plan.asked.kept)?;
    Ok(())
}

fn load_wanted(cx: &mut Context, plan: &mut Plan<'_>) -> Result<(), Failure> {
    let keys: Vec<u32> = (0..plan.keyed.keys.len() as u32).collect();
    let mut kept = OptionalColumn::new();
    cx.state
        .value_get(WindowStates::WANTED, Which::Some(&keys), &mut kept)?;
    for bytes in kept.iter() {
        let (all, rest) = bytes.unwrap_or_default().as_chunks::<WANTED>();
        let all: Option<BTreeSet<Wanted>> = all.iter().map(decode).collect();
        let all = all.filter(|_| rest.is_empty());
        let all = all.ok_or_else(|| broken("the timers of a trigger"))?;
        plan.asked.wanted.push(all);
        plan.asked.is_changed.push(false);
    }
    Ok(())
}

fn encode((kind, at, window): &Wanted) -> [u8; WANTED] {
    let mut bytes = [0; WANTED];
    let (of, rest) = bytes.split_at_mut(Window::ENCODED);
    of.copy_from_slice(&window.encode());
    if let [of_kind, time @ ..] = rest {
        *of_kind = u8::from(*kind == TimerKind::ProcessingTime);
        time.copy_from_slice(&at.to_le_bytes());
    }
    bytes
}

fn decode(bytes: &[u8; WANTED]) -> Option<Wanted> {
    let (window, rest) = bytes.split_at_checked(Window::ENCODED)?;
    let (kind, at) = rest.split_first()?;
    let kind = match kind {
        0 => TimerKind::EventTime,
        1 => TimerKind::ProcessingTime,
        _ => return None,
    };
    let at = i64::from_le_bytes(at.try_into().ok()?);
    Some((kind, at, Window::decode(window).ok()?))
}
