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

/// A program that says of each run that its result had this sum, which the shell expands.
fn flink_that_says(folder: &Path, sum: &str) -> io::Result<String> {
    let path = folder.join("flink.sh");
    let script = r#"sum=SUM
echo 'READY {"jvm_ms":1}'
while read -r run n warm; do
    echo 'RESULT {"rows":15000,"wall_ns":1500000000,"cpu_ns":3000000000,"out":'"${n#n=}"',
"sum":"'"$sum"'","rss_mb":100,"checkpoints":[],"error":null}' | tr -d '\n'
    echo
done
"#;
    fs::write(&path, script.replace("SUM", sum))?;
    Ok(path.display().to_string())
}

#[test]
fn every_workload_comes_to_what_the_oracle_says() {
    let (output, log) = bench(&["--verify"]).unwrap();
    let out = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{log}\n{out}");
    let verified = out.lines().filter(|line| line.ends_with("all as expected"));
    assert!(verified.count() >= 100, "{out}");
    assert!(out.contains("window-rocksdb-p2: 1855 rows"), "{out}");
    assert!(out.contains("q4-rocksdb-p2: "), "{out}");
    assert!(out.contains("q8-heap-p1 natively: 2930 rows"), "{out}");
    assert!(out.contains("q8-heap-p1 by hand: 2930 rows"), "{out}");
    assert!(out.contains("window-heap-p1 by hand: 1855 rows"), "{out}");
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
fn a_cell_that_fails_is_told_and_the_others_are_measured() {
    let folder = tempfile::tempdir().unwrap();
    let sum = "$(case $* in *=chained*) echo 1;; *) echo 14718153435010198214;; esac)";
    let flink = flink_that_says(folder.path(), sum).unwrap();
    let results = folder.path().join("results");
    let results = results.to_str().unwrap();
    let only = ["--only", "chained-heap-p1", "--only", "hop-heap-p1"];
    let mut arguments = vec!["--quick", "--flink", &flink, "--results", results];
    arguments.extend(only);
    let (output, log) = bench(&arguments).unwrap();
    assert!(!output.status.success());
    assert!(log.contains("1 failed: chained-heap-p1"), "{log}");
    let out = String::from_utf8_lossy(&output.stdout);
    assert!(
        out.contains("| failed: Flink, 20000 rows: the output is wrong"),
        "{out}"
    );
    assert!(
        out.contains("| passthrough over a hop |  | 1 | off | 0.010 M | 0.010 M |"),
        "{out}"
    );

    // What was found is read again, and joined with what is measured anew.
    let again = folder.path().join("again");
    let arguments = [
        "--quick",
        "--no-flink",
        "--only",
        "chained-heap-p1",
        "--results",
    ];
    let (output, log) = bench(&[&arguments[..], &[again.to_str().unwrap()]].concat()).unwrap();
    assert!(output.status.success(), "{log}");
    let joined = folder.path().join("joined");
    let arguments = ["--join", results, again.to_str().unwrap(), "--results"];
    let (output, log) = bench(&[&arguments[..], &[joined.to_str().unwrap()]].concat()).unwrap();
    assert!(output.status.success(), "{log}");
    let out = String::from_utf8_lossy(&output.stdout);
    assert!(
        out.contains("| passthrough over a hop |  | 1 | off | 0.010 M | 0.010 M |"),
        "{out}"
    );
    assert!(
        out.contains("| passthrough, chained |  | 1 | off |  |  |  |"),
        "{out}"
    );
    assert_eq!(fs::read_dir(&joined).unwrap().count(), 2);
}

#[test]
fn a_flink_that_cannot_be_started_ends_the_benchmark_with_its_last_words() {
    let folder = tempfile::tempdir().unwrap();
    let flink = folder.path().join("flink.sh");
    fs::write(&flink, "echo no JDK >&2; exit 1").unwrap();
    let flink = flink.to_str().unwrap();
    let (output, log) = bench(&["--quick", "--only", "chained", "--flink", flink]).unwrap();
    assert!(!output.status.success());
    let told = "starting Flink: Flink ended (exit status: 1) and said no READY; \
                its last lines: no JDK";
    assert!(log.contains(told), "{log}");
}

#[test]
fn a_name_that_no_cell_has_is_told() {
    let (output, log) = bench(&["--only", "no-such"]).unwrap();
    assert!(!output.status.success());
    assert!(log.contains("no cell has `no-such` in its name"), "{log}");
}

#[test]
fn the_name_of_a_cell_is_no_part_of_others() {
    let listed = |only| {
        let (output, _) = bench(&["--list", "--only", only]).unwrap();
        String::from_utf8(output.stdout).unwrap()
    };
    assert_eq!(listed("count-1e3-heap-p1"), "count-1e3-heap-p1\n");
    let both = "count-1e3-heap-p1\ncount-1e3-heap-p1-checkpoints\n";
    assert!(
        both.lines()
            .all(|name| listed("count-1e3-heap").contains(name))
    );
}
