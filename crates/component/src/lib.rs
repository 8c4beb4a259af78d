//! Runs WebAssembly components as operators: the only crate that knows wasmtime.
//!
//! An [`Engine`] loads a file into a [`Component`], which is checked before anything starts, and a
//! [`ComponentFactory`] makes instances of it that the runtime drives through the traits of
//! `weir_operator`. It knows no threads, channels or checkpoints: it sees rows, state, time and
//! output. No type of wasmtime appears in a public signature.
//!
//! ```no_run
//! use std::path::Path;
//! use weir_component::{Engine, EngineOptions, Limits};
//!
//! let engine = Engine::new(&EngineOptions::default())?;
//! let component = engine.load(Path::new("cart.wasm"), &Limits::default())?;
//! println!("{}: {:?}", component.info().digest, component.descriptor());
//! let factory = component.factory(Limits::default());
//! # Ok::<(), weir_component::Error>(())
//! ```
//!
//! Who may do what: a guest is not trusted. What it returns and passes is checked (`outcome`,
//! `host`), what it uses is bounded (`limits`), and what it did wrong is told with its own stack
//! (`trap`).

mod aggregate;
mod bindings;
mod breach;
mod cache;
mod checkpointed;
mod component;
mod cpu;
mod describe;
mod engine;
mod enrich;
mod error;
mod evolving;
mod guest;
mod host;
mod instance;
mod interfaces;
mod join;
mod keyed_broadcast;
mod limits;
mod log;
mod lookup;
mod memory;
mod operator;
mod outcome;
mod outside;
mod size;
mod timed;
mod trap;
mod trigger;
mod wasi;
mod window_function;

pub use component::{Component, ComponentFactory, ComponentInfo};
pub use engine::{Engine, EngineOptions};
pub use enrich::ComponentEnrich;
pub use error::Error;
pub use evolving::ComponentEvolve;
pub use interfaces::Provider;
pub use join::ComponentJoins;
pub use limits::Limits;
pub use operator::ComponentOperator;
pub use outside::{Outside, Sleep};
pub use window_function::ComponentWindows;
