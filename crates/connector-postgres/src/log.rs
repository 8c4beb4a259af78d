//! The write-ahead log: rows stay here until the barrier, and in the checkpoint until it is
//! complete.
//!
//! INVARIANT: a log was rehearsed before it is sealed: the server has read each value as one of its
//! column's type, so that no checkpoint holds rows that it cannot read. (What other rows in the
//! table forbid it can only say when they are written.)

use std::{mem, sync::Arc};

use bytes::Bytes;
use weir_model::{CheckpointId, Rows};
use weir_operator::{Failure, PreCommit, Sealed, Sink};

use crate::{
    commit::{Committer, Trouble},
    encode::Encoder,
    link::{Link, Told},
    options::PostgresSinkOptions,
    sealed::{By, Document, Mark},
    session::refused,
    shape::Shape,
    sql::Target,
    writer::bad_row,
};

/// One instance of a sink with a write-ahead log.
pub(crate) struct LogWriter {
    options: Arc<PostgresSinkOptions>,
    shape: Arc<Shape>,
    encoder: Encoder,
    lines: Vec<u8>,
    rows: u64,
    mark: Mark,
    /// Rehearses, over a connection of its own.
    rehearsing: Arc<Committer>,
}

impl LogWriter {
    pub(crate) fn new(
        options: Arc<PostgresSinkOptions>,
        shape: Arc<Shape>,
        mark: Mark,
        rehearsing: Committer,
    ) -> Self {
        Self {
            encoder: Encoder::new(shape.clone()),
            options,
            shape,
            lines: Vec::new(),
            rows: 0,
            mark,
            rehearsing: Arc::new(rehearsing),
        }
    }
}

impl Sink for LogWriter {
    fn write(&mut self, rows: Rows<'_>) -> Result<(), Failure> {
        for row in rows.values.iter() {
            let line = self.encoder.row(row, &mut self.lines);
            line.map_err(|bad| bad_row(&self.options, row, bad))?;
            self.rows += 1;
        }
        let limit = self.options.log_bytes;
        if self.lines.len() <= limit {
            return Ok(());
        }
        Err(Failure::External {
            what: format!("write-ahead log of sink `{}`", self.options.sink),
            message: format!(
                "{} rows since the last checkpoint take more than `log-size`, which is {limit} \
                 bytes: take checkpoints more often, or set it higher",
                self.rows
            ),
        })
    }

    fn flush(&mut self) -> Result<(), Failure> {
        // Nothing is shown before the checkpoint is complete, so there is nothing to hand over.
        Ok(())
    }

    fn pre_commit(&mut self, checkpoint: CheckpointId) -> Result<PreCommit, Failure> {
        let rows = mem::take(&mut self.rows);
        let lines = mem::take(&mut self.lines);
        self.lines.reserve(lines.len());
        self.mark.checkpoint = checkpoint;
        let (mark, shape) = (self.mark.clone(), self.shape.clone());
        let (options, rehearsing) = (self.options.clone(), self.rehearsing.clone());
        Ok(Box::new(move || {
            if rows == 0 {
                return Ok(Vec::new());
            }
            let target = &shape.target;
            let log: Arc<[u8]> = lines.into();
            let lines = Bytes::from_owner(log.clone());
            rehearsing.with(|link| rehearse(&options, link, target, lines.clone()))?;
            let document = Document::new(&mark, &target.table, By::log(target, rows));
            Ok(vec![Sealed {
                committable: document.to_committable()?,
                log: Some(log),
            }])
        }))
    }
}

/// Has the server read rows into the stage, and forget them.
fn rehearse(
    options: &PostgresSinkOptions,
    link: &mut Link,
    target: &Target,
    lines: Bytes,
) -> Result<(), Trouble> {
    let trouble = |told: Told| match told.lost {
        true => Trouble::Again(told),
        false => Trouble::Failed(refused(options, target, told, &lines)),
    };
    link.stage(target.stage()).map_err(trouble)?;
    link.execute("BEGIN").map_err(trouble)?;
    let copied = link.copy(&target.copy_to_stage(), lines.clone());
    copied.map_err(trouble)?;
    link.execute("ROLLBACK").map_err(trouble)
}
