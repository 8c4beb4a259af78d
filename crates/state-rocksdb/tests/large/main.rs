//! Whole jobs whose state is larger than the memory it may have, and than the disk it lies on.
//! Each runs in a process of its own, whose memory and files nobody else uses.

#![cfg(target_os = "linux")]
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a panic is how a test says that something is wrong"
)]

mod full;
mod job;

use std::process::Command;

use job::Size;

/// Runs a test of this program in a process of its own, which is told so by `WEIR_ALONE`; `before`
/// is what its shell does first. Gives what it printed.
fn alone(test: &str, before: &str) -> Option<String> {
    if std::env::var_os("WEIR_ALONE").is_some() {
        return None;
    }
    let program = std::env::current_exe().unwrap();
    let output = Command::new("sh")
        .args(["-c", &format!("{before} exec \"$0\" \"$@\"")])
        .arg(program)
        .args([test, "--exact", "--nocapture"])
        .env("WEIR_ALONE", "yes")
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&output.stdout).into_owned();
    let complained = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{told}\n{complained}");
    assert!(told.contains("1 passed"), "nothing was run: {told}");
    Some(told)
}

/// State of eight times the memory of the databases: a checkpoint that went through memory as a
/// whole would be seen.
#[test]
fn state_larger_than_memory_is_checkpointed_restored_and_rescaled_in_little_memory() {
    let test = "state_larger_than_memory_is_checkpointed_restored_and_rescaled_in_little_memory";
    if alone(test, "").is_some() {
        return;
    }
    let size = Size {
        keys: 32 << 10,
        value: 4096,
        memory: Some(16 << 20),
        subtasks: [1, 2],
    };
    let place = tempfile::tempdir().unwrap();
    let course = job::run(place.path(), size, true);
    let state = size.keys * size.value as u64;
    let bytes = course.checkpoint.bytes;
    println!(
        "{bytes} bytes; restored after {:.0} ms; grown by {} bytes, while it restored by {}",
        course.restored_ms, course.grown, course.grown_by_restore
    );
    assert!(course.grown < state, "{} of {state}", course.grown);
    assert!(course.grown_by_restore < state / 2, "of {state}");
}
