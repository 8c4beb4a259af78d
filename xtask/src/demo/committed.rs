//! What the file sinks have committed: the lines of their part files, and any file that is none.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use sha2::{Digest, Sha256};

use super::Job;
use super::expected::{Carrier, SINKS};

/// The output of all sinks.
pub(super) struct Committed {
    sinks: BTreeMap<&'static str, Sink>,
}

/// The output of one sink.
#[derive(Default)]
pub(super) struct Sink {
    /// All lines, sorted bytewise.
    pub(super) lines: Vec<String>,
    /// Names of files that hold no committed rows, and of part files that end in the middle of one.
    pub(super) strays: Vec<String>,
}

impl Committed {
    pub(super) fn read(job: &Job) -> Result<Self> {
        let sinks = SINKS
            .iter()
            .map(|&sink| Ok((sink, Sink::read(&job.sink(sink))?)));
        Ok(Self {
            sinks: sinks.collect::<Result<_>>()?,
        })
    }

    /// The output of the sink `name`.
    pub(super) fn sink(&self, name: &str) -> &Sink {
        static NOTHING: Sink = Sink {
            lines: Vec::new(),
            strays: Vec::new(),
        };
        self.sinks.get(name).unwrap_or(&NOTHING)
    }

    /// The last update of each carrier: the one with the most flights.
    pub(super) fn last_of_carriers(&self) -> BTreeMap<String, Carrier> {
        let mut last: BTreeMap<String, Carrier> = BTreeMap::new();
        for (name, update) in self.sink("carriers").carrier_updates() {
            match last.get(&name) {
                Some(known) if known.flights >= update.flights => {}
                Some(_) | None => drop(last.insert(name, update)),
            }
        }
        last
    }
}

impl Sink {
    fn read(folder: &Path) -> Result<Self> {
        let mut sink = Self::default();
        let entries =
            fs::read_dir(folder).with_context(|| format!("reading {}", folder.display()))?;
        for entry in entries {
            let entry = entry?;
            let name = entry.file_name().to_string_lossy().into_owned();
            if !name.starts_with("part-") {
                sink.strays.push(name);
                continue;
            }
            let text = fs::read_to_string(entry.path())
                .with_context(|| format!("reading {}", entry.path().display()))?;
            if !text.ends_with('\n') {
                sink.strays.push(name);
            }
            sink.lines.extend(text.lines().map(str::to_owned));
        }
        sink.lines.sort_unstable();
        sink.strays.sort();
        Ok(sink)
    }

    /// SHA-256 over the sorted lines, each ended by a newline, as lower-case hexadecimal.
    pub(super) fn sha256(&self) -> String {
        let mut digest = Sha256::new();
        for line in &self.lines {
            digest.update(line);
            digest.update("\n");
        }
        digest
            .finalize()
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect()
    }

    /// The lines as updates of carriers; a line that is none is left out.
    pub(super) fn carrier_updates(&self) -> impl Iterator<Item = (String, Carrier)> {
        #[derive(serde::Deserialize)]
        struct Update {
            carrier: String,
            #[serde(flatten)]
            known: Carrier,
        }
        self.lines
            .iter()
            .filter_map(|line| serde_json::from_str::<Update>(line).ok())
            .map(|update| (update.carrier, update.known))
    }
}
