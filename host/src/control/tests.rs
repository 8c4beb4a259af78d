//! The server and the client, with a job in between that answers what a test tells it.

use std::{io::Write as _, os::unix::net::UnixStream, sync::Arc, thread};

use hyper::Method;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::sync::mpsc;
use weir_model::CheckpointId;
use weir_runtime::{
    CheckpointStats,
    control::{
        CheckpointStatus, CommandError, JobCommand, JobState, JobStatus, SavepointDone, StopDone,
    },
};

use super::*;

fn stats(id: u64) -> CheckpointStats {
    CheckpointStats {
        id: CheckpointId(id),
        duration_ms: 12,
        bytes: 345,
        alignment_ms: 1,
        sync_ms: 0.5,
    }
}

/// A job that does what it is asked for, but for what it is told not to.
fn job(mut commands: mpsc::UnboundedReceiver<JobCommand>) {
    while let Some(command) = commands.blocking_recv() {
        match command {
            JobCommand::Savepoint {
                target,
                format,
                reply,
            } => drop(reply.send(Ok(SavepointDone {
                location: target.location,
                format,
                stats: stats(3),
            }))),
            JobCommand::Checkpoint { full: false, reply } => drop(reply.send(Ok(stats(4)))),
            JobCommand::Checkpoint { full: true, reply } => {
                drop(reply.send(Err(CommandError::NotRunning(JobState::Restarting))));
            }
            JobCommand::Stop {
                drain,
                savepoint,
                reply,
            } => drop(reply.send(Ok(StopDone {
                checkpoint: Some(CheckpointId(5)),
                savepoint: savepoint.map(|(target, _)| target.location),
                drained: drain,
            }))),
            // It ends without an answer.
            JobCommand::Cancel { .. } => return,
            JobCommand::Status { reply } => drop(reply.send(Ok(JobStatus {
                state: JobState::Running,
                attempt: None,
                restarts: 0,
                uptime_ms: 7,
                restored: None,
                failure: None,
                checkpoints: CheckpointStatus::default(),
                nodes: Vec::new(),
            }))),
            JobCommand::SetInterval { interval_ms, reply } => drop(reply.send(match interval_ms {
                Some(ms) if ms < 10 => Err(CommandError::Interval(ms)),
                Some(_) | None => Ok(()),
            })),
        }
    }
}

/// A job `a` with its server.
struct Running {
    dir: TempDir,
    server: Option<Server>,
}

/// Starts a server for a job that answers.
fn start(folder: &Path, name: &str, place: Option<&str>) -> Server {
    let (sender, receiver) = mpsc::unbounded_channel();
    thread::spawn(move || job(receiver));
    let identity = Identity {
        job: name.to_owned(),
        dir: place.map(str::to_owned),
    };
    let savepoints = Savepoints::new(name.to_owned(), None, Arc::default());
    Server::start(folder, identity, sender, savepoints).unwrap()
}

impl Running {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let server = start(&dir.path().join("weir"), "a", Some("/saved"));
        Self {
            dir,
            server: Some(server),
        }
    }

    fn folder(&self) -> PathBuf {
        self.dir.path().join("weir")
    }
}

fn request(folder: &Path, method: Method, below: &str, body: Value) -> Result<Value, AskError> {
    let job = find(folder, "a", Which::default())?;
    ask(&job, method, below, Some(&body))
}

/// What is answered, as code and message.
fn wrong(folder: &Path, method: Method, below: &str, body: Value) -> (String, String) {
    let error = request(folder, method, below, body).unwrap_err();
    (error.code, error.message)
}

#[test]
fn what_is_asked_reaches_the_job_and_its_answer_comes_back() {
    let running = Running::new();
    let folder = running.folder();
    let body = json!({ "target": "/to", "format": "native" });
    let saved = request(&folder, Method::POST, "/savepoints", body).unwrap();
    assert_eq!(
        (&saved["id"], &saved["format"]),
        (&json!(3), &json!("native"))
    );
    assert!(
        saved["path"]
            .as_str()
            .unwrap()
            .starts_with("/to/savepoint-a-")
    );
    let done = request(&folder, Method::POST, "/checkpoints", json!({})).unwrap();
    assert_eq!((&done["id"], &done["size_bytes"]), (&json!(4), &json!(345)));
    let body = json!({ "drain": true });
    let stopped = request(&folder, Method::POST, "/stop", body).unwrap();
    assert_eq!(
        stopped,
        json!({ "checkpoint": 5, "savepoint": null, "drained": true })
    );
    let status = request(&folder, Method::GET, "", json!(null)).unwrap();
    assert_eq!(
        (&status["job"], &status["state"]),
        (&json!("a"), &json!("running"))
    );
    let body = json!({ "interval_ms": null });
    let interval = request(&folder, Method::PATCH, "/checkpoints", body.clone()).unwrap();
    assert_eq!(interval, body);
}

#[test]
fn c39_a_savepoint_without_a_target_is_refused_and_the_job_goes_on() {
    let running = Running::new();
    let folder = running.folder();
    let refused = request(&folder, Method::POST, "/savepoints", json!({})).unwrap_err();
    assert!(refused.usage && refused.code == "W0014", "{refused:?}");
    let (code, _) = wrong(&folder, Method::POST, "/stop", json!({ "savepoint": {} }));
    assert_eq!(code, "W0014");
    let body = json!({ "target": "relative" });
    assert_eq!(wrong(&folder, Method::POST, "/savepoints", body).0, "W0014");
    request(&folder, Method::GET, "", json!(null)).unwrap();
}

#[test]
fn what_makes_no_sense_is_told() {
    let running = Running::new();
    let folder = running.folder();
    for (method, below, body, says) in [
        (
            Method::POST,
            "/savepoints",
            json!({ "traget": "/a" }),
            "`traget`",
        ),
        (Method::POST, "/stop", json!([1, 2, 3, 4]), "makes no sense"),
        (Method::PATCH, "/checkpoints", json!({}), "interval_ms"),
        (Method::PATCH, "", json!({ "state": "happy" }), "`happy`"),
        (
            Method::GET,
            "/savepoints",
            json!(null),
            "GET does nothing there",
        ),
        (
            Method::GET,
            "/elsewhere",
            json!(null),
            "there is no `/v1/jobs/a/elsewhere`",
        ),
        (
            Method::POST,
            "/stop",
            json!({ "drain": "x".repeat(100 << 10) }),
            "cannot be read",
        ),
    ] {
        let (code, message) = wrong(&folder, method, below, body);
        assert!(
            code == "W0015" && message.contains(says),
            "{below}: {code} {message}"
        );
    }
    let body = json!({ "interval_ms": 9 });
    let refused = request(&folder, Method::PATCH, "/checkpoints", body).unwrap_err();
    assert!(refused.usage && refused.code == "W0013", "{refused:?}");
    assert!(refused.message.contains("at least 10 ms"), "{refused:?}");
    let body = json!({ "full": true });
    let refused = request(&folder, Method::POST, "/checkpoints", body).unwrap_err();
    assert!(!refused.usage && refused.code == "W0013", "{refused:?}");
    assert!(refused.message.contains("restarting"), "{refused:?}");
    // And the job is still there after bytes that are no HTTP, and after who says nothing.
    let socket = fs_entries(&folder).pop().unwrap();
    UnixStream::connect(&socket)
        .unwrap()
        .write_all(b"\x16\x03\x01 hello\r\n\r\n")
        .unwrap();
    let _silent = UnixStream::connect(&socket).unwrap();
    request(&folder, Method::GET, "", json!(null)).unwrap();
}

fn fs_entries(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap();
    entries.map(|entry| entry.unwrap().path()).collect()
}

#[test]
fn a_job_that_ends_meanwhile_answers_nobody_and_leaves_nothing() {
    let mut running = Running::new();
    let folder = running.folder();
    let (code, message) = wrong(&folder, Method::PATCH, "", json!({ "state": "cancelled" }));
    assert!(
        code == "W0013" && message.contains("ended meanwhile"),
        "{message}"
    );
    assert_eq!(fs_entries(&folder).len(), 1);
    running.server.take();
    assert!(fs_entries(&folder).is_empty());
    assert!(super::running(&folder).unwrap().jobs.is_empty());
}

#[test]
fn jobs_of_one_name_are_told_apart_by_their_directories() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join("weir");
    let none = find(&folder, "a", Which::default()).unwrap_err();
    assert!(none.usage && none.code == "W0011", "{none:?}");
    let _servers = [
        start(&folder, "a", Some("/x")),
        start(&folder, "a", Some("/y")),
        start(&folder, "b", None),
    ];
    assert_eq!(super::running(&folder).unwrap().jobs.len(), 3);
    let several = find(&folder, "a", Which::default()).unwrap_err();
    assert!(
        several.code == "W0012" && several.message.contains("/y"),
        "{several:?}"
    );
    let at = |dir| Which {
        dir: Some(dir),
        pid: None,
    };
    let one = find(&folder, "a", at("/y")).unwrap();
    assert_eq!(one.named.dir.as_deref(), Some("/y"));
    assert_eq!(find(&folder, "a", at("/z")).unwrap_err().code, "W0011");
    let none = find(&folder, "c", Which::default()).unwrap_err();
    assert!(none.help.unwrap().contains("`b` without checkpoints"));
}

#[test]
fn a_process_that_does_not_answer_is_not_told_as_none() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join("weir");
    let _server = start(&folder, "b", Some("/y"));
    let path = super::folder::socket(&folder, "a", "/x");
    let listener = std::os::unix::net::UnixListener::bind(&path).unwrap();
    // Takes each call and ends it without a word.
    thread::spawn(move || listener.incoming().for_each(drop));
    let found = super::running(&folder).unwrap();
    let process = format!("process {}: ", std::process::id());
    assert_eq!((found.jobs.len(), found.silent.len()), (1, 1));
    assert!(found.silent[0].starts_with(&process), "{found:?}");
    find(&folder, "b", Which::default()).unwrap();
    let none = find(&folder, "a", Which::default()).unwrap_err();
    assert!(!none.usage && none.code == "W0016", "{none:?}");
    assert!(none.message.contains(&process), "{none:?}");
    assert!(path.exists());
}

#[test]
fn jobs_without_a_directory_of_their_own_are_told_apart_by_their_processes() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join("weir");
    let _server = start(&folder, "a", Some(MEMORY));
    let own = std::process::id();
    // Another process of that name has another socket.
    let other = super::folder::socket(&folder, "a", &format!("process {own}"));
    assert!(other.exists());
    assert!(!super::folder::socket(&folder, "a", MEMORY).exists());
    let pid = |pid| Which {
        dir: None,
        pid: Some(pid),
    };
    assert_eq!(find(&folder, "a", pid(own)).unwrap().named.pid, own);
    let none = find(&folder, "a", pid(own + 1)).unwrap_err();
    assert_eq!(none.code, "W0011");
    let job = |dir: &str| {
        let text = format!(
            "apiVersion: weir/v1\njob: a\ncheckpoint: {{ dir: \"{dir}\" }}\n\
             sources: {{ r: {{ connector: generator }} }}\n"
        );
        JobFile::load(&text, Path::new("/jobs/a.yaml"), &[]).unwrap()
    };
    let of = |dir: &str| directory_of(&job(dir));
    assert_eq!(of("memory:").as_deref(), Some(MEMORY));
    assert_eq!(of("s3a://saved/a/").as_deref(), Some("s3://saved/a"));
    assert_eq!(of("saved").as_deref(), Some("/jobs/saved"));
    for (said, named) in [("s3a://saved/a/", "s3://saved/a"), ("memory:", MEMORY)] {
        assert_eq!(directory(Path::new(said)).as_deref(), Ok(named));
    }
    assert!(directory(Path::new("s3://A")).is_err());
}

#[test]
fn the_socket_of_a_dead_process_is_removed_and_taken_over() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join("weir");
    super::folder::make(&folder).unwrap();
    let path = super::folder::socket(&folder, "a", "/x");
    drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
    assert!(super::running(&folder).unwrap().jobs.is_empty());
    assert!(!path.exists());
    drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
    let _server = start(&folder, "a", Some("/x"));
    assert_eq!(super::running(&folder).unwrap().jobs.len(), 1);
}
