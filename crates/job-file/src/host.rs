//! The host file: what holds for all jobs of a host where they say nothing, and what none may have.
//!
//! It fills the tree of a job file before that is typed: so what it says is read by the same rules,
//! and an error underlines the file that it is in.
//!
//! INVARIANT: nothing that a job file or `--set` says is changed.

use std::{path::PathBuf, sync::Arc};

use crate::{
    Bounds, FromHost, Limits, Location, S3Access,
    source::{Document, Span},
    yaml::{Entry, Node, Value},
};

/// A host file that was read without an error; by default one that says nothing.
#[derive(Clone, Debug)]
pub struct HostFile {
    /// What no job may have.
    pub bounds: Bounds,
    /// How buckets are reached.
    pub s3: S3Access,
    /// What is written in Flink's names, in ours, and what of it does nothing.
    pub notes: Vec<String>,
    /// What an operator has that says nothing itself.
    pub(crate) limits: Limits,
    /// Where `limits` and `bounds` are written, by the key.
    pub(crate) places: Vec<(String, Span)>,
    /// `storage`, as it is written.
    pub(crate) storage: Option<Node>,
    /// What stands for keys of the job file.
    pub(crate) defaults: Vec<Entry>,
    pub(crate) document: Arc<Document>,
    /// The folder that its relative paths start from.
    pub(crate) folder: PathBuf,
}

impl Default for HostFile {
    fn default() -> Self {
        Self {
            bounds: Bounds::default(),
            s3: S3Access::default(),
            notes: Vec::new(),
            limits: Limits::default(),
            places: Vec::new(),
            storage: None,
            defaults: Vec::new(),
            document: Arc::new(Document::none()),
            folder: PathBuf::new(),
        }
    }
}

impl HostFile {
    /// The path of the file; `None` where there is none.
    #[must_use]
    pub fn path(&self) -> Option<&str> {
        Some(self.document.name.as_str()).filter(|name| !name.is_empty())
    }

    /// Writes into a job file what it does not say, and gives what that was.
    pub(crate) fn fill(&self, job: &mut Node) -> Vec<FromHost> {
        let mut from = Vec::new();
        self.fill_limits(job, &mut from);
        let Value::Map(entries) = &mut job.value else {
            return from;
        };
        for usual in &self.defaults {
            match entries.iter_mut().find(|entry| entry.key == usual.key) {
                // Checkpoints need a folder: whoever says nothing of them has none without.
                None if usual.key == "checkpoint" && usual.node.entry("dir").is_none() => {}
                None => {
                    self.tell(&usual.key, &usual.node, &mut from);
                    entries.push(usual.clone());
                }
                Some(own) if is_another(own, usual) => {}
                Some(own) => self.fill_in(&own.key, &mut own.node, &usual.node, &mut from),
            }
        }
        if let Some(storage) = &self.storage
            && is_in_bucket(entries)
        {
            self.tell("storage", storage, &mut from);
        }
        from
    }

    /// Fills a mapping.
    fn fill_in(&self, path: &str, own: &mut Node, usual: &Node, from: &mut Vec<FromHost>) {
        let (Value::Map(own), Value::Map(usual)) = (&mut own.value, &usual.value) else {
            return;
        };
        for usual in usual {
            let path = format!("{path}.{}", usual.key);
            match own.iter_mut().find(|entry| entry.key == usual.key) {
                Some(entry) => self.fill_in(&path, &mut entry.node, &usual.node, from),
                None => {
                    self.tell(&path, &usual.node, from);
                    own.push(usual.clone());
                }
            }
        }
    }

    /// The limits are not written into each operator; that they hold for some is told.
    fn fill_limits(&self, job: &Node, from: &mut Vec<FromHost>) {
        let operators = job.entry("operators").map(|entry| &entry.node.value);
        let Some(Value::Map(operators)) = operators else {
            return;
        };
        let places = self.places.iter();
        for (path, span) in places.filter(|(path, _)| path.starts_with("limits.")) {
            let (_, key) = path.split_once('.').unwrap_or_default();
            let says = |operator: &Entry| {
                let limits = operator.node.entry("limits");
                limits.is_some_and(|limits| limits.node.entry(key).is_some())
            };
            if !operators.iter().all(says) {
                from.push(self.from(path, *span));
            }
        }
    }

    /// Tells of each value below a key.
    fn tell(&self, path: &str, node: &Node, from: &mut Vec<FromHost>) {
        match &node.value {
            Value::Map(entries) => {
                for entry in entries {
                    self.tell(&format!("{path}.{}", entry.key), &entry.node, from);
                }
            }
            Value::Null
            | Value::Bool(_)
            | Value::Int(_)
            | Value::Float(_)
            | Value::Text(_)
            | Value::List(_) => from.push(self.from(path, node.span)),
        }
    }

    fn from(&self, path: &str, span: Span) -> FromHost {
        let value = self.document.text.get(span.start..span.end);
        FromHost {
            key: path.to_owned(),
            value: value.unwrap_or_default().to_owned(),
            file: self.document.name.clone(),
            line: self.document.position(span.start).0,
        }
    }

    /// Where a bound is written, and what it is.
    pub(crate) fn bound(&self, key: &str) -> Option<(Span, &str)> {
        let path = format!("bounds.{key}");
        let (_, span) = self.places.iter().find(|(place, _)| *place == path)?;
        Some((*span, self.document.text.get(span.start..span.end)?))
    }
}

/// Whether a job keeps something in a bucket.
fn is_in_bucket(job: &[Entry]) -> bool {
    let mut checkpoint = job.iter().filter(|entry| entry.key == "checkpoint");
    checkpoint.any(|checkpoint| {
        let places = ["dir", "savepoint-dir"].map(|key| checkpoint.node.entry(key));
        places.into_iter().flatten().any(|place| {
            matches!(&place.node.value, Value::Text(text) if Location::bucket(text).is_some())
        })
    })
}

/// Whether a job says something else of a section, so that what goes with what the host file says
/// makes no sense: another restart strategy, no checkpoints.
fn is_another(own: &Entry, usual: &Entry) -> bool {
    let word = |entry: &Entry, key: &str| match &entry.node.entry(key)?.node.value {
        Value::Text(word) => Some(word.replace('-', "").to_lowercase()),
        _ => None,
    };
    match own.key.as_str() {
        "restart" => {
            let said = word(own, "strategy");
            said.is_some() && said != word(usual, "strategy")
        }
        "checkpoint" => word(own, "mode").is_some_and(|mode| mode == "atmostonce"),
        _ => false,
    }
}
