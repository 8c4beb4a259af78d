//! C40, the timeline of a transactional sink, on the server.

use weir_checkpoint::{OnCommitError, TwoPhase, TwoPhaseOptions};
use weir_model::ProcessingTime;

use super::*;

const TABLE: &str = "CREATE TABLE t (n integer NOT NULL)";

/// A sink subtask as a task has it: sealed transactions and what is known of them.
struct Task<'a> {
    factory: &'a PostgresSink,
    sink: Box<dyn Sink>,
    transactions: TwoPhase,
    sealed: std::collections::BTreeMap<u64, Vec<Sealed>>,
}

impl<'a> Task<'a> {
    fn start(factory: &'a PostgresSink, options: TwoPhaseOptions) -> Self {
        Self {
            factory,
            sink: writer(factory, 0),
            transactions: TwoPhase::new(options),
            sealed: std::collections::BTreeMap::new(),
        }
    }

    fn write(&mut self, n: u32, now: i64) {
        self.transactions.opened(ProcessingTime(now));
        write(&mut *self.sink, &[&format!("{{\"n\":{n}}}")]).unwrap();
        self.sink.flush().unwrap();
    }

    fn snapshot(&mut self, id: u64, now: i64) {
        let sealed = seal(&mut *self.sink, id).unwrap();
        let committables = sealed.iter().map(|one| one.committable.clone()).collect();
        let id_of = CheckpointId(id);
        self.transactions
            .pre_committed(id_of, ProcessingTime(now), committables);
        self.sealed.insert(id, sealed);
    }

    fn complete(&mut self, id: u64) {
        for due in self.transactions.complete(CheckpointId(id)) {
            let sealed = &self.sealed[&due.checkpoint.0];
            self.factory.commit(sealed).unwrap();
            self.transactions.committed(due.checkpoint);
        }
    }

    fn held(&self, upto: u64) -> Vec<Sealed> {
        let pending = self.transactions.pending_up_to(CheckpointId(upto));
        let of = pending.iter().map(|t| &self.sealed[&t.checkpoint.0]);
        of.flatten().cloned().collect()
    }
}

/// The modes that are exactly once.
fn modes() -> [Mode; 2] {
    [Mode::TwoPhaseCommit, logged(&[])]
}

fn visible(database: &Database) -> String {
    database.one("SELECT string_agg(n::text, ',' ORDER BY n) FROM t")
}

#[test]
fn c40_two_phase_commit_completes_what_is_due_and_late_news_are_no_error() {
    for mode in modes() {
        let database = Database::new(TABLE);
        let factory = sink(&database, mode.clone());
        factory.recover(&[]).unwrap();
        let mut task = Task::start(&factory, TwoPhaseOptions::default());
        for (n, id) in [(42, 0), (43, 1), (44, 2)] {
            task.write(n, 0);
            task.snapshot(id, 0);
        }
        task.write(45, 0);
        assert_eq!(visible(&database), "null");
        task.complete(1);
        assert_eq!(visible(&database), "42,43");
        assert_eq!(task.transactions.open_transactions(), 2);
        if mode == Mode::TwoPhaseCommit {
            assert_eq!(database.prepared().len(), 1);
        }
        task.complete(2);
        task.complete(1);
        assert_eq!(visible(&database), "42,43,44");
        assert_eq!(task.transactions.open_transactions(), 1);
        assert_eq!(database.prepared(), [""; 0]);
        // Of one writer one mark is left.
        assert_eq!(
            database.one("SELECT count(*), max(checkpoint) FROM weir_commits"),
            "1|2"
        );
    }
}

#[test]
fn c40_restored_from_1_what_was_sealed_for_2_is_gone() {
    for mode in modes() {
        let database = Database::new(TABLE);
        let factory = sink(&database, mode);
        factory.recover(&[]).unwrap();
        let mut task = Task::start(&factory, TwoPhaseOptions::default());
        for (n, id) in [(42, 0), (43, 1)] {
            task.write(n, 0);
            task.snapshot(id, 0);
        }
        let restored = task.held(1);
        task.write(44, 0);
        task.snapshot(2, 0);
        task.write(45, 0);
        drop(task);
        // Another process.
        let factory = sink(&database, factory_mode(&factory));
        let recovered = factory.recover(&restored).unwrap();
        assert_eq!((recovered.committed, recovered.already), (2, 0));
        assert_eq!(visible(&database), "42,43");
        assert_eq!(database.prepared(), [""; 0], "nothing is left open");
        // And once more, as after a crash in the middle of that.
        let recovered = factory.recover(&restored).unwrap();
        assert_eq!((recovered.committed, recovered.already), (0, 2));
        assert_eq!(visible(&database), "42,43");
    }
}

fn factory_mode(factory: &PostgresSink) -> Mode {
    match factory.delivery() {
        weir_operator::Delivery::TwoPhaseCommit => Mode::TwoPhaseCommit,
        _ => logged(&[]),
    }
}

#[test]
fn c40_a_transaction_that_is_gone_fails_the_start_unless_its_timeout_passed_and_it_may() {
    let database = Database::new(TABLE);
    let factory = sink(&database, Mode::TwoPhaseCommit);
    factory.recover(&[]).unwrap();
    let mut task = Task::start(&factory, TwoPhaseOptions::default());
    task.write(42, 0);
    task.snapshot(0, 0);
    let restored = task.held(0);
    let gid = database.prepared().remove(0);
    database.run(&format!("ROLLBACK PREPARED '{gid}'"));
    for result in [factory.recover(&restored), factory.commit(&restored)] {
        let failure = result.unwrap_err();
        assert!(
            matches!(failure, Failure::LostTransaction { .. }),
            "{failure}"
        );
        assert!(failure.to_string().contains(&gid), "{failure}");
    }
    let options = TwoPhaseOptions::new(Some(1000), true, None).unwrap();
    let decided = |now| options.on_commit_error(ProcessingTime(now), ProcessingTime(0));
    assert_eq!(decided(1000), OnCommitError::Fail);
    assert_eq!(decided(1001), OnCommitError::Ignore);
    assert_eq!(factory.recover(&[]).unwrap(), Default::default());
}

#[test]
fn c40_a_transaction_that_is_open_for_long_is_warned_of() {
    let database = Database::new(TABLE);
    let factory = sink(&database, Mode::TwoPhaseCommit);
    factory.recover(&[]).unwrap();
    let options = TwoPhaseOptions::new(Some(1000), false, Some(0.5)).unwrap();
    let mut task = Task::start(&factory, options);
    task.write(42, 0);
    assert!(task.transactions.warnings(ProcessingTime(500)).is_empty());
    let warned = task.transactions.warnings(ProcessingTime(502));
    assert_eq!((warned.len(), warned[0].open_ms), (1, 502));
    task.snapshot(0, 502);
    task.complete(0);
    assert!(task.transactions.warnings(ProcessingTime(9999)).is_empty());
}

#[test]
fn c40_only_transactions_of_this_job_and_sink_are_committed_whatever_a_checkpoint_says() {
    let database = Database::new(TABLE);
    database.run("BEGIN; INSERT INTO t VALUES (1); PREPARE TRANSACTION 'weir:other:out:0:1:w'");
    let factory = sink(&database, Mode::TwoPhaseCommit);
    factory.recover(&[]).unwrap();
    let mut forged = serde_json::json!({
        "v": 1, "writer": "w", "subtask": 0, "checkpoint": 1, "schema": "public", "table": "t",
        "by": { "two-phase-commit": { "gid": "weir:other:out:0:1:w" } },
    });
    let failure = factory.commit(&[forged.clone().into()]).unwrap_err();
    assert!(matches!(failure, Failure::Restore { .. }), "{failure}");
    // Nor is anything in a name read as SQL.
    let evil = "weir:job:out:0'; DROP TABLE t; --";
    forged["by"]["two-phase-commit"]["gid"] = evil.into();
    let failure = factory.commit(&[forged.into()]).unwrap_err();
    assert!(
        matches!(failure, Failure::LostTransaction { .. }),
        "{failure}"
    );
    assert_eq!(database.prepared(), ["weir:other:out:0:1:w"]);
    database.run("ROLLBACK PREPARED 'weir:other:out:0:1:w'");
    assert_eq!(visible(&database), "null");
}
