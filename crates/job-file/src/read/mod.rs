//! Reading a job file: text, `--set`, types.

mod address;
mod checkpoint;
mod fields;
mod flink;
mod generator;
pub(crate) mod host;
mod input;
mod job;
mod join;
mod json;
pub(crate) mod keys;
mod kinds;
mod names;
mod operator;
mod place;
mod postgres;
mod quantity;
mod renamed;
mod restart;
mod set;
mod sink;
mod socket;
mod source;
mod state;
mod storage;
pub(crate) mod test_file;
mod waiting;
mod watermark;
mod window;

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

pub(crate) use job::KEYS;

use crate::{
    Diagnostic, Diagnostics, HostFile, JobFile, Spot, code,
    diagnostic::Label,
    report::Report,
    source::{Document, FILE, Origin, Span},
    spot::Step,
    wording::quote,
    yaml::{self, Value},
};

impl JobFile {
    /// Reads the text of a job file and applies `sets`, the arguments of `--set` in their order.
    /// Relative paths in the file start at its folder, those in `sets` at the working directory.
    /// Nothing but `text` is read.
    ///
    /// # Errors
    /// All that is wrong, as far as it can be told apart.
    pub fn load(text: &str, path: &Path, sets: &[String]) -> Result<Self, Diagnostics> {
        Self::load_on(&HostFile::default(), text, path, sets)
    }

    /// As [`JobFile::load`], on a host whose file says what holds where this one says nothing, and
    /// what no job may have.
    ///
    /// # Errors
    /// All that is wrong, as far as it can be told apart.
    pub fn load_on(
        host: &HostFile,
        text: &str,
        path: &Path,
        sets: &[String],
    ) -> Result<Self, Diagnostics> {
        let name = path.display().to_string();
        let text = readable("job file", &name, text)?;
        let file = Arc::new(Document::new(name, text.to_owned()));
        let mut documents = vec![Arc::clone(&host.document), file];
        let arguments = sets.iter().map(|set| Document::of_argument(set));
        documents.extend(arguments.map(Arc::new));

        let mut report = Report::new(documents.clone());
        let Some(mut root) = yaml::parse(text, FILE, 0, &mut report) else {
            report.finish()?;
            return Err(unread());
        };
        for (at, set) in sets.iter().enumerate() {
            set::apply(set, FILE + 1 + at, &mut root, &mut report);
        }
        let from_host = host.fill(&mut root);
        let origin = Arc::new(Origin {
            documents,
            folder: folder_of(path),
            host_folder: host.folder.clone(),
            root,
        });
        let job = job::read(&origin, host, from_host, &mut report);
        report.finish()?;
        job.ok_or_else(unread)
    }

    /// An error of the host's own at a place of the file.
    #[must_use]
    pub fn diagnose(
        &self,
        spot: &Spot,
        code: &'static str,
        message: impl Into<String>,
        label: impl Into<String>,
        help: Option<String>,
    ) -> Diagnostic {
        let span = self.span_of(spot);
        let document = span.map_or(FILE, |span| span.document);
        let label = span.map(|span| Label {
            span: span.start..span.end,
            text: label.into(),
        });
        Diagnostic {
            code,
            message: message.into(),
            labels: label.into_iter().collect(),
            help,
            document: self.document(document),
        }
    }

    pub(crate) fn document(&self, at: usize) -> Arc<Document> {
        let found = self
            .origin
            .documents
            .get(at)
            .or_else(|| self.origin.documents.get(FILE));
        found.cloned().unwrap_or_else(|| Arc::new(Document::none()))
    }

    /// Whether a key is written.
    pub(crate) fn is_written(&self, spot: &Spot) -> bool {
        let mut node = Some(&self.origin.root);
        for step in spot.steps() {
            node = node.and_then(|node| match (step, &node.value) {
                (Step::Key(key), _) => node.entry(&key).map(|entry| &entry.node),
                (Step::Index(index), Value::List(list)) => list.get(index),
                (Step::Index(_), _) => None,
            });
        }
        node.is_some()
    }

    /// Where something is written; where it is not, the nearest thing around it that is.
    pub(crate) fn span_of(&self, spot: &Spot) -> Option<Span> {
        let mut span = None;
        let mut node = &self.origin.root;
        let steps = spot.steps();
        for (at, step) in steps.iter().enumerate() {
            match step {
                Step::Key(key) => {
                    let Some(entry) = node.entry(key) else { break };
                    let whole = at + 1 == steps.len() && !spot.is_name();
                    let short = matches!(
                        entry.node.value,
                        Value::Null
                            | Value::Bool(_)
                            | Value::Int(_)
                            | Value::Float(_)
                            | Value::Text(_)
                    );
                    span = Some(if whole && short {
                        entry.node.span
                    } else {
                        entry.key_span
                    });
                    node = &entry.node;
                }
                Step::Index(index) => {
                    let Value::List(list) = &node.value else {
                        break;
                    };
                    let Some(item) = list.get(*index) else { break };
                    span = Some(item.span);
                    node = item;
                }
            }
        }
        span
    }
}

/// A duration as it is written in job files, in milliseconds.
///
/// # Errors
/// What is wrong with it, and how one is written.
pub fn duration_ms(text: &str) -> Result<u64, String> {
    let read = quantity::duration(text).map(crate::model::millis);
    read.map_err(|wrong| match wrong.help {
        Some(help) => format!("{}; {help}", wrong.label),
        None => wrong.label,
    })
}

/// The text of a file, without what editors put before it; an error where it is too large.
fn readable<'a>(what: &str, name: &str, text: &'a str) -> Result<&'a str, Diagnostics> {
    if text.len() > yaml::MAX_BYTES {
        let message = format!("the {what} {} has {} bytes", quote(name), text.len());
        let help = format!("at most {} bytes are read", yaml::MAX_BYTES);
        return Err(Diagnostic::without_text(code::UNREADABLE, name, message, Some(help)).into());
    }
    Ok(text.strip_prefix('\u{feff}').unwrap_or(text))
}

/// The folder that the relative paths of a file start from.
fn folder_of(path: &Path) -> PathBuf {
    path.parent().unwrap_or(Path::new("")).to_owned()
}

/// A file that gave nothing and no reason: cannot happen, and is no panic where it does.
fn unread() -> Diagnostics {
    Diagnostic::without_text(code::UNREADABLE, "", "the job file cannot be read", None).into()
}

/// A file with its arguments as JSON, where it is YAML that a job file can be; for what checks
/// schemas.
#[cfg(test)]
pub(crate) fn as_json(text: &str, sets: &[String]) -> Option<serde_json::Value> {
    let file = Document::new(String::new(), text.to_owned());
    let mut documents = vec![Arc::new(Document::none()), Arc::new(file)];
    let arguments = sets.iter().map(|set| Document::of_argument(set));
    documents.extend(arguments.map(Arc::new));
    let mut report = Report::new(documents);
    let mut root = yaml::parse(text, FILE, 0, &mut report)?;
    for (at, set) in sets.iter().enumerate() {
        set::apply(set, FILE + 1 + at, &mut root, &mut report);
    }
    let json = json::of(&root, &mut report);
    report.finish().is_ok().then_some(json)
}

#[cfg(test)]
mod tests;
