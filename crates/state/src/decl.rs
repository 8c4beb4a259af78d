//! What a component declares about its state in `describe`.

use std::fmt;

/// The kind of a state: how it is addressed and how it is redistributed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum StateKind {
    /// One byte string per key.
    Value,
    /// A list of byte strings per key.
    List,
    /// A map per key, iterated in byte order of its map keys.
    Map,
    /// One byte string per key, folded by the guest.
    Reducing,
    /// One accumulator per key, folded by the guest.
    Aggregating,
    /// A list per subtask, split evenly on rescale.
    OperatorList,
    /// A list per subtask, of which every subtask gets all on restore.
    OperatorUnion,
    /// A map, the same in every subtask.
    Broadcast,
    /// The pending timers of each key, which the host keeps (see [`timers`](StateDecl::timers)).
    Timers,
}

impl StateKind {
    /// All kinds.
    pub const ALL: [Self; 9] = [
        Self::Value,
        Self::List,
        Self::Map,
        Self::Reducing,
        Self::Aggregating,
        Self::OperatorList,
        Self::OperatorUnion,
        Self::Broadcast,
        Self::Timers,
    ];

    /// The kind of this name; `None` where there is none.
    #[must_use]
    pub fn of(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == name)
    }

    /// Whether the state belongs to a key; else it belongs to a subtask.
    #[must_use]
    pub fn is_keyed(self) -> bool {
        match self {
            Self::Value
            | Self::List
            | Self::Map
            | Self::Reducing
            | Self::Aggregating
            | Self::Timers => true,
            Self::OperatorList | Self::OperatorUnion | Self::Broadcast => false,
        }
    }

    /// Whether the state is one byte string per key.
    #[must_use]
    pub fn is_cell(self) -> bool {
        match self {
            Self::Value | Self::Reducing | Self::Aggregating => true,
            Self::List
            | Self::Map
            | Self::OperatorList
            | Self::OperatorUnion
            | Self::Broadcast
            | Self::Timers => false,
        }
    }

    /// The name in messages and files.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Value => "value",
            Self::List => "list",
            Self::Map => "map",
            Self::Reducing => "reducing",
            Self::Aggregating => "aggregating",
            Self::OperatorList => "operator-list",
            Self::OperatorUnion => "operator-union",
            Self::Broadcast => "broadcast",
            Self::Timers => "timers",
        }
    }
}

impl fmt::Display for StateKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// How long a state lives after its last access.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Ttl {
    /// Milliseconds of processing time, more than 0.
    pub duration_ms: u64,
    /// Whether a read counts as an access, too.
    pub on_read: bool,
    /// Whether what has expired and is still there is returned once more.
    pub return_expired: bool,
}

/// One declared state.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct StateDecl {
    /// The name, unique in its operator.
    pub name: String,
    /// The kind.
    pub kind: StateKind,
    /// The format of the values (`json`, `utf8`, ...), for upgrades and tools.
    pub format: String,
    /// The version of that format.
    pub version: u32,
    /// Whether the values of a call's keys are handed over with the call.
    pub prefetch: bool,
    /// How long values live; `None` for ever.
    pub ttl: Option<Ttl>,
}

impl StateDecl {
    /// The names of what the host keeps of windows. No component may use one that begins so.
    pub const WINDOWS: &str = "window.";
    /// The accumulators of windows, by key and window.
    pub const WINDOW_ACCUMULATORS: &str = "window.accumulators";
    /// The rows of windows.
    pub const WINDOW_ROWS: &str = "window.rows";
    /// What the triggers of windows remember.
    pub const WINDOW_TRIGGERS: &str = "window.triggers";
    /// The timers that triggers of components wait for, by key: each with its window.
    pub const WINDOW_TIMERS: &str = "window.timers";
    /// The sessions of keys.
    pub const WINDOW_SESSIONS: &str = "window.sessions";
    /// The names of what the host keeps of joins. No component may use one that begins so.
    pub const JOINS: &str = "join.";
    /// The rows of the left input of a join, by time and then by number.
    pub const JOIN_LEFT: &str = "join.left";
    /// The rows of its right input.
    pub const JOIN_RIGHT: &str = "join.right";
    /// The versions of what rows are looked up in, by time.
    pub const JOIN_VERSIONS: &str = "join.versions";
    /// What there is of each key.
    pub const JOIN_KEYS: &str = "join.keys";
    /// The name of the state in which an operator's timers are. No component may declare it.
    pub const TIMERS: &str = "weir.timers";
    /// The name of the state in which the rows are whose results are not out yet, of an operator
    /// whose calls wait. No component may declare it.
    pub const WAITING: &str = "weir.waiting";

    /// How many bytes at the end of its keys are a namespace of the key before them: those of a
    /// window. A key group is that of the key alone.
    #[must_use]
    pub fn namespace(&self) -> usize {
        Self::namespace_of(&self.name)
    }

    /// The same of the state of that name.
    #[must_use]
    pub fn namespace_of(name: &str) -> usize {
        match name {
            Self::WINDOW_ACCUMULATORS | Self::WINDOW_ROWS | Self::WINDOW_TRIGGERS => 16,
            _ => 0,
        }
    }

    /// The key that decides the key group of one that is kept.
    #[must_use]
    pub fn key_of<'k>(&self, kept: &'k [u8]) -> &'k [u8] {
        let length = kept.len().saturating_sub(self.namespace());
        kept.get(..length).unwrap_or_default()
    }

    /// The declaration of timers: it comes behind the states that the component declares.
    #[must_use]
    pub fn timers() -> Self {
        Self {
            name: Self::TIMERS.into(),
            kind: StateKind::Timers,
            format: "weir.timers".into(),
            version: 1,
            prefetch: false,
            ttl: None,
        }
    }

    /// The declaration of rows whose results are not out yet: the one state of an operator whose
    /// calls wait.
    #[must_use]
    pub fn waiting() -> Self {
        Self {
            name: Self::WAITING.into(),
            kind: StateKind::OperatorList,
            format: Self::WAITING.into(),
            version: 1,
            prefetch: false,
            ttl: None,
        }
    }
}

/// The position of a state in the list that the component declared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StateIndex(pub u32);
