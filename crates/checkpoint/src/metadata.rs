//! The metadata of a checkpoint: what `_metadata` says. It names every file with its length and
//! checksum, every operator with its states, the positions of the sources and what the sinks have
//! yet to commit.
//!
//! ```text
//! weir-metadata v1 crc32c=0123abcd length=4711
//! { "job": "flights", "checkpoint": 7, ... }
//! ```
//!
//! The first line tells what it is, and the checksum and length of the rest, which is JSON laid out
//! to be read: people look into it when something has gone wrong.
//!
//! INVARIANT: one value has one text; no other text of whatever kind is read as it, so any flipped
//! bit and any missing or additional byte is an error.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;
use weir_model::{
    Attempt, CheckpointId, JobName, MaxParallelism, OperatorName, Parallelism, ProcessingTime,
    SavepointFormat, SinkName, SourceName,
};

use crate::{CheckpointKind, SharedFile, Transaction, paths::CHANNELS};

#[cfg(test)]
mod tests;
mod wire;

/// The newest version of the format that this host reads, and writes where it must.
///
/// Version 2 can name shared files. What names none is written in version 1, which is the same but
/// for that, so that an older host can go on from it.
const VERSION: u32 = 2;

const MAGIC: &str = "weir-metadata v";

/// No header is longer, whatever its version and length.
const HEADER_BYTES_MAX: usize = 128;

/// Everything that a checkpoint is, besides the bytes of its files.
#[derive(Clone, Debug, PartialEq)]
pub struct Metadata {
    /// The job.
    pub job: JobName,
    /// The checkpoint.
    pub checkpoint: CheckpointId,
    /// Why it was taken. `Final` = the job had finished with it.
    pub kind: CheckpointKind,
    /// How its state is written if it is a savepoint, that of a stop included.
    pub savepoint: Option<SavepointFormat>,
    /// When it was triggered.
    pub created: ProcessingTime,
    /// The attempt of the job that took it.
    pub attempt: Attempt,
    /// The number of key groups, which a restored job keeps.
    pub max_parallelism: MaxParallelism,
    /// The operators, each by its name: state is found by operator, never by chain (D3).
    pub operators: BTreeMap<OperatorName, OperatorMeta>,
    /// The sources.
    pub sources: BTreeMap<SourceName, SourceMeta>,
    /// What each transactional sink has yet to commit, of all its subtasks.
    pub sinks: BTreeMap<SinkName, Vec<Transaction>>,
}

/// One operator in a checkpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OperatorMeta {
    /// How many subtasks it had.
    pub parallelism: Parallelism,
    /// Its states, as declared then.
    pub states: Vec<StateMeta>,
    /// What the key of each of its inputs was, in order and in the words of its selector; `None`
    /// for an input without keys. Empty where it has no keyed state, and where that was not
    /// written down yet.
    pub keys: Vec<Option<String>>,
    /// Its subtasks in order, as many as the parallelism says.
    pub subtasks: Vec<SubtaskMeta>,
}

/// The declaration of a state, in words that the state crate reads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StateMeta {
    /// The name of the state.
    pub name: String,
    /// The name of its kind.
    pub kind: String,
    /// The name of the format of its values.
    pub format: String,
    /// The version of that format.
    pub version: u32,
}

/// One subtask of an operator in a checkpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SubtaskMeta {
    /// Where its state is; the operators of a chain share a file (D19). `None` = it has none.
    pub file: Option<FileRef>,
    /// The shared files that its state is in besides, older ones: `file` says what of each (D11).
    pub shared: Vec<FileRef>,
    /// What was in flight to it, on the head of a chain. `None` = nothing was, as always where the
    /// checkpoint is aligned.
    pub channels: Option<FileRef>,
    /// Whether it had finished.
    pub finished: bool,
}

/// A file of a checkpoint.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct FileRef {
    /// Its path from the folder of the checkpoint, `/` between parts. It lies in there, or is a
    /// [`SharedFile`]; [`resolve`](crate::resolve) gives the object.
    pub path: String,
    /// Its length in bytes.
    pub length: u64,
    /// The CRC-32C of all its bytes.
    pub crc32c: u32,
}

impl FileRef {
    /// The shared file that it is, if it is one.
    #[must_use]
    pub fn shared(&self) -> Option<SharedFile> {
        SharedFile::parse(&self.path)
    }

    /// Whether it is what was in flight to a task, and no state.
    #[must_use]
    pub fn holds_channels(&self) -> bool {
        self.path.rsplit('/').next() == Some(CHANNELS)
    }
}

impl SubtaskMeta {
    /// All files that its state is in, and what was in flight to it.
    pub fn files(&self) -> impl Iterator<Item = &FileRef> {
        self.file.iter().chain(&self.shared).chain(&self.channels)
    }
}

/// One source in a checkpoint.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SourceMeta {
    /// What the enumerator saved.
    pub enumerator: Value,
    /// The splits that were being read.
    pub open: Vec<OpenSplit>,
    /// The splits that had been read to their end.
    pub ended: Vec<String>,
}

/// A split that was being read.
#[derive(Clone, Debug, PartialEq)]
pub struct OpenSplit {
    /// The split.
    pub id: String,
    /// Where to go on.
    pub position: Value,
}

/// Why bytes are not metadata.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MetadataError {
    /// The bytes are something else.
    #[error("these are not the metadata of a checkpoint")]
    NotMetadata,
    /// The end is missing.
    #[error("the metadata are truncated: {found} bytes of at least {expected}")]
    Truncated {
        /// The number of bytes there must be.
        expected: u64,
        /// The number of bytes there are.
        found: u64,
    },
    /// The bytes are not those that were written.
    #[error("the metadata are damaged: their checksum is {found:08x}, not {expected:08x}")]
    Corrupt {
        /// The checksum in the first line.
        expected: u32,
        /// The checksum of the bytes.
        found: u32,
    },
    /// There is more than was written, or the first line is not spelled as it was.
    #[error("the metadata are damaged: {0}")]
    Malformed(&'static str),
    /// A newer host wrote them.
    #[error("the metadata have version {found}, this host reads up to {supported}")]
    Newer {
        /// Their version.
        found: u32,
        /// The newest version this host reads.
        supported: u32,
    },
    /// A newer host wrote them, in this version and with something that this host does not know.
    #[error("a newer host wrote the metadata: {0}")]
    Unknown(String),
    /// They are what was written, and yet make no sense.
    #[error("the metadata make no sense: {0}")]
    Invalid(String),
}

impl Metadata {
    /// The bytes of `_metadata`.
    ///
    /// # Errors
    /// [`MetadataError::Invalid`] where it could not be read back.
    pub fn encode(&self) -> Result<Vec<u8>, MetadataError> {
        wire::check(self)?;
        let mut body = serde_json::to_vec_pretty(&wire::Document::from(self))
            .map_err(|error| MetadataError::Invalid(error.to_string()))?;
        body.push(b'\n');
        let version = self.version();
        let mut bytes = header(version, crc32c::crc32c(&body), body.len() as u64).into_bytes();
        bytes.append(&mut body);
        Ok(bytes)
    }

    /// Reads the bytes of `_metadata`.
    ///
    /// # Errors
    /// [`MetadataError`], which tells apart what has happened to them. Never panics.
    pub fn decode(bytes: &[u8]) -> Result<Self, MetadataError> {
        let (version, body) = body(bytes)?;
        let document = wire::Document::parse(body)?;
        let metadata = Self::try_from(document)?;
        wire::check(&metadata)?;
        if metadata.version() != version {
            return Err(MetadataError::Malformed("they are not of their version"));
        }
        Ok(metadata)
    }

    /// What the metadata say, without the line with the checksum: for tools.
    ///
    /// # Errors
    /// [`MetadataError::Invalid`] where they make no sense.
    pub fn document(&self) -> Result<Value, MetadataError> {
        wire::check(self)?;
        let document = serde_json::to_value(wire::Document::from(self));
        document.map_err(|error| MetadataError::Invalid(error.to_string()))
    }

    /// Reads what [`document`](Self::document) gave.
    ///
    /// # Errors
    /// [`MetadataError::Unknown`] or [`MetadataError::Invalid`].
    pub fn of_document(document: Value) -> Result<Self, MetadataError> {
        let document = wire::Document::parse(document.to_string().as_bytes())?;
        let metadata = Self::try_from(document)?;
        wire::check(&metadata)?;
        Ok(metadata)
    }

    /// The version that says all of it.
    fn version(&self) -> u32 {
        let names_shared = self.files().into_iter().any(|file| file.shared().is_some());
        if names_shared { VERSION } else { 1 }
    }

    /// The shared files that it names: they are kept as long as it is.
    #[must_use]
    pub fn shared(&self) -> BTreeSet<SharedFile> {
        self.files()
            .into_iter()
            .filter_map(FileRef::shared)
            .collect()
    }

    /// The files of the checkpoint, each once, in order of their paths.
    #[must_use]
    pub fn files(&self) -> Vec<&FileRef> {
        let subtasks = self
            .operators
            .values()
            .flat_map(|operator| &operator.subtasks);
        let mut files: Vec<_> = subtasks.flat_map(SubtaskMeta::files).collect();
        files.sort_unstable();
        files.dedup();
        files
    }

    /// The committables of a sink, in order: what its recovery has to commit (D21).
    #[must_use]
    pub fn committables(&self, sink: &str) -> Vec<Value> {
        let transactions = self.sinks.get(sink).into_iter().flatten();
        transactions
            .flat_map(|transaction| transaction.committables.iter().cloned())
            .collect()
    }
}

fn header(version: u32, crc32c: u32, length: u64) -> String {
    format!("{MAGIC}{version} crc32c={crc32c:08x} length={length}\n")
}

/// Checks the first line, and gives the version and the rest if it is what was written.
fn body(bytes: &[u8]) -> Result<(u32, &[u8]), MetadataError> {
    let begin = bytes
        .get(..MAGIC.len().min(bytes.len()))
        .unwrap_or_default();
    if !MAGIC.as_bytes().starts_with(begin) {
        return Err(MetadataError::NotMetadata);
    }
    let line = bytes
        .iter()
        .take(HEADER_BYTES_MAX)
        .position(|&byte| byte == b'\n');
    let Some(line) = line else {
        let found = bytes.len() as u64;
        return if bytes.len() < HEADER_BYTES_MAX {
            Err(MetadataError::Truncated {
                expected: found + 1,
                found,
            })
        } else {
            Err(MetadataError::NotMetadata)
        };
    };
    let (first, body) = bytes.split_at(line + 1);
    let (version, expected, length) = parse_header(first)?;
    let found = body.len() as u64;
    if found < length {
        let header = first.len() as u64;
        let expected = header.saturating_add(length);
        return Err(MetadataError::Truncated {
            expected,
            found: header + found,
        });
    }
    if found > length {
        return Err(MetadataError::Malformed("something follows their end"));
    }
    let found = crc32c::crc32c(body);
    if found != expected {
        return Err(MetadataError::Corrupt { expected, found });
    }
    // Numbers can be spelled in more than one way; only ours is right.
    if version == 0 || first != header(version, expected, length).as_bytes() {
        return Err(MetadataError::Malformed("their first line is misspelled"));
    }
    Ok((version, body))
}

/// The version, the checksum and the length in the first line.
fn parse_header(line: &[u8]) -> Result<(u32, u32, u64), MetadataError> {
    let malformed = MetadataError::Malformed("their first line is unreadable");
    let text = std::str::from_utf8(line).map_err(|_| malformed.clone())?;
    let text = text.strip_prefix(MAGIC).ok_or(MetadataError::NotMetadata)?;
    let (version, rest) = text.split_once(' ').ok_or_else(|| malformed.clone())?;
    let version: u32 = version.parse().map_err(|_| malformed.clone())?;
    if version > VERSION {
        return Err(MetadataError::Newer {
            found: version,
            supported: VERSION,
        });
    }
    let parts = rest.trim_end_matches('\n').split_once(' ');
    let parts = parts.and_then(|(crc, length)| {
        let crc = u32::from_str_radix(crc.strip_prefix("crc32c=")?, 16).ok()?;
        Some((version, crc, length.strip_prefix("length=")?.parse().ok()?))
    });
    parts.ok_or(malformed)
}
