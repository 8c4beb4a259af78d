//! One file being read: the rows cut out of its window, and the position behind the last one.

use std::{path::PathBuf, sync::Arc};

use weir_formats::{BadTimestamp, Piece, Splitter, TimestampSelector};
use weir_model::{Batch, Column};
use weir_operator::{Failure, SourceRows, Split};

use super::{
    FileFormat, FileSource, FileSourceOptions, OnBadRow,
    position::{Head, Position},
    window::Window,
};

/// What a read of one file came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Progress {
    /// There may be more at once.
    More,
    /// There is nothing more for now.
    Dry,
    /// The file is read.
    Ended,
}

/// Counts the rows that were left out, and logs the first few.
#[derive(Debug, Default)]
pub(super) struct Skipped {
    pub(super) count: u64,
}

/// A file that is being read.
pub(super) struct OpenSplit {
    options: Arc<FileSourceOptions>,
    path: PathBuf,
    window: Window,
    splitter: Splitter,
    /// Behind the last whole piece.
    position: Position,
    /// The window has not reached the position yet.
    on_the_way: bool,
    /// Line of each row of the current read, where its time may turn out to be bad.
    lines: Vec<u64>,
    bad: Vec<BadTimestamp>,
}

impl OpenSplit {
    /// Opens a split at its position, after a check that the file is the one it was.
    pub(super) fn open(options: Arc<FileSourceOptions>, split: &Split) -> Result<Self, Failure> {
        let (id, path) = (&split.id, options.base.join(&split.id));
        let look = |e| Failure::io(format!("look at {id}"), &e);
        let saved = Position::read(id, &split.position)?;
        if let Some(saved) = &saved {
            saved
                .head
                .check(&path)
                .map_err(look)?
                .map_err(|how| changed(id, &how))?;
        }
        let head = Head::of(&path).map_err(look)?;
        let window = Window::open(&path, id)?;
        let mut splitter = splitter(options.format);
        let position = match saved {
            Some(saved) => {
                let len = window.len_on_disk()?;
                if !window.is_compressed() && len < saved.offset {
                    return Err(changed(id, &shorter(len, saved.offset)));
                }
                if let Some(fields) = saved.fields {
                    splitter.expect_fields(fields);
                }
                saved.with_head(head)
            }
            None => Position::start(id, head),
        };
        let on_the_way = position.offset > 0;
        let (lines, bad) = (Vec::new(), Vec::new());
        Ok(Self {
            options,
            path,
            window,
            splitter,
            position,
            on_the_way,
            lines,
            bad,
        })
    }

    /// The id of the split.
    pub(super) fn id(&self) -> &str {
        &self.position.path
    }

    /// The split at its position behind the last row handed over.
    pub(super) fn snapshot(&mut self) -> Result<Split, Failure> {
        // A file that was shorter than a head when it was opened may have grown: the longer the
        // head, the surer is the check.
        if self.options.follow && self.position.head.is_short() {
            self.position.head = Head::of(&self.path)
                .map_err(|e| Failure::io(format!("look at {}", self.id()), &e))?;
        }
        Ok(Split {
            id: self.id().to_owned(),
            position: self.position.to_value()?,
        })
    }

    /// Appends rows up to `max_rows` in all.
    pub(super) fn read(
        &mut self,
        rows: &mut SourceRows,
        max_rows: usize,
        skipped: &mut Skipped,
    ) -> Result<Progress, Failure> {
        if self.on_the_way && !self.arrive()? {
            return Ok(Progress::More);
        }
        let before = rows.values.len();
        self.lines.clear();
        let progress = self.cut_rows(rows, max_rows, skipped)?;
        if let Some(selector) = self.options.timestamp.clone() {
            self.select_times(&selector, rows, before, skipped)?;
        }
        Ok(progress)
    }

    /// Goes on to the position; `false` = not there yet.
    fn arrive(&mut self) -> Result<bool, Failure> {
        let target = self.position.offset;
        if !self.window.go_to(target)? {
            return Ok(false);
        }
        if self.window.offset() < target {
            return Err(changed(self.id(), &shorter(self.window.offset(), target)));
        }
        self.on_the_way = false;
        Ok(true)
    }

    fn cut_rows(
        &mut self,
        rows: &mut SourceRows,
        max_rows: usize,
        skipped: &mut Skipped,
    ) -> Result<Progress, Failure> {
        let pause = self.window.offset().saturating_add(Batch::MAX_BYTES as u64);
        while rows.values.len() < max_rows && self.window.offset() < pause {
            let at_end = self.window.at_end() && !self.options.follow;
            let Some(cut) = self.splitter.next(self.window.rest(), at_end) else {
                if at_end {
                    return Ok(Progress::Ended);
                }
                self.window.fill()?;
                if self.window.at_end() && self.options.follow {
                    return self.look_again();
                }
                continue;
            };
            let line = self.position.line + 1;
            let (consumed, lines) = (cut.consumed, u64::from(cut.lines));
            match cut.piece {
                Piece::Row(_) if self.is_header() => {}
                Piece::Row(row) => {
                    rows.values.push(row);
                    self.position.record += 1;
                    if self.options.timestamp.is_some() {
                        self.lines.push(line);
                    }
                }
                Piece::Blank => {}
                Piece::Malformed(error) => {
                    // Without a header nothing says what the rows are: that is never skipped.
                    self.bad_row(line, error.to_string(), self.is_header(), skipped)?;
                    self.position.record += 1;
                }
                Piece::Discarded => {
                    self.window.consume(consumed);
                    continue;
                }
            }
            self.window.consume(consumed);
            self.position.offset = self.window.offset();
            self.position.line += lines;
            self.position.fields = self.splitter.fields();
        }
        Ok(Progress::More)
    }

    /// Nothing more for now; unless the file has become shorter, which cannot be followed.
    fn look_again(&self) -> Result<Progress, Failure> {
        let (len, read) = (self.window.len_on_disk()?, self.window.read());
        if len < read {
            return Err(Failure::External {
                what: format!("follow {}", self.id()),
                message: format!("the file {}", shorter(len, read)),
            });
        }
        Ok(Progress::Dry)
    }

    /// Whether the header is still to come.
    fn is_header(&self) -> bool {
        match self.options.format {
            FileFormat::Csv { header, .. } => header && self.position.fields.is_none(),
            FileFormat::JsonLines | FileFormat::Lines => false,
        }
    }

    /// Takes the times out of the rows from `before` on, and leaves rows without one out.
    fn select_times(
        &mut self,
        selector: &TimestampSelector,
        rows: &mut SourceRows,
        before: usize,
        skipped: &mut Skipped,
    ) -> Result<(), Failure> {
        let new = rows.values.view().slice(before, rows.values.len());
        self.bad.clear();
        selector.select(new, &mut rows.timestamps, &mut self.bad);
        if self.bad.is_empty() {
            return Ok(());
        }
        let bad = std::mem::take(&mut self.bad);
        for bad in &bad {
            let line = self
                .lines
                .get(bad.row as usize)
                .copied()
                .unwrap_or_default();
            self.bad_row(line, bad.message.clone(), false, skipped)?;
        }
        leave_out(rows, before, &bad);
        Ok(())
    }

    fn bad_row(
        &self,
        line: u64,
        message: String,
        fatal: bool,
        skipped: &mut Skipped,
    ) -> Result<(), Failure> {
        let at = format!("{}:{line}", self.id());
        if fatal || self.options.on_error == OnBadRow::Fail {
            return Err(Failure::BadRow { at, message });
        }
        skipped.add(&self.options, &at, &message);
        Ok(())
    }
}

impl Skipped {
    /// How many are logged.
    const LOGGED: u64 = 10;

    fn add(&mut self, options: &FileSourceOptions, at: &str, message: &str) {
        self.count += 1;
        if self.count <= Self::LOGGED {
            let last = self.count == Self::LOGGED;
            let note = if last {
                " (further ones are only counted)"
            } else {
                ""
            };
            tracing::warn!(source = %options.source, %at, "skipped a malformed row: {message}{note}");
        }
    }
}

/// Drops the rows `bad` of those from `before` on.
fn leave_out(rows: &mut SourceRows, before: usize, bad: &[BadTimestamp]) {
    let mut values = Column::with_capacity(rows.values.len(), rows.values.byte_len());
    let mut timestamps = Vec::with_capacity(rows.timestamps.len());
    let mut bad = bad.iter().map(|b| before + b.row as usize).peekable();
    for (at, (value, time)) in rows.values.iter().zip(&rows.timestamps).enumerate() {
        if bad.next_if_eq(&at).is_none() {
            values.push(value);
            timestamps.push(*time);
        }
    }
    *rows = SourceRows { values, timestamps };
}

fn splitter(format: FileFormat) -> Splitter {
    let splitter = match format {
        FileFormat::Csv { delimiter, .. } => Splitter::csv(delimiter),
        FileFormat::JsonLines => Splitter::json(),
        FileFormat::Lines => Splitter::lines(),
    };
    splitter.with_max_bytes(FileSource::MAX_ROW_BYTES)
}

fn changed(id: &str, how: &str) -> Failure {
    Failure::Restore {
        message: format!("{id} {how}, the checkpoint was reading it"),
    }
}

fn shorter(len: u64, before: u64) -> String {
    format!("has become shorter: {len} bytes, {before} were read")
}
