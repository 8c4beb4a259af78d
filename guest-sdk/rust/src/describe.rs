//! What an operator declares, and how the SDK reaches the handles in its fields.
//!
//! INVARIANT: `describe` is called once to declare, and again at the end of calls to collect what
//! the handles hold. It must therefore declare the same handles each time and do nothing else.

use std::any::type_name;
use std::ops::{Deref, DerefMut};
use std::rc::Rc;
use std::time::Duration;

use crate::bindings::weir::operator::data::{Descriptor, Slots, StateDecl, StateKind, Ttl};
use crate::call::{Binding, Call};
use crate::codec::StateCodec;
use crate::error::{Error, Result, counted};
use crate::handles::{DeclaredHandle, undeclared};
use crate::map_key::MapKey;
use crate::metrics::{Counter, Gauge, Histogram};
use crate::output::SideOutput;
use crate::state::{
    Aggregate, Aggregating, Broadcast, Fold, Handle, List, Map, OperatorList, Reducing, Value,
};
use crate::timers::Timers;
use crate::type_name::short;

/// What a handle is that has no place in the descriptor.
const METRIC: &str = "metric";
/// The longest name that a job file can say.
const MAX_NAME: usize = 63;
/// The longest name of a metric, in bytes.
const MAX_METRIC_NAME: usize = 128;
/// The most inputs of an operator.
const MAX_INPUTS: u32 = 64;

/// Whether a job file can say the name (D3).
fn is_name(name: &str) -> bool {
    let plain = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-');
    name.len() <= MAX_NAME
        && name.starts_with(|first: char| first.is_ascii_lowercase())
        && name.bytes().all(plain)
}

/// Declares what an operator has besides its main input and output.
pub struct Describe<'v> {
    visit: Visit<'v>,
}

/// [`Describe`] of a keyed operator: declares keyed state too.
pub struct KeyedDescribe<'v>(Describe<'v>);

/// What a visit of the handles is for.
pub enum Visit<'v> {
    Declare(&'v mut Declared),
    Rollback,
    Flush {
        slots: &'v mut Vec<Slots>,
        result: Result<()>,
    },
}

/// What was declared.
pub struct Declared {
    call: Rc<Call>,
    pub(crate) descriptor: Descriptor,
    /// Some map state wants the operator's `prefetch`.
    pub(crate) looks_ahead: bool,
    /// How many inputs the type of the rows is for, if it says so.
    typed_inputs: Option<u32>,
    /// The inputs whose rows go to all subtasks, a bit each.
    broadcast_inputs: u64,
    /// All handles. Metrics are here only; they have no place in the descriptor.
    handles: Vec<DeclaredHandle>,
    /// What is wrong, for `describe` to fail with.
    pub(crate) mistakes: Vec<String>,
}

impl Declared {
    /// Nothing yet, of an operator whose rows are of a type for so many inputs.
    pub(crate) fn new(call: Rc<Call>, typed_inputs: Option<u32>) -> Self {
        let descriptor = Descriptor {
            states: Vec::new(),
            inputs: typed_inputs.unwrap_or(1),
            side_outputs: Vec::new(),
            timers: false,
            keeps_memory: false,
        };
        Self {
            call,
            descriptor,
            looks_ahead: false,
            typed_inputs,
            broadcast_inputs: 0,
            handles: Vec::new(),
            mistakes: Vec::new(),
        }
    }

    /// The states whose values live longer for being read, or are given out once more when they
    /// have expired.
    pub(crate) fn accessed(&self) -> Vec<u32> {
        let states = self.descriptor.states.iter().zip(0..);
        let by_read = states.filter(|(state, _)| {
            let ttl = state.ttl.as_ref();
            ttl.is_some_and(|ttl| ttl.on_read || ttl.return_expired)
        });
        by_read.map(|(_, index)| index).collect()
    }

    /// Whether the rows of an input go to all subtasks.
    pub(crate) fn is_broadcast(&self, input: u32) -> bool {
        input < MAX_INPUTS && self.broadcast_inputs >> input & 1 == 1
    }

    /// Looks for mistakes in what belongs together, once all is declared.
    pub(crate) fn check(&mut self) {
        let inputs = self.descriptor.inputs;
        if let Some(typed) = self.typed_inputs.filter(|typed| *typed != inputs) {
            let are = if inputs == 1 { "is" } else { "are" };
            self.mistakes.push(format!(
                "{} {are} declared, but the type of the rows is for {typed}",
                counted(inputs as usize, "input")
            ));
        }
        if inputs > MAX_INPUTS {
            self.mistakes.push(format!(
                "{inputs} inputs are declared; {MAX_INPUTS} are the most"
            ));
        }
        let beyond = (inputs..MAX_INPUTS).find(|input| self.is_broadcast(*input));
        if let Some(input) = beyond {
            self.mistakes.push(format!(
                "input {input} is declared as a broadcast input, but the operator has {}, counted \
                 from 0",
                counted(inputs as usize, "input")
            ));
        }
        let mut states = self.descriptor.states.iter();
        let broadcast = states.find(|state| state.kind == StateKind::Broadcast);
        if let Some(state) = broadcast.filter(|_| self.broadcast_inputs == 0) {
            self.mistakes.push(format!(
                "broadcast state `{}` could never be written: no input is declared as a broadcast \
                 input",
                state.name
            ));
        }
    }

    /// Looks for handles that the operator has and `describe` left out.
    pub(crate) fn check_handles(&mut self, operator: &str, made: &[&'static str]) {
        self.mistakes
            .extend(undeclared(operator, made, &self.handles));
    }

    /// The names of all metrics.
    pub(crate) fn metrics(&self) -> Vec<String> {
        let metrics = self.handles.iter().filter(|handle| handle.what == METRIC);
        metrics.map(|handle| handle.name.clone()).collect()
    }

    fn bind<H>(&mut self, what: &'static str, name: &str, index: usize, handle: &mut dyn Handle) {
        let type_name = type_name::<H>();
        if name.is_empty() {
            self.mistakes.push(format!("a {what} has an empty name"));
        }
        let same = |known: &&DeclaredHandle| known.what == what && known.name == name;
        if let Some(known) = self.handles.iter().find(same) {
            self.mistakes.push(format!(
                "{what} `{name}` is declared twice, as `{}` and as `{}`: each {what} has a name of \
                 its own",
                short(known.type_name),
                short(type_name)
            ));
        }
        let binding = Binding {
            call: Rc::clone(&self.call),
            index: index as u32,
            name: name.to_owned(),
        };
        if handle.bind(binding) {
            self.handles.push(DeclaredHandle {
                what,
                name: name.to_owned(),
                type_name,
            });
        } else {
            self.mistakes.push(format!(
                "the handle of {what} `{name}`, a `{}`, is declared twice",
                short(type_name)
            ));
        }
    }
}

impl<'v> Describe<'v> {
    pub(crate) fn new(visit: Visit<'v>) -> Self {
        Self { visit }
    }

    pub(crate) fn into_visit(self) -> Visit<'v> {
        self.visit
    }

    /// Declares a side output: rows besides the main output, that sinks and operators read as
    /// `<operator>.<name>`. The name is one of lower-case letters, digits and `-`.
    pub fn side_output<T: 'static>(&mut self, name: &str, output: &mut SideOutput<T>) {
        let Visit::Declare(declared) = &mut self.visit else {
            return;
        };
        if !name.is_empty() && !is_name(name) {
            declared.mistakes.push(format!(
                "side output `{name}`: a name is lower-case letters, digits and `-`, begins with a \
                 letter, and has at most {MAX_NAME} characters"
            ));
        }
        let names = &mut declared.descriptor.side_outputs;
        names.push(name.to_owned());
        // Output 0 is the main one.
        let index = names.len();
        declared.bind::<SideOutput<T>>("side output", name, index, output);
    }

    /// Declares a counter: a metric that only grows.
    pub fn counter(&mut self, name: &str, counter: &mut Counter) {
        self.metric(name, counter);
    }

    /// Declares a gauge: a metric that shows the last value it was set to.
    pub fn gauge(&mut self, name: &str, gauge: &mut Gauge) {
        self.metric(name, gauge);
    }

    /// Declares a histogram: a metric that shows how values are distributed.
    pub fn histogram(&mut self, name: &str, histogram: &mut Histogram) {
        self.metric(name, histogram);
    }

    /// Says that the operator has more than one input, all with rows of one type, told apart by
    /// [`Row::input`](crate::Row::input). Where the types differ, [`inputs!`](crate::inputs!) says
    /// how many there are.
    ///
    /// ```
    /// use weir_guest::{Ctx, Describe, Process, Result, Row};
    ///
    /// /// Merges three streams, and says of each row where it is from.
    /// #[derive(Default)]
    /// struct Merge;
    ///
    /// impl Process for Merge {
    ///     type In = String;
    ///     type Out = String;
    ///
    ///     fn describe(&mut self, d: &mut Describe) {
    ///         d.inputs(3);
    ///     }
    ///
    ///     fn process(&mut self, row: Row<String>, ctx: &mut Ctx<String>) -> Result<()> {
    ///         ctx.emit(format_args!("{}: {}", row.input, row.value))
    ///     }
    /// }
    /// # use weir_guest::testing::{Harness, Input};
    /// # let mut merge = Harness::open::<Merge, _>("null").unwrap();
    /// # assert_eq!(merge.batch(2, [Input::row("a")]).unwrap().main(), ["2: a"]);
    /// ```
    pub fn inputs(&mut self, inputs: u32) {
        if let Visit::Declare(declared) = &mut self.visit {
            declared.descriptor.inputs = inputs;
        }
    }

    /// Says that the rows of an input, counted from 0, go to all subtasks: in the job file it has
    /// `broadcast: true`. Its rows have no key, and they are the ones that may write
    /// [`Broadcast`] state. [`BroadcastProcess`](crate::BroadcastProcess) and
    /// [`KeyedBroadcastProcess`](crate::KeyedBroadcastProcess) say it of their second input.
    pub fn broadcast_input(&mut self, input: u32) {
        let Visit::Declare(declared) = &mut self.visit else {
            return;
        };
        if input < MAX_INPUTS {
            declared.broadcast_inputs |= 1 << input;
        } else {
            declared.mistakes.push(format!(
                "input {input} is declared as a broadcast input; {MAX_INPUTS} inputs are the most"
            ));
        }
    }

    /// Declares an operator state: a list of the subtask. When the parallelism changes, the items
    /// of all subtasks are dealt out anew, in order and evenly; when it does not, each subtask gets
    /// its own.
    pub fn operator_list<T: StateCodec>(&mut self, name: &str, state: &mut OperatorList<T>) {
        self.state::<T, OperatorList<T>>(name, StateKind::OperatorList, state);
    }

    /// Declares an operator state of which each subtask gets the items of all subtasks, in order,
    /// whenever the job goes on from a checkpoint.
    pub fn union_list<T: StateCodec>(&mut self, name: &str, state: &mut OperatorList<T>) {
        self.state::<T, OperatorList<T>>(name, StateKind::OperatorUnion, state);
    }

    /// Declares a broadcast state: a map that is the same in every subtask.
    pub fn broadcast<K: MapKey, V: StateCodec>(&mut self, name: &str, state: &mut Broadcast<K, V>) {
        let mut declared = self.state::<V, Broadcast<K, V>>(name, StateKind::Broadcast, state);
        if let Some(decl) = last_state(&mut declared) {
            decl.format = format!("{}->{}", K::format(), V::format());
        }
    }

    /// Says that the operator keeps something in its own fields, between calls, that results depend
    /// on. The host then keeps its instance as long as the job runs: it neither replaces one that
    /// has grown nor finds out, on fresh ones, which row of a batch trapped. After a crash those
    /// fields are lost all the same.
    pub fn keeps_memory(&mut self) {
        if let Visit::Declare(declared) = &mut self.visit {
            declared.descriptor.keeps_memory = true;
        }
    }

    fn metric<H: Handle>(&mut self, name: &str, handle: &mut H) {
        if let Visit::Declare(declared) = &mut self.visit {
            // The host sees the name only when something is reported, and fails that call.
            if name.len() > MAX_METRIC_NAME {
                declared.mistakes.push(format!(
                    "metric `{name}`: a name has at most {MAX_METRIC_NAME} bytes"
                ));
            }
        }
        self.visit::<H>(METRIC, name, 0, handle);
    }

    /// Visits a handle that authors know as an `H`.
    fn visit<H>(&mut self, what: &'static str, name: &str, index: usize, handle: &mut dyn Handle) {
        match &mut self.visit {
            Visit::Declare(declared) => declared.bind::<H>(what, name, index, handle),
            Visit::Rollback => handle.rollback(),
            Visit::Flush { slots, result } => {
                if result.is_ok() {
                    *result = handle.flush(slots).map_err(|error| {
                        Error::fatal(format_args!("{what} `{name}` cannot be written: {error}"))
                    });
                }
            }
        }
    }

    /// Visits a state of values `T`, whose handle authors know as an `H`.
    fn state<T: StateCodec, H>(
        &mut self,
        name: &str,
        kind: StateKind,
        handle: &mut dyn Handle,
    ) -> Option<&mut Declared> {
        let mut index = 0;
        if let Visit::Declare(declared) = &mut self.visit {
            index = declared.descriptor.states.len();
            declared.descriptor.states.push(StateDecl {
                name: name.to_owned(),
                kind,
                format: T::format(),
                version: T::VERSION,
                prefetch: false,
                ttl: None,
            });
        }
        self.visit::<H>("state", name, index, handle);
        match &mut self.visit {
            Visit::Declare(declared) => Some(declared),
            Visit::Rollback | Visit::Flush { .. } => None,
        }
    }
}

impl<'v> KeyedDescribe<'v> {
    pub(crate) fn new(visit: Visit<'v>) -> Self {
        Self(Describe::new(visit))
    }

    pub(crate) fn into_visit(self) -> Visit<'v> {
        self.0.into_visit()
    }

    /// Declares a value state: at most one value per key.
    pub fn value<T: StateCodec>(&mut self, name: &str, state: &mut Value<T>) -> CellState<'_> {
        CellState(
            self.0
                .state::<T, Value<T>>(name, StateKind::Value, &mut state.cells),
        )
    }

    /// Declares a reducing state: what is added is folded into one value per key. `fold` is given
    /// what the state holds and what is added.
    pub fn reducing<T: StateCodec>(
        &mut self,
        name: &str,
        state: &mut Reducing<T>,
        fold: Fold<T>,
    ) -> CellState<'_> {
        state.fold = Some(fold);
        CellState(
            self.0
                .state::<T, Reducing<T>>(name, StateKind::Reducing, &mut state.cells),
        )
    }

    /// Declares an aggregating state: what is added goes into one accumulator per key.
    pub fn aggregating<A: Aggregate>(
        &mut self,
        name: &str,
        state: &mut Aggregating<A>,
    ) -> CellState<'_> {
        CellState(
            self.0
                .state::<A, Aggregating<A>>(name, StateKind::Aggregating, &mut state.cells),
        )
    }

    /// Declares timers: the operator is then `operator!(Type, timed)`, and has an `on_timer`.
    pub fn timers(&mut self, timers: &mut Timers) {
        if let Visit::Declare(declared) = &mut self.0.visit {
            declared.descriptor.timers = true;
        }
        self.0.visit::<Timers>("handle", "timers", 0, timers);
    }

    /// Declares a list state: a list of values per key.
    pub fn list<T: StateCodec>(&mut self, name: &str, state: &mut List<T>) -> ListState<'_> {
        ListState(self.0.state::<T, List<T>>(name, StateKind::List, state))
    }

    /// Declares a map state: entries under a key of their own, per key.
    pub fn map<K: MapKey, V: StateCodec>(
        &mut self,
        name: &str,
        state: &mut Map<K, V>,
    ) -> MapState<'_> {
        let mut declared = self.0.state::<V, Map<K, V>>(name, StateKind::Map, state);
        if let Some(decl) = last_state(&mut declared) {
            decl.format = format!("{}->{}", K::format(), V::format());
        }
        MapState(declared)
    }
}

impl<'v> Deref for KeyedDescribe<'v> {
    type Target = Describe<'v>;

    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

impl DerefMut for KeyedDescribe<'_> {
    fn deref_mut(&mut self) -> &mut Self::Target {
        &mut self.0
    }
}

fn last_state<'d>(declared: &'d mut Option<&mut Declared>) -> Option<&'d mut StateDecl> {
    declared.as_mut()?.descriptor.states.last_mut()
}

/// Options of a value, reducing or aggregating state.
pub struct CellState<'d>(Option<&'d mut Declared>);

/// Options of a list state.
pub struct ListState<'d>(Option<&'d mut Declared>);

/// Options of a map state.
pub struct MapState<'d>(Option<&'d mut Declared>);

impl CellState<'_> {
    /// Has the host send the values of all keys along with each batch. For state that nearly every
    /// row reads.
    ///
    /// With a time to live that reading puts off ([`TtlOptions::on_read`]), all keys of a batch
    /// count as read.
    pub fn prefetch(mut self) -> Self {
        if let Some(decl) = last_state(&mut self.0) {
            decl.prefetch = true;
        }
        self
    }
}

impl MapState<'_> {
    /// Says that [`KeyedProcess::prefetch`](crate::KeyedProcess::prefetch) names the entries that a
    /// row will look up.
    pub fn prefetch(mut self) -> Self {
        if let Some(declared) = self.0.as_mut() {
            declared.looks_ahead = true;
        }
        self
    }
}

macro_rules! ttl {
    ($($state:ident),+) => {$(
        impl $state<'_> {
            /// Lets values expire that long after they were last written, by processing time: of a
            /// list each element, of a map each entry. Writing the same value again counts.
            pub fn ttl(self, after: Duration) -> Self {
                self.ttl_with(after, TtlOptions::default())
            }

            /// Lets values expire, with options.
            pub fn ttl_with(mut self, after: Duration, options: TtlOptions) -> Self {
                if let Some(decl) = last_state(&mut self.0) {
                    decl.ttl = Some(Ttl {
                        duration_ms: u64::try_from(after.as_millis()).unwrap_or(u64::MAX),
                        on_read: options.on_read,
                        return_expired: options.return_expired,
                    });
                }
                self
            }
        }
    )+};
}

ttl!(CellState, ListState, MapState);

/// How values expire.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TtlOptions {
    /// Reading a value puts its expiry off, as writing does.
    pub on_read: bool,
    /// An expired value is returned as long as it has not been cleaned up.
    pub return_expired: bool,
}
