//! What the memory allocator does with memory that was freed.
//!
//! Batches go from task to task, and mostly another thread frees their buffers than the one that
//! asked for them. The allocator of glibc gives the end of a thread's memory back to the system as
//! soon as 128 KiB of it are free, which is less than one batch: so the next one begins with page
//! faults. Other allocators keep such memory by themselves.
//!
//! What is kept is also what lets the runtime have memory that grows in large pages.

/// From how many free bytes on the end of a thread's memory goes back to the system.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
const KEPT_BYTES: libc::c_int = 32 << 20;
/// Buffers of so many bytes are mapped, and go back when they are freed. glibc would take the
/// largest that was freed so far, and with a bound for what is kept none but 128 KiB.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
const MAPPED_BYTES: libc::c_int = 32 << 20;

/// Keeps some megabytes of freed memory at hand for each thread, where the allocator would not, and
/// lets threads whose memory grows have large pages, where the system gives them to who asks. To be
/// called when the process begins. Who has set the allocator's own variables is obeyed.
pub fn keep_freed_memory() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    set(|name| std::env::var_os(name).is_some());
}

#[cfg(all(target_os = "linux", target_env = "gnu"))]
#[expect(
    unsafe_code,
    reason = "a setting of the C library, which nothing else gives"
)]
fn set(is_asked: impl Fn(&str) -> bool) {
    let asked = [
        "MALLOC_TRIM_THRESHOLD_",
        "MALLOC_MMAP_THRESHOLD_",
        "GLIBC_TUNABLES",
    ];
    if asked.into_iter().any(is_asked) {
        return;
    }
    // SAFETY: both take a number and no pointer, and lock what they change.
    unsafe {
        libc::mallopt(libc::M_TRIM_THRESHOLD, KEPT_BYTES);
        libc::mallopt(libc::M_MMAP_THRESHOLD, MAPPED_BYTES);
    }
    weir_runtime::grow_in_large_pages();
}
