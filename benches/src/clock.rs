//! The clocks of a measurement: wall time, the CPU time of this process, and what else the machine
//! was busy with.

use std::{
    fs,
    time::{Duration, Instant},
};

use rustix::time::{ClockId, clock_gettime};

/// The CPU time that all threads of this process have used.
pub(crate) fn cpu() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    Duration::new(seconds, u32::try_from(time.tv_nsec).unwrap_or(0))
}

/// A moment by all clocks.
#[derive(Clone, Copy, Debug)]
pub struct Moment {
    wall: Instant,
    cpu: Duration,
    /// How long the cores of the machine were busy, all together; `None` where nobody tells.
    busy: Option<Duration>,
}

/// What passed between two moments.
#[derive(Clone, Copy, Debug)]
pub struct Passed {
    /// By the clock on the wall.
    pub wall: Duration,
    /// CPU time of all threads of this process.
    pub cpu: Duration,
    /// How many cores other processes used, on average.
    pub others: Option<f64>,
}

impl Moment {
    /// This one.
    #[must_use]
    pub fn now() -> Self {
        Self {
            wall: Instant::now(),
            cpu: cpu(),
            busy: busy(),
        }
    }

    /// What has passed since `begun`.
    #[must_use]
    pub fn since(self, begun: Self) -> Passed {
        let wall = self.wall.saturating_duration_since(begun.wall);
        let cpu = self.cpu.saturating_sub(begun.cpu);
        let others = self.busy.zip(begun.busy).map(|(now, then)| {
            let others = now.saturating_sub(then).saturating_sub(cpu);
            others.as_secs_f64() / wall.as_secs_f64().max(f64::MIN_POSITIVE)
        });
        Passed { wall, cpu, others }
    }
}

/// What `/proc/stat` says of all cores: hundredths of seconds by kind, idle ones fourth and fifth.
fn busy() -> Option<Duration> {
    let stat = fs::read_to_string("/proc/stat").ok()?;
    let line = stat.lines().next()?.strip_prefix("cpu ")?;
    let times: Vec<u64> = line
        .split_whitespace()
        .map_while(|word| word.parse().ok())
        .collect();
    // User, nice, system, idle, waiting, interrupts, soft ones; then what other machines took.
    let busy = [0, 1, 2, 5, 6].map(|kind| times.get(kind).copied().unwrap_or(0));
    Some(Duration::from_millis(busy.iter().sum::<u64>() * 10))
}
