//! The optional interface `checkpointed`: found by its name, since WIT has no optional exports, and
//! checked function by function when an instance is made, the first time when the component is
//! loaded.
//!
//! INVARIANT: a component that exports the interface has all of it, with the types of the contract,
//! or it is refused.

use wasmtime::{
    Store,
    component::{self as wasm, TypedFunc},
};

use crate::{guest::Guest, interfaces::CHECKPOINTED_EXPORT, lookup::Lookup};

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
        let lookup = Lookup::of(CHECKPOINTED_EXPORT, component, store, instance);
        let Some(mut lookup) = lookup else {
            return Ok(None);
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
