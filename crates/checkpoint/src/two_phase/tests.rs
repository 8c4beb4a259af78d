//! Case C40, on a model of a transactional sink with a temporary area.

use std::collections::BTreeSet;

use serde_json::json;

use super::*;

/// The receiver: what survives the sink.
#[derive(Default)]
struct Receiver {
    /// Rows of transactions that are not visible, by transaction.
    temporary: BTreeMap<u64, Vec<i32>>,
    visible: Vec<i32>,
    committed: BTreeSet<u64>,
    is_broken: bool,
}

impl Receiver {
    /// Idempotent, as commits have to be.
    fn commit(&mut self, transaction: &Transaction) -> Result<(), String> {
        for committable in &transaction.committables {
            let number = committable["number"].as_u64().unwrap();
            if self.is_broken {
                return Err(format!("transaction {number} is gone"));
            }
            if self.committed.insert(number) {
                let rows = self.temporary.remove(&number).ok_or("nothing was sealed")?;
                self.visible.extend(rows);
            }
        }
        Ok(())
    }
}

/// One sink subtask. It always has a transaction open, as Flink's function does.
struct Sink<'a> {
    receiver: &'a mut Receiver,
    transactions: TwoPhase,
    current: u64,
    now: ProcessingTime,
}

impl<'a> Sink<'a> {
    fn new(receiver: &'a mut Receiver, options: TwoPhaseOptions) -> Self {
        let mut sink = Self {
            receiver,
            transactions: TwoPhase::new(options),
            current: 100,
            now: ProcessingTime(0),
        };
        sink.begin();
        sink
    }

    /// Commits what was restored, drops what belongs to nobody, and begins.
    fn restore(
        receiver: &'a mut Receiver,
        options: TwoPhaseOptions,
        now: ProcessingTime,
        restored: &[Transaction],
    ) -> Result<Self, String> {
        for transaction in restored {
            if let Err(error) = receiver.commit(transaction) {
                match options.on_commit_error(now, transaction.started) {
                    OnCommitError::Fail => return Err(error),
                    OnCommitError::Ignore => {}
                }
            }
        }
        receiver.temporary.clear();
        Ok(Self::new(receiver, options))
    }

    fn begin(&mut self) {
        self.current += 1;
        self.receiver.temporary.insert(self.current, vec![]);
        self.transactions.opened(self.now);
    }

    fn write(&mut self, row: i32) {
        self.receiver
            .temporary
            .get_mut(&self.current)
            .unwrap()
            .push(row);
    }

    fn snapshot(&mut self, id: u64) -> Vec<Transaction> {
        let sealed = vec![json!({ "v": 1, "number": self.current })];
        self.transactions
            .pre_committed(CheckpointId(id), self.now, sealed);
        self.begin();
        self.transactions.pending_up_to(CheckpointId(id))
    }

    fn complete(&mut self, id: u64) {
        for transaction in self.transactions.complete(CheckpointId(id)) {
            self.receiver.commit(&transaction).unwrap();
            self.transactions.committed(transaction.checkpoint);
        }
    }

    fn close(self) {
        self.receiver.temporary.remove(&self.current);
    }
}

#[test]
fn c40_two_phase_commit() {
    let mut receiver = Receiver::default();
    let mut sink = Sink::new(&mut receiver, TwoPhaseOptions::default());
    for (row, id) in [(42, 0), (43, 1), (44, 2)] {
        sink.write(row);
        sink.snapshot(id);
    }
    sink.complete(1);
    assert_eq!(sink.receiver.visible, [42, 43]);
    assert_eq!(
        sink.transactions.open_transactions(),
        2,
        "one pre-committed, one current"
    );
    assert_eq!(sink.receiver.temporary.len(), 2);
    sink.complete(2);
    sink.complete(1);
    assert_eq!(sink.receiver.visible, [42, 43, 44]);
    assert_eq!(sink.transactions.open_transactions(), 1);
    sink.close();
    assert!(receiver.temporary.is_empty());
}

#[test]
fn c40_a_failure_in_a_snapshot() {
    let mut receiver = Receiver::default();
    let mut sink = Sink::new(&mut receiver, TwoPhaseOptions::default());
    sink.write(42);
    sink.snapshot(0);
    sink.write(43);
    let saved = sink.snapshot(1);
    assert_eq!(saved.len(), 2, "0 is not confirmed");
    sink.write(44);
    // Snapshot 2 fails, and with it the task: nothing is told to the sink any more.
    let sink = Sink::restore(
        &mut receiver,
        TwoPhaseOptions::default(),
        ProcessingTime(0),
        &saved,
    )
    .unwrap();
    sink.close();
    assert_eq!(receiver.visible, [42, 43]);
    assert!(receiver.temporary.is_empty());
}

#[test]
fn c40_a_commit_that_fails_on_restore() {
    let restore = |now: i64, options: TwoPhaseOptions| {
        let mut receiver = Receiver::default();
        let mut sink = Sink::new(&mut receiver, options);
        sink.write(42);
        let saved = sink.snapshot(0);
        receiver.is_broken = true;
        Sink::restore(&mut receiver, options, ProcessingTime(now), &saved).map(|_| ())
    };
    let fail = TwoPhaseOptions::new(Some(1000), false, None).unwrap();
    let ignore = TwoPhaseOptions::new(Some(1000), true, None).unwrap();
    assert!(restore(0, TwoPhaseOptions::default()).is_err());
    assert!(restore(5000, fail).is_err());
    assert!(restore(1000, ignore).is_err(), "not beyond the timeout");
    assert_eq!(restore(1001, ignore), Ok(()));
}

#[test]
fn c40_warning_at_a_ratio_of_the_timeout() {
    let options = TwoPhaseOptions::new(Some(1000), false, Some(0.5)).unwrap();
    let mut receiver = Receiver::default();
    let mut sink = Sink::new(&mut receiver, options);
    sink.now = ProcessingTime(300);
    sink.snapshot(0);
    let open_ms = |sink: &Sink<'_>, now| {
        let warnings = sink.transactions.warnings(ProcessingTime(now));
        warnings
            .iter()
            .map(|w| (w.checkpoint.map(|id| id.0), w.open_ms))
            .collect::<Vec<_>>()
    };
    assert_eq!(open_ms(&sink, 500), []);
    assert_eq!(open_ms(&sink, 502), [(Some(0), 502)]);
    assert_eq!(open_ms(&sink, 801), [(Some(0), 801), (None, 501)]);
    sink.complete(0);
    assert_eq!(open_ms(&sink, 801), [(None, 501)]);
    let silent = TwoPhaseOptions::new(Some(1000), false, None).unwrap();
    assert_eq!(
        silent.warning(ProcessingTime(9999), None, ProcessingTime(0)),
        None
    );
}

#[test]
fn options_that_do_nothing_are_refused() {
    let ratio = TwoPhaseOptions::new(Some(1), false, Some(1.5)).unwrap_err();
    assert_eq!(
        ratio.to_string(),
        "`warn-ratio` lies between 0 and 1, not at 1.5"
    );
    assert!(TwoPhaseOptions::new(Some(1), false, Some(f64::NAN)).is_err());
    assert!(TwoPhaseOptions::new(None, true, None).is_err());
    assert!(TwoPhaseOptions::new(None, false, Some(0.5)).is_err());
}

#[test]
fn what_is_being_committed_stays_in_snapshots_until_it_is_confirmed() {
    let mut transactions = TwoPhase::default();
    let ids = |all: Vec<Transaction>| all.iter().map(|t| t.checkpoint.0).collect::<Vec<_>>();
    for n in 1..=3 {
        transactions.pre_committed(CheckpointId(n), ProcessingTime(0), vec![json!(n)]);
    }
    transactions.pre_committed(CheckpointId(4), ProcessingTime(0), vec![]);
    assert_eq!(ids(transactions.complete(CheckpointId(1))), [1]);
    assert_eq!(
        ids(transactions.complete(CheckpointId(2))),
        [2],
        "1 is on its way"
    );
    assert_eq!(ids(transactions.pending_up_to(CheckpointId(4))), [1, 2, 3]);
    transactions.committed(CheckpointId(2));
    transactions.committed(CheckpointId(3));
    assert_eq!(
        ids(transactions.pending_up_to(CheckpointId(4))),
        [1, 3],
        "3 was not due"
    );
    assert_eq!(ids(transactions.pending_up_to(CheckpointId(1))), [1]);
    assert_eq!(ids(transactions.complete(CheckpointId(1))), [0; 0]);
}
