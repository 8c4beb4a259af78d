//! Lines of memory that are asked for before they are needed.

/// Asks for the line of an item, if it is there, so that it will be in the cache.
#[cfg(target_arch = "x86_64")]
#[inline]
pub(super) fn near<T: Copy>(items: &[T], at: usize) {
    if let Some(item) = items.get(at) {
        ask_for(std::ptr::from_ref(item).cast());
    }
}

/// Asks for the line of an address.
///
/// An instruction that only asks is done with at once, where one that reads stays until the line
/// has come and holds up what is behind it: more lines are on their way at the same time.
#[cfg(target_arch = "x86_64")]
#[inline]
#[expect(
    unsafe_code,
    reason = "the instruction has an address, and does nothing to what is there"
)]
pub(super) fn ask_for(address: *const u8) {
    use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
    // SAFETY: nothing is read or written, and an address at which nothing is does no harm.
    unsafe { _mm_prefetch::<_MM_HINT_T0>(address.cast()) };
}

/// Reads an item, if it is there, so that its line is in the cache.
#[cfg(not(target_arch = "x86_64"))]
#[inline]
pub(super) fn near<T: Copy>(items: &[T], at: usize) {
    std::hint::black_box(items.get(at).copied());
}

/// What is not there yet cannot be read.
#[cfg(not(target_arch = "x86_64"))]
#[inline]
pub(super) fn ask_for(_: *const u8) {}
