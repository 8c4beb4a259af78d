//! A sink that has another name than when it left something on the server.

use super::*;

fn renamed(database: &Database, from: Option<&str>) -> PostgresSink {
    let mut options = options(database, Mode::TwoPhaseCommit);
    options.sink = Name::new("later").unwrap();
    options.renamed_from = from.map(|from| Name::new(from).unwrap());
    PostgresSink::new(options)
}

#[test]
fn what_was_prepared_under_the_old_name_is_committed_or_rolled_back() {
    let database = Database::new("CREATE TABLE t (n int)");
    let old = sink(&database, Mode::TwoPhaseCommit);
    old.recover(&[]).unwrap();
    let mut one = writer(&old, 0);
    write(&mut *one, &["{\"n\":1}"]).unwrap();
    let held = seal(&mut *one, 1).unwrap();
    // No checkpoint holds this one.
    write(&mut *one, &["{\"n\":2}"]).unwrap();
    seal(&mut *one, 2).unwrap();
    assert_eq!(database.prepared().len(), 2);
    // Another sink leaves it alone, and so does one that never had that name.
    let other = renamed(&database, None);
    other.recover(&[]).unwrap();
    assert_eq!(database.prepared().len(), 2);
    let new = renamed(&database, Some("out"));
    let recovered = new.recover(&held).unwrap();
    assert_eq!((recovered.committed, recovered.removed), (1, 1));
    assert!(database.prepared().is_empty());
    assert_eq!(database.one("SELECT n FROM t"), "1");
    // Again, as after a crash in the middle: nothing more.
    let recovered = new.recover(&held).unwrap();
    assert_eq!((recovered.already, recovered.removed), (1, 0));
    assert_eq!(database.one("SELECT n FROM t"), "1");
}

#[test]
fn sessions_and_results_of_the_old_name_are_those_of_the_sink() {
    let database = Database::new("CREATE TABLE t (n int)");
    let old = sink(&database, Mode::TwoPhaseCommit);
    old.recover(&[]).unwrap();
    let mut one = writer(&old, 0);
    write(&mut *one, &["{\"n\":1}"]).unwrap();
    let held = seal(&mut *one, 1).unwrap();
    old.commit(&held).unwrap();
    write(&mut *one, &["{\"n\":2}"]).unwrap();
    one.flush().unwrap();
    let open = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'weir:job:out' AND \
                state = 'idle in transaction' AND datname = current_database()";
    database.await_one(open, "1");
    assert_eq!(renamed(&database, None).existing().unwrap().committed, 0);
    let new = renamed(&database, Some("out"));
    assert_eq!(new.existing().unwrap().committed, 1);
    new.recover(&held).unwrap();
    database.await_one(open, "0");
    new.clear().unwrap();
    assert_eq!(new.existing().unwrap().committed, 0);
    assert_eq!(database.one("SELECT count(*) FROM t"), "0");
}
