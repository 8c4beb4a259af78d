//! Tells the linker to keep apart what runs once, when the program starts, and what hardly ever
//! runs. The system brings sixteen pages of the program where one is used: where these functions
//! lie between others, an idle program holds a megabyte more.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    let is_linux = std::env::var("CARGO_CFG_TARGET_OS").is_ok_and(|system| system == "linux");
    // A linker that somebody chose may not know of it, or not by way of a compiler.
    let is_chosen = std::env::var_os("RUSTC_LINKER").is_some()
        || std::env::var("CARGO_ENCODED_RUSTFLAGS").is_ok_and(|flags| flags.contains("linker"));
    if is_linux && !is_chosen {
        println!("cargo::rustc-link-arg-bins=-Wl,-z,keep-text-section-prefix");
    }
}
