//! All that `weir-bench` measures, for a moment each: every job runs, its output is exact, and the
//! table is there. How fast it was is not looked at.

use std::{path::Path, process::Command};

#[test]
fn everything_is_measured_once_and_is_exact() {
    let bench = Path::new(env!("CARGO_BIN_EXE_weir-bench"));
    let weir = bench.with_file_name(format!("weir{}", std::env::consts::EXE_SUFFIX));
    let output = Command::new(bench)
        .arg("--quick")
        .arg("--weir")
        .arg(weir)
        .output()
        .unwrap();
    let (out, log) = (
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
    assert!(output.status.success(), "{log}");
    for line in [
        "| source and sink alone | 1 | off |",
        "| passthrough | 2 | 1 s |",
        "| keyed count, 1e3 keys | 1 | off |",
        "| keyed count, 1e6 keys | 2 | 1 s |",
        "Start of `weir run` to its first row",
        "| keyed count, 1e3 keys, RocksDB | 1 | off |",
        "| keyed count, 1e6 keys, RocksDB | 1 | 1 s, increments |",
        "A checkpoint under full back pressure",
        "| heap | ",
        "| rocksdb | ",
        "To keep in mind what has changed",
    ] {
        assert!(out.contains(line), "no `{line}` in\n{out}");
    }
}

#[test]
fn a_name_that_no_case_has_is_told() {
    let bench = env!("CARGO_BIN_EXE_weir-bench");
    let output = Command::new(bench).args(["--only", "no-such"]).output();
    let output = output.unwrap();
    assert!(!output.status.success());
    let log = String::from_utf8_lossy(&output.stderr);
    assert!(log.contains("no case has `no-such` in its name"), "{log}");
}
