//! Where the rows of a call go: which pane each is in, found in runs of rows of one pane, and the
//! numbers of the panes of keys, found without a hash in the first few panes.

use foldhash::fast::FixedState;
use hashbrown::HashMap;
use weir_model::{Column, KeyedView};
use weir_operator::{Context, Failure};
use weir_window::Window;

use super::call::{bytes_of, push_name};

/// No number.
const NONE: u32 = u32::MAX;
/// Rows that come together are in few panes.
const MOST_SHARED: usize = 4;

/// Panes of keys, numbered as they are met.
#[derive(Default)]
pub(super) struct Places {
    /// How many keys there are.
    keys: usize,
    /// The first panes, each with the number that it has with each key, or `NONE`.
    shared: Vec<(Window, Vec<u32>)>,
    /// The numbers of all others.
    others: HashMap<(u32, Window), u32, FixedState>,
    met: Met,
}

/// The key and the pane that each number is of.
#[derive(Default)]
struct Met {
    keys: Vec<u32>,
    panes: Vec<Window>,
}

impl Met {
    /// The number of a pane of a key, of which `number` is the place.
    #[inline]
    fn number(&mut self, number: &mut u32, key: u32, pane: Window) -> u32 {
        if *number == NONE {
            *number = self.keys.len() as u32;
            self.keys.push(key);
            self.panes.push(pane);
        }
        *number
    }
}

/// The rows of a call that are in panes.
pub(super) struct Placed {
    /// The number of the pane that each is in.
    pub(super) numbers: Vec<u32>,
    /// Which rows they are; not there while they are all of them.
    rows: Option<Vec<u32>>,
}

impl Places {
    /// None yet, of so many keys.
    pub(super) fn new(keys: usize) -> Self {
        Self {
            keys,
            met: Met {
                keys: Vec::with_capacity(keys),
                panes: Vec::with_capacity(keys),
            },
            ..Self::default()
        }
    }

    pub(super) fn len(&self) -> usize {
        self.met.keys.len()
    }

    /// The key and the pane of a number.
    pub(super) fn get(&self, number: usize) -> Option<(u32, Window)> {
        let Met { keys, panes } = &self.met;
        keys.get(number).copied().zip(panes.get(number).copied())
    }

    /// Appends the numbers of a pane with each of these keys.
    pub(super) fn number_all(&mut self, keys: &[u32], pane: Window, numbers: &mut Vec<u32>) {
        if self.shared.is_empty() && are_all_in_order(keys, self.keys) {
            let all = 0..self.keys as u32;
            self.met.keys.extend(all.clone());
            self.met.panes.resize(self.keys, pane);
            self.shared.push((pane, all.collect()));
            numbers.extend_from_slice(keys);
            return;
        }
        let Some(at) = self.shared(pane) else {
            numbers.extend(keys.iter().map(|&key| self.number(key, pane)));
            return;
        };
        let (of_keys, met) = (&mut self.shared[at].1, &mut self.met);
        numbers.extend(
            keys.iter()
                .map(|&key| met.number(&mut of_keys[key as usize], key, pane)),
        );
    }

    /// The number of a pane with a key.
    pub(super) fn number(&mut self, key: u32, pane: Window) -> u32 {
        let number = match self.shared(pane) {
            Some(at) => &mut self.shared[at].1[key as usize],
            None => self.others.entry((key, pane)).or_insert(NONE),
        };
        self.met.number(number, key, pane)
    }

    /// Which of the first panes it is, if it is one of them.
    fn shared(&mut self, pane: Window) -> Option<usize> {
        let known = self.shared.iter().position(|(of, _)| *of == pane);
        if known.is_none() && self.shared.len() < MOST_SHARED {
            self.shared.push((pane, vec![NONE; self.keys]));
            return Some(self.shared.len() - 1);
        }
        known
    }

    /// Makes them keys of the call, behind those that it has; gives their indices, in order.
    pub(super) fn add(&self, cx: &mut Context, keyed: KeyedView<'_>) -> Result<Vec<u32>, Failure> {
        let of_key = keyed.keys.contents().len().div_ceil(self.keys.max(1));
        let bytes = self.len() * (of_key + Window::ENCODED);
        let mut names = Column::with_capacity(self.len(), bytes);
        for (&key, &pane) in self.met.keys.iter().zip(&self.met.panes) {
            push_name(&mut names, bytes_of(keyed.keys, key), pane);
        }
        if !names.is_empty() {
            cx.state.add_namespaces(names.view(), &self.met.keys)?;
        }
        let base = keyed.keys.len() as u32;
        Ok((base..base + self.len() as u32).collect())
    }
}

/// Whether these are all of so many keys, numbered as they come: so are those of the rows of a
/// call. Nothing here depends on what the processor guesses.
fn are_all_in_order(of_rows: &[u32], keys: usize) -> bool {
    let (mut next, mut in_order) = (0, true);
    for &key in of_rows {
        in_order &= key <= next;
        next = next.max(key.saturating_add(1));
    }
    in_order && next as usize == keys
}

impl Placed {
    /// None yet, of so many rows at most.
    pub(super) fn new(rows: usize) -> Self {
        Self {
            numbers: Vec::with_capacity(rows),
            rows: None,
        }
    }

    /// The numbers of the rows `from..` of the call were appended.
    pub(super) fn took(&mut self, from: usize) {
        if let Some(rows) = &mut self.rows {
            let count = self.numbers.len() - rows.len();
            rows.extend((from as u32..).take(count));
        }
    }

    /// A row of the call, and maybe those behind it, are in no pane.
    pub(super) fn leave_out(&mut self) {
        let before = self.numbers.len() as u32;
        self.rows.get_or_insert_with(|| (0..before).collect());
    }

    pub(super) fn len(&self) -> usize {
        self.numbers.len()
    }

    /// Which row of the call one of them is.
    pub(super) fn row(&self, at: usize) -> Option<u32> {
        match &self.rows {
            Some(rows) => rows.get(at).copied(),
            None => (at < self.len()).then_some(at as u32),
        }
    }

    /// Whether they are all rows of a call of so many.
    pub(super) fn are_all(&self, rows: usize) -> bool {
        self.rows.is_none() && self.len() == rows
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use proptest::{collection::vec, prelude::*};

    use super::*;

    proptest! {
        /// Against a map of all panes of keys, and a list of all rows.
        #[test]
        fn each_pane_of_a_key_has_a_number_and_each_row_that_is_in_one(
            runs in vec((any::<bool>(), 0_i64..9, vec(0_u32..5, 1..6)), 0..30),
            in_order in proptest::option::of(vec(0_u32..5, 0..9)),
            asked in vec((0_u32..5, 0_i64..9), 0..10),
        ) {
            let pane = |at: i64| Window { start: at * 10, end: at * 10 + 10 };
            let (mut places, mut placed) = (Places::new(5), Placed::new(0));
            let mut known: HashMap<(u32, Window), u32> = HashMap::new();
            let mut wanted: Vec<(u32, u32)> = Vec::new();
            let mut from = 0;
            // The first run may have all keys, numbered as they come.
            let first = in_order.map(|more| (true, 3, (0..5).chain(more).collect()));
            for (is_taken, at, keys) in first.iter().chain(&runs) {
                let first = from;
                from += keys.len();
                if !is_taken {
                    placed.leave_out();
                    continue;
                }
                places.number_all(keys, pane(*at), &mut placed.numbers);
                placed.took(first);
                for (row, &key) in (first as u32..).zip(keys) {
                    let next = known.len() as u32;
                    let number = *known.entry((key, pane(*at))).or_insert(next);
                    wanted.push((row, number));
                }
            }
            let found: Vec<(u32, u32)> = (0..placed.len())
                .map(|at| (placed.row(at).unwrap(), placed.numbers[at]))
                .collect();
            prop_assert_eq!(placed.are_all(from), found.len() == from);
            prop_assert_eq!(placed.row(found.len()), None);
            prop_assert_eq!(found, wanted);
            for (key, at) in asked {
                let next = known.len() as u32;
                let number = *known.entry((key, pane(at))).or_insert(next);
                prop_assert_eq!(places.number(key, pane(at)), number);
            }
            prop_assert_eq!(places.len(), known.len());
            for (of, number) in known {
                prop_assert_eq!(places.get(number as usize), Some(of));
            }
        }
    }
}
