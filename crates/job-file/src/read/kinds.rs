//! What the value of a key can be: its schema, and what it is called.

use serde_json::{Value as Json, json};

use super::{
    keys::{Keys, Kind},
    quantity,
};
use crate::wording::one_of;

/// A name (D3).
#[derive(Clone, Copy)]
pub(crate) struct NameText;

/// `true` or `false`; where only one of them can be written in this version, that one.
#[derive(Clone, Copy)]
pub(crate) struct Flag {
    pub(crate) only: Option<bool>,
}

/// A whole number between two bounds.
#[derive(Clone, Copy)]
pub(crate) struct Whole {
    pub(crate) low: u64,
    pub(crate) high: u64,
}

/// A number above 0, or from 0 on.
#[derive(Clone, Copy)]
pub(crate) struct Real {
    pub(crate) zero: bool,
}

/// A duration, above 0 or from 0 on.
#[derive(Clone, Copy)]
pub(crate) struct Time {
    pub(crate) zero: bool,
}

/// A size in bytes, above 0.
#[derive(Clone, Copy)]
pub(crate) struct Size;

/// The path of a file or a folder.
#[derive(Clone, Copy)]
pub(crate) struct Place;

/// Anything: it is handed on.
#[derive(Clone, Copy)]
pub(crate) struct Anything;

/// The words that a value can be.
#[derive(Clone, Copy)]
pub(crate) struct Words<T: 'static> {
    /// Each with what it means.
    pub(crate) known: &'static [(&'static str, T, &'static str)],
    /// Other names that are taken and not advertised.
    pub(crate) aliases: &'static [(&'static str, T)],
    /// Words that this version does not have, with what to do instead.
    pub(crate) later: &'static [(&'static str, &'static str)],
    /// Words that are not there, with what is said under them.
    pub(crate) hints: &'static [(&'static str, &'static str)],
}

/// One of some words, or a mapping.
#[derive(Clone, Copy)]
pub(crate) struct WordsOr<T: 'static>(pub(crate) Words<T>, pub(crate) &'static Keys);

/// A mapping.
#[derive(Clone, Copy)]
pub(crate) struct Within(pub(crate) &'static Keys);

/// A mapping of names to mappings.
#[derive(Clone, Copy)]
pub(crate) struct Named {
    pub(crate) each: &'static Keys,
    /// Whether there must be one.
    pub(crate) some: bool,
}

/// What no other kind is.
#[derive(Clone, Copy)]
pub(crate) struct Special {
    pub(crate) words: &'static str,
    pub(crate) schema: fn() -> Json,
    pub(crate) below: &'static [&'static Keys],
}

impl<T> Words<T> {
    pub(crate) const fn of(known: &'static [(&'static str, T, &'static str)]) -> Self {
        Self {
            known,
            aliases: &[],
            later: &[],
            hints: &[],
        }
    }

    /// What a word means, advertised or not.
    pub(crate) fn meant(&self, word: &str) -> Option<T>
    where
        T: Copy,
    {
        let known = self.known.iter().map(|(known, value, _)| (known, value));
        let mut all = known.chain(self.aliases.iter().map(|(alias, value)| (alias, value)));
        all.find(|(known, _)| **known == word)
            .map(|(_, value)| *value)
    }

    /// The words that are advertised.
    pub(crate) fn names(&self) -> Vec<&'static str> {
        self.known.iter().map(|(word, ..)| *word).collect()
    }
}

impl Flag {
    pub(crate) const ANY: Self = Self { only: None };

    pub(crate) const fn only(value: bool) -> Self {
        Self { only: Some(value) }
    }
}

impl Time {
    pub(crate) const ABOVE_ZERO: Self = Self { zero: false };
    pub(crate) const FROM_ZERO: Self = Self { zero: true };
}

impl Whole {
    pub(crate) const fn between(low: u64, high: u64) -> Self {
        Self { low, high }
    }

    pub(crate) const fn from(low: u64) -> Self {
        Self::between(low, u64::MAX)
    }
}

impl Special {
    pub(crate) const fn of(words: &'static str, schema: fn() -> Json) -> Self {
        Self {
            words,
            schema,
            below: &[],
        }
    }
}

/// The schema of a mapping: each is described once.
pub(crate) fn reference_to(keys: &Keys) -> Json {
    json!({ "$ref": format!("#/$defs/{}", keys.id) })
}

/// The pattern of a name (D3).
pub(crate) const NAME: &str = "^[a-z][a-z0-9-]{0,62}$";

impl Kind for NameText {
    fn schema(&self) -> Json {
        json!({ "type": "string", "pattern": NAME })
    }

    fn words(&self) -> String {
        "name".into()
    }
}

impl Kind for Flag {
    fn schema(&self) -> Json {
        match self.only {
            Some(only) => json!({ "const": only }),
            None => json!({ "type": "boolean" }),
        }
    }

    fn words(&self) -> String {
        match self.only {
            Some(only) => format!("`{only}`"),
            None => "true or false".into(),
        }
    }
}

impl Kind for Whole {
    fn schema(&self) -> Json {
        json!({ "type": "integer", "minimum": self.low, "maximum": self.high })
    }

    fn words(&self) -> String {
        let Self { low, high } = *self;
        // Nobody is told the ends of what a number has room for.
        match high >= u32::MAX.into() {
            true => format!("whole number from {low}"),
            false => format!("whole number from {low} to {high}"),
        }
    }
}

impl Kind for Real {
    fn schema(&self) -> Json {
        match self.zero {
            true => json!({ "type": "number", "minimum": 0 }),
            false => json!({ "type": "number", "exclusiveMinimum": 0 }),
        }
    }

    fn words(&self) -> String {
        let bound = if self.zero { "from" } else { "above" };
        format!("number {bound} 0")
    }
}

impl Kind for Time {
    fn schema(&self) -> Json {
        json!({ "type": "string", "pattern": quantity::pattern(&quantity::DURATION) })
    }

    fn words(&self) -> String {
        match self.zero {
            true => "duration".into(),
            false => "duration above 0".into(),
        }
    }
}

impl Kind for Size {
    fn schema(&self) -> Json {
        json!({ "type": "string", "pattern": quantity::pattern(&quantity::SIZE) })
    }

    fn words(&self) -> String {
        "size above 0".into()
    }
}

impl Kind for Place {
    fn schema(&self) -> Json {
        json!({ "type": "string", "minLength": 1 })
    }

    fn words(&self) -> String {
        "path".into()
    }
}

impl Kind for Anything {
    fn schema(&self) -> Json {
        json!({})
    }

    fn words(&self) -> String {
        "anything".into()
    }
}

impl<T> Kind for Words<T> {
    fn schema(&self) -> Json {
        let aliases = self.aliases.iter().map(|(word, _)| *word);
        let all: Vec<&str> = self.names().into_iter().chain(aliases).collect();
        json!({ "enum": all })
    }

    fn words(&self) -> String {
        one_of(&self.names())
    }

    fn choices(&self) -> Vec<(&'static str, &'static str)> {
        let known = self.known.iter();
        known.map(|(word, _, about)| (*word, *about)).collect()
    }
}

impl<T> Kind for WordsOr<T> {
    fn schema(&self) -> Json {
        json!({ "anyOf": [self.0.schema(), reference_to(self.1)] })
    }

    fn words(&self) -> String {
        format!("{}, or a mapping", self.0.words())
    }

    fn below(&self) -> Vec<&'static Keys> {
        vec![self.1]
    }

    fn choices(&self) -> Vec<(&'static str, &'static str)> {
        self.0.choices()
    }
}

impl Kind for Within {
    fn schema(&self) -> Json {
        reference_to(self.0)
    }

    fn words(&self) -> String {
        "mapping".into()
    }

    fn below(&self) -> Vec<&'static Keys> {
        vec![self.0]
    }
}

impl Kind for Named {
    fn schema(&self) -> Json {
        json!({
            "type": "object",
            "propertyNames": { "pattern": NAME },
            "additionalProperties": reference_to(self.each),
            "minProperties": u8::from(self.some),
        })
    }

    fn words(&self) -> String {
        "mapping of names to mappings".into()
    }

    fn below(&self) -> Vec<&'static Keys> {
        vec![self.each]
    }
}

impl Kind for Special {
    fn schema(&self) -> Json {
        (self.schema)()
    }

    fn words(&self) -> String {
        self.words.into()
    }

    fn below(&self) -> Vec<&'static Keys> {
        self.below.to_vec()
    }
}
