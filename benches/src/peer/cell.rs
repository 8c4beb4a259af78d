//! A cell of the comparison: a workload, how parallel, where its state is, with checkpoints or
//! without.

use std::{fmt, path::Path, sync::Arc};

use weir_host::Embedding;

use super::{alone::Alone, micro::Micro, weir::Job, workload::Workload};
use crate::{backend::Store, nexmark::Query};

/// How often a checkpoint is taken, where any are.
const INTERVAL_MS: u64 = 1_000;

/// The part of the rows a second without checkpoints that is to be left with them.
const LEFT: f64 = 0.9;

/// How a workload is run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Setting {
    /// What keeps its state.
    pub store: Store,
    /// How many subtasks.
    pub parallelism: u32,
    /// Whether a checkpoint is taken each second.
    pub checkpoints: bool,
}

/// CPU time a row that is added to another one.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Added {
    /// So many nanoseconds.
    Nanoseconds(f64),
    /// This part of it.
    Share(f64),
}

/// One thing to measure on both engines.
#[derive(Clone)]
pub struct Cell {
    /// The workload.
    pub workload: Arc<dyn Workload>,
    /// How it is run.
    pub setting: Setting,
}

impl Setting {
    /// In memory, without checkpoints.
    #[must_use]
    pub fn plain(parallelism: u32) -> Self {
        Self {
            store: Store::Heap,
            parallelism,
            checkpoints: false,
        }
    }

    /// The same in databases.
    #[must_use]
    pub fn on_disk(self) -> Self {
        Self {
            store: Store::RocksDb,
            ..self
        }
    }

    /// The same with checkpoints.
    #[must_use]
    pub fn saved(self) -> Self {
        Self {
            checkpoints: true,
            ..self
        }
    }
}

/// All workloads there are.
#[must_use]
pub fn workloads() -> Vec<Arc<dyn Workload>> {
    let alone = Alone::ALL.map(|one| Arc::new(one) as Arc<dyn Workload>);
    let micro = Micro::ALL.map(|one| Arc::new(one) as Arc<dyn Workload>);
    let queries = Query::ALL.map(|one| Arc::new(one) as Arc<dyn Workload>);
    alone.into_iter().chain(micro).chain(queries).collect()
}

impl Cell {
    /// All cells, those of a workload beside each other.
    #[must_use]
    pub fn all() -> Vec<Self> {
        let cells = |workload: Arc<dyn Workload>| {
            let settings = workload.settings();
            settings.into_iter().map(move |setting| Self {
                workload: Arc::clone(&workload),
                setting,
            })
        };
        workloads().into_iter().flat_map(cells).collect()
    }

    /// The name, for `--only` and the file of results.
    #[must_use]
    pub fn name(&self) -> String {
        let Setting {
            store,
            parallelism,
            checkpoints,
        } = self.setting;
        let saved = if checkpoints { "-checkpoints" } else { "" };
        let workload = self.workload.name();
        format!("{workload}-{}-p{parallelism}{saved}", store.name())
    }

    /// Whether it is a query of Nexmark.
    #[must_use]
    pub fn is_query(&self) -> bool {
        self.workload.job_file().starts_with("nexmark/")
    }

    /// How many times Flink's rows a second are to be reached.
    #[must_use]
    pub fn goal(&self) -> Option<f64> {
        self.workload.goal(self.setting)
    }

    /// What the components may add to the same operators as code of this process, if that is said.
    #[must_use]
    pub fn most_added(&self) -> Option<Added> {
        let is_count = self.workload.name().starts_with("count-");
        match (
            self.is_query(),
            self.setting == Setting::plain(self.setting.parallelism),
        ) {
            (true, true) => Some(Added::Share(0.4)),
            (false, true) if is_count => Some(Added::Nanoseconds(50.0)),
            _ => None,
        }
    }

    /// What part of the rows a second without checkpoints is to be left with them, if that is said:
    /// then both are measured in turns.
    #[must_use]
    pub fn least_left(&self) -> Option<f64> {
        let Setting {
            store, checkpoints, ..
        } = self.setting;
        let is_said = checkpoints && store == Store::Heap && self.workload.name() == "count-1e6";
        is_said.then_some(LEFT)
    }

    /// The same without checkpoints.
    #[must_use]
    pub fn without_checkpoints(&self) -> Self {
        Self {
            setting: Setting {
                checkpoints: false,
                ..self.setting
            },
            ..self.clone()
        }
    }

    /// Whether it is also measured with the operators as code of this process: where it is said
    /// what components may add, and where nothing is done but what each keyed job does.
    #[must_use]
    pub fn has_native(&self) -> bool {
        self.most_added().is_some() || self.workload.name() == "keyed"
    }

    /// Whether it has nothing but what a loop by hand has: one thread, and memory.
    #[must_use]
    pub fn is_like_by_hand(&self) -> bool {
        self.setting == Setting::plain(1)
    }

    /// What the program for Flink is started with.
    #[must_use]
    pub fn on_flink(&self, folder: &Path) -> Vec<String> {
        let mut words = self.workload.on_flink();
        let interval = if self.setting.checkpoints {
            INTERVAL_MS
        } else {
            0
        };
        words.extend([
            format!("parallelism={}", self.setting.parallelism),
            format!("backend={}", self.setting.store.name()),
            format!("checkpoint={interval}"),
            format!("dir={}", folder.display()),
        ]);
        words
    }

    /// What Weir runs; job files lie in this folder.
    #[must_use]
    pub fn on_weir(&self, jobs: &Path) -> Job {
        Job {
            file: jobs.join(self.workload.job_file()),
            native: false,
            parallelism: self.setting.parallelism,
            store: self.setting.store,
            checkpoint_ms: self.setting.checkpoints.then_some(INTERVAL_MS),
            restarts: 0,
            sets: Vec::new(),
            embedding: Embedding::default(),
        }
    }
}

impl fmt::Debug for Cell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn each_cell_has_a_name_of_its_own_and_says_it_to_both_engines() {
        let all = Cell::all();
        let names: HashSet<String> = all.iter().map(Cell::name).collect();
        assert_eq!(names.len(), all.len());
        let named = |name: &str| all.iter().find(|cell| cell.name() == name).unwrap();
        let cell = named("count-1e6-rocksdb-p1-checkpoints");
        assert_eq!(
            cell.on_flink(Path::new("x")).join(" "),
            "workload=count keys=1000000 parallelism=1 backend=rocksdb checkpoint=1000 dir=x"
        );
        let job = cell.on_weir(Path::new("jobs"));
        assert_eq!(job.file, Path::new("jobs/count.yaml"));
        assert_eq!(
            (job.store, job.checkpoint_ms),
            (Store::RocksDb, Some(1_000))
        );
        assert_eq!(cell.goal(), Some(8.0));
        assert_eq!(named("chained-heap-p2").goal(), Some(2.0));
        assert_eq!(named("count-1e6-heap-p1-checkpoints").goal(), Some(10.0));
        assert_eq!(named("window-rocksdb-p1").goal(), Some(4.0));
        let added = |name| named(name).most_added();
        assert_eq!(added("count-1e6-heap-p2"), Some(Added::Nanoseconds(50.0)));
        assert_eq!(added("count-1e6-heap-p2-checkpoints"), None);
        assert_eq!(added("q8-heap-p1"), Some(Added::Share(0.4)));
        assert_eq!(added("window-heap-p1"), None);
        let native = |name| named(name).has_native();
        assert!(native("keyed-heap-p2") && native("q8-heap-p1") && !native("hop-heap-p1"));
        let like_by_hand = all.iter().filter(|cell| cell.is_like_by_hand());
        assert_eq!(like_by_hand.count(), workloads().len());
    }
}
