//! Serves the control socket of one job, on a thread of its own: guests that are busy cannot keep
//! anybody waiting (D8).
//!
//! INVARIANT: nobody but the owner of the process is answered, and an answer that is due when the
//! job ends is given before the process does.

use std::{
    convert::Infallible,
    fs, io,
    os::unix::net::UnixListener as StdListener,
    path::{Path, PathBuf},
    process,
    sync::Arc,
    thread::{self, JoinHandle},
    time::Duration,
};

use http_body_util::{BodyExt, Full, Limited};
use hyper::{
    Method, Request, Response, StatusCode,
    body::{Bytes, Incoming},
    header::CONTENT_TYPE,
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use rustix::process::geteuid;
use serde::{Serialize, de::DeserializeOwned};
use tokio::{
    net::{UnixListener, UnixStream},
    runtime::Builder,
    sync::{mpsc, oneshot, watch},
    task::JoinSet,
    time::timeout,
};
use weir_runtime::{
    Clock, SystemClock,
    control::{CommandError, JobCommand, Reply},
};

use super::{
    MEMORY, folder,
    protocol::{
        CheckpointAsked, Completed, IntervalAsked, JobChange, Jobs, Named, Problem, Problems,
        Saved, SavepointAsked, Status, StopAsked, Stopped, Wanted,
    },
    target::{NoTarget, Savepoints},
};

/// The most bytes of a request; they are a line.
const MAX_BODY: usize = 64 << 10;
/// How long a request may take to arrive.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long the process waits, when its job has ended, for those who are still being answered.
const GRACE: Duration = Duration::from_secs(2);
/// How many are answered at a time.
const MAX_CONNECTIONS: usize = 64;

/// The code of a command that a job did not carry out.
const NOT_DONE: &str = "W0013";
/// The code of a request that cannot be understood.
const BAD_REQUEST: &str = "W0015";

/// What tells a job from others.
#[derive(Clone, Debug)]
pub(crate) struct Identity {
    pub(crate) job: String,
    /// Its checkpoint directory; `None` = it keeps none.
    pub(crate) dir: Option<String>,
}

/// A socket that is being served. Dropped, it is gone, and all who were to be answered are.
pub(crate) struct Server {
    path: PathBuf,
    inode: Option<u64>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

/// What requests are answered with.
struct Served {
    identity: Identity,
    commands: mpsc::UnboundedSender<JobCommand>,
    savepoints: Savepoints,
}

impl Server {
    /// Begins to serve, by a socket in that folder.
    ///
    /// # Errors
    /// Why the job cannot be reached from outside.
    pub(crate) fn start(
        folder: &Path,
        identity: Identity,
        commands: mpsc::UnboundedSender<JobCommand>,
        savepoints: Savepoints,
    ) -> Result<Self, String> {
        folder::make(folder).map_err(|error| error.to_string())?;
        let path = folder::socket(folder, &identity.job, &identity.place());
        let listener = bind(&path).map_err(|error| format!("`{}`: {error}", path.display()))?;
        let inode = folder::inode(&path);
        let runtime = Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|error| error.to_string())?;
        let (stop, stopped) = oneshot::channel();
        let served = Arc::new(Served {
            identity,
            commands,
            savepoints,
        });
        let serving = move || runtime.block_on(serve(listener, served, stopped));
        let thread = thread::Builder::new()
            .name("weir-control".into())
            .spawn(serving)
            .map_err(|error| error.to_string())?;
        Ok(Self {
            path,
            inode,
            stop: Some(stop),
            thread: Some(thread),
        })
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(inode) = self.inode {
            folder::sweep(&self.path, inode);
        }
        self.stop.take();
        if let Some(thread) = self.thread.take() {
            // It ends within GRACE, and there is nobody to tell how.
            let _ = thread.join();
        }
    }
}

impl Identity {
    /// What the name of the socket is made of. Jobs without a directory of their own are told apart
    /// by their process, for nothing forbids two.
    fn place(&self) -> String {
        match &self.dir {
            Some(dir) if dir != MEMORY => dir.clone(),
            Some(_) | None => format!("process {}", process::id()),
        }
    }

    fn named(&self) -> Named {
        Named {
            job: self.job.clone(),
            dir: self.dir.clone(),
            pid: process::id(),
        }
    }
}

/// Listens under another name, and then takes the name. What is there is of a process that is dead,
/// or that is superseded: whoever gets here holds the lock of the job.
fn bind(path: &Path) -> io::Result<StdListener> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let other = path.with_file_name(format!(".{name}.{}", process::id()));
    let _ = fs::remove_file(&other);
    let listener = StdListener::bind(&other)?;
    listener.set_nonblocking(true)?;
    fs::rename(&other, path)?;
    Ok(listener)
}

async fn serve(listener: StdListener, served: Arc<Served>, mut stopped: oneshot::Receiver<()>) {
    let Ok(listener) = UnixListener::from_std(listener) else {
        return;
    };
    let (closing, closed) = watch::channel(());
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            _ = &mut stopped => break,
            Some(_) = connections.join_next() => {}
            accepted = listener.accept(), if connections.len() < MAX_CONNECTIONS => match accepted {
                Ok((stream, _)) if is_ours(&stream) => {
                    connections.spawn(answer(stream, Arc::clone(&served), closed.clone()));
                }
                Ok(_) => {}
                // Out of files, say: others who leave make room.
                Err(_) => tokio::time::sleep(Duration::from_millis(100)).await,
            },
        }
    }
    drop(closing);
    let rest = async { while connections.join_next().await.is_some() {} };
    let _ = timeout(GRACE, rest).await;
}

/// Whether whoever connected is who this process is of. The folder lets nobody else in; this holds
/// where a folder was opened by hand.
fn is_ours(stream: &UnixStream) -> bool {
    let peer = stream.peer_cred().map(|peer| peer.uid());
    peer.is_ok_and(|uid| uid == geteuid().as_raw() || uid == 0)
}

/// Answers whoever has connected, until they leave or the job has ended.
async fn answer(stream: UnixStream, served: Arc<Served>, mut closed: watch::Receiver<()>) {
    let service = service_fn(move |request| {
        let served = Arc::clone(&served);
        async move { Ok::<_, Infallible>(served.route(request).await) }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(PATIENCE)
        .serve_connection(TokioIo::new(stream), service);
    let mut connection = std::pin::pin!(connection);
    tokio::select! {
        // Whoever breaks off is not told.
        _ = connection.as_mut() => return,
        _ = closed.changed() => {}
    }
    connection.as_mut().graceful_shutdown();
    let _ = connection.await;
}

/// An answer: what was asked for, or what is wrong.
type Answer = Result<Response<Full<Bytes>>, (StatusCode, Problem)>;

impl Served {
    async fn route(&self, request: Request<Incoming>) -> Response<Full<Bytes>> {
        let answer = self.find(request).await;
        answer.unwrap_or_else(|(status, problem)| {
            let problems = Problems {
                errors: vec![problem],
            };
            respond(status, &problems)
        })
    }

    async fn find(&self, request: Request<Incoming>) -> Answer {
        let (parts, body) = request.into_parts();
        let path = parts.uri.path().trim_matches('/');
        let path: Vec<&str> = path.split('/').collect();
        let ["v1", "jobs", rest @ ..] = path.as_slice() else {
            return Err(unknown(parts.uri.path()));
        };
        let Some((job, rest)) = rest.split_first() else {
            let jobs = vec![self.identity.named()];
            return match parts.method {
                Method::GET => Ok(respond(StatusCode::OK, &Jobs { jobs })),
                _ => Err(not_so(&parts.method)),
            };
        };
        if *job != self.identity.job {
            let message = format!("this process runs `{}` and not `{job}`", self.identity.job);
            return Err((StatusCode::NOT_FOUND, problem(BAD_REQUEST, message, None)));
        }
        match (&parts.method, rest) {
            (&Method::GET, []) => self.status().await,
            (&Method::PATCH, []) => self.change(body).await,
            (&Method::POST, ["savepoints"]) => self.savepoint(body).await,
            (&Method::POST, ["checkpoints"]) => self.checkpoint(body).await,
            (&Method::PATCH, ["checkpoints"]) => self.interval(body).await,
            (&Method::POST, ["stop"]) => self.stop(body).await,
            (method, [] | ["savepoints" | "checkpoints" | "stop"]) => Err(not_so(method)),
            _ => Err(unknown(parts.uri.path())),
        }
    }

    async fn status(&self) -> Answer {
        let status = self.ask(|reply| JobCommand::Status { reply }).await?;
        let status = Status::of(self.identity.named(), status, SystemClock.now());
        Ok(respond(StatusCode::OK, &status))
    }

    async fn savepoint(&self, body: Incoming) -> Answer {
        let asked: SavepointAsked = read(body).await?;
        let target = self.savepoints.target(asked.target.as_deref());
        let target = target.map_err(no_target)?;
        let format = asked.format.into();
        let asking = |reply| JobCommand::Savepoint {
            target,
            format,
            reply,
        };
        let done: Saved = self.ask(asking).await?.into();
        Ok(respond(StatusCode::CREATED, &done))
    }

    async fn checkpoint(&self, body: Incoming) -> Answer {
        let CheckpointAsked { full } = read(body).await?;
        let asking = |reply| JobCommand::Checkpoint { full, reply };
        let done: Completed = self.ask(asking).await?.into();
        Ok(respond(StatusCode::CREATED, &done))
    }

    async fn stop(&self, body: Incoming) -> Answer {
        let asked: StopAsked = read(body).await?;
        let savepoint = match asked.savepoint {
            None => None,
            Some(asked) => {
                let target = self.savepoints.target(asked.target.as_deref());
                Some((target.map_err(no_target)?, asked.format.into()))
            }
        };
        let drain = asked.drain;
        let asking = |reply| JobCommand::Stop {
            drain,
            savepoint,
            reply,
        };
        let done: Stopped = self.ask(asking).await?.into();
        Ok(respond(StatusCode::OK, &done))
    }

    async fn change(&self, body: Incoming) -> Answer {
        let JobChange {
            state: Wanted::Cancelled,
        } = read(body).await?;
        self.ask(|reply| JobCommand::Cancel { reply }).await?;
        Ok(respond(StatusCode::OK, &serde_json::json!({})))
    }

    async fn interval(&self, body: Incoming) -> Answer {
        let IntervalAsked { interval_ms } = read(body).await?;
        let asking = |reply| JobCommand::SetInterval { interval_ms, reply };
        self.ask(asking).await?;
        Ok(respond(StatusCode::OK, &IntervalAsked { interval_ms }))
    }

    /// Tells the job something and waits for what it answers.
    async fn ask<T>(
        &self,
        command: impl FnOnce(Reply<T>) -> JobCommand,
    ) -> Result<T, (StatusCode, Problem)> {
        let (reply, replied) = oneshot::channel();
        // That nobody listens any more shows in the reply.
        let _ = self.commands.send(command(reply));
        match replied.await {
            Ok(answer) => answer.map_err(|error| not_done(&error)),
            Err(_) => {
                let message = "the job has ended meanwhile".to_owned();
                Err((StatusCode::CONFLICT, problem(NOT_DONE, message, None)))
            }
        }
    }
}

/// The body of a request; nothing is `{}`.
async fn read<T: DeserializeOwned>(body: Incoming) -> Result<T, (StatusCode, Problem)> {
    let bad = |message: String| {
        let problem = problem(BAD_REQUEST, message, None);
        (StatusCode::BAD_REQUEST, problem)
    };
    let body = timeout(PATIENCE, Limited::new(body, MAX_BODY).collect()).await;
    let body = body.map_err(|_| bad("the request did not arrive in time".to_owned()))?;
    let body = body.map_err(|error| bad(format!("the request cannot be read: {error}")))?;
    let body = body.to_bytes();
    let text: &[u8] = if body.is_empty() { b"{}" } else { &body };
    serde_json::from_slice(text)
        .map_err(|error| bad(format!("the request makes no sense: {error}")))
}

fn respond(status: StatusCode, document: &impl Serialize) -> Response<Full<Bytes>> {
    // Plain values: they cannot fail to be JSON.
    let text = serde_json::to_vec(document).unwrap_or_default();
    let mut response = Response::new(Full::new(Bytes::from(text)));
    *response.status_mut() = status;
    let json = hyper::header::HeaderValue::from_static("application/json");
    response.headers_mut().insert(CONTENT_TYPE, json);
    response
}

fn problem(code: &str, message: String, help: Option<&str>) -> Problem {
    Problem {
        code: code.to_owned(),
        message,
        help: help.map(str::to_owned),
    }
}

fn unknown(path: &str) -> (StatusCode, Problem) {
    let message = format!("there is no `{path}`");
    (StatusCode::NOT_FOUND, problem(BAD_REQUEST, message, None))
}

fn not_so(method: &Method) -> (StatusCode, Problem) {
    let message = format!("{method} does nothing there");
    let problem = problem(BAD_REQUEST, message, None);
    (StatusCode::METHOD_NOT_ALLOWED, problem)
}

fn no_target(why: NoTarget) -> (StatusCode, Problem) {
    let status = match &why {
        NoTarget::Unsaid | NoTarget::Elsewhere(_) | NoTarget::Address(_) | NoTarget::File(_) => {
            StatusCode::BAD_REQUEST
        }
        NoTarget::Store(_) => StatusCode::INTERNAL_SERVER_ERROR,
    };
    (status, problem(why.code(), why.to_string(), why.help()))
}

/// A command that was not carried out; 409 = the job goes on and may do it another time.
fn not_done(error: &CommandError) -> (StatusCode, Problem) {
    let status = match error {
        CommandError::NotRunning(_)
        | CommandError::Ending(_)
        | CommandError::NoCheckpoints
        | CommandError::Refused(_) => StatusCode::CONFLICT,
        CommandError::Interval(_) | CommandError::NoFolder => StatusCode::BAD_REQUEST,
        CommandError::Failed { .. } | CommandError::Ended(_) => StatusCode::INTERNAL_SERVER_ERROR,
    };
    (status, problem(NOT_DONE, error.to_string(), None))
}
