//! What a job file says, as plain values: every default filled in, every path resolved.

use std::{
    collections::BTreeMap,
    fmt,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use indexmap::IndexMap;
use weir_checkpoint::{CheckpointMode, Config, RestartStrategy, TwoPhaseOptions};
use weir_event_time::{EmittedStrategy, WatermarkStrategy};
use weir_formats::{Pointer, TimeUnit};
use weir_graph::OnError;
use weir_model::{JobName, MaxParallelism, Name, OperatorName, Parallelism, SinkName, SourceName};
use weir_operator::{AsyncOptions, HttpOrigin, SinkGuarantee};
use weir_window::{Interval, JoinKind, Rules, Temporal, Trigger};

use crate::source::{Origin, Span};

/// A job file that was read without an error. Order is the order of the file.
#[derive(Clone, Debug)]
pub struct JobFile {
    /// `job`: the name of the job, which is also its id (D24).
    pub job: JobName,
    /// `parallelism`: of all nodes that do not say their own; 1 where it is missing.
    pub parallelism: Parallelism,
    /// `max-parallelism`, where the file gives one. See [`JobFile::max_parallelism`].
    pub max_parallelism: Option<MaxParallelism>,
    /// `state.backend`.
    pub backend: StateBackend,
    /// `checkpoint`; without it, and with `mode: at-most-once`, none are taken and the job is
    /// at-most-once (D30).
    pub checkpoint: Option<Checkpoint>,
    /// `allow-non-restored-state`: whether what has no home any more in a checkpoint is left
    /// behind.
    pub allow_non_restored_state: bool,
    /// `restart`. Where it is missing: the default of [`RestartStrategy`] with checkpoints, none
    /// without.
    pub restart: RestartStrategy,
    /// `sources`.
    pub sources: IndexMap<SourceName, Source>,
    /// `operators`.
    pub operators: IndexMap<OperatorName, Operator>,
    /// `sinks`.
    pub sinks: IndexMap<SinkName, Sink>,
    /// What came from the host file.
    pub from_host: Vec<FromHost>,
    /// What no job may have on this host.
    pub bounds: Bounds,
    /// What is said and has no effect.
    pub notes: Vec<String>,
    /// What the host file has in Flink's names, for `weir check`.
    pub host_notes: Vec<String>,
    /// Where everything was written.
    pub(crate) origin: Arc<Origin>,
}

impl JobFile {
    /// The number of key groups: that of the file, else the default for its largest parallelism
    /// (semantics 1.7).
    #[must_use]
    pub fn max_parallelism(&self) -> MaxParallelism {
        let sources = self.sources.values().map(|source| source.parallelism);
        let operators = self.operators.values().map(|node| node.parallelism);
        let sinks = self.sinks.values().map(|sink| sink.parallelism);
        let all = sources.chain(operators).chain(sinks);
        let largest = all.fold(self.parallelism, Parallelism::max);
        self.max_parallelism
            .unwrap_or_else(|| MaxParallelism::default_for(largest))
    }

    /// What nodes were called before, by what they are called now.
    #[must_use]
    pub fn renamed_from(&self) -> BTreeMap<Name, Name> {
        let sources = self.sources.iter().map(|(name, n)| (name, &n.renamed_from));
        let operators = self.operators.iter();
        let operators = operators.map(|(name, n)| (name, &n.renamed_from));
        let sinks = self.sinks.iter().map(|(name, n)| (name, &n.renamed_from));
        let all = sources.chain(operators).chain(sinks);
        all.filter_map(|(new, old)| Some((new.clone(), old.clone()?)))
            .collect()
    }
}

/// A value that a job has from the host file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FromHost {
    /// Its key, as the job file would have it: `checkpoint.interval`.
    pub key: String,
    /// As it is written there.
    pub value: String,
    /// The path of the host file.
    pub file: String,
    /// The line, from 1.
    pub line: usize,
}

/// `bounds` of a host file: the most that an operator may have; `None` = no bound.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Bounds {
    /// `memory`: the most bytes of linear memory of one instance.
    pub memory: Option<u64>,
    /// `time-per-call`: how long one call may take.
    pub time_per_call: Option<Duration>,
    /// `output`: the most bytes that one call may emit.
    pub output: Option<u64>,
}

/// `storage.s3` of a host file: how buckets are reached. What is `None` is as the environment has
/// it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct S3Access {
    /// `endpoint`: the address of the server, without a slash at its end.
    pub endpoint: Option<String>,
    /// `region`.
    pub region: Option<String>,
    /// `path-style`: whether the bucket is part of the path.
    pub path_style: Option<bool>,
    /// `allow-http`: whether the server may be spoken with without TLS.
    pub allow_http: Option<bool>,
}

/// Where keyed state is kept.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum StateBackend {
    /// In memory.
    #[default]
    Heap,
    /// In databases on the local disk.
    RocksDb(RocksDb),
}

/// How keyed state is kept in databases.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RocksDb {
    /// `memory`: bytes for all databases of the job.
    pub memory: u64,
    /// `local-dir`: the folder for them; `None` = the system's for temporary files.
    pub local_dir: Option<PathBuf>,
}

impl RocksDb {
    /// The memory of a job that says nothing.
    pub const MEMORY: u64 = 256 << 20;
}

/// Where checkpoints are kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Location {
    /// In a folder, in which each job has a folder of its name.
    Folder(PathBuf),
    /// In the memory of the process, as far as they are small.
    Memory {
        /// `max-state-size`: the most bytes of what one task writes for one checkpoint.
        max_state_size: u64,
    },
    /// In a bucket of S3, or of what speaks like it.
    S3 {
        /// The name of the bucket.
        bucket: String,
        /// What all objects begin with, without `/` at its ends; may be empty.
        prefix: String,
    },
}

impl Location {
    /// The folder, if it is one.
    #[must_use]
    pub fn folder(&self) -> Option<&Path> {
        match self {
            Self::Folder(folder) => Some(folder),
            Self::Memory { .. } | Self::S3 { .. } => None,
        }
    }
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Folder(folder) => write!(f, "{}", folder.display()),
            Self::Memory { .. } => f.write_str("memory:"),
            Self::S3 { bucket, prefix } if prefix.is_empty() => write!(f, "s3://{bucket}"),
            Self::S3 { bucket, prefix } => write!(f, "s3://{bucket}/{prefix}"),
        }
    }
}

/// `checkpoint`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    /// `savepoint-dir`: where savepoints go when nobody says another place; never memory.
    pub savepoint_dir: Option<Location>,
    /// `dir`: where they are kept.
    pub dir: Location,
    /// `mode`: what a row counts after a failure.
    pub mode: CheckpointMode,
    /// `interval`; `None` = only a final one, and on request.
    pub interval: Option<Duration>,
    /// `min-pause` between the end of one and the next periodic one.
    pub min_pause: Duration,
    /// `timeout` after which one is given up.
    pub timeout: Duration,
    /// `max-concurrent`: how many may be under way at a time, at least 1.
    pub max_concurrent: usize,
    /// `tolerable-failures`: how many consecutive failures the job bears.
    pub tolerable_failures: u32,
    /// `unaligned`: whether barriers overtake rows.
    pub unaligned: bool,
    /// `aligned-timeout`: how long they do not yet.
    pub aligned_timeout: Duration,
    /// `incremental`: whether one refers to what an older one has.
    pub incremental: bool,
    /// `retain.completed`: how many completed ones are kept, at least 1.
    pub retained: usize,
    /// `retain.on-cancel`: whether they stay when the job is cancelled.
    pub retain_on_cancel: bool,
}

impl Checkpoint {
    /// As the coordinator wants it.
    #[must_use]
    pub fn config(&self) -> Config {
        Config {
            interval_ms: self.interval.map(millis),
            min_pause_ms: millis(self.min_pause),
            timeout_ms: millis(self.timeout),
            max_concurrent: self.max_concurrent,
            tolerable_failures: self.tolerable_failures,
            retained: self.retained,
            unaligned: self.unaligned,
            aligned_timeout_ms: millis(self.aligned_timeout),
            incremental: self.incremental,
            retain_on_cancel: self.retain_on_cancel,
        }
    }
}

pub(crate) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// A source.
#[derive(Clone, Debug)]
pub struct Source {
    /// `renamed-from`: its name before.
    pub renamed_from: Option<Name>,
    /// Number of readers.
    pub parallelism: Parallelism,
    /// `rate`: the most rows per second of the whole source; `None` = as fast as it goes.
    pub rate: Option<f64>,
    /// `watermark`: how watermarks follow from the times of the rows; `None` = there are none until
    /// the end of the source.
    pub watermark: Option<WatermarkStrategy>,
    /// `connector` and what belongs to it.
    pub connector: SourceConnector,
}

/// Where rows come from.
#[derive(Clone, Debug)]
pub enum SourceConnector {
    /// `file`.
    File(FileSource),
    /// `socket`.
    Socket(SocketSource),
    /// `generator`.
    Generator(Generator),
}

/// The options of a file source.
#[derive(Clone, Debug)]
pub struct FileSource {
    /// `path`: a path, or a pattern with `*`, `?`, `[…]` and `**`.
    pub pattern: String,
    /// The folder that a relative pattern starts from: that of the job file; empty, which is the
    /// working directory, where the path came from `--set` (D26).
    pub base: PathBuf,
    /// `format`, `header`, `delimiter`.
    pub format: Format,
    /// `follow`: whether to wait for more at the end of a file.
    pub follow: bool,
    /// `on-error`: what becomes of rows that cannot be read.
    pub on_error: OnBadRow,
    /// `timestamp`: the event time of a row; `None` = the rows have none.
    pub timestamp: Option<Timestamp>,
}

/// The options of a socket source, which connects and reads what the other side sends.
#[derive(Clone, Debug)]
pub struct SocketSource {
    /// `address`: `host:port`, the host of an IPv6 address in brackets.
    pub address: String,
    /// `format`, `header`, `delimiter`.
    pub format: Format,
    /// `on-error`: what becomes of rows that cannot be read.
    pub on_error: OnBadRow,
    /// `timestamp`: the event time of a row; `None` = the rows have none.
    pub timestamp: Option<Timestamp>,
    /// `at-end`: what it means that the other side closes.
    pub at_end: AtEnd,
    /// `reconnect`.
    pub reconnect: Reconnect,
}

/// What it means that the other side of a socket closes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AtEnd {
    /// It is connected to again.
    #[default]
    Reconnect,
    /// All rows are read.
    Finish,
}

/// `reconnect` of a socket source: each attempt waits twice as long as the one before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reconnect {
    /// `attempts` in a row without a byte received, before the task fails.
    pub attempts: u32,
    /// `backoff`: the wait before the first of them.
    pub backoff: Duration,
    /// `max-backoff`: the longest wait.
    pub max_backoff: Duration,
}

impl Default for Reconnect {
    fn default() -> Self {
        Self {
            attempts: 10,
            backoff: Duration::from_millis(100),
            max_backoff: Duration::from_secs(5),
        }
    }
}

/// What becomes of a row of a source that cannot be read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnBadRow {
    /// The task fails; the restart strategy decides.
    #[default]
    Fail,
    /// It is left out and counted.
    Skip,
}

/// How rows are cut out of a file, or out of what comes over a socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Each csv record is a row.
    Csv {
        /// `header`: whether the first record of each file, or of each connection, names
        /// the columns.
        header: bool,
        /// `delimiter`: one ASCII character between fields.
        delimiter: u8,
    },
    /// Each line is a row and must be a JSON document.
    Json,
    /// Each line is a row.
    Lines,
}

/// `timestamp` of a source.
#[derive(Clone, Debug)]
pub struct Timestamp {
    /// `column` or `json`.
    pub place: TimePlace,
    /// `unit` of the number found there.
    pub unit: TimeUnit,
    /// `empty`: whether rows whose time is empty are left out; else they are bad.
    pub skips_empty: bool,
    /// Where `column` or `json` is written.
    pub(crate) span: Span,
}

/// Where the event time of a row stands.
#[derive(Clone, Debug)]
pub enum TimePlace {
    /// In a column of a csv row.
    Column(ColumnRef),
    /// At a place of a JSON row.
    Json(Pointer),
}

/// A column of a csv row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ColumnRef {
    /// By its place, from 0.
    Index(usize),
    /// By its name in the header.
    Name(String),
}

/// The options of a generator, which makes up rows.
#[derive(Clone, Debug, PartialEq)]
pub struct Generator {
    /// `count`: how many rows there are over all readers; `None` = no end.
    pub count: Option<u64>,
    /// `keys`: how many different keys there are, at least 1.
    pub keys: u64,
    /// `distribution` of the keys over the rows.
    pub distribution: Distribution,
    /// `payload`: bytes of filling in each row.
    pub payload: usize,
    /// `seed`: the same seed gives the same rows.
    pub seed: u64,
}

/// How keys are spread over the rows of a generator.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Distribution {
    /// One after the other, and again from the first.
    Sequence,
    /// Each as likely as any other.
    Uniform,
    /// The key of rank `r` is as likely as `1 / r^exponent`.
    Zipf {
        /// `exponent`, above 0.
        exponent: f64,
    },
}

/// An operator.
#[derive(Clone, Debug)]
pub struct Operator {
    /// `renamed-from`: its name before.
    pub renamed_from: Option<Name>,
    /// Number of subtasks.
    pub parallelism: Parallelism,
    /// `component`: the file of the component; a `join` without one gives its pairs as they are.
    pub component: Option<PathBuf>,
    /// `inputs` in order; the component sees their index.
    pub inputs: Vec<Input>,
    /// `window`: the windows that its component folds rows of; `None` = it gets rows as they come.
    pub windows: Option<Windows>,
    /// `async`: how its calls are made where they wait; `None` = as usual.
    pub waiting: Option<AsyncOptions>,
    /// `grants`: where its requests may go.
    pub grants: Vec<HttpOrigin>,
    /// `join`: how the host joins the rows of its two inputs.
    pub join: Option<Join>,
    /// `config` as JSON, handed to the component as it is; `null` where it is missing.
    pub config: serde_json::Value,
    /// `on-error`: what happens to a row that it refuses or that has no key. A sink of dead letters
    /// is one of the job's, without `from`.
    pub on_error: OnError,
    /// `chain`: whether it may run in one task with what is before it.
    pub chain: bool,
    /// `watermark`: how it makes watermarks of what it emits; `None` = those it gets go on.
    pub watermark: Option<EmittedStrategy>,
    /// `limits`.
    pub limits: Limits,
}

/// `window` of an operator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Windows {
    /// Which windows there are, and when they give their results.
    pub rules: Rules,
    /// `late`: the side output for rows that come too late.
    pub late: Option<String>,
}

impl Windows {
    /// Whether the component says when windows give their results.
    #[must_use]
    pub fn asks_component(&self) -> bool {
        self.rules.trigger == Trigger::Guest
    }
}

/// `join` of an operator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Join {
    /// Which rows belong together.
    pub rules: JoinRules,
    /// `kind`: which rows count that find no other.
    pub kind: JoinKind,
    /// `late`: the side output for rows that come too late.
    pub late: Option<String>,
}

/// Which rows of two inputs belong together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum JoinRules {
    /// `interval`.
    Interval(Interval),
    /// `window`.
    Window(Rules),
    /// `temporal`.
    Temporal(Temporal),
}

/// `limits` of an operator; `None` = the default of the host.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    /// `memory`: the most bytes of linear memory of one instance.
    pub memory: Option<u64>,
    /// `time-per-call`: how long one call may take.
    pub time_per_call: Option<Duration>,
    /// `output`: the most bytes that one call may emit.
    pub output: Option<u64>,
}

/// One input of an operator, or the input of a sink.
#[derive(Clone, Debug)]
pub struct Input {
    /// The source or operator that is read.
    pub from: Name,
    /// The side output that is read; `None` = the main output.
    pub side_output: Option<String>,
    /// How rows are dealt out to the subtasks.
    pub partitioning: Partitioning,
    /// Where `from` is written.
    pub(crate) span: Span,
    /// Where it is written how rows are dealt out: the parts of the key, else the word.
    pub(crate) places: Vec<Span>,
}

/// How rows of an input are dealt out, as the file says it.
#[derive(Clone, Debug)]
pub enum Partitioning {
    /// Not said: forward between equal parallelisms, else rebalance.
    Automatic,
    /// Subtask to subtask of the same index.
    Forward,
    /// Round robin, a batch at a time.
    Rebalance,
    /// By key.
    Key(Key),
    /// Every row to every subtask.
    Broadcast,
    /// All rows to subtask 0.
    Global,
}

/// `key` of an input (D2).
#[derive(Clone, Debug)]
pub enum Key {
    /// `columns` of a csv row.
    Columns(Vec<ColumnRef>),
    /// `json`: places of a JSON row.
    Json(Vec<Pointer>),
    /// `row`: the whole row.
    Row,
    /// `bytes`: so many bytes of the row.
    Bytes {
        /// Where they begin, from 0.
        offset: usize,
        /// How many they are; not 0.
        length: usize,
    },
}

/// A sink.
#[derive(Clone, Debug)]
pub struct Sink {
    /// `renamed-from`: its name before.
    pub renamed_from: Option<Name>,
    /// Number of writers.
    pub parallelism: Parallelism,
    /// `from`, `key`, `partitioning`; `None` = only the dead letters of operators that name it.
    pub input: Option<Input>,
    /// `connector` and what belongs to it.
    pub connector: SinkConnector,
}

/// Where rows go.
#[derive(Clone, Debug)]
pub enum SinkConnector {
    /// `file`.
    File(FileSink),
    /// `postgres`.
    Postgres(Box<PostgresSink>),
    /// `stdout`: at least once.
    Stdout,
}

/// The options of a PostgreSQL sink.
#[derive(Clone, Debug)]
pub struct PostgresSink {
    /// `host`, or that of `url`: a name, an address, or the folder of a Unix socket.
    pub host: String,
    /// `port`, or that of `url`.
    pub port: u16,
    /// `user`, or that of `url`.
    pub user: String,
    /// `database`, or that of `url`.
    pub database: String,
    /// `password-env` or `password-file`.
    pub password: PostgresPassword,
    /// `sslmode`: how much is asked of the connection.
    pub tls: PostgresTls,
    /// `sslrootcert`: who vouches for the server; `None` = where somebody must, those that the
    /// system trusts.
    pub roots: Option<PostgresRoots>,
    /// The schema in `table`.
    pub schema: Option<String>,
    /// The name in `table`.
    pub table: String,
    /// `columns`, in order; `None` = the fields of a row by their names.
    pub columns: Option<Vec<(String, PostgresTake)>>,
    /// `missing`: whether a row without a value for a column gives null, and is not refused.
    pub missing_null: bool,
    /// `guarantee`, `by` and `upsert`.
    pub mode: PostgresMode,
    /// `batch.rows`.
    pub batch_rows: u64,
    /// `batch.size` in bytes.
    pub batch_bytes: u64,
    /// `log-size` in bytes.
    pub log_bytes: u64,
    /// `reconnect`.
    pub reconnect: Reconnect,
    /// `on-existing`: what happens to results that are there when the job starts anew (D23).
    pub on_existing: OnExisting,
    /// `transaction-timeout`, `ignore-commit-errors-after-timeout`, `warn-ratio` (D22).
    pub transactions: TwoPhaseOptions,
}

impl PostgresSink {
    /// `batch.rows` where it is missing.
    pub const BATCH_ROWS: u64 = 10_000;
    /// `batch.size` where it is missing.
    pub const BATCH_BYTES: u64 = 1 << 20;
    /// `log-size` where it is missing.
    pub const LOG_BYTES: u64 = 128 << 20;
}

/// Where a password is found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PostgresPassword {
    /// There is none.
    None,
    /// `password-env`: in a variable of the environment.
    Variable(String),
    /// `password-file`: in a file.
    File(PathBuf),
}

/// `sslmode`, as libpq has it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PostgresTls {
    /// The connection is not encrypted.
    Disable,
    /// It is where the server can.
    #[default]
    Prefer,
    /// It is.
    Require,
    /// It is, and somebody vouches for the server.
    VerifyCa,
    /// It is, and somebody vouches for the name of the server.
    VerifyFull,
}

/// `sslrootcert`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PostgresRoots {
    /// `system`: those that the system trusts.
    System,
    /// Those in a file.
    File(PathBuf),
}

/// What of a row goes into a column.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PostgresTake {
    /// `row`: its text.
    Row,
    /// What a JSON row has at a place.
    At(Pointer),
}

/// How rows come into a table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PostgresMode {
    /// As they come.
    AtLeastOnce {
        /// `upsert.keys`; none = rows are added.
        keys: Vec<String>,
    },
    /// In transactions that are prepared at the barrier.
    TwoPhaseCommit,
    /// Out of the checkpoint when it is complete.
    WriteAheadLog {
        /// As above.
        keys: Vec<String>,
    },
}

/// The options of a file sink.
#[derive(Clone, Debug)]
pub struct FileSink {
    /// `path`: the folder that files go to.
    pub folder: PathBuf,
    /// `extension` of the files, without the dot; `None` = the usual one.
    pub extension: Option<String>,
    /// `guarantee`; where it is missing, exactly-once where the checkpoints of the job are.
    pub guarantee: SinkGuarantee,
    /// `roll-size`: a file larger than so many bytes is closed and another begun.
    pub roll_bytes: Option<u64>,
    /// `on-existing`: what happens to results that are there when the job starts anew (D23).
    pub on_existing: OnExisting,
    /// `transaction-timeout`, `ignore-commit-errors-after-timeout`, `warn-ratio` (D22).
    pub transactions: TwoPhaseOptions,
}

/// What happens to committed results that lie where a sink writes when its job starts anew (D23).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnExisting {
    /// The job does not start.
    #[default]
    Refuse,
    /// They stay; new ones are added.
    Append,
    /// They are removed.
    Replace,
}
