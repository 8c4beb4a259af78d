//! The contract of `wit/` as Rust types: generated, but for the arguments of `process`, which are
//! lowered from borrowed columns so that a batch is copied once, into the guest.
//!
//! INVARIANT: nothing here is written to fit a guest; where it does not match `wit/` it does not
//! compile, or every instance is refused.

use wasmtime::component::{ComponentType, Lower};

wasmtime::component::bindgen!({
    path: "../../wit",
    world: "operator",
    imports: { default: trappable },
});

/// `data.bytes-column`, borrowed.
#[derive(Clone, Copy, Debug, ComponentType, Lower)]
#[component(record)]
pub(crate) struct ColumnIn<'a> {
    pub(crate) bytes: &'a [u8],
    pub(crate) ends: &'a [u32],
}

/// `data.optional-column`, borrowed.
#[derive(Clone, Copy, Debug, ComponentType, Lower)]
#[component(record)]
pub(crate) struct OptionalIn<'a> {
    pub(crate) present: &'a [u8],
    pub(crate) column: ColumnIn<'a>,
}

/// `data.batch`, borrowed.
#[derive(Clone, Copy, Debug, ComponentType, Lower)]
#[component(record)]
pub(crate) struct BatchIn<'a> {
    pub(crate) values: ColumnIn<'a>,
    pub(crate) timestamps: &'a [i64],
    pub(crate) keys: ColumnIn<'a>,
    #[component(name = "key-of-row")]
    pub(crate) key_of_row: &'a [u32],
}

/// `data.slots`, borrowed.
#[derive(Clone, Copy, Debug, ComponentType, Lower)]
#[component(record)]
pub(crate) struct SlotsIn<'a> {
    pub(crate) state: u32,
    pub(crate) values: OptionalIn<'a>,
}
