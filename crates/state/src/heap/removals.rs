//! What was removed since the oldest base: a log an epoch of keys and map keys (D11).
//!
//! A log is not sorted, nor is what is there again taken out: that is done when a snapshot is
//! written, off the task. So a removal costs the copy of a key, and nothing where nobody asks.
//!
//! INVARIANT: the logs of the epochs after `lost` are complete.

use std::sync::Arc;

use crate::rows::{self, Reader};

/// Logs may take this many bytes whatever there is.
const MIN_BYTES: usize = 64 * 1024;
/// And this many for each entry that is there: when so much was removed, writing everything anew
/// costs no more than telling it.
const BYTES_PER_ENTRY: u64 = 16;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Removals {
    on: bool,
    /// The last epoch whose log is not complete.
    lost: u64,
    current: Vec<u8>,
    /// Of earlier epochs, with each its number.
    ended: Vec<(u64, Arc<Vec<u8>>)>,
    /// The bytes of those.
    bytes: usize,
}

/// A removed key, or an entry of its map.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Removed<'a> {
    pub(super) group: u16,
    pub(super) key: &'a [u8],
    /// `None` = all of the key. Sorts before its entries.
    pub(super) map_key: Option<&'a [u8]>,
}

impl Removals {
    #[inline]
    pub(super) fn push(&mut self, group: u16, key: &[u8], map_key: Option<&[u8]>) {
        if !self.on {
            return;
        }
        self.current.extend_from_slice(&group.to_le_bytes());
        rows::put_bytes(&mut self.current, key);
        match map_key {
            None => self.current.push(0),
            Some(map_key) => {
                self.current.push(1);
                rows::put_bytes(&mut self.current, map_key);
            }
        }
    }

    /// Gives up what takes too much room, beside so many entries, in the epoch `now`.
    #[inline]
    pub(super) fn bound(&mut self, entries: u64, now: u64) {
        let most = usize::try_from(entries.saturating_mul(BYTES_PER_ENTRY)).unwrap_or(usize::MAX);
        if self.current.len() + self.bytes > most.max(MIN_BYTES) {
            self.lose(now);
        }
    }

    /// The epoch has ended. The logs since `base`; `None` where they are not complete.
    pub(super) fn end(&mut self, epoch: u64, base: Option<u64>) -> Option<Vec<Arc<Vec<u8>>>> {
        let log = std::mem::take(&mut self.current);
        if !self.on {
            self.lost = epoch;
        } else if !log.is_empty() {
            self.bytes += log.len();
            self.ended.push((epoch, Arc::new(log)));
        }
        let base = base.filter(|&base| base >= self.lost)?;
        let since = self.ended.iter().filter(|&&(epoch, _)| epoch > base);
        Some(since.map(|(_, log)| Arc::clone(log)).collect())
    }

    /// Lets go of what no base asks for; `None` = there is no base.
    pub(super) fn prune(&mut self, oldest: Option<u64>) {
        self.on = oldest.is_some();
        self.ended
            .retain(|&(epoch, _)| oldest.is_some_and(|oldest| epoch > oldest));
        self.bytes = self.ended.iter().map(|(_, log)| log.len()).sum();
        if !self.on {
            self.current = Vec::new();
        }
    }

    #[cold]
    fn lose(&mut self, now: u64) {
        self.lost = now;
        self.current = Vec::new();
        self.ended.clear();
        self.bytes = 0;
    }
}

/// What logs tell, in order, each once.
pub(super) fn sorted(logs: &[Arc<Vec<u8>>]) -> Vec<Removed<'_>> {
    let mut all = Vec::new();
    for log in logs {
        let mut reader = Reader::new(log);
        // What we wrote can be read.
        while let Some(removed) = read(&mut reader) {
            all.push(removed);
        }
    }
    all.sort_unstable();
    all.dedup();
    all
}

fn read<'a>(reader: &mut Reader<'a>) -> Option<Removed<'a>> {
    let group = u16::from_le_bytes([reader.byte()?, reader.byte()?]);
    let key = reader.bytes()?;
    let map_key = match reader.byte()? {
        0 => None,
        _ => Some(reader.bytes()?),
    };
    Some(Removed {
        group,
        key,
        map_key,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn logs_are_given_since_the_base_and_kept_while_it_may_be_asked_for() {
        let mut removals = Removals::default();
        removals.push(1, b"before", None);
        assert_eq!(removals.end(1, None), None);
        removals.prune(Some(1));
        removals.push(2, b"b", Some(b"entry"));
        removals.push(1, b"a", None);
        removals.push(1, b"a", None);
        let logs = removals.end(2, Some(1)).unwrap();
        let told = sorted(&logs);
        let told: Vec<_> = told.iter().map(|r| (r.group, r.key, r.map_key)).collect();
        assert_eq!(told, [(1, &b"a"[..], None), (2, b"b", Some(&b"entry"[..]))]);
        removals.push(1, b"c", None);
        assert_eq!(sorted(&removals.end(3, Some(1)).unwrap()).len(), 3);
        removals.prune(Some(2));
        assert_eq!(sorted(&removals.end(4, Some(2)).unwrap()).len(), 1);
        removals.prune(None);
        removals.push(1, b"d", None);
        assert!(removals.current.is_empty() && removals.ended.is_empty());
        assert_eq!(removals.end(5, Some(4)), None, "it was not written down");
    }

    #[test]
    fn too_many_removals_are_given_up_and_everything_is_written() {
        let mut removals = Removals::default();
        removals.end(1, None);
        removals.prune(Some(1));
        let key = [7; 1000];
        for _ in 0..200 {
            removals.push(1, &key, None);
            removals.bound(10, 2);
        }
        assert!(removals.current.len() <= MIN_BYTES);
        assert_eq!(removals.end(2, Some(1)), None);
        removals.prune(Some(2));
        removals.push(1, b"a", None);
        removals.bound(10, 3);
        assert_eq!(removals.end(3, Some(2)).unwrap().len(), 1);
    }
}
