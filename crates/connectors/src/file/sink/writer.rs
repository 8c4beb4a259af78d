//! One instance of the file sink: an open file, and what is sealed at a barrier.
//!
//! INVARIANT: a row is in exactly one file, and a file belongs to exactly one checkpoint. Once a
//! file could not be put on disk the writer fails for good: its rows are in no other file, so the
//! job must go back to the last checkpoint.

use std::{
    path::PathBuf,
    sync::{Arc, OnceLock},
};

use memchr::memchr;
use weir_model::{Attempt, CheckpointId, Rows, SubtaskIndex};
use weir_operator::{Failure, PreCommit, Sealed, Sink, SinkGuarantee};

use super::{
    FileSinkOptions,
    commit::SealedFile,
    folder::Folder,
    names::{OpenNames, final_name},
};
use crate::file::DiskFile;

/// What is gathered before it is written; large enough that the cost of a call to the kernel does
/// not count.
const BUFFER_BYTES: usize = 256 * 1024;

/// How many rolled files of an epoch stay open until the barrier; beyond that each is put on disk
/// when it is rolled, so that a long epoch does not use up the file handles of the process.
const ROLLED_OPEN_MAX: usize = 16;

/// One instance of the file sink.
pub(super) struct Writer {
    options: Arc<FileSinkOptions>,
    folder: Folder,
    names: OpenNames,
    attempt: Attempt,
    subtask: SubtaskIndex,
    /// Number of the next open file.
    seq: u64,
    open: Option<OpenFile>,
    /// Files of this epoch that have grown full, in order.
    rolled: Vec<Rolled>,
    poison: Poison,
}

/// Why a file could not be put on disk, known to the writer and to what it sealed.
#[derive(Clone, Default)]
struct Poison(Arc<OnceLock<String>>);

struct OpenFile {
    name: String,
    path: PathBuf,
    file: Box<dyn DiskFile>,
    buffer: Vec<u8>,
    /// Bytes handed to the kernel.
    written: u64,
    /// Checksum of those.
    crc32c: u32,
}

/// A file that takes no more rows.
enum Rolled {
    Open(OpenFile),
    OnDisk(Closed),
}

/// A file that is closed and on disk.
struct Closed {
    name: String,
    length: u64,
    crc32c: u32,
}

impl Writer {
    pub(super) fn new(
        options: Arc<FileSinkOptions>,
        folder: Folder,
        names: OpenNames,
        attempt: Attempt,
        subtask: SubtaskIndex,
    ) -> Self {
        Self {
            options,
            folder,
            names,
            attempt,
            subtask,
            seq: 0,
            open: None,
            rolled: Vec::new(),
            poison: Poison::default(),
        }
    }

    /// The open file, made where there is none.
    fn file(&mut self) -> Result<&mut OpenFile, Failure> {
        let open = match self.open.take() {
            Some(open) => open,
            None => {
                let name = self.names.name(self.attempt, self.subtask, self.seq);
                self.seq += 1;
                OpenFile {
                    file: self.folder.create_file(&name)?,
                    path: self.folder.join(&name),
                    name,
                    buffer: Vec::with_capacity(BUFFER_BYTES),
                    written: 0,
                    crc32c: 0,
                }
            }
        };
        Ok(self.open.insert(open))
    }

    fn roll(&mut self) -> Result<(), Failure> {
        let Some(open) = self.open.take() else {
            return Ok(());
        };
        self.rolled.push(if self.rolled.len() < ROLLED_OPEN_MAX {
            Rolled::Open(open)
        } else {
            Rolled::OnDisk(open.close().map_err(|e| self.poison.set(e))?)
        });
        Ok(())
    }

    fn write_rows(&mut self, rows: Rows<'_>) -> Result<(), Failure> {
        let roll_bytes = self.options.roll_bytes.unwrap_or(u64::MAX);
        for row in rows.values.iter() {
            if memchr(b'\n', row).is_some() {
                return Err(self.refuse(row));
            }
            let open = self.file()?;
            open.push(row)?;
            if open.length() >= roll_bytes {
                self.roll()?;
            }
        }
        Ok(())
    }

    fn refuse(&self, row: &[u8]) -> Failure {
        let shown = weir_operator::RowInfo::new(row, None, None);
        Failure::BadRow {
            at: format!("sink `{}`, subtask {}", self.options.sink, self.subtask),
            message: format!(
                "a file sink writes one row a line, and this row holds a line break\n{shown}"
            ),
        }
    }
}

impl Sink for Writer {
    fn write(&mut self, rows: Rows<'_>) -> Result<(), Failure> {
        self.poison.check()?;
        // A row that was written in part is as lost as one that was not put on disk.
        self.write_rows(rows).map_err(|e| self.poison.set(e))
    }

    fn flush(&mut self) -> Result<(), Failure> {
        // Nothing is shown before the barrier, so there is nothing to hand over.
        self.poison.check()
    }

    fn pre_commit(&mut self, checkpoint: CheckpointId) -> Result<PreCommit, Failure> {
        self.poison.check()?;
        self.roll()?;
        let epoch = Epoch {
            files: std::mem::take(&mut self.rolled),
            checkpoint,
            subtask: self.subtask,
            options: Arc::clone(&self.options),
            folder: self.folder.clone(),
        };
        let poison = self.poison.clone();
        Ok(Box::new(move || {
            poison.check()?;
            epoch.seal().map_err(|e| poison.set(e))
        }))
    }
}

impl Poison {
    fn check(&self) -> Result<(), Failure> {
        self.0.get().map_or(Ok(()), |why| {
            Err(Failure::External {
                what: "rows of the file sink were lost".into(),
                message: why.clone(),
            })
        })
    }

    fn set(&self, failure: Failure) -> Failure {
        // The first reason stays: the others follow from it.
        let _ = self.0.set(failure.to_string());
        failure
    }
}

impl OpenFile {
    fn length(&self) -> u64 {
        self.written + self.buffer.len() as u64
    }

    fn push(&mut self, row: &[u8]) -> Result<(), Failure> {
        self.buffer.extend_from_slice(row);
        self.buffer.push(b'\n');
        if self.buffer.len() >= BUFFER_BYTES {
            self.hand_over()?;
        }
        Ok(())
    }

    fn hand_over(&mut self) -> Result<(), Failure> {
        self.file
            .write_all(&self.buffer)
            .map_err(|e| Failure::io(format!("write {}", self.path.display()), &e))?;
        self.crc32c = crc32c::crc32c_append(self.crc32c, &self.buffer);
        self.written += self.buffer.len() as u64;
        self.buffer.clear();
        Ok(())
    }

    /// Writes the rest, puts the file on disk and closes it.
    fn close(mut self) -> Result<Closed, Failure> {
        self.hand_over()?;
        // After a failed fsync the kernel may have dropped the pages and say yes the next time, so
        // it is never tried twice on a file.
        self.file
            .sync()
            .map_err(|e| Failure::io(format!("fsync of {}", self.path.display()), &e))?;
        Ok(Closed {
            name: self.name,
            length: self.written,
            crc32c: self.crc32c,
        })
    }
}

/// The files of one epoch on their way to disk.
struct Epoch {
    files: Vec<Rolled>,
    checkpoint: CheckpointId,
    subtask: SubtaskIndex,
    options: Arc<FileSinkOptions>,
    folder: Folder,
}

impl Epoch {
    fn seal(self) -> Result<Vec<Sealed>, Failure> {
        if self.files.is_empty() {
            return Ok(Vec::new());
        }
        let name = |seq| final_name(self.checkpoint, self.subtask, seq, &self.options.ext);
        let mut sealed = Vec::with_capacity(self.files.len());
        for (seq, file) in (0..).zip(self.files) {
            let closed = match file {
                Rolled::Open(open) => open.close()?,
                Rolled::OnDisk(closed) => closed,
            };
            sealed.push(SealedFile::new(
                closed.name,
                name(seq),
                closed.length,
                closed.crc32c,
            ));
        }
        self.folder.sync()?;
        match self.options.guarantee {
            SinkGuarantee::ExactlyOnce => {
                let sealed = sealed.iter().map(SealedFile::to_committable);
                sealed.map(|one| one.map(Sealed::from)).collect()
            }
            SinkGuarantee::AtLeastOnce => {
                publish(&self.folder, &sealed, name)?;
                Ok(Vec::new())
            }
        }
    }
}

/// Makes files visible at the barrier. The checkpoint may fail yet and its number come again, so a
/// name that is taken is passed over.
fn publish(
    folder: &Folder,
    sealed: &[SealedFile],
    name: impl Fn(u64) -> String,
) -> Result<(), Failure> {
    let mut seq = 0;
    for one in sealed {
        let mut taken = true;
        while taken {
            taken = !folder.link(&one.temp, &name(seq))?;
            seq += 1;
        }
    }
    folder.sync()?;
    folder.remove(sealed.iter().map(|one| one.temp.as_str()))
}
