//! What happens in one run, drawn from its seed before it begins: how often it is killed, where,
//! and with which options each of its processes runs.

use std::fmt;
use std::time::Duration;

use crate::demo::moment::Moments;

/// The plan of one run.
pub(super) struct Plan {
    /// Rows per second.
    pub(super) rate: u64,
    /// The processes that are killed.
    pub(super) killed: Vec<Start>,
    /// The one that comes to its end.
    pub(super) last: Start,
}

/// One process.
pub(super) struct Start {
    pub(super) aim: Aim,
    /// Keys of the job file and their values.
    pub(super) options: Vec<(&'static str, String)>,
}

/// Where a process is to be killed.
#[derive(Clone, Copy, Debug)]
pub(super) enum Aim {
    /// So long after its start.
    Anywhere(Duration),
    /// After so many of its own checkpoints, as soon as the next one has written something.
    Inside(u32),
    /// After so many of its own checkpoints, as soon as the next one is complete.
    BeforeCommit(u32),
    /// So long after its start, which is before it runs.
    Restoring(Duration),
}

impl Plan {
    pub(super) fn draw(moments: &mut Moments) -> Self {
        // What a backend has written natively is read by no other.
        let backend = ["heap", "heap", "rocksdb"][moments.below(3) as usize];
        let kills = moments.below(5) + 1;
        let killed: Vec<Start> = (0..kills)
            .map(|kill| Start {
                aim: Aim::draw(moments, kill == 0),
                options: options(moments, backend),
            })
            .collect();
        Self {
            rate: 150_000 + moments.below(4) * 50_000,
            killed,
            last: Start {
                aim: Aim::Anywhere(Duration::MAX),
                options: options(moments, backend),
            },
        }
    }
}

impl Aim {
    /// The first process of a run has nothing to restore.
    fn draw(moments: &mut Moments, first: bool) -> Self {
        let ms = |ms: f64| Duration::from_secs_f64(ms / 1e3);
        match moments.below(if first { 3 } else { 4 }) {
            0 => Self::Anywhere(ms(moments.between(20.0, 900.0))),
            1 => Self::Inside(moments.below(6) as u32),
            2 => Self::BeforeCommit(moments.below(6) as u32),
            _ => Self::Restoring(ms(moments.between(1.0, 25.0))),
        }
    }
}

/// The options of a process: a job may be started with others each time.
fn options(moments: &mut Moments, backend: &str) -> Vec<(&'static str, String)> {
    let parallelism = moments.below(4) + 1;
    let interval = 20 + moments.below(5) * 20;
    let mut options = vec![
        ("state.backend", backend.to_owned()),
        ("parallelism", parallelism.to_string()),
        ("checkpoint.interval", format!("{interval}ms")),
        (
            "checkpoint.incremental",
            (moments.below(2) == 1).to_string(),
        ),
    ];
    if moments.below(2) == 1 {
        options.push(("checkpoint.unaligned", "true".to_owned()));
        let timeout = moments.below(3) * 5;
        options.push(("checkpoint.aligned-timeout", format!("{timeout}ms")));
    }
    options
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for start in &self.killed {
            write!(f, "{} killed {:?}; ", Shown(&start.options), start.aim)?;
        }
        write!(f, "{}", Shown(&self.last.options))
    }
}

struct Shown<'a>(&'a [(&'static str, String)]);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let options = self.0.iter().map(|(key, value)| format!("{key}={value}"));
        f.write_str(&options.collect::<Vec<_>>().join(" "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_repeats_its_plan_and_all_aims_occur() {
        let shown = |seed| Plan::draw(&mut Moments::new(seed)).to_string();
        assert_eq!(shown(3), shown(3));
        let all: String = (0..50).map(shown).collect();
        for aim in ["Anywhere", "Inside", "BeforeCommit", "Restoring"] {
            assert!(all.contains(aim), "{aim}");
        }
    }
}
