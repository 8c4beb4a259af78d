//! When an instance has outgrown what it needs: linear memory never shrinks, so one large batch
//! would be paid for ever.
//!
//! INVARIANT: an instance that needs its memory is not replaced again and again: each replacement
//! doubles what the next one takes.

/// An instance smaller than this is never replaced, in bytes: the buffers of full batches alone
/// make a small guest several times its size after `open`.
const FLOOR: usize = 8 << 20;

/// Decides about the memory of the instances of one subtask.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Size {
    opened: usize,
    replaced: usize,
}

impl Size {
    /// A new instance has been opened and has this much memory.
    pub(crate) fn opened(&mut self, bytes: usize) {
        self.opened = bytes;
    }

    /// An instance with this much memory is being replaced.
    pub(crate) fn replaced(&mut self, bytes: usize) {
        self.replaced = bytes;
    }

    /// Whether an instance that has this much memory now should be replaced.
    pub(crate) fn outgrown(&self, bytes: usize) -> bool {
        bytes > FLOOR && bytes > self.opened.max(self.replaced).saturating_mul(2)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: usize = 1 << 20;

    #[test]
    fn what_has_outgrown_twice_its_size_is_replaced_but_not_over_and_over() {
        let mut size = Size::default();
        size.opened(MIB);
        assert!(
            !size.outgrown(2 * MIB + 1),
            "small instances are left alone"
        );
        assert!(size.outgrown(20 * MIB));
        size.replaced(20 * MIB);
        size.opened(MIB);
        assert!(!size.outgrown(20 * MIB), "it needs that");
        assert!(size.outgrown(40 * MIB + 1));
    }

    #[test]
    fn what_is_large_after_open_may_be_twice_as_large() {
        let mut size = Size::default();
        size.opened(30 * MIB);
        assert!(!size.outgrown(60 * MIB));
        assert!(size.outgrown(60 * MIB + 1));
    }
}
