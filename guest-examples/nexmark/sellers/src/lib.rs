//! Query 3: who sells what: persons, `id,name,city,state`, with their auctions, `seller,id`,
//! whichever comes first. Both are kept for ever. What comes out is `id,name,city,state`, where the
//! id is that of the auction.

use weir_guest::{
    Binary, Context, Ctx, EncodeAs, KeyedCoProcess, KeyedDescribe, List, Result, Row, Value,
    operator,
};

#[derive(Default)]
struct Sellers {
    /// Name, city and state, as they came.
    person: Value<Vec<u8>>,
    auctions: List<u64>,
}

/// An auction, and behind it whose it is.
struct Sold<'a>(u64, &'a [u8]);

impl KeyedCoProcess for Sellers {
    type First = Vec<u8>;
    type Second = Binary<[u64; 2]>;
    type Out = Vec<u8>;

    fn describe(&mut self, d: &mut KeyedDescribe) {
        d.value("person", &mut self.person).prefetch();
        d.list("auctions", &mut self.auctions);
    }

    fn process_first(&mut self, row: Row<Self::First>, ctx: &mut Ctx<Self::Out>) -> Result<()> {
        let person = row.get(8..).context("a person has an id")?;
        for auction in self.auctions.get()? {
            ctx.emit(Sold(*auction, person))?;
        }
        self.person.set(person.to_owned())
    }

    fn process_second(&mut self, row: Row<Self::Second>, ctx: &mut Ctx<Self::Out>) -> Result<()> {
        let [_, auction] = row.value;
        if let Some(person) = self.person.get()? {
            ctx.emit(Sold(auction, person))?;
        }
        self.auctions.add(auction)
    }
}

impl EncodeAs<Vec<u8>> for Sold<'_> {
    fn encode_as(&self, out: &mut Vec<u8>) -> Result<()> {
        out.extend_from_slice(&self.0.to_le_bytes());
        out.extend_from_slice(self.1);
        Ok(())
    }
}

operator!(Sellers);

#[cfg(test)]
mod tests {
    use super::*;
    use nexmark::rows;
    use weir_guest::testing::{Harness, Input};

    #[test]
    fn each_pair_is_told_once_whoever_comes_first() {
        let mut sellers = Harness::open::<Sellers, _>("null").unwrap();
        let auction =
            |seller: u64, id| Input::row(rows::row(&[seller, id], &[])).key([seller.to_le_bytes()]);
        let of_ada = |number| rows::row(&[number], &["Ada Dunn", "Boise", "ID"]);
        let out = sellers.batch(1, [auction(7, 1), auction(8, 2), auction(7, 3)]);
        assert!(out.unwrap().main().is_empty());
        let person = Input::row(of_ada(7)).key([7_u64.to_le_bytes()]);
        let out = sellers.batch(0, [person]).unwrap();
        assert_eq!(rows::main(&out), [of_ada(1), of_ada(3)]);
        sellers.restart().unwrap();
        let out = sellers.batch(1, [auction(7, 4), auction(8, 5)]).unwrap();
        assert_eq!(rows::main(&out), [of_ada(4)]);
        assert_eq!(sellers.held("auctions"), 5);
    }
}
