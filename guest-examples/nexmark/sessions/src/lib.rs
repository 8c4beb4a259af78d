//! Query 11: the bids of each bidder until there was none for some time, as `bidder,start,bids`.

use weir_guest::{Binary, Ctx, Result, Window, WindowAggregate, operator};

#[derive(Default)]
struct Sessions;

impl WindowAggregate for Sessions {
    type In = Vec<u8>;
    type Accumulator = u64;
    type Out = Binary<[u64; 3]>;

    fn add(&mut self, bids: &mut u64, _row: &[u8]) -> Result<()> {
        *bids += 1;
        Ok(())
    }

    fn merge(&mut self, bids: &mut u64, other: u64) -> Result<()> {
        *bids += other;
        Ok(())
    }

    fn result(&mut self, window: Window, bids: u64, ctx: &mut Ctx<Self::Out>) -> Result<()> {
        let bidder = ctx.key().binary(0)?;
        ctx.emit([bidder, window.start as u64, bids])
    }
}

operator!(Sessions, aggregate);

#[cfg(test)]
mod tests {
    use super::*;
    use nexmark::rows;
    use weir_guest::testing::Harness;

    #[test]
    fn a_session_begins_with_its_first_bid() {
        let mut sessions = Harness::open::<Sessions, _>("null").unwrap();
        let window = Window {
            start: 2_017,
            end: 4_023,
        };
        let bidder = 1001_u64.to_le_bytes();
        let out = sessions.window(bidder, window, [bidder; 2]).unwrap();
        assert_eq!(rows::told::<[u64; 3]>(&out).unwrap(), [[1001, 2017, 2]]);
    }
}
