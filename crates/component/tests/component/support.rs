//! Components written by hand, so that each test says to the instruction what its guest does, and
//! what the engine would lend them.

use std::time::Duration;

use weir_component::{Component, Engine, EngineOptions, Error, Limits};
use weir_model::{
    Attempt, CheckpointId, Column, EventTime, JobName, KeyedView, MaxParallelism, OperatorName,
    Parallelism, ProcessingTime, Rows, SubtaskIndex, hash64,
};
use weir_operator::{Context, Failure, Metrics, Operator, OperatorFactory as _, Outcome, TaskInfo};
use weir_state::{HeapBackend, KeyedState, OperatorState};

/// Where a guest finds an `ok` without anything in it, whatever the type of its function is.
pub(crate) const OK: u32 = 0x800;
/// Where a guest may lay out what it returns.
pub(crate) const RESULT: u32 = 0x900;

/// Kinds of state, as the contract counts them.
pub(crate) const VALUE: u32 = 0;
pub(crate) const OPERATOR_LIST: u32 = 5;
pub(crate) const BROADCAST: u32 = 7;

/// A component by hand: what it declares, and the bodies of its core functions.
pub(crate) struct Hand {
    pub(crate) inputs: u32,
    pub(crate) states: Vec<&'static str>,
    /// The kind of all states, as the contract counts them.
    pub(crate) kind: u32,
    pub(crate) prefetch: bool,
    pub(crate) side_outputs: u32,
    pub(crate) timers: bool,
    pub(crate) keeps_memory: bool,
    /// Functions, globals and data of the core module.
    pub(crate) items: String,
    /// Pages of memory at the start.
    pub(crate) pages: u32,
    /// The most pages of memory that the module itself allows, where it says so.
    pub(crate) most_pages: &'static str,
    pub(crate) describe: String,
    pub(crate) open: String,
    pub(crate) process: String,
    pub(crate) finish: String,
    /// More imports of the component.
    pub(crate) imports: String,
    /// More core functions to hand to the core module: definitions, exports of the instance `host`
    /// and imports of the core module.
    pub(crate) host: Host,
    /// More exports of the component.
    pub(crate) exports: String,
    /// The interface that is exported.
    pub(crate) logic: &'static str,
}

/// Core functions that a guest by hand imports beside the usual ones.
#[derive(Default)]
pub(crate) struct Host {
    pub(crate) functions: String,
    pub(crate) exports: String,
    pub(crate) imports: String,
}

impl Default for Hand {
    fn default() -> Self {
        let ok = format!("i32.const {OK}");
        Self {
            inputs: 1,
            states: Vec::new(),
            kind: VALUE,
            prefetch: false,
            side_outputs: 0,
            timers: false,
            keeps_memory: false,
            items: String::new(),
            pages: 2,
            most_pages: "",
            describe: "i32.const 0x100".into(),
            open: ok.clone(),
            process: ok.clone(),
            finish: ok,
            imports: String::new(),
            host: Host::default(),
            exports: String::new(),
            logic: "weir:operator/logic@0.1.0",
        }
    }
}

impl Hand {
    /// A guest with this body of `process`.
    pub(crate) fn process(body: impl Into<String>) -> Self {
        Self {
            process: body.into(),
            ..Self::default()
        }
    }

    /// A guest whose `process` returns an outcome with these rows on output 0.
    pub(crate) fn emits(emitted: Emits) -> Self {
        let mut words = [0_u32; 14];
        words[0] = emitted.output;
        (words[1], words[2]) = emitted.bytes;
        (words[3], words[4]) = emitted.ends;
        (words[5], words[6]) = emitted.origin;
        (words[7], words[8]) = emitted.timestamps;
        let element = RESULT + 0x100;
        // `ok`, one element of `emitted`.
        let outcome = [0, element, 1];
        Self {
            items: format!("{}{}", data(RESULT, &words_le(&outcome)), {
                data(element, &words_le(&words))
            }),
            ..Self::process(format!("i32.const {RESULT}"))
        }
    }

    pub(crate) fn bytes(&self) -> Vec<u8> {
        wat::parse_str(self.text()).unwrap()
    }

    pub(crate) fn load(&self, engine: &Engine) -> Result<Component, Error> {
        engine.load_bytes(&self.bytes(), &Limits::default())
    }

    fn text(&self) -> String {
        let Self {
            pages,
            most_pages,
            imports,
            host,
            exports,
            logic,
            ..
        } = self;
        let (functions, host_exports) = (&host.functions, &host.exports);
        let (types, lifts) = (include_str!("types.wat"), include_str!("lifts.wat"));
        let module = self.module();
        format!(
            r#"(component
            {types}
            {imports}
            (core module $libc
                (memory (export "memory") {pages} {most_pages})
                (global $next (mut i32) (i32.const 0x10000))
                (func (export "realloc") (param i32 i32 i32 i32) (result i32)
                    (local $at i32)
                    (local.set $at (i32.and (i32.add (global.get $next) (i32.const 7))
                        (i32.const -8)))
                    (global.set $next (i32.add (local.get $at) (local.get 3)))
                    local.get $at))
            (core instance $libc (instantiate $libc))
            (core func $log (canon lower (func $telemetry "log")
                (memory (core memory $libc "memory")) (realloc (core func $libc "realloc"))))
            (core func $value-put (canon lower (func $state "value-put")
                (memory (core memory $libc "memory")) (realloc (core func $libc "realloc"))))
            {functions}
            {module}
            (core instance $guest (instantiate $guest
                (with "libc" (instance $libc))
                (with "host" (instance
                    (export "log" (func $log))
                    (export "value-put" (func $value-put))
                    {host_exports}))))
            {lifts}
            (export "{logic}" (instance $logic))
            {exports})"#
        )
    }

    /// The core module that has the guest's functions.
    fn module(&self) -> String {
        let Self {
            items,
            describe,
            open,
            process,
            finish,
            host,
            ..
        } = self;
        let (imports, descriptor) = (&host.imports, self.descriptor());
        format!(
            r#"(core module $guest
                (import "libc" "memory" (memory 0))
                (import "host" "log" (func $log (param i32 i32 i32)))
                (import "host" "value-put"
                    (func $value-put (param i32 i32 i32 i32 i32 i32 i32 i32 i32)))
                {imports}
                {descriptor}
                {items}
                (func $describe (export "describe") (result i32) {describe})
                (func $open (export "open") (result i32) {open})
                (func $process (export "process") (param $input i32)
                    (param $bytes i32) (param $bytes-len i32)
                    (param $ends i32) (param $ends-len i32)
                    (param $times i32) (param $times-len i32)
                    (param $keys i32) (param $keys-len i32)
                    (param $key-ends i32) (param $key-ends-len i32)
                    (param $key-of-row i32) (param $key-of-row-len i32)
                    (param $slots i32) (param $slots-len i32)
                    (result i32) {process})
                (func $end-of-input (export "end-of-input") (param i32) (result i32)
                    i32.const {OK})
                (func $finish (export "finish") (result i32) {finish}))"#
        )
    }

    /// The record that `describe` returns, at 0x100, and all that it points to.
    fn descriptor(&self) -> String {
        const STATES: u32 = 0x200;
        const OUTPUTS: u32 = 0x600;
        const NAMES: u32 = 0x700;
        let mut names = Vec::new();
        let mut name = |text: &str| {
            let at = NAMES + names.len() as u32;
            names.extend_from_slice(text.as_bytes());
            [at, text.len() as u32]
        };
        let mut states = Vec::new();
        for state in &self.states {
            let [at, len] = name(state);
            let [format, format_len] = name("utf8");
            let prefetch = u32::from(self.prefetch);
            let words = [at, len, self.kind, format, format_len, 1, prefetch];
            states.extend(words_le(&words));
            // The absent time to live, which is aligned to 8 bytes.
            states.extend([0; 28]);
        }
        let mut outputs = Vec::new();
        for output in 0..self.side_outputs {
            outputs.extend(words_le(&name(&format!("side-{output}"))));
        }
        let flags = u32::from(self.timers) | u32::from(self.keeps_memory) << 8;
        let descriptor = words_le(&[
            STATES,
            self.states.len() as u32,
            self.inputs,
            OUTPUTS,
            self.side_outputs,
            flags,
        ]);
        [
            data(0x100, &descriptor),
            data(STATES, &states),
            data(OUTPUTS, &outputs),
            data(NAMES, &names),
        ]
        .concat()
    }
}

/// Rows that a guest claims to emit: addresses and lengths of lists in its memory.
#[derive(Clone, Copy, Default)]
pub(crate) struct Emits {
    pub(crate) output: u32,
    pub(crate) bytes: (u32, u32),
    pub(crate) ends: (u32, u32),
    pub(crate) origin: (u32, u32),
    pub(crate) timestamps: (u32, u32),
}

/// A data segment.
pub(crate) fn data(at: u32, bytes: &[u8]) -> String {
    let text: String = bytes.iter().map(|byte| format!("\\{byte:02x}")).collect();
    format!("(data (i32.const {at}) \"{text}\")\n")
}

/// Numbers as they lie in memory.
pub(crate) fn words_le(words: &[u32]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_le_bytes()).collect()
}

pub(crate) fn engine() -> Engine {
    Engine::new(&EngineOptions::default()).unwrap()
}

/// Subtask `subtask` of two.
pub(crate) fn task(subtask: u32) -> TaskInfo {
    TaskInfo {
        job: JobName::new("shop").unwrap(),
        operator: OperatorName::new("cart").unwrap(),
        subtask: SubtaskIndex(subtask),
        parallelism: Parallelism::new(2).unwrap(),
        max_parallelism: MaxParallelism::new(128).unwrap(),
        attempt: Attempt(0),
    }
}

/// An instance with the context that the engine would lend it.
pub(crate) struct Running {
    pub(crate) operator: Box<dyn Operator>,
    pub(crate) cx: Box<Context>,
}

impl Running {
    /// An instance that is open.
    pub(crate) fn open(component: &Component, limits: Limits) -> Self {
        let mut running = Self::start(component, limits).unwrap();
        running.initialize(false, &[]).unwrap();
        running.operator.open(&mut running.cx).unwrap();
        running
    }

    /// An instance that is open, with this configuration of its operator.
    pub(crate) fn configured(component: &Component, limits: Limits, config: &str) -> Self {
        let mut running = Self::start(component, limits).unwrap();
        running.cx.config = config.into();
        running.operator.open(&mut running.cx).unwrap();
        running
    }

    pub(crate) fn start(component: &Component, limits: Limits) -> Result<Self, Failure> {
        let max = MaxParallelism::new(128).unwrap();
        let states = component.descriptor().states.clone();
        let all = max.range_of(SubtaskIndex(0), Parallelism::ONE).unwrap();
        let operator_state = OperatorState::new(&states);
        let backend = HeapBackend::new(states, all).unwrap();
        let task = task(0);
        Ok(Self {
            operator: component.factory(limits).create(&task)?,
            cx: Box::new(Context {
                task,
                config: "null".into(),
                state: KeyedState::new(Box::new(backend), max),
                operator_state,
                watermark: EventTime::MIN,
                processing_time: ProcessingTime(1_000),
                metrics: Metrics::default(),
                deadline: None,
                rehearsal: false,
                said_watermarks: Vec::new(),
            }),
        })
    }

    /// Processes rows without keys, as one transaction; gives back the rows of all outputs.
    pub(crate) fn process(&mut self, rows: &[&str]) -> Result<Vec<String>, Failure> {
        self.process_input(0, false, rows)
    }

    /// As [`process`](Self::process), of rows of this input, which may be a broadcast input.
    pub(crate) fn process_input(
        &mut self,
        input: u32,
        broadcast: bool,
        rows: &[&str],
    ) -> Result<Vec<String>, Failure> {
        whole(self.outcome_input(input, broadcast, rows))
    }

    /// What the operator made of rows without keys of this input.
    pub(crate) fn outcome_input(
        &mut self,
        input: u32,
        broadcast: bool,
        rows: &[&str],
    ) -> Result<Outcome, Failure> {
        let values: Column = rows.iter().map(|row| row.as_bytes()).collect();
        let rows = Rows {
            values: values.view(),
            timestamps: &[],
            keyed: None,
        };
        self.call(broadcast, None, |operator, cx| {
            operator.process(cx, input, rows)
        })
    }

    /// A call as one transaction.
    pub(crate) fn call<R>(
        &mut self,
        broadcast: bool,
        keyed: Option<KeyedView<'_>>,
        call: impl FnOnce(&mut dyn Operator, &mut Box<Context>) -> Result<R, Failure>,
    ) -> Result<R, Failure> {
        self.cx.state.begin(keyed);
        self.cx.operator_state.begin(broadcast);
        let result = call(&mut *self.operator, &mut self.cx);
        if result.is_ok() {
            self.cx.state.commit().unwrap();
            self.cx.operator_state.commit();
            self.cx.metrics.commit();
        } else {
            self.cx.state.rollback();
            self.cx.operator_state.rollback();
            self.cx.metrics.rollback();
        }
        result
    }

    /// A checkpoint as the engine takes it: the raw state that the operator gives.
    pub(crate) fn snapshot(&mut self, checkpoint: u64) -> Result<Vec<Vec<u8>>, Failure> {
        self.call(false, None, |operator, cx| {
            operator.snapshot(cx, CheckpointId(checkpoint))
        })
    }

    /// Gives the operator what it had saved.
    pub(crate) fn initialize(&mut self, restored: bool, raw: &[Vec<u8>]) -> Result<(), Failure> {
        self.call(false, None, |operator, cx| {
            operator.initialize(cx, restored, raw)
        })
    }

    /// As [`process`](Self::process), of rows whose keys are the rows themselves.
    pub(crate) fn process_keyed(&mut self, rows: &[&str]) -> Result<Vec<String>, Failure> {
        whole(self.outcome_keyed(rows))
    }

    /// What the operator made of rows whose keys are the rows themselves.
    pub(crate) fn outcome_keyed(&mut self, rows: &[&str]) -> Result<Outcome, Failure> {
        let mut distinct: Vec<&str> = Vec::new();
        let key_of_row: Vec<u32> = (rows.iter())
            .map(|row| {
                let known = distinct.iter().position(|key| key == row);
                known.unwrap_or_else(|| {
                    distinct.push(row);
                    distinct.len() - 1
                }) as u32
            })
            .collect();
        // A key of one part: its length, then its bytes (D2).
        let encoded = distinct.iter().map(|key| {
            let mut bytes = vec![u8::try_from(key.len()).unwrap()];
            bytes.extend_from_slice(key.as_bytes());
            bytes
        });
        let mut keys = Column::new();
        encoded.for_each(|key| keys.push(&key));
        let hashes: Vec<u64> = keys.iter().map(hash64).collect();
        let values: Column = rows.iter().map(|row| row.as_bytes()).collect();
        self.outcome(Rows {
            values: values.view(),
            timestamps: &[],
            keyed: Some(KeyedView {
                keys: keys.view(),
                hashes: &hashes,
                key_of_row: &key_of_row,
            }),
        })
    }

    fn outcome(&mut self, rows: Rows<'_>) -> Result<Outcome, Failure> {
        self.call(false, rows.keyed, |operator, cx| {
            operator.process(cx, 0, rows)
        })
    }
}

/// The rows of an outcome that leaves none of the call out.
fn whole(outcome: Result<Outcome, Failure>) -> Result<Vec<String>, Failure> {
    let outcome = outcome?;
    assert_eq!(outcome.poisoned, None);
    Ok(emitted(&outcome))
}

/// The rows of all outputs.
pub(crate) fn emitted(outcome: &Outcome) -> Vec<String> {
    let columns = outcome.emitted.iter();
    columns.flat_map(|emitted| texts(&emitted.values)).collect()
}

pub(crate) fn texts(column: &Column) -> Vec<String> {
    column
        .iter()
        .map(|row| String::from_utf8_lossy(row).into_owned())
        .collect()
}

/// Limits that a test runs into quickly.
pub(crate) fn tight() -> Limits {
    Limits {
        memory: 1 << 20,
        time_per_call: Duration::from_millis(300),
        output_bytes: 1 << 10,
    }
}
