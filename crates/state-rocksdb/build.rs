//! Links the C++ library that RocksDB needs into the program, where the compiler brings it for
//! that: then `weir` runs where it is not installed. Elsewhere the program loads it as it starts,
//! as it does where the linker looks only once at what it was given (that of GNU).

use std::env;
use std::path::{Path, PathBuf};

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-env-changed=CXXSTDLIB");
    let is = |name: &str, value: &str| env::var(name).is_ok_and(|of| of == value);
    let is_glibc = is("CARGO_CFG_TARGET_OS", "linux") && is("CARGO_CFG_TARGET_ENV", "gnu");
    let is_native = env::var_os("HOST") == env::var_os("TARGET");
    // Who says which library is to be taken, for one target or all, knows better.
    let is_chosen = env::vars_os().any(|(name, _)| name.to_string_lossy().contains("CXXSTDLIB"));
    if !is_glibc || !is_native || is_chosen {
        return;
    }
    let found = archive();
    if let Some((path, folder)) = found
        .as_deref()
        .and_then(|path| Some((path, path.parent()?)))
    {
        println!("cargo::rerun-if-changed={}", path.display());
        println!("cargo::rustc-link-search=native={}", folder.display());
        println!("cargo::rustc-link-lib=static:-bundle=stdc++");
    }
}

/// Where the compiler for C++ has the library as an archive, if that is the one it uses, and may
/// lie anywhere in memory, as our programs do.
fn archive() -> Option<PathBuf> {
    let compiler = cc::Build::new()
        .cpp(true)
        .pic(false)
        .try_get_compiler()
        .ok()?;
    let asked = |arguments: &[&str]| {
        let said = compiler.to_command().args(arguments).output().ok()?;
        String::from_utf8(said.stdout).ok()
    };
    let macros = ["-dM", "-E", "-x", "c++", "-include", "cstddef", "/dev/null"];
    let macros = asked(&macros)?;
    if !macros.contains("#define __GLIBCXX__ ") || !macros.contains("#define __PIE__ ") {
        return None;
    }
    // What it does not find it gives back as it was asked for.
    let path = asked(&["-print-file-name=libstdc++.a"])?;
    let path = Path::new(path.trim());
    (path.is_absolute() && path.is_file()).then(|| path.to_owned())
}
