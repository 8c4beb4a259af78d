//! The factory of a PostgreSQL sink.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::watch;
use weir_model::CheckpointId;
use weir_operator::{
    Delivery, Existing, Failure, OnLost, Recovered, Sealed, Sink, SinkFactory, SinkGuarantee,
    TaskInfo,
};

use crate::{
    catalog,
    commit::{Committer, Trouble},
    link::{Dial, Link, Told},
    log::LogWriter,
    names,
    options::{Mode, PostgresSinkOptions},
    sealed::Mark,
    session::{Session, failed},
    shape::Shape,
    sql,
    writer::Writer,
};

/// Makes the writers of one PostgreSQL sink and commits what they sealed.
pub struct PostgresSink {
    options: Arc<PostgresSinkOptions>,
    dial: Dial,
    committer: Committer,
    /// How rows become columns, once the table was looked at.
    shape: Mutex<Option<Arc<Shape>>>,
}

impl PostgresSink {
    /// A sink with these options. Nothing is connected to yet.
    #[must_use]
    pub fn new(options: PostgresSinkOptions) -> Self {
        let dial = Dial {
            server: options.server.clone(),
            application: names::application(&options.job, &options.sink),
            reconnect: options.reconnect,
        };
        let options = Arc::new(options);
        Self {
            committer: Committer::new(options.clone(), dial.clone()),
            options,
            dial,
            shape: Mutex::default(),
        }
    }

    /// The shape that was found last; looks for it where there is none.
    fn shape(&self) -> Result<Arc<Shape>, Failure> {
        let known = self.shape.lock().unwrap_or_else(PoisonError::into_inner);
        match &*known {
            Some(shape) => Ok(shape.clone()),
            None => {
                drop(known);
                let look = |link: &mut Link| Ok(self.look(link)?);
                self.committer.with(look)
            }
        }
    }

    /// Looks at the table anew, which may have changed since the last attempt.
    fn look(&self, link: &Link) -> Result<Arc<Shape>, Failure> {
        let shape = Arc::new(catalog::shape(&self.options, link)?);
        let mut known = self.shape.lock().unwrap_or_else(PoisonError::into_inner);
        *known = Some(shape.clone());
        Ok(shape)
    }

    /// Checks all that the sink needs of the server, and makes the table of marks.
    fn prepare(&self, link: &Link) -> Result<(), Failure> {
        let shape = self.look(link)?;
        match self.options.mode {
            Mode::AtLeastOnce { .. } => return Ok(()),
            Mode::TwoPhaseCommit => catalog::check_prepared(&self.options, link)?,
            Mode::WriteAheadLog { .. } => {}
        }
        catalog::create_commits(&self.options, link, &shape.target.table)
    }

    /// How many marks there are and the highest, where there can be any.
    fn marks(&self, link: &Link) -> Result<(u64, Option<CheckpointId>), Trouble> {
        let table = catalog::find(&self.options, link)?;
        if !catalog::has_commits(&self.options, link, &table)? {
            return Ok((0, None));
        }
        let told = |told| self.trouble(told);
        let job = self.options.job.as_str();
        let sql = sql::marks(&table.commits());
        let (mut count, mut last) = (0, None);
        for sink in self.options.names() {
            let rows = link.query(&sql, &[&job, &sink.as_str()]).map_err(told)?;
            if let Some(row) = rows.first() {
                count += catalog::get::<i64>(row, 0)?;
                last = last.max(catalog::get::<Option<i64>>(row, 1)?);
            }
        }
        let last = last.and_then(|last| u64::try_from(last).ok());
        // A table that was emptied mixes nothing.
        let any = link.query(&sql::has_rows(&table), &[]).map_err(told)?;
        let any = any.first().map_or(Ok(false), |row| catalog::get(row, 0))?;
        let count = if any { count } else { 0 };
        Ok((u64::try_from(count).unwrap_or(0), last.map(CheckpointId)))
    }

    fn trouble(&self, told: Told) -> Trouble {
        match told.lost {
            true => Trouble::Again(told),
            false => Trouble::Failed(failed(&self.options, told)),
        }
    }

    fn location(&self) -> String {
        format!("table {} at {}", self.options.table, self.options.server)
    }
}

impl SinkFactory for PostgresSink {
    fn guarantee(&self) -> SinkGuarantee {
        self.delivery().guarantee()
    }

    fn delivery(&self) -> Delivery {
        self.options.mode.delivery()
    }

    fn create(&self, task: &TaskInfo) -> Result<Box<dyn Sink>, Failure> {
        let shape = self.shape()?;
        let options = self.options.clone();
        let mark = Mark {
            writer: names::writer(),
            subtask: task.subtask.0,
            checkpoint: CheckpointId(0),
        };
        match self.options.mode {
            Mode::AtLeastOnce { .. } | Mode::TwoPhaseCommit => {
                let (end, ending) = watch::channel(false);
                let session = Session {
                    options,
                    dial: self.dial.clone(),
                    shape,
                    mark,
                    ending,
                    link: None,
                    open: false,
                };
                Ok(Box::new(Writer::start(session, end)?))
            }
            Mode::WriteAheadLog { .. } => {
                let rehearsing = Committer::new(options.clone(), self.dial.clone());
                Ok(Box::new(LogWriter::new(options, shape, mark, rehearsing)))
            }
        }
    }

    fn commit(&self, sealed: &[Sealed]) -> Result<Recovered, Failure> {
        self.committer
            .commit(sealed, &mut |_, failure| Err(failure))
    }

    fn recover(&self, restored: &[Sealed]) -> Result<Recovered, Failure> {
        self.recover_without(restored, &mut |_, failure| Err(failure))
    }

    fn recover_without(&self, restored: &[Sealed], lost: OnLost<'_>) -> Result<Recovered, Failure> {
        self.committer.with(|link| {
            self.committer.fence(link)?;
            Ok(self.prepare(link)?)
        })?;
        let mut recovered = self.committer.commit(restored, lost)?;
        let leftovers = |link: &mut Link| self.committer.remove_leftovers(link);
        recovered.removed = self.committer.with(leftovers)?;
        tracing::debug!(sink = %self.options.sink, ?recovered, "PostgreSQL sink recovered");
        Ok(recovered)
    }

    fn existing(&self) -> Result<Existing, Failure> {
        let (committed, last_checkpoint) = match self.options.mode {
            // What was written at once is known to nobody.
            Mode::AtLeastOnce { .. } => (0, None),
            Mode::TwoPhaseCommit | Mode::WriteAheadLog { .. } => {
                self.committer.with(|link| self.marks(link))?
            }
        };
        Ok(Existing {
            committed,
            last_checkpoint,
            location: self.location(),
        })
    }

    fn clear(&self) -> Result<(), Failure> {
        let job = self.options.job.as_str();
        self.committer.with(|link| {
            let table = catalog::find(&self.options, link)?;
            let has_marks = catalog::has_commits(&self.options, link, &table)?;
            let told = |told| self.trouble(told);
            link.execute("BEGIN").map_err(told)?;
            link.execute(&sql::clear(&table)).map_err(told)?;
            if has_marks {
                let sql = sql::clear_marks(&table.commits());
                for sink in self.options.names() {
                    link.execute_with(&sql, &[&job, &sink.as_str()])
                        .map_err(told)?;
                }
            }
            link.execute("COMMIT").map_err(told)
        })
    }
}
