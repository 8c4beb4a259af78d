//! Query 11: the bids of each bidder until there was none for some time, as `bidder,start,bids`.

use weir_guest::{Ctx, Result, Window, WindowAggregate, operator};

#[derive(Default)]
struct Sessions;

impl WindowAggregate for Sessions {
    type In = Vec<u8>;
    type Accumulator = u64;
    type Out = String;

    fn add(&mut self, bids: &mut u64, _row: &[u8]) -> Result<()> {
        *bids += 1;
        Ok(())
    }

    fn merge(&mut self, bids: &mut u64, other: u64) -> Result<()> {
        *bids += other;
        Ok(())
    }

    fn result(&mut self, window: Window, bids: u64, ctx: &mut Ctx<String>) -> Result<()> {
        ctx.emit((ctx.key(), ",", window.start, ",", bids))
    }
}

operator!(Sessions, aggregate);

#[cfg(test)]
mod tests {
    use super::*;
    use weir_guest::testing::Harness;

    #[test]
    fn a_session_begins_with_its_first_bid() {
        let mut sessions = Harness::open::<Sessions, _>("null").unwrap();
        let window = Window {
            start: 2_017,
            end: 4_023,
        };
        let out = sessions.window("1001", window, ["1001"; 2]).unwrap();
        assert_eq!(out.main(), ["1001,2017,2"]);
    }
}
