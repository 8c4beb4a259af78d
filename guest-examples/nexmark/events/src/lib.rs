//! What a query needs of the events: of each kind its fields, and of auctions and persons only
//! those of some categories and states. Bids go to the main output, the others to `auctions` and
//! `persons`.
//!
//!     config: { bids: [auction, price], auctions: [id, seller], categories: [10] }
//!
//! Fields are not read but found, and copied.

mod projection;

use serde::Deserialize;
use weir_guest::{Ctx, Describe, Env, Error, Process, Result, Row, SideOutput, operator};

use projection::Projection;

const BID: [&str; 7] = [
    "auction", "bidder", "price", "channel", "url", "time", "extra",
];
const AUCTION: [&str; 10] = [
    "id",
    "item",
    "description",
    "initial",
    "reserve",
    "time",
    "expires",
    "seller",
    "category",
    "extra",
];
const PERSON: [&str; 8] = [
    "id", "name", "email", "card", "city", "state", "time", "extra",
];

#[derive(Default)]
struct Events {
    auctions: SideOutput<Vec<u8>>,
    persons: SideOutput<Vec<u8>>,
    /// What is passed on of each kind, if anything.
    wanted: Wanted,
}

#[derive(Default)]
struct Wanted {
    bids: Option<Projection>,
    auctions: Option<Projection>,
    persons: Option<Projection>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, default)]
#[derive(Default)]
struct Config {
    bids: Vec<String>,
    auctions: Vec<String>,
    persons: Vec<String>,
    /// The categories of the auctions that are wanted; all where there are none.
    categories: Vec<u64>,
    /// The states of the persons that are wanted.
    states: Vec<String>,
}

impl Process for Events {
    type In = Vec<u8>;
    type Out = Vec<u8>;

    fn describe(&mut self, d: &mut Describe) {
        d.side_output("auctions", &mut self.auctions);
        d.side_output("persons", &mut self.persons);
    }

    fn open(&mut self, env: Env) -> Result<()> {
        let config: Config = env.config_as()?;
        let categories: Vec<String> = config.categories.iter().map(u64::to_string).collect();
        self.wanted = Wanted {
            bids: Projection::new(&BID, &config.bids)?,
            auctions: Projection::new(&AUCTION, &config.auctions)?
                .map(|auctions| auctions.only("category", &categories)),
            persons: Projection::new(&PERSON, &config.persons)?
                .map(|persons| persons.only("state", &config.states)),
        };
        Ok(())
    }

    fn process(&mut self, row: Row<Vec<u8>>, ctx: &mut Ctx<Vec<u8>>) -> Result<()> {
        let wanted = match row.first() {
            Some(b'B') => &self.wanted.bids,
            Some(b'A') => &self.wanted.auctions,
            Some(b'P') => &self.wanted.persons,
            _ => return Err(no_event(row.value)),
        };
        let Some(wanted) = wanted else { return Ok(()) };
        let Some(projected) = wanted.of(row.value)? else {
            return Ok(());
        };
        match row.first() {
            Some(b'B') => ctx.emit(projected),
            Some(b'A') => ctx.to(&self.auctions).emit(projected),
            _ => ctx.to(&self.persons).emit(projected),
        }
    }
}

#[cold]
fn no_event(row: &[u8]) -> Error {
    Error::new(format_args!("`{}` is no event", row.escape_ascii()))
}

operator!(Events);

#[cfg(test)]
mod tests {
    use super::*;
    use weir_guest::testing::Harness;

    const ROWS: [&str; 4] = [
        "P,1000,Ada Dunn,a@b.com,1 2 3 4,Boise,ID,17,x",
        "A,1002,lamp,old,100,200,17,99,1000,10,x",
        "A,1003,sofa,,100,300,17,99,1000,11,x",
        "B,1002,1001,700,mail,u,17,x",
    ];

    #[test]
    fn each_kind_has_the_fields_that_are_wanted_in_their_order() {
        let config = r#"{"bids":["bidder","auction","price"],"auctions":["seller","id"],
            "persons":["id","name","city","state"]}"#;
        let mut events = Harness::open::<Events, _>(config).unwrap();
        let out = events.rows(ROWS).unwrap();
        assert_eq!(out.main(), ["1001,1002,700"]);
        assert_eq!(out.side("auctions"), ["1000,1002", "1000,1003"]);
        assert_eq!(out.side("persons"), ["1000,Ada Dunn,Boise,ID"]);
    }

    #[test]
    fn only_some_categories_and_states_are_wanted() {
        let config = r#"{"auctions":["id","reserve"],"categories":[10,12],
            "persons":["id"],"states":["OR"]}"#;
        let mut events = Harness::open::<Events, _>(config).unwrap();
        let out = events.rows(ROWS).unwrap();
        assert!(out.main().is_empty());
        assert_eq!(out.side("auctions"), ["1002,200"]);
        assert!(out.side("persons").is_empty());
    }

    #[test]
    fn all_fields_are_the_row_as_it_came() {
        let config = r#"{"bids":["auction","bidder","price","channel","url","time","extra"]}"#;
        let mut events = Harness::open::<Events, _>(config).unwrap();
        assert_eq!(
            events.rows(ROWS).unwrap().main(),
            ["1002,1001,700,mail,u,17,x"]
        );
    }

    #[test]
    fn what_is_no_event_or_cut_short_is_refused() {
        let mut events = Harness::open::<Events, _>(r#"{"bids":["price"]}"#).unwrap();
        for row in ["", "C,1", "B,1002,1001"] {
            assert!(events.rows([row]).unwrap().poisoned.is_some(), "{row}");
        }
    }

    #[test]
    fn a_field_that_there_is_not_is_told_at_the_start() {
        let wrong = Harness::open::<Events, _>(r#"{"bids":["colour"]}"#).map(|_| ());
        assert!(wrong.unwrap_err().contains("no field `colour`"));
    }
}
