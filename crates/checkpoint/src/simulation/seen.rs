//! What happened in the runs. A simulation in which some of it never does proves little.

use std::collections::BTreeMap;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Seen {
    Completed,
    Aborted,
    LateAck,
    Deleted,
    Increment,
    Restored,
    Restart,
    GivenUp,
    Fallback,
    Refused,
    Rescaled,
    Stop,
    Savepoint,
    StoppedWithSavepoint,
    FromSavepoint,
    Interval,
    Drained,
    Undrained,
    RegionDown,
    Revived,
    AtLeastOnce,
    Overtaken,
    InFlight,
    Finished,
    // What was made to go wrong.
    Crash,
    PowerLoss,
    CrashInStore,
    CrashInSink,
    Damage,
    TaskFault,
    StoreFault,
    DiskFault,
    Decline,
    Timeout,
    LostAck,
    RepeatedAck,
    LostDeletion,
}

impl Seen {
    pub(super) const ALL: [Self; 37] = [
        Self::Completed,
        Self::Aborted,
        Self::LateAck,
        Self::Deleted,
        Self::Increment,
        Self::Restored,
        Self::Restart,
        Self::GivenUp,
        Self::Fallback,
        Self::Refused,
        Self::Rescaled,
        Self::Stop,
        Self::Savepoint,
        Self::StoppedWithSavepoint,
        Self::FromSavepoint,
        Self::Interval,
        Self::Drained,
        Self::Undrained,
        Self::RegionDown,
        Self::Revived,
        Self::AtLeastOnce,
        Self::Overtaken,
        Self::InFlight,
        Self::Finished,
        Self::Crash,
        Self::PowerLoss,
        Self::CrashInStore,
        Self::CrashInSink,
        Self::Damage,
        Self::TaskFault,
        Self::StoreFault,
        Self::DiskFault,
        Self::Decline,
        Self::Timeout,
        Self::LostAck,
        Self::RepeatedAck,
        Self::LostDeletion,
    ];
}

/// How often each happened.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Tally(BTreeMap<Seen, u64>);

impl Tally {
    pub(super) fn see(&mut self, what: Seen) {
        *self.0.entry(what).or_default() += 1;
    }

    pub(super) fn of(&self, what: Seen) -> u64 {
        self.0.get(&what).copied().unwrap_or(0)
    }

    /// How much was made to go wrong.
    pub(super) fn faults(&self) -> u64 {
        self.0.range(Seen::Crash..).map(|(_, count)| count).sum()
    }

    pub(super) fn add(&mut self, other: &Self) {
        for (&what, count) in &other.0 {
            *self.0.entry(what).or_default() += count;
        }
    }
}
