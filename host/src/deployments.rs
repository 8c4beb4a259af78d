//! One process, a thousand deployments one after the other, some of which fail: nothing of them is
//! left behind.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::sync::{mpsc, watch};
use weir_checkpoint::Restart;
use weir_job_file::JobFile;
use weir_runtime::{
    JobEvent, JobListener, JobOptions, Outcome, RestoreFrom, SystemClock, run as run_job,
};

use crate::{
    assemble::assemble,
    cli::{Output, Shared},
    config::Config,
    storage::Storage,
};

struct Silent;

impl JobListener for Silent {
    fn event(&self, _event: &JobEvent) {}
}

/// What a process holds.
#[derive(Debug)]
struct Held {
    resident_kib: u64,
    threads: u64,
    files: usize,
}

impl Held {
    /// A thread that has ended and was waited for is listed until the system is done with it.
    fn once_threads_are(at_most: u64) -> Self {
        let deadline = Instant::now() + Duration::from_secs(60);
        loop {
            let held = Self::now();
            if held.threads <= at_most || Instant::now() > deadline {
                return held;
            }
            std::thread::yield_now();
        }
    }

    fn now() -> Self {
        let status = fs::read_to_string("/proc/self/status").unwrap();
        let number = |key: &str| {
            let line = status.lines().find(|line| line.starts_with(key)).unwrap();
            let digits: String = line.chars().filter(char::is_ascii_digit).collect();
            digits.parse().unwrap()
        };
        Self {
            resident_kib: number("VmRSS:"),
            threads: number("Threads:"),
            files: fs::read_dir("/proc/self/fd").unwrap().count(),
        }
    }
}

fn guests() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../guest-examples/target/components")
}

/// The job of one deployment. `rows` are its input; every tenth has checkpoints, too.
fn job(folder: &Path, number: usize, rows: &str) -> JobFile {
    fs::write(folder.join("rows"), rows).unwrap();
    let checkpoint = if number % 10 == 3 {
        "checkpoint: { dir: saved }"
    } else {
        ""
    };
    // Short for what loops, and long for what does not, however busy the machine is.
    let time = if rows.contains('!') { "200ms" } else { "60s" };
    let component = guests().join("misbehaving.wasm");
    let text = format!(
        "apiVersion: weir/v1
job: deployed
parallelism: 2
{checkpoint}
restart: {{ strategy: none }}
sources:
  rows: {{ connector: file, path: rows, format: lines }}
operators:
  count:
    component: {}
    inputs: [ {{ from: rows, key: {{ row: true }} }} ]
    limits: {{ memory: 16MiB, time-per-call: {time} }}
sinks:
  out: {{ connector: file, from: count, path: out, on-existing: append }}
",
        component.display()
    );
    JobFile::load(&text, &folder.join("job.yaml"), &[]).unwrap()
}

fn deploy(folder: &Path, cache: &Path, number: usize, rows: &str) -> Outcome {
    let shared = Shared {
        output: Output::Text,
        cache_dir: Some(cache.to_owned()),
        config: Config::none(),
        stores: Arc::default(),
        terminal: false,
        perf_map: false,
    };
    let assembly = assemble(job(folder, number, rows), &shared).unwrap();
    let storage = Storage::open(&assembly.job, &shared.stores).unwrap();
    let _held = storage.guard();
    let (_ask, stop) = watch::channel(false);
    let options = JobOptions {
        workers: 2,
        checkpoints: storage.checkpoints,
        restart: Restart::new(assembly.job.restart),
        restore: RestoreFrom::Nothing,
        attempts: storage.attempts,
        clock: Arc::new(SystemClock),
        listener: Arc::new(Silent),
        stop,
        commands: mpsc::unbounded_channel().1,
        claims: None,
    };
    run_job(assembly.deployment, options).unwrap().outcome
}

#[test]
fn a_thousand_deployments_leave_nothing_behind() {
    let cache = tempfile::tempdir().unwrap();
    let (mut before, mut files) = (None, 0);
    for number in 0..1000 {
        let folder = tempfile::tempdir().unwrap();
        // Three in twenty end by what guests do, the others with their input.
        let (rows, ends) = match number % 20 {
            0 => ("a\nb\n!panic\n", false),
            1 => ("a\n!hog\n", false),
            2 => ("a\n!recurse\n", false),
            _ => ("a\nb\na\nc\n", true),
        };
        let outcome = deploy(folder.path(), cache.path(), number, rows);
        assert_eq!(matches!(outcome, Outcome::Finished), ends, "{outcome:?}");
        let held = Held::now();
        // Nothing is open any more as soon as a job has ended. Tests in other threads of the
        // process have files of their own; in nextest there are none.
        if number == 0 {
            files = held.files;
        }
        if std::env::var_os("NEXTEST").is_some() {
            assert_eq!(held.files, files, "after deployment {number}");
        }
        if number == 250 {
            before = Some(held);
        }
    }
    let before = before.unwrap();
    let after = Held::once_threads_are(before.threads);
    let grown = after.resident_kib.saturating_sub(before.resident_kib);
    // 750 deployments, some of which fill 16 MiB each: less than 16 KiB is left of one.
    assert!(grown < 12 << 10, "{before:?}, then {after:?}");
    assert!(
        after.threads <= before.threads,
        "{before:?}, then {after:?}"
    );
    assert!(after.files <= before.files, "{before:?}, then {after:?}");
}

#[test]
fn a_job_is_unharmed_by_others_in_its_process() {
    let cache = tempfile::tempdir().unwrap();
    let deeds = ["!loop", "!hog", "!flood", "!recurse", "!panic"];
    std::thread::scope(|scope| {
        for deed in deeds {
            let cache = cache.path();
            scope.spawn(move || {
                let folder = tempfile::tempdir().unwrap();
                let rows = format!("a\n{deed}\n");
                let outcome = deploy(folder.path(), cache, 0, &rows);
                assert!(matches!(outcome, Outcome::Failed(_)), "{deed}: {outcome:?}");
            });
        }
        let folder = tempfile::tempdir().unwrap();
        let rows: String = (0..5000).map(|row| format!("{}\n", row % 50)).collect();
        let outcome = deploy(folder.path(), cache.path(), 0, &rows);
        assert!(matches!(outcome, Outcome::Finished), "{outcome:?}");
        let mut results = Vec::new();
        for file in fs::read_dir(folder.path().join("out")).unwrap() {
            let text = fs::read_to_string(file.unwrap().path()).unwrap();
            results.extend(text.lines().map(str::to_owned));
        }
        let mut expected: Vec<String> = (0..50)
            .flat_map(|key| (1..=100).map(move |count| format!("{key}={count}")))
            .collect();
        results.sort();
        expected.sort();
        assert_eq!(results, expected);
    });
}
