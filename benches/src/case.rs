//! What is measured: a job, where its state is, who runs its operator, how parallel, with
//! checkpoints or without.

use std::time::Duration;

use crate::backend::Store;

/// What the job does with its rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Work {
    /// Nothing: the source and the sink of the benchmark alone, which all other cases have in them.
    Nothing,
    /// Emits each row as it came.
    Passthrough,
    /// Counts the rows of each key and emits `key=count`.
    Count {
        /// How many keys there are.
        keys: u32,
    },
}

/// Who runs the operator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Maker {
    /// Rust code of this program behind the same trait.
    Native,
    /// The example component.
    Wasm,
}

/// The checkpoints that are taken meanwhile.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Saving {
    Off,
    /// Every second to a local directory, each written in full.
    Full,
    /// The same, each on top of the one before.
    Increments,
}

/// One thing to measure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Case {
    pub(crate) work: Work,
    pub(crate) store: Store,
    pub(crate) maker: Maker,
    pub(crate) parallelism: u32,
    pub(crate) checkpoints: Saving,
}

/// Rows of distinct content; the source deals them out over and over.
const SOME_ROWS: u32 = 1 << 16;

impl Work {
    /// How many keys the rows have.
    pub(crate) fn keys(self) -> u32 {
        match self {
            Self::Nothing | Self::Passthrough => 1_000,
            Self::Count { keys } => keys,
        }
    }

    /// How many rows there are before they begin again. Each key has one at least.
    pub(crate) fn rows(self) -> u32 {
        SOME_ROWS.max(self.keys())
    }

    fn name(self) -> String {
        match self {
            Self::Nothing => "nothing".to_owned(),
            Self::Passthrough => "passthrough".to_owned(),
            Self::Count { keys } => format!("count-1e{}", keys.ilog10()),
        }
    }

    /// What a reader of the table is told.
    pub(crate) fn in_words(self) -> String {
        match self {
            Self::Nothing => "source and sink alone".to_owned(),
            Self::Passthrough => "passthrough".to_owned(),
            Self::Count { keys } => format!("keyed count, 1e{} keys", keys.ilog10()),
        }
    }
}

impl Case {
    /// All cases; those that are compared with each other stand together.
    pub(crate) fn all() -> Vec<Self> {
        let mut all = Vec::new();
        for work in [
            Work::Nothing,
            Work::Passthrough,
            Work::Count { keys: 1_000 },
            Work::Count { keys: 1_000_000 },
        ] {
            for parallelism in [1, 2] {
                for checkpoints in [Saving::Off, Saving::Full] {
                    for maker in [Maker::Native, Maker::Wasm] {
                        // Without an operator there is nothing to be native or to be saved.
                        let is_plain = maker == Maker::Native && checkpoints == Saving::Off;
                        if work != Work::Nothing || is_plain {
                            all.push(Self {
                                work,
                                store: Store::Heap,
                                maker,
                                parallelism,
                                checkpoints,
                            });
                        }
                    }
                }
            }
        }
        for keys in [1_000, 1_000_000] {
            for checkpoints in [Saving::Off, Saving::Increments] {
                all.extend([Maker::Native, Maker::Wasm].map(|maker| Self {
                    work: Work::Count { keys },
                    store: Store::RocksDb,
                    maker,
                    parallelism: 1,
                    checkpoints,
                }));
            }
        }
        all
    }

    /// Whether the two differ only in who runs the operator.
    pub(crate) fn compares_to(&self, other: &Self) -> bool {
        *self
            == Self {
                maker: self.maker,
                ..*other
            }
    }

    /// The name, for `--only` and the file of results.
    pub(crate) fn name(&self) -> String {
        let maker = match (self.work, self.maker) {
            (Work::Nothing, _) => "",
            (_, Maker::Native) => "-native",
            (_, Maker::Wasm) => "-wasm",
        };
        let checkpoints = match self.checkpoints {
            Saving::Off => "",
            Saving::Full => "-checkpoints",
            Saving::Increments => "-increments",
        };
        let store = match self.store {
            Store::Heap => "",
            Store::RocksDb => "-rocksdb",
        };
        let work = self.work.name();
        format!("{work}{store}{maker}-p{}{checkpoints}", self.parallelism)
    }

    /// How long it is measured, warm-up apart.
    pub(crate) fn length(&self, quick: bool) -> Duration {
        Duration::from_millis(match (quick, self.checkpoints) {
            (true, _) => 30,
            (false, Saving::Off) => 1_500,
            // Some checkpoints must fall into it.
            (false, Saving::Full | Saving::Increments) => 4_000,
        })
    }

    /// How many rows the sink has seen when measuring begins: every key is there by then, and
    /// whatever adapts has adapted.
    pub(crate) fn warm_up(&self, quick: bool) -> u64 {
        let rows = u64::from(self.work.rows());
        if quick { rows } else { rows.max(1 << 20) * 2 }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn each_case_has_a_name_of_its_own_and_stands_beside_what_it_is_compared_with() {
        let all = Case::all();
        let names: HashSet<String> = all.iter().map(Case::name).collect();
        assert_eq!(names.len(), all.len());
        assert!(names.contains("count-1e6-wasm-p2-checkpoints"));
        assert!(names.contains("count-1e6-rocksdb-native-p1-increments"));
        for (index, case) in all.iter().enumerate() {
            let peers = all.iter().filter(|other| case.compares_to(other)).count();
            assert_eq!(peers, if case.work == Work::Nothing { 1 } else { 2 });
            let near = &all[index.saturating_sub(1)..(index + 2).min(all.len())];
            let beside = near.iter().filter(|other| case.compares_to(other)).count();
            assert_eq!(beside, peers, "{}", case.name());
        }
    }
}
