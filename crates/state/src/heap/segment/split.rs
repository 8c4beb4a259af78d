//! How a segment becomes two.

use super::{At, Bucket, Cell, MAX_BYTES, Segment, big_id, big_value, bucket, record};

/// Where all records are read, those of so many buckets ahead are asked for.
const BUCKETS_AHEAD: usize = 2;

impl Segment {
    /// Moves the entries whose hash has bit `depth` to a new segment. Records are copied as they
    /// are, with the room that they have to grow.
    pub(in crate::heap) fn split(&mut self) -> Self {
        let bit = 1u64 << self.depth;
        let mut halves = [self.new_half(), self.new_half()];
        for (number, bucket) in self.index.iter().enumerate() {
            if let Some(next) = self.index.get(number + BUCKETS_AHEAD) {
                next.cells().for_each(|cell| self.touch(At(cell.at)));
            }
            for cell in bucket.cells() {
                let at = At(cell.at);
                if !self.has_value(at) {
                    continue;
                }
                let low = record::low_hash(&self.arena, at.byte());
                halves[usize::from(low & bit != 0)].take(self, cell);
            }
        }
        for half in &mut halves {
            if half.live == 0 {
                // Nothing comes to it for now: most hashes have the other bit.
                (half.index, half.arena) = (Vec::new(), Vec::new());
            }
        }
        let [low, high] = halves;
        *self = low;
        high
    }

    /// Takes in the record of a cell of another segment, which has a value.
    #[inline]
    fn take(&mut self, from: &Self, cell: Cell) {
        let to = self.next_at();
        record::copy(&from.arena, At(cell.at).byte(), &mut self.arena);
        if from.tagged
            && let Some(id) = big_id(from.value(At(cell.at)))
        {
            let value = big_value(self.bigs.len());
            self.bigs.push(from.bigs.get(id).cloned().flatten());
            record::set_value(&mut self.arena, At(to).byte(), &value);
        }
        self.place(Cell { at: to, ..cell });
        self.live += 1;
    }

    /// An empty segment for a half of the entries, with room for as many as there are now: it will
    /// be split in its turn when it has these, and need not grow before.
    fn new_half(&self) -> Self {
        let buckets = (self.live as usize * 4).div_ceil(bucket::CELLS * 3);
        let live = (self.arena.len() - self.garbage).min(MAX_BYTES);
        Self {
            index: vec![Bucket::EMPTY; buckets.next_power_of_two()],
            arena: Vec::with_capacity(live + live / 16),
            depth: self.depth + 1,
            epoch: self.epoch,
            tagged: self.tagged,
            reach: self.reach,
            ..Self::default()
        }
    }
}
