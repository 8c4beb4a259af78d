//! The program with a PostgreSQL sink on a real server, killed at seeded moments: in the middle of
//! an epoch, between `PREPARE` and `COMMIT PREPARED`, between the metadata and the write of a log.
//! What is in the table in the end is what a run that nothing happened to leaves there.
//!
//! `./jw test-postgres` starts the server. The program is this binary itself, as in `acceptance`.

use std::{
    fs,
    io::{BufRead, BufReader},
    path::Path,
    process::{Child, Command, ExitCode, Stdio},
    sync::atomic::{AtomicU32, Ordering},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};
use libtest_mimic::{Arguments, Failed, Trial};
use tempfile::TempDir;
use tokio::runtime::{Builder, Runtime};
use tokio_postgres::{Client, NoTls, SimpleQueryMessage};

/// In the environment of a call of this binary that is to be the program.
const AS_PROGRAM: &str = "WEIR_ACCEPTANCE_PROGRAM";
/// Holds the password that the job needs.
const PASSWORD: &str = "WEIR_TEST_PASSWORD";
/// Nothing that is waited for takes so long.
const PATIENCE: Duration = Duration::from_secs(60);
const ROWS: usize = 6000;

type Trialled = (String, fn(&'static str) -> Result<()>, &'static str);

fn main() -> ExitCode {
    if std::env::var_os(AS_PROGRAM).is_some() {
        return weir_host::main();
    }
    let arguments = Arguments::from_args();
    let mut trials: Vec<Trialled> = Vec::new();
    for way in ["two-phase-commit", "write-ahead-log"] {
        trials.push((format!("{way}: killed at any moment"), killed, way));
        trials.push((
            format!("{way}: a job is not begun anew over results"),
            anew,
            way,
        ));
    }
    trials.push((
        "killed between PREPARE and COMMIT PREPARED".into(),
        prepared,
        "two-phase-commit",
    ));
    trials.push((
        "killed between the metadata and the write".into(),
        logged,
        "write-ahead-log",
    ));
    trials.push((
        "a transaction that is gone".into(),
        lost,
        "two-phase-commit",
    ));
    trials.push((
        "a log that grows beyond its size".into(),
        too_large,
        "write-ahead-log",
    ));
    trials.push(("what is guaranteed is told".into(), told, ""));
    let trials = trials.into_iter().map(|(name, test, way)| {
        let run = move || test(way).map_err(|e| Failed::from(format!("{e:#}")));
        Trial::test(name, run)
    });
    libtest_mimic::run(&arguments, trials.collect()).exit_code()
}

/// A database, and a folder with a job that writes into it.
struct Place {
    folder: TempDir,
    runtime: Runtime,
    client: Client,
    server: String,
    database: String,
}

impl Place {
    fn new(way: &str) -> Result<Self> {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let database = format!("program_{}_{number}", std::process::id());
        let server = std::env::var("WEIR_POSTGRES")
            .context("WEIR_POSTGRES is not set: run `./jw test-postgres`")?;
        let runtime = Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()?;
        let admin = open(&runtime, &server, "postgres")?;
        runtime.block_on(admin.batch_execute(&format!("CREATE DATABASE {database}")))?;
        let client = open(&runtime, &server, &database)?;
        let place = Self {
            folder: tempfile::tempdir()?,
            runtime,
            client,
            server,
            database,
        };
        place.run_sql(&format!(
            "CREATE TABLE counts (line text NOT NULL);
             CREATE ROLE {0} LOGIN PASSWORD 'it is secret' IN ROLE secret;
             ALTER SCHEMA public OWNER TO {0}; ALTER TABLE counts OWNER TO {0}",
            place.database
        ))?;
        let how = match way {
            "" => String::new(),
            way => format!("    guarantee: exactly-once\n    by: {way}\n"),
        };
        let guests =
            Path::new(env!("CARGO_MANIFEST_DIR")).join("../guest-examples/target/components");
        let job = format!(
            "apiVersion: weir/v1
job: counts
checkpoint: {{ dir: checkpoints, interval: 30ms }}
restart: {{ strategy: none }}
sources:
  rows: {{ connector: generator, count: {ROWS}, keys: 100, distribution: zipf }}
operators:
  count:
    component: \"{}\"
    inputs: [ {{ from: rows, key: {{ json: /key }} }} ]
sinks:
  out:
    connector: postgres
    from: count
    host: \"{}\"
    user: {database}
    database: {database}
    password-env: {PASSWORD}
    table: counts
    columns: {{ line: row }}
{how}",
            guests.join("keyed-count.wasm").display(),
            place.server,
            database = place.database,
        );
        fs::write(place.folder.path().join("job.yaml"), job)?;
        Ok(place)
    }

    fn run_sql(&self, sql: &str) -> Result<()> {
        let done = self.runtime.block_on(self.client.batch_execute(sql));
        done.with_context(|| sql.to_owned())
    }

    fn rows(&self, sql: &str) -> Result<Vec<String>> {
        let rows = self.runtime.block_on(self.client.simple_query(sql));
        let row = |message| match message {
            SimpleQueryMessage::Row(row) => Some(row.get(0).unwrap_or("null").to_owned()),
            _ => None,
        };
        Ok(rows
            .context("a query")?
            .into_iter()
            .filter_map(row)
            .collect())
    }

    /// What is in the table, sorted.
    fn table(&self) -> Result<Vec<String>> {
        let mut rows = self.rows("SELECT line FROM counts")?;
        rows.sort();
        Ok(rows)
    }

    fn prepared(&self) -> Result<Vec<String>> {
        self.rows("SELECT gid FROM pg_prepared_xacts WHERE database = current_database()")
    }

    fn command(&self, arguments: &[&str]) -> Result<Command> {
        let mut command = Command::new(std::env::current_exe()?);
        let cache = Path::new(env!("CARGO_TARGET_TMPDIR")).join("component-cache");
        command
            .args(arguments)
            .current_dir(self.folder.path())
            .env(AS_PROGRAM, "1")
            .env("WEIR_CACHE_DIR", cache)
            .env(PASSWORD, "it is secret")
            .stdin(Stdio::null());
        Ok(command)
    }

    /// Runs the job to its end.
    fn finish(&self, parallelism: u32) -> Result<()> {
        let set = format!("parallelism={parallelism}");
        let done = self
            .command(&["run", "job.yaml", "--set", &set])?
            .output()?;
        let text = String::from_utf8_lossy(&done.stderr).into_owned();
        ensure!(
            !text.contains("it is secret"),
            "the password is shown:\n{text}"
        );
        ensure!(done.status.success(), "{}\n{text}", done.status);
        ensure!(self.prepared()?.is_empty(), "left: {:?}", self.prepared()?);
        Ok(())
    }

    /// Starts the job so that it lasts for a while.
    fn start(&self, parallelism: u32) -> Result<Running> {
        let set = format!("parallelism={parallelism}");
        let arguments = [
            "run",
            "job.yaml",
            "--set",
            &set,
            "--set",
            "sources.rows.rate=6000",
        ];
        let mut child = self.command(&arguments)?.stderr(Stdio::piped()).spawn()?;
        let from = child.stderr.take().context("no stderr")?;
        Ok(Running {
            child,
            lines: BufReader::new(from),
        })
    }
}

fn open(runtime: &Runtime, server: &str, database: &str) -> Result<Client> {
    let mut config = tokio_postgres::Config::new();
    config.host(server).user("weir").dbname(database);
    runtime.block_on(async {
        let (client, connection) = config.connect(NoTls).await?;
        tokio::spawn(connection);
        Ok(client)
    })
}

/// A job that runs.
struct Running {
    child: Child,
    lines: BufReader<std::process::ChildStderr>,
}

impl Running {
    /// Reads what it prints until it has completed so many checkpoints; whether it has ended
    /// before.
    fn checkpoints(&mut self, number: u32) -> Result<bool> {
        let (mut seen, mut line) = (0, String::new());
        while seen < number {
            line.clear();
            if self.lines.read_line(&mut line)? == 0 {
                return Ok(true);
            }
            seen += u32::from(line.contains(": checkpoint "));
        }
        Ok(false)
    }

    fn kill(mut self) -> Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }
}

/// Looks until something holds.
fn until(what: &str, mut holds: impl FnMut() -> Result<bool>) -> Result<()> {
    let began = Instant::now();
    while !holds()? {
        ensure!(began.elapsed() < PATIENCE, "still not: {what}");
    }
    Ok(())
}

/// What a run that nothing happens to leaves.
fn undisturbed(way: &str) -> Result<Vec<String>> {
    let place = Place::new(way)?;
    place.finish(2)?;
    let rows = place.table()?;
    ensure!(rows.len() == ROWS, "{} rows", rows.len());
    Ok(rows)
}

/// Numbers that look random, the same for the same seed.
fn next(seed: &mut u64) -> u64 {
    *seed ^= *seed << 13;
    *seed ^= *seed >> 7;
    *seed ^= *seed << 17;
    *seed
}

fn killed(way: &'static str) -> Result<()> {
    let expected = undisturbed(way)?;
    for first in 1..=2u64 {
        let mut seed = first.wrapping_mul(0x9E37_79B9_7F4A_7C15);
        let place = Place::new(way)?;
        for _ in 0..5 {
            let mut running = place.start(1 + (next(&mut seed) % 3) as u32)?;
            let moment = next(&mut seed);
            match moment % 3 {
                // Just behind a checkpoint, before or after its commit.
                0 => drop(running.checkpoints(1 + (moment % 4) as u32)?),
                // When some rows more are visible, wherever it is then.
                1 => {
                    let seen = place.table()?.len();
                    let more = seen + (moment % 400) as usize;
                    until("more rows are visible", || {
                        Ok(place.table()?.len() > more || running.child.try_wait()?.is_some())
                    })?;
                }
                // In the middle of an epoch or of a start.
                _ => {
                    let sessions = "SELECT pid FROM pg_stat_activity WHERE datname = \
                                    current_database() AND application_name = 'weir:counts:out'";
                    let many = (moment % 3) as usize + 1;
                    until("the job is connected", || {
                        let over = running.child.try_wait()?.is_some();
                        Ok(place.rows(sessions)?.len() >= many || over)
                    })?;
                }
            }
            running.kill()?;
        }
        place.finish(2)?;
        ensure!(
            place.table()? == expected,
            "seed {first}: the table differs"
        );
    }
    Ok(())
}

fn prepared(way: &'static str) -> Result<()> {
    let expected = undisturbed(way)?;
    let place = Place::new(way)?;
    let mut caught = 0;
    for _ in 0..4 {
        let mut running = place.start(2)?;
        until("something is prepared", || {
            Ok(!place.prepared()?.is_empty() || running.child.try_wait()?.is_some())
        })?;
        running.kill()?;
        caught += place.prepared()?.len();
    }
    ensure!(caught > 0, "nothing was ever prepared when the job died");
    place.finish(3)?;
    ensure!(place.table()? == expected, "the table differs");
    Ok(())
}

fn logged(way: &'static str) -> Result<()> {
    let expected = undisturbed(way)?;
    let place = Place::new(way)?;
    for round in 0..3u32 {
        let mut running = place.start(1 + round)?;
        running.checkpoints(1)?;
        if round > 0 {
            // The mark cannot be set, so the write hangs; the checkpoint is complete before. What
            // the process before had left is written already: this one has completed one.
            place.run_sql("BEGIN; LOCK TABLE weir_commits IN SHARE MODE")?;
            let before = place.table()?.len();
            let waiting = "SELECT pid FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND \
                           datname = current_database()";
            until("a log is being written", || {
                Ok(!place.rows(waiting)?.is_empty() || running.child.try_wait()?.is_some())
            })?;
            ensure!(place.table()?.len() == before, "rows without their mark");
        }
        running.kill()?;
        if round > 0 {
            place.run_sql("COMMIT")?;
        }
    }
    place.finish(2)?;
    ensure!(place.table()? == expected, "the table differs");
    Ok(())
}

fn anew(way: &'static str) -> Result<()> {
    let place = Place::new(way)?;
    place.finish(1)?;
    fs::remove_dir_all(place.folder.path().join("checkpoints"))?;
    let done = place.command(&["run", "job.yaml"])?.output()?;
    let text = String::from_utf8_lossy(&done.stderr).into_owned();
    ensure!(!done.status.success() && text.contains("W0109"), "{text}");
    let replace = ["run", "job.yaml", "--set", "sinks.out.on-existing=replace"];
    let done = place.command(&replace)?.output()?;
    let text = String::from_utf8_lossy(&done.stderr).into_owned();
    ensure!(done.status.success(), "{text}");
    ensure!(
        place.table()?.len() == ROWS,
        "{} rows",
        place.table()?.len()
    );
    Ok(())
}

fn too_large(way: &'static str) -> Result<()> {
    let place = Place::new(way)?;
    // No checkpoint empties the log before it is full.
    let sets = ["sinks.out.log-size=1KiB", "checkpoint.interval=1h"];
    let sets = sets.iter().flat_map(|set| ["--set", *set]);
    let arguments: Vec<&str> = ["run", "job.yaml"].into_iter().chain(sets).collect();
    let done = place.command(&arguments)?.output()?;
    let text = String::from_utf8_lossy(&done.stderr).into_owned();
    ensure!(!done.status.success(), "{text}");
    ensure!(text.contains("log-size"), "{text}");
    ensure!(place.table()?.is_empty(), "rows of no checkpoint");
    place.finish(1)?;
    ensure!(
        place.table()?.len() == ROWS,
        "{} rows",
        place.table()?.len()
    );
    Ok(())
}

fn lost(way: &'static str) -> Result<()> {
    let place = Place::new(way)?;
    let mut gid = None;
    // The job dies between its checkpoint and the commit, and somebody rolls back what it left.
    for _ in 0..20 {
        let mut running = place.start(1)?;
        running.checkpoints(1)?;
        running.kill()?;
        if let Some(left) = place.prepared()?.first() {
            gid = Some(left.clone());
            break;
        }
    }
    let Some(gid) = gid else {
        bail!("nothing was prepared when the job died")
    };
    place.run_sql(&format!("ROLLBACK PREPARED '{gid}'"))?;
    let done = place.command(&["run", "job.yaml"])?.output()?;
    let text = String::from_utf8_lossy(&done.stderr).into_owned();
    if done.status.success() {
        // It belonged to no checkpoint: then nothing was lost with it.
        ensure!(
            place.table()?.len() == ROWS,
            "{} rows",
            place.table()?.len()
        );
        return Ok(());
    }
    ensure!(text.contains("W0152") && text.contains(&gid), "{text}");
    let options = "sinks.out.transaction-timeout=0s";
    let ignore = "sinks.out.ignore-commit-errors-after-timeout=true";
    let goes_on = ["run", "job.yaml", "--set", options, "--set", ignore];
    let done = place.command(&goes_on)?.output()?;
    let text = String::from_utf8_lossy(&done.stderr).into_owned();
    ensure!(
        done.status.success() && text.contains("timed out and is lost"),
        "{text}"
    );
    ensure!(place.table()?.len() < ROWS, "nothing is missing");
    Ok(())
}

fn told(way: &'static str) -> Result<()> {
    let place = Place::new(way)?;
    for (sets, line) in [
        (vec![], "at-least-once  not transactional"),
        (
            vec!["sinks.out.upsert={keys: [line]}"],
            "effectively-once idempotent",
        ),
        (
            vec!["sinks.out.by=two-phase-commit"],
            "exactly-once   transactional",
        ),
        (
            vec!["sinks.out.by=write-ahead-log"],
            "exactly-once   write-ahead log",
        ),
    ] {
        let mut arguments = vec!["check", "job.yaml"];
        for set in &sets {
            arguments.extend(["--set", set]);
        }
        let done = place.command(&arguments)?.output()?;
        let text = String::from_utf8_lossy(&done.stdout).into_owned();
        ensure!(text.contains(line), "{sets:?}: {text}");
        ensure!(!text.contains("secret"), "{text}");
    }
    Ok(())
}
