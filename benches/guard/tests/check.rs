//! The guard as a program: what it says, and whether it fails. A script stands in for valgrind, so
//! that each count is known.

#![cfg(unix)]
#![expect(
    clippy::unwrap_used,
    reason = "a panic is how a test says that something is wrong"
)]

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use tempfile::TempDir;

/// A script in place of valgrind.
fn valgrind() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/valgrind.sh")
}

struct Folder(TempDir);

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn counts(&self) -> PathBuf {
        self.0.path().join("counts.json")
    }

    fn check(&self, valgrind: &Path, more: &[&str]) -> Output {
        Command::new(env!("CARGO_BIN_EXE_weir-guard"))
            .args(["check", "--components", "nowhere", "--counts"])
            .arg(self.counts())
            .arg("--valgrind")
            .arg(valgrind)
            .args(more)
            .output()
            .unwrap()
    }

    /// Keeps what is counted, with one path changed.
    fn keep(&self, path: &str, count: u64) {
        let written = self.check(&valgrind(), &["--write"]);
        assert!(written.status.success(), "{}", said(&written));
        let text = fs::read_to_string(self.counts()).unwrap();
        let mut all: serde_json::Value = serde_json::from_str(&text).unwrap();
        let kept = &mut all["instructions_a_batch"][path];
        assert_eq!(*kept, 100, "start-up is no part of a count");
        *kept = count.into();
        fs::write(self.counts(), all.to_string()).unwrap();
    }
}

fn said(output: &Output) -> String {
    let (out, log) = (&output.stdout, &output.stderr);
    String::from_utf8_lossy(&[&out[..], log].concat()).into_owned()
}

#[test]
fn what_was_kept_passes() {
    let folder = Folder::new();
    folder.keep("window", 100);
    let output = folder.check(&valgrind(), &[]);
    assert!(output.status.success(), "{}", said(&output));
    assert!(said(&output).contains("component-passthrough"));
}

#[test]
fn a_path_that_takes_more_than_is_kept_fails_and_is_named() {
    let folder = Folder::new();
    folder.keep("window", 96);
    let output = folder.check(&valgrind(), &[]);
    assert!(!output.status.success());
    let said = said(&output);
    let slower: Vec<&str> = said.lines().filter(|l| l.contains("SLOWER")).collect();
    assert_eq!(slower.len(), 1, "{said}");
    assert!(slower[0].starts_with("window"), "{said}");
    assert!(slower[0].contains("+4.17 %") && slower[0].contains("3 runs"));
    assert!(said.contains("./jw guard --write"), "{said}");
}

#[test]
fn a_path_that_takes_less_is_told_and_passes() {
    let folder = Folder::new();
    folder.keep("heap-1e3", 200);
    let output = folder.check(&valgrind(), &["--only", "heap"]);
    assert!(output.status.success());
    assert!(said(&output).contains("FASTER"), "{}", said(&output));
}

#[test]
fn without_valgrind_it_is_told_how_to_get_it() {
    let folder = Folder::new();
    folder.keep("window", 100);
    let output = folder.check(Path::new("no-such-valgrind"), &[]);
    assert!(!output.status.success());
    let said = said(&output);
    assert!(said.contains("starting no-such-valgrind"), "{said}");
    assert!(said.contains("./jw setup"), "{said}");
}

#[test]
fn counts_of_another_kind_of_machine_are_not_compared() {
    let folder = Folder::new();
    folder.keep("window", 1);
    let text = fs::read_to_string(folder.counts()).unwrap();
    let text = text.replace(std::env::consts::OS, "another");
    fs::write(folder.counts(), text).unwrap();
    let output = folder.check(&valgrind(), &[]);
    assert!(output.status.success());
    assert!(said(&output).contains("nothing is compared"));
}
