//! Links the C++ library that RocksDB needs into the program, where the compiler brings it for
//! that: then `weir` runs where it is not installed. Elsewhere the program loads it as it starts.

use std::path::{Path, PathBuf};

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-env-changed=CXXSTDLIB");
    let is = |name: &str, value: &str| std::env::var(name).is_ok_and(|of| of == value);
    let is_glibc = is("CARGO_CFG_TARGET_OS", "linux") && is("CARGO_CFG_TARGET_ENV", "gnu");
    // Who says which library is to be taken knows better.
    if !is_glibc || std::env::var_os("CXXSTDLIB").is_some() {
        return;
    }
    let found = archive();
    if let Some(folder) = found.as_deref().and_then(Path::parent) {
        println!("cargo::rustc-link-search=native={}", folder.display());
        println!("cargo::rustc-link-lib=static:-bundle=stdc++");
    }
}

/// Where the compiler for C++ has the library as an archive.
fn archive() -> Option<PathBuf> {
    let compiler = cc::Build::new().cpp(true).try_get_compiler().ok()?;
    let mut asked = compiler.to_command();
    let said = asked.arg("-print-file-name=libstdc++.a").output().ok()?;
    // What it does not find it gives back as it was asked for.
    let path = PathBuf::from(String::from_utf8(said.stdout).ok()?.trim());
    (path.is_absolute() && path.is_file()).then_some(path)
}
