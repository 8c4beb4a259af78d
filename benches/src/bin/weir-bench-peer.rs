//! `weir-bench-peer`: Weir beside Apache Flink, each workload in turns.

use std::process::ExitCode;

fn main() -> ExitCode {
    weir_benches::peer::main()
}
