//! Where the objects of a job lie in its store: every path is made and read here.
//!
//! ```text
//! <job>/LOCK                                       who runs the job (D28)
//! <job>/epoch-<n>                                  the same where files cannot be locked
//! <job>/BEGIN-<n>                                  where the job began; the highest counts
//! <job>/FINISHED                                   the job has finished (D23)
//! <job>/chk-<n>/_metadata                          written last; without it there is no checkpoint
//! <job>/chk-<n>/<head operator>/<subtask>/state    all that one task wrote (D19)
//! <job>/chk-<n>/<head operator>/<subtask>/channels what was in flight to it (D5)
//! <job>/chk-<n>/_committed                         all its transactions are committed
//! <job>/shared/<head operator>/<subtask>/<n>-<attempt>
//!                                                  what a task wrote for checkpoint <n> and later
//!                                                  ones may go on to use (D11, D12)
//! <job>/chk-<n>/CLAIMED-BY                         whose it is, where another job took it (D24)
//! ```
//!
//! A file is named by its path from the folder of the checkpoint that names it, so that the folder
//! of a job can be moved as a whole: `count/0/state`, `../shared/count/0/7-1`.
//!
//! INVARIANT: every path of a job begins with `<job>/`, and what does not is never taken for one of
//! its own; so a job touches nothing of another.

use weir_model::{Attempt, CheckpointId, JobName, Name, OperatorName, SubtaskIndex};

const METADATA: &str = "_metadata";
pub(crate) const CHANNELS: &str = "channels";
/// With `_` in front, which no name of an operator begins with (D3).
const COMMITTED: &str = "_committed";
/// In capitals, which no name of an operator has.
const CLAIMED: &str = "CLAIMED-BY";
const BEGIN: &str = "BEGIN-";
const EPOCH: &str = "epoch-";
const SHARED: &str = "shared/";
const UP: &str = "../";

/// The paths of one job, relative to the checkpoint directory, `/` between parts.
///
/// ```
/// use weir_checkpoint::JobPaths;
/// use weir_model::{CheckpointId, Name};
///
/// let paths = JobPaths::new(&Name::new("flights").unwrap());
/// assert_eq!(paths.metadata(CheckpointId(7)), "flights/chk-7/_metadata");
/// assert_eq!(paths.checkpoint_of("flights/chk-7/count/0/state"), Some(CheckpointId(7)));
/// assert_eq!(paths.checkpoint_of("other/chk-7/count/0/state"), None);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JobPaths {
    root: String,
}

impl JobPaths {
    /// The paths of `job`.
    #[must_use]
    pub fn new(job: &JobName) -> Self {
        Self {
            root: format!("{job}/"),
        }
    }

    /// The prefix of all objects of the job, `/` at its end.
    #[must_use]
    pub fn root(&self) -> &str {
        &self.root
    }

    /// The prefix of all objects of a checkpoint, `/` at its end.
    #[must_use]
    pub fn checkpoint(&self, id: CheckpointId) -> String {
        format!("{}chk-{id}/", self.root)
    }

    /// The metadata of a checkpoint.
    #[must_use]
    pub fn metadata(&self, id: CheckpointId) -> String {
        self.in_checkpoint(id, METADATA)
    }

    /// The state of one task, relative to its checkpoint: what
    /// [`FileRef::path`](crate::FileRef::path) holds. `head` is the head of the task's chain.
    #[must_use]
    pub fn state_file(head: &OperatorName, subtask: SubtaskIndex) -> String {
        format!("{head}/{subtask}/state")
    }

    /// What was in flight to one task, relative to its checkpoint. It belongs to this checkpoint
    /// alone.
    #[must_use]
    pub fn channels_file(head: &OperatorName, subtask: SubtaskIndex) -> String {
        format!("{head}/{subtask}/{CHANNELS}")
    }

    /// An object of a checkpoint, by its path from there: in its folder, or shared.
    #[must_use]
    pub fn in_checkpoint(&self, id: CheckpointId, path: &str) -> String {
        match path.strip_prefix(UP) {
            Some(beside) => format!("{}{beside}", self.root),
            None => format!("{}chk-{id}/{path}", self.root),
        }
    }

    /// The prefix of all shared files of the job, `/` at its end.
    #[must_use]
    pub fn shared(&self) -> String {
        format!("{}{SHARED}", self.root)
    }

    /// A shared file.
    #[must_use]
    pub fn shared_file(&self, file: &SharedFile) -> String {
        format!("{}{SHARED}{}", self.root, file.inside())
    }

    /// Which shared file an object is, if it is one.
    #[must_use]
    pub fn shared_of(&self, path: &str) -> Option<SharedFile> {
        SharedFile::read(path.strip_prefix(&self.root)?.strip_prefix(SHARED)?)
    }

    /// The mark of a checkpoint that has nothing left to commit, as a path in its folder.
    #[must_use]
    pub fn committed_inside() -> &'static str {
        COMMITTED
    }

    /// The mark of a checkpoint that has nothing left to commit: the job ended with it, and its
    /// results may have been taken away since.
    #[must_use]
    pub fn committed(&self, id: CheckpointId) -> String {
        self.in_checkpoint(id, COMMITTED)
    }

    /// The mark of a checkpoint that a job has claimed, as a path in its folder; it says which job.
    #[must_use]
    pub fn claimed_inside() -> &'static str {
        CLAIMED
    }

    /// The `number`-th record of where the job began; only the highest counts.
    #[must_use]
    pub fn begin(&self, number: u64) -> String {
        format!("{}{BEGIN}{number}", self.root)
    }

    /// The number of a record of where the job began, if an object is one.
    #[must_use]
    pub fn begin_of(&self, path: &str) -> Option<u64> {
        number(path.strip_prefix(&self.root)?.strip_prefix(BEGIN)?)
    }

    /// The file that whoever runs the job has locked.
    #[must_use]
    pub fn lock(&self) -> String {
        format!("{}LOCK", self.root)
    }

    /// Whether an object is the metadata of a checkpoint or savepoint, of any job.
    #[must_use]
    pub fn is_metadata(path: &str) -> bool {
        path.rsplit('/').next() == Some(METADATA)
    }

    /// Whether an object says where the job goes on, or that it does not: only who runs it writes
    /// such.
    #[must_use]
    pub fn is_owners(&self, path: &str) -> bool {
        let is_committed = path.rsplit('/').next() == Some(COMMITTED);
        let is_begin = self.begin_of(path).is_some();
        Self::is_metadata(path) || is_committed || is_begin || path == self.finished()
    }

    /// The `number`-th time that somebody began to run the job; the highest does.
    #[must_use]
    pub fn epoch(&self, number: u64) -> String {
        format!("{}{EPOCH}{number}", self.root)
    }

    /// Which time somebody began to run the job, if an object says so.
    #[must_use]
    pub fn epoch_of(&self, path: &str) -> Option<u64> {
        number(path.strip_prefix(&self.root)?.strip_prefix(EPOCH)?)
    }

    /// The mark of a job that has finished.
    #[must_use]
    pub fn finished(&self) -> String {
        format!("{}FINISHED", self.root)
    }

    /// The checkpoint that an object belongs to; `None` where it belongs to none of this job.
    #[must_use]
    pub fn checkpoint_of(&self, path: &str) -> Option<CheckpointId> {
        self.split(path).map(|(id, _)| id)
    }

    /// The checkpoint that an object is the metadata of, if it is.
    #[must_use]
    pub fn metadata_of(&self, path: &str) -> Option<CheckpointId> {
        self.split(path)
            .filter(|&(_, rest)| rest == METADATA)
            .map(|(id, _)| id)
    }

    /// The checkpoint and the path in it.
    fn split<'a>(&self, path: &'a str) -> Option<(CheckpointId, &'a str)> {
        let (number, rest) = path
            .strip_prefix(&self.root)?
            .strip_prefix("chk-")?
            .split_once('/')?;
        let id = CheckpointId(number.parse().ok()?);
        // One spelling only: `chk-007` and `chk-+7` are nobody's.
        (id.to_string() == number && !rest.is_empty()).then_some((id, rest))
    }
}

/// A number in its one spelling.
fn number(text: &str) -> Option<u64> {
    let number: u64 = text.parse().ok()?;
    (number.to_string() == text).then_some(number)
}

/// A file that can outlive the checkpoint it was written for: later ones build on it.
///
/// ```
/// use weir_checkpoint::SharedFile;
///
/// let file = SharedFile::parse("../shared/count/0/7-1").unwrap();
/// assert_eq!((file.checkpoint.0, file.attempt.0), (7, 1));
/// assert_eq!(file.path(), "../shared/count/0/7-1");
/// assert_eq!(SharedFile::parse("count/0/state"), None);
/// ```
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct SharedFile {
    /// The head of the chain of the task that wrote it.
    pub head: OperatorName,
    /// Which of the task's parallel instances.
    pub subtask: SubtaskIndex,
    /// The checkpoint it was written for: none before it names it.
    pub checkpoint: CheckpointId,
    /// The attempt that wrote it.
    pub attempt: Attempt,
}

impl SharedFile {
    /// Its path from the folder of a checkpoint, as [`FileRef::path`](crate::FileRef::path).
    #[must_use]
    pub fn path(&self) -> String {
        format!("{UP}{SHARED}{}", self.inside())
    }

    /// The shared file that the path of a [`FileRef`](crate::FileRef) names, if it names one.
    #[must_use]
    pub fn parse(path: &str) -> Option<Self> {
        Self::read(path.strip_prefix(UP)?.strip_prefix(SHARED)?)
    }

    fn inside(&self) -> String {
        let Self {
            head,
            subtask,
            checkpoint,
            attempt,
        } = self;
        format!("{head}/{subtask}/{checkpoint}-{attempt}")
    }

    fn read(inside: &str) -> Option<Self> {
        let (head, rest) = inside.split_once('/')?;
        let (subtask, file) = rest.split_once('/')?;
        let (checkpoint, attempt) = file.split_once('-')?;
        let file = Self {
            head: Name::new(head).ok()?,
            subtask: SubtaskIndex(subtask.parse().ok()?),
            checkpoint: CheckpointId(checkpoint.parse().ok()?),
            attempt: Attempt(attempt.parse().ok()?),
        };
        // One spelling only.
        (file.inside() == inside).then_some(file)
    }
}

/// The object of a store that a file of a checkpoint is: `path` is taken from `folder`, that of the
/// checkpoint, which is empty or ends with `/`. `None` where it would lie outside of the store.
///
/// ```
/// use weir_checkpoint::resolve;
///
/// let shared = resolve("flights/chk-9/", "../shared/count/0/7-1");
/// assert_eq!(shared.as_deref(), Some("flights/shared/count/0/7-1"));
/// assert_eq!(resolve("", "../shared/count/0/7-1"), None);
/// ```
#[must_use]
pub fn resolve(folder: &str, path: &str) -> Option<String> {
    let (mut folder, mut path) = (folder, path);
    while let Some(rest) = path.strip_prefix(UP) {
        let inside = folder.strip_suffix('/')?;
        folder = inside
            .rfind('/')
            .and_then(|at| inside.get(..=at))
            .unwrap_or("");
        path = rest;
    }
    Some(format!("{folder}{path}"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn paths(job: &str) -> JobPaths {
        JobPaths::new(&Name::new(job).unwrap())
    }

    proptest! {
        #[test]
        fn what_is_made_is_read_back(n in any::<u64>(), subtask in any::<u32>()) {
            let (job, id) = (paths("a"), CheckpointId(n));
            let state = JobPaths::state_file(&Name::new("count").unwrap(), SubtaskIndex(subtask));
            for path in [job.metadata(id), job.in_checkpoint(id, &state)] {
                prop_assert_eq!(job.checkpoint_of(&path), Some(id));
                prop_assert!(path.starts_with(&job.checkpoint(id)));
                prop_assert_eq!(paths("ab").checkpoint_of(&path), None);
                prop_assert_eq!(paths("chk-1").checkpoint_of(&path), None);
            }
            prop_assert_eq!(job.metadata_of(&job.metadata(id)), Some(id));
            prop_assert_eq!(job.metadata_of(&job.in_checkpoint(id, &state)), None);
        }

        #[test]
        fn shared_files_are_read_back_from_both_of_their_paths(
            numbers in any::<(u32, u64, u32, u64)>(),
        ) {
            let (job, id) = (paths("a"), CheckpointId(numbers.3));
            let file = SharedFile {
                head: Name::new("count").unwrap(),
                subtask: SubtaskIndex(numbers.0),
                checkpoint: CheckpointId(numbers.1),
                attempt: Attempt(numbers.2),
            };
            let object = job.shared_file(&file);
            prop_assert!(object.starts_with(&job.shared()));
            prop_assert_eq!(job.shared_of(&object), Some(file.clone()));
            prop_assert_eq!(job.checkpoint_of(&object), None);
            prop_assert_eq!(paths("b").shared_of(&object), None);
            prop_assert_eq!(SharedFile::parse(&file.path()), Some(file.clone()));
            // Whoever looks from the folder of a checkpoint finds the same object.
            prop_assert_eq!(&job.in_checkpoint(id, &file.path()), &object);
            prop_assert_eq!(resolve(&job.checkpoint(id), &file.path()), Some(object));
        }

        #[test]
        fn no_text_is_too_odd_to_be_refused(path in any::<String>()) {
            prop_assert_eq!(paths("a").checkpoint_of(&path), None);
            prop_assert_eq!(paths("a").shared_of(&path), None);
            prop_assert_eq!(SharedFile::parse(&path), None);
        }
    }

    #[test]
    fn only_the_one_spelling_is_a_shared_file() {
        for inside in [
            "",
            "count",
            "count/0",
            "count/0/7",
            "count/0/7-",
            "count/0/-1",
            "count/0/7-1/x",
            "count/00/7-1",
            "count/0/07-1",
            "count/0/7-01",
            "count/0/+7-1",
            "Count/0/7-1",
            "/0/7-1",
            "../0/7-1",
        ] {
            assert_eq!(
                paths("a").shared_of(&format!("a/shared/{inside}")),
                None,
                "{inside}"
            );
            assert_eq!(
                SharedFile::parse(&format!("../shared/{inside}")),
                None,
                "{inside}"
            );
        }
    }

    #[test]
    fn a_path_leads_nowhere_outside_of_the_store() {
        assert_eq!(
            resolve("a/chk-1/", "x/0/state").unwrap(),
            "a/chk-1/x/0/state"
        );
        assert_eq!(resolve("", "x/0/state").unwrap(), "x/0/state");
        assert_eq!(resolve("chk-1/", "../shared/x").unwrap(), "shared/x");
        assert_eq!(resolve("a/chk-1/", "../../b").unwrap(), "b");
        assert_eq!(resolve("a/chk-1/", "../../../b"), None);
    }

    #[test]
    fn who_runs_a_job_is_read_back_by_number() {
        let job = paths("a");
        assert_eq!(job.epoch_of(&job.epoch(12)), Some(12));
        for path in ["a/epoch-", "a/epoch-01", "a/epoch-1/x", "b/epoch-1"] {
            assert_eq!(job.epoch_of(path), None, "{path}");
        }
    }

    #[test]
    fn where_a_job_began_is_read_back_by_its_number() {
        let job = paths("a");
        assert_eq!(job.begin_of(&job.begin(12)), Some(12));
        for path in [
            "a/BEGIN",
            "a/BEGIN-",
            "a/BEGIN-x",
            "a/BEGIN-01",
            "b/BEGIN-1",
        ] {
            assert_eq!(job.begin_of(path), None, "{path}");
        }
    }

    #[test]
    fn only_the_one_spelling_is_a_checkpoint() {
        let job = paths("a");
        for path in [
            "a/chk-",
            "a/chk-/x",
            "a/chk-1",
            "a/chk-1/",
            "a/chk-01/x",
            "a/chk-+1/x",
            "a/chk--1/x",
            "a/chk-1x/x",
            "a/chk-99999999999999999999/x",
            "a/LOCK",
            "/a/chk-1/x",
            "b/a/chk-1/x",
        ] {
            assert_eq!(job.checkpoint_of(path), None, "{path}");
        }
        assert_eq!(job.checkpoint_of("a/chk-1/x"), Some(CheckpointId(1)));
    }
}
