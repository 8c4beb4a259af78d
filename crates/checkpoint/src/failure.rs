//! Why checkpoints fail, and how many failures a job bears (semantics 1.16, C37).

use std::{collections::BTreeSet, fmt};

use weir_model::CheckpointId;

/// Why a checkpoint failed, or was not taken: Flink's reasons under Flink's names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum FailureReason {
    /// The coordinator takes no periodic checkpoints any more.
    PeriodicSchedulerShutdown,
    /// More requests wait than the queue holds.
    TooManyCheckpointRequests,
    /// The pause after the last checkpoint is not over.
    MinimumTimeBetweenCheckpoints,
    /// A task that would have to take part is not running.
    NotAllRequiredTasksRunning,
    /// The storage failed.
    IoException,
    /// A blocking edge is in the job.
    BlockingOutputExist,
    /// The part of a snapshot that runs beside the task failed.
    CheckpointAsyncException,
    /// Another subtask that shares the file of channel state failed.
    ChannelStateSharedStreamException,
    /// It took longer than the timeout.
    CheckpointExpired,
    /// A newer one completed first.
    CheckpointSubsumed,
    /// A task declined it.
    CheckpointDeclined,
    /// A task declined it: not running yet.
    CheckpointDeclinedTaskNotReady,
    /// A task declined it: running no more.
    CheckpointDeclinedTaskClosing,
    /// A task declined it: the barrier of a newer one came first.
    CheckpointDeclinedSubsumed,
    /// A task declined it: its cancel marker came.
    CheckpointDeclinedOnCancellationBarrier,
    /// A task declined it: an input has ended.
    CheckpointDeclinedInputEndOfStream,
    /// The coordinator was shut down.
    CheckpointCoordinatorShutdown,
    /// The coordinator was suspended.
    CheckpointCoordinatorSuspend,
    /// The job restarts after a failure.
    JobFailoverRegion,
    /// A task failed.
    TaskFailure,
    /// The checkpoint code of a task failed locally.
    TaskCheckpointFailure,
    /// A task was told of an unknown checkpoint.
    UnknownTaskCheckpointNotificationFailure,
    /// The metadata could not be written.
    FinalizeCheckpointFailure,
    /// It could not be triggered.
    TriggerCheckpointFailure,
}

impl FailureReason {
    /// All reasons.
    pub const ALL: [Self; 24] = [
        Self::PeriodicSchedulerShutdown,
        Self::TooManyCheckpointRequests,
        Self::MinimumTimeBetweenCheckpoints,
        Self::NotAllRequiredTasksRunning,
        Self::IoException,
        Self::BlockingOutputExist,
        Self::CheckpointAsyncException,
        Self::ChannelStateSharedStreamException,
        Self::CheckpointExpired,
        Self::CheckpointSubsumed,
        Self::CheckpointDeclined,
        Self::CheckpointDeclinedTaskNotReady,
        Self::CheckpointDeclinedTaskClosing,
        Self::CheckpointDeclinedSubsumed,
        Self::CheckpointDeclinedOnCancellationBarrier,
        Self::CheckpointDeclinedInputEndOfStream,
        Self::CheckpointCoordinatorShutdown,
        Self::CheckpointCoordinatorSuspend,
        Self::JobFailoverRegion,
        Self::TaskFailure,
        Self::TaskCheckpointFailure,
        Self::UnknownTaskCheckpointNotificationFailure,
        Self::FinalizeCheckpointFailure,
        Self::TriggerCheckpointFailure,
    ];

    /// Whether it is one of the five that count against the tolerable failures (semantics 1.16).
    #[must_use]
    pub fn counts(self) -> bool {
        match self {
            Self::IoException
            | Self::CheckpointAsyncException
            | Self::CheckpointExpired
            | Self::CheckpointDeclined
            | Self::FinalizeCheckpointFailure => true,
            Self::PeriodicSchedulerShutdown
            | Self::TooManyCheckpointRequests
            | Self::MinimumTimeBetweenCheckpoints
            | Self::NotAllRequiredTasksRunning
            | Self::BlockingOutputExist
            | Self::ChannelStateSharedStreamException
            | Self::CheckpointSubsumed
            | Self::CheckpointDeclinedTaskNotReady
            | Self::CheckpointDeclinedTaskClosing
            | Self::CheckpointDeclinedSubsumed
            | Self::CheckpointDeclinedOnCancellationBarrier
            | Self::CheckpointDeclinedInputEndOfStream
            | Self::CheckpointCoordinatorShutdown
            | Self::CheckpointCoordinatorSuspend
            | Self::JobFailoverRegion
            | Self::TaskFailure
            | Self::TaskCheckpointFailure
            | Self::UnknownTaskCheckpointNotificationFailure
            | Self::TriggerCheckpointFailure => false,
        }
    }

    /// Flink's name of it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::PeriodicSchedulerShutdown => "PERIODIC_SCHEDULER_SHUTDOWN",
            Self::TooManyCheckpointRequests => "TOO_MANY_CHECKPOINT_REQUESTS",
            Self::MinimumTimeBetweenCheckpoints => "MINIMUM_TIME_BETWEEN_CHECKPOINTS",
            Self::NotAllRequiredTasksRunning => "NOT_ALL_REQUIRED_TASKS_RUNNING",
            Self::IoException => "IO_EXCEPTION",
            Self::BlockingOutputExist => "BLOCKING_OUTPUT_EXIST",
            Self::CheckpointAsyncException => "CHECKPOINT_ASYNC_EXCEPTION",
            Self::ChannelStateSharedStreamException => "CHANNEL_STATE_SHARED_STREAM_EXCEPTION",
            Self::CheckpointExpired => "CHECKPOINT_EXPIRED",
            Self::CheckpointSubsumed => "CHECKPOINT_SUBSUMED",
            Self::CheckpointDeclined => "CHECKPOINT_DECLINED",
            Self::CheckpointDeclinedTaskNotReady => "CHECKPOINT_DECLINED_TASK_NOT_READY",
            Self::CheckpointDeclinedTaskClosing => "CHECKPOINT_DECLINED_TASK_CLOSING",
            Self::CheckpointDeclinedSubsumed => "CHECKPOINT_DECLINED_SUBSUMED",
            Self::CheckpointDeclinedOnCancellationBarrier => {
                "CHECKPOINT_DECLINED_ON_CANCELLATION_BARRIER"
            }
            Self::CheckpointDeclinedInputEndOfStream => "CHECKPOINT_DECLINED_INPUT_END_OF_STREAM",
            Self::CheckpointCoordinatorShutdown => "CHECKPOINT_COORDINATOR_SHUTDOWN",
            Self::CheckpointCoordinatorSuspend => "CHECKPOINT_COORDINATOR_SUSPEND",
            Self::JobFailoverRegion => "JOB_FAILOVER_REGION",
            Self::TaskFailure => "TASK_FAILURE",
            Self::TaskCheckpointFailure => "TASK_CHECKPOINT_FAILURE",
            Self::UnknownTaskCheckpointNotificationFailure => {
                "UNKNOWN_TASK_CHECKPOINT_NOTIFICATION_FAILURE"
            }
            Self::FinalizeCheckpointFailure => "FINALIZE_CHECKPOINT_FAILURE",
            Self::TriggerCheckpointFailure => "TRIGGER_CHECKPOINT_FAILURE",
        }
    }
}

impl fmt::Display for FailureReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Counts consecutive failures. One checkpoint counts once; a completed one sets the count to 0.
#[derive(Clone, Debug)]
pub struct FailureCount {
    tolerable: u32,
    counted: BTreeSet<CheckpointId>,
}

impl FailureCount {
    /// Bears `tolerable` consecutive failures; the next one is too many.
    #[must_use]
    pub fn new(tolerable: u32) -> Self {
        Self {
            tolerable,
            counted: BTreeSet::new(),
        }
    }

    /// A checkpoint failed. Says whether the job must fail, and then counts from 0 again.
    pub fn failed(&mut self, id: CheckpointId, reason: FailureReason) -> bool {
        if reason.counts() {
            self.counted.insert(id);
        }
        let is_over = self.counted.len() > self.tolerable as usize;
        if is_over {
            self.counted.clear();
        }
        is_over
    }

    /// A checkpoint completed.
    pub fn completed(&mut self) {
        self.counted.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::{FailureReason::*, *};

    /// Feeds reasons to checkpoints 1, 2, ..., `None` = completed; gives those that failed the job.
    fn failing(tolerable: u32, outcomes: &[Option<FailureReason>]) -> Vec<usize> {
        let mut count = FailureCount::new(tolerable);
        let mut failing = Vec::new();
        for (i, outcome) in outcomes.iter().enumerate() {
            match outcome {
                Some(reason) if count.failed(CheckpointId(i as u64 + 1), *reason) => {
                    failing.push(i + 1);
                }
                Some(_) => {}
                None => count.completed(),
            }
        }
        failing
    }

    #[test]
    fn c37_failure_tolerance() {
        let declined = Some(CheckpointDeclined);
        let with_failover = [declined, declined, Some(JobFailoverRegion), declined];
        assert_eq!(failing(2, &with_failover), [4]);

        let with_success = [
            Some(CheckpointAsyncException),
            declined,
            None,
            Some(CheckpointExpired),
        ];
        assert_eq!(failing(2, &with_success), [0; 0]);
        assert_eq!(failing(2, &[declined; 7]), [3, 6]);

        let mut count = FailureCount::new(1);
        assert!(!count.failed(CheckpointId(1), CheckpointDeclined));
        assert!(!count.failed(CheckpointId(1), CheckpointExpired));
        assert!(count.failed(CheckpointId(2), CheckpointExpired));
    }

    #[test]
    fn c37_exactly_five_reasons_fail_a_job_that_tolerates_none() {
        let failing: Vec<_> = FailureReason::ALL
            .into_iter()
            .filter(|&reason| FailureCount::new(0).failed(CheckpointId(1), reason))
            .map(FailureReason::as_str)
            .collect();
        assert_eq!(
            failing,
            [
                "IO_EXCEPTION",
                "CHECKPOINT_ASYNC_EXCEPTION",
                "CHECKPOINT_EXPIRED",
                "CHECKPOINT_DECLINED",
                "FINALIZE_CHECKPOINT_FAILURE"
            ]
        );
    }

    #[test]
    fn all_reasons_are_listed_once() {
        let distinct: BTreeSet<_> = FailureReason::ALL.into_iter().collect();
        assert_eq!(distinct.len(), 24);
        assert_eq!(TriggerCheckpointFailure as usize, 23);
    }
}
