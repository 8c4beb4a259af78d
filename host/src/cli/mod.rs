//! The command line: one file a verb. Data goes to standard output, talk to standard error.

mod check;
mod inspect;
mod run;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::exit::Exit;

/// Runs stateful stream operators: WebAssembly components with the semantics of Apache Flink.
#[derive(Debug, Parser)]
#[command(
    name = "weir",
    version,
    max_term_width = 100,
    arg_required_else_help = true
)]
pub struct Cli {
    #[command(subcommand)]
    verb: Verb,

    /// How results are printed on standard output.
    #[arg(long, global = true, value_enum, default_value_t = Output::Text)]
    output: Output,

    /// Folder for compiled components [default: weir/components in $XDG_CACHE_HOME or ~/.cache].
    #[arg(long, global = true, value_name = "DIR", env = "WEIR_CACHE_DIR")]
    cache_dir: Option<PathBuf>,

    /// What is logged on standard error, as `level` or `target=level,...`.
    #[arg(
        long,
        global = true,
        value_name = "FILTER",
        env = "WEIR_LOG",
        default_value = "warn"
    )]
    log: String,
}

/// How results are printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Output {
    /// For people.
    Text,
    /// For programs.
    Json,
}

#[derive(Debug, Subcommand)]
enum Verb {
    Run(Box<run::Run>),
    Check(check::Check),
    Inspect(inspect::Inspect),
}

/// Which job file, and what of it is said otherwise on the command line.
#[derive(Debug, Args)]
pub(crate) struct JobArgs {
    /// The job file.
    #[arg(value_name = "JOB")]
    pub(crate) file: PathBuf,

    /// Sets a value of the job file; may be repeated, later wins. Dots walk mappings, [i] lists;
    /// the value is YAML: `--set sources.flights.rate=25000`.
    #[arg(long = "set", value_name = "PATH=VALUE")]
    pub(crate) sets: Vec<String>,
}

/// What all verbs share.
pub(crate) struct Shared {
    pub(crate) output: Output,
    pub(crate) cache_dir: Option<PathBuf>,
    /// Whether standard error is a terminal.
    pub(crate) terminal: bool,
}

impl Cli {
    /// What is logged.
    #[must_use]
    pub fn log_filter(&self) -> &str {
        &self.log
    }

    /// Runs the verb.
    #[must_use]
    pub fn run(self) -> Exit {
        let terminal = std::io::IsTerminal::is_terminal(&std::io::stderr());
        let cache_dir = self.cache_dir.or_else(default_cache_dir);
        let shared = Shared {
            output: self.output,
            cache_dir,
            terminal,
        };
        match self.verb {
            Verb::Run(verb) => verb.run(&shared),
            Verb::Check(verb) => verb.run(&shared),
            Verb::Inspect(verb) => verb.run(&shared),
        }
    }
}

/// `$XDG_CACHE_HOME/weir/components`, else in `~/.cache`; none where there is no home either. A
/// folder of its own: only one that others cannot write to is trusted.
fn default_cache_dir() -> Option<PathBuf> {
    let xdg = std::env::var_os("XDG_CACHE_HOME")
        .map(PathBuf::from)
        .filter(|p| p.is_absolute());
    let home = || std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".cache"));
    xdg.or_else(home).map(|dir| dir.join("weir/components"))
}
