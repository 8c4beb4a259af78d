//! How many keys a read asks for at once.
//!
//! The keys of a batch are numbered as its rows first meet them, so who reads the state of one key
//! most likely reads that of the keys behind it next. An operator that reads it for few rows must
//! not be sent it for all, though: the window grows while the imports that are saved by it are
//! worth more than what was sent and not looked at, and shrinks otherwise. The first read
//! is of one key, for nothing is known then of how large values are. It shapes the imports of a
//! call, and nothing else: where a read is an access that counts, nothing is read ahead.

use std::ops::Range;

use crate::call::Binding;

/// What the second read of an operator asks for.
const FIRST: u32 = 8;
const MOST: u32 = 256;
/// The most bytes of a read of several keys, by the bytes of those before.
const MOST_BYTES: u64 = 1 << 20;
/// An import is worth so many keys that are looked up for nothing, as long as there is little under
/// them: so many bytes are worth another key.
const IMPORT_KEYS: u64 = 4;
const KEY_BYTES: u64 = 64;

/// The window of one state.
pub(super) struct Ahead {
    window: u32,
    /// The keys of the last read, how many were looked at since, and the bytes that came.
    asked: u32,
    seen: u32,
    bytes: usize,
}

impl Default for Ahead {
    fn default() -> Self {
        Self {
            window: FIRST,
            asked: 0,
            seen: 0,
            bytes: 0,
        }
    }
}

impl Ahead {
    /// The keys to ask for when `key` is wanted of a state. Where to read it is an access, that is
    /// of what is looked at and of nothing else.
    pub(super) fn keys(&mut self, binding: &Binding, key: u32) -> Range<u32> {
        match binding.call.is_read_alone(binding.index) {
            true => alone(key),
            false => self.window(key, binding.call.keys()),
        }
    }

    /// The keys to ask for, of `keys` in all, when `key` is wanted.
    fn window(&mut self, key: u32, keys: u32) -> Range<u32> {
        if self.asked == 0 {
            return alone(key);
        }
        if !self.was_worth_it() {
            self.window = (self.window / 2).max(1);
        } else if self.asked >= self.window {
            self.window = (self.window * 2).min(MOST);
        }
        key..keys.min(key.saturating_add(self.window.min(self.fitting())))
    }

    /// How many keys may be asked for that will all be looked at.
    pub(super) fn at_once(&self) -> usize {
        match self.asked {
            0 => 1,
            _ => self.fitting() as usize,
        }
    }

    /// How many keys as large as those of the last read may be asked for.
    fn fitting(&self) -> u32 {
        let (asked, bytes) = (u64::from(self.asked), self.bytes as u64);
        let fitting = (MOST_BYTES * asked).checked_div(bytes);
        fitting.map_or(MOST, |keys| keys.clamp(1, u64::from(MOST)) as u32)
    }

    /// Whether the last read has saved more than it cost.
    fn was_worth_it(&self) -> bool {
        let (asked, seen) = (u64::from(self.asked), u64::from(self.seen));
        // As if there were as much under each key; both sides by `asked` times the bytes of a key.
        let saved = seen.saturating_sub(1) * IMPORT_KEYS * asked * KEY_BYTES;
        let wasted = asked.saturating_sub(seen) * (asked * KEY_BYTES + self.bytes as u64);
        saved >= wasted
    }

    /// So many keys were asked for, and so many bytes came.
    pub(super) fn asked(&mut self, keys: usize, bytes: usize) {
        self.asked = keys as u32;
        self.seen = 0;
        self.bytes = bytes;
    }

    /// A key that was asked for is looked at for the first time.
    pub(super) fn seen(&mut self) {
        self.seen += 1;
    }
}

pub(super) fn alone(key: u32) -> Range<u32> {
    key..key.saturating_add(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The sizes of successive reads, where of what was asked for `seen` is looked at, and under
    /// each key there are so many bytes.
    fn sizes(reads: usize, seen: fn(u32) -> u32, bytes: usize) -> Vec<u32> {
        let mut ahead = Ahead::default();
        let mut sizes = Vec::new();
        for _ in 0..reads {
            let window = ahead.window(0, 1000);
            let asked = window.end - window.start;
            ahead.asked(asked as usize, asked as usize * bytes);
            (0..seen(asked)).for_each(|_| ahead.seen());
            sizes.push(asked);
        }
        sizes
    }

    #[test]
    fn the_window_follows_what_is_looked_at() {
        let all = |asked| asked;
        assert_eq!(sizes(8, all, 0), [1, 8, 16, 32, 64, 128, 256, 256]);
        assert_eq!(sizes(8, |_| 1, 0), [1, 8, 4, 2, 1, 2, 1, 2]);
    }

    #[test]
    fn what_is_large_is_asked_for_in_small_numbers_from_the_first() {
        let all = |asked| asked;
        assert_eq!(sizes(7, all, 10_000), [1, 8, 16, 32, 64, 104, 104]);
        assert_eq!(sizes(4, all, 10 << 20), [1, 1, 1, 1]);
    }

    #[test]
    fn much_is_not_sent_for_little() {
        let third = |asked: u32| asked.div_ceil(3);
        assert_eq!(sizes(4, third, 24), [1, 8, 16, 32]);
        assert_eq!(sizes(4, third, 1000), [1, 8, 4, 2]);
        let tenth = |asked: u32| asked.div_ceil(10);
        assert_eq!(sizes(4, tenth, 0), [1, 8, 4, 2]);
    }

    #[test]
    fn small_batches_do_not_widen_the_window() {
        let mut ahead = Ahead::default();
        assert_eq!(ahead.window(0, 2), 0..1);
        ahead.asked(1, 0);
        ahead.seen();
        for _ in 0..20 {
            assert_eq!(ahead.window(0, 2), 0..2);
            ahead.asked(2, 0);
            ahead.seen();
            ahead.seen();
        }
        assert_eq!(ahead.window(0, 1000), 0..FIRST);
    }

    #[test]
    fn the_window_ends_with_the_keys() {
        let mut ahead = Ahead::default();
        ahead.asked(1, 0);
        assert_eq!(ahead.window(3, 5), 3..5);
        assert_eq!(ahead.window(u32::MAX - 1, u32::MAX), u32::MAX - 1..u32::MAX);
    }
}
