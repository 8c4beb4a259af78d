//! The optional interface `enrich`: calls that wait for something outside, each in an instance of
//! its own. A component that has it is an operator whose calls wait.
//!
//! A call runs on a stack of its own: where the guest waits, the stack is left, and nothing holds a
//! thread. Instances go back to a pool after calls that ended well. One is opened before the call
//! that needs it, whose row has its time for itself; as many at once as there are, so that the
//! first is not held up by those that come after it, and many come soon. Opening has as long as a
//! row.
//!
//! INVARIANT: an instance is entered by one call at a time, and never again after a call that was
//! dropped, trapped or broke the contract.

use std::{
    pin::Pin,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    task::{self, Poll},
    time::Duration,
};

use futures::{
    StreamExt,
    future::{Either, select},
    stream::FuturesUnordered,
};
use wasmtime::{
    Store, UpdateDeadline,
    component::{self as wasm, ComponentType, Lift, Lower, TypedFunc},
};
use weir_model::{EventTime, ProcessingTime};
use weir_operator::{
    AsyncCall, AsyncOperator, AsyncOperatorFactory, AsyncOptions, AsyncReady, Called, Calling,
    Context, Descriptor, Failure, NotCalled, Operator, OperatorFactory, TaskInfo,
};

use crate::{
    Component, Limits, Outside,
    bindings::weir::operator::data,
    cpu::{Counted, Cpu},
    guest::{Guest, Phase},
    instance::{MAX_HANDLES, stand_in},
    interfaces::{ENRICH_EXPORT, LOGIC},
    log::cut,
    lookup::Lookup,
    outcome::{Check, MAX_MESSAGE},
    size::Size,
    trap::FailedCall,
};

/// `enrich.row`, borrowed.
#[derive(Clone, Copy, Debug, ComponentType, Lower)]
#[component(record)]
pub(crate) struct RowIn<'a> {
    value: &'a [u8],
    timestamp: Option<i64>,
    key: Option<&'a [u8]>,
}

/// `enrich.not-enriched`.
#[derive(Debug, ComponentType, Lift)]
#[component(variant)]
pub(crate) enum NotEnriched {
    #[component(name = "refused")]
    Refused(String),
    #[component(name = "failed")]
    Failed(String),
    #[component(name = "fatal")]
    Fatal(String),
}

type Open = TypedFunc<(), (Result<(), String>,)>;
type EnrichIn<'a> = (RowIn<'a>,);
type EnrichOut = (Result<Vec<data::Emitted>, NotEnriched>,);

/// A component whose calls wait, as an operator.
#[derive(Clone)]
pub struct ComponentEnrich {
    component: Component,
    limits: Limits,
    options: AsyncOptions,
    outside: Outside,
}

impl ComponentEnrich {
    pub(crate) fn new(
        component: Component,
        limits: Limits,
        options: AsyncOptions,
        outside: Outside,
    ) -> Self {
        Self {
            component,
            limits,
            options,
            outside,
        }
    }
}

impl OperatorFactory for ComponentEnrich {
    fn descriptor(&self) -> &Descriptor {
        self.component.descriptor()
    }

    fn create(&self, _task: &TaskInfo) -> Result<Box<dyn Operator>, Failure> {
        Err(Failure::Internal {
            message: "a component whose calls wait is no operator whose calls do not".into(),
        })
    }

    fn waits(&self) -> Option<&dyn AsyncOperatorFactory> {
        Some(self)
    }
}

impl AsyncOperatorFactory for ComponentEnrich {
    fn options(&self) -> AsyncOptions {
        self.options
    }

    fn create(
        &self,
        task: &TaskInfo,
        config: &Arc<str>,
    ) -> Result<Box<dyn AsyncOperator>, Failure> {
        let Some(pre) = self.component.waiting_pre().cloned() else {
            return Err(Failure::Internal {
                message: "the component was found to wait and does not".into(),
            });
        };
        let pool = Pool {
            pre,
            _component: self.component.clone(),
            outputs: 1 + self.descriptor().side_outputs.len() as u32,
            limits: self.limits.clone(),
            outside: self.outside.clone(),
            task: task.clone(),
            config: Arc::clone(config),
            idle: Mutex::default(),
            live: Arc::default(),
            timeout: self.options.timeout,
        };
        Ok(Box::new(Enriching {
            pool: Arc::new(pool),
            openings: FuturesUnordered::new(),
        }))
    }
}

/// The instances of one subtask.
struct Enriching {
    pool: Arc<Pool>,
    /// Instances that are being opened.
    openings: FuturesUnordered<Opening>,
}

type Opening = Pin<Box<dyn Future<Output = Result<Opened, Failure>> + Send>>;

/// What its calls share.
struct Pool {
    pre: wasm::InstancePre<Guest>,
    /// Keeps the clock running that interrupts the instances.
    _component: Component,
    outputs: u32,
    limits: Limits,
    outside: Outside,
    task: TaskInfo,
    config: Arc<str>,
    idle: Mutex<Idle>,
    /// How many instances there are, idle or called.
    live: Arc<AtomicUsize>,
    /// How long opening one may take.
    timeout: Duration,
}

/// Instances that are open and do nothing.
#[derive(Default)]
struct Idle {
    instances: Vec<Opened>,
    size: Size,
}

/// An instance that is open.
struct Opened {
    store: Store<Guest>,
    enrich: TypedFunc<EnrichIn<'static>, EnrichOut>,
    _live: Live,
}

/// Counts an instance as long as it is there.
struct Live(Arc<AtomicUsize>);

impl Live {
    fn new(count: &Arc<AtomicUsize>) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(count))
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Enriching {
    /// Begins to open another one.
    fn open(&mut self, ready: AsyncReady) {
        let pool = Arc::clone(&self.pool);
        let cpu = Cpu::new(pool.limits.time_per_call);
        let late = (self.pool.outside.sleep)(self.pool.timeout);
        let timeout = self.pool.timeout;
        let opening = Counted {
            cpu: cpu.clone(),
            future: Box::pin(async move { pool.open(ready, &cpu).await }),
        };
        self.openings.push(Box::pin(async move {
            match select(opening, late).await {
                Either::Left((opened, _)) => opened,
                Either::Right(((), _)) => Err(Failure::External {
                    what: "opening an instance of the component".into(),
                    message: format!(
                        "`open` waited for longer than `async.timeout` ({timeout:?}) for what it \
                         asks outside"
                    ),
                }),
            }
        }));
    }
}

impl AsyncOperator for Enriching {
    fn poll_ready(
        &mut self,
        ready: AsyncReady,
        cx: &mut task::Context<'_>,
    ) -> Poll<Result<(), Failure>> {
        loop {
            // What is being opened gets on whether or not somebody waits for it: whom it speaks
            // with does not wait for ever.
            while let Poll::Ready(Some(opened)) = self.openings.poll_next_unpin(cx) {
                self.pool.idle().instances.push(opened?);
            }
            if ready.wanted == 0 || !self.pool.idle().instances.is_empty() {
                return Poll::Ready(Ok(()));
            }
            let live = self.pool.live.load(Ordering::Relaxed);
            if self.openings.len() >= ready.wanted.min(live.max(1)) {
                return Poll::Pending;
            }
            self.open(ready);
        }
    }

    fn call(&mut self, call: AsyncCall) -> Calling {
        let pool = Arc::clone(&self.pool);
        // Not when it is polled first: whoever asks meanwhile is to know that this one is taken.
        let opened = pool.idle().instances.pop();
        let cpu = Cpu::new(pool.limits.time_per_call);
        Box::pin(Counted {
            cpu: cpu.clone(),
            future: Box::pin(async move {
                let opened = opened.ok_or_else(|| {
                    let message = "a call is begun for which no instance is open".into();
                    NotCalled::Broken(Failure::Internal { message })
                })?;
                pool.call(opened, call, cpu).await
            }),
        })
    }
}

impl Pool {
    async fn call(
        &self,
        mut opened: Opened,
        call: AsyncCall,
        cpu: Cpu,
    ) -> Result<Called, NotCalled> {
        let context = self.context(call.watermark, call.now);
        let context = context.map_err(NotCalled::Broken)?;
        let guest = opened.store.data_mut();
        guest.cpu = Some(cpu);
        guest.enter(Phase::Enrich, Some(context));
        let row = RowIn {
            value: call.row.value(),
            timestamp: call.row.timestamp(),
            key: call.row.key().map(|(key, _)| key),
        };
        let enrich: TypedFunc<EnrichIn<'_>, EnrichOut> = opened.enrich;
        let result = enrich.call_async(&mut opened.store, (row,)).await;
        let guest = opened.store.data_mut();
        guest.leave();
        let metrics = guest.cx.take().map(|mut cx| cx.metrics.take());
        let result = match result {
            Ok((result,)) => result,
            Err(error) => {
                let failure = self.failure(Phase::Enrich, &opened.store, &error);
                return Err(match failure.lost_instance() {
                    true => NotCalled::Lost(failure),
                    false => NotCalled::Broken(failure),
                });
            }
        };
        let result = match result {
            // Where that breaks a limit the instance is not used again.
            Ok(emitted) => Ok(Called {
                emitted: self.check(emitted)?,
                metrics: metrics.unwrap_or_default(),
            }),
            Err(NotEnriched::Fatal(why)) => Err(NotCalled::Broken(Failure::Guest {
                message: cut(&why, MAX_MESSAGE).to_owned(),
                row: None,
            })),
            Err(NotEnriched::Refused(why)) => {
                Err(NotCalled::Refused(cut(&why, MAX_MESSAGE).to_owned()))
            }
            Err(NotEnriched::Failed(why)) => {
                Err(NotCalled::Failed(cut(&why, MAX_MESSAGE).to_owned()))
            }
        };
        self.put_back(opened);
        result
    }

    /// Makes an instance and opens it.
    async fn open(&self, ready: AsyncReady, cpu: &Cpu) -> Result<Opened, Failure> {
        let guest = Guest::new(Some(&self.task), &self.limits);
        let mut store = Store::new(self.pre.engine(), guest);
        store.limiter(|guest| &mut guest.memory);
        store.set_hostcall_fuel(self.limits.hostcall_fuel());
        store.set_max_component_handles(MAX_HANDLES);
        // Others on the thread go on after each step of the clock.
        store.epoch_deadline_callback(|store| {
            let spent = store.data().cpu.as_ref().is_some_and(Cpu::is_spent);
            Ok(match spent {
                true => UpdateDeadline::Interrupt,
                false => UpdateDeadline::Yield(1),
            })
        });
        store.set_epoch_deadline(1);
        let guest = store.data_mut();
        guest.wasi.moves(Arc::clone(&self.outside.sleep));
        guest.outside = Some(self.outside.clone());
        guest.cpu = Some(cpu.clone());
        let made = self.pre.instantiate_async(&mut store).await;
        store.data_mut().leave();
        let instance = made.map_err(|error| self.failure(Phase::Start, &store, &error))?;
        let (open, enrich) = self.functions(&mut store, &instance)?;
        let context = self.context(ready.watermark, ready.now)?;
        store.data_mut().enter(Phase::Open, Some(context));
        let result = open.call_async(&mut store, ()).await;
        let guest = store.data_mut();
        guest.leave();
        guest.cx = None;
        let (opened,) = result.map_err(|error| self.failure(Phase::Open, &store, &error))?;
        opened.map_err(|message| Failure::Guest {
            message: cut(&message, MAX_MESSAGE).to_owned(),
            row: None,
        })?;
        self.idle().size.opened(store.data().memory.bytes());
        Ok(Opened {
            store,
            enrich,
            _live: Live::new(&self.live),
        })
    }

    fn functions(
        &self,
        store: &mut Store<Guest>,
        instance: &wasm::Instance,
    ) -> Result<(Open, TypedFunc<EnrichIn<'static>, EnrichOut>), Failure> {
        let component = self.pre.component();
        let mut function = || {
            let missing = || wasmtime::Error::msg("an interface is gone");
            let mut logic = Lookup::of(LOGIC, component, store, instance).ok_or_else(missing)?;
            let open = logic.function("open")?;
            let enrich = Lookup::of(ENRICH_EXPORT, component, store, instance);
            let enrich = enrich.ok_or_else(missing)?.function("enrich")?;
            Ok((open, enrich))
        };
        function().map_err(|error: wasmtime::Error| Failure::Contract {
            message: format!("the component does not match the contract: {error:#}"),
        })
    }

    /// What a call sees of the host: no state.
    fn context(&self, watermark: EventTime, now: ProcessingTime) -> Result<Box<Context>, Failure> {
        let mut context = stand_in(&self.task)?;
        context.config = Arc::clone(&self.config);
        context.watermark = watermark;
        context.processing_time = now;
        Ok(context)
    }

    /// An instance that may be used again; one that has outgrown what it needs is dropped.
    fn put_back(&self, mut opened: Opened) {
        opened.store.data_mut().cpu = None;
        let bytes = opened.store.data().memory.bytes();
        let mut idle = self.idle();
        match idle.size.outgrown(bytes) {
            true => idle.size.replaced(bytes),
            false => idle.instances.push(opened),
        }
    }

    fn check(
        &self,
        mut emitted: Vec<data::Emitted>,
    ) -> Result<Vec<weir_operator::Emitted>, NotCalled> {
        for emitted in &mut emitted {
            // There is one row that they can come from.
            if emitted.origin.is_empty() {
                emitted.origin.resize(emitted.values.ends.len(), 0);
            }
        }
        let check = Check {
            phase: Phase::Enrich,
            outputs: self.outputs,
            states: 0,
            rows: Some(1),
            keys: 0,
            limits: &self.limits,
        };
        check
            .emitted(emitted)
            .map_err(|failure| match failure.lost_instance() {
                true => NotCalled::Lost(failure),
                false => NotCalled::Broken(failure),
            })
    }

    fn failure(&self, phase: Phase, store: &Store<Guest>, error: &wasmtime::Error) -> Failure {
        let call = FailedCall {
            phase,
            limits: &self.limits,
            time: self.limits.time_per_call,
            last_words: store.data().log.last_words(),
            refusal: None,
        };
        call.failure(error)
    }

    fn idle(&self) -> std::sync::MutexGuard<'_, Idle> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
