//! How a PostgreSQL sink is set up.

use std::{fmt, path::PathBuf, time::Duration};

use weir_formats::Pointer;
use weir_model::{JobName, SinkName};
use weir_operator::Delivery;

use crate::sql::Table;

/// The options of one sink.
#[derive(Clone, Debug)]
pub struct PostgresSinkOptions {
    /// The job; with the sink it is whose transactions are whose. Two jobs of one name must not
    /// write to one database.
    pub job: JobName,
    /// The sink.
    pub sink: SinkName,
    /// Where the server is.
    pub server: Server,
    /// The table that rows go to.
    pub table: Table,
    /// What goes into which column; `None` = the top-level fields of a row by their names.
    pub columns: Option<Vec<Column>>,
    /// What becomes of a row that has no value for a column.
    pub missing: Missing,
    /// What is guaranteed, and how.
    pub mode: Mode,
    /// How much is sent at a time.
    pub batch: Batch,
    /// With a write-ahead log, the most bytes of rows of one subtask between two checkpoints: they
    /// are held in memory.
    pub log_bytes: usize,
    /// How to try again where there is no connection.
    pub reconnect: Reconnect,
    /// What the sink was called before: what it left under that name is dealt with, too. No sink of
    /// the job has the name.
    pub renamed_from: Option<SinkName>,
}

impl PostgresSinkOptions {
    /// The name of the sink, and the one it had before.
    pub(crate) fn names(&self) -> impl Iterator<Item = &SinkName> {
        std::iter::once(&self.sink).chain(&self.renamed_from)
    }

    /// The usual [`log_bytes`](Self::log_bytes).
    pub const DEFAULT_LOG_BYTES: usize = 128 << 20;
}

/// A server and who speaks to it.
#[derive(Clone, Debug)]
pub struct Server {
    /// A name, an address, or the folder of a Unix socket, which begins with `/`.
    pub host: String,
    /// The port.
    pub port: u16,
    /// The role.
    pub user: String,
    /// The database.
    pub database: String,
    /// Where the password is found.
    pub password: Password,
    /// Whether the connection is encrypted. That to a Unix socket never is.
    pub tls: Tls,
}

/// Whether a connection is encrypted, and who the server must be.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tls {
    /// How much is asked for.
    pub mode: TlsMode,
    /// Who vouches for servers; `None` = where somebody must, those that the system trusts.
    pub roots: Option<Roots>,
}

/// How much is asked of a connection, as with libpq's `sslmode`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TlsMode {
    /// It is not encrypted.
    Disable,
    /// It is where the server can, with whomever that may be.
    #[default]
    Prefer,
    /// It is, with whomever that may be; with [`Tls::roots`] as [`Self::VerifyCa`].
    Require,
    /// It is, and an authority vouches for the server.
    VerifyCa,
    /// It is, and an authority vouches that the server has this name.
    VerifyFull,
}

/// Who vouches for servers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Roots {
    /// Those that the system trusts.
    System,
    /// Those in a PEM file, which is read for each connection.
    File(PathBuf),
}

/// Where a password is found. It is read anew for each connection, and shown nowhere.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Password {
    /// None is needed.
    None,
    /// In a variable of the environment.
    Variable(String),
    /// In a file, without the line break at its end.
    File(PathBuf),
}

/// What goes into a column.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Column {
    /// The column.
    pub name: String,
    /// What of a row goes there.
    pub take: Take,
}

/// What of a row goes into a column.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Take {
    /// The row as it is.
    Row,
    /// What a JSON row has at a place.
    At(Pointer),
}

/// What becomes of a row that has no value for a column.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Missing {
    /// It is refused.
    #[default]
    Fail,
    /// The column is null.
    Null,
}

/// What is guaranteed, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Rows are written as they come. With keys a row replaces the one that has its values in these
    /// columns.
    AtLeastOnce {
        /// The columns; none = rows are added.
        keys: Vec<String>,
    },
    /// Rows are written in a transaction that is prepared at the barrier and committed when the
    /// checkpoint is complete. Rows are added: one that replaced another would wait for the
    /// transaction that holds it.
    TwoPhaseCommit,
    /// Rows are kept in the checkpoint, and written when it is complete.
    WriteAheadLog {
        /// As above.
        keys: Vec<String>,
    },
}

impl Mode {
    /// The columns by which rows replace each other.
    #[must_use]
    pub fn keys(&self) -> &[String] {
        match self {
            Self::AtLeastOnce { keys } | Self::WriteAheadLog { keys } => keys,
            Self::TwoPhaseCommit => &[],
        }
    }

    /// How it comes to its guarantee.
    #[must_use]
    pub fn delivery(&self) -> Delivery {
        match self {
            Self::AtLeastOnce { keys } if keys.is_empty() => Delivery::Plain,
            Self::AtLeastOnce { .. } => Delivery::Idempotent,
            Self::TwoPhaseCommit => Delivery::TwoPhaseCommit,
            Self::WriteAheadLog { .. } => Delivery::WriteAheadLog,
        }
    }
}

/// How much is sent at a time; less where the input runs dry or a checkpoint is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Batch {
    /// Rows.
    pub rows: usize,
    /// Bytes, as they are sent.
    pub bytes: usize,
}

impl Default for Batch {
    /// From some thousand rows on a statement costs nothing beside its rows.
    fn default() -> Self {
        Self {
            rows: 10_000,
            bytes: 1 << 20,
        }
    }
}

/// How to try again where there is no connection: each attempt waits twice as long as the one
/// before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reconnect {
    /// Attempts in a row, at least 1.
    pub attempts: u32,
    /// The wait before the second of them.
    pub backoff: Duration,
    /// The longest wait.
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

impl Reconnect {
    /// The wait before attempt `number`, which counts from 0.
    pub(crate) fn wait(&self, number: u32) -> Duration {
        match number.checked_sub(1) {
            None => Duration::ZERO,
            Some(doubled) => {
                let factor = 1u32.checked_shl(doubled.min(31)).unwrap_or(u32::MAX);
                self.backoff.saturating_mul(factor).min(self.max_backoff)
            }
        }
    }
}

impl fmt::Display for Server {
    /// Without the role and its password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            host,
            port,
            database,
            ..
        } = self;
        match host.contains(':') {
            true => write!(f, "postgres://[{host}]:{port}/{database}"),
            false => write!(f, "postgres://{host}:{port}/{database}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_the_longest() {
        let reconnect = Reconnect {
            attempts: 99,
            backoff: Duration::from_millis(100),
            max_backoff: Duration::from_millis(350),
        };
        let waits: Vec<_> = [0, 1, 2, 3, 4, 60, u32::MAX]
            .map(|number| reconnect.wait(number).as_millis())
            .into();
        assert_eq!(waits, [0, 100, 200, 350, 350, 350, 350]);
    }
}
