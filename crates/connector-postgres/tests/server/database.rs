//! Databases and servers for tests.

use std::{
    path::PathBuf,
    process::Command,
    sync::atomic::{AtomicU32, Ordering},
    time::{Duration, Instant},
};

use tokio::runtime::{Builder, Runtime};
use tokio_postgres::{Client, NoTls};

/// Nothing that a test waits for takes so long.
const PATIENCE: Duration = Duration::from_secs(60);

/// A database of one test, and a session in it.
pub(crate) struct Database {
    /// The folder of the socket.
    pub(crate) folder: String,
    pub(crate) port: u16,
    pub(crate) name: String,
    session: Session,
}

/// A session that a test has itself.
pub(crate) struct Session {
    runtime: Runtime,
    client: Client,
}

/// A server of one test.
pub(crate) struct OwnServer {
    pub(crate) folder: PathBuf,
    pub(crate) port: u16,
}

/// The port of servers that nobody reaches over TCP.
const PORT: u16 = 5432;

fn from_recipe(name: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| panic!("{name} is not set: run `./jw test-postgres`"))
}

impl Session {
    fn open(folder: &str, port: u16, database: &str) -> Self {
        let runtime = Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let mut config = tokio_postgres::Config::new();
        config.host(folder).port(port).user("weir").dbname(database);
        let client = runtime.block_on(async {
            let (client, connection) = config.connect(NoTls).await.unwrap();
            tokio::spawn(connection);
            client
        });
        Self { runtime, client }
    }

    pub(crate) fn run(&self, sql: &str) {
        let done = self.wait(self.client.batch_execute(sql));
        done.unwrap_or_else(|e| panic!("{sql}: {e:?}"));
    }

    /// The rows of a query of text columns, `|` between them.
    pub(crate) fn rows(&self, sql: &str) -> Vec<String> {
        use tokio_postgres::SimpleQueryMessage::Row;
        let messages = self.wait(self.client.simple_query(sql));
        let messages = messages.unwrap_or_else(|e| panic!("{sql}: {e:?}"));
        let row = |message| match message {
            Row(row) => {
                let fields = (0..row.len()).map(|at| row.get(at).unwrap_or("null").to_owned());
                Some(fields.collect::<Vec<_>>().join("|"))
            }
            _ => None,
        };
        messages.into_iter().filter_map(row).collect()
    }

    pub(crate) fn one(&self, sql: &str) -> String {
        self.rows(sql).join(";")
    }

    /// On a thread of its own: who asks may be in the middle of a runtime.
    fn wait<T: Send>(&self, work: impl Future<Output = T> + Send) -> T {
        std::thread::scope(|scope| scope.spawn(|| self.runtime.block_on(work)).join().unwrap())
    }
}

impl Database {
    /// A new one on the server of the recipe, after these statements.
    pub(crate) fn new(sql: &str) -> Self {
        Self::at(from_recipe("WEIR_POSTGRES"), PORT, sql)
    }

    pub(crate) fn at(folder: String, port: u16, sql: &str) -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("weir_{}_{number}", std::process::id());
        Session::open(&folder, port, "postgres").run(&format!("CREATE DATABASE {name}"));
        let session = Session::open(&folder, port, &name);
        session.run(sql);
        Self {
            folder,
            port,
            name,
            session,
        }
    }

    /// Another session.
    pub(crate) fn another(&self) -> Session {
        Session::open(&self.folder, self.port, &self.name)
    }

    pub(crate) fn run(&self, sql: &str) {
        self.session.run(sql);
    }

    pub(crate) fn rows(&self, sql: &str) -> Vec<String> {
        self.session.rows(sql)
    }

    pub(crate) fn one(&self, sql: &str) -> String {
        self.session.one(sql)
    }

    /// The names of what is prepared here.
    pub(crate) fn prepared(&self) -> Vec<String> {
        self.rows(
            "SELECT gid FROM pg_prepared_xacts WHERE database = current_database() ORDER BY gid",
        )
    }

    /// How many sessions wait for a lock here.
    pub(crate) fn await_waiting(&self, number: usize) {
        let sql = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND \
                   datname = current_database()";
        self.await_one(sql, &number.to_string());
    }

    /// Looks until a query gives this.
    pub(crate) fn await_one(&self, sql: &str, expected: &str) {
        let began = Instant::now();
        while self.one(sql) != expected {
            assert!(began.elapsed() < PATIENCE, "{sql} stays {}", self.one(sql));
        }
    }
}

impl OwnServer {
    /// Starts one with these settings.
    pub(crate) fn start(settings: &[&str]) -> Self {
        Self::at(PORT, settings)
    }

    /// Starts one that is reached over TCP as well, at a port of this machine that is free.
    pub(crate) fn over_tcp(settings: &[&str]) -> Self {
        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = free.local_addr().unwrap().port();
        drop(free);
        let at = format!("port={port}");
        let all: Vec<&str> = ["listen_addresses=127.0.0.1", &at]
            .into_iter()
            .chain(settings.iter().copied())
            .collect();
        Self::at(port, &all)
    }

    fn at(port: u16, settings: &[&str]) -> Self {
        // The path of a socket is short.
        let folder = tempfile::Builder::new()
            .prefix("weir-pg-own-")
            .tempdir_in("/tmp")
            .unwrap()
            .keep();
        let server = Self { folder, port };
        server.control("start", settings);
        server
    }

    pub(crate) fn database(&self, sql: &str) -> Database {
        Database::at(self.folder.to_str().unwrap().to_owned(), self.port, sql)
    }

    /// As after a crash.
    pub(crate) fn restart(&self) {
        self.control("restart", &[]);
    }

    pub(crate) fn stop(&self) {
        self.control("stop", &[]);
    }

    /// Starts it again where it was stopped.
    pub(crate) fn again(&self) {
        self.control("restart", &[]);
    }

    /// What a new session sees: those from before a restart are gone.
    pub(crate) fn see(&self, database: &str, sql: &str) -> Vec<String> {
        Session::open(self.folder.to_str().unwrap(), self.port, database).rows(sql)
    }

    fn control(&self, verb: &str, settings: &[&str]) {
        let script = from_recipe("WEIR_POSTGRES_SCRIPT");
        let done = Command::new("sh")
            .arg(script)
            .arg(verb)
            .arg(&self.folder)
            .args(settings)
            .output()
            .unwrap();
        assert!(done.status.success(), "{verb}: {done:?}");
    }
}

impl Drop for OwnServer {
    fn drop(&mut self) {
        let script = from_recipe("WEIR_POSTGRES_SCRIPT");
        let _ = Command::new("sh")
            .arg(script)
            .arg("stop")
            .arg(&self.folder)
            .status();
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}
