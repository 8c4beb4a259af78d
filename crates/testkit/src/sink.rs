//! A transactional sink into memory, and the ledger of what was committed.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard},
};

use serde_json::{Value, json};
use weir_model::{CheckpointId, Rows};
use weir_operator::{
    Delivery, Existing, Failure, OnLost, PreCommit, Recovered, Sealed, Sink, SinkFactory,
    SinkGuarantee, TaskInfo,
};

/// What the world sees of a sink: committed rows; and what was sealed and waits.
#[derive(Clone, Debug, Default)]
pub struct Ledger(Arc<Mutex<Inner>>);

#[derive(Debug, Default)]
struct Inner {
    /// Sealed transactions by name, with the checkpoint they belong to.
    sealed: BTreeMap<String, (CheckpointId, Vec<String>)>,
    committed: BTreeMap<String, (CheckpointId, Vec<String>)>,
    /// How many commits are to fail.
    failing: u32,
}

impl Ledger {
    /// All committed rows, in order of their transactions' names.
    #[must_use]
    pub fn rows(&self) -> Vec<String> {
        self.lock()
            .committed
            .values()
            .flat_map(|(_, rows)| rows.clone())
            .collect()
    }

    /// All committed rows, in order of the checkpoints that they were committed with.
    #[must_use]
    pub fn by_checkpoint(&self) -> Vec<String> {
        let inner = self.lock();
        let mut all: Vec<_> = inner.committed.values().collect();
        all.sort_by_key(|(checkpoint, _)| *checkpoint);
        all.into_iter().flat_map(|(_, rows)| rows.clone()).collect()
    }

    /// All committed rows, sorted.
    #[must_use]
    pub fn sorted(&self) -> Vec<String> {
        let mut rows = self.rows();
        rows.sort();
        rows
    }

    /// How many transactions are sealed and not committed.
    #[must_use]
    pub fn sealed(&self) -> usize {
        self.lock().sealed.len()
    }

    /// Loses so many of the transactions that are sealed and not committed, and gives their rows.
    pub fn lose_sealed(&self, count: usize) -> Vec<String> {
        let mut inner = self.lock();
        let ids: Vec<String> = inner.sealed.keys().take(count).cloned().collect();
        let lost = ids.iter().filter_map(|id| inner.sealed.remove(id));
        lost.flat_map(|(_, rows)| rows).collect()
    }

    /// Lets the next `count` commits fail.
    pub fn fail_commits(&self, count: u32) {
        self.lock().failing = count;
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap()
    }

    /// Commits what was sealed here, or what only the checkpoint had; whether it was not before.
    fn commit(
        &self,
        id: &str,
        logged: Option<(CheckpointId, Vec<String>)>,
    ) -> Result<bool, Failure> {
        let mut inner = self.lock();
        if inner.failing > 0 {
            inner.failing -= 1;
            let what = format!("committing {id}");
            return Err(Failure::External {
                what,
                message: "injected".into(),
            });
        }
        if inner.committed.contains_key(id) {
            return Ok(false);
        }
        match logged.or_else(|| inner.sealed.remove(id)) {
            Some(rows) => {
                inner.committed.insert(id.to_owned(), rows);
                Ok(true)
            }
            None => Err(Failure::LostTransaction {
                what: id.into(),
                message: "is gone".into(),
            }),
        }
    }
}

/// A sink into a [`Ledger`].
#[derive(Clone, Debug)]
pub struct LedgerSink {
    ledger: Ledger,
    delivery: Delivery,
}

impl LedgerSink {
    /// A sink into this ledger.
    #[must_use]
    pub fn new(ledger: &Ledger) -> Self {
        Self {
            ledger: ledger.clone(),
            delivery: Delivery::TwoPhaseCommit,
        }
    }

    /// Keeps rows in the checkpoint until they are committed: sealed they are nowhere else.
    #[must_use]
    pub fn logging(mut self) -> Self {
        self.delivery = Delivery::WriteAheadLog;
        self
    }

    /// Makes rows visible at the barrier, whatever becomes of the checkpoint.
    #[must_use]
    pub fn at_least_once(mut self) -> Self {
        self.delivery = Delivery::Plain;
        self
    }

    fn commit_all(&self, sealed: &[Sealed], lost: OnLost<'_>) -> Result<Recovered, Failure> {
        let mut recovered = Recovered::default();
        for (at, one) in sealed.iter().enumerate() {
            let id = one.committable.get("id").and_then(Value::as_str).unwrap();
            let logged = one.log.as_ref().map(|log| {
                let checkpoint = one.committable["checkpoint"].as_u64().unwrap();
                let text = std::str::from_utf8(log).unwrap();
                let rows = text.lines().map(str::to_owned).collect();
                (CheckpointId(checkpoint), rows)
            });
            match self.ledger.commit(id, logged) {
                Ok(true) => recovered.committed += 1,
                Ok(false) => recovered.already += 1,
                Err(failure @ Failure::LostTransaction { .. }) => lost(at, failure)?,
                Err(failure) => return Err(failure),
            }
        }
        Ok(recovered)
    }
}

impl SinkFactory for LedgerSink {
    fn guarantee(&self) -> SinkGuarantee {
        self.delivery.guarantee()
    }

    fn delivery(&self) -> Delivery {
        self.delivery
    }

    fn create(&self, task: &TaskInfo) -> Result<Box<dyn Sink>, Failure> {
        let prefix = format!("{:04}-{}", task.attempt.0, task.subtask);
        Ok(Box::new(Writer {
            ledger: self.ledger.clone(),
            prefix,
            delivery: self.delivery,
            rows: Vec::new(),
        }))
    }

    fn commit(&self, sealed: &[Sealed]) -> Result<Recovered, Failure> {
        self.commit_all(sealed, &mut |_, failure| Err(failure))
    }

    fn recover(&self, restored: &[Sealed]) -> Result<Recovered, Failure> {
        self.recover_without(restored, &mut |_, failure| Err(failure))
    }

    fn recover_without(&self, restored: &[Sealed], lost: OnLost<'_>) -> Result<Recovered, Failure> {
        let mut recovered = self.commit_all(restored, lost)?;
        let mut inner = self.ledger.lock();
        recovered.removed = inner.sealed.len() as u64;
        inner.sealed.clear();
        Ok(recovered)
    }

    fn existing(&self) -> Result<Existing, Failure> {
        let inner = self.ledger.lock();
        Ok(Existing {
            committed: inner.committed.len() as u64,
            last_checkpoint: inner.committed.values().map(|(id, _)| *id).max(),
            location: "the ledger".into(),
        })
    }

    fn clear(&self) -> Result<(), Failure> {
        self.ledger.lock().committed.clear();
        Ok(())
    }
}

struct Writer {
    ledger: Ledger,
    prefix: String,
    delivery: Delivery,
    rows: Vec<String>,
}

impl Sink for Writer {
    fn write(&mut self, rows: Rows<'_>) -> Result<(), Failure> {
        self.rows.extend(
            rows.values
                .iter()
                .map(|row| String::from_utf8_lossy(row).into_owned()),
        );
        Ok(())
    }

    fn flush(&mut self) -> Result<(), Failure> {
        Ok(())
    }

    fn pre_commit(&mut self, checkpoint: CheckpointId) -> Result<PreCommit, Failure> {
        let rows = std::mem::take(&mut self.rows);
        let id = format!("{:08}-{}", checkpoint.0, self.prefix);
        let (ledger, delivery) = (self.ledger.clone(), self.delivery);
        Ok(Box::new(move || {
            if rows.is_empty() {
                return Ok(Vec::new());
            }
            match delivery {
                Delivery::Plain | Delivery::Idempotent => {
                    ledger.lock().committed.insert(id, (checkpoint, rows));
                    Ok(Vec::new())
                }
                Delivery::TwoPhaseCommit => {
                    ledger.lock().sealed.insert(id.clone(), (checkpoint, rows));
                    Ok(vec![json!({ "v": 1, "id": id }).into()])
                }
                Delivery::WriteAheadLog => Ok(vec![Sealed {
                    committable: json!({ "v": 1, "id": id, "checkpoint": checkpoint.0 }),
                    log: Some(rows.join("\n").into_bytes().into()),
                }]),
            }
        }))
    }
}
