//! Sinks that keep what comes.

use std::sync::Arc;

use weir_model::{CheckpointId, Rows, SubtaskIndex};
use weir_operator::{
    Existing, Failure, PreCommit, Recovered, Sealed, Sink, SinkFactory, SinkGuarantee, TaskInfo,
};

use crate::shared::{Caught, Shared};

/// The sink of one output, or of dead letters.
pub(crate) struct KeptSink {
    pub(crate) output: usize,
    pub(crate) shared: Arc<Shared>,
}

impl SinkFactory for KeptSink {
    fn guarantee(&self) -> SinkGuarantee {
        SinkGuarantee::AtLeastOnce
    }

    fn create(&self, task: &TaskInfo) -> Result<Box<dyn Sink>, Failure> {
        Ok(Box::new(Keeper {
            output: self.output,
            subtask: task.subtask,
            shared: Arc::clone(&self.shared),
        }))
    }

    fn commit(&self, _: &[Sealed]) -> Result<Recovered, Failure> {
        Ok(Recovered::default())
    }

    fn recover(&self, _: &[Sealed]) -> Result<Recovered, Failure> {
        Ok(Recovered::default())
    }

    fn existing(&self) -> Result<Existing, Failure> {
        Ok(Existing::default())
    }

    fn clear(&self) -> Result<(), Failure> {
        Ok(())
    }
}

struct Keeper {
    output: usize,
    subtask: SubtaskIndex,
    shared: Arc<Shared>,
}

impl Sink for Keeper {
    fn write(&mut self, rows: Rows<'_>) -> Result<(), Failure> {
        let caught = rows.values.iter().enumerate().map(|(at, value)| Caught {
            subtask: self.subtask,
            value: value.to_vec(),
            time: rows.timestamps.get(at).copied(),
        });
        if let Some(output) = self.shared.lock().caught.get_mut(self.output) {
            output.extend(caught);
        }
        Ok(())
    }

    fn flush(&mut self) -> Result<(), Failure> {
        Ok(())
    }

    fn pre_commit(&mut self, _: CheckpointId) -> Result<PreCommit, Failure> {
        Ok(Box::new(|| Ok(Vec::new())))
    }
}
