//! Where a split goes on, as a checkpoint holds it, and whether the file is still the same.

use std::{fs::File, io, os::unix::fs::FileExt};

use serde::{Deserialize, Serialize};
use serde_json::Value;
use weir_operator::Failure;

/// A place between two rows of a file (D25).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Position {
    v: u32,
    /// The id of the split.
    pub(super) path: String,
    #[serde(flatten)]
    pub(super) head: Head,
    /// Offset in decoded bytes.
    pub(super) offset: u64,
    /// Records before it: rows and malformed ones, without the header.
    pub(super) record: u64,
    /// Line ends before it.
    pub(super) line: u64,
    /// How many fields a csv record has, known from the first record on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) fields: Option<usize>,
}

/// What a file is recognised by: its first bytes, as they lie on disk.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Head {
    /// Their checksum (crc32c).
    #[serde(rename = "head")]
    crc32c: u32,
    /// How many there are: [`Head::MAX_LEN`], fewer in a shorter file.
    #[serde(rename = "head-len")]
    len: u64,
}

impl Position {
    const VERSION: u32 = 1;

    /// The beginning of a file.
    pub(super) fn start(path: &str, head: Head) -> Self {
        Self {
            v: Self::VERSION,
            path: path.to_owned(),
            head,
            offset: 0,
            record: 0,
            line: 0,
            fields: None,
        }
    }

    /// Reads what a checkpoint holds of the split `id`; `None` = it begins at the beginning.
    pub(super) fn read(id: &str, saved: &Value) -> Result<Option<Self>, Failure> {
        let refuse = |message: String| Failure::Restore { message };
        if saved.is_null() {
            return Ok(None);
        }
        let version = saved.get("v").and_then(Value::as_u64);
        if version != Some(u64::from(Self::VERSION)) {
            return Err(refuse(format!(
                "the position in {id} has version {version:?}, this host reads {}",
                Self::VERSION
            )));
        }
        let position = Self::deserialize(saved)
            .map_err(|e| refuse(format!("the position in {id} is unreadable: {e}")))?;
        if position.path != id {
            return Err(refuse(format!(
                "the position of split {id} is one in {}",
                position.path
            )));
        }
        Ok(Some(position))
    }

    /// The same place in a file that has this head by now.
    pub(super) fn with_head(self, head: Head) -> Self {
        Self { head, ..self }
    }

    /// The document for the checkpoint.
    pub(super) fn to_value(&self) -> Result<Value, Failure> {
        serde_json::to_value(self).map_err(|e| Failure::Internal {
            message: format!("a position has no document: {e}"),
        })
    }
}

impl Head {
    /// How many bytes at most.
    const MAX_LEN: usize = 4096;

    /// Takes the head of a file.
    pub(super) fn of(file: &File) -> io::Result<Self> {
        Ok(Self::over(&first(file)?))
    }

    /// The head of a file as long as it is now, if it begins with this one; else what is different.
    pub(super) fn check(self, file: &File) -> io::Result<Result<Self, String>> {
        let bytes = first(file)?;
        let len = usize::try_from(self.len).unwrap_or(usize::MAX);
        Ok(match bytes.get(..len) {
            None => Err(format!(
                "has become shorter: {} bytes, it had at least {}",
                bytes.len(),
                self.len
            )),
            Some(same) if Self::over(same) != self => Err(format!(
                "has changed: its first {} bytes are not the same",
                self.len
            )),
            Some(_) => Ok(Self::over(&bytes)),
        })
    }

    /// Whether a longer file would have a longer head.
    pub(super) fn is_short(self) -> bool {
        self.len < Self::MAX_LEN as u64
    }

    fn over(bytes: &[u8]) -> Self {
        Self {
            crc32c: crc32c::crc32c(bytes),
            len: bytes.len() as u64,
        }
    }
}

/// The first bytes of a file, wherever it is read.
fn first(file: &File) -> io::Result<Vec<u8>> {
    let (mut bytes, mut len) = (vec![0; Head::MAX_LEN], 0);
    while let Some(free) = bytes.get_mut(len..).filter(|free| !free.is_empty()) {
        match file.read_at(free, len as u64) {
            Ok(0) => break,
            Ok(read) => len += read,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
    bytes.truncate(len);
    Ok(bytes)
}
