//! What is due at a time.

use std::collections::VecDeque;

/// Things by the millisecond after which they are due, from the first that is not over on.
pub(super) struct Due<T> {
    at: VecDeque<Vec<T>>,
    /// The time of the first of them; none before the first event.
    now: Option<i64>,
}

impl<T> Default for Due<T> {
    fn default() -> Self {
        Self {
            at: VecDeque::new(),
            now: None,
        }
    }
}

impl<T> Due<T> {
    /// It is due when `time` is over, which it is not yet.
    #[inline]
    pub(super) fn put(&mut self, time: i64, thing: T) {
        let now = *self.now.get_or_insert(time);
        let place = (time - now).max(0) as usize;
        if place >= self.at.len() {
            self.at.resize_with(place + 1, Vec::new);
        }
        self.at[place].push(thing);
    }

    /// Whether no time is over that was not before.
    #[inline]
    pub(super) fn is_now(&self, time: i64) -> bool {
        self.now == Some(time)
    }

    /// The next millisecond that is over when it is `time`, and what was due after it. Goes back
    /// by [`give_back`](Self::give_back).
    pub(super) fn next_before(&mut self, time: i64) -> Option<(i64, Vec<T>)> {
        let now = *self.now.get_or_insert(time);
        if now >= time {
            return None;
        }
        if self.at.is_empty() {
            self.now = Some(time);
            return None;
        }
        self.now = Some(now + 1);
        Some((now, self.at.pop_front()?))
    }

    /// The list serves again.
    pub(super) fn give_back(&mut self, mut list: Vec<T>) {
        list.clear();
        self.at.push_back(list);
    }

    /// The last millisecond that something is due after, if any.
    pub(super) fn last(&self) -> Option<i64> {
        let last = self.at.iter().rposition(|list| !list.is_empty())?;
        Some(self.now? + last as i64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn things_are_due_when_their_time_is_over() {
        let mut due = Due::default();
        let over = |due: &mut Due<char>, time| {
            let mut found = Vec::new();
            while let Some((at, list)) = due.next_before(time) {
                found.extend(list.iter().map(|thing| (at, *thing)));
                due.give_back(list);
            }
            assert!(due.is_now(time));
            found
        };
        assert_eq!(over(&mut due, 10), []);
        due.put(12, 'b');
        due.put(10, 'a');
        due.put(12, 'c');
        assert_eq!((over(&mut due, 10), due.last()), (vec![], Some(12)));
        assert_eq!(over(&mut due, 12), [(10, 'a')]);
        due.put(15, 'd');
        assert_eq!(over(&mut due, 20), [(12, 'b'), (12, 'c'), (15, 'd')]);
        assert_eq!(due.last(), None);
    }
}
