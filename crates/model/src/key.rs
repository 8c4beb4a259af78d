//! Keys to key groups to subtasks (D1, semantics 1.7): part of the savepoint format, pinned by
//! golden vectors.

use std::fmt;

use multiversion::multiversion;

use crate::SubtaskIndex;

/// The 64-bit hash of a key's bytes: XXH3 with seed 0 (D1). Computed once, where the key is
/// selected.
#[inline]
#[must_use]
pub fn hash64(key: &[u8]) -> u64 {
    xxhash_rust::xxh3::xxh3_64(key)
}

/// Whether two keys have the same bytes. Keys are short: comparing them in line costs less than a
/// call of `memcmp`.
#[inline]
#[must_use]
pub fn same_key(left: &[u8], right: &[u8]) -> bool {
    if left.len() != right.len() {
        return false;
    }
    // The last eight bytes are compared as a whole, whatever of them has been before.
    let (Some(left_end), Some(right_end)) = (left.last_chunk::<8>(), right.last_chunk::<8>())
    else {
        return left.iter().eq(right);
    };
    let ((left, _), (right, _)) = (left.as_chunks::<8>(), right.as_chunks::<8>());
    match (left, right) {
        // Of fifteen bytes at most these are all, and nothing depends on how many there are.
        ([left], [right]) => (left == right) & (left_end == right_end),
        (left, right) => {
            left_end == right_end && left.iter().zip(right).all(|(left, right)| left == right)
        }
    }
}

/// The 32 bits of a key's hash that decide its key group: `low 32 bits of (h ^ h >> 32)` (D1).
#[must_use]
pub fn hash32_of(hash: u64) -> i32 {
    ((hash ^ (hash >> 32)) as u32).cast_signed()
}

/// The finalising hash of Flink's key groups: murmur3 of one 32-bit word, seed 0, made
/// non-negative (semantics 1.7).
#[must_use]
pub fn murmur(code: i32) -> i32 {
    match mix(code.cast_unsigned()).cast_signed() {
        i32::MIN => 0,
        x => x.abs(),
    }
}

/// [`murmur`] before it is made non-negative.
#[inline]
fn mix(code: u32) -> u32 {
    let mut k = code.wrapping_mul(0xcc9e_2d51);
    k = k.rotate_left(15).wrapping_mul(0x1b87_3593);
    let mut x = k.rotate_left(13).wrapping_mul(5).wrapping_add(0xe654_6b64);
    x ^= 4;
    x ^= x >> 16;
    x = x.wrapping_mul(0x85eb_ca6b);
    x ^= x >> 13;
    x = x.wrapping_mul(0xc2b2_ae35);
    x ^ (x >> 16)
}

/// The key groups of hashes, where the groups are the numbers up to a mask of bits. For each set of
/// vector instructions that a processor may have there is one of these.
#[multiversion(targets("x86_64+avx512f+avx512dq+avx512bw+avx512vl+avx2", "x86_64+avx2"))]
fn key_groups_under(mask: u32, hashes: &[u64], groups: &mut Vec<KeyGroup>) {
    for_groups(mask, hashes, groups, |group| KeyGroup(group as u16));
}

/// The subtasks of hashes likewise, of so many; there are two to the power of `shift` groups.
#[multiversion(targets("x86_64+avx512f+avx512dq+avx512bw+avx512vl+avx2", "x86_64+avx2"))]
fn subtasks_under(
    mask: u32,
    (parallelism, shift): (u32, u32),
    hashes: &[u64],
    subtasks: &mut Vec<SubtaskIndex>,
) {
    for_groups(mask, hashes, subtasks, |group| {
        SubtaskIndex((group * parallelism) >> shift)
    });
}

/// Appends what is `made` of the key group of each hash, where the maximum is a power of two, as it
/// mostly is: a division would cost more than all else that is done here.
#[inline(always)]
fn for_groups<T: Copy>(mask: u32, hashes: &[u64], to: &mut Vec<T>, made: impl Fn(u32) -> T) {
    // The smallest number has no absolute value, and none of the bits of the mask: it becomes 0, as
    // it is to.
    let group = |code: u32| mix(code).cast_signed().unsigned_abs() & mask;
    let code = |hash: u64| hash32_of(hash).cast_unsigned();
    let start = to.len();
    to.resize(start + hashes.len(), made(0));
    let (places, last_places) = to[start..].as_chunks_mut::<SIDE_BY_SIDE>();
    let (all, last) = hashes.as_chunks::<SIDE_BY_SIDE>();
    for (places, hashes) in places.iter_mut().zip(all) {
        // A loop for each step, which is one that the compiler does with vectors; `map` of an array
        // is not sure to be in line.
        let mut groups = [0; SIDE_BY_SIDE];
        for (group, &hash) in groups.iter_mut().zip(hashes) {
            *group = code(hash);
        }
        for code in &mut groups {
            *code = group(*code);
        }
        for (place, &group) in places.iter_mut().zip(&groups) {
            *place = made(group);
        }
    }
    for (place, &hash) in last_places.iter_mut().zip(last) {
        *place = made(group(code(hash)));
    }
}

/// How many keys [`MaxParallelism::key_groups_of`] looks at together.
const SIDE_BY_SIDE: usize = 16;

/// The unit in which keyed state is moved: keys are divided into `max-parallelism` groups.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyGroup(pub u16);

impl fmt::Display for KeyGroup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// Consecutive key groups, both ends inclusive.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct KeyGroupRange {
    /// The first group.
    pub start: KeyGroup,
    /// The last group.
    pub end: KeyGroup,
}

impl KeyGroupRange {
    /// Whether `group` lies in the range.
    #[must_use]
    pub fn contains(&self, group: KeyGroup) -> bool {
        self.start <= group && group <= self.end
    }

    /// Number of groups.
    #[must_use]
    pub fn count(&self) -> usize {
        usize::from(self.end.0 - self.start.0) + 1
    }

    /// The groups in order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = KeyGroup> + use<> {
        let start = self.start.0;
        (0..self.count()).map(move |i| KeyGroup(start + i as u16))
    }
}

impl fmt::Display for KeyGroupRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.start, self.end)
    }
}

/// Why a number is no parallelism.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ParallelismError {
    /// Parallelism and maximum lie between 1 and 32768.
    #[error("{0} is out of bounds: parallelism and its maximum lie between 1 and 32768")]
    OutOfBounds(u64),
    /// More subtasks than key groups.
    #[error("parallelism {parallelism} is larger than the maximum, {max}")]
    AboveMax {
        /// The parallelism asked for.
        parallelism: u32,
        /// The maximum it must not exceed.
        max: u32,
    },
}

/// How many subtasks an operator has: 1 to 32768.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Parallelism(u32);

impl Parallelism {
    /// One subtask.
    pub const ONE: Self = Self(1);

    /// Checks the bounds.
    ///
    /// # Errors
    /// [`ParallelismError::OutOfBounds`].
    pub fn new(n: u32) -> Result<Self, ParallelismError> {
        if (1..=MaxParallelism::LIMIT).contains(&n) {
            Ok(Self(n))
        } else {
            Err(ParallelismError::OutOfBounds(u64::from(n)))
        }
    }

    /// The number.
    #[must_use]
    pub fn get(self) -> u32 {
        self.0
    }

    /// The subtasks in order.
    pub fn subtasks(self) -> impl ExactSizeIterator<Item = SubtaskIndex> + use<> {
        (0..self.0).map(SubtaskIndex)
    }
}

impl fmt::Display for Parallelism {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// How many key groups there are, and so the largest parallelism that keyed state can be spread to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MaxParallelism(u32);

impl MaxParallelism {
    /// The largest maximum, 2^15 (semantics 1.7).
    pub const LIMIT: u32 = 1 << 15;

    /// Checks the bounds.
    ///
    /// # Errors
    /// [`ParallelismError::OutOfBounds`].
    pub fn new(n: u32) -> Result<Self, ParallelismError> {
        Parallelism::new(n).map(|p| Self(p.get()))
    }

    /// The default for a parallelism: half as much again, rounded up to a power of two, between 128
    /// and 32768 (semantics 1.7).
    #[must_use]
    pub fn default_for(p: Parallelism) -> Self {
        Self((p.0 + p.0 / 2).next_power_of_two().clamp(128, Self::LIMIT))
    }

    /// The number.
    #[must_use]
    pub fn get(self) -> u32 {
        self.0
    }

    /// The key group of a key with this [`hash64`].
    #[must_use]
    pub fn key_group_of(self, hash: u64) -> KeyGroup {
        self.key_group_of_code(hash32_of(hash))
    }

    /// The key group of a 32-bit key hash.
    #[must_use]
    pub fn key_group_of_code(self, code: i32) -> KeyGroup {
        // The maximum is at most 2^15, so the remainder fits 16 bits.
        KeyGroup((murmur(code).cast_unsigned() % self.0) as u16)
    }

    /// The subtask that a key group belongs to: `group * parallelism / max`.
    #[must_use]
    pub fn subtask_of(self, group: KeyGroup, parallelism: Parallelism) -> SubtaskIndex {
        SubtaskIndex(u32::from(group.0) * parallelism.0 / self.0)
    }

    /// The [key groups](Self::key_group_of) of keys with these [`hash64`]s, appended to `groups`.
    pub fn key_groups_of(self, hashes: &[u64], groups: &mut Vec<KeyGroup>) {
        match self.0.is_power_of_two() {
            true => key_groups_under(self.0 - 1, hashes, groups),
            false => groups.extend(hashes.iter().map(|&hash| self.key_group_of(hash))),
        }
    }

    /// The subtasks that keys with these [`hash64`]s belong to, appended to `subtasks`.
    pub fn subtasks_of(
        self,
        hashes: &[u64],
        parallelism: Parallelism,
        subtasks: &mut Vec<SubtaskIndex>,
    ) {
        if self.0.is_power_of_two() {
            let shift = self.0.trailing_zeros();
            subtasks_under(self.0 - 1, (parallelism.0, shift), hashes, subtasks);
        } else {
            let subtask = |&hash: &u64| self.subtask_of(self.key_group_of(hash), parallelism);
            subtasks.extend(hashes.iter().map(subtask));
        }
    }

    /// The key groups of a subtask.
    ///
    /// # Errors
    /// [`ParallelismError::AboveMax`] where there are more subtasks than groups.
    pub fn range_of(
        self,
        subtask: SubtaskIndex,
        parallelism: Parallelism,
    ) -> Result<KeyGroupRange, ParallelismError> {
        if parallelism.0 > self.0 {
            return Err(ParallelismError::AboveMax {
                parallelism: parallelism.0,
                max: self.0,
            });
        }
        let (i, p, max) = (
            u64::from(subtask.0),
            u64::from(parallelism.0),
            u64::from(self.0),
        );
        let start = (i * max).div_ceil(p);
        let end = ((i + 1) * max - 1) / p;
        Ok(KeyGroupRange {
            start: KeyGroup(start as u16),
            end: KeyGroup(end as u16),
        })
    }
}

impl fmt::Display for MaxParallelism {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

#[cfg(test)]
#[path = "key_tests.rs"]
mod tests;
