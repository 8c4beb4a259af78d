//! The optional interface `keyed-broadcast`: called for all keys of a state where a row of a
//! broadcast input has asked for that (C28).

use wasmtime::{
    Store,
    component::{self as wasm, TypedFunc},
};

use crate::{
    bindings::{BatchIn, SlotsIn, weir::operator::data},
    guest::Guest,
    interfaces::KEYED_BROADCAST_EXPORT,
    lookup::Lookup,
};

type OnKeysIn<'a> = (&'a [u8], BatchIn<'a>, &'a [SlotsIn<'a>]);
type OnKeysOut = (Result<data::Outcome, String>,);

/// The function of `keyed-broadcast`.
pub(crate) struct KeyedBroadcast {
    on_keys: TypedFunc<OnKeysIn<'static>, OnKeysOut>,
}

impl KeyedBroadcast {
    /// The function of an instance; `None` where the component does not export the interface.
    ///
    /// # Errors
    /// That it is missing, or has another type than the contract gives it.
    pub(crate) fn of(
        component: &wasm::Component,
        store: &mut Store<Guest>,
        instance: &wasm::Instance,
    ) -> wasmtime::Result<Option<Self>> {
        let lookup = Lookup::of(KEYED_BROADCAST_EXPORT, component, store, instance);
        let Some(mut lookup) = lookup else {
            return Ok(None);
        };
        let on_keys = lookup.function("on-keys")?;
        Ok(Some(Self { on_keys }))
    }

    pub(crate) fn on_keys(
        &self,
        store: &mut Store<Guest>,
        tag: &[u8],
        keys: BatchIn<'_>,
        slots: &[SlotsIn<'_>],
    ) -> wasmtime::Result<Result<data::Outcome, String>> {
        let on_keys: TypedFunc<OnKeysIn<'_>, OnKeysOut> = self.on_keys;
        let (result,) = on_keys.call(store, (tag, keys, slots))?;
        Ok(result)
    }
}
