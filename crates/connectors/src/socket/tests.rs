//! The socket source as the engine drives it, over real sockets of this machine.

use std::{
    io::{Read, Write},
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    os::fd::OwnedFd,
    sync::mpsc::{self, Receiver},
    thread,
    time::{Duration, Instant},
};

use rustix::net::{AddressFamily, SocketType, bind, getsockname, socket, sockopt};
use serde_json::json;
use weir_formats::TimeUnit;
use weir_model::Name;
use weir_operator::{Enumerator, ReadStatus, SourceRows};

use super::{queue::Queue, *};

/// How long something may take before it counts as hung.
const PATIENCE: Duration = Duration::from_secs(30);

const CSV: FileFormat = FileFormat::Csv {
    header: true,
    delimiter: b',',
};

/// A reader, woken as its task would be.
struct Driven {
    reader: SocketReader,
    woken: Receiver<()>,
}

impl Driven {
    fn new(options: &SocketSourceOptions, position: Value) -> Self {
        let mut reader = SocketReader::new(Arc::new(options.clone()));
        let (wake, woken) = mpsc::channel();
        reader.set_waker(Arc::new(move || wake.send(()).unwrap_or_default()));
        let id = SocketSource::SPLIT.to_owned();
        reader.add_split(Split { id, position }).unwrap();
        Self { reader, woken }
    }

    /// Reads what there is without waiting.
    fn read(&mut self) -> Result<(Vec<String>, ReadStatus), Failure> {
        let mut rows = SourceRows::default();
        let mut status = ReadStatus::More;
        while status == ReadStatus::More {
            status = self.reader.read(&mut rows, 1000)?;
        }
        Ok((texts(&rows), status))
    }

    /// Waits until there is something to read.
    fn wait(&self) {
        self.woken
            .recv_timeout(PATIENCE)
            .expect("the task is woken");
    }

    /// Reads until there are so many rows.
    fn rows(&mut self, count: usize) -> Result<Vec<String>, Failure> {
        let mut all = Vec::new();
        loop {
            let (rows, status) = self.read()?;
            all.extend(rows);
            match status {
                ReadStatus::Dry { .. } if all.len() < count => self.wait(),
                _ => return Ok(all),
            }
        }
    }

    /// Reads until it fails.
    fn failure(&mut self) -> Failure {
        loop {
            match self.read() {
                Err(failure) => return failure,
                Ok(_) => self.wait(),
            }
        }
    }

    fn position(&mut self) -> Value {
        self.reader.snapshot().unwrap().remove(0).position
    }

    fn queue(&mut self) -> Arc<Queue> {
        Arc::clone(&self.reader.link().unwrap().queue)
    }

    /// Drops the reader and waits for its thread to end.
    fn end(mut self) {
        let thread = self.reader.link().unwrap().take_thread().unwrap();
        drop(self);
        thread.join().unwrap();
    }
}

fn texts(rows: &SourceRows) -> Vec<String> {
    let text = |row: &[u8]| String::from_utf8_lossy(row).into_owned();
    rows.values.iter().map(text).collect()
}

fn listen() -> TcpListener {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap()
}

fn options(listener: &TcpListener) -> SocketSourceOptions {
    at(listener.local_addr().unwrap().to_string())
}

fn at(address: String) -> SocketSourceOptions {
    SocketSourceOptions {
        source: Name::new("lines").unwrap(),
        address,
        format: FileFormat::Lines,
        on_error: OnBadRow::Fail,
        timestamp: None,
        at_end: AtEnd::Reconnect,
        reconnect: Reconnect {
            attempts: 3,
            backoff: Duration::from_millis(1),
            max_backoff: Duration::from_millis(2),
        },
    }
}

fn accept(listener: &TcpListener) -> TcpStream {
    let (stream, _) = listener.accept().unwrap();
    stream.set_nodelay(true).unwrap();
    stream
}

/// A port that nobody listens on and nobody else gets, as long as it is held.
fn closed_port() -> (OwnedFd, String) {
    let held = socket(AddressFamily::INET, SocketType::STREAM, None).unwrap();
    bind(&held, &SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).unwrap();
    let address: SocketAddr = getsockname(&held).unwrap().try_into().unwrap();
    (held, address.to_string())
}

#[test]
fn a_line_is_a_row_however_it_arrives_and_as_soon_as_it_ends() {
    let listener = listen();
    let mut driven = Driven::new(&options(&listener), Value::Null);
    let mut server = accept(&listener);
    server.write_all(b"on").unwrap();
    driven.wait();
    assert!(driven.read().unwrap().0.is_empty());
    server.write_all(b"e\r").unwrap();
    driven.wait();
    assert!(driven.read().unwrap().0.is_empty());
    server.write_all("\ntwo\n\n\u{fc}".as_bytes()).unwrap();
    assert_eq!(driven.rows(3).unwrap(), ["one", "two", ""]);
    server.write_all(b"\n").unwrap();
    assert_eq!(driven.rows(1).unwrap(), ["\u{fc}"]);
    let expected = json!({
        "v": 1,
        "address": listener.local_addr().unwrap().to_string(),
        "rows": 4,
        "lines": 4,
    });
    assert_eq!(driven.position(), expected);
}

#[test]
fn it_connects_again_when_the_server_closes_and_a_last_line_needs_no_line_end() {
    let listener = listen();
    let mut driven = Driven::new(&options(&listener), Value::Null);
    // More often than attempts in a row may fail: each of these brings something.
    for _ in 0..5 {
        accept(&listener).write_all(b"one\ntw").unwrap();
        assert_eq!(driven.rows(2).unwrap(), ["one", "tw"]);
    }
    assert_eq!(driven.position()["lines"], 10);
}

#[test]
fn a_row_that_a_connection_broke_in_is_left_out_and_joined_with_nothing() {
    let listener = listen();
    let mut driven = Driven::new(&options(&listener), Value::Null);
    let mut server = accept(&listener);
    server.write_all(b"one\ntw").unwrap();
    assert_eq!(driven.rows(1).unwrap(), ["one"]);
    // With nothing to linger for, closing is a reset.
    sockopt::set_socket_linger(&server, Some(Duration::ZERO)).unwrap();
    drop(server);
    accept(&listener).write_all(b"three\n").unwrap();
    assert_eq!(driven.rows(1).unwrap(), ["three"]);
}

#[test]
fn a_server_that_is_not_there_fails_the_task_after_so_many_attempts() {
    let (_held, address) = closed_port();
    let failure = Driven::new(&at(address.clone()), Value::Null).failure();
    assert!(matches!(failure, Failure::External { .. }));
    let text = failure.to_string();
    let expected = format!("read from {address} (source `lines`): 3 attempts in a row brought");
    assert!(text.starts_with(&expected), "{text}");
    assert!(text.contains("Connection refused"), "{text}");
    assert!(text.contains("`reconnect.attempts`"), "{text}");
}

#[test]
fn a_connection_that_brings_nothing_is_an_attempt_that_failed() {
    let listener = listen();
    let mut driven = Driven::new(&options(&listener), Value::Null);
    for _ in 0..3 {
        drop(accept(&listener));
    }
    let text = driven.failure().to_string();
    assert!(text.contains("3 attempts in a row"), "{text}");
    assert!(text.contains("the server closed the connection"), "{text}");
}

#[test]
fn rows_before_a_failure_are_handed_over() {
    let listener = listen();
    let mut options = options(&listener);
    options.reconnect.attempts = 1;
    let mut driven = Driven::new(&options, Value::Null);
    accept(&listener).write_all(b"last words\n").unwrap();
    drop(accept(&listener));
    // All of it is there before the first look.
    let queue = driven.queue();
    while queue.weight() < 3 * size_of::<queue::Arrival>() {
        thread::yield_now();
    }
    let mut rows = SourceRows::default();
    let status = driven.reader.read(&mut rows, 10).unwrap();
    assert_eq!(
        (texts(&rows), status),
        (vec!["last words".to_owned()], ReadStatus::More)
    );
    assert!(matches!(driven.failure(), Failure::External { .. }));
}

#[test]
fn it_ends_with_the_first_connection_where_it_is_told_to() {
    for (sent, expected) in [("one\ntwo", vec!["one", "two"]), ("", vec![])] {
        let listener = listen();
        let mut options = options(&listener);
        options.at_end = AtEnd::Finish;
        let mut driven = Driven::new(&options, Value::Null);
        let thread = driven.reader.link().unwrap().take_thread().unwrap();
        accept(&listener).write_all(sent.as_bytes()).unwrap();
        // By itself: it does not wait for the reader to have read the rest.
        thread.join().unwrap();
        let (all, status) = driven.read().unwrap();
        assert_eq!(all, expected);
        assert_eq!(status, ReadStatus::SplitEnded(SocketSource::SPLIT.into()));
        assert_eq!(driven.read().unwrap().1, ReadStatus::NoSplit);
        assert!(driven.reader.snapshot().unwrap().is_empty());
        listener.set_nonblocking(true).unwrap();
        assert!(listener.accept().is_err(), "it has connected again");
    }
}

#[test]
fn a_restored_reader_reads_on_with_what_comes() {
    let listener = listen();
    let options = options(&listener);
    let mut first = Driven::new(&options, Value::Null);
    let mut server = accept(&listener);
    server.write_all(b"1\n2\n").unwrap();
    assert_eq!(first.rows(2).unwrap(), ["1", "2"]);
    let saved = first.position();
    server.write_all(b"lost\n").unwrap();
    assert_eq!(first.rows(1).unwrap(), ["lost"]);
    first.end();
    let mut second = Driven::new(&options, saved);
    accept(&listener).write_all(b"3\n").unwrap();
    assert_eq!(second.rows(1).unwrap(), ["3"]);
    assert_eq!(second.position()["rows"], 3);
}

#[test]
fn a_position_of_another_version_is_refused() {
    let split = Split {
        id: SocketSource::SPLIT.into(),
        position: json!({ "v": 2 }),
    };
    let mut reader = SocketReader::new(Arc::new(at("localhost:1".into())));
    let failure = reader.add_split(split).unwrap_err();
    assert!(matches!(failure, Failure::Restore { .. }), "{failure}");
    assert!(
        failure
            .to_string()
            .contains("version Some(2), this host reads 1")
    );
}

#[test]
fn a_bad_row_is_named_by_address_and_line_or_left_out() {
    let listener = listen();
    let mut options = options(&listener);
    options.format = FileFormat::JsonLines;
    let mut driven = Driven::new(&options, Value::Null);
    let mut server = accept(&listener);
    server.write_all(b"{\"a\":1}\n\n").unwrap();
    assert_eq!(driven.rows(1).unwrap(), ["{\"a\":1}"]);
    server.write_all(b"{\"a\":\n").unwrap();
    let failure = driven.failure();
    let place = format!("{}, line 3", options.address);
    assert!(
        matches!(&failure, Failure::BadRow { at, .. } if *at == place),
        "{failure}"
    );
    drop(driven);

    options.on_error = OnBadRow::Skip;
    let mut driven = Driven::new(&options, Value::Null);
    accept(&listener).write_all(b"{\"a\":\n[2]\n").unwrap();
    assert_eq!(driven.rows(1).unwrap(), ["[2]"]);
    assert_eq!(driven.reader.skipped(), 1);
    assert_eq!(driven.position()["rows"], 2);
}

#[test]
fn a_row_beyond_the_limit_is_told_and_what_follows_is_read() {
    let start = |on_error| {
        let listener = listen();
        let mut options = options(&listener);
        options.on_error = on_error;
        let driven = Driven::new(&options, Value::Null);
        let mut server = accept(&listener);
        let sending = thread::spawn(move || {
            let mut all = vec![b'x'; SocketSource::MAX_ROW_BYTES];
            all.extend_from_slice(b"\r\n");
            all.resize(all.len() + SocketSource::MAX_ROW_BYTES + 1, b'y');
            all.extend_from_slice(b"\nafter\n");
            // A reader that fails may go away in the middle.
            let _ = server.write_all(&all);
        });
        // While somebody listens, connecting again does not fail.
        (listener, driven, sending)
    };
    let (_listener, mut driven, sending) = start(OnBadRow::Fail);
    let text = driven.failure().to_string();
    assert!(
        text.ends_with("line 2: longer than 16777216 bytes"),
        "{text}"
    );
    driven.end();
    sending.join().unwrap();

    let (_listener, mut driven, sending) = start(OnBadRow::Skip);
    let rows = driven.rows(2).unwrap();
    assert!(rows[0].len() == SocketSource::MAX_ROW_BYTES && rows[1] == "after");
    assert_eq!(driven.reader.skipped(), 1);
    sending.join().unwrap();
}

#[test]
fn times_come_with_the_rows() {
    let listener = listen();
    let mut options = options(&listener);
    options.timestamp = Some(TimestampSelector::column(b',', 1, TimeUnit::Seconds));
    options.on_error = OnBadRow::Skip;
    let mut driven = Driven::new(&options, Value::Null);
    accept(&listener).write_all(b"a,1\nb,soon\nc,3\n").unwrap();
    let mut rows = SourceRows::default();
    while rows.values.len() < 2 {
        driven.wait();
        driven.reader.read(&mut rows, 10).unwrap();
    }
    assert_eq!(texts(&rows), ["a,1", "c,3"]);
    assert_eq!(rows.timestamps, [1000, 3000]);
    assert_eq!(driven.reader.skipped(), 1);
}

#[test]
fn each_connection_has_a_header_of_its_own() {
    let listener = listen();
    let mut options = options(&listener);
    options.format = CSV;
    let mut driven = Driven::new(&options, Value::Null);
    accept(&listener).write_all(b"a,b\n1,\"x\ny\"\n").unwrap();
    assert_eq!(driven.rows(1).unwrap(), ["1,\"x\ny\""]);
    accept(&listener).write_all(b"a,b,c\n2,3,4\n").unwrap();
    assert_eq!(driven.rows(1).unwrap(), ["2,3,4"]);
    assert_eq!(driven.position()["lines"], 5);
}

#[test]
fn a_server_that_is_faster_has_to_wait_and_nothing_is_lost() {
    const LINES: usize = 2_000_000;
    let listener = listen();
    let mut driven = Driven::new(&options(&listener), Value::Null);
    let mut server = accept(&listener);
    let sending = thread::spawn(move || {
        let lines: Vec<u8> = (0..LINES)
            .flat_map(|i| format!("{i}\n").into_bytes())
            .collect();
        server.write_all(&lines).unwrap();
    });
    let queue = driven.queue();
    let began = Instant::now();
    while queue.weight() + 2 * Queue::CHUNK_BYTES < Queue::MAX_BYTES {
        assert!(began.elapsed() < PATIENCE, "the queue does not fill up");
        thread::yield_now();
    }
    let (mut next, mut rows) = (0, SourceRows::default());
    while next < LINES {
        assert!(queue.weight() <= Queue::MAX_BYTES);
        match driven.reader.read(&mut rows, 4096).unwrap() {
            ReadStatus::Dry { .. } if rows.values.is_empty() => driven.wait(),
            _ => {}
        }
        for row in rows.values.iter() {
            assert_eq!(row, next.to_string().as_bytes());
            next += 1;
        }
        rows.values.clear();
    }
    sending.join().unwrap();
}

#[test]
fn the_thread_ends_with_its_reader_whatever_it_waits_for() {
    // For bytes: the server sees it go, too.
    let listener = listen();
    let driven = Driven::new(&options(&listener), Value::Null);
    let mut server = accept(&listener);
    driven.end();
    assert_eq!(server.read(&mut [0]).unwrap(), 0);

    // For room.
    let mut driven = Driven::new(&options(&listener), Value::Null);
    let mut server = accept(&listener);
    let sending = thread::spawn(
        move || {
            while server.write_all(&[b'x'; 64 * 1024]).is_ok() {}
        },
    );
    let queue = driven.queue();
    while queue.weight() + 2 * Queue::CHUNK_BYTES < Queue::MAX_BYTES {
        thread::yield_now();
    }
    driven.end();
    sending.join().unwrap();

    // For the next attempt.
    let (_held, address) = closed_port();
    let mut options = at(address);
    options.reconnect.backoff = Duration::from_secs(3600);
    options.reconnect.max_backoff = Duration::from_secs(3600);
    Driven::new(&options, Value::Null).end();
}

#[test]
fn one_reader_has_the_rows_and_the_others_end() {
    let source = SocketSource::new(at("example.invalid:9999".into()));
    let discovery = source.discover().unwrap();
    assert_eq!(Enumerator::new(discovery, None).unwrap().deal(4).len(), 1);
    assert!(!source.replayable());
    let mut idle = SocketReader::new(Arc::new(at("example.invalid:9999".into())));
    let status = idle.read(&mut SourceRows::default(), 10).unwrap();
    assert_eq!(status, ReadStatus::NoSplit);
}

#[test]
fn an_address_is_a_host_and_a_port() {
    let discover = |address: &str| SocketSource::new(at(address.into())).discover();
    for good in [
        "localhost:9999",
        "10.0.0.1:1",
        "[::1]:65535",
        "a-b.example:80",
    ] {
        assert!(discover(good).is_ok(), "{good}");
    }
    for bad in [
        "",
        "localhost",
        ":9999",
        "localhost:",
        "localhost:0",
        "localhost:65536",
        "::1:9999",
    ] {
        let text = discover(bad).unwrap_err().to_string();
        assert!(
            text.contains("is not of the form `host:port`"),
            "{bad}: {text}"
        );
    }
}
