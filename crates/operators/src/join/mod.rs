//! Joins of two keyed inputs over keyed state (semantics 1.10): the first is the left one, the
//! second the right one. Which rows belong together is decided here; what becomes of them is a
//! matter of a [`JoinFunction`], which is given all pairs of a call.
//!
//! INVARIANT: what is kept of a key has a timer at which the first of it goes, so that nothing
//! stays that no row to come can need.

mod buffer;
mod interval;
mod keys;
mod pairs;
mod temporal;
#[cfg(test)]
mod tests;
mod window;

use weir_model::Rows;
use weir_operator::{
    Context, Descriptor, Due, Emitted, Failure, JoinFunction, JoinFunctionFactory, Operator,
    OperatorFactory, Outcome, TaskInfo,
};
use weir_state::{StateDecl, StateIndex, StateKind};
use weir_window::{Interval, JoinKind, Rules as WindowRules, Side, Temporal};

use crate::window::without_refused;

use self::{interval::Coming, pairs::Given, pairs::Rows as Timed, window::WindowJoins};

/// How rows are joined.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum JoinRules {
    /// With those that are near in time.
    Interval(Interval),
    /// Left rows with the latest right row of their time.
    Temporal(Temporal),
    /// Those of one window, each with each.
    Window(WindowRules, JoinKind),
}

/// How rows are joined without windows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Rule {
    Interval(Interval),
    Temporal(Temporal),
}

/// What a join does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Options {
    rule: Rule,
    /// The output that rows go to which came too late. `None` = they are left out.
    late: Option<u32>,
    /// How many bytes a call may give at most.
    output: usize,
}

/// Joins rows of two inputs.
struct Join {
    options: Options,
    function: Box<dyn JoinFunction>,
}

const KEYS: StateIndex = StateIndex(0);
const LEFT: StateIndex = StateIndex(1);
const RIGHT: StateIndex = StateIndex(2);
const VERSIONS: StateIndex = StateIndex(2);

/// Rows by time and number. What they are is not known; most are text.
const ROWS: &str = "weir.join.time->utf8";

/// How many rows a call of timers takes, and then no further key; and of a key that it takes. More
/// are due again at once.
const MOST: usize = if cfg!(test) { 5 } else { 8192 };
/// How many bytes of them lookups take.
const MOST_BYTES: usize = if cfg!(test) { 1 << 16 } else { 32 << 20 };

impl Rule {
    /// The declarations of the states.
    fn states(self) -> Vec<StateDecl> {
        let right = match self {
            Self::Interval(_) => StateDecl::JOIN_RIGHT,
            Self::Temporal(_) => StateDecl::JOIN_VERSIONS,
        };
        let state = |name: &str, kind, format: &str| StateDecl {
            name: name.to_owned(),
            kind,
            format: format.to_owned(),
            version: 1,
            prefetch: false,
            ttl: None,
        };
        vec![
            state(StateDecl::JOIN_KEYS, StateKind::Value, "weir.join.key"),
            state(StateDecl::JOIN_LEFT, StateKind::Map, ROWS),
            state(right, StateKind::Map, ROWS),
            StateDecl::timers(),
        ]
    }
}

impl Join {
    /// Joins rows of a call.
    fn rows(
        &mut self,
        cx: &mut Box<Context>,
        side: Side,
        rows: Rows<'_>,
    ) -> Result<Outcome, Failure> {
        let Some(keyed) = rows.keyed else {
            return Err(broken("rows without keys"));
        };
        if rows.timestamps.len() != rows.len() {
            return Err(Failure::NoEventTime {
                what: "joins".into(),
            });
        }
        let coming = Coming {
            side,
            keys: keyed.keys,
            key_of_row: keyed.key_of_row,
            rows: Timed {
                values: rows.values,
                times: rows.timestamps,
            },
        };
        let mut late = Vec::new();
        let function = &mut *self.function;
        if function.looks_at_rows() && !rows.is_empty() {
            function.accept(cx, side as u32, rows.values)?;
        }
        let mut out = Given::at_most(self.options.output);
        match self.options.rule {
            Rule::Interval(interval) => {
                let out = (&mut late, &mut out);
                interval::rows(cx, function, interval, coming, out)?;
            }
            Rule::Temporal(rules) => temporal::rows(cx, rules, coming, &mut late)?,
        }
        let mut emitted = out.emitted;
        if let (Some(output), false) = (self.options.late, late.is_empty()) {
            let rows = late.iter().map(|&row| rows.values.get(row as usize));
            emitted.push(Emitted {
                output,
                values: rows.collect(),
                origin: late,
                ..Emitted::default()
            });
        }
        Ok(Outcome {
            emitted,
            poisoned: None,
        })
    }
}

impl Operator for Join {
    fn open(&mut self, cx: &mut Box<Context>) -> Result<(), Failure> {
        self.function.open(cx)
    }

    fn process(
        &mut self,
        cx: &mut Box<Context>,
        input: u32,
        rows: Rows<'_>,
    ) -> Result<Outcome, Failure> {
        let side = Side::of(input).ok_or_else(|| broken("a third input"))?;
        without_refused(cx, rows, |cx, rows| self.rows(cx, side, rows))
    }

    fn on_timers(&mut self, cx: &mut Box<Context>, due: Due<'_>) -> Result<Outcome, Failure> {
        match self.options.rule {
            Rule::Interval(interval) => interval::timers(cx, interval, due),
            Rule::Temporal(rules) => {
                let function = &mut *self.function;
                let mut out = Given::at_most(self.options.output);
                let done = temporal::timers(cx, function, rules, due, &mut out);
                done.map_err(pairs::of_no_row)?;
                Ok(Outcome {
                    emitted: out.emitted,
                    poisoned: None,
                })
            }
        }
    }

    fn end_of_input(&mut self, _: &mut Box<Context>, _: u32) -> Result<Vec<Emitted>, Failure> {
        Ok(Vec::new())
    }

    fn finish(&mut self, _: &mut Box<Context>) -> Result<Vec<Emitted>, Failure> {
        Ok(Vec::new())
    }

    fn reset(&mut self, cx: &mut Box<Context>) -> Result<(), Failure> {
        self.function.reset(cx)
    }
}

/// Makes those of a join without windows.
struct Joins {
    options: Options,
    descriptor: Descriptor,
    function: Box<dyn JoinFunctionFactory>,
}

/// Makes the parallel instances of a join of any kind.
pub struct JoinFactory(Box<dyn OperatorFactory>);

impl JoinFactory {
    /// A factory of such joins. Rows that come too late go to the side output of this name, which
    /// is behind those of the function; `None` = they are left out. A call gives `output` bytes at
    /// most.
    #[must_use]
    pub fn new(
        rules: JoinRules,
        late: Option<String>,
        output: usize,
        function: Box<dyn JoinFunctionFactory>,
    ) -> Self {
        let rule = match rules {
            JoinRules::Interval(interval) => Rule::Interval(interval),
            JoinRules::Temporal(rules) => Rule::Temporal(rules),
            JoinRules::Window(rules, kind) => {
                let joins = WindowJoins::new((rules, kind), late, output, function);
                return Self(Box::new(joins));
            }
        };
        let mut side_outputs = function.side_outputs().to_vec();
        let late = late.map(|late| {
            side_outputs.push(late);
            side_outputs.len() as u32
        });
        let descriptor = Descriptor {
            states: rule.states(),
            inputs: 2,
            side_outputs,
            timers: true,
            needs_all_timers: true,
            ..Descriptor::default()
        };
        Self(Box::new(Joins {
            options: Options { rule, late, output },
            descriptor,
            function,
        }))
    }
}

impl OperatorFactory for JoinFactory {
    fn descriptor(&self) -> &Descriptor {
        self.0.descriptor()
    }

    fn create(&self, task: &TaskInfo) -> Result<Box<dyn Operator>, Failure> {
        self.0.create(task)
    }
}

impl OperatorFactory for Joins {
    fn descriptor(&self) -> &Descriptor {
        &self.descriptor
    }

    fn create(&self, task: &TaskInfo) -> Result<Box<dyn Operator>, Failure> {
        let (options, function) = (self.options, self.function.create(task)?);
        Ok(Box::new(Join { options, function }))
    }
}

/// A bug of the host, or state that nobody of ours has written.
fn broken(what: &str) -> Failure {
    Failure::Internal {
        message: format!("the state of a join: {what}"),
    }
}
