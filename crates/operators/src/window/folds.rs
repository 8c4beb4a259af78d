//! Windows that fold their rows: each holds one accumulator.

use weir_model::{Column, OptionalColumn, Rows};
use weir_operator::{Context, Failure, WindowFunction};
use weir_state::Which;

use super::{
    WindowStates, broken,
    call::{Slot, Step},
    execute::{Results, Steps, refused},
    plan::Plan,
};

/// What the windows of a call hold while it goes on.
struct Folds<'a> {
    slots: &'a [Slot],
    /// All accumulators that there were; those of windows are rows of it.
    arena: Column,
    held: Vec<Option<u32>>,
    is_changed: Vec<bool>,
    steps: Steps,
    results: Results,
}

/// Does what was planned; `of_row` = each row is added to that window, and nothing else.
pub(super) fn execute(
    cx: &mut Box<Context>,
    function: &mut dyn WindowFunction,
    rows: Rows<'_>,
    (plan, of_row): (&Plan<'_>, Option<Vec<u32>>),
) -> Result<Results, Failure> {
    let slots = plan.call.slots();
    if let Some(of_row) = of_row {
        plain(cx, function, rows, (slots, of_row))?;
        return Ok(Results::default());
    }
    let mut folds = Folds {
        slots,
        arena: Column::new(),
        held: vec![None; slots.len()],
        is_changed: vec![false; slots.len()],
        steps: plan.call.steps(),
        results: Results::default(),
    };
    folds.load(cx)?;
    while folds.round(cx, function, rows)? {}
    folds.keep(cx)?;
    folds.results.values = folds.arena;
    folds.results.sort();
    Ok(folds.results)
}

/// Each row is in one window, and nothing else happens: rows go as they came.
fn plain(
    cx: &mut Box<Context>,
    function: &mut dyn WindowFunction,
    rows: Rows<'_>,
    (slots, mut of_row): (&[Slot], Vec<u32>),
) -> Result<(), Failure> {
    let (mut numbers, mut places) = (vec![u32::MAX; slots.len()], Vec::new());
    for of in &mut of_row {
        let at = *of as usize;
        if numbers[at] == u32::MAX {
            numbers[at] = places.len() as u32;
            places.push(slots[at].place);
        }
        *of = numbers[at];
    }
    at_once(cx, &places, |cx, kept| {
        function.accumulate(cx, kept, &of_row, rows.values)
    })?;
    Ok(())
}

/// Folds rows into what is kept at some places, each of which gets some: it goes to `fold` as it
/// was read, which is given back, and what comes of it is kept.
pub(super) fn at_once(
    cx: &mut Box<Context>,
    places: &[u32],
    fold: impl FnOnce(&mut Box<Context>, &OptionalColumn) -> Result<Column, Failure>,
) -> Result<OptionalColumn, Failure> {
    let mut kept = OptionalColumn::new();
    if places.is_empty() {
        return Ok(kept);
    }
    let which = Which::Some(places);
    cx.state
        .value_get(WindowStates::CONTENT, which, &mut kept)?;
    let folded = fold(cx, &kept)?;
    if folded.len() != places.len() {
        return Err(broken("another number of accumulators than windows"));
    }
    let folded = OptionalColumn::from_parts(vec![1; folded.len()], folded);
    let folded = folded.map_err(|error| broken(&error.to_string()))?;
    cx.state.value_put(WindowStates::CONTENT, which, &folded)?;
    Ok(kept)
}

impl Folds<'_> {
    fn load(&mut self, cx: &mut Context) -> Result<(), Failure> {
        // One that is taken over may have no steps of its own.
        let mut wanted: Vec<bool> = Vec::with_capacity(self.slots.len());
        wanted.extend((0..self.slots.len()).map(|at| self.steps.step(at).is_some()));
        for step in (0..self.slots.len()).flat_map(|at| self.steps.left(at)) {
            if let Step::Take(other) = step
                && let Some(other) = wanted.get_mut(*other as usize)
            {
                *other = true;
            }
        }
        let (mut which, mut places) = (Vec::new(), Vec::new());
        for (at, slot) in self.slots.iter().enumerate() {
            if !slot.is_new && wanted[at] {
                which.push(at);
                places.push(slot.place);
            }
        }
        let mut kept = OptionalColumn::new();
        let places = Which::Some(&places);
        cx.state
            .value_get(WindowStates::CONTENT, places, &mut kept)?;
        for (at, accumulator) in which.into_iter().zip(kept.iter()) {
            if let Some(accumulator) = accumulator {
                self.held[at] = Some(self.arena.len() as u32);
                self.arena.push(accumulator);
            }
        }
        Ok(())
    }

    /// Each window goes as far as it gets; gives back whether one got anywhere.
    fn round(
        &mut self,
        cx: &mut Box<Context>,
        function: &mut dyn WindowFunction,
        rows: Rows<'_>,
    ) -> Result<bool, Failure> {
        let (mut which, mut of_row, mut added) = (Vec::new(), Vec::new(), Column::new());
        let mut numbers = Vec::new();
        for at in 0..self.slots.len() {
            if let Some(Step::Add(_)) = self.steps.step(at) {
                which.push(at);
            }
            while let Some(Step::Add(row)) = self.steps.step(at) {
                of_row.push(which.len() as u32 - 1);
                added.push(rows.values.get(row as usize));
                numbers.push(row);
                self.steps.pass(at);
            }
        }
        let mut is_on = !which.is_empty();
        if is_on {
            let accumulators = self.accumulators(&which);
            let folded = function.accumulate(cx, &accumulators, &of_row, added.view());
            let folded = folded.map_err(|failure| refused(failure, |at| numbers.get(at).copied()));
            self.take(&which, folded?)?;
        }
        let mut merges: Vec<(usize, Vec<u32>)> = Vec::new();
        for at in 0..self.slots.len() {
            is_on |= self.head(at, &mut merges);
        }
        self.merge(cx, function, merges)?;
        Ok(is_on)
    }

    /// Does the steps of a window up to its next row, or to one it has to wait for; gives back
    /// whether it did any.
    fn head(&mut self, at: usize, merges: &mut Vec<(usize, Vec<u32>)>) -> bool {
        let Some(slot) = self.slots.get(at) else {
            return false;
        };
        let mut is_on = false;
        let mut taken: Vec<u32> = Vec::new();
        while let Some(step) = self.steps.step(at) {
            match step {
                Step::Add(_) => break,
                // What was taken has to be one with it first.
                Step::Fire(_) | Step::Purge if !taken.is_empty() => break,
                Step::Fire(number) => {
                    if let Some(row) = self.held[at] {
                        let part = row..row + 1;
                        self.results.all.push((number, slot.key, part));
                    }
                }
                Step::Purge => {
                    self.is_changed[at] |= self.held[at].take().is_some();
                }
                Step::Take(other) => {
                    let from = other as usize;
                    let waits = self.steps.step(from).is_some();
                    if waits || merges.iter().any(|(into, _)| *into == from) {
                        break;
                    }
                    if let Some(row) = self.held[from].take() {
                        self.is_changed[from] = true;
                        taken.push(row);
                    }
                }
            }
            self.steps.pass(at);
            is_on = true;
        }
        if !taken.is_empty() {
            merges.push((at, taken));
        }
        is_on
    }

    fn merge(
        &mut self,
        cx: &mut Box<Context>,
        function: &mut dyn WindowFunction,
        merges: Vec<(usize, Vec<u32>)>,
    ) -> Result<(), Failure> {
        let (mut which, mut groups, mut ends) = (Vec::new(), Column::new(), Vec::new());
        for (at, taken) in merges {
            let parts: Vec<u32> = self.held[at].into_iter().chain(taken).collect();
            if let [only] = parts[..] {
                self.held[at] = Some(only);
                self.is_changed[at] = true;
                continue;
            }
            for row in parts {
                groups.push(self.arena.get(row as usize));
            }
            which.push(at);
            ends.push(groups.len() as u32);
        }
        if which.is_empty() {
            return Ok(());
        }
        let merged = function.merge(cx, groups.view(), &ends)?;
        self.take(&which, merged)
    }

    fn accumulators(&self, which: &[usize]) -> OptionalColumn {
        let mut column = OptionalColumn::new();
        for &at in which {
            column.push(self.held[at].map(|row| self.arena.get(row as usize)));
        }
        column
    }

    /// These windows hold that from now on.
    fn take(&mut self, which: &[usize], accumulators: Column) -> Result<(), Failure> {
        if accumulators.len() != which.len() {
            return Err(broken("another number of accumulators than windows"));
        }
        let base = self.arena.len() as u32;
        self.arena.extend_from(accumulators.view());
        for (&at, row) in which.iter().zip(base..) {
            self.held[at] = Some(row);
            self.is_changed[at] = true;
        }
        Ok(())
    }

    fn keep(&self, cx: &mut Context) -> Result<(), Failure> {
        let (mut keys, mut values) = (Vec::new(), OptionalColumn::new());
        for (at, slot) in self.slots.iter().enumerate() {
            if self.is_changed[at] {
                keys.push(slot.place);
                values.push(self.held[at].map(|row| self.arena.get(row as usize)));
            }
        }
        let which = Which::Some(&keys);
        cx.state.value_put(WindowStates::CONTENT, which, &values)?;
        Ok(())
    }
}
