//! Where rows come from and where they go: files, sockets, a generator, standard output.
//!
//! Each connector implements the traits of `weir-operator` and keeps the promises written there;
//! the host alone chooses among them. Nothing here knows of tasks, channels or where checkpoints
//! are kept.
//!
//! A file source names its splits by their path, reads them in order and can go back to any row
//! (D25); a file sink shows what it wrote with its checkpoint, each row once (D21). A generator
//! makes up rows, the same after every restart. Standard output shows rows as they come, at least
//! once.

mod file;
mod generator;
mod rows;
mod socket;
mod stdout;

pub use file::{
    Disk, DiskFile, FileSink, FileSinkOptions, FileSource, FileSourceOptions, SystemDisk, header_of,
};
pub use generator::{GeneratorOptions, GeneratorSource, KeyDistribution};
pub use rows::{FileFormat, OnBadRow};
pub use socket::{AtEnd, Reconnect, SocketSource, SocketSourceOptions};
pub use stdout::StdoutSink;
