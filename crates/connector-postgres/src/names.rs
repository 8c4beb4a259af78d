//! The names by which what is on the server is known as ours: prepared transactions, sessions, the
//! writer that a mark belongs to.
//!
//! INVARIANT: no transaction of one job and sink has a name that begins as those of another do. The
//! names of jobs and sinks hold no `:` (D3), and have at most 63 bytes.

use std::{
    hash::{BuildHasher, RandomState},
    time::SystemTime,
};

use weir_model::{CheckpointId, JobName, SinkName, SubtaskIndex};
use xxhash_rust::xxh3::xxh3_64;

/// PostgreSQL refuses longer names of prepared transactions.
const GID_BYTES_MAX: usize = 199;
/// PostgreSQL cuts longer names of sessions off.
const APPLICATION_BYTES_MAX: usize = 63;

/// What the names of all prepared transactions of a job and sink begin with.
pub(crate) fn gid_prefix(job: &JobName, sink: &SinkName) -> String {
    format!("weir:{job}:{sink}:")
}

/// The name of a prepared transaction. The writer makes it one of its kind.
pub(crate) fn gid(
    job: &JobName,
    sink: &SinkName,
    subtask: SubtaskIndex,
    checkpoint: CheckpointId,
    writer: &str,
) -> String {
    let gid = format!("{}{subtask}:{checkpoint}:{writer}", gid_prefix(job, sink));
    debug_assert!(gid.len() <= GID_BYTES_MAX, "{gid}");
    gid
}

/// Whether a name can be that of a prepared transaction of this job, whatever the sink was called
/// when it was prepared.
pub(crate) fn is_of_job(gid: &str, job: &JobName) -> bool {
    gid.len() <= GID_BYTES_MAX && gid.starts_with(&format!("weir:{job}:"))
}

/// Whether a name can be that of a prepared transaction of this job and sink.
pub(crate) fn is_gid(gid: &str, job: &JobName, sink: &SinkName) -> bool {
    gid.len() <= GID_BYTES_MAX && gid.starts_with(&gid_prefix(job, sink))
}

/// The name that all sessions of a job and sink have; where it would be cut off, a hash stands for
/// what is left out.
pub(crate) fn application(job: &JobName, sink: &SinkName) -> String {
    let whole = format!("weir:{job}:{sink}");
    if whole.len() <= APPLICATION_BYTES_MAX {
        return whole;
    }
    let hash = format!("#{:016x}", xxh3_64(whole.as_bytes()));
    // Names are ASCII (D3).
    let kept: String = whole
        .chars()
        .take(APPLICATION_BYTES_MAX - hash.len())
        .collect();
    kept + &hash
}

/// A name for a writer that no other writer has, of whatever process, directory or machine: numbers
/// of checkpoints begin again where a directory is deleted.
pub(crate) fn writer() -> String {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    let seed = (now.unwrap_or_default(), std::process::id());
    // Each state has keys of its own, which come from the system's randomness.
    let [a, b] = [(); 2].map(|()| RandomState::new().hash_one(seed));
    format!("{a:016x}{b:08x}", b = b as u32)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use weir_model::Name;

    use super::*;

    fn name(text: &str) -> Name {
        Name::new(text).unwrap()
    }

    #[test]
    fn the_longest_names_still_fit() {
        let long = name(&"a".repeat(63));
        let (subtask, checkpoint) = (SubtaskIndex(32_767), CheckpointId(u64::MAX));
        let gid = gid(&long, &long, subtask, checkpoint, &writer());
        assert!(gid.len() <= GID_BYTES_MAX, "{} {gid}", gid.len());
        assert!(is_gid(&gid, &long, &long));
        assert!(application(&long, &long).len() <= APPLICATION_BYTES_MAX);
    }

    #[test]
    fn transactions_of_other_jobs_and_sinks_are_not_ours() {
        let of = |job: &str, sink: &str| {
            let (subtask, checkpoint) = (SubtaskIndex(0), CheckpointId(1));
            gid(&name(job), &name(sink), subtask, checkpoint, "w")
        };
        assert_eq!(of("a", "b"), "weir:a:b:0:1:w");
        for (job, sink) in [
            ("a", "b-c"),
            ("a-b", "c"),
            ("a", "bc"),
            ("ab", "c"),
            ("b", "a"),
        ] {
            assert!(
                !is_gid(&of(job, sink), &name("a"), &name("b")),
                "{job} {sink}"
            );
            assert!(
                !is_gid(&of("a", "b"), &name(job), &name(sink)),
                "{job} {sink}"
            );
        }
        assert!(is_of_job(&of("a", "b-c"), &name("a")));
        for other in ["a-b", "ab", "b"] {
            assert!(!is_of_job(&of(other, "b"), &name("a")), "{other}");
        }
        // What somebody else has prepared, with wildcards or not.
        for foreign in [
            "",
            "weir",
            "weir:a:b",
            "weir_a_b_0",
            "%",
            "x weir:a:b:0:1:w",
        ] {
            assert!(!is_gid(foreign, &name("a"), &name("b")), "{foreign}");
        }
    }

    #[test]
    fn sessions_of_long_names_are_told_apart() {
        let (long, longer) = ("j".repeat(62), "j".repeat(63));
        let all = [
            application(&name("a"), &name("b")),
            application(&name(&long), &name("a")),
            application(&name(&long), &name("b")),
            application(&name(&longer), &name("b")),
        ];
        assert_eq!(all[0], "weir:a:b");
        assert_eq!(all.iter().collect::<HashSet<_>>().len(), 4, "{all:?}");
    }

    #[test]
    fn no_two_writers_have_the_same_name() {
        let names: HashSet<_> = (0..1000).map(|_| writer()).collect();
        assert_eq!(names.len(), 1000);
        assert!(names.iter().all(|name| name.len() == 24));
    }
}
