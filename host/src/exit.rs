//! Exit codes (D27).

use std::process::ExitCode;

use weir_operator::Failure;

/// How a command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// Done; a job has finished, or stopped with a completed checkpoint.
    Done,
    /// A job, storage or durable state failed.
    Failed,
    /// Something that the user wrote is wrong.
    Usage,
    /// Ended by a second signal: 128 + its number.
    Signal(u8),
}

impl Exit {
    /// Of a job that ended with this failure: the verdict on saved state is about what the user
    /// wrote, and so is counted as that (D27).
    #[must_use]
    pub fn of_failure(failure: &Failure) -> Self {
        match failure {
            Failure::Unfit { .. } | Failure::Claimed { .. } => Self::Usage,
            Failure::Guest { .. }
            | Failure::Trap(_)
            | Failure::Limit(_)
            | Failure::Contract { .. }
            | Failure::BadRow { .. }
            | Failure::BadKey { .. }
            | Failure::NoEventTime { .. }
            | Failure::External { .. }
            | Failure::LocalState { .. }
            | Failure::Restore { .. }
            | Failure::Existing { .. }
            | Failure::Superseded { .. }
            | Failure::Target { .. }
            | Failure::RefusedRow { .. }
            | Failure::LostTransaction { .. }
            | Failure::Unanswered { .. }
            | Failure::Internal { .. } => Self::Failed,
        }
    }

    /// The number.
    #[must_use]
    pub fn code(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::Failed => 1,
            Self::Usage => 2,
            Self::Signal(number) => 128u8.saturating_add(number),
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}
