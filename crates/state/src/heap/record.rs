//! A record in the arena of a segment: what a key is, how long its value is and may become.
//!
//! Layout, little endian: `low bits of the hash u16, key group u16, capacity class u8, mark u8, key
//! length u8, value length u8, key, value, padding to a multiple of 4`. Most records are so short:
//! of a state with many keys the more of them lie in the cache. One whose key or room for a value
//! does not fit these lengths is *long*: it has [`LONG`] for the length of its key, and then `key
//! length u32, value length u32` before its key.
//!
//! Of the lower half of the hash there are as many bits as a directory ever looks at; the upper
//! half is in the cell that points here. The mark is the low byte of the epoch of the last change,
//! see [`changed_since`](super::epoch::changed_since). A record may have *no value*: then it has
//! been removed, and waits in its place for the next value of its key.
//!
//! INVARIANT: offsets given to these functions are those of records of the same arena.

use std::{hint::select_unpredictable, ops::Range};

use weir_model::same_key;

/// What the place of a record is a multiple of.
pub(super) const UNIT: usize = 4;

/// How many bits of the hash a record has.
pub(super) const HASH_BITS: u32 = u16::BITS;

/// The bytes before the key of a record that is not long.
pub(super) const HEADER: usize = 8;
/// The bytes before the key of a long one.
const LONG_HEADER: usize = 16;

/// Where in a record what is said of it stands.
const GROUP: usize = 2;
const CLASS: usize = 4;
const MARK: usize = 5;
const KEY_LEN: usize = 6;
const VALUE_LEN: usize = 7;
/// The same of a long one.
const LONG_KEY_LEN: usize = 8;
const LONG_VALUE_LEN: usize = 12;

/// In place of the length of a key: the record is long.
const LONG: u8 = u8::MAX;

/// In place of the length of a value: there is none. No value is so long, see `limits`. Its low
/// byte says the same in a record that is not long.
const NO_VALUE: usize = u32::MAX as usize;

/// What the header of a record says of what is behind it.
#[derive(Clone, Copy)]
struct Head {
    /// Bytes before the key.
    len: usize,
    key_len: usize,
    value_len: usize,
}

impl Head {
    #[inline]
    fn of(record: &[u8]) -> Self {
        let head = &record[..HEADER];
        if head[KEY_LEN] == LONG {
            return Self::of_long(record);
        }
        Self {
            len: HEADER,
            key_len: usize::from(head[KEY_LEN]),
            value_len: match head[VALUE_LEN] {
                u8::MAX => NO_VALUE,
                len => usize::from(len),
            },
        }
    }

    fn of_long(record: &[u8]) -> Self {
        let head = &record[..LONG_HEADER];
        Self {
            len: LONG_HEADER,
            key_len: u32_at(head, LONG_KEY_LEN),
            value_len: u32_at(head, LONG_VALUE_LEN),
        }
    }

    /// That of a record with such a key and room for such a value.
    fn with(key_len: usize, value_len: usize, capacity: usize) -> Self {
        let is_long = key_len >= usize::from(LONG) || capacity >= usize::from(u8::MAX);
        Self {
            len: if is_long { LONG_HEADER } else { HEADER },
            key_len,
            value_len,
        }
    }

    /// Where the value begins.
    #[inline]
    fn value(self) -> usize {
        self.len + self.key_len
    }

    /// It as bytes, with what else a header says; both lengths fit it. The first `len` count.
    #[inline]
    fn bytes(self, (hash, group, class, mark): (u16, u16, u8, u8)) -> [u8; LONG_HEADER] {
        let mut head = [0; LONG_HEADER];
        head[..GROUP].copy_from_slice(&hash.to_le_bytes());
        head[GROUP..CLASS].copy_from_slice(&group.to_le_bytes());
        [head[CLASS], head[MARK]] = [class, mark];
        if self.len == HEADER {
            [head[KEY_LEN], head[VALUE_LEN]] = [self.key_len as u8, self.value_len as u8];
        } else {
            head[KEY_LEN] = LONG;
            head[LONG_KEY_LEN..LONG_VALUE_LEN]
                .copy_from_slice(&(self.key_len as u32).to_le_bytes());
            head[LONG_VALUE_LEN..].copy_from_slice(&(self.value_len as u32).to_le_bytes());
        }
        head
    }
}

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
    let capacity = capacity_of(class);
    let head = Head::with(key.len(), value.len(), capacity);
    let end = arena.len() + padded(head.value() + capacity);
    arena.reserve(end - arena.len());
    arena.extend_from_slice(&head.bytes((hash as u16, group, class, mark))[..head.len]);
    arena.extend_from_slice(key);
    arena.extend_from_slice(value);
    arena.resize(end, 0);
}

/// Copies the record at `from`, which has a value, to the end of the same arena, with room for a
/// value of `room` bytes.
pub(super) fn copy_to_end(arena: &mut Vec<u8>, from: usize, room: usize) {
    let old = Head::of(&arena[from..]);
    let (head, bytes, size) = with_room(arena, from, old, room);
    let end = arena.len() + size;
    arena.reserve(size);
    arena.extend_from_slice(&bytes[..head.len]);
    arena.extend_from_within(from + old.len..from + old.value() + old.value_len);
    arena.resize(end, 0);
}

/// Gives the record at `at`, which has a value and is the last of its arena, room for one of `room`
/// bytes, where it is. It had less.
pub(super) fn grow_last(arena: &mut Vec<u8>, at: usize, room: usize) {
    let old = Head::of(&arena[at..]);
    let (head, bytes, size) = with_room(arena, at, old, room);
    arena.resize(at + size, 0);
    if head.len != old.len {
        // It has become long.
        arena.copy_within(
            at + old.len..at + old.value() + old.value_len,
            at + head.len,
        );
    }
    arena[at..at + head.len].copy_from_slice(&bytes[..head.len]);
}

/// The header of the record at `at`, whose own is `old`, if it had room for a value of `room`
/// bytes: what it says, its bytes, and how many the record would have.
fn with_room(arena: &[u8], at: usize, old: Head, room: usize) -> (Head, [u8; LONG_HEADER], usize) {
    let class = class_of(room.max(old.value_len));
    let capacity = capacity_of(class);
    let head = Head::with(old.key_len, old.value_len, capacity);
    let hash = u16::from_le_bytes([arena[at], arena[at + 1]]);
    let bytes = head.bytes((hash, group(arena, at), class, mark(arena, at)));
    (head, bytes, padded(head.value() + capacity))
}

/// Copies the record at `from` to the end of another arena, as it is.
pub(super) fn copy(arena: &[u8], from: usize, to: &mut Vec<u8>) {
    to.extend_from_slice(&arena[from..from + size(arena, from)]);
}

/// Bytes of the record, its header and padding included.
pub(super) fn size(arena: &[u8], at: usize) -> usize {
    padded(Head::of(&arena[at..]).value() + capacity(arena, at))
}

#[inline]
pub(super) fn key(arena: &[u8], at: usize) -> &[u8] {
    // Who sorts records looks at keys over and over, and at nothing else.
    match arena[at + KEY_LEN] {
        LONG => {
            let head = Head::of_long(&arena[at..]);
            &arena[at + head.len..][..head.key_len]
        }
        len => &arena[at + HEADER..][..usize::from(len)],
    }
}

/// Both in one; without a value where there is none.
#[inline]
pub(super) fn key_and_value(arena: &[u8], at: usize) -> (&[u8], Option<&[u8]>) {
    let record = &arena[at..];
    let head = Head::of(record);
    let (key, rest) = record[head.len..].split_at(head.key_len);
    // That there is none is not left to the end of the arena, which may be further than that.
    match head.value_len {
        NO_VALUE => (key, None),
        len => (key, rest.get(..len)),
    }
}

/// Whether the record has a value.
#[inline]
pub(super) fn has_value(arena: &[u8], at: usize) -> bool {
    Head::of(&arena[at..]).value_len != NO_VALUE
}

/// Takes the value from a record.
#[inline]
pub(super) fn remove_value(arena: &mut [u8], at: usize) {
    set_value_len(&mut arena[at..], NO_VALUE);
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
    let record = &mut arena[at..];
    let old = Head::of(record);
    let (head, rest) = record.split_at_mut(old.len);
    let (own, rest) = rest.split_at_mut(old.key_len);
    if !same_key(own, key) || !has_room(capacity_of(head[CLASS]), value.len()) {
        return None;
    }
    match (value.as_array::<8>(), rest.first_chunk_mut::<8>()) {
        (Some(number), Some(room)) => *room = *number,
        _ => rest[..value.len()].copy_from_slice(value),
    }
    set_value_len(head, value.len());
    head[MARK] = mark;
    Some(old.value_len == NO_VALUE)
}

/// `V` bytes, and whether they are the value of the record, which has none else: if there is one at
/// this offset, it is of `key`, and has no value of another length. Any offset may be given. A
/// record that is long is none of these, nor need be one without a value at the end of the arena.
///
/// Of keys that come and go nobody can foretell which have a value: nothing here depends on it.
#[inline]
pub(super) fn even_or_none<'a, const K: usize, const V: usize>(
    arena: &'a [u8],
    at: usize,
    key: &[u8; K],
) -> Option<(&'a [u8; V], bool)> {
    let (head, rest) = arena.get(at..)?.split_first_chunk::<HEADER>()?;
    let (own, rest) = rest.split_first_chunk::<K>()?;
    let value = rest.first_chunk::<V>()?;
    let has_one = usize::from(head[VALUE_LEN]) == V;
    let is_even = has_one | (head[VALUE_LEN] == u8::MAX);
    let is_of = (usize::from(head[KEY_LEN]) == K) & is_even && is_same(own, key);
    is_of.then_some((value, has_one))
}

/// What is behind the key of a record up to the end of the arena, and how long its value is, which
/// is 0 where there is none: if there is one at this offset, it is of `key`, and not long. Any
/// offset may be given.
#[inline]
pub(super) fn some_or_none<'a, const K: usize>(
    arena: &'a [u8],
    at: usize,
    key: &[u8; K],
) -> Option<(&'a [u8], usize)> {
    let (head, rest) = arena.get(at..)?.split_first_chunk::<HEADER>()?;
    let (own, rest) = rest.split_first_chunk::<K>()?;
    let is_of = (usize::from(head[KEY_LEN]) == K) && is_same(own, key);
    let len = head[VALUE_LEN];
    is_of.then_some((rest, usize::from(if len == u8::MAX { 0 } else { len })))
}

/// Replaces the value in an epoch with this mark, if [`even_or_none`] finds one; gives back whether
/// it did.
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
        head[MARK] = mark;
        return true;
    }
    false
}

/// The same, also where the record has no value and room for one; gives back how many bytes of the
/// arena are garbage no more, which are some if it had none.
#[inline]
pub(super) fn put_even<const K: usize, const V: usize>(
    arena: &mut [u8],
    at: usize,
    mark: u8,
    key: &[u8; K],
    value: &[u8; V],
) -> Option<usize> {
    let record = arena.get_mut(at..)?;
    let (head, rest) = record.split_first_chunk_mut::<HEADER>()?;
    let (own, rest) = rest.split_first_chunk_mut::<K>()?;
    let room = rest.first_chunk_mut::<V>()?;
    // Of keys that come and go nobody can foretell which it is, so both ways are computed.
    let capacity = capacity_of(head[CLASS]);
    let has_none = head[VALUE_LEN] == u8::MAX;
    let fits = (usize::from(head[VALUE_LEN]) == V) | (has_none & has_room(capacity, V));
    if usize::from(head[KEY_LEN]) != K || !fits || !is_same(own, key) {
        return None;
    }
    *room = *value;
    head[VALUE_LEN] = V as u8;
    head[MARK] = mark;
    Some(padded(HEADER + K + capacity) * usize::from(has_none))
}

/// Arrays that are longer the compiler compares by a call.
#[inline]
fn is_same<const K: usize>(left: &[u8; K], right: &[u8; K]) -> bool {
    match K {
        ..=32 => left == right,
        _ => same_key(left, right),
    }
}

/// How long key and value are, where the record is not long: else no key is so long.
#[inline]
fn lengths(head: &[u8; HEADER]) -> [usize; 2] {
    [head[KEY_LEN], head[VALUE_LEN]].map(usize::from)
}

#[inline]
pub(super) fn value(arena: &[u8], at: usize) -> &[u8] {
    let record = &arena[at..];
    let head = Head::of(record);
    &record[head.value()..][..head.value_len]
}

/// The lowest [`HASH_BITS`] bits of the hash of the key.
pub(super) fn low_hash(arena: &[u8], at: usize) -> u64 {
    u64::from(u16::from_le_bytes([arena[at], arena[at + 1]]))
}

/// The key group of the key.
pub(super) fn group(arena: &[u8], at: usize) -> u16 {
    u16::from_le_bytes([arena[at + GROUP], arena[at + GROUP + 1]])
}

/// The low byte of the epoch of the last change.
#[inline]
pub(super) fn mark(arena: &[u8], at: usize) -> u8 {
    arena[at + MARK]
}

/// Says in which epoch the value was changed.
#[inline]
pub(super) fn set_mark(arena: &mut [u8], at: usize, mark: u8) {
    arena[at + MARK] = mark;
}

/// The longest value that fits.
#[inline]
pub(super) fn capacity(arena: &[u8], at: usize) -> usize {
    capacity_of(arena[at + CLASS])
}

/// Whether a value of `len` bytes may be written in place: it fits, and does not leave most of a
/// large record unused.
#[inline]
pub(super) fn fits(arena: &[u8], at: usize, len: usize) -> bool {
    has_room(capacity(arena, at), len)
}

#[inline]
fn has_room(capacity: usize, len: usize) -> bool {
    len <= capacity && (capacity < 256 || len * 4 >= capacity)
}

/// Replaces the value; it fits.
#[inline]
pub(super) fn set_value(arena: &mut [u8], at: usize, value: &[u8]) {
    let record = &mut arena[at..];
    let start = Head::of(record).value();
    record[start..start + value.len()].copy_from_slice(value);
    set_value_len(record, value.len());
}

/// Replaces a part of the value; it fits.
#[inline]
pub(super) fn splice_value(arena: &mut [u8], at: usize, part: Range<usize>, bytes: &[u8]) {
    let record = &mut arena[at..];
    let head = Head::of(record);
    let (start, len) = (head.value(), head.value_len);
    let from = start + part.start;
    if part.len() != bytes.len() {
        let behind = start + part.end..start + len;
        record.copy_within(behind, from + bytes.len());
        set_value_len(record, len - part.len() + bytes.len());
    }
    record[from..from + bytes.len()].copy_from_slice(bytes);
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
    let record = &mut arena[at..];
    let old = Head::of(record);
    let (head, rest) = record.split_at_mut(old.len);
    let (own, rest) = rest.split_at_mut(old.key_len);
    let len = old.value_len;
    // Where there is no value, this is longer than anything has room for.
    let end = len + bytes.len();
    let has_room = end <= capacity_of(head[CLASS]).min(most);
    if !has_room || rest.first() != Some(&first) || !same_key(own, key) {
        return false;
    }
    let room = &mut rest[len..end];
    // A number and its length are copied in line.
    match (bytes.as_array::<9>(), room.first_chunk_mut::<9>()) {
        (Some(number), Some(room)) => *room = *number,
        _ => room.copy_from_slice(bytes),
    }
    set_value_len(head, end);
    head[MARK] = mark;
    true
}

/// Appends so many bytes to a value that begins with `first`, or puts them behind that where there
/// is no value, as [`append`] does otherwise: of a record that is not long, if this becomes no
/// longer than `most` bytes and has room. Gives back how many bytes of the arena are garbage no
/// more, which are some if there was none.
#[inline]
pub(super) fn append_even<const N: usize>(
    arena: &mut [u8],
    at: usize,
    mark: u8,
    key: &[u8],
    (first, most): (u8, usize),
    bytes: &[u8; N],
) -> Option<usize> {
    let record = arena.get_mut(at..)?;
    let (head, rest) = record.split_first_chunk_mut::<HEADER>()?;
    if head[KEY_LEN] == LONG {
        return None;
    }
    let key_len = usize::from(head[KEY_LEN]);
    let (own, rest) = rest.split_at_mut_checked(key_len)?;
    // Of keys that come and go nobody can foretell which it is, so both ways are computed.
    let has_none = head[VALUE_LEN] == u8::MAX;
    let start = select_unpredictable(has_none, 1, usize::from(head[VALUE_LEN]));
    let (end, capacity) = (start + N, capacity_of(head[CLASS]));
    let begins = rest.first_mut()?;
    let is_of = has_none | (*begins == first);
    if end > capacity.min(most) || !is_of || !same_key(own, key) {
        return None;
    }
    *begins = first;
    *rest.get_mut(start..)?.first_chunk_mut()? = *bytes;
    head[VALUE_LEN] = end as u8;
    head[MARK] = mark;
    Some(padded(HEADER + key_len + capacity) * usize::from(has_none))
}

/// The same of a number, behind its length, of a key of `K` bytes.
#[inline]
pub(super) fn append_number<const K: usize, const N: usize>(
    arena: &mut [u8],
    at: usize,
    mark: u8,
    key: &[u8; K],
    (first, most): (u8, usize),
    number: &[u8; N],
) -> Option<usize> {
    let record = arena.get_mut(at..)?;
    let (head, rest) = record.split_first_chunk_mut::<HEADER>()?;
    let (own, rest) = rest.split_first_chunk_mut::<K>()?;
    let begins = rest.first_mut()?;
    // Of keys that come and go nobody can foretell which it is, so both ways are computed.
    let has_none = head[VALUE_LEN] == u8::MAX;
    let start = select_unpredictable(has_none, 1, usize::from(head[VALUE_LEN]));
    let (end, capacity) = (start + 1 + N, capacity_of(head[CLASS]));
    let is_of = (usize::from(head[KEY_LEN]) == K) & (has_none | (*begins == first));
    if !is_of | (end > capacity.min(most)) || !is_same(own, key) {
        return None;
    }
    *begins = first;
    let (len, room) = rest.get_mut(start..)?.split_first_mut()?;
    *room.first_chunk_mut()? = *number;
    *len = N as u8;
    head[VALUE_LEN] = end as u8;
    head[MARK] = mark;
    Some(padded(HEADER + K + capacity) * usize::from(has_none))
}

/// Appends to the value; it fits.
#[inline]
pub(super) fn append_value(arena: &mut [u8], at: usize, bytes: &[u8]) {
    let record = &mut arena[at..];
    let head = Head::of(record);
    let end = head.value() + head.value_len;
    record[end..end + bytes.len()].copy_from_slice(bytes);
    set_value_len(record, head.value_len + bytes.len());
}

/// Says how long the value is; it fits, or is [`NO_VALUE`].
#[inline]
fn set_value_len(record: &mut [u8], len: usize) {
    debug_assert!(len == NO_VALUE || record[KEY_LEN] == LONG || len < usize::from(u8::MAX));
    if record[KEY_LEN] == LONG {
        record[LONG_VALUE_LEN..LONG_HEADER].copy_from_slice(&(len as u32).to_le_bytes());
    } else {
        record[VALUE_LEN] = len as u8;
    }
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
fn u32_at(head: &[u8], at: usize) -> usize {
    u32::from_le_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]]) as usize
}

#[inline]
fn padded(len: usize) -> usize {
    len.next_multiple_of(UNIT)
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
    use proptest::{collection::vec, prelude::*, sample::select};

    use super::*;

    /// How long keys and values are: about where records become long, too.
    fn lengths_of() -> impl Strategy<Value = usize> {
        select(vec![
            0, 1, 3, 8, 9, 16, 200, 239, 240, 241, 253, 254, 255, 256, 257, 600,
        ])
    }

    proptest! {
        #[test]
        fn records_short_and_long_keep_what_is_written(
            (key_len, value_len) in (lengths_of(), lengths_of()),
            steps in vec((0..7_u8, lengths_of()), 0..20),
        ) {
            let key_of = |len: usize| -> Vec<u8> { (0..len).map(|byte| byte as u8).collect() };
            let (name, mut expected) = (key_of(key_len), Some(vec![1; value_len]));
            let mut arena = Vec::new();
            push(&mut arena, (u64::MAX, 1, 1), b"before", b"as it was", 20);
            let mut at = arena.len();
            push(&mut arena, (0x1_2345, 513, 0), &name, &vec![1; value_len], value_len);
            for (mark, (step, len)) in (1_u8..).zip(steps) {
                let (behind, bytes) = (arena.len(), vec![mark; len]);
                push(&mut arena, (7, 3, 1), b"behind", b"as well", 7);
                match (step, &mut expected) {
                    (0, _) => {
                        let fits = fits(&arena, at, len);
                        let before = replace(&mut arena, at, mark, &name, &bytes);
                        prop_assert_eq!(before, fits.then_some(expected.is_none()));
                        if fits {
                            expected = Some(bytes);
                        }
                    }
                    (1, _) => {
                        remove_value(&mut arena, at);
                        expected = None;
                    }
                    (2, Some(value)) => {
                        if value.len() + len > capacity(&arena, at) {
                            let from = std::mem::replace(&mut at, arena.len());
                            copy_to_end(&mut arena, from, (value.len() + len) * 2);
                        }
                        append_value(&mut arena, at, &bytes);
                        value.extend(bytes);
                    }
                    (3, Some(value)) => {
                        let first = value.first().copied().unwrap_or(mark);
                        let most = capacity(&arena, at);
                        let is_done = append(&mut arena, at, mark, &name, (first, most), &bytes);
                        let has_room = value.len() + len <= most;
                        // Of a value without bytes the first is what happens to be there.
                        prop_assert!(value.is_empty() || is_done == has_room);
                        if is_done {
                            value.extend(bytes);
                        }
                    }
                    (4, Some(value)) => {
                        let part = value.len() / 3..value.len() / 2;
                        if value.len() - part.len() + len <= capacity(&arena, at) {
                            splice_value(&mut arena, at, part.clone(), &bytes);
                            value.splice(part, bytes);
                        }
                    }
                    (5, Some(value)) => {
                        let from = std::mem::replace(&mut at, arena.len());
                        copy_to_end(&mut arena, from, value.len());
                        let room = capacity(&arena, at) + 1 + len;
                        grow_last(&mut arena, at, room);
                        prop_assert_eq!(capacity(&arena, at), capacity_of(class_of(room)));
                        prop_assert_eq!(arena.len(), at + size(&arena, at));
                    }
                    (6, old) => {
                        let new = appended(&mut arena, at, mark, &name, old.as_deref())?;
                        *old = new.or_else(|| old.take());
                    }
                    _ => {}
                }
                set_mark(&mut arena, at, mark);
                check(&arena, (at, behind), &name, expected.as_deref(), mark)?;
            }
        }
    }

    /// What becomes of a value, if there is one, when nine bytes are appended.
    fn appended(
        arena: &mut [u8],
        at: usize,
        mark: u8,
        name: &[u8],
        expected: Option<&[u8]>,
    ) -> Result<Option<Vec<u8>>, TestCaseError> {
        let first = expected.and_then(|value| value.first().copied());
        let first = first.unwrap_or(mark);
        let most = capacity(arena, at);
        if let Some(name) = name.as_array::<9>() {
            // A number behind its length, where both are known.
            let (mut one, mut other) = (arena.to_vec(), arena.to_vec());
            let number = [mark; 8];
            let element = [8, mark, mark, mark, mark, mark, mark, mark, mark];
            let done = append_number(&mut one, at, mark, name, (first, most), &number);
            let expected = append_even(&mut other, at, mark, name, (first, most), &element);
            prop_assert_eq!(done, expected);
            prop_assert_eq!(one, other);
            let is_other = append_number(arena, at, mark, b"not there", (first, most), &number);
            prop_assert_eq!(is_other, None);
        }
        let garbage = append_even(arena, at, mark, name, (first, most), &[mark; 9]);
        let new = [first];
        let begun = expected.unwrap_or(&new);
        let is_short = arena[at + KEY_LEN] != LONG;
        // Of a value without bytes the first is what happens to be there.
        if !begun.is_empty() {
            let restored = if expected.is_none() {
                size(arena, at)
            } else {
                0
            };
            let has_room = begun.len() + 9 <= most;
            prop_assert_eq!(garbage, (has_room && is_short).then_some(restored));
        }
        Ok(garbage.map(|_| [begun, &[mark; 9]].concat()))
    }

    /// The record at `at` is this one, whole and copied, and its neighbours are as before.
    fn check(
        arena: &[u8],
        (at, behind): (usize, usize),
        name: &[u8],
        expected: Option<&[u8]>,
        mark: u8,
    ) -> Result<(), TestCaseError> {
        let found = (
            key_and_value(arena, at),
            key(arena, at),
            has_value(arena, at),
        );
        prop_assert_eq!(found, ((name, expected), name, expected.is_some()));
        let said = (low_hash(arena, at), group(arena, at), self::mark(arena, at));
        prop_assert_eq!(said, (0x2345, 513, mark));
        for (other, name, value) in [(0, "before", "as it was"), (behind, "behind", "as well")] {
            let found = key_and_value(arena, other);
            prop_assert_eq!(found, (name.as_bytes(), Some(value.as_bytes())));
        }
        let mut copied = b"1234".to_vec();
        copy(arena, at, &mut copied);
        prop_assert_eq!(copied.len(), 4 + size(arena, at));
        prop_assert_eq!(key_and_value(&copied, 4), (name, expected));
        prop_assert_eq!(capacity(&copied, 4), capacity(arena, at));
        Ok(())
    }

    #[test]
    fn a_record_of_a_number_under_a_number_has_28_bytes() {
        let mut arena = Vec::new();
        push(&mut arena, (7, 3, 1), &[8; 9], &[1; 8], 8);
        assert_eq!((arena.len(), size(&arena, 0)), (28, 28));
        let found = |arena: &[u8], at| {
            let found = even_or_none::<9, 8>(arena, at, &[8; 9]);
            found.map(|(value, has_one)| (*value, has_one))
        };
        assert_eq!(found(&arena, 0), Some(([1; 8], true)));
        assert_eq!(even_or_none::<9, 4>(&arena, 0, &[8; 9]), None);
        assert_eq!(even_or_none::<9, 8>(&arena, 0, &[9; 9]), None);
        assert!(replace_even::<9, 8>(&mut arena, 0, 2, &[8; 9], &[2; 8]));
        assert_eq!((value(&arena, 0), mark(&arena, 0)), (&[2; 8][..], 2));
        assert_eq!(
            put_even::<9, 8>(&mut arena, 0, 3, &[8; 9], &[3; 8]),
            Some(0)
        );
        remove_value(&mut arena, 0);
        assert_eq!(found(&arena, 0), Some(([3; 8], false)));
        assert!(!replace_even::<9, 8>(&mut arena, 0, 4, &[8; 9], &[4; 8]));
        assert_eq!(put_even::<9, 8>(&mut arena, 0, 4, &[9; 9], &[4; 8]), None);
        assert_eq!(put_even::<9, 16>(&mut arena, 0, 4, &[8; 9], &[4; 16]), None);
        assert_eq!(
            put_even::<9, 4>(&mut arena, 0, 4, &[8; 9], &[4; 4]),
            Some(28)
        );
        assert_eq!((value(&arena, 0), mark(&arena, 0)), (&[4; 4][..], 4));
        // One with much room is long, and is left to what looks at any record.
        let long = arena.len();
        push(&mut arena, (7, 3, 1), &[8; 9], &[1; 8], 250);
        assert_eq!(found(&arena, long), None);
        assert_eq!(
            put_even::<9, 8>(&mut arena, long, 5, &[8; 9], &[5; 8]),
            None
        );
        assert_eq!(
            key_and_value(&arena, long),
            (&[8; 9][..], Some(&[1; 8][..]))
        );
    }

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
        assert_eq!(second, 20);
        assert_eq!((low_hash(&arena, 0), group(&arena, 0)), (0xdef0, 513));
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
