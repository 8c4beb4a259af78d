//! Which windows a row belongs to.

use crate::{Calendar, Window};

/// Deals rows out to windows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Assigner {
    /// Windows of one size, one after the other.
    Tumbling {
        /// In milliseconds.
        size: i64,
        /// How far behind the epoch one begins, in milliseconds.
        offset: i64,
    },
    /// Windows of one size, of which one begins every so often.
    Sliding {
        /// In milliseconds.
        size: i64,
        /// How long after each window the next one begins, in milliseconds.
        slide: i64,
        /// How far behind the epoch one begins, in milliseconds.
        offset: i64,
    },
    /// Windows of the calendar.
    Calendar(Calendar),
    /// Windows that end when no row came for so long.
    Session {
        /// In milliseconds.
        gap: i64,
    },
    /// One window for all of time.
    Global,
}

/// Why there are no such windows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadWindow {
    /// A size, slide or gap below a millisecond.
    #[error("{what} of {ms} ms: it has at least 1 ms")]
    NotPositive {
        /// What it is.
        what: &'static str,
        /// Its length.
        ms: i64,
    },
    /// An offset as long as the window, or longer.
    #[error("an offset of {offset} ms in windows every {every} ms: it is shorter than they are")]
    Offset {
        /// The offset.
        offset: i64,
        /// How far windows begin from each other.
        every: i64,
    },
    /// A slide longer than the window: rows between two windows would belong to none.
    #[error("windows of {size} ms every {slide} ms: rows between them would belong to none")]
    Gaps {
        /// The size.
        size: i64,
        /// The slide.
        slide: i64,
    },
    /// One row in more windows than anybody means.
    #[error(
        "windows of {size} ms every {slide} ms: each row would be in {count}, and at most {} are \
             possible",
        Assigner::MOST
    )]
    TooMany {
        /// The size.
        size: i64,
        /// The slide.
        slide: i64,
        /// In how many windows a row would be.
        count: i64,
    },
}

impl Assigner {
    /// In how many windows a row may be at most.
    pub const MOST: i64 = 100_000;

    /// Whether there are such windows.
    ///
    /// # Errors
    /// [`BadWindow`].
    pub fn check(&self) -> Result<(), BadWindow> {
        let positive = |what, ms| match ms > 0 {
            true => Ok(()),
            false => Err(BadWindow::NotPositive { what, ms }),
        };
        let within = |offset: i64, every: i64| match offset.unsigned_abs() < every.unsigned_abs() {
            true => Ok(()),
            false => Err(BadWindow::Offset { offset, every }),
        };
        match *self {
            Self::Tumbling { size, offset } => {
                positive("a window", size)?;
                within(offset, size)
            }
            Self::Sliding {
                size,
                slide,
                offset,
            } => {
                positive("a window", size)?;
                positive("a slide", slide)?;
                within(offset, slide)?;
                if slide > size {
                    return Err(BadWindow::Gaps { size, slide });
                }
                match size / slide {
                    count if count > Self::MOST => Err(BadWindow::TooMany { size, slide, count }),
                    _ => Ok(()),
                }
            }
            Self::Calendar(ref calendar) => calendar.check(),
            Self::Session { gap } => positive("a gap", gap),
            Self::Global => Ok(()),
        }
    }

    /// The windows without overlap that its windows of one size are made of, and how many of them
    /// one begins behind the one before it; a tumbling window is a pane. `None` where windows have
    /// another shape.
    #[must_use]
    pub fn panes(&self) -> Option<Panes> {
        let (size, slide, offset) = match *self {
            Self::Sliding {
                size,
                slide,
                offset,
            } => (size, slide, offset),
            Self::Tumbling { size, offset } => (size, size, offset),
            Self::Session { .. } | Self::Calendar(_) | Self::Global => return None,
        };
        let (mut pane, mut rest) = (size, slide);
        while rest > 0 {
            (pane, rest) = (rest, pane % rest);
        }
        Some(Panes {
            size,
            slide,
            offset,
            pane,
        })
    }

    /// Whether windows are made out of each other as rows come.
    #[must_use]
    pub fn merges(&self) -> bool {
        matches!(self, Self::Session { .. })
    }

    /// Whether a time is in one window only, so that whoever has found it knows it for all times in
    /// it.
    #[must_use]
    pub fn has_one_window(&self) -> bool {
        match self {
            Self::Tumbling { .. } | Self::Calendar(_) | Self::Global => true,
            Self::Sliding { .. } | Self::Session { .. } => false,
        }
    }

    /// The windows of a row with this time, the latest first.
    pub fn assign(&self, time: i64) -> impl Iterator<Item = Window> + use<> {
        let (first, count, slide, size) = match *self {
            Self::Tumbling { size, offset } => (start_of(time, offset, size), 1, 0, size),
            Self::Sliding {
                size,
                slide,
                offset,
            } => {
                let last = start_of(time, offset, slide);
                // Those that begin at `last - k * slide` and end behind `time`.
                let within = size
                    .saturating_sub(1)
                    .saturating_sub(time.saturating_sub(last));
                (
                    last,
                    within.div_euclid(slide).saturating_add(1),
                    slide,
                    size,
                )
            }
            Self::Session { gap } => (time, 1, 0, gap),
            Self::Calendar(ref calendar) => return Windows::One(Some(calendar.window(time))),
            Self::Global => return Windows::One(Some(Window::GLOBAL)),
        };
        Windows::Spans {
            next: first,
            left: count.max(0),
            slide,
            size,
        }
    }
}

/// Sliding windows as runs of panes: a row is in one pane, and a pane in several windows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Panes {
    size: i64,
    slide: i64,
    offset: i64,
    pane: i64,
}

impl Panes {
    /// The pane of a row with this time.
    #[must_use]
    pub fn of(&self, time: i64) -> Window {
        let start = start_of(time, self.offset, self.pane);
        Window {
            start,
            end: start.saturating_add(self.pane),
        }
    }

    /// The last window that a pane is in.
    #[must_use]
    pub fn last_window(&self, pane: Window) -> Window {
        let start = start_of(pane.start, self.offset, self.slide);
        Window {
            start,
            end: start.saturating_add(self.size),
        }
    }

    /// The windows that a pane is in, the first to end first.
    pub fn windows(&self, pane: Window) -> impl Iterator<Item = Window> + use<> {
        let Self { size, slide, .. } = *self;
        let last = self.last_window(pane);
        let before = (size - pane.end.saturating_sub(last.start)) / slide;
        (0..=before).rev().map(move |back| Window {
            start: last.start.saturating_sub(back * slide),
            end: last.start.saturating_sub(back * slide).saturating_add(size),
        })
    }

    /// The panes of a window by time, each with whether it is in no later one.
    pub fn within(&self, window: Window) -> impl Iterator<Item = (Window, bool)> + use<> {
        let Self {
            slide, pane, size, ..
        } = *self;
        (0..size / pane).map(move |at| {
            let start = window.start.saturating_add(at * pane);
            let of = Window {
                start,
                end: start.saturating_add(pane),
            };
            (of, (at + 1) * pane <= slide)
        })
    }

    /// The window that begins there; `None` where none does.
    #[must_use]
    pub fn window_at(&self, start: i64) -> Option<Window> {
        (start_of(start, self.offset, self.slide) == start).then(|| Window {
            start,
            end: start.saturating_add(self.size),
        })
    }

    /// The window that follows.
    #[must_use]
    pub fn next(&self, window: Window) -> Window {
        Window {
            start: window.start.saturating_add(self.slide),
            end: window.end.saturating_add(self.slide),
        }
    }

    /// The size of windows, in milliseconds.
    #[must_use]
    pub fn size(&self) -> i64 {
        self.size
    }
}

/// The windows of one row.
enum Windows {
    One(Option<Window>),
    Spans {
        next: i64,
        left: i64,
        slide: i64,
        size: i64,
    },
}

impl Iterator for Windows {
    type Item = Window;

    fn next(&mut self) -> Option<Window> {
        match self {
            Self::One(window) => window.take(),
            Self::Spans { left: 0, .. } => None,
            Self::Spans {
                next,
                left,
                slide,
                size,
            } => {
                let start = *next;
                *left -= 1;
                *next = start.saturating_sub(*slide);
                Some(Window {
                    start,
                    end: start.saturating_add(*size),
                })
            }
        }
    }
}

/// Where the window begins that a time lies in: `time - floorMod(time - offset, size)`, right for
/// times before the epoch (case C23).
fn start_of(time: i64, offset: i64, size: i64) -> i64 {
    let into = (i128::from(time) - i128::from(offset)).rem_euclid(i128::from(size));
    i64::try_from(i128::from(time) - into).unwrap_or(i64::MIN)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn c23_window_start() {
        for (size, offset, cases) in [
            (
                7,
                0,
                &[
                    (0, 0),
                    (6, 0),
                    (7, 7),
                    (8, 7),
                    (-1, -7),
                    (-7, -7),
                    (-8, -14),
                ][..],
            ),
            (
                7,
                3,
                &[(0, -4), (2, -4), (3, 3), (9, 3), (10, 10), (-5, -11)],
            ),
            (7, -2, &[(1, -2), (-10, -16)]),
        ] {
            for &(time, start) in cases {
                let window = Assigner::Tumbling { size, offset }.assign(time).next();
                let end = start + size;
                assert_eq!(window, Some(Window { start, end }), "{time} by {offset}");
            }
        }
    }

    #[test]
    fn c25_sliding_windows_of_a_row() {
        let sliding = Assigner::Sliding {
            size: 10,
            slide: 5,
            offset: 0,
        };
        let starts: Vec<i64> = sliding.assign(1).map(|window| window.start).collect();
        assert_eq!(starts, [0, -5]);
        let starts: Vec<i64> = sliding.assign(6).map(|window| window.start).collect();
        assert_eq!(starts, [5, 0]);
    }

    #[test]
    fn windows_that_cannot_be_are_refused() {
        for (assigner, says) in [
            (Assigner::Tumbling { size: 0, offset: 0 }, "0 ms"),
            (
                Assigner::Tumbling {
                    size: 5,
                    offset: -5,
                },
                "offset of -5",
            ),
            (Assigner::Session { gap: -1 }, "-1 ms"),
            (
                Assigner::Sliding {
                    size: 5,
                    slide: 6,
                    offset: 0,
                },
                "belong to none",
            ),
            (
                Assigner::Sliding {
                    size: i64::MAX,
                    slide: 1,
                    offset: 0,
                },
                "each row would be in",
            ),
        ] {
            let error = assigner.check().unwrap_err().to_string();
            assert!(error.contains(says), "{error}");
        }
        assert_eq!(Assigner::Session { gap: 1 }.check(), Ok(()));
    }

    proptest! {
        #[test]
        fn a_row_is_in_each_of_its_windows_and_in_no_other(
            time in -1000_i64..1000, size in 1_i64..60, slide in 1_i64..60, offset in -70_i64..70,
        ) {
            let sliding = Assigner::Sliding { size, slide, offset };
            let windows: Vec<Window> = sliding.assign(time).collect();
            let begins = |start: i64| (start - offset).rem_euclid(slide) == 0;
            let all = (time - size - 1..=time + 1).rev().filter(|&start| {
                begins(start) && start <= time && time < start + size
            });
            let all: Vec<Window> = all.map(|start| Window { start, end: start + size }).collect();
            prop_assert_eq!(windows, all);
        }

        #[test]
        fn a_row_is_in_the_windows_of_its_pane(
            time in -1000_i64..1000, size in 1_i64..60, slide in 1_i64..60, offset in -70_i64..70,
        ) {
            let slide = slide.min(size);
            let sliding = Assigner::Sliding { size, slide, offset };
            let panes = sliding.panes().unwrap();
            let pane = panes.of(time);
            prop_assert!(pane.start <= time && time < pane.end);
            let mut windows: Vec<Window> = sliding.assign(time).collect();
            windows.reverse();
            prop_assert_eq!(panes.windows(pane).collect::<Vec<_>>(), windows.clone());
            prop_assert_eq!(Some(panes.last_window(pane)), windows.last().copied());
            for window in windows {
                let within: Vec<_> = panes.within(window).collect();
                prop_assert_eq!(within[0].0.start, window.start);
                prop_assert_eq!(within[within.len() - 1].0.end, window.end);
                for (pane, is_last) in within {
                    prop_assert!(panes.windows(pane).any(|of| of == window));
                    prop_assert_eq!(is_last, panes.last_window(pane) == window);
                }
            }
        }

        #[test]
        fn no_time_breaks_it(time: i64, size in 1_i64.., slide in 1_i64..) {
            let slide = slide.min(size).max(size / Assigner::MOST + 1);
            let sliding = Assigner::Sliding { size, slide, offset: 0 };
            for window in sliding.assign(time) {
                prop_assert!(window.start <= time || time < i64::MIN + size);
            }
        }
    }
}
