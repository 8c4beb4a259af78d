//! `weir-bench`: what the engine as a whole costs a row.

use std::process::ExitCode;

fn main() -> ExitCode {
    weir_benches::command::main()
}
