//! A mapping whose keys are known, and its values by type.

use std::{path::PathBuf, time::Duration};

use weir_model::{Name, Parallelism};

use super::{nearest, one_of, quantity};
use crate::{
    code,
    report::Report,
    source::{Origin, Span},
    yaml::{Entry, Node, Value},
};

/// The keys of one kind of mapping.
pub(super) struct Keys {
    /// Those that this version has.
    pub(super) known: &'static [&'static str],
    /// Those that are named and that this version does not have, with what to do instead.
    pub(super) later: &'static [(&'static str, &'static str)],
}

/// A mapping of the file.
pub(super) struct Fields<'a> {
    /// What it is, for messages: `` source `flights` ``.
    pub(super) what: String,
    entries: &'a [Entry],
    /// What to underline where a key is missing.
    name: Span,
}

impl<'a> Fields<'a> {
    /// Takes a mapping, and reports every key that it should not have.
    pub(super) fn open(
        what: impl Into<String>,
        node: &'a Node,
        name: Span,
        keys: &[&Keys],
        report: &mut Report,
    ) -> Option<Self> {
        let what = what.into();
        let Value::Map(entries) = &node.value else {
            let message = format!("{what} must be a mapping");
            report
                .error(code::WRONG_TYPE, message)
                .at(node.span, format!("this is {}", node.value.kind()));
            return None;
        };
        let known = || keys.iter().flat_map(|keys| keys.known.iter().copied());
        for Entry { key, key_span, .. } in entries {
            if known().any(|known| known == key) {
                continue;
            }
            let mut later = keys.iter().flat_map(|keys| keys.later);
            if let Some((_, instead)) = later.find(|(later, _)| later == key) {
                unavailable(report, &format!("`{key}`"), *key_span, instead);
                continue;
            }
            let error = report.error(code::UNKNOWN_KEY, format!("unknown key `{key}` in {what}"));
            match nearest(key, known()) {
                Some(near) => error.at(*key_span, format!("did you mean `{near}`?")),
                None => error.at(*key_span, "unknown").help(format!(
                    "the keys here are {}",
                    one_of(&known().collect::<Vec<_>>()).replace(" or ", " and ")
                )),
            };
        }
        Some(Self {
            what,
            entries,
            name,
        })
    }

    pub(super) fn entry(&self, key: &str) -> Option<&'a Entry> {
        self.entries.iter().find(|entry| entry.key == key)
    }

    /// The entry of a key that must be there.
    pub(super) fn required(&self, key: &str, report: &mut Report) -> Option<&'a Entry> {
        let found = self.entry(key);
        if found.is_none() {
            let message = format!("{} has no `{key}`", self.what);
            report
                .error(code::MISSING_KEY, message)
                .at(self.name, format!("needs `{key}`"));
        }
        found
    }

    pub(super) fn text(&self, key: &str, report: &mut Report) -> Option<(&'a str, Span)> {
        let entry = self.entry(key)?;
        text_of(key, &entry.node, report)
    }

    pub(super) fn boolean(&self, key: &str, report: &mut Report) -> Option<(bool, Span)> {
        let entry = self.entry(key)?;
        match entry.node.value {
            Value::Bool(value) => Some((value, entry.node.span)),
            _ => wrong(key, "true or false", &entry.node, report),
        }
    }

    /// A whole number between two bounds.
    pub(super) fn int(&self, key: &str, low: u64, high: u64, report: &mut Report) -> Option<u64> {
        let entry = self.entry(key)?;
        let Value::Int(value) = entry.node.value else {
            return wrong(key, "a whole number", &entry.node, report);
        };
        match u64::try_from(value) {
            Ok(value) if (low..=high).contains(&value) => Some(value),
            Ok(_) | Err(_) => {
                let bounds = match high {
                    u64::MAX => format!("at least {low}"),
                    high => format!("from {low} to {high}"),
                };
                report
                    .error(code::BAD_VALUE, format!("`{key}` cannot be {value}"))
                    .at(entry.node.span, format!("must be {bounds}"));
                None
            }
        }
    }

    /// A number above 0 (or from 0 on), whole or not.
    pub(super) fn number(&self, key: &str, positive: bool, report: &mut Report) -> Option<f64> {
        let entry = self.entry(key)?;
        let value = match entry.node.value {
            Value::Int(value) => value as f64,
            Value::Float(value) => value,
            _ => return wrong(key, "a number", &entry.node, report),
        };
        if value.is_finite() && (value > 0.0 || !positive && value >= 0.0) {
            return Some(value);
        }
        let bound = if positive {
            "must be above 0"
        } else {
            "must not be below 0"
        };
        let message = format!("`{key}` cannot be {value}");
        report
            .error(code::BAD_VALUE, message)
            .at(entry.node.span, bound);
        None
    }

    pub(super) fn parallelism(&self, report: &mut Report) -> Option<Parallelism> {
        let value = self.int("parallelism", 1, 32_768, report)?;
        Parallelism::new(u32::try_from(value).ok()?).ok()
    }

    pub(super) fn duration(&self, key: &str, report: &mut Report) -> Option<Duration> {
        self.quantity(key, "a duration", report, quantity::duration)
    }

    pub(super) fn size(&self, key: &str, report: &mut Report) -> Option<u64> {
        self.quantity(key, "a size", report, quantity::size)
    }

    fn quantity<T>(
        &self,
        key: &str,
        what: &str,
        report: &mut Report,
        read: impl Fn(&str) -> Result<T, String>,
    ) -> Option<T> {
        let entry = self.entry(key)?;
        let span = entry.node.span;
        let text = match &entry.node.value {
            Value::Text(text) => text.clone(),
            Value::Int(value) => value.to_string(),
            Value::Float(value) => value.to_string(),
            _ => return wrong(key, what, &entry.node, report),
        };
        match read(&text) {
            Ok(value) => Some(value),
            Err(expected) => {
                let message = format!("`{key}` is no {}: `{text}`", what.trim_start_matches("a "));
                report
                    .error(code::QUANTITY, message)
                    .at(span, format!("expected {expected}"));
                None
            }
        }
    }

    /// One of some words. `later` are words that this version does not have.
    pub(super) fn word<T: Copy>(
        &self,
        key: &str,
        words: &[(&str, T)],
        later: &[(&str, &str)],
        report: &mut Report,
    ) -> Option<T> {
        let (text, span) = self.text(key, report)?;
        if let Some((_, value)) = words.iter().find(|(word, _)| *word == text) {
            return Some(*value);
        }
        if let Some((_, instead)) = later.iter().find(|(word, _)| *word == text) {
            unavailable(report, &format!("`{key}: {text}`"), span, instead);
            return None;
        }
        let known: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
        let error = report.error(code::BAD_VALUE, format!("`{key}` cannot be `{text}`"));
        match nearest(text, known.iter().copied()) {
            Some(near) => error.at(span, format!("did you mean `{near}`?")),
            None => error.at(span, format!("must be {}", one_of(&known))),
        };
        None
    }

    /// A path, resolved as D26 says.
    pub(super) fn path(&self, key: &str, origin: &Origin, report: &mut Report) -> Option<PathBuf> {
        let (text, span) = self.text(key, report)?;
        if text.is_empty() {
            let message = format!("`{key}` is empty");
            report
                .error(code::BAD_VALUE, message)
                .at(span, "must be a path");
            return None;
        }
        Some(base_of(span, origin).join(text))
    }
}

/// The folder that a relative path starts from: that of the file, or the working directory for an
/// argument.
pub(super) fn base_of(span: Span, origin: &Origin) -> PathBuf {
    if span.is_argument() {
        PathBuf::new()
    } else {
        origin.folder.clone()
    }
}

pub(super) fn text_of<'a>(
    key: &str,
    node: &'a Node,
    report: &mut Report,
) -> Option<(&'a str, Span)> {
    match &node.value {
        Value::Text(text) => Some((text, node.span)),
        _ => wrong(key, "text", node, report),
    }
}

/// Reports a value of another type than expected.
pub(super) fn wrong<T>(key: &str, expected: &str, node: &Node, report: &mut Report) -> Option<T> {
    let message = format!("`{key}` must be {expected}");
    let label = format!("this is {}", node.value.kind());
    report.error(code::WRONG_TYPE, message).at(node.span, label);
    None
}

/// Reports something that the design names and this version does not have.
pub(super) fn unavailable(report: &mut Report, what: &str, span: Span, instead: &str) {
    let error = report
        .error(
            code::NOT_AVAILABLE,
            format!("{what} is not available in this version"),
        )
        .at(span, "not available");
    if !instead.is_empty() {
        error.help(instead);
    }
}

/// Checks a name against the rule of names (D3).
pub(super) fn name_of(text: &str, span: Span, report: &mut Report) -> Option<Name> {
    match Name::new(text) {
        Ok(name) => Some(name),
        Err(_) => {
            report.error(code::NAME, format!("`{text}` is no name")).at(span, "").help(
                "a name begins with a small letter and has at most 63 small letters, digits and \
                 hyphens",
            );
            None
        }
    }
}
