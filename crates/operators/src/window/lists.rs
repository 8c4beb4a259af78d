//! Windows that keep all their rows.
//!
//! An element of a list is the time of a row, eight bytes in little endian, and the row. A row
//! without an event time has the least one.

use weir_model::{Column, Rows};
use weir_operator::{Context, Failure};
use weir_state::{NestedColumn, Which};
use weir_window::Rules;

use super::{
    WindowStates, broken,
    call::{Slot, Step},
    execute::{Cursor, Results},
    plan::Plan,
};

/// What the windows of a call hold while it goes on.
struct Lists<'a> {
    slots: &'a [Slot],
    rules: &'a Rules,
    /// All elements; those of windows are rows of it.
    arena: Column,
    held: Vec<Vec<u32>>,
    /// Whether what was kept is in `held`: else only what has come is.
    is_whole: Vec<bool>,
    cursors: Vec<Cursor>,
    results: Results,
}

/// Does what was planned.
pub(super) fn execute(
    cx: &mut Context,
    rules: &Rules,
    rows: Rows<'_>,
    plan: &Plan<'_>,
) -> Result<Results, Failure> {
    let slots = plan.call.slots();
    let mut lists = Lists {
        slots,
        rules,
        arena: Column::new(),
        held: vec![Vec::new(); slots.len()],
        is_whole: slots.iter().map(|slot| slot.is_new).collect(),
        cursors: vec![Cursor::default(); slots.len()],
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
    /// Loads what results are made of, what goes to another window, and what is to be rid of.
    fn load(&mut self, cx: &mut Context) -> Result<(), Failure> {
        let mut wanted: Vec<bool> = vec![false; self.slots.len()];
        for (at, slot) in self.slots.iter().enumerate() {
            for step in &slot.steps {
                match *step {
                    Step::Add(_) => {}
                    Step::Fire(_) | Step::Purge => wanted[at] = true,
                    Step::Take(other) => {
                        wanted[at] = true;
                        if let Some(other) = wanted.get_mut(other as usize) {
                            *other = true;
                        }
                    }
                }
            }
        }
        let wanted = wanted.iter().enumerate().filter(|(_, wanted)| **wanted);
        let which: Vec<usize> = wanted
            .map(|(at, _)| at)
            .filter(|&at| !self.is_whole[at])
            .collect();
        let places: Vec<u32> = which.iter().map(|&at| self.slots[at].place).collect();
        let mut kept = NestedColumn::default();
        let places = Which::Some(&places);
        cx.state
            .list_get(WindowStates::CONTENT, places, &mut kept)?;
        let mut from = 0;
        for (at, &to) in which.into_iter().zip(&kept.ends) {
            self.held[at].extend(from..to);
            self.is_whole[at] = true;
            from = to;
        }
        self.arena = kept.elements;
        Ok(())
    }

    /// Does the steps of a window up to one it has to wait for; gives back whether it did any.
    fn go(&mut self, at: usize, rows: Rows<'_>) -> Result<bool, Failure> {
        let slots = self.slots;
        let Some(slot) = slots.get(at) else {
            return Ok(false);
        };
        let mut is_on = false;
        while let Some(step) = self.cursors[at].step(slot) {
            match step {
                Step::Add(row) => {
                    let time = rows.timestamps.get(row as usize).copied();
                    self.held[at].push(self.arena.len() as u32);
                    let value = rows.values.get(row as usize);
                    element(time.unwrap_or(i64::MIN), value, &mut self.arena);
                }
                Step::Fire(number) => self.fire(at, number)?,
                Step::Purge => self.held[at].clear(),
                Step::Take(other) => {
                    let from = other as usize;
                    let other = slots.get(from);
                    if other.is_some_and(|slot| self.cursors[from].step(slot).is_some()) {
                        break;
                    }
                    let taken = std::mem::take(&mut self.held[from]);
                    self.held[at].extend(taken);
                }
            }
            self.cursors[at].pass();
            is_on = true;
        }
        Ok(is_on)
    }

    /// A window gives its result, unless it is empty.
    fn fire(&mut self, at: usize, number: u32) -> Result<(), Failure> {
        if self.held[at].is_empty() {
            return Ok(());
        }
        let mut seen = self.held[at].clone();
        if let Some((evictor, after)) = self.rules.evictor {
            let times = seen.iter().map(|&row| parts(self.arena.get(row as usize)));
            let times: Vec<i64> = times
                .map(|parts| Ok(parts?.0))
                .collect::<Result<_, Failure>>()?;
            let mut keeps = evictor.keeps(&times);
            self.held[at].retain(|_| keeps.next().unwrap_or(true));
            if !after {
                seen.clone_from(&self.held[at]);
            }
        }
        let results = &mut self.results;
        let from = results.elements.len() as u32;
        results.elements.append(&mut seen);
        let to = results.elements.len() as u32;
        results.all.push((number, self.slots[at].key, from..to));
        Ok(())
    }

    fn keep(&self, cx: &mut Context) -> Result<(), Failure> {
        let (mut add_keys, mut adds) = (Vec::new(), Column::new());
        let (mut set_keys, mut sets) = (Vec::new(), NestedColumn::default());
        for (at, slot) in self.slots.iter().enumerate() {
            let only_adds = slot.steps.iter().all(|step| matches!(step, Step::Add(_)));
            let is_taken = self.is_whole[at] && !slot.is_new;
            if slot.steps.is_empty() && !is_taken {
                continue;
            }
            let held = self.held[at].iter();
            let held = held.map(|&row| self.arena.get(row as usize));
            if only_adds && !is_taken {
                for element in held {
                    add_keys.push(slot.place);
                    adds.push(element);
                }
                continue;
            }
            set_keys.push(slot.place);
            for element in held {
                sets.elements.push(element);
            }
            sets.ends.push(sets.elements.len() as u32);
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
