//! How the values of a state lie in the database, and what each access is checked for.

use weir_model::{Column, KeyGroup, KeyGroupRange};
use weir_state::{
    Error, KeyBatch, ListWrites, MapWrites, StateDecl, StateIndex, StateKind, ValueWrites, Which,
    backends,
};

/// How the values of a state lie in its column family.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shape {
    /// A value a key.
    Cell,
    /// A run of length-prefixed elements a key.
    List,
    /// An entry of the database for each entry of a map.
    Map,
    /// The state is not keyed: nothing of it is kept here.
    Foreign,
}

impl Shape {
    pub(crate) fn of(decl: &StateDecl) -> Self {
        match decl.kind {
            StateKind::Value | StateKind::Reducing | StateKind::Aggregating => Self::Cell,
            StateKind::List => Self::List,
            StateKind::Map => Self::Map,
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
            Self::Foreign => "operator",
        }
    }
}

/// What a backend holds: which states and which key groups.
#[derive(Debug)]
pub(crate) struct Holds {
    pub(crate) range: KeyGroupRange,
    pub(crate) decls: Vec<StateDecl>,
    pub(crate) shapes: Vec<Shape>,
}

impl Holds {
    pub(crate) fn new(decls: Vec<StateDecl>, range: KeyGroupRange) -> Result<Self, Error> {
        for (i, decl) in decls.iter().enumerate() {
            if decls[..i].iter().any(|other| other.name == decl.name) {
                return Err(Error::DuplicateName {
                    name: decl.name.clone(),
                });
            }
        }
        let shapes = decls.iter().map(Shape::of).collect();
        Ok(Self {
            range,
            decls,
            shapes,
        })
    }

    /// Checks that the state has this shape.
    pub(crate) fn check_state(&self, state: StateIndex, shape: Shape) -> Result<(), Error> {
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

    /// Checks a read.
    pub(crate) fn check_read(
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

    /// Checks what a call wrote to a cell state.
    pub(crate) fn check_values(
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

    /// Checks what a call wrote to a list state.
    pub(crate) fn check_lists(
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

    /// Checks what a call wrote to a map state.
    pub(crate) fn check_maps(
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

    pub(crate) fn check_group(&self, group: KeyGroup) -> Result<(), Error> {
        if self.range.contains(group) {
            Ok(())
        } else {
            Err(Error::KeyGroup {
                group,
                range: self.range,
            })
        }
    }

    fn check_keys(&self, keys: &KeyBatch<'_>, which: Which<'_>) -> Result<(), Error> {
        match which {
            Which::All => keys.groups.iter().try_for_each(|&g| self.check_group(g)),
            Which::Some(some) => some.iter().try_for_each(|&key| {
                let group = keys.groups.get(key as usize).ok_or(Error::NoSuchKey {
                    index: key,
                    keys: keys.groups.len(),
                })?;
                self.check_group(*group)
            }),
        }
    }
}

/// Checks that a batch is whole.
pub(crate) fn check_batch(keys: &KeyBatch<'_>) -> Result<(), Error> {
    check_lengths("hashes of keys", keys.hashes.len(), keys.keys.len())?;
    check_lengths("key groups of keys", keys.groups.len(), keys.keys.len())
}

pub(crate) fn check_lengths(what: &'static str, left: usize, right: usize) -> Result<(), Error> {
    if left == right {
        Ok(())
    } else {
        Err(Error::Mismatch { what, left, right })
    }
}

/// What was written must fit the column in which it is read.
fn check_bytes(column: &Column) -> Result<(), Error> {
    backends::check_column("a column of writes", column.byte_len(), column.len())
}
