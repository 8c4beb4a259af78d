//! Who may depend on whom: the layers of ARCHITECTURE.md, checked on what cargo says.
//!
//! Never upward; leaves never on leaves; drivers never on leaves; one crate for each heavy
//! dependency. Dev-dependencies are free: a test may look at anything.

use anyhow::{Context, Result};
use serde_json::Value;

use super::{File, Finding};

/// A package of the workspace and what it needs to run.
pub(crate) struct Package {
    name: String,
    /// Its manifest, from the top folder.
    manifest: String,
    /// Names of normal and build dependencies, as the registry or workspace knows them.
    needs: Vec<String>,
}

/// For each crate of ours, which of ours it depends on, no more and no less: an edge that comes or
/// goes is to be seen in review. Every crate is listed, lowest layer first.
const NEEDS: [(&str, &[&str]); 27] = [
    // words, and what decides
    ("model", &[]),
    ("state", &["model"]),
    ("event-time", &["model"]),
    ("window", &["model"]),
    ("checkpoint", &["model"]),
    ("operator", &["model", "state", "window"]),
    ("operators", &["model", "state", "operator", "window"]),
    ("formats", &["model", "operator"]),
    ("graph", &["model", "event-time", "operator"]),
    // leaves
    ("component", &["model", "state", "operator"]),
    ("connectors", &["model", "operator", "formats"]),
    ("http-client", &["operator"]),
    ("connector-postgres", &["model", "operator", "formats"]),
    ("snapshot-store", &["model", "checkpoint"]),
    ("snapshot-store-s3", &["checkpoint"]),
    ("state-rocksdb", &["model", "state"]),
    // drivers
    (
        "runtime",
        &[
            "model",
            "state",
            "event-time",
            "checkpoint",
            "operator",
            "graph",
        ],
    ),
    (
        "job-file",
        &[
            "model",
            "window",
            "event-time",
            "checkpoint",
            "operator",
            "formats",
            "graph",
        ],
    ),
    (
        "harness",
        &[
            "model",
            "event-time",
            "state",
            "checkpoint",
            "operator",
            "graph",
            "runtime",
        ],
    ),
    // what assembles; the testkit is for the tests of others
    (
        "testkit",
        &[
            "model",
            "state",
            "event-time",
            "checkpoint",
            "operator",
            "graph",
            "runtime",
        ],
    ),
    (
        "host",
        &[
            "model",
            "state",
            "checkpoint",
            "operator",
            "operators",
            "formats",
            "graph",
            "component",
            "connectors",
            "connector-postgres",
            "http-client",
            "snapshot-store",
            "state-rocksdb",
            "snapshot-store-s3",
            "runtime",
            "harness",
            "job-file",
        ],
    ),
    ("native", &["model", "state", "operator"]),
    (
        "benches",
        &[
            "model",
            "state",
            "checkpoint",
            "operator",
            "operators",
            "formats",
            "graph",
            "component",
            "snapshot-store",
            "state-rocksdb",
            "runtime",
            "job-file",
            "host",
            "native",
        ],
    ),
    (
        "guard",
        &[
            "model",
            "window",
            "state",
            "checkpoint",
            "operator",
            "operators",
            "formats",
            "graph",
            "component",
            "runtime",
        ],
    ),
    ("boundary", &["guard", "native", "operator", "component"]),
    ("tests", &["host", "job-file"]),
    ("xtask", &[]),
];

/// Heavy dependencies, by the start of their name, and the crates that may have them.
const OWNED: [(&str, &[&str]); 12] = [
    ("jiff", &["window"]),
    ("wasmtime", &["component"]),
    ("wit-", &["component"]),
    ("object_store", &["snapshot-store-s3"]),
    ("reqwest", &["snapshot-store-s3", "http-client"]),
    (
        "rustls",
        &["snapshot-store-s3", "connector-postgres", "http-client"],
    ),
    ("tokio-rustls", &["connector-postgres"]),
    ("rocksdb", &["state-rocksdb"]),
    ("rust-rocksdb", &["state-rocksdb"]),
    ("miette", &["job-file"]),
    ("tokio-postgres", &["connector-postgres"]),
    ("postgres-", &["connector-postgres"]),
];

/// What crates that decide may not need, by the start of the name.
const PURE: [&str; 6] = [
    "model",
    "state",
    "checkpoint",
    "operator",
    "formats",
    "graph",
];
const IMPURE: [&str; 8] = [
    "tokio",
    "futures",
    "rand",
    "getrandom",
    "rustix",
    "libc",
    "tempfile",
    "reqwest",
];

/// Reads the output of `cargo metadata --no-deps`.
pub(crate) fn parse(metadata: &str) -> Result<Vec<Package>> {
    let metadata: Value = serde_json::from_str(metadata).context("reading cargo metadata")?;
    let root = metadata["workspace_root"].as_str().unwrap_or_default();
    let packages = metadata["packages"]
        .as_array()
        .context("cargo metadata has no packages")?;
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    Ok(packages
        .iter()
        .map(|package| Package {
            name: text(&package["name"]),
            manifest: text(&package["manifest_path"])
                .trim_start_matches(root)
                .trim_start_matches(['/', '\\'])
                .to_owned(),
            needs: package["dependencies"]
                .as_array()
                .into_iter()
                .flatten()
                .filter(|dependency| dependency["kind"] != "dev")
                .map(|dependency| text(&dependency["name"]))
                .collect(),
        })
        .collect())
}

/// Edges of the table that no crate has any more.
pub(crate) fn stale(packages: &[Package]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (crate_, table) in NEEDS {
        let package = packages
            .iter()
            .find(|package| short(&package.name) == crate_);
        let advice =
            |need| format!("`{crate_}` does not depend on `{need}`: take it from its line");
        let absent = |need: &&&str| {
            let mut needs = package.into_iter().flat_map(|package| &package.needs);
            !needs.any(|name| short(name) == **need)
        };
        let gone = package
            .is_none()
            .then(|| format!("there is no `{crate_}`: take its line out"));
        let stale = table.iter().filter(absent).map(advice);
        findings.extend(gone.into_iter().chain(stale).map(|advice| Finding {
            path: "xtask/src/tidy/layers.rs".to_owned(),
            line: 0,
            rule: "layers",
            advice,
        }));
    }
    findings
}

pub(crate) fn check(packages: &[Package]) -> Vec<Finding> {
    let mut findings = Vec::new();
    let names: Vec<&str> = packages
        .iter()
        .map(|package| short(&package.name))
        .collect();
    for package in packages {
        let crate_ = short(&package.name);
        let mut find = |advice| {
            let path = package.manifest.clone();
            findings.push(Finding {
                path,
                line: 0,
                rule: "layers",
                advice,
            });
        };
        let Some((_, table)) = NEEDS.iter().find(|(name, _)| *name == crate_) else {
            find(format!(
                "`{crate_}` has no layer; give it a line in xtask/src/tidy/layers.rs"
            ));
            continue;
        };
        for need in package.needs.iter().map(|name| short(name)) {
            if names.contains(&need) {
                if !table.contains(&need) {
                    find(format!(
                        "`{crate_}` may not depend on `{need}`; if it is a lower layer, add it to layers.rs"
                    ));
                }
                continue;
            }
            let owner = OWNED.iter().find(|(heavy, _)| need.starts_with(heavy));
            if let Some((_, owners)) = owner.filter(|(_, owners)| !owners.contains(&crate_)) {
                find(format!(
                    "only {} may depend on `{need}`",
                    owners.join(" and ")
                ));
            }
            if PURE.contains(&crate_) && IMPURE.iter().any(|impure| need.starts_with(impure)) {
                find(format!(
                    "`{crate_}` decides and does not act: it has no use for `{need}`"
                ));
            }
        }
    }
    findings
}

/// Every package takes the lints of the workspace.
pub(crate) fn check_lints(file: &File) -> Option<Finding> {
    let is_package = file.text.lines().any(|line| line.trim() == "[package]");
    // Guests and fuzz targets are workspaces of their own.
    let is_ours = ["crates/", "host/", "tests/", "xtask/", "benches/"];
    let ours = is_package && is_ours.iter().any(|folder| file.path.starts_with(folder));
    let mut lines = file
        .text
        .lines()
        .map(str::trim)
        .skip_while(|line| *line != "[lints]");
    let taken = lines.nth(1).is_some_and(|line| line == "workspace = true");
    (ours && !taken).then(|| Finding {
        path: file.path.clone(),
        line: 0,
        rule: "lints",
        advice: "add `[lints]` with `workspace = true`".to_owned(),
    })
}

fn short(name: &str) -> &str {
    name.strip_prefix("weir-").unwrap_or(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check_needs(of: &str, needs: &[&str], advice: &[&str]) {
        let package = |name: &str, needs: &[&str]| Package {
            name: name.to_owned(),
            manifest: format!("crates/{name}/Cargo.toml"),
            needs: needs.iter().map(|&need| need.to_owned()).collect(),
        };
        let mut packages: Vec<Package> = NEEDS
            .iter()
            .map(|(name, _)| package(&format!("weir-{name}"), &[]))
            .collect();
        packages.retain(|present| present.name != of);
        packages.push(package(of, needs));
        let found: Vec<String> = check(&packages)
            .into_iter()
            .map(|finding| finding.advice)
            .collect();
        assert_eq!(found, advice);
    }

    #[test]
    fn the_table_itself_has_no_upward_edge_and_no_leaf_below_the_program() {
        let layer = |name: &str| NEEDS.iter().position(|(known, _)| *known == name).unwrap();
        for (name, needs) in &NEEDS[..layer("host")] {
            for need in *needs {
                assert!(layer(need) < layer(name), "{name} -> {need}");
                let leaf = ["component", "connectors", "snapshot-store", "state-rocksdb"];
                let leaf = leaf.contains(need);
                assert!(!leaf, "{name} -> {need}");
            }
        }
    }

    #[test]
    fn an_upward_edge_and_a_leaf_in_a_driver_are_found() {
        check_needs("weir-runtime", &["weir-graph", "tokio"], &[]);
        check_needs(
            "weir-model",
            &["weir-state"],
            &["`model` may not depend on `state`; if it is a lower layer, add it to layers.rs"],
        );
        check_needs(
            "weir-runtime",
            &["weir-component"],
            &[
                "`runtime` may not depend on `component`; if it is a lower layer, add it to layers.rs",
            ],
        );
    }

    #[test]
    fn what_the_table_has_and_no_crate_is_stale() {
        let package = |(name, needs): &(&str, &[&str])| Package {
            name: format!("weir-{name}"),
            manifest: format!("crates/{name}/Cargo.toml"),
            needs: needs.iter().map(|need| format!("weir-{need}")).collect(),
        };
        let mut packages: Vec<Package> = NEEDS.iter().map(package).collect();
        assert_eq!(stale(&packages), []);
        assert_eq!(check(&packages), []);

        let graph = packages
            .iter_mut()
            .find(|package| package.name == "weir-graph");
        graph.unwrap().needs.remove(1);
        packages.retain(|package| package.name != "weir-xtask");
        let found: Vec<String> = stale(&packages)
            .into_iter()
            .map(|finding| finding.advice)
            .collect();
        assert_eq!(
            found,
            [
                "`graph` does not depend on `event-time`: take it from its line",
                "there is no `xtask`: take its line out",
            ]
        );
    }

    #[test]
    fn heavy_dependencies_have_one_owner() {
        check_needs("weir-component", &["wasmtime", "wasmtime-wasi"], &[]);
        check_needs(
            "weir-runtime",
            &["wasmtime-wasi"],
            &["only component may depend on `wasmtime-wasi`"],
        );
    }

    #[test]
    fn what_decides_needs_no_runtime() {
        check_needs(
            "weir-checkpoint",
            &["tokio"],
            &["`checkpoint` decides and does not act: it has no use for `tokio`"],
        );
    }

    #[test]
    fn a_new_crate_is_asked_for_its_layer() {
        check_needs(
            "weir-shiny",
            &[],
            &["`shiny` has no layer; give it a line in xtask/src/tidy/layers.rs"],
        );
    }

    #[test]
    fn dev_dependencies_do_not_count() {
        let metadata = r#"{"workspace_root":"/clone","packages":[{"name":"weir-model",
            "manifest_path":"/clone/crates/model/Cargo.toml","dependencies":[
            {"name":"proptest","kind":"dev"},{"name":"thiserror","kind":null},
            {"name":"cc","kind":"build"}]}]}"#;
        let packages = parse(metadata).unwrap();
        assert_eq!(packages[0].needs, ["thiserror", "cc"]);
        assert_eq!(packages[0].manifest, "crates/model/Cargo.toml");
    }

    #[test]
    fn a_package_without_the_lints_is_found() {
        let file = |text: &str| File {
            path: "crates/a/Cargo.toml".into(),
            text: text.into(),
        };
        assert!(check_lints(&file("[package]\n[lints]\nworkspace = true\n")).is_none());
        assert!(check_lints(&file("[package]\n[dependencies]\n")).is_some());
        assert!(check_lints(&file("[workspace]\n")).is_none());
    }
}
