//! `weir-bench-peer` without Flink: each workload on Weir comes to what the oracle says, and a
//! child that speaks as Flink's does is measured beside it.

use std::{
    fs, io,
    path::Path,
    process::{Command, Output},
};

fn bench(arguments: &[&str]) -> io::Result<(Output, String)> {
    let output = Command::new(env!("CARGO_BIN_EXE_weir-bench-peer"))
        .args(arguments)
        .output()?;
    let log = String::from_utf8_lossy(&output.stderr).into_owned();
    Ok((output, log))
}

/// A program that says of each run that its result had this sum.
fn flink_that_says(folder: &Path, sum: &str) -> io::Result<String> {
    let path = folder.join("flink.sh");
    let script = r#"echo 'READY {"jvm_ms":1}'
while read -r run n warm; do
    echo 'RESULT {"rows":15000,"wall_ns":1500000000,"cpu_ns":3000000000,"out":'"${n#n=}"',
"sum":"SUM","rss_mb":100,"checkpoints":[],"error":null}' | tr -d '\n'
    echo
done
"#;
    fs::write(&path, script.replace("SUM", sum))?;
    Ok(path.display().to_string())
}

#[test]
fn every_workload_comes_to_what_the_oracle_says() {
    let (output, log) = bench(&["--verify"]).unwrap();
    assert!(output.status.success(), "{log}");
    let out = String::from_utf8_lossy(&output.stdout);
    let verified = out.lines().filter(|line| line.ends_with("all as expected"));
    assert!(verified.count() >= 70, "{out}");
    assert!(out.contains("window-rocksdb-p2: 1855 rows"), "{out}");
    assert!(out.contains("q4-rocksdb-p2: "), "{out}");
}

#[test]
fn both_engines_are_measured_and_what_was_found_is_written() {
    let folder = tempfile::tempdir().unwrap();
    // The sum of 20,000 rows, computed elsewhere.
    let flink = flink_that_says(folder.path(), "14718153435010198214").unwrap();
    let results = folder.path().join("results");
    let (output, log) = bench(&[
        "--quick",
        "--only",
        "chained-heap-p1",
        "--flink",
        &flink,
        "--results",
        results.to_str().unwrap(),
    ])
    .unwrap();
    assert!(output.status.success(), "{log}");
    let out = String::from_utf8_lossy(&output.stdout);
    let row = "| passthrough, chained |  | 1 | off | 0.010 M | 0.010 M | 200000 | ";
    assert!(out.contains(row), "{out}");
    assert!(out.contains("Reached: 1 of 1."), "{out}");
    let chart = fs::read_to_string(results.join("peer.svg")).unwrap();
    assert!(chart.contains(">chained-heap-p1<"), "{chart}");
    let mut written = fs::read_dir(&results)
        .unwrap()
        .map(|file| file.unwrap().file_name());
    assert!(written.any(|name| name.to_string_lossy().starts_with("peer-2")));
}

#[test]
fn what_is_compared_besides_is_measured_and_exact() {
    let weir = Path::new(env!("CARGO_BIN_EXE_weir-bench-peer"));
    let weir = weir.with_file_name(format!("weir{}", std::env::consts::EXE_SUFFIX));
    let kinds = ["latency", "recovery", "start", "memory"];
    let mut arguments = vec!["--quick", "--no-flink", "--weir", weir.to_str().unwrap()];
    arguments.extend(kinds.iter().flat_map(|kind| ["--only", kind]));
    let (output, log) = bench(&arguments).unwrap();
    assert!(output.status.success(), "{log}");
    let out = String::from_utf8_lossy(&output.stdout);
    for line in [
        "| latency at 100000 rows a second, keyed count, p99.9 |",
        "| from a failure to the next row, a count of 10000 keys, heap |",
        "| from the start of the process to its first row, compiled code cached |",
        "| resident memory, idle |",
    ] {
        assert!(out.contains(line), "no `{line}` in\n{out}");
    }
}

#[test]
fn a_wrong_result_of_flink_ends_the_benchmark() {
    let folder = tempfile::tempdir().unwrap();
    let flink = flink_that_says(folder.path(), "1").unwrap();
    let (output, log) =
        bench(&["--quick", "--only", "chained-heap-p1", "--flink", &flink]).unwrap();
    assert!(!output.status.success());
    assert!(log.contains("the output is wrong"), "{log}");
}

#[test]
fn a_name_that_no_cell_has_is_told() {
    let (output, log) = bench(&["--only", "no-such"]).unwrap();
    assert!(!output.status.success());
    assert!(log.contains("no cell has `no-such` in its name"), "{log}");
}
