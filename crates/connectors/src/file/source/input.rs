//! The bytes of a file, decoded by its ending.

use std::{
    fs::File,
    io::{self, Read, Seek, SeekFrom},
    path::Path,
};

use flate2::read::MultiGzDecoder;
use zstd::stream::read::Decoder as ZstdDecoder;

/// How the content of a file is encoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Encoding {
    Plain,
    Zstd,
    Gzip,
}

impl Encoding {
    /// The encoding that the ending of a path says.
    pub(super) fn of(path: &Path) -> Self {
        let ending = path.extension().unwrap_or_default();
        if ending.eq_ignore_ascii_case("zst") {
            Self::Zstd
        } else if ending.eq_ignore_ascii_case("gz") {
            Self::Gzip
        } else {
            Self::Plain
        }
    }

    /// Whether a file can only be read from its beginning.
    pub(super) fn is_compressed(self) -> bool {
        self != Self::Plain
    }
}

/// An open file that gives decoded bytes in order.
pub(super) enum Input {
    Plain(File),
    Zstd(ZstdDecoder<'static, io::BufReader<File>>),
    Gzip(MultiGzDecoder<File>),
}

impl Input {
    /// Decodes `file`, which stands at its beginning.
    pub(super) fn new(file: File, encoding: Encoding) -> io::Result<Self> {
        Ok(match encoding {
            Encoding::Plain => Self::Plain(file),
            Encoding::Zstd => Self::Zstd(ZstdDecoder::new(file)?),
            Encoding::Gzip => Self::Gzip(MultiGzDecoder::new(file)),
        })
    }

    /// Goes to a decoded offset at once where that is possible; `false` where what lies before must
    /// be decoded and dropped.
    pub(super) fn seek(&mut self, offset: u64) -> io::Result<bool> {
        match self {
            Self::Plain(file) => file.seek(SeekFrom::Start(offset)).map(|_| true),
            Self::Zstd(_) | Self::Gzip(_) => Ok(offset == 0),
        }
    }

    /// The file, for what does not move it.
    pub(super) fn file(&self) -> &File {
        match self {
            Self::Plain(file) => file,
            Self::Zstd(decoder) => decoder.get_ref().get_ref(),
            Self::Gzip(decoder) => decoder.get_ref(),
        }
    }

    /// Reads until `buffer` is full, there is nothing more, or a fault. Gives the number of bytes;
    /// what was decoded before a fault is good.
    pub(super) fn read_full(&mut self, buffer: &mut [u8]) -> (usize, io::Result<()>) {
        let mut len = 0;
        while let Some(free) = buffer.get_mut(len..).filter(|free| !free.is_empty()) {
            let read = match self {
                Self::Plain(file) => file.read(free),
                Self::Zstd(decoder) => decoder.read(free),
                Self::Gzip(decoder) => decoder.read(free),
            };
            match read {
                Ok(0) => break,
                Ok(read) => len += read,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return (len, Err(e)),
            }
        }
        (len, Ok(()))
    }
}
