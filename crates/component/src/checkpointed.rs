//! The optional interface `checkpointed`: found by its name, since WIT has no optional exports, and
//! checked function by function when an instance is made, the first time when the component is
//! loaded.
//!
//! INVARIANT: a component that exports the interface has all of it, with the types of the contract,
//! or it is refused.

use wasmtime::{
    Store,
    component::{self as wasm, ComponentNamedList, Lift, Lower, TypedFunc},
    error::Context as _,
};

use crate::{guest::Guest, interfaces::CHECKPOINTED_EXPORT};

type Returned<T> = (Result<T, String>,);

/// The functions of `checkpointed`.
pub(crate) struct Checkpointed {
    initialize: TypedFunc<(bool, &'static [Vec<u8>]), Returned<()>>,
    snapshot: TypedFunc<(u64,), Returned<Vec<Vec<u8>>>>,
    complete: TypedFunc<(u64,), ()>,
    aborted: TypedFunc<(u64,), ()>,
}

impl Checkpointed {
    /// The functions of an instance; `None` where the component does not export the interface.
    ///
    /// # Errors
    /// Which function is missing, or has another type than the contract gives it.
    pub(crate) fn of(
        component: &wasm::Component,
        store: &mut Store<Guest>,
        instance: &wasm::Instance,
    ) -> wasmtime::Result<Option<Self>> {
        let Some(interface) = component.get_export_index(None, CHECKPOINTED_EXPORT) else {
            return Ok(None);
        };
        let mut lookup = Lookup {
            component,
            interface,
            store,
            instance,
        };
        Ok(Some(Self {
            initialize: lookup.function("initialize")?,
            snapshot: lookup.function("snapshot")?,
            complete: lookup.function("complete")?,
            aborted: lookup.function("aborted")?,
        }))
    }

    pub(crate) fn initialize(
        &self,
        store: &mut Store<Guest>,
        restored: bool,
        raw: &[Vec<u8>],
    ) -> wasmtime::Result<Result<(), String>> {
        let initialize: TypedFunc<(bool, &[Vec<u8>]), Returned<()>> = self.initialize;
        let (result,) = initialize.call(store, (restored, raw))?;
        Ok(result)
    }

    pub(crate) fn snapshot(
        &self,
        store: &mut Store<Guest>,
        checkpoint: u64,
    ) -> wasmtime::Result<Result<Vec<Vec<u8>>, String>> {
        let (result,) = self.snapshot.call(store, (checkpoint,))?;
        Ok(result)
    }

    pub(crate) fn complete(
        &self,
        store: &mut Store<Guest>,
        checkpoint: u64,
    ) -> wasmtime::Result<()> {
        self.complete.call(store, (checkpoint,))
    }

    pub(crate) fn aborted(
        &self,
        store: &mut Store<Guest>,
        checkpoint: u64,
    ) -> wasmtime::Result<()> {
        self.aborted.call(store, (checkpoint,))
    }
}

/// Where functions are looked up.
struct Lookup<'a> {
    component: &'a wasm::Component,
    interface: wasm::ComponentExportIndex,
    store: &'a mut Store<Guest>,
    instance: &'a wasm::Instance,
}

impl Lookup<'_> {
    fn function<Params, Results>(
        &mut self,
        name: &'static str,
    ) -> wasmtime::Result<TypedFunc<Params, Results>>
    where
        Params: ComponentNamedList + Lower,
        Results: ComponentNamedList + Lift,
    {
        let function = self
            .component
            .get_export_index(Some(&self.interface), name)
            .and_then(|index| self.instance.get_func(&mut *self.store, index))
            .with_context(|| format!("`{CHECKPOINTED_EXPORT}` has no function `{name}`"))?;
        let typed = function.typed(&*self.store);
        typed.with_context(|| format!("function `{name}` of `{CHECKPOINTED_EXPORT}`"))
    }
}
