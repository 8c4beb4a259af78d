//! Asks a running job: finds its socket, and speaks with whoever serves it.

use std::{
    io,
    path::{Path, PathBuf},
    time::Duration,
};

use http_body_util::{BodyExt, Full, Limited};
use hyper::{Method, Request, StatusCode, body::Bytes, client::conn::http1};
use hyper_util::rt::TokioIo;
use serde::{Serialize, de::DeserializeOwned};
use tokio::{net::UnixStream, runtime::Builder, time::timeout};

use super::{
    folder::{self, FolderError},
    protocol::{Jobs, Named, Problem, Problems},
};

/// The most bytes of an answer.
const MAX_ANSWER: usize = 16 << 20;
/// How long a process may take to say which job it runs.
const PATIENCE: Duration = Duration::from_secs(10);

/// The code of a job that is not running.
pub(crate) const NOT_RUNNING: &str = "W0011";
/// The code of a name that several jobs have.
const SEVERAL: &str = "W0012";
/// The code of a socket that cannot be used.
const NO_SOCKET: &str = "W0016";

/// What to do about a job that does not answer.
pub(crate) const HELD: &str = "a process that is held (`kill -STOP`) or cannot get on does not \
                               answer: look at it with `ps`, and try again";

/// A job that runs somewhere on this machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Job {
    pub(crate) named: Named,
    socket: PathBuf,
}

/// Why there is no answer.
#[derive(Debug)]
pub(crate) struct AskError {
    pub(crate) code: String,
    pub(crate) message: String,
    pub(crate) help: Option<String>,
    /// Whether it is about what the user wrote.
    pub(crate) usage: bool,
}

/// The jobs with a socket in a folder: those of this user that run on this machine.
#[derive(Debug)]
pub(crate) struct Running {
    pub(crate) jobs: Vec<Job>,
    /// Those that do not say what they are, such as a process that is held: which each is, and why.
    pub(crate) silent: Vec<String>,
}

/// All jobs with a socket in that folder.
///
/// # Errors
/// Where the sockets cannot be looked at.
pub(crate) fn running(folder: &Path) -> Result<Running, AskError> {
    let sockets = folder::sockets(folder).map_err(unusable)?;
    let (mut jobs, mut silent) = (Vec::new(), Vec::new());
    for socket in sockets {
        let seen = folder::inode(&socket);
        match call::<Jobs>(&socket, Method::GET, "/v1/jobs", None, Some(PATIENCE)) {
            Ok(answer) => jobs.extend(answer.jobs.into_iter().map(|named| Job {
                named,
                socket: socket.clone(),
            })),
            Err(CallError::Dead) => {
                if let Some(seen) = seen {
                    folder::sweep(&socket, seen);
                }
            }
            // Another one is not hidden by it.
            Err(CallError::Broken(why)) => silent.push(why),
            Err(CallError::Refused(_, problem)) => silent.push(problem.message),
        }
    }
    jobs.sort_by(|a, b| (&a.named.job, &a.named.dir).cmp(&(&b.named.job, &b.named.dir)));
    Ok(Running { jobs, silent })
}

/// Which of the jobs of one name; what is `None` says nothing.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Which<'a> {
    /// Its checkpoint directory.
    pub(crate) dir: Option<&'a str>,
    /// Its process.
    pub(crate) pid: Option<u32>,
}

/// The job of that name, the one that is meant where that is said.
///
/// # Errors
/// Where there is none, or there are several.
pub(crate) fn find(folder: &Path, name: &str, which: Which<'_>) -> Result<Job, AskError> {
    let Running { jobs: all, silent } = running(folder)?;
    let Which { dir, pid } = which;
    let shown = |jobs: &[Job]| {
        let one = |job: &Job| {
            let Named { job, dir, pid } = &job.named;
            match dir {
                Some(dir) => format!("`{job}` in {dir} (process {pid})"),
                None => format!("`{job}` without checkpoints (process {pid})"),
            }
        };
        jobs.iter().map(one).collect::<Vec<_>>().join(", ")
    };
    let is_meant = |job: &&Job| {
        let same_dir = |dir: &str| job.named.dir.as_deref() == Some(dir);
        let same_pid = |pid: u32| job.named.pid == pid;
        job.named.job == name && dir.is_none_or(same_dir) && pid.is_none_or(same_pid)
    };
    let mut meant: Vec<Job> = all.iter().filter(is_meant).cloned().collect();
    if meant.len() > 1 {
        return Err(AskError {
            code: SEVERAL.to_owned(),
            message: format!("several jobs `{name}` are running: {}", shown(&meant)),
            help: Some(
                "say which with `--dir`, its checkpoint directory, or `--pid`, its process"
                    .to_owned(),
            ),
            usage: true,
        });
    }
    meant.pop().ok_or_else(|| {
        let place = dir.map(|dir| format!(" in {dir}")).unwrap_or_default();
        let process = pid.map(|pid| format!(" as process {pid}"));
        let process = process.unwrap_or_default();
        let help = match all.is_empty() {
            true => "no job of yours is running on this machine".to_owned(),
            false => format!("running: {}", shown(&all)),
        };
        if !silent.is_empty() {
            return AskError {
                code: NO_SOCKET.to_owned(),
                message: format!(
                    "it is not known whether job `{name}` is running{place}{process}: {}",
                    silent.join("; ")
                ),
                help: Some(HELD.to_owned()),
                usage: false,
            };
        }
        AskError {
            code: NOT_RUNNING.to_owned(),
            message: format!("no job `{name}` is running{place}{process}"),
            help: Some(help),
            usage: true,
        }
    })
}

/// Asks a job; what `below` says is asked of it. Waits as long as it takes.
///
/// # Errors
/// What the job says, or that it cannot be spoken with.
pub(crate) fn ask<T: DeserializeOwned>(
    job: &Job,
    method: Method,
    below: &str,
    body: Option<&dyn ErasedBody>,
) -> Result<T, AskError> {
    let path = format!("/v1/jobs/{}{below}", job.named.job);
    let body = body.map(ErasedBody::text);
    call(&job.socket, method, &path, body, None).map_err(|error| match error {
        CallError::Refused(status, problem) => AskError {
            usage: status == StatusCode::BAD_REQUEST,
            code: problem.code,
            message: format!("{}: {}", job.named.job, problem.message),
            help: problem.help,
        },
        CallError::Dead => broken(&job.named.job, "its process has ended"),
        CallError::Broken(why) => broken(&job.named.job, &why),
    })
}

/// What can be sent.
pub(crate) trait ErasedBody {
    /// As JSON.
    fn text(&self) -> String;
}

impl<T: Serialize> ErasedBody for T {
    fn text(&self) -> String {
        // Plain values: they cannot fail to be JSON.
        serde_json::to_string(self).unwrap_or_default()
    }
}

fn broken(job: &str, why: &str) -> AskError {
    AskError {
        code: NO_SOCKET.to_owned(),
        message: format!("{job}: no answer: {why}"),
        help: Some("`weir status` shows what is running".to_owned()),
        usage: false,
    }
}

fn unusable(error: FolderError) -> AskError {
    AskError {
        code: NO_SOCKET.to_owned(),
        message: format!("running jobs cannot be looked for: {error}"),
        help: None,
        usage: false,
    }
}

/// Why a call came to nothing.
enum CallError {
    /// Nobody listens there any more.
    Dead,
    /// The answer was that something is wrong, and what.
    Refused(StatusCode, Problem),
    /// There was no answer, or none that makes sense.
    Broken(String),
}

/// One request and its answer.
fn call<T: DeserializeOwned>(
    socket: &Path,
    method: Method,
    path: &str,
    body: Option<String>,
    patience: Option<Duration>,
) -> Result<T, CallError> {
    let broken = |error: &dyn std::fmt::Display| CallError::Broken(error.to_string());
    let runtime = Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| broken(&error))?;
    let (status, answer) = runtime.block_on(async {
        let stream = connect(socket).await?;
        let owner = stream.peer_cred().ok().and_then(|owner| owner.pid());
        let exchange = exchange(stream, method, path, body);
        let answer = match patience {
            None => exchange.await,
            Some(patience) => match timeout(patience, exchange).await {
                Ok(answer) => answer,
                Err(_) => Err(format!("nothing within {patience:?}")),
            },
        };
        let whose = owner
            .map(|pid| format!("process {pid}: "))
            .unwrap_or_default();
        answer.map_err(|why| CallError::Broken(format!("{whose}{why}")))
    })?;
    if status.is_success() {
        return serde_json::from_slice(&answer).map_err(|error| broken(&error));
    }
    let problems = serde_json::from_slice::<Problems>(&answer);
    let problems = problems.map_err(|error| broken(&error))?;
    let first = problems.errors.into_iter().next();
    Err(first.map_or_else(
        || broken(&"an error without words"),
        |problem| CallError::Refused(status, problem),
    ))
}

async fn connect(socket: &Path) -> Result<UnixStream, CallError> {
    UnixStream::connect(socket).await.map_err(|error| {
        let is_gone = folder::is_dead(&error) || error.kind() == io::ErrorKind::NotFound;
        match is_gone {
            true => CallError::Dead,
            false => CallError::Broken(format!("{}: {error}", socket.display())),
        }
    })
}

/// The answer, or why there is none.
async fn exchange(
    stream: UnixStream,
    method: Method,
    path: &str,
    body: Option<String>,
) -> Result<(StatusCode, Bytes), String> {
    let broken = |error: hyper::Error| error.to_string();
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream))
        .await
        .map_err(broken)?;
    tokio::spawn(connection);
    let request = Request::builder()
        .method(method)
        .uri(path)
        .header(hyper::header::HOST, "localhost")
        .body(Full::new(Bytes::from(body.unwrap_or_default())))
        .map_err(|error| error.to_string())?;
    let response = sender.send_request(request).await.map_err(broken)?;
    let status = response.status();
    let body = Limited::new(response.into_body(), MAX_ANSWER)
        .collect()
        .await;
    let body = body.map_err(|error| error.to_string())?;
    Ok((status, body.to_bytes()))
}
