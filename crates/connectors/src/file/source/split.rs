//! One file being read: the rows cut out of its window, and the position behind the last one.

use std::{fs::File, io, os::unix::fs::MetadataExt, path::PathBuf, sync::Arc};

use weir_model::Batch;
use weir_operator::{Failure, SourceRows, Split};

use super::{
    FileSourceOptions,
    position::{Head, Position},
    window::Window,
};
use crate::rows::{FieldCount, RowCutter, RowRules, Skipped};

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

/// A file that is being read.
pub(super) struct OpenSplit {
    options: Arc<FileSourceOptions>,
    name: Arc<str>,
    path: PathBuf,
    window: Window,
    cutter: RowCutter,
    /// Behind the last whole piece.
    position: Position,
    /// The window has not reached the position yet.
    on_the_way: bool,
}

impl OpenSplit {
    /// Opens a split at its position, after a check that the file is the one it was.
    pub(super) fn open(options: Arc<FileSourceOptions>, split: &Split) -> Result<Self, Failure> {
        let (id, path) = (&split.id, options.base.join(&split.id));
        let look = |e| Failure::io(format!("look at {id}"), &e);
        let saved = Position::read(id, &split.position)?;
        // Opened once: what the path names may be replaced at any time.
        let file = File::open(&path).map_err(|e| Failure::io(format!("open {id}"), &e))?;
        let head = match &saved {
            Some(saved) => {
                let same = saved.head.check(&file).map_err(look)?;
                same.map_err(|how| changed(id, &how))?
            }
            None => Head::of(&file).map_err(look)?,
        };
        let len = file.metadata().map_err(look)?.len();
        let window = Window::of(file, &path, id)?;
        let rules = RowRules {
            source: options.source.clone(),
            format: options.format,
            on_error: options.on_error,
            timestamp: options.timestamp.clone(),
            fields: FieldCount::First,
            place: |path, line| format!("{path}:{line}"),
        };
        let mut cutter = RowCutter::new(rules, id);
        let position = match saved {
            Some(saved) => {
                if !window.is_compressed() && len < saved.offset {
                    return Err(changed(id, &shorter(len, saved.offset)));
                }
                if let Some(fields) = saved.fields {
                    cutter.expect_fields(fields);
                }
                saved.with_head(head)
            }
            None => Position::start(id, head),
        };
        let on_the_way = position.offset > 0;
        Ok(Self {
            options,
            name: id.as_str().into(),
            path,
            window,
            cutter,
            position,
            on_the_way,
        })
    }

    /// The id of the split.
    pub(super) fn id(&self) -> &str {
        &self.position.path
    }

    /// The id of the split, to be shared.
    pub(super) fn name(&self) -> &Arc<str> {
        &self.name
    }

    /// The split at its position behind the last row handed over.
    pub(super) fn snapshot(&mut self) -> Result<Split, Failure> {
        // A file that was shorter than a head when it was opened may have grown: the longer the
        // head, the surer is the check. It is that of the file that is being read, whatever its
        // path names by now.
        if self.options.follow && self.position.head.is_short() {
            let head = self.position.head.check(self.window.file());
            let head = head.map_err(|e| self.looking(&e))?;
            self.position.head = head.map_err(|how| self.unfollowed(format!("the file {how}")))?;
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
        self.cutter.begin(rows);
        let progress = self.cut_rows(rows, max_rows, skipped)?;
        self.cutter.finish(rows, skipped)?;
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
        let before = rows.values.len();
        let pause = self.window.offset().saturating_add(Batch::MAX_BYTES as u64);
        while rows.values.len() < max_rows && self.window.offset() < pause {
            let at_end = self.window.at_end() && !self.options.follow;
            let line = self.position.line + 1;
            let (bytes, cutter) = (self.window.rest(), &mut self.cutter);
            let Some(taken) = cutter.cut(bytes, at_end, line, rows, skipped)? else {
                if at_end {
                    return Ok(Progress::Ended);
                }
                self.window.fill()?;
                if self.window.at_end() && self.options.follow {
                    if self.is_there()? {
                        return Ok(Progress::Dry);
                    }
                    // What came before the path was given to another is read first.
                    self.window.fill()?;
                    if self.window.at_end() {
                        // Whoever fails gives no rows.
                        if rows.values.len() > before {
                            return Ok(Progress::More);
                        }
                        let how = "the file is not at its path any more, it was renamed or \
                                   removed; all whole rows that it had are read";
                        return Err(self.unfollowed(how.into()));
                    }
                }
                continue;
            };
            self.window.consume(taken.bytes);
            if taken.whole {
                self.position.offset = self.window.offset();
                self.position.line += taken.lines;
                self.position.record += taken.records;
                self.position.fields = self.cutter.fields();
            }
        }
        Ok(Progress::More)
    }

    /// Whether the path still names the file that is read; a file that has become shorter cannot be
    /// followed.
    fn is_there(&self) -> Result<bool, Failure> {
        let of_file = self.window.file().metadata();
        let of_file = of_file.map_err(|e| self.looking(&e))?;
        let read = self.window.read();
        if of_file.len() < read {
            let how = format!("the file {}", shorter(of_file.len(), read));
            return Err(self.unfollowed(how));
        }
        match self.path.metadata() {
            Ok(at_path) => {
                let place = |of: &std::fs::Metadata| (of.dev(), of.ino());
                Ok(place(&at_path) == place(&of_file))
            }
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(e) => Err(self.looking(&e)),
        }
    }

    fn looking(&self, e: &io::Error) -> Failure {
        Failure::io(format!("look at {}", self.id()), e)
    }

    /// The file cannot be followed any more.
    fn unfollowed(&self, message: String) -> Failure {
        Failure::External {
            what: format!("follow {}", self.id()),
            message,
        }
    }
}

fn changed(id: &str, how: &str) -> Failure {
    Failure::Restore {
        message: format!("{id} {how}, the checkpoint was reading it"),
    }
}

fn shorter(len: u64, before: u64) -> String {
    format!("has become shorter: {len} bytes, {before} were read")
}
