//! The write-ahead log between a complete checkpoint and the table.

use super::*;

const TABLE: &str = "CREATE TABLE t (n int)";

fn sealed_once(factory: &PostgresSink, rows: &[&str]) -> Vec<Sealed> {
    let mut sink = writer(factory, 0);
    write(&mut *sink, rows).unwrap();
    seal(&mut *sink, 1).unwrap()
}

#[test]
fn what_is_sealed_is_nowhere_but_in_what_the_checkpoint_keeps() {
    let database = Database::new(TABLE);
    let factory = sink(&database, logged(&[]));
    factory.recover(&[]).unwrap();
    let sealed = sealed_once(&factory, &["{\"n\":1}", "{\"n\":2}"]);
    assert_eq!(database.one("SELECT count(*) FROM t"), "0");
    assert_eq!(sealed.len(), 1);
    assert_eq!(sealed[0].log.as_deref(), Some(&b"1\n2\n"[..]));
    let document = sealed[0].committable.to_string();
    assert!(
        document.len() < 300 && !document.contains("1\\n"),
        "{document}"
    );
    // An epoch without rows leaves nothing.
    assert_eq!(seal(&mut *writer(&factory, 0), 2).unwrap(), []);
}

#[test]
fn a_log_is_written_once_however_often_it_is_committed_and_by_whomever() {
    let database = Database::new(TABLE);
    let factory = sink(&database, logged(&[]));
    factory.recover(&[]).unwrap();
    let sealed = sealed_once(&factory, &["{\"n\":1}", "{\"n\":2}"]);
    assert_eq!(factory.commit(&sealed).unwrap().committed, 1);
    let another = sink(&database, logged(&[]));
    for _ in 0..2 {
        let recovered = another.recover(&sealed).unwrap();
        assert_eq!((recovered.committed, recovered.already), (0, 1));
    }
    assert_eq!(database.one("SELECT count(*) FROM t"), "2");
    let mark = "SELECT job, sink, subtask, checkpoint FROM weir_commits";
    assert_eq!(database.one(mark), "job|out|0|1");
}

#[test]
fn two_processes_that_write_one_log_write_it_once() {
    let database = Database::new(TABLE);
    let factory = sink(&database, logged(&[]));
    factory.recover(&[]).unwrap();
    let sealed = sealed_once(&factory, &["{\"n\":1}", "{\"n\":2}"]);
    // All wait for one lock, and then go on at once.
    let holder = database.another();
    holder.run("BEGIN; LOCK TABLE weir_commits IN ACCESS EXCLUSIVE MODE");
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..4)
            .map(|_| {
                let another = sink(&database, logged(&[]));
                let sealed = &sealed;
                scope.spawn(move || another.commit(sealed).unwrap())
            })
            .collect();
        database.await_waiting(4);
        holder.run("COMMIT");
        let all = threads.into_iter().map(|thread| thread.join().unwrap());
        let committed: u64 = all.map(|recovered| recovered.committed).sum();
        assert_eq!(committed, 1);
    });
    assert_eq!(database.one("SELECT count(*) FROM t"), "2");
}

#[test]
fn a_log_goes_to_the_table_and_columns_it_was_sealed_for() {
    let database = Database::new("CREATE TABLE t (n int, m int); CREATE TABLE u (m int)");
    let mut before = options(&database, logged(&[]));
    before.columns = Some(vec![at("m", "/n")]);
    let factory = PostgresSink::new(before);
    factory.recover(&[]).unwrap();
    let sealed = sealed_once(&factory, &["{\"n\":1}"]);
    let mut after = options(&database, logged(&[]));
    after.table.name = "u".into();
    PostgresSink::new(after).recover(&sealed).unwrap();
    assert_eq!(database.rows("SELECT n, m FROM t"), ["null|1"]);
    assert_eq!(database.one("SELECT count(*) FROM u"), "0");
}

#[test]
fn a_way_may_change_and_what_was_sealed_the_other_way_is_committed() {
    let database = Database::new(TABLE);
    let logging = sink(&database, logged(&[]));
    let preparing = sink(&database, Mode::TwoPhaseCommit);
    for (from, to) in [(&logging, &preparing), (&preparing, &logging)] {
        from.recover(&[]).unwrap();
        let sealed = sealed_once(from, &["{\"n\":1}"]);
        assert_eq!(to.recover(&sealed).unwrap().committed, 1);
    }
    assert_eq!(sink(&database, plain()).recover(&[]).unwrap().removed, 0);
    assert_eq!(database.one("SELECT count(*) FROM t"), "2");
}

#[test]
fn a_checkpoint_that_has_lost_its_rows_is_told() {
    let database = Database::new(TABLE);
    let factory = sink(&database, logged(&[]));
    factory.recover(&[]).unwrap();
    let mut sealed = sealed_once(&factory, &["{\"n\":1}"]);
    sealed[0].log = Some(b"1\n2\n"[..].into());
    let text = factory.commit(&sealed).unwrap_err().to_string();
    assert!(text.contains("took 2 rows of 1"), "{text}");
    sealed[0].log = None;
    let failure = factory.recover(&sealed).unwrap_err();
    assert!(matches!(failure, Failure::Restore { .. }), "{failure}");
    assert_eq!(database.one("SELECT count(*) FROM t"), "0");
}
