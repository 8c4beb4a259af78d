//! Builds the example guests with the toolchain that `scripts/guest-toolchain.sh` found, and puts
//! each component where job files and tests look for it.
//!
//! Invariant: a component in the folder is whole, and is touched only when its bytes change, so
//! that the host's cache of compiled code stays good.

use std::collections::HashMap;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::workspace;

const TARGET: &str = "wasm32-unknown-unknown";

/// What builds guests, as `scripts/guest-toolchain.sh` wrote it down.
#[derive(Debug, PartialEq, Eq)]
struct Toolchain {
    rustc: PathBuf,
    cargo: PathBuf,
    /// `wasm-component-ld`: what it links is the component itself.
    linker: PathBuf,
    /// The core linker that `linker` calls, where it does not find it by itself.
    wasm_ld: Option<PathBuf>,
    /// Where the standard library for the target lies.
    sysroot: PathBuf,
}

/// Builds all guests of `guest-examples` and copies their components.
pub(crate) fn build() -> Result<()> {
    let root = workspace::root();
    let manifest = root.join("guest-examples/Cargo.toml");
    if !manifest.is_file() {
        bail!("{} does not exist", manifest.display());
    }
    let toolchain = Toolchain::load()?;
    let target_dir = match workspace::target_dir() {
        Some(shared) => shared.join("guests"),
        None => root.join("guest-examples/target"),
    };
    let built = toolchain.build(&root, &manifest, &target_dir)?;
    let components = root.join("guest-examples/target/components");
    fs::create_dir_all(&components)
        .with_context(|| format!("creating {}", components.display()))?;
    let mut changed = 0;
    for (name, file) in &built {
        changed += usize::from(publish(file, &components.join(format!("{name}.wasm")))?);
    }
    eprintln!("guests: {} components, {changed} changed", built.len());
    Ok(())
}

impl Toolchain {
    fn load() -> Result<Self> {
        let path = workspace::cache_dir()?.join("guest-toolchain.env");
        let text = fs::read_to_string(&path).with_context(|| {
            format!("no guest toolchain in {}; run `./jw setup`", path.display())
        })?;
        let toolchain = Self::parse(&text)
            .with_context(|| format!("{} is damaged; run `./jw setup`", path.display()))?;
        for file in [
            &toolchain.rustc,
            &toolchain.cargo,
            &toolchain.linker,
            &toolchain.sysroot,
        ] {
            if !file.exists() {
                bail!(
                    "the guest toolchain lost {}; run `./jw setup`",
                    file.display()
                );
            }
        }
        Ok(toolchain)
    }

    fn parse(text: &str) -> Result<Self> {
        let values: HashMap<&str, &str> = text
            .lines()
            .filter_map(|line| line.split_once('='))
            .collect();
        let path = |key: &str| match values.get(key) {
            Some(value) if !value.is_empty() => Ok(PathBuf::from(value)),
            Some(_) | None => bail!("`{key}` is missing"),
        };
        Ok(Self {
            rustc: path("rustc")?,
            cargo: path("cargo")?,
            linker: path("linker")?,
            wasm_ld: path("wasm-ld").ok(),
            sysroot: path("sysroot")?,
        })
    }

    /// Flags for guests. Paths of this machine are mapped away, so that a component has the same
    /// digest wherever it was built.
    fn flags(&self, root: &Path) -> OsString {
        let mut flags: Vec<OsString> = vec!["--sysroot".into(), self.sysroot.clone().into()];
        flags.push(joined("-Clinker=", &self.linker));
        flags.push("-Clinker-flavor=wasm-ld".into());
        if let Some(wasm_ld) = &self.wasm_ld {
            flags.push(joined("-Clink-arg=--wasm-ld-path=", wasm_ld));
        }
        let mut mapped = vec![(root.to_path_buf(), "weir")];
        let cargo_home = std::env::var_os("CARGO_HOME")
            .map(PathBuf::from)
            .or_else(|| std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".cargo")));
        mapped.extend(cargo_home.map(|home| (home, "cargo")));
        for (from, to) in mapped {
            let mut flag = joined("--remap-path-prefix=", &from);
            flag.push("=");
            flag.push(to);
            flags.push(flag);
        }
        flags.join(OsStr::new("\u{1f}"))
    }

    /// Runs cargo and returns (component name, file) of every guest.
    fn build(
        &self,
        root: &Path,
        manifest: &Path,
        target_dir: &Path,
    ) -> Result<Vec<(String, PathBuf)>> {
        let mut command = Command::new(&self.cargo);
        command
            .args(["build", "--workspace", "--release", "--target", TARGET])
            .args([
                "--quiet",
                "--message-format=json-render-diagnostics",
                "--manifest-path",
            ])
            .arg(manifest)
            .env("RUSTC", &self.rustc)
            .env("CARGO_ENCODED_RUSTFLAGS", self.flags(root))
            .env("CARGO_TARGET_DIR", target_dir)
            .stdin(Stdio::null())
            .stderr(Stdio::inherit());
        // What cargo and rustup set for this program would mislead another toolchain.
        for leak in [
            "RUSTFLAGS",
            "RUSTC_WRAPPER",
            "RUSTUP_TOOLCHAIN",
            "LD_LIBRARY_PATH",
            "CARGO",
        ] {
            command.env_remove(leak);
        }
        let output = command
            .output()
            .with_context(|| format!("cannot start {}; run `./jw setup`", self.cargo.display()))?;
        if !output.status.success() {
            bail!("the guests do not build ({})", output.status);
        }
        let built = components(&String::from_utf8_lossy(&output.stdout));
        if built.is_empty() {
            bail!(
                "{} has no guest: no crate of type cdylib",
                manifest.display()
            );
        }
        Ok(built)
    }
}

fn joined(prefix: &str, path: &Path) -> OsString {
    let mut text = OsString::from(prefix);
    text.push(path);
    text
}

/// Picks the components out of cargo's messages, one JSON object a line.
fn components(messages: &str) -> Vec<(String, PathBuf)> {
    let mut found = Vec::new();
    for message in messages
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok())
    {
        if message["reason"] != "compiler-artifact" {
            continue;
        }
        let is_guest = message["target"]["crate_types"]
            .as_array()
            .is_some_and(|types| types.iter().any(|kind| kind == "cdylib"));
        let files = message["filenames"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(Value::as_str);
        let wasm = files.into_iter().find(|file| file.ends_with(".wasm"));
        if let (true, Some(name), Some(wasm)) = (is_guest, message["target"]["name"].as_str(), wasm)
        {
            found.push((name.replace('_', "-"), PathBuf::from(wasm)));
        }
    }
    found.sort();
    found
}

/// Copies `from` to `to` if the bytes differ; says whether it did. The file appears whole or not at
/// all.
fn publish(from: &Path, to: &Path) -> Result<bool> {
    let bytes = fs::read(from).with_context(|| format!("reading {}", from.display()))?;
    if !bytes.starts_with(b"\0asm\x0d\0\x01\0") {
        bail!(
            "{} is not a component; run `./jw setup` for the right linker",
            from.display()
        );
    }
    if fs::read(to).is_ok_and(|present| present == bytes) {
        return Ok(false);
    }
    let part = to.with_extension(format!("{}.part", std::process::id()));
    fs::write(&part, &bytes).with_context(|| format!("writing {}", part.display()))?;
    fs::rename(&part, to).with_context(|| format!("writing {}", to.display()))?;
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ANSWER: &str = "format=1\nroute=distribution\ncompiler=1.96.0 ac68\nrustc=/usr/bin/rustc\n\
        cargo=/usr/bin/cargo\nlinker=/lib/wasm-component-ld\nwasm-ld=/usr/bin/wasm-ld-22\nsysroot=/s\n";

    #[test]
    fn an_answer_of_the_script_is_read() {
        let toolchain = Toolchain::parse(ANSWER).unwrap();
        assert_eq!(toolchain.linker, Path::new("/lib/wasm-component-ld"));
        assert_eq!(
            toolchain.wasm_ld.as_deref(),
            Some(Path::new("/usr/bin/wasm-ld-22"))
        );
        let rustup = Toolchain::parse(&ANSWER.replace("/usr/bin/wasm-ld-22", "")).unwrap();
        assert_eq!(rustup.wasm_ld, None);
    }

    #[test]
    fn an_answer_that_lacks_a_part_is_refused_by_name() {
        let error = Toolchain::parse(&ANSWER.replace("linker=", "lanker=")).unwrap_err();
        assert_eq!(error.to_string(), "`linker` is missing");
    }

    #[test]
    fn flags_name_the_linker_and_map_the_tree_away() {
        let flags = Toolchain::parse(ANSWER).unwrap().flags(Path::new("/clone"));
        let flags = flags.to_str().unwrap();
        let flags: Vec<&str> = flags.split('\u{1f}').collect();
        assert_eq!(
            flags[..3],
            ["--sysroot", "/s", "-Clinker=/lib/wasm-component-ld"]
        );
        assert!(
            flags.contains(&"-Clink-arg=--wasm-ld-path=/usr/bin/wasm-ld-22"),
            "{flags:?}"
        );
        assert!(
            flags.contains(&"--remap-path-prefix=/clone=weir"),
            "{flags:?}"
        );
    }

    #[test]
    fn components_are_the_cdylibs_with_dashes_in_their_names() {
        let messages = concat!(
            r#"{"reason":"compiler-artifact","target":{"name":"weir_guest","crate_types":["lib"]},"#,
            r#""filenames":["/t/libweir_guest.rlib"]}"#,
            "\n",
            r#"{"reason":"compiler-artifact","target":{"name":"flight_carriers","crate_types":["#,
            r#""cdylib"]},"filenames":["/t/flight_carriers.wasm"]}"#,
            "\nnot json\n",
            r#"{"reason":"build-finished","success":true}"#,
        );
        let expected = vec![(
            "flight-carriers".to_owned(),
            PathBuf::from("/t/flight_carriers.wasm"),
        )];
        assert_eq!(components(messages), expected);
    }

    #[test]
    fn a_component_is_copied_only_when_it_changed() {
        let scratch = tempfile::tempdir().unwrap();
        let (from, to) = (
            scratch.path().join("a.wasm"),
            scratch.path().join("out.wasm"),
        );
        fs::write(&from, b"\0asm\x0d\0\x01\0first").unwrap();
        assert!(publish(&from, &to).unwrap());
        assert!(!publish(&from, &to).unwrap());
        fs::write(&from, b"\0asm\x0d\0\x01\0second").unwrap();
        assert!(publish(&from, &to).unwrap());
        assert_eq!(fs::read(&to).unwrap(), b"\0asm\x0d\0\x01\0second");
        assert_eq!(
            fs::read_dir(scratch.path()).unwrap().count(),
            2,
            "no part file is left"
        );
    }

    #[test]
    fn a_core_module_is_not_taken_for_a_component() {
        let scratch = tempfile::tempdir().unwrap();
        let from = scratch.path().join("core.wasm");
        fs::write(&from, b"\0asm\x01\0\0\0").unwrap();
        let error = publish(&from, &scratch.path().join("out.wasm")).unwrap_err();
        assert!(error.to_string().contains("is not a component"), "{error}");
    }
}
