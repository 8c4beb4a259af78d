//! What a query needs of the events: of each kind its fields, and of auctions and persons only
//! those of some categories and states. Bids go to the main output, the others to `auctions` and
//! `persons`.
//!
//! ```yaml
//! config: { bids: [auction, price], auctions: [id, seller], categories: [10] }
//! ```
//!
//! Fields are copied as they are, numbers first, then texts. `["*"]` is the event as it came, its
//! kind included: it is passed on and not copied.

mod projection;

use nexmark::{AUCTION, BID, PERSON, no_event};
use serde::Deserialize;
use weir_guest::{
    BatchCtx, Batched, Ctx, Describe, EncodeAs, Env, InputBatch, Process, Result, Row, SideOutput,
    operator,
};

use projection::{Projection, number_at};

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
        let (categories, states) = (config.categories, config.states);
        self.wanted = Wanted {
            bids: Projection::new(&BID, &config.bids)?,
            auctions: Projection::new(&AUCTION, &config.auctions)?
                .map(|auctions| auctions.only_numbers("category", categories)),
            persons: Projection::new(&PERSON, &config.persons)?
                .map(|persons| persons.only_texts("state", states)),
        };
        Ok(())
    }

    fn process(&mut self, row: Row<Vec<u8>>, ctx: &mut Ctx<Vec<u8>>) -> Result<()> {
        let (wanted, output) = match row.first() {
            Some(&kind) if kind == BID.letter => (&self.wanted.bids, ctx.main()),
            Some(&kind) if kind == AUCTION.letter => {
                (&self.wanted.auctions, ctx.to(&self.auctions))
            }
            Some(&kind) if kind == PERSON.letter => (&self.wanted.persons, ctx.to(&self.persons)),
            _ => return Err(no_event(row.value)),
        };
        let Some(wanted) = wanted else { return Ok(()) };
        match wanted.of(row.value)? {
            Some(projected) => output.emit(projected),
            None => Ok(()),
        }
    }

    fn process_batch(
        &mut self,
        batch: &InputBatch<Vec<u8>>,
        ctx: &mut BatchCtx<Vec<u8>>,
    ) -> Result<Batched> {
        // Nearly all are bids, and of nearly all bids it is the same bytes that are wanted.
        let Some(bids) = &self.wanted.bids else {
            for (number, row) in batch.rows().enumerate() {
                let row = row?.value;
                if row.first() != Some(&BID.letter) {
                    self.rare(number, row, ctx)?;
                }
            }
            return Ok(Batched::Done);
        };
        if let Some(from) = bids.rest() {
            if from == 0 {
                return self.as_they_came(batch, ctx);
            }
            return self.bids(batch, ctx, |bid| {
                let rest = bid.get(from..).filter(|_| bid.len() >= BID.texts_at());
                rest.map(Some).ok_or_else(|| no_event(bid))
            });
        }
        match *bids.numbers() {
            [one] => self.bids(batch, ctx, |bid| numbers_at::<1, 8>(bid, [one])),
            [one, two] => self.bids(batch, ctx, |bid| numbers_at::<2, 16>(bid, [one, two])),
            [one, two, three] => self.bids(batch, ctx, |bid| {
                numbers_at::<3, 24>(bid, [one, two, three])
            }),
            _ => self.bids(batch, ctx, |bid| bids.of(bid)),
        }
    }
}

/// These numbers of a bid, each of which begins at such a byte.
#[inline(always)]
fn numbers_at<const NUMBERS: usize, const BYTES: usize>(
    bid: &[u8],
    at: [usize; NUMBERS],
) -> Result<Option<[u8; BYTES]>> {
    const { assert!(BYTES == 8 * NUMBERS) };
    if bid.len() < BID.texts_at() {
        return Err(no_event(bid));
    }
    let mut numbers = [0; BYTES];
    for (place, at) in numbers.as_chunks_mut().0.iter_mut().zip(at) {
        *place = *number_at(bid, at)?;
    }
    Ok(Some(numbers))
}

impl Events {
    /// Processes a batch, of whose bids this is wanted.
    #[inline(always)]
    fn bids<'b, T: EncodeAs<Vec<u8>>>(
        &self,
        batch: &InputBatch<'b, Vec<u8>>,
        ctx: &mut BatchCtx<Vec<u8>>,
        wanted: impl Fn(&'b [u8]) -> Result<Option<T>>,
    ) -> Result<Batched> {
        let mut others = Vec::with_capacity(batch.len() / 8);
        ctx.emit_some(batch.rows().enumerate().map(|(number, row)| {
            let row = row?.value;
            if row.first() == Some(&BID.letter) {
                wanted(row)
            } else {
                others.push((number, row));
                Ok(None)
            }
        }))?;
        for (number, row) in others {
            self.rare(number, row, ctx)?;
        }
        Ok(Batched::Done)
    }

    /// Processes a batch whose bids are passed on.
    fn as_they_came(
        &self,
        batch: &InputBatch<Vec<u8>>,
        ctx: &mut BatchCtx<Vec<u8>>,
    ) -> Result<Batched> {
        for (number, row) in batch.rows().enumerate() {
            let row = row?.value;
            if row.first() != Some(&BID.letter) {
                self.rare(number, row, ctx)?;
            } else if row.len() < BID.texts_at() {
                return Err(no_event(row));
            } else {
                ctx.pass(number)?;
            }
        }
        Ok(Batched::Done)
    }

    /// Processes an event of a batch that is no bid.
    #[inline(never)]
    fn rare(&self, number: usize, row: &[u8], ctx: &mut BatchCtx<Vec<u8>>) -> Result<()> {
        let (wanted, output) = match row.first() {
            Some(&kind) if kind == AUCTION.letter => (&self.wanted.auctions, &self.auctions),
            Some(&kind) if kind == PERSON.letter => (&self.wanted.persons, &self.persons),
            _ => return Err(no_event(row)),
        };
        let Some(wanted) = wanted else { return Ok(()) };
        match wanted.of(row)? {
            Some(projected) => ctx.to(output, number).emit(projected),
            None => Ok(()),
        }
    }
}

operator!(Events);

#[cfg(test)]
mod tests {
    use super::*;
    use nexmark::rows;
    use weir_guest::testing::Harness;

    /// Opened for batches, and for rows one by one.
    fn both_ways(config: &str) -> [Harness; 2] {
        [false, true].map(|by_row| {
            let mut guest = Harness::open::<Events, _>(config).unwrap();
            if by_row {
                guest.row_by_row();
            }
            guest
        })
    }

    fn events() -> [Vec<u8>; 4] {
        let ada = ["Ada Dunn", "a@b.com", "1 2 3 4", "Boise", "ID", "x"];
        [
            rows::event(b'P', &[1000, 17], &ada),
            rows::event(
                b'A',
                &[1002, 100, 200, 17, 99, 1000, 10],
                &["lamp", "old", "x"],
            ),
            rows::event(
                b'A',
                &[1003, 100, 300, 17, 99, 1000, 11],
                &["sofa", "", "x"],
            ),
            rows::event(b'B', &[1002, 1001, 700, 17], &["mail", "u", "x"]),
        ]
    }

    #[test]
    fn each_kind_has_the_fields_that_are_wanted_in_their_order() {
        let config = r#"{"bids":["bidder","auction","price","url"],"auctions":["seller","id"],
            "persons":["name","id","city","state"]}"#;
        for mut guest in both_ways(config) {
            let out = guest.rows(events()).unwrap();
            assert_eq!(rows::main(&out), [rows::row(&[1001, 1002, 700], &["u"])]);
            let auctions = [1002, 1003].map(|id| rows::row(&[1000, id], &[]));
            assert_eq!(rows::of(&out, 1), auctions);
            let person = rows::row(&[1000], &["Ada Dunn", "Boise", "ID"]);
            assert_eq!(rows::of(&out, 2), [person]);
        }
    }

    #[test]
    fn only_some_categories_and_states_are_wanted() {
        let config = r#"{"auctions":["id","reserve"],"categories":[10,12],
            "persons":["id"],"states":["OR"]}"#;
        for mut guest in both_ways(config) {
            let out = guest.rows(events()).unwrap();
            assert!(rows::main(&out).is_empty());
            assert_eq!(rows::of(&out, 1), [rows::row(&[1002, 200], &[])]);
            assert!(rows::of(&out, 2).is_empty());
        }
        for mut guest in both_ways(r#"{"persons":["id"],"states":["ID"]}"#) {
            let out = guest.rows(events()).unwrap();
            assert_eq!(rows::of(&out, 2), [rows::row(&[1000], &[])]);
        }
    }

    #[test]
    fn all_fields_are_the_row_as_it_came_but_for_its_kind() {
        let config = r#"{"bids":["auction","bidder","price","time","channel","url","extra"]}"#;
        let mut were_whole = Vec::new();
        for mut guest in both_ways(config) {
            let out = guest.rows(events()).unwrap();
            assert_eq!(rows::main(&out), [&events()[3][1..]]);
            were_whole.push(guest.was_whole());
        }
        assert_eq!(were_whole, [true, false]);
    }

    #[test]
    fn a_star_is_the_event_as_it_came() {
        let config = r#"{"bids":["*"],"persons":["id"],"auctions":["*"],"categories":[11]}"#;
        let mut were_whole = Vec::new();
        for mut guest in both_ways(config) {
            let out = guest.rows(events()).unwrap();
            assert_eq!(rows::main(&out), [events()[3].clone()]);
            assert_eq!(rows::of(&out, 1), [events()[2].clone()]);
            assert_eq!(rows::of(&out, 2), [rows::row(&[1000], &[])]);
            assert_eq!(out.emitted[0].origin, [3]);
            were_whole.push(guest.was_whole());
        }
        assert_eq!(were_whole, [true, false]);
        let beside = Harness::open::<Events, _>(r#"{"bids":["*","price"]}"#).map(|_| ());
        assert!(beside.unwrap_err().contains("no field `*`"));
    }

    #[test]
    fn some_numbers_and_nothing_else_are_taken_from_where_they_are() {
        let numbers = [
            ("auction", 1002),
            ("bidder", 1001),
            ("price", 700),
            ("time", 17),
        ];
        for order in [[0, 1, 2, 3], [3, 1, 0, 2], [2, 3, 1, 0]] {
            for count in 1..=4 {
                let wanted = order[..count].iter().map(|&at| numbers[at]);
                let names: Vec<_> = wanted.clone().map(|(name, _)| name).collect();
                let fields: Vec<_> = wanted.map(|(_, number)| number).collect();
                let config = format!(r#"{{"bids":{names:?},"persons":["id"]}}"#);
                let mut were_whole = Vec::new();
                for mut guest in both_ways(&config) {
                    let out = guest.rows(events()).unwrap();
                    assert_eq!(rows::main(&out), [rows::row(&fields, &[])]);
                    assert_eq!(rows::of(&out, 2), [rows::row(&[1000], &[])]);
                    assert_eq!(out.emitted[0].origin, [3]);
                    were_whole.push(guest.was_whole());
                }
                assert_eq!(were_whole, [true, false]);
            }
        }
    }

    #[test]
    fn texts_in_another_order_are_measured() {
        let config = r#"{"persons":["extra","state","name","time"]}"#;
        for mut guest in both_ways(config) {
            let out = guest.rows(events()).unwrap();
            let person = rows::row(&[17], &["x", "ID", "Ada Dunn"]);
            assert_eq!(rows::of(&out, 2), [person]);
        }
    }

    #[test]
    fn what_is_no_event_or_cut_short_is_refused() {
        let bid = &events()[3];
        let short = [&b""[..], b"C1", b"B", &bid[..32]];
        // The last text is not measured, as the row ends with it.
        let ends_early = [&bid[..34], &bid[..40]];
        let all = r#"{"bids":["auction","bidder","price","time","channel","url","extra"]}"#;
        let cases = [
            (r#"{"bids":["price","extra"]}"#, &ends_early[..]),
            (r#"{"bids":["price"]}"#, &[]),
            (r#"{"bids":["bidder","auction"]}"#, &[]),
            (all, &[]),
            (r#"{"bids":["*"]}"#, &[]),
        ];
        let guests = cases
            .into_iter()
            .flat_map(|(config, more)| both_ways(config).map(|guest| (guest, more)));
        for (mut guest, more) in guests {
            for row in short.iter().chain(more).copied() {
                let out = guest.rows([bid, row]).unwrap();
                assert_eq!(
                    out.poisoned.as_ref().map(|(row, _)| *row),
                    Some(1),
                    "{row:?}"
                );
                assert_eq!(rows::main(&out).len(), 1);
            }
        }
    }

    #[test]
    fn a_field_that_there_is_not_is_told_at_the_start() {
        let wrong = Harness::open::<Events, _>(r#"{"bids":["colour"]}"#).map(|_| ());
        assert!(wrong.unwrap_err().contains("no field `colour`"));
    }
}
