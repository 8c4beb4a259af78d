//! Making sealed files visible: idempotent, so that it may be cut off anywhere and done again.
//!
//! The order is what makes it safe: link all, put the folder on disk, unlink the open names. So at
//! any moment each sealed file has at least one name that is on disk.

use std::{io, path::Path};

use serde::{Deserialize, Serialize};
use weir_operator::{Committable, Failure, OnLost, Recovered, Sealed};

use super::{
    folder::Folder,
    names::{self, Part},
};
use crate::file::{Disk, checksum};

/// A sealed file as a checkpoint holds it. Names are relative to the folder, so that it may move.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct SealedFile {
    v: u32,
    pub(super) temp: String,
    #[serde(rename = "final")]
    pub(super) final_name: String,
    pub(super) length: u64,
    pub(super) crc32c: u32,
}

/// How closely a file is looked at before it becomes visible.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Check {
    /// It was written by this process just now.
    Length,
    /// It was left by a process that died: read it again.
    Contents,
}

/// What became of one sealed file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Linked {
    Now,
    Before,
}

impl SealedFile {
    const VERSION: u32 = 1;

    pub(super) fn new(temp: String, final_name: String, length: u64, crc32c: u32) -> Self {
        Self {
            v: Self::VERSION,
            temp,
            final_name,
            length,
            crc32c,
        }
    }

    /// The document for the checkpoint.
    pub(super) fn to_committable(&self) -> Result<Committable, Failure> {
        serde_json::to_value(self).map_err(|e| Failure::Internal {
            message: format!("a sealed file has no document: {e}"),
        })
    }

    fn read(committable: &Committable) -> Result<Self, Failure> {
        let refuse = |message: String| Failure::Restore { message };
        let version = committable.get("v").and_then(serde_json::Value::as_u64);
        if version != Some(u64::from(Self::VERSION)) {
            return Err(refuse(format!(
                "a sealed file of the file sink has version {version:?}, this host reads {}",
                Self::VERSION
            )));
        }
        let sealed: Self = serde_json::from_value(committable.clone())
            .map_err(|e| refuse(format!("a sealed file of the file sink is unreadable: {e}")))?;
        // A checkpoint is input: its names must not lead out of the folder.
        let is_open = names::looks_open(&sealed.temp) && !sealed.temp.contains(['/', '\0']);
        let is_final =
            Part::parse(&sealed.final_name).is_some_and(|p| !p.name.contains(['/', '\0']));
        if !is_open || !is_final {
            return Err(refuse(format!(
                "a sealed file of the file sink has the names `{}` and `{}`, which are not its own",
                sealed.temp, sealed.final_name
            )));
        }
        Ok(sealed)
    }
}

/// Gives all of `sealed` their final names, but for what is gone and `lost` gives up.
pub(super) fn commit(
    folder: &Folder,
    sealed: &[Sealed],
    check: Check,
    lost: OnLost<'_>,
) -> Result<Recovered, Failure> {
    let sealed = sealed
        .iter()
        .map(|one| SealedFile::read(&one.committable))
        .collect::<Result<Vec<_>, _>>()?;
    let mut recovered = Recovered::default();
    for (at, one) in sealed.iter().enumerate() {
        match link(folder, one, check) {
            Ok(Linked::Now) => recovered.committed += 1,
            Ok(Linked::Before) => recovered.already += 1,
            Err(failure @ Failure::LostTransaction { .. }) => lost(at, failure)?,
            Err(failure) => return Err(failure),
        }
    }
    if !sealed.is_empty() {
        folder.sync()?;
        folder.remove(sealed.iter().map(|one| one.temp.as_str()))?;
    }
    Ok(recovered)
}

/// Links the open name to the final one, or finds that this was done before.
fn link(folder: &Folder, sealed: &SealedFile, check: Check) -> Result<Linked, Failure> {
    let (temp, last) = (folder.join(&sealed.temp), folder.join(&sealed.final_name));
    let what = || format!("commit {} as {}", temp.display(), last.display());
    let lost = |message: String| Failure::LostTransaction {
        what: what(),
        message,
    };
    let disk = folder.disk();
    let first = match differs(disk, &temp, sealed, check) {
        Ok(None) => None,
        Ok(Some(how)) => Some(format!("the first {how}")),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Some("the first is gone".to_owned()),
        Err(e) => return Err(Failure::io(what(), &e)),
    };
    if let Some(first) = first {
        // Where it differs, another may have its name by now: attempts are counted anew in another
        // checkpoint directory.
        return match differs(disk, &last, sealed, Check::Contents) {
            Ok(None) => Ok(Linked::Before),
            Ok(Some(how)) => Err(lost(format!("{first}, and the second {how}"))),
            Err(e) if e.kind() == io::ErrorKind::NotFound => {
                Err(lost(format!("{first}, and the second is not there")))
            }
            Err(e) => Err(Failure::io(what(), &e)),
        };
    }
    if folder.link(&sealed.temp, &sealed.final_name)? {
        return Ok(Linked::Now);
    }
    let there = if disk
        .is_same(&temp, &last)
        .map_err(|e| Failure::io(what(), &e))?
    {
        None
    } else {
        differs(disk, &last, sealed, Check::Contents).map_err(|e| Failure::io(what(), &e))?
    };
    match there {
        None => Ok(Linked::Before),
        // What was sealed is still there, and can be committed once the other is out of its way.
        Some(how) => Err(Failure::External {
            what: what(),
            message: format!("the second is there already and {how}"),
        }),
    }
}

/// How the file at `path` differs from what was sealed; `None` where it does not.
fn differs(
    disk: &dyn Disk,
    path: &Path,
    sealed: &SealedFile,
    check: Check,
) -> io::Result<Option<String>> {
    let length = disk.length(path)?;
    if length != sealed.length {
        return Ok(Some(format!(
            "has {length} bytes, the sealed one had {}",
            sealed.length
        )));
    }
    if check == Check::Length {
        return Ok(None);
    }
    let crc32c = checksum(disk.read(path)?)?;
    Ok((crc32c != sealed.crc32c).then(|| {
        format!(
            "has the checksum {crc32c:08x}, the sealed one had {:08x}",
            sealed.crc32c
        )
    }))
}
