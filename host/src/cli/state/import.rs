//! `weir state import`: a savepoint out of JSON lines, in the form of `export`.

use std::{
    collections::BTreeSet,
    fs::File,
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
};

use clap::Args;
use serde_json::{Value, json};
use weir_checkpoint::{Metadata, StateMeta};
use weir_model::{Column, OperatorName, Parallelism, SubtaskIndex, hash64};
use weir_state::{
    Backend, HeapBackend, SavedOperatorState, SavedState, StateDecl, StateIndex, StateKind,
    TimerKind, Ttl, When,
};

use super::{NO_ROWS, Trouble, export::VERSION, folder, show::with_window};
use crate::{
    cli::{Output, Shared},
    exit::Exit,
    render::{grouped, tell},
    saved::{Held, KeyLook, Look, NewSavepoint},
};

/// Makes a savepoint of JSON lines, in the form that `weir state export` writes.
///
/// Lines may be changed, removed and added; the first stays. All lines are checked before anything
/// is written. The file is read once for each subtask, so that no more than one subtask's state is
/// in memory.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  weir state import rows.jsonl --to savepoint-edited
  weir state import rows.jsonl --to savepoint-edited --output json")]
pub(super) struct Import {
    /// The file of JSON lines.
    #[arg(value_name = "ROWS")]
    pub(super) rows: PathBuf,

    /// The folder of the new savepoint, which is not there yet.
    #[arg(long, value_name = "DIR")]
    pub(super) to: PathBuf,
}

impl Import {
    pub(super) fn run(self, shared: &Shared) -> Result<Exit, Trouble> {
        let (metadata, count) = self.make(shared)?;
        let shown = self.to.display().to_string();
        match shared.output {
            Output::Text => tell(&format!(
                "{shown}: savepoint of job {} with {} rows",
                metadata.job,
                grouped(count)
            )),
            Output::Json => tell(
                &json!({
                    "path": shown, "job": metadata.job.as_str(), "rows": count, "errors": [],
                })
                .to_string(),
            ),
        }
        Ok(Exit::Done)
    }

    /// Makes the savepoint, and says of how many rows.
    pub(super) fn make(&self, shared: &Shared) -> Result<(Metadata, u64), Trouble> {
        let rows = Rows::open(&self.rows)?;
        let mut count = 0;
        rows.each(|row| {
            count += 1;
            row.check(&rows)
        })?;
        let mut new =
            NewSavepoint::begin(&folder(&self.to)?, rows.metadata.clone(), &shared.stores)?;
        for operator in &rows.operators {
            for subtask in operator.parallelism.subtasks() {
                operator.write(subtask, &rows, &mut new)?;
            }
        }
        Ok((new.finish(rows.committed)?, count))
    }
}

/// A file of rows.
struct Rows {
    path: PathBuf,
    metadata: Metadata,
    committed: bool,
    /// Those with state, or of which there are rows.
    operators: Vec<Operator>,
}

/// An operator that rows are of.
struct Operator {
    name: OperatorName,
    parallelism: Parallelism,
    keys: KeyLook,
    states: Vec<StateDecl>,
}

/// A line.
struct Line<'a> {
    path: &'a Path,
    number: usize,
    value: Value,
}

impl Rows {
    fn open(path: &Path) -> Result<Self, Trouble> {
        let mut lines = lines(path)?;
        let header = match lines.next() {
            Some(line) => line?,
            None => return Err(wrong(path, 1, "the file is empty")),
        };
        let version = header.value.get("weir_export").and_then(Value::as_u64);
        if version != Some(VERSION) {
            let what = match version {
                Some(newer) => format!("form {newer}, this program reads {VERSION}"),
                None => "the first line is not that of an export".to_owned(),
            };
            return Err(wrong(path, 1, &what));
        }
        if header.value.get("whole") != Some(&Value::Bool(true)) {
            let what = "this is an export of one operator: a savepoint needs all of the state";
            return Err(wrong(path, 1, what));
        }
        let document = header.value.get("metadata").cloned().unwrap_or_default();
        let metadata = Metadata::of_document(document);
        let metadata = metadata.map_err(|e| wrong(path, 1, &e.to_string()))?;
        let committed = header.value.get("committed") == Some(&Value::Bool(true));
        let mut rows = Self {
            path: path.to_owned(),
            metadata,
            committed,
            operators: Vec::new(),
        };
        // Which states have a time to live shows in the lines alone.
        let mut stamped = BTreeSet::new();
        let mut raw = BTreeSet::new();
        rows.each(|line| {
            let text = |key: &str| line.value.get(key).and_then(Value::as_str);
            let operator = text("operator").unwrap_or_default().to_owned();
            match text("state") {
                Some(state) if line.value.get("accessed_ms").is_some() => {
                    stamped.insert((operator, state.to_owned()));
                }
                Some(_) => {}
                None => {
                    raw.insert(operator);
                }
            }
            Ok(())
        })?;
        for (name, meta) in &rows.metadata.operators {
            let of_operator = |state: &StateMeta| {
                let ttl = stamped.contains(&(name.to_string(), state.name.clone()));
                declared(state, ttl).map_err(|what| wrong(path, 1, &what))
            };
            let states: Vec<StateDecl> = meta
                .states
                .iter()
                .map(of_operator)
                .collect::<Result<_, _>>()?;
            if states.is_empty() && !raw.contains(name.as_str()) {
                continue;
            }
            rows.operators.push(Operator {
                name: name.clone(),
                parallelism: meta.parallelism,
                keys: KeyLook::of(&meta.keys),
                states,
            });
        }
        Ok(rows)
    }

    /// Gives each row to `take`.
    fn each(&self, mut take: impl FnMut(&Line<'_>) -> Result<(), Trouble>) -> Result<(), Trouble> {
        for line in lines(&self.path)?.skip(1) {
            take(&line?)?;
        }
        Ok(())
    }
}

/// A state as the first line has it; `ttl`: its values have the time of their last access.
fn declared(state: &StateMeta, ttl: bool) -> Result<StateDecl, String> {
    let kind = StateKind::of(&state.kind)
        .ok_or_else(|| format!("state `{}` has the kind `{}`", state.name, state.kind))?;
    Ok(StateDecl {
        name: state.name.clone(),
        kind,
        format: state.format.clone(),
        version: state.version,
        prefetch: false,
        // Of the time itself only the declaration in force counts (D16).
        ttl: ttl.then_some(Ttl {
            duration_ms: i64::MAX as u64,
            on_read: false,
            return_expired: false,
        }),
    })
}

/// The lines of a file that are not empty.
fn lines(path: &Path) -> Result<impl Iterator<Item = Result<Line<'_>, Trouble>>, Trouble> {
    let file = File::open(path).map_err(|e| {
        let message = format!("`{}` cannot be read: {e}", path.display());
        Trouble::usage(NO_ROWS, message, None)
    })?;
    let lines = BufReader::new(file).lines().zip(1..);
    let not_empty = |(line, _): &(std::io::Result<String>, usize)| {
        line.as_ref().map_or(true, |line| !line.trim().is_empty())
    };
    Ok(lines.filter(not_empty).map(move |(line, number)| {
        let text = line.map_err(|e| wrong(path, number, &e.to_string()))?;
        let value = serde_json::from_str(&text);
        let value = value.map_err(|e| wrong(path, number, &format!("this is no JSON: {e}")))?;
        Ok(Line {
            path,
            number,
            value,
        })
    }))
}

fn wrong(path: &Path, number: usize, what: &str) -> Trouble {
    let message = format!("{}:{number}: {what}", path.display());
    let help = "nothing was written; `weir state export` shows the form";
    Trouble::usage(NO_ROWS, message, Some(help.into()))
}

/// What a row says.
enum Said {
    Keyed {
        state: usize,
        key: Vec<u8>,
        held: Held,
    },
    Unkeyed {
        state: usize,
        subtask: u32,
        held: Held,
    },
    Raw {
        subtask: u32,
        raw: Vec<Vec<u8>>,
    },
}

impl Line<'_> {
    fn wrong(&self, what: &str) -> Trouble {
        wrong(self.path, self.number, what)
    }

    fn check(&self, rows: &Rows) -> Result<(), Trouble> {
        let name = self.value.get("operator").and_then(Value::as_str);
        let name = name.ok_or_else(|| self.wrong("it names no `operator`"))?;
        let mut operators = rows.operators.iter();
        let Some(operator) = operators.find(|operator| operator.name.as_str() == name) else {
            let what = format!("operator `{name}` has no state in the first line");
            return Err(self.wrong(&what));
        };
        self.said(operator).map(|_| ())
    }

    /// What it says, if it is of that operator; it is checked against what that declares.
    fn said(&self, operator: &Operator) -> Result<Said, Trouble> {
        self.said_or_why(operator).map_err(|what| self.wrong(&what))
    }

    fn said_or_why(&self, operator: &Operator) -> Result<Said, String> {
        let member = |name: &str| self.value.get(name);
        let subtask = || {
            let subtask = member("subtask").and_then(Value::as_u64);
            let subtask = subtask.and_then(|subtask| u32::try_from(subtask).ok());
            let is_one = |subtask: &u32| *subtask < operator.parallelism.get();
            let p = operator.parallelism;
            subtask
                .filter(is_one)
                .ok_or(format!("`subtask` is a number below the parallelism {p}"))
        };
        let Some(name) = member("state").and_then(Value::as_str) else {
            let raw = list(member("raw"), "`raw`")?;
            let raw: Result<_, String> = raw.iter().map(|v| Look::Bytes.read(v)).collect();
            return Ok(Said::Raw {
                subtask: subtask()?,
                raw: raw?,
            });
        };
        let mut states = operator.states.iter();
        let state = states.position(|decl| decl.name == name);
        let state = state.ok_or(format!(
            "operator `{}` has no state `{name}`",
            operator.name
        ))?;
        let decl = &operator.states[state];
        let held = self.held(decl)?;
        if !decl.kind.is_keyed() {
            let subtask = subtask()?;
            return Ok(Said::Unkeyed {
                state,
                subtask,
                held,
            });
        }
        let shown = member("key").ok_or("it has no `key`")?;
        let key = operator.keys.read(shown)?;
        let key = with_window(name, key, (shown, member("window")))?;
        Ok(Said::Keyed { state, key, held })
    }

    fn held(&self, decl: &StateDecl) -> Result<Held, String> {
        let member = |name: &str| self.value.get(name);
        let look = Look::of(&decl.format);
        let mut stamps = match member("accessed_ms") {
            Some(Value::Array(all)) => all.clone(),
            Some(one) => vec![one.clone()],
            None => Vec::new(),
        }
        .into_iter();
        let mut stamped = |bytes: Vec<u8>| match decl.ttl {
            None => Ok(bytes),
            Some(_) => {
                let at = stamps.next().as_ref().and_then(Value::as_i64);
                let at = at.ok_or("`accessed_ms` has a time for each value")?;
                Ok::<_, String>([&at.to_be_bytes()[..], &bytes].concat())
            }
        };
        let held = if decl.kind.is_cell() {
            let value = member("value").ok_or("it has no `value`")?;
            Held::Cell(stamped(look.read(value)?)?)
        } else {
            match decl.kind {
                StateKind::Map | StateKind::Broadcast => {
                    let (keys, values) = Look::of_map(&decl.format);
                    let mut entries = Vec::new();
                    for pair in list(member("entries"), "`entries`")? {
                        let Some([key, value]) = pair.as_array().map(Vec::as_slice) else {
                            return Err("an entry is a list of a map key and a value".into());
                        };
                        entries.push((keys.read(key)?, stamped(values.read(value)?)?));
                    }
                    entries.sort_unstable();
                    if entries.windows(2).any(|two| two[0].0 == two[1].0) {
                        return Err("a map key is there twice".into());
                    }
                    Held::Map(entries)
                }
                StateKind::Timers => {
                    let all = list(member("timers"), "`timers`")?;
                    let mut all: Vec<When> = all.iter().map(timer).collect::<Result<_, _>>()?;
                    all.sort_unstable();
                    if all.windows(2).any(|two| two[0] == two[1]) {
                        return Err("a timer is there twice".into());
                    }
                    Held::Timers(all)
                }
                StateKind::List
                | StateKind::OperatorList
                | StateKind::OperatorUnion
                | StateKind::Value
                | StateKind::Reducing
                | StateKind::Aggregating => {
                    let all = list(member("elements"), "`elements`")?;
                    let element = |value: &Value| stamped(look.read(value)?);
                    Held::List(all.iter().map(element).collect::<Result<_, String>>()?)
                }
            }
        };
        match stamps.next() {
            None => Ok(held),
            Some(_) => Err("`accessed_ms` has more times than there are values".into()),
        }
    }
}

/// A timer as it is shown.
fn timer(value: &Value) -> Result<When, String> {
    let pair = value.as_array().map(Vec::as_slice);
    let when = match pair {
        Some([Value::String(kind), at]) => TimerKind::of(kind).zip(at.as_i64()),
        Some(_) | None => None,
    };
    let when = when.map(|(kind, at)| When { kind, at });
    when.ok_or_else(|| {
        let kinds = TimerKind::ALL.map(|kind| format!("\"{kind}\""));
        format!(
            "a timer is a list of {} and a time in milliseconds",
            kinds.join(" or ")
        )
    })
}

fn list<'a>(value: Option<&'a Value>, what: &str) -> Result<&'a [Value], String> {
    match value {
        Some(Value::Array(list)) => Ok(list),
        Some(_) => Err(format!("{what} is a list")),
        None => Err(format!("it has no {what}")),
    }
}

impl Operator {
    /// Writes the state of one subtask.
    fn write(
        &self,
        subtask: SubtaskIndex,
        rows: &Rows,
        new: &mut NewSavepoint,
    ) -> Result<(), Trouble> {
        let max = rows.metadata.max_parallelism;
        let failed =
            |e: &dyn std::fmt::Display| Trouble::storage(format!("operator `{}`: {e}", self.name));
        let range = max.range_of(subtask, self.parallelism);
        let range = range.map_err(|e| failed(&e))?;
        let mut keyed = HeapBackend::new(self.states.clone(), range).map_err(|e| failed(&e))?;
        let mut unkeyed = SavedOperatorState::default();
        // Of which states of the subtask there was a line; `None`: what the operator saved itself.
        let mut seen = BTreeSet::new();
        let mut block = Vec::new();
        // What there must be of each state when each key is there once.
        let mut expected = vec![0u64; self.states.len()];
        rows.each(|line| {
            if line.value.get("operator").and_then(Value::as_str) != Some(self.name.as_str()) {
                return Ok(());
            }
            match line.said(self)? {
                Said::Keyed { state, key, held } => {
                    let group = max.key_group_of(hash64(self.states[state].key_of(&key)));
                    if !range.contains(group) {
                        return Ok(());
                    }
                    expected[state] += match &held {
                        Held::Map(entries) => entries.len() as u64,
                        Held::Timers(all) => all.len() as u64,
                        Held::Cell(_) | Held::List(_) => 1,
                    };
                    block.clear();
                    held.write(&key, &mut block);
                    let index = StateIndex(u32::try_from(state).unwrap_or(u32::MAX));
                    keyed
                        .load(index, group, &block)
                        .map_err(|e| line.wrong(&e.to_string()))?;
                    if keyed.entries(index) != expected[state] {
                        return Err(line.wrong("this key was there before"));
                    }
                }
                Said::Unkeyed {
                    state,
                    subtask: of,
                    held,
                } if of == subtask.0 => {
                    if !seen.insert(Some(state)) {
                        return Err(line.wrong("this state of this subtask was there before"));
                    }
                    self.set(state, &held, &mut unkeyed, line)?;
                }
                Said::Raw { subtask: of, raw } if of == subtask.0 => {
                    if !seen.insert(None) {
                        return Err(line.wrong("what this subtask saved was there before"));
                    }
                    unkeyed.raw = raw;
                }
                Said::Unkeyed { .. } | Said::Raw { .. } => {}
            }
            Ok(())
        })?;
        new.add(&self.name, subtask, &self.states, &mut keyed, unkeyed)?;
        Ok(())
    }

    fn set(
        &self,
        state: usize,
        held: &Held,
        unkeyed: &mut SavedOperatorState,
        line: &Line<'_>,
    ) -> Result<(), Trouble> {
        let decl = &self.states[state];
        let saved = |rows: usize| SavedState {
            name: decl.name.clone(),
            kind: decl.kind,
            format: decl.format.clone(),
            version: decl.version,
            ttl: None,
            rows: rows as u64,
        };
        match held {
            Held::List(items) => {
                let column: Column = items.iter().map(Vec::as_slice).collect();
                unkeyed.set_list(saved(items.len()), column);
                Ok(())
            }
            Held::Map(entries) => {
                let entries: Vec<(&[u8], &[u8])> = entries
                    .iter()
                    .map(|(k, v)| (k.as_slice(), v.as_slice()))
                    .collect();
                let set = unkeyed.set_entries(saved(entries.len()), &entries);
                set.map_err(|e| line.wrong(&e.to_string()))
            }
            Held::Cell(_) | Held::Timers(_) => Err(line.wrong("a value needs a key")),
        }
    }
}
