//! Windows of one size that fold their rows and ask for nothing but their end. Sliding ones share
//! what they have in common: a row is folded into one pane, and the windows it is in are merged out
//! of panes. A tumbling window is its only pane.
//!
//! INVARIANT: the next window of a key that ends and holds a row has its timer; that of the window
//! behind it is set when it is due. So a pane has one timer, in however many windows it is.

use weir_model::{Column, KeyedView, OptionalColumn, Rows};
use weir_operator::{Context, Failure, WindowFunction};
use weir_state::Which;
use weir_window::{Panes, TimerChange, Window};

use super::{
    WindowOperator, WindowStates, broken,
    call::Slot,
    execute::{Results, refused},
    plan::Plan,
};

/// What the panes of a call hold.
struct Held<'a> {
    slots: &'a [Slot],
    arena: Column,
    /// By slot, the row of `arena`.
    rows: Vec<Option<u32>>,
    was_there: Vec<bool>,
    is_changed: Vec<bool>,
    results: Results,
}

/// A pane that a row of the call is in, as the watermark has it.
#[derive(Clone, Copy)]
struct Met {
    pane: Window,
    state: State,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    /// None of its windows has given its result.
    Open,
    /// Some have.
    Late,
    /// All are gone.
    Gone,
}

/// A window of a key that gives its result.
struct Due {
    /// The row or timer that it comes from.
    origin: u32,
    key: u32,
    window: Window,
    /// The slots of its panes, each with whether it is in no later window.
    panes: Vec<(u32, bool)>,
}

impl WindowOperator {
    /// The panes, where windows share them.
    pub(super) fn shared_panes(&self) -> Option<Panes> {
        let rules = &self.options.rules;
        let panes = rules.assigner.panes()?;
        let is_plain = rules.event_time && rules.trigger.is_plain();
        Some(panes).filter(|_| self.states.aggregates && is_plain)
    }

    /// Folds the rows of a call into panes. A row that comes to a window that has given its result
    /// already has it give another one, at once.
    pub(super) fn fold_rows<'a>(
        &mut self,
        cx: &mut Box<Context>,
        panes: Panes,
        rows: Rows<'a>,
    ) -> Result<(Plan<'a>, Results), Failure> {
        let mut plan = self.begin_rows(cx, rows)?;
        let mut placed: Vec<(u32, u32)> = Vec::with_capacity(rows.len());
        let mut late: Vec<Due> = Vec::new();
        // Rows next to each other are mostly in the same pane.
        let mut met: Option<Met> = None;
        for (row, &key) in plan.keyed.key_of_row.iter().enumerate() {
            let time = rows.timestamps.get(row).copied().unwrap_or_default();
            let known = met.filter(|met| met.pane.start <= time && time < met.pane.end);
            let Met { pane, state } = known.unwrap_or_else(|| self.meet(&plan, panes, time));
            met = Some(Met { pane, state });
            if state == State::Gone {
                self.leave_out(&mut plan, row, time);
                continue;
            }
            placed.push((row as u32, plan.slot(key, (pane, pane), false)));
            if state == State::Open {
                continue;
            }
            // The latest first, as a row is put into its windows.
            let from = late.len();
            for window in panes.windows(pane) {
                if window.max_timestamp() > plan.watermark {
                    break;
                }
                if !self.is_gone(&plan, window) {
                    late.push(due(&mut plan, panes, (row as u32, key), window));
                }
            }
            late[from..].reverse();
        }
        plan.call.add_keys(cx)?;
        let slots = plan.call.slots().to_vec();
        let mut held = Held::load(cx, &slots)?;
        let function = &mut *self.function;
        let mut late = late.into_iter().peekable();
        let mut from = 0;
        while from < placed.len() {
            // Up to the next row that a result follows.
            let stop = late.peek().map(|due| due.origin);
            let ends = |&(row, _): &(u32, u32)| Some(row) == stop;
            let count = placed[from..].iter().position(ends);
            let to = count.map_or(placed.len(), |count| from + count + 1);
            held.fold(cx, function, rows, &placed[from..to])?;
            from = to;
            let mut now = Vec::new();
            while let Some(due) = late.next_if(|due| Some(due.origin) == stop) {
                now.push(due);
            }
            held.give(cx, function, &mut plan, &now)?;
        }
        for (at, slot) in slots.iter().enumerate() {
            if held.is_changed[at] && !held.was_there[at] {
                self.await_windows(&mut plan, panes, slot.key, slot.window);
            }
        }
        Ok((plan, held.keep(cx)?))
    }

    /// The pane of a time.
    fn meet(&self, plan: &Plan<'_>, panes: Panes, time: i64) -> Met {
        let pane = panes.of(time);
        let first = panes.windows(pane).next();
        let is_over = |window: Window| window.max_timestamp() <= plan.watermark;
        let state = if self.is_gone(plan, panes.last_window(pane)) {
            State::Gone
        } else if first.is_some_and(is_over) {
            State::Late
        } else {
            State::Open
        };
        Met { pane, state }
    }

    /// Timers are due: windows give their results, and panes that are in no later one go.
    pub(super) fn windows_are_due<'a>(
        &mut self,
        cx: &mut Box<Context>,
        panes: Panes,
        at: &[i64],
        keyed: KeyedView<'a>,
    ) -> Result<(Plan<'a>, Results), Failure> {
        let mut plan = Plan::new(cx, keyed);
        let lateness = self.options.rules.lateness;
        let late = i64::try_from(lateness.allowed_ms).unwrap_or(i64::MAX);
        let window_of = |last: Option<i64>| {
            let start = last?.checked_sub(panes.size() - 1)?;
            panes.window_at(start)
        };
        let mut all: Vec<(Due, bool)> = Vec::new();
        for (timer, (&at, &key)) in at.iter().zip(keyed.key_of_row).enumerate() {
            let of = (timer as u32, key);
            if let Some(window) = window_of(Some(at)) {
                all.push((due(&mut plan, panes, of, window), false));
            }
            if let Some(window) = window_of(at.checked_sub(late).filter(|_| late > 0)) {
                all.push((due(&mut plan, panes, of, window), true));
            }
        }
        plan.call.add_keys(cx)?;
        let slots = plan.call.slots().to_vec();
        let mut held = Held::load(cx, &slots)?;
        let mut ready = Vec::new();
        let mut is_gone = vec![false; slots.len()];
        for (mut due, is_cleared) in all {
            let is_there = |&(slot, _): &(u32, bool)| {
                let at = slot as usize;
                held.rows[at].is_some() && !is_gone[at]
            };
            due.panes.retain(is_there);
            let goes = is_cleared || late == 0;
            if !is_cleared && due.panes.iter().any(|(_, is_last)| !is_last) {
                let next = panes.next(due.window).max_timestamp();
                plan.want(due.key, vec![TimerChange::Event(next)]);
            }
            let last = due.panes.iter().filter(|(_, is_last)| *is_last);
            let last: Vec<usize> = last.map(|(slot, _)| *slot as usize).collect();
            if !last.is_empty() && !goes {
                let cleared = lateness.cleanup(due.window);
                plan.want(due.key, vec![TimerChange::Event(cleared)]);
            }
            if goes {
                last.into_iter().for_each(|at| is_gone[at] = true);
            }
            if !is_cleared && !due.panes.is_empty() {
                ready.push(due);
            }
        }
        held.give(cx, &mut *self.function, &mut plan, &ready)?;
        for (at, _) in is_gone.iter().enumerate().filter(|(_, is_gone)| **is_gone) {
            held.rows[at] = None;
            held.is_changed[at] = true;
        }
        Ok((plan, held.keep(cx)?))
    }

    /// The timer of a pane that holds its first row: that of the next window of it that ends, or
    /// else the time at which it goes.
    fn await_windows(&self, plan: &mut Plan<'_>, panes: Panes, key: u32, pane: Window) {
        let watermark = plan.watermark;
        let mut ends = panes.windows(pane).map(Window::max_timestamp);
        let next = ends.find(|end| *end > watermark);
        let cleared = self.options.rules.lateness.cleanup(panes.last_window(pane));
        let at = next.unwrap_or(cleared);
        plan.want(key, vec![TimerChange::Event(at)]);
    }
}

/// A window of a key, with its panes met.
fn due(plan: &mut Plan<'_>, panes: Panes, (origin, key): (u32, u32), window: Window) -> Due {
    let within = panes.within(window);
    let within = within.map(|(pane, is_last)| (plan.slot(key, (pane, pane), false), is_last));
    Due {
        origin,
        key,
        window,
        panes: within.collect(),
    }
}

impl<'a> Held<'a> {
    fn load(cx: &mut Context, slots: &'a [Slot]) -> Result<Self, Failure> {
        let places: Vec<u32> = slots.iter().map(|slot| slot.place).collect();
        let mut kept = OptionalColumn::new();
        let which = Which::Some(&places);
        cx.state
            .value_get(WindowStates::CONTENT, which, &mut kept)?;
        let mut arena = Column::new();
        let mut rows = Vec::with_capacity(slots.len());
        for accumulator in kept.iter() {
            rows.push(accumulator.map(|accumulator| {
                arena.push(accumulator);
                arena.len() as u32 - 1
            }));
        }
        Ok(Self {
            slots,
            arena,
            was_there: rows.iter().map(Option::is_some).collect(),
            is_changed: vec![false; slots.len()],
            rows,
            results: Results::default(),
        })
    }

    /// Adds rows `(row, slot)` to their panes.
    fn fold(
        &mut self,
        cx: &mut Box<Context>,
        function: &mut dyn WindowFunction,
        rows: Rows<'_>,
        placed: &[(u32, u32)],
    ) -> Result<(), Failure> {
        let mut number = vec![u32::MAX; self.slots.len()];
        let (mut which, mut accumulators) = (Vec::new(), OptionalColumn::new());
        let mut of_row = Vec::with_capacity(placed.len());
        for &(_, slot) in placed {
            let at = slot as usize;
            if number[at] == u32::MAX {
                number[at] = which.len() as u32;
                which.push(at);
                accumulators.push(self.rows[at].map(|row| self.arena.get(row as usize)));
            }
            of_row.push(number[at]);
        }
        let folded = match placed.len() == rows.len() {
            true => function.accumulate(cx, &accumulators, &of_row, rows.values)?,
            false => {
                let some = placed.iter().map(|&(row, _)| rows.values.get(row as usize));
                let some: Column = some.collect();
                let folded = function.accumulate(cx, &accumulators, &of_row, some.view());
                let row_of = |at: usize| placed.get(at).map(|&(row, _)| row);
                folded.map_err(|failure| refused(failure, row_of))?
            }
        };
        if folded.len() != which.len() {
            return Err(broken("another number of accumulators than panes"));
        }
        let base = self.arena.len() as u32;
        self.arena.extend_from(folded.view());
        for (at, row) in which.into_iter().zip(base..) {
            self.rows[at] = Some(row);
            self.is_changed[at] = true;
        }
        Ok(())
    }

    /// Makes the results of windows out of their panes.
    fn give(
        &mut self,
        cx: &mut Box<Context>,
        function: &mut dyn WindowFunction,
        plan: &mut Plan<'_>,
        all: &[Due],
    ) -> Result<(), Failure> {
        let (mut groups, mut ends, mut merged) = (Column::new(), Vec::new(), Vec::new());
        for due in all {
            let parts = due.panes.iter();
            let parts: Vec<u32> = parts
                .filter_map(|&(slot, _)| self.rows.get(slot as usize).copied().flatten())
                .collect();
            let Some(&(slot, _)) = due.panes.first() else {
                continue;
            };
            let Some(&first) = parts.first() else {
                continue;
            };
            let number = plan.origins.len() as u32;
            plan.origins.push(due.origin);
            plan.windows.push(due.window);
            if parts.len() > 1 {
                merged.push(self.results.all.len());
                parts
                    .iter()
                    .for_each(|&row| groups.push(self.arena.get(row as usize)));
                ends.push(groups.len() as u32);
            }
            self.results.all.push((number, slot, first..first + 1));
        }
        if merged.is_empty() {
            return Ok(());
        }
        let whole = function.merge(cx, groups.view(), &ends)?;
        if whole.len() != merged.len() {
            return Err(broken("another number of accumulators than windows"));
        }
        let base = self.arena.len() as u32;
        self.arena.extend_from(whole.view());
        for (at, row) in merged.into_iter().zip(base..) {
            self.results.all[at].2 = row..row + 1;
        }
        Ok(())
    }

    fn keep(mut self, cx: &mut Context) -> Result<Results, Failure> {
        let (mut keys, mut values) = (Vec::new(), OptionalColumn::new());
        for (at, slot) in self.slots.iter().enumerate() {
            if self.is_changed[at] {
                keys.push(slot.place);
                values.push(self.rows[at].map(|row| self.arena.get(row as usize)));
            }
        }
        let which = Which::Some(&keys);
        cx.state.value_put(WindowStates::CONTENT, which, &values)?;
        self.results.values = self.arena;
        Ok(self.results)
    }
}
