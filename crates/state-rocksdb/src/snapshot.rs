//! Snapshots: the files of the database, linked into a folder of their own while the task waits,
//! then written out beside the data path.
//!
//! Natively the files themselves are saved, each under a name that comes from its content; so a
//! file that the base has is known by its name, in whatever process it was made. Canonically the
//! folder is opened as a database and read in order.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::{self, File},
    io::{self, Read},
    path::Path,
    sync::{Arc, Mutex, PoisonError},
};

use rocksdb::checkpoint::Checkpoint;
use weir_model::{KeyGroup, ProcessingTime};
use weir_state::{
    Error, Snapshot, SnapshotSink, StateIndex,
    backends::{self, BLOCK_BYTES, Holds, Shape},
};

use crate::{
    Shared,
    database::{Access, Database},
    error::{damaged, disk, failed},
    keys, lists, options,
    restore::Note,
    scratch::Folder,
    ttl::{Clock, Expired, Left},
};

/// What tables of the database end with: files that never change.
pub(crate) const TABLE: &str = ".sst";
/// Bytes that are read from a file at once.
const READ_BYTES: usize = 256 << 10;

/// The names under which tables of a database are saved, by their names in its folder. A table is
/// read once to know it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Names(Arc<Mutex<BTreeMap<String, String>>>);

/// A database as it was at a barrier.
pub(crate) struct Frozen {
    folder: Folder,
    shared: Arc<Shared>,
}

struct Native {
    frozen: Frozen,
    names: Names,
}

struct Canonical {
    frozen: Frozen,
    holds: Arc<Holds>,
    now: ProcessingTime,
}

/// Writes out what is in memory, and links all files of a database into a folder. Blocking.
pub(crate) fn freeze(database: &Database, owner: &str) -> Result<Frozen, Error> {
    let folder = database.shared.scratch.folder(&format!("{owner}-snapshot"));
    Checkpoint::new(&database.db)
        .and_then(|checkpoint| checkpoint.create_checkpoint(folder.path()))
        .map_err(disk("link the database's files to", folder.path()))?;
    Ok(Frozen {
        folder,
        shared: database.shared.clone(),
    })
}

/// The files of a frozen database.
pub(crate) fn native(frozen: Frozen, names: Names) -> impl Snapshot {
    Native { frozen, names }
}

/// The rows of a frozen database.
pub(crate) fn canonical(frozen: Frozen, holds: Arc<Holds>, now: ProcessingTime) -> impl Snapshot {
    Canonical { frozen, holds, now }
}

impl Names {
    pub(crate) fn get(&self, file: &str) -> Option<String> {
        let names = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        names.get(file).cloned()
    }

    pub(crate) fn insert(&self, file: &str, name: String) {
        let mut names = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        names.insert(file.to_owned(), name);
    }

    /// Forgets what was compacted away.
    fn retain(&self, files: &BTreeSet<String>) {
        let mut names = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        names.retain(|file, _| files.contains(file));
    }
}

impl Snapshot for Native {
    fn write(self: Box<Self>, sink: &mut dyn SnapshotSink) -> Result<(), Error> {
        let folder = self.frozen.folder.path();
        let files = files_of(folder)?;
        let mut note = Note::default();
        let mut given = BTreeSet::new();
        for file in &files {
            let path = folder.join(file);
            let name = match self.names.get(file) {
                Some(name) => name,
                None => name_of(&path)?,
            };
            if file.ends_with(TABLE) {
                self.names.insert(file, name.clone());
            }
            // Two files of the same content are one object.
            if given.insert(name.clone()) && !sink.keep_blob(&name)? {
                let mut bytes = File::open(&path).map_err(disk("read", &path))?;
                let length = bytes.metadata().map_err(disk("read", &path))?.len();
                sink.blob(&name, length, &mut bytes)?;
            }
            note.files.push((file.clone(), name));
        }
        self.names.retain(&files);
        sink.note(&note.encode())
    }
}

/// The files in a folder that make up its database.
fn files_of(folder: &Path) -> Result<BTreeSet<String>, Error> {
    let read = disk("read the folder", folder);
    let mut files = BTreeSet::new();
    for entry in fs::read_dir(folder).map_err(&read)? {
        let name = entry.map_err(&read)?.file_name();
        let name = name.to_string_lossy();
        if name.ends_with(TABLE) || name == "CURRENT" || name.starts_with("MANIFEST-") {
            files.insert(name.into_owned());
        }
    }
    Ok(files)
}

/// The name that the content of a file has.
fn name_of(path: &Path) -> Result<String, Error> {
    let read = disk("read", path);
    let mut file = File::open(path).map_err(&read)?;
    let mut hasher = blake3::Hasher::new();
    let mut buffer = vec![0; READ_BYTES];
    loop {
        match file.read(&mut buffer) {
            Ok(0) => break,
            Ok(len) => hasher.update(&buffer[..len]),
            Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
            Err(e) => return Err(read(e)),
        };
    }
    Ok(hasher.finalize().to_hex().to_string())
}

impl Snapshot for Canonical {
    fn write(self: Box<Self>, sink: &mut dyn SnapshotSink) -> Result<(), Error> {
        let Self { frozen, holds, now } = *self;
        let Frozen { folder, shared } = frozen;
        let database = Database::open(shared, folder, &holds, Clock::new(), Access::Read)?;
        for (state, shape) in holds.shapes.iter().enumerate() {
            if *shape != Shape::Foreign {
                let ttl = holds.decls[state].ttl;
                let left = ttl.map(|ttl| Expired::at(*shape, ttl.duration_ms, now));
                let mut rows = Rows::new(sink, StateIndex(state as u32), *shape);
                write_state(&database, &holds, state, left, &mut rows)?;
                rows.flush()?;
            }
        }
        Ok(())
    }
}

fn write_state(
    database: &Database,
    holds: &Holds,
    state: usize,
    mut expired: Option<Expired>,
    rows: &mut Rows<'_>,
) -> Result<(), Error> {
    let mut options = options::whole_scan();
    options.set_iterate_lower_bound(keys::first_of(holds.range.start));
    options.set_iterate_upper_bound(keys::end_of(holds.range));
    let family = database.family(state)?;
    let mut entries = database.db.raw_iterator_cf_opt(&family, options);
    entries.seek_to_first();
    while let Some((stored, value)) = entries.item() {
        let value = match &mut expired {
            None => Some(value),
            Some(expired) => match expired.look_at(value) {
                Left::All => Some(value),
                Left::Some => Some(expired.kept()),
                Left::Nothing => None,
            },
        };
        if let Some(value) = value {
            rows.entry(stored, value)?;
        }
        entries.next();
    }
    entries.status().map_err(failed("read a state"))
}

/// Rows on their way to the sink.
struct Rows<'a> {
    sink: &'a mut dyn SnapshotSink,
    state: StateIndex,
    shape: Shape,
    group: KeyGroup,
    count: u64,
    bytes: Vec<u8>,
    /// The key in hand, and of a list or a map the items that were not written yet.
    key: Vec<u8>,
    items: u64,
    encoded: Vec<u8>,
    /// The key that is looked at.
    next: Vec<u8>,
}

impl<'a> Rows<'a> {
    fn new(sink: &'a mut dyn SnapshotSink, state: StateIndex, shape: Shape) -> Self {
        Self {
            sink,
            state,
            shape,
            group: KeyGroup(0),
            count: 0,
            bytes: Vec::new(),
            key: Vec::new(),
            items: 0,
            encoded: Vec::new(),
            next: Vec::new(),
        }
    }

    fn entry(&mut self, stored: &[u8], value: &[u8]) -> Result<(), Error> {
        let map = matches!(self.shape, Shape::Map | Shape::Timers);
        let (group, map_key) =
            keys::split(stored, map, &mut self.next).ok_or_else(|| damaged("a key"))?;
        if self.items > 0 && (group != self.group || self.next != self.key) {
            self.part()?;
        }
        if group != self.group {
            self.flush_block()?;
            self.group = group;
        }
        std::mem::swap(&mut self.key, &mut self.next);
        match self.shape {
            Shape::Cell => {
                self.row();
                backends::put_bytes(&mut self.bytes, value);
                self.flush_if_full()?;
            }
            Shape::List => {
                for element in lists::elements(value) {
                    self.item(&[element?])?;
                }
            }
            Shape::Map | Shape::Timers => self.item(&[map_key, value])?,
            Shape::Foreign => {}
        }
        Ok(())
    }

    fn item(&mut self, parts: &[&[u8]]) -> Result<(), Error> {
        for part in parts {
            backends::put_bytes(&mut self.encoded, part);
        }
        self.items += 1;
        if self.encoded.len() >= BLOCK_BYTES {
            self.part()?;
        }
        Ok(())
    }

    /// Ends a row of the items in hand.
    fn part(&mut self) -> Result<(), Error> {
        if self.items > 0 {
            self.row();
            backends::put_uvarint(&mut self.bytes, self.items);
            self.bytes.append(&mut self.encoded);
            self.items = 0;
        }
        self.flush_if_full()
    }

    /// Begins a row.
    fn row(&mut self) {
        self.count += 1;
        backends::put_bytes(&mut self.bytes, &self.key);
        backends::put_bytes(&mut self.bytes, &[]);
    }

    fn flush_if_full(&mut self) -> Result<(), Error> {
        if self.bytes.len() >= BLOCK_BYTES {
            self.flush_block()?;
        }
        Ok(())
    }

    fn flush(&mut self) -> Result<(), Error> {
        self.part()?;
        self.flush_block()
    }

    fn flush_block(&mut self) -> Result<(), Error> {
        if self.count > 0 {
            self.sink
                .block(self.state, self.group, self.count, &self.bytes)?;
        }
        self.count = 0;
        self.bytes.clear();
        Ok(())
    }
}
