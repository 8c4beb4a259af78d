//! The thread that writes for one subtask, and what it does with the server.
//!
//! INVARIANT: a transaction that was begun is never gone on with over another connection: the
//! connection is only made again before anything of it is written.

use std::sync::Arc;

use bytes::Bytes;
use weir_model::CheckpointId;
use weir_operator::{Failure, Sealed};

use crate::{
    catalog, commit, encode,
    inbox::{Chunk, Inbox, Work},
    link::{Dial, Ending, Link, Told},
    names,
    options::{Mode, PostgresSinkOptions},
    sealed::{By, Document, Mark},
    shape::Shape,
    sql::{self, Target},
};

/// What one subtask has with the server.
pub(crate) struct Session {
    pub(crate) options: Arc<PostgresSinkOptions>,
    pub(crate) dial: Dial,
    pub(crate) shape: Arc<Shape>,
    /// Its writer and subtask; the checkpoint is that of the last seal.
    pub(crate) mark: Mark,
    pub(crate) ending: Ending,
    pub(crate) link: Option<Link>,
    /// Whether a transaction is open.
    pub(crate) open: bool,
}

impl Session {
    /// Works until there is no more work.
    pub(crate) fn run(mut self, inbox: &Inbox) {
        loop {
            let failure = match inbox.next() {
                Work::End => return,
                Work::Rows(chunk) => self.write(chunk).err(),
                Work::Seal(checkpoint, reply) => {
                    let sealed = self.seal(checkpoint);
                    let failure = sealed.as_ref().err().cloned();
                    // Nobody listens any more where the task has ended.
                    let _ = reply.send(sealed);
                    failure
                }
            };
            if let Some(failure) = failure {
                // With the connection goes what was open.
                self.link = None;
                inbox.fail(failure);
            }
        }
    }

    fn write(&mut self, chunk: Chunk) -> Result<(), Failure> {
        self.begin()?;
        let Some(link) = &self.link else {
            return Ok(());
        };
        let target = &self.shape.target;
        let lines = Bytes::from(chunk.lines);
        let refuse = |told| refused(&self.options, target, told, &lines);
        let copy = match target.numbered() {
            true => target.copy_to_stage(),
            false => target.copy(),
        };
        let copied = link.copy(&copy, lines.clone()).map_err(refuse)?;
        if copied != chunk.rows as u64 {
            return Err(Failure::External {
                what: what(&self.options),
                message: format!("the server took {copied} rows of {}", chunk.rows),
            });
        }
        match self.options.mode {
            Mode::TwoPhaseCommit => {}
            Mode::AtLeastOnce { .. } | Mode::WriteAheadLog { .. } => {
                if target.numbered() {
                    link.execute(&target.upsert()).map_err(refuse)?;
                }
                link.execute("COMMIT").map_err(refuse)?;
                self.open = false;
            }
        }
        Ok(())
    }

    /// Begins a transaction, unless one is open; makes the connection anew where it is gone.
    fn begin(&mut self) -> Result<(), Failure> {
        if self.open {
            return Ok(());
        }
        let mut last = None;
        for _ in 0..self.dial.reconnect.attempts.max(1) {
            let mut link = match self.link.take().filter(|link| !link.is_closed()) {
                Some(link) => link,
                None => self.dial.connect(Some(&self.ending))?,
            };
            match begin(&mut link, &self.shape.target) {
                Ok(()) => {
                    self.link = Some(link);
                    self.open = true;
                    return Ok(());
                }
                Err(told) if told.lost => last = Some(told),
                Err(told) => return Err(failed(&self.options, told)),
            }
        }
        let message = last.map_or_else(String::new, |told| told.message);
        Err(Failure::External {
            what: what(&self.options),
            message,
        })
    }

    fn seal(&mut self, checkpoint: CheckpointId) -> Result<Vec<Sealed>, Failure> {
        // At least once everything is committed as it is written.
        let Some(link) = self.link.as_ref().filter(|_| self.open) else {
            return Ok(Vec::new());
        };
        self.mark.checkpoint = checkpoint;
        let Mark {
            writer, subtask, ..
        } = &self.mark;
        let subtask = weir_model::SubtaskIndex(*subtask);
        let (job, sink) = (&self.options.job, &self.options.sink);
        let gid = names::gid(job, sink, subtask, checkpoint, writer);
        let prepare = sql::prepare(&gid);
        let by = By::TwoPhaseCommit { gid };
        let document = Document::new(&self.mark, &self.shape.target.table, by);
        let sealed = Sealed::from(document.to_committable()?);
        commit::mark(&self.options, link, &document)
            .and_then(|()| link.execute(&prepare))
            .map_err(|told| failed(&self.options, told))?;
        self.open = false;
        Ok(vec![sealed])
    }
}

/// Begins a transaction, with the stage that it needs.
fn begin(link: &mut Link, target: &Target) -> Result<(), Told> {
    if target.numbered() {
        link.stage(target.stage())?;
    }
    link.execute("BEGIN")
}

fn what(options: &PostgresSinkOptions) -> String {
    format!(
        "write table `{}` at {} for sink `{}`",
        options.table, options.server, options.sink
    )
}

/// A statement that failed, and not for its rows.
pub(crate) fn failed(options: &PostgresSinkOptions, told: Told) -> Failure {
    match told.class() {
        // There is no such thing, or it may not be touched.
        "42" => catalog::target(options, told.message),
        _ => Failure::External {
            what: what(options),
            message: told.message,
        },
    }
}

/// A statement that failed over `lines`: for one of them, if the server says so.
pub(crate) fn refused(
    options: &PostgresSinkOptions,
    target: &Target,
    told: Told,
    lines: &[u8],
) -> Failure {
    // Data that is no value of its type; a constraint; what a check of the owner's own raised.
    if !matches!(told.class(), "22" | "23" | "P0") {
        return failed(options, told);
    }
    let place = told.place.as_deref().and_then(Place::read);
    let line = place.as_ref().and_then(|place| {
        let lines = lines.split_inclusive(|byte| *byte == b'\n');
        lines.into_iter().nth(place.line.checked_sub(1)?)
    });
    let column = place.and_then(|place| place.column(&target.columns));
    let column = column.map_or_else(String::new, |name| format!("column `{name}`: "));
    Failure::RefusedRow {
        at: format!(
            "table `{}` at {} (sink `{}`)",
            options.table, options.server, options.sink
        ),
        message: format!("{column}{}", told.message),
        row: line.map(|line| encode::shown(line, &target.columns)),
    }
}

/// Where the server was in a `COPY`, as it tells: `COPY t, line 3, column a: "x"`. What stands
/// around the number is in the language of the server.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Place<'a> {
    /// From 1.
    line: usize,
    rest: &'a str,
}

impl<'a> Place<'a> {
    fn read(text: &'a str) -> Option<Self> {
        // What a trigger adds stands on lines of its own; the name of a table may hold anything.
        let lines = text.lines().filter(|line| line.starts_with("COPY "));
        let mut found = lines.flat_map(|line| line.match_indices(", ").map(move |at| (line, at.0)));
        found.find_map(|(line, at)| {
            let behind = line.get(at + 2..)?;
            let (word, behind) = behind.split_once(' ')?;
            let digits = behind.bytes().take_while(u8::is_ascii_digit).count();
            let number = behind.get(..digits)?.parse().ok()?;
            let rest = behind.get(digits..)?;
            // A word and a number, and nothing but a column or a colon behind them.
            let is_place = !word.contains(',') && (rest.is_empty() || rest.starts_with([',', ':']));
            is_place.then_some(Self { line: number, rest })
        })
    }

    /// Which of the columns it names: `, column a: "x"`, or `, column a, null input`.
    fn column(&self, columns: &[String]) -> Option<String> {
        let (_, named) = self.rest.strip_prefix(", ")?.split_once(' ')?;
        let named = |column: &&String| {
            let rest = named.strip_prefix(column.as_str());
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with([':', ',']))
        };
        columns
            .iter()
            .filter(named)
            .max_by_key(|c| c.len())
            .cloned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shape::tests::{options, plain, table};

    fn target() -> Target {
        Target {
            table: table(),
            columns: ["a", "a, b", "n"].map(str::to_owned).into(),
            left: Vec::new(),
            keys: Vec::new(),
        }
    }

    #[track_caller]
    fn check(place: &str, row: Option<&str>, column: Option<&str>) {
        let told = Told {
            lost: false,
            state: Some("22P02".into()),
            message: "it is bad".into(),
            place: Some(place.into()),
            about_tls: false,
        };
        let lines = b"1\tx\t2\n3\ty\t4\n5\tz\t6\n";
        let Failure::RefusedRow {
            row: r, message, ..
        } = refused(&options(plain()), &target(), told, lines)
        else {
            panic!("not refused")
        };
        assert_eq!(r.as_deref(), row, "{place}");
        let prefix = column.map_or(String::new(), |name| format!("column `{name}`: "));
        assert_eq!(message, format!("{prefix}it is bad"));
    }

    #[test]
    fn a_row_that_the_server_refuses_is_named_whatever_its_language() {
        let second = Some("a = 3, a, b = y, n = 4");
        check("COPY t, line 2, column n: \"x\"", second, Some("n"));
        check(
            "COPY t, line 2, column a, b: \"x, line 3\"",
            second,
            Some("a, b"),
        );
        check("COPY t, line 2, column a, null input", second, Some("a"));
        check("COPY t, line 2: \"3\ty\t4\"", second, None);
        check("COPY t, Zeile 2, Spalte a: »x«", second, Some("a"));
        check(
            "COPY odd, name 7x, line 2, column n: \"x\"",
            second,
            Some("n"),
        );
        check("PL/pgSQL function f()\nCOPY t, line 2", second, None);
        check("COPY t, line 99", None, None);
        check("somewhere", None, None);
    }

    #[test]
    fn what_is_no_fault_of_a_row_is_told_as_what_it_is() {
        let told = |state: &str| Told {
            lost: false,
            state: Some(state.into()),
            message: "no".into(),
            place: Some("COPY t, line 1".into()),
            about_tls: false,
        };
        let refuse = |state| refused(&options(plain()), &target(), told(state), b"1\n");
        assert!(matches!(refuse("42P01"), Failure::Target { .. }));
        assert!(matches!(refuse("53100"), Failure::External { .. }));
        assert!(matches!(refuse("23505"), Failure::RefusedRow { .. }));
    }
}
