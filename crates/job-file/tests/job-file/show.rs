//! A job as text: all that its file came to, defaults included, and the plan.

use std::fmt::Write as _;

use weir_graph::{LogicalGraph, plan};
use weir_job_file::{
    FileSource, HostFile, Input, JobFile, Key, Partitioning, SinkConnector, SocketSource,
    SourceConnector, TestFile, Timestamp,
};

/// What a host file has in it that is no key of job files.
pub(crate) fn host(host: &HostFile) -> String {
    let mut text = String::new();
    let out = &mut text;
    line(out, 0, "bounds", &format!("{:?}", host.bounds));
    if host.s3 != weir_job_file::S3Access::default() {
        line(out, 0, "s3", &format!("{:?}", host.s3));
    }
    for note in &host.notes {
        line(out, 0, "note", note);
    }
    text
}

/// The operator of a test, and its cases.
pub(crate) fn test(test: &TestFile) -> String {
    let mut text = String::new();
    let out = &mut text;
    line(out, 0, "operator", &test.operator);
    if let Some(operator) = test.job.operators.get(&test.operator) {
        let component = operator.component.iter();
        component.for_each(|path| line(out, 1, "component", &path.display()));
        line(out, 1, "config", &operator.config);
        line(out, 1, "on-error", &format!("{:?}", operator.on_error));
        line(out, 1, "limits", &format!("{:?}", operator.limits));
        for input in &operator.inputs {
            line(out, 1, "input", &show_input(input));
        }
    }
    line(out, 0, "backend", &format!("{:?}", test.job.backend));
    line(out, 0, "start", &test.start.0);
    for (source, header) in &test.headers {
        line(out, 0, "header", &format!("{source}: {header:?}"));
    }
    for case in &test.cases {
        line(out, 0, "case", &case.name);
        line(out, 1, "parallelism", &case.parallelism);
        for step in &case.steps {
            line(out, 1, "step", &without_places(&format!("{:?}", step.step)));
        }
    }
    text
}

/// Where things are written is shown by errors.
fn without_places(text: &str) -> String {
    let mut parts = text.split("TestPlace(Span {");
    let mut shown = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        shown.push('@');
        shown.push_str(part.split_once("})").map_or("", |(_, rest)| rest));
    }
    shown.replace(", place: @", "")
}

fn operators(out: &mut String, job: &JobFile) {
    for (name, operator) in &job.operators {
        line(out, 0, "operator", name);
        line(out, 1, "parallelism", &operator.parallelism);
        let component = operator.component.iter();
        component.for_each(|path| line(out, 1, "component", &path.display()));
        let join = operator.join.iter();
        join.for_each(|join| line(out, 1, "join", &format!("{join:?}")));
        show_kind(operator, out);
        for input in &operator.inputs {
            line(out, 1, "input", &show_input(input));
        }
        line(out, 1, "config", &operator.config);
        line(out, 1, "on-error", &format!("{:?}", operator.on_error));
        line(out, 1, "chain", &operator.chain);
        line(out, 1, "limits", &format!("{:?}", operator.limits));
    }
}

/// The job and its plan.
pub(crate) fn job(job: &JobFile, graph: &LogicalGraph) -> String {
    let mut text = String::new();
    let out = &mut text;
    line(out, 0, "job", &job.job);
    line(out, 1, "parallelism", &job.parallelism);
    line(out, 1, "max-parallelism", &job.max_parallelism());
    line(out, 1, "backend", &format!("{:?}", job.backend));
    line(out, 1, "checkpoint", &format!("{:?}", job.checkpoint));
    line(out, 1, "restart", &format!("{:?}", job.restart));
    for from in &job.from_host {
        let place = format!("{} {} ({}:{})", from.key, from.value, from.file, from.line);
        line(out, 1, "from the host", &place);
    }
    for note in &job.notes {
        line(out, 1, "note", note);
    }
    if job.allow_non_restored_state {
        line(out, 1, "allow-non-restored-state", &true);
    }
    for (new, old) in job.renamed_from() {
        line(out, 1, "renamed", &format!("{new} from {old}"));
    }
    for (name, source) in &job.sources {
        line(out, 0, "source", name);
        line(out, 1, "parallelism", &source.parallelism);
        line(out, 1, "rate", &format!("{:?}", source.rate));
        if let Some(watermark) = &source.watermark {
            line(out, 1, "watermark", &format!("{watermark:?}"));
        }
        let connector = match &source.connector {
            SourceConnector::File(file) => show_file(file),
            SourceConnector::Socket(socket) => show_socket(socket),
            SourceConnector::Generator(generator) => format!("{generator:?}"),
        };
        line(out, 1, "connector", &connector);
    }
    operators(out, job);
    for (name, sink) in &job.sinks {
        line(out, 0, "sink", name);
        line(out, 1, "parallelism", &sink.parallelism);
        let input = sink.input.as_ref();
        let input = input.map_or("dead letters".to_owned(), show_input);
        line(out, 1, "input", &input);
        let connector = match &sink.connector {
            SinkConnector::File(file) => format!("{file:?}"),
            SinkConnector::Postgres(sink) => format!("{sink:?}"),
            SinkConnector::Stdout => "Stdout".to_owned(),
        };
        line(out, 1, "connector", &connector);
    }
    let _ = match plan(graph) {
        Ok(plan) => writeln!(out, "plan\n{plan}"),
        Err(error) => writeln!(out, "no plan: {error}"),
    };
    text
}

fn show_kind(operator: &weir_job_file::Operator, out: &mut String) {
    if let Some(windows) = &operator.windows {
        line(out, 1, "window", &format!("{windows:?}"));
    }
    if let Some(waiting) = &operator.waiting {
        line(out, 1, "async", &format!("{waiting:?}"));
    }
    for grant in &operator.grants {
        line(out, 1, "grant", grant);
    }
}

fn line(out: &mut String, level: usize, what: &str, value: &dyn std::fmt::Display) {
    let _ = writeln!(out, "{}{what}: {value}", "  ".repeat(level));
}

/// All but the places in the file, which every change of a case would move.
fn show_file(file: &FileSource) -> String {
    let FileSource {
        pattern,
        base,
        format,
        follow,
        on_error,
        timestamp,
    } = file;
    let timestamp = show_timestamp(timestamp.as_ref());
    format!(
        "file {pattern:?} from {base:?}, {format:?}, follow {follow}, on error {on_error:?}, \
         timestamp {timestamp:?}"
    )
}

fn show_socket(socket: &SocketSource) -> String {
    let SocketSource {
        address,
        format,
        on_error,
        timestamp,
        at_end,
        reconnect,
    } = socket;
    let timestamp = show_timestamp(timestamp.as_ref());
    format!(
        "socket {address:?}, {format:?}, on error {on_error:?}, timestamp {timestamp:?}, at end \
         {at_end:?}, {reconnect:?}"
    )
}

fn show_timestamp(timestamp: Option<&Timestamp>) -> Option<String> {
    timestamp.map(|time| format!("{:?} in {:?}", time.place, time.unit))
}

fn show_input(input: &Input) -> String {
    let side = input.side_output.as_ref();
    let side = side.map_or(String::new(), |side| format!(".{side}"));
    let how = match &input.partitioning {
        Partitioning::Automatic => "automatic".to_owned(),
        Partitioning::Forward => "forward".to_owned(),
        Partitioning::Rebalance => "rebalance".to_owned(),
        Partitioning::Broadcast => "broadcast".to_owned(),
        Partitioning::Global => "global".to_owned(),
        Partitioning::Key(Key::Row) => "by the row".to_owned(),
        Partitioning::Key(Key::Bytes { offset, length }) => {
            format!("by {length} bytes from {offset} on")
        }
        Partitioning::Key(Key::Columns(columns)) => format!("by {columns:?}"),
        Partitioning::Key(Key::Json(pointers)) => {
            let all: Vec<_> = pointers.iter().map(|pointer| pointer.as_str()).collect();
            format!("by {all:?}")
        }
    };
    format!("{}{side}, {how}", input.from)
}
