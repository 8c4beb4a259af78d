//! Entries that are whole, that are not, and that are too many.

use std::collections::BTreeSet;

use proptest::prelude::*;
use tempfile::TempDir;
use wasmtime::{Config, Engine, OptLevel};

use super::*;

/// A cache in a folder of its own, and one component to keep in it.
struct Fixture {
    root: TempDir,
    wasm: Engine,
    cache: Cache,
    component: Component,
    digest: blake3::Hash,
}

impl Fixture {
    fn new() -> Self {
        let root = tempfile::tempdir().unwrap();
        let wasm = Engine::default();
        let cache = Cache::new(root.path().join("code"), &wasm);
        let bytes = wat::parse_str("(component)").unwrap();
        Self {
            component: Component::from_binary(&wasm, &bytes).unwrap(),
            digest: blake3::hash(&bytes),
            cache,
            wasm,
            root,
        }
    }

    /// With the component in the cache.
    fn filled() -> Self {
        let fixture = Self::new();
        fixture.store();
        fixture
    }

    fn store(&self) {
        self.cache.store(&self.component, &self.digest);
    }

    fn loads(&self) -> bool {
        self.cache.load(&self.wasm, &self.digest).is_some()
    }

    fn entry(&self) -> PathBuf {
        self.cache.path(&self.digest)
    }

    /// The names of all that is in the folder.
    fn names(&self) -> BTreeSet<String> {
        let Ok(entries) = fs::read_dir(&self.cache.folder) else {
            return BTreeSet::new();
        };
        entries
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect()
    }

    /// Puts a file of that name into the folder, last used at that second.
    fn put(&self, name: &str, second: u64) {
        let file = File::create(self.cache.folder.join(name)).unwrap();
        file.set_modified(at(second)).unwrap();
    }
}

fn at(second: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(second)
}

fn names<const N: usize>(names: [&str; N]) -> BTreeSet<String> {
    names.map(String::from).into()
}

/// An entry with this damage is not loaded, and is whole again once it was stored anew.
#[track_caller]
fn check_rebuilt(fixture: &Fixture, damage: impl FnOnce(&mut Vec<u8>)) {
    let whole = fs::read(fixture.entry()).unwrap();
    let mut bytes = whole.clone();
    damage(&mut bytes);
    assert_ne!(bytes, whole);
    fs::write(fixture.entry(), bytes).unwrap();
    assert!(!fixture.loads(), "it was loaded");
    fixture.store();
    assert!(fixture.loads(), "it was not stored anew");
    assert_eq!(fs::read(fixture.entry()).unwrap(), whole);
}

#[test]
fn what_was_stored_is_loaded() {
    let fixture = Fixture::new();
    assert!(!fixture.loads(), "there is not even a folder");
    fixture.store();
    assert!(fixture.loads());
    let other = fixture.cache.load(&fixture.wasm, &blake3::hash(b"other"));
    assert!(other.is_none());
}

#[test]
fn an_entry_with_a_damaged_header_is_rebuilt() {
    let fixture = Fixture::filled();
    for at in 0..HEADER {
        check_rebuilt(&fixture, |entry| entry[at] ^= 0x40);
    }
}

#[test]
fn an_entry_with_damaged_code_is_rebuilt() {
    let fixture = Fixture::filled();
    let len = fs::read(fixture.entry()).unwrap().len();
    for at in [HEADER, HEADER + 1, (HEADER + len) / 2, len - 1] {
        check_rebuilt(&fixture, |entry| entry[at] ^= 1);
    }
}

#[test]
fn an_entry_of_another_length_is_rebuilt() {
    let fixture = Fixture::filled();
    for len in [0, 1, MAGIC.len(), HEADER - 1, HEADER, HEADER + 1] {
        check_rebuilt(&fixture, |entry| entry.truncate(len));
    }
    check_rebuilt(&fixture, |entry| {
        entry.pop();
    });
    check_rebuilt(&fixture, |entry| entry.push(0));
}

#[test]
fn code_that_is_whole_and_is_no_code_is_rebuilt() {
    let fixture = Fixture::filled();
    check_rebuilt(&fixture, |entry| {
        let code = b"not code at all";
        entry.truncate(MAGIC.len() + 32);
        entry.extend_from_slice(&(code.len() as u64).to_le_bytes());
        entry.extend_from_slice(blake3::hash(code).as_bytes());
        entry.extend_from_slice(code);
    });
}

#[test]
fn an_entry_with_the_key_of_another_component_is_rebuilt() {
    let fixture = Fixture::filled();
    let other = blake3::hash(b"another component");
    fixture.cache.store(&fixture.component, &other);
    fs::copy(fixture.cache.path(&other), fixture.entry()).unwrap();
    assert!(!fixture.loads());
    fixture.store();
    assert!(fixture.loads());
}

#[test]
fn another_setting_of_the_engine_is_another_entry() {
    let fixture = Fixture::filled();
    let mut config = Config::new();
    config.cranelift_opt_level(OptLevel::None);
    let wasm = Engine::new(&config).unwrap();
    let cache = Cache::new(fixture.cache.folder.clone(), &wasm);
    assert!(cache.load(&wasm, &fixture.digest).is_none());
    let theirs = cache.path(&fixture.digest);
    assert_ne!(theirs, fixture.entry());
    // Even under the right name it is not taken.
    fs::copy(fixture.entry(), theirs).unwrap();
    assert!(cache.load(&wasm, &fixture.digest).is_none());
    // The same settings, in another process say, are the same entry.
    let again = Cache::new(fixture.cache.folder.clone(), &Engine::default());
    assert_eq!(again.path(&fixture.digest), fixture.entry());
}

#[test]
fn a_write_leaves_one_whole_entry_or_nothing() {
    let fixture = Fixture::filled();
    let entry = fixture.entry();
    let name = entry.file_name().unwrap().to_str().unwrap();
    assert_eq!(fixture.names(), names([name]));
    fixture.store();
    assert_eq!(fixture.names(), names([name]));
    // What cannot be put in its place is not left lying about.
    fs::remove_file(&entry).unwrap();
    fs::create_dir_all(entry.join("in the way")).unwrap();
    fixture.store();
    assert_eq!(fixture.names(), names([name]));
    assert!(!fixture.loads());
}

#[test]
fn what_a_killed_process_left_half_written_is_removed_in_time() {
    let fixture = Fixture::filled();
    let entry = fixture.entry();
    let entry = entry.file_name().unwrap().to_str().unwrap();
    fixture.put("old.partial", 1000);
    fixture.put("someone-writes.partial", 1001);
    fixture.put("foreign.txt", 0);
    let now = at(1000) + MAX_WRITE + Duration::from_secs(1);
    fixture.cache.prune(now, MAX_ENTRIES).unwrap();
    let left = names([entry, "someone-writes.partial", "foreign.txt"]);
    assert_eq!(fixture.names(), left);
    assert!(fixture.loads());
}

#[test]
fn of_too_many_entries_the_ones_not_used_for_longest_go() {
    let fixture = Fixture::new();
    create(&fixture.cache.folder).unwrap();
    for index in 0..MAX_ENTRIES as u64 {
        fixture.put(&format!("{index}.cwasm"), 1000 - index);
    }
    fixture.store();
    let left = fixture.names();
    assert_eq!(left.len(), MAX_ENTRIES);
    assert!(
        !left.contains("99.cwasm") && left.contains("98.cwasm"),
        "{left:?}"
    );
    assert!(fixture.loads());
}

#[test]
fn what_is_loaded_counts_as_used() {
    let fixture = Fixture::filled();
    let entry = File::options().write(true).open(fixture.entry()).unwrap();
    entry.set_modified(at(0)).unwrap();
    fixture.put("other.cwasm", 1000);
    assert!(fixture.loads());
    fixture.cache.prune(SystemTime::now(), 1).unwrap();
    assert!(fixture.loads());
    assert_eq!(fixture.names().len(), 1);
}

#[cfg(unix)]
fn set_mode(fixture: &Fixture, mode: u32) {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = &fixture.cache.folder;
    fs::set_permissions(folder, fs::Permissions::from_mode(mode)).unwrap();
}

#[cfg(unix)]
#[test]
fn a_folder_that_others_may_write_to_is_not_trusted() {
    let fixture = Fixture::filled();
    for mode in [0o777, 0o770, 0o720, 0o702, 0o1777] {
        set_mode(&fixture, mode);
        assert!(!fixture.loads(), "{mode:o}");
        fs::remove_file(fixture.entry()).unwrap();
        fixture.store();
        assert_eq!(fixture.names(), BTreeSet::new(), "{mode:o}");
        set_mode(&fixture, 0o700);
        fixture.store();
    }
    set_mode(&fixture, 0o755);
    assert!(fixture.loads(), "others may read");
}

#[cfg(unix)]
#[test]
fn a_folder_of_someone_else_is_not_trusted() {
    assert_eq!(trusted(1, 1, 0o40_700), Ok(()));
    assert_eq!(
        trusted(1, 2, 0o40_700),
        Err("the folder belongs to user 1, this is user 2".into())
    );
    assert_eq!(
        trusted(2, 2, 0o40_775),
        Err("others may write to the folder (mode 775, wanted 700)".into())
    );
}

#[cfg(unix)]
#[test]
fn a_folder_that_is_made_is_for_its_user_alone() {
    use std::os::unix::fs::MetadataExt as _;
    let fixture = Fixture::new();
    let folder = fixture.root.path().join("a/b");
    let cache = Cache::new(folder.clone(), &fixture.wasm);
    cache.store(&fixture.component, &fixture.digest);
    let mode = fs::metadata(folder).unwrap().mode();
    assert_eq!(mode & 0o777, 0o700);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn no_changed_entry_is_taken(
        changes in prop::collection::vec((any::<prop::sample::Index>(), 1_u8..), 1..4),
        cut in prop::option::of(any::<prop::sample::Index>()),
    ) {
        let fixture = Fixture::filled();
        let whole = fs::read(fixture.entry()).unwrap();
        let mut entry = whole.clone();
        for (at, by) in changes {
            let at = at.index(entry.len());
            entry[at] ^= by;
        }
        if let Some(cut) = cut {
            entry.truncate(cut.index(entry.len()));
        }
        prop_assume!(entry != whole);
        fs::write(fixture.entry(), entry).unwrap();
        prop_assert!(!fixture.loads());
    }
}
