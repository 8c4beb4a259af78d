//! Native files back into a database.
//!
//! The old subtask that has most of the new one's key groups gives the database: its files are
//! opened as they are, and what is outside the key groups is removed from it, whole files where
//! they lie outside. What the others have is read in order, written to tables of its own and taken
//! in as they are, without a detour through memory. So is a state that begins or ends to have a
//! time to live: its values are laid out otherwise (D16).

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    sync::Arc,
};

use rocksdb::{IngestExternalFileOptions, Options, SstFileWriter, WriteBatch};
use weir_model::{KeyGroupRange, ProcessingTime};
use weir_state::{
    Error, NativeFiles, NativePart,
    backends::{Holds, Reader, Shape, put_bytes, put_uvarint},
};

use crate::{
    database::{Access, Database},
    error::{damaged, disk, failed},
    keys, lists, options,
    scratch::Folder,
    snapshot::{Names, TABLE},
    ttl::STAMP_BYTES,
};

/// What a note begins with, its version last.
const MAGIC: &[u8] = b"weir-rocksdb\x01";
/// A table that is written here is closed beyond so many bytes.
const TABLE_BYTES: u64 = 64 << 20;

/// Which files make up a database, and under which names they are saved.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Note {
    /// Name in the folder, name in the checkpoint.
    pub(crate) files: Vec<(String, String)>,
}

impl Note {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = MAGIC.to_vec();
        put_uvarint(&mut out, self.files.len() as u64);
        for (file, name) in &self.files {
            put_bytes(&mut out, file.as_bytes());
            put_bytes(&mut out, name.as_bytes());
        }
        out
    }

    /// Reads a note; of another backend's it is told that it is one.
    fn decode(bytes: &[u8]) -> Result<Self, Error> {
        let rest = bytes.strip_prefix(MAGIC).ok_or(Error::OtherBackend)?;
        let wrong = || Error::Damaged("the list of the database's files cannot be read".into());
        let mut note = Self::default();
        let mut reader = Reader::new(rest);
        for _ in 0..reader.uvarint().ok_or_else(wrong)? {
            let mut text = || {
                let bytes = reader.bytes().ok_or_else(wrong)?;
                String::from_utf8(bytes.to_vec()).map_err(|_| wrong())
            };
            let (file, name) = (text()?, text()?);
            // It becomes the name of a file: nothing but what a database has.
            if !is_database_file(&file) {
                return Err(wrong());
            }
            note.files.push((file, name));
        }
        if reader.is_empty() {
            Ok(note)
        } else {
            Err(wrong())
        }
    }
}

fn is_database_file(name: &str) -> bool {
    let number = |digits: &str| !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
    name == "CURRENT"
        || name.strip_suffix(TABLE).is_some_and(number)
        || name.strip_prefix("MANIFEST-").is_some_and(number)
}

/// How the values of a state are to be laid out anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Change {
    /// They begin to have a time to live, and were last accessed now.
    Stamp(ProcessingTime),
    /// They have none any more.
    Strip,
}

/// Fills an empty database with what the parts have of its key groups.
pub(crate) fn import(
    database: &mut Arc<Database>,
    holds: &Arc<Holds>,
    owner: &str,
    names: &Names,
    files: &mut dyn NativeFiles,
) -> Result<(), Error> {
    let parts = files.parts().to_vec();
    let notes = parts
        .iter()
        .map(|part| Note::decode(&part.note))
        .collect::<Result<Vec<_>, _>>()?;
    let common = |part: &NativePart| overlap(part.range, holds.range);
    let most = (0..parts.len())
        .filter(|&part| common(&parts[part]) > 0)
        .max_by_key(|&part| common(&parts[part]));
    let Some(most) = most else {
        return Ok(());
    };
    let folder = fetch(database, owner, &notes[most], most, files)?;
    adopt(database, holds, owner, &parts[most], folder)?;
    for (file, name) in &notes[most].files {
        if file.ends_with(TABLE) {
            names.insert(file, name.clone());
        }
    }
    for part in 0..parts.len() {
        if part != most && common(&parts[part]) > 0 {
            let folder = fetch(database, owner, &notes[part], part, files)?;
            merge(database, holds, owner, &parts[part], folder)?;
        }
    }
    Ok(())
}

fn overlap(a: KeyGroupRange, b: KeyGroupRange) -> usize {
    let (start, end) = (a.start.max(b.start), a.end.min(b.end));
    (usize::from(end.0) + 1).saturating_sub(usize::from(start.0))
}

/// Writes the files of a part to a folder. They are pieces of larger objects, so there is nothing
/// that could be linked.
fn fetch(
    database: &Database,
    owner: &str,
    note: &Note,
    part: usize,
    files: &mut dyn NativeFiles,
) -> Result<Folder, Error> {
    let folder = database.shared.scratch.folder(owner);
    fs::create_dir(folder.path()).map_err(disk("make the folder", folder.path()))?;
    for (file, name) in &note.files {
        let path = folder.path().join(file);
        let mut out = File::create_new(&path).map_err(disk("make", &path))?;
        files.read(part, name, &mut out)?;
    }
    Ok(folder)
}

/// Goes on with the database of a part.
fn adopt(
    database: &mut Arc<Database>,
    holds: &Arc<Holds>,
    owner: &str,
    part: &NativePart,
    folder: Folder,
) -> Result<(), Error> {
    let (shared, clock) = (database.shared.clone(), database.clock.clone());
    *database = Arc::new(Database::open(shared, folder, holds, clock, Access::Adopt)?);
    database.drop_undeclared()?;
    for state in 0..holds.decls.len() {
        if holds.shapes[state] == Shape::Foreign {
            continue;
        }
        match change_of(database, holds, state, part) {
            None => {
                clip(database, state, part.range, holds.range)?;
                database.resume(state)?;
            }
            Some(change) => {
                let tables = Tables::new(database, owner)?;
                let paths = tables.write(database, database, holds, state, Some(change))?;
                database.clear(state, holds)?;
                ingest(database, state, &paths)?;
            }
        }
    }
    Ok(())
}

/// Takes in what a part has of the key groups.
fn merge(
    database: &Database,
    holds: &Arc<Holds>,
    owner: &str,
    part: &NativePart,
    folder: Folder,
) -> Result<(), Error> {
    let (shared, clock) = (database.shared.clone(), database.clock.clone());
    let old = Database::open(shared, folder, holds, clock, Access::Read)?;
    for state in 0..holds.decls.len() {
        if old.has(state) {
            let change = change_of(database, holds, state, part);
            let tables = Tables::new(database, owner)?;
            let paths = tables.write(&old, database, holds, state, change)?;
            ingest(database, state, &paths)?;
        }
    }
    Ok(())
}

fn change_of(
    database: &Database,
    holds: &Holds,
    state: usize,
    part: &NativePart,
) -> Option<Change> {
    let decl = &holds.decls[state];
    let saved = part.states.iter().find(|saved| saved.name == decl.name)?;
    match (saved.ttl.is_some(), decl.ttl.is_some()) {
        (false, true) => Some(Change::Stamp(database.clock.now())),
        (true, false) => Some(Change::Strip),
        (true, true) | (false, false) => None,
    }
}

/// Removes what is outside of `wanted` from a state that holds `held`.
fn clip(
    database: &Database,
    state: usize,
    held: KeyGroupRange,
    wanted: KeyGroupRange,
) -> Result<(), Error> {
    let clip = failed("cut its key groups out");
    let family = database.family(state)?;
    let below = (keys::first_of(held.start), keys::first_of(wanted.start));
    let above = (keys::end_of(wanted), keys::end_of(held));
    for (from, to) in [below, above] {
        if from < to {
            database
                .db
                .delete_file_in_range_cf(&family, from, to)
                .map_err(&clip)?;
            // What was in a file that is gone may have hidden something older.
            let mut batch = WriteBatch::default();
            batch.delete_range_cf(&family, from, to);
            let writes = options::writes();
            database.db.write_opt(&batch, &writes).map_err(&clip)?;
        }
    }
    Ok(())
}

/// Tables on their way into a database.
struct Tables {
    folder: Folder,
}

impl Tables {
    fn new(database: &Database, owner: &str) -> Result<Self, Error> {
        let folder = database.shared.scratch.folder(&format!("{owner}-import"));
        fs::create_dir(folder.path()).map_err(disk("make the folder", folder.path()))?;
        Ok(Self { folder })
    }

    /// Writes what `from` has of a state in the key groups of `to`.
    fn write(
        &self,
        from: &Database,
        to: &Database,
        holds: &Holds,
        state: usize,
        change: Option<Change>,
    ) -> Result<Paths<'_>, Error> {
        let mut scan = options::whole_scan();
        scan.set_iterate_lower_bound(keys::first_of(holds.range.start));
        scan.set_iterate_upper_bound(keys::end_of(holds.range));
        let family = from.family(state)?;
        let mut entries = from.db.raw_iterator_cf_opt(&family, scan);
        entries.seek_to_first();
        let options = to.options(state, holds);
        let mut writer = TableWriter::new(&options, self.folder.path());
        let mut changed = Vec::new();
        while let Some((key, value)) = entries.item() {
            let value = match change {
                None => value,
                Some(change) => {
                    change.apply(holds.shapes[state], value, &mut changed)?;
                    &changed
                }
            };
            writer.put(key, value)?;
            entries.next();
        }
        entries.status().map_err(failed("read a state"))?;
        Ok(Paths {
            paths: writer.finish()?,
            _tables: self,
        })
    }
}

/// Tables that were written, as long as their folder is there.
struct Paths<'a> {
    paths: Vec<PathBuf>,
    _tables: &'a Tables,
}

struct TableWriter<'a> {
    options: &'a Options,
    folder: &'a Path,
    open: Option<SstFileWriter<'a>>,
    paths: Vec<PathBuf>,
}

impl<'a> TableWriter<'a> {
    fn new(options: &'a Options, folder: &'a Path) -> Self {
        Self {
            options,
            folder,
            open: None,
            paths: Vec::new(),
        }
    }

    fn put(&mut self, key: &[u8], value: &[u8]) -> Result<(), Error> {
        let path = self.folder.join(format!("{:06}{TABLE}", self.paths.len()));
        let writer = match &mut self.open {
            Some(writer) => writer,
            None => {
                let mut writer = SstFileWriter::create(self.options);
                writer.open(&path).map_err(disk("make", &path))?;
                self.paths.push(path);
                self.open.insert(writer)
            }
        };
        writer.put(key, value).map_err(failed("write a table"))?;
        if writer.file_size() >= TABLE_BYTES {
            self.close()?;
        }
        Ok(())
    }

    fn close(&mut self) -> Result<(), Error> {
        match self.open.take() {
            Some(mut writer) => writer.finish().map_err(failed("write a table")),
            None => Ok(()),
        }
    }

    fn finish(mut self) -> Result<Vec<PathBuf>, Error> {
        self.close()?;
        Ok(self.paths)
    }
}

fn ingest(database: &Database, state: usize, tables: &Paths<'_>) -> Result<(), Error> {
    if tables.paths.is_empty() {
        return Ok(());
    }
    let mut options = IngestExternalFileOptions::default();
    options.set_move_files(true);
    options.set_snapshot_consistency(false);
    let family = database.family(state)?;
    database
        .db
        .ingest_external_file_cf_opts(&family, &options, tables.paths.iter().collect())
        .map_err(failed("take tables in"))
}

impl Change {
    /// Writes a value as it is laid out now.
    fn apply(self, shape: Shape, value: &[u8], out: &mut Vec<u8>) -> Result<(), Error> {
        out.clear();
        match shape {
            Shape::Cell | Shape::Map | Shape::Timers => self.one(value, out),
            Shape::List => {
                let mut changed = Vec::new();
                for element in lists::elements(value) {
                    changed.clear();
                    self.one(element?, &mut changed)?;
                    put_bytes(out, &changed);
                }
                Ok(())
            }
            Shape::Foreign => Ok(()),
        }
    }

    fn one(self, value: &[u8], out: &mut Vec<u8>) -> Result<(), Error> {
        match self {
            Self::Stamp(now) => {
                out.extend_from_slice(&now.0.to_be_bytes());
                out.extend_from_slice(value);
            }
            Self::Strip => {
                let (_, value) = value
                    .split_first_chunk::<STAMP_BYTES>()
                    .ok_or_else(|| damaged("a value with a time to live"))?;
                out.extend_from_slice(value);
            }
        }
        Ok(())
    }
}
