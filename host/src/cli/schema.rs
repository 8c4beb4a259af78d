//! `weir schema`: the JSON Schema of the job file.

use clap::Args;

use super::{Output, Shared};
use crate::{exit::Exit, render::tell};

/// Prints the JSON Schema of the job file, for editors and other tools.
///
/// An editor that knows it completes keys and underlines mistakes while you write. `weir check`
/// finds more: it sees files and components too.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  weir schema > weir-job.schema.json
  weir schema --output json

For editors with the YAML language server, the first line of a job file:
  # yaml-language-server: $schema=weir-job.schema.json")]
pub(crate) struct Schema {}

impl Schema {
    pub(crate) fn run(self, shared: &Shared) -> Exit {
        let schema = weir_job_file::schema();
        match shared.output {
            Output::Text => tell(&format!("{schema:#}")),
            Output::Json => tell(&schema.to_string()),
        }
        Exit::Done
    }
}
