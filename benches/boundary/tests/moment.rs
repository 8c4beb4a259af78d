//! All that `weir-boundary` measures, for a moment each. How fast it was is not looked at.

use std::{path::Path, process::Command};

#[test]
fn everything_is_measured_once() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let output = Command::new(env!("CARGO_BIN_EXE_weir-boundary"))
        .arg("--quick")
        .current_dir(root)
        .output()
        .unwrap();
    let (out, log) = (
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
    assert!(output.status.success(), "{log}");
    for line in [
        "| a row, in batches of | 1 | 8 | 64 | 512 | 4096 |",
        "| keyed count, into the guest and back |",
        "| one by one: `value-get` and `value-put` add |",
        "| keyed count, 1e3 keys |",
    ] {
        assert!(out.contains(line), "no `{line}` in\n{out}");
    }
}
