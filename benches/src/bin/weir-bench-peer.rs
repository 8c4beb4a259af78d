//! `weir-bench-peer`: Weir beside Apache Flink, each workload in turns.

use std::process::ExitCode;

fn main() -> ExitCode {
    // As the program does.
    weir_host::keep_freed_memory();
    weir_benches::peer::main()
}
