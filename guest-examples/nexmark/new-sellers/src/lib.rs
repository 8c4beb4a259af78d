//! Query 8: who is new and sells something in the same window. A join finds the persons, `id`, and
//! their auctions, `seller,id`; what comes out is `person,window start,auction`.

use weir_guest::{Binary, Context, Ctx, JoinFunction, Result, Row, operator};

/// How long windows are: as in the job file.
const WINDOW_MS: i64 = 10_000;

#[derive(Default)]
struct NewSellers;

impl JoinFunction for NewSellers {
    type Left = Binary<u64>;
    type Right = Binary<[u64; 2]>;
    type Out = Binary<(u64, i64, u64)>;

    fn join(
        &mut self,
        person: Row<Self::Left>,
        auction: Row<Self::Right>,
        ctx: &mut Ctx<Self::Out>,
    ) -> Result<()> {
        let (person, [_, auction], time) = (person.value, auction.value, person.timestamp);
        let time = time.context("a person has event time")?;
        let start = time - time.rem_euclid(WINDOW_MS);
        ctx.emit((person, start, auction))
    }
}

operator!(NewSellers, join);

#[cfg(test)]
mod tests {
    use super::*;
    use nexmark::rows;
    use weir_guest::testing::Harness;

    #[test]
    fn a_pair_is_told_with_the_start_of_its_window() {
        let mut sellers = Harness::open::<NewSellers, _>("null").unwrap();
        let (person, auction) = (rows::row(&[7], &[]), rows::row(&[7, 1042], &[]));
        let out = sellers.join("7", [(10_500, person)], [(19_000, auction)]);
        let told = rows::told::<(u64, i64, u64)>(&out.unwrap()).unwrap();
        assert_eq!(told, [(7, 10_000, 1042)]);
    }
}
