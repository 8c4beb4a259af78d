//! What counts and measures of parts of the engine are made with: rows, an operator without an
//! engine around it, and a job as small as there is.

pub mod rig;

/// What went wrong, in words: nobody tells one error of a benchmark from another.
pub type Failure = Box<dyn std::error::Error>;
