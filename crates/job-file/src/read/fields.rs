//! A mapping whose keys are known, and its values by type.

use std::time::Duration;

use weir_model::{Name, Parallelism};

use super::quantity::{self, Wrong};
use crate::{
    code,
    report::Report,
    source::Span,
    wording::{all_of, nearest, one_of, quote, there_are},
    yaml::{Entry, Node, Value},
};

/// The keys of one kind of mapping.
#[derive(Clone, Copy)]
pub(super) struct Keys {
    /// Those that this version has.
    pub(super) known: &'static [&'static str],
    /// Those that are named and that this version does not have, with what to do instead.
    pub(super) later: &'static [(&'static str, &'static str)],
    /// Those that belong somewhere else, with where that is.
    pub(super) elsewhere: &'static [(&'static str, &'static str)],
}

/// The words that a value can be.
#[derive(Clone, Copy)]
pub(super) struct Words<'w, T> {
    pub(super) known: &'w [(&'w str, T)],
    /// Other names that are taken and not advertised.
    pub(super) aliases: &'w [(&'w str, T)],
    /// Words that this version does not have, with what to do instead.
    pub(super) later: &'w [(&'w str, &'w str)],
    /// Words that are not there, with what is said under them.
    pub(super) hints: &'w [(&'w str, &'w str)],
}

/// A mapping of the file.
pub(super) struct Fields<'a> {
    /// What it is, for messages: `` source `flights` ``.
    pub(super) what: String,
    entries: &'a [Entry],
    /// What to underline where a key is missing.
    name: Span,
}

impl Keys {
    pub(super) const fn of(known: &'static [&'static str]) -> Self {
        Self {
            known,
            later: &[],
            elsewhere: &[],
        }
    }
}

impl<'w, T> Words<'w, T> {
    pub(super) const fn of(known: &'w [(&'w str, T)]) -> Self {
        Self {
            known,
            aliases: &[],
            later: &[],
            hints: &[],
        }
    }
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
        let fields = Self::of(what, node, name, report)?;
        fields.check_keys(keys, report);
        Some(fields)
    }

    /// Takes a mapping with any keys.
    pub(super) fn of(
        what: impl Into<String>,
        node: &'a Node,
        name: Span,
        report: &mut Report,
    ) -> Option<Self> {
        let what = what.into();
        let Value::Map(entries) = &node.value else {
            let error = report.error(code::WRONG_TYPE, format!("{what} must be a mapping"));
            let error = error.at(node.span, this_is(&node.value));
            let run_together = |text: &str| text.contains(':') && !text.contains(": ");
            if matches!(&node.value, Value::Text(text) if run_together(text)) {
                error.help("a `:` needs a space behind it: `key: value`");
            }
            return None;
        };
        Some(Self {
            what,
            entries,
            name,
        })
    }

    /// Reports every key that is none of these.
    pub(super) fn check_keys(&self, keys: &[&Keys], report: &mut Report) {
        let known: Vec<&str> = keys.iter().flat_map(|keys| keys.known).copied().collect();
        for Entry { key, key_span, .. } in self.entries {
            if known.contains(&key.as_str()) {
                continue;
            }
            let same = |(word, _): &&(&str, &str)| word == key;
            if let Some((_, instead)) = keys.iter().flat_map(|keys| keys.later).find(same) {
                unavailable(report, &quote(key), *key_span, instead);
                continue;
            }
            let message = format!("unknown key {} in {}", quote(key), self.what);
            let error = report.error(code::UNKNOWN_KEY, message);
            if let Some((_, place)) = keys.iter().flat_map(|keys| keys.elsewhere).find(same) {
                error.at(*key_span, *place);
                continue;
            }
            match nearest(key, known.iter().copied()) {
                Some(near) => error.at(*key_span, format!("did you mean `{near}`?")),
                None => error
                    .at(*key_span, "unknown")
                    .help(format!("the keys here are {}", all_of(&known))),
            };
        }
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
        let text = match &entry.node.value {
            Value::Bool(value) => return Some((*value, entry.node.span)),
            Value::Text(text) => text.to_lowercase(),
            _ => String::new(),
        };
        // What YAML 1.1 took for it, and what stands in quotes.
        let meant = match text.as_str() {
            "yes" | "y" | "on" | "true" => "did you mean `true`?",
            "no" | "n" | "off" | "false" => "did you mean `false`?",
            _ => return wrong(key, "true or false", &entry.node, report),
        };
        let message = format!("`{key}` must be true or false");
        let error = report.error(code::WRONG_TYPE, message);
        error.at(entry.node.span, meant);
        None
    }

    /// A whole number between two bounds.
    pub(super) fn int(&self, key: &str, low: u64, high: u64, report: &mut Report) -> Option<u64> {
        let entry = self.entry(key)?;
        let value = match &entry.node.value {
            Value::Int(value) => *value,
            // 1e6 is a whole number, as long as nothing was rounded.
            Value::Float(value) if value.fract() == 0.0 && value.abs() <= EXACT => *value as i128,
            Value::Text(text) if is_int(&text.replace('_', "")) => {
                let message = format!("`{key}` must be a whole number");
                let meant = format!("did you mean `{}`?", text.replace('_', ""));
                report
                    .error(code::WRONG_TYPE, message)
                    .at(entry.node.span, meant);
                return None;
            }
            _ => return wrong(key, "a whole number", &entry.node, report),
        };
        match u64::try_from(value) {
            Ok(value) if (low..=high).contains(&value) => Some(value),
            Ok(_) | Err(_) => {
                // Who writes less than the least has no use for the most.
                let bounds = match value < low.into() {
                    true => format!("must be at least {low}"),
                    false => format!("must be at most {high}"),
                };
                let message = format!("`{key}` cannot be {value}");
                let error = report.error(code::BAD_VALUE, message);
                error.at(entry.node.span, bounds);
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
        let bound = match (value.is_finite(), positive) {
            (false, _) => "must be a number with an end",
            (true, true) => "must be above 0",
            (true, false) => "must not be below 0",
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

    /// A duration that is not 0.
    pub(super) fn some_duration(&self, key: &str, report: &mut Report) -> Option<Duration> {
        let duration = self.duration(key, report)?;
        self.not_zero(key, duration.is_zero(), report)?;
        Some(duration)
    }

    pub(super) fn size(&self, key: &str, report: &mut Report) -> Option<u64> {
        self.quantity(key, "a size", report, quantity::size)
    }

    /// A size that is not 0.
    pub(super) fn some_size(&self, key: &str, report: &mut Report) -> Option<u64> {
        let size = self.size(key, report)?;
        self.not_zero(key, size == 0, report)?;
        Some(size)
    }

    fn not_zero(&self, key: &str, is_zero: bool, report: &mut Report) -> Option<()> {
        if !is_zero {
            return Some(());
        }
        let entry = self.entry(key)?;
        let error = report.error(code::BAD_VALUE, format!("`{key}` cannot be 0"));
        error.at(entry.node.span, "must be above 0");
        None
    }

    fn quantity<T>(
        &self,
        key: &str,
        what: &str,
        report: &mut Report,
        read: impl Fn(&str) -> Result<T, Wrong>,
    ) -> Option<T> {
        let entry = self.entry(key)?;
        let text = match &entry.node.value {
            Value::Text(text) => text.clone(),
            Value::Int(value) => value.to_string(),
            Value::Float(value) => value.to_string(),
            _ => return wrong(key, what, &entry.node, report),
        };
        match read(&text) {
            Ok(value) => Some(value),
            Err(Wrong { label, help }) => {
                let text = quote(&text);
                let message = match help {
                    Some(_) => format!("`{key}` is no {}: {text}", what.trim_start_matches("a ")),
                    None => format!("`{key}` cannot be {text}"),
                };
                let error = report.error(code::QUANTITY, message);
                error
                    .at(entry.node.span, label)
                    .help_maybe(help.map(str::to_owned));
                None
            }
        }
    }

    /// One of some words.
    pub(super) fn word<T: Copy>(
        &self,
        key: &str,
        words: &Words<'_, T>,
        report: &mut Report,
    ) -> Option<T> {
        let (text, span) = self.text(key, report)?;
        let mut all = words.known.iter().chain(words.aliases);
        if let Some((_, value)) = all.find(|(word, _)| *word == text) {
            return Some(*value);
        }
        let known: Vec<&str> = words.known.iter().map(|(word, _)| *word).collect();
        if let Some((_, instead)) = words.later.iter().find(|(word, _)| *word == text) {
            let instead = match *instead {
                "" => there_are(&known),
                said => said.to_owned(),
            };
            unavailable(report, &quote(&format!("{key}: {text}")), span, &instead);
            return None;
        }
        let message = format!("`{key}` cannot be {}", quote(text));
        let error = report.error(code::BAD_VALUE, message);
        let hint = words.hints.iter().find(|(word, _)| *word == text);
        match (hint, nearest(text, known.iter().copied())) {
            (Some((_, hint)), _) => error.at(span, *hint),
            (None, Some(near)) => error.at(span, format!("did you mean `{near}`?")),
            (None, None) => error.at(span, format!("must be {}", one_of(&known))),
        };
        None
    }
}

/// Up to here every whole number is a double of its own.
const EXACT: f64 = 9_007_199_254_740_992.0;

fn is_int(text: &str) -> bool {
    text.parse::<i128>().is_ok()
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
    report
        .error(code::WRONG_TYPE, message)
        .at(node.span, this_is(&node.value));
    None
}

/// What is said under a value of another type than expected.
pub(super) fn this_is(value: &Value) -> String {
    match value {
        Value::Null => "nothing is written here".to_owned(),
        Value::Bool(_)
        | Value::Int(_)
        | Value::Float(_)
        | Value::Text(_)
        | Value::List(_)
        | Value::Map(_) => format!("this is {}", value.kind()),
    }
}

/// Reports something that the design names and this version does not have.
pub(super) fn unavailable(report: &mut Report, what: &str, span: Span, instead: &str) {
    let message = format!("{what} is not available in this version");
    let error = report.error(code::NOT_AVAILABLE, message);
    let error = error.at(span, "not available");
    if !instead.is_empty() {
        error.help(instead);
    }
}

/// Checks a name against the rule of names (D3).
pub(super) fn name_of(text: &str, span: Span, report: &mut Report) -> Option<Name> {
    if let Ok(name) = Name::new(text) {
        return Some(name);
    }
    let label = match text.len() {
        0 => "this is empty".to_owned(),
        length if length > Name::MAX_LEN && text.is_ascii() => format!("{length} characters"),
        _ => near_name(text).map_or(String::new(), |near| format!("did you mean `{near}`?")),
    };
    let max = Name::MAX_LEN;
    report
        .error(code::NAME, format!("{} is no name", quote(text)))
        .at(span, label)
        .help(format!(
            "a name begins with a small letter and has at most {max} small letters, digits and \
             hyphens"
        ));
    None
}

/// The name that somebody meant who writes names in another way.
fn near_name(text: &str) -> Option<Name> {
    let mut near = String::new();
    for char in text.trim().chars() {
        match char {
            'A'..='Z' => near.push(char.to_ascii_lowercase()),
            ' ' | '_' | '.' | '/' => near.push('-'),
            _ => near.push(char),
        }
    }
    Name::new(&near).ok()
}
