//! What operators need of the engine where there is none, and the operators of the jobs.

use weir_model::{
    Attempt, Column, EventTime, KeyGroupRange, KeyedView, MaxParallelism, Name, OptionalColumn,
    Parallelism, ProcessingTime, Rows, SubtaskIndex, hash64,
};
use weir_operator::{
    Context, Descriptor, Emitted, Failure as Failed, Metrics, Operator, OperatorFactory, Outcome,
    TaskInfo,
};
use weir_state::{HeapBackend, KeyedState, OperatorState, StateDecl, StateIndex, StateKind, Which};

use super::{
    ROWS,
    rows::{key_name, selected},
};
use crate::Failure;

/// The state of what counts.
pub const COUNT: StateIndex = StateIndex(0);

/// A state with a number for each key.
#[must_use]
pub fn count_state() -> StateDecl {
    StateDecl {
        name: "count".into(),
        kind: StateKind::Value,
        format: "u64-le".into(),
        version: 1,
        prefetch: true,
        ttl: None,
    }
}

/// How many key groups there are.
///
/// # Errors
/// None in fact.
pub fn key_groups() -> Result<MaxParallelism, Failure> {
    Ok(MaxParallelism::new(128)?)
}

/// All key groups.
///
/// # Errors
/// None in fact.
pub fn all_groups() -> Result<KeyGroupRange, Failure> {
    Ok(key_groups()?.range_of(SubtaskIndex(0), Parallelism::ONE)?)
}

/// State on the heap of an operator that is alone.
///
/// # Errors
/// That there is no such state.
pub fn heap(states: Vec<StateDecl>) -> Result<KeyedState, Failure> {
    let backend = HeapBackend::new(states, all_groups()?)?;
    Ok(KeyedState::new(Box::new(backend), key_groups()?))
}

/// What an operator that is alone sees of the host; `config` is JSON.
///
/// # Errors
/// That there is no such state.
pub fn context(states: Vec<StateDecl>, config: &str) -> Result<Box<Context>, Failure> {
    Ok(Box::new(Context {
        task: TaskInfo {
            job: Name::new("guard")?,
            operator: Name::new("operator")?,
            subtask: SubtaskIndex(0),
            parallelism: Parallelism::ONE,
            max_parallelism: key_groups()?,
            attempt: Attempt(1),
        },
        config: config.into(),
        state: heap(states)?,
        operator_state: OperatorState::new(&[]),
        watermark: EventTime::MIN,
        processing_time: ProcessingTime(0),
        metrics: Metrics::default(),
        deadline: None,
        rehearsal: false,
        said_watermarks: Vec::new(),
    }))
}

/// Gives each of so many keys a value of zero, in the first state.
///
/// # Errors
/// What the state says.
pub fn fill(state: &mut KeyedState, keys: u32) -> Result<(), Failure> {
    for first in (0..keys).step_by(ROWS as usize) {
        let mut names = Column::new();
        for key in first..keys.min(first + ROWS) {
            names.push(&selected(&key_name(key)));
        }
        let hashes: Vec<u64> = names.iter().map(hash64).collect();
        let mut zeros = OptionalColumn::new();
        hashes.iter().for_each(|_| zeros.push(Some(&[0; 8])));
        state.begin(Some(KeyedView {
            keys: names.view(),
            hashes: &hashes,
            key_of_row: &[],
        }));
        state.put_slots(COUNT, &mut zeros)?;
        state.commit()?;
    }
    Ok(())
}

/// Counts the rows of each key, and emits each row with nothing added.
#[derive(Clone)]
pub struct Count {
    descriptor: Descriptor,
    read: OptionalColumn,
    counts: Vec<u64>,
    written: OptionalColumn,
}

impl Default for Count {
    fn default() -> Self {
        Self {
            descriptor: Descriptor {
                states: vec![count_state()],
                inputs: 1,
                ..Descriptor::default()
            },
            read: OptionalColumn::new(),
            counts: Vec::new(),
            written: OptionalColumn::new(),
        }
    }
}

impl Count {
    /// Reads the counts of the keys, adds the rows, and writes them.
    fn count(&mut self, cx: &mut Context, rows: Rows<'_>) -> Result<(), Failed> {
        let keyed = rows.keyed.ok_or_else(|| wrong("the input has no key"))?;
        self.read.clear();
        cx.state.value_get(COUNT, Which::All, &mut self.read)?;
        self.counts.clear();
        for value in self.read.iter() {
            let count = value.map_or(Ok(0), |bytes| bytes.try_into().map(u64::from_le_bytes));
            let count = count.map_err(|_| wrong("a count of another width"))?;
            self.counts.push(count);
        }
        for &key in keyed.key_of_row {
            self.counts[key as usize] += 1;
        }
        self.written.clear();
        for count in &self.counts {
            self.written.push(Some(&count.to_le_bytes()));
        }
        cx.state.put_slots(COUNT, &mut self.written)?;
        Ok(())
    }
}

fn wrong(message: &str) -> Failed {
    Failed::Internal {
        message: message.to_owned(),
    }
}

impl OperatorFactory for Count {
    fn descriptor(&self) -> &Descriptor {
        &self.descriptor
    }

    fn create(&self, _: &TaskInfo) -> Result<Box<dyn Operator>, Failed> {
        Ok(Box::new(self.clone()))
    }
}

impl Operator for Count {
    fn open(&mut self, _: &mut Box<Context>) -> Result<(), Failed> {
        Ok(())
    }

    fn process(
        &mut self,
        cx: &mut Box<Context>,
        _: u32,
        rows: Rows<'_>,
    ) -> Result<Outcome, Failed> {
        self.count(cx, rows)?;
        let mut values = Column::with_capacity(rows.len(), rows.values.contents().len());
        values.extend_from(rows.values);
        Ok(Outcome {
            emitted: vec![Emitted {
                values,
                ..Emitted::default()
            }],
            poisoned: None,
        })
    }

    fn end_of_input(&mut self, _: &mut Box<Context>, _: u32) -> Result<Vec<Emitted>, Failed> {
        Ok(Vec::new())
    }

    fn finish(&mut self, _: &mut Box<Context>) -> Result<Vec<Emitted>, Failed> {
        Ok(Vec::new())
    }

    fn reset(&mut self, _: &mut Box<Context>) -> Result<(), Failed> {
        Ok(())
    }
}
