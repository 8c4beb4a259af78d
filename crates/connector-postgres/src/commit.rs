//! Making visible what was sealed: idempotent, so that it may be cut off anywhere and done again.
//!
//! INVARIANT: what is committed and the mark that says so become visible in one transaction of the
//! server. So a transaction that is not there any more was committed if it is marked, and was lost
//! if it is not.

use std::{
    sync::{Arc, Mutex, PoisonError},
    thread::sleep,
    time::Duration,
};

use bytes::Bytes;
use weir_model::SinkName;
use weir_operator::{Failure, OnLost, Recovered, Sealed};

use crate::{
    catalog,
    link::{Dial, Link, Told},
    names,
    options::PostgresSinkOptions,
    sealed::{By, Document},
    session::{failed, refused},
    sql::{self, Table, Target},
};

/// Commits what the writers of one sink have sealed, over a connection of its own.
pub(crate) struct Committer {
    options: Arc<PostgresSinkOptions>,
    dial: Dial,
    link: Mutex<Option<Link>>,
}

/// What became of one sealed transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Done {
    Now,
    Before,
}

/// What a transaction is that is not prepared any more, by the highest mark of its writer: a
/// writer's transactions are committed in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Gone {
    Committed,
    Lost,
}

fn gone(highest: Option<i64>, checkpoint: i64) -> Gone {
    match highest {
        Some(highest) if highest >= checkpoint => Gone::Committed,
        Some(_) | None => Gone::Lost,
    }
}

/// Why something was not done.
pub(crate) enum Trouble {
    /// It may go better next time, over a new connection.
    Again(Told),
    /// It will not.
    Failed(Failure),
}

impl From<Failure> for Trouble {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

impl Committer {
    pub(crate) fn new(options: Arc<PostgresSinkOptions>, dial: Dial) -> Self {
        let link = Mutex::default();
        Self {
            options,
            dial,
            link,
        }
    }

    /// Does something over a connection, and again over another where it was lost.
    pub(crate) fn with<T>(
        &self,
        mut work: impl FnMut(&mut Link) -> Result<T, Trouble>,
    ) -> Result<T, Failure> {
        // What a panic left half done goes with its connection.
        let mut held = self.link.lock().unwrap_or_else(PoisonError::into_inner);
        let reconnect = self.dial.reconnect;
        let mut last = None;
        for number in 0..reconnect.attempts.max(1) {
            sleep(reconnect.wait(number));
            let link = match held.take().filter(|link| !link.is_closed()) {
                Some(link) => link,
                None => self.dial.connect(None)?,
            };
            // Only one on which all went well is kept: another may be in the middle of something.
            let link = held.insert(link);
            match work(link) {
                Ok(done) => return Ok(done),
                Err(trouble) => {
                    *held = None;
                    match trouble {
                        Trouble::Again(told) => last = Some(told),
                        Trouble::Failed(failure) => return Err(failure),
                    }
                }
            }
        }
        let message = last.map_or_else(String::new, |told: Told| told.message);
        Err(self.not_committed(message))
    }

    fn not_committed(&self, message: String) -> Failure {
        Failure::External {
            what: format!(
                "commit to table `{}` at {} for sink `{}`",
                self.options.table, self.options.server, self.options.sink
            ),
            message,
        }
    }

    /// Commits all of `sealed`, in order, but for what is gone and `lost` gives up.
    pub(crate) fn commit(&self, sealed: &[Sealed], lost: OnLost<'_>) -> Result<Recovered, Failure> {
        let documents = sealed.iter().map(|one| Document::read(&one.committable));
        let documents = documents.collect::<Result<Vec<_>, _>>()?;
        let mut recovered = Recovered::default();
        for (at, (document, one)) in documents.iter().zip(sealed).enumerate() {
            let done = match &document.by {
                By::TwoPhaseCommit { gid } => {
                    match self.with(|link| self.commit_prepared(link, document, gid)) {
                        Err(failure @ Failure::LostTransaction { .. }) => {
                            lost(at, failure)?;
                            continue;
                        }
                        result => result?,
                    }
                }
                By::WriteAheadLog {
                    rows,
                    columns,
                    left,
                    keys,
                } => {
                    let target = Target {
                        table: document.table(),
                        columns: columns.clone(),
                        left: left.clone(),
                        keys: keys.clone(),
                    };
                    let Some(log) = &one.log else {
                        let message = format!(
                            "the checkpoint holds no rows of what sink `{}` sealed at checkpoint {}",
                            self.options.sink, document.checkpoint
                        );
                        return Err(Failure::Restore { message });
                    };
                    let lines = Bytes::from_owner(log.clone());
                    self.with(|link| self.write(link, document, &target, *rows, lines.clone()))?
                }
            };
            match done {
                Done::Now => recovered.committed += 1,
                Done::Before => recovered.already += 1,
            }
        }
        Ok(recovered)
    }

    fn commit_prepared(
        &self,
        link: &Link,
        document: &Document,
        gid: &str,
    ) -> Result<Done, Trouble> {
        // A checkpoint is input: it must not name transactions of somebody else.
        if !names::is_of_job(gid, &self.options.job) {
            let message = format!(
                "the checkpoint names transaction `{gid}` for sink `{}`, which is none of job `{}`",
                self.options.sink, self.options.job
            );
            return Err(Failure::Restore { message }.into());
        }
        match link.execute(&sql::commit_prepared(gid)) {
            Ok(()) => {
                // Marks that stay are dropped with the next.
                let _ = self.unmark(link, document);
                Ok(Done::Now)
            }
            // There is none of that name.
            Err(told) if told.is("42704") => {
                let highest = self.highest_mark(link, document)?;
                match gone(highest, checkpoint(document)) {
                    Gone::Committed => Ok(Done::Before),
                    Gone::Lost => Err(Failure::LostTransaction {
                        what: format!(
                            "prepared transaction `{gid}` of checkpoint {} at {}",
                            document.checkpoint, self.options.server
                        ),
                        message: format!(
                            "it is not there, and table `{}` does not say that it was committed: \
                             it was rolled back by hand, or the server was restored from a backup",
                            document.table().commits()
                        ),
                    }
                    .into()),
                }
            }
            // A session that died with it is not quite gone.
            Err(told) if told.lost || told.is("55000") => Err(Trouble::Again(told)),
            Err(told) => Err(self.not_committed(told.message).into()),
        }
    }

    /// Writes the rows of a log and its mark, unless they were.
    fn write(
        &self,
        link: &mut Link,
        document: &Document,
        target: &Target,
        rows: u64,
        lines: Bytes,
    ) -> Result<Done, Trouble> {
        let told = |told: Told| self.trouble(told, target, &lines);
        if target.numbered() {
            link.stage(target.stage()).map_err(told)?;
        }
        link.execute("BEGIN").map_err(told)?;
        if gone(self.highest_mark(link, document)?, checkpoint(document)) == Gone::Committed {
            link.execute("ROLLBACK").map_err(told)?;
            return Ok(Done::Before);
        }
        let copied = match target.numbered() {
            true => {
                let copied = link.copy(&target.copy_to_stage(), lines.clone());
                let copied = copied.map_err(told)?;
                link.execute(&target.upsert()).map_err(told)?;
                copied
            }
            false => link.copy(&target.copy(), lines.clone()).map_err(told)?,
        };
        if copied != rows {
            let message = format!("the server took {copied} rows of {rows}");
            return Err(self.not_committed(message).into());
        }
        // Where another process has written it meanwhile, its mark is there.
        self.mark(link, document).map_err(Trouble::Again)?;
        self.unmark(link, document).map_err(told)?;
        link.execute("COMMIT").map_err(told)?;
        Ok(Done::Now)
    }

    fn trouble(&self, told: Told, target: &Target, lines: &[u8]) -> Trouble {
        // Deadlock, serialization, a lock that others hold for long.
        let waits = ["40P01", "40001", "55P03"]
            .iter()
            .any(|state| told.is(state));
        if told.lost || waits {
            return Trouble::Again(told);
        }
        Trouble::Failed(refused(&self.options, target, told, lines))
    }

    fn highest_mark(&self, link: &Link, document: &Document) -> Result<Option<i64>, Trouble> {
        let commits = document.table().commits();
        let rows = link.query(&sql::marked(&commits), &[&document.writer]);
        let rows = rows.map_err(|told| match told.lost {
            true => Trouble::Again(told),
            false => Trouble::Failed(failed(&self.options, told)),
        })?;
        match rows.first() {
            Some(row) => Ok(catalog::get(row, 0)?),
            None => Ok(None),
        }
    }

    fn mark(&self, link: &Link, document: &Document) -> Result<(), Told> {
        mark(&self.options, link, document)
    }

    fn unmark(&self, link: &Link, document: &Document) -> Result<(), Told> {
        let commits = document.table().commits();
        let sql = sql::unmark(&commits);
        link.execute_with(&sql, &[&document.writer, &checkpoint(document)])
            .map(drop)
    }

    /// Ends sessions that older attempts left, of this process or another: what they are still at
    /// would come after what is decided now.
    pub(crate) fn fence(&self, link: &Link) -> Result<(), Trouble> {
        let sql = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = \
                   ANY($1) AND datname = current_database() AND usename = current_user \
                   AND pid <> pg_backend_pid()";
        let names = self.options.names();
        let names: Vec<String> = names
            .map(|sink| names::application(&self.options.job, sink))
            .collect();
        // They are asked to end, and are seen to have.
        for _ in 0..FENCE_ATTEMPTS {
            let ended = link.query(sql, &[&names]);
            match ended {
                Ok(ended) if ended.is_empty() => return Ok(()),
                Ok(_) => sleep(FENCE_WAIT),
                Err(told) if told.lost => return Err(Trouble::Again(told)),
                Err(told) => return Err(failed(&self.options, told).into()),
            }
        }
        let message = "sessions of an older attempt do not end".to_owned();
        Err(self.not_committed(message).into())
    }

    /// Rolls back what this job and sink had prepared and no checkpoint holds; all that one holds
    /// is committed by then; under the name that the sink had before, too. Gives how many there
    /// were.
    pub(crate) fn remove_leftovers(&self, link: &Link) -> Result<u64, Trouble> {
        let mut removed = 0;
        for sink in self.options.names() {
            removed += self.remove_leftovers_of(sink, link)?;
        }
        Ok(removed)
    }

    fn remove_leftovers_of(&self, sink: &SinkName, link: &Link) -> Result<u64, Trouble> {
        let job = &self.options.job;
        let sql = "SELECT gid FROM pg_prepared_xacts WHERE database = current_database() \
                   AND starts_with(gid, $1)";
        let told = |told: Told| match told.lost || told.is("55000") {
            true => Trouble::Again(told),
            false => Trouble::Failed(failed(&self.options, told)),
        };
        let rows = link.query(sql, &[&names::gid_prefix(job, sink)]);
        let mut removed = 0;
        for row in rows.map_err(told)? {
            let gid: String = catalog::get(&row, 0)?;
            if !names::is_gid(&gid, job, sink) {
                continue;
            }
            match link.execute(&sql::rollback_prepared(&gid)) {
                Ok(()) => removed += 1,
                // Somebody was quicker.
                Err(gone) if gone.is("42704") => {}
                Err(other) => return Err(told(other)),
            }
        }
        Ok(removed)
    }
}

/// How long is waited before it is looked again whether sessions have ended, and how often: one
/// that is in the middle of a commit takes its time.
const FENCE_WAIT: Duration = Duration::from_millis(20);
const FENCE_ATTEMPTS: u32 = 1500;

/// Marks a transaction as committed, in that transaction.
pub(crate) fn mark(
    options: &PostgresSinkOptions,
    link: &Link,
    document: &Document,
) -> Result<(), Told> {
    let commits: Table = document.table().commits();
    let subtask = i32::try_from(document.subtask).unwrap_or(i32::MAX);
    let values: [crate::link::Value<'_>; 5] = [
        &options.job.as_str(),
        &options.sink.as_str(),
        &subtask,
        &document.writer,
        &checkpoint(document),
    ];
    link.execute_with(&sql::mark(&commits), &values).map(drop)
}

/// The number of a checkpoint as the server keeps it.
fn checkpoint(document: &Document) -> i64 {
    i64::try_from(document.checkpoint).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_stands_for_all_that_its_writer_sealed_before() {
        for (highest, checkpoint, what) in [
            (None, 1, Gone::Lost),
            (Some(1), 1, Gone::Committed),
            (Some(7), 1, Gone::Committed),
            (Some(1), 2, Gone::Lost),
        ] {
            assert_eq!(gone(highest, checkpoint), what, "{highest:?} {checkpoint}");
        }
    }
}
