//! A backend whose snapshots are all canonical, so that the laws go that way as well.

use weir_model::{ColumnView, KeyGroup, KeyGroupRange, OptionalColumn, ProcessingTime};
use weir_state::{
    Backend, EntriesColumn, Error, KeyBatch, NestedColumn, Snapshot, SnapshotFormat,
    SnapshotRequest, StateDecl, StateIndex, StateKeys, TimerKind, Timers, Which, Writes,
};

pub(super) struct Canonical<B>(pub(super) B);

impl<B: Backend> Backend for Canonical<B> {
    fn key_groups(&self) -> KeyGroupRange {
        self.0.key_groups()
    }

    fn states(&self) -> &[StateDecl] {
        self.0.states()
    }

    fn get_values(
        &mut self,
        state: StateIndex,
        keys: &KeyBatch<'_>,
        which: Which<'_>,
        out: &mut OptionalColumn,
    ) -> Result<(), Error> {
        self.0.get_values(state, keys, which, out)
    }

    fn get_lists(
        &mut self,
        state: StateIndex,
        keys: &KeyBatch<'_>,
        which: Which<'_>,
        out: &mut NestedColumn,
    ) -> Result<(), Error> {
        self.0.get_lists(state, keys, which, out)
    }

    fn get_entries(
        &mut self,
        state: StateIndex,
        keys: &KeyBatch<'_>,
        which: Which<'_>,
        map_keys: ColumnView<'_>,
        out: &mut OptionalColumn,
    ) -> Result<(), Error> {
        self.0.get_entries(state, keys, which, map_keys, out)
    }

    fn scan_entries(
        &mut self,
        state: StateIndex,
        keys: &KeyBatch<'_>,
        key: u32,
        after: Option<&[u8]>,
        limit: usize,
        out: &mut EntriesColumn,
    ) -> Result<(), Error> {
        self.0.scan_entries(state, keys, key, after, limit, out)
    }

    fn scan_keys(
        &mut self,
        state: StateIndex,
        from: KeyGroup,
        out: &mut StateKeys,
    ) -> Result<Option<KeyGroup>, Error> {
        self.0.scan_keys(state, from, out)
    }

    fn apply(&mut self, keys: &KeyBatch<'_>, writes: &Writes) -> Result<(), Error> {
        self.0.apply(keys, writes)
    }

    fn next_timer(&mut self, kind: TimerKind) -> Result<Option<i64>, Error> {
        self.0.next_timer(kind)
    }

    fn due_timers(
        &mut self,
        kind: TimerKind,
        until: i64,
        limit: usize,
        out: &mut Timers,
    ) -> Result<(), Error> {
        self.0.due_timers(kind, until, limit, out)
    }

    fn set_time(&mut self, now: ProcessingTime) {
        self.0.set_time(now);
    }

    fn snapshot(&mut self, request: &SnapshotRequest) -> Result<Box<dyn Snapshot>, Error> {
        self.0.snapshot(&SnapshotRequest {
            format: SnapshotFormat::Canonical,
            base: None,
            ..*request
        })
    }

    fn load(&mut self, state: StateIndex, group: KeyGroup, rows: &[u8]) -> Result<(), Error> {
        self.0.load(state, group, rows)
    }

    fn entries(&self, state: StateIndex) -> u64 {
        self.0.entries(state)
    }

    fn counts(&self) -> bool {
        self.0.counts()
    }
}
