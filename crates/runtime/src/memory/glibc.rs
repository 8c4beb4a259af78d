//! What is done where the allocator is that of glibc.
//!
//! It gives each thread heaps of 64 MiB, of which the end is not there until it is needed. Who asks
//! for much at once and gives it back has it added to the end of the heap, for whoever asks next.
//! Only how quick it is depends on that: what belongs to the allocator is neither read nor written.

use std::{
    cell::Cell,
    hint::black_box,
    mem::MaybeUninit,
    ops::Range,
    sync::{Once, OnceLock},
};

/// How many steps of a task, each a call or two, are between two looks.
const STEPS: u32 = 16;
/// So many faults of a thread are left alone: 8 MiB, mostly.
const FIRST_FAULTS: u64 = 2048;
/// From so many more on there is to be room: 256 KiB.
const FAULTS: u64 = 64;

/// How much room is made at once. The last of its large pages are small ones: the allocator writes
/// behind the room, where there is no room yet.
const ROOM: usize = 16 << 20;
/// Less room than this is not worth it.
const LEAST: usize = 4 << 20;
/// With so much of it left none is made.
const LEFT: usize = 1 << 20;
/// What the allocator may need at the end of a heap.
const END: usize = 256 << 10;
/// The size of a heap, which begins at a multiple of it.
const HEAP: usize = 64 << 20;
/// The size of a large page on most processors. Of another one the system does what it can.
const LARGE_PAGE: usize = 2 << 20;

static PREPARE: OnceLock<fn()> = OnceLock::new();
static PREPARED: Once = Once::new();

thread_local! {
    static GROWTH: Cell<Growth> = const { Cell::new(Growth::START) };
    /// Where the room begins and ends that was made last.
    static MADE: Cell<(usize, usize)> = const { Cell::new((0, 0)) };
}

/// What a thread has done since it was last looked at.
#[derive(Clone, Copy, Debug)]
struct Growth {
    /// Steps until its faults are looked at.
    steps: u32,
    /// From how many faults on there is to be room.
    due: u64,
}

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

/// From now on threads of tasks get large pages as their memory grows. When the first one needs
/// them `prepare` is called, once: it has to see to it that the allocator takes buffers of up to
/// 16 MiB from the memory of the thread, and keeps 24 MiB that are freed at its end.
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
            see_to_room();
        }
    });
}

/// Makes room, unless there is some.
fn see_to_room() {
    let Some(at) = next_at() else {
        return;
    };
    let (from, to) = MADE.get();
    if (from..=to.saturating_sub(LEFT)).contains(&at) {
        return;
    }
    let made = match room_at(at) {
        Some(room) => make_room(room),
        // The rest of the heap is not worth it: no more is looked for before the next heap.
        None => at..at + (HEAP - at % HEAP) + LEFT,
    };
    MADE.set((made.start, made.end));
}

/// About where the next large thing will be that the thread asks for.
fn next_at() -> Option<usize> {
    let mut next = Vec::<u8>::new();
    next.try_reserve_exact(LEFT).ok()?;
    Some(black_box(next.as_ptr()).addr())
}

/// How much room is made where the memory of the thread goes on there, if any. Of more than a heap
/// has left the allocator would make another one, find that this one is not full, and give it back.
fn room_at(at: usize) -> Option<usize> {
    let left = HEAP - at % HEAP;
    let room = ROOM.min(left.saturating_sub(END));
    (room >= LEAST).then_some(room)
}

/// How many pages this thread has touched that were not there and did not have to be read from the
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

/// Makes the allocator take so much room from the system, and leaves it to it: what this thread
/// asks for next comes from there. Gives back where it is.
#[expect(unsafe_code, reason = "a call of the system, which nothing else gives")]
fn make_room(bytes: usize) -> Range<usize> {
    let mut room = Vec::<u8>::new();
    if room.try_reserve_exact(bytes).is_err() {
        return 0..0;
    }
    let start = room.as_mut_ptr();
    let skipped = start.align_offset(LARGE_PAGE);
    let length = room.capacity().saturating_sub(skipped) / LARGE_PAGE * LARGE_PAGE;
    // SAFETY: the range is part of the room, and nothing in it changes: it is only said how memory
    // is to be had there. That the system does not do it is no harm.
    unsafe {
        libc::madvise(
            start.wrapping_add(skipped).cast(),
            length,
            libc::MADV_HUGEPAGE,
        );
    }
    start.addr()..start.addr() + room.capacity()
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    /// At which of so many looks room is due, if each step faults so often.
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

    #[test]
    fn room_ends_with_the_heap() {
        let at = |offset: usize| room_at(7 * HEAP + offset);
        assert_eq!(at(400 << 10), Some(ROOM));
        assert_eq!(at(48 << 20), Some(ROOM - END));
        assert_eq!(at(60 << 20), None);
        assert_eq!(at(HEAP - 1), None);
    }

    #[test]
    fn memory_that_is_touched_for_the_first_time_is_counted() {
        let before = faults();
        let touched = black_box(vec![1_u8; 64 << 20]);
        // With large pages there are few, without 16,384.
        assert!((16..1 << 16).contains(&(faults() - before)));
        drop(touched);
    }

    #[expect(unsafe_code, reason = "a setting of the C library")]
    fn prepare() {
        // SAFETY: it takes numbers.
        unsafe {
            libc::mallopt(libc::M_TRIM_THRESHOLD, 24 << 20);
            libc::mallopt(libc::M_MMAP_THRESHOLD, 17 << 20);
        }
    }

    /// Whether the system was asked for large pages at this address.
    fn is_asked_for(at: usize) -> bool {
        let maps = std::fs::read_to_string("/proc/self/smaps").unwrap();
        let mut is_here = false;
        maps.lines().any(|line| {
            if let Some(flags) = line.strip_prefix("VmFlags:") {
                return is_here && flags.split(' ').any(|flag| flag == "hg");
            }
            let range = line
                .split(' ')
                .next()
                .and_then(|range| range.split_once('-'));
            let hex = |number| usize::from_str_radix(number, 16).ok();
            if let Some((Some(from), Some(to))) = range.map(|(from, to)| (hex(from), hex(to))) {
                is_here = (from..to).contains(&at);
            }
            false
        })
    }

    #[test]
    fn what_a_thread_asks_for_comes_out_of_the_room_that_was_made() {
        grow_in_large_pages(prepare);
        let grows = || {
            let (mut all, mut rooms) = (Vec::new(), Vec::new());
            for _ in 0..20 << 10 {
                all.push(vec![1_u8; 8 << 10]);
                step();
                if rooms.last() != Some(&MADE.get()) {
                    rooms.push(MADE.get());
                }
            }
            let inside = |bytes: &&Vec<u8>| {
                let at = bytes.as_ptr().addr();
                rooms.iter().any(|&(from, to)| (from..to).contains(&at))
            };
            // Nothing is asked for of a system without large pages.
            let has_large = std::fs::exists("/sys/kernel/mm/transparent_hugepage").unwrap();
            let asked_for = |&&(from, to): &&(usize, usize)| is_asked_for(from.midpoint(to));
            let asked = rooms.iter().filter(asked_for).count();
            assert!(!has_large || asked >= 6, "{asked} of {rooms:?}");
            (all.iter().filter(inside).count(), rooms.len())
        };
        let (inside, rooms) = thread::spawn(grows).join().unwrap();
        // Of 160 MiB 8 are left alone, and at the end of each heap some.
        assert!(inside > 16 << 10, "{inside} of {}", 20 << 10);
        assert!((10..30).contains(&rooms), "{rooms}");
    }
}
