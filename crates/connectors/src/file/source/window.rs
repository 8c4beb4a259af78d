//! A window on the decoded bytes of a file, moved along as they are consumed.

use std::{fs::File, io, path::Path};

use weir_formats::without_bom;
use weir_operator::Failure;

use super::{
    FileSource,
    input::{Encoding, Input},
};

/// How much is read at once; the window grows only where a row does not fit.
const CHUNK_BYTES: usize = 256 * 1024;

/// The largest window: the longest row, and room to see that it ends.
const WINDOW_BYTES_MAX: usize = 2 * FileSource::MAX_ROW_BYTES;

/// How much is decoded and dropped at once on the way to a position in a compressed file, so that a
/// barrier need not wait for all of it.
const SKIP_BYTES_AT_ONCE: u64 = 8 * 1024 * 1024;

/// An open file, and what was read from it and is not consumed.
pub(super) struct Window {
    /// The name for messages.
    name: String,
    input: Input,
    bytes: Vec<u8>,
    from: usize,
    to: usize,
    /// Decoded bytes read so far.
    read: u64,
    /// What the last read came to after its bytes, told by the next one.
    fault: Option<io::Error>,
    at_end: bool,
}

impl Window {
    /// Reads the file that was opened at `path`, called `name` in messages. Nothing is read yet.
    pub(super) fn of(file: File, path: &Path, name: &str) -> Result<Self, Failure> {
        let input = Input::new(file, Encoding::of(path));
        Ok(Self {
            name: name.to_owned(),
            input: input.map_err(|e| Failure::io(format!("open {name}"), &e))?,
            bytes: vec![0; CHUNK_BYTES],
            from: 0,
            to: 0,
            read: 0,
            fault: None,
            at_end: false,
        })
    }

    /// What was read and not consumed.
    pub(super) fn rest(&self) -> &[u8] {
        self.bytes.get(self.from..self.to).unwrap_or_default()
    }

    /// Whether the last read found nothing more.
    pub(super) fn at_end(&self) -> bool {
        self.at_end
    }

    /// The decoded offset of [`rest`](Self::rest).
    pub(super) fn offset(&self) -> u64 {
        self.read - (self.to - self.from) as u64
    }

    /// Moves on by so many bytes of [`rest`](Self::rest).
    pub(super) fn consume(&mut self, bytes: usize) {
        self.from = (self.from + bytes).min(self.to);
    }

    /// Reads on. Afterwards there are more bytes, or it is at the end.
    pub(super) fn fill(&mut self) -> Result<(), Failure> {
        if let Some(fault) = self.fault.take() {
            let what = format!("read {} at byte {}", self.name, self.read);
            return Err(Failure::io(what, &fault));
        }
        let at_start = self.offset() == 0;
        self.bytes.copy_within(self.from..self.to, 0);
        (self.from, self.to) = (0, self.to - self.from);
        if self.to == self.bytes.len() {
            self.grow()?;
        }
        let (read, end) = self
            .input
            .read_full(self.bytes.get_mut(self.to..).unwrap_or_default());
        self.to += read;
        self.read += read as u64;
        self.at_end = read == 0 && end.is_ok();
        self.fault = end.err();
        if read == 0 && self.fault.is_some() {
            return self.fill();
        }
        // A byte order mark belongs to the encoding, not to the first row.
        if at_start {
            self.from = self.to - without_bom(self.rest()).len();
        }
        Ok(())
    }

    /// Goes on towards a decoded offset, from a window nothing was consumed of yet; `false` = call
    /// again. A file that ends before is left at its end.
    pub(super) fn go_to(&mut self, offset: u64) -> Result<bool, Failure> {
        if self.read == 0 && offset > 0 {
            let sought = self.input.seek(offset);
            if sought.map_err(|e| Failure::io(format!("seek in {}", self.name), &e))? {
                self.read = offset;
            }
        }
        let pause = self.offset().saturating_add(SKIP_BYTES_AT_ONCE);
        while self.offset() < offset {
            if self.offset() >= pause {
                return Ok(false);
            }
            if self.rest().is_empty() {
                self.fill()?;
                if self.at_end {
                    break;
                }
            }
            let missing = offset.saturating_sub(self.offset());
            self.consume(
                usize::try_from(missing)
                    .unwrap_or(usize::MAX)
                    .min(self.rest().len()),
            );
        }
        Ok(true)
    }

    /// Decoded bytes read so far, consumed or not.
    pub(super) fn read(&self) -> u64 {
        self.read
    }

    /// Whether the offset is not that of the bytes on disk.
    pub(super) fn is_compressed(&self) -> bool {
        !matches!(self.input, Input::Plain(_))
    }

    /// The file, for what does not move it.
    pub(super) fn file(&self) -> &File {
        self.input.file()
    }

    fn grow(&mut self) -> Result<(), Failure> {
        let len = (self.bytes.len() * 2).min(WINDOW_BYTES_MAX);
        if len == self.bytes.len() {
            return Err(Failure::Internal {
                message: format!("no row was cut from {len} bytes of {}", self.name),
            });
        }
        self.bytes.resize(len, 0);
        Ok(())
    }
}
