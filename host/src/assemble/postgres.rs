//! A PostgreSQL sink of a job file as its connector has it.

use std::sync::Arc;

use weir_connector_postgres::{
    Batch, Column, Missing, Mode, Password, PostgresSink, PostgresSinkOptions, Reconnect, Roots,
    Server, Table, Take, Tls, TlsMode,
};
use weir_job_file::{PostgresMode, PostgresPassword, PostgresRoots, PostgresTake, PostgresTls};
use weir_model::{JobName, Name};
use weir_operator::SinkFactory;

/// The sink; nothing is connected to.
pub(super) fn factory(
    job: &JobName,
    name: &Name,
    sink: &weir_job_file::PostgresSink,
    renamed_from: Option<&Name>,
) -> Arc<dyn SinkFactory> {
    let count = |number: u64| usize::try_from(number).unwrap_or(usize::MAX);
    let column = |(name, take): &(String, PostgresTake)| Column {
        name: name.clone(),
        take: match take {
            PostgresTake::Row => Take::Row,
            PostgresTake::At(pointer) => Take::At(pointer.clone()),
        },
    };
    let columns = sink.columns.as_ref();
    Arc::new(PostgresSink::new(PostgresSinkOptions {
        job: job.clone(),
        sink: name.clone(),
        server: Server {
            host: sink.host.clone(),
            port: sink.port,
            user: sink.user.clone(),
            database: sink.database.clone(),
            password: match &sink.password {
                PostgresPassword::None => Password::None,
                PostgresPassword::Variable(name) => Password::Variable(name.clone()),
                PostgresPassword::File(path) => Password::File(path.clone()),
            },
            tls: Tls {
                mode: match sink.tls {
                    PostgresTls::Disable => TlsMode::Disable,
                    PostgresTls::Prefer => TlsMode::Prefer,
                    PostgresTls::Require => TlsMode::Require,
                    PostgresTls::VerifyCa => TlsMode::VerifyCa,
                    PostgresTls::VerifyFull => TlsMode::VerifyFull,
                },
                roots: sink.roots.as_ref().map(|roots| match roots {
                    PostgresRoots::System => Roots::System,
                    PostgresRoots::File(path) => Roots::File(path.clone()),
                }),
            },
        },
        table: Table {
            schema: sink.schema.clone(),
            name: sink.table.clone(),
        },
        columns: columns.map(|columns| columns.iter().map(column).collect()),
        missing: match sink.missing_null {
            true => Missing::Null,
            false => Missing::Fail,
        },
        mode: match &sink.mode {
            PostgresMode::AtLeastOnce { keys } => Mode::AtLeastOnce { keys: keys.clone() },
            PostgresMode::TwoPhaseCommit => Mode::TwoPhaseCommit,
            PostgresMode::WriteAheadLog { keys } => Mode::WriteAheadLog { keys: keys.clone() },
        },
        batch: Batch {
            rows: count(sink.batch_rows),
            bytes: count(sink.batch_bytes),
        },
        log_bytes: count(sink.log_bytes),
        reconnect: Reconnect {
            attempts: sink.reconnect.attempts,
            backoff: sink.reconnect.backoff,
            max_backoff: sink.reconnect.max_backoff,
        },
        renamed_from: renamed_from.cloned(),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_that_are_told_are_those_of_the_connector() {
        use weir_job_file::PostgresSink as Told;
        let usual = Batch::default();
        assert_eq!(Told::BATCH_ROWS, usual.rows as u64);
        assert_eq!(Told::BATCH_BYTES, usual.bytes as u64);
        assert_eq!(
            Told::LOG_BYTES,
            PostgresSinkOptions::DEFAULT_LOG_BYTES as u64
        );
        let (told, usual) = (weir_job_file::Reconnect::default(), Reconnect::default());
        assert_eq!(
            (told.attempts, told.backoff, told.max_backoff),
            (usual.attempts, usual.backoff, usual.max_backoff)
        );
    }
}
