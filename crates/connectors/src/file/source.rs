//! The file source: each file is a split, read row by row, and can be gone back to at any row.
//!
//! Files ending in `.zst` or `.gz` are decoded, with all their frames or members. A compressed file
//! cannot be read from the middle: resuming decodes it from its beginning and drops what was read
//! before. While following, files that appear later are not found in this version.
//!
//! INVARIANT: a position is always behind a whole row, and only bytes before it decide what the
//! rows behind it are; so a file reads the same from any of its positions.

mod input;
mod paths;
mod position;
mod reader;
mod split;
mod window;

use std::{
    fs::File,
    path::{Path, PathBuf},
    sync::Arc,
};

use serde_json::Value;
use weir_formats::{Piece, Splitter, TimestampSelector, header_names};
use weir_model::SourceName;
use weir_operator::{Discovery, Failure, SourceFactory, SourceReader, Split, TaskInfo};

use self::{paths::Found, reader::FileReader, window::Window};
use crate::rows::{FileFormat, MAX_ROW_BYTES, OnBadRow};

/// What a file source reads and how.
#[derive(Clone, Debug)]
pub struct FileSourceOptions {
    /// The source, for messages.
    pub source: SourceName,
    /// A path, or a pattern with `*`, `?`, `[…]` and `**`. Names that begin with a dot are matched
    /// only by a dot: so a folder that a file sink writes to can be read.
    pub pattern: String,
    /// The folder that a relative pattern starts from. The ids of splits do not hold it, so that
    /// job and data may move together.
    pub base: PathBuf,
    /// How rows are cut out of a file.
    pub format: FileFormat,
    /// Whether to wait for more at the end of a file.
    pub follow: bool,
    /// What becomes of rows that cannot be read.
    pub on_error: OnBadRow,
    /// Where the event time of a row is; `None` = the rows have none.
    pub timestamp: Option<TimestampSelector>,
}

/// Finds the files of one source and makes their readers.
#[derive(Clone, Debug)]
pub struct FileSource {
    options: Arc<FileSourceOptions>,
}

impl FileSource {
    /// The longest row in bytes, as the contract with components has it.
    pub const MAX_ROW_BYTES: usize = MAX_ROW_BYTES;

    /// A source with these options. Nothing is opened yet.
    #[must_use]
    pub fn new(options: FileSourceOptions) -> Self {
        Self {
            options: Arc::new(options),
        }
    }

    /// The names of the columns, from the header of the first file; `None` where the format has no
    /// header.
    ///
    /// # Errors
    /// [`Failure`] where there is no file, or its header cannot be read.
    pub fn header(&self) -> Result<Option<Vec<String>>, Failure> {
        let found = paths::find(&self.options)?;
        let FileFormat::Csv {
            header: true,
            delimiter,
        } = self.options.format
        else {
            return Ok(None);
        };
        let first = first_header(&found, delimiter)?;
        Ok(Some(first.map_or_else(Vec::new, |(_, names)| names)))
    }

    /// All files name the same columns in the same order: keys are selected by column, and a file
    /// with other columns would be counted under wrong keys.
    fn check_headers(&self, found: &[Found]) -> Result<(), Failure> {
        let FileFormat::Csv {
            header: true,
            delimiter,
        } = self.options.format
        else {
            return Ok(());
        };
        if found.len() < 2 {
            return Ok(());
        }
        let Some((first, expected)) = first_header(found, delimiter)? else {
            return Ok(());
        };
        for other in found {
            let header = header_of(&other.path, delimiter)?;
            if header != expected && !header.is_empty() {
                return Err(Failure::BadRow {
                    at: format!("{}:1", other.id),
                    message: format!(
                        "its header is `{}`, that of {} is `{}`",
                        header.join(","),
                        found[first].id,
                        expected.join(",")
                    ),
                });
            }
        }
        Ok(())
    }
}

impl SourceFactory for FileSource {
    fn discover(&self) -> Result<Discovery, Failure> {
        let found = paths::find(&self.options)?;
        if self.options.follow
            && let Some(file) = found
                .iter()
                .find(|f| input::Encoding::of(&f.path).is_compressed())
        {
            return Err(Failure::External {
                what: format!("follow {} (source `{}`)", file.id, self.options.source),
                message: "a compressed file cannot be followed".into(),
            });
        }
        self.check_headers(&found)?;
        let splits = found
            .into_iter()
            .map(|f| Split {
                id: f.id,
                position: Value::Null,
            })
            .collect();
        Ok(Discovery {
            splits,
            spread: self.options.follow,
        })
    }

    fn reader(&self, _task: &TaskInfo) -> Result<Box<dyn SourceReader>, Failure> {
        Ok(Box::new(FileReader::new(Arc::clone(&self.options))))
    }

    fn replayable(&self) -> bool {
        true
    }
}

/// The header of the first file that has one, and which file that is: an empty file has none.
fn first_header(found: &[Found], delimiter: u8) -> Result<Option<(usize, Vec<String>)>, Failure> {
    for (at, file) in found.iter().enumerate() {
        let names = header_of(&file.path, delimiter)?;
        if !names.is_empty() {
            return Ok(Some((at, names)));
        }
    }
    Ok(None)
}

/// The names of the columns of a csv file, decoded by its ending; none where the file is empty.
///
/// # Errors
/// [`Failure`] where the file cannot be read or its first record is malformed.
pub fn header_of(path: &Path, delimiter: u8) -> Result<Vec<String>, Failure> {
    let shown = path.display();
    let bad = |message: String| Failure::BadRow {
        at: format!("{shown}:1"),
        message,
    };
    let file = File::open(path).map_err(|e| Failure::io(format!("open {shown}"), &e))?;
    let mut window = Window::of(file, path, &shown.to_string())?;
    let mut splitter = Splitter::csv(delimiter).with_max_bytes(FileSource::MAX_ROW_BYTES);
    loop {
        let Some(cut) = splitter.next(window.rest(), window.at_end()) else {
            if window.at_end() {
                return Ok(Vec::new());
            }
            window.fill()?;
            continue;
        };
        match cut.piece {
            Piece::Row(record) => return Ok(header_names(record, delimiter)),
            Piece::Malformed(error) => return Err(bad(error.to_string())),
            Piece::Blank | Piece::Discarded => {
                let consumed = cut.consumed;
                window.consume(consumed);
            }
        }
    }
}

#[cfg(test)]
mod tests;
