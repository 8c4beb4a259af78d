//! Where things are: the tree, cargo's target folder, the cache. Nothing here builds or writes.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

/// The top folder of the clone that this run is about.
///
/// Cargo tells it at run time; the path from compile time may be another clone's, since clones
/// share one target folder.
pub(crate) fn root() -> PathBuf {
    let own = env::var_os("CARGO_MANIFEST_DIR")
        .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")), PathBuf::from);
    own.parent().map_or_else(|| own.clone(), Path::to_path_buf)
}

/// Cargo's target folder as the caller set it.
pub(crate) fn target_dir() -> Option<PathBuf> {
    env::var_os("CARGO_TARGET_DIR").map(PathBuf::from)
}

/// The folder for what is fetched or built once per machine, as the scripts have it.
pub(crate) fn cache_dir() -> Result<PathBuf> {
    if let Some(set) = env::var_os("WEIR_CACHE") {
        return Ok(PathBuf::from(set));
    }
    if let Some(xdg) = env::var_os("XDG_CACHE_HOME") {
        return Ok(PathBuf::from(xdg).join("weir"));
    }
    let home = env::var_os("HOME").context("neither WEIR_CACHE nor HOME is set")?;
    Ok(PathBuf::from(home).join(".cache/weir"))
}

/// The program `name` that was built beside this one.
pub(crate) fn sibling_program(name: &str) -> Result<PathBuf> {
    let own = env::current_exe().context("this program does not know where it lies")?;
    let program = own.with_file_name(format!("{name}{}", env::consts::EXE_SUFFIX));
    if !program.is_file() {
        bail!("{} is not built; run `./jw build`", program.display());
    }
    Ok(program)
}

/// Builds the program `weir` as it is released, and says where it lies.
pub(crate) fn build_release() -> Result<PathBuf> {
    let status = cargo()
        .args([
            "build",
            "--release",
            "--package",
            "weir-host",
            "--bin",
            "weir",
        ])
        .status()
        .context("cannot start cargo")?;
    if !status.success() {
        bail!("the release does not build ({status})");
    }
    let own = env::current_exe().context("this program does not know where it lies")?;
    let target = own.parent().and_then(Path::parent);
    let target = target.context("this program does not lie in cargo's target folder")?;
    Ok(target
        .join("release")
        .join(format!("weir{}", env::consts::EXE_SUFFIX)))
}

/// `cargo`, of the toolchain that runs this program, in the top folder.
pub(crate) fn cargo() -> Command {
    let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(root());
    command
}
