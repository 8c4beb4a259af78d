//! Files: a source that reads them row by row, and a sink that writes them in two phases.

mod disk;
mod sink;
mod source;

use std::io::{self, Read};

pub use disk::{Disk, DiskFile, SystemDisk};
pub use sink::{FileSink, FileSinkOptions};
pub use source::{FileSource, FileSourceOptions, header_of};

/// Checksum (crc32c) of everything that `from` gives.
fn checksum(mut from: impl Read) -> io::Result<u32> {
    let mut buffer = vec![0; 64 * 1024];
    let mut crc32c = 0;
    loop {
        match from.read(&mut buffer) {
            Ok(0) => return Ok(crc32c),
            Ok(read) => {
                crc32c = crc32c::crc32c_append(crc32c, buffer.get(..read).unwrap_or_default());
            }
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
}
