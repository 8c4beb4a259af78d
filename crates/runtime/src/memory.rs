//! Large pages for memory that grows.
//!
//! A page that is touched for the first time costs a fault: in a virtual machine some microseconds
//! for 4 KiB, as much as a hundred rows. State that grows pays it again and again, as the allocator
//! of glibc takes a few more pages each time. A thread whose tasks have touched many is therefore
//! made to have room for some megabytes more at once, and the system asked for large pages there:
//! one fault for 2 MiB, and fewer entries of the processor's table of pages. Memory that nobody
//! touches is not used, so that a small job stays small.

/// What a thread has done since it was last looked at.
#[derive(Clone, Copy, Debug)]
struct Growth {
    /// Steps until its faults are looked at.
    steps: u32,
    /// From how many faults on there is to be room.
    due: u64,
}

/// How many steps of a task, each a call or two, are between two looks.
const STEPS: u32 = 16;
/// Faults of a thread that are never looked at: 8 MiB.
const FIRST_FAULTS: u64 = 2048;
/// From so many more on there is room made: 256 KiB.
const FAULTS: u64 = 64;

impl Growth {
    const START: Self = Self {
        steps: STEPS,
        due: FIRST_FAULTS,
    };

    /// One more step, with how many faults the thread has had; gives back whether it needs room.
    fn step(&mut self, faults: impl FnOnce() -> u64) -> bool {
        self.steps -= 1;
        if self.steps > 0 {
            return false;
        }
        self.steps = STEPS;
        let faults = faults();
        let is_due = faults >= self.due;
        if is_due {
            self.due = faults + FAULTS;
        }
        is_due
    }
}

pub use system::grow_in_large_pages;
pub(crate) use system::step;

#[cfg(all(target_os = "linux", target_env = "gnu"))]
mod system {
    use std::{
        cell::Cell,
        mem::MaybeUninit,
        sync::{Once, OnceLock},
    };

    use super::Growth;

    /// How much room is made at once. What of the first and the last large page is in it has small
    /// pages: the allocator writes behind the room.
    const ROOM: usize = 16 << 20;
    /// With so much of it left none is made.
    const LEFT: usize = 1 << 20;
    /// The size of a large page on most processors. Of another one the system does what it can.
    const LARGE_PAGE: usize = 2 << 20;

    static PREPARE: OnceLock<fn()> = OnceLock::new();
    static PREPARED: Once = Once::new();

    thread_local! {
        static GROWTH: Cell<Growth> = const { Cell::new(Growth::START) };
        /// Where the room begins and ends that was made last.
        static MADE: Cell<(usize, usize)> = const { Cell::new((0, 0)) };
    }

    /// From now on threads of tasks get large pages as their memory grows. When the first one needs
    /// them `prepare` is called, once: it has to see to it that the allocator keeps 32 MiB that are
    /// freed at the end of a thread's memory, and takes 16 at once from there.
    pub fn grow_in_large_pages(prepare: fn()) {
        // Whoever was first has prepared for all.
        let _ = PREPARE.set(prepare);
    }

    /// A task has done a step.
    pub(crate) fn step() {
        let Some(prepare) = PREPARE.get() else {
            return;
        };
        GROWTH.with(|growth| {
            let mut now = growth.get();
            let is_due = now.step(faults);
            growth.set(now);
            if is_due {
                PREPARED.call_once(prepare);
                if !has_room() {
                    make_room();
                }
            }
        });
    }

    /// Whether what this thread asks for next comes out of the room that was made last.
    fn has_room() -> bool {
        let mut next = Vec::<u8>::new();
        if next.try_reserve_exact(LEFT).is_err() {
            return true;
        }
        let (from, to) = MADE.get();
        (from..=to.saturating_sub(LEFT)).contains(&next.as_ptr().addr())
    }

    /// How many pages this thread has touched that were not there. Nothing is read for it from the
    /// disk.
    #[expect(unsafe_code, reason = "a call of the system, which nothing else gives")]
    fn faults() -> u64 {
        let mut usage = MaybeUninit::<libc::rusage>::zeroed();
        // SAFETY: it writes to what it is given, which may be all zeros, and to nothing else.
        let usage = unsafe {
            libc::getrusage(libc::RUSAGE_THREAD, usage.as_mut_ptr());
            usage.assume_init()
        };
        u64::try_from(usage.ru_minflt).unwrap_or(0)
    }

    /// Makes the allocator take room from the system, and leaves it to it: what this thread asks
    /// for next comes from there.
    #[expect(unsafe_code, reason = "a call of the system, which nothing else gives")]
    fn make_room() {
        let mut room = Vec::<u8>::new();
        if room.try_reserve_exact(ROOM).is_err() {
            return;
        }
        let start = room.as_mut_ptr();
        MADE.set((start.addr(), start.addr() + room.capacity()));
        let skipped = start.align_offset(LARGE_PAGE);
        let length = room.capacity().saturating_sub(skipped) / LARGE_PAGE * LARGE_PAGE;
        // SAFETY: the range is part of the room, and nothing in it changes: it is only said how
        // memory is to be had there. That the system does not do it is no harm.
        unsafe {
            libc::madvise(
                start.wrapping_add(skipped).cast(),
                length,
                libc::MADV_HUGEPAGE,
            );
        }
    }

    #[cfg(test)]
    mod tests {
        use super::*;

        #[test]
        fn memory_that_is_touched_for_the_first_time_is_counted() {
            let before = faults();
            let touched = vec![1_u8; 64 << 20];
            assert_eq!(
                touched.iter().map(|&byte| u64::from(byte)).sum::<u64>(),
                64 << 20
            );
            // With large pages there are few, without 16,384.
            assert!((16..1 << 16).contains(&(faults() - before)));
        }

        #[test]
        fn room_is_left_to_the_allocator() {
            // Nothing is told of it but that nothing breaks, which is all that is promised.
            (0..3).for_each(|_| make_room());
            let (from, to) = MADE.get();
            assert_eq!(to - from, ROOM);
        }

        #[test]
        fn there_is_room_while_what_is_next_comes_from_there() {
            assert!(!has_room(), "none was made");
            MADE.set((0, usize::MAX));
            assert!(has_room());
            MADE.set((0, LEFT));
            assert!(!has_room(), "it is used up");
        }
    }
}

#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
mod system {
    /// Nothing is done about pages here.
    pub fn grow_in_large_pages(_prepare: fn()) {}

    /// A task has done a step.
    pub(crate) fn step() {}
}

#[cfg(test)]
mod tests {
    use super::*;

    /// At which of so many looks room is made, if each step faults so often.
    fn due(looks: u32, faults_of_a_step: u64) -> Vec<u32> {
        let (mut growth, mut faults, mut due) = (Growth::START, 0, Vec::new());
        for step in 1..=looks * STEPS {
            faults += faults_of_a_step;
            if growth.step(|| faults) {
                assert_eq!(step % STEPS, 0, "between two looks");
                due.push(step / STEPS);
            }
        }
        due
    }

    #[test]
    fn a_thread_that_has_little_memory_gets_no_room() {
        assert!(due(100, 0).is_empty());
        assert!(due(127, 1).is_empty());
    }

    #[test]
    fn one_that_grows_gets_room_as_often_as_it_needs_it() {
        assert_eq!(due(6, 1024), [1, 2, 3, 4, 5, 6]);
        // 2,048 faults, then each 64.
        assert_eq!(due(140, 1), [128, 132, 136, 140]);
    }
}
