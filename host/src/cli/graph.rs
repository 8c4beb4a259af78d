//! `weir graph`: the plan of a job as text or as a picture; starts nothing.

use clap::{Args, ValueEnum};
use weir_graph::{Notes, dot, svg};
use weir_job_file::{SinkConnector, SourceConnector};

use super::{JobArgs, Output, Shared, USAGE};
use crate::{
    assemble::{Assembly, assemble},
    exit::Exit,
    load::{load, refuse},
    render::{error, plan_document, plan_text, tell},
};

/// Draws the plan of a job: its chains of operators, and the edges between them.
///
/// What is in one box runs as one task in each of so many subtasks; edges say how rows are dealt
/// out to the subtasks behind them. Components are loaded, as by `check`; nothing is started.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  weir graph job.yaml
  weir graph job.yaml --format svg > plan.svg
  weir graph job.yaml --format dot --set parallelism=8 | dot -Tpdf > plan.pdf")]
pub(crate) struct Graph {
    #[command(flatten)]
    job: JobArgs,

    /// How the plan is drawn [default: text].
    #[arg(long, value_enum)]
    format: Option<Format>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    /// Lines, as `weir check` prints them.
    Text,
    /// The language of Graphviz.
    Dot,
    /// A picture for a browser or a document, light and dark.
    Svg,
}

impl Graph {
    pub(crate) fn run(self, shared: &Shared) -> Exit {
        if let (Some(_), Output::Json) = (self.format, shared.output) {
            let message = "`--format` and `--output json` exclude each other";
            let help = "`--output json` alone gives the plan as JSON";
            error(shared, USAGE, message, Some(help));
            return Exit::Usage;
        }
        let assembly = match load(&self.job, shared).and_then(|job| assemble(job, shared)) {
            Ok(assembly) => assembly,
            Err(diagnostics) => return refuse(&diagnostics, shared),
        };
        let plan = &assembly.deployment.plan;
        match (shared.output, self.format) {
            (Output::Json, _) => {
                let mut document = plan_document(plan, &notes(&assembly));
                document["errors"] = serde_json::json!([]);
                tell(&document.to_string());
            }
            (Output::Text, None | Some(Format::Text)) => tell(&plan_text(plan)),
            (Output::Text, Some(Format::Dot)) => tell(dot(plan, &notes(&assembly)).trim_end()),
            (Output::Text, Some(Format::Svg)) => tell(svg(plan, &notes(&assembly)).trim_end()),
        }
        Exit::Done
    }
}

/// What a picture says of each node besides its name.
pub(super) fn notes(assembly: &Assembly) -> Notes {
    let mut notes = Notes::default();
    for (name, source) in &assembly.job.sources {
        let note = match &source.connector {
            SourceConnector::File(file) => format!("file {}", file.pattern),
            SourceConnector::Socket(socket) => format!("socket {}", socket.address),
            SourceConnector::Generator(_) => "generator".to_owned(),
        };
        notes.nodes.insert(name.clone(), note);
    }
    for (name, operator) in &assembly.job.operators {
        let note = match &operator.component {
            Some(component) => {
                let file = component.file_name().unwrap_or_default();
                file.to_string_lossy().into_owned()
            }
            None => "join".to_owned(),
        };
        notes.nodes.insert(name.clone(), note);
        if let Some(deployed) = assembly.deployment.operators.get(name) {
            let side = deployed.factory.descriptor().side_outputs.clone();
            notes.outputs.insert(name.clone(), side);
        }
    }
    for (name, sink) in &assembly.job.sinks {
        let note = match &sink.connector {
            SinkConnector::File(file) => {
                let folder = file.folder.file_name().unwrap_or(file.folder.as_os_str());
                format!("file {}/", folder.to_string_lossy())
            }
            SinkConnector::Postgres(sink) => format!("postgres {}", sink.table),
            SinkConnector::Stdout => "stdout".to_owned(),
        };
        notes.nodes.insert(name.clone(), note);
    }
    notes
}
