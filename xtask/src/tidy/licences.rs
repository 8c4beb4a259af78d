//! The licences of all that is linked into the program: each must be one we may pass on.

use anyhow::{Context, Result};
use serde_json::Value;

use super::Finding;

/// Permissive licences, by SPDX name.
const ALLOWED: [&str; 14] = [
    "0BSD",
    "Apache-2.0",
    "Apache-2.0 WITH LLVM-exception",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "BSL-1.0",
    "CC0-1.0",
    "ISC",
    "MIT",
    "MIT-0",
    "Unicode-3.0",
    "Unlicense",
    "Zlib",
    "bzip2-1.0.6",
];

/// Checks the packages in the output of `cargo metadata`.
pub(crate) fn check(metadata: &str) -> Result<Vec<Finding>> {
    let metadata: Value = serde_json::from_str(metadata).context("reading cargo metadata")?;
    let packages = metadata["packages"]
        .as_array()
        .context("cargo metadata has no packages")?;
    let refused = packages.iter().filter_map(|package| {
        let licence = package["license"].as_str().unwrap_or("none");
        let name = package["name"].as_str().unwrap_or_default();
        (!is_allowed(licence)).then(|| Finding {
            path: "Cargo.lock".to_owned(),
            line: 0,
            rule: "licence",
            advice: format!(
                "`{name}` has the licence `{licence}`; do without it, or allow that licence in \
                 xtask/src/tidy/licences.rs"
            ),
        })
    });
    Ok(refused.collect())
}

/// Evaluates an SPDX expression: one side of `OR`, both sides of `AND`. Old manifests write `/` for
/// `OR`.
fn is_allowed(licence: &str) -> bool {
    let licence = licence.replace('/', " OR ");
    either(&mut Words(licence.trim())) == Some(true)
}

/// The rest of an expression.
struct Words<'a>(&'a str);

impl Words<'_> {
    /// Takes `word` if it comes next.
    fn take(&mut self, word: &str) -> bool {
        let rest = self.0.trim_start();
        self.0 = rest.strip_prefix(word).unwrap_or(rest);
        self.0.len() < rest.len()
    }
}

fn either(words: &mut Words<'_>) -> Option<bool> {
    let mut allowed = both(words)?;
    while words.take("OR ") {
        allowed |= both(words)?;
    }
    Some(allowed)
}

fn both(words: &mut Words<'_>) -> Option<bool> {
    let mut allowed = one(words)?;
    while words.take("AND ") {
        allowed &= one(words)?;
    }
    Some(allowed)
}

fn one(words: &mut Words<'_>) -> Option<bool> {
    if words.take("(") {
        let allowed = either(words)?;
        return words.take(")").then_some(allowed);
    }
    let text = words.0.trim_start();
    let end = [" OR ", " AND ", ")"]
        .iter()
        .filter_map(|stop| text.find(stop))
        .min();
    let (name, rest) = text.split_at(end.unwrap_or(text.len()));
    words.0 = rest;
    (!name.is_empty()).then(|| ALLOWED.contains(&name.trim()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check_licence(licence: &str, allowed: bool) {
        assert_eq!(is_allowed(licence), allowed, "{licence}");
    }

    #[test]
    fn one_permissive_side_of_or_suffices_but_and_needs_both() {
        check_licence("MIT OR Apache-2.0", true);
        check_licence("GPL-3.0-only OR MIT", true);
        check_licence("GPL-3.0-only", false);
        check_licence("MIT AND GPL-3.0-only", false);
        check_licence("(MIT OR Apache-2.0) AND Unicode-3.0", true);
        check_licence("(MIT OR Apache-2.0) AND GPL-3.0-only", false);
        check_licence("MIT OR Apache-2.0 AND GPL-3.0-only", true);
        check_licence("Apache-2.0 WITH LLVM-exception OR GPL-2.0", true);
    }

    #[test]
    fn old_and_missing_expressions_are_understood() {
        check_licence("Unlicense/MIT", true);
        check_licence("Apache-2.0 / MIT", true);
        check_licence("none", false);
        check_licence("", false);
        check_licence("(MIT", false);
    }

    #[test]
    fn a_refused_package_is_named() {
        let metadata = r#"{"packages":[{"name":"good","license":"MIT"},
            {"name":"viral","license":"AGPL-3.0-only"},{"name":"mute","license":null}]}"#;
        let found: Vec<String> = check(metadata)
            .unwrap()
            .into_iter()
            .map(|finding| finding.advice)
            .collect();
        assert_eq!(found.len(), 2);
        assert!(
            found[0].starts_with("`viral` has the licence `AGPL-3.0-only`"),
            "{found:?}"
        );
        assert!(
            found[1].starts_with("`mute` has the licence `none`"),
            "{found:?}"
        );
    }
}
