//! `weir state diff`: what has changed between two checkpoints.

use std::{
    cmp::Ordering,
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
};

use clap::Args;
use serde_json::{Value, json};
use weir_model::OperatorName;
use weir_state::SavedState;

use super::{NO_STATE, Trouble, content, operators, saved, show::Shower};
use crate::{
    cli::{Output, Shared},
    exit::Exit,
    render::{grouped, tell},
    saved::{Entry, KeyLook, Saved},
};

/// Compares the keyed state of two checkpoints: keys that were added, removed or changed.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  weir state diff checkpoints/flights/chk-6 checkpoints/flights/chk-7
  weir state diff checkpoints/flights/chk-6 checkpoints/flights/chk-7 --rows --operator count")]
pub(super) struct Diff {
    /// The older checkpoint or savepoint.
    #[arg(value_name = "BEFORE")]
    before: PathBuf,

    /// The newer one.
    #[arg(value_name = "AFTER")]
    after: PathBuf,

    /// Shows each row that differs, as it was and as it is.
    #[arg(long)]
    rows: bool,

    /// Only the state of this operator.
    #[arg(long, value_name = "NAME")]
    operator: Option<String>,
}

/// How many keys of a state differ.
#[derive(Clone, Copy, Debug, Default)]
struct Counts {
    added: u64,
    removed: u64,
    changed: u64,
    same: u64,
}

/// A row that differs.
struct Difference {
    before: Option<Value>,
    after: Option<Value>,
}

impl Diff {
    pub(super) fn run(self, shared: &Shared) -> Result<Exit, Trouble> {
        let (before, after) = (saved(&self.before, shared)?, saved(&self.after, shared)?);
        let (was, is) = (
            before.metadata.max_parallelism,
            after.metadata.max_parallelism,
        );
        if was != is {
            let message =
                format!("the two have max-parallelism {was} and {is}: they cannot be compared");
            let help = "`weir state rekey` makes one with the same number";
            return Err(Trouble::usage(NO_STATE, message, Some(help.into())));
        }
        let mut names: BTreeSet<OperatorName> = BTreeSet::new();
        for one in [&before, &after] {
            names.extend(operators(one, None)?);
        }
        if let Some(named) = &self.operator {
            names.retain(|name| name.as_str() == named);
            if names.is_empty() {
                let message = format!("neither has state of operator `{named}`");
                return Err(Trouble::usage(NO_STATE, message, None));
            }
        }
        let mut counts: BTreeMap<(String, String), Counts> = BTreeMap::new();
        let mut rows = Vec::new();
        for name in &names {
            self.operator(name, [&before, &after], &mut counts, &mut rows)?;
        }
        print(&counts, &rows, shared);
        Ok(Exit::Done)
    }

    /// Compares one operator.
    fn operator(
        &self,
        name: &OperatorName,
        two: [&Saved; 2],
        counts: &mut BTreeMap<(String, String), Counts>,
        rows: &mut Vec<Difference>,
    ) -> Result<(), Trouble> {
        let [before, after] = two;
        let mut left = content(before, name)?;
        let mut right = content(after, name)?;
        let states = [left.states().to_vec(), right.states().to_vec()];
        let keys = |saved: &Saved| {
            let operator = saved.metadata.operators.get(name);
            KeyLook::of(operator.map_or(&[], |operator| operator.keys.as_slice()))
        };
        let [mut old, mut new] =
            [(before, &states[0]), (after, &states[1])].map(|(saved, states)| Shower {
                operator: name.as_str(),
                states,
                keys: keys(saved),
                render: None,
            });
        let damaged = |saved: &Saved, e| Trouble::damaged(&saved.path, &e);
        for range in left.ranges() {
            let was = by_name(
                left.entries(range).map_err(|e| damaged(before, e))?,
                &states[0],
            );
            let is = by_name(
                right.entries(range).map_err(|e| damaged(after, e))?,
                &states[1],
            );
            for (pair, state) in merged(&was, &is) {
                let of = (name.to_string(), state.to_owned());
                let counts = counts.entry(of).or_default();
                match pair {
                    (Some(was), Some(is)) if was.value == is.value => {
                        counts.same += 1;
                        continue;
                    }
                    (Some(_), Some(_)) => counts.changed += 1,
                    (Some(_), None) => counts.removed += 1,
                    (None, _) => counts.added += 1,
                }
                if self.rows {
                    rows.push(Difference {
                        before: pair.0.map(|entry| old.row(entry)),
                        after: pair.1.map(|entry| new.row(entry)),
                    });
                }
            }
        }
        Ok(())
    }
}

/// Entries with the names of their states, in order of these and of keys.
fn by_name(entries: Vec<Entry>, states: &[SavedState]) -> Vec<(String, Entry)> {
    let named = |entry: Entry| (states[entry.state].name.clone(), entry);
    let mut named: Vec<_> = entries.into_iter().map(named).collect();
    named.sort_by(|(a, x), (b, y)| (a, &x.key).cmp(&(b, &y.key)));
    named
}

type Pair<'a> = (Option<&'a Entry>, Option<&'a Entry>);

/// Both side by side, key by key, with the name of the state.
fn merged<'a>(was: &'a [(String, Entry)], is: &'a [(String, Entry)]) -> Vec<(Pair<'a>, &'a str)> {
    let (mut was, mut is) = (was.iter().peekable(), is.iter().peekable());
    let mut pairs = Vec::new();
    loop {
        let order = match (was.peek(), is.peek()) {
            (None, None) => return pairs,
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (Some((a, x)), Some((b, y))) => (a, &x.key).cmp(&(b, &y.key)),
        };
        let old = was.next_if(|_| order != Ordering::Greater);
        let new = is.next_if(|_| order != Ordering::Less);
        let name = old.or(new).map_or("", |(name, _)| name.as_str());
        pairs.push(((old.map(|(_, e)| e), new.map(|(_, e)| e)), name));
    }
}

fn print(counts: &BTreeMap<(String, String), Counts>, rows: &[Difference], shared: &Shared) {
    match shared.output {
        Output::Json => {
            let states: Vec<Value> = counts
                .iter()
                .map(|((operator, state), counts)| {
                    json!({
                        "operator": operator, "state": state, "added": counts.added,
                        "removed": counts.removed, "changed": counts.changed, "same": counts.same,
                    })
                })
                .collect();
            let row = |row: &Difference| json!({ "before": row.before, "after": row.after });
            let rows: Vec<Value> = rows.iter().map(row).collect();
            tell(&json!({ "states": states, "rows": rows, "errors": [] }).to_string());
        }
        Output::Text => {
            let mut lines: Vec<String> = counts
                .iter()
                .map(|((operator, state), counts)| {
                    format!(
                        "{operator}.{state}: {} added, {} removed, {} changed, {} the same",
                        grouped(counts.added),
                        grouped(counts.removed),
                        grouped(counts.changed),
                        grouped(counts.same)
                    )
                })
                .collect();
            if lines.is_empty() {
                lines.push("no keyed state in either".into());
            }
            for row in rows {
                lines.extend(row.before.as_ref().map(|row| format!("- {row}")));
                lines.extend(row.after.as_ref().map(|row| format!("+ {row}")));
            }
            tell(&lines.join("\n"));
        }
    }
}
