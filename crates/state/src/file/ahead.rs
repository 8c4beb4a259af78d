//! Blocks out of the files that they lie in, few requests for many: what lies close together is
//! fetched together.
//!
//! INVARIANT: of each file there is one stretch in memory, of all files together not more than
//! [`AHEAD_BYTES`] where no block is larger; what is fetched is given only with its checksum right.

use std::{collections::BTreeMap, ops::Range};

use weir_model::KeyGroup;

use super::{damaged, footer::BlockEntry, merge::Changes, reader::Sources};
use crate::{Error, StateKind};

/// What may be in memory of all files.
const AHEAD_BYTES: u64 = 16 << 20;

/// One stretch has at most so many bytes: a request to an object store costs as much time as some
/// megabytes.
const STRETCH_BYTES: u64 = 4 << 20;

/// What lies between two blocks is fetched with them if it is no more.
const GAP_BYTES: u64 = 64 << 10;

/// Rows that were changed are handed over in pieces of some this size.
const PIECE_BYTES: usize = 256 * 1024;

/// Some blocks that are about to be read, file by file in rising order.
pub(super) struct Ahead<'s, 'a> {
    sources: &'s Sources<'a>,
    files: BTreeMap<u32, Stretches>,
}

/// What is to be fetched of one file.
#[derive(Default)]
struct Stretches {
    /// In order, and apart.
    ranges: Vec<Range<u64>>,
    /// The one that is in memory.
    here: Option<(usize, Vec<u8>)>,
}

impl<'s, 'a> Ahead<'s, 'a> {
    /// Of these blocks. Nothing is fetched yet.
    pub(super) fn of(sources: &'s Sources<'a>, blocks: &[BlockEntry]) -> Self {
        let mut lie: BTreeMap<u32, Vec<Range<u64>>> = BTreeMap::new();
        for block in blocks {
            let range = block.offset..block.offset + u64::from(block.stored);
            lie.entry(block.file).or_default().push(range);
        }
        let most = (AHEAD_BYTES / lie.len().max(1) as u64).min(STRETCH_BYTES);
        let stretches = |ranges| Stretches {
            ranges: together(ranges, most),
            here: None,
        };
        let files = lie.into_iter();
        Self {
            sources,
            files: files.map(|(file, all)| (file, stretches(all))).collect(),
        }
    }

    /// Gives the rows of each of some of the blocks to `take`, in order.
    pub(super) fn blocks(
        &mut self,
        blocks: &[BlockEntry],
        mut take: impl FnMut(&BlockEntry, &[u8]) -> Result<(), Error>,
    ) -> Result<(), Error> {
        for block in blocks {
            let stored = self.stored(block)?;
            match unpack(block, stored)? {
                Some(rows) => take(block, &rows)?,
                None => take(block, stored)?,
            }
        }
        Ok(())
    }

    /// Gives the full rows of one key group, of which there are deltas.
    pub(super) fn merged(
        &mut self,
        kind: StateKind,
        blocks: &[BlockEntry],
        mut take: impl FnMut(&[u8]) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let Some(group) = blocks.first().map(|block| KeyGroup(block.group)) else {
            return Ok(());
        };
        let (deltas, full): (Vec<BlockEntry>, Vec<BlockEntry>) =
            blocks.iter().partition(|block| block.delta);
        let mut bytes = Vec::new();
        self.blocks(&deltas, |_, rows| {
            bytes.push(rows.to_vec());
            Ok(())
        })?;
        let mut changes = Changes::new(kind, group);
        bytes.iter().try_for_each(|rows| changes.add(rows))?;
        let mut out = Vec::new();
        self.blocks(&full, |_, rows| {
            out.clear();
            changes.filter(rows, &mut out)?;
            take(&out)
        })?;
        changes.finish(PIECE_BYTES, take)
    }

    /// The bytes of a block as they lie in its file.
    fn stored(&mut self, block: &BlockEntry) -> Result<&[u8], Error> {
        let missing = || {
            damaged(format!(
                "the block at byte {} was not asked for",
                block.offset
            ))
        };
        let file = self.files.get_mut(&block.file).ok_or_else(missing)?;
        let at = file
            .ranges
            .partition_point(|range| range.end <= block.offset);
        let range = file.ranges.get(at).ok_or_else(missing)?;
        if file.here.as_ref().is_none_or(|(here, _)| *here != at) {
            file.here = None;
            file.here = Some((at, self.sources.read(block.file, range.clone())?));
        }
        let begin = block.offset.checked_sub(range.start);
        let bytes = file
            .here
            .as_ref()
            .zip(begin)
            .and_then(|((_, bytes), begin)| {
                let begin = begin as usize;
                bytes.get(begin..begin + block.stored as usize)
            });
        bytes.ok_or_else(missing)
    }
}

/// Ranges that lie close together as one, of at most so many bytes.
fn together(mut ranges: Vec<Range<u64>>, most: u64) -> Vec<Range<u64>> {
    ranges.sort_unstable_by_key(|range| range.start);
    let mut stretches: Vec<Range<u64>> = Vec::new();
    for range in ranges {
        match stretches.last_mut() {
            // Only a file that lies has blocks over each other: they are fetched together, too.
            Some(last)
                if range.start < last.end
                    || (range.start - last.end <= GAP_BYTES && range.end - last.start <= most) =>
            {
                last.end = last.end.max(range.end);
            }
            Some(_) | None => stretches.push(range),
        }
    }
    stretches
}

/// The rows of a block whose bytes in the file are `stored`; `None` where it is not packed.
fn unpack(block: &BlockEntry, stored: &[u8]) -> Result<Option<Vec<u8>>, Error> {
    let what = format!("the block at byte {}", block.offset);
    check_crc(&what, stored, block.crc)?;
    if block.unpacked == block.stored {
        return Ok(None);
    }
    let rows = lz4_flex::block::decompress(stored, block.unpacked as usize)
        .map_err(|error| damaged(format!("{what} cannot be unpacked: {error}")))?;
    if rows.len() == block.unpacked as usize {
        Ok(Some(rows))
    } else {
        Err(damaged(format!(
            "{what} unpacks to {} bytes instead of {}",
            rows.len(),
            block.unpacked
        )))
    }
}

pub(super) fn check_crc(what: &str, bytes: &[u8], expected: u32) -> Result<(), Error> {
    let found = crc32c::crc32c(bytes);
    if found == expected {
        Ok(())
    } else {
        Err(damaged(format!(
            "{what} has checksum {found:08x}, it was written with {expected:08x}"
        )))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_lies_close_together_is_fetched_together_and_nothing_twice() {
        let gap = GAP_BYTES;
        let ranges = vec![
            10..20,
            0..10,
            20 + gap..30 + gap,
            31 + 2 * gap..40 + 2 * gap,
        ];
        let expected = [0..30 + gap, 31 + 2 * gap..40 + 2 * gap];
        assert_eq!(together(ranges, 10 * gap), expected);
        // Not more than may be in memory, unless one alone is more.
        assert_eq!(
            together(vec![0..60, 60..100, 100..250], 100),
            [0..100, 100..250]
        );
        assert_eq!(together(vec![], 100), []);
    }
}
