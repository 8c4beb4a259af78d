//! `weir schema`: the JSON Schemas of the job file and the host file.

use clap::Args;

use super::{Output, Shared};
use crate::{exit::Exit, render::tell};

/// Prints the JSON Schema of the job file or the host file, for editors and other tools.
///
/// An editor that knows it completes keys and underlines mistakes while you write. `weir check`
/// finds more: it sees files and components too.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  weir schema > weir-job.schema.json
  weir schema --host > weir-host.schema.json
  weir schema --output json

For editors with the YAML language server, the first line of a job file:
  # yaml-language-server: $schema=weir-job.schema.json")]
pub(crate) struct Schema {
    /// That of the host file, `weir.yaml`.
    #[arg(long)]
    host: bool,
}

impl Schema {
    pub(crate) fn run(self, shared: &Shared) -> Exit {
        let schema = match self.host {
            true => weir_job_file::host_schema(),
            false => weir_job_file::schema(),
        };
        match shared.output {
            Output::Text => tell(&format!("{schema:#}")),
            Output::Json => tell(&schema.to_string()),
        }
        Exit::Done
    }
}
