//! Windows over keyed state (semantics 1.10): which rows are in which window, when it gives its
//! result, what is kept. What becomes of the rows of a window is a matter of its
//! [`WindowFunction`], which is called for all windows of a call together.
//!
//! What a window holds is kept under its key with the window behind it: a namespace. Timers are
//! those of the key; which window one is for follows from its time.
//!
//! INVARIANT: a call plans first, row by row in the order of the batch, what is to be done with
//! which window, and then does it for all of them together; so the result is that of one row after
//! the other, and functions see batches.

mod call;
mod execute;
mod fire;
mod folds;
mod growing;
mod guest;
mod lists;
mod panes;
mod places;
mod plan;
#[cfg(test)]
mod tests;

use std::ops::Range;

use weir_model::{Column, ColumnView, KeyedView, Rows};
use weir_operator::{
    Contents, Context, Descriptor, Due, Emitted, Failure, FiredWindows, Operator, OperatorFactory,
    Outcome, Poison, TaskInfo, WindowFunction, WindowFunctionFactory,
};
use weir_state::{StateDecl, StateIndex, StateKind};
use weir_window::{Assigner, Calendar, Panes, Rules, Trigger, Window};

use self::{execute::Results, plan::Plan};

/// From how many bytes on results are given to the function before more are laid out.
const AT_ONCE: usize = 4 << 20;

/// What a window operator does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WindowOptions {
    /// Which windows there are, and when they give their results.
    pub rules: Rules,
    /// The output that rows go to which came too late. `None` = they are left out.
    pub late: Option<u32>,
}

/// The states of a window operator, in order of declaration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WindowStates {
    aggregates: bool,
    remembers: bool,
    merges: bool,
    /// Whether the function decides when windows give their results.
    asks: bool,
}

/// Groups the rows of keys by windows.
pub struct WindowOperator {
    options: WindowOptions,
    states: WindowStates,
    function: Box<dyn WindowFunction>,
}

impl WindowStates {
    /// Those that such windows need. `aggregates` = the function folds rows as they come.
    #[must_use]
    pub fn of(rules: &Rules, aggregates: bool) -> Self {
        Self {
            // Who leaves out rows has to have them.
            aggregates: aggregates && rules.evictor.is_none(),
            remembers: rules.trigger.remembers(),
            merges: rules.assigner.merges(),
            asks: rules.trigger == Trigger::Guest,
        }
    }

    /// Their declarations, for windows by these rules. The format of what is in windows says which
    /// they are: a timer tells when some window ends, and what other rules had put elsewhere would
    /// be found by none.
    #[must_use]
    pub fn declared(self, rules: &Rules) -> Vec<StateDecl> {
        let state = |name: &str, kind, format: &str| StateDecl {
            name: name.to_owned(),
            kind,
            format: format!("weir.window.{format}"),
            version: 1,
            prefetch: false,
            ttl: None,
        };
        let layout = self.layout(rules);
        let mut all = vec![match self.aggregates {
            true => state(
                StateDecl::WINDOW_ACCUMULATORS,
                StateKind::Aggregating,
                &format!("accumulator, {layout}"),
            ),
            false => state(
                StateDecl::WINDOW_ROWS,
                StateKind::List,
                &format!("row, {layout}"),
            ),
        }];
        if self.remembers {
            all.push(state(
                StateDecl::WINDOW_TRIGGERS,
                StateKind::Value,
                "trigger",
            ));
        }
        if self.merges {
            all.push(state(
                StateDecl::WINDOW_SESSIONS,
                StateKind::Value,
                "sessions",
            ));
        }
        if self.asks {
            all.push(state(StateDecl::WINDOW_TIMERS, StateKind::Value, "timers"));
        }
        all.push(StateDecl::timers());
        all
    }

    /// Which windows there are, in words: what of the rules decides where content lies and when
    /// it is found again. Sessions say by themselves when they end.
    fn layout(self, rules: &Rules) -> String {
        let by = match rules.event_time {
            true => "event-time",
            false => "processing-time",
        };
        let which = match &rules.assigner {
            Assigner::Tumbling { size, offset } => format!("tumbling {size} ms from {offset}"),
            Assigner::Sliding {
                size,
                slide,
                offset,
            } => format!("sliding {size} by {slide} ms from {offset}"),
            Assigner::Calendar(Calendar { each, zone, offset }) => {
                let each = format!("{each:?}").to_lowercase();
                format!("calendar {each} in {} from {offset}", zone.name())
            }
            Assigner::Session { .. } => "sessions".to_owned(),
            Assigner::Global => "global".to_owned(),
        };
        let panes = match self.shared_panes(rules) {
            Some(_) => " in panes",
            None => "",
        };
        format!("{which}, {by}{panes}, {}", awaited(&rules.trigger))
    }

    /// The panes, where windows share them. Those of a clock are shared only by themselves: it may
    /// be set back, and then a pane that is still there has a row for a window that is over, which
    /// gives another result.
    fn shared_panes(self, rules: &Rules) -> Option<Panes> {
        let panes = rules.assigner.panes()?;
        let is_plain = rules.trigger.is_plain(rules.event_time);
        let is_known = rules.event_time || rules.assigner.has_one_window();
        Some(panes).filter(|_| self.aggregates && is_plain && is_known)
    }

    const CONTENT: StateIndex = StateIndex(0);
    const TRIGGERS: StateIndex = StateIndex(1);

    /// Those of a trigger of the function; then windows do not merge.
    const WANTED: StateIndex = StateIndex(2);

    fn sessions(self) -> StateIndex {
        StateIndex(1 + u32::from(self.remembers))
    }
}

/// What windows wait for that are open, and nothing else will wake.
fn awaited(trigger: &Trigger) -> &'static str {
    match trigger {
        Trigger::EventTime => "at the end in event time",
        Trigger::ProcessingTime => "at the end by the clock",
        Trigger::Count(_) => "by count",
        Trigger::ContinuousEventTime(_) => "by event time",
        Trigger::ContinuousProcessingTime(_) => "by the clock",
        Trigger::Never => "never",
        Trigger::Guest => "by the component",
        Trigger::Purging(of) => awaited(of),
    }
}

impl WindowOperator {
    /// An operator of these windows.
    #[must_use]
    pub fn new(options: WindowOptions, function: Box<dyn WindowFunction>) -> Self {
        let states = WindowStates::of(&options.rules, function.aggregates());
        Self {
            options,
            states,
            function,
        }
    }
}

/// Makes the parallel instances of a window operator.
pub struct WindowFactory {
    options: WindowOptions,
    descriptor: Descriptor,
    function: Box<dyn WindowFunctionFactory>,
}

impl WindowFactory {
    /// A factory of operators on windows of these rules. Rows that come too late go to the side
    /// output of this name, which is behind those of the function; `None` = they are left out.
    #[must_use]
    pub fn new(
        rules: Rules,
        late: Option<String>,
        function: Box<dyn WindowFunctionFactory>,
    ) -> Self {
        let mut side_outputs = function.side_outputs().to_vec();
        let output = late.map(|late| {
            side_outputs.push(late);
            side_outputs.len() as u32
        });
        let descriptor = Descriptor {
            states: WindowStates::of(&rules, function.aggregates()).declared(&rules),
            inputs: 1,
            side_outputs,
            timers: true,
            needs_all_timers: true,
            ..Descriptor::default()
        };
        Self {
            options: WindowOptions {
                rules,
                late: output,
            },
            descriptor,
            function,
        }
    }
}

impl OperatorFactory for WindowFactory {
    fn descriptor(&self) -> &Descriptor {
        &self.descriptor
    }

    fn create(&self, task: &TaskInfo) -> Result<Box<dyn Operator>, Failure> {
        let function = self.function.create(task)?;
        Ok(Box::new(WindowOperator::new(
            self.options.clone(),
            function,
        )))
    }
}

impl Operator for WindowOperator {
    fn open(&mut self, cx: &mut Box<Context>) -> Result<(), Failure> {
        self.function.open(cx)
    }

    fn process(
        &mut self,
        cx: &mut Box<Context>,
        _input: u32,
        rows: Rows<'_>,
    ) -> Result<Outcome, Failure> {
        without_refused(cx, rows, |cx, rows| self.rows(cx, rows))
    }

    fn on_timers(&mut self, cx: &mut Box<Context>, due: Due<'_>) -> Result<Outcome, Failure> {
        self.timers(cx, due)
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

impl WindowOperator {
    /// Puts the rows of a call into their windows.
    fn rows(&mut self, cx: &mut Box<Context>, rows: Rows<'_>) -> Result<Outcome, Failure> {
        let (mut plan, results) = match self.shared_panes() {
            Some(panes) => self.fold_rows(cx, panes, rows)?,
            None => {
                if !self.states.aggregates && !rows.is_empty() {
                    self.function.accept(cx, rows.values)?;
                }
                let mut plan = match self.states.asks {
                    true => self.ask_for_rows(cx, rows)?,
                    false => self.plan(cx, rows)?,
                };
                let results = self.execute(cx, rows, &mut plan)?;
                (plan, results)
            }
        };
        let mut outcome = self.end(cx, &results, &mut plan)?;
        let late = std::mem::take(&mut plan.late);
        if let (Some(output), false) = (self.options.late, late.is_empty()) {
            let rows = late.iter().map(|&row| rows.values.get(row as usize));
            outcome.emitted.push(Emitted {
                output,
                values: rows.collect(),
                origin: late,
                ..Emitted::default()
            });
        }
        Ok(outcome)
    }

    /// Windows end, or are to be cleared.
    fn timers(&mut self, cx: &mut Box<Context>, due: Due<'_>) -> Result<Outcome, Failure> {
        let Due { kind, at, keyed } = due;
        let (mut plan, results) = match self.shared_panes() {
            Some(panes) => self.windows_are_due(cx, panes, at, keyed)?,
            None => {
                let mut plan = match self.states.asks {
                    true => self.ask_for_timers(cx, (kind, at), keyed)?,
                    false => self.plan_timers(cx, (kind, at), keyed)?,
                };
                let none = Rows {
                    values: ColumnView::empty(),
                    timestamps: &[],
                    keyed: None,
                };
                let results = self.execute(cx, none, &mut plan)?;
                (plan, results)
            }
        };
        self.end(cx, &results, &mut plan)
    }

    /// Does what was planned.
    fn execute(
        &mut self,
        cx: &mut Box<Context>,
        rows: Rows<'_>,
        plan: &mut Plan<'_>,
    ) -> Result<Results, Failure> {
        let of_row = plan.call.plain(rows.len())?;
        match self.states.aggregates {
            true => folds::execute(cx, &mut *self.function, rows, (plan, of_row)),
            false => lists::execute(cx, &self.options.rules, rows, (plan, of_row)),
        }
    }

    /// Keeps what is remembered, and gives the results out.
    fn end(
        &mut self,
        cx: &mut Box<Context>,
        results: &Results,
        plan: &mut Plan<'_>,
    ) -> Result<Outcome, Failure> {
        self.keep(cx, plan)?;
        let emitted = self.apply(cx, results, plan)?;
        Ok(Outcome {
            emitted,
            poisoned: None,
        })
    }

    /// Asks the function for the rows of all results, of not too many at once.
    fn apply(
        &mut self,
        cx: &mut Box<Context>,
        results: &Results,
        plan: &Plan<'_>,
    ) -> Result<Vec<Emitted>, Failure> {
        let (mut all, mut ready) = (Vec::new(), Ready::default());
        for (number, key, part) in &results.all {
            ready.keys.push(plan.keyed.keys.get(*key as usize));
            let window = plan.windows.get(*number as usize);
            let window = window.ok_or_else(|| broken("a result of no window"))?;
            ready.windows.push(*window);
            let origin = plan.origins.get(*number as usize).copied();
            ready.origins.push(origin.unwrap_or_default());
            let part = part.start as usize..part.end as usize;
            match self.states.aggregates {
                true => part.for_each(|row| ready.values.push(results.values.get(row))),
                false => ready.push_rows(results, part)?,
            }
            if ready.values.byte_len() >= AT_ONCE {
                self.give(cx, &mut ready, &mut all)?;
            }
        }
        self.give(cx, &mut ready, &mut all)?;
        Ok(all)
    }

    /// Asks the function for the rows of some results.
    fn give(
        &mut self,
        cx: &mut Box<Context>,
        ready: &mut Ready,
        all: &mut Vec<Emitted>,
    ) -> Result<(), Failure> {
        let ready = std::mem::take(ready);
        if ready.windows.is_empty() {
            return Ok(());
        }
        let contents = match self.states.aggregates {
            true => Contents::Accumulators(ready.values.view()),
            false => Contents::Rows {
                values: ready.values.view(),
                timestamps: &ready.timestamps,
                ends: &ready.ends,
            },
        };
        let fired = FiredWindows {
            keys: ready.keys.view(),
            windows: &ready.windows,
            contents,
        };
        let mut emitted = self.function.apply(cx, fired)?;
        for part in &mut emitted {
            self.trace_back(part, &ready.windows, &ready.origins)?;
        }
        all.append(&mut emitted);
        Ok(())
    }

    /// A result has the last time of its window, and comes from the row or timer that it was given
    /// at (semantics 1.10). That of a window without an end has the time of its row.
    fn trace_back(
        &self,
        emitted: &mut Emitted,
        windows: &[Window],
        origins: &[u32],
    ) -> Result<(), Failure> {
        if emitted.origin.is_empty() {
            emitted.origin = (0..emitted.values.len() as u32).collect();
        }
        let has_end = self.options.rules.assigner != Assigner::Global;
        let needs_time = emitted.timestamps.is_empty() && has_end;
        for window in &mut emitted.origin {
            let (Some(of), Some(origin)) =
                (windows.get(*window as usize), origins.get(*window as usize))
            else {
                return Err(broken("a row is the result of no window"));
            };
            if needs_time {
                emitted.timestamps.push(of.max_timestamp().0);
            }
            *window = *origin;
        }
        Ok(())
    }
}

/// Results that the function is asked for at once.
#[derive(Default)]
struct Ready {
    keys: Column,
    windows: Vec<Window>,
    /// Accumulators, or rows with their times and where those of each window end.
    values: Column,
    timestamps: Vec<i64>,
    ends: Vec<u32>,
    origins: Vec<u32>,
}

impl Ready {
    fn push_rows(&mut self, results: &Results, part: Range<usize>) -> Result<(), Failure> {
        for &element in results.elements.get(part).unwrap_or_default() {
            let (time, row) = lists::parts(results.values.get(element as usize))?;
            self.values.push(row);
            self.timestamps.push(time);
        }
        self.ends.push(self.values.len() as u32);
        Ok(())
    }
}

/// Processes rows; where one is refused, those before it again.
pub(crate) fn without_refused(
    cx: &mut Box<Context>,
    rows: Rows<'_>,
    mut process: impl FnMut(&mut Box<Context>, Rows<'_>) -> Result<Outcome, Failure>,
) -> Result<Outcome, Failure> {
    let mut poisoned: Option<Poison> = None;
    loop {
        let count = poisoned.as_ref().map_or(rows.len(), |row| row.row as usize);
        match process(cx, first_of(rows, count)) {
            // What was done so far went by keys and not by rows: the rows before the refused one
            // are processed again without it.
            Err(Failure::Guest {
                message,
                row: Some(row),
            }) if (row as usize) < count => {
                poisoned = Some(Poison { row, message });
                cx.state.begin(rows.keyed);
                cx.metrics.rollback();
            }
            done => {
                let outcome = done?;
                return Ok(Outcome {
                    poisoned,
                    ..outcome
                });
            }
        }
    }
}

/// The first rows of a call.
fn first_of(rows: Rows<'_>, count: usize) -> Rows<'_> {
    Rows {
        values: rows.values.slice(0, count),
        timestamps: rows.timestamps.get(..count).unwrap_or_default(),
        keyed: rows.keyed.map(|keyed| KeyedView {
            key_of_row: keyed.key_of_row.get(..count).unwrap_or_default(),
            ..keyed
        }),
    }
}

/// A bug of the host, or state that nobody of ours has written.
fn broken(what: &str) -> Failure {
    Failure::Internal {
        message: format!("the state of a window operator: {what}"),
    }
}
