//! `weir completion`: what a shell needs to complete our command lines.

use clap::{Args, CommandFactory, ValueEnum};
use clap_complete::{Shell, generate};
use serde_json::json;

use super::{Cli, Output, Shared};
use crate::{exit::Exit, render::tell};

/// Prints the script by which a shell completes verbs and options.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  source <(weir completion bash)
  weir completion zsh > ~/.zfunc/_weir
  weir completion fish > ~/.config/fish/completions/weir.fish")]
pub(crate) struct Completion {
    /// The shell.
    #[arg(value_name = "SHELL", value_enum)]
    shell: Shell,
}

impl Completion {
    pub(crate) fn run(self, shared: &Shared) -> Exit {
        let mut script = Vec::new();
        generate(self.shell, &mut Cli::command(), "weir", &mut script);
        let script = String::from_utf8_lossy(&script);
        match shared.output {
            Output::Text => tell(script.trim_end()),
            Output::Json => {
                let shell = self.shell.to_possible_value();
                let shell = shell.as_ref().map(|value| value.get_name());
                tell(&json!({ "shell": shell, "script": script, "errors": [] }).to_string());
            }
        }
        Exit::Done
    }
}
