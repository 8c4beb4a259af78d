//! `weir checkpoints verify`: whether checkpoints are whole.

use std::path::PathBuf;

use clap::Args;
use serde_json::{Value, json};

use super::{Unread, count, place, unread};
use crate::{
    cli::{Output, Shared},
    exit::Exit,
    render::{Bar, error_document, say, size, tell},
    saved::{JobListing, Listed, Place, Problem, State, Told, Verified, verify},
    storage::{DAMAGED, Folder, NO_STORAGE},
};

/// Reads all of a checkpoint, or of all that there are, and says whether it is whole.
///
/// Each file is compared with the length and the checksum in the metadata, and its state is read
/// as a restore reads it. The exit code is 1 where something is damaged or cannot be read.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  weir checkpoints verify checkpoints/flights/chk-7
  weir checkpoints verify job.yaml
  weir checkpoints verify checkpoints --output json")]
pub(super) struct Verify {
    /// A checkpoint, a job file, a checkpoint directory, or the folder of a job in it.
    #[arg(value_name = "CHECKPOINT|JOB|DIR")]
    path: PathBuf,
}

/// What is said of one checkpoint.
struct Finding {
    path: Folder,
    verdict: Verdict,
}

enum Verdict {
    Whole {
        files: usize,
        bytes: u64,
    },
    Incomplete,
    Damaged(Vec<Problem>),
    /// What of it cannot be read now.
    Unreadable(Vec<Problem>),
}

impl Verify {
    pub(super) fn run(self, shared: &Shared) -> Exit {
        let place = match place(&self.path, shared) {
            Ok(place) => place,
            Err(exit) => return exit,
        };
        let mut findings = Vec::new();
        // How the user names the job file, as far as that is known.
        let file = match self.path.is_file() {
            true => self.path.display().to_string(),
            false => "JOB".to_owned(),
        };
        // What can be done about what is damaged, job by job.
        let mut advice = Vec::new();
        // Folders of jobs that cannot be read.
        let mut unreadable = Vec::new();
        match place {
            Place::Checkpoint(path) => {
                let finding = look(&path, shared);
                if let Some(Finding {
                    verdict: Verdict::Damaged(_),
                    ..
                }) = &finding
                {
                    advice.push(format!(
                        "`weir checkpoints verify {}` says which others are whole",
                        path.split().map_or(path.clone(), |(parent, _)| parent)
                    ));
                }
                findings.extend(finding);
            }
            Place::Jobs(jobs) => {
                for job in &jobs {
                    match JobListing::of(job, &shared.stores) {
                        Err(e) => unreadable.push(unread(&job.path, &e)),
                        Ok(listing) => {
                            let found = look_at_all(&listing, shared);
                            advice.extend(what_to_do(&listing, &found, &file));
                            findings.extend(found);
                        }
                    }
                }
            }
        }
        print(&findings, &advice, unreadable, shared)
    }
}

/// Verifies all checkpoints of a job.
fn look_at_all(listing: &JobListing, shared: &Shared) -> Vec<Finding> {
    let one = |listed: &Listed| match listed.state {
        State::Incomplete => Some(Finding {
            path: listed.path.clone(),
            verdict: Verdict::Incomplete,
        }),
        State::Complete(_) | State::Damaged(_) | State::Unreadable(_) => look(&listed.path, shared),
    };
    listing.checkpoints.iter().filter_map(one).collect()
}

/// Verifies one checkpoint; nothing where it was removed meanwhile.
fn look(path: &Folder, shared: &Shared) -> Option<Finding> {
    let _bar = Bar::begin(format!("reading {path}"), shared.terminal);
    let verdict = match verify(path, &shared.stores) {
        Verified::Gone => return None,
        Verified::Damaged(problems) => Verdict::Damaged(problems),
        Verified::Unreadable(problems) => Verdict::Unreadable(problems),
        Verified::Whole(saved) => Verdict::Whole {
            files: saved.metadata.files().len(),
            bytes: saved.size(),
        },
    };
    Some(Finding {
        path: path.clone(),
        verdict,
    })
}

/// What can be done about the damaged checkpoints of a job; `file` is its job file.
fn what_to_do(listing: &JobListing, findings: &[Finding], file: &str) -> Option<String> {
    let is_damaged = |finding: &&Finding| matches!(finding.verdict, Verdict::Damaged(_));
    let is_whole = |finding: &&Finding| matches!(finding.verdict, Verdict::Whole { .. });
    findings.iter().find(is_damaged)?;
    let job = &listing.job;
    // What a plain start goes on from.
    let latest = match &listing.told {
        Some(Told::Own(_, path)) => Some(path),
        Some(Told::Anew | Told::Elsewhere(_) | Told::Damaged(_)) => None,
        None => {
            let is_one = |f: &&Finding| !matches!(f.verdict, Verdict::Incomplete);
            findings.iter().rfind(is_one).map(|latest| &latest.path)
        }
    };
    let is_latest = |finding: &&Finding| latest == Some(&finding.path) && is_whole(finding);
    if let Some(latest) = findings.iter().find(is_latest)
        && listing.finished.is_none()
    {
        return Some(format!(
            "job `{job}` goes on from {}, which is whole: nothing is to be done",
            latest.path
        ));
    }
    match &listing.told {
        _ if listing.finished.is_some() => {}
        Some(Told::Anew) => {
            return Some(format!(
                "job `{job}` was told to begin anew and goes on from none of them"
            ));
        }
        Some(Told::Elsewhere(place)) => {
            return Some(format!(
                "job `{job}` was told to begin at {place} and goes on from none of them"
            ));
        }
        None | Some(Told::Own(..) | Told::Damaged(_)) => {}
    }
    Some(match findings.iter().rfind(is_whole) {
        _ if listing.finished.is_some() => {
            format!("job `{job}` has finished and goes on from none of them")
        }
        Some(whole) => format!(
            "`weir run {file} --restore {}` takes job `{job}` back to the latest that is whole; \
             what sinks have shown since then comes again",
            whole.path
        ),
        None => {
            format!("none of job `{job}` is whole: `weir run {file} --restore none` begins anew")
        }
    })
}

fn print(
    findings: &[Finding],
    advice: &[String],
    mut unreadable: Vec<Unread>,
    shared: &Shared,
) -> Exit {
    let (damaged, message) = damage(findings);
    unreadable.extend(findings.iter().filter_map(unread_text));
    let help = (!advice.is_empty()).then(|| advice.join("; "));
    match shared.output {
        Output::Text => {
            let lines: Vec<String> = findings.iter().flat_map(text).collect();
            if !lines.is_empty() {
                tell(&lines.join("\n"));
            }
            if damaged > 0 {
                say(&format!("error: [{DAMAGED}] {message}"));
                advice
                    .iter()
                    .for_each(|advice| say(&format!("  help: {advice}")));
            }
            for (code, message) in &unreadable {
                say(&format!("error: [{code}] {message}"));
            }
        }
        Output::Json => {
            let one = error_document(DAMAGED, &message, help.as_deref());
            let mut errors = if damaged > 0 { vec![one] } else { Vec::new() };
            let unread = |(code, message): &Unread| error_document(code, message, None);
            errors.extend(unreadable.iter().map(unread));
            let all: Vec<Value> = findings.iter().map(document).collect();
            tell(&json!({ "checkpoints": all, "errors": errors }).to_string());
        }
    }
    if damaged > 0 || !unreadable.is_empty() {
        Exit::Failed
    } else {
        Exit::Done
    }
}

/// What is said of a checkpoint that cannot be read, if it is one.
fn unread_text(finding: &Finding) -> Option<Unread> {
    match &finding.verdict {
        Verdict::Unreadable(problems) => {
            let files: Vec<_> = problems.iter().map(|p| p.file.as_str()).collect();
            let message = format!("{} cannot be read: {}", finding.path, files.join(", "));
            Some((NO_STORAGE, message))
        }
        Verdict::Whole { .. } | Verdict::Incomplete | Verdict::Damaged(_) => None,
    }
}

/// How many are damaged, and how that is said.
fn damage(findings: &[Finding]) -> (usize, String) {
    let damaged = findings
        .iter()
        .filter_map(|finding| match &finding.verdict {
            Verdict::Damaged(problems) => Some((&finding.path, problems)),
            Verdict::Whole { .. } | Verdict::Incomplete | Verdict::Unreadable(_) => None,
        });
    let damaged: Vec<_> = damaged.collect();
    let message = match &damaged[..] {
        [(path, problems)] => {
            let files: Vec<_> = problems.iter().map(|p| p.file.as_str()).collect();
            format!("{path} is damaged: {}", files.join(", "))
        }
        all => {
            let paths: Vec<_> = all.iter().map(|(path, _)| path.to_string()).collect();
            format!(
                "{} checkpoints are damaged: {}",
                all.len(),
                paths.join(", ")
            )
        }
    };
    (damaged.len(), message)
}

fn text(finding: &Finding) -> Vec<String> {
    let path = &finding.path;
    match &finding.verdict {
        Verdict::Whole { files, bytes } => {
            vec![format!(
                "{path}: whole, {} in {}",
                size(*bytes),
                count(*files, "file", "files")
            )]
        }
        Verdict::Incomplete => vec![format!("{path}: incomplete, not used")],
        Verdict::Damaged(problems) | Verdict::Unreadable(problems) => {
            let verdict = match finding.verdict {
                Verdict::Damaged(_) => "damaged",
                _ => "cannot be read",
            };
            let each = problems.iter().map(|p| format!("  {}: {}", p.file, p.what));
            std::iter::once(format!("{path}: {verdict}"))
                .chain(each)
                .collect()
        }
    }
}

fn document(finding: &Finding) -> Value {
    let (state, files, bytes, problems) = match &finding.verdict {
        Verdict::Whole { files, bytes } => ("whole", Some(files), Some(bytes), &[][..]),
        Verdict::Incomplete => ("incomplete", None, None, &[][..]),
        Verdict::Damaged(problems) => ("damaged", None, None, problems.as_slice()),
        Verdict::Unreadable(problems) => ("unreadable", None, None, problems.as_slice()),
    };
    let problem = |p: &Problem| json!({ "file": p.file, "message": p.what });
    json!({
        "path": finding.path.to_string(),
        "state": state,
        "files": files,
        "size_bytes": bytes,
        "problems": problems.iter().map(problem).collect::<Vec<_>>(),
    })
}
