//! Large pages for memory that grows.
//!
//! A page that is touched for the first time costs a fault: in a virtual machine some microseconds
//! for 4 KiB, as much as a hundred rows. State that grows pays it again and again, as the allocator
//! of glibc takes a few more pages each time. A thread whose tasks have touched many is therefore
//! made to have room for some megabytes more at once, and the system asked for large pages there:
//! one fault for 2 MiB. Room that nobody touches takes no memory.

#[cfg(all(target_os = "linux", target_env = "gnu", target_pointer_width = "64"))]
#[path = "glibc.rs"]
mod allocator;
#[cfg(not(all(target_os = "linux", target_env = "gnu", target_pointer_width = "64")))]
#[path = "other.rs"]
mod allocator;

pub use allocator::grow_in_large_pages;
pub(crate) use allocator::step;
