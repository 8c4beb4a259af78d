//! The JSON of all versions, apart from the values that the rest of the host works with.
//!
//! INVARIANT: unknown fields are refused, as what a newer host wrote: a field that an old host
//! does not know may be one it must not leave out. A new field that every text has is a new
//! version; one that may be missing is left out where there is nothing to say, so that what was
//! written without it is read as before.

use std::collections::{BTreeMap, btree_map::Entry};

use serde::{Deserialize, Serialize};
use serde_json::Value;
use weir_model::{
    Attempt, CheckpointId, MaxParallelism, Name, Parallelism, ProcessingTime, SavepointFormat,
};

use super::{FileRef, Metadata, MetadataError, OpenSplit, OperatorMeta, SourceMeta};
use super::{StateMeta, SubtaskMeta};
use crate::{CheckpointKind, SharedFile, Transaction};

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Document {
    job: String,
    checkpoint: u64,
    kind: Kind,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    savepoint: Option<Format>,
    created_ms: i64,
    attempt: u32,
    max_parallelism: u32,
    operators: BTreeMap<String, Operator>,
    sources: BTreeMap<String, Source>,
    sinks: BTreeMap<String, Vec<Sealed>>,
}

#[derive(Clone, Copy, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Kind {
    Periodic,
    Manual,
    Savepoint,
    Stop,
    Final,
}

#[derive(Clone, Copy, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Format {
    Canonical,
    Native,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Operator {
    parallelism: u32,
    states: Vec<State>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    keys: Vec<Option<String>>,
    subtasks: Vec<Subtask>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct State {
    name: String,
    kind: String,
    format: String,
    version: u32,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Subtask {
    file: Option<File>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    shared: Vec<File>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    channels: Option<File>,
    finished: bool,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    path: String,
    length: u64,
    /// Eight digits, as in the first line and as tools print it.
    crc32c: String,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Source {
    enumerator: Value,
    open: Vec<Split>,
    ended: Vec<String>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Split {
    id: String,
    position: Value,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Sealed {
    checkpoint: u64,
    started_ms: i64,
    committables: Vec<Value>,
}

impl Document {
    /// Reads what is known to be as it was written, so that what is unknown in it is no damage.
    pub(super) fn parse(body: &[u8]) -> Result<Self, MetadataError> {
        serde_json::from_slice(body).map_err(|error| {
            let message = error.to_string();
            // The kinds of such errors are told apart by their text alone.
            let unknown = ["unknown field ", "unknown variant "];
            if unknown.iter().any(|begin| message.starts_with(begin)) {
                MetadataError::Unknown(message)
            } else {
                MetadataError::Invalid(message)
            }
        })
    }
}

/// What the types do not say. Both sides of the format ask it.
pub(super) fn check(metadata: &Metadata) -> Result<(), MetadataError> {
    if metadata.kind == CheckpointKind::Savepoint && metadata.savepoint.is_none() {
        let what = "a savepoint that does not say its format".to_owned();
        return Err(MetadataError::Invalid(what));
    }
    let mut files = BTreeMap::<&str, &FileRef>::new();
    for (name, operator) in &metadata.operators {
        let (parallelism, subtasks) = (operator.parallelism.get(), operator.subtasks.len());
        if parallelism as usize != subtasks {
            let what = format!("{name} has parallelism {parallelism} and {subtasks} subtasks");
            return Err(MetadataError::Invalid(what));
        }
        let max = metadata.max_parallelism.get();
        if parallelism > max {
            let what = format!("{name} has parallelism {parallelism}, the maximum is {max}");
            return Err(MetadataError::Invalid(what));
        }
        let mut shared = operator.subtasks.iter().flat_map(|subtask| &subtask.shared);
        if let Some(file) = shared.find(|file| file.shared().is_none()) {
            let what = format!("`{}` is not the path of a shared file", file.path);
            return Err(MetadataError::Invalid(what));
        }
        for subtask in &operator.subtasks {
            let mut states = subtask.file.iter().chain(&subtask.shared);
            let holds = states.find(|file| file.holds_channels());
            let lacks = subtask.channels.iter().find(|file| !file.holds_channels());
            if let Some(file) = holds.or(lacks) {
                let what = format!("`{}` is not where it could be", file.path);
                return Err(MetadataError::Invalid(what));
            }
        }
        for file in operator.subtasks.iter().flat_map(SubtaskMeta::files) {
            if !is_relative(&file.path) && SharedFile::parse(&file.path).is_none() {
                let what = format!("`{}` is not a path in a checkpoint", file.path);
                return Err(MetadataError::Invalid(what));
            }
            match files.entry(&file.path) {
                Entry::Vacant(entry) => {
                    entry.insert(file);
                }
                Entry::Occupied(entry) if **entry.get() == *file => {}
                Entry::Occupied(_) => {
                    let what = format!("`{}` has two lengths or checksums", file.path);
                    return Err(MetadataError::Invalid(what));
                }
            }
        }
    }
    Ok(())
}

/// Whether a path stays in the folder it is relative to, on any file system.
fn is_relative(path: &str) -> bool {
    let is_plain = |part: &str| !matches!(part, "" | "." | "..");
    path.split('/').all(is_plain) && !path.contains(['\\', ':', '\0'])
}

impl From<&Metadata> for Document {
    fn from(metadata: &Metadata) -> Self {
        let operators = metadata.operators.iter();
        let sources = metadata.sources.iter();
        let sinks = metadata.sinks.iter();
        Self {
            job: metadata.job.to_string(),
            checkpoint: metadata.checkpoint.0,
            kind: metadata.kind.into(),
            savepoint: metadata.savepoint.map(Format::from),
            created_ms: metadata.created.0,
            attempt: metadata.attempt.0,
            max_parallelism: metadata.max_parallelism.get(),
            operators: operators
                .map(|(name, o)| (name.to_string(), o.into()))
                .collect(),
            sources: sources
                .map(|(name, s)| (name.to_string(), s.into()))
                .collect(),
            sinks: sinks
                .map(|(name, all)| (name.to_string(), all.iter().map(Sealed::from).collect()))
                .collect(),
        }
    }
}

impl TryFrom<Document> for Metadata {
    type Error = MetadataError;

    fn try_from(document: Document) -> Result<Self, MetadataError> {
        Ok(Self {
            job: name(&document.job)?,
            checkpoint: CheckpointId(document.checkpoint),
            kind: document.kind.into(),
            savepoint: document.savepoint.map(SavepointFormat::from),
            created: ProcessingTime(document.created_ms),
            attempt: Attempt(document.attempt),
            max_parallelism: MaxParallelism::new(document.max_parallelism).map_err(invalid)?,
            operators: document
                .operators
                .into_iter()
                .map(|(key, operator)| Ok((name(&key)?, operator.try_into()?)))
                .collect::<Result<_, MetadataError>>()?,
            sources: document
                .sources
                .into_iter()
                .map(|(key, source)| Ok((name(&key)?, source.into())))
                .collect::<Result<_, MetadataError>>()?,
            sinks: document
                .sinks
                .into_iter()
                .map(|(key, all)| {
                    Ok((
                        name(&key)?,
                        all.into_iter().map(Transaction::from).collect(),
                    ))
                })
                .collect::<Result<_, MetadataError>>()?,
        })
    }
}

fn invalid(error: impl std::error::Error) -> MetadataError {
    MetadataError::Invalid(error.to_string())
}

fn name(text: &str) -> Result<Name, MetadataError> {
    Name::new(text).map_err(invalid)
}

impl From<CheckpointKind> for Kind {
    fn from(kind: CheckpointKind) -> Self {
        match kind {
            CheckpointKind::Periodic => Self::Periodic,
            CheckpointKind::Manual => Self::Manual,
            CheckpointKind::Savepoint => Self::Savepoint,
            CheckpointKind::Stop => Self::Stop,
            CheckpointKind::Final => Self::Final,
        }
    }
}

impl From<Kind> for CheckpointKind {
    fn from(kind: Kind) -> Self {
        match kind {
            Kind::Periodic => Self::Periodic,
            Kind::Manual => Self::Manual,
            Kind::Savepoint => Self::Savepoint,
            Kind::Stop => Self::Stop,
            Kind::Final => Self::Final,
        }
    }
}

impl From<SavepointFormat> for Format {
    fn from(format: SavepointFormat) -> Self {
        match format {
            SavepointFormat::Canonical => Self::Canonical,
            SavepointFormat::Native => Self::Native,
        }
    }
}

impl From<Format> for SavepointFormat {
    fn from(format: Format) -> Self {
        match format {
            Format::Canonical => Self::Canonical,
            Format::Native => Self::Native,
        }
    }
}

impl From<&OperatorMeta> for Operator {
    fn from(operator: &OperatorMeta) -> Self {
        let state = |state: &StateMeta| State {
            name: state.name.clone(),
            kind: state.kind.clone(),
            format: state.format.clone(),
            version: state.version,
        };
        let subtask = |subtask: &SubtaskMeta| Subtask {
            file: subtask.file.as_ref().map(File::from),
            shared: subtask.shared.iter().map(File::from).collect(),
            channels: subtask.channels.as_ref().map(File::from),
            finished: subtask.finished,
        };
        Self {
            parallelism: operator.parallelism.get(),
            states: operator.states.iter().map(state).collect(),
            keys: operator.keys.clone(),
            subtasks: operator.subtasks.iter().map(subtask).collect(),
        }
    }
}

impl TryFrom<Operator> for OperatorMeta {
    type Error = MetadataError;

    fn try_from(operator: Operator) -> Result<Self, MetadataError> {
        let state = |state: State| StateMeta {
            name: state.name,
            kind: state.kind,
            format: state.format,
            version: state.version,
        };
        Ok(Self {
            parallelism: Parallelism::new(operator.parallelism).map_err(invalid)?,
            states: operator.states.into_iter().map(state).collect(),
            keys: operator.keys,
            subtasks: operator
                .subtasks
                .into_iter()
                .map(|subtask| {
                    let file = subtask.file.map(FileRef::try_from).transpose()?;
                    let shared = subtask.shared.into_iter().map(FileRef::try_from);
                    Ok(SubtaskMeta {
                        file,
                        shared: shared.collect::<Result<_, _>>()?,
                        channels: subtask.channels.map(FileRef::try_from).transpose()?,
                        finished: subtask.finished,
                    })
                })
                .collect::<Result<_, MetadataError>>()?,
        })
    }
}

impl From<&FileRef> for File {
    fn from(file: &FileRef) -> Self {
        Self {
            path: file.path.clone(),
            length: file.length,
            crc32c: format!("{:08x}", file.crc32c),
        }
    }
}

impl TryFrom<File> for FileRef {
    type Error = MetadataError;

    fn try_from(file: File) -> Result<Self, MetadataError> {
        let crc32c = u32::from_str_radix(&file.crc32c, 16).ok();
        let Some(crc32c) = crc32c.filter(|crc| format!("{crc:08x}") == file.crc32c) else {
            let what = format!("`{}` is not the checksum of `{}`", file.crc32c, file.path);
            return Err(MetadataError::Invalid(what));
        };
        Ok(Self {
            path: file.path,
            length: file.length,
            crc32c,
        })
    }
}

impl From<&SourceMeta> for Source {
    fn from(source: &SourceMeta) -> Self {
        let split = |split: &OpenSplit| Split {
            id: split.id.clone(),
            position: split.position.clone(),
        };
        Self {
            enumerator: source.enumerator.clone(),
            open: source.open.iter().map(split).collect(),
            ended: source.ended.clone(),
        }
    }
}

impl From<Source> for SourceMeta {
    fn from(source: Source) -> Self {
        let split = |split: Split| OpenSplit {
            id: split.id,
            position: split.position,
        };
        Self {
            enumerator: source.enumerator,
            open: source.open.into_iter().map(split).collect(),
            ended: source.ended,
        }
    }
}

impl From<&Transaction> for Sealed {
    fn from(transaction: &Transaction) -> Self {
        Self {
            checkpoint: transaction.checkpoint.0,
            started_ms: transaction.started.0,
            committables: transaction.committables.clone(),
        }
    }
}

impl From<Sealed> for Transaction {
    fn from(sealed: Sealed) -> Self {
        Self {
            checkpoint: CheckpointId(sealed.checkpoint),
            started: ProcessingTime(sealed.started_ms),
            committables: sealed.committables,
        }
    }
}
