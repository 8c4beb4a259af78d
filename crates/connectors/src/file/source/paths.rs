//! From the pattern of a job file to the files it names.

use std::{
    path::{Path, PathBuf},
    str,
};

use glob::{MatchOptions, Pattern, glob_with};
use weir_operator::Failure;

use super::FileSourceOptions;

/// A file of the source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Found {
    /// The name of its split: the path without the folder that a relative pattern starts from.
    pub(super) id: String,
    /// Where it is.
    pub(super) path: PathBuf,
}

/// `*` stays within a folder, and names that begin with a dot are not meant by it.
const MATCH: MatchOptions = MatchOptions {
    case_sensitive: true,
    require_literal_separator: true,
    require_literal_leading_dot: true,
};

/// All files that the pattern names, in order of their ids.
pub(super) fn find(options: &FileSourceOptions) -> Result<Vec<Found>, Failure> {
    let failed = |message: String| Failure::External {
        what: format!("look for files of source `{}`", options.source),
        message,
    };
    let pattern = without_dots(&options.pattern);
    let literal = options.base.join(&pattern);
    if literal.is_dir() {
        return Err(failed(format!(
            "{} is a folder, say which files: {}",
            literal.display(),
            literal.join("*").display()
        )));
    }
    let paths = if literal.exists() {
        vec![literal.clone()]
    } else {
        expand(&options.base, &pattern).map_err(&failed)?
    };
    let mut found = Vec::with_capacity(paths.len());
    for path in paths {
        let id = path.strip_prefix(&options.base).unwrap_or(&path);
        let id = id
            .to_str()
            .ok_or_else(|| failed(format!("the name of {} is not valid UTF-8", path.display())))?;
        found.push(Found {
            id: id.to_owned(),
            path: path.clone(),
        });
    }
    if found.is_empty() {
        return Err(failed(format!("no file matches {}", literal.display())));
    }
    found.sort_by(|a, b| a.id.cmp(&b.id));
    Ok(found)
}

fn expand(base: &Path, pattern: &str) -> Result<Vec<PathBuf>, String> {
    let base = base
        .to_str()
        .ok_or_else(|| format!("the name of folder {} is not valid UTF-8", base.display()))?;
    let whole = Path::new(&Pattern::escape(base)).join(pattern);
    let whole = whole.to_str().unwrap_or(pattern);
    let paths =
        glob_with(whole, MATCH).map_err(|e| format!("`{pattern}` is not a pattern: {e}"))?;
    let mut files = Vec::new();
    for path in paths {
        let path = path.map_err(|e| e.to_string())?;
        if !path.is_dir() {
            files.push(path);
        }
    }
    Ok(files)
}

/// `./a//b` is `a/b`, so that one file has one id.
fn without_dots(pattern: &str) -> String {
    let root = if pattern.starts_with('/') { "/" } else { "" };
    let parts: Vec<_> = pattern
        .split('/')
        .filter(|p| !p.is_empty() && *p != ".")
        .collect();
    format!("{root}{}", parts.join("/"))
}
