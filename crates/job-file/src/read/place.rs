//! Paths: local ones, resolved as D26 says. What names another place is told of and never taken
//! for the name of a file.

use std::path::PathBuf;

use super::{
    fields::{Fields, unavailable},
    keys::{AnyKey, Key},
    kinds::Place,
};
use crate::{
    Location, code,
    report::Report,
    source::{Origin, Span},
    wording::quote,
    yaml::Value,
};

/// Schemes of addresses that are written without `//`, too.
const SCHEMES: [&str; 11] = [
    "file", "memory", "oci", "hdfs", "s3", "s3a", "s3n", "s3p", "gs", "http", "https",
];

/// What an address or a path names, where checkpoints can go.
pub(super) enum Store {
    Folder(PathBuf),
    Memory,
    S3 { bucket: String, prefix: String },
}

impl<'a> Fields<'a> {
    /// Where checkpoints can go: a path, `memory:` or a bucket. `instead` says so where it is
    /// another address.
    pub(super) fn store(
        &self,
        key: &Key<Place>,
        origin: &Origin,
        instead: &str,
        report: &mut Report,
    ) -> Option<(Store, Span)> {
        let entry = self.entry(key)?;
        let span = entry.node.span;
        let address = match &entry.node.value {
            Value::Text(text) => scheme(text),
            _ => None,
        };
        let store = match address {
            Some(("memory", "" | "//")) => Store::Memory,
            Some(("memory", _)) => {
                let error = report.error(code::BAD_VALUE, "there are no places in memory");
                error.at(span, "must be `memory:`");
                return None;
            }
            Some((scheme, rest)) if is_of_bucket(scheme) => match bucket(rest) {
                Ok((bucket, prefix)) => Store::S3 { bucket, prefix },
                Err(message) => {
                    let error = report.error(code::BAD_VALUE, message);
                    error.at(span, "must be `s3://bucket/prefix`");
                    return None;
                }
            },
            Some(_) | None => Store::Folder(self.path(key, origin, instead, report)?),
        };
        Some((store, span))
    }

    /// A path, resolved.
    pub(super) fn path(
        &self,
        key: &Key<Place>,
        origin: &Origin,
        instead: &str,
        report: &mut Report,
    ) -> Option<PathBuf> {
        let (text, span) = self.local(key, instead, report)?;
        Some(base_of(span, origin).join(text))
    }

    /// A path as it was written, without `file://`. `instead` says what to do where it is the
    /// address of another place.
    pub(super) fn local(
        &self,
        key: &dyn AnyKey,
        instead: &str,
        report: &mut Report,
    ) -> Option<(&'a str, Span)> {
        let (text, span) = self.text(key, report)?;
        let key = key.name();
        let mut bad = |message: String, label: &str| {
            report.error(code::BAD_VALUE, message).at(span, label);
            None
        };
        if text.is_empty() {
            return bad(format!("`{key}` is empty"), "must be a path");
        }
        if text == "~" || text.starts_with("~/") {
            return bad(
                "`~` is not replaced by a home folder".into(),
                "write the path out",
            );
        }
        match scheme(text) {
            // What every relative path begins with shows nothing in messages.
            None => Some((text.strip_prefix("./").unwrap_or(text), span)),
            Some(("file", rest)) => {
                let path = rest.strip_prefix("//").unwrap_or(rest);
                // Escapes are for programs; who writes a path can write it as it is.
                if path.starts_with('/') && !path.contains('%') {
                    return Some((path, span));
                }
                let label = "write the path alone, or `file:///` and all of it";
                bad(
                    format!("{} is not the address of a file", quote(text)),
                    label,
                )
            }
            Some((scheme @ ("hdfs" | "viewfs"), _)) => {
                let message = format!("`{scheme}:` needs Hadoop, which this program does not have");
                let error = report.error(code::BAD_VALUE, message);
                error.at(span, "this is no JVM").help(instead);
                None
            }
            Some((scheme, _)) => {
                unavailable(report, &format!("`{scheme}:`"), span, instead);
                None
            }
        }
    }
}

impl Location {
    /// The bucket that an argument of a command names: `None` where it names no bucket but a path.
    ///
    /// ```
    /// use weir_job_file::Location;
    ///
    /// assert_eq!(Location::bucket("checkpoints/a"), None);
    /// let found = Location::bucket("s3://saved/a/chk-7/").unwrap().unwrap();
    /// assert_eq!(found.to_string(), "s3://saved/a/chk-7");
    /// assert!(Location::bucket("s3://A").unwrap().is_err());
    /// ```
    ///
    /// # Errors
    /// What is wrong with the address.
    #[must_use]
    pub fn bucket(text: &str) -> Option<Result<Self, &'static str>> {
        let (_, rest) = scheme(text).filter(|(scheme, _)| is_of_bucket(scheme))?;
        Some(bucket(rest).map(|(bucket, prefix)| Self::S3 { bucket, prefix }))
    }
}

/// Whether a scheme is that of a bucket; Flink has had more than one client.
fn is_of_bucket(scheme: &str) -> bool {
    matches!(scheme, "s3" | "s3a" | "s3n" | "s3p")
}

/// The bucket and the prefix behind `s3:`, else what is wrong.
fn bucket(rest: &str) -> Result<(String, String), &'static str> {
    let Some(rest) = rest.strip_prefix("//") else {
        return Err("this names no bucket");
    };
    let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
    let is_fine = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || ".-".contains(c);
    let ends = [bucket.chars().next(), bucket.chars().last()];
    let ends_well = ends.iter().flatten().all(char::is_ascii_alphanumeric);
    if !(3..=63).contains(&bucket.len()) || !bucket.chars().all(is_fine) || !ends_well {
        return Err("a bucket has 3 to 63 small letters, digits, `.` and `-`");
    }
    let prefix = prefix.trim_end_matches('/');
    let is_plain = |part: &str| {
        let inside = |c: char| c.is_ascii_alphanumeric() || "-_.=+".contains(c);
        !matches!(part, "" | "." | "..") && part.chars().all(inside)
    };
    if !prefix.is_empty() && !prefix.split('/').all(is_plain) {
        return Err("a prefix has letters, digits, `-`, `_`, `.`, `=` and `+` between its `/`");
    }
    Ok((bucket.to_owned(), prefix.to_owned()))
}

/// The folder that a relative path starts from: that of the file it is written in, or the working
/// directory for an argument.
pub(super) fn base_of(span: Span, origin: &Origin) -> PathBuf {
    if span.is_argument() {
        PathBuf::new()
    } else if span.is_of_host() {
        origin.host_folder.clone()
    } else {
        origin.folder.clone()
    }
}

/// The scheme of an address and what follows its colon; `None` for a path.
fn scheme(text: &str) -> Option<(&str, &str)> {
    let (scheme, rest) = text.split_once(':')?;
    let is_scheme = scheme.starts_with(|c: char| c.is_ascii_alphabetic())
        && scheme
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"+-.".contains(&b));
    let is_address = rest.starts_with("//") || SCHEMES.contains(&scheme);
    (is_scheme && is_address).then_some((scheme, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_no_path_and_a_path_no_address() {
        for (text, found) in [
            ("s3://bucket/a", Some(("s3", "//bucket/a"))),
            ("s3:bucket", Some(("s3", "bucket"))),
            ("ftp://host/a", Some(("ftp", "//host/a"))),
            ("git+ssh://host", Some(("git+ssh", "//host"))),
            ("memory:", Some(("memory", ""))),
            ("a/b:c", None),
            ("./s3://bucket", None),
            ("12:30.csv", None),
            ("rows:1.csv", None),
            (":", None),
            ("", None),
        ] {
            assert_eq!(scheme(text), found, "{text}");
        }
    }
}
