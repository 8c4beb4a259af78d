//! Query 13: bids, each with what a table of 10,000 rows says of its auction. The table is made
//! when the operator is opened.

use nexmark::{Bid, Bids};
use weir_guest::{BatchCtx, Batched, Binary, Ctx, Env, InputBatch, Process, Result, Row, operator};

const ROWS: u64 = 10_000;

#[derive(Default)]
struct SideTable {
    /// The value of each key from 0 on.
    values: Vec<u64>,
}

impl Process for SideTable {
    type In = Bids;
    type Out = Binary<[u64; 4]>;

    fn open(&mut self, _env: Env) -> Result<()> {
        self.values = (0..ROWS).map(|key| mix(key) & 0xffff).collect();
        Ok(())
    }

    fn process(&mut self, row: Row<Bids>, ctx: &mut Ctx<Self::Out>) -> Result<()> {
        match row.value.and_then(|bid| self.joined(&bid)) {
            Some(joined) => ctx.emit(joined),
            None => Ok(()),
        }
    }

    fn process_batch(
        &mut self,
        batch: &InputBatch<Self::In>,
        ctx: &mut BatchCtx<Self::Out>,
    ) -> Result<Batched> {
        for (number, row) in batch.rows().enumerate() {
            if let Some(joined) = row?.value.and_then(|bid| self.joined(&bid)) {
                ctx.emit(number, joined)?;
            }
        }
        Ok(Batched::Done)
    }
}

impl SideTable {
    /// A bid with what the table says.
    #[inline]
    fn joined(&self, bid: &Bid<'_>) -> Option<[u64; 4]> {
        let value = self.values.get((bid.auction() % ROWS) as usize)?;
        Some([bid.auction(), bid.bidder(), bid.price(), *value])
    }
}

/// Scatters a number (the finisher of SplitMix64).
fn mix(z: u64) -> u64 {
    let z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

operator!(SideTable);

#[cfg(test)]
mod tests {
    use super::*;
    use nexmark::rows;
    use weir_guest::testing::Harness;

    #[test]
    fn a_bid_comes_with_the_value_of_its_auction() {
        for by_row in [false, true] {
            let mut table = Harness::open::<SideTable, _>("null").unwrap();
            if by_row {
                table.row_by_row();
            }
            let bid = |auction| rows::event(b'B', &[auction, 1001, 700, 17], &["", "", ""]);
            let auction = rows::event(b'A', &[1], &["x"]);
            let out = table.rows([bid(20_000), auction, bid(10_001)]).unwrap();
            let one = mix(1) & 0xffff;
            let told = [[20_000, 1001, 700, 0], [10_001, 1001, 700, one]];
            assert_eq!(rows::told::<[u64; 4]>(&out).unwrap(), told);
            assert_eq!(table.was_whole(), !by_row);
        }
    }
}
