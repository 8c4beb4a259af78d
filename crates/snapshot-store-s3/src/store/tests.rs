//! What is done about a server that fails: a small one that answers as it is told.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    sync::{Arc, Mutex},
    thread,
};

use super::*;
use crate::S3Credentials;

/// What comes back for one request.
#[derive(Clone, Debug)]
enum Reply {
    Status(u16, &'static str),
    /// Those bytes of an object of five, from an offset on.
    Part(usize, &'static str),
    /// The connection is closed after the request was read.
    Hang,
}

use Reply::{Hang, Part, Status};

const OK: Reply = Status(200, "");

/// A server that gives these replies, in order, and the last one for ever. Gives what was asked.
struct Server {
    address: String,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Server {
    fn with(replies: Vec<Reply>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let asked: Arc<Mutex<Vec<String>>> = Arc::default();
        let log = asked.clone();
        thread::spawn(move || {
            for connection in listener.incoming() {
                let Ok(connection) = connection else { return };
                answer(connection, &replies, &log);
            }
        });
        Self { address, asked }
    }

    fn store(&self) -> S3Store {
        store(&self.address)
    }

    fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }
}

/// One request on one connection.
fn answer(connection: TcpStream, replies: &[Reply], log: &Mutex<Vec<String>>) {
    let mut reader = BufReader::new(connection.try_clone().unwrap());
    let mut line = String::new();
    let mut first = String::new();
    let (mut length, mut conditional) = (0, "");
    loop {
        line.clear();
        if reader.read_line(&mut line).unwrap_or(0) == 0 {
            return;
        }
        let lower = line.to_ascii_lowercase();
        if first.is_empty() {
            first = line.trim_end().trim_end_matches(" HTTP/1.1").to_owned();
        } else if let Some(value) = lower.strip_prefix("content-length:") {
            length = value.trim().parse().unwrap();
        } else if lower.starts_with("if-none-match: *") {
            conditional = " create";
        } else if lower.trim().is_empty() {
            break;
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).unwrap();
    let reply = {
        let mut log = log.lock().unwrap();
        log.push(format!("{first}{conditional}"));
        replies[(log.len() - 1).min(replies.len() - 1)].clone()
    };
    let (status, text, range) = match reply {
        Status(status, text) => (status, text, String::new()),
        Part(from, text) => {
            let to = from + text.len() - 1;
            (206, text, format!("content-range: bytes {from}-{to}/5\r\n"))
        }
        Hang => return,
    };
    let mut connection = connection;
    let head = format!(
        "HTTP/1.1 {status} X\r\ncontent-length: {}\r\n{range}etag: \"e\"\r\nlast-modified: Thu, 01 Jan \
         1970 00:00:00 GMT\r\nconnection: close\r\n\r\n{text}",
        text.len()
    );
    let _ = connection.write_all(head.as_bytes());
}

fn options(endpoint: &str) -> S3Options {
    S3Options {
        endpoint: Some(endpoint.to_owned()),
        region: Some("us-east-1".into()),
        allow_http: Some(true),
        credentials: Some(S3Credentials {
            key: "key".into(),
            secret: "secret".into(),
            token: None,
        }),
        ..S3Options::new("bucket", "some/prefix")
    }
}

fn store(endpoint: &str) -> S3Store {
    let policy = Policy {
        first_ms: 1,
        ..Policy::USUAL
    };
    let sizes = Sizes {
        part_bytes: 4,
        together: 1,
    };
    S3Store::with(&options(endpoint), policy, sizes).unwrap()
}

fn code(error: &StoreError) -> &'static str {
    error.refusal().map_or("none", Refusal::code)
}

#[test]
fn a_server_that_is_busy_is_asked_again() {
    let server = Server::with(vec![Status(503, ""), Hang, Status(429, ""), OK]);
    server.store().put("a/x", vec![b"abc".to_vec()]).unwrap();
    let put = "PUT /bucket/some/prefix/a/x create";
    assert_eq!(server.asked(), [put; 4]);
}

#[test]
fn it_is_not_asked_for_ever_and_the_answer_is_told() {
    let server = Server::with(vec![Status(500, "<Code>InternalError</Code>")]);
    let error = server.store().get("a/x").unwrap_err();
    assert_eq!(server.asked().len(), 6);
    let told = error.to_string();
    for part in ["read `a/x`", "`bucket`", "InternalError", "after 6 tries"] {
        assert!(told.contains(part), "{part}: {told}");
    }
}

#[test]
fn what_another_try_does_not_mend_is_not_tried_again_and_has_a_code() {
    let no_bucket = Status(404, "<Code>NoSuchBucket</Code><Message>no</Message>");
    let denied = Status(403, "<Code>AccessDenied</Code>");
    for (reply, expected) in [(no_bucket, "W0131"), (denied, "W0132")] {
        let server = Server::with(vec![reply]);
        let store = server.store();
        let errors = [
            store.put("a/x", vec![]).unwrap_err(),
            store.get("a/x").unwrap_err(),
            store.list("a/").unwrap_err(),
            store.delete("a/x").unwrap_err(),
        ];
        assert_eq!(server.asked().len(), 4);
        for error in errors {
            assert_eq!(code(&error), expected, "{error}");
            assert!(error.to_string().contains(&server.address), "{error}");
        }
    }
}

#[test]
fn a_server_that_is_not_there_is_named_with_how_often_it_was_tried() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let error = store(&address).list("").unwrap_err();
    assert_eq!(code(&error), "W0133", "{error}");
    for part in [address.as_str(), "after 6 tries"] {
        assert!(error.to_string().contains(part), "{part}: {error}");
    }
}

#[test]
fn a_write_whose_answer_was_lost_is_done_if_what_is_there_is_what_was_written() {
    let taken = Status(412, "<Code>PreconditionFailed</Code>");
    for (there, is_ours) in [("abc", true), ("abd", false), ("ab", false)] {
        let size = Status(200, there);
        let server = Server::with(vec![Hang, taken.clone(), size, Status(200, there)]);
        let result = server
            .store()
            .put("a/x", vec![b"ab".to_vec(), b"c".to_vec()]);
        assert_eq!(result.is_ok(), is_ours, "{there}: {result:?}");
        assert!(is_ours || result.unwrap_err().is_already_exists());
    }
    // Where none was lost it is somebody else's, whatever it is.
    let server = Server::with(vec![taken, Status(200, "abc")]);
    let error = server
        .store()
        .put("a/x", vec![b"abc".to_vec()])
        .unwrap_err();
    assert!(error.is_already_exists());
    assert_eq!(server.asked().len(), 1);
}

#[test]
fn large_objects_go_in_parts_under_the_same_condition() {
    let begun = "<InitiateMultipartUploadResult><UploadId>u1</UploadId>\
                 </InitiateMultipartUploadResult>";
    let done = "<CompleteMultipartUploadResult><ETag>e</ETag></CompleteMultipartUploadResult>";
    let parts = [OK, Status(503, ""), OK, OK];
    let missing = Status(404, "");
    let mut replies = vec![missing.clone(), Status(200, begun)];
    replies.extend(parts);
    replies.push(Status(200, done));
    let server = Server::with(replies);
    let chunks = vec![vec![1; 5], vec![], vec![2; 6]];
    server.store().put("a/x", chunks.clone()).unwrap();
    let path = "/bucket/some/prefix/a/x";
    let part = |n: u8| format!("PUT {path}?partNumber={n}&uploadId=u1");
    let expected = [
        format!("HEAD {path}"),
        format!("POST {path}?uploads"),
        part(1),
        part(2),
        part(2),
        part(3),
        format!("POST {path}?uploadId=u1 create"),
    ];
    let asked: Vec<_> = server
        .asked()
        .iter()
        .map(|line| line.replace("uploads=", "uploads"))
        .collect();
    assert_eq!(asked, expected);
    // Nothing is left of one that does not end well.
    let replies = vec![missing, Status(200, begun), Status(403, "")];
    let server = Server::with(replies);
    let error = server.store().put("a/x", chunks).unwrap_err();
    assert_eq!(code(&error), "W0132");
    let last = server.asked().pop().unwrap();
    assert_eq!(last, format!("DELETE {path}?uploadId=u1"));
}

#[test]
fn a_large_object_that_is_given_up_is_sent_as_it_comes_and_leaves_nothing() {
    let begun = "<InitiateMultipartUploadResult><UploadId>u1</UploadId>\
                 </InitiateMultipartUploadResult>";
    let server = Server::with(vec![Status(404, ""), Status(200, begun), OK]);
    let store = server.store();
    let mut object = store.create("a/x").unwrap();
    object.write(&[1; 4]).unwrap();
    assert_eq!(server.asked(), [] as [&str; 0], "it may be a small one");
    object.write(&[2; 4]).unwrap();
    object.write(&[3; 4]).unwrap();
    drop(object);
    let path = "/bucket/some/prefix/a/x";
    let asked = server.asked();
    let sent = |line: &&String| line.contains("partNumber");
    assert_eq!(asked.iter().filter(sent).count(), 2, "{asked:?}");
    assert_eq!(*asked.last().unwrap(), format!("DELETE {path}?uploadId=u1"));
}

#[test]
fn a_large_write_whose_answer_was_lost_is_done_if_what_is_there_is_what_was_written() {
    let begun = "<InitiateMultipartUploadResult><UploadId>u1</UploadId>\
                 </InitiateMultipartUploadResult>";
    let gone = Status(404, "<Code>NoSuchUpload</Code>");
    for (there, is_ours) in [("abcdef", false), ("abcde", true), ("abcdf", false)] {
        let mut replies = vec![Status(404, ""), Status(200, begun), OK, OK];
        // The parts are put together, the answer is lost, the upload is not known any more.
        replies.extend([Hang, gone.clone(), OK, Status(200, there)]);
        if there.len() == 5 {
            replies.push(Part(0, &there[..4]));
            replies.push(Part(4, &there[4..]));
        }
        let server = Server::with(replies);
        let result = server.store().put("a/x", vec![b"abcde".to_vec()]);
        assert_eq!(result.is_ok(), is_ours, "{there}: {result:?}");
        assert!(is_ours || result.unwrap_err().is_already_exists());
    }
}

#[test]
fn paths_that_lead_out_are_refused_before_anybody_is_asked() {
    let server = Server::with(vec![OK]);
    let store = server.store();
    for path in ["", "/", "/x", "../x", "a//b", "a/", "a/../b", "."] {
        assert!(store.put(path, vec![]).is_err(), "{path}");
        assert!(store.get(path).is_err(), "{path}");
        assert!(store.delete(path).is_err(), "{path}");
    }
    assert_eq!(server.asked(), [] as [&str; 0]);
}

#[test]
fn the_secret_is_not_printed() {
    let shown = format!("{:?}", options("http://x"));
    assert!(
        shown.contains("S3Credentials(key)") && !shown.contains("secret"),
        "{shown}"
    );
}
