//! Why a call, a read or a write failed: told so that a user can act on it.

use std::fmt;

use weir_state::TimerKind;

/// Who can do something about a failure, which decides whether a restart makes sense.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Domain {
    /// The job file, the component or the data.
    User,
    /// A disk, a server, a network.
    External,
    /// A bug of the host.
    Internal,
}

/// A failure of an operator, a source or a sink. The engine adds job, operator and subtask.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Failure {
    /// The component answered with an error: `err`, or a poisoned row.
    #[error("the component reports: {message}")]
    Guest {
        /// What the component said.
        message: String,
        /// The row of the call, where known.
        row: Option<u32>,
    },
    /// The component trapped. Its instance is gone, nothing of the call was kept.
    #[error("{0}")]
    Trap(Box<Trap>),
    /// The component ran into one of its limits. Its instance is gone, nothing of the call was
    /// kept.
    #[error("{0}")]
    Limit(Box<Limit>),
    /// The component broke the contract (columns that do not fit, undeclared state, ...).
    #[error("the component broke the contract: {message}")]
    Contract {
        /// What it did and what was expected.
        message: String,
    },
    /// A row that cannot be read.
    #[error("malformed row at {at}: {message}")]
    BadRow {
        /// Where: file and line, or split and position.
        at: String,
        /// What is wrong with it.
        message: String,
    },
    /// A row without a usable key.
    #[error("no key: {message}")]
    BadKey {
        /// What is missing.
        message: String,
        /// The row of the batch.
        row: u32,
    },
    /// Rows without event time where it is needed. Nothing about a row can be mended there, so
    /// `on-error` has no say.
    #[error(
        "rows came without event time, and {what} need it: say `timestamp` at the source that they \
         come from, or have the operator before give them one, or use `time: processing-time`"
    )]
    NoEventTime {
        /// What needs it, as `windows of event time`.
        what: String,
    },
    /// Something outside failed: a disk, a server.
    #[error("{what}: {message}")]
    External {
        /// What was being done to what.
        what: String,
        /// What came back.
        message: String,
    },
    /// The local database that keeps state failed: its disk is full or gone. The checkpoints are
    /// not there, so a restart may go on elsewhere.
    #[error("the local state database: cannot {what}: {message}")]
    LocalState {
        /// What was being done.
        what: String,
        /// What came back.
        message: String,
    },
    /// A checkpoint that is damaged, or a source that has changed since: a restart does not help.
    #[error("cannot restore: {message}")]
    Restore {
        /// What does not fit.
        message: String,
    },
    /// A checkpoint that is whole and belongs to another job than the one that was written (D27).
    #[error("the checkpoint does not fit the job: {message}")]
    Unfit {
        /// What does not fit, and what would.
        message: String,
    },
    /// A checkpoint that another job has claimed: only one can own it (D24).
    #[error(
        "cannot claim `{location}`: it is claimed already, by {by}; restore it without `--claim`, \
         which leaves it as it is, or copy it"
    )]
    Claimed {
        /// Where it lies.
        location: String,
        /// Who has it.
        by: String,
    },
    /// A job that starts anew would mix its results with others (D23).
    #[error(
        "`{location}` holds committed results already ({committed}): the job starts anew and would \
         mix its own with them; empty it, or set `on-existing: append` or `replace` for \
         sink `{sink}`"
    )]
    Existing {
        /// The sink.
        sink: String,
        /// Where.
        location: String,
        /// How many.
        committed: u64,
    },
    /// Another process has taken the job over: this one must not go on (D28).
    #[error("{message}")]
    Superseded {
        /// Who runs it now, and what that means.
        message: String,
    },
    /// What a sink writes to is not as it must be: a table, a column, a setting of a server. A
    /// restart does not help.
    #[error("{what}: {message}")]
    Target {
        /// What it is.
        what: String,
        /// What is wrong with it, and what to do.
        message: String,
    },
    /// A row that the receiver of a sink does not take, or that cannot be told it.
    #[error("{at} does not take a row: {message}{}", shown(.row.as_deref()))]
    RefusedRow {
        /// Where it was to go.
        at: String,
        /// Which part of it, and why.
        message: String,
        /// Its beginning, where it is known.
        row: Option<String>,
    },
    /// What was sealed for a checkpoint is not there any more, and was not committed.
    #[error("{what}: {message}")]
    LostTransaction {
        /// Which.
        what: String,
        /// How that can be.
        message: String,
    },
    /// A call that waits did not come back in time, or failed as often as it may be made.
    #[error("{message}\n{row}")]
    Unanswered {
        /// What was waited for, and for how long or how often.
        message: String,
        /// Whether it took too long.
        timed_out: bool,
        /// What the call was about.
        row: Box<RowInfo>,
    },
    /// A bug of the host.
    #[error("internal error: {message}")]
    Internal {
        /// What was found.
        message: String,
    },
}

impl Failure {
    /// The code of a row whose call did not come back in time.
    pub const TIMED_OUT: &'static str = "W0170";
    /// The code of a row whose call failed as often as it may be made.
    pub const GIVEN_UP: &'static str = "W0171";

    /// Who can do something about it.
    #[must_use]
    pub fn domain(&self) -> Domain {
        match self {
            Self::Guest { .. }
            | Self::Trap(_)
            | Self::Limit(_)
            | Self::Contract { .. }
            | Self::BadRow { .. }
            | Self::BadKey { .. }
            | Self::NoEventTime { .. }
            | Self::Restore { .. }
            | Self::Unfit { .. }
            | Self::Claimed { .. }
            | Self::Existing { .. }
            | Self::Target { .. }
            | Self::RefusedRow { .. } => Domain::User,
            Self::External { .. }
            | Self::LocalState { .. }
            | Self::Superseded { .. }
            | Self::LostTransaction { .. }
            | Self::Unanswered { .. } => Domain::External,
            Self::Internal { .. } => Domain::Internal,
        }
    }

    /// The code under which the failure is documented.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Guest { .. } => "W0101",
            Self::Trap(_) => "W0102",
            Self::Limit(_) => "W0103",
            Self::Contract { .. } => "W0104",
            Self::BadRow { .. } => "W0105",
            Self::BadKey { .. } => "W0106",
            Self::NoEventTime { .. } => "W0160",
            Self::External { .. } => "W0107",
            Self::Restore { .. } => "W0108",
            Self::Existing { .. } => "W0109",
            Self::Unfit { .. } => "W0110",
            Self::Superseded { .. } => "W0134",
            Self::Claimed { .. } => "W0120",
            Self::Target { .. } => "W0150",
            Self::RefusedRow { .. } => "W0151",
            Self::LostTransaction { .. } => "W0152",
            Self::LocalState { .. } => "W0145",
            Self::Unanswered {
                timed_out: true, ..
            } => Self::TIMED_OUT,
            Self::Unanswered {
                timed_out: false, ..
            } => Self::GIVEN_UP,
            Self::Internal { .. } => "W0199",
        }
    }

    /// Whether the component's instance is gone and must be made anew.
    #[must_use]
    pub fn lost_instance(&self) -> bool {
        matches!(self, Self::Trap(_) | Self::Limit(_))
    }

    /// A failure of something outside, from an I/O error.
    #[must_use]
    pub fn io(what: impl Into<String>, error: &std::io::Error) -> Self {
        Self::External {
            what: what.into(),
            message: error.to_string(),
        }
    }
}

/// The row behind a message.
fn shown(row: Option<&str>) -> String {
    row.map_or_else(String::new, |row| format!("\n  row: {row}"))
}

impl From<weir_state::Error> for Failure {
    fn from(error: weir_state::Error) -> Self {
        match error {
            weir_state::Error::Local { what, message } => Self::LocalState { what, message },
            error => Self::Contract {
                message: error.to_string(),
            },
        }
    }
}

/// A trap of a guest.
#[derive(Clone, Debug)]
pub struct Trap {
    /// The kind of trap in words, with the guest's own last message where it left one.
    pub message: String,
    /// The guest's backtrace, innermost first, demangled.
    pub backtrace: Vec<String>,
    /// The row, where it could be isolated.
    pub row: Option<RowInfo>,
}

impl fmt::Display for Trap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the component trapped: {}", self.message)?;
        if let Some(row) = &self.row {
            write!(f, "\n{row}")?;
        }
        for (depth, frame) in self.backtrace.iter().enumerate() {
            write!(f, "\n  {depth:>2}: {frame}")?;
        }
        Ok(())
    }
}

/// A limit that a guest ran into.
#[derive(Clone, Debug)]
pub struct Limit {
    /// Which limit, as the job file spells it: `memory`, `time-per-call`, `output`.
    pub key: &'static str,
    /// The value of the limit in words.
    pub value: String,
    /// What happened.
    pub message: String,
    /// The guest's backtrace where there is one.
    pub backtrace: Vec<String>,
    /// The row, where it could be isolated.
    pub row: Option<RowInfo>,
}

impl Limit {
    /// The key of the limit on the time of a call.
    pub const TIME: &'static str = "time-per-call";
}

impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} (limit `limits.{}` is {})",
            self.message, self.key, self.value
        )?;
        if let Some(row) = &self.row {
            write!(f, "\n{row}")?;
        }
        for (depth, frame) in self.backtrace.iter().enumerate() {
            write!(f, "\n  {depth:>2}: {frame}")?;
        }
        Ok(())
    }
}

/// The row that a failure is about, told for a person.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RowInfo {
    /// Of a timer, by which time it went; then the value is its key, and the event time when it was
    /// due.
    pub timer: Option<TimerKind>,
    /// Whether it is about a key that has something in a state, for which no row has come; then the
    /// value is the key.
    pub is_key: bool,
    /// The beginning of the row, lossily as text.
    pub value: String,
    /// Its event time in milliseconds, where the stream has one.
    pub timestamp: Option<i64>,
    /// The hash of its key, on a keyed input.
    pub key_hash: Option<u64>,
}

impl RowInfo {
    /// How much of a row is shown, in bytes.
    pub const SHOWN: usize = 200;

    /// Describes a row.
    #[must_use]
    pub fn new(value: &[u8], timestamp: Option<i64>, key_hash: Option<u64>) -> Self {
        let cut = value.len() > Self::SHOWN;
        let shown = value.get(..Self::SHOWN).unwrap_or(value);
        let mut value = String::from_utf8_lossy(shown).into_owned();
        if cut {
            value.push('…');
        }
        Self {
            timer: None,
            is_key: false,
            value,
            timestamp,
            key_hash,
        }
    }

    /// Describes a key that an operator is called for without a row.
    #[must_use]
    pub fn key(key: &[u8], key_hash: Option<u64>) -> Self {
        Self {
            is_key: true,
            ..Self::new(key, None, key_hash)
        }
    }

    /// Describes a timer that fires in place of a row.
    #[must_use]
    pub fn timer(kind: TimerKind, at: i64, key: &[u8], key_hash: u64) -> Self {
        Self {
            timer: Some(kind),
            ..Self::new(key, Some(at), Some(key_hash))
        }
    }
}

impl fmt::Display for RowInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.timer, self.timestamp) {
            (Some(kind), Some(at)) => {
                write!(f, "  {kind} timer at {at} of key {:?}", self.value)?;
            }
            (Some(kind), None) => write!(f, "  {kind} timer of key {:?}", self.value)?,
            (None, _) if self.is_key => write!(f, "  key: {:?}", self.value)?,
            (None, Some(ms)) => write!(f, "  row: {:?}, event time {ms}", self.value)?,
            (None, None) => write!(f, "  row: {:?}", self.value)?,
        }
        if let Some(hash) = self.key_hash {
            write!(f, ", key hash {hash:016x}")?;
        }
        Ok(())
    }
}
