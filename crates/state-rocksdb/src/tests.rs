//! The laws on this backend, and what is particular to it.

mod behind;
mod canonical;
mod cases;
mod entries;
mod rescale;
mod saved;
mod waiting;

use weir_state::laws;

use crate::{RocksDb, RocksDbOptions};
use canonical::Canonical;

/// In memory where the system has such a place: RocksDB syncs all it writes.
fn place() -> tempfile::TempDir {
    let shared_memory = std::path::Path::new("/dev/shm");
    let made = tempfile::tempdir_in(shared_memory);
    made.or_else(|_| tempfile::tempdir()).unwrap()
}

fn database(place: &tempfile::TempDir) -> RocksDb {
    RocksDb::new(RocksDbOptions {
        memory_bytes: 32 << 20,
        local_dir: place.path().to_owned(),
    })
}

#[test]
fn the_rocksdb_backend_keeps_the_laws() {
    keeps_the_laws(64 << 10, false);
}

#[test]
fn values_that_wait_before_the_database_keep_the_laws() {
    keeps_the_laws(32 << 20, true);
}

#[test]
fn values_of_which_some_give_way_keep_the_laws() {
    keeps_the_laws(64 << 10, true);
}

#[test]
fn values_that_give_way_at_once_keep_the_laws() {
    keeps_the_laws(0, true);
}

#[test]
fn the_rocksdb_backend_keeps_the_laws_through_canonical_snapshots() {
    let place = place();
    let database = database(&place).tuned(64 << 10, true);
    laws::check_slow_backend(|decls, range| {
        Box::new(Canonical(database.create("laws-0", decls, range).unwrap()))
    });
}

/// Checks the laws with so many bytes before the database, in which writes wait or do not. The
/// operators of the laws have lists and maps, too, so that is not what they would have else.
fn keeps_the_laws(front: usize, write_back: bool) {
    let place = place();
    let database = database(&place).tuned(front, write_back);
    laws::check_slow_backend(|decls, range| {
        Box::new(database.create("laws-0", decls, range).unwrap())
    });
}
