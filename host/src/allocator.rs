//! What the memory allocator does with memory that was freed.
//!
//! Batches go from task to task, and mostly another thread frees their buffers than the one that
//! asked for them. The allocator of glibc gives the end of a thread's memory back to the system as
//! soon as 128 KiB of it are free, which is less than one batch: so the next one begins with page
//! faults. Other allocators keep such memory by themselves.
//!
//! Memory that grows has large pages, for which the runtime needs more to be kept: only then is it,
//! as a small job is to stay small.

/// From how many free bytes on the end of a thread's memory goes back to the system, and from how
/// many on a buffer is mapped, which goes back when it is freed. glibc would take the largest that
/// was freed so far, and with a bound for what is kept none but 128 KiB.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
struct Kept {
    freed: libc::c_int,
    mapped: libc::c_int,
}

/// What is kept from the beginning.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
const FEW: Kept = Kept {
    freed: 8 << 20,
    mapped: 4 << 20,
};
/// What is kept once memory has grown.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
const MORE: Kept = Kept {
    freed: 24 << 20,
    mapped: 17 << 20,
};

/// Keeps some megabytes of freed memory at hand for each thread, where the allocator would not, and
/// lets threads whose memory grows have large pages, where the system gives them to who asks. To be
/// called when the process begins. Who has set the allocator's own variables is obeyed.
pub fn keep_freed_memory() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    if !is_asked() {
        set(&FEW);
        weir_runtime::grow_in_large_pages(|| set(&MORE));
    }
}

/// Whether somebody else says what is kept.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
fn is_asked() -> bool {
    let variables = [
        "MALLOC_TRIM_THRESHOLD_",
        "MALLOC_MMAP_THRESHOLD_",
        "GLIBC_TUNABLES",
    ];
    let mut asked = variables.into_iter().map(std::env::var_os);
    asked.any(|value| value.is_some())
}

#[cfg(all(target_os = "linux", target_env = "gnu"))]
#[expect(
    unsafe_code,
    reason = "a setting of the C library, which nothing else gives"
)]
fn set(kept: &Kept) {
    // SAFETY: both take a number and no pointer. Other threads read what is set without a lock, as
    // they do where the allocator itself sets it when a buffer is freed: they see the one or the
    // other, and either is right.
    unsafe {
        libc::mallopt(libc::M_TRIM_THRESHOLD, kept.freed);
        libc::mallopt(libc::M_MMAP_THRESHOLD, kept.mapped);
    }
}
