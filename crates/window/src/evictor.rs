//! What is left out of a window before its function sees it, or after.

/// Which rows of a window go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Evictor {
    /// All but the last so many.
    Count(usize),
    /// Those that are so many milliseconds earlier than the latest one, or more.
    Time(i64),
}

impl Evictor {
    /// Whether each row stays, by the times of all, in the order in which they came.
    pub fn keeps<'a>(&self, times: &'a [i64]) -> impl Iterator<Item = bool> + use<'a> {
        let (first, cutoff) = match *self {
            Self::Count(most) => (times.len().saturating_sub(most), i64::MIN),
            Self::Time(ms) => {
                let latest = times.iter().max().copied().unwrap_or(i64::MIN);
                (0, latest.saturating_sub(ms))
            }
        };
        let by_time = matches!(self, Self::Time(_));
        let keeps = move |(at, &time): (usize, &i64)| at >= first && (!by_time || time > cutoff);
        times.iter().enumerate().map(keeps)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn c26_evictors() {
        let kept =
            |evictor: Evictor, times: &[i64]| -> Vec<bool> { evictor.keeps(times).collect() };
        assert_eq!(kept(Evictor::Count(2), &[1, 2, 3]), [false, true, true]);
        assert_eq!(kept(Evictor::Count(5), &[1, 2]), [true, true]);
        assert_eq!(kept(Evictor::Time(1), &[1, 2, 3]), [false, false, true]);
        assert_eq!(kept(Evictor::Time(2), &[3, 1, 2]), [true, false, true]);
        assert!(kept(Evictor::Time(1), &[]).is_empty());
    }
}
