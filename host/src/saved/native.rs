//! State in RocksDB's own files, laid out so that it can be read range by range as other state is:
//! the files are put into a database in the system's folder for temporary files, and all rows of it
//! into one file beside it, key group by key group. Both are gone in the end.
//!
//! INVARIANT: no more than a block is in memory, however large the state is.

use std::{
    fs::{self, File, OpenOptions},
    hash::{BuildHasher, RandomState},
    io::{BufWriter, Read, Seek, SeekFrom, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use weir_model::{CheckpointId, KeyGroup, KeyGroupRange, OperatorName};
use weir_state::{
    Backend, Chain, Error, NativeReaders, SnapshotSink, StateDecl, StateFileReader, StateIndex,
    Ttl, canonical,
};
use weir_state_rocksdb::{RocksDb, RocksDbOptions};

/// The memory of the database: its files are read through once.
const MEMORY_BYTES: usize = 64 << 20;

/// The rows of an operator.
pub(super) struct Rows {
    file: File,
    blocks: Vec<Block>,
}

/// Where the rows of one state and key group lie, or some of them.
struct Block {
    state: StateIndex,
    group: KeyGroup,
    rows: u64,
    offset: u64,
    length: u64,
}

impl Rows {
    /// Reads all that the files of old subtasks, each with the key groups it held, have natively.
    ///
    /// # Errors
    /// [`Error::OtherBackend`] where that is of no backend that is known here, [`Error::Damaged`],
    /// [`Error::Local`] where the disk fails.
    pub(super) fn of(
        operator: &OperatorName,
        decls: &[StateDecl],
        range: KeyGroupRange,
        parts: Vec<(KeyGroupRange, &StateFileReader<'_>)>,
    ) -> Result<Self, Error> {
        let folder = std::env::temp_dir();
        let databases = RocksDb::new(RocksDbOptions {
            memory_bytes: MEMORY_BYTES,
            local_dir: folder.clone(),
        });
        let decls = decls.iter().map(that_never_expires).collect();
        let mut backend = databases.create(operator.as_str(), decls, range)?;
        if let Some(mut native) = NativeReaders::of(operator, parts) {
            backend.import(&mut native)?;
        }
        let file = unnamed(&folder)?;
        let mut writer = Writing {
            file: BufWriter::new(file),
            folder,
            blocks: Vec::new(),
            offset: 0,
        };
        backend.snapshot(&canonical())?.write(&mut writer)?;
        let Writing {
            file,
            folder,
            blocks,
            ..
        } = writer;
        let file = file.into_inner();
        let file = file.map_err(|e| disk("write to", &folder)(e.into_error()))?;
        Ok(Self { file, blocks })
    }

    /// Gives each block of a range of key groups to `take`.
    ///
    /// # Errors
    /// Those of `take`; [`Error::Local`] where the disk fails.
    pub(super) fn each(
        &mut self,
        range: KeyGroupRange,
        mut take: impl FnMut(StateIndex, KeyGroup, u64, &[u8]) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let failed = disk("read back from", &std::env::temp_dir());
        let mut bytes = Vec::new();
        for block in self.blocks.iter().filter(|b| range.contains(b.group)) {
            bytes.clear();
            self.file
                .seek(SeekFrom::Start(block.offset))
                .map_err(&failed)?;
            let read = (&mut self.file).take(block.length).read_to_end(&mut bytes);
            if read.map_err(&failed)? as u64 != block.length {
                return Err(Error::Damaged("a temporary file was cut off".into()));
            }
            take(block.state, block.group, block.rows, &bytes)?;
        }
        Ok(())
    }
}

/// The same state, of which nothing expires while it is laid out: times of last access stay with
/// their values.
fn that_never_expires(decl: &StateDecl) -> StateDecl {
    StateDecl {
        ttl: decl.ttl.map(|_| Ttl {
            duration_ms: i64::MAX as u64,
            on_read: false,
            return_expired: false,
        }),
        ..decl.clone()
    }
}

/// A file that nobody else can open, and that goes with this process.
fn unnamed(folder: &Path) -> Result<File, Error> {
    let random = RandomState::new().hash_one(std::process::id());
    let path = folder.join(format!("weir-rows-{random:016x}"));
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&path)
        .map_err(disk("make a file in", folder))?;
    fs::remove_file(&path).map_err(disk("remove a file from", folder))?;
    Ok(file)
}

fn disk(what: &'static str, folder: &Path) -> impl Fn(std::io::Error) -> Error + use<> {
    let folder = folder.display().to_string();
    move |error| Error::Local {
        what: format!("{what} {folder}"),
        message: error.to_string(),
    }
}

/// Writes blocks one behind the other.
struct Writing {
    file: BufWriter<File>,
    folder: PathBuf,
    blocks: Vec<Block>,
    offset: u64,
}

impl SnapshotSink for Writing {
    fn block(
        &mut self,
        state: StateIndex,
        group: KeyGroup,
        rows: u64,
        bytes: &[u8],
    ) -> Result<(), Error> {
        let written = self.file.write_all(bytes);
        written.map_err(disk("write to", &self.folder))?;
        let length = bytes.len() as u64;
        self.blocks.push(Block {
            state,
            group,
            rows,
            offset: self.offset,
            length,
        });
        self.offset += length;
        Ok(())
    }

    fn base(&self) -> Option<CheckpointId> {
        None
    }

    fn chain(&self, _: StateIndex, _: KeyGroup) -> Chain {
        Chain::default()
    }

    fn keep(&mut self, _: StateIndex, _: KeyGroup) -> Result<(), Error> {
        Ok(())
    }

    fn delta(&mut self, _: StateIndex, _: KeyGroup, _: u64, _: &[u8]) -> Result<(), Error> {
        Err(Error::Damaged("a delta without a base".into()))
    }

    fn blob(&mut self, _: &str, _: u64, _: &mut dyn Read) -> Result<(), Error> {
        Err(Error::Damaged(
            "a native file in a canonical snapshot".into(),
        ))
    }

    fn keep_blob(&mut self, _: &str) -> Result<bool, Error> {
        Ok(false)
    }

    fn note(&mut self, _: &[u8]) -> Result<(), Error> {
        Ok(())
    }
}
