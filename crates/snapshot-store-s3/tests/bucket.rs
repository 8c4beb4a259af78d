//! The store on a real server, whose address is in `WEIR_S3`: `./jw test-s3` starts one.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "what the tests share is a test, too"
)]

use std::{
    io::{Read, Write},
    net::TcpStream,
    sync::{Arc, Barrier},
    thread,
};

use weir_checkpoint::{JobPaths, SnapshotStore, testing::contract};
use weir_model::{Attempt, CheckpointId, Name};
use weir_snapshot_store::EpochLock;
use weir_snapshot_store_s3::{S3Credentials, S3Options, S3Store};

fn endpoint() -> String {
    std::env::var("WEIR_S3").expect("`./jw test-s3` says where the server is")
}

/// A store in a bucket of that name, which need not be there.
fn store_of(bucket: &str, prefix: &str) -> S3Store {
    let options = S3Options {
        endpoint: Some(endpoint()),
        region: Some("us-east-1".into()),
        allow_http: Some(true),
        credentials: Some(S3Credentials {
            key: "test".into(),
            secret: "test".into(),
            token: None,
        }),
        ..S3Options::new(bucket, prefix)
    };
    S3Store::new(&options).unwrap()
}

/// Asks for something that the store has no method for.
fn ask(method: &str, path: &str) {
    let address = endpoint().replace("http://", "");
    let mut connection = TcpStream::connect(&address).unwrap();
    let request = format!(
        "{method} {path} HTTP/1.1\r\nhost: {address}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
    );
    connection.write_all(request.as_bytes()).unwrap();
    let mut reply = String::new();
    connection.read_to_string(&mut reply).unwrap();
    assert!(reply.starts_with("HTTP/1.1 2"), "{reply}");
}

/// A store in a new bucket.
fn store(bucket: &str) -> S3Store {
    ask("PUT", &format!("/{bucket}"));
    store_of(bucket, "some/checkpoints")
}

#[test]
fn it_keeps_the_promises_of_a_store() {
    contract(&store("contract"), 6);
    // Without a prefix as well.
    contract(&store_of("contract", ""), 1);
}

#[test]
fn a_prefix_hides_what_lies_beside_it() {
    let inside = store("beside");
    let all = store_of("beside", "");
    inside.put("a/x", vec![vec![1]]).unwrap();
    all.put("some/checkpoints-2/a/x", vec![]).unwrap();
    assert_eq!(inside.list("").unwrap().len(), 1);
    assert_eq!(all.get("some/checkpoints/a/x").unwrap(), [1]);
    assert_eq!(inside.describe(), "s3://beside/some/checkpoints");
}

#[test]
fn a_large_object_goes_in_parts_and_is_not_replaced_either() {
    let store = store("large");
    let chunks: Vec<Vec<u8>> = (0..34).map(|n| vec![n; 1 << 20]).collect();
    store.put("a/large", chunks.clone()).unwrap();
    assert_eq!(store.list("a/").unwrap()[0].length, 34 << 20);
    assert_eq!(store.size("a/large").unwrap(), 34 << 20);
    let across = store.get_range("a/large", (16 << 20) - 1, 2).unwrap();
    assert_eq!(across, [15, 16]);
    assert!(store.get("a/large").unwrap() == chunks.concat());
    assert!(
        store
            .put("a/large", chunks)
            .unwrap_err()
            .is_already_exists()
    );
}

#[test]
fn a_large_object_that_is_given_up_is_not_there() {
    let store = store("given-up");
    let mut object = store.create("a/large").unwrap();
    (0..20).for_each(|n| object.write(&vec![n; 1 << 20]).unwrap());
    drop(object);
    assert_eq!(store.list("").unwrap(), []);
    assert!(store.get("a/large").unwrap_err().is_not_found());
    // Of two that are written at once the first one to be finished.
    let mut first = store.create("a/large").unwrap();
    let mut second = store.create("a/large").unwrap();
    (0..9).for_each(|_| first.write(&vec![1; 1 << 20]).unwrap());
    (0..9).for_each(|_| second.write(&vec![2; 1 << 20]).unwrap());
    second.finish().unwrap();
    assert!(first.finish().unwrap_err().is_already_exists());
    assert_eq!(store.get_range("a/large", 0, 1).unwrap(), [2]);
}

#[test]
fn more_objects_are_listed_than_fit_into_one_answer() {
    let store = store("many");
    thread::scope(|scope| {
        for worker in 0..4 {
            let store = &store;
            scope.spawn(move || {
                for n in (worker..1010).step_by(4) {
                    store.put(&format!("a/{n:04}"), vec![]).unwrap();
                }
            });
        }
    });
    let listed = store.list("a/").unwrap();
    assert_eq!(listed.len(), 1010);
    assert!(listed.is_sorted());
}

#[test]
fn of_many_that_create_an_object_at_once_one_does() {
    let store = store("race");
    let start = Barrier::new(6);
    let put = |who: u8| {
        start.wait();
        store.put("job/chk-1/_metadata", vec![vec![who; 100]])
    };
    let results: Vec<_> = thread::scope(|scope| {
        let put = &put;
        let all: Vec<_> = (0..6).map(|who| scope.spawn(move || put(who))).collect();
        all.into_iter().map(|one| one.join().unwrap()).collect()
    });
    assert_eq!(results.iter().filter(|result| result.is_ok()).count(), 1);
    let winner = results.iter().position(Result::is_ok).unwrap() as u8;
    assert_eq!(store.get("job/chk-1/_metadata").unwrap(), vec![winner; 100]);
}

#[test]
fn d28_a_second_process_takes_the_job_over() {
    let store: Arc<dyn SnapshotStore> = Arc::new(store("epochs"));
    let job = JobPaths::new(&Name::new("job").unwrap());
    let first = EpochLock::acquire(store.clone(), &job).unwrap();
    assert_eq!(first.next_attempt().unwrap(), Attempt(1));
    first
        .store()
        .put(&job.metadata(CheckpointId(1)), vec![])
        .unwrap();
    let second = EpochLock::acquire(store, &job).unwrap();
    let error = first
        .store()
        .put(&job.metadata(CheckpointId(2)), vec![])
        .unwrap_err();
    assert_eq!(error.refusal().unwrap().code(), "W0134");
    assert_eq!(second.next_attempt().unwrap(), Attempt(2));
    second
        .store()
        .put(&job.metadata(CheckpointId(2)), vec![])
        .unwrap();
}

#[test]
fn a_bucket_that_is_gone_is_told_as_such() {
    let never = store_of("never-made", "");
    let deleted = store("deleted");
    deleted.put("a/x", vec![]).unwrap();
    deleted.delete("a/x").unwrap();
    ask("DELETE", "/deleted");
    for store in [never, deleted] {
        for error in [
            store.put("a/x", vec![]).unwrap_err(),
            store.get("a/x").unwrap_err(),
            store.list("a/").unwrap_err(),
        ] {
            assert_eq!(error.refusal().unwrap().code(), "W0131", "{error}");
        }
    }
}
