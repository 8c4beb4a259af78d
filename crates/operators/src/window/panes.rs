//! Windows of one size that fold their rows and ask for nothing but their end. Sliding ones share
//! what they have in common: a row is folded into one pane, and the windows it is in are merged out
//! of panes. A tumbling window is its only pane.
//!
//! The windows of a clock are the same, as long as each row is in one.
//!
//! INVARIANT: the next window of a key that ends and holds a row has its timer; that of the window
//! behind it is set when it is due. So a pane has one timer, in however many windows it is.

use std::ops::Range;

use foldhash::fast::FixedState;
use hashbrown::HashMap;
use weir_model::{Column, EventTime, KeyedView, OptionalColumn, Rows};
use weir_operator::{Context, Failure, WindowFunction};
use weir_state::Which;
use weir_window::{Panes, Window};

use super::{
    WindowOperator, WindowStates, broken,
    call::{bytes_of, push_name},
    execute::{Results, refused},
    folds,
    places::{Placed, Places},
    plan::Plan,
};

/// What the panes of a call hold.
struct Held {
    /// By pane, the index of its namespace in the call.
    places: Vec<u32>,
    arena: Column,
    /// By pane, the row of `arena`.
    rows: Vec<Option<u32>>,
    was_there: Vec<bool>,
    is_changed: Vec<bool>,
    results: Results,
}

/// The panes that the rows of a call are in.
struct Met {
    places: Places,
    placed: Placed,
    /// Windows that give another result, for a row that came late, and their panes.
    late: Vec<Due>,
    parts: Vec<Part>,
}

/// How far the windows of a pane are.
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
    /// Its panes: a part of those of all.
    panes: Range<usize>,
}

/// The number of a pane in the call, and whether it is in no later window.
type Part = (u32, bool);

/// The panes that timers ask for. Of those there are many, and most are asked for once.
struct Asked {
    /// Not there where no pane can be asked for twice.
    known: Option<HashMap<(u32, Window), u32, FixedState>>,
    /// Their namespaces, and the keys that these are of.
    names: Column,
    of: Vec<u32>,
}

impl WindowOperator {
    /// The panes, where windows share them.
    pub(super) fn shared_panes(&self) -> Option<Panes> {
        self.states.shared_panes(&self.options.rules)
    }

    /// Up to when windows are over as their rows come: of a clock, none is.
    fn passed(&self, plan: &Plan<'_>) -> EventTime {
        match self.options.rules.event_time {
            true => plan.watermark,
            false => EventTime(i64::MIN),
        }
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
        let mut met = Met::new(&plan.keyed);
        self.meet(&mut plan, panes, rows, &mut met);
        let places = met.places.add(cx, plan.keyed)?;
        if met.late.is_empty() {
            self.fold_at_once(cx, panes, rows, &mut plan, (&met, &places))?;
            return Ok((plan, Results::default()));
        }
        let mut held = Held::load(cx, places)?;
        let function = &mut *self.function;
        let mut late = met.late.into_iter().peekable();
        let (placed, parts) = (&met.placed, &met.parts);
        let mut from = 0;
        while from < placed.len() {
            // Up to the next row that a result follows.
            let stop = late.peek().map(|due| due.origin);
            let count = (from..placed.len()).position(|at| placed.row(at) == stop);
            let to = count.map_or(placed.len(), |count| from + count + 1);
            held.fold(cx, function, rows, (placed, from..to))?;
            from = to;
            let mut now = Vec::new();
            while let Some(due) = late.next_if(|due| Some(due.origin) == stop) {
                now.push(due);
            }
            held.give(cx, function, &mut plan, (&now, parts))?;
        }
        let stays = self.stays_for_late_rows();
        for at in 0..held.places.len() {
            if held.is_changed[at] && (!held.was_there[at] || stays) {
                self.await_windows(&mut plan, panes, met.places.get(at))?;
            }
        }
        Ok((plan, held.keep(cx)?))
    }

    /// Finds the panes of the rows of a call, in runs of rows of one pane: rows next to each other
    /// mostly are.
    fn meet(&self, plan: &mut Plan<'_>, panes: Panes, rows: Rows<'_>, met: &mut Met) {
        let keys = plan.keyed.key_of_row;
        // By a clock they are all in the same one.
        let times = match self.options.rules.event_time {
            true => rows.timestamps,
            false => &[],
        };
        let mut from = 0;
        while let Some(of_rest) = keys.get(from..).filter(|rest| !rest.is_empty()) {
            let time = self.time_of(plan, rows, from);
            let pane = panes.of(time);
            let is_out = |time: &i64| *time < pane.start || pane.end <= *time;
            let mut run = times.get(from..).unwrap_or_default().iter();
            // The last time of all is not even in its own.
            let run = run.position(is_out).unwrap_or(of_rest.len()).max(1);
            let of_run = of_rest.get(..run).unwrap_or(of_rest);
            match self.state_of(plan, panes, pane) {
                State::Gone => {
                    met.placed.leave_out();
                    for row in from..from + run {
                        let time = self.time_of(plan, rows, row);
                        self.leave_out(plan, row, time);
                    }
                }
                state => {
                    let numbers = &mut met.placed.numbers;
                    met.places.number_all(of_run, pane, numbers);
                    met.placed.took(from);
                    if state == State::Late {
                        self.meet_late(plan, panes, (from, of_run, pane), met);
                    }
                }
            }
            from += run;
        }
    }

    /// Windows that have given their results give others, for rows that came to a pane late.
    fn meet_late(
        &self,
        plan: &Plan<'_>,
        panes: Panes,
        (first, keys, pane): (usize, &[u32], Window),
        met: &mut Met,
    ) {
        let (passed, places) = (self.passed(plan), &mut met.places);
        for (row, &key) in (first as u32..).zip(keys) {
            // The latest first, as a row is put into its windows.
            let from = met.late.len();
            for window in panes.windows(pane) {
                if window.max_timestamp() > passed {
                    break;
                }
                if !self.is_gone(plan, window) {
                    let number = |pane| places.number(key, pane);
                    let due = Due::new((row, key), window, &mut met.parts, panes, number);
                    met.late.push(due);
                }
            }
            met.late[from..].reverse();
        }
    }

    /// Folds rows that no result follows: all panes that they are in, in one call.
    fn fold_at_once(
        &mut self,
        cx: &mut Box<Context>,
        panes: Panes,
        rows: Rows<'_>,
        plan: &mut Plan<'_>,
        (met, places): (&Met, &[u32]),
    ) -> Result<(), Failure> {
        let placed = &met.placed;
        let function = &mut *self.function;
        let kept = folds::at_once(cx, places, |cx, kept| {
            let all = (placed, 0..placed.len());
            accumulate(cx, function, (kept, &placed.numbers), rows, all)
        })?;
        let stays = self.stays_for_late_rows();
        let there = kept.present().iter().enumerate();
        for (at, _) in there.filter(|(_, there)| **there == 0 || stays) {
            self.await_windows(plan, panes, met.places.get(at))?;
        }
        Ok(())
    }

    /// How far the windows of a pane are.
    fn state_of(&self, plan: &Plan<'_>, panes: Panes, pane: Window) -> State {
        let first = panes.windows(pane).next();
        let passed = self.passed(plan);
        let is_over = |window: Window| window.max_timestamp() <= passed;
        if self.is_gone(plan, panes.last_window(pane)) {
            State::Gone
        } else if first.is_some_and(is_over) {
            State::Late
        } else {
            State::Open
        }
    }

    /// Timers are due: windows give their results, and panes that are in no later one go.
    pub(super) fn windows_are_due<'a>(
        &mut self,
        cx: &mut Box<Context>,
        panes: Panes,
        at: &[i64],
        keyed: KeyedView<'a>,
    ) -> Result<(Plan<'a>, Results), Failure> {
        let mut plan = Plan::new(cx, keyed, self.states.merges);
        let (kind, lateness) = (self.kind(), self.options.rules.lateness);
        let late = match self.options.rules.event_time {
            true => i64::try_from(lateness.allowed_ms).unwrap_or(i64::MAX),
            false => 0,
        };
        let window_of = |last: Option<i64>| {
            let start = last?.checked_sub(panes.size() - 1)?;
            panes.window_at(start)
        };
        let mut asked = Asked::new(keyed, late > 0);
        let mut all: Vec<(Due, bool)> = Vec::with_capacity(at.len());
        let mut parts: Vec<Part> = Vec::new();
        for (timer, (&at, &key)) in at.iter().zip(keyed.key_of_row).enumerate() {
            let of = (timer as u32, key);
            let bytes = bytes_of(keyed.keys, key);
            let mut ask = |window, is_cleared| {
                let number = |pane| asked.number((key, bytes), pane);
                all.push((Due::new(of, window, &mut parts, panes, number), is_cleared));
            };
            if let Some(window) = window_of(Some(at)) {
                ask(window, false);
            }
            if let Some(window) = window_of(at.checked_sub(late).filter(|_| late > 0)) {
                ask(window, true);
            }
        }
        let places = asked.add(cx, keyed)?;
        let mut held = Held::load(cx, places)?;
        let mut ready = Vec::with_capacity(all.len());
        let mut is_gone = vec![false; held.places.len()];
        for (mut due, is_cleared) in all {
            let is_there = |&(number, _): &Part| {
                let at = number as usize;
                held.rows[at].is_some() && !is_gone[at]
            };
            due.retain(&mut parts, is_there);
            let of_it = &parts[due.panes.clone()];
            let goes = is_cleared || late == 0;
            if !is_cleared && of_it.iter().any(|(_, is_last)| !is_last) {
                plan.await_time(kind, due.key, panes.next(due.window).max_timestamp());
            }
            for (number, _) in of_it.iter().filter(|(_, is_last)| *is_last) {
                match goes {
                    true => is_gone[*number as usize] = true,
                    false => plan.await_time(kind, due.key, lateness.cleanup(due.window)),
                }
            }
            if !is_cleared && !of_it.is_empty() {
                ready.push(due);
            }
        }
        held.give(cx, &mut *self.function, &mut plan, (&ready, &parts))?;
        for (at, _) in is_gone.iter().enumerate().filter(|(_, is_gone)| **is_gone) {
            held.rows[at] = None;
            held.is_changed[at] = true;
        }
        Ok((plan, held.keep(cx)?))
    }

    /// Whether a pane may have had its timer already for the window that a row is on time for: it
    /// stays for late rows, and after a restore time begins anew.
    fn stays_for_late_rows(&self) -> bool {
        self.options.rules.event_time && self.options.rules.lateness.allowed_ms > 0
    }

    /// The timer of a pane that holds its first row, or that [stays](Self::stays_for_late_rows):
    /// that of the next window of it that ends, or else the time at which it goes.
    fn await_windows(
        &self,
        plan: &mut Plan<'_>,
        panes: Panes,
        of: Option<(u32, Window)>,
    ) -> Result<(), Failure> {
        let (key, pane) = of.ok_or_else(|| broken("a pane that the call has not met"))?;
        let passed = self.passed(plan);
        let mut ends = panes.windows(pane).map(Window::max_timestamp);
        let next = ends.find(|end| *end > passed);
        let cleared = self.options.rules.lateness.cleanup(panes.last_window(pane));
        plan.await_time(self.kind(), key, next.unwrap_or(cleared));
        Ok(())
    }
}

impl Due {
    /// A window of a key, with its panes behind `parts`, by the numbers that they get.
    fn new(
        (origin, key): (u32, u32),
        window: Window,
        parts: &mut Vec<Part>,
        panes: Panes,
        mut number: impl FnMut(Window) -> u32,
    ) -> Self {
        let from = parts.len();
        let within = panes.within(window);
        parts.extend(within.map(|(pane, is_last)| (number(pane), is_last)));
        Self {
            origin,
            key,
            window,
            panes: from..parts.len(),
        }
    }

    /// Leaves out panes.
    fn retain(&mut self, parts: &mut [Part], stays: impl Fn(&Part) -> bool) {
        let mut end = self.panes.start;
        for at in self.panes.clone() {
            let part = parts[at];
            if stays(&part) {
                parts[end] = part;
                end += 1;
            }
        }
        self.panes.end = end;
    }
}

impl Met {
    /// Nothing yet.
    fn new(keyed: &KeyedView<'_>) -> Self {
        Self {
            places: Places::new(keyed.keys.len()),
            placed: Placed::new(keyed.key_of_row.len()),
            late: Vec::new(),
            parts: Vec::new(),
        }
    }
}

/// Has the function add a part of the rows that are in panes to accumulators.
fn accumulate(
    cx: &mut Box<Context>,
    function: &mut dyn WindowFunction,
    (accumulators, of_row): (&OptionalColumn, &[u32]),
    rows: Rows<'_>,
    (placed, part): (&Placed, Range<usize>),
) -> Result<Column, Failure> {
    let folded = match placed.are_all(rows.len()) && part.len() == rows.len() {
        true => function.accumulate(cx, accumulators, of_row, rows.values)?,
        false => {
            let row_of = |at: usize| placed.row(part.start + at);
            let some = (0..part.len()).filter_map(row_of);
            let some: Column = some.map(|row| rows.values.get(row as usize)).collect();
            let folded = function.accumulate(cx, accumulators, of_row, some.view());
            folded.map_err(|failure| refused(failure, row_of))?
        }
    };
    match folded.len() == accumulators.len() {
        true => Ok(folded),
        false => Err(broken("another number of accumulators than panes")),
    }
}

impl Asked {
    /// Nothing yet, of these timers.
    fn new(keyed: KeyedView<'_>, of_two_windows: bool) -> Self {
        let mut seen = vec![false; keyed.keys.len()];
        let mut keys = keyed.key_of_row.iter();
        let again = keys.any(|key| std::mem::replace(&mut seen[*key as usize], true));
        Self {
            known: (of_two_windows || again).then(HashMap::default),
            names: Column::new(),
            of: Vec::new(),
        }
    }

    /// The number of a pane of a key.
    fn number(&mut self, (key, bytes): (u32, &[u8]), pane: Window) -> u32 {
        let next = self.of.len() as u32;
        if let Some(known) = &mut self.known {
            let number = *known.entry((key, pane)).or_insert(next);
            if number != next {
                return number;
            }
        }
        push_name(&mut self.names, bytes, pane);
        self.of.push(key);
        next
    }

    /// Makes them keys of the call, behind those that it has; gives their indices.
    fn add(self, cx: &mut Context, keyed: KeyedView<'_>) -> Result<Vec<u32>, Failure> {
        let base = keyed.keys.len() as u32;
        if !self.of.is_empty() {
            cx.state.add_namespaces(self.names.view(), &self.of)?;
        }
        Ok((base..base + self.of.len() as u32).collect())
    }
}

impl Held {
    fn load(cx: &mut Context, places: Vec<u32>) -> Result<Self, Failure> {
        let mut kept = OptionalColumn::new();
        let which = Which::Some(&places);
        cx.state
            .value_get(WindowStates::CONTENT, which, &mut kept)?;
        let (present, arena) = kept.into_parts();
        let rows = (0..).zip(&present);
        let rows: Vec<Option<u32>> = rows
            .map(|(row, present)| (*present != 0).then_some(row))
            .collect();
        Ok(Self {
            was_there: rows.iter().map(Option::is_some).collect(),
            is_changed: vec![false; places.len()],
            places,
            arena,
            rows,
            results: Results::default(),
        })
    }

    /// Adds rows to their panes.
    fn fold(
        &mut self,
        cx: &mut Box<Context>,
        function: &mut dyn WindowFunction,
        rows: Rows<'_>,
        (placed, part): (&Placed, Range<usize>),
    ) -> Result<(), Failure> {
        let mut number = vec![u32::MAX; self.places.len()];
        let (mut which, mut accumulators) = (Vec::new(), OptionalColumn::new());
        let mut of_row = Vec::with_capacity(part.len());
        for &pane in placed.numbers.get(part.clone()).unwrap_or_default() {
            let at = pane as usize;
            if number[at] == u32::MAX {
                number[at] = which.len() as u32;
                which.push(at);
                accumulators.push(self.rows[at].map(|row| self.arena.get(row as usize)));
            }
            of_row.push(number[at]);
        }
        let folded = accumulate(cx, function, (&accumulators, &of_row), rows, (placed, part))?;
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
        (all, parts): (&[Due], &[Part]),
    ) -> Result<(), Failure> {
        let (mut groups, mut ends, mut merged) = (Column::new(), Vec::new(), Vec::new());
        for due in all {
            let held = parts[due.panes.clone()].iter();
            let mut held = held.filter_map(|&(number, _)| self.rows[number as usize]);
            let Some(first) = held.next() else {
                continue;
            };
            let number = plan.origins.len() as u32;
            plan.origins.push(due.origin);
            plan.windows.push(due.window);
            if let Some(second) = held.next() {
                merged.push(self.results.all.len());
                for row in [first, second].into_iter().chain(held) {
                    groups.push(self.arena.get(row as usize));
                }
                ends.push(groups.len() as u32);
            }
            self.results.all.push((number, due.key, first..first + 1));
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
        for (at, &place) in self.places.iter().enumerate() {
            if self.is_changed[at] {
                keys.push(place);
                values.push(self.rows[at].map(|row| self.arena.get(row as usize)));
            }
        }
        let which = Which::Some(&keys);
        cx.state.value_put(WindowStates::CONTENT, which, &values)?;
        self.results.values = self.arena;
        Ok(self.results)
    }
}
