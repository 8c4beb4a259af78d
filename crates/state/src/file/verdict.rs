//! Declarations against what was saved: whether a job may start from it.

use super::SavedState;
use crate::{StateDecl, StateKind};

/// What has become of one state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// The name of the state.
    pub state: String,
    /// What has changed.
    pub change: Change,
}

/// How a declaration differs from what was saved. Where several things differ, the gravest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// Nothing: the state goes on.
    Same,
    /// It was not saved: the state begins empty.
    New,
    /// It is not declared any more: its content would be lost.
    Missing,
    /// Another kind: it cannot be restored.
    Kind {
        /// The kind in the file.
        saved: StateKind,
        /// The kind the component declares.
        declared: StateKind,
    },
    /// Another format of values in the same version: it cannot be restored.
    Format {
        /// The format in the file.
        saved: String,
        /// The format the component declares.
        declared: String,
    },
    /// Another version, whatever the formats are called: the component may know how to migrate.
    Version {
        /// The version in the file.
        saved: u32,
        /// The version the component declares.
        declared: u32,
    },
}

/// Compares declarations with what was saved: the declared states in their order, then those that
/// are missing.
#[must_use]
pub fn compare(declared: &[StateDecl], saved: &[SavedState]) -> Vec<Verdict> {
    let known = declared.iter().map(|decl| Verdict {
        state: decl.name.clone(),
        change: saved
            .iter()
            .find(|saved| saved.name == decl.name)
            .map_or(Change::New, |saved| change_of(decl, saved)),
    });
    let missing = saved
        .iter()
        .filter(|saved| declared.iter().all(|decl| decl.name != saved.name))
        .map(|saved| Verdict {
            state: saved.name.clone(),
            change: Change::Missing,
        });
    known.chain(missing).collect()
}

/// How a declaration differs from a saved state of the same name.
pub(crate) fn change_of(decl: &StateDecl, saved: &SavedState) -> Change {
    if decl.kind != saved.kind {
        Change::Kind {
            saved: saved.kind,
            declared: decl.kind,
        }
    } else if decl.version != saved.version {
        Change::Version {
            saved: saved.version,
            declared: decl.version,
        }
    } else if decl.format != saved.format {
        Change::Format {
            saved: saved.format.clone(),
            declared: decl.format.clone(),
        }
    } else {
        Change::Same
    }
}
