//! A query as a workload of the comparison with Flink: its two ends, and what it must come to.

use std::{collections::HashMap, sync::Arc};

use weir_model::Rows;
use weir_operator::SourceFactory;

use super::{
    Generator, Query, by_hand,
    generator::PER_MS,
    linger::Linger,
    oracle::{self, Sums},
};
use crate::{
    backend::Store,
    error::{Error, Result},
    peer::{
        cell::Setting,
        check::Sum,
        drain::{Drain, Hashes, Kept, Look},
        made::Made,
        run::Run,
        tally::{Begin, Tally},
        weir::Ends,
        workload::{Engine, Expected, Workload},
    },
};

/// Events a millisecond where results are looked at row by row: so few that windows of ten seconds
/// end within few events, and still some of one time.
const FEW_PER_MS: u64 = 2;
const FEW_EVENTS: u64 = 50_000;

/// Sums up the numbers at the ends of rows.
#[derive(Clone, Copy, Debug)]
struct Lasts;

impl Look for Lasts {
    fn look(&self, rows: Rows<'_>, tally: &Tally) {
        let sum = rows.values.iter().map(number_at_end).sum();
        tally.seen(rows.len() as u64, sum);
    }
}

/// Keeps rows, and tells of the numbers at their ends.
struct KeptLasts(Arc<Kept>);

impl Look for KeptLasts {
    fn look(&self, rows: Rows<'_>, tally: &Tally) {
        self.0.look(rows, tally);
        tally.seen(0, rows.values.iter().map(number_at_end).sum());
    }
}

impl Workload for Query {
    fn name(&self) -> String {
        Self::name(*self).to_owned()
    }

    fn in_words(&self) -> String {
        format!("Nexmark {}: {}", Self::name(*self), Self::in_words(*self))
    }

    fn on_flink(&self) -> Vec<String> {
        vec![format!("workload={}", Self::name(*self))]
    }

    fn job_file(&self) -> &'static str {
        Self::job_file(*self)
    }

    fn warm_up(&self, _store: Store) -> u64 {
        // Ten seconds of event time: the first windows are over.
        1_000_000
    }

    fn goal(&self, _setting: Setting) -> Option<f64> {
        Some(3.0)
    }

    fn is_keyed(&self) -> bool {
        !matches!(self, Self::Q0 | Self::Q1 | Self::Q2 | Self::Q13)
    }

    fn guess(&self, store: Store, engine: Engine) -> u64 {
        let on_flink = match (self, store) {
            (Self::Q0 | Self::Q1 | Self::Q2 | Self::Q3 | Self::Q8 | Self::Q13, _) => 1_000_000,
            (_, Store::RocksDb) => 100_000,
            (_, Store::Heap) => 500_000,
        };
        match engine {
            Engine::Flink | Engine::Stock => on_flink,
            Engine::Weir => on_flink * 4,
        }
    }

    fn begin(&self, warm_up: u64) -> Begin {
        // Of 50 events 46 are bids, so that no query has a row for each.
        Begin::Made(warm_up)
    }

    /// Where rows are kept, events are few and far between.
    fn ends(&self, rows: u64, parallelism: u32, begin: Begin, kept: Option<Arc<Kept>>) -> Ends {
        let per_ms = match kept {
            Some(_) => FEW_PER_MS,
            None => PER_MS,
        };
        let tally = Arc::new(Tally::new(begin, parallelism));
        let generator = Generator::new(per_ms);
        let made = Made::new(generator, rows, parallelism, Arc::clone(&tally));
        let mut source: Arc<dyn SourceFactory> = Arc::new(made);
        let look: Arc<dyn Look> = match (self, kept) {
            (Self::Q12, Some(kept)) => {
                // Windows by the clock give results only while there is input.
                let all = oracle::bids(&Generator::new(per_ms), rows);
                source = Arc::new(Linger::new(source, Arc::clone(&tally), all));
                Arc::new(KeptLasts(kept))
            }
            (Self::Q12, None) => Arc::new(Lasts),
            (_, Some(kept)) => kept,
            (_, None) => Arc::new(Hashes),
        };
        Ends {
            sources: vec![("events", source)],
            sink: ("out", Arc::new(Drain::new(Arc::clone(&tally), look))),
            tally,
        }
    }

    fn by_hand(&self, rows: u64, warm_up: u64, kept: Option<&Kept>) -> Run {
        let per_ms = match kept {
            Some(_) => FEW_PER_MS,
            None => PER_MS,
        };
        by_hand::by_hand(*self, &Generator::new(per_ms), [rows, warm_up], kept)
    }

    fn expected(&self, rows: u64, parallelism: u32, engine: Engine) -> Expected {
        let generator = Generator::new(PER_MS);
        let determined = oracle::result(*self, &generator, rows, parallelism);
        let (least, most) = (determined.least, determined.most);
        match (self, engine, determined.sums) {
            // What is in windows by the clock when the input ends is never told.
            (Self::Q12, ..) => Expected::UpTo(Sum {
                rows: most,
                sum: most,
            }),
            (_, Engine::Weir, Some(sums)) => Expected::Exactly(Sum {
                rows: sums.rows,
                sum: sums.hashes,
            }),
            (_, Engine::Flink | Engine::Stock, Some(sums)) => Expected::Exactly(Sum {
                rows: sums.rows,
                sum: sums.folds,
            }),
            // There the sum is that of the last rows.
            (Self::Q4, Engine::Flink | Engine::Stock, None) => {
                match oracle::last_rows(*self, &generator, rows) {
                    Some(last) => Expected::Exactly(Sum {
                        rows: most,
                        sum: last.folds,
                    }),
                    None => Expected::Within(least, most),
                }
            }
            (_, _, None) => Expected::Within(least, most),
        }
    }

    fn verify(&self, rows: u64, parallelism: u32, found: &[Vec<u8>]) -> Result<()> {
        let shape = self.shape();
        if let Some(row) = found.iter().find(|row| shape.fields(row).is_none()) {
            return Err(Error::new(format_args!(
                "`{}` is no row of {shape:?}",
                row.escape_ascii()
            )));
        }
        let generator = Generator::new(FEW_PER_MS);
        let wanted = oracle::result(*self, &generator, rows, parallelism);
        let mut sums = Sums::new(shape);
        found.iter().for_each(|row| sums.row(row));
        let count = (wanted.least..=wanted.most).contains(&sums.rows);
        if !count || wanted.sums.is_some_and(|wanted| wanted != sums) {
            return Err(Error::new(format_args!("{sums:?} and not {wanted:?}")));
        }
        if *self == Self::Q12 {
            let bids: u64 = found.iter().map(|row| number_at_end(row)).sum();
            return match bids == wanted.most {
                true => Ok(()),
                false => Err(Error::new(format_args!(
                    "{bids} bids and not {}",
                    wanted.most
                ))),
            };
        }
        match oracle::last_rows(*self, &generator, rows) {
            Some(wanted) if wanted != last_of(*self, found) => Err(Error::new(format_args!(
                "the last rows come to {:?} and not {wanted:?}",
                last_of(*self, found)
            ))),
            _ => Ok(()),
        }
    }

    fn few_rows(&self) -> u64 {
        FEW_EVENTS
    }
}

/// The last row of each category, or of each bidder and auction.
fn last_of(query: Query, rows: &[Vec<u8>]) -> Sums {
    let mut last: HashMap<Vec<u64>, (Vec<u64>, &[u8])> = HashMap::new();
    for row in rows {
        let fields = query.shape().fields(row).unwrap_or_default();
        let (key, age) = match (query, fields.as_slice()) {
            (Query::Q4, [category, _, _, count]) => (vec![*category], vec![*count]),
            (_, [bidder, auction, price, time]) => (vec![*bidder, *auction], vec![*time, *price]),
            // Of another shape: it counts as it is.
            _ => (fields, Vec::new()),
        };
        if last.get(&key).is_none_or(|(before, _)| *before < age) {
            last.insert(key, (age, row));
        }
    }
    let mut sums = Sums::new(query.shape());
    last.values().for_each(|(_, row)| sums.row(row));
    sums
}

pub(super) fn number_at_end(row: &[u8]) -> u64 {
    row.last_chunk().map_or(0, |last| u64::from_le_bytes(*last))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_query_has_a_result_of_few_events_and_windows_end_within_them() {
        for query in Query::ALL {
            let generator = Generator::new(FEW_PER_MS);
            let wanted = oracle::result(query, &generator, FEW_EVENTS, 1);
            assert!(wanted.most > 0, "{query:?}");
        }
        let rows = |query| {
            let generator = Generator::new(FEW_PER_MS);
            oracle::result(query, &generator, FEW_EVENTS, 1).most
        };
        // Three windows of ten seconds, and 17 that slide by two.
        assert!(rows(Query::Q7) >= 3 && rows(Query::Q5) >= 17);
        // More sessions than bidders, and bids that are no later than the last one.
        assert!(rows(Query::Q11) > FEW_EVENTS / 50);
        assert!(rows(Query::Q18) < FEW_EVENTS / 50 * 46);
    }

    #[test]
    fn a_row_too_many_or_another_one_is_told() {
        for query in [Query::Q2, Query::Q4, Query::Q12] {
            assert!(query.verify(5_000, 1, &[]).is_err(), "{query:?}");
            for row in [vec![1; 16], vec![1; 32]] {
                assert!(query.verify(0, 1, &[row]).is_err(), "{query:?}");
            }
        }
        assert!(Query::Q2.verify(0, 1, &[]).is_ok());
    }

    #[test]
    fn of_rows_that_replace_each_other_the_last_one_is_left() {
        let rows = |rows: &[[u64; 4]]| {
            rows.iter()
                .map(|row| row.map(u64::to_le_bytes).as_flattened().to_vec())
                .collect::<Vec<_>>()
        };
        let last = |query: Query, all: &[[u64; 4]], last: &[[u64; 4]]| {
            let mut sums = Sums::new(query.shape());
            rows(last).iter().for_each(|row| sums.row(row));
            assert_eq!(last_of(query, &rows(all)), sums);
        };
        let averages = [[10, 5, 5, 1], [11, 7, 7, 1], [10, 6, 18, 3], [10, 5, 11, 2]];
        last(Query::Q4, &averages, &[[11, 7, 7, 1], [10, 6, 18, 3]]);
        let bids = [
            [7, 42, 300, 5],
            [7, 43, 100, 9],
            [7, 42, 200, 6],
            [7, 42, 100, 6],
        ];
        last(Query::Q18, &bids, &[[7, 43, 100, 9], [7, 42, 200, 6]]);
    }
}
