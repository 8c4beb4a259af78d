//! Servers that go away and come back.

use super::*;
use crate::database::OwnServer;

const TABLE: &str = "CREATE TABLE t (n int)";

#[test]
fn a_server_that_was_started_again_between_two_epochs_is_not_noticed() {
    let server = OwnServer::start(&[]);
    for mode in [plain(), Mode::TwoPhaseCommit, logged(&[])] {
        let name = {
            let database = server.database(TABLE);
            let factory = sink(&database, mode.clone());
            factory.recover(&[]).unwrap();
            let mut sink = writer(&factory, 0);
            write(&mut *sink, &["{\"n\":1}"]).unwrap();
            let first = seal(&mut *sink, 1).unwrap();
            server.restart();
            // What was prepared or logged is there, and the next epoch gets a new connection.
            factory.commit(&first).unwrap();
            write(&mut *sink, &["{\"n\":2}"]).unwrap();
            let second = seal(&mut *sink, 2).unwrap();
            server.restart();
            factory.commit(&second).unwrap();
            factory.recover(&second).unwrap();
            database.name.clone()
        };
        let rows = server.see(&name, "SELECT n FROM t ORDER BY n");
        assert_eq!(rows, ["1", "2"], "{mode:?}");
    }
}

#[test]
fn a_server_that_goes_in_the_middle_of_an_epoch_fails_it_and_leaves_nothing_of_it() {
    let server = OwnServer::start(&[]);
    let database = server.database(TABLE);
    let factory = sink(&database, Mode::TwoPhaseCommit);
    factory.recover(&[]).unwrap();
    let mut one = writer(&factory, 0);
    write(&mut *one, &["{\"n\":1}"]).unwrap();
    one.flush().unwrap();
    let open = "SELECT count(*) FROM pg_stat_activity WHERE state = 'idle in transaction' AND \
                query LIKE 'COPY%'";
    database.await_one(open, "1");
    server.restart();
    write(&mut *one, &["{\"n\":2}"]).unwrap();
    let failure = seal(&mut *one, 1).unwrap_err();
    assert!(matches!(failure, Failure::External { .. }), "{failure}");
    drop(one);
    let again = sink(&database, Mode::TwoPhaseCommit);
    assert_eq!(again.recover(&[]).unwrap(), Default::default());
    assert_eq!(server.see(&database.name, "SELECT count(*) FROM t"), ["0"]);
}

#[test]
fn a_server_that_comes_back_while_it_is_tried_is_waited_for() {
    let server = OwnServer::start(&[]);
    let database = server.database(TABLE);
    let factory = sink(&database, logged(&[]));
    factory.recover(&[]).unwrap();
    let mut one = writer(&factory, 0);
    write(&mut *one, &["{\"n\":1}"]).unwrap();
    let sealed = seal(&mut *one, 1).unwrap();
    server.stop();
    std::thread::scope(|scope| {
        let commit = scope.spawn(|| factory.commit(&sealed));
        server.again();
        assert_eq!(commit.join().unwrap().unwrap().committed, 1);
    });
    assert_eq!(server.see(&database.name, "SELECT count(*) FROM t"), ["1"]);
}
