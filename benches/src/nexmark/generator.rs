//! The events of Nexmark: persons, auctions and bids of a market, made one by one from their
//! number.
//!
//! Of 50 events in a row the first is a person, three are auctions and 46 are bids. Event `e`
//! depends on `e` alone, so that subtasks can share the stream in any way, and so that the same
//! events can be made elsewhere.
//!
//! INVARIANT: which draw makes which field is part of what is compared with other engines.

use std::hint::{black_box, select_unpredictable};

use multiversion::multiversion;
use weir_operator::SourceRows;

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
/// Which draws make a bid, in the order of [`BidDraws`]. Nobody uses the last two: with them there
/// are as many as fill vectors, which is less work than to mix those that would be left.
const BID_DRAWS: [u64; 16] = [1, 2, 3, 4, 5, 6, 7, 8, 9, 16, 17, 18, 19, 20, 21, 22];
/// Blocks of letters of which the filler of a bid is the beginning.
const BID_BLOCKS: usize = 5;
/// No bid is longer: kind, numbers, channel, URL and filler.
const BID_MOST_BYTES: usize =
    1 + 4 * 8 + 14 + URL_BYTES + LENGTH_BYTES + BID_BLOCKS * LETTERS_A_DRAW;
const LETTERS_A_DRAW: usize = 16;
/// So many draws of a filler are mixed side by side.
const FILLER_DRAWS: u64 = 8;
/// So many events have their draws before the first of them is written, which then waits for none
/// of them.
const TOGETHER: usize = 16;
/// Of all kinds together, rounded up.
const ROW_BYTES: usize = 192;
/// No row is longer.
const MOST_BYTES: usize = 832;
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
/// Each behind its length, and with room for the longest channel and two bytes more.
const HOT_CHANNELS: [u128; 4] = [
    u128::from_le_bytes(*b"\x06\0search--------"),
    u128::from_le_bytes(*b"\x06\0social--------"),
    u128::from_le_bytes(*b"\x05\0video---------"),
    u128::from_le_bytes(*b"\x04\0mail----------"),
];
/// Without its length and its number, which begins at this bit.
const COLD_CHANNEL: u128 = u128::from_le_bytes(*b"\0\0channel-\0\0\0\0\0\0");
const COLD_NUMBER_BIT: u32 = 80;
/// The numbers below 100.
const TWO_DIGITS: [[u8; 2]; 100] = {
    let mut digits = [[0; 2]; 100];
    let mut number = 0;
    while number < 100 {
        digits[number] = [b'0' + (number / 10) as u8, b'0' + (number % 10) as u8];
        number += 1;
    }
    digits
};
const URL: [u8; URL_BYTES] = *b"\x32\0https://auctions.example.com/-----/-----/-----/bid";
const URL_BYTES: usize = LENGTH_BYTES + 50;

/// Makes events.
#[derive(Clone, Debug)]
pub struct Generator {
    per_ms: u64,
    /// Half as wide as they are told, so that they stay at hand.
    prices: Vec<u32>,
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
    #[inline(always)]
    fn of(event: u64) -> Self {
        Self(mix(event.wrapping_add(STEP)))
    }

    #[inline(always)]
    fn get(self, number: u64) -> u64 {
        mix(self.0.wrapping_add(number.wrapping_mul(STEP)))
    }

    #[inline(always)]
    fn below(self, number: u64, bound: u64) -> u64 {
        self.get(number) % bound
    }

    #[inline(always)]
    fn of_table(self, number: u64, table: &[&'static str]) -> &'static str {
        table[self.below(number, table.len() as u64) as usize]
    }
}

/// All draws of a bid, by the place of their number in [`BID_DRAWS`]: they are mixed side by side.
/// No vector of them is in two lines of a cache.
#[derive(Clone, Copy)]
#[repr(align(64))]
struct BidDraws([u64; BID_DRAWS.len()]);

impl BidDraws {
    const NONE: Self = Self([0; BID_DRAWS.len()]);
    /// What is added to an event's own number for each.
    const STEPS: [u64; BID_DRAWS.len()] = {
        let (mut steps, mut draw) = (BID_DRAWS, 0);
        while draw < steps.len() {
            steps[draw] = steps[draw].wrapping_mul(STEP);
            draw += 1;
        }
        steps
    };

    #[inline(always)]
    fn of(event: u64) -> Self {
        let mut draws = Self::NONE;
        draws.draw(event);
        draws
    }

    /// Makes them those of this event, in their place: a copy would be put down and taken up again.
    #[inline(always)]
    fn draw(&mut self, event: u64) {
        let Draws(seed) = Draws::of(event);
        for (draw, step) in self.0.iter_mut().zip(&Self::STEPS) {
            *draw = mix(seed.wrapping_add(*step));
        }
        // Each is used by itself: what is known of them would be computed one by one, or those of
        // some events together, which then have to be put in their places one by one.
        black_box(self);
    }
}

/// The length of a filler that brings a row to about its length, give or take a fifth of what is
/// left.
#[inline(always)]
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
        let price = |step: usize| (10_f64.powf(step as f64 / 1_000.0) * 100.0).round() as u32;
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
        let (round, place, time) = (event / ROUND, event % ROUND, self.time(event));
        match place {
            0 => Event::Person(self.person(round, time, Draws::of(event))),
            1..=AUCTIONS_A_ROUND => {
                Event::Auction(self.auction(round, place, time, Draws::of(event)))
            }
            _ => Event::Bid(self.bid(round, time, &BidDraws::of(event))),
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
    pub fn write(&self, event: u64, out: &mut Vec<u8>) {
        let _ = self.row(event, out);
    }

    #[inline(always)]
    fn price(&self, draw: u64) -> u64 {
        u64::from(self.prices[(draw % PRICES as u64) as usize])
    }

    #[inline(always)]
    fn person(&self, round: u64, time: i64, draws: Draws) -> Person {
        Person {
            id: FIRST_ID + round,
            name: (
                draws.of_table(1, &FIRST_NAMES),
                draws.of_table(2, &LAST_NAMES),
            ),
            city: draws.of_table(5, &CITIES),
            state: draws.of_table(6, &STATES),
            time,
        }
    }

    #[inline(always)]
    fn auction(&self, round: u64, place: u64, time: i64, draws: Draws) -> Auction {
        let seller = if draws.below(4, 4) > 0 {
            round / HOT_EACH * HOT_EACH
        } else {
            round.saturating_sub(draws.below(5, RECENT_SELLERS))
        };
        Auction {
            id: FIRST_ID + AUCTIONS_A_ROUND * round + place - 1,
            initial: self.price(draws.get(1)),
            reserve: self.price(draws.get(2)),
            time,
            expires: time + 1 + draws.below(3, LONGEST_AUCTION_MS) as i64,
            seller: FIRST_ID + seller,
            category: 10 + draws.below(6, 5),
        }
    }

    #[inline(always)]
    fn bid(&self, round: u64, time: i64, draws: &BidDraws) -> Bid {
        let [is_hot_auction, auction, is_hot_bidder, bidder, price, ..] = draws.0;
        let last_auction = AUCTIONS_A_ROUND * round + AUCTIONS_A_ROUND - 1;
        // Nobody can foretell these draws, so both ways are computed.
        let auction = select_unpredictable(
            is_hot_auction % 2 > 0,
            last_auction / HOT_EACH * HOT_EACH,
            last_auction.saturating_sub(auction % RECENT_AUCTIONS),
        );
        let bidder = select_unpredictable(
            is_hot_bidder % 4 > 0,
            round / HOT_EACH * HOT_EACH + 1,
            round.saturating_sub(bidder % RECENT_BIDDERS),
        );
        Bid {
            auction: FIRST_ID + auction,
            bidder: FIRST_ID + bidder,
            price: self.price(price),
            time,
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

    fn row(&self, event: u64, out: &mut Vec<u8>) -> i64 {
        let mut draws = [BidDraws::NONE];
        draw(&[event], &mut draws);
        let [draws] = draws;
        write(self, event, &draws, out)
    }

    fn rows(&self, mut numbers: impl ExactSizeIterator<Item = u64>, out: &mut SourceRows) {
        let (mut events, mut draws) = ([0; TOGETHER], [BidDraws::NONE; TOGETHER]);
        while numbers.len() > 0 {
            let mut count = 0;
            for (event, number) in events.iter_mut().zip(&mut numbers) {
                *event = number;
                count += 1;
            }
            draw(&events[..count], &mut draws);
            write_some(self, &events[..count], &draws, out);
        }
    }
}

/// The draws of some events, as if all were bids, of which the most are. For each set of vector
/// instructions that a processor may have there is one of these, with all that it calls in line.
#[multiversion(targets(
    "x86_64+avx512f+avx512dq+avx512bw+avx512vl+avx2+bmi2",
    "x86_64+avx2+bmi2"
))]
fn draw(events: &[u64], draws: &mut [BidDraws]) {
    for (event, draws) in events.iter().zip(draws) {
        draws.draw(*event);
    }
}

/// Appends events, whose draws these are, and their times. As many of it as of [`draw`].
#[multiversion(targets(
    "x86_64+avx512f+avx512dq+avx512bw+avx512vl+avx2+bmi2",
    "x86_64+avx2+bmi2"
))]
fn write_some(generator: &Generator, events: &[u64], draws: &[BidDraws], out: &mut SourceRows) {
    for (event, draws) in events.iter().zip(draws) {
        let write = |out: &mut Vec<u8>| write_event(generator, *event, draws, out);
        let time = out.values.push_with(write);
        out.timestamps.push(time);
    }
}

/// Appends an event, and gives its time. As many of it as of [`draw`].
#[multiversion(targets(
    "x86_64+avx512f+avx512dq+avx512bw+avx512vl+avx2+bmi2",
    "x86_64+avx2+bmi2"
))]
fn write(generator: &Generator, event: u64, draws: &BidDraws, out: &mut Vec<u8>) -> i64 {
    write_event(generator, event, draws, out)
}

/// Appends an event, whose draws these are if it is a bid, and gives its time.
#[inline(always)]
fn write_event(generator: &Generator, event: u64, draws: &BidDraws, out: &mut Vec<u8>) -> i64 {
    out.reserve(MOST_BYTES);
    let (round, place, time) = (event / ROUND, event % ROUND, generator.time(event));
    match place {
        0 => {
            let draws = Draws::of(event);
            write_person(&generator.person(round, time, draws), draws, out);
        }
        1..=AUCTIONS_A_ROUND => {
            let draws = Draws::of(event);
            let auction = generator.auction(round, place, time, draws);
            write_auction(&auction, draws, out);
        }
        _ => write_bid(&generator.bid(round, time, draws), draws, out),
    }
    time
}

#[inline(always)]
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

#[inline(always)]
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

#[inline(always)]
fn write_bid(bid: &Bid, draws: &BidDraws, out: &mut Vec<u8>) {
    let [
        _,
        _,
        _,
        _,
        _,
        is_hot_channel,
        channel,
        path,
        length,
        blocks @ ..,
        _,
        _,
    ] = draws.0;
    let begin = out.len();
    // So many at once, for all places in the row to be known to be there; the rest is taken back.
    out.extend_from_slice(&[0; BID_MOST_BYTES]);
    let row: &mut [u8; BID_MOST_BYTES] = match out.last_chunk_mut() {
        Some(row) => row,
        None => return,
    };
    let (head, texts) = row.split_at_mut(1 + 4 * 8);
    head[0] = BID;
    let numbers = [bid.auction, bid.bidder, bid.price, bid.time as u64];
    head[1..].copy_from_slice(numbers.map(u64::to_le_bytes).as_flattened());
    let channel = channel_of(is_hot_channel % 2 > 0, channel);
    texts[..16].copy_from_slice(&channel.to_le_bytes());
    let channel_bytes = LENGTH_BYTES + (channel & 0xf) as usize;
    let (url, filler) = texts[channel_bytes..].split_at_mut(URL_BYTES);
    url.copy_from_slice(&URL);
    let path = letters(path);
    url[31..36].copy_from_slice(&path[..5]);
    url[37..42].copy_from_slice(&path[5..10]);
    url[43..48].copy_from_slice(&path[10..15]);
    let length = filler_length(BID_FILLER_BYTES, length);
    filler[..LENGTH_BYTES].copy_from_slice(&(length as u16).to_le_bytes());
    // As many blocks as it may have, so that they are made side by side.
    let blocks: [u64; BID_BLOCKS] = blocks;
    let blocks = letters_of(blocks);
    filler[LENGTH_BYTES..][..blocks.as_flattened().len()].copy_from_slice(blocks.as_flattened());
    let texts_bytes = channel_bytes + URL_BYTES + LENGTH_BYTES + length as usize;
    out.truncate(begin + 1 + 4 * 8 + texts_bytes);
}

/// A channel behind its length, from the lowest byte on: a hot one, or `channel-` and a number of
/// at most four digits.
#[inline(always)]
fn channel_of(is_hot: bool, draw: u64) -> u128 {
    let number = draw % 10_000;
    let leading = u32::from(number < 10) + u32::from(number < 100) + u32::from(number < 1_000);
    let digits = u32::from_le_bytes(four_digits(number)) >> (8 * leading);
    let length = u128::from(12 - leading);
    let cold = COLD_CHANNEL | length | u128::from(digits) << COLD_NUMBER_BIT;
    let hot = HOT_CHANNELS[(draw % 4) as usize];
    // A choice between numbers of two words is a branch even where it is said that it is no use to
    // foretell it.
    let mask = u128::from(black_box(u64::from(is_hot))).wrapping_neg();
    cold ^ ((cold ^ hot) & mask)
}

#[inline(always)]
fn push_numbers<const N: usize>(numbers: [u64; N], out: &mut Vec<u8>) {
    out.extend_from_slice(numbers.map(u64::to_le_bytes).as_flattened());
}

/// Appends a text of these parts behind its length.
#[inline(always)]
fn push_text(parts: &[&str], out: &mut Vec<u8>) {
    let length: usize = parts.iter().map(|part| part.len()).sum();
    out.extend_from_slice(&(length as u16).to_le_bytes());
    for part in parts {
        out.extend_from_slice(part.as_bytes());
    }
}

/// Appends so many letters behind their number, 16 of each draw from `first` on.
#[inline(always)]
fn push_filler(draws: Draws, first: u64, length: u64, out: &mut Vec<u8>) {
    out.extend_from_slice(&(length as u16).to_le_bytes());
    let end = out.len() + length as usize;
    let rounds = length.div_ceil(FILLER_DRAWS * LETTERS_A_DRAW as u64);
    for from in (first..)
        .step_by(FILLER_DRAWS as usize)
        .take(rounds as usize)
    {
        let mut blocks = [0; FILLER_DRAWS as usize];
        for (block, number) in blocks.iter_mut().zip(from..) {
            *block = draws.get(number);
        }
        out.extend_from_slice(letters_of(blocks).as_flattened());
    }
    out.truncate(end);
}

#[inline(always)]
fn four_digits(number: u64) -> [u8; 4] {
    let ([a, b], [c, d]) = (
        TWO_DIGITS[(number / 100) as usize],
        TWO_DIGITS[(number % 100) as usize],
    );
    [a, b, c, d]
}

/// The sixteen letters of a draw: `a` to `p` for each half of a byte, from the lowest on.
#[inline(always)]
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
#[inline(always)]
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
    fn events_made_together_are_those_made_one_by_one() {
        let generator = Generator::new(7);
        for (first, step, count) in [(0, 1, 203), (3, 2, 16), (1, 4, 15), (49, 1, 1), (0, 1, 0)] {
            let numbers = (0..count).map(|k| first + k as u64 * step);
            let mut made = SourceRows::default();
            generator.rows(numbers.clone(), &mut made);
            assert!(
                made.values
                    .iter()
                    .eq(numbers.clone().map(|event| row(&generator, event)))
            );
            assert!(
                made.timestamps
                    .iter()
                    .copied()
                    .eq(numbers.map(|event| generator.time(event)))
            );
        }
    }

    #[test]
    fn channels_are_hot_ones_or_numbered() {
        let channel = |is_hot, draw| {
            let text = channel_of(is_hot, draw).to_le_bytes();
            let length = usize::from(text[0]);
            assert_eq!(text[1], 0);
            String::from_utf8(text[LENGTH_BYTES..][..length].to_vec()).unwrap()
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
        assert!(rows.iter().all(|row| row.len() + 128 <= MOST_BYTES));
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
