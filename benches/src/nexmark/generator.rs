//! The events of Nexmark: persons, auctions and bids of a market, made one by one from their
//! number.
//!
//! Of 50 events in a row the first is a person, three are auctions and 46 are bids. Event `e`
//! depends on `e` alone, so that subtasks can share the stream in any way, and so that the same
//! events can be made elsewhere.
//!
//! INVARIANT: which draw makes which field is part of what is compared with other engines.

use std::hint::select_unpredictable;

use crate::peer::{
    check::{STEP, mix},
    made::Stream,
};

/// The event time of the first event, in milliseconds since 1970: the beginning of a window of any
/// size that divides ten seconds.
pub const START: i64 = 1_700_000_000_000;
/// Events a millisecond of event time, where nothing else is said.
pub const PER_MS: u64 = 100;
/// Ids begin here.
pub const FIRST_ID: u64 = 1_000;

/// The first byte of a person's row.
pub const PERSON: u8 = b'P';
/// The first byte of an auction's row.
pub const AUCTION: u8 = b'A';
/// The first byte of a bid's row.
pub const BID: u8 = b'B';
/// How many bytes of a row say how long a text is.
pub const LENGTH_BYTES: usize = 2;

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
/// No row is longer.
const MOST_BYTES: usize = 768;
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
/// Each behind its length, and with room for the longest channel.
const HOT_CHANNELS: [&[u8; 14]; 4] = [
    b"\x06\0search------",
    b"\x06\0social------",
    b"\x05\0video-------",
    b"\x04\0mail--------",
];

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

    /// Appends event `event` as a row: its kind, its numbers, 8 bytes each, and its texts, each
    /// behind its length in [`LENGTH_BYTES`]; the lowest byte of a number comes first.
    ///
    /// | kind | numbers | texts |
    /// | --- | --- | --- |
    /// | [`PERSON`] | id, time | name, email, card, city, state, extra |
    /// | [`AUCTION`] | all of [`Auction`] in its order | item, description, extra |
    /// | [`BID`] | auction, bidder, price, time | channel, url, extra |
    #[inline]
    pub fn write(&self, event: u64, out: &mut Vec<u8>) {
        out.reserve(MOST_BYTES);
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
        // Nobody can foretell these draws, so both ways are computed.
        let auction = select_unpredictable(
            draws.below(1, 2) > 0,
            last_auction / HOT_EACH * HOT_EACH,
            last_auction.saturating_sub(draws.below(2, RECENT_AUCTIONS)),
        );
        let bidder = select_unpredictable(
            draws.below(3, 4) > 0,
            round / HOT_EACH * HOT_EACH + 1,
            round.saturating_sub(draws.below(4, RECENT_BIDDERS)),
        );
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
    out.push(PERSON);
    push_numbers([person.id, person.time as u64], out);
    let numbers_end = out.len();
    push_text(&[person.name.0, " ", person.name.1], out);
    let email = letters(draws.get(3));
    let mut address = *b"\x11\0-------@-----.com";
    address[2..9].copy_from_slice(&email[..7]);
    address[10..15].copy_from_slice(&email[7..12]);
    out.extend_from_slice(&address);
    let mut card = *b"\x13\0---- ---- ---- ----";
    for (group, place) in card[2..].chunks_mut(5).enumerate() {
        let digits = ((draws.get(4) >> (16 * group)) & 0xffff) % 10_000;
        place[..4].copy_from_slice(&four_digits(digits));
    }
    out.extend_from_slice(&card);
    push_text(&[person.city], out);
    push_text(&[person.state], out);
    let texts = (out.len() - numbers_end - 5 * LENGTH_BYTES) as u64;
    let length = filler_length(PERSON_BYTES - 8 - texts, draws.get(7));
    push_filler(draws, 16, length, out);
}

fn write_auction(auction: &Auction, draws: Draws, out: &mut Vec<u8>) {
    out.push(AUCTION);
    let numbers = [
        auction.id,
        auction.initial,
        auction.reserve,
        auction.time as u64,
        auction.expires as u64,
        auction.seller,
        auction.category,
    ];
    push_numbers(numbers, out);
    push_filler(draws, 9, ITEM_LETTERS, out);
    let description = 3 + draws.below(8, 98);
    push_filler(draws, 16, description, out);
    let left = AUCTION_BYTES - AUCTION_NUMBERS_BYTES - ITEM_LETTERS - description;
    push_filler(draws, 32, filler_length(left, draws.get(7)), out);
}

#[inline]
fn write_bid(bid: &Bid, draws: Draws, out: &mut Vec<u8>) {
    out.push(BID);
    push_numbers([bid.auction, bid.bidder, bid.price, bid.time as u64], out);
    push_channel(draws.below(6, 2) > 0, draws.get(7), out);
    let length = filler_length(BID_FILLER_BYTES, draws.get(9));
    let mut url = *b"\x32\0https://auctions.example.com/-----/-----/-----/bid--";
    let path = letters(draws.get(8));
    url[31..36].copy_from_slice(&path[..5]);
    url[37..42].copy_from_slice(&path[5..10]);
    url[43..48].copy_from_slice(&path[10..15]);
    url[52..].copy_from_slice(&(length as u16).to_le_bytes());
    out.extend_from_slice(&url);
    // As many blocks as it may have, so that they are made side by side.
    let blocks = letters_of([16, 17, 18, 19, 20].map(|draw| draws.get(draw)));
    let end = out.len() + length as usize;
    out.extend_from_slice(blocks.as_flattened());
    out.truncate(end);
}

/// A channel behind its length: a hot one, or `channel-` and a number of at most four digits.
#[inline]
fn push_channel(is_hot: bool, draw: u64, out: &mut Vec<u8>) {
    let number = draw % 10_000;
    let leading = u32::from(number < 10) + u32::from(number < 100) + u32::from(number < 1_000);
    let digits = u32::from_le_bytes(four_digits(number)) >> (8 * leading);
    let mut cold = *b"-\0channel-----";
    cold[0] = 12 - leading as u8;
    cold[10..].copy_from_slice(&digits.to_le_bytes());
    let hot = HOT_CHANNELS[(draw % 4) as usize];
    let text = select_unpredictable(is_hot, hot, &cold);
    let end = out.len() + LENGTH_BYTES + usize::from(text[0]);
    out.extend_from_slice(text);
    out.truncate(end);
}

#[inline]
fn push_numbers<const N: usize>(numbers: [u64; N], out: &mut Vec<u8>) {
    out.extend_from_slice(numbers.map(u64::to_le_bytes).as_flattened());
}

/// Appends a text of these parts behind its length.
#[inline]
fn push_text(parts: &[&str], out: &mut Vec<u8>) {
    let length: usize = parts.iter().map(|part| part.len()).sum();
    out.extend_from_slice(&(length as u16).to_le_bytes());
    for part in parts {
        out.extend_from_slice(part.as_bytes());
    }
}

/// Appends so many letters behind their number, 16 of each draw from `first` on.
#[inline]
fn push_filler(draws: Draws, first: u64, length: u64, out: &mut Vec<u8>) {
    out.extend_from_slice(&(length as u16).to_le_bytes());
    let end = out.len() + length as usize;
    for block in (first..).step_by(4).take(length.div_ceil(4 * 16) as usize) {
        let blocks = [block, block + 1, block + 2, block + 3].map(|block| draws.get(block));
        out.extend_from_slice(letters_of(blocks).as_flattened());
    }
    out.truncate(end);
}

#[inline]
fn four_digits(number: u64) -> [u8; 4] {
    let digits = [
        number / 1_000,
        number / 100 % 10,
        number / 10 % 10,
        number % 10,
    ];
    digits.map(|digit| b'0' + digit as u8)
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

/// The letters of some draws.
#[inline]
fn letters_of<const N: usize>(draws: [u64; N]) -> [[u8; 16]; N] {
    let draws = draws.map(u64::to_le_bytes);
    let mut letters = [[0; 16]; N];
    let pairs = letters.as_flattened_mut().chunks_exact_mut(2);
    for (pair, byte) in pairs.zip(draws.as_flattened()) {
        pair[0] = b'a' + (byte & 0xf);
        pair[1] = b'a' + (byte >> 4);
    }
    letters
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nexmark::row::{
        Field::{Number, Text},
        Shape,
    };
    use crate::peer::check::fold;

    fn row(generator: &Generator, event: u64) -> Vec<u8> {
        let mut out = Vec::new();
        generator.write(event, &mut out);
        out
    }

    /// The first numbers of a row, and how long its texts are.
    fn parts<const N: usize, const T: usize>(row: &[u8]) -> ([u64; N], [usize; T]) {
        let (numbers, mut texts) = row[1..].split_at(8 * N);
        let (numbers, _) = numbers.as_chunks();
        let numbers: Vec<u64> = numbers.iter().map(|it| u64::from_le_bytes(*it)).collect();
        let lengths = std::array::from_fn(|_| {
            let (length, rest) = texts.split_first_chunk().unwrap();
            let length = usize::from(u16::from_le_bytes(*length));
            texts = &rest[length..];
            length
        });
        assert!(texts.is_empty(), "{}", row.escape_ascii());
        (numbers.try_into().unwrap(), lengths)
    }

    #[test]
    fn of_fifty_events_one_is_a_person_three_are_auctions_and_the_rest_are_bids() {
        let generator = Generator::default();
        let kinds = |kind: u8| {
            let rows = (0..5_000).filter(|event| row(&generator, *event)[0] == kind);
            rows.count()
        };
        assert_eq!([PERSON, AUCTION, BID].map(kinds), [100, 300, 4_600]);
    }

    #[test]
    fn a_row_says_what_the_event_says() {
        let generator = Generator::new(7);
        for event in (0..2_000).chain(1_000_000..1_002_000) {
            let row = row(&generator, event);
            match generator.event(event) {
                Event::Person(person) => {
                    let (numbers, texts) = parts::<2, 6>(&row);
                    assert_eq!((row[0], numbers), (PERSON, [person.id, person.time as u64]));
                    let (first, last) = person.name;
                    let (name, city) = (format!("{first} {last}"), person.city);
                    assert_eq!(texts[..4], [name.len(), 17, 19, city.len()]);
                    assert_eq!(row[19..].strip_prefix(name.as_bytes()).unwrap()[0], 17);
                    let state = row.len() - texts[5] - LENGTH_BYTES;
                    assert_eq!(row[state - 2..state], *person.state.as_bytes());
                }
                Event::Auction(auction) => {
                    let (numbers, texts) = parts::<7, 3>(&row);
                    assert_eq!((row[0], texts[0]), (AUCTION, 20));
                    let (time, expires) = (auction.time as u64, auction.expires as u64);
                    let prices = [auction.initial, auction.reserve];
                    let [id, initial, reserve, begins, ends, seller, category] = numbers;
                    assert_eq!([initial, reserve], prices);
                    assert_eq!([id, begins, ends], [auction.id, time, expires]);
                    assert_eq!([seller, category], [auction.seller, auction.category]);
                    assert!((1..=20_000).contains(&(expires - time)));
                }
                Event::Bid(bid) => {
                    let (numbers, texts) = parts::<4, 3>(&row);
                    assert_eq!((row[0], texts[1]), (BID, 50));
                    let time = bid.time as u64;
                    assert_eq!(numbers, [bid.auction, bid.bidder, bid.price, time]);
                }
            }
        }
    }

    #[test]
    fn channels_are_hot_ones_or_numbered() {
        let channel = |is_hot, draw| {
            let mut out = Vec::new();
            push_channel(is_hot, draw, &mut out);
            let length = usize::from(out[0]);
            assert_eq!((out[1], out.len()), (0, LENGTH_BYTES + length));
            String::from_utf8(out.split_off(LENGTH_BYTES)).unwrap()
        };
        let hot = [4, 1, 2, 3].map(|draw| channel(true, draw));
        assert_eq!(hot, ["search", "social", "video", "mail"]);
        for number in [0, 7, 10, 99, 100, 999, 1_000, 9_999] {
            assert_eq!(channel(false, number), format!("channel-{number}"));
            assert_eq!(channel(false, 40_000 + number), format!("channel-{number}"));
        }
    }

    #[test]
    fn rows_are_about_as_long_as_they_are_to_be() {
        let generator = Generator::default();
        let rows: Vec<Vec<u8>> = (0..50_000).map(|event| row(&generator, event)).collect();
        let average = |kind: u8| {
            let lengths = rows.iter().filter(|row| row[0] == kind).map(Vec::len);
            lengths.clone().sum::<usize>() / lengths.count()
        };
        assert!((200..=240).contains(&average(PERSON)));
        assert!((450..=550).contains(&average(AUCTION)));
        // 100, and channel and url.
        assert!((150..=180).contains(&average(BID)));
        let bytes: usize = rows.iter().map(Vec::len).sum();
        assert_eq!(bytes.div_ceil(rows.len()).next_multiple_of(64), ROW_BYTES);
        // With what is written and taken back.
        assert!(rows.iter().all(|row| row.len() + 64 <= MOST_BYTES));
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
        let person = Shape::new(&[Number, Text, Text, Text, Text, Text, Number, Text]);
        let auction = Shape::new(&[
            Number, Text, Text, Number, Number, Number, Number, Number, Number, Text,
        ]);
        let bid = Shape::new(&[Number, Number, Number, Text, Text, Number, Text]);
        for event in 0..100_000 {
            let row = row(&generator, event);
            let (kind, shape) = match row[0] {
                PERSON => (0, person),
                AUCTION => (1, auction),
                _ => (2, bid),
            };
            let fields = shape.fields(&row[1..]).unwrap();
            sum = sum.wrapping_add(fold(std::iter::once(kind).chain(fields)));
        }
        assert_eq!(sum, 6_325_889_730_745_450_928);
    }
}
