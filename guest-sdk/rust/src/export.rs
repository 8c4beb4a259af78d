//! The glue between the component's exports and the operator.

mod enriching;
mod joins;

use std::cell::RefCell;

use crate::aggregate_bindings::exports::weir::operator::aggregate;
use crate::bindings::exports::weir::operator::logic::Guest;
use crate::bindings::weir::operator::data::{
    Batch, BytesColumn, Descriptor, Emitted, OptionalColumn, Outcome, Slots,
};
use crate::checkpointed::Checkpointed;
use crate::checkpointed_bindings::exports::weir::operator::checkpointed;
use crate::driver::{make, make_checkpointed, make_trigger};
use crate::error::Error;
use crate::evolve::{Evolve, Evolving};
use crate::evolving_bindings::exports::weir::operator::evolving;
use crate::evolving_bindings::weir::operator::data::BytesColumn as Column;
use crate::host::{Host, Imports, Level};
use crate::keyed_broadcast_bindings::exports::weir::operator::keyed_broadcast;
use crate::keyed_broadcast_bindings::weir::operator::data as keyed_data;
use crate::operator::IntoOperator;
use crate::timed_bindings::exports::weir::operator::timed;
use crate::timed_bindings::weir::operator::data as timed_data;
use crate::timers::{Due, TimerKind};
use crate::trigger_bindings::exports::weir::operator::trigger;
use crate::trigger_bindings::weir::operator::data as trigger_data;
use crate::window::{
    AllRows, AskedWindows, Decided, Groups, Happened, Rows, Trigger, Verdict, Window,
};
use crate::window_function_bindings::exports::weir::operator::window_function;

pub use crate::driver::Logic;

thread_local! {
    /// The one operator of this instance. The host never calls an instance from two threads, nor
    /// while a call runs.
    static LOGIC: RefCell<Option<Box<dyn Logic>>> = const { RefCell::new(None) };
}

/// A component made by [`operator!`](crate::operator).
pub trait Component {
    /// Whether the component exports `timed`.
    const TIMED: bool = false;

    /// Makes the operator, on the first call.
    fn make() -> Box<dyn Logic>;
}

/// A component made by [`operator!`](crate::operator) of an operator that is [`Checkpointed`].
pub trait CheckpointedComponent: Component {}

/// A component made by [`operator!`](crate::operator) of an operator with timers.
pub trait TimedComponent: Component {}

/// A component made by [`operator!`](crate::operator) of an operator that is called for all keys.
pub trait KeyedBroadcastComponent: Component {}

/// A component made by [`operator!`](crate::operator) of a
/// [`WindowAggregate`](crate::WindowAggregate).
pub trait AggregateComponent: Component {}

/// A component made by [`operator!`](crate::operator) of a
/// [`WindowFunction`](crate::WindowFunction).
pub trait WindowComponent: Component {}

/// A component made by [`operator!`](crate::operator) of a [`JoinFunction`](crate::JoinFunction).
pub trait JoinComponent: Component {}

/// A component made by [`operator!`](crate::operator) of an operator that is a [`Trigger`].
pub trait TriggerComponent: Component {}

/// A component made by [`operator!`](crate::operator) of an [`Enrich`](crate::Enrich).
pub trait EnrichComponent: Component {}

/// A component made by [`operator!`](crate::operator) of an operator that is [`Evolving`].
pub trait EvolvingComponent: Component {
    /// Asks the operator what it knows.
    fn evolve() -> Evolve;
}

/// What an operator knows of its state.
pub fn evolve<T: Evolving>() -> Evolve {
    Evolve::of::<T>()
}

/// Makes an operator on the imports of the component.
pub fn make_component<T: IntoOperator<Kind>, Kind>() -> Box<dyn Logic> {
    send_panics_to_the_log();
    make::<T, Kind>(Box::new(Imports))
}

/// As [`make_component`], of an operator that saves and restores something itself.
pub fn make_checkpointed_component<T, Kind>() -> Box<dyn Logic>
where
    T: IntoOperator<Kind> + Checkpointed,
{
    send_panics_to_the_log();
    make_checkpointed::<T, Kind>(Box::new(Imports))
}

/// As [`make_component`], of an operator that decides when windows give their results.
pub fn make_trigger_component<T, Kind>() -> Box<dyn Logic>
where
    T: IntoOperator<Kind> + Trigger,
{
    send_panics_to_the_log();
    make_trigger::<T, Kind>(Box::new(Imports))
}

/// On wasm32-unknown-unknown the message of a panic would otherwise be lost: the host sees a trap.
fn send_panics_to_the_log() {
    std::panic::set_hook(Box::new(|panic| {
        Imports.log(Level::Error, &panic.to_string())
    }));
}

fn with<C: Component, T>(call: impl FnOnce(&mut dyn Logic) -> T) -> T {
    LOGIC.with_borrow_mut(|logic| call(logic.get_or_insert_with(C::make).as_mut()))
}

impl<C: Component> Guest for C {
    /// It has no way to fail. The host takes an error in the log, and then a trap, for the words of
    /// the component; a panic would be told as one, with where in the SDK it was.
    fn describe() -> Descriptor {
        let described = with::<C, _>(|logic| logic.describe());
        let described = described.and_then(|descriptor| match (descriptor.timers, C::TIMED) {
            (true, false) => Err("timers are declared: it is `operator!(Type, timed)`".to_owned()),
            (false, true) => {
                Err("it is `operator!(Type, timed)`, and no timers are declared".to_owned())
            }
            (true, true) | (false, false) => Ok(descriptor),
        });
        described.unwrap_or_else(|mistakes| {
            Imports.log(Level::Error, &mistakes);
            std::process::abort()
        })
    }

    fn open() -> Result<(), String> {
        with::<C, _>(|logic| logic.open())
    }

    fn process(input: u32, rows: Batch, slots: Vec<Slots>) -> Result<Outcome, String> {
        with::<C, _>(|logic| logic.process_owned(input, rows, slots))
    }

    fn end_of_input(input: u32) -> Result<Vec<Emitted>, String> {
        with::<C, _>(|logic| logic.end_of_input(input))
    }

    fn finish() -> Result<Vec<Emitted>, String> {
        with::<C, _>(|logic| logic.finish())
    }
}

impl<C: TimedComponent> timed::Guest for C {
    fn on_timers(
        due: timed::TimerBatch,
        slots: Vec<timed::Slots>,
    ) -> Result<timed::Outcome, String> {
        let due = Due {
            kind: match due.kind {
                timed_data::TimerKind::EventTime => TimerKind::EventTime,
                timed_data::TimerKind::ProcessingTime => TimerKind::ProcessingTime,
            },
            at: due.at,
            keys: column_in(due.keys),
            key_of_timer: due.key_of_timer,
        };
        let slots = slots.into_iter().map(|slots| Slots {
            state: slots.state,
            values: OptionalColumn {
                present: slots.values.present,
                column: column_in(slots.values.column),
            },
        });
        let outcome = with::<C, _>(|logic| logic.on_timers(&due, slots.collect()))?;
        let emitted = outcome.emitted.into_iter().map(|one| timed_data::Emitted {
            output: one.output,
            values: column_out(one.values),
            origin: one.origin,
            timestamps: one.timestamps,
            keys: column_out(one.keys),
        });
        let slots = outcome.slots.into_iter().map(|slots| timed::Slots {
            state: slots.state,
            values: timed_data::OptionalColumn {
                present: slots.values.present,
                column: column_out(slots.values.column),
            },
        });
        Ok(timed::Outcome {
            emitted: emitted.collect(),
            slots: slots.collect(),
            poisoned: outcome.poisoned.map(|poison| timed_data::Poison {
                row: poison.row,
                message: poison.message,
            }),
        })
    }
}

impl<C: KeyedBroadcastComponent> keyed_broadcast::Guest for C {
    fn on_keys(
        tag: Vec<u8>,
        keys: keyed_broadcast::Batch,
        slots: Vec<keyed_broadcast::Slots>,
    ) -> Result<keyed_broadcast::Outcome, String> {
        let keys = Batch {
            values: keys_in(keys.values),
            timestamps: keys.timestamps,
            keys: keys_in(keys.keys),
            key_of_row: keys.key_of_row,
        };
        let slots = slots.into_iter().map(|slots| Slots {
            state: slots.state,
            values: OptionalColumn {
                present: slots.values.present,
                column: keys_in(slots.values.column),
            },
        });
        let outcome = with::<C, _>(|logic| logic.on_keys(&tag, (&keys).into(), slots.collect()))?;
        let emitted = outcome.emitted.into_iter().map(|one| keyed_data::Emitted {
            output: one.output,
            values: keys_out(one.values),
            origin: one.origin,
            timestamps: one.timestamps,
            keys: keys_out(one.keys),
        });
        let slots = outcome
            .slots
            .into_iter()
            .map(|slots| keyed_broadcast::Slots {
                state: slots.state,
                values: keyed_data::OptionalColumn {
                    present: slots.values.present,
                    column: keys_out(slots.values.column),
                },
            });
        Ok(keyed_broadcast::Outcome {
            emitted: emitted.collect(),
            slots: slots.collect(),
            poisoned: outcome.poisoned.map(|poison| keyed_data::Poison {
                row: poison.row,
                message: poison.message,
            }),
        })
    }
}

fn keys_in(column: keyed_data::BytesColumn) -> BytesColumn {
    let keyed_data::BytesColumn { bytes, ends } = column;
    BytesColumn { bytes, ends }
}

fn keys_out(column: BytesColumn) -> keyed_data::BytesColumn {
    let BytesColumn { bytes, ends } = column;
    keyed_data::BytesColumn { bytes, ends }
}

impl<C: AggregateComponent> aggregate::Guest for C {
    fn accumulate(
        accumulators: aggregate::OptionalColumn,
        accumulator_of_row: Vec<u32>,
        values: aggregate::BytesColumn,
    ) -> Result<aggregate::Folded, String> {
        let accumulators = OptionalColumn {
            present: accumulators.present,
            column: folded_in(accumulators.column),
        };
        let values = folded_in(values);
        let rows = Rows {
            accumulators: (&accumulators).into(),
            accumulator_of_row: &accumulator_of_row,
            values: (&values).into(),
        };
        let folded = with::<C, _>(|logic| logic.accumulate(&rows));
        let (accumulators, poisoned) = folded?;
        Ok(aggregate::Folded {
            accumulators: folded_out(accumulators),
            poisoned: poisoned.map(|poison| aggregate::Poison {
                row: poison.row,
                message: poison.message,
            }),
        })
    }

    fn merge(
        accumulators: aggregate::BytesColumn,
        group_ends: Vec<u32>,
    ) -> Result<aggregate::BytesColumn, String> {
        let accumulators = folded_in(accumulators);
        let merged = with::<C, _>(|logic| {
            logic.merge(&Groups {
                accumulators: (&accumulators).into(),
                ends: &group_ends,
            })
        })?;
        Ok(folded_out(merged))
    }

    fn get_result(
        windows: aggregate::Fired,
        accumulators: aggregate::BytesColumn,
    ) -> Result<Vec<aggregate::Emitted>, String> {
        let ends = windows.starts.iter().zip(&windows.ends);
        let spans: Vec<Window> = ends.map(|(&start, &end)| Window { start, end }).collect();
        let (keys, accumulators) = (folded_in(windows.keys), folded_in(accumulators));
        let emitted =
            with::<C, _>(|logic| logic.results((&keys).into(), &spans, (&accumulators).into()))?;
        let emitted = emitted.into_iter().map(|one| aggregate::Emitted {
            output: one.output,
            values: folded_out(one.values),
            origin: one.origin,
            timestamps: one.timestamps,
            keys: folded_out(one.keys),
        });
        Ok(emitted.collect())
    }
}

impl<C: WindowComponent> window_function::Guest for C {
    fn accept(
        rows: window_function::BytesColumn,
    ) -> Result<Option<window_function::Poison>, String> {
        let rows = whole_in(rows);
        let poisoned = with::<C, _>(|logic| logic.accept(0, (&rows).into()))?;
        Ok(poisoned.map(|poison| window_function::Poison {
            row: poison.row,
            message: poison.message,
        }))
    }

    fn apply(
        windows: window_function::FullWindows,
    ) -> Result<Vec<window_function::Emitted>, String> {
        let ends = windows.starts.iter().zip(&windows.ends);
        let spans: Vec<Window> = ends.map(|(&start, &end)| Window { start, end }).collect();
        let keys = whole_in(windows.keys);
        let rows = AllRows {
            rows: whole_in(windows.rows),
            timestamps: windows.timestamps,
            ends: windows.row_ends,
        };
        let emitted = with::<C, _>(|logic| logic.apply((&keys).into(), &spans, &rows))?;
        let emitted = emitted.into_iter().map(|one| window_function::Emitted {
            output: one.output,
            values: whole_out(one.values),
            origin: one.origin,
            timestamps: one.timestamps,
            keys: whole_out(one.keys),
        });
        Ok(emitted.collect())
    }
}

impl<C: TriggerComponent> trigger::Guest for C {
    fn on_rows(
        windows: trigger::AskedWindows,
        added: trigger::AddedRows,
    ) -> Result<trigger::Decided, String> {
        let happened = Happened::Rows {
            rows: asked_in(added.rows),
            timestamps: added.timestamps,
            row_of: added.row_of,
        };
        decide::<C>(windows, happened, added.window_of)
    }

    fn on_timers(
        windows: trigger::AskedWindows,
        due: trigger::DueTimers,
    ) -> Result<trigger::Decided, String> {
        let kind = match due.kind {
            trigger_data::TimerKind::EventTime => TimerKind::EventTime,
            trigger_data::TimerKind::ProcessingTime => TimerKind::ProcessingTime,
        };
        let happened = Happened::Timers { kind, at: due.at };
        decide::<C>(windows, happened, due.window_of)
    }
}

fn decide<C: Component>(
    windows: trigger::AskedWindows,
    happened: Happened,
    window_of: Vec<u32>,
) -> Result<trigger::Decided, String> {
    let ends = windows.starts.iter().zip(&windows.ends);
    let asked = AskedWindows {
        windows: ends.map(|(&start, &end)| Window { start, end }).collect(),
        keys: asked_in(windows.keys),
        remembered: OptionalColumn {
            present: windows.remembered.present,
            column: asked_in(windows.remembered.column),
        },
        watermark: windows.watermark,
        processing_time: windows.processing_time,
    };
    let decided = with::<C, _>(|logic| logic.decide(asked, happened, window_of))?;
    Ok(match decided {
        Ok(decided) => decided_out(decided),
        Err(poison) => trigger::Decided {
            verdicts: Vec::new(),
            remembered: trigger_data::OptionalColumn {
                present: Vec::new(),
                column: asked_out(crate::column::with_room(0, 0)),
            },
            timers: Vec::new(),
            poisoned: Some(trigger::Poison {
                row: poison.row,
                message: poison.message,
            }),
        },
    })
}

fn decided_out(decided: Decided) -> trigger::Decided {
    let verdict = |verdict| match verdict {
        Verdict::Continue => trigger::Verdict::GoOn,
        Verdict::Fire => trigger::Verdict::Fire,
        Verdict::Purge => trigger::Verdict::Purge,
        Verdict::FireAndPurge => trigger::Verdict::FireAndPurge,
    };
    let kind = |kind| match kind {
        TimerKind::EventTime => trigger_data::TimerKind::EventTime,
        TimerKind::ProcessingTime => trigger_data::TimerKind::ProcessingTime,
    };
    let timers = decided.timers.into_iter().map(|of| trigger::TimerChange {
        window: of.window,
        kind: kind(of.kind),
        at: of.at,
        set: of.set,
    });
    trigger::Decided {
        verdicts: decided.verdicts.into_iter().map(verdict).collect(),
        remembered: trigger_data::OptionalColumn {
            present: decided.remembered.present,
            column: asked_out(decided.remembered.column),
        },
        timers: timers.collect(),
        poisoned: None,
    }
}

fn asked_in(column: trigger_data::BytesColumn) -> BytesColumn {
    let trigger_data::BytesColumn { bytes, ends } = column;
    BytesColumn { bytes, ends }
}

fn asked_out(column: BytesColumn) -> trigger_data::BytesColumn {
    let BytesColumn { bytes, ends } = column;
    trigger_data::BytesColumn { bytes, ends }
}

fn whole_in(column: window_function::BytesColumn) -> BytesColumn {
    let window_function::BytesColumn { bytes, ends } = column;
    BytesColumn { bytes, ends }
}

fn whole_out(column: BytesColumn) -> window_function::BytesColumn {
    let BytesColumn { bytes, ends } = column;
    window_function::BytesColumn { bytes, ends }
}

fn folded_in(column: aggregate::BytesColumn) -> BytesColumn {
    let aggregate::BytesColumn { bytes, ends } = column;
    BytesColumn { bytes, ends }
}

fn folded_out(column: BytesColumn) -> aggregate::BytesColumn {
    let BytesColumn { bytes, ends } = column;
    aggregate::BytesColumn { bytes, ends }
}

/// Bindings of their own have types of their own; the buffers change hands.
fn column_in(column: timed_data::BytesColumn) -> BytesColumn {
    let timed_data::BytesColumn { bytes, ends } = column;
    BytesColumn { bytes, ends }
}

fn column_out(column: BytesColumn) -> timed_data::BytesColumn {
    let BytesColumn { bytes, ends } = column;
    timed_data::BytesColumn { bytes, ends }
}

impl<C: CheckpointedComponent> checkpointed::Guest for C {
    fn initialize(restored: bool, raw: Vec<Vec<u8>>) -> Result<(), String> {
        with::<C, _>(|logic| logic.initialize(restored, raw))
    }

    fn snapshot(checkpoint: u64) -> Result<Vec<Vec<u8>>, String> {
        with::<C, _>(|logic| logic.snapshot(checkpoint))
    }

    fn complete(checkpoint: u64) {
        fail_by_panic(with::<C, _>(|logic| logic.complete(checkpoint)));
    }

    fn aborted(checkpoint: u64) {
        fail_by_panic(with::<C, _>(|logic| logic.aborted(checkpoint)));
    }
}

thread_local! {
    /// What the operator knows of its state, once the host has asked.
    static EVOLVE: RefCell<Option<Evolve>> = const { RefCell::new(None) };
}

/// Asks what is known of a state, value by value.
fn ask<C: EvolvingComponent, T>(
    state: u32,
    values: &Column,
    mut answer: impl FnMut(&Evolve, &str, &[u8]) -> Result<T, Error>,
) -> Result<Vec<T>, String> {
    let declared = with::<C, _>(|logic| logic.describe())?;
    let Some(decl) = declared.states.get(state as usize) else {
        return Err(format!("state {state} is not declared"));
    };
    EVOLVE.with_borrow_mut(|evolve| {
        let evolve = evolve.get_or_insert_with(C::evolve);
        let mut from = 0;
        let mut answers = Vec::with_capacity(values.ends.len());
        for &end in &values.ends {
            let value = values.bytes.get(from..end as usize);
            let value = value.ok_or("malformed column from the host")?;
            from = end as usize;
            answers.push(answer(evolve, &decl.name, value).map_err(Error::into_message)?);
        }
        Ok(answers)
    })
}

impl<C: EvolvingComponent> evolving::Guest for C {
    fn migrate(
        state: u32,
        part: evolving::Part,
        from_version: u32,
        values: Column,
    ) -> Result<Column, String> {
        let keys = part == evolving::Part::MapKey;
        let mut bytes = Vec::with_capacity(values.bytes.len());
        let ends = ask::<C, _>(state, &values, |evolve, name, value| {
            evolve.migrated(name, keys, from_version, value, &mut bytes)?;
            Ok(bytes.len() as u32)
        })?;
        Ok(Column { bytes, ends })
    }

    fn render(state: u32, part: evolving::Part, values: Column) -> Result<Vec<String>, String> {
        let keys = part == evolving::Part::MapKey;
        ask::<C, _>(state, &values, |evolve, name, value| {
            evolve.shown(name, keys, value)
        })
    }
}

#[expect(
    clippy::panic,
    reason = "the contract gives these functions no other way to fail; the host shows the message"
)]
fn fail_by_panic(result: Result<(), String>) {
    if let Err(message) = result {
        panic!("{message}");
    }
}

/// Makes a type the operator of this component: one that implements one of the traits for
/// operators, such as [`KeyedProcess`](crate::KeyedProcess) or [`Process`](crate::Process). With
/// `operator!(Type, timed)` it has [`Timers`](crate::Timers), with `operator!(Type, checkpointed)`
/// it is [`Checkpointed`](crate::Checkpointed) as well, with `operator!(Type, evolving)`
/// [`Evolving`](crate::Evolving), and with `operator!(Type, keyed_broadcast)` it is called for all
/// keys, see [`on_key`](crate::KeyedBroadcastProcess::on_key); it may be several:
/// `operator!(Type, timed, checkpointed)`. A [`WindowAggregate`](crate::WindowAggregate) is
/// `operator!(Type, aggregate)`, a [`WindowFunction`](crate::WindowFunction)
/// `operator!(Type, window)`; one of them that is a [`Trigger`](crate::Trigger) names that, too:
/// `operator!(Type, aggregate, trigger)`. A [`JoinFunction`](crate::JoinFunction) is
/// `operator!(Type, join)`, an [`Enrich`](crate::Enrich) `operator!(Type, enrich)`.
#[macro_export]
macro_rules! operator {
    ($operator:ty $(, $part:ident)* $(,)?) => {
        $crate::operator!(@part $operator, make_component, {}, {}, $($part)*);
    };
    (
        @part $operator:ty, $make:ident, { $($const:item)* }, { $($more:item)* },
        timed $($rest:ident)*
    ) => {
        $crate::operator!(
            @part $operator, $make, { $($const)* const TIMED: bool = true; },
            { $($more)* $crate::operator!(@timed); }, $($rest)*
        );
    };
    (
        @part $operator:ty, $make:ident, { $($const:item)* }, { $($more:item)* },
        keyed_broadcast $($rest:ident)*
    ) => {
        $crate::operator!(
            @part $operator, $make, { $($const)* },
            { $($more)* $crate::operator!(@keyed_broadcast); }, $($rest)*
        );
    };
    (
        @part $operator:ty, $make:ident, { $($const:item)* }, { $($more:item)* },
        checkpointed $($rest:ident)*
    ) => {
        $crate::operator!(
            @part $operator, make_checkpointed_component, { $($const)* },
            { $($more)* $crate::operator!(@checkpointed); }, $($rest)*
        );
    };
    (
        @part $operator:ty, $make:ident, { $($const:item)* }, { $($more:item)* },
        evolving $($rest:ident)*
    ) => {
        $crate::operator!(
            @part $operator, $make, { $($const)* },
            { $($more)* $crate::operator!(@evolving $operator); }, $($rest)*
        );
    };
    (
        @part $operator:ty, $make:ident, { $($const:item)* }, { $($more:item)* },
        trigger $($rest:ident)*
    ) => {
        $crate::operator!(
            @part $operator, make_trigger_component, { $($const)* },
            { $($more)* $crate::operator!(@trigger); }, $($rest)*
        );
    };
    (
        @part $operator:ty, $make:ident, { $($const:item)* }, { $($more:item)* },
        enrich $($rest:ident)*
    ) => {
        $crate::operator!(
            @part $operator, $make, { $($const)* },
            { $($more)* $crate::operator!(@enrich); }, $($rest)*
        );
    };
    (
        @part $operator:ty, $make:ident, { $($const:item)* }, { $($more:item)* },
        window $($rest:ident)*
    ) => {
        $crate::operator!(
            @part $operator, $make, { $($const)* },
            { $($more)* $crate::operator!(@window); }, $($rest)*
        );
    };
    (
        @part $operator:ty, $make:ident, { $($const:item)* }, { $($more:item)* },
        join $($rest:ident)*
    ) => {
        $crate::operator!(
            @part $operator, $make, { $($const)* },
            { $($more)* $crate::operator!(@join); }, $($rest)*
        );
    };
    (
        @part $operator:ty, $make:ident, { $($const:item)* }, { $($more:item)* },
        aggregate $($rest:ident)*
    ) => {
        $crate::operator!(
            @part $operator, $make, { $($const)* },
            { $($more)* $crate::operator!(@aggregate); }, $($rest)*
        );
    };
    (@part $operator:ty, $make:ident, { $($const:item)* }, { $($more:item)* },) => {
        $crate::operator!(@component $operator, $make, { $($const)* }, { $($more)* });
    };
    (@part $operator:ty, $make:ident, $const:tt, $more:tt, $other:ident $($rest:ident)*) => {
        ::core::compile_error!(concat!(
            "`", stringify!($other), "` is no part of an operator: these are `timed`, \
             `keyed_broadcast`, `checkpointed`, `evolving`, `aggregate`, `window`, \
             `trigger`, `join` and `enrich`"
        ));
    };
    (@keyed_broadcast) => {
        impl $crate::export::KeyedBroadcastComponent for TheOperator {}

        #[cfg(target_family = "wasm")]
        $crate::keyed_broadcast_bindings::export! {
            TheOperator with_types_in $crate::keyed_broadcast_bindings
        }
    };
    (@aggregate) => {
        impl $crate::export::AggregateComponent for TheOperator {}

        #[cfg(target_family = "wasm")]
        $crate::aggregate_bindings::export! {
            TheOperator with_types_in $crate::aggregate_bindings
        }
    };
    (@window) => {
        impl $crate::export::WindowComponent for TheOperator {}

        #[cfg(target_family = "wasm")]
        $crate::window_function_bindings::export! {
            TheOperator with_types_in $crate::window_function_bindings
        }
    };
    (@join) => {
        impl $crate::export::JoinComponent for TheOperator {}

        #[cfg(target_family = "wasm")]
        $crate::join_bindings::export! {
            TheOperator with_types_in $crate::join_bindings
        }
    };
    (@enrich) => {
        impl $crate::export::EnrichComponent for TheOperator {}

        #[cfg(target_family = "wasm")]
        $crate::enrich_bindings::export! {
            TheOperator with_types_in $crate::enrich_bindings
        }
    };
    (@trigger) => {
        impl $crate::export::TriggerComponent for TheOperator {}

        #[cfg(target_family = "wasm")]
        $crate::trigger_bindings::export! {
            TheOperator with_types_in $crate::trigger_bindings
        }
    };
    (@timed) => {
        impl $crate::export::TimedComponent for TheOperator {}

        #[cfg(target_family = "wasm")]
        $crate::timed_bindings::export! {
            TheOperator with_types_in $crate::timed_bindings
        }
    };
    (@checkpointed) => {
        impl $crate::export::CheckpointedComponent for TheOperator {}

        #[cfg(target_family = "wasm")]
        $crate::checkpointed_bindings::export! {
            TheOperator with_types_in $crate::checkpointed_bindings
        }
    };
    (@evolving $operator:ty) => {
        impl $crate::export::EvolvingComponent for TheOperator {
            fn evolve() -> $crate::Evolve {
                $crate::export::evolve::<$operator>()
            }
        }

        #[cfg(target_family = "wasm")]
        $crate::evolving_bindings::export! {
            TheOperator with_types_in $crate::evolving_bindings
        }
    };
    (@component $operator:ty, $make:ident, { $($part:item)* }, { $($more:item)* }) => {
        const _: () = {
            struct TheOperator;

            impl $crate::export::Component for TheOperator {
                $($part)*

                fn make() -> ::std::boxed::Box<dyn $crate::export::Logic> {
                    $crate::export::$make::<$operator, _>()
                }
            }

            $($more)*

            #[cfg(target_family = "wasm")]
            $crate::bindings::export! { TheOperator with_types_in $crate::bindings }

            // Elsewhere nothing is exported, but the operator is checked and counts as used.
            #[cfg(not(target_family = "wasm"))]
            const _: fn() -> ::std::boxed::Box<dyn $crate::export::Logic> =
                <TheOperator as $crate::export::Component>::make;
        };
        $crate::native_operator!($operator, $make);
    };
}
