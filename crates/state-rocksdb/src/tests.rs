//! The laws on this backend, and what is particular to it.

mod canonical;
mod cases;
mod rescale;
mod saved;

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
    let place = place();
    let database = database(&place);
    laws::check_slow_backend(|decls, range| {
        Box::new(database.create("laws-0", decls, range).unwrap())
    });
}

#[test]
fn the_rocksdb_backend_keeps_the_laws_through_canonical_snapshots() {
    let place = place();
    let database = database(&place);
    laws::check_slow_backend(|decls, range| {
        Box::new(Canonical(database.create("laws-0", decls, range).unwrap()))
    });
}
