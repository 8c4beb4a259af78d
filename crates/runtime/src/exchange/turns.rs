//! Whose turn it is of the channels that a task takes from.
//!
//! What is no batch costs little and may be what others wait for, such as a barrier: it comes
//! before batches. Of batches with event times the one that begins first comes first, as far as
//! they are there: a join meets few rows then before those that they belong to, and a window few
//! after it was over. Of two that begin together it is the one of fewer rows, which keeps the other
//! waiting less. All others take turns, and none is passed over for ever: one that was often enough
//! comes even before a barrier.

use weir_model::Element;

/// A channel that was passed over so often, for each channel that there is, comes first: of many,
/// each is passed over more often.
const PATIENCE: u32 = 4;

/// What is at the head of a channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Head {
    /// Rows.
    Batch {
        /// The event time of the first, if it has one.
        begins: Option<i64>,
        /// How many there are.
        rows: usize,
    },
    /// Anything else.
    Control,
}

impl Head {
    pub(super) fn of(element: &Element) -> Self {
        match element {
            Element::Batch(batch) => Self::Batch {
                begins: batch.timestamps.first().copied(),
                rows: batch.len(),
            },
            _ => Self::Control,
        }
    }
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Turns {
    /// Where the last element came from.
    last: usize,
    /// How often each channel was passed over since it had its turn.
    passed: Vec<u32>,
}

impl Turns {
    /// The channel whose turn it is, of so many; `head` gives what may be taken of each.
    pub(super) fn next(
        &mut self,
        channels: usize,
        head: impl Fn(usize) -> Option<Head>,
    ) -> Option<usize> {
        self.passed.resize(channels, 0);
        let most = most_passed(channels);
        let (mut next, mut least) = (None, None);
        for index in (1..=channels).map(|step| (self.last + step) % channels) {
            let rank = match head(index) {
                None => continue,
                Some(Head::Batch { begins, rows }) if self.passed[index] < most => {
                    begins.map(|begins| (begins, rows))
                }
                Some(Head::Batch { .. } | Head::Control) => {
                    next = Some(index);
                    break;
                }
            };
            match (rank, least) {
                // In turn, where there is nothing to go by.
                _ if next.is_none() => (next, least) = (Some(index), rank),
                (Some(rank), Some(so_far)) if rank < so_far => {
                    (next, least) = (Some(index), Some(rank));
                }
                _ => {}
            }
        }
        let next = next?;
        self.last = next;
        for (index, passed) in self.passed.iter_mut().enumerate() {
            *passed = match index == next {
                true => 0,
                false => passed.saturating_add(u32::from(head(index).is_some())),
            };
        }
        Some(next)
    }
}

/// How often one of so many channels may be passed over.
fn most_passed(channels: usize) -> u32 {
    PATIENCE.saturating_mul(u32::try_from(channels).unwrap_or(u32::MAX))
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*};

    use super::*;

    fn batch(begins: impl Into<Option<i64>>, rows: usize) -> Head {
        let begins = begins.into();
        Head::Batch { begins, rows }
    }

    /// Whose turn it is, again and again, where the heads stay as they are.
    fn turns<const N: usize>(heads: &[Option<Head>], turns: &mut Turns) -> [usize; N] {
        [(); N].map(|()| turns.next(heads.len(), |index| heads[index]).unwrap())
    }

    #[test]
    fn what_has_no_event_time_takes_turns() {
        let heads = [
            Some(batch(None, 9)),
            None,
            Some(batch(None, 1)),
            Some(batch(None, 5)),
        ];
        assert_eq!(turns(&heads, &mut Turns::default()), [2, 3, 0, 2, 3, 0]);
    }

    #[test]
    fn what_begins_first_comes_first_and_the_shorter_of_two() {
        let heads = [Some(batch(5, 100)), Some(batch(4, 100)), Some(batch(4, 7))];
        assert_eq!(turns(&heads, &mut Turns::default()), [2, 2, 2]);
        let heads = [Some(batch(5, 1)), None, Some(batch(6, 1))];
        assert_eq!(turns(&heads, &mut Turns::default()), [0, 0]);
    }

    #[test]
    fn of_many_channels_too_the_one_that_begins_first_comes_first() {
        let heads: Vec<_> = (0..50).map(|begins| Some(batch(begins, 1))).collect();
        assert_eq!(turns(&heads, &mut Turns::default()), [0; 200]);
        // Then all others have waited for long enough, in turn.
        let mut waiting = Turns::default();
        let _: [usize; 200] = turns(&heads, &mut waiting);
        assert_eq!(turns(&heads, &mut waiting), [1, 2, 3]);
    }

    #[test]
    fn what_is_no_batch_does_not_wait() {
        let heads = [Some(batch(1, 1)), Some(Head::Control), Some(batch(0, 1))];
        assert_eq!(turns(&heads, &mut Turns::default()), [1, 1]);
    }

    #[test]
    fn nothing_is_there() {
        assert_eq!(Turns::default().next(0, |_| None), None);
        assert_eq!(Turns::default().next(3, |_| None), None);
    }

    /// A batch, or nothing.
    fn heads() -> impl Strategy<Value = Option<Head>> {
        let batch = (prop::option::of(-3..3_i64), 0..3_usize);
        prop::option::of(batch.prop_map(|(begins, rows)| Head::Batch { begins, rows }))
    }

    proptest! {
        /// Whatever batches come, a channel that has one gets its turn.
        #[test]
        fn no_channel_is_passed_over_for_ever(
            others in vec(vec(heads(), 200), 1..4),
        ) {
            let (mut turns, late) = (Turns::default(), batch(9, 9));
            let channels = others.len() + 1;
            let mut waited = 0;
            for call in 0..200 {
                let head = |index: usize| match others.get(index) {
                    Some(heads) => heads[call],
                    None => Some(late),
                };
                let next = turns.next(channels, head).unwrap();
                prop_assert!(head(next).is_some());
                waited = if next + 1 == channels { 0 } else { waited + 1 };
                prop_assert!(waited <= most_passed(channels) + others.len() as u32);
            }
        }
    }
}
