//! What a checkpoint saved, and how it is dealt out to as many subtasks as one likes.

use super::memory::{Accessed, AllHeld, AllTimers, Held, Memory};
use super::{Harness, Make};
use crate::bindings::weir::operator::data::{StateDecl, StateKind};

/// A checkpoint of one subtask, made by [`Harness::checkpoint`].
#[derive(Clone)]
pub struct Saved {
    make: Make,
    config: String,
    states: Vec<StateDecl>,
    pub(super) checkpoint: u64,
    pub(super) held: AllHeld,
    pub(super) accessed: Accessed,
    pub(super) timers: AllTimers,
    pub(super) raw: Vec<Vec<u8>>,
}

impl Saved {
    pub(super) fn new(make: Make, checkpoint: u64, memory: &Memory, raw: Vec<Vec<u8>>) -> Self {
        Self {
            make,
            config: memory.config.clone(),
            states: memory.states.clone(),
            checkpoint,
            held: memory.held.clone(),
            accessed: memory.accessed.clone(),
            timers: memory.timers.clone(),
            raw,
        }
    }

    /// The pieces of raw state.
    pub fn raw(&self) -> &[Vec<u8>] {
        &self.raw
    }

    /// Goes on from a checkpoint of all subtasks, in order, with another number of them, or the
    /// same. Operator lists and raw state are dealt out, in order and evenly, if the number has
    /// changed; of a union list each subtask gets all items, and of broadcast state one of the
    /// copies. Keyed state and timers go to all of them, since it is the test that says which rows
    /// go where.
    ///
    /// ```
    /// use weir_guest::{Ctx, Describe, OperatorList, Process, Result, Row};
    /// use weir_guest::testing::{Harness, Saved};
    ///
    /// /// Remembers its rows.
    /// #[derive(Default)]
    /// struct Rows { rows: OperatorList<String> }
    ///
    /// impl Process for Rows {
    ///     type In = String;
    ///     type Out = String;
    ///     fn describe(&mut self, d: &mut Describe) { d.operator_list("rows", &mut self.rows); }
    ///     fn process(&mut self, row: Row<String>, _ctx: &mut Ctx<String>) -> Result<()> {
    ///         self.rows.add(row.to_string())
    ///     }
    /// }
    ///
    /// let mut rows = Harness::open::<Rows, _>("null").unwrap();
    /// rows.rows(["a", "b", "c"]).unwrap();
    /// let two = Saved::rescale(&[rows.checkpoint().unwrap()], 2).unwrap();
    /// assert_eq!(two[0].items::<String>("rows").unwrap(), ["a", "b"]);
    /// assert_eq!(two[1].items::<String>("rows").unwrap(), ["c"]);
    /// ```
    ///
    /// # Errors
    /// What the `initialize` or `open` of an operator returned, or that there is no checkpoint.
    pub fn rescale(old: &[Self], parallelism: u32) -> Result<Vec<Harness>, String> {
        let first = old.first().ok_or("there is no checkpoint to go on from")?;
        let start = |subtask: u32| {
            let mut memory = Memory::new(&first.config);
            memory.subtask = subtask;
            memory.parallelism = parallelism;
            memory.held = held(old, subtask as usize, parallelism as usize);
            let accessed = old.iter().flat_map(|saved| saved.accessed.clone());
            memory.accessed = accessed.collect();
            memory.timers = old.iter().flat_map(|saved| saved.timers.clone()).collect();
            let raw: Vec<&[Vec<u8>]> = old.iter().map(|saved| &saved.raw[..]).collect();
            let raw = share(&raw, subtask as usize, parallelism as usize);
            let mut harness = Harness::start(first.make, memory, Some(raw))?;
            harness.checkpoint = first.checkpoint;
            Ok(harness)
        };
        (0..parallelism).map(start).collect()
    }
}

/// All that a subtask holds, of what the old ones held.
fn held(old: &[Saved], subtask: usize, parallelism: usize) -> AllHeld {
    let mut held = AllHeld::new();
    let Some(first) = old.first() else {
        return held;
    };
    for (index, decl) in (0..).zip(&first.states) {
        let of_subtask = (index, Vec::new());
        match decl.kind {
            StateKind::OperatorList => {
                let items = share(&lists(old, &of_subtask), subtask, parallelism);
                held.insert(of_subtask, Held::List(items));
            }
            StateKind::OperatorUnion => {
                let items = lists(old, &of_subtask).concat();
                held.insert(of_subtask, Held::List(items));
            }
            StateKind::Broadcast => {
                let copy = old[subtask % old.len()].held.get(&of_subtask);
                held.extend(copy.map(|copy| (of_subtask, copy.clone())));
            }
            StateKind::Value
            | StateKind::List
            | StateKind::Map
            | StateKind::Reducing
            | StateKind::Aggregating => {
                let all = old.iter().flat_map(|saved| &saved.held);
                let of_state = all.filter(|((state, _), _)| *state == index);
                held.extend(of_state.map(|(key, value)| (key.clone(), value.clone())));
            }
        }
    }
    held
}

/// The list of each subtask.
fn lists<'s>(old: &'s [Saved], state: &(u32, Vec<u8>)) -> Vec<&'s [Vec<u8>]> {
    let list = |saved: &'s Saved| match saved.held.get(state) {
        Some(Held::List(items)) => &items[..],
        Some(Held::Value(_) | Held::Map(_)) | None => &[],
    };
    old.iter().map(list).collect()
}

/// The share of a subtask of what was in lists of all old ones: its own list if there are as many
/// subtasks as before, else all items in order, cut into runs of which the first are longer by one
/// where they do not come out even.
fn share(old: &[&[Vec<u8>]], subtask: usize, parallelism: usize) -> Vec<Vec<u8>> {
    if old.len() == parallelism {
        return old[subtask].to_vec();
    }
    let all = old.concat();
    let (least, longer) = (all.len() / parallelism, all.len() % parallelism);
    let start = subtask * least + subtask.min(longer);
    let end = start + least + usize::from(subtask < longer);
    all[start..end].to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What each of so many subtasks gets of old lists of these lengths, `s.i` being item `i` of
    /// subtask `s`.
    fn shares(old: &[usize], parallelism: usize) -> Vec<String> {
        let item = |subtask: usize| move |item: usize| format!("{subtask}.{item}").into_bytes();
        let lists = old.iter().enumerate();
        let lists: Vec<Vec<Vec<u8>>> = lists
            .map(|(subtask, items)| (0..*items).map(item(subtask)).collect())
            .collect();
        let lists: Vec<&[Vec<u8>]> = lists.iter().map(Vec::as_slice).collect();
        (0..parallelism)
            .map(|subtask| {
                let share = share(&lists, subtask, parallelism);
                String::from_utf8(share.join(&b','))
            })
            .collect::<Result<_, _>>()
            .unwrap()
    }

    #[test]
    fn c05_items_are_dealt_out_in_order_and_evenly() {
        assert_eq!(shares(&[3, 3], 3), ["0.0,0.1", "0.2,1.0", "1.1,1.2"]);
        assert_eq!(shares(&[4, 2], 3), ["0.0,0.1", "0.2,0.3", "1.0,1.1"]);
        assert_eq!(shares(&[5], 2), ["0.0,0.1,0.2", "0.3,0.4"]);
        assert_eq!(shares(&[1, 1], 5), ["0.0", "1.0", "", "", ""]);
        let kept = ["0.0", "1.0,1.1,1.2,1.3,1.4"];
        assert_eq!(shares(&[1, 5], 2), kept);
    }
}
