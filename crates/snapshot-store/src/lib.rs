//! Where checkpoints are kept: a local directory, and the lock of whoever runs a job in it.
//!
//! [`LocalStore`] is the store that the checkpoint protocol writes to. [`JobLock`] sees to it that
//! one process at a time runs a job of a directory, and counts the job's attempts (D28).
//!
//! INVARIANT: what a method reported as done is there after a loss of power, as a whole.

mod local;
mod lock;

pub use local::LocalStore;
pub use lock::{Holder, JobLock, LockError};
