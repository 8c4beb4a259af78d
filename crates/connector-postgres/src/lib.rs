//! Rows into a table of a PostgreSQL server, with three guarantees: at least once, which is
//! idempotent where rows replace each other by key; exactly once by two-phase commit (`PREPARE
//! TRANSACTION`); exactly once by a write-ahead log in the checkpoint.
//!
//! What decides is pure and has no server in its tests: [`sql`](mod@sql) the statements, `names`,
//! `shape` how rows become columns, `encode` the bytes that the server reads, `sealed` the
//! documents in checkpoints. What acts: `link` a connection, `catalog` what there is, `writer` a
//! task's end, `session` its thread, `log` the write-ahead log, `commit` and `sink`.
//!
//! INVARIANT: values reach the server as data of `COPY` or as parameters, names as quoted
//! identifiers; so nothing in a row or a job file is ever read as SQL.

mod catalog;
mod commit;
mod encode;
mod inbox;
mod json;
mod link;
mod log;
mod names;
mod options;
mod sealed;
mod session;
mod shape;
mod sink;
mod sql;
mod tls;
mod writer;

pub use options::{
    Batch, Column, Missing, Mode, Password, PostgresSinkOptions, Reconnect, Roots, Server, Take,
    Tls, TlsMode,
};
pub use sink::PostgresSink;
pub use sql::Table;
