//! How many keys a read asks for at once.
//!
//! The keys of a batch are numbered as its rows first meet them, so who reads the state of one key
//! most likely reads that of the keys behind it next. An operator that reads it for few rows must
//! not be sent it for all, though: the window grows while most of what was asked for is looked at,
//! and shrinks otherwise. It shapes the imports of a call, and nothing else.

use std::ops::Range;

/// What the first read of an operator asks for.
const FIRST: u32 = 8;
const MOST: u32 = 256;

/// The window of one state.
pub(super) struct Ahead {
    window: u32,
    /// The keys of the last read, and how many of them were looked at since.
    asked: u32,
    seen: u32,
}

impl Default for Ahead {
    fn default() -> Self {
        Self {
            window: FIRST,
            asked: 0,
            seen: 0,
        }
    }
}

impl Ahead {
    /// The keys to ask for, of `keys` in all, when `key` is wanted.
    pub(super) fn window(&mut self, key: u32, keys: u32) -> Range<u32> {
        let most_were_seen = self.seen * 2 > self.asked;
        if self.asked > 0 && !most_were_seen {
            self.window = (self.window / 2).max(1);
        } else if self.asked >= self.window {
            self.window = (self.window * 2).min(MOST);
        }
        key..keys.min(key.saturating_add(self.window))
    }

    /// So many keys were asked for.
    pub(super) fn asked(&mut self, keys: usize) {
        self.asked = keys as u32;
        self.seen = 0;
    }

    /// A key that was asked for is looked at for the first time.
    pub(super) fn seen(&mut self) {
        self.seen += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The sizes of successive reads, where of what was asked for `seen` is looked at.
    fn sizes(reads: usize, seen: fn(u32) -> u32) -> Vec<u32> {
        let mut ahead = Ahead::default();
        let mut sizes = Vec::new();
        for _ in 0..reads {
            let window = ahead.window(0, 1000);
            let asked = window.end - window.start;
            ahead.asked(asked as usize);
            (0..seen(asked)).for_each(|_| ahead.seen());
            sizes.push(asked);
        }
        sizes
    }

    #[test]
    fn the_window_follows_what_is_looked_at() {
        assert_eq!(sizes(7, |asked| asked), [8, 16, 32, 64, 128, 256, 256]);
        assert_eq!(sizes(7, |_| 1), [8, 4, 2, 1, 2, 1, 2]);
        assert_eq!(sizes(3, |asked| asked / 2 + 1), [8, 16, 32]);
    }

    #[test]
    fn small_batches_do_not_widen_the_window() {
        let mut ahead = Ahead::default();
        for _ in 0..20 {
            assert_eq!(ahead.window(0, 2), 0..2);
            ahead.asked(2);
            ahead.seen();
            ahead.seen();
        }
        assert_eq!(ahead.window(0, 1000), 0..FIRST);
    }

    #[test]
    fn the_window_ends_with_the_keys() {
        let mut ahead = Ahead::default();
        assert_eq!(ahead.window(3, 5), 3..5);
        assert_eq!(ahead.window(u32::MAX - 1, u32::MAX), u32::MAX - 1..u32::MAX);
    }
}
