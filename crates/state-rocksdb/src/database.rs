//! One open database and its folder: closed before the folder is removed.

use std::sync::Arc;

use rocksdb::{ColumnFamilyDescriptor, DB, DEFAULT_COLUMN_FAMILY_NAME as DEFAULT, Options};
use weir_state::{
    Error,
    backends::{Holds, Shape},
};

use crate::{
    Family, Shared,
    error::{disk, failed},
    options,
    scratch::Folder,
    ttl::Clock,
};

/// A database. The first field is dropped first.
pub(crate) struct Database {
    pub(crate) db: DB,
    _folder: Folder,
    /// The name of the column family of each state.
    families: Vec<String>,
    pub(crate) clock: Clock,
    pub(crate) shared: Arc<Shared>,
}

/// How a database is opened.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Access {
    /// To be written; what is declared and missing is made.
    Write,
    /// The same of files that another declaration may have written: nothing is compacted before
    /// [`resume`](Database::resume) says that a state is as it is declared, or it was made anew.
    /// What expires by the new declaration is not to be looked for in values of the old one, and a
    /// state that is declared no more could not be merged.
    Adopt,
    /// As it is in its folder, which must not change.
    Read,
}

impl Database {
    /// Opens the database in a folder, or makes it.
    pub(crate) fn open(
        shared: Arc<Shared>,
        folder: Folder,
        holds: &Holds,
        clock: Clock,
        access: Access,
    ) -> Result<Self, Error> {
        let path = folder.path();
        let database = options::database(&shared.memory);
        let mut present = Vec::new();
        if path.join("CURRENT").exists() {
            present = DB::list_cf(&database, path).map_err(disk("read the database in", path))?;
        }
        let families: Vec<String> = holds.decls.iter().map(|decl| name_of(&decl.name)).collect();
        let mut wanted = Vec::new();
        for (state, name) in families.iter().enumerate() {
            let known = access != Access::Read || present.contains(name);
            if known && holds.shapes[state] != Shape::Foreign {
                let mut options = options_of(&shared, holds, state, &clock);
                options.set_disable_auto_compactions(access == Access::Adopt);
                wanted.push(ColumnFamilyDescriptor::new(name, options));
            }
        }
        let db = match access {
            Access::Write | Access::Adopt => {
                // RocksDB opens all that are there, or none.
                present.retain(|name| name != DEFAULT && !families.contains(name));
                wanted.extend(present.iter().map(|name| {
                    let mut others = Options::default();
                    others.set_disable_auto_compactions(true);
                    ColumnFamilyDescriptor::new(name, others)
                }));
                DB::open_cf_descriptors(&database, path, wanted)
            }
            Access::Read => DB::open_cf_descriptors_read_only(&database, path, wanted, false),
        };
        Ok(Self {
            db: db.map_err(disk("open the database in", path))?,
            _folder: folder,
            families,
            clock,
            shared,
        })
    }

    /// The column family of a state.
    pub(crate) fn family(&self, state: usize) -> Result<Family<'_>, Error> {
        let name = self.families.get(state).map_or("", String::as_str);
        self.db
            .cf_handle(name)
            .ok_or_else(|| failed("find a column family")(format!("there is no `{name}`")))
    }

    /// Whether there is something of a state.
    pub(crate) fn has(&self, state: usize) -> bool {
        self.family(state).is_ok()
    }

    /// How the tables of a state are written.
    pub(crate) fn options(&self, state: usize, holds: &Holds) -> Options {
        options_of(&self.shared, holds, state, &self.clock)
    }

    /// Empties a state.
    pub(crate) fn clear(&self, state: usize, holds: &Holds) -> Result<(), Error> {
        let name = &self.families[state];
        self.db
            .drop_cf(name)
            .and_then(|()| self.db.create_cf(name, &self.options(state, holds)))
            .map_err(failed("empty a state"))
    }

    /// A state is as it is declared: it may be compacted from here on.
    pub(crate) fn resume(&self, state: usize) -> Result<(), Error> {
        let family = self.family(state)?;
        self.db
            .set_options_cf(&family, &[("disable_auto_compactions", "false")])
            .map_err(failed("have a state compacted"))
    }

    /// Drops the states that are not declared any more.
    pub(crate) fn drop_undeclared(&self) -> Result<(), Error> {
        for name in self.db.cf_names() {
            if name != DEFAULT && !self.families.contains(&name) {
                self.db.drop_cf(&name).map_err(failed("drop a state"))?;
            }
        }
        Ok(())
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        // Nothing of it is needed any more: closing need not wait for compactions to end.
        self.db.cancel_all_background_work(false);
    }
}

/// The column family of a state with this name: RocksDB has a `default` of its own.
fn name_of(state: &str) -> String {
    format!("state/{state}")
}

fn options_of(shared: &Shared, holds: &Holds, state: usize, clock: &Clock) -> Options {
    let ttl_ms = holds.decls[state].ttl.map(|ttl| ttl.duration_ms);
    options::family(&shared.memory, holds.shapes[state], ttl_ms, clock)
}
