//! `weir inspect`: says what a component is.

use std::path::PathBuf;

use clap::Args;
use serde_json::{Value, json};
use weir_component::{Component, Engine, EngineOptions, Limits, Provider};

use super::{Output, Shared};
use crate::{
    exit::Exit,
    render::{Bar, error, size, tell},
};

/// Shows what a component is: world, states, inputs, outputs, imports, digest.
///
/// The component is compiled and asked what it declares; nothing of it is given any row.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  weir inspect operator.wasm
  weir inspect operator.wasm --output json")]
pub(crate) struct Inspect {
    /// The file of the component.
    #[arg(value_name = "COMPONENT")]
    component: PathBuf,
}

impl Inspect {
    pub(crate) fn run(self, shared: &Shared) -> Exit {
        let options = EngineOptions {
            cache: shared.cache_dir.clone(),
            ..EngineOptions::default()
        };
        let loaded = {
            let _bar = Bar::begin(
                format!("compiling {}", self.component.display()),
                shared.terminal,
            );
            Engine::new(&options)
                .and_then(|engine| engine.load(&self.component, &Limits::default()))
        };
        let component = match loaded {
            Ok(component) => component,
            Err(wrong) => {
                let message = format!("`{}`: {wrong}", self.component.display());
                error(shared, wrong.code(), &message, wrong.help());
                return Exit::Usage;
            }
        };
        match shared.output {
            Output::Text => tell(&text(&component)),
            Output::Json => tell(&document(&component).to_string()),
        }
        Exit::Done
    }
}

fn provider(provider: Provider) -> &'static str {
    match provider {
        Provider::Weir => "weir",
        Provider::Wasi => "wasi, with nothing behind it",
    }
}

fn text(component: &Component) -> String {
    let (info, descriptor) = (component.info(), component.descriptor());
    let mut lines = vec![
        format!("world    {}", info.world),
        format!("digest   blake3 {}", info.digest),
        format!("size     {}", size(info.size as u64)),
        format!("inputs   {}", descriptor.inputs),
    ];
    let side = match descriptor.side_outputs.as_slice() {
        [] => String::new(),
        names => format!(", side outputs {}", names.join(", ")),
    };
    lines.push(format!("outputs  main{side}"));
    lines.push(format!(
        "memory   {}",
        match descriptor.keeps_memory {
            true => "keeps something of its own between calls",
            false => "keeps nothing of its own between calls",
        }
    ));
    lines.push("states".into());
    if descriptor.states.is_empty() {
        lines.push("  none".into());
    }
    for state in &descriptor.states {
        lines.push(format!(
            "  {:<20} {:<12} {} version {}",
            state.name,
            state.kind.as_str(),
            state.format,
            state.version
        ));
    }
    lines.push("exports".into());
    lines.extend(info.exports.iter().map(|name| format!("  {name}")));
    lines.push("imports".into());
    for (name, by) in &info.imports {
        lines.push(format!("  {name:<44} {}", provider(*by)));
    }
    lines.join("\n")
}

fn document(component: &Component) -> Value {
    let (info, descriptor) = (component.info(), component.descriptor());
    let state = |state: &weir_state::StateDecl| {
        json!({
            "name": state.name,
            "kind": state.kind.as_str(),
            "format": state.format,
            "version": state.version,
        })
    };
    let import = |(name, by): &(String, Provider)| {
        let by = match by {
            Provider::Weir => "weir",
            Provider::Wasi => "wasi",
        };
        json!({ "name": name, "provider": by })
    };
    json!({
        "world": info.world,
        "digest": info.digest,
        "size_bytes": info.size,
        "inputs": descriptor.inputs,
        "side_outputs": descriptor.side_outputs,
        "keeps_memory": descriptor.keeps_memory,
        "states": descriptor.states.iter().map(state).collect::<Vec<_>>(),
        "exports": info.exports,
        "imports": info.imports.iter().map(import).collect::<Vec<_>>(),
        "errors": [],
    })
}
