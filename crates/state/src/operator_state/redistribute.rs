//! What each new subtask gets of what the old ones saved (1.6 and 1.6a of the semantics).

use std::ops::Range;

use weir_model::{Parallelism, SubtaskIndex};

use super::{Content, SavedContent, SavedOperatorState, SharedList};
use crate::{Change, StateDecl, StateKind, file::change_of};

/// What new subtask `subtask` of `parallelism` gets of what was saved, `old` by old subtask; an old
/// subtask that had finished has saved nothing and is there all the same.
///
/// A list that is split evenly stays where it is if the parallelism does; else its items, in order
/// of the old subtasks, are dealt out in contiguous shares, the first of which are one longer where
/// they do not divide evenly. So is the raw state. A union list goes to everyone as a whole. Of a
/// broadcast state new subtask *i* gets the copy of old subtask *i modulo the number of copies*.
///
/// States that `states` does not declare are left out. One that was saved in another way than it is
/// declared is dealt out as it was saved; [`OperatorState::restore`](super::OperatorState::restore)
/// refuses it.
#[must_use]
pub fn redistribute(
    states: &[StateDecl],
    old: &[SavedOperatorState],
    parallelism: Parallelism,
    subtask: SubtaskIndex,
) -> SavedOperatorState {
    Share::new(old, parallelism, subtask).of_all(states, old, Unions::ToEveryone)
}

/// As [`redistribute`], for an operator that had finished and will not be called: what a new
/// subtask gets is only saved again. So a union list is dealt out as one that is split evenly:
/// saved by everyone as a whole, it would grow with every restart.
#[must_use]
pub fn redistribute_finished(
    states: &[StateDecl],
    old: &[SavedOperatorState],
    parallelism: Parallelism,
    subtask: SubtaskIndex,
) -> SavedOperatorState {
    Share::new(old, parallelism, subtask).of_all(states, old, Unions::Split)
}

/// What becomes of union lists.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Unions {
    ToEveryone,
    Split,
}

/// A state of the old subtasks that saved it, with their number.
type Saved<'a> = Vec<(usize, &'a SavedContent)>;

fn saved_of<'a>(decl: &StateDecl, old: &'a [SavedOperatorState]) -> Saved<'a> {
    let of = |(subtask, saved): (usize, &'a SavedOperatorState)| {
        let mut states = saved.states.iter();
        let state = states.find(|saved| saved.state.name == decl.name)?;
        Some((subtask, state))
    };
    old.iter().enumerate().filter_map(of).collect()
}

fn lists<'a>(saved: &Saved<'a>) -> impl Iterator<Item = (usize, &'a SharedList)> {
    saved
        .iter()
        .filter_map(|&(subtask, saved)| match &saved.content {
            Content::List(list) => Some((subtask, list)),
            Content::Map(_) => None,
        })
}

fn union(saved: &Saved<'_>) -> SharedList {
    let mut all = SharedList::default();
    for (_, list) in lists(saved) {
        all.push_range(list, 0..list.len());
    }
    all
}

/// Which share is asked for.
struct Share {
    /// Whether there are as many subtasks as there were.
    same: bool,
    parallelism: usize,
    subtask: usize,
}

impl Share {
    fn new(old: &[SavedOperatorState], parallelism: Parallelism, subtask: SubtaskIndex) -> Self {
        Self {
            same: old.len() == parallelism.get() as usize,
            parallelism: parallelism.get() as usize,
            subtask: subtask.0 as usize,
        }
    }

    /// What this subtask gets of all states, and of the raw state.
    fn of_all(
        &self,
        states: &[StateDecl],
        old: &[SavedOperatorState],
        unions: Unions,
    ) -> SavedOperatorState {
        let states = states.iter().filter_map(|decl| {
            let saved = saved_of(decl, old);
            // Where they do not agree, the one that cannot be restored is the one to be told of.
            let odd = |saved: &SavedContent| change_of(decl, &saved.state) != Change::Same;
            let odd = saved.iter().find(|(_, saved)| odd(saved));
            let (_, first) = odd.or_else(|| saved.first())?;
            let content = match first.state.kind {
                StateKind::OperatorUnion if unions == Unions::ToEveryone => {
                    Content::List(union(&saved))
                }
                StateKind::OperatorUnion | StateKind::OperatorList => {
                    Content::List(self.list(&saved))
                }
                StateKind::Broadcast => self.copy(&saved)?,
                StateKind::Value
                | StateKind::List
                | StateKind::Map
                | StateKind::Reducing
                | StateKind::Aggregating
                | StateKind::Timers => return None,
            };
            let mut state = first.state.clone();
            state.rows = content.len();
            Some(SavedContent { state, content })
        });
        SavedOperatorState {
            states: states.collect(),
            raw: self.raw(old),
        }
    }

    /// The part of `total` items that is this subtask's.
    fn of(&self, total: usize) -> Range<usize> {
        let (each, longer) = (total / self.parallelism, total % self.parallelism);
        let start = |subtask: usize| subtask * each + subtask.min(longer);
        start(self.subtask)..start(self.subtask + 1)
    }

    fn list(&self, saved: &Saved<'_>) -> SharedList {
        let mut own = SharedList::default();
        if self.same {
            if let Some((_, list)) = lists(saved).find(|&(old, _)| old == self.subtask) {
                own = list.clone();
            }
            return own;
        }
        let share = self.of(lists(saved).map(|(_, list)| list.len()).sum());
        let mut first = 0;
        for (_, list) in lists(saved) {
            let from = share.start.clamp(first, first + list.len()) - first;
            let to = share.end.clamp(first, first + list.len()) - first;
            own.push_range(list, from..to);
            first += list.len();
        }
        own
    }

    fn copy(&self, saved: &Saved<'_>) -> Option<Content> {
        let (_, saved) = saved.get(self.subtask % saved.len().max(1))?;
        Some(saved.content.clone())
    }

    fn raw(&self, old: &[SavedOperatorState]) -> Vec<Vec<u8>> {
        if self.same {
            return old
                .get(self.subtask)
                .map_or_else(Vec::new, |own| own.raw.clone());
        }
        let share = self.of(old.iter().map(|saved| saved.raw.len()).sum());
        let all = old.iter().flat_map(|saved| &saved.raw);
        all.skip(share.start).take(share.len()).cloned().collect()
    }
}
