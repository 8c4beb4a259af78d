//! Job files: from YAML and `--set` to plain values, with every error at its place (D26).
//!
//! [`JobFile::load`] reads a file and tells all that is wrong with it, not only the first thing.
//! [`JobFile::to_graph`] makes the logical graph of it; what that needs to know of the world (the
//! header of a csv file, the outputs of a component) is asked through [`Resolve`]. A host puts its
//! own errors at a place of the file with [`JobFile::diagnose`].

pub mod code;
mod diagnostic;
mod graph;
mod model;
mod read;
mod reference;
mod report;
mod schema;
mod source;
mod spot;
mod wording;
mod yaml;

pub use diagnostic::{Diagnostic, Diagnostics, Label};
pub use graph::Resolve;
pub use model::{
    AtEnd, Checkpoint, ColumnRef, Distribution, FileSink, FileSource, Format, Generator, Input,
    JobFile, Key, Limits, OnBadRow, OnExisting, Operator, Partitioning, Reconnect, Sink,
    SinkConnector, SocketSource, Source, SourceConnector, StateBackend, TimePlace, Timestamp,
};
pub use reference::reference;
pub use schema::schema;
pub use spot::Spot;
