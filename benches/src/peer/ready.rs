//! Memory that a run finds ready.
//!
//! A process gives back what a run had, and the kernel of a virtual machine tells its hypervisor of
//! free pages within seconds, if both can do that. What is touched then is first fetched from
//! there: 2 MiB take 4 ms and not 0.09, as CPU time of who touches them. Whether a run pays for it
//! depends on what else had memory, and when. So each run finds ready what those before it took.

use std::{fs, hint::black_box};

use memmap2::MmapMut;

/// A byte in each of so many is touched: no page is smaller.
const PAGE: usize = 4096;
/// A multiple of the size of a large page: what is made ready is as large.
const LARGE: usize = 2 << 20;
/// The most that is made ready.
const MOST: usize = 4 << 30;

/// How much memory the runs of a cell take.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Ready {
    /// What was resident when the last one began, and by how much more it was at most, in bytes.
    before: usize,
    most: usize,
}

impl Ready {
    /// Before a run: as much as runs took before is touched and given back, so that it is there.
    pub(super) fn begin(&mut self) {
        touch(self.most.min(MOST));
        // From here on the most that is resident counts. Where the system does not do that, it is
        // that of all runs of this process, and more than needed is made ready.
        let _ = fs::write("/proc/self/clear_refs", "5");
        self.before = resident().unwrap_or(0);
    }

    /// Behind a run.
    pub(super) fn end(&mut self) {
        let most = field("VmHWM:").unwrap_or(0).saturating_sub(self.before);
        self.most = self.most.max(most);
    }
}

/// Touches so much memory, in large pages where there are such, as the tasks of a job have them,
/// and gives it back. Where the system refuses it nothing is done.
fn touch(bytes: usize) {
    let length = bytes.next_multiple_of(LARGE) + LARGE;
    let Ok(mut memory) = MmapMut::map_anon(length) else {
        return;
    };
    #[cfg(target_os = "linux")]
    let _ = memory.advise(memmap2::Advice::HugePage);
    memory.iter_mut().step_by(PAGE).for_each(|byte| *byte = 1);
    black_box(&mut memory);
}

/// The bytes of memory of this process that are resident.
pub(super) fn resident() -> Option<usize> {
    field("VmRSS:")
}

/// A number of bytes that the system tells of this process; `None` where it does not.
fn field(name: &str) -> Option<usize> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix(name))?;
    let kib: usize = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib * 1024)
}

#[cfg(test)]
#[cfg(target_os = "linux")]
mod tests {
    use super::*;

    #[test]
    fn what_a_run_took_is_known_behind_it() {
        let mut ready = Ready::default();
        for (mib, most) in [(48, 48), (16, 48), (96, 96)] {
            ready.begin();
            drop(black_box(vec![1_u8; mib << 20]));
            ready.end();
            // The system counts pages in lots; other tests of this process may take some, too.
            let found = ready.most >> 20;
            assert!(found * 10 >= most * 9, "{found} of {most} MiB");
        }
        assert!(ready.most < MOST);
    }
}
