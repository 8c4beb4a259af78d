//! The workloads of one operator each, and what they must come to.

use std::sync::Arc;

use weir_operator::{SourceFactory, SourceRows};

use super::{
    by_hand,
    cell::Setting,
    check::{STEP, Sum, fold, mix, numbers, of_bytes},
    drain::{Drain, Hashes, HashesBut, Kept, Look},
    made::{Made, Stream},
    run::Run,
    tally::{Begin, Tally},
    weir::Ends,
    workload::{Engine, Expected, Workload},
};
use crate::{
    backend::Store,
    error::{Context, Result},
};

/// No row is earlier than the latest one by more, in milliseconds.
pub(super) const DISORDER_MS: u64 = 1024;
/// The event time of the first row, about.
pub(super) const BEGIN_MS: u64 = 10_000_000;
/// Rows a millisecond of event time, and milliseconds from row to row.
const CLOSE: Pace = Pace { rows: 100, ms: 1 };
const SPARSE: Pace = Pace { rows: 1, ms: 10 };

/// How many rules are broadcast.
pub(super) const RULES: u64 = 1_000;
/// How a row ends that says that a rule has come: -1. No rule is as large.
const ACKNOWLEDGED: &[u8] = &[0xff; 8];

/// A workload of one operator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Micro {
    /// Rows pass an operator in one task with source and sink.
    Chained,
    /// The same in a task of its own.
    Hop,
    /// The same, each row at the task that has its key.
    Keyed,
    /// Counts the rows of so many keys.
    Count(u64),
    /// Lets the first row of each key and value pass.
    Dedupe,
    /// Sums up three values of a key, by a list.
    List,
    /// Sums up values by tumbling windows.
    Window,
    /// Sums up values by sliding windows.
    Sliding,
    /// Rows look up rules that are broadcast.
    Broadcast,
}

/// What the value of a row is.
#[derive(Clone, Copy, Debug)]
enum Values {
    /// The number of the row.
    Number,
    /// A number below this, in no order.
    Below(u64),
    /// The last 16 bits of the number.
    Low,
    /// 16 bits that the key determines.
    OfKey,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Pace {
    rows: u64,
    ms: u64,
}

/// The rows of a workload.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rows {
    keys: u64,
    values: Values,
    pace: Pace,
    has_times: bool,
}

impl Rows {
    /// Key, value and time of row `i`.
    #[inline]
    fn fields(&self, i: u64) -> [u64; 3] {
        self.fields_by(i, |h| h % self.keys, |i| i * self.pace.ms / self.pace.rows)
    }

    /// The same, by functions that give the key of a hash, and how many milliseconds row `i` comes
    /// behind the first.
    #[inline]
    fn fields_by(&self, i: u64, key: impl Fn(u64) -> u64, after: impl Fn(u64) -> u64) -> [u64; 3] {
        let h = mix(i.wrapping_add(STEP));
        let key = key(h);
        let value = match self.values {
            Values::Number => i,
            Values::Below(10) => mix(h) % 10,
            Values::Below(bound) => mix(h) % bound,
            Values::Low => i & 0xffff,
            Values::OfKey => mix(key) & 0xffff,
        };
        let time = BEGIN_MS + after(i) - (h & (DISORDER_MS - 1));
        [key, value, time]
    }
}

impl Stream for Rows {
    fn row_bytes(&self) -> usize {
        24
    }

    fn has_times(&self) -> bool {
        self.has_times
    }

    fn row(&self, i: u64, out: &mut Vec<u8>) -> i64 {
        let row = self.fields(i);
        write_row(&row, out);
        let [_, _, time] = row;
        time.cast_signed()
    }

    fn rows(&self, numbers: impl ExactSizeIterator<Item = u64>, out: &mut SourceRows) {
        // A loop for each number of keys and each pace that there is: to divide by one that is
        // known takes less.
        match self.keys {
            1_000 => self.rows_by(numbers, |h| h % 1_000, out),
            10_000 => self.rows_by(numbers, |h| h % 10_000, out),
            100_000 => self.rows_by(numbers, |h| h % 100_000, out),
            1_000_000 => self.rows_by(numbers, |h| h % 1_000_000, out),
            keys => self.rows_by(numbers, |h| h % keys, out),
        }
    }
}

impl Rows {
    fn rows_by(
        &self,
        numbers: impl ExactSizeIterator<Item = u64>,
        key: impl Fn(u64) -> u64,
        out: &mut SourceRows,
    ) {
        match self.pace {
            CLOSE => self.rows_at(numbers, key, |i| i * CLOSE.ms / CLOSE.rows, out),
            Pace { rows, ms } => self.rows_at(numbers, key, |i| i * ms / rows, out),
        }
    }

    fn rows_at(
        &self,
        numbers: impl ExactSizeIterator<Item = u64>,
        key: impl Fn(u64) -> u64,
        after: impl Fn(u64) -> u64,
        out: &mut SourceRows,
    ) {
        let count = numbers.len();
        out.values.extend_even(count, |rows: &mut [[u8; 24]]| {
            let before = rows.len() - count;
            for (row, i) in rows[before..].iter_mut().zip(numbers) {
                let fields = self.fields_by(i, &key, &after).map(u64::to_le_bytes);
                row.copy_from_slice(fields.as_flattened());
            }
            rows.len()
        });
        if self.has_times {
            let rows = out.values.known_even::<24>().unwrap_or_default();
            let new = &rows[rows.len() - count..];
            let times = new.iter().map(|row| {
                let time = row.last_chunk().map_or(0, |time| u64::from_le_bytes(*time));
                time.cast_signed()
            });
            out.timestamps.extend(times);
        }
    }
}

/// Appends the numbers of a row, eight bytes each, little-endian.
#[inline]
fn write_row<const N: usize>(fields: &[u64; N], out: &mut Vec<u8>) {
    out.extend_from_slice(fields.map(u64::to_le_bytes).as_flattened());
}

/// Rule `r` is 16 bits of its number.
pub(super) struct Rules;

fn rule(number: u64) -> u64 {
    mix(number) & 0xffff
}

impl Stream for Rules {
    fn row_bytes(&self) -> usize {
        16
    }

    fn has_times(&self) -> bool {
        false
    }

    fn row(&self, i: u64, out: &mut Vec<u8>) -> i64 {
        write_row(&[i, rule(i)], out);
        0
    }
}

impl Micro {
    /// All of them.
    pub const ALL: [Self; 10] = [
        Self::Chained,
        Self::Hop,
        Self::Keyed,
        Self::Count(1_000),
        Self::Count(1_000_000),
        Self::Dedupe,
        Self::List,
        Self::Window,
        Self::Sliding,
        Self::Broadcast,
    ];

    pub(super) fn rows(self) -> Rows {
        let (keys, values) = match self {
            Self::Count(keys) => (keys, Values::Number),
            Self::Dedupe => (10_000, Values::Below(10)),
            Self::List => (100_000, Values::OfKey),
            Self::Window | Self::Sliding => (1_000, Values::Low),
            Self::Chained | Self::Hop | Self::Keyed | Self::Broadcast => (1_000, Values::Number),
        };
        Rows {
            keys,
            values,
            pace: match self {
                Self::Sliding => SPARSE,
                _ => CLOSE,
            },
            has_times: matches!(self, Self::Window | Self::Sliding),
        }
    }

    /// The rows of its result, in some order, each as its fields.
    fn results(self, rows: u64, mut out: impl FnMut(&[u64])) {
        let made = self.rows();
        let fields = |i| made.fields(i);
        match self {
            Self::Chained | Self::Hop | Self::Keyed => (0..rows).for_each(|i| out(&fields(i))),
            Self::Broadcast => (0..rows).for_each(|i| {
                let [key, value, _] = fields(i);
                out(&[key, rule(value % RULES)]);
            }),
            Self::Count(keys) => {
                let mut counts = vec![0_u64; keys as usize];
                for i in 0..rows {
                    let [key, ..] = fields(i);
                    counts[key as usize] += 1;
                    out(&[key, counts[key as usize]]);
                }
            }
            Self::Dedupe => {
                let mut seen = vec![0_u16; made.keys as usize];
                for i in 0..rows {
                    let [key, value, _] = fields(i);
                    let (seen, bit) = (&mut seen[key as usize], 1 << value);
                    if *seen & bit == 0 {
                        *seen |= bit;
                        out(&[key, value]);
                    }
                }
            }
            Self::List => {
                let mut held = vec![(0, 0); made.keys as usize];
                for i in 0..rows {
                    let [key, value, _] = fields(i);
                    let (size, sum) = &mut held[key as usize];
                    (*size, *sum) = (*size + 1, *sum + value);
                    if *size == 3 {
                        out(&[key, *sum]);
                        (*size, *sum) = (0, 0);
                    }
                }
            }
            Self::Window => windows(made, rows, 10_000, 10_000, out),
            Self::Sliding => windows(made, rows, 3_600_000, 60_000, out),
        }
    }
}

/// The sums of windows of this size, of which one begins each `slide` milliseconds.
fn windows(made: Rows, rows: u64, size: u64, slide: u64, mut out: impl FnMut(&[u64])) {
    let first = (BEGIN_MS - DISORDER_MS - size) / slide;
    let end = BEGIN_MS + rows * made.pace.ms / made.pace.rows;
    let count = end / slide - first + 1;
    // How many rows a key and window have, and their sum.
    let mut sums = vec![(0_u64, 0_u64); (count * made.keys) as usize];
    for i in 0..rows {
        let [key, value, time] = made.fields(i);
        let last = time / slide;
        for window in (last + 1 - size / slide)..=last {
            let cell = &mut sums[((window - first) * made.keys + key) as usize];
            *cell = (cell.0 + 1, cell.1 + value);
        }
    }
    for (at, (rows, sum)) in (0..).zip(sums) {
        if rows > 0 {
            out(&[at % made.keys, sum]);
        }
    }
}

impl Workload for Micro {
    fn name(&self) -> String {
        match self {
            Self::Chained => "chained".to_owned(),
            Self::Hop => "hop".to_owned(),
            Self::Keyed => "keyed".to_owned(),
            Self::Count(keys) => format!("count-1e{}", keys.ilog10()),
            Self::Dedupe => "dedupe".to_owned(),
            Self::List => "list".to_owned(),
            Self::Window => "window".to_owned(),
            Self::Sliding => "sliding".to_owned(),
            Self::Broadcast => "broadcast".to_owned(),
        }
    }

    fn in_words(&self) -> String {
        match self {
            Self::Chained => "passthrough, chained".to_owned(),
            Self::Hop => "passthrough over a hop".to_owned(),
            Self::Keyed => "passthrough by key".to_owned(),
            Self::Count(keys) => format!("keyed count, 1e{} keys", keys.ilog10()),
            Self::Dedupe => "dedupe by a map".to_owned(),
            Self::List => "list, append and clear".to_owned(),
            Self::Window => "tumbling window, sum".to_owned(),
            Self::Sliding => "sliding window 1 h / 1 min, sum".to_owned(),
            Self::Broadcast => "broadcast join".to_owned(),
        }
    }

    fn on_flink(&self) -> Vec<String> {
        let made = self.rows();
        let name = self.job_file().trim_end_matches(".yaml");
        let mut told = vec![format!("workload={name}"), format!("keys={}", made.keys)];
        if let Values::Below(bound) = made.values {
            told.push(format!("vals={bound}"));
        }
        told
    }

    fn has_stock(&self) -> bool {
        *self != Self::Broadcast
    }

    fn job_file(&self) -> &'static str {
        match self {
            Self::Chained => "chained.yaml",
            Self::Hop => "hop.yaml",
            Self::Keyed => "keyed.yaml",
            Self::Count(_) => "count.yaml",
            Self::Dedupe => "dedupe.yaml",
            Self::List => "list.yaml",
            Self::Window => "window.yaml",
            Self::Sliding => "sliding.yaml",
            Self::Broadcast => "broadcast.yaml",
        }
    }

    fn settings(&self) -> Vec<Setting> {
        let mut settings = vec![Setting::plain(1), Setting::plain(2)];
        let on_disk: Vec<Setting> = settings.iter().map(|one| one.on_disk()).collect();
        match self {
            Self::Count(_) => {
                settings.extend(on_disk);
                let saved: Vec<Setting> = settings.iter().map(|one| one.saved()).collect();
                settings.extend(saved);
            }
            Self::Dedupe | Self::List | Self::Window => settings.extend(on_disk),
            // Of the sliding one Flink writes a row to 60 windows; in RocksDB that is some thousand
            // rows a second, less than the end of a run has to do.
            Self::Chained | Self::Hop | Self::Keyed | Self::Sliding | Self::Broadcast => {}
        }
        settings
    }

    fn goal(&self, setting: Setting) -> Option<f64> {
        let Setting {
            store, checkpoints, ..
        } = setting;
        match (self, store, checkpoints) {
            (Self::Chained, ..) => Some(2.0),
            (Self::Hop, ..) => Some(5.0),
            (Self::Keyed | Self::Broadcast, ..) => None,
            (Self::Count(_), Store::RocksDb, false) => Some(6.0),
            (Self::Count(_), Store::RocksDb, true) => Some(8.0),
            (Self::Count(..=1_000), Store::Heap, _) => Some(5.0),
            (Self::Count(_), Store::Heap, false) => Some(8.0),
            (Self::Count(_), Store::Heap, true) => Some(10.0),
            (_, Store::RocksDb, _) => Some(4.0),
            (Self::Dedupe | Self::List | Self::Window | Self::Sliding, ..) => Some(5.0),
        }
    }

    fn is_keyed(&self) -> bool {
        let has_none = [Self::Chained, Self::Hop, Self::Keyed, Self::Broadcast];
        !has_none.contains(self)
    }

    fn warm_up(&self, store: Store) -> u64 {
        match (self, store) {
            // Most keys are there by then.
            (Self::Count(keys), _) => (2 * keys).max(200_000),
            (Self::Dedupe | Self::List, _) => 200_000,
            // An hour of event time has 360,000 rows.
            (Self::Sliding, _) => 400_000,
            (_, Store::RocksDb) => 200_000,
            (_, Store::Heap) => 1_000_000,
        }
    }

    fn guess(&self, store: Store, engine: Engine) -> u64 {
        let on_flink = match (self, store) {
            (Self::Chained, _) => 6_000_000,
            (Self::Hop | Self::Keyed | Self::Broadcast, _) => 2_000_000,
            (Self::Sliding, _) => 100_000,
            (_, Store::RocksDb) => 80_000,
            (_, Store::Heap) => 1_000_000,
        };
        match engine {
            Engine::Flink | Engine::Stock => on_flink,
            Engine::Weir => on_flink * 3,
        }
    }

    fn begin(&self, warm_up: u64) -> Begin {
        match self {
            Self::Chained | Self::Hop | Self::Keyed | Self::Count(_) => Begin::Seen(warm_up),
            Self::Dedupe | Self::List | Self::Window | Self::Sliding | Self::Broadcast => {
                Begin::Made(warm_up)
            }
        }
    }

    fn ends(&self, rows: u64, parallelism: u32, begin: Begin, kept: Option<Arc<Kept>>) -> Ends {
        let tally = Tally::new(begin, parallelism);
        let (tally, look): (_, Arc<dyn Look>) = match self {
            Self::Broadcast => (
                tally.behind(RULES * u64::from(parallelism)),
                Arc::new(HashesBut(ACKNOWLEDGED)),
            ),
            _ => (tally, Arc::new(Hashes)),
        };
        let look = kept.map_or(look, |kept| kept);
        let tally = Arc::new(tally);
        let made = Made::new(self.rows(), rows, parallelism, Arc::clone(&tally));
        let made: Arc<dyn SourceFactory> = Arc::new(made);
        let mut sources = vec![("rows", made)];
        if *self == Self::Broadcast {
            sources.push(("rules", Arc::new(Made::beside(Rules, RULES, 1))));
        }
        Ends {
            sources,
            sink: ("out", Arc::new(Drain::new(Arc::clone(&tally), look))),
            tally,
        }
    }

    fn by_hand(&self, rows: u64, warm_up: u64, kept: Option<&Kept>) -> Run {
        by_hand::micro::by_hand(*self, rows, warm_up, kept)
    }

    fn kept(&self) -> Kept {
        match self {
            Self::Broadcast => Kept::but(ACKNOWLEDGED),
            _ => Kept::default(),
        }
    }

    fn expected(&self, rows: u64, _parallelism: u32, engine: Engine) -> Expected {
        let mut sum = Sum::default();
        match engine {
            Engine::Flink | Engine::Stock => {
                self.results(rows, |fields| sum.add(fold(fields.iter().copied())));
            }
            Engine::Weir => {
                let mut row = Vec::new();
                self.results(rows, |fields| {
                    row.clear();
                    row.extend(fields.iter().flat_map(|field| field.to_le_bytes()));
                    sum.add(of_bytes(&row));
                });
            }
        }
        Expected::Exactly(sum)
    }

    fn verify(&self, rows: u64, parallelism: u32, found: &[Vec<u8>]) -> Result<()> {
        let mut sum = Sum::default();
        for row in found {
            let fields = numbers(row);
            let fields = fields.with_context(|| format!("{row:x?} is no row of numbers"));
            sum.add(fold(fields?));
        }
        self.expected(rows, parallelism, Engine::Flink).judge(sum)
    }

    fn few_rows(&self) -> u64 {
        match self {
            // Each is in 60 windows.
            Self::Sliding => 2_000,
            // Some keys have three.
            Self::List => 100_000,
            _ => 20_000,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What another program, in another language, comes to.
    #[track_caller]
    fn check(workload: Micro, rows: u64, sum: u64) {
        let expected = workload.expected(workload.few_rows(), 1, Engine::Flink);
        assert_eq!(expected, Expected::Exactly(Sum { rows, sum }));
    }

    #[test]
    fn oracles_agree_with_those_of_the_other_side() {
        check(Micro::Chained, 20_000, 14_718_153_435_010_198_214);
        check(Micro::Hop, 20_000, 14_718_153_435_010_198_214);
        check(Micro::Keyed, 20_000, 14_718_153_435_010_198_214);
        check(Micro::Count(1_000), 20_000, 8_914_248_305_169_981_473);
        check(Micro::Count(1_000_000), 20_000, 1_561_463_284_554_340_431);
        check(Micro::Dedupe, 18_117, 7_563_232_848_636_990_983);
        check(Micro::List, 8_127, 11_200_413_931_454_552_915);
        check(Micro::Window, 1_855, 15_552_480_625_968_616_755);
        check(Micro::Sliding, 51_060, 10_131_810_044_811_402_596);
        check(Micro::Broadcast, 20_000, 3_521_565_540_380_263_537);
    }

    #[test]
    fn a_row_is_written_as_its_fields_and_has_its_time() {
        let rows = Micro::Window.rows();
        for i in [0, 1, 99_999] {
            let mut row = Vec::new();
            let time = rows.row(i, &mut row);
            let [key, value, at] = rows.fields(i);
            assert!(numbers(&row).unwrap().eq([key, value, at]));
            assert_eq!(time.cast_unsigned(), at);
        }
    }

    #[test]
    fn a_result_with_another_row_is_refused() {
        let written = |fields| {
            let mut row = Vec::new();
            write_row::<3>(&fields, &mut row);
            vec![row]
        };
        let [key, value, time] = Micro::Chained.rows().fields(0);
        let right = written([key, value, time]);
        assert!(Micro::Chained.verify(1, 1, &right).is_ok());
        let wrong = written([key, value + 1, time]);
        assert!(Micro::Chained.verify(1, 1, &wrong).is_err());
        assert!(Micro::Chained.verify(1, 1, &[b"x".to_vec()]).is_err());
    }
}
