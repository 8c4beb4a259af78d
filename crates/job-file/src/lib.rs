//! Job files: from YAML and `--set` to plain values, with every error at its place (D26).
//!
//! [`JobFile::load`] reads a file and tells all that is wrong with it, not only the first thing.
//! [`JobFile::to_graph`] makes the logical graph of it; what that needs to know of the world (the
//! header of a csv file, the outputs of a component) is asked through [`Resolve`]. A host puts its
//! own errors at a place of the file with [`JobFile::diagnose`]. What holds for all jobs of a
//! host is a [`HostFile`], on which job files are loaded.

pub mod code;
mod diagnostic;
mod graph;
mod host;
mod model;
mod read;
mod reference;
mod report;
mod schema;
mod secret;
mod source;
mod spot;
mod test_file;
mod wording;
mod yaml;

pub use weir_event_time::EmittedStrategy;

pub use diagnostic::{Diagnostic, Diagnostics, Label};
pub use graph::Resolve;
pub use host::HostFile;
pub use model::{
    AtEnd, Bounds, Checkpoint, ColumnRef, Distribution, FileSink, FileSource, Format, FromHost,
    Generator, Input, JobFile, Join, JoinRules, Key, Limits, Location, OnBadRow, OnExisting,
    Operator, Partitioning, PostgresMode, PostgresPassword, PostgresRoots, PostgresSink,
    PostgresTake, PostgresTls, Reconnect, RocksDb, S3Access, Sink, SinkConnector, SocketSource,
    Source, SourceConnector, StateBackend, TimePlace, Timestamp, Windows,
};
pub use read::duration_ms;
pub use reference::{host_reference, reference, test_reference};
pub use schema::{host_schema, schema, test_schema};
pub use spot::Spot;
pub use test_file::{
    ExpectedContent, ExpectedJson, ExpectedRow, ExpectedState, ExpectedTimer, ExpectedValue,
    GivenRow, Step, TestCase, TestFile, TestPlace, TestStep,
};
