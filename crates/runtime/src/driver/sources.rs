//! The enumerators of all sources of an attempt: who reads which split (D25).

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use serde_json::Value;
use weir_checkpoint::TaskId;
use weir_model::{CheckpointId, Name, SubtaskIndex, hash64};
use weir_operator::{Discovery, Enumerator, Failure, SourceFactory, Split};

use super::{in_flight::Deals, restore::Restored};
use crate::messages::Control;

/// One message to one reader.
pub(crate) type Word = (TaskId, Control);

/// The enumerators by source, and what they looked like when a pending checkpoint began.
#[derive(Default)]
pub(crate) struct Sources {
    by_vertex: BTreeMap<usize, Source>,
    /// Snapshots taken before the barrier, by checkpoint.
    saved: HashMap<CheckpointId, BTreeMap<Name, Value>>,
}

struct Source {
    name: Name,
    readers: u32,
    enumerator: Enumerator,
}

/// A source to be set up.
pub(crate) struct Found {
    pub(crate) vertex: usize,
    pub(crate) name: Name,
    pub(crate) readers: u32,
    pub(crate) discovery: Discovery,
}

impl Found {
    /// A source that has ended, whatever there may be by now.
    pub(crate) fn nothing(vertex: usize, name: Name, readers: u32) -> Self {
        Self {
            vertex,
            name,
            readers,
            discovery: Discovery::default(),
        }
    }

    /// Looks for the splits of a source. Blocking.
    pub(crate) fn look(
        vertex: usize,
        name: Name,
        readers: u32,
        factory: &Arc<dyn SourceFactory>,
    ) -> Result<Self, (Name, Failure)> {
        let discovery = factory
            .discover()
            .map_err(|failure| (name.clone(), failure))?;
        Ok(Self {
            vertex,
            name,
            readers,
            discovery,
        })
    }
}

/// Which reader gets which split first, by the hash of its name.
pub(crate) fn deals(ready: &[Ready]) -> Deals {
    let dealt = ready.iter().flat_map(|Ready { source, .. }| {
        let mut enumerator = source.enumerator.clone();
        enumerator.deal(source.readers)
    });
    dealt
        .map(|(reader, split)| (hash64(split.id.as_bytes()), reader))
        .collect()
}

/// A source that can begin.
pub(crate) struct Ready {
    vertex: usize,
    source: Source,
}

impl Ready {
    /// Goes on where the restored enumerator was.
    pub(crate) fn new(found: Found, restored: Option<&Restored>) -> Result<Self, (Name, Failure)> {
        let Found {
            vertex,
            name,
            readers,
            discovery,
        } = found;
        let saved = restored.and_then(|r| r.source(&name));
        let enumerator =
            Enumerator::new(discovery, saved).map_err(|failure| (name.clone(), failure))?;
        let source = Source {
            name,
            readers,
            enumerator,
        };
        Ok(Self { vertex, source })
    }
}

impl Sources {
    /// Adds sources, or begins them anew.
    pub(crate) fn set(&mut self, ready: Vec<Ready>) {
        self.by_vertex.extend(
            ready
                .into_iter()
                .map(|Ready { vertex, source }| (vertex, source)),
        );
    }

    /// What to tell the readers of these chains to begin with.
    pub(crate) fn start(&mut self, vertices: &[usize]) -> Vec<Word> {
        let mut words = Vec::new();
        let begun = self.by_vertex.iter_mut();
        for (&vertex, source) in begun.filter(|(vertex, _)| vertices.contains(vertex)) {
            let dealt = source.enumerator.deal(source.readers);
            let mut idle: Vec<bool> = vec![true; source.readers as usize];
            for (subtask, split) in dealt {
                idle[subtask.index()] = false;
                words.push((TaskId { vertex, subtask }, Control::AddSplit(split)));
            }
            for (reader, _) in idle.iter().enumerate().filter(|(_, idle)| **idle) {
                let subtask = SubtaskIndex(reader as u32);
                words.push((TaskId { vertex, subtask }, Control::NoMoreSplits));
            }
            words.extend(source.shares(vertex));
        }
        words
    }

    /// A reader has ended a split and gets another, or word that there is none.
    pub(crate) fn split_ended(&mut self, task: TaskId, id: &str) -> Vec<Word> {
        let Some(source) = self.by_vertex.get_mut(&task.vertex) else {
            return Vec::new();
        };
        source.enumerator.split_ended(id);
        let word = match source.enumerator.next_for(task.subtask) {
            Some(split) => Control::AddSplit(split),
            None => Control::NoMoreSplits,
        };
        let mut words = vec![(task, word)];
        words.extend(source.shares(task.vertex));
        words
    }

    /// The enumerators' part of a checkpoint, taken before its barrier goes out.
    pub(crate) fn snapshot(&mut self, id: CheckpointId) {
        let documents = self.by_vertex.values();
        let documents = documents
            .map(|s| (s.name.clone(), s.enumerator.snapshot()))
            .collect();
        self.saved.insert(id, documents);
    }

    /// Gives up what was saved for a checkpoint that has ended.
    pub(crate) fn take(&mut self, id: CheckpointId) -> BTreeMap<Name, Value> {
        self.saved.remove(&id).unwrap_or_default()
    }

    /// The name of the source at a vertex.
    pub(crate) fn name_of(&self, vertex: usize) -> Option<&Name> {
        self.by_vertex.get(&vertex).map(|source| &source.name)
    }

    /// The tasks that a checkpoint begins in.
    pub(crate) fn tasks(&self) -> impl Iterator<Item = TaskId> {
        self.by_vertex.iter().flat_map(|(&vertex, source)| {
            (0..source.readers).map(move |i| TaskId {
                vertex,
                subtask: SubtaskIndex(i),
            })
        })
    }
}

impl Source {
    /// Tells all readers how many splits share the source's rate.
    fn shares(&self, vertex: usize) -> impl Iterator<Item = Word> + use<> {
        let open = self.enumerator.open();
        (0..self.readers).map(move |i| {
            (
                TaskId {
                    vertex,
                    subtask: SubtaskIndex(i),
                },
                Control::OpenSplits(open),
            )
        })
    }
}

/// A split as a checkpoint names it.
pub(crate) fn split(id: &str, position: &Value) -> Split {
    Split {
        id: id.to_owned(),
        position: position.clone(),
    }
}
