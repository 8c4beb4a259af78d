//! Runs a job file through the whole engine, as `weir run` would, with sources and sinks of the
//! benchmark.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU32, Ordering},
    },
    thread,
};

use tokio::sync::{mpsc, watch};
use weir_checkpoint::{CheckpointMode, Config, JobPaths, Restart, RestartStrategy};
use weir_host::Embedding;
use weir_model::Attempt;
use weir_operator::{SinkFactory, SourceFactory};
use weir_runtime::{
    CheckpointOptions, CheckpointStats, Deployment, JobEvent, JobListener, JobOptions, Outcome,
    RestoreFrom, SystemClock,
};
use weir_snapshot_store::LocalStore;

use super::{check::Sum, natives, ready, tally::Tally};
use crate::{
    backend::Store,
    clock::Passed,
    error::{Context, Error, Result},
};

/// A job file, and what of it is otherwise.
#[derive(Clone, Debug)]
pub struct Job {
    /// The file.
    pub file: PathBuf,
    /// Whether its operators run as code of this process, in the place of their components.
    pub native: bool,
    /// How many subtasks each node has.
    pub parallelism: u32,
    /// What keeps its state.
    pub store: Store,
    /// How often a checkpoint is taken, in milliseconds, to a local folder; written in increments.
    /// `None` = none are.
    pub checkpoint_ms: Option<u64>,
    /// How often it is to fail and to start again from its latest checkpoint.
    pub restarts: u32,
    /// More of the file that is otherwise, each as `--set` has it.
    pub sets: Vec<String>,
    /// How it runs in this process.
    pub embedding: Embedding,
}

/// The two ends of a job: what takes the place of its sources and its one sink, by name.
pub struct Ends {
    /// All its sources.
    pub sources: Vec<(&'static str, Arc<dyn SourceFactory>)>,
    /// Its sink.
    pub sink: (&'static str, Arc<dyn SinkFactory>),
    /// What they tell what they see.
    pub tally: Arc<Tally>,
}

/// What a run came to.
#[derive(Clone, Debug)]
pub struct Measured {
    /// How many rows the source made; all of them, those of the warm-up included.
    pub made: u64,
    /// How many of them were timed: those behind the warm-up.
    pub rows: u64,
    /// How long these took.
    pub passed: Passed,
    /// What reached the sinks, of all rows.
    pub out: Sum,
    /// Completed checkpoints, the last of the job included.
    pub checkpoints: Vec<CheckpointStats>,
    /// Resident memory of this process at the end, in MiB.
    pub rss_mib: f64,
}

/// Runs a job once, until its sources have ended and all its rows are through.
///
/// # Errors
/// Where the job cannot be put together, fails, or never has its warm-up over.
pub fn run(job: &Job, ends: Ends) -> Result<Measured> {
    let folder = tempfile::tempdir().context("making a folder for checkpoints")?;
    let tally = Arc::clone(&ends.tally);
    let deployment = deploy(job, ends, folder.path())?;
    let listener = Arc::new(Listener::default());
    // Held until the job has ended: it is never asked to stop.
    let (_stopper, stop) = watch::channel(false);
    let options = options(job, &deployment, folder.path(), Arc::clone(&listener), stop);
    let report = weir_runtime::run(deployment, options)?;
    if let Outcome::Failed(failed) = &report.outcome {
        return Err(Error::new(format_args!(
            "the job failed: {}",
            failed.failure
        )));
    }
    if !matches!(report.outcome, Outcome::Finished) || report.restarts != job.restarts {
        return Err(Error::new("the job did not run through"));
    }
    let (passed, before) = tally
        .measured()
        .context("the job ended while it warmed up")?;
    let made = tally.rows_made();
    Ok(Measured {
        made,
        rows: made.saturating_sub(before),
        passed,
        out: tally.totals(),
        checkpoints: listener.completed(),
        rss_mib: resident_mib().unwrap_or(f64::NAN),
    })
}

/// Puts the job together as the program does, and gives it other ends.
fn deploy(job: &Job, ends: Ends, folder: &Path) -> Result<Deployment> {
    let local = folder.join("local");
    fs::create_dir_all(&local).with_context(|| format!("making {}", local.display()))?;
    let mut sets = vec![
        format!("parallelism={}", job.parallelism),
        format!("state.backend={}", job.store.name()),
    ];
    if job.store == Store::RocksDb {
        sets.push(format!("state.local-dir={}", serde_json::json!(local)));
    }
    sets.extend(job.sets.iter().cloned());
    let mut deployment = weir_host::deployment(&job.file, &sets, &job.embedding)?;
    if job.native {
        natives::replace(&job.file, &sets, &mut deployment)?;
    }
    let mut left: Vec<String> = deployment.sources.keys().map(ToString::to_string).collect();
    for (name, source) in ends.sources {
        left.retain(|other| other != name);
        let place = deployment
            .sources
            .iter_mut()
            .find(|(node, _)| node.as_str() == name);
        let (_, place) = place.with_context(|| format!("the job has no source `{name}`"))?;
        *place = source;
    }
    if let Some(name) = left.first() {
        return Err(Error::new(format_args!(
            "source `{name}` of the job is given nothing"
        )));
    }
    let (name, sink) = ends.sink;
    match deployment.sinks.iter_mut().next() {
        Some((node, place)) if node.as_str() == name => place.factory = sink,
        Some(_) | None => {
            return Err(Error::new(format_args!("the job has no sink `{name}`")));
        }
    }
    Ok(deployment)
}

fn options(
    job: &Job,
    deployment: &Deployment,
    folder: &Path,
    listener: Arc<Listener>,
    stop: watch::Receiver<bool>,
) -> JobOptions {
    let checkpoints = job.checkpoint_ms.map(|interval| CheckpointOptions {
        config: Config {
            interval_ms: Some(interval),
            incremental: true,
            ..Config::default()
        },
        mode: CheckpointMode::ExactlyOnce,
        store: Arc::new(LocalStore::new(folder)),
        paths: JobPaths::new(&deployment.plan.job),
    });
    let attempts = AtomicU32::new(0);
    JobOptions {
        workers: thread::available_parallelism().map_or(1, usize::from),
        checkpoints,
        restart: Restart::new(match job.restarts {
            0 => RestartStrategy::None,
            attempts => RestartStrategy::FixedDelay {
                attempts: Some(attempts),
                delay_ms: 0,
            },
        }),
        restore: RestoreFrom::Nothing,
        attempts: Box::new(move || Ok(Attempt(attempts.fetch_add(1, Ordering::Relaxed) + 1))),
        clock: Arc::new(SystemClock),
        listener,
        stop,
        commands: mpsc::unbounded_channel().1,
        claims: None,
    }
}

/// The resident memory of this process.
pub(super) fn resident_mib() -> Option<f64> {
    ready::resident().map(|bytes| bytes as f64 / 1024.0 / 1024.0)
}

/// Keeps what is told of checkpoints.
#[derive(Default)]
struct Listener(Mutex<Vec<CheckpointStats>>);

impl Listener {
    fn completed(&self) -> Vec<CheckpointStats> {
        let completed = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        completed.clone()
    }
}

impl JobListener for Listener {
    fn event(&self, event: &JobEvent) {
        if let JobEvent::Checkpoint(stats) = event {
            let mut completed = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            completed.push(*stats);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        decimal::write_decimal,
        peer::{
            drain::{Drain, Kept},
            made::{Made, Stream},
            tally::Begin,
        },
    };

    struct Numbers;

    impl Stream for Numbers {
        fn row_bytes(&self) -> usize {
            4
        }

        fn has_times(&self) -> bool {
            false
        }

        fn row(&self, i: u64, out: &mut Vec<u8>) -> i64 {
            write_decimal(i, out);
            0
        }
    }

    fn job(folder: &Path, parallelism: u32) -> Job {
        let file = folder.join("job.yaml");
        let text = "apiVersion: weir/v1\njob: copy\n\
                    sources: { rows: { connector: socket, address: 'localhost:1', format: csv } }\n\
                    sinks: { out: { connector: stdout, from: rows } }\n";
        fs::write(&file, text).unwrap();
        Job {
            file,
            native: false,
            parallelism,
            store: Store::Heap,
            checkpoint_ms: (parallelism == 2).then_some(1),
            restarts: 0,
            sets: Vec::new(),
            embedding: Embedding::default(),
        }
    }

    #[test]
    fn each_row_is_made_once_and_reaches_the_sink_and_time_counts_behind_the_warm_up() {
        let folder = tempfile::tempdir().unwrap();
        for parallelism in [1, 2, 3] {
            let tally = Arc::new(Tally::new(Begin::Seen(100), parallelism));
            let kept = Arc::new(Kept::default());
            let ends = Ends {
                sources: vec![(
                    "rows",
                    Arc::new(Made::new(Numbers, 20_001, parallelism, Arc::clone(&tally))),
                )],
                sink: ("out", Arc::new(Drain::new(tally.clone(), kept.clone()))),
                tally,
            };
            let measured = run(&job(folder.path(), parallelism), ends).unwrap();
            let mut rows: Vec<u64> = kept
                .take()
                .iter()
                .map(|row| std::str::from_utf8(row).unwrap().parse().unwrap())
                .collect();
            rows.sort_unstable();
            assert!(rows.into_iter().eq(0..20_001));
            assert_eq!((measured.made, measured.out.rows), (20_001, 20_001));
            assert!(measured.rows <= 19_901 && measured.rss_mib > 1.0);
            assert_eq!(measured.checkpoints.is_empty(), parallelism != 2);
        }
    }

    #[test]
    fn ends_that_the_job_does_not_have_or_are_not_given_are_told() {
        let folder = tempfile::tempdir().unwrap();
        let failed = |source: Option<&'static str>, sink| {
            let tally = Arc::new(Tally::new(Begin::Seen(0), 1));
            let made = Arc::new(Made::new(Numbers, 1, 1, Arc::clone(&tally))) as Arc<_>;
            let ends = Ends {
                sources: source
                    .into_iter()
                    .map(|name| (name, Arc::clone(&made)))
                    .collect(),
                sink: (
                    sink,
                    Arc::new(Drain::new(tally.clone(), Arc::new(Kept::default()))),
                ),
                tally,
            };
            run(&job(folder.path(), 1), ends).unwrap_err().to_string()
        };
        assert_eq!(
            failed(Some("rules"), "out"),
            "the job has no source `rules`"
        );
        assert_eq!(
            failed(None, "out"),
            "source `rows` of the job is given nothing"
        );
        assert_eq!(failed(Some("rows"), "dump"), "the job has no sink `dump`");
    }
}
