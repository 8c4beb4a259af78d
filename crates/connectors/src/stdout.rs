//! The sink that shows rows: each is a line of standard output, or of whatever is handed in.
//!
//! A line cannot be taken back: after a failure the rows since the last checkpoint come again.
//! Lines of several subtasks are written in whole, one after the other; what is held back is
//! written when there is a lot of it, when the input has run dry, and at each barrier.
//!
//! INVARIANT: once the barrier of a checkpoint has passed, all rows before it are written.

use std::{
    io::{self, Write},
    mem,
    sync::{Arc, Mutex, PoisonError},
};

use weir_model::{CheckpointId, Rows, SinkName};
use weir_operator::{
    Existing, Failure, PreCommit, Recovered, Sealed, Sink, SinkFactory, SinkGuarantee, TaskInfo,
};

/// What is held back before it is written; enough that neither the lock nor the kernel counts.
const BUFFER_BYTES: usize = 64 * 1024;

/// Makes the instances of one sink that writes lines to an output that they share.
///
/// A row is written as it is, with a line feed after it: a csv row with a line break in quotes is
/// two lines, as it was in its file.
///
/// ```
/// use weir_connectors::StdoutSink;
/// use weir_model::Name;
/// use weir_operator::{SinkFactory, SinkGuarantee};
///
/// let sink = StdoutSink::new(Name::new("out").unwrap(), std::io::stdout());
/// assert_eq!(sink.guarantee(), SinkGuarantee::AtLeastOnce);
/// ```
pub struct StdoutSink {
    sink: SinkName,
    out: Output,
}

type Output = Arc<Mutex<Box<dyn Write + Send>>>;

impl StdoutSink {
    /// A sink that writes to `out`: standard output, but for tests.
    pub fn new(sink: SinkName, out: impl Write + Send + 'static) -> Self {
        Self {
            sink,
            out: Arc::new(Mutex::new(Box::new(out))),
        }
    }
}

impl SinkFactory for StdoutSink {
    fn guarantee(&self) -> SinkGuarantee {
        SinkGuarantee::AtLeastOnce
    }

    fn create(&self, _task: &TaskInfo) -> Result<Box<dyn Sink>, Failure> {
        let (sink, out) = (self.sink.clone(), Arc::clone(&self.out));
        Ok(Box::new(Lines {
            sink,
            out,
            held: Vec::new(),
        }))
    }

    fn commit(&self, sealed: &[Sealed]) -> Result<Recovered, Failure> {
        // It seals nothing: what there is was sealed by a sink of another kind, and shown nowhere.
        if sealed.is_empty() {
            return Ok(Recovered::default());
        }
        Err(Failure::Restore {
            message: format!(
                "the checkpoint holds {} sealed transactions of sink `{}`, which writes to \
                 standard output now and cannot commit them; restore with the connector that the \
                 sink had",
                sealed.len(),
                self.sink
            ),
        })
    }

    fn recover(&self, restored: &[Sealed]) -> Result<Recovered, Failure> {
        self.commit(restored)
    }

    fn existing(&self) -> Result<Existing, Failure> {
        Ok(Existing {
            location: "standard output".into(),
            ..Existing::default()
        })
    }

    fn clear(&self) -> Result<(), Failure> {
        Ok(())
    }
}

/// One instance: whole lines that are not written yet.
struct Lines {
    sink: SinkName,
    out: Output,
    held: Vec<u8>,
}

impl Lines {
    /// Writes what is held back. What fails is not tried again: part of it may be written.
    fn hand_over(&mut self) -> Result<(), Failure> {
        if self.held.is_empty() {
            return Ok(());
        }
        let mut held = mem::take(&mut self.held);
        // A panic of another holder can have left half a line there, and nothing worse.
        let mut out = self.out.lock().unwrap_or_else(PoisonError::into_inner);
        let written = out.write_all(&held).and_then(|()| out.flush());
        drop(out);
        written.map_err(|e| self.failed(&e))?;
        held.clear();
        self.held = held;
        Ok(())
    }

    fn failed(&self, error: &io::Error) -> Failure {
        let what = format!("write standard output (sink `{}`)", self.sink);
        if error.kind() == io::ErrorKind::BrokenPipe {
            let message = "nobody reads it any more: the program behind the pipe has ended";
            return Failure::External {
                what,
                message: message.into(),
            };
        }
        Failure::io(what, error)
    }
}

impl Sink for Lines {
    fn write(&mut self, rows: Rows<'_>) -> Result<(), Failure> {
        for row in rows.values.iter() {
            self.held.extend_from_slice(row);
            self.held.push(b'\n');
            if self.held.len() >= BUFFER_BYTES {
                self.hand_over()?;
            }
        }
        Ok(())
    }

    fn flush(&mut self) -> Result<(), Failure> {
        self.hand_over()
    }

    fn pre_commit(&mut self, _checkpoint: CheckpointId) -> Result<PreCommit, Failure> {
        // Not in what is returned: that runs off the task, and later rows would overtake these.
        self.hand_over()?;
        Ok(Box::new(|| Ok(Vec::new())))
    }
}

#[cfg(test)]
mod tests;
