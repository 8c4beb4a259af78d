//! Compiled code, kept in a folder so that the second start loads in milliseconds.
//!
//! INVARIANT: an entry is run only if this program wrote it for this component and these settings:
//! its header names both, and the digest of the machine code is checked on each load. Whatever does
//! not fit is compiled anew, never an error; a folder that cannot be used only warns.

use std::{
    fs::{self, File},
    hash::{Hash, Hasher},
    io::{self, Write as _},
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use wasmtime::component::Component;

/// The first bytes of an entry, with the version of its layout.
const MAGIC: [u8; 8] = *b"WEIRCWM\x01";
/// magic ‖ key ‖ length of the code ‖ digest of the code.
const HEADER: usize = MAGIC.len() + 32 + 8 + 32;
/// How many entries are kept; the ones that were not used for longest go first. A guest's code is
/// some hundred KiB, that of a language runtime up to 50 MiB.
const MAX_ENTRIES: usize = 100;
const EXTENSION: &str = "cwasm";
/// Of an entry that is being written.
const PARTIAL: &str = "partial";
/// What has been in writing for so long was left behind by a process that was killed.
const MAX_WRITE: Duration = Duration::from_hours(1);

/// A folder of compiled code for one set of compiler settings.
pub(crate) struct Cache {
    folder: PathBuf,
    settings: blake3::Hash,
}

impl Cache {
    pub(crate) fn new(folder: PathBuf, wasm: &wasmtime::Engine) -> Self {
        let mut hasher = HashInto(blake3::Hasher::new());
        // Covers the version of wasmtime, the target, the CPU features and all settings of code.
        wasm.precompile_compatibility_hash().hash(&mut hasher);
        Self {
            folder,
            settings: hasher.0.finalize(),
        }
    }

    /// The compiled code of the component with this digest, if it is here and whole.
    pub(crate) fn load(&self, wasm: &wasmtime::Engine, digest: &blake3::Hash) -> Option<Component> {
        let path = self.path(digest);
        let entry = match fs::read(&path) {
            Ok(entry) => entry,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return None,
            Err(error) => {
                tracing::warn!(path = %path.display(), %error, "compiled code cannot be read");
                return None;
            }
        };
        if let Err(why) = private(&self.folder) {
            tracing::warn!(folder = %self.folder.display(), why, "compiled code is not used");
            return None;
        }
        let Some(code) = self.check(&entry, digest) else {
            tracing::warn!(path = %path.display(), "compiled code is damaged, compiling again");
            return None;
        };
        match deserialize(wasm, code) {
            Ok(component) => {
                touch(&path);
                Some(component)
            }
            Err(error) => {
                tracing::warn!(path = %path.display(), error = %format!("{error:#}"),
                    "compiled code does not fit this engine, compiling again");
                None
            }
        }
    }

    /// Keeps the code of a component. What goes wrong is told and is no error.
    pub(crate) fn store(&self, component: &Component, digest: &blake3::Hash) {
        let code = match component.serialize() {
            Ok(code) => code,
            Err(error) => {
                tracing::warn!(error = %format!("{error:#}"), "compiled code cannot be kept");
                return;
            }
        };
        if let Err(error) = self.write(&code, digest) {
            tracing::warn!(folder = %self.folder.display(), %error, "compiled code cannot be kept");
        }
    }

    fn write(&self, code: &[u8], digest: &blake3::Hash) -> io::Result<()> {
        create(&self.folder)?;
        private(&self.folder).map_err(io::Error::other)?;
        let mut file = tempfile::Builder::new()
            .suffix(&format!(".{PARTIAL}"))
            .tempfile_in(&self.folder)?;
        file.write_all(&MAGIC)?;
        file.write_all(self.key(digest).as_bytes())?;
        file.write_all(&(code.len() as u64).to_le_bytes())?;
        file.write_all(blake3::hash(code).as_bytes())?;
        file.write_all(code)?;
        file.as_file().sync_all()?;
        file.persist(self.path(digest))?;
        self.prune(SystemTime::now(), MAX_ENTRIES)
    }

    /// The code of an entry, if all that the header says is true.
    fn check<'e>(&self, entry: &'e [u8], digest: &blake3::Hash) -> Option<&'e [u8]> {
        let rest = entry.strip_prefix(&MAGIC)?;
        let rest = rest.strip_prefix(self.key(digest).as_bytes())?;
        let (len, rest) = rest.split_first_chunk::<8>()?;
        let (code_digest, code) = rest.split_first_chunk::<32>()?;
        debug_assert_eq!(entry.len() - code.len(), HEADER);
        let whole = u64::from_le_bytes(*len) == code.len() as u64
            && blake3::hash(code) == blake3::Hash::from_bytes(*code_digest);
        whole.then_some(code)
    }

    /// What an entry is for: the component and the settings.
    fn key(&self, digest: &blake3::Hash) -> blake3::Hash {
        let mut hasher = blake3::Hasher::new();
        hasher.update(digest.as_bytes());
        hasher.update(self.settings.as_bytes());
        hasher.finalize()
    }

    fn path(&self, digest: &blake3::Hash) -> PathBuf {
        let name = self.key(digest).to_hex();
        self.folder.join(name.as_str()).with_extension(EXTENSION)
    }

    /// Removes the oldest of more than `most` entries, and what was left behind half written.
    fn prune(&self, now: SystemTime, most: usize) -> io::Result<()> {
        let (mut entries, mut gone) = (Vec::new(), Vec::new());
        for entry in fs::read_dir(&self.folder)? {
            let path = entry?.path();
            let Some(used) = in_spite_of_others(fs::metadata(&path).and_then(|m| m.modified()))?
            else {
                continue;
            };
            if path.extension().is_some_and(|e| e == EXTENSION) {
                entries.push((used, path));
            } else if path.extension().is_some_and(|e| e == PARTIAL)
                && now.duration_since(used).is_ok_and(|age| age > MAX_WRITE)
            {
                gone.push(path);
            }
        }
        entries.sort();
        let excess = entries.len().saturating_sub(most);
        gone.extend(entries.drain(..excess).map(|(_, path)| path));
        for path in gone {
            in_spite_of_others(fs::remove_file(path))?;
        }
        Ok(())
    }
}

/// Another process may tidy up at the same time: what is gone is gone.
fn in_spite_of_others<T>(result: io::Result<T>) -> io::Result<Option<T>> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

#[expect(
    unsafe_code,
    reason = "machine code can only be taken over on trust; the caller has checked that it is ours"
)]
fn deserialize(wasm: &wasmtime::Engine, code: &[u8]) -> wasmtime::Result<Component> {
    // SAFETY: `deserialize` asks that the bytes are what `Component::serialize` gave. They are: the
    // entry names this component and these settings (the hash of which covers the version of
    // wasmtime), and its blake3 digest was written together with it and has just been checked, so
    // it was neither cut nor changed by accident. Nobody else could have written it on purpose:
    // the folder belongs to this user and nobody else may write to it, and who can act as this user
    // can run code as this user anyway. wasmtime compares version and settings once more itself.
    unsafe { Component::deserialize(wasm, code) }
}

/// Makes a folder that only this user can see into, and its parents.
fn create(folder: &Path) -> io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(folder)
}

/// Whether nobody but this user can have written to the folder.
#[cfg(unix)]
fn private(folder: &Path) -> Result<(), String> {
    use std::os::unix::fs::MetadataExt as _;
    let metadata = fs::metadata(folder).map_err(|error| error.to_string())?;
    let me = rustix::process::geteuid().as_raw();
    trusted(metadata.uid(), me, metadata.mode())
}

/// Whether what this owner and mode keep others out of can be trusted.
#[cfg(unix)]
fn trusted(owner: u32, me: u32, mode: u32) -> Result<(), String> {
    if owner != me {
        return Err(format!(
            "the folder belongs to user {owner}, this is user {me}"
        ));
    }
    let mode = mode & 0o7777;
    if mode & 0o022 != 0 {
        return Err(format!(
            "others may write to the folder (mode {mode:o}, wanted 700)"
        ));
    }
    Ok(())
}

#[cfg(not(unix))]
fn private(_: &Path) -> Result<(), String> {
    Ok(())
}

/// Marks an entry as used. If that fails the entry is only pruned earlier.
fn touch(path: &Path) {
    let touched = File::options()
        .append(true)
        .open(path)
        .and_then(|file| file.set_modified(SystemTime::now()));
    if let Err(error) = touched {
        tracing::debug!(path = %path.display(), %error, "compiled code cannot be marked as used");
    }
}

/// Feeds what implements `Hash` to blake3, whose result is the same in every process.
struct HashInto(blake3::Hasher);

impl Hasher for HashInto {
    fn write(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    fn finish(&self) -> u64 {
        let mut first = [0; 8];
        first.copy_from_slice(&self.0.finalize().as_bytes()[..8]);
        u64::from_le_bytes(first)
    }
}

#[cfg(test)]
mod tests;
