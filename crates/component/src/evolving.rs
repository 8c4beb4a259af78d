//! The optional interface `evolving`: what a component knows of older versions of its state, and
//! how it shows what is in it. Asked in an instance of its own, without a context: what it answers
//! depends on the bytes alone.
//!
//! INVARIANT: there are as many answers as there were questions, or the call is refused.

use wasmtime::{
    Store,
    component::{self as wasm, ComponentType, Lower, TypedFunc},
    error::Context as _,
};
use weir_model::Column;
use weir_operator::{Evolve, Failure, Part};
use weir_state::StateIndex;

use crate::{
    Component, Limits,
    bindings::{ColumnIn, weir::operator::data},
    guest::{Guest, Phase},
    host::column_in,
    instance::Instance,
    interfaces::EVOLVING_EXPORT,
    log::cut,
    lookup::Lookup,
    outcome::MAX_MESSAGE,
};

/// `evolving.part`.
#[derive(Clone, Copy, Debug, ComponentType, Lower)]
#[component(enum)]
#[repr(u8)]
enum PartIn {
    #[component(name = "value")]
    Value,
    #[component(name = "element")]
    Element,
    #[component(name = "map-key")]
    MapKey,
    #[component(name = "map-value")]
    MapValue,
    #[component(name = "accumulator")]
    Accumulator,
}

type MigrateIn<'a> = (u32, PartIn, u32, ColumnIn<'a>);
type RenderIn<'a> = (u32, PartIn, ColumnIn<'a>);
type Returned<T> = (Result<T, String>,);

/// The functions of `evolving`.
pub(crate) struct Evolving {
    migrate: TypedFunc<MigrateIn<'static>, Returned<data::BytesColumn>>,
    render: TypedFunc<RenderIn<'static>, Returned<Vec<String>>>,
}

impl Evolving {
    /// The functions of an instance; `None` where the component does not export the interface.
    ///
    /// # Errors
    /// Which function is missing, or has another type than the contract gives it.
    pub(crate) fn of(
        component: &wasm::Component,
        store: &mut Store<Guest>,
        instance: &wasm::Instance,
    ) -> wasmtime::Result<Option<Self>> {
        let lookup = Lookup::of(EVOLVING_EXPORT, component, store, instance);
        let Some(mut lookup) = lookup else {
            return Ok(None);
        };
        Ok(Some(Self {
            migrate: lookup.function("migrate")?,
            render: lookup.function("render")?,
        }))
    }
}

/// A component that is asked about its state.
pub struct ComponentEvolve {
    component: Component,
    limits: Limits,
    /// There is none before the first question, and after one that failed.
    instance: Option<Instance>,
}

impl ComponentEvolve {
    pub(crate) fn new(component: Component, limits: Limits) -> Self {
        Self {
            component,
            limits,
            instance: None,
        }
    }

    /// Calls a function; whatever fails, the next call has a fresh instance.
    fn call<R>(
        &mut self,
        phase: Phase,
        function: impl FnOnce(&Evolving, &mut Store<Guest>) -> wasmtime::Result<Result<R, String>>,
    ) -> Result<R, Failure> {
        let mut instance = match self.instance.take() {
            Some(instance) => instance,
            None => Instance::new(self.component.pre(), &self.limits, None)
                .map_err(|none| none.into_failure())?,
        };
        let answer = instance.call_without(phase, &self.limits, |exports, store| {
            let missing = "`evolving` was there when the component was loaded";
            function(exports.evolving.as_ref().context(missing)?, store)
        })?;
        self.instance = Some(instance);
        answer.map_err(|message| Failure::Guest {
            message: cut(&message, MAX_MESSAGE).to_owned(),
            row: None,
        })
    }
}

impl Evolve for ComponentEvolve {
    fn migrate(
        &mut self,
        state: StateIndex,
        part: Part,
        from: u32,
        values: &Column,
    ) -> Result<Column, Failure> {
        let arguments = (state.0, part.into(), from, lowered(values));
        let migrated = self.call(Phase::Migrate, |evolving, store| {
            let migrate: TypedFunc<MigrateIn<'_>, Returned<data::BytesColumn>> = evolving.migrate;
            Ok(migrate.call(store, arguments)?.0)
        })?;
        let migrated = column_in(migrated).map_err(|e| Failure::Contract {
            message: format!("what `migrate` returned: {e}"),
        })?;
        as_many("migrate", migrated.len(), values.len())?;
        Ok(migrated)
    }

    fn render(
        &mut self,
        state: StateIndex,
        part: Part,
        values: &Column,
    ) -> Result<Vec<String>, Failure> {
        let arguments = (state.0, part.into(), lowered(values));
        let rendered = self.call(Phase::Render, |evolving, store| {
            let render: TypedFunc<RenderIn<'_>, Returned<Vec<String>>> = evolving.render;
            Ok(render.call(store, arguments)?.0)
        })?;
        as_many("render", rendered.len(), values.len())?;
        Ok(rendered)
    }
}

fn lowered(values: &Column) -> ColumnIn<'_> {
    ColumnIn {
        bytes: values.bytes(),
        ends: values.ends(),
    }
}

fn as_many(function: &str, found: usize, expected: usize) -> Result<(), Failure> {
    if found == expected {
        return Ok(());
    }
    Err(Failure::Contract {
        message: format!("`{function}` was given {expected} values and returned {found}"),
    })
}

impl From<Part> for PartIn {
    fn from(part: Part) -> Self {
        match part {
            Part::Value => Self::Value,
            Part::Element => Self::Element,
            Part::MapKey => Self::MapKey,
            Part::MapValue => Self::MapValue,
            Part::Accumulator => Self::Accumulator,
        }
    }
}
