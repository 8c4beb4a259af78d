//! The sink on a real server, which `./jw test-postgres` starts. Each test has a database of its
//! own; those that stop a server or need other settings have a server of their own.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a panic is how a test says that something is wrong"
)]

mod c40;
mod database;
mod jobs;
mod log;
mod refused;
mod renamed;
mod restarts;
mod rows;
mod side_by_side;
mod tls;

use weir_connector_postgres::{
    Batch, Column, Missing, Mode, Password, PostgresSink, PostgresSinkOptions, Reconnect, Server,
    Table, Take, Tls,
};
use weir_formats::Pointer;
use weir_model::{
    Attempt, Batch as Rows, CheckpointId, MaxParallelism, Name, Parallelism, SubtaskIndex,
};
use weir_operator::{Failure, Sealed, Sink, SinkFactory, TaskInfo};

use crate::database::Database;

fn plain() -> Mode {
    Mode::AtLeastOnce { keys: Vec::new() }
}

fn upsert(keys: &[&str]) -> Mode {
    Mode::AtLeastOnce { keys: owned(keys) }
}

fn logged(keys: &[&str]) -> Mode {
    Mode::WriteAheadLog { keys: owned(keys) }
}

fn owned(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

fn at(name: &str, pointer: &str) -> Column {
    Column {
        name: name.into(),
        take: Take::At(Pointer::parse(pointer).unwrap()),
    }
}

/// A sink `out` of job `job` into table `t`.
fn options(database: &Database, mode: Mode) -> PostgresSinkOptions {
    PostgresSinkOptions {
        job: Name::new("job").unwrap(),
        sink: Name::new("out").unwrap(),
        server: Server {
            host: database.folder.clone(),
            port: database.port,
            user: "weir".into(),
            database: database.name.clone(),
            password: Password::None,
            tls: Tls::default(),
        },
        table: Table {
            schema: None,
            name: "t".into(),
        },
        columns: None,
        missing: Missing::Fail,
        mode,
        batch: Batch::default(),
        log_bytes: 1 << 20,
        reconnect: Reconnect::default(),
        renamed_from: None,
    }
}

fn sink(database: &Database, mode: Mode) -> PostgresSink {
    PostgresSink::new(options(database, mode))
}

/// One writer of a sink.
fn writer(factory: &PostgresSink, subtask: u32) -> Box<dyn Sink> {
    let info = TaskInfo {
        job: Name::new("job").unwrap(),
        operator: Name::new("out").unwrap(),
        subtask: SubtaskIndex(subtask),
        parallelism: Parallelism::new(4).unwrap(),
        max_parallelism: MaxParallelism::new(128).unwrap(),
        attempt: Attempt(1),
    };
    factory.create(&info).unwrap()
}

fn write(sink: &mut dyn Sink, rows: &[&str]) -> Result<(), Failure> {
    let batch = Rows {
        values: rows.iter().map(|row| row.as_bytes()).collect(),
        ..Rows::default()
    };
    sink.write(batch.rows())
}

fn seal(sink: &mut dyn Sink, checkpoint: u64) -> Result<Vec<Sealed>, Failure> {
    sink.pre_commit(CheckpointId(checkpoint))?()
}
