//! Operators out of closures.

use std::sync::Arc;

use weir_model::{CheckpointId, Column, OptionalColumn, Rows};
use weir_operator::{
    Context, Descriptor, Due, Emitted, Evolve, Failure, Operator, OperatorFactory, Outcome, Part,
    TaskInfo, Trap,
};
use weir_state::{StateDecl, StateIndex, StateKind, Ttl, Which};

type Process = dyn Fn(&mut Context, u32, Rows<'_>) -> Result<Outcome, Failure> + Send + Sync;
type Finish = dyn Fn(&mut Context) -> Result<Vec<Emitted>, Failure> + Send + Sync;
type OnTimers = dyn Fn(&mut Context, Due<'_>) -> Result<Outcome, Failure> + Send + Sync;
type OnKeys = dyn Fn(&mut Context, &[u8], Rows<'_>) -> Result<Outcome, Failure> + Send + Sync;
type Snapshot = dyn Fn(&mut Context, CheckpointId) -> Result<Vec<Vec<u8>>, Failure> + Send + Sync;
type Migrate = dyn Fn(Part, u32, &[u8]) -> Result<Vec<u8>, String> + Send + Sync;

/// An operator that keeps nothing of its own: all it has are closures and state of the host.
#[derive(Clone)]
pub struct Closures {
    descriptor: Descriptor,
    process: Arc<Process>,
    finish: Arc<Finish>,
    snapshot: Arc<Snapshot>,
    on_timers: Arc<OnTimers>,
    on_keys: Arc<OnKeys>,
    end_of_input: Arc<dyn Fn(u32) + Send + Sync>,
    migrate: Option<Arc<Migrate>>,
}

impl Closures {
    /// An operator that does this with the rows of each call.
    pub fn new(
        process: impl Fn(&mut Context, u32, Rows<'_>) -> Result<Outcome, Failure>
        + Send
        + Sync
        + 'static,
    ) -> Self {
        Self {
            descriptor: Descriptor {
                inputs: 1,
                ..Descriptor::default()
            },
            process: Arc::new(process),
            finish: Arc::new(|_| Ok(Vec::new())),
            snapshot: Arc::new(|_, _| Ok(Vec::new())),
            on_timers: Arc::new(|_, _| Ok(Outcome::default())),
            on_keys: Arc::new(|_, _, _| Ok(Outcome::default())),
            end_of_input: Arc::new(|_| ()),
            migrate: None,
        }
    }

    /// Declares a state.
    #[must_use]
    pub fn with_state(mut self, name: &str, kind: StateKind) -> Self {
        let states = &mut self.descriptor.states;
        let timers = usize::from(self.descriptor.timers);
        states.insert(
            states.len() - timers,
            StateDecl {
                name: name.to_owned(),
                kind,
                format: "raw".into(),
                version: 1,
                ttl: None,
                prefetch: false,
            },
        );
        self
    }

    /// Declares timers, and does this when some are due.
    #[must_use]
    pub fn with_timers<F>(mut self, on_timers: F) -> Self
    where
        F: Fn(&mut Context, Due<'_>) -> Result<Outcome, Failure> + Send + Sync + 'static,
    {
        self.descriptor.timers = true;
        self.descriptor.states.push(StateDecl::timers());
        self.on_timers = Arc::new(on_timers);
        self
    }

    /// Declares that what it keeps waits for its timers.
    #[must_use]
    pub fn needing_all_timers(mut self) -> Self {
        self.descriptor.needs_all_timers = true;
        self
    }

    /// Declares that it is called for all keys where a row asks for that, and does this then.
    #[must_use]
    pub fn with_keys<F>(mut self, on_keys: F) -> Self
    where
        F: Fn(&mut Context, &[u8], Rows<'_>) -> Result<Outcome, Failure> + Send + Sync + 'static,
    {
        self.descriptor.keyed_broadcast = true;
        self.on_keys = Arc::new(on_keys);
        self
    }

    /// Does this when an input has ended.
    #[must_use]
    pub fn with_end_of_input(mut self, ended: impl Fn(u32) + Send + Sync + 'static) -> Self {
        self.end_of_input = Arc::new(ended);
        self
    }

    /// Lets all states that were declared so far live that long after they were last written.
    #[must_use]
    pub fn living(mut self, duration_ms: u64) -> Self {
        for state in &mut self.descriptor.states {
            state.ttl = Some(Ttl {
                duration_ms,
                on_read: false,
                return_expired: false,
            });
        }
        self
    }

    /// Declares so many inputs.
    #[must_use]
    pub fn with_inputs(mut self, inputs: u32) -> Self {
        self.descriptor.inputs = inputs;
        self
    }

    /// Declares that it keeps something in its own memory.
    #[must_use]
    pub fn keeping_memory(mut self) -> Self {
        self.descriptor.keeps_memory = true;
        self
    }

    /// Traps where a row is `bad`, after it has done with the rows what it does.
    #[must_use]
    pub fn trapping_at(self, bad: impl Fn(&[u8]) -> bool + Send + Sync + 'static) -> Self {
        self.failing_at(bad, || {
            Failure::Trap(Box::new(Trap {
                message: "as told".into(),
                backtrace: Vec::new(),
                row: None,
            }))
        })
    }

    /// Fails where a row is `bad`, after it has done with the rows what it does.
    #[must_use]
    pub fn failing_at(
        mut self,
        bad: impl Fn(&[u8]) -> bool + Send + Sync + 'static,
        failure: impl Fn() -> Failure + Send + Sync + 'static,
    ) -> Self {
        let process = self.process;
        self.process = Arc::new(move |cx, input, rows| {
            let outcome = process(cx, input, rows)?;
            match rows.values.iter().any(&bad) {
                true => Err(failure()),
                false => Ok(outcome),
            }
        });
        self
    }

    /// Does this when all inputs have ended.
    #[must_use]
    pub fn with_finish(
        mut self,
        finish: impl Fn(&mut Context) -> Result<Vec<Emitted>, Failure> + Send + Sync + 'static,
    ) -> Self {
        self.finish = Arc::new(finish);
        self
    }

    /// Does this at each checkpoint, and keeps what it gives.
    #[must_use]
    pub fn with_snapshot(
        mut self,
        snapshot: impl Fn(&mut Context, CheckpointId) -> Result<Vec<Vec<u8>>, Failure>
        + Send
        + Sync
        + 'static,
    ) -> Self {
        self.descriptor.checkpointed = true;
        self.snapshot = Arc::new(snapshot);
        self
    }
}

impl Closures {
    /// Declares this version of all states so far.
    pub fn version(&mut self, version: u32) {
        for state in &mut self.descriptor.states {
            state.version = version;
        }
    }

    /// Declares this version of all states so far, and migrates older ones so, value by value.
    #[must_use]
    pub fn evolving(
        mut self,
        version: u32,
        migrate: impl Fn(Part, u32, &[u8]) -> Result<Vec<u8>, String> + Send + Sync + 'static,
    ) -> Self {
        self.version(version);
        self.descriptor.evolving = true;
        self.migrate = Some(Arc::new(migrate));
        self
    }
}

struct Evolving(Arc<Migrate>);

impl Evolve for Evolving {
    fn migrate(
        &mut self,
        _: StateIndex,
        part: Part,
        from: u32,
        values: &Column,
    ) -> Result<Column, Failure> {
        let mut out = Column::new();
        for value in values.iter() {
            let migrated = (self.0)(part, from, value);
            out.push(&migrated.map_err(|message| Failure::Guest { message, row: None })?);
        }
        Ok(out)
    }

    fn render(&mut self, _: StateIndex, _: Part, values: &Column) -> Result<Vec<String>, Failure> {
        Ok(values.iter().map(|value| format!("{value:?}")).collect())
    }
}

impl OperatorFactory for Closures {
    fn descriptor(&self) -> &Descriptor {
        &self.descriptor
    }

    fn create(&self, _task: &TaskInfo) -> Result<Box<dyn Operator>, Failure> {
        Ok(Box::new(self.clone()))
    }

    fn evolve(&self) -> Result<Option<Box<dyn Evolve>>, Failure> {
        let evolve =
            |migrate: &Arc<Migrate>| -> Box<dyn Evolve> { Box::new(Evolving(migrate.clone())) };
        Ok(self.migrate.as_ref().map(evolve))
    }
}

impl Operator for Closures {
    fn open(&mut self, _cx: &mut Box<Context>) -> Result<(), Failure> {
        Ok(())
    }

    fn process(
        &mut self,
        cx: &mut Box<Context>,
        input: u32,
        rows: Rows<'_>,
    ) -> Result<Outcome, Failure> {
        (self.process)(cx, input, rows)
    }

    fn on_timers(&mut self, cx: &mut Box<Context>, due: Due<'_>) -> Result<Outcome, Failure> {
        (self.on_timers)(cx, due)
    }

    fn on_keys(
        &mut self,
        cx: &mut Box<Context>,
        tag: &[u8],
        keys: Rows<'_>,
    ) -> Result<Outcome, Failure> {
        (self.on_keys)(cx, tag, keys)
    }

    fn end_of_input(&mut self, _: &mut Box<Context>, at: u32) -> Result<Vec<Emitted>, Failure> {
        (self.end_of_input)(at);
        Ok(Vec::new())
    }

    fn finish(&mut self, cx: &mut Box<Context>) -> Result<Vec<Emitted>, Failure> {
        (self.finish)(cx)
    }

    fn snapshot(
        &mut self,
        cx: &mut Box<Context>,
        checkpoint: CheckpointId,
    ) -> Result<Vec<Vec<u8>>, Failure> {
        (self.snapshot)(cx, checkpoint)
    }

    fn reset(&mut self, _cx: &mut Box<Context>) -> Result<(), Failure> {
        Ok(())
    }
}

/// An operator that makes of each row none, one or more.
pub fn map_rows(
    map: impl Fn(&str) -> Result<Vec<String>, Failure> + Send + Sync + 'static,
) -> Closures {
    Closures::new(move |_, _, rows| {
        let mut emitted = Emitted::default();
        for (at, row) in rows.values.iter().enumerate() {
            for out in map(std::str::from_utf8(row).unwrap())? {
                emitted.values.push(out.as_bytes());
                emitted.origin.push(u32::try_from(at).unwrap());
            }
        }
        Ok(Outcome {
            emitted: vec![emitted],
            poisoned: None,
        })
    })
}

/// An operator that counts the rows of each key in value state, and emits `<key>=<count>` for each
/// row.
#[must_use]
pub fn counter() -> Closures {
    Closures::new(|cx, _, rows| {
        let keyed = rows.keyed.expect("the input is keyed");
        let state = StateIndex(0);
        let mut saved = OptionalColumn::new();
        cx.state.value_get(state, Which::All, &mut saved)?;
        let number = |bytes: &[u8]| u64::from_le_bytes(bytes.try_into().unwrap());
        let mut counts: Vec<u64> = saved.iter().map(|v| v.map_or(0, number)).collect();
        let mut values = Column::new();
        for &key in keyed.key_of_row {
            let count = &mut counts[key as usize];
            *count += 1;
            let key = String::from_utf8_lossy(keyed.keys.get(key as usize)).into_owned();
            values.push(format!("{key}={count}").as_bytes());
        }
        let mut after = OptionalColumn::new();
        for count in counts {
            after.push(Some(&count.to_le_bytes()));
        }
        cx.state.value_put(state, Which::All, &after)?;
        let emitted = Emitted {
            values,
            ..Emitted::default()
        };
        Ok(Outcome {
            emitted: vec![emitted],
            poisoned: None,
        })
    })
    .with_state("count", StateKind::Value)
}
