//! Why the host ends a call of a guest: the error that its own functions return into wasmtime, and
//! that comes back out of the call.

/// What a guest did that ends its call.
#[derive(Clone, Debug, thiserror::Error)]
pub(crate) enum Breach {
    /// Something that the contract does not allow.
    #[error("{message}")]
    Contract { message: String },
    /// State was used in a way that it does not have.
    #[error("`{import}`: {error}")]
    State {
        import: &'static str,
        error: weir_state::Error,
    },
    /// More memory was wanted than the limit allows.
    #[error("wanted {wanted} bytes of memory")]
    Memory { wanted: usize },
    /// More was handed to the host than the limit allows.
    #[error("{what}")]
    Output { what: &'static str },
    /// A wait that would have no end, since nothing happens during a call.
    #[error("the component waited in `{import}`, where there is nothing to wait for")]
    Wait { import: &'static str },
    /// More of something than any component needs.
    #[error("the component wanted {what}")]
    Excess { what: String },
}
