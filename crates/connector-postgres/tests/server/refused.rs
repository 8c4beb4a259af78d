//! What is wrong with rows, tables and servers, and that it is told.

use super::*;
use crate::database::OwnServer;

/// The failure of a sink that gets these rows: at the row, at the barrier or at the commit.
fn failing(factory: &PostgresSink, rows: &[&str]) -> Failure {
    factory.recover(&[]).unwrap();
    let mut sink = writer(factory, 0);
    let sealed = write(&mut *sink, rows).and_then(|()| seal(&mut *sink, 1));
    match sealed {
        Err(failure) => failure,
        Ok(sealed) => factory.commit(&sealed).unwrap_err(),
    }
}

fn modes() -> [Mode; 4] {
    [
        plain(),
        upsert(&["k"]),
        Mode::TwoPhaseCommit,
        logged(&["k"]),
    ]
}

#[test]
fn a_row_that_does_not_fit_is_named_with_its_column_and_nothing_of_its_epoch_is_there() {
    for mode in modes() {
        let database = Database::new("CREATE TABLE t (k text PRIMARY KEY, n int NOT NULL)");
        let factory = sink(&database, mode.clone());
        for (bad, told) in [
            (r#"{"k":"b","n":"two"}"#, "column `n`: invalid input syntax"),
            (
                r#"{"k":"b","n":99999999999}"#,
                "column `n`: value \"99999999999\" is out of range",
            ),
            (r#"{"k":"b"}"#, "column `n`: the row has nothing at `/n`"),
            (r#"{"k":"b","n":null}"#, "null value in column \"n\""),
            (r#"{"k":"b","n":1,"m":1}"#, "the row has a field `m`"),
            (r#"{"k":"b\u0000","n":1}"#, "invalid byte sequence"),
            ("b=1", "the row is not JSON"),
        ] {
            let rows = [r#"{"k":"a","n":1}"#, bad, r#"{"k":"c","n":1}"#];
            let failure = failing(&factory, &rows);
            let text = failure.to_string();
            assert!(matches!(failure, Failure::RefusedRow { .. }), "{text}");
            assert!(text.contains("table `t` at postgres://"), "{text}");
            assert!(text.contains(told), "{mode:?} {bad}: {text}");
            assert!(
                text.contains("row: ") && text.contains('b'),
                "{mode:?} {bad}: {text}"
            );
            assert_eq!(failure.code(), "W0151");
            assert_eq!(
                database.one("SELECT count(*) FROM t"),
                "0",
                "{mode:?} {bad}"
            );
            assert_eq!(database.prepared(), [""; 0]);
        }
    }
}

#[test]
fn a_row_that_is_there_already_is_refused_where_rows_are_added() {
    for mode in [plain(), Mode::TwoPhaseCommit, logged(&[])] {
        let database = Database::new("CREATE TABLE t (k text PRIMARY KEY, n int)");
        database.run("INSERT INTO t VALUES ('a', 0)");
        let factory = sink(&database, mode.clone());
        let text = failing(&factory, &[r#"{"k":"z","n":9}"#, r#"{"k":"a","n":1}"#]).to_string();
        assert!(
            text.contains("duplicate key") && text.contains("(k)=(a)"),
            "{text}"
        );
        assert!(text.contains("row: k = a, n = 1"), "{text}");
        assert_eq!(database.one("SELECT count(*) FROM t"), "1", "{mode:?}");
    }
}

#[test]
fn after_a_failure_a_writer_takes_nothing_more() {
    let database = Database::new("CREATE TABLE t (n int)");
    let factory = sink(&database, Mode::TwoPhaseCommit);
    factory.recover(&[]).unwrap();
    let mut sink = writer(&factory, 0);
    write(&mut *sink, &[r#"{"n":"x"}"#]).unwrap();
    assert!(seal(&mut *sink, 1).is_err());
    write(&mut *sink, &[r#"{"n":1}"#]).unwrap();
    let again = sink.flush().unwrap_err().to_string();
    assert!(again.contains("invalid input syntax"), "{again}");
    assert!(seal(&mut *sink, 2).is_err());
    assert!(write(&mut *sink, &["x"]).is_err());
}

#[test]
fn a_table_that_does_not_fit_is_told_before_any_row() {
    let database = Database::new(
        "CREATE TABLE t (k text, n int); CREATE VIEW v AS SELECT * FROM t;
         CREATE TABLE partly (k text, n int); CREATE UNIQUE INDEX ON partly (k) WHERE n > 0",
    );
    let with = |table: &str, mode: Mode| {
        let mut options = options(&database, mode);
        options.table.name = table.into();
        PostgresSink::new(options).recover(&[]).unwrap_err()
    };
    for (failure, told) in [
        (with("T", plain()), "there is no such table"),
        (with("v", plain()), "it is a view"),
        (
            with("t", upsert(&["k"])),
            "no unique constraint is on just (k)",
        ),
        (
            with("partly", upsert(&["k"])),
            "no unique constraint is on just (k)",
        ),
        (with("t", upsert(&["K"])), "did you mean `k`?"),
    ] {
        assert!(matches!(failure, Failure::Target { .. }), "{failure}");
        assert_eq!(failure.code(), "W0150");
        assert!(failure.to_string().contains(told), "{failure}");
    }
}

#[test]
fn a_role_that_may_not_make_the_table_of_marks_is_told_how() {
    let database = Database::new(
        "CREATE SCHEMA closed; CREATE TABLE closed.t (n int);
         DO $$ BEGIN CREATE ROLE clerk LOGIN; EXCEPTION WHEN duplicate_object THEN NULL; END $$;
         GRANT USAGE ON SCHEMA closed TO clerk; GRANT SELECT, INSERT ON closed.t TO clerk",
    );
    let mut options = options(&database, logged(&[]));
    options.table.schema = Some("closed".into());
    options.server.user = "clerk".into();
    let factory = PostgresSink::new(options);
    let text = factory.recover(&[]).unwrap_err().to_string();
    let create = text
        .split("with: ")
        .nth(1)
        .unwrap_or_else(|| panic!("{text}"));
    database.run(create);
    database.run("GRANT SELECT, INSERT, DELETE ON closed.weir_commits TO clerk");
    factory.recover(&[]).unwrap();
    let mut sink = writer(&factory, 0);
    write(&mut *sink, &["{\"n\":1}"]).unwrap();
    factory.commit(&seal(&mut *sink, 1).unwrap()).unwrap();
    assert_eq!(database.one("SELECT count(*) FROM closed.t"), "1");
    database.run("DROP OWNED BY clerk");
}

#[test]
fn a_server_that_prepares_nothing_is_told_what_to_set() {
    let server = OwnServer::start(&["max_prepared_transactions=0"]);
    let database = server.database("CREATE TABLE t (n int)");
    let failure = sink(&database, Mode::TwoPhaseCommit)
        .recover(&[])
        .unwrap_err();
    assert!(matches!(failure, Failure::Target { .. }));
    let text = failure.to_string();
    assert!(text.contains("set `max_prepared_transactions`"), "{text}");
    // The other ways need nothing of it.
    sink(&database, logged(&[])).recover(&[]).unwrap();
}

#[test]
fn a_server_that_can_prepare_no_more_says_so() {
    let server = OwnServer::start(&["max_prepared_transactions=1"]);
    let database = server.database("CREATE TABLE t (n int)");
    let factory = sink(&database, Mode::TwoPhaseCommit);
    factory.recover(&[]).unwrap();
    let mut sink = writer(&factory, 0);
    write(&mut *sink, &["{\"n\":1}"]).unwrap();
    seal(&mut *sink, 1).unwrap();
    write(&mut *sink, &["{\"n\":2}"]).unwrap();
    let text = seal(&mut *sink, 2).unwrap_err().to_string();
    assert!(text.contains("max_prepared_transactions"), "{text}");
}

#[test]
fn a_password_is_found_where_it_is_said_to_be_and_shown_nowhere() {
    const PASSWORD: &str = "s3cr3t 'and\" odd";
    let database = Database::new("CREATE TABLE t (n int)");
    let role = format!("r_{}", database.name);
    let quoted = PASSWORD.replace('\'', "''");
    database.run(&format!(
        "CREATE ROLE {role} LOGIN PASSWORD '{quoted}' IN ROLE secret; GRANT ALL ON t TO {role}"
    ));
    let place = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| {
        let path = place.path().join(name);
        std::fs::write(&path, text).unwrap();
        Password::File(path)
    };
    let try_with = |password: Password| {
        let mut options = options(&database, plain());
        options.server.user = role.clone();
        options.server.password = password;
        let shown = format!("{options:?}");
        assert!(!shown.contains(PASSWORD), "{shown}");
        PostgresSink::new(options).recover(&[])
    };
    try_with(file("good", &format!("{PASSWORD}\n"))).unwrap();
    let wrong = format!("{PASSWORD}x");
    for (password, told) in [
        (file("wrong", &wrong), "look at `user` and at the password"),
        (
            Password::File(place.path().join("missing")),
            "password file",
        ),
        (
            Password::Variable("WEIR_NO_SUCH".into()),
            "variable `WEIR_NO_SUCH`",
        ),
        (Password::None, "password"),
    ] {
        let failure = try_with(password).unwrap_err();
        let text = failure.to_string();
        assert!(text.contains(told) && !text.contains(PASSWORD), "{text}");
        // `None` is refused by the client before the server is asked.
        let target = matches!(failure, Failure::Target { .. });
        assert!(target, "{failure:?}");
    }
    database.run(&format!("DROP OWNED BY {role}; DROP ROLE {role}"));
}

#[test]
fn a_log_that_grows_too_large_is_told_with_what_to_do() {
    let database = Database::new("CREATE TABLE t (n int)");
    let mut options = options(&database, logged(&[]));
    options.log_bytes = 10;
    let factory = PostgresSink::new(options);
    let text = failing(&factory, &["{\"n\":1}"; 20]).to_string();
    assert!(text.contains("log-size"), "{text}");
}

#[test]
fn where_nobody_answers_it_is_tried_as_often_as_said_and_then_told() {
    let database = Database::new("CREATE TABLE t (n int)");
    let mut options = options(&database, plain());
    options.server.host = "/nonexistent".into();
    options.reconnect.attempts = 3;
    options.reconnect.backoff = std::time::Duration::from_millis(1);
    let failure = PostgresSink::new(options).recover(&[]).unwrap_err();
    assert!(matches!(failure, Failure::External { .. }), "{failure}");
    let text = failure.to_string();
    assert!(
        text.contains("connect to postgres:///nonexistent:5432"),
        "{text}"
    );
}
