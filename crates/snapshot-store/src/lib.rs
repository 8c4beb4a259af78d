//! Where checkpoints are kept: a local directory or the memory of the process, and the lock of
//! whoever runs a job there. Object stores are a crate of their own, for they bring clients along.
//!
//! [`LocalStore`] and [`MemoryStore`] are stores that the checkpoint protocol writes to.
//! [`JobLock`] sees to it that one process at a time runs a job of a directory, [`EpochLock`] does
//! so where files cannot be locked; both count the job's attempts (D28).
//!
//! INVARIANT: what a method reported as done is there after a loss of power, as a whole; what is
//! in memory is gone with the process, and its name says so.

mod epoch;
mod local;
mod lock;
mod memory;

pub use epoch::EpochLock;
pub use local::LocalStore;
pub use lock::{Holder, JobLock, LockError};
pub use memory::MemoryStore;
