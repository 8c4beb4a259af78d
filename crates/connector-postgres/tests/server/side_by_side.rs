//! Jobs and sinks that write to one database.

use super::*;

fn named(database: &Database, job: &str, name: &str, mode: Mode) -> PostgresSink {
    let mut options = options(database, mode);
    options.job = Name::new(job).unwrap();
    options.sink = Name::new(name).unwrap();
    PostgresSink::new(options)
}

#[test]
fn leftovers_of_a_sink_are_removed_and_those_of_others_are_not() {
    let database = Database::new("CREATE TABLE t (n int)");
    database.run("BEGIN; INSERT INTO t VALUES (0); PREPARE TRANSACTION 'somebody else'");
    let others = [
        ("job-2", "out"),
        ("job", "out-2"),
        ("jo", "out"),
        ("job", "ou"),
    ];
    let mut sealed_by = Vec::new();
    for (job, sink) in others.into_iter().chain([("job", "out")]) {
        let factory = named(&database, job, sink, Mode::TwoPhaseCommit);
        factory.recover(&[]).unwrap();
        let mut one = writer(&factory, 0);
        write(&mut *one, &["{\"n\":1}"]).unwrap();
        sealed_by.push((factory, seal(&mut *one, 1).unwrap()));
    }
    assert_eq!(database.prepared().len(), 6);
    let factory = named(&database, "job", "out", Mode::TwoPhaseCommit);
    assert_eq!(factory.recover(&[]).unwrap().removed, 1);
    assert_eq!(database.prepared().len(), 5);
    let (_, lost) = sealed_by.pop().unwrap();
    assert!(factory.commit(&lost).is_err());
    for (factory, sealed) in sealed_by {
        assert_eq!(factory.recover(&sealed).unwrap().committed, 1);
    }
    assert_eq!(database.prepared(), ["somebody else"]);
    assert_eq!(database.one("SELECT count(*) FROM t"), "4");
    database.run("ROLLBACK PREPARED 'somebody else'");
}

#[test]
fn sessions_of_an_older_attempt_are_ended_and_those_of_others_are_not() {
    let database = Database::new("CREATE TABLE t (n int)");
    let old = sink(&database, Mode::TwoPhaseCommit);
    old.recover(&[]).unwrap();
    let other = named(&database, "job", "other", Mode::TwoPhaseCommit);
    other.recover(&[]).unwrap();
    let (mut zombie, mut neighbour) = (writer(&old, 0), writer(&other, 0));
    for one in [&mut zombie, &mut neighbour] {
        write(&mut **one, &["{\"n\":1}"]).unwrap();
        one.flush().unwrap();
    }
    let open = "SELECT count(*) FROM pg_stat_activity WHERE state = 'idle in transaction' AND \
                datname = current_database()";
    database.await_one(open, "2");
    sink(&database, Mode::TwoPhaseCommit).recover(&[]).unwrap();
    database.await_one(open, "1");
    assert!(seal(&mut *zombie, 1).is_err());
    let sealed = seal(&mut *neighbour, 1).unwrap();
    assert_eq!(other.commit(&sealed).unwrap().committed, 1);
    assert_eq!(database.prepared(), [""; 0]);
}

#[test]
fn a_writer_that_goes_takes_its_session_and_what_is_open_with_it() {
    let database = Database::new("CREATE TABLE t (n int)");
    let factory = sink(&database, Mode::TwoPhaseCommit);
    factory.recover(&[]).unwrap();
    // It waits for a lock that nobody gives back.
    let holder = database.another();
    holder.run("BEGIN; LOCK TABLE t IN ACCESS EXCLUSIVE MODE");
    let mut sink = writer(&factory, 0);
    write(&mut *sink, &["{\"n\":1}"]).unwrap();
    sink.flush().unwrap();
    database.await_waiting(1);
    drop(sink);
    factory.recover(&[]).unwrap();
    database.await_waiting(0);
    holder.run("COMMIT");
    assert_eq!(database.one("SELECT count(*) FROM t"), "0");
}
