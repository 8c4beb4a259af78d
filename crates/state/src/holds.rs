//! Which states and key groups a backend holds, and what each access is checked for.

use weir_model::{Column, KeyGroup, KeyGroupRange};

use crate::{
    Error, KeyBatch, ListWrites, MapWrites, StateDecl, StateIndex, StateKind, TimerWrites,
    ValueWrites, Which, Writes, limits,
};

/// What is kept of a key of a state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// A value.
    Cell,
    /// A list.
    List,
    /// A map.
    Map,
    /// Its timers; in rows a map for each time, of the keys that have one then.
    Timers,
    /// The state is not keyed: nothing of it is kept in a backend.
    Foreign,
}

impl Shape {
    /// The shape that a state has by its kind.
    #[must_use]
    pub fn of(decl: &StateDecl) -> Self {
        match decl.kind {
            StateKind::Value | StateKind::Reducing | StateKind::Aggregating => Self::Cell,
            StateKind::List => Self::List,
            StateKind::Map => Self::Map,
            StateKind::Timers => Self::Timers,
            StateKind::OperatorList | StateKind::OperatorUnion | StateKind::Broadcast => {
                Self::Foreign
            }
        }
    }

    fn as_str(self) -> &'static str {
        match self {
            Self::Cell => "value",
            Self::List => "list",
            Self::Map => "map",
            Self::Timers => "timers",
            Self::Foreign => "operator",
        }
    }
}

/// What a backend holds: which states and which key groups.
#[derive(Debug)]
pub struct Holds {
    /// The key groups.
    pub range: KeyGroupRange,
    /// The states, in order of their indices.
    pub decls: Vec<StateDecl>,
    /// The shape of each state.
    pub shapes: Vec<Shape>,
}

impl Holds {
    /// The keyed states among `decls` in the key groups `range`.
    ///
    /// # Errors
    /// [`Error::DuplicateName`], and [`Error::NoTime`] where a state is to live for no time.
    pub fn new(decls: Vec<StateDecl>, range: KeyGroupRange) -> Result<Self, Error> {
        for (i, decl) in decls.iter().enumerate() {
            if decls[..i].iter().any(|other| other.name == decl.name) {
                return Err(Error::DuplicateName {
                    name: decl.name.clone(),
                });
            }
            if decl.ttl.is_some_and(|ttl| ttl.duration_ms == 0) {
                let name = decl.name.clone();
                return Err(Error::NoTime { name });
            }
        }
        let shapes = decls.iter().map(Shape::of).collect();
        Ok(Self {
            range,
            decls,
            shapes,
        })
    }

    /// Where the timers are among the states.
    ///
    /// # Errors
    /// [`Error::NoTimers`] where they are not.
    pub fn timers(&self) -> Result<usize, Error> {
        let mut shapes = self.shapes.iter();
        let at = shapes.position(|shape| *shape == Shape::Timers);
        at.ok_or(Error::NoTimers)
    }

    /// Checks that a state has this shape.
    ///
    /// # Errors
    /// [`Error::Undeclared`] and [`Error::WrongKind`].
    pub fn check_state(&self, state: StateIndex, shape: Shape) -> Result<(), Error> {
        let index = state.0 as usize;
        let found = self.shapes.get(index).ok_or(Error::Undeclared {
            index: state.0,
            declared: self.shapes.len(),
        })?;
        if *found == shape {
            Ok(())
        } else {
            Err(Error::WrongKind {
                name: self.decls[index].name.clone(),
                kind: self.decls[index].kind,
                used: shape.as_str(),
            })
        }
    }

    /// Checks that a state is kept by key and not by time, and that a key group is held.
    ///
    /// # Errors
    /// As [`check_state`](Self::check_state) and [`check_group`](Self::check_group).
    pub fn check_whole(&self, state: StateIndex, group: KeyGroup) -> Result<(), Error> {
        let shape = match self.shapes.get(state.0 as usize) {
            Some(shape @ (Shape::Cell | Shape::List | Shape::Map)) => *shape,
            Some(Shape::Timers | Shape::Foreign) | None => Shape::Cell,
        };
        self.check_state(state, shape)?;
        self.check_group(group)
    }

    /// Checks a read of a state that should have this shape.
    ///
    /// # Errors
    /// As [`check_state`](Self::check_state) and [`check_group`](Self::check_group),
    /// [`Error::NoSuchKey`], and [`Error::Mismatch`] where the columns do not fit each other.
    pub fn check_read(
        &self,
        state: StateIndex,
        shape: Shape,
        keys: &KeyBatch<'_>,
        which: Which<'_>,
    ) -> Result<(), Error> {
        check_batch(keys)?;
        self.check_keys(keys, which)?;
        self.check_state(state, shape)
    }

    /// Checks what a call wrote.
    ///
    /// # Errors
    /// As [`check_read`](Self::check_read), and [`Error::TooLarge`] where something could not be
    /// read again in one column.
    pub fn check_writes(&self, keys: &KeyBatch<'_>, writes: &Writes) -> Result<(), Error> {
        check_batch(keys)?;
        for (state, writes) in &writes.values {
            self.check_values(keys, *state, writes)?;
        }
        for (state, writes) in &writes.lists {
            self.check_lists(keys, *state, writes)?;
        }
        for (state, writes) in &writes.maps {
            self.check_maps(keys, *state, writes)?;
        }
        self.check_timers(keys, &writes.timers)
    }

    /// Checks that a key group is held.
    ///
    /// # Errors
    /// [`Error::KeyGroup`] where it is not.
    #[inline]
    pub fn check_group(&self, group: KeyGroup) -> Result<(), Error> {
        if self.range.contains(group) {
            Ok(())
        } else {
            Err(Error::KeyGroup {
                group,
                range: self.range,
            })
        }
    }

    fn check_values(
        &self,
        keys: &KeyBatch<'_>,
        state: StateIndex,
        writes: &ValueWrites,
    ) -> Result<(), Error> {
        self.check_state(state, Shape::Cell)?;
        check_lengths("values of keys", writes.values.len(), writes.keys.len())?;
        check_bytes(writes.values.column())?;
        self.check_keys(keys, Which::Some(&writes.keys))
    }

    fn check_lists(
        &self,
        keys: &KeyBatch<'_>,
        state: StateIndex,
        writes: &ListWrites,
    ) -> Result<(), Error> {
        self.check_state(state, Shape::List)?;
        let lists = &writes.lists;
        check_lengths("lists of keys", lists.ends.len(), writes.keys.len())?;
        check_lengths("modes of keys", writes.replace.len(), writes.keys.len())?;
        lists.check()?;
        check_bytes(&lists.elements)?;
        self.check_keys(keys, Which::Some(&writes.keys))
    }

    fn check_maps(
        &self,
        keys: &KeyBatch<'_>,
        state: StateIndex,
        writes: &MapWrites,
    ) -> Result<(), Error> {
        self.check_state(state, Shape::Map)?;
        check_lengths("map keys of keys", writes.map_keys.len(), writes.keys.len())?;
        check_lengths("values of keys", writes.values.len(), writes.keys.len())?;
        check_bytes(&writes.map_keys)?;
        check_bytes(writes.values.column())?;
        self.check_keys(keys, Which::Some(&writes.clear))?;
        self.check_keys(keys, Which::Some(&writes.keys))
    }

    fn check_timers(&self, keys: &KeyBatch<'_>, writes: &TimerWrites) -> Result<(), Error> {
        if writes.is_empty() {
            return Ok(());
        }
        self.timers()?;
        check_lengths("keys of timers", writes.keys.len(), writes.when.len())?;
        let what = "what is done to timers";
        check_lengths(what, writes.set.len(), writes.when.len())?;
        self.check_keys(keys, Which::Some(&writes.keys))
    }

    /// Checks the key groups of the keys of an access.
    fn check_keys(&self, keys: &KeyBatch<'_>, which: Which<'_>) -> Result<(), Error> {
        if self.are_all_held(keys, which) {
            return Ok(());
        }
        match which {
            Which::All => keys.groups.iter().try_for_each(|&g| self.check_group(g)),
            Which::Some(some) => some.iter().try_for_each(|&key| {
                let Some(&group) = keys.groups.get(key as usize) else {
                    return Err(Error::NoSuchKey {
                        index: key,
                        keys: keys.groups.len(),
                    });
                };
                self.check_group(group)
            }),
        }
    }

    /// Whether it is plain that the keys of an access are there and held, for all keys of the call
    /// are. Nothing is decided key by key, so many are looked at in one instruction.
    fn are_all_held(&self, keys: &KeyBatch<'_>, which: Which<'_>) -> bool {
        let count = keys.groups.len();
        if let Which::Some(some) = which {
            // Of few among many they are looked at one by one.
            let is_beyond = |beyond, &key: &u32| beyond | (key as usize >= count);
            if some.len() * 8 < count || some.iter().fold(false, is_beyond) {
                return false;
            }
        }
        let KeyGroupRange { start, end } = self.range;
        let is_outside = |outside, &group: &KeyGroup| outside | (group < start) | (group > end);
        !keys.groups.iter().fold(false, is_outside)
    }
}

/// Checks that columns of an access are as long as each other.
///
/// # Errors
/// [`Error::Mismatch`] where they are not.
pub fn check_lengths(what: &'static str, left: usize, right: usize) -> Result<(), Error> {
    if left == right {
        Ok(())
    } else {
        Err(Error::Mismatch { what, left, right })
    }
}

/// Checks that a batch is whole.
fn check_batch(keys: &KeyBatch<'_>) -> Result<(), Error> {
    check_lengths("hashes of keys", keys.hashes.len(), keys.keys.len())?;
    check_lengths("key groups of keys", keys.groups.len(), keys.keys.len())
}

/// What was written must fit the column in which it is read.
fn check_bytes(column: &Column) -> Result<(), Error> {
    limits::check_column("a column of writes", column.byte_len(), column.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The first key, the last, and those at the ends of the range and next to it decide.
    #[test]
    fn what_is_checked_for_many_keys_at_once_is_what_is_checked_for_each() {
        let range = KeyGroupRange {
            start: KeyGroup(3),
            end: KeyGroup(9),
        };
        let holds = Holds::new(Vec::new(), range).unwrap();
        let keys: Column = (0..100).map(|_| &b""[..]).collect();
        for (at, group) in [(0, 3), (99, 9), (0, 2), (99, 10), (50, u16::MAX), (50, 0)] {
            let mut groups = vec![KeyGroup(5); 100];
            groups[at] = KeyGroup(group);
            let batch = KeyBatch {
                keys: keys.view(),
                hashes: &[0; 100],
                groups: &groups,
            };
            let is_held = (3..=9).contains(&group);
            let all: Vec<u32> = (0..100).rev().collect();
            let others: Vec<u32> = all.iter().copied().filter(|&k| k as usize != at).collect();
            for which in [Which::All, Which::Some(&all), Which::Some(&[at as u32])] {
                let expected = match is_held {
                    true => Ok(()),
                    false => Err(Error::KeyGroup {
                        group: KeyGroup(group),
                        range,
                    }),
                };
                let checked = holds.check_keys(&batch, which);
                assert_eq!(format!("{checked:?}"), format!("{expected:?}"));
            }
            assert!(holds.check_keys(&batch, Which::Some(&others)).is_ok());
            for few in [0, 99] {
                let mut beyond = all[few..].to_vec();
                beyond.push(100);
                let checked = holds.check_keys(&batch, Which::Some(&beyond));
                match checked {
                    Err(Error::NoSuchKey { index, keys }) => assert_eq!((index, keys), (100, 100)),
                    other => assert!(!is_held, "{other:?}"),
                }
            }
        }
    }
}
