//! Windows that keep all their rows.
//!
//! An element of a list is the time of a row, eight bytes in little endian, and the row. A row
//! without an event time has the least one.
//!
//! INVARIANT: a window that is over has left nothing behind. What comes for one that begins is
//! added to what is kept under its name, without a look at it.

use weir_model::{Column, Rows};
use weir_operator::{Context, Failure};
use weir_state::{NestedColumn, Which};
use weir_window::Rules;

use super::{
    WindowStates, broken,
    call::{Slot, Step},
    execute::{Results, Steps},
    plan::Plan,
};

/// No element.
const NONE: u32 = u32::MAX;

/// The elements of a window: the first and the last of a chain, [`NONE`] where it is empty.
#[derive(Clone, Copy)]
struct Held {
    first: u32,
    last: u32,
}

impl Held {
    const EMPTY: Self = Self {
        first: NONE,
        last: NONE,
    };

    /// Just this one.
    fn one(element: u32) -> Self {
        Self {
            first: element,
            last: element,
        }
    }
}

/// What the windows of a call hold while it goes on.
struct Lists<'a> {
    slots: &'a [Slot],
    rules: &'a Rules,
    /// All elements, first those that were kept. Each is in one window at most.
    arena: Column,
    kept: u32,
    /// Of each the one behind it in its window.
    next: Vec<u32>,
    held: Vec<Held>,
    /// Whether what a window holds is to be written anew, and not only what has come.
    is_set: Vec<bool>,
    steps: Steps,
    results: Results,
}

/// Does what was planned; `of_row` = each row is added to that window, and nothing else.
pub(super) fn execute(
    cx: &mut Context,
    rules: &Rules,
    rows: Rows<'_>,
    (plan, of_row): (&Plan<'_>, Option<Vec<u32>>),
) -> Result<Results, Failure> {
    let slots = plan.call.slots();
    if let Some(of_row) = of_row {
        plain(cx, rows, (slots, of_row))?;
        return Ok(Results::default());
    }
    let mut lists = Lists {
        slots,
        rules,
        arena: Column::new(),
        kept: 0,
        next: Vec::new(),
        held: vec![Held::EMPTY; slots.len()],
        is_set: vec![false; slots.len()],
        steps: plan.call.steps(),
        results: Results::default(),
    };
    lists.load(cx)?;
    let mut is_on = true;
    while is_on {
        is_on = false;
        for at in 0..slots.len() {
            is_on |= lists.go(at, rows)?;
        }
    }
    lists.keep(cx)?;
    lists.results.values = lists.arena;
    lists.results.sort();
    Ok(lists.results)
}

/// Each row is in one window, and nothing else happens: rows go as they came.
fn plain(
    cx: &mut Context,
    rows: Rows<'_>,
    (slots, mut of_row): (&[Slot], Vec<u32>),
) -> Result<(), Failure> {
    if of_row.is_empty() {
        return Ok(());
    }
    for of in &mut of_row {
        *of = slots[*of as usize].place;
    }
    let bytes = rows.values.contents().len() + rows.len() * size_of::<i64>();
    let mut adds = Column::with_capacity(rows.len(), bytes);
    for (row, value) in rows.values.iter().enumerate() {
        element(time_of(rows, row), value, &mut adds);
    }
    cx.state
        .list_add(WindowStates::CONTENT, &of_row, adds.view())?;
    Ok(())
}

fn time_of(rows: Rows<'_>, row: usize) -> i64 {
    rows.timestamps.get(row).copied().unwrap_or(i64::MIN)
}

fn element(time: i64, row: &[u8], out: &mut Column) {
    out.push_with(|bytes| {
        bytes.extend_from_slice(&time.to_le_bytes());
        bytes.extend_from_slice(row);
    });
}

/// The time of an element, and its row.
pub(super) fn parts(element: &[u8]) -> Result<(i64, &[u8]), Failure> {
    let parts = element.split_first_chunk();
    let (time, row) = parts.ok_or_else(|| broken("a row without a time"))?;
    Ok((i64::from_le_bytes(*time), row))
}

impl Lists<'_> {
    /// Loads what results are made of, and what goes to another window.
    fn load(&mut self, cx: &mut Context) -> Result<(), Failure> {
        let mut is_wanted = vec![false; self.slots.len()];
        for at in 0..self.slots.len() {
            // What is purged first is not looked at.
            let mut is_gone = false;
            for step in self.steps.left(at) {
                match *step {
                    Step::Add(_) => {}
                    Step::Fire(_) => {
                        is_wanted[at] |= !is_gone;
                        self.is_set[at] |= self.rules.evictor.is_some();
                    }
                    Step::Purge => {
                        is_gone = true;
                        self.is_set[at] = true;
                    }
                    Step::Take(other) => {
                        let other = other as usize;
                        is_wanted[at] |= !is_gone;
                        self.is_set[at] = true;
                        is_wanted[other] = true;
                        self.is_set[other] |= !self.slots[other].is_new;
                    }
                }
            }
        }
        let (mut which, mut places) = (Vec::new(), Vec::new());
        for (at, slot) in self.slots.iter().enumerate() {
            if is_wanted[at] && !slot.is_new {
                which.push(at);
                places.push(slot.place);
            }
        }
        let mut kept = NestedColumn::default();
        let places = Which::Some(&places);
        cx.state
            .list_get(WindowStates::CONTENT, places, &mut kept)?;
        self.next = (1..=kept.elements.len() as u32).collect();
        let mut first = 0;
        for (at, &end) in which.into_iter().zip(&kept.ends) {
            if first < end {
                let last = end - 1;
                self.held[at] = Held { first, last };
                self.next[last as usize] = NONE;
            }
            first = end;
        }
        self.kept = kept.elements.len() as u32;
        self.arena = kept.elements;
        Ok(())
    }

    /// The elements from one on.
    fn chain(&self, first: u32) -> impl Iterator<Item = u32> {
        let known = |at: u32| Some(at).filter(|at| *at != NONE);
        std::iter::successors(known(first), move |at| known(self.next[*at as usize]))
    }

    /// A chain goes behind what a window holds.
    fn append(&mut self, at: usize, chain: Held) {
        let held = &mut self.held[at];
        if held.first == NONE {
            *held = chain;
        } else if chain.first != NONE {
            self.next[held.last as usize] = chain.first;
            held.last = chain.last;
        }
    }

    /// Does the steps of a window up to one it has to wait for; gives back whether it did any.
    fn go(&mut self, at: usize, rows: Rows<'_>) -> Result<bool, Failure> {
        let mut is_on = false;
        while let Some(step) = self.steps.step(at) {
            match step {
                Step::Add(row) => {
                    let added = self.arena.len() as u32;
                    let row = row as usize;
                    element(time_of(rows, row), rows.values.get(row), &mut self.arena);
                    self.next.push(NONE);
                    self.append(at, Held::one(added));
                }
                Step::Fire(number) => self.fire(at, number)?,
                Step::Purge => self.held[at] = Held::EMPTY,
                Step::Take(other) => {
                    let other = other as usize;
                    if self.steps.step(other).is_some() {
                        break;
                    }
                    let taken = std::mem::replace(&mut self.held[other], Held::EMPTY);
                    self.append(at, taken);
                }
            }
            self.steps.pass(at);
            is_on = true;
        }
        Ok(is_on)
    }

    /// A window gives its result, unless it is empty.
    fn fire(&mut self, at: usize, number: u32) -> Result<(), Failure> {
        let first = self.held[at].first;
        if first == NONE {
            return Ok(());
        }
        let mut elements = std::mem::take(&mut self.results.elements);
        let from = elements.len();
        elements.extend(self.chain(first));
        if let Some((evictor, after)) = self.rules.evictor {
            let seen = elements[from..].iter();
            let times = seen.map(|&row| Ok(parts(self.arena.get(row as usize))?.0));
            let times: Vec<i64> = times.collect::<Result<_, Failure>>()?;
            self.held[at] = Held::EMPTY;
            let keeps = evictor.keeps(&times);
            let mut stays = from;
            for (seen, keeps) in (from..elements.len()).zip(keeps) {
                let element = elements[seen];
                if keeps {
                    self.next[element as usize] = NONE;
                    self.append(at, Held::one(element));
                }
                if keeps && !after {
                    elements[stays] = element;
                    stays += 1;
                }
            }
            if !after {
                elements.truncate(stays);
            }
        }
        let part = from as u32..elements.len() as u32;
        self.results.elements = elements;
        self.results.all.push((number, self.slots[at].key, part));
        Ok(())
    }

    fn keep(&self, cx: &mut Context) -> Result<(), Failure> {
        let (mut add_keys, mut adds) = (Vec::new(), Column::new());
        let (mut set_keys, mut sets) = (Vec::new(), NestedColumn::default());
        for (at, slot) in self.slots.iter().enumerate() {
            let held = self.chain(self.held[at].first);
            if self.is_set[at] {
                set_keys.push(slot.place);
                held.for_each(|row| sets.elements.push(self.arena.get(row as usize)));
                sets.ends.push(sets.elements.len() as u32);
            } else {
                for row in held.filter(|row| *row >= self.kept) {
                    add_keys.push(slot.place);
                    adds.push(self.arena.get(row as usize));
                }
            }
        }
        let content = WindowStates::CONTENT;
        if !add_keys.is_empty() {
            cx.state.list_add(content, &add_keys, adds.view())?;
        }
        if !set_keys.is_empty() {
            cx.state.list_set(content, Which::Some(&set_keys), &sets)?;
        }
        Ok(())
    }
}
