//! What RocksDB and the local disk report, as errors of state.

use std::{fmt::Display, path::Path};

use weir_state::Error;

/// A failure of the database while it was to do something.
pub(crate) fn failed<E: Display>(what: &str) -> impl Fn(E) -> Error {
    move |error| Error::Local {
        what: what.to_owned(),
        message: error.to_string(),
    }
}

/// A failure of the disk at a path.
pub(crate) fn disk<E: Display>(what: &str, path: &Path) -> impl Fn(E) -> Error {
    let what = format!("{what} {}", path.display());
    move |error| Error::Local {
        what: what.clone(),
        message: error.to_string(),
    }
}

/// Something in the database that was not written by this program.
pub(crate) fn damaged(what: &str) -> Error {
    Error::Local {
        what: format!("read {what}"),
        message: "its bytes are not as they were written".to_owned(),
    }
}
