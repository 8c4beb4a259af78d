//! `weir-bench`: what the engine as a whole costs a row.

use std::process::ExitCode;

fn main() -> ExitCode {
    // As the program does.
    weir_host::keep_freed_memory();
    weir_benches::command::main()
}
