//! The operators that are measured, natively and as components.

#[path = "../../../guest-examples/keyed-count/src/lib.rs"]
mod keyed_count;
#[path = "../../../guest-examples/passthrough/src/lib.rs"]
mod passthrough;

use std::{path::Path, sync::Arc};

use weir_component::{Component, Engine, EngineOptions, Limits};
use weir_guard::Failure;
use weir_native::{Make, NativeOperator};
use weir_operator::OperatorFactory;

/// An operator that exists both ways, from one source.
pub(crate) struct Both {
    pub(crate) name: &'static str,
    /// Whether it works by key.
    pub(crate) keyed: bool,
    pub(crate) native: Arc<dyn OperatorFactory>,
    pub(crate) wasm: Arc<dyn OperatorFactory>,
}

/// All of them.
pub(crate) struct Guests {
    pub(crate) passthrough: Both,
    pub(crate) keyed_count: Both,
    /// Reads and writes state as its configuration says.
    pub(crate) state_access: Arc<dyn OperatorFactory>,
}

impl Guests {
    pub(crate) fn load(folder: &Path) -> Result<Self, Failure> {
        let engine = Engine::new(&EngineOptions::default())?;
        let load = |file: &str| -> Result<Component, Failure> {
            let path = folder.join(file);
            let loaded = engine.load(&path, &Limits::default());
            Ok(loaded.map_err(|error| {
                let at = path.display();
                format!("loading {at} (`cargo xtask guests` builds it): {error}")
            })?)
        };
        let both = |name, keyed, make: Make, file: &str| -> Result<Both, Failure> {
            Ok(Both {
                name,
                keyed,
                native: Arc::new(NativeOperator::new(make)?),
                wasm: Arc::new(load(file)?.factory(Limits::default())),
            })
        };
        Ok(Self {
            passthrough: both(
                "passthrough",
                false,
                passthrough::native_operator,
                "passthrough.wasm",
            )?,
            keyed_count: both(
                "keyed count",
                true,
                keyed_count::native_operator,
                "keyed-count.wasm",
            )?,
            state_access: Arc::new(load("bench-state-access.wasm")?.factory(Limits::default())),
        })
    }
}
