//! The events of Nexmark: persons, auctions and bids of a market, made one by one from their
//! number.
//!
//! Of 50 events in a row the first is a person, three are auctions and 46 are bids. Event `e`
//! depends on `e` alone, so that subtasks can share the stream in any way, and so that the same
//! events can be made elsewhere.
//!
//! INVARIANT: which draw makes which field is part of what is compared with other engines.

use crate::{
    peer::{
        check::{STEP, mix},
        made::Stream,
    },
    write_decimal,
};

/// The event time of the first event, in milliseconds since 1970: the beginning of a window of any
/// size that divides ten seconds.
pub const START: i64 = 1_700_000_000_000;
/// Events a millisecond of event time, where nothing else is said.
pub const PER_MS: u64 = 100;
/// Ids begin here.
pub const FIRST_ID: u64 = 1_000;

/// Persons, auctions and bids come in rounds of so many events.
const ROUND: u64 = 50;
const AUCTIONS_A_ROUND: u64 = 3;
/// The seller or bidder, or the auction, that is new in each so many is a hot one.
const HOT_EACH: u64 = 100;
/// Of so many persons, or auctions, the latest ones are drawn from.
const RECENT_SELLERS: u64 = 100;
const RECENT_AUCTIONS: u64 = 100;
const RECENT_BIDDERS: u64 = 1_000;
const PRICES: usize = 6_000;
const LONGEST_AUCTION_MS: u64 = 20_000;

/// How long rows are on average, and the part of them that is no filler.
const PERSON_BYTES: u64 = 200;
const AUCTION_BYTES: u64 = 500;
const AUCTION_NUMBERS_BYTES: u64 = 48;
const BID_FILLER_BYTES: u64 = 68;
/// Of all kinds together, rounded up.
const ROW_BYTES: usize = 192;
const ITEM_LETTERS: u64 = 20;

const FIRST_NAMES: [&str; 11] = [
    "Ada", "Ben", "Cleo", "Dora", "Emil", "Flora", "Gus", "Hanna", "Igor", "Jana", "Karl",
];
const LAST_NAMES: [&str; 9] = [
    "Adler", "Becker", "Carver", "Dunn", "Ellis", "Fischer", "Grant", "Hobbs", "Ivers",
];
const CITIES: [&str; 10] = [
    "Phoenix", "Tucson", "Fresno", "Oakland", "Boise", "Portland", "Salem", "Seattle", "Tacoma",
    "Laramie",
];
const STATES: [&str; 6] = ["AZ", "CA", "ID", "OR", "WA", "WY"];
const HOT_CHANNELS: [&str; 4] = ["search", "social", "video", "mail"];

/// Makes events.
#[derive(Clone, Debug)]
pub struct Generator {
    per_ms: u64,
    prices: Vec<u64>,
}

/// What an event says, its fillers apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// Somebody new.
    Person(Person),
    /// Something is offered.
    Auction(Auction),
    /// Somebody bids for something.
    Bid(Bid),
}

/// Somebody who sells or bids.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Person {
    /// Who it is.
    pub id: u64,
    /// First and last name.
    pub name: (&'static str, &'static str),
    /// Where the person lives; city and state are drawn independently of each other.
    pub city: &'static str,
    /// One of six.
    pub state: &'static str,
    /// The event time.
    pub time: i64,
}

/// Something that is for sale.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Auction {
    /// Which it is.
    pub id: u64,
    /// The first price.
    pub initial: u64,
    /// The least price at which it is sold.
    pub reserve: u64,
    /// The event time.
    pub time: i64,
    /// The last moment of the auction.
    pub expires: i64,
    /// Whose it is.
    pub seller: u64,
    /// What kind of thing it is.
    pub category: u64,
}

/// A bid for something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bid {
    /// For what.
    pub auction: u64,
    /// From whom.
    pub bidder: u64,
    /// In cents.
    pub price: u64,
    /// The event time.
    pub time: i64,
}

/// The random numbers of an event: each field has its own by number.
#[derive(Clone, Copy)]
struct Draws(u64);

impl Draws {
    #[inline]
    fn of(event: u64) -> Self {
        Self(mix(event.wrapping_add(STEP)))
    }

    #[inline]
    fn get(self, number: u64) -> u64 {
        mix(self.0.wrapping_add(number.wrapping_mul(STEP)))
    }

    #[inline]
    fn below(self, number: u64, bound: u64) -> u64 {
        self.get(number) % bound
    }

    #[inline]
    fn of_table(self, number: u64, table: &[&'static str]) -> &'static str {
        table[self.below(number, table.len() as u64) as usize]
    }
}

/// The length of a filler that brings a row to about its length, give or take a fifth of what is
/// left.
#[inline]
fn filler_length(left: u64, draw: u64) -> u64 {
    let delta = left / 5;
    left - delta + draw % (2 * delta)
}

impl Default for Generator {
    fn default() -> Self {
        Self::new(PER_MS)
    }
}

impl Generator {
    /// Events of which so many share a millisecond; fewer make windows of few events.
    #[must_use]
    pub fn new(per_ms: u64) -> Self {
        let price = |step: usize| (10_f64.powf(step as f64 / 1_000.0) * 100.0).round() as u64;
        Self {
            per_ms: per_ms.max(1),
            prices: (0..PRICES).map(price).collect(),
        }
    }

    /// The event time of event `event`: it never falls.
    #[inline]
    #[must_use]
    pub fn time(&self, event: u64) -> i64 {
        START + (event / self.per_ms) as i64
    }

    /// What event `event` says.
    #[must_use]
    pub fn event(&self, event: u64) -> Event {
        let (round, place, draws) = (event / ROUND, event % ROUND, Draws::of(event));
        match place {
            0 => Event::Person(self.person(event, round, draws)),
            1..=AUCTIONS_A_ROUND => Event::Auction(self.auction(event, round, place, draws)),
            _ => Event::Bid(self.bid(event, round, draws)),
        }
    }

    /// Appends event `event` as a row of csv text: its kind, `P`, `A` or `B`, and all its fields.
    #[inline]
    pub fn write(&self, event: u64, out: &mut Vec<u8>) {
        let (round, place, draws) = (event / ROUND, event % ROUND, Draws::of(event));
        match place {
            0 => write_person(&self.person(event, round, draws), draws, out),
            1..=AUCTIONS_A_ROUND => {
                write_auction(&self.auction(event, round, place, draws), draws, out);
            }
            _ => write_bid(&self.bid(event, round, draws), draws, out),
        }
    }

    #[inline]
    fn price(&self, draws: Draws, number: u64) -> u64 {
        self.prices[draws.below(number, PRICES as u64) as usize]
    }

    fn person(&self, event: u64, round: u64, draws: Draws) -> Person {
        Person {
            id: FIRST_ID + round,
            name: (
                draws.of_table(1, &FIRST_NAMES),
                draws.of_table(2, &LAST_NAMES),
            ),
            city: draws.of_table(5, &CITIES),
            state: draws.of_table(6, &STATES),
            time: self.time(event),
        }
    }

    fn auction(&self, event: u64, round: u64, place: u64, draws: Draws) -> Auction {
        let time = self.time(event);
        let seller = if draws.below(4, 4) > 0 {
            round / HOT_EACH * HOT_EACH
        } else {
            round.saturating_sub(draws.below(5, RECENT_SELLERS))
        };
        Auction {
            id: FIRST_ID + AUCTIONS_A_ROUND * round + place - 1,
            initial: self.price(draws, 1),
            reserve: self.price(draws, 2),
            time,
            expires: time + 1 + draws.below(3, LONGEST_AUCTION_MS) as i64,
            seller: FIRST_ID + seller,
            category: 10 + draws.below(6, 5),
        }
    }

    #[inline]
    fn bid(&self, event: u64, round: u64, draws: Draws) -> Bid {
        let last_auction = AUCTIONS_A_ROUND * round + AUCTIONS_A_ROUND - 1;
        let auction = if draws.below(1, 2) > 0 {
            last_auction / HOT_EACH * HOT_EACH
        } else {
            last_auction.saturating_sub(draws.below(2, RECENT_AUCTIONS))
        };
        let bidder = if draws.below(3, 4) > 0 {
            round / HOT_EACH * HOT_EACH + 1
        } else {
            round.saturating_sub(draws.below(4, RECENT_BIDDERS))
        };
        Bid {
            auction: FIRST_ID + auction,
            bidder: FIRST_ID + bidder,
            price: self.price(draws, 5),
            time: self.time(event),
        }
    }
}

impl Stream for Generator {
    fn row_bytes(&self) -> usize {
        ROW_BYTES
    }

    fn has_times(&self) -> bool {
        true
    }

    #[inline]
    fn row(&self, event: u64, out: &mut Vec<u8>) -> i64 {
        self.write(event, out);
        self.time(event)
    }
}

fn write_person(person: &Person, draws: Draws, out: &mut Vec<u8>) {
    out.extend_from_slice(b"P,");
    write_decimal(person.id, out);
    out.push(b',');
    let text = out.len();
    out.extend_from_slice(person.name.0.as_bytes());
    out.push(b' ');
    out.extend_from_slice(person.name.1.as_bytes());
    out.push(b',');
    let email = letters(draws.get(3));
    out.extend_from_slice(&email[..7]);
    out.push(b'@');
    out.extend_from_slice(&email[7..12]);
    out.extend_from_slice(b".com,");
    let card = draws.get(4);
    for group in 0..4 {
        if group > 0 {
            out.push(b' ');
        }
        let digits = ((card >> (16 * group)) & 0xffff) % 10_000;
        let four = [
            digits / 1_000,
            digits / 100 % 10,
            digits / 10 % 10,
            digits % 10,
        ];
        out.extend_from_slice(&four.map(|digit| b'0' + digit as u8));
    }
    out.push(b',');
    out.extend_from_slice(person.city.as_bytes());
    out.push(b',');
    out.extend_from_slice(person.state.as_bytes());
    // Four commas stand between the five texts.
    let texts = (out.len() - text - 4) as u64;
    out.push(b',');
    write_decimal(person.time as u64, out);
    out.push(b',');
    let length = filler_length(PERSON_BYTES - 8 - texts, draws.get(7));
    push_filler(draws, 16, length, out);
}

fn write_auction(auction: &Auction, draws: Draws, out: &mut Vec<u8>) {
    out.extend_from_slice(b"A,");
    write_decimal(auction.id, out);
    out.push(b',');
    push_filler(draws, 9, ITEM_LETTERS, out);
    out.push(b',');
    let description = 3 + draws.below(8, 98);
    push_filler(draws, 16, description, out);
    for number in [
        auction.initial,
        auction.reserve,
        auction.time as u64,
        auction.expires as u64,
        auction.seller,
        auction.category,
    ] {
        out.push(b',');
        write_decimal(number, out);
    }
    out.push(b',');
    let left = AUCTION_BYTES - AUCTION_NUMBERS_BYTES - ITEM_LETTERS - description;
    push_filler(draws, 32, filler_length(left, draws.get(7)), out);
}

#[inline]
fn write_bid(bid: &Bid, draws: Draws, out: &mut Vec<u8>) {
    out.extend_from_slice(b"B,");
    write_decimal(bid.auction, out);
    out.push(b',');
    write_decimal(bid.bidder, out);
    out.push(b',');
    write_decimal(bid.price, out);
    out.push(b',');
    let channel = draws.get(7);
    if draws.below(6, 2) > 0 {
        out.extend_from_slice(HOT_CHANNELS[(channel % 4) as usize].as_bytes());
    } else {
        out.extend_from_slice(b"channel-");
        write_decimal(channel % 10_000, out);
    }
    let mut url = *b",https://auctions.example.com/-----/-----/-----/bid,";
    let path = letters(draws.get(8));
    url[30..35].copy_from_slice(&path[..5]);
    url[36..41].copy_from_slice(&path[5..10]);
    url[42..47].copy_from_slice(&path[10..15]);
    out.extend_from_slice(&url);
    write_decimal(bid.time as u64, out);
    out.push(b',');
    let length = filler_length(BID_FILLER_BYTES, draws.get(9));
    push_filler(draws, 16, length, out);
}

/// Appends so many letters, 16 of each draw from `first` on.
#[inline]
fn push_filler(draws: Draws, first: u64, length: u64, out: &mut Vec<u8>) {
    let end = out.len() + length as usize;
    for block in 0..length.div_ceil(16) {
        out.extend_from_slice(&letters(draws.get(first + block)));
    }
    out.truncate(end);
}

/// The sixteen letters of a draw: `a` to `p` for each half of a byte, from the lowest on.
#[inline]
fn letters(draw: u64) -> [u8; 16] {
    let spread = |half: u64| {
        let fours = (half | half << 16) & 0x0000_ffff_0000_ffff;
        let twos = (fours | fours << 8) & 0x00ff_00ff_00ff_00ff;
        let ones = (twos | twos << 4) & 0x0f0f_0f0f_0f0f_0f0f;
        ones + 0x6161_6161_6161_6161
    };
    let both = u128::from(spread(draw & 0xffff_ffff)) | u128::from(spread(draw >> 32)) << 64;
    both.to_le_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(generator: &Generator, event: u64) -> String {
        let mut out = Vec::new();
        generator.write(event, &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn of_fifty_events_one_is_a_person_three_are_auctions_and_the_rest_are_bids() {
        let generator = Generator::default();
        let kinds = |kind: char| {
            let rows = (0..5_000).filter(|event| row(&generator, *event).starts_with(kind));
            rows.count()
        };
        assert_eq!(['P', 'A', 'B'].map(kinds), [100, 300, 4_600]);
    }

    #[test]
    fn a_row_says_what_the_event_says() {
        let generator = Generator::new(7);
        for event in (0..2_000).chain(1_000_000..1_002_000) {
            let text = row(&generator, event);
            let fields: Vec<&str> = text.split(',').collect();
            let numbers = |at: &[usize]| -> Vec<u64> {
                at.iter().map(|at| fields[*at].parse().unwrap()).collect()
            };
            match generator.event(event) {
                Event::Person(person) => {
                    assert_eq!((fields[0], fields.len()), ("P", 9));
                    assert_eq!(numbers(&[1, 7]), [person.id, person.time as u64]);
                    let name = format!("{} {}", person.name.0, person.name.1);
                    assert_eq!(
                        (fields[2], fields[5], fields[6]),
                        (&*name, person.city, person.state)
                    );
                }
                Event::Auction(auction) => {
                    assert_eq!((fields[0], fields.len(), fields[2].len()), ("A", 11, 20));
                    let (time, expires) = (auction.time as u64, auction.expires as u64);
                    let said = [auction.id, auction.initial, auction.reserve, time, expires];
                    assert_eq!(numbers(&[1, 4, 5, 6, 7]), said);
                    assert_eq!(numbers(&[8, 9]), [auction.seller, auction.category]);
                    assert!((1..=20_000).contains(&(expires - time)));
                }
                Event::Bid(bid) => {
                    assert_eq!((fields[0], fields.len(), fields[5].len()), ("B", 8, 50));
                    assert_eq!(numbers(&[1, 2, 3]), [bid.auction, bid.bidder, bid.price]);
                    assert_eq!(numbers(&[6]), [bid.time as u64]);
                }
            }
        }
    }

    #[test]
    fn rows_are_about_as_long_as_they_are_to_be() {
        let generator = Generator::default();
        let average = |kind: char| {
            let rows = (0..50_000).map(|event| row(&generator, event));
            let lengths: Vec<usize> = rows
                .filter(|row| row.starts_with(kind))
                .map(|row| row.len())
                .collect();
            lengths.iter().sum::<usize>() / lengths.len()
        };
        assert!((180..=230).contains(&average('P')), "{}", average('P'));
        assert!((450..=550).contains(&average('A')), "{}", average('A'));
        // 100, and channel and url.
        assert!((140..=180).contains(&average('B')), "{}", average('B'));
    }

    #[test]
    fn whoever_sells_and_whatever_is_bid_for_is_there() {
        let generator = Generator::default();
        let (mut persons, mut auctions) = (0, 0);
        for event in 0..100_000 {
            match generator.event(event) {
                Event::Person(person) => {
                    persons += 1;
                    assert_eq!(person.id, FIRST_ID + persons - 1);
                }
                Event::Auction(auction) => {
                    auctions += 1;
                    assert_eq!(auction.id, FIRST_ID + auctions - 1);
                    assert!((FIRST_ID..FIRST_ID + persons).contains(&auction.seller));
                }
                Event::Bid(bid) => {
                    assert!((FIRST_ID..FIRST_ID + auctions).contains(&bid.auction));
                    // The hot bidder may be the next person.
                    assert!((FIRST_ID..=FIRST_ID + persons).contains(&bid.bidder));
                }
            }
        }
    }

    #[test]
    fn time_rises_by_a_millisecond_each_so_many_events() {
        let generator = Generator::new(3);
        let times = [0, 2, 3, 300_000].map(|event| generator.time(event) - START);
        assert_eq!(times, [0, 0, 1, 100_000]);
    }

    /// What the generator of the other engine comes to as well.
    #[test]
    fn the_sum_of_the_first_events_is_known() {
        let generator = Generator::default();
        let mut sum = 0_u64;
        for event in 0..100_000 {
            let text = row(&generator, event);
            let kind = match text.as_bytes()[0] {
                b'P' => "0",
                b'A' => "1",
                _ => "2",
            };
            let row = format!("{kind}{}", &text[1..]);
            sum = sum.wrapping_add(super::super::oracle::fold_row(row.as_bytes()));
        }
        assert_eq!(sum, 6_325_889_730_745_450_928);
    }
}
