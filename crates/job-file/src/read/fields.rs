//! A mapping whose keys are known, and its values by type.

use std::time::Duration;

use weir_model::{Name, Parallelism};

use super::{
    flink,
    keys::{AnyKey, Key, Keys},
    kinds::{Flag, Real, Size, Time, Whole, Within, Words},
    quantity::{self, Wrong},
};
use crate::{
    code,
    report::Report,
    source::Span,
    wording::{all_of, nearest, one_of, quote, there_are},
    yaml::{Entry, Node, Value},
};

/// A mapping of the file.
pub(super) struct Fields<'a> {
    /// What it is, for messages: `` source `flights` ``.
    pub(super) what: String,
    entries: &'a [Entry],
    /// What to underline where a key is missing.
    name: Span,
}

impl<'a> Fields<'a> {
    /// Takes a mapping, and reports every key that it should not have and each that it must have.
    pub(super) fn open(
        what: impl Into<String>,
        node: &'a Node,
        name: Span,
        keys: &Keys,
        report: &mut Report,
    ) -> Option<Self> {
        let fields = Self::of(what, node, name, report)?;
        fields.check_keys(keys, None, report);
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

    /// Reports every key that is none of these, nor of the variant of that name, and each that is
    /// missing and not just misspelled.
    pub(super) fn check_keys(&self, keys: &Keys, variant: Option<&str>, report: &mut Report) {
        let is_own = |(word, _): &&(&str, &Keys)| Some(*word) == variant;
        let own = keys.variants.iter().find(is_own).map(|(_, own)| *own);
        let all: Vec<&Keys> = std::iter::once(keys).chain(own).collect();
        let check = |entry| self.check_key(entry, keys, &all, report);
        let meant: Vec<&str> = self.entries.iter().filter_map(check).collect();
        for key in all.iter().flat_map(|keys| keys.known) {
            if key.needed() && !meant.contains(&key.name()) {
                self.required(*key, report);
            }
        }
    }

    /// Reports a key that is none of `all`; `keys` knows the variants that it could be of. The
    /// answer is the key that was meant, where one is told.
    fn check_key(
        &self,
        entry: &Entry,
        keys: &Keys,
        all: &[&Keys],
        report: &mut Report,
    ) -> Option<&'static str> {
        let Entry { key, key_span, .. } = entry;
        let known = all.iter().flat_map(|keys| keys.known);
        let known: Vec<&'static str> = known.map(|key| key.name()).collect();
        if known.contains(&key.as_str()) {
            return None;
        }
        let same = |(word, _): &&(&str, &str)| word == key;
        if let Some((_, instead)) = all.iter().flat_map(|keys| keys.later).find(same) {
            unavailable(report, &quote(key), *key_span, instead);
            return None;
        }
        let message = format!("unknown key {} in {}", quote(key), self.what);
        let error = report.error(code::UNKNOWN_KEY, message);
        if let Some(ours) = flink::ours(key) {
            let label = match ours.split_once('.') {
                Some((mapping, own)) if ours == key => {
                    format!("write `{mapping}: {{ {own}: … }}`")
                }
                Some(_) | None => format!("is `{ours}` here"),
            };
            error.at(*key_span, label);
            return None;
        }
        if let Some((_, place)) = all.iter().flat_map(|keys| keys.elsewhere).find(same) {
            error.at(*key_span, *place);
            return nearest(key, known);
        }
        let has = |(_, keys): &&(&str, &Keys)| keys.known.iter().any(|known| known.name() == key);
        let others: Vec<String> = keys.variants.iter().filter(has).map(connector).collect();
        if !others.is_empty() {
            error.at(*key_span, format!("is for {}", all_of(&others)));
            return None;
        }
        let near = nearest(key, known.iter().copied());
        match near {
            Some(near) => error.at(*key_span, format!("did you mean `{near}`?")),
            None => error
                .at(*key_span, "unknown")
                .help(format!("the keys here are {}", all_of(&known))),
        };
        near
    }

    /// Reports a key that is missing, or that is misspelled where the other keys cannot be checked
    /// because it says which ones there are.
    pub(super) fn required_first(
        &self,
        key: &dyn AnyKey,
        keys: &Keys,
        report: &mut Report,
    ) -> Option<&'a Entry> {
        match self.misspelled(key, keys) {
            Some(slip) if self.entry(key).is_none() => {
                self.check_key(slip, keys, &[keys], report);
                None
            }
            _ => self.required(key, report),
        }
    }

    /// An entry that is none of these keys, nor of a variant, and seems to mean that one.
    pub(super) fn misspelled(&self, key: &dyn AnyKey, keys: &Keys) -> Option<&'a Entry> {
        let variants = keys.variants.iter().map(|(_, own)| *own);
        let all = std::iter::once(keys).chain(variants);
        let names: Vec<&str> = all
            .flat_map(|keys| keys.known)
            .map(|key| key.name())
            .collect();
        self.entries.iter().find(|entry| {
            let entry = entry.key.as_str();
            !names.contains(&entry) && nearest(entry, names.iter().copied()) == Some(key.name())
        })
    }

    /// All of them, as they are written.
    pub(super) fn entries(&self) -> &'a [Entry] {
        self.entries
    }

    pub(super) fn entry(&self, key: &dyn AnyKey) -> Option<&'a Entry> {
        self.entries.iter().find(|entry| entry.key == key.name())
    }

    /// The entry of a key that must be there.
    pub(super) fn required(&self, key: &dyn AnyKey, report: &mut Report) -> Option<&'a Entry> {
        let found = self.entry(key);
        if found.is_none() {
            let (key, hint) = (key.name(), key.hint());
            let message = format!("{} has no `{key}`", self.what);
            report
                .error(code::MISSING_KEY, message)
                .at(self.name, format!("needs `{key}`"))
                .help_maybe(hint.map(str::to_owned));
        }
        found
    }

    /// What is underlined where something is missing.
    pub(super) fn name(&self) -> Span {
        self.name
    }

    /// A mapping below.
    pub(super) fn within(&self, key: &Key<Within>, report: &mut Report) -> Option<Fields<'a>> {
        let entry = self.entry(key)?;
        let what = format!("`{}`", key.name);
        Fields::open(what, &entry.node, entry.key_span, key.kind.0, report)
    }

    pub(super) fn text(&self, key: &dyn AnyKey, report: &mut Report) -> Option<(&'a str, Span)> {
        let entry = self.entry(key)?;
        text_of(key.name(), &entry.node, report)
    }

    pub(super) fn boolean(&self, key: &Key<Flag>, report: &mut Report) -> Option<(bool, Span)> {
        self.truth(key, report)
    }

    /// `true` or `false` where other things may be written, too.
    pub(super) fn truth(&self, key: &dyn AnyKey, report: &mut Report) -> Option<(bool, Span)> {
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
            _ => return wrong(key.name(), "true or false", &entry.node, report),
        };
        let message = format!("`{}` must be true or false", key.name());
        let error = report.error(code::WRONG_TYPE, message);
        error.at(entry.node.span, meant);
        None
    }

    pub(super) fn int(&self, key: &Key<Whole>, report: &mut Report) -> Option<u64> {
        self.whole(key, key.kind, report)
    }

    /// A whole number where other things may be written, too.
    pub(super) fn whole(
        &self,
        key: &dyn AnyKey,
        bounds: Whole,
        report: &mut Report,
    ) -> Option<u64> {
        let entry = self.entry(key)?;
        let (key, Whole { low, high }) = (key.name(), bounds);
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

    /// A number, whole or not.
    pub(super) fn number(&self, key: &Key<Real>, report: &mut Report) -> Option<f64> {
        let entry = self.entry(key)?;
        let (key, positive) = (key.name, !key.kind.zero);
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

    pub(super) fn parallelism(&self, key: &Key<Whole>, report: &mut Report) -> Option<Parallelism> {
        let value = self.int(key, report)?;
        Parallelism::new(u32::try_from(value).ok()?).ok()
    }

    pub(super) fn duration(&self, key: &Key<Time>, report: &mut Report) -> Option<Duration> {
        let duration = self.quantity(key, "a duration", report, quantity::duration)?;
        let is_zero = !key.kind.zero && duration.is_zero();
        self.not_zero(key, is_zero, report)?;
        Some(duration)
    }

    /// A size that is not 0.
    pub(super) fn size(&self, key: &Key<Size>, report: &mut Report) -> Option<u64> {
        let size = self.bytes(key, report)?;
        self.not_zero(key, size == 0, report)?;
        Some(size)
    }

    /// A size where other things may be written, too.
    pub(super) fn bytes(&self, key: &dyn AnyKey, report: &mut Report) -> Option<u64> {
        self.quantity(key, "a size", report, quantity::size)
    }

    fn not_zero(&self, key: &dyn AnyKey, is_zero: bool, report: &mut Report) -> Option<()> {
        if !is_zero {
            return Some(());
        }
        let entry = self.entry(key)?;
        let error = report.error(code::BAD_VALUE, format!("`{}` cannot be 0", key.name()));
        error.at(entry.node.span, "must be above 0");
        None
    }

    fn quantity<T>(
        &self,
        key: &dyn AnyKey,
        what: &str,
        report: &mut Report,
        read: impl Fn(&str) -> Result<T, Wrong>,
    ) -> Option<T> {
        let entry = self.entry(key)?;
        let key = key.name();
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

    pub(super) fn word<T: Copy>(&self, key: &Key<Words<T>>, report: &mut Report) -> Option<T> {
        self.word_of(key, &key.kind, report)
    }

    /// One of some words where other things may be written, too.
    pub(super) fn word_of<T: Copy>(
        &self,
        key: &dyn AnyKey,
        words: &Words<T>,
        report: &mut Report,
    ) -> Option<T> {
        let (text, span) = self.text(key, report)?;
        if let Some(value) = words.meant(text) {
            return Some(value);
        }
        let (key, known) = (key.name(), words.names());
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

/// A variant as it is written.
fn connector((word, _): &(&str, &Keys)) -> String {
    format!("connector: {word}")
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
