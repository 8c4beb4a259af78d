//! The counts that the repository keeps, and what a count is judged by.

use std::{fmt, fs, path::Path, process::Command};

use indexmap::IndexMap;
use serde_json::{Value, json};

use crate::Failure;

/// By how many hundredths a count may be above the one that is kept where another compiler has made
/// the program: that alone moves counts.
const OTHER_TOOLCHAIN: f64 = 20.0;

/// The file of counts.
#[derive(Debug)]
pub(crate) struct Counts {
    pub(crate) toolchain: Toolchain,
    /// Instructions a batch, by the name of the path.
    paths: IndexMap<String, u64>,
}

/// What counts depend on beside the code.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Toolchain {
    rustc: String,
    valgrind: String,
    pub(crate) machine: String,
}

/// What becomes of a count.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Verdict {
    /// It is about what it was; by how many hundredths it is above.
    Same(f64),
    /// It is so far below that the file should be told.
    Faster(f64),
    /// It is above what it may be.
    Slower { by: f64, may: f64, kept: u64 },
    /// The file does not have it.
    New,
}

impl Counts {
    pub(crate) fn new(toolchain: Toolchain) -> Self {
        Self {
            toolchain,
            paths: IndexMap::new(),
        }
    }

    /// # Errors
    /// That there is no such file, or that it is something else.
    pub(crate) fn read(file: &Path) -> Result<Self, Failure> {
        let at = |error: &dyn fmt::Display| format!("reading {}: {error}", file.display());
        let text = fs::read_to_string(file).map_err(|error| at(&error))?;
        let all: Value = serde_json::from_str(&text).map_err(|error| at(&error))?;
        let text = |name: &str| {
            let text = all[name].as_str().map(str::to_owned);
            text.ok_or_else(|| at(&format_args!("there is no `{name}`")))
        };
        let toolchain = Toolchain {
            rustc: text("rustc")?,
            valgrind: text("valgrind")?,
            machine: text("machine")?,
        };
        let paths = all["instructions_a_batch"].as_object();
        let paths = paths.ok_or_else(|| at(&"there is no `instructions_a_batch`"))?;
        let count = |(name, count): (&String, &Value)| {
            let count = count.as_u64();
            let count = count.ok_or_else(|| at(&format_args!("`{name}` has no count")))?;
            Ok((name.clone(), count))
        };
        let paths = paths.iter().map(count).collect::<Result<_, String>>()?;
        Ok(Self { toolchain, paths })
    }

    /// # Errors
    /// That it cannot be written.
    pub(crate) fn write(&self, file: &Path) -> Result<(), Failure> {
        let all = json!({
            "rustc": self.toolchain.rustc,
            "valgrind": self.toolchain.valgrind,
            "machine": self.toolchain.machine,
            "instructions_a_batch": self.paths,
        });
        let text = serde_json::to_string_pretty(&all)? + "\n";
        fs::write(file, text).map_err(|error| format!("writing {}: {error}", file.display()))?;
        Ok(())
    }

    pub(crate) fn insert(&mut self, path: &str, count: u64) {
        self.paths.insert(path.to_owned(), count);
    }

    /// Judges a count by the one that is kept.
    pub(crate) fn compare(
        &self,
        path: &str,
        count: u64,
        (by, tolerance): (&Toolchain, f64),
    ) -> Verdict {
        let Some(&kept) = self.paths.get(path) else {
            return Verdict::New;
        };
        let may = match self.toolchain == *by {
            true => tolerance,
            false => OTHER_TOOLCHAIN,
        };
        let above = (count as f64 / kept.max(1) as f64 - 1.0) * 100.0;
        if above > may {
            let by = above;
            Verdict::Slower { by, may, kept }
        } else if above < -tolerance {
            Verdict::Faster(-above)
        } else {
            Verdict::Same(above)
        }
    }
}

impl Toolchain {
    /// What this program was made by, as far as it knows, and what counts it.
    ///
    /// # Errors
    /// That `rustc` does not say its version.
    pub(crate) fn here(valgrind: &str) -> Result<Self, Failure> {
        let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
        let asked = Command::new(rustc).arg("--version").output();
        let asked = asked.map_err(|error| format!("asking rustc for its version: {error}"))?;
        Ok(Self {
            rustc: String::from_utf8_lossy(&asked.stdout).trim().to_owned(),
            valgrind: valgrind.to_owned(),
            machine: machine(),
        })
    }
}

/// This kind of machine; counts of another one have nothing to do with those of this.
pub(crate) fn machine() -> String {
    format!("{}-{}", std::env::consts::ARCH, std::env::consts::OS)
}

impl fmt::Display for Toolchain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, {}, {}", self.rustc, self.valgrind, self.machine)
    }
}

impl Verdict {
    /// Whether a path of this verdict fails the guard.
    pub(crate) fn fails(&self) -> bool {
        match self {
            Self::Slower { .. } | Self::New => true,
            Self::Same(_) | Self::Faster(_) => false,
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Same(above) => write!(f, "{above:+.2} %"),
            Self::Faster(below) => write!(
                f,
                "-{below:.2} %: FASTER, `./jw guard --write` keeps it that way"
            ),
            Self::Slower { by, may, kept } => write!(
                f,
                "{by:+.2} %: SLOWER than the {kept} that are kept, by more than {may} %"
            ),
            Self::New => f.write_str("NEW: no count of it is kept, `./jw guard --write` does that"),
        }
    }
}

/// The least of some counts: whatever disturbs a run adds to it.
pub(crate) fn least(counts: &[u64]) -> u64 {
    counts.iter().copied().min().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn toolchain(rustc: &str) -> Toolchain {
        Toolchain {
            rustc: rustc.to_owned(),
            valgrind: "valgrind-3".to_owned(),
            machine: "x86_64-linux".to_owned(),
        }
    }

    #[test]
    fn a_count_that_is_too_high_fails_and_others_do_not() {
        let mut kept = Counts::new(toolchain("rustc 1"));
        kept.insert("heap", 10_000);
        let judge = |count| kept.compare("heap", count, (&kept.toolchain, 3.0));
        assert!(matches!(judge(10_299), Verdict::Same(_)));
        assert!(judge(10_301).fails());
        assert!(!judge(9_000).fails() && matches!(judge(9_000), Verdict::Faster(_)));
        assert!(
            kept.compare("unheard-of", 1, (&kept.toolchain, 3.0))
                .fails()
        );
    }

    #[test]
    fn another_compiler_may_move_a_count_further() {
        let mut kept = Counts::new(toolchain("rustc 1"));
        kept.insert("heap", 10_000);
        let judge = |count| kept.compare("heap", count, (&toolchain("rustc 2"), 3.0));
        assert!(!judge(11_900).fails());
        assert!(judge(12_100).fails());
    }

    #[test]
    fn a_file_that_was_written_is_read_again() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("counts.json");
        let mut written = Counts::new(toolchain("rustc 1"));
        written.insert("window", 7);
        written.insert("heap", 5);
        written.write(&file).unwrap();
        let read = Counts::read(&file).unwrap();
        assert_eq!(read.toolchain, written.toolchain);
        assert_eq!(read.paths, written.paths);
        fs::write(&file, "{}").unwrap();
        let error = Counts::read(&file).unwrap_err().to_string();
        assert!(error.contains("there is no `rustc`"), "{error}");
    }
}
