//! The program `weir`; all of it is in the library.

fn main() -> std::process::ExitCode {
    weir_host::main()
}
