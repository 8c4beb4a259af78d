//! How much of a broadcast state is fetched at once, and how far that has got.
//!
//! The host is asked for a number of entries. So that a page has few bytes however large they are,
//! it begins small, and follows the size of what came. Who looks up one entry is given that one;
//! after many such look-ups a page is fetched along with the next, as long as entries are small.
//! Then most look-ups in a small map, those of what is not there included, take no import.

/// What a page should have, in bytes of its keys and values.
const PAGE_BYTES: usize = 64 << 10;
/// The entries of the first page; each further one has at most `GROWTH` times as many.
const FIRST: u32 = 4;
const GROWTH: u32 = 4;
const MOST: u32 = 256;
/// So many look-ups are asked for alone before a page is fetched.
const ALONE: u32 = 16;
/// Larger entries are fetched only when they are asked for: a page of them would be more than was
/// asked for until then.
const LARGE: usize = PAGE_BYTES / ALONE as usize;

/// The pages of one state.
pub(super) struct Pages {
    reached: Reached,
    /// How many entries the next page may have.
    room: u32,
    /// How many look-ups were asked for alone since the last page.
    alone: u32,
    /// Whether look-ups may fetch more than they are for.
    ahead: bool,
}

/// Up to where all entries are known.
enum Reached {
    Nothing,
    /// This key included.
    Key(Vec<u8>),
    End,
}

impl Default for Pages {
    fn default() -> Self {
        Self {
            reached: Reached::Nothing,
            room: FIRST,
            alone: 0,
            ahead: true,
        }
    }
}

impl Pages {
    /// Whether a key lies where all entries are known.
    pub(super) fn cover(&self, map_key: &[u8]) -> bool {
        match &self.reached {
            Reached::Nothing => false,
            Reached::Key(last) => map_key <= &last[..],
            Reached::End => true,
        }
    }

    /// Whether there is no further page.
    pub(super) fn are_whole(&self) -> bool {
        matches!(self.reached, Reached::End)
    }

    /// The key behind which the next page begins.
    pub(super) fn after(&self) -> Option<&[u8]> {
        match &self.reached {
            Reached::Key(last) => Some(last),
            Reached::Nothing | Reached::End => None,
        }
    }

    /// How many entries the next page may have.
    pub(super) fn room(&self) -> u32 {
        self.room
    }

    /// Whether a look-up should fetch a page first.
    pub(super) fn are_due(&self) -> bool {
        self.ahead && self.alone >= ALONE
    }

    /// A look-up was asked for alone, and found so many bytes.
    pub(super) fn asked_alone(&mut self, found: Option<usize>) {
        self.alone += 1;
        if let Some(bytes) = found {
            self.room = self.room.min(self.fitting(bytes));
        }
    }

    /// A page has come, for which `limit` entries were asked: so many entries with so many bytes,
    /// and the last key of them.
    pub(super) fn turned(&mut self, limit: u32, count: usize, bytes: usize, last: Option<&[u8]>) {
        self.alone = 0;
        self.reached = match last {
            Some(last) if count >= limit as usize => Reached::Key(last.to_owned()),
            Some(_) | None => Reached::End,
        };
        if let Some(mean) = bytes.checked_div(count) {
            // A page that was meant to be small says nothing about how large the next may be.
            let grown = self.room.max(limit.saturating_mul(GROWTH));
            self.room = grown.min(self.fitting(mean));
        }
    }

    /// From here on no entry is known but those that were kept.
    pub(super) fn forget(&mut self) {
        self.reached = Reached::Nothing;
        self.alone = 0;
    }

    /// What was fetched ahead could not be read: whoever looks at it will be told.
    pub(super) fn fail_ahead(&mut self) {
        self.ahead = false;
    }

    /// How many entries of this size a page may have.
    fn fitting(&mut self, bytes: usize) -> u32 {
        self.ahead = bytes <= LARGE;
        let fitting = PAGE_BYTES / bytes.max(1);
        u32::try_from(fitting).unwrap_or(MOST).clamp(1, MOST)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The sizes of successive pages, of which entry `i` has `size(i)` bytes.
    fn sizes(entries: usize, size: fn(usize) -> usize) -> Vec<usize> {
        let (mut pages, mut sizes, mut start) = (Pages::default(), Vec::new(), 0);
        while !pages.are_whole() {
            let limit = pages.room();
            let end = entries.min(start + limit as usize);
            let bytes = (start..end).map(size).sum();
            let last = (start < end).then(|| end.to_be_bytes());
            let last = last.as_ref().map(|last| &last[..]);
            pages.turned(limit, end - start, bytes, last);
            sizes.push(end - start);
            start = end;
        }
        sizes
    }

    #[test]
    fn pages_follow_the_size_of_what_came() {
        assert_eq!(sizes(700, |_| 10), [4, 16, 64, 256, 256, 104]);
        assert_eq!(sizes(9, |_| 16 << 10), [4, 4, 1]);
        assert_eq!(sizes(8, |_| 1 << 20), [4, 1, 1, 1, 1, 0]);
        let grow = |at| if at < 84 { 10 } else { 32 << 10 };
        assert_eq!(sizes(344, grow)[..5], [4, 16, 64, 256, 2]);
        let shrink = |at| if at < 4 { 32 << 10 } else { 10 };
        assert_eq!(sizes(60, shrink), [4, 2, 8, 32, 14]);
        assert_eq!(sizes(0, |_| 0), [0]);
    }

    #[test]
    fn a_page_comes_after_many_look_ups_if_entries_are_small() {
        let mut pages = Pages::default();
        for _ in 0..ALONE {
            assert!(!pages.are_due());
            pages.asked_alone(Some(LARGE));
        }
        assert!(pages.are_due());
        pages.asked_alone(Some(LARGE + 1));
        assert!(!pages.are_due());
        pages.asked_alone(None);
        assert!(!pages.are_due());
        pages.asked_alone(Some(1));
        assert!(pages.are_due());
        pages.fail_ahead();
        assert!(!pages.are_due());
    }

    #[test]
    fn a_page_covers_the_keys_up_to_its_last() {
        let mut pages = Pages::default();
        assert!(!pages.cover(b""));
        pages.turned(2, 2, 2, Some(b"b"));
        assert!(pages.cover(b"a") && pages.cover(b"b") && !pages.cover(b"ba"));
        assert_eq!(pages.after(), Some(&b"b"[..]));
        pages.turned(2, 1, 2, Some(b"c"));
        assert!(pages.cover(b"d") && pages.are_whole());
        pages.forget();
        assert!(!pages.cover(b"a"));
    }
}
