//! Runs an operator natively, on state kept in memory: for unit tests of operators.
//!
//! ```
//! use weir_guest::testing::Harness;
//! # use weir_guest::{Ctx, KeyedDescribe, KeyedProcess, Result, Row, Value};
//! # #[derive(Default)]
//! # struct Count { count: Value<i64> }
//! # impl KeyedProcess for Count {
//! #     type In = String;
//! #     type Out = String;
//! #     fn describe(&mut self, d: &mut KeyedDescribe) { d.value("count", &mut self.count); }
//! #     fn process(&mut self, _row: Row<String>, ctx: &mut Ctx<String>) -> Result<()> {
//! #         let count = self.count.get()?.copied().unwrap_or(0) + 1;
//! #         self.count.set(count)?;
//! #         let key = ctx.key().part(0)?;
//! #         ctx.emit(format_args!("{key}={count}"))
//! #     }
//! # }
//!
//! let mut count = Harness::open::<Count, _>("null").unwrap();
//! let out = count.keyed([("a", "row"), ("b", "row"), ("a", "row")]).unwrap();
//! assert_eq!(out.main(), ["a=1", "b=1", "a=2"]);
//! assert_eq!(out.poisoned, None);
//! ```
//!
//! [`Harness::restart`] shows what survives a crash, [`Harness::checkpoint`] and [`Saved`] what
//! becomes of state that is restored, on as many subtasks as one likes. What this host does not
//! show is what the sandbox and the limits of the job allow. That is what running the component is
//! for.

mod enrich;
mod evolved;
mod joins;
mod memory;
mod saved;
mod triggers;
mod windows;

use std::cell::RefCell;
use std::fmt;
use std::rc::Rc;

use crate::StateCodec;
use crate::bindings::weir::operator::data::{Batch, BytesColumn, Descriptor, Emitted};
use crate::call::Scope;
use crate::checkpointed::Checkpointed;
use crate::column;
use crate::driver::{Logic, make, make_checkpointed};
use crate::host::Host;
use crate::key::Key;
use crate::operator::IntoOperator;
use crate::timers::{Due, TimerKind};
pub(crate) use enrich::answer;
use memory::{Memory, MemoryHost};

pub use enrich::answer_http;
pub use evolved::Evolved;
pub use saved::Saved;

/// How many keys a call for all keys has.
const KEYS_AT_ONCE: usize = 3;

/// Makes an operator on a host.
type Make = fn(Box<dyn Host>) -> Box<dyn Logic>;

/// An operator on a host in memory.
pub struct Harness {
    make: Make,
    logic: Box<dyn Logic>,
    memory: Rc<RefCell<Memory>>,
    descriptor: Descriptor,
    /// The number of the last checkpoint.
    checkpoint: u64,
    /// What a trigger remembers of windows.
    triggers: triggers::Windows,
    row_by_row: bool,
}

/// An input row.
#[derive(Clone, Debug)]
pub struct Input {
    /// The key in the encoding of [`Key::encode`](crate::Key::encode), if the input is keyed.
    pub key: Option<Vec<u8>>,
    /// The row.
    pub value: Vec<u8>,
    /// The event time; all rows of a batch have one, or none has.
    pub timestamp: Option<i64>,
}

/// What a batch led to.
#[derive(Clone)]
pub struct Output {
    /// What was emitted, as it crosses the boundary.
    pub emitted: Vec<Emitted>,
    /// The row that failed, if one did, and why.
    pub poisoned: Option<(usize, String)>,
    side_outputs: Vec<String>,
}

impl Harness {
    /// Describes an operator and opens it. `config` is what the job file would have for it, as
    /// JSON.
    ///
    /// # Errors
    /// What the declarations lack, or what the operator's `open` returned.
    pub fn open<T: IntoOperator<Kind>, Kind>(config: &str) -> Result<Self, String> {
        Self::start(make::<T, Kind>, Memory::new(config), None)
    }

    /// As [`open`](Self::open), of an operator that is [`Checkpointed`]: it is initialized first.
    ///
    /// # Errors
    /// What the declarations lack, or what the operator's `initialize` or `open` returned.
    pub fn open_checkpointed<T, Kind>(config: &str) -> Result<Self, String>
    where
        T: IntoOperator<Kind> + Checkpointed,
    {
        Self::start(make_checkpointed::<T, Kind>, Memory::new(config), None)
    }

    /// Makes an operator, gives it the raw state if it is restored, and opens it.
    fn start(make: Make, memory: Memory, raw: Option<Vec<Vec<u8>>>) -> Result<Self, String> {
        let memory = Rc::new(RefCell::new(memory));
        let logic = make(Box::new(MemoryHost(Rc::clone(&memory))));
        let descriptor = logic.describe()?;
        memory.borrow_mut().declare(&descriptor);
        let mut harness = Self {
            make,
            logic,
            memory,
            descriptor,
            checkpoint: 0,
            triggers: triggers::Windows::default(),
            row_by_row: false,
        };
        harness.begin_life(raw)?;
        Ok(harness)
    }

    /// From here on rows are processed one by one, by `process`, though the operator has a
    /// [`process_batch`](crate::KeyedProcess::process_batch): what both give is to be the same.
    pub fn row_by_row(&mut self) {
        self.row_by_row = true;
        self.logic.row_by_row();
    }

    /// Whether `process_batch`, or its like of one of two inputs, has processed the rows of the
    /// last call, and not `process`, which comes to the same: a batch that is always left to its
    /// rows shows nowhere else.
    pub fn was_whole(&self) -> bool {
        self.logic.was_whole()
    }

    fn begin_life(&mut self, raw: Option<Vec<Vec<u8>>>) -> Result<(), String> {
        let (restored, raw) = (raw.is_some(), raw.unwrap_or_default());
        self.call_without_rows(|logic| logic.initialize(restored, raw))?;
        self.call_without_rows(|logic| logic.open())
    }

    /// Makes the operator anew and opens it, as after a crash: its fields are forgotten, its
    /// declared state is kept. One that is [`Checkpointed`] takes a checkpoint first, and is
    /// initialized from that.
    ///
    /// ```
    /// # use weir_guest::{Ctx, Process, Result, Row, testing::Harness};
    /// #[derive(Default)]
    /// struct Forgetful { rows: u64 }
    ///
    /// impl Process for Forgetful {
    ///     type In = String;
    ///     type Out = u64;
    ///     fn process(&mut self, _row: Row<String>, ctx: &mut Ctx<u64>) -> Result<()> {
    ///         self.rows += 1;
    ///         ctx.emit(self.rows)
    ///     }
    /// }
    ///
    /// let mut forgetful = Harness::open::<Forgetful, _>("null").unwrap();
    /// assert_eq!(forgetful.rows(["a", "b"]).unwrap().main(), ["1", "2"]);
    /// forgetful.restart().unwrap();
    /// assert_eq!(forgetful.rows(["c"]).unwrap().main(), ["1"]);
    /// ```
    ///
    /// # Errors
    /// What the operator's `snapshot`, `initialize` or `open` returned.
    pub fn restart(&mut self) -> Result<(), String> {
        let saved = self.checkpoint()?;
        self.restore(&saved)
    }

    /// Takes a checkpoint: has the operator save what it holds itself, if it is [`Checkpointed`],
    /// and gives all its state as it is then.
    ///
    /// # Errors
    /// What the operator's `snapshot` returned: the checkpoint is declined, and state is as before.
    pub fn checkpoint(&mut self) -> Result<Saved, String> {
        self.checkpoint += 1;
        let checkpoint = self.checkpoint;
        let raw = self.call_without_rows(|logic| logic.snapshot(checkpoint))?;
        let memory = self.memory.borrow();
        Ok(Saved::new(self.make, checkpoint, &memory, raw))
    }

    /// Goes back to a checkpoint, as after a crash: the operator is made anew, and its state is as
    /// it was saved. Metrics and the log go on.
    ///
    /// # Errors
    /// What the operator's `initialize` or `open` returned.
    pub fn restore(&mut self, saved: &Saved) -> Result<(), String> {
        self.logic = (self.make)(Box::new(MemoryHost(Rc::clone(&self.memory))));
        if self.row_by_row {
            self.logic.row_by_row();
        }
        {
            let mut memory = self.memory.borrow_mut();
            memory.held = saved.held.clone();
            memory.accessed = saved.accessed.clone();
            memory.timers = saved.timers.clone();
        }
        self.begin_life(Some(saved.raw.clone()))
    }

    /// Tells the operator that a checkpoint is complete.
    ///
    /// # Errors
    /// What the operator's `complete` returned.
    pub fn complete(&mut self, saved: &Saved) -> Result<(), String> {
        self.notify(|logic| logic.complete(saved.checkpoint))
    }

    /// Tells the operator that a checkpoint was given up.
    ///
    /// # Errors
    /// What the operator's `aborted` returned.
    pub fn aborted(&mut self, saved: &Saved) -> Result<(), String> {
        self.notify(|logic| logic.aborted(saved.checkpoint))
    }

    /// Sets what the operator sees as the time of the wall clock, in milliseconds since the Unix
    /// epoch, and by which state with a time to live expires. It begins at 0.
    pub fn set_processing_time(&mut self, now: i64) {
        self.memory.borrow_mut().processing_time = now;
    }

    /// Sets what the operator sees as the watermark, in milliseconds since the Unix epoch. It
    /// begins at `i64::MIN`.
    pub fn set_watermark(&mut self, watermark: i64) {
        self.memory.borrow_mut().watermark = watermark;
    }

    /// Lets the watermark rise, and with it the event timers fire that are due then, in order; also
    /// those that are set meanwhile and due already. A timer that fails ends it: `poisoned` has its
    /// place among those that fired, and it does not fire again.
    ///
    /// # Errors
    /// The fatal error of a call; nothing of it is kept then.
    pub fn advance_watermark(&mut self, watermark: i64) -> Result<Output, String> {
        self.set_watermark(watermark);
        self.fire(TimerKind::EventTime, watermark)
    }

    /// Lets the time of the wall clock pass, and with it the timers fire that are due then.
    ///
    /// # Errors
    /// As [`advance_watermark`](Self::advance_watermark).
    pub fn advance_processing_time(&mut self, now: i64) -> Result<Output, String> {
        self.set_processing_time(now);
        self.fire(TimerKind::ProcessingTime, now)
    }

    /// The timers that are set: kind, time, and key as it is shown.
    pub fn timers(&self) -> Vec<(TimerKind, i64, String)> {
        let memory = self.memory.borrow();
        let shown = |(processing, at, key): &(bool, i64, Vec<u8>)| {
            let kind = match processing {
                true => TimerKind::ProcessingTime,
                false => TimerKind::EventTime,
            };
            (kind, *at, Key::from_encoded(key).to_string())
        };
        memory.timers.iter().map(shown).collect()
    }

    /// Fires what is due, one by one.
    fn fire(&mut self, kind: TimerKind, until: i64) -> Result<Output, String> {
        let mut output = Output {
            emitted: Vec::new(),
            poisoned: None,
            side_outputs: self.side_outputs(),
        };
        for place in 0.. {
            let next = self.memory.borrow_mut().fire(kind, until);
            let Some((at, key)) = next else { break };
            let mut keys = column::with_room(1, key.len());
            keys.bytes.extend_from_slice(&key);
            keys.ends.push(key.len() as u32);
            let slots = self.memory.borrow_mut().begin(Scope::Subtask, &keys);
            let due = Due {
                kind,
                at: vec![at],
                keys,
                key_of_timer: vec![0],
            };
            let outcome = self.logic.on_timers(&due, slots);
            let slots = outcome.as_ref().map(|outcome| &outcome.slots[..]);
            self.memory.borrow_mut().end(slots.map_err(|_| ()));
            let outcome = outcome?;
            let timestamps = match kind {
                TimerKind::EventTime => Some(at),
                TimerKind::ProcessingTime => None,
            };
            for mut emitted in outcome.emitted {
                // As the host does: what has no event time of its own has that of the timer.
                if emitted.timestamps.is_empty() {
                    let rows = emitted.values.ends.len();
                    emitted
                        .timestamps
                        .extend(timestamps.iter().cycle().take(rows));
                }
                output.emitted.push(emitted);
            }
            if let Some(poison) = outcome.poisoned {
                output.poisoned = Some((place, poison.message));
                break;
            }
        }
        Ok(output)
    }

    /// What the operator declared.
    pub fn descriptor(&self) -> &Descriptor {
        &self.descriptor
    }

    /// Processes one batch of rows without keys.
    ///
    /// # Errors
    /// The fatal error of the call; nothing of it is kept then.
    pub fn rows<V: AsRef<[u8]>>(
        &mut self,
        rows: impl IntoIterator<Item = V>,
    ) -> Result<Output, String> {
        let input = |value: V| Input::row(value.as_ref());
        self.batch(0, rows.into_iter().map(input))
    }

    /// Processes one batch of rows, each with a key of one part.
    ///
    /// # Errors
    /// As [`rows`](Self::rows).
    pub fn keyed<K: AsRef<[u8]>, V: AsRef<[u8]>>(
        &mut self,
        rows: impl IntoIterator<Item = (K, V)>,
    ) -> Result<Output, String> {
        let input = |(key, value): (K, V)| Input::row(value.as_ref()).key([key]);
        self.batch(0, rows.into_iter().map(input))
    }

    /// Processes one batch of rows of the broadcast input, the first if there are several. Where
    /// rows ask for calls for all keys, they come one by one, each with its calls behind it.
    ///
    /// # Errors
    /// As [`rows`](Self::rows), where the operator has no broadcast input, and where it refuses a
    /// key.
    pub fn broadcast<V: AsRef<[u8]>>(
        &mut self,
        rows: impl IntoIterator<Item = V>,
    ) -> Result<Output, String> {
        let mut inputs = 0..self.descriptor.inputs;
        let input = inputs
            .find(|input| self.logic.is_broadcast(*input))
            .ok_or("the operator has no broadcast input")?;
        let rows: Vec<Input> = rows
            .into_iter()
            .map(|row| Input::row(row.as_ref()))
            .collect();
        let output = self.call(input, rows.clone())?;
        let asks = !self.memory.borrow().asked.is_empty();
        if rows.len() < 2 || !asks {
            return self.call_all_keys(output);
        }
        // To an operator that asks, the host gives such rows one by one.
        self.memory.borrow_mut().undo();
        self.logic.undo();
        let mut all = Output {
            emitted: Vec::new(),
            ..output
        };
        all.poisoned = None;
        for (place, row) in rows.into_iter().enumerate() {
            let output = self.batch(input, [row])?;
            all.emitted.extend(output.emitted);
            if let Some((_, message)) = output.poisoned {
                all.poisoned = Some((place, message));
                break;
            }
        }
        Ok(all)
    }

    /// What a row has asked for, if it was not refused.
    fn call_all_keys(&mut self, mut output: Output) -> Result<Output, String> {
        let asked = std::mem::take(&mut self.memory.borrow_mut().asked);
        for (state, tag) in asked {
            if output.poisoned.is_none() {
                output.emitted.extend(self.call_keys(state, &tag)?);
            }
        }
        Ok(output)
    }

    /// Calls for all keys of a state, many to a call.
    fn call_keys(&mut self, state: u32, tag: &[u8]) -> Result<Vec<Emitted>, String> {
        let keys = self.memory.borrow().keys_of(state);
        let mut emitted = Vec::new();
        for keys in keys.chunks(KEYS_AT_ONCE) {
            let batch = columns(keys.iter().map(|key| Input {
                key: Some(key.clone()),
                value: Vec::new(),
                timestamp: None,
            }));
            let slots = self.memory.borrow_mut().begin(Scope::Subtask, &batch.keys);
            let outcome = self.logic.on_keys(tag, (&batch).into(), slots);
            let slots = outcome.as_ref().map(|outcome| &outcome.slots[..]);
            self.memory.borrow_mut().end(slots.map_err(|_| ()));
            let outcome = outcome?;
            if let Some(poison) = outcome.poisoned {
                return Err(poison.message);
            }
            emitted.extend(outcome.emitted);
        }
        Ok(emitted)
    }

    /// Processes one batch of rows of input `input`.
    ///
    /// # Errors
    /// As [`rows`](Self::rows).
    pub fn batch(
        &mut self,
        input: u32,
        rows: impl IntoIterator<Item = Input>,
    ) -> Result<Output, String> {
        let output = self.call(input, rows)?;
        self.call_all_keys(output)
    }

    /// The call with the rows, and nothing of what it has asked for.
    fn call(
        &mut self,
        input: u32,
        rows: impl IntoIterator<Item = Input>,
    ) -> Result<Output, String> {
        let batch = columns(rows);
        let scope = match self.logic.is_broadcast(input) {
            true => Scope::Broadcast,
            false => Scope::Subtask,
        };
        let slots = self.memory.borrow_mut().begin(scope, &batch.keys);
        let outcome = self.logic.process_owned(input, batch, slots);
        let slots = outcome.as_ref().map(|outcome| &outcome.slots[..]);
        self.memory.borrow_mut().end(slots.map_err(|_| ()));
        let outcome = outcome?;
        let poisoned = outcome
            .poisoned
            .map(|poison| (poison.row as usize, poison.message));
        Ok(Output {
            emitted: outcome.emitted,
            poisoned,
            side_outputs: self.side_outputs(),
        })
    }

    /// Ends all inputs and then the operator. Gives what the former emitted, and the latter. Of an
    /// operator with timers the watermark rises to the end of all time first, and what its event
    /// timers emit is among what the end of the inputs gives.
    ///
    /// # Errors
    /// What the operator returned.
    pub fn finish(&mut self) -> Result<(Output, Output), String> {
        let mut ended = Vec::new();
        if self.descriptor.timers {
            let fired = self.advance_watermark(i64::MAX)?;
            if let Some((_, message)) = fired.poisoned {
                return Err(message);
            }
            ended.extend(fired.emitted);
        }
        for input in 0..self.descriptor.inputs {
            ended.extend(self.call_without_rows(|logic| logic.end_of_input(input))?);
        }
        let finished = self.call_without_rows(|logic| logic.finish())?;
        let side_outputs = self.side_outputs();
        let output = |emitted| Output {
            emitted,
            poisoned: None,
            side_outputs: side_outputs.clone(),
        };
        Ok((output(ended), output(finished)))
    }

    /// The imports that were called since the last time this was asked.
    pub fn imports(&self) -> Vec<&'static str> {
        std::mem::take(&mut self.memory.borrow_mut().imports)
    }

    /// The watermarks that the operator said since the last time this was asked: behind how many
    /// rows of the main output of its call, and up to when.
    pub fn said_watermarks(&mut self) -> Vec<(u32, i64)> {
        std::mem::take(&mut self.memory.borrow_mut().said)
    }

    /// What the operator logged.
    pub fn logs(&self) -> Vec<String> {
        self.memory.borrow().logs.clone()
    }

    /// The sum of what was added to a counter, the last value of a gauge, or the number of values
    /// of a histogram; nothing if nothing was.
    ///
    /// # Panics
    /// If no metric of this name is declared.
    #[track_caller]
    pub fn metric(&self, name: &str) -> Option<f64> {
        position("metric", name, &self.logic.metrics());
        self.memory.borrow().metrics.get(name).copied()
    }

    /// The items of an operator state.
    ///
    /// # Errors
    /// If they are not of this type.
    ///
    /// # Panics
    /// If no state of this name is declared.
    #[track_caller]
    pub fn items<T: StateCodec>(&self, state: &str) -> crate::Result<Vec<T>> {
        let items = self.memory.borrow().items(self.state_index(state));
        items.iter().map(|item| T::decode(item)).collect()
    }

    /// How many keys, or entries of maps, or items of lists the operator's state holds.
    ///
    /// # Panics
    /// If no state of this name is declared.
    #[track_caller]
    pub fn held(&self, state: &str) -> usize {
        let index = self.state_index(state);
        self.memory.borrow().held(index)
    }

    /// How many keys and entries imports have read since the last time this was asked.
    #[cfg(test)]
    pub(crate) fn read(&self) -> usize {
        std::mem::take(&mut self.memory.borrow_mut().read)
    }

    /// Gives one state what another one holds, byte for byte.
    #[cfg(test)]
    pub(crate) fn copy_state(&mut self, from: &str, to: &str) {
        let (from, to) = (self.state_index(from), self.state_index(to));
        self.memory.borrow_mut().copy(from, to);
    }

    fn call_without_rows<T>(
        &mut self,
        call: impl FnOnce(&mut dyn Logic) -> Result<T, String>,
    ) -> Result<T, String> {
        self.call_in(Scope::Subtask, call)
    }

    fn notify(
        &mut self,
        call: impl FnOnce(&mut dyn Logic) -> Result<(), String>,
    ) -> Result<(), String> {
        self.call_in(Scope::Nothing, call)
    }

    fn call_in<T>(
        &mut self,
        scope: Scope,
        call: impl FnOnce(&mut dyn Logic) -> Result<T, String>,
    ) -> Result<T, String> {
        let no_keys = column::with_room(0, 0);
        self.memory.borrow_mut().begin(scope, &no_keys);
        let result = call(self.logic.as_mut());
        let kept = result.as_ref().map(|_| &[][..]).map_err(|_| ());
        self.memory.borrow_mut().end(kept);
        result
    }

    #[track_caller]
    fn state_index(&self, name: &str) -> u32 {
        let states = self.descriptor.states.iter();
        let names: Vec<_> = states.map(|decl| decl.name.clone()).collect();
        position("state", name, &names) as u32
    }

    fn side_outputs(&self) -> Vec<String> {
        self.descriptor.side_outputs.clone()
    }
}

impl Input {
    /// A row without key and event time.
    pub fn row(value: impl AsRef<[u8]>) -> Self {
        Self {
            key: None,
            value: value.as_ref().to_owned(),
            timestamp: None,
        }
    }

    /// Gives the row a key of these parts.
    pub fn key<P: AsRef<[u8]>>(mut self, parts: impl IntoIterator<Item = P>) -> Self {
        self.key = Some(Key::encode(parts));
        self
    }

    /// Gives the row an event time.
    pub fn at(mut self, timestamp: i64) -> Self {
        self.timestamp = Some(timestamp);
        self
    }
}

impl Output {
    /// This, where all rows of the batch count. Each look at what was emitted is then one at what
    /// all of them emitted.
    ///
    /// ```should_panic
    /// # use weir_guest::{Ctx, Process, Result, Row, testing::Harness};
    /// # #[derive(Default)]
    /// # struct Large;
    /// # impl Process for Large {
    /// #     type In = u64;
    /// #     type Out = u64;
    /// #     fn process(&mut self, row: Row<u64>, ctx: &mut Ctx<u64>) -> Result<()> {
    /// #         if row.value < 10 { return Ok(()); }
    /// #         ctx.emit(row.value)
    /// #     }
    /// # }
    /// let mut large = Harness::open::<Large, _>("null").unwrap();
    /// // Row 1 failed: the row is not a u64: `seven`: invalid digit found in string
    /// let out = large.rows(["12", "seven"]).unwrap().expect_all();
    /// assert_eq!(out.main(), ["12"]);
    /// ```
    ///
    /// # Panics
    /// If a row failed: with its number and its error.
    #[track_caller]
    #[expect(clippy::panic, reason = "it is for tests, and fails them")]
    pub fn expect_all(self) -> Self {
        match &self.poisoned {
            None => self,
            Some((row, error)) => panic!("row {row} failed: {error}"),
        }
    }

    /// The rows of the main output, as text. Where a row failed these are of the rows before it
    /// only: [`poisoned`](Self::poisoned) says which row and why, and
    /// [`expect_all`](Self::expect_all) fails the test then.
    pub fn main(&self) -> Vec<String> {
        self.output(0)
    }

    /// The rows of a side output, as text.
    ///
    /// # Panics
    /// If no side output of this name is declared.
    #[track_caller]
    pub fn side(&self, name: &str) -> Vec<String> {
        self.output(1 + position("side output", name, &self.side_outputs) as u32)
    }

    /// The rows of the main output that is [`Binary`](crate::Binary).
    ///
    /// ```
    /// # use weir_guest::{Binary, Ctx, Process, Result, Row, testing::{Harness, binary}};
    /// # #[derive(Default)]
    /// # struct Sums;
    /// # impl Process for Sums {
    /// #     type In = Binary<(u64, u64)>;
    /// #     type Out = Binary<u64>;
    /// #     fn process(&mut self, row: Row<Self::In>, ctx: &mut Ctx<Self::Out>) -> Result<()> {
    /// #         ctx.emit(row.value.0 + row.value.1)
    /// #     }
    /// # }
    /// let mut sums = Harness::open::<Sums, _>("null").unwrap();
    /// let out = sums.rows([binary((1_u64, 2_u64)), binary((3_u64, 4_u64))]).unwrap();
    /// assert_eq!(out.binary::<u64>().unwrap(), [3, 7]);
    /// ```
    ///
    /// # Errors
    /// If a row is no `T`.
    pub fn binary<T: StateCodec>(&self) -> crate::Result<Vec<T>> {
        self.decoded(0)
    }

    /// The rows of a side output that is [`Binary`](crate::Binary).
    ///
    /// # Errors
    /// If a row is no `T`.
    ///
    /// # Panics
    /// If no side output of this name is declared.
    #[track_caller]
    pub fn side_binary<T: StateCodec>(&self, name: &str) -> crate::Result<Vec<T>> {
        self.decoded(1 + position("side output", name, &self.side_outputs) as u32)
    }

    fn decoded<T: StateCodec>(&self, index: u32) -> crate::Result<Vec<T>> {
        let emitted = self.emitted.iter();
        let emitted = emitted.filter(|emitted| emitted.output == index);
        let rows = emitted.flat_map(|emitted| {
            let values = &emitted.values;
            (0..values.ends.len()).map(move |row| T::decode(column::row(values, row)?))
        });
        rows.collect()
    }

    fn output(&self, index: u32) -> Vec<String> {
        let emitted = self
            .emitted
            .iter()
            .filter(|emitted| emitted.output == index);
        emitted.flat_map(|emitted| texts(&emitted.values)).collect()
    }
}

/// Rows are shown as text.
impl fmt::Debug for Output {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("Output");
        shown.field("main", &self.main());
        for (index, name) in (1..).zip(&self.side_outputs) {
            shown.field(name, &self.output(index));
        }
        shown.field("poisoned", &self.poisoned).finish()
    }
}

/// Where a name is among those declared. A test that misspells one would otherwise find nothing,
/// and pass.
#[track_caller]
#[expect(
    clippy::panic,
    reason = "a name that is misspelt is a mistake of the test"
)]
fn position(what: &str, name: &str, declared: &[String]) -> usize {
    // Not in a closure, which would be the place that the panic tells.
    match declared.iter().position(|known| known == name) {
        Some(position) => position,
        None if declared.is_empty() => panic!("no {what} `{name}` is declared, and no other"),
        None => panic!(
            "no {what} `{name}` is declared; there is `{}`",
            declared.join("`, `")
        ),
    }
}

/// A row of an input that is [`Binary`](crate::Binary).
///
/// # Panics
/// If the value has no written form.
#[track_caller]
#[expect(clippy::panic, reason = "it is for tests, and fails them")]
pub fn binary<T: StateCodec>(value: T) -> Vec<u8> {
    let mut row = Vec::new();
    match value.encode(&mut row) {
        Ok(()) => row,
        Err(error) => panic!("this is no row: {error}"),
    }
}

fn texts(values: &BytesColumn) -> Vec<String> {
    let rows = (0..values.ends.len()).filter_map(|row| column::row(values, row).ok());
    rows.map(|row| String::from_utf8_lossy(row).into_owned())
        .collect()
}

/// Writes rows in columns, as the host does.
fn columns(rows: impl IntoIterator<Item = Input>) -> Batch {
    let mut keys: Vec<Vec<u8>> = Vec::new();
    let mut batch = Batch {
        values: column::with_room(0, 0),
        timestamps: Vec::new(),
        keys: column::with_room(0, 0),
        key_of_row: Vec::new(),
    };
    for row in rows {
        let _ = column::push(&mut batch.values, &row.value);
        batch.timestamps.extend(row.timestamp);
        if let Some(key) = row.key {
            let known = keys.iter().position(|known| *known == key);
            let index = known.unwrap_or(keys.len());
            batch.key_of_row.push(index as u32);
            if known.is_none() {
                let _ = column::push(&mut batch.keys, &key);
                keys.push(key);
            }
        }
    }
    batch
}

#[cfg(test)]
mod tests;
