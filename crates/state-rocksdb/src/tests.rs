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

/// The laws on databases with so many bytes before them, in which writes wait or do not: in two
/// tests, for each takes its time.
macro_rules! keep_the_laws {
    ($($name:ident, $at_random:ident: $front:expr, $write_back:expr, $shown_as:expr;)*) => {$(
        #[test]
        fn $name() {
            on_databases($front, $write_back, |database| {
                laws::check_slow_backend(|decls, range| {
                    $shown_as(database.create("laws-0", decls, range).unwrap())
                });
            });
        }

        #[test]
        fn $at_random() {
            on_databases($front, $write_back, |database| {
                laws::check_slow_backend_at_random(|decls, range| {
                    $shown_as(database.create("laws-0", decls, range).unwrap())
                });
            });
        }
    )*};
}

keep_the_laws! {
    the_rocksdb_backend_keeps_the_laws, the_rocksdb_backend_keeps_the_laws_at_random:
        64 << 10, false, Box::new;
    values_that_wait_before_the_database_keep_the_laws,
    values_that_wait_before_the_database_keep_the_laws_at_random:
        32 << 20, true, Box::new;
    values_of_which_some_give_way_keep_the_laws,
    values_of_which_some_give_way_keep_the_laws_at_random:
        64 << 10, true, Box::new;
    values_that_give_way_at_once_keep_the_laws,
    values_that_give_way_at_once_keep_the_laws_at_random:
        0, true, Box::new;
    the_rocksdb_backend_keeps_the_laws_through_canonical_snapshots,
    the_rocksdb_backend_keeps_the_laws_through_canonical_snapshots_at_random:
        64 << 10, true, |backend| Box::new(Canonical(backend));
}

/// The operators of the laws have lists and maps, too, so what is before the database is said and
/// not what it would be else.
fn on_databases(front: usize, write_back: bool, check: impl FnOnce(&RocksDb)) {
    let place = place();
    check(&database(&place).tuned(front, write_back));
}
