//! The windows of one call: found by key and state window, each with what is to be done with it.

use foldhash::fast::FixedState;
use hashbrown::HashMap;
use weir_model::{Column, ColumnView};
use weir_operator::{Context, Failure};
use weir_state::Error;
use weir_window::{TriggerState, Window};

use super::execute::Steps;

/// Something that is done with what a window holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// A row of the call is added.
    Add(u32),
    /// The window gives its result, as the how-manieth of the call.
    Fire(u32),
    /// What it holds is gone.
    Purge,
    /// What another one holds is added, and that one is no more.
    Take(u32),
}

/// A window of a key that the call has to do with.
#[derive(Clone, Debug)]
pub(super) struct Slot {
    /// The index of its key in the call.
    pub(super) key: u32,
    /// The index of its namespace in the call.
    pub(super) place: u32,
    /// What it covers now.
    pub(super) window: Window,
    /// Whether it began with this call, so that nothing is kept of it.
    pub(super) is_new: bool,
    pub(super) trigger: TriggerState,
    /// The trigger as it was kept.
    pub(super) kept: TriggerState,
    /// Whether its timers were set in this call.
    pub(super) is_timed: bool,
}

/// All of them.
#[derive(Default)]
pub(super) struct Call {
    slots: Vec<Slot>,
    /// The first windows that were asked for, where many keys have the same: each with the number
    /// that it has with each key, or `NONE`.
    shared: Vec<(Window, Vec<u32>)>,
    /// Which of them was asked for last: mostly the next one, too.
    latest: usize,
    /// All others.
    by_window: HashMap<(u32, Window), u32, FixedState>,
    /// Where keys have windows of their own, the one of each that was asked for last, and its
    /// number.
    last: Vec<Option<(Window, u32)>>,
    /// How many keys there were first.
    given: usize,
    /// Namespaces that are not keys of the call yet, and the keys that they are of.
    added: Column,
    of: Vec<u32>,
    /// How many keys the call has with those.
    keys: u32,
    /// How often a window has given its result.
    pub(super) fired: u32,
    /// While nothing but rows came, each to one window: the window of each. They are no steps then.
    of_row: Option<Vec<u32>>,
    /// What is done with which window, in order.
    steps: Vec<(u32, Step)>,
}

/// No window.
const NONE: u32 = u32::MAX;
/// Rows that come together are in few windows, unless these overlap a lot.
const MOST_SHARED: usize = 4;

impl Call {
    /// A call that has so many keys, each with windows of its own, or not.
    pub(super) fn new(keys: usize, are_own: bool) -> Self {
        Self {
            keys: keys as u32,
            given: keys,
            last: vec![None; if are_own { keys } else { 0 }],
            ..Self::default()
        }
    }

    /// The window of a key, by its state window.
    #[inline]
    pub(super) fn slot(
        &mut self,
        (key, bytes): (u32, &[u8]),
        (window, state): (Window, Window),
        is_new: bool,
    ) -> u32 {
        let known = match self.last.get(key as usize) {
            Some(last) => last.filter(|(of, _)| *of == state).map(|(_, slot)| slot),
            None => self.shared.get(self.latest).and_then(|(of, slots)| {
                let slot = slots.get(key as usize).filter(|_| *of == state);
                slot.copied().filter(|slot| *slot != NONE)
            }),
        };
        known.unwrap_or_else(|| self.find(key, bytes, (window, state), is_new))
    }

    /// As [`slot`](Self::slot), of a window that was not the last one.
    fn find(
        &mut self,
        key: u32,
        bytes: &[u8],
        (window, state): (Window, Window),
        is_new: bool,
    ) -> u32 {
        let next = self.slots.len() as u32;
        let slot = match self.place_of(key, state) {
            Some(place) if *place == NONE => {
                *place = next;
                next
            }
            Some(place) => *place,
            None => *self.by_window.entry((key, state)).or_insert(next),
        };
        if slot == next {
            self.add(key, bytes, (window, state), is_new);
        }
        if let Some(last) = self.last.get_mut(key as usize) {
            *last = Some((state, slot));
        }
        slot
    }

    /// Where the number of a window of a key is, if many keys may have that window and it is one
    /// of the first.
    fn place_of(&mut self, key: u32, state: Window) -> Option<&mut u32> {
        if !self.last.is_empty() {
            return None;
        }
        let known = self.shared.iter().position(|(of, _)| *of == state);
        let at = match known {
            Some(at) => at,
            None if self.shared.len() < MOST_SHARED => {
                self.shared.push((state, vec![NONE; self.given]));
                self.shared.len() - 1
            }
            None => return None,
        };
        self.latest = at;
        self.shared.get_mut(at)?.1.get_mut(key as usize)
    }

    /// Another window of a key.
    fn add(&mut self, key: u32, bytes: &[u8], (window, state): (Window, Window), is_new: bool) {
        push_name(&mut self.added, bytes, state);
        self.of.push(key);
        self.slots.push(Slot {
            key,
            place: self.keys,
            window,
            is_new,
            trigger: TriggerState::default(),
            kept: TriggerState::default(),
            is_timed: false,
        });
        self.keys += 1;
    }

    /// Makes the namespaces that were met keys of the call.
    pub(super) fn add_keys(&mut self, cx: &mut Context) -> Result<(), Error> {
        if !self.added.is_empty() {
            cx.state.add_namespaces(self.added.view(), &self.of)?;
            self.added.clear();
            self.of.clear();
        }
        Ok(())
    }

    pub(super) fn slots(&self) -> &[Slot] {
        &self.slots
    }

    pub(super) fn slots_mut(&mut self) -> &mut [Slot] {
        &mut self.slots
    }

    pub(super) fn at(&mut self, slot: u32) -> Result<&mut Slot, Failure> {
        let found = self.slots.get_mut(slot as usize);
        found.ok_or_else(|| super::broken("a window that the call has not met"))
    }

    /// So many rows come, and it may be that each is in one window, and nothing else is done.
    pub(super) fn expect(&mut self, rows: usize) {
        self.of_row = Some(Vec::with_capacity(rows));
    }

    /// That is all of these rows: if it was so, the windows that they are in. Else all is in the
    /// steps of windows.
    pub(super) fn plain(&mut self, rows: usize) -> Result<Option<Vec<u32>>, Failure> {
        if self.of_row.as_ref().is_some_and(|of| of.len() == rows) {
            return Ok(self.of_row.take());
        }
        self.lay_out();
        Ok(None)
    }

    /// A row is added to a window.
    #[inline]
    pub(super) fn add_row(&mut self, row: u32, slot: u32) -> Result<(), Failure> {
        match &mut self.of_row {
            Some(of_row) if of_row.len() == row as usize => {
                of_row.push(slot);
                Ok(())
            }
            _ => self.push(slot, Step::Add(row)),
        }
    }

    /// Something is done with a window.
    pub(super) fn push(&mut self, slot: u32, step: Step) -> Result<(), Failure> {
        self.lay_out();
        self.at(slot)?;
        self.steps.push((slot, step));
        Ok(())
    }

    /// Makes the rows so far steps of their windows.
    fn lay_out(&mut self) {
        if let Some(of_row) = self.of_row.take() {
            let adds = (0..).zip(of_row);
            self.steps
                .extend(adds.map(|(row, slot)| (slot, Step::Add(row))));
        }
    }

    /// What is to be done with each window.
    pub(super) fn steps(&self) -> Steps {
        Steps::of(self.slots.len(), &self.steps)
    }

    /// Another window gives its result.
    pub(super) fn fire(&mut self, slot: u32) -> Result<(), Failure> {
        let number = self.fired;
        self.fired += 1;
        self.push(slot, Step::Fire(number))
    }
}

/// What is added to a column of keys: nothing of it is looked at here.
pub(super) fn bytes_of(keys: ColumnView<'_>, key: u32) -> &[u8] {
    keys.get(key as usize)
}

/// Appends the name under which something of a window of a key is kept.
#[inline]
pub(super) fn push_name(names: &mut Column, key: &[u8], window: Window) {
    let namespace = window.encode();
    names.push_with(|out| {
        // Most keys are one number or two, behind their length: these are copied in line and not
        // by a call.
        if let Some(key) = key.as_array::<9>() {
            append_name(out, key, &namespace);
        } else if let Some(key) = key.as_array::<17>() {
            append_name(out, key, &namespace);
        } else if let Some(key) = key.as_array::<5>() {
            append_name(out, key, &namespace);
        } else {
            out.extend_from_slice(key);
            out.extend_from_slice(&namespace);
        }
    });
}

#[inline]
fn append_name<const K: usize>(
    out: &mut Vec<u8>,
    key: &[u8; K],
    namespace: &[u8; Window::ENCODED],
) {
    out.reserve(K + Window::ENCODED);
    out.extend_from_slice(key);
    out.extend_from_slice(namespace);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_the_key_with_the_window_behind_it() {
        let window = Window { start: -5, end: 7 };
        let all: Vec<u8> = (1..40).collect();
        let mut names = Column::new();
        (0..all.len()).for_each(|length| push_name(&mut names, &all[..length], window));
        for (length, name) in names.iter().enumerate() {
            assert_eq!(
                name,
                [&all[..length], &window.encode()].concat(),
                "{length}"
            );
        }
    }
}
