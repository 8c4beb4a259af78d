//! What is compared besides rows a second: how old rows are, how soon a job is back, how long
//! checkpoints take under pressure, how soon there is a row, how much memory it takes.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::{
    flink::{Flink, Program},
    latency, memory, recovery,
};
use crate::{
    backend::Store,
    error::{Context, Result},
    pressure,
    record::median,
    start,
};

/// Rows a second at which latency is measured.
const RATE: u64 = 100_000;

/// What can be measured, by its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    Latency,
    Recovery,
    Pressure,
    Start,
    Memory,
}

/// What was measured of a kind, or why that failed.
#[derive(Clone, Debug)]
pub(super) struct Beside {
    pub(super) kind: Kind,
    pub(super) found: Result<Vec<Figure>, String>,
}

/// What it is measured with.
pub(super) struct Around {
    pub(super) jobs: PathBuf,
    pub(super) components: PathBuf,
    /// The program `weir`.
    pub(super) weir: PathBuf,
    /// `None`: only Weir is measured.
    pub(super) flink: Option<Program>,
    pub(super) repeats: u32,
    pub(super) quick: bool,
}

/// One number on both engines; less is better.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Figure {
    pub(super) what: String,
    pub(super) unit: Unit,
    pub(super) flink: Option<f64>,
    pub(super) weir: f64,
    /// What is to be reached: at most so much.
    pub(super) most: Option<f64>,
}

/// What a figure counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unit {
    Milliseconds,
    /// A million bytes.
    Megabytes,
}

impl Unit {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Milliseconds => "ms",
            Self::Megabytes => "MB",
        }
    }

    /// A number of it, for people.
    pub(super) fn show(self, value: f64) -> String {
        let unit = self.name();
        match value {
            value if value.is_nan() => "none was done".to_owned(),
            value if value < 10.0 => format!("{value:.1} {unit}"),
            value => format!("{value:.0} {unit}"),
        }
    }

    fn named(name: &str) -> Option<Self> {
        let all = [Self::Milliseconds, Self::Megabytes];
        all.into_iter().find(|unit| unit.name() == name)
    }
}

impl Kind {
    pub(super) const ALL: [Self; 5] = [
        Self::Latency,
        Self::Recovery,
        Self::Pressure,
        Self::Start,
        Self::Memory,
    ];

    /// The name, for `--only`.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Latency => "latency",
            Self::Recovery => "recovery",
            Self::Pressure => "pressure",
            Self::Start => "start",
            Self::Memory => "memory",
        }
    }

    pub(super) fn measure(self, around: &Around) -> Result<Vec<Figure>> {
        match self {
            Self::Latency => around.latency(),
            Self::Recovery => around.recovery(),
            Self::Pressure => around.pressure(),
            Self::Start => around.start(),
            Self::Memory => around.memory(),
        }
    }
}

impl Figure {
    fn ms(what: impl Into<String>, flink: Option<f64>, weir: f64, most: Option<f64>) -> Self {
        Self {
            what: what.into(),
            unit: Unit::Milliseconds,
            flink,
            weir,
            most,
        }
    }

    /// What Weir came to.
    pub(super) fn shown(&self) -> String {
        self.unit.show(self.weir)
    }

    pub(super) fn is_reached(&self) -> Option<bool> {
        self.most.map(|most| self.weir <= most)
    }

    fn to_json(&self) -> Value {
        json!({
            "what": self.what,
            "unit": self.unit.name(),
            "flink": self.flink,
            "weir": self.weir,
            "at_most": self.most,
        })
    }

    fn of_json(told: &Value) -> Result<Self> {
        let text = |key: &str| told.get(key).and_then(Value::as_str);
        let number = |key: &str| told.get(key).and_then(Value::as_f64);
        let unit = text("unit").and_then(Unit::named);
        Ok(Self {
            what: text("what").context("a figure of nothing")?.to_owned(),
            unit: unit.context("a figure of no unit that is known")?,
            flink: number("flink"),
            // None where nothing came of it.
            weir: number("weir").unwrap_or(f64::NAN),
            most: number("at_most"),
        })
    }
}

impl Beside {
    pub(super) fn measure(kind: Kind, around: &Around) -> Self {
        let found = kind.measure(around).map_err(|why| why.to_string());
        Self { kind, found }
    }

    /// For who looks on.
    pub(super) fn in_words(&self) -> String {
        let figure = |figure: &Figure| {
            let (unit, weir) = (figure.unit.name(), figure.weir);
            let flink = figure
                .flink
                .map(|flink| format!(", Flink {flink:.1} {unit}"));
            let flink = flink.unwrap_or_default();
            format!("{}: Weir {weir:.1} {unit}{flink}", figure.what)
        };
        match &self.found {
            Ok(figures) => figures.iter().map(figure).collect::<Vec<_>>().join("; "),
            Err(why) => format!("failed: {why}"),
        }
    }

    pub(super) fn to_json(&self) -> Value {
        let figures = self.found.iter().flatten().map(Figure::to_json);
        json!({
            "kind": self.kind.name(),
            "figures": figures.collect::<Vec<_>>(),
            "failed": self.found.as_ref().err(),
        })
    }

    /// Reads what [`to_json`](Self::to_json) wrote.
    pub(super) fn of_json(told: &Value) -> Result<Self> {
        let name = told.get("kind").and_then(Value::as_str);
        let kind = Kind::ALL.into_iter().find(|kind| Some(kind.name()) == name);
        let kind = kind.with_context(|| format!("there is no kind `{}`", name.unwrap_or("")))?;
        let failed = told.get("failed").and_then(Value::as_str);
        let figures = told.get("figures").and_then(Value::as_array);
        let figures = figures.into_iter().flatten().map(Figure::of_json);
        let figures = figures.collect::<Result<Vec<_>>>();
        let figures = figures.with_context(|| format!("figures of `{}`", kind.name()))?;
        Ok(Self {
            kind,
            found: failed.map_or(Ok(figures), |why| Err(why.to_owned())),
        })
    }
}

impl Around {
    fn latency(&self) -> Result<Vec<Figure>> {
        let warm_up = if self.quick { 1_000 } else { 3 * RATE };
        let rows = if self.quick { 5_000 } else { 13 * RATE };
        let flink = self.on_flink(&["workload=latency", "keys=1000"], |flink| {
            // The JVM compiles first what is hot.
            flink.ask(&format!("n={} warm=1", rows * 2))?;
            flink.ask(&format!("n={rows} warm={warm_up} rate={RATE}"))
        })?;
        let weir = latency::measure(&self.jobs, rows, warm_up, RATE)?;
        let of = |key: &str| Some(flink.as_ref()?.get(key)?.as_f64()? / 1e3);
        let what = |share: &str| format!("latency at {RATE} rows a second, keyed count, {share}");
        Ok(vec![
            Figure::ms(what("p50"), of("p50_us"), weir.p50, None),
            Figure::ms(what("p99"), of("p99_us"), weir.p99, Some(5.0)),
            Figure::ms(what("p99.9"), of("p999_us"), weir.p999, None),
        ])
    }

    fn recovery(&self) -> Result<Vec<Figure>> {
        let (keys, interval) = if self.quick {
            (10_000, 10)
        } else {
            (1_000_000, 1_000)
        };
        let (on_flink, on_weir) = match self.quick {
            true => (1_000_000, 2_000_000),
            // Weir's second checkpoint has to be under way before the last row: some 20 million
            // rows a second are the most that was seen.
            false => (8_000_000, 80_000_000),
        };
        let words = [
            "workload=recovery".to_owned(),
            format!("keys={keys}"),
            format!("checkpoint={interval}"),
        ];
        let flink = self.on_flink(&words, |flink| {
            let mut all = Vec::new();
            for _ in 0..self.repeats {
                let told = flink.ask(&format!("n={on_flink} warm=1"))?;
                all.extend(told.get("recovery_ms").and_then(Value::as_f64));
            }
            Ok(median(all))
        })?;
        let one = |_| recovery::measure(&self.jobs, Store::Heap, keys, on_weir, interval);
        let weir: Result<Vec<f64>> = (0..self.repeats).map(one).collect();
        let what = format!("from a failure to the next row, a count of {keys} keys, heap");
        Ok(vec![Figure::ms(what, flink, median(weir?), None)])
    }

    fn pressure(&self) -> Result<Vec<Figure>> {
        let words = [
            "workload=pressure",
            "keys=1000",
            "checkpoint=1000",
            "unaligned=true",
        ];
        let seconds = if self.quick { 3 } else { 12 };
        let flink = self.at_parallelism(2, &words, |flink| {
            let told = flink.ask(&format!("n=10000000 warm=1 seconds={seconds}"))?;
            let all = told.get("checkpoints").and_then(Value::as_array);
            let all = all.into_iter().flatten();
            Ok(median(
                all.filter_map(|one| one.get("ms")?.as_f64()).collect(),
            ))
        })?;
        let weir = pressure::measure(self.quick)?.disk.ms();
        let what = "an unaligned checkpoint under full back pressure, to a disk, parallelism 2";
        Ok(vec![Figure::ms(what, flink, weir, Some(50.0))])
    }

    fn start(&self) -> Result<Vec<Figure>> {
        let mut all = Vec::new();
        for _ in 0..self.repeats {
            let told = self.on_flink(&["workload=count", "keys=50"], |flink| {
                flink.ask("n=1000 warm=1")
            })?;
            let first = told.and_then(|told| told.get("first_row_ms")?.as_f64());
            all.extend(first);
        }
        let flink = (!all.is_empty()).then(|| median(all));
        let runs = if self.quick { 1 } else { 9 };
        let weir = start::measure(&self.weir, &self.components, runs)?.median();
        let what = "from the start of the process to its first row, compiled code cached";
        Ok(vec![Figure::ms(what, flink, weir, Some(50.0))])
    }

    fn memory(&self) -> Result<Vec<Figure>> {
        let (keys, rows) = if self.quick {
            (1_000, 5_000)
        } else {
            (1_000_000, 4_000_000)
        };
        let flink = self.on_flink(
            &["workload=count".to_owned(), format!("keys={keys}")],
            |flink| {
                let told = flink.ask(&format!("n={rows} warm=1"))?;
                let of = |told: &Value| told.get("rss_mb").and_then(Value::as_f64);
                Ok((of(&flink.ready).map(megabytes), of(&told).map(megabytes)))
            },
        )?;
        let (idle, loaded) = flink.unwrap_or((None, None));
        let weir = memory::measure(&self.weir, &self.jobs, keys, rows)?;
        let figure = |what: String, flink, weir, most| Figure {
            what,
            unit: Unit::Megabytes,
            flink,
            weir: megabytes(weir),
            most,
        };
        let counting = format!("resident memory, a count of {keys} keys, heap");
        Ok(vec![
            figure("resident memory, idle".into(), idle, weir.idle, Some(30.0)),
            figure(counting.clone(), loaded, weir.loaded, Some(250.0)),
            figure(format!("{counting}, at most"), None, weir.peak, None),
        ])
    }

    fn on_flink<T, W: AsRef<str>>(
        &self,
        words: &[W],
        ask: impl FnOnce(&mut Flink) -> Result<T>,
    ) -> Result<Option<T>> {
        self.at_parallelism(1, words, ask)
    }

    fn at_parallelism<T, W: AsRef<str>>(
        &self,
        parallelism: u32,
        words: &[W],
        ask: impl FnOnce(&mut Flink) -> Result<T>,
    ) -> Result<Option<T>> {
        let Some(program) = &self.flink else {
            return Ok(None);
        };
        let folder = tempfile::tempdir().context("making a folder for Flink")?;
        let mut all: Vec<String> = words.iter().map(|word| word.as_ref().to_owned()).collect();
        all.push(format!("parallelism={parallelism}"));
        all.push(directory(folder.path()));
        ask(&mut program.start(&all)?).map(Some)
    }
}

/// Of so many MiB, in which systems count memory.
fn megabytes(mebibytes: f64) -> f64 {
    mebibytes * f64::from(1 << 20) / 1e6
}

fn directory(folder: &Path) -> String {
    format!("dir={}", folder.display())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_found_is_read_as_it_was_written() {
        let figure = Figure::ms("latency, p99", Some(8.5), 0.5, Some(5.0));
        let nothing = Figure::ms("none", None, f64::NAN, Some(5.0));
        assert_eq!(
            (figure.is_reached(), nothing.is_reached()),
            (Some(true), Some(false))
        );
        for found in [Ok(vec![figure, nothing]), Err("no Java".to_owned())] {
            let kind = Kind::Latency;
            let written = Beside { kind, found }.to_json();
            let read = Beside::of_json(&written).unwrap();
            assert_eq!(read.to_json(), written);
            assert_eq!(read.kind, Kind::Latency);
        }
        let wrong = json!({ "kind": "noise", "figures": [] });
        let told = Beside::of_json(&wrong).unwrap_err().to_string();
        assert_eq!(told, "there is no kind `noise`");
    }

    #[test]
    fn memory_is_told_in_millions_of_bytes() {
        assert!((megabytes(1_000.0) - 1_048.576).abs() < 1e-9);
    }
}
