//! The program with its checkpoints in a bucket of a real server: killed, rescaled, restored,
//! saved, looked at, and left alone with its bucket gone. What it writes in the end is what a run
//! writes that nothing happened to.
//!
//! `./jw test-s3` starts the server. The program is this binary itself, as in `acceptance`. How the
//! server is reached stands in a host file, and who asks in the environment.

use std::{
    fs,
    io::{BufRead, BufReader, Read, Write},
    net::TcpStream,
    path::Path,
    process::{Child, Command, ExitCode, Output, Stdio},
    sync::atomic::{AtomicU32, Ordering},
};

use anyhow::{Context, Result, ensure};
use libtest_mimic::{Arguments, Failed, Trial};
use serde_json::Value;
use tempfile::TempDir;

/// In the environment of a call of this binary that is to be the program.
const AS_PROGRAM: &str = "WEIR_ACCEPTANCE_PROGRAM";
const ROWS: usize = 6000;
/// What a request is signed with.
const SIGNED: &str = "AWS4-HMAC-SHA256 Credential=test/20260101/us-east-1/s3/aws4_request, \
                      SignedHeaders=host, Signature=0";

type Trialled = (&'static str, fn() -> Result<()>);

fn main() -> ExitCode {
    if std::env::var_os(AS_PROGRAM).is_some() {
        return weir_host::main();
    }
    let arguments = Arguments::from_args();
    let trials: [Trialled; 6] = [
        ("killed, rescaled and gone on with", killed),
        ("a savepoint in a bucket is restored and moved", saved),
        ("a savepoint that is claimed goes with the others", claimed),
        (
            "state is looked into and made anew in a bucket",
            looked_into,
        ),
        ("checkpoints in a bucket are deleted", deleted),
        ("a bucket that is gone, and a server that is", gone),
    ];
    let trials = trials.map(|(name, test)| {
        let run = move || test().map_err(|e| Failed::from(format!("{e:#}")));
        Trial::test(name, run)
    });
    libtest_mimic::run(&arguments, trials.into()).exit_code()
}

/// A bucket, and a folder with a job that keeps its checkpoints there.
struct Place {
    folder: TempDir,
    bucket: String,
}

impl Place {
    fn new() -> Result<Self> {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let bucket = format!("weir-{}-{number}", std::process::id());
        let address = server()?;
        http("PUT", &format!("/{bucket}"), b"")?;
        let folder = tempfile::tempdir()?;
        let guests =
            Path::new(env!("CARGO_MANIFEST_DIR")).join("../guest-examples/target/components");
        let job = format!(
            "apiVersion: weir/v1
job: counts
checkpoint: {{ dir: \"s3://{bucket}/jobs\", interval: 50ms, retain: {{ completed: 2 }} }}
restart: {{ strategy: none }}
sources:
  rows: {{ connector: generator, count: {ROWS}, keys: 100, distribution: zipf }}
operators:
  count:
    component: \"{}\"
    inputs: [ {{ from: rows, key: {{ json: /key }} }} ]
sinks:
  out: {{ connector: file, from: count, path: out }}
",
            guests.join("keyed-count.wasm").display(),
        );
        fs::write(folder.path().join("job.yaml"), job)?;
        let host = format!(
            "apiVersion: weir/v1\n\
             storage: {{ s3: {{ endpoint: {address}, region: us-east-1, allow-http: true }} }}\n"
        );
        fs::write(folder.path().join("weir.yaml"), host)?;
        Ok(Self { folder, bucket })
    }

    /// An address in the bucket.
    fn at(&self, path: &str) -> String {
        format!("s3://{}/{path}", self.bucket)
    }

    fn command(&self, arguments: &[&str]) -> Result<Command> {
        let mut command = Command::new(std::env::current_exe()?);
        let cache = Path::new(env!("CARGO_TARGET_TMPDIR")).join("component-cache");
        command
            .args(arguments)
            .current_dir(self.folder.path())
            .env(AS_PROGRAM, "1")
            .env("WEIR_CACHE_DIR", cache)
            .env("WEIR_CONFIG", "weir.yaml")
            // Of this place alone, and of a path that is short enough for sockets.
            .env("XDG_RUNTIME_DIR", self.folder.path())
            .env("AWS_ACCESS_KEY_ID", "test")
            .env("AWS_SECRET_ACCESS_KEY", "test")
            .stdin(Stdio::null());
        for name in [
            "AWS_ENDPOINT_URL_S3",
            "AWS_ENDPOINT_URL",
            "AWS_ALLOW_HTTP",
            "AWS_REGION",
        ] {
            command.env_remove(name);
        }
        Ok(command)
    }

    /// Calls the program, which must end with this code.
    fn call(&self, code: i32, arguments: &[&str]) -> Result<Output> {
        let done = self.command(arguments)?.output()?;
        let told = String::from_utf8_lossy(&done.stderr);
        let text = String::from_utf8_lossy(&done.stdout);
        ensure!(
            done.status.code() == Some(code),
            "{arguments:?}: {}\n{told}{text}",
            done.status
        );
        Ok(done)
    }

    /// What it prints.
    fn text(&self, arguments: &[&str]) -> Result<String> {
        Ok(String::from_utf8(self.call(0, arguments)?.stdout)?)
    }

    fn json(&self, arguments: &[&str]) -> Result<Value> {
        let all: Vec<&str> = arguments
            .iter()
            .copied()
            .chain(["--output", "json"])
            .collect();
        Ok(serde_json::from_str(&self.text(&all)?)?)
    }

    /// Starts the job so that it lasts for a while.
    fn start(&self, sets: &[&str]) -> Result<Running> {
        let mut arguments = vec!["run", "job.yaml", "--set", "sources.rows.rate=2000"];
        arguments.extend(sets.iter().flat_map(|set| ["--set", *set]));
        let mut child = self.command(&arguments)?.stderr(Stdio::piped()).spawn()?;
        let from = child.stderr.take().context("no stderr")?;
        Ok(Running {
            child,
            lines: BufReader::new(from),
        })
    }

    /// All lines of all files in a folder of results, sorted.
    fn results(&self, folder: &str) -> Result<Vec<String>> {
        let mut lines = Vec::new();
        for file in fs::read_dir(self.folder.path().join(folder))? {
            let path = file?.path();
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            if name.starts_with("part-") {
                lines.extend(fs::read_to_string(&path)?.lines().map(str::to_owned));
            }
        }
        lines.sort();
        Ok(lines)
    }

    /// The highest count of each key in a folder of results, whatever came before.
    fn last_counts(&self, folder: &str) -> Result<Vec<(String, u64)>> {
        Ok(highest(&self.results(folder)?))
    }

    /// The names of the objects under a prefix.
    fn objects(&self, prefix: &str) -> Result<Vec<String>> {
        let path = format!("/{}?list-type=2&prefix={prefix}", self.bucket);
        let text = String::from_utf8(http("GET", &path, b"")?)?;
        let keys = text.split("<Key>").skip(1);
        let keys = keys.filter_map(|rest| Some(rest.split_once("</Key>")?.0.to_owned()));
        Ok(keys.collect())
    }
}

/// The highest number behind each `key=`.
fn highest(lines: &[String]) -> Vec<(String, u64)> {
    let mut counts = std::collections::BTreeMap::new();
    for line in lines {
        if let Some((key, count)) = line.rsplit_once('=')
            && let Ok(count) = count.parse::<u64>()
        {
            let held: &mut u64 = counts.entry(key.to_owned()).or_default();
            *held = count.max(*held);
        }
    }
    counts.into_iter().collect()
}

fn server() -> Result<String> {
    std::env::var("WEIR_S3").context("WEIR_S3 is not set: run `./jw test-s3`")
}

/// Asks the server for something, as the job does; gives what it answers. The server looks at who
/// asks, and not at the signature.
fn http(method: &str, path: &str, body: &[u8]) -> Result<Vec<u8>> {
    let address = server()?.replace("http://", "");
    let mut connection = TcpStream::connect(&address)?;
    let length = body.len();
    let head = format!(
        "{method} {path} HTTP/1.1\r\nhost: {address}\r\ncontent-length: {length}\r\n\
         authorization: {SIGNED}\r\nconnection: close\r\n\r\n"
    );
    connection.write_all(head.as_bytes())?;
    connection.write_all(body)?;
    let mut reply = Vec::new();
    connection.read_to_end(&mut reply)?;
    let end = reply.windows(4).position(|four| four == b"\r\n\r\n");
    let end = end.context("an answer without an end of its head")?;
    let head = String::from_utf8_lossy(&reply[..end]);
    ensure!(head.starts_with("HTTP/1.1 2"), "{method} {path}: {head}");
    ensure!(!head.contains("chunked"), "{method} {path}: in chunks");
    Ok(reply[end + 4..].to_vec())
}

/// A job that runs.
struct Running {
    child: Child,
    lines: BufReader<std::process::ChildStderr>,
}

impl Running {
    /// Reads what it prints until a line holds this, and gives that line.
    fn line(&mut self, what: &str) -> Result<String> {
        let (mut line, mut before) = (String::new(), String::new());
        loop {
            line.clear();
            let read = self.lines.read_line(&mut line)?;
            ensure!(read > 0, "it ended before `{what}`:\n{before}");
            if line.contains(what) {
                return Ok(line);
            }
            before.push_str(&line);
        }
    }

    fn checkpoints(&mut self, number: u32) -> Result<()> {
        (0..number).try_for_each(|_| self.line(": checkpoint ").map(drop))
    }

    fn kill(mut self) -> Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }

    /// Reads all that it prints and waits for its end.
    fn wait(mut self) -> Result<(i32, String)> {
        let mut text = String::new();
        self.lines.read_to_string(&mut text)?;
        Ok((self.child.wait()?.code().unwrap_or(-1), text))
    }
}

/// What a run that nothing happens to leaves, with its checkpoints in a folder.
fn undisturbed() -> Result<Vec<String>> {
    let place = Place::new()?;
    place.call(0, &["run", "job.yaml", "--set", "checkpoint.dir=saved"])?;
    let rows = place.results("out")?;
    ensure!(rows.len() == ROWS, "{} rows", rows.len());
    Ok(rows)
}

fn killed() -> Result<()> {
    let expected = undisturbed()?;
    for backend in ["heap", "rocksdb"] {
        let place = Place::new()?;
        let state = format!("state.backend={backend}");
        for (parallelism, incremental) in [(2, true), (3, true), (1, false)] {
            let sets = [
                format!("parallelism={parallelism}"),
                format!("checkpoint.incremental={incremental}"),
                state.clone(),
            ];
            let sets: Vec<&str> = sets.iter().map(String::as_str).collect();
            let mut running = place.start(&sets)?;
            running.checkpoints(2)?;
            running.kill()?;
        }
        let jobs = place.at("jobs");
        let listed = place.text(&["checkpoints", "list", &jobs])?;
        ensure!(listed.contains("the job goes on from it"), "{listed}");
        ensure!(place.text(&["checkpoints", "list", "job.yaml"])? == listed);
        place.call(0, &["checkpoints", "verify", &jobs])?;
        let done = place.call(0, &["run", "job.yaml", "--set", &state])?;
        let told = String::from_utf8_lossy(&done.stderr);
        ensure!(told.contains("restoring from checkpoint"), "{told}");
        ensure!(
            place.results("out")? == expected,
            "{backend}: results differ"
        );
        let again = place.call(0, &["run", "job.yaml", "--set", &state])?;
        let told = String::from_utf8_lossy(&again.stderr);
        ensure!(told.contains("finished"), "{told}");
    }
    Ok(())
}

/// The path that a verb that makes a savepoint prints.
fn path_of(answer: &Value, key: &str) -> Result<String> {
    let path = answer[key].as_str().context("no path")?;
    Ok(path.to_owned())
}

fn saved() -> Result<()> {
    let expected = highest(&undisturbed()?);
    let place = Place::new()?;
    let mut running = place.start(&[])?;
    running.checkpoints(1)?;
    let to = place.at("savepoints");
    let path = path_of(&place.json(&["savepoint", "counts", "--to", &to])?, "path")?;
    ensure!(path.starts_with(&to), "{path}");
    running.kill()?;
    place.call(0, &["checkpoints", "verify", &path])?;
    let check = place.text(&["check", "job.yaml", "--from", &path])?;
    ensure!(check.contains("goes on"), "{check}");
    // All that it needs is in its folder: copied elsewhere it is as good.
    let old = path.replace(&format!("s3://{}/", place.bucket), "");
    for object in place.objects(&format!("{old}/"))? {
        let bytes = http("GET", &format!("/{}/{object}", place.bucket), b"")?;
        let moved = object.replace(&old, "elsewhere/copy");
        http("PUT", &format!("/{}/{moved}", place.bucket), &bytes)?;
    }
    for (from, out) in [
        (path, "first"),
        (place.at("elsewhere/copy/_metadata"), "second"),
    ] {
        let dir = format!("checkpoint.dir={}", place.at(out));
        let results = format!("sinks.out.path={out}");
        let arguments = [
            "run",
            "job.yaml",
            "--restore",
            &from,
            "--set",
            &dir,
            "--set",
            &results,
            "--set",
            "parallelism=2",
        ];
        place.call(0, &arguments)?;
        ensure!(place.last_counts(out)? == expected, "{out}: counts differ");
    }
    Ok(())
}

fn claimed() -> Result<()> {
    let expected = highest(&undisturbed()?);
    let place = Place::new()?;
    let savepoint_dir = format!("checkpoint.savepoint-dir={}", place.at("usual"));
    let mut running = place.start(&[&savepoint_dir])?;
    running.checkpoints(1)?;
    let stopped = place.json(&["stop", "counts", "--savepoint"])?;
    let path = path_of(&stopped, "savepoint")?;
    let (code, told) = running.wait()?;
    ensure!(code == 0, "{told}");
    ensure!(path.starts_with(&place.at("usual/")), "{path}");
    let mine = format!("checkpoint.dir={}", place.at("mine"));
    let arguments = [
        "run",
        "job.yaml",
        "--restore",
        &path,
        "--claim",
        "--set",
        &mine,
        "--set",
        "sinks.out.on-existing=append",
        "--set",
        "sources.rows.rate=4000",
    ];
    place.call(0, &arguments)?;
    ensure!(place.last_counts("out")? == expected, "counts differ");
    let left = place.objects("usual/")?;
    ensure!(
        left.is_empty(),
        "the claimed savepoint is still there: {left:?}"
    );
    Ok(())
}

fn looked_into() -> Result<()> {
    let place = Place::new()?;
    let mut running = place.start(&["checkpoint.retain.completed=3"])?;
    running.checkpoints(4)?;
    running.kill()?;
    let jobs = place.at("jobs/counts");
    let listed = place.json(&["checkpoints", "list", &jobs])?;
    let all = listed["jobs"][0]["checkpoints"]
        .as_array()
        .context("none")?;
    let complete: Vec<String> = all
        .iter()
        .filter(|one| one["state"] == "complete")
        .filter_map(|one| one["path"].as_str().map(str::to_owned))
        .collect();
    let [first, .., last] = complete.as_slice() else {
        anyhow::bail!("{listed}")
    };
    let inspected = place.text(&["checkpoints", "inspect", last])?;
    ensure!(inspected.contains(last.as_str()), "{inspected}");
    let states = place.text(&["state", "ls", last])?;
    ensure!(states.contains("count"), "{states}");
    let diff = place.json(&["state", "diff", first, last])?;
    ensure!(diff["errors"] == serde_json::json!([]), "{diff}");
    let rows = place.text(&["state", "export", last])?;
    fs::write(place.folder.path().join("rows.jsonl"), &rows)?;
    let made = place.at("made/by-import");
    place.call(0, &["state", "import", "rows.jsonl", "--to", &made])?;
    let same = |a: &str, b: &str| {
        let rows = |text: &str| text.lines().skip(1).map(str::to_owned).collect::<Vec<_>>();
        rows(a) == rows(b)
    };
    ensure!(same(&place.text(&["state", "export", &made])?, &rows));
    // A place that is taken is not written over.
    let again = place.call(2, &["state", "import", "rows.jsonl", "--to", &made])?;
    let told = String::from_utf8_lossy(&again.stderr);
    ensure!(told.contains("not empty"), "{told}");
    let wider = place.at("made/wider");
    let rekey = [
        "state",
        "rekey",
        &made,
        "--max-parallelism",
        "512",
        "--to",
        &wider,
    ];
    place.call(0, &rekey)?;
    place.call(0, &["checkpoints", "verify", &wider])?;
    let nothing = place.call(2, &["state", "ls", &place.at("made/nothing")])?;
    let told = String::from_utf8_lossy(&nothing.stderr);
    ensure!(
        told.contains("W0002") && told.contains("made/nothing"),
        "{told}"
    );
    Ok(())
}

fn deleted() -> Result<()> {
    let place = Place::new()?;
    let mut running = place.start(&["checkpoint.retain.completed=3"])?;
    running.checkpoints(4)?;
    let folder = place.at("jobs/counts");
    let refused = place.call(1, &["checkpoints", "delete", &folder, "--keep", "1"])?;
    let told = String::from_utf8_lossy(&refused.stderr);
    ensure!(
        told.contains("W0003") && told.contains("nothing was deleted"),
        "{told}"
    );
    running.kill()?;
    let before = place.objects("jobs/")?;
    let dry = place.json(&["checkpoints", "delete", &folder, "--keep", "1", "--dry-run"])?;
    ensure!(
        dry["dry_run"] == true && place.objects("jobs/")? == before,
        "{dry}"
    );
    let done = place.json(&["checkpoints", "delete", &folder, "--keep", "1"])?;
    ensure!(
        done["deleted"] == dry["deleted"] && done["files"] == dry["files"],
        "{done}"
    );
    place.call(0, &["checkpoints", "verify", &folder])?;
    place.call(0, &["run", "job.yaml"])?;
    ensure!(place.results("out")? == undisturbed()?, "results differ");
    Ok(())
}

fn gone() -> Result<()> {
    let place = Place::new()?;
    let sets = [
        "checkpoint.tolerable-failures=1000",
        // Meanwhile the bucket goes: in the middle of that the job would find itself taken over.
        "checkpoint.interval=3s",
        "sources.rows.rate=100",
    ];
    let mut running = place.start(&sets)?;
    running.checkpoints(1)?;
    let began = std::time::Instant::now();
    loop {
        for object in place.objects("")? {
            http("DELETE", &format!("/{}/{object}", place.bucket), b"")?;
        }
        if http("DELETE", &format!("/{}", place.bucket), b"").is_ok() {
            break;
        }
        ensure!(began.elapsed().as_secs() < 60, "the bucket is never empty");
    }
    let line = running.line("W0131")?;
    ensure!(line.contains(&place.bucket), "{line}");
    // The job goes on: it is asked, and has no more than failed checkpoints.
    let status = place.json(&["status", "counts"])?;
    ensure!(status["state"] == "running", "{status}");
    let last = status["checkpoints"]["last_failure"].as_str();
    ensure!(last.is_some_and(|last| last.contains("W0131")), "{status}");
    let refused = place.call(1, &["savepoint", "counts", "--to", &place.at("savepoints")])?;
    let told = String::from_utf8_lossy(&refused.stderr);
    ensure!(told.contains("W0131"), "{told}");
    place.call(0, &["cancel", "counts"])?;
    running.wait()?;
    // Whoever starts now, or looks, is told the same.
    for arguments in [
        vec!["run", "job.yaml"],
        vec!["checkpoints", "list", "job.yaml"],
        vec!["checkpoints", "verify", &place.at("jobs")],
        vec![
            "run",
            "job.yaml",
            "--restore",
            &place.at("jobs/counts/chk-1"),
        ],
    ] {
        let done = place.call(1, &arguments)?;
        let told = String::from_utf8_lossy(&done.stderr);
        ensure!(told.contains("W0131"), "{arguments:?}: {told}");
    }
    let nobody = "apiVersion: weir/v1\nstorage: { s3: { endpoint: http://127.0.0.1:1, \
                  allow-http: true } }\n";
    fs::write(place.folder.path().join("weir.yaml"), nobody)?;
    let done = place.call(1, &["checkpoints", "list", "job.yaml"])?;
    let told = String::from_utf8_lossy(&done.stderr);
    ensure!(
        told.contains("W0133") && told.contains("127.0.0.1:1"),
        "{told}"
    );
    fs::write(
        place.folder.path().join("weir.yaml"),
        nobody.replace("allow-http", "alow-http"),
    )?;
    let done = place.call(2, &["checkpoints", "list", "job.yaml"])?;
    let told = String::from_utf8_lossy(&done.stderr);
    ensure!(told.contains("W0204"), "{told}");
    Ok(())
}
