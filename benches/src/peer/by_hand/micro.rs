//! The workloads of one operator each, as loops.

use std::{collections::VecDeque, hash::Hasher, hint::black_box};

use super::{
    super::{
        check::fields,
        drain::Kept,
        made::Stream,
        micro::{BEGIN_MS, DISORDER_MS, Micro, RULES, Rules},
        run::Run,
    },
    FastMap, Folded, Out, Work, run,
};

/// How long tumbling windows are.
const TUMBLING_MS: u64 = 10_000;
/// How far windows slide, and how many times as long they are.
const SLIDE_MS: u64 = 60_000;
const SLIDES: u64 = 60;

/// So many keys are in the cache of a core.
const FEW_KEYS: u64 = 1_000;
/// So many rows wait until all their keys are looked up.
const AHEAD: usize = 64;

/// The workload as a loop.
pub(in super::super) fn by_hand(micro: Micro, rows: u64, warm_up: u64, kept: Option<&Kept>) -> Run {
    let made = &micro.rows();
    match micro {
        Micro::Chained | Micro::Hop | Micro::Keyed => run(made, rows, warm_up, AsItIs, kept),
        Micro::Count(..=FEW_KEYS) => run(made, rows, warm_up, Counts::default(), kept),
        Micro::Count(_) => run(made, rows, warm_up, CountsAhead::new(), kept),
        Micro::Dedupe => run(made, rows, warm_up, Dedupe::default(), kept),
        Micro::List => run(made, rows, warm_up, Threes::default(), kept),
        Micro::Window => run(made, rows, warm_up, Tumbling::new(), kept),
        Micro::Sliding => run(made, rows, warm_up, Sliding::new(), kept),
        Micro::Broadcast => run(made, rows, warm_up, Lookup::new(), kept),
    }
}

/// Emits each row.
pub(in super::super) struct AsItIs;

impl Work for AsItIs {
    #[inline]
    fn row(&mut self, row: &mut [u8], _time: i64, out: &mut impl Out) {
        out.row(row);
    }
}

#[derive(Default)]
struct Counts(FastMap<u64, u64>);

impl Work for Counts {
    #[inline]
    fn row(&mut self, row: &mut [u8], _time: i64, out: &mut impl Out) {
        let Some([key, _, _]) = fields(row) else {
            return;
        };
        let count = self.0.entry(key).or_default();
        *count += 1;
        out.numbers([key, *count]);
    }
}

/// Counts of so many keys that each look-up has to wait for memory: those of some rows are begun
/// before the first is needed, so that they wait together. That takes a third of the time.
struct CountsAhead {
    counts: Table,
    /// Keys of rows that are not yet counted.
    keys: [u64; AHEAD],
    waiting: usize,
}

impl CountsAhead {
    fn new() -> Self {
        Self {
            counts: Table::with_slots(1 << 10),
            keys: [0; AHEAD],
            waiting: 0,
        }
    }

    fn count(&mut self, out: &mut impl Out) {
        let keys = &self.keys[..self.waiting];
        let touched = keys.iter().map(|key| self.counts.touch(*key));
        black_box(touched.fold(0, |all, one| all ^ one));
        for &key in keys {
            out.numbers([key, self.counts.count(key)]);
        }
        self.waiting = 0;
    }
}

impl Work for CountsAhead {
    #[inline]
    fn row(&mut self, row: &mut [u8], _time: i64, out: &mut impl Out) {
        let Some([key, _, _]) = fields(row) else {
            return;
        };
        self.keys[self.waiting] = key;
        self.waiting += 1;
        if self.waiting == AHEAD {
            self.count(out);
        }
    }

    fn end(&mut self, out: &mut impl Out) {
        self.count(out);
    }
}

/// Keys and counts, each at the place that its hash says, or in the next one that is free.
struct Table {
    /// A power of two, at most half of them in use. A count of 0 is of no key.
    slots: Vec<(u64, u64)>,
    used: usize,
}

impl Table {
    fn with_slots(slots: usize) -> Self {
        Self {
            slots: vec![(0, 0); slots],
            used: 0,
        }
    }

    #[inline]
    fn place(&self, key: u64) -> usize {
        let mut hasher = Folded::default();
        hasher.write_u64(key);
        hasher.finish() as usize & (self.slots.len() - 1)
    }

    /// Brings a key into the cache.
    #[inline]
    fn touch(&self, key: u64) -> u64 {
        self.slots[self.place(key)].1
    }

    /// The place of a key, or the free one where it is to be.
    #[inline]
    fn find(&self, key: u64) -> usize {
        let mut place = self.place(key);
        while self.slots[place].0 != key && self.slots[place].1 > 0 {
            place = (place + 1) & (self.slots.len() - 1);
        }
        place
    }

    /// One more of a key: how many there are.
    #[inline]
    fn count(&mut self, key: u64) -> u64 {
        let mut place = self.find(key);
        if self.slots[place].1 == 0 {
            place = self.enter(key);
        }
        self.slots[place].1 += 1;
        self.slots[place].1
    }

    /// A place for a new key.
    #[cold]
    fn enter(&mut self, key: u64) -> usize {
        self.used += 1;
        if self.used * 2 > self.slots.len() {
            let mut larger = Self::with_slots(self.slots.len() * 2);
            for &(key, count) in self.slots.iter().filter(|(_, count)| *count > 0) {
                let place = larger.find(key);
                larger.slots[place] = (key, count);
            }
            self.slots = larger.slots;
        }
        let place = self.find(key);
        self.slots[place].0 = key;
        place
    }
}

#[derive(Default)]
struct Dedupe(FastMap<(u64, u64), ()>);

impl Work for Dedupe {
    #[inline]
    fn row(&mut self, row: &mut [u8], _time: i64, out: &mut impl Out) {
        let Some([key, value, _]) = fields(row) else {
            return;
        };
        if self.0.insert((key, value), ()).is_none() {
            out.numbers([key, value]);
        }
    }
}

/// The values of each key, and how many there are.
#[derive(Default)]
struct Threes(FastMap<u64, ([u64; 3], usize)>);

impl Work for Threes {
    #[inline]
    fn row(&mut self, row: &mut [u8], _time: i64, out: &mut impl Out) {
        let Some([key, value, _]) = fields(row) else {
            return;
        };
        let (values, size) = self.0.entry(key).or_default();
        values[*size] = value;
        *size += 1;
        if *size == values.len() {
            *size = 0;
            out.numbers([key, values.iter().sum()]);
        }
    }
}

/// The sums of the windows that are open.
struct Tumbling {
    open: VecDeque<FastMap<u64, u64>>,
    /// The number of the first of them.
    first: u64,
    latest: u64,
}

impl Tumbling {
    fn new() -> Self {
        Self {
            open: VecDeque::new(),
            first: (BEGIN_MS - DISORDER_MS) / TUMBLING_MS,
            latest: 0,
        }
    }

    /// Tells of the first window, and ends it. Its map will serve again.
    fn fire(&mut self, out: &mut impl Out) {
        let mut sums = self.open.pop_front().unwrap_or_default();
        for (key, sum) in sums.drain() {
            out.numbers([key, sum]);
        }
        self.open.push_back(sums);
        self.first += 1;
    }
}

impl Work for Tumbling {
    #[inline]
    fn row(&mut self, row: &mut [u8], _time: i64, out: &mut impl Out) {
        let Some([key, value, time]) = fields(row) else {
            return;
        };
        let at = (time / TUMBLING_MS - self.first) as usize;
        if at >= self.open.len() {
            self.open.resize_with(at + 1, FastMap::default);
        }
        *self.open[at].entry(key).or_default() += value;
        self.latest = self.latest.max(time);
        while self.latest >= (self.first + 1) * TUMBLING_MS + DISORDER_MS {
            self.fire(out);
        }
    }

    fn end(&mut self, out: &mut impl Out) {
        for _ in 0..self.open.len() {
            self.fire(out);
        }
    }
}

/// What a key has in a minute, or in the window.
#[derive(Clone, Copy, Default)]
struct Pane {
    rows: u64,
    sum: u64,
}

/// The sums of the minutes of an hour: a window is what the one before was, with one more minute
/// and without its first.
struct Sliding {
    keys: Vec<u64>,
    /// Where a key is in `keys`, and in all panes.
    places: FastMap<u64, usize>,
    /// Of all minutes of a window and those that may already have rows, in a ring by their number.
    panes: [Vec<Pane>; 64],
    window: Vec<Pane>,
    /// The minute that is the next to be in a window.
    next: u64,
    latest: u64,
}

impl Sliding {
    fn new() -> Self {
        Self {
            keys: Vec::new(),
            places: FastMap::default(),
            panes: [const { Vec::new() }; 64],
            window: Vec::new(),
            next: (BEGIN_MS - DISORDER_MS) / SLIDE_MS,
            latest: 0,
        }
    }

    fn place(&mut self, key: u64) -> usize {
        *self.places.entry(key).or_insert_with(|| {
            self.keys.push(key);
            let panes = self.panes.iter_mut().chain([&mut self.window]);
            panes.for_each(|pane| pane.push(Pane::default()));
            self.keys.len() - 1
        })
    }

    /// Tells of the window whose last minute is the next one.
    fn fire(&mut self, out: &mut impl Out) {
        let [last, left] = [self.next, self.next - SLIDES].map(|minute| minute as usize % 64);
        for (place, (key, window)) in self.keys.iter().zip(&mut self.window).enumerate() {
            let left = std::mem::take(&mut self.panes[left][place]);
            let last = self.panes[last][place];
            window.rows = window.rows + last.rows - left.rows;
            window.sum = window.sum + last.sum - left.sum;
            if window.rows > 0 {
                out.numbers([*key, window.sum]);
            }
        }
        self.next += 1;
    }
}

impl Work for Sliding {
    #[inline]
    fn row(&mut self, row: &mut [u8], _time: i64, out: &mut impl Out) {
        let Some([key, value, time]) = fields(row) else {
            return;
        };
        let place = self.place(key);
        let pane = &mut self.panes[(time / SLIDE_MS) as usize % 64][place];
        pane.rows += 1;
        pane.sum += value;
        self.latest = self.latest.max(time);
        while self.latest >= (self.next + 1) * SLIDE_MS + DISORDER_MS {
            self.fire(out);
        }
    }

    fn end(&mut self, out: &mut impl Out) {
        // The last window has nothing but the minute of the last row.
        while self.next < self.latest / SLIDE_MS + SLIDES {
            self.fire(out);
        }
    }
}

/// The rules by their numbers.
struct Lookup(Vec<u64>);

impl Lookup {
    fn new() -> Self {
        let mut rules = vec![0; RULES as usize];
        let mut row = Vec::new();
        for number in 0..RULES {
            row.clear();
            Rules.row(number, &mut row);
            if let Some([number, rule]) = fields(&row) {
                rules[number as usize] = rule;
            }
        }
        Self(rules)
    }
}

impl Work for Lookup {
    #[inline]
    fn row(&mut self, row: &mut [u8], _time: i64, out: &mut impl Out) {
        let Some([key, value, _]) = fields(row) else {
            return;
        };
        out.numbers([key, self.0[(value % RULES) as usize]]);
    }
}
