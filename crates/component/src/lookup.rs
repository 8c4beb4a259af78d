//! Functions of optional interfaces, found by name: WIT has no optional exports.

use wasmtime::{
    Store,
    component::{self as wasm, ComponentNamedList, Lift, Lower, TypedFunc},
    error::Context as _,
};

use crate::guest::Guest;

/// Where functions are looked up.
pub(crate) struct Lookup<'a> {
    name: &'static str,
    component: &'a wasm::Component,
    interface: wasm::ComponentExportIndex,
    store: &'a mut Store<Guest>,
    instance: &'a wasm::Instance,
}

impl<'a> Lookup<'a> {
    /// The interface of that name; `None` where the component does not export it.
    pub(crate) fn of(
        name: &'static str,
        component: &'a wasm::Component,
        store: &'a mut Store<Guest>,
        instance: &'a wasm::Instance,
    ) -> Option<Self> {
        Some(Self {
            name,
            component,
            interface: component.get_export_index(None, name)?,
            store,
            instance,
        })
    }

    /// A function of the interface.
    ///
    /// # Errors
    /// That it is missing, or has another type than the contract gives it.
    pub(crate) fn function<Params, Results>(
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
            .with_context(|| format!("`{}` has no function `{name}`", self.name))?;
        let typed = function.typed(&*self.store);
        typed.with_context(|| format!("function `{name}` of `{}`", self.name))
    }
}
