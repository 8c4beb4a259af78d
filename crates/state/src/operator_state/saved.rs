//! What was saved of the state of a subtask, and what is to be.

use weir_model::Column;

use super::{SharedList, SharedMap};
use crate::{Error, SavedState, StateDecl};

/// The state of a subtask at the time of a snapshot, to be written to a state file off the task.
/// The default is that of one that declares none.
#[derive(Clone, Debug, Default)]
pub struct OperatorSnapshot {
    /// One a declared state; nothing of a keyed one.
    contents: Vec<Option<Content>>,
}

/// The state of one subtask as it was saved, or what one is to be restored with. Copying it copies
/// references, except for the raw state.
#[derive(Clone, Debug, Default)]
pub struct SavedOperatorState {
    /// Each name once.
    pub(crate) states: Vec<SavedContent>,
    /// The raw state: byte strings that the component returned at the snapshot.
    pub raw: Vec<Vec<u8>>,
}

/// One saved state.
#[derive(Clone, Debug)]
pub(crate) struct SavedContent {
    pub(crate) state: SavedState,
    pub(crate) content: Content,
}

/// What is in a state of a subtask.
#[derive(Clone, Debug)]
pub(crate) enum Content {
    List(SharedList),
    Map(SharedMap),
}

impl OperatorSnapshot {
    pub(super) fn new(contents: Vec<Option<Content>>) -> Self {
        Self { contents }
    }

    /// What was in each of the declared `states`.
    pub(crate) fn into_contents(self, states: &[StateDecl]) -> Result<Vec<Option<Content>>, Error> {
        let (left, right) = (self.contents.len(), states.len());
        if left == right {
            Ok(self.contents)
        } else {
            let what = "states of a snapshot and of its operator";
            Err(Error::Mismatch { what, left, right })
        }
    }
}

impl SavedOperatorState {
    /// The saved states.
    pub fn states(&self) -> impl ExactSizeIterator<Item = &SavedState> {
        self.states.iter().map(|saved| &saved.state)
    }

    /// The items of a list, in order; `None` where no list of that name was saved.
    pub fn list(&self, name: &str) -> Option<impl Iterator<Item = &[u8]>> {
        match self.content(name)? {
            Content::List(list) => Some(list.iter()),
            Content::Map(_) => None,
        }
    }

    /// The entries of a broadcast state, in byte order of their map keys; `None` where no broadcast
    /// state of that name was saved.
    pub fn entries(&self, name: &str) -> Option<impl Iterator<Item = (&[u8], &[u8])>> {
        match self.content(name)? {
            Content::List(_) => None,
            Content::Map(map) => Some(map.iter()),
        }
    }

    /// Puts a list in the place of the state of that name, or beside the others.
    pub fn set_list(&mut self, state: SavedState, items: Column) {
        self.set(state, Content::List(SharedList::new(items)));
    }

    /// Puts a broadcast state in the place of the state of that name, or beside the others.
    ///
    /// # Errors
    /// [`Error::Damaged`] where the map keys do not rise.
    pub fn set_entries(
        &mut self,
        state: SavedState,
        entries: &[(&[u8], &[u8])],
    ) -> Result<(), Error> {
        let mut map = SharedMap::default();
        let in_order = |(map_key, value): &(&[u8], &[u8])| map.push(map_key, value);
        if !entries.iter().all(in_order) {
            let what = format!("the map keys of state `{}` do not rise", state.name);
            return Err(Error::Damaged(what));
        }
        self.set(state, Content::Map(map));
        Ok(())
    }

    fn set(&mut self, state: SavedState, content: Content) {
        let saved = SavedContent { state, content };
        let mut known = self.states.iter_mut();
        match known.find(|known| known.state.name == saved.state.name) {
            Some(known) => *known = saved,
            None => self.states.push(saved),
        }
    }

    fn content(&self, name: &str) -> Option<&Content> {
        let saved = self.states.iter().find(|saved| saved.state.name == name)?;
        Some(&saved.content)
    }
}

impl Content {
    /// Number of items or entries.
    pub(crate) fn len(&self) -> u64 {
        match self {
            Self::List(list) => list.len() as u64,
            Self::Map(map) => map.len(),
        }
    }
}
