//! From bytes to rows with their times, and what becomes of those that cannot be read: the same for
//! all sources that read bytes, so that a row means the same wherever it comes from.

use weir_formats::{BadTimestamp, Piece, Splitter, TimestampSelector};
use weir_model::{Column, SourceName};
use weir_operator::{Failure, SourceRows};

/// The longest row in bytes, as the contract with components has it.
pub(crate) const MAX_ROW_BYTES: usize = 16 * 1024 * 1024;

/// How rows are cut out of a file, or out of what comes over a socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileFormat {
    /// Each csv record is a row.
    Csv {
        /// Whether the first record of each file (or connection) names the columns; it is no row
        /// then.
        header: bool,
        /// What stands between fields: one ASCII character.
        delimiter: u8,
    },
    /// Each line is a row and must be a JSON document.
    JsonLines,
    /// Each line is a row.
    Lines,
}

/// What becomes of rows that cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnBadRow {
    /// The job fails and names file and line.
    Fail,
    /// They are counted and left out; the first few are logged.
    Skip,
}

/// How the rows of one source are read.
#[derive(Clone, Debug)]
pub(crate) struct RowRules {
    /// The source, for messages.
    pub(crate) source: SourceName,
    pub(crate) format: FileFormat,
    pub(crate) on_error: OnBadRow,
    pub(crate) timestamp: Option<TimestampSelector>,
    /// What the number of fields of a csv record is held against.
    pub(crate) fields: FieldCount,
    /// Says where a row is, from the name of its split and its line.
    pub(crate) place: fn(&str, u64) -> String,
}

/// What says how many fields a csv record has. One with another number is malformed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FieldCount {
    /// The first record, be it a header or a row.
    First,
    /// The header. Without one nothing does: of what somebody sends, the first record is as likely
    /// wrong as any other.
    Header,
}

/// Cuts the rows of one split.
///
/// A read of a split is [`begin`](Self::begin), any number of [`cut`](Self::cut), and
/// [`finish`](Self::finish).
pub(crate) struct RowCutter {
    rules: RowRules,
    /// The split, for messages.
    split: String,
    splitter: Splitter,
    /// How many rows there were before the current read.
    before: usize,
    /// Line of each row of the current read, where its time may turn out to be bad.
    lines: Vec<u64>,
    bad: Vec<BadTimestamp>,
}

/// What was taken from the beginning of the bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Taken {
    /// How many bytes.
    pub(crate) bytes: usize,
    /// How many line ends.
    pub(crate) lines: u64,
    /// How many records, malformed ones too; a header is none.
    pub(crate) records: u64,
    /// Whether it ends where a row ends: a place to go on from.
    pub(crate) whole: bool,
}

/// Counts the rows that were left out, and logs the first few.
#[derive(Debug, Default)]
pub(crate) struct Skipped {
    pub(crate) count: u64,
}

impl RowRules {
    fn splitter(&self) -> Splitter {
        let splitter = match (self.format, self.fields) {
            (
                FileFormat::Csv {
                    header: false,
                    delimiter,
                },
                FieldCount::Header,
            ) => Splitter::csv(delimiter).with_any_fields(),
            (FileFormat::Csv { delimiter, .. }, FieldCount::First | FieldCount::Header) => {
                Splitter::csv(delimiter)
            }
            (FileFormat::JsonLines, _) => Splitter::json(),
            (FileFormat::Lines, _) => Splitter::lines(),
        };
        splitter.with_max_bytes(MAX_ROW_BYTES)
    }
}

impl RowCutter {
    /// Begins at the beginning of a split, called `split` in messages.
    pub(crate) fn new(rules: RowRules, split: &str) -> Self {
        Self {
            splitter: rules.splitter(),
            rules,
            split: split.to_owned(),
            before: 0,
            lines: Vec::new(),
            bad: Vec::new(),
        }
    }

    /// From here on the bytes are those of a new stream.
    pub(crate) fn restart(&mut self) {
        self.splitter = self.rules.splitter();
    }

    /// How many fields a csv record must have, once known.
    pub(crate) fn fields(&self) -> Option<usize> {
        self.splitter.fields()
    }

    /// Sets how many fields a csv record must have, and that the header is behind it.
    pub(crate) fn expect_fields(&mut self, count: usize) {
        self.splitter.expect_fields(count);
    }

    /// Begins a read that appends to `rows`.
    pub(crate) fn begin(&mut self, rows: &SourceRows) {
        self.before = rows.values.len();
        self.lines.clear();
    }

    /// Takes the next piece, which begins at `line`, and appends its row if it is one. `at_end`: no
    /// further bytes will come. `None`: more bytes are needed, or there are none left.
    pub(crate) fn cut(
        &mut self,
        bytes: &[u8],
        at_end: bool,
        line: u64,
        rows: &mut SourceRows,
        skipped: &mut Skipped,
    ) -> Result<Option<Taken>, Failure> {
        let is_header = self.is_header();
        let Some(cut) = self.splitter.next(bytes, at_end) else {
            return Ok(None);
        };
        let mut taken = Taken {
            bytes: cut.consumed,
            lines: u64::from(cut.lines),
            records: 0,
            whole: true,
        };
        match cut.piece {
            Piece::Row(_) if is_header => {}
            Piece::Row(row) => {
                rows.values.push(row);
                taken.records = 1;
                if self.rules.timestamp.is_some() {
                    self.lines.push(line);
                }
            }
            Piece::Blank => {}
            Piece::Malformed(error) => {
                // Without a header nothing says what the rows are: that is never skipped.
                self.bad_row(line, error.to_string(), is_header, skipped)?;
                taken.records = 1;
            }
            Piece::Discarded => taken.whole = false,
        }
        Ok(Some(taken))
    }

    /// Takes the times out of the rows of this read, and leaves rows without one out.
    pub(crate) fn finish(
        &mut self,
        rows: &mut SourceRows,
        skipped: &mut Skipped,
    ) -> Result<(), Failure> {
        let Some(selector) = &self.rules.timestamp else {
            return Ok(());
        };
        let new = rows.values.view().slice(self.before, rows.values.len());
        self.bad.clear();
        selector.select(new, &mut rows.timestamps, &mut self.bad);
        if self.bad.is_empty() {
            return Ok(());
        }
        let bad = std::mem::take(&mut self.bad);
        for bad in bad.iter().filter(|bad| !bad.left_out) {
            let line = self
                .lines
                .get(bad.row as usize)
                .copied()
                .unwrap_or_default();
            self.bad_row(line, bad.message.clone(), false, skipped)?;
        }
        leave_out(rows, self.before, &bad);
        Ok(())
    }

    /// Whether the header is still to come.
    fn is_header(&self) -> bool {
        match self.rules.format {
            FileFormat::Csv { header, .. } => header && self.splitter.fields().is_none(),
            FileFormat::JsonLines | FileFormat::Lines => false,
        }
    }

    fn bad_row(
        &self,
        line: u64,
        message: String,
        fatal: bool,
        skipped: &mut Skipped,
    ) -> Result<(), Failure> {
        let at = (self.rules.place)(&self.split, line);
        if fatal {
            return Err(Failure::BadRow { at, message });
        }
        let source = &self.rules.source;
        match self.rules.on_error {
            OnBadRow::Fail => Err(Failure::BadRow {
                at,
                message: format!(
                    "{message}; `on-error: skip` of source `{source}` leaves such rows out"
                ),
            }),
            OnBadRow::Skip => {
                skipped.add(source, &at, &message);
                Ok(())
            }
        }
    }
}

impl Skipped {
    /// How many are logged.
    const LOGGED: u64 = 10;

    fn add(&mut self, source: &SourceName, at: &str, message: &str) {
        self.count += 1;
        if self.count <= Self::LOGGED {
            let last = self.count == Self::LOGGED;
            let note = if last {
                " (further ones are only counted)"
            } else {
                ""
            };
            tracing::warn!(%source, %at, "skipped a malformed row: {message}{note}");
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
    (rows.values, rows.timestamps) = (values, timestamps);
}
