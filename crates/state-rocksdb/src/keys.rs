//! How keys lie in the database (D18): key group (2 bytes, big endian) ‖ key ‖ namespace ‖ map key.
//!
//! INVARIANT: byte order of what is written here is the order of (key group, key, namespace, map
//! key), and no key is a prefix of another. So each part but the last is escaped: `00` becomes
//! `00 FF`, and `00 00` ends it.

use weir_model::{KeyGroup, KeyGroupRange};
use weir_state::{KeyBatch, Which};

/// The bytes of a key group.
pub(crate) const GROUP_BYTES: usize = 2;

const END: [u8; 2] = [0, 0];
const ESCAPED: [u8; 2] = [0, 0xff];

/// Appends the key of a cell or a list. The namespace is its last part and still always empty.
pub(crate) fn put_key(out: &mut Vec<u8>, group: KeyGroup, key: &[u8]) {
    out.extend_from_slice(&group.0.to_be_bytes());
    put_part(out, key);
}

/// Appends what all entries of one map have in common.
pub(crate) fn put_map_prefix(out: &mut Vec<u8>, group: KeyGroup, key: &[u8]) {
    put_key(out, group, key);
    put_part(out, &[]);
}

fn put_part(out: &mut Vec<u8>, part: &[u8]) {
    if part.contains(&0) {
        for &byte in part {
            match byte {
                0 => out.extend_from_slice(&ESCAPED),
                byte => out.push(byte),
            }
        }
    } else {
        out.extend_from_slice(part);
    }
    out.extend_from_slice(&END);
}

/// The parts of a stored key; `None` where it is none of ours. Of a cell or a list the rest is
/// empty, of a map it is the map key. The key itself is written to `key`.
pub(crate) fn split<'a>(
    stored: &'a [u8],
    map: bool,
    key: &mut Vec<u8>,
) -> Option<(KeyGroup, &'a [u8])> {
    let (group, rest) = stored.split_first_chunk::<GROUP_BYTES>()?;
    key.clear();
    let mut rest = take_part(rest, key)?;
    if map {
        // Namespaces are reserved: none is written yet.
        rest = rest.strip_prefix(&END)?;
    } else if !rest.is_empty() {
        return None;
    }
    Some((KeyGroup(u16::from_be_bytes(*group)), rest))
}

fn take_part<'a>(mut bytes: &'a [u8], part: &mut Vec<u8>) -> Option<&'a [u8]> {
    loop {
        let zero = bytes.iter().position(|&byte| byte == 0)?;
        part.extend_from_slice(&bytes[..zero]);
        let (mark, rest) = bytes[zero..].split_first_chunk::<2>()?;
        bytes = rest;
        match *mark {
            END => return Some(rest),
            ESCAPED => part.push(0),
            _ => return None,
        }
    }
}

/// What the entries of one map have in common in a stored key; all of it where it is none of ours.
pub(crate) fn map_prefix(stored: &[u8]) -> &[u8] {
    let mut at = GROUP_BYTES;
    for _ in 0..2 {
        match end_of_part(stored, at) {
            Some(end) => at = end,
            None => return stored,
        }
    }
    &stored[..at]
}

/// Whether a stored key is of an entry of a map.
pub(crate) fn is_of_map(stored: &[u8]) -> bool {
    end_of_part(stored, GROUP_BYTES)
        .and_then(|end| end_of_part(stored, end))
        .is_some()
}

fn end_of_part(stored: &[u8], from: usize) -> Option<usize> {
    let mut at = from;
    loop {
        at += stored.get(at..)?.iter().position(|&byte| byte == 0)? + 2;
        if *stored.get(at - 1)? == 0 {
            return Some(at);
        }
    }
}

/// The first key behind all entries of the map with this prefix, which ends with `00`.
pub(crate) fn after_map(prefix: &[u8]) -> Vec<u8> {
    let mut after = prefix.to_vec();
    if let Some(last) = after.last_mut() {
        *last += 1;
    }
    after
}

/// The first key of a key group.
pub(crate) fn first_of(group: KeyGroup) -> [u8; GROUP_BYTES] {
    group.0.to_be_bytes()
}

/// The first key behind a range of key groups. Groups are below 2^15, so there is one.
pub(crate) fn end_of(range: KeyGroupRange) -> [u8; GROUP_BYTES] {
    range.end.0.saturating_add(1).to_be_bytes()
}

/// Stored keys of one access, in order of bytes: neighbours share blocks and paths. Buffers are
/// used again.
#[derive(Debug, Default)]
pub(crate) struct Sorted {
    bytes: Vec<u8>,
    ends: Vec<usize>,
    /// The first bytes of each key behind its group, and its position in the access.
    order: Vec<(u64, u32)>,
    /// Of each position in the access, where it is in the order.
    ranks: Vec<u32>,
}

impl Sorted {
    /// The keys `which` of a cell or list state.
    pub(crate) fn keys(&mut self, keys: &KeyBatch<'_>, which: Which<'_>) {
        self.clear();
        for position in 0..which.len(keys.keys.len()) {
            let key = which.get(position);
            put_key(&mut self.bytes, keys.groups[key], keys.keys.get(key));
            self.ends.push(self.bytes.len());
        }
        self.sort();
    }

    /// Entries of maps: `which` and `map_keys` are as long as each other.
    pub(crate) fn entries<'a>(
        &mut self,
        keys: &KeyBatch<'_>,
        which: Which<'_>,
        map_keys: impl Iterator<Item = &'a [u8]>,
    ) {
        self.clear();
        for (position, map_key) in map_keys.enumerate() {
            let key = which.get(position);
            put_map_prefix(&mut self.bytes, keys.groups[key], keys.keys.get(key));
            self.bytes.extend_from_slice(map_key);
            self.ends.push(self.bytes.len());
        }
        self.sort();
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.ends.len()
    }

    /// The key at a position of the access.
    pub(crate) fn get(&self, position: usize) -> &[u8] {
        let start = position
            .checked_sub(1)
            .map_or(0, |before| self.ends[before]);
        &self.bytes[start..self.ends[position]]
    }

    /// The positions of the access, in order of their keys.
    pub(crate) fn positions(&self) -> impl ExactSizeIterator<Item = usize> {
        self.order.iter().map(|&(_, position)| position as usize)
    }

    /// Where the key at each position of the access is in the order.
    pub(crate) fn ranks(&mut self) -> &[u32] {
        self.ranks.clear();
        self.ranks.resize(self.order.len(), 0);
        for (rank, &(_, position)) in (0..).zip(&self.order) {
            self.ranks[position as usize] = rank;
        }
        &self.ranks
    }

    fn clear(&mut self) {
        /// What one large access needed more is given back.
        const KEEP_BYTES: usize = 4 << 20;
        if self.bytes.capacity() > KEEP_BYTES {
            *self = Self::default();
        }
        self.bytes.clear();
        self.ends.clear();
        self.order.clear();
    }

    fn sort(&mut self) {
        let mut order = std::mem::take(&mut self.order);
        order
            .extend((0..self.len()).map(|position| (leading(self.get(position)), position as u32)));
        order.sort_unstable_by(|a, b| {
            a.0.cmp(&b.0)
                .then_with(|| self.get(a.1 as usize).cmp(self.get(b.1 as usize)))
        });
        self.order = order;
    }
}

/// The first bytes of a key as a number of the same order.
fn leading(key: &[u8]) -> u64 {
    match key.first_chunk::<8>() {
        Some(first) => u64::from_be_bytes(*first),
        None => {
            let mut first = [0; 8];
            first[..key.len()].copy_from_slice(key);
            u64::from_be_bytes(first)
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn part() -> impl Strategy<Value = Vec<u8>> {
        let byte = prop_oneof![Just(0u8), Just(1), Just(0xfe), Just(0xff), any::<u8>()];
        proptest::collection::vec(byte, 0..6)
    }

    fn stored(group: u16, key: &[u8], map_key: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        put_map_prefix(&mut out, KeyGroup(group), key);
        out.extend_from_slice(map_key);
        out
    }

    proptest! {
        #[test]
        fn the_order_of_stored_keys_is_that_of_their_parts(
            a in (0..4u16, part(), part()),
            b in (0..4u16, part(), part()),
        ) {
            let left = stored(a.0, &a.1, &a.2);
            let right = stored(b.0, &b.1, &b.2);
            prop_assert_eq!(left.cmp(&right), a.cmp(&b));
        }

        #[test]
        fn a_stored_key_is_split_into_its_parts(
            group in any::<u16>(),
            key in part(),
            map_key in part(),
        ) {
            let entry = stored(group, &key, &map_key);
            let mut read = Vec::new();
            let split_entry = split(&entry, true, &mut read);
            prop_assert_eq!(split_entry, Some((KeyGroup(group), map_key.as_slice())));
            prop_assert_eq!(&read, &key);
            prop_assert_eq!(map_prefix(&entry), &entry[..entry.len() - map_key.len()]);
            let mut cell = Vec::new();
            put_key(&mut cell, KeyGroup(group), &key);
            prop_assert_eq!(split(&cell, false, &mut read), Some((KeyGroup(group), &[][..])));
            prop_assert_eq!(&read, &key);
        }

        #[test]
        fn what_is_none_of_our_keys_is_told(bytes in proptest::collection::vec(0..3u8, 0..8)) {
            let mut key = Vec::new();
            let _ = split(&bytes, true, &mut key);
            let _ = split(&bytes, false, &mut key);
            prop_assert!(map_prefix(&bytes).len() <= bytes.len());
        }

        #[test]
        fn a_map_ends_before_what_follows_its_prefix(
            key in part(), map_key in part(), other in (0..4u16, part(), part()),
        ) {
            let entry = stored(2, &key, &map_key);
            let after = after_map(map_prefix(&entry));
            prop_assert!(entry < after);
            let (group, other_key, other_map_key) = other;
            let other = stored(group, &other_key, &other_map_key);
            let of_this_map = (group, &other_key) == (2, &key);
            let inside = other.as_slice() >= map_prefix(&entry) && other < after;
            prop_assert_eq!(inside, of_this_map);
        }
    }
}
