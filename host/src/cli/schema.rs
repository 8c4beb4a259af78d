//! `weir schema`: the JSON Schemas of the job file, the host file and test files.

use clap::Args;

use super::{Output, Shared};
use crate::{exit::Exit, render::tell};

/// Prints the JSON Schema of the job file, the host file or test files, for editors and other
/// tools.
///
/// An editor that knows it completes keys and underlines mistakes while you write. `weir check`
/// finds more: it sees files and components too.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  weir schema > weir-job.schema.json
  weir schema --host > weir-host.schema.json
  weir schema --test > weir-test.schema.json
  weir schema --output json

For editors with the YAML language server, the first line of a job file:
  # yaml-language-server: $schema=weir-job.schema.json")]
pub(crate) struct Schema {
    /// That of the host file, `weir.yaml`.
    #[arg(long)]
    host: bool,

    /// That of test files, which `weir test` reads.
    #[arg(long, conflicts_with = "host")]
    test: bool,
}

impl Schema {
    pub(crate) fn run(self, shared: &Shared) -> Exit {
        let schema = match (self.host, self.test) {
            (true, _) => weir_job_file::host_schema(),
            (false, true) => weir_job_file::test_schema(),
            (false, false) => weir_job_file::schema(),
        };
        match shared.output {
            Output::Text => tell(&format!("{schema:#}")),
            Output::Json => tell(&schema.to_string()),
        }
        Exit::Done
    }
}
