//! Where a job begins: what lies in the store, which checkpoint is gone on from, and what becomes of
//! results that are there already.

use std::collections::BTreeMap;

use weir_checkpoint::{Fallback, Shown, Survey};
use weir_model::CheckpointId;
use weir_operator::{Failure, SinkGuarantee};

use super::{
    Job, Latest, blocking,
    restore::{NoRestore, Restored},
};
use crate::deployment::{JobEvent, OnExisting, RestoreFrom};

impl Job {
    /// What lies in the store. Removes what no metadata names: a crash left it.
    pub(super) async fn survey(&mut self) -> Result<Survey, Failure> {
        let Some(storage) = self.storage.clone() else {
            return Ok(Survey::default());
        };
        let survey = blocking(move || {
            let objects =
                storage
                    .store
                    .list(storage.paths.root())
                    .map_err(|e| Failure::External {
                        what: storage.store.describe(),
                        message: e.to_string(),
                    })?;
            let survey = Survey::of(&storage.paths, &objects);
            for orphan in &survey.orphans {
                for object in &objects {
                    if storage.paths.checkpoint_of(&object.path) == Some(*orphan) {
                        let _ = storage.store.delete(&object.path);
                    }
                }
            }
            Ok(survey)
        })
        .await?;
        self.highest = self.highest.max(survey.highest.unwrap_or(CheckpointId(0)));
        Ok(survey)
    }

    /// Reads the checkpoint that this attempt begins with.
    pub(super) async fn restore(
        &mut self,
        survey: &mut Survey,
    ) -> Result<Option<Restored>, Failure> {
        let mut latest = match self.latest.clone() {
            Some(latest) => latest,
            None => match &self.options.restore {
                RestoreFrom::Nothing => Latest::Beginning,
                RestoreFrom::Checkpoint(foreign) => Latest::Foreign(foreign.clone()),
                RestoreFrom::Latest => survey.latest().map_or(Latest::Beginning, Latest::Own),
            },
        };
        let first = self.latest.is_none();
        let restored = loop {
            let (store, folder) = match (latest.clone(), &self.storage) {
                (Latest::Beginning, _) | (Latest::Own(_), None) => {
                    if first {
                        self.check_existing(survey).await?;
                    }
                    self.latest = Some(latest);
                    return Ok(None);
                }
                (Latest::Own(id), Some(storage)) => {
                    (storage.store.clone(), storage.paths.checkpoint(id))
                }
                (Latest::Foreign(foreign), _) => (foreign.store, foreign.folder),
            };
            let deployment = self.deployment.clone();
            let read = move || Ok(Restored::read(store, &folder, &deployment));
            match (blocking(read).await?, &latest) {
                (Ok(restored), _) => break restored,
                (Err(NoRestore::Unreadable(failure)), Latest::Own(id)) => {
                    latest = Latest::Own(self.fall_back(survey, *id, failure).await?);
                }
                (Err(NoRestore::Unreadable(failure) | NoRestore::Unfit(failure)), _) => {
                    return Err(failure);
                }
            }
        };
        let (id, location) = (restored.id, restored.location.clone());
        if matches!(latest, Latest::Foreign(_)) {
            // New results must not take the names of those that are there (D24).
            self.highest = self.highest.max(id).max(self.last_committed().await?);
            self.named = Some(id);
        }
        self.latest = Some(latest);
        self.options.listener.event(&JobEvent::Restoring {
            id,
            location: location.clone(),
        });
        if first {
            self.restored = Some((id, location));
        }
        Ok(Some(restored))
    }

    /// The checkpoint to go on from where one cannot be read (D20).
    async fn fall_back(
        &mut self,
        survey: &Survey,
        unreadable: CheckpointId,
        failure: Failure,
    ) -> Result<CheckpointId, Failure> {
        let mut shown = BTreeMap::new();
        for (name, sink) in &self.deployment.sinks {
            let upto = match sink.factory.guarantee() {
                SinkGuarantee::AtLeastOnce => Shown::AtOnce,
                SinkGuarantee::ExactlyOnce => {
                    let factory = sink.factory.clone();
                    Shown::UpTo(blocking(move || factory.existing()).await?.last_checkpoint)
                }
            };
            shown.insert(name.clone(), upto);
        }
        match Fallback::choose(survey, unreadable, &shown) {
            Fallback::To {
                checkpoint,
                repeated,
            } => {
                let mut note = format!("{failure}; going back to checkpoint {checkpoint}");
                for sink in repeated {
                    note.push_str(&format!("; rows of sink `{sink}` will come again"));
                }
                self.options.listener.event(&JobEvent::Note(note));
                Ok(checkpoint)
            }
            Fallback::Stop { checkpoint, beyond } => {
                let folder = self.storage.as_ref().map(|storage| {
                    let inside = storage.paths.checkpoint(checkpoint);
                    format!(
                        "{}/{inside}",
                        storage.store.describe().trim_end_matches('/')
                    )
                });
                let mut message = failure.to_string();
                for (sink, id) in beyond {
                    message.push_str(&format!(
                        "; sink `{sink}` has committed up to checkpoint {id}, and would do so again \
                         from checkpoint {checkpoint}"
                    ));
                }
                let folder = folder.unwrap_or_default();
                message.push_str(&format!(
                    "; to go back nevertheless, repeating results: --restore {folder}"
                ));
                Err(Failure::Restore { message })
            }
            Fallback::NothingOlder => Err(Failure::Restore {
                message: format!(
                    "{failure}; there is no older checkpoint; `--restore none` begins anew"
                ),
            }),
        }
    }

    /// The highest checkpoint that any sink has committed something of.
    async fn last_committed(&self) -> Result<CheckpointId, Failure> {
        let mut last = CheckpointId(0);
        for sink in self.deployment.sinks.values() {
            let factory = sink.factory.clone();
            let existing = blocking(move || factory.existing()).await?;
            last = last.max(existing.last_checkpoint.unwrap_or(last));
        }
        Ok(last)
    }

    /// A job that starts anew does not mix its results with those that are there (D23).
    async fn check_existing(&mut self, survey: &mut Survey) -> Result<(), Failure> {
        let mut replaced = Vec::new();
        for (name, sink) in &self.deployment.sinks {
            let (factory, policy) = (sink.factory.clone(), sink.on_existing);
            let existing = blocking(move || factory.existing()).await?;
            if existing.committed == 0 {
                continue;
            }
            match policy {
                OnExisting::Refuse => {
                    return Err(Failure::Existing {
                        sink: name.to_string(),
                        location: existing.location,
                        committed: existing.committed,
                    });
                }
                OnExisting::Append => {
                    let last = existing.last_checkpoint.unwrap_or(CheckpointId(0));
                    self.highest = self.highest.max(last);
                }
                OnExisting::Replace => replaced.push(sink.factory.clone()),
            }
        }
        // Nothing is removed before all sinks were asked.
        if !replaced.is_empty() {
            self.forget(survey).await?;
        }
        for factory in replaced {
            blocking(move || factory.clear()).await?;
        }
        Ok(())
    }

    /// Deletes all checkpoints of the job, each one's metadata first: their results are about to be
    /// removed, and a crash before the next checkpoint must not go on from what has none.
    async fn forget(&self, survey: &mut Survey) -> Result<(), Failure> {
        let old = std::mem::take(&mut survey.completed);
        let (Some(storage), false) = (self.storage.clone(), old.is_empty()) else {
            return Ok(());
        };
        let count = old.len();
        blocking(move || {
            for id in old {
                storage
                    .delete_checkpoint(id)
                    .map_err(|e| Failure::External {
                        what: format!("delete checkpoint {id}, whose results are replaced"),
                        message: e.to_string(),
                    })?;
            }
            Ok(())
        })
        .await?;
        let note = format!("deleted {count} older checkpoints: their results are replaced");
        self.options.listener.event(&JobEvent::Note(note));
        Ok(())
    }
}
