//! What is done where the allocator is another one: nothing. It sees to large pages itself, or
//! cannot be made to.

/// Threads of tasks get what the allocator gives them.
pub fn grow_in_large_pages(_prepare: fn()) {}

/// A task has done a step.
pub(crate) fn step() {}
