//! A record in the arena of a segment: what a key is, how long its value is and may become.
//!
//! Layout, little endian: `low half of the hash u32, key length u32, value length u32, key group
//! u16, capacity class u8, mark u8, key, value, padding to a multiple of 8`. The upper half of the
//! hash is in the cell that points here. The mark is the low byte of the epoch of the last change,
//! see [`changed_since`](super::epoch::changed_since). A record may have *no value*: then it has
//! been removed, and waits in its place for the next value of its key.
//!
//! INVARIANT: offsets given to these functions are those of records of the same arena.

use std::ops::Range;

use weir_model::same_key;

/// The bytes before the key.
pub(super) const HEADER: usize = 16;

/// In place of the length of a value: there is none. No value is so long, see `limits`.
const NO_VALUE: u32 = u32::MAX;

/// Appends a record for a new key, with this hash, key group and mark, and with room for a value of
/// `room` bytes.
pub(super) fn push(
    arena: &mut Vec<u8>,
    (hash, group, mark): (u64, u16, u8),
    key: &[u8],
    value: &[u8],
    room: usize,
) {
    let class = class_of(room.max(value.len()));
    let end = arena.len() + padded(HEADER + key.len() + capacity_of(class));
    let mut head = [0; HEADER];
    head[..4].copy_from_slice(&(hash as u32).to_le_bytes());
    head[4..8].copy_from_slice(&(key.len() as u32).to_le_bytes());
    head[8..12].copy_from_slice(&(value.len() as u32).to_le_bytes());
    head[12..14].copy_from_slice(&group.to_le_bytes());
    head[14..].copy_from_slice(&[class, mark]);
    arena.reserve(end - arena.len());
    arena.extend_from_slice(&head);
    arena.extend_from_slice(key);
    arena.extend_from_slice(value);
    arena.resize(end, 0);
}

/// Copies the record at `from` to the end of the same arena, with room for a value of `room` bytes.
pub(super) fn copy_to_end(arena: &mut Vec<u8>, from: usize, room: usize) {
    let (key_len, value_len) = (key_len(arena, from), value_len(arena, from));
    let class = class_of(room.max(value_len));
    let to = arena.len();
    arena.extend_from_within(from..from + HEADER + key_len + value_len);
    arena[to + 14] = class;
    arena.resize(to + padded(HEADER + key_len + capacity_of(class)), 0);
}

/// Copies the record at `from` to the end of another arena, as it is.
pub(super) fn copy(arena: &[u8], from: usize, to: &mut Vec<u8>) {
    to.extend_from_slice(&arena[from..from + size(arena, from)]);
}

/// Bytes of the record, its header and padding included.
pub(super) fn size(arena: &[u8], at: usize) -> usize {
    padded(HEADER + key_len(arena, at) + capacity(arena, at))
}

#[inline]
pub(super) fn key(arena: &[u8], at: usize) -> &[u8] {
    &arena[at + HEADER..][..key_len(arena, at)]
}

/// Both in one; without a value where there is none.
#[inline]
pub(super) fn key_and_value(arena: &[u8], at: usize) -> (&[u8], Option<&[u8]>) {
    let (head, rest) = arena[at..].split_at(HEADER);
    let (key, rest) = rest.split_at(u32_at(head, 4));
    // That there is none is not left to the end of the arena, which may be further than that.
    match u32_at(head, 8) {
        len if len == NO_VALUE as usize => (key, None),
        len => (key, rest.get(..len)),
    }
}

/// Whether the record has a value.
#[inline]
pub(super) fn has_value(arena: &[u8], at: usize) -> bool {
    value_len(arena, at) != NO_VALUE as usize
}

/// Takes the value from a record.
#[inline]
pub(super) fn remove_value(arena: &mut [u8], at: usize) {
    arena[at + 8..at + 12].copy_from_slice(&NO_VALUE.to_le_bytes());
}

/// Replaces the value in an epoch with this mark, if the record is of `key` and the value fits;
/// gives back whether it did: `Some` of whether there was none.
#[inline]
pub(super) fn replace(
    arena: &mut [u8],
    at: usize,
    mark: u8,
    key: &[u8],
    value: &[u8],
) -> Option<bool> {
    let (head, rest) = arena[at..].split_at_mut(HEADER);
    let (own, rest) = rest.split_at_mut(u32_at(head, 4));
    if !same_key(own, key) || !has_room(capacity_of(head[14]), value.len()) {
        return None;
    }
    let is_new = head[8..12] == NO_VALUE.to_le_bytes();
    match (value.as_array::<8>(), rest.first_chunk_mut::<8>()) {
        (Some(number), Some(room)) => *room = *number,
        _ => rest[..value.len()].copy_from_slice(value),
    }
    head[8..12].copy_from_slice(&(value.len() as u32).to_le_bytes());
    head[15] = mark;
    Some(is_new)
}

/// The value of the record, if there is one at this offset, it is of `key`, and its value has `V`
/// bytes. Any offset may be given.
#[inline]
pub(super) fn even_value<'a, const K: usize, const V: usize>(
    arena: &'a [u8],
    at: usize,
    key: &[u8; K],
) -> Option<&'a [u8; V]> {
    let (head, rest) = arena.get(at..)?.split_first_chunk::<HEADER>()?;
    let (own, rest) = rest.split_first_chunk::<K>()?;
    let value = rest.first_chunk::<V>()?;
    (lengths(head) == [K, V] && is_same(own, key)).then_some(value)
}

/// Replaces the value in an epoch with this mark, if [`even_value`] finds one; gives back whether.
#[inline]
pub(super) fn replace_even<const K: usize, const V: usize>(
    arena: &mut [u8],
    at: usize,
    mark: u8,
    key: &[u8; K],
    value: &[u8; V],
) -> bool {
    let record = arena.get_mut(at..).unwrap_or_default();
    if let Some((head, rest)) = record.split_first_chunk_mut::<HEADER>()
        && let Some((own, rest)) = rest.split_first_chunk_mut::<K>()
        && let Some(room) = rest.first_chunk_mut::<V>()
        && lengths(head) == [K, V]
        && is_same(own, key)
    {
        *room = *value;
        head[15] = mark;
        return true;
    }
    false
}

/// Arrays that are longer the compiler compares by a call.
#[inline]
fn is_same<const K: usize>(left: &[u8; K], right: &[u8; K]) -> bool {
    match K {
        ..=32 => left == right,
        _ => same_key(left, right),
    }
}

/// How long key and value are.
#[inline]
fn lengths(head: &[u8; HEADER]) -> [usize; 2] {
    [u32_at(head, 4), u32_at(head, 8)]
}

#[inline]
pub(super) fn value(arena: &[u8], at: usize) -> &[u8] {
    let head = &arena[at..at + HEADER];
    let start = at + HEADER + u32_at(head, 4);
    &arena[start..start + u32_at(head, 8)]
}

/// The lower half of the hash of the key.
pub(super) fn low_hash(arena: &[u8], at: usize) -> u32 {
    u32_at(&arena[at..at + HEADER], 0) as u32
}

/// The key group of the key.
pub(super) fn group(arena: &[u8], at: usize) -> u16 {
    u16::from_le_bytes([arena[at + 12], arena[at + 13]])
}

/// The low byte of the epoch of the last change.
#[inline]
pub(super) fn mark(arena: &[u8], at: usize) -> u8 {
    arena[at + 15]
}

/// Says in which epoch the value was changed.
#[inline]
pub(super) fn set_mark(arena: &mut [u8], at: usize, mark: u8) {
    arena[at + 15] = mark;
}

/// The longest value that fits.
#[inline]
pub(super) fn capacity(arena: &[u8], at: usize) -> usize {
    capacity_of(arena[at + 14])
}

/// Whether a value of `len` bytes may be written in place: it fits, and does not leave most of a
/// large record unused.
#[inline]
pub(super) fn fits(arena: &[u8], at: usize, len: usize) -> bool {
    has_room(capacity(arena, at), len)
}

#[inline]
fn has_room(capacity: usize, len: usize) -> bool {
    len <= capacity && (capacity <= 256 || len * 4 >= capacity)
}

/// Replaces the value; it fits.
#[inline]
pub(super) fn set_value(arena: &mut [u8], at: usize, value: &[u8]) {
    let start = at + HEADER + key_len(arena, at);
    arena[start..start + value.len()].copy_from_slice(value);
    arena[at + 8..at + 12].copy_from_slice(&(value.len() as u32).to_le_bytes());
}

/// Replaces a part of the value; it fits.
#[inline]
pub(super) fn splice_value(arena: &mut [u8], at: usize, part: Range<usize>, bytes: &[u8]) {
    let (start, len) = (at + HEADER + key_len(arena, at), value_len(arena, at));
    let from = start + part.start;
    if part.len() != bytes.len() {
        let behind = start + part.end..start + len;
        arena.copy_within(behind, from + bytes.len());
        let len = (len - part.len() + bytes.len()) as u32;
        arena[at + 8..at + 12].copy_from_slice(&len.to_le_bytes());
    }
    arena[from..from + bytes.len()].copy_from_slice(bytes);
}

/// Appends to the value in an epoch with this mark, if the record is of `key`, has a value that
/// begins with `first`, and this becomes no longer than `most` bytes and has room; gives back
/// whether it did.
#[inline]
pub(super) fn append(
    arena: &mut [u8],
    at: usize,
    mark: u8,
    key: &[u8],
    (first, most): (u8, usize),
    bytes: &[u8],
) -> bool {
    let (head, rest) = arena[at..].split_at_mut(HEADER);
    let (own, rest) = rest.split_at_mut(u32_at(head, 4));
    let len = u32_at(head, 8);
    // Where there is no value, this is longer than anything has room for.
    let end = len + bytes.len();
    let has_room = end <= capacity_of(head[14]).min(most);
    if !has_room || rest.first() != Some(&first) || !same_key(own, key) {
        return false;
    }
    let room = &mut rest[len..end];
    // A number and its length are copied in line.
    match (bytes.as_array::<9>(), room.first_chunk_mut::<9>()) {
        (Some(number), Some(room)) => *room = *number,
        _ => room.copy_from_slice(bytes),
    }
    head[8..12].copy_from_slice(&(end as u32).to_le_bytes());
    head[15] = mark;
    true
}

/// Appends to the value; it fits.
#[inline]
pub(super) fn append_value(arena: &mut [u8], at: usize, bytes: &[u8]) {
    let len = value_len(arena, at);
    let start = at + HEADER + key_len(arena, at) + len;
    arena[start..start + bytes.len()].copy_from_slice(bytes);
    let len = (len + bytes.len()) as u32;
    arena[at + 8..at + 12].copy_from_slice(&len.to_le_bytes());
}

/// The first 8 bytes of a key as a number that is ordered as they are.
#[inline]
pub(super) fn prefix_of(key: &[u8]) -> u64 {
    if let Some(first) = key.first_chunk() {
        return u64::from_be_bytes(*first);
    }
    let mut prefix = [0; 8];
    prefix[..key.len()].copy_from_slice(key);
    u64::from_be_bytes(prefix)
}

#[inline]
fn key_len(arena: &[u8], at: usize) -> usize {
    u32_at(&arena[at..at + HEADER], 4)
}

#[inline]
fn value_len(arena: &[u8], at: usize) -> usize {
    u32_at(&arena[at..at + HEADER], 8)
}

#[inline]
fn u32_at(head: &[u8], at: usize) -> usize {
    u32::from_le_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]]) as usize
}

#[inline]
fn padded(len: usize) -> usize {
    (len + 7) & !7
}

/// The smallest capacity class that holds `len` bytes. Classes are `(8 + m) << e` with three bits
/// of `m`: at most an eighth is wasted, and one byte says it.
fn class_of(len: usize) -> u8 {
    let len = len.max(8);
    let e = len.ilog2() - 3;
    // Rounded up, the eight steps of this power of two may end in the first of the next.
    let m = len.div_ceil(1 << e) - 8;
    (e as usize * 8 + m) as u8
}

#[inline]
fn capacity_of(class: u8) -> usize {
    (8 + usize::from(class & 7)) << (class >> 3)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_class_holds_what_it_was_chosen_for_and_little_more() {
        for len in (0..5000).chain([65_535, 65_536, 65_537, 1 << 20, (1 << 32) - 1]) {
            let capacity = capacity_of(class_of(len));
            assert!(
                capacity >= len && capacity <= (len + len / 8 + 1).max(8),
                "{len}"
            );
        }
    }

    #[test]
    fn a_record_keeps_key_and_value_where_it_goes() {
        let mut arena = Vec::new();
        let head = (0x1234_5678_9abc_def0, 513, 9);
        push(&mut arena, head, b"key", b"value", 5);
        let second = arena.len();
        push(&mut arena, (7, 3, 1), b"", b"", 0);
        assert_eq!(second % 8, 0);
        assert_eq!((low_hash(&arena, 0), group(&arena, 0)), (0x9abc_def0, 513));
        assert_eq!(
            (key(&arena, 0), value(&arena, 0)),
            (&b"key"[..], &b"value"[..])
        );
        assert_eq!(
            (key(&arena, second), value(&arena, second)),
            (&b""[..], &b""[..])
        );
        assert_eq!(capacity(&arena, 0), 8);
        let third = arena.len();
        copy_to_end(&mut arena, 0, 100);
        append_value(&mut arena, third, &[b'x'; 95]);
        assert_eq!(value(&arena, third).len(), 100);
        assert_eq!(key(&arena, third), b"key");
        assert_eq!((mark(&arena, third), mark(&arena, second)), (9, 1));
        set_mark(&mut arena, third, 200);
        assert_eq!(
            (mark(&arena, third), capacity(&arena, third) >= 100),
            (200, true)
        );
        assert_eq!(arena.len(), third + size(&arena, third));
        set_value(&mut arena, third, b"value");
        splice_value(&mut arena, third, 1..3, b"AL");
        assert_eq!(value(&arena, third), b"vALue");
        splice_value(&mut arena, third, 1..4, b"");
        splice_value(&mut arena, third, 1..1, b"oic");
        assert_eq!(value(&arena, third), b"voice");
        remove_value(&mut arena, third);
        assert!(has_value(&arena, 0) && !has_value(&arena, third));
        let mut append = |at: usize, key: &[u8], limits, bytes: &[u8]| {
            let before = arena.clone();
            let done = append(&mut arena, at, 8, key, limits, bytes);
            assert_eq!(done, arena != before);
            done
        };
        assert!(!append(third, b"key", (b'v', 100), b"more"), "no value");
        assert!(!append(0, b"kez", (b'v', 100), b"s"), "another key");
        assert!(!append(0, b"key", (b'w', 100), b"s"), "another beginning");
        assert!(!append(0, b"key", (b'v', 5), b"s"), "too long");
        assert!(!append(0, b"key", (b'v', 100), b"more"), "no room");
        assert!(append(0, b"key", (b'v', 6), b"s"));
        assert_eq!((value(&arena, 0), mark(&arena, 0)), (&b"values"[..], 8));
        assert_eq!(key_and_value(&arena, third), (&b"key"[..], None));
        assert_eq!(arena.len(), third + size(&arena, third));
        assert_eq!(replace(&mut arena, third, 7, b"kex", b"none"), None);
        assert_eq!(replace(&mut arena, third, 7, b"key", b"again"), Some(true));
        assert_eq!(replace(&mut arena, third, 7, b"key", b"once"), Some(false));
        assert_eq!(value(&arena, third), b"once");
    }
}
