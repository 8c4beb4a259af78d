//! Tells the linker to keep apart what runs once, when the program starts, and what hardly ever
//! runs. The system brings sixteen pages of the program where one is used: where these functions
//! lie between others, an idle program holds a megabyte more.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    if std::env::var("CARGO_CFG_TARGET_OS").is_ok_and(|system| system == "linux") {
        println!("cargo::rustc-link-arg-bins=-Wl,-z,keep-text-section-prefix");
    }
}
