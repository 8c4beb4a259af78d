//! Query 3: who sells what: persons, `id,name,city,state`, with their auctions, `seller,id`,
//! whichever comes first. Both are kept for ever.

use nexmark::Numbers;
use weir_guest::{Context, Ctx, KeyedCoProcess, KeyedDescribe, List, Result, Row, Value, operator};

#[derive(Default)]
struct Sellers {
    /// Name, city and state.
    person: Value<String>,
    auctions: List<u64>,
}

impl KeyedCoProcess for Sellers {
    type First = String;
    type Second = Numbers<2>;
    type Out = String;

    fn describe(&mut self, d: &mut KeyedDescribe) {
        d.value("person", &mut self.person).prefetch();
        d.list("auctions", &mut self.auctions);
    }

    fn process_first(&mut self, row: Row<String>, ctx: &mut Ctx<String>) -> Result<()> {
        let (_, person) = row.split_once(',').context("a person has a name")?;
        for auction in self.auctions.get()? {
            ctx.emit((person, ",", auction))?;
        }
        self.person.set(person.to_owned())
    }

    fn process_second(&mut self, row: Row<Numbers<2>>, ctx: &mut Ctx<String>) -> Result<()> {
        let [_, auction] = row.value;
        if let Some(person) = self.person.get()? {
            ctx.emit((person, ",", auction))?;
        }
        self.auctions.add(auction)
    }
}

operator!(Sellers);

#[cfg(test)]
mod tests {
    use super::*;
    use weir_guest::testing::{Harness, Input};

    #[test]
    fn each_pair_is_told_once_whoever_comes_first() {
        let mut sellers = Harness::open::<Sellers, _>("null").unwrap();
        let auction = |seller: &str, id: u64| Input::row(format!("{seller},{id}")).key([seller]);
        let out = sellers.batch(1, [auction("7", 1), auction("8", 2), auction("7", 3)]);
        assert!(out.unwrap().main().is_empty());
        let person = Input::row("7,Ada Dunn,Boise,ID").key(["7"]);
        let told = sellers.batch(0, [person]).unwrap().main();
        assert_eq!(told, ["Ada Dunn,Boise,ID,1", "Ada Dunn,Boise,ID,3"]);
        sellers.restart().unwrap();
        let told = sellers.batch(1, [auction("7", 4), auction("8", 5)]);
        assert_eq!(told.unwrap().main(), ["Ada Dunn,Boise,ID,4"]);
        assert_eq!(sellers.held("auctions"), 5);
    }
}
