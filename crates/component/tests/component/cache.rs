//! Compiled code is found again, and never trusted.

use std::{
    fs,
    path::{Path, PathBuf},
};

use weir_component::{Component, Engine, EngineOptions, Limits};

use crate::{
    calls::ECHO,
    support::{Hand, Running},
};

/// Loads the component in an engine of its own, as a new process would, and runs it.
fn start(folder: &Path) -> Component {
    let engine = Engine::new(&EngineOptions {
        cache: Some(folder.to_owned()),
        ..EngineOptions::default()
    });
    let component = Hand::process(ECHO).load(&engine.unwrap()).unwrap();
    let mut running = Running::open(&component, Limits::default());
    assert_eq!(running.process(&["a"]).unwrap(), ["a"]);
    component
}

fn entries(folder: &Path) -> Vec<PathBuf> {
    fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect()
}

/// A cache with the component in it.
fn filled() -> (tempfile::TempDir, PathBuf, PathBuf) {
    let root = tempfile::tempdir().unwrap();
    let folder = root.path().join("made/for/us");
    assert!(!start(&folder).info().cached);
    let [entry] = entries(&folder).try_into().unwrap();
    (root, folder, entry)
}

#[test]
fn the_second_start_takes_the_code_from_the_cache() {
    let (_root, folder, entry) = filled();
    let component = start(&folder);
    assert!(component.info().cached);
    assert_eq!(entries(&folder), [entry]);
}

#[test]
fn a_damaged_entry_is_compiled_again() {
    let (_root, folder, entry) = filled();
    let whole = fs::read(&entry).unwrap();
    let flipped = |at: usize| {
        let mut bytes = whole.clone();
        bytes[at] ^= 1;
        bytes
    };
    let damaged = [
        Vec::new(),
        whole[..40].to_vec(),
        whole[..whole.len() - 1].to_vec(),
        [&whole[..], b"x"].concat(),
        // The magic, the key, the length, the digest, the first and the last byte of the code.
        flipped(0),
        flipped(8),
        flipped(40),
        flipped(48),
        flipped(80),
        flipped(whole.len() - 1),
    ];
    for (index, bytes) in damaged.into_iter().enumerate() {
        fs::write(&entry, bytes).unwrap();
        assert!(!start(&folder).info().cached, "damage {index}");
        assert_eq!(
            fs::read(&entry).unwrap().len(),
            whole.len(),
            "damage {index}"
        );
        assert!(start(&folder).info().cached, "after damage {index}");
    }
}

#[test]
fn an_entry_under_the_name_of_another_component_is_not_taken() {
    let (_root, folder, entry) = filled();
    let other = Hand::default();
    let engine = Engine::new(&EngineOptions {
        cache: Some(folder.clone()),
        ..EngineOptions::default()
    })
    .unwrap();
    other.load(&engine).unwrap();
    let theirs = entries(&folder)
        .into_iter()
        .find(|path| *path != entry)
        .unwrap();
    fs::copy(&theirs, &entry).unwrap();
    assert!(!start(&folder).info().cached);
}

#[cfg(unix)]
#[test]
fn a_folder_that_others_may_write_to_is_not_used() {
    use std::os::unix::fs::PermissionsExt as _;
    let (_root, folder, _) = filled();
    fs::set_permissions(&folder, fs::Permissions::from_mode(0o777)).unwrap();
    assert!(!start(&folder).info().cached);
    fs::set_permissions(&folder, fs::Permissions::from_mode(0o700)).unwrap();
    assert!(start(&folder).info().cached);
}

#[test]
fn a_folder_that_cannot_be_made_is_no_error() {
    let root = tempfile::tempdir().unwrap();
    let file = root.path().join("file");
    fs::write(&file, "").unwrap();
    assert!(!start(&file.join("cache")).info().cached);
}
