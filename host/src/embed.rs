//! The job of a file as what the engine runs, for a program that runs it with ends of its own: a
//! benchmark feeds and drains the very job that `weir run` runs.

use std::path::{Path, PathBuf};

use weir_job_file::Diagnostics;
use weir_runtime::Deployment;

use crate::{assemble::assemble, cli::Shared, load::load_file};

/// How a job runs in another program.
#[derive(Clone, Debug, Default)]
pub struct Embedding {
    /// Where compiled components are kept, if not where the program keeps them.
    pub cache_dir: Option<PathBuf>,
    /// Writes `/tmp/perf-<pid>.map`, by which `perf` names the functions of components. For
    /// measuring: it costs time at each load.
    pub perf_map: bool,
}

/// Puts the job of a file together as `weir run FILE --set …` does: components are compiled or
/// taken from the cache, windows and joins made, the backend chosen. Nothing is started. No host
/// file is read, so that the job is the same on all machines.
///
/// # Errors
/// All that is wrong with the job or its components, each at its place.
pub fn deployment(
    file: &Path,
    sets: &[String],
    embedding: &Embedding,
) -> Result<Deployment, Diagnostics> {
    let shared = Shared::quiet(embedding);
    let job = load_file(file, sets, &shared.config)?;
    Ok(assemble(job, &shared)?.deployment)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_job_file_becomes_what_the_engine_runs_and_settings_count() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("job.yaml");
        let job = "apiVersion: weir/v1\njob: copy\n\
                   sources: { rows: { connector: generator, count: 1 } }\n\
                   sinks: { out: { connector: stdout, from: rows } }\n";
        fs::write(&file, job).unwrap();
        let sets = [
            "parallelism=3".to_owned(),
            "state.backend=rocksdb".to_owned(),
        ];
        let deployment = deployment(&file, &sets, &Embedding::default()).unwrap();
        assert_eq!(deployment.plan.chains[0].parallelism.get(), 3);
        assert_eq!(deployment.sources.len(), 1);
        assert!(deployment.backend.has_files());
        assert_eq!(deployment.sinks.len(), 1);
    }

    #[test]
    fn what_is_wrong_is_told() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("none.yaml");
        let told = deployment(&file, &[], &Embedding::default())
            .err()
            .unwrap()
            .to_string();
        assert!(told.contains("none.yaml"), "{told}");
    }
}
