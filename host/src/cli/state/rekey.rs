//! `weir state rekey`: a savepoint with another number of key groups.

use std::path::PathBuf;

use clap::Args;
use serde_json::json;
use weir_checkpoint::Metadata;
use weir_model::{KeyGroup, MaxParallelism, OperatorName, hash64};
use weir_state::{Backend, HeapBackend, StateDecl, StateIndex};

use super::{NO_STATE, Trouble, content, folder, operators, saved};
use crate::{
    cli::{Output, Shared},
    exit::Exit,
    render::tell,
    saved::{NewSavepoint, Saved, declared},
};

/// Makes a savepoint with another `max-parallelism` out of a checkpoint or savepoint.
///
/// State is divided by the number of key groups, so a job keeps it; this divides it anew. What was
/// read stays as it is. The job then begins at the new one, with `max-parallelism` set to the new
/// number or left out.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  weir state rekey checkpoints/flights/chk-7 --max-parallelism 512 --to wider
  weir state rekey /backup/savepoint-flights-3 --max-parallelism 64 --to narrower")]
pub(super) struct Rekey {
    /// The folder of a checkpoint or savepoint, or its `_metadata`.
    #[arg(value_name = "SAVEPOINT")]
    pub(super) path: PathBuf,

    /// The new number of key groups.
    #[arg(long, value_name = "N")]
    pub(super) max_parallelism: u32,

    /// The folder of the new savepoint, which is not there yet.
    #[arg(long, value_name = "DIR")]
    pub(super) to: PathBuf,
}

impl Rekey {
    pub(super) fn run(self, shared: &Shared) -> Result<Exit, Trouble> {
        let saved = saved(&self.path, shared)?;
        let metadata = self.make(&saved, shared)?;
        let (was, max) = (saved.metadata.max_parallelism, metadata.max_parallelism);
        let shown = self.to.display().to_string();
        match shared.output {
            Output::Text => tell(&format!(
                "{shown}: savepoint of job {} with max-parallelism {max}, before {was}",
                saved.metadata.job
            )),
            Output::Json => tell(
                &json!({
                    "path": shown, "job": saved.metadata.job.as_str(),
                    "max_parallelism": max.get(), "before": was.get(), "errors": [],
                })
                .to_string(),
            ),
        }
        Ok(Exit::Done)
    }

    /// Makes the savepoint.
    pub(super) fn make(&self, saved: &Saved, shared: &Shared) -> Result<Metadata, Trouble> {
        let wrong = |message: String| Trouble::usage(NO_STATE, message, None);
        let max = MaxParallelism::new(self.max_parallelism)
            .map_err(|e| wrong(format!("--max-parallelism: {e}")))?;
        let mut wide = saved.metadata.operators.iter();
        if let Some((name, wide)) = wide.find(|(_, o)| o.parallelism.get() > max.get()) {
            return Err(wrong(format!(
                "`{name}` has parallelism {}, which is more than max-parallelism {max}: run the \
                 job with less first, and stop it with a checkpoint",
                wide.parallelism
            )));
        }
        let mut like = saved.metadata.clone();
        like.max_parallelism = max;
        let mut new = NewSavepoint::begin(&folder(&self.to)?, like, &shared.stores)?;
        for name in operators(saved, None)? {
            rekey(saved, &name, max, &mut new)?;
        }
        Ok(new.finish(saved.is_committed)?)
    }
}

/// Divides the state of an operator anew: all of it is read once for each subtask, so that no more
/// than one subtask's is in memory.
fn rekey(
    saved: &Saved,
    name: &OperatorName,
    max: MaxParallelism,
    new: &mut NewSavepoint,
) -> Result<(), Trouble> {
    let damaged = |e| Trouble::damaged(&saved.path, &e);
    let mut content = content(saved, name)?;
    let decls: Vec<StateDecl> = content.states().iter().map(declared).collect();
    let unkeyed = content.unkeyed().map_err(damaged)?;
    let parallelism = saved.metadata.operators[name].parallelism;
    let failed = |message: String| Trouble::storage(format!("operator `{name}`: {message}"));
    for (subtask, unkeyed) in parallelism.subtasks().zip(unkeyed) {
        let range = max.range_of(subtask, parallelism);
        let range = range.map_err(|e| failed(e.to_string()))?;
        let backend = HeapBackend::new(decls.clone(), range);
        let mut backend = backend.map_err(|e| failed(e.to_string()))?;
        let mut block = Vec::new();
        for old in content.ranges() {
            for entry in content.entries(old).map_err(damaged)? {
                let key = decls.get(entry.state).map(|decl| decl.key_of(&entry.key));
                let key = key.unwrap_or(&entry.key);
                let group: KeyGroup = max.key_group_of(hash64(key));
                if !range.contains(group) {
                    continue;
                }
                block.clear();
                entry.value.write(&entry.key, &mut block);
                let state = StateIndex(u32::try_from(entry.state).unwrap_or(u32::MAX));
                let loaded = backend.load(state, group, &block);
                loaded.map_err(|e| failed(e.to_string()))?;
            }
        }
        new.add(name, subtask, &decls, &mut backend, unkeyed)?;
    }
    Ok(())
}
