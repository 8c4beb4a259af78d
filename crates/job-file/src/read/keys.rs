//! What can be written in a job file: the one table that files are read by, and that the schema and
//! the reference are made of.
//!
//! INVARIANT: a value is only asked for by its [`Key`], and a mapping refuses what is not among its
//! [`Keys`]. So nothing is read that is not in the table; that everything in it is read is tested.

use serde_json::Value as Json;

use crate::{report::Report, yaml};

/// A key and what is told of it.
#[derive(Clone, Copy)]
pub(crate) struct Key<K> {
    pub(crate) name: &'static str,
    /// What its value is.
    pub(crate) kind: K,
    about: &'static str,
    needed: bool,
    /// What to do where it is missing and must not be.
    hint: Option<&'static str>,
    without: Without,
    example: &'static str,
}

/// What holds where a key is not written.
#[derive(Clone, Copy)]
pub(crate) enum Without {
    /// Nothing is told: the key is needed.
    Untold,
    /// What it would be if this were written.
    Value(&'static str),
    /// Something that cannot be written, or that depends on something else.
    Words(&'static str),
}

/// A key, whatever its value is.
pub(crate) trait AnyKey {
    fn name(&self) -> &'static str;
    /// What it means.
    fn about(&self) -> &'static str;
    /// Whether it must be there.
    fn needed(&self) -> bool;
    /// What to do where it is missing and must not be.
    fn hint(&self) -> Option<&'static str>;
    fn without(&self) -> Without;
    /// A value, as it would be written.
    fn example(&self) -> &'static str;
    fn kind(&self) -> &dyn Kind;
}

/// What a value is.
pub(crate) trait Kind {
    /// Its JSON Schema.
    fn schema(&self) -> Json;
    /// What it is called in the reference.
    fn words(&self) -> String;
    /// The mappings that stand in it.
    fn below(&self) -> Vec<&'static Keys> {
        Vec::new()
    }
    /// Words that it can be, with what they mean.
    fn choices(&self) -> Vec<(&'static str, &'static str)> {
        Vec::new()
    }
}

/// The keys of one kind of mapping.
#[derive(Clone, Copy)]
pub(crate) struct Keys {
    /// Its name in the schema.
    pub(crate) id: &'static str,
    /// Its heading in the reference.
    pub(crate) title: &'static str,
    /// What it is there for.
    pub(crate) about: &'static str,
    /// Those that this version has.
    pub(crate) known: &'static [&'static dyn AnyKey],
    /// Those that are named and that this version does not have, with what to do instead.
    pub(crate) later: &'static [(&'static str, &'static str)],
    /// Those that belong somewhere else, with where that is.
    pub(crate) elsewhere: &'static [(&'static str, &'static str)],
    /// More keys by the word that is written at `connector`.
    pub(crate) variants: &'static [(&'static str, &'static Keys)],
    /// What keys say of each other: JSON Schemas that all hold.
    pub(crate) rules: fn() -> Vec<Json>,
}

impl<K: Copy> Key<K> {
    pub(crate) const fn of(name: &'static str, kind: K) -> Self {
        Self {
            name,
            kind,
            about: "",
            needed: false,
            hint: None,
            without: Without::Untold,
            example: "",
        }
    }

    /// What it means, in whole sentences.
    pub(crate) const fn about(self, about: &'static str) -> Self {
        Self { about, ..self }
    }

    /// It must be there.
    pub(crate) const fn needed(self) -> Self {
        Self {
            needed: true,
            ..self
        }
    }

    /// It must be there; where it is not, what to do is said.
    pub(crate) const fn needed_because(self, hint: &'static str) -> Self {
        Self {
            needed: true,
            hint: Some(hint),
            ..self
        }
    }

    /// What it is where it is not written, as it would be written.
    pub(crate) const fn usual(self, value: &'static str) -> Self {
        let without = Without::Value(value);
        Self { without, ..self }
    }

    /// What holds where it is not written, in words.
    pub(crate) const fn without(self, words: &'static str) -> Self {
        let without = Without::Words(words);
        Self { without, ..self }
    }

    pub(crate) const fn example(self, example: &'static str) -> Self {
        Self { example, ..self }
    }
}

impl<K: Kind> AnyKey for Key<K> {
    fn name(&self) -> &'static str {
        self.name
    }

    fn about(&self) -> &'static str {
        self.about
    }

    fn needed(&self) -> bool {
        self.needed
    }

    fn hint(&self) -> Option<&'static str> {
        self.hint
    }

    fn without(&self) -> Without {
        self.without
    }

    fn example(&self) -> &'static str {
        self.example
    }

    fn kind(&self) -> &dyn Kind {
        &self.kind
    }
}

impl Keys {
    pub(crate) const fn of(id: &'static str, known: &'static [&'static dyn AnyKey]) -> Self {
        Self {
            id,
            title: "",
            about: "",
            known,
            later: &[],
            elsewhere: &[],
            variants: &[],
            rules: Vec::new,
        }
    }

    /// The heading and the sentences of the reference.
    pub(crate) const fn about(self, title: &'static str, about: &'static str) -> Self {
        Self {
            title,
            about,
            ..self
        }
    }
}

/// What is written, as JSON.
pub(crate) fn written(text: &str) -> Json {
    let mut report = Report::new(Vec::new());
    let node = yaml::parse(text, 0, 0, &mut report);
    node.map_or(Json::Null, |node| super::json::of(&node, &mut report))
}
