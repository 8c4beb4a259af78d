//! What becomes of rows in a table.

use super::*;

#[test]
fn rows_are_added_as_they_come_and_are_there_at_the_barrier() {
    let database = Database::new("CREATE TABLE t (id serial PRIMARY KEY, a text, n bigint)");
    let factory = sink(&database, plain());
    assert_eq!(factory.existing().unwrap().committed, 0);
    factory.recover(&[]).unwrap();
    let (mut a, mut b) = (writer(&factory, 0), writer(&factory, 1));
    write(&mut *a, &[r#"{"a":"x","n":1}"#, r#"{"n":2,"a":null}"#]).unwrap();
    write(&mut *b, &[r#"{"a":"y","n":3}"#]).unwrap();
    a.flush().unwrap();
    database.await_one("SELECT count(*) FROM t", "2");
    assert_eq!(seal(&mut *a, 1).unwrap(), []);
    assert_eq!(seal(&mut *b, 1).unwrap(), []);
    assert_eq!(
        database.rows("SELECT a, n FROM t ORDER BY n"),
        ["x|1", "null|2", "y|3"]
    );
    // No table of marks is made where none are needed.
    assert_eq!(database.one("SELECT to_regclass('weir_commits')"), "null");
}

#[test]
fn a_row_replaces_the_one_with_its_key_and_of_a_batch_the_last_counts() {
    for mode in [upsert(&["k", "d"]), logged(&["k", "d"])] {
        let database = Database::new("CREATE TABLE t (d date, k text, n int, PRIMARY KEY (k, d))");
        let factory = sink(&database, mode);
        factory.recover(&[]).unwrap();
        let mut sink = writer(&factory, 0);
        let row = |k: &str, d: &str, n: u32| format!(r#"{{"k":"{k}","d":"{d}","n":{n}}}"#);
        let rows: Vec<String> = (0..1000)
            // One day in two spellings: what is equal only the server knows.
            .map(|n| row("a", ["2024-01-02", "2 Jan 2024"][n % 2], n as u32))
            .chain([row("b", "2024-01-02", 7)])
            .collect();
        write(
            &mut *sink,
            &rows.iter().map(String::as_str).collect::<Vec<_>>(),
        )
        .unwrap();
        factory.commit(&seal(&mut *sink, 1).unwrap()).unwrap();
        assert_eq!(
            database.rows("SELECT k, n FROM t ORDER BY k"),
            ["a|999", "b|7"]
        );
        // The same again, and a newer one.
        write(&mut *sink, &[&rows[3], &row("b", "2024-01-02", 8)]).unwrap();
        factory.commit(&seal(&mut *sink, 2).unwrap()).unwrap();
        assert_eq!(
            database.rows("SELECT k, n FROM t ORDER BY k"),
            ["a|3", "b|8"]
        );
    }
}

#[test]
fn values_are_read_as_the_types_of_their_columns() {
    let database = Database::new(
        "CREATE DOMAIN doc AS jsonb;
         CREATE TABLE t (num numeric, ts timestamptz, b bool, j jsonb, dj doc, text_ text,
                         ints int[], texts text[], grid int[], docs jsonb[], raw bytea)",
    );
    let factory = sink(&database, plain());
    factory.recover(&[]).unwrap();
    let mut sink = writer(&factory, 0);
    let row = r#"{"num": 123456789012345678901234567890.123, "ts": "2024-01-02T03:04:05Z", "b": true,
        "j": "text", "dj": {"x": [1, null]}, "text_": "tab\tline\nback\\ \"quote\" é\ud83d\ude00",
        "ints": [1, null, 3], "texts": ["a,b", "{\"", null, "NULL", ""], "grid": [[1,2],[3,4]],
        "docs": ["s", {"k": 1}], "raw": "\\x00ff"}"#;
    write(&mut *sink, &[&row.replace('\n', " ")]).unwrap();
    seal(&mut *sink, 1).unwrap();
    database.run("SET timezone = 'UTC'");
    for (value, expected) in [
        ("num", "123456789012345678901234567890.123"),
        ("ts", "2024-01-02 03:04:05+00"),
        ("b", "t"),
        ("j", "\"text\""),
        ("dj", "{\"x\": [1, null]}"),
        ("text_", "tab\tline\nback\\ \"quote\" é😀"),
        ("ints", "{1,NULL,3}"),
        ("texts", r#"{"a,b","{\"",NULL,"NULL",""}"#),
        ("grid", "{{1,2},{3,4}}"),
        ("docs[1] #>> '{}'", "s"),
        ("docs[2] ->> 'k'", "1"),
        ("raw", "\\x00ff"),
    ] {
        assert_eq!(
            database.one(&format!("SELECT {value} FROM t")),
            expected,
            "{value}"
        );
    }
}

#[test]
fn names_of_any_kind_are_names_and_values_of_any_kind_are_values() {
    let database = Database::new(
        r#"CREATE SCHEMA "App.s""x";
           CREATE TABLE "App.s""x"."T; DROP TABLE t --" ("a""b" text PRIMARY KEY, "n, m" text, "Ö/~" text)"#,
    );
    for mode in [
        plain(),
        upsert(&["a\"b"]),
        Mode::TwoPhaseCommit,
        logged(&["a\"b"]),
    ] {
        let mut options = options(&database, mode.clone());
        options.table = Table {
            schema: Some("App.s\"x".into()),
            name: "T; DROP TABLE t --".into(),
        };
        let factory = PostgresSink::new(options);
        factory.recover(&[]).unwrap();
        let mut sink = writer(&factory, 0);
        let evil = r#"{"a\"b": "'); DROP SCHEMA public CASCADE; --", "n, m": "\\N", "Ö/~": "\\."}"#;
        write(&mut *sink, &[evil]).unwrap();
        factory.commit(&seal(&mut *sink, 1).unwrap()).unwrap();
        let table = r#""App.s""x"."T; DROP TABLE t --""#;
        assert_eq!(
            database.rows(&format!("SELECT * FROM {table}")),
            [r"'); DROP SCHEMA public CASCADE; --|\N|\."],
            "{mode:?}"
        );
        database.run(&format!("DELETE FROM {table}"));
    }
    assert_eq!(
        database.one(r#"SELECT count(*) FROM "App.s""x".weir_commits"#),
        "2"
    );
}

#[test]
fn columns_may_be_told_and_a_row_may_be_taken_whole() {
    let database = Database::new("CREATE TABLE t (id serial, line text, n int DEFAULT 7, x int)");
    let mut options = options(&database, plain());
    options.missing = Missing::Null;
    options.columns = Some(vec![
        Column {
            name: "line".into(),
            take: Take::Row,
        },
        at("n", "/v/0"),
    ]);
    let factory = PostgresSink::new(options);
    factory.recover(&[]).unwrap();
    let mut sink = writer(&factory, 0);
    write(&mut *sink, &[r#"{"v":[5]}"#, "{}"]).unwrap();
    seal(&mut *sink, 1).unwrap();
    let rows = database.rows("SELECT line, n, x FROM t ORDER BY id");
    assert_eq!(rows, [r#"{"v":[5]}|5|null"#, "{}|null|null"]);
}

#[test]
fn more_than_a_batch_goes_through_in_order_and_whole() {
    let database = Database::new("CREATE TABLE t (id serial, n int)");
    for mode in [plain(), Mode::TwoPhaseCommit, logged(&[])] {
        let mut options = options(&database, mode);
        options.batch.rows = 100;
        options.log_bytes = 64 << 20;
        let factory = PostgresSink::new(options);
        factory.recover(&[]).unwrap();
        let mut sink = writer(&factory, 0);
        let rows: Vec<String> = (0..20_000).map(|n| format!("{{\"n\":{n}}}")).collect();
        for rows in rows.chunks(333) {
            write(
                &mut *sink,
                &rows.iter().map(String::as_str).collect::<Vec<_>>(),
            )
            .unwrap();
        }
        factory.commit(&seal(&mut *sink, 1).unwrap()).unwrap();
        let sql = "SELECT count(*), sum(n), bool_and(n = (id - 1) % 20000) FROM t";
        assert_eq!(database.one(sql), "20000|199990000|t");
        database.run("TRUNCATE t RESTART IDENTITY");
    }
}

#[test]
fn what_a_job_committed_before_is_known_until_the_table_is_emptied() {
    for mode in [Mode::TwoPhaseCommit, logged(&[])] {
        let database = Database::new("CREATE TABLE t (n int)");
        let factory = sink(&database, mode.clone());
        assert_eq!(factory.existing().unwrap().committed, 0);
        factory.recover(&[]).unwrap();
        let mut one = writer(&factory, 0);
        write(&mut *one, &["{\"n\":1}"]).unwrap();
        factory.commit(&seal(&mut *one, 7).unwrap()).unwrap();
        let existing = factory.existing().unwrap();
        assert_eq!(existing.committed, 1);
        assert_eq!(existing.last_checkpoint, Some(CheckpointId(7)));
        assert!(existing.location.starts_with("table t at postgres://"));
        // Another sink has committed nothing.
        let mut other = options(&database, mode);
        other.sink = Name::new("other").unwrap();
        assert_eq!(PostgresSink::new(other).existing().unwrap().committed, 0);
        database.run("DELETE FROM t");
        assert_eq!(factory.existing().unwrap().committed, 0);
        assert_eq!(
            factory.existing().unwrap().last_checkpoint,
            Some(CheckpointId(7))
        );
        database.run("INSERT INTO t VALUES (5)");
        factory.clear().unwrap();
        assert_eq!(database.one("SELECT count(*) FROM t"), "0");
        assert_eq!(factory.existing().unwrap().last_checkpoint, None);
    }
}
