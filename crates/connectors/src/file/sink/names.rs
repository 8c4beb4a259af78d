//! The names of the sink's files, made and recognised (D21).
//!
//! INVARIANT: what is not exactly of these forms is somebody else's and never touched.

use weir_model::{Attempt, CheckpointId, JobName, SinkName, SubtaskIndex};

/// Makes and recognises the names of the open files of one job and sink:
/// `.<job>-<sink>-<attempt>-<subtask>-<seq>.open`.
#[derive(Clone, Debug)]
pub(super) struct OpenNames {
    prefix: String,
}

impl OpenNames {
    const SUFFIX: &str = ".open";

    pub(super) fn new(job: &JobName, sink: &SinkName) -> Self {
        Self {
            prefix: format!(".{job}-{sink}-"),
        }
    }

    /// The name of the file number `seq` of a writer.
    pub(super) fn name(&self, attempt: Attempt, subtask: SubtaskIndex, seq: u64) -> String {
        format!("{}{attempt}-{subtask}-{seq}{}", self.prefix, Self::SUFFIX)
    }

    /// Whether `name` is one of this job's and sink's. Sink `a` does not take the files of sink
    /// `a-1` for its own: there must be three numbers, no more.
    pub(super) fn is_ours(&self, name: &str) -> bool {
        let numbers = name
            .strip_prefix(&self.prefix)
            .and_then(|rest| rest.strip_suffix(Self::SUFFIX));
        numbers.is_some_and(|text| {
            text.split('-').count() == 3 && text.split('-').all(|n| number(n, 1).is_some())
        })
    }
}

/// A file with a final name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Part {
    pub(super) name: String,
    pub(super) checkpoint: u64,
}

impl Part {
    /// Recognises `part-<checkpoint>-<subtask>-<seq>.<ext>`, with any ending: what another run
    /// wrote counts too.
    pub(super) fn parse(name: &str) -> Option<Self> {
        let (stem, ext) = name.strip_prefix("part-")?.split_once('.')?;
        let mut numbers = stem.split('-');
        let checkpoint = number(numbers.next()?, 8)?;
        let rest = (
            number(numbers.next()?, 3)?,
            number(numbers.next()?, 3)?,
            numbers.next(),
        );
        (rest.2.is_none() && !ext.is_empty()).then(|| Self {
            name: name.to_owned(),
            checkpoint,
        })
    }
}

/// The final name: number of the checkpoint, subtask, number of the file in both.
pub(super) fn final_name(
    checkpoint: CheckpointId,
    subtask: SubtaskIndex,
    seq: u64,
    ext: &str,
) -> String {
    format!("part-{:08}-{:03}-{seq:03}.{ext}", checkpoint.0, subtask.0)
}

/// Whether `name` may be an open file's, of any job and sink.
pub(super) fn looks_open(name: &str) -> bool {
    name.starts_with('.') && name.ends_with(OpenNames::SUFFIX)
}

/// Says what is wrong with an ending.
pub(super) fn check_ext(ext: &str) -> Result<(), String> {
    let fits = |b: u8| b.is_ascii_alphanumeric() || b"._-".contains(&b);
    if ext.is_empty() || ext.starts_with('.') || !ext.bytes().all(fits) {
        return Err(format!(
            "`{ext}` is not an ending: letters, digits, `-`, `_` and `.`, without a leading dot"
        ));
    }
    Ok(())
}

/// A number of at least `digits` digits and nothing else.
fn number(text: &str, digits: usize) -> Option<u64> {
    let all_digits = text.bytes().all(|b| b.is_ascii_digit());
    (text.len() >= digits && all_digits).then(|| text.parse().ok())?
}

#[cfg(test)]
mod tests {
    use weir_model::Name;

    use super::*;

    fn names(job: &str, sink: &str) -> OpenNames {
        OpenNames::new(&Name::new(job).unwrap(), &Name::new(sink).unwrap())
    }

    #[test]
    fn open_names_are_told_apart() {
        let ours = names("job", "out");
        let name = ours.name(Attempt(3), SubtaskIndex(1), 17);
        assert_eq!(name, ".job-out-3-1-17.open");
        assert!(ours.is_ours(&name));
        let foreign = [
            ".job-out-1-3-1-17.open",
            ".job-out-3-1.open",
            ".job-out-3-1-x.open",
            ".job-out-3-1-.open",
            ".job-out-3-1-17.open.bak",
            "job-out-3-1-17.open",
            ".job-other-3-1-17.open",
        ];
        for name in foreign {
            assert!(!ours.is_ours(name), "{name}");
        }
        assert!(names("job", "out-1").is_ours(foreign[0]));
    }

    #[test]
    fn final_names_are_recognised() {
        let name = final_name(CheckpointId(42), SubtaskIndex(1), 2, "jsonl");
        assert_eq!(name, "part-00000042-001-002.jsonl");
        assert_eq!(Part::parse(&name).unwrap().checkpoint, 42);
        let long = final_name(CheckpointId(1 << 40), SubtaskIndex(1000), 1000, "csv.zst");
        assert_eq!(Part::parse(&long).unwrap().checkpoint, 1 << 40);
        for foreign in [
            "part-00000042-001-002",
            "part-42-001-002.jsonl",
            "part-00000042-001.jsonl",
            "part-00000042-001-002-003.jsonl",
            "part-00000042-001-002.",
            "part-0000004x-001-002.jsonl",
            "part-00000042-001-+02.jsonl",
            "parts.txt",
        ] {
            assert_eq!(Part::parse(foreign), None, "{foreign}");
        }
    }
}
