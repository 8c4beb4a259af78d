//! The sink of the benchmark: counts and checks rows, and keeps none.

use std::sync::Arc;

use weir_model::{CheckpointId, Rows};
use weir_operator::{
    Existing, Failure, PreCommit, Recovered, Sealed, Sink, SinkFactory, SinkGuarantee, TaskInfo,
};

use crate::{material::check, meter::Meter};

/// Makes sinks that tell one meter what they see.
pub(crate) struct Counting(pub(crate) Arc<Meter>);

impl SinkFactory for Counting {
    fn guarantee(&self) -> SinkGuarantee {
        SinkGuarantee::AtLeastOnce
    }

    fn create(&self, _task: &TaskInfo) -> Result<Box<dyn Sink>, Failure> {
        Ok(Box::new(Counter(Arc::clone(&self.0))))
    }

    fn commit(&self, _sealed: &[Sealed]) -> Result<Recovered, Failure> {
        Ok(Recovered::default())
    }

    fn recover(&self, _restored: &[Sealed]) -> Result<Recovered, Failure> {
        Ok(Recovered::default())
    }

    fn existing(&self) -> Result<Existing, Failure> {
        Ok(Existing::default())
    }

    fn clear(&self) -> Result<(), Failure> {
        Ok(())
    }
}

struct Counter(Arc<Meter>);

impl Sink for Counter {
    fn write(&mut self, rows: Rows<'_>) -> Result<(), Failure> {
        let checks = rows.values.iter().map(check);
        self.0
            .seen(rows.len() as u64, checks.fold(0, u64::wrapping_add));
        Ok(())
    }

    fn flush(&mut self) -> Result<(), Failure> {
        Ok(())
    }

    fn pre_commit(&mut self, _checkpoint: CheckpointId) -> Result<PreCommit, Failure> {
        Ok(Box::new(|| Ok(Vec::new())))
    }
}
