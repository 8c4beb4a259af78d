//! Bounds on what a guest can make the host hold. They are far above sensible use: their task is
//! that a wrong guest ends with an error that names the bound, not with the end of memory.

use crate::Error;

/// The most bytes of one column of one access, of what one call may write to one state, and of one
/// list. Columns count in 32 bits, so this must stay below 4 GiB; a call gets 256 KiB of rows, so
/// two thousand times that is not a limit for honest use.
pub(crate) const MAX_COLUMN_BYTES: usize = 512 << 20;

/// Checks a length against a limit.
#[inline]
pub(crate) fn check(what: &'static str, len: usize, limit: usize) -> Result<(), Error> {
    if len <= limit {
        Ok(())
    } else {
        Err(Error::TooLarge { what, len, limit })
    }
}
