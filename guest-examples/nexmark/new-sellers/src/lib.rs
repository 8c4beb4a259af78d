//! Query 8: who is new and sells something in the same window. A join finds the persons, `id`, and
//! their auctions, `seller,id`; what comes out is `person,window start,auction`.

use nexmark::Numbers;
use weir_guest::{Context, Ctx, JoinFunction, Result, Row, operator};

/// How long windows are: as in the job file.
const WINDOW_MS: i64 = 10_000;

#[derive(Default)]
struct NewSellers;

impl JoinFunction for NewSellers {
    type Left = Numbers<1>;
    type Right = Numbers<2>;
    type Out = String;

    fn join(
        &mut self,
        person: Row<Numbers<1>>,
        auction: Row<Numbers<2>>,
        ctx: &mut Ctx<String>,
    ) -> Result<()> {
        let ([person], [_, auction], time) = (person.value, auction.value, person.timestamp);
        let time = time.context("a person has event time")?;
        let start = time - time.rem_euclid(WINDOW_MS);
        ctx.emit((person, ",", start, ",", auction))
    }
}

operator!(NewSellers, join);

#[cfg(test)]
mod tests {
    use super::*;
    use weir_guest::testing::Harness;

    #[test]
    fn a_pair_is_told_with_the_start_of_its_window() {
        let mut sellers = Harness::open::<NewSellers, _>("null").unwrap();
        let out = sellers
            .join("7", [(10_500, "7")], [(19_000, "7,1042")])
            .unwrap();
        assert_eq!(out.main(), ["7,10000,1042"]);
    }
}
