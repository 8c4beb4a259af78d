//! What a job guarantees, for people and for programs.

use serde_json::{Value, json};

use crate::guarantee::{Guarantees, OfPart, OfSink};

/// What each part guarantees, what holds from end to end, and what keeps it from more.
pub(crate) fn guarantees_text(guarantees: &Guarantees) -> Vec<String> {
    let line = |part: &OfPart| {
        let name = part.name.as_ref().map_or("", |name| name.as_str());
        let what = format!("{} {name}", part.part.as_str());
        format!(
            "  {:<22} {:<14} {}",
            what.trim_end(),
            part.level,
            part.because
        )
    };
    let mut lines = vec!["guarantees".to_owned()];
    lines.extend(guarantees.sources.iter().map(line));
    lines.push(line(&guarantees.checkpoints));
    for sink in &guarantees.sinks {
        lines.push(line(&sink.own));
        if sink.end_to_end < sink.own.level {
            let why = links(&sink.weakest);
            lines.push(format!(
                "  {:<22} {:<14} from end to end, because of {why}",
                "", sink.end_to_end
            ));
        }
    }
    let weakest = match links(&guarantees.weakest).as_str() {
        "" => "from end to end".to_owned(),
        links => format!("from end to end; weakest link: {links}"),
    };
    lines.push(format!("  {:<22} {:<14} {weakest}", "job", guarantees.job));
    lines
}

/// The parts by name.
fn links(parts: &[OfPart]) -> String {
    let one = |part: &OfPart| match &part.name {
        Some(name) => format!("{} `{name}`", part.part.as_str()),
        None => part.part.as_str().to_owned(),
    };
    parts.iter().map(one).collect::<Vec<_>>().join(", ")
}

/// The same for programs.
pub(crate) fn guarantees_document(guarantees: &Guarantees) -> Value {
    let part = |part: &OfPart| {
        json!({
            "part": part.part.as_str(),
            "name": part.name.as_ref().map(|name| name.as_str()),
            "guarantee": part.level.as_str(),
            "because": part.because,
        })
    };
    let parts = |all: &[OfPart]| all.iter().map(part).collect::<Vec<_>>();
    let sink = |sink: &OfSink| {
        let mut document = part(&sink.own);
        document["end_to_end"] = json!(sink.end_to_end.as_str());
        document["sources"] = sink.sources.iter().map(|name| name.as_str()).collect();
        document["weakest"] = json!(parts(&sink.weakest));
        document
    };
    json!({
        "sources": parts(&guarantees.sources),
        "checkpoints": part(&guarantees.checkpoints),
        "sinks": guarantees.sinks.iter().map(sink).collect::<Vec<_>>(),
        "end_to_end": guarantees.job.as_str(),
        "weakest": parts(&guarantees.weakest),
    })
}
