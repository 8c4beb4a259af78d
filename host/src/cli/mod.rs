//! The command line: one file a verb. Data goes to standard output, talk to standard error.

mod check;
mod checkpoints;
mod completion;
mod graph;
mod inspect;
mod remote;
mod run;
mod schema;
mod state;
mod test;

use std::{ffi::OsString, path::PathBuf, sync::Arc};

use clap::{
    Args, Parser, Subcommand, ValueEnum,
    error::{ContextKind, ContextValue, ErrorKind},
};

use weir_job_file::JobFile;

use crate::{
    config::Config,
    embed::Embedding,
    exit::Exit,
    render::{error, error_document, say, tell},
    storage::Stores,
};

/// The code of a command line that cannot be understood.
pub(crate) const USAGE: &str = "W0005";

/// Runs stateful stream operators: WebAssembly components with the semantics of Apache Flink.
///
/// Results go to standard output, all else to standard error. The exit code is 0 when it is done, 1
/// when a job, storage or durable state failed, 2 when something that you wrote is wrong.
#[derive(Debug, Parser)]
#[command(
    name = "weir",
    version,
    max_term_width = 80,
    arg_required_else_help = true,
    after_help = "Examples:
  weir check job.yaml
  weir run job.yaml --set parallelism=4
  weir checkpoints list job.yaml

`weir VERB --help` tells more. Every error has a code, such as W0204, with a
page in docs/errors."
)]
pub struct Cli {
    #[command(subcommand)]
    verb: Verb,

    /// How results are printed; errors too are JSON then.
    #[arg(
        long,
        global = true,
        value_enum,
        default_value_t = Output::Text,
        hide_possible_values = true,
        value_name = "text|json",
        help_heading = "Options of all verbs"
    )]
    output: Output,

    /// Folder for compiled components; by default $WEIR_CACHE_DIR, else
    /// `weir/components` in $XDG_CACHE_HOME or ~/.cache.
    #[arg(
        long,
        global = true,
        value_name = "DIR",
        help_heading = "Options of all verbs"
    )]
    cache_dir: Option<PathBuf>,

    /// The host file, which holds for all jobs, or `none`; by default
    /// $WEIR_CONFIG, else `weir/weir.yaml` in $XDG_CONFIG_HOME, ~/.config or
    /// /etc.
    #[arg(
        long,
        global = true,
        value_name = "FILE|none",
        help_heading = "Options of all verbs"
    )]
    config: Option<PathBuf>,

    /// What is logged on standard error: `level` or `target=level,...`; by
    /// default $WEIR_LOG, else `warn`.
    #[arg(
        long,
        global = true,
        value_name = "FILTER",
        help_heading = "Options of all verbs"
    )]
    log: Option<String>,
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
    Status(remote::StatusVerb),
    Savepoint(remote::Savepoint),
    Checkpoint(remote::Checkpoint),
    Stop(remote::Stop),
    Cancel(remote::Cancel),
    Check(check::Check),
    Graph(graph::Graph),
    Inspect(inspect::Inspect),
    Checkpoints(checkpoints::Checkpoints),
    State(state::State),
    Test(test::Test),
    Schema(schema::Schema),
    Completion(completion::Completion),
}

/// Which job file, and what of it is said otherwise on the command line.
#[derive(Debug, Args)]
pub(crate) struct JobArgs {
    /// The job file.
    #[arg(value_name = "JOB")]
    pub(crate) file: PathBuf,

    /// Sets a value of the job file; may be repeated, later wins. Dots walk
    /// mappings, [i] lists; the value is YAML: `--set sources.flights.rate=25000`.
    #[arg(long = "set", value_name = "PATH=VALUE")]
    pub(crate) sets: Vec<String>,
}

/// Whether what has no home in the job any more is left behind.
#[derive(Debug, Args)]
pub(crate) struct NonRestored {
    /// Leaves behind what the checkpoint holds and the job has no home for; else
    /// such a checkpoint is refused.
    #[arg(long)]
    allow_non_restored_state: bool,
}

impl NonRestored {
    /// What is said here counts beside what the job file says.
    pub(crate) fn apply(&self, job: &mut JobFile) {
        job.allow_non_restored_state |= self.allow_non_restored_state;
    }
}

/// What all verbs share.
pub(crate) struct Shared {
    pub(crate) output: Output,
    pub(crate) cache_dir: Option<PathBuf>,
    pub(crate) config: Config,
    /// What folders and buckets are opened by.
    pub(crate) stores: Arc<Stores>,
    /// Whether standard error is a terminal.
    pub(crate) terminal: bool,
    /// Whether `perf` is told the names of the functions of components.
    pub(crate) perf_map: bool,
}

impl Shared {
    /// Of a program that uses this one as a library: no terminal, and no host file.
    pub(crate) fn quiet(embedding: &Embedding) -> Self {
        let config = Config::none();
        Self {
            output: Output::Text,
            cache_dir: embedding.cache_dir.clone().or_else(default_cache_dir),
            stores: Arc::new(Stores::new(config.clone())),
            config,
            terminal: false,
            perf_map: embedding.perf_map,
        }
    }
}

impl Cli {
    /// What is logged.
    #[must_use]
    pub fn log_filter(&self) -> String {
        let said = self.log.clone();
        let said = said.or_else(|| std::env::var("WEIR_LOG").ok());
        let said = said.filter(|filter| !filter.is_empty());
        said.unwrap_or_else(|| match &self.verb {
            // What goes wrong in a test is told by its result.
            Verb::Test(_) => "off".to_owned(),
            _ => "warn".to_owned(),
        })
    }

    /// Tells that what is to be logged cannot be understood.
    #[must_use]
    pub fn refuse_log_filter(&self, why: &str) -> Exit {
        let message = format!("--log {}: {why}", self.log_filter());
        let help = "a level, such as `info`, or pairs, such as `weir_runtime=debug,warn`";
        error(&self.shared(), USAGE, &message, Some(help));
        Exit::Usage
    }

    /// Runs the verb.
    #[must_use]
    pub fn run(self) -> Exit {
        let shared = self.shared();
        match self.verb {
            Verb::Run(verb) => verb.run(&shared),
            Verb::Status(verb) => verb.run(&shared),
            Verb::Savepoint(verb) => verb.run(&shared),
            Verb::Checkpoint(verb) => verb.run(&shared),
            Verb::Stop(verb) => verb.run(&shared),
            Verb::Cancel(verb) => verb.run(&shared),
            Verb::Check(verb) => verb.run(&shared),
            Verb::Graph(verb) => verb.run(&shared),
            Verb::Inspect(verb) => verb.run(&shared),
            Verb::Checkpoints(verb) => verb.run(&shared),
            Verb::State(verb) => verb.run(&shared),
            Verb::Test(verb) => verb.run(&shared),
            Verb::Schema(verb) => verb.run(&shared),
            Verb::Completion(verb) => verb.run(&shared),
        }
    }

    fn shared(&self) -> Shared {
        let config = Config::new(self.config.clone());
        Shared {
            output: self.output,
            cache_dir: self.cache_dir.clone().or_else(default_cache_dir),
            stores: Arc::new(Stores::new(config.clone())),
            config,
            terminal: is_terminal(),
            perf_map: false,
        }
    }
}

fn is_terminal() -> bool {
    std::io::IsTerminal::is_terminal(&std::io::stderr())
}

/// Whether standard error is a terminal, and nobody said that colours are not wanted.
pub(crate) fn wants_color() -> bool {
    is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

/// Prints help and the version, or what is wrong with a command line, as it was asked for.
pub(crate) fn not_parsed(error: &clap::Error, arguments: &[OsString]) -> Exit {
    let text = match wants_color() {
        true => error.render().ansi().to_string(),
        false => error.render().to_string(),
    };
    match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => {
            // Standard output may be a file where standard error is a terminal.
            tell(error.render().to_string().trim_end());
            return Exit::Done;
        }
        ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => {
            say(text.trim_end());
            return Exit::Usage;
        }
        _ if wants_json(arguments) => {}
        _ => {
            say(coded(text.trim_end()).as_str());
            return Exit::Usage;
        }
    }
    let plain = error.render().to_string();
    let message = plain.split("\n\n").next().unwrap_or_default().trim();
    let message = message.strip_prefix("error: ").unwrap_or(message);
    // A message of several lines lists what is missing.
    let message = message.split_whitespace().collect::<Vec<_>>().join(" ");
    let help = [
        ContextKind::SuggestedArg,
        ContextKind::SuggestedSubcommand,
        ContextKind::SuggestedValue,
    ];
    let help = help.into_iter().find_map(|kind| match error.get(kind) {
        Some(ContextValue::String(text)) => Some(text.clone()),
        Some(ContextValue::Strings(all)) => Some(all.join("`, `")),
        _ => None,
    });
    let help = help.map(|help| format!("did you mean `{help}`?"));
    let one = error_document(USAGE, &message, help.as_deref());
    tell(&serde_json::json!({ "errors": [one] }).to_string());
    Exit::Usage
}

/// What clap says of an error, with our code.
fn coded(text: &str) -> String {
    for begin in [
        "\u{1b}[1m\u{1b}[91merror:\u{1b}[0m",
        "\u{1b}[1m\u{1b}[31merror:\u{1b}[0m",
        "error:",
    ] {
        if let Some(rest) = text.strip_prefix(begin) {
            return format!("{begin} [{USAGE}]{rest}");
        }
    }
    text.to_owned()
}

/// Whether a command line that cannot be understood asks for JSON.
fn wants_json(arguments: &[OsString]) -> bool {
    let pairs = arguments
        .windows(2)
        .any(|pair| pair[0] == "--output" && pair[1] == "json");
    pairs || arguments.iter().any(|argument| argument == "--output=json")
}

/// `$WEIR_CACHE_DIR`, `$XDG_CACHE_HOME/weir/components`, else in `~/.cache`; none where there is no
/// home either. A folder of its own: only one that others cannot write to is trusted.
fn default_cache_dir() -> Option<PathBuf> {
    let said = std::env::var_os("WEIR_CACHE_DIR").filter(|dir| !dir.is_empty());
    if let Some(dir) = said {
        return Some(dir.into());
    }
    let xdg = std::env::var_os("XDG_CACHE_HOME")
        .map(PathBuf::from)
        .filter(|p| p.is_absolute());
    let home = || std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".cache"));
    xdg.or_else(home).map(|dir| dir.join("weir/components"))
}

#[cfg(test)]
mod tests;
