//! What the two ends of a job cost alone: rows and events that are made and dropped. What an engine
//! does for a workload is what that takes beyond these.

use std::sync::Arc;

use weir_model::Rows;

use super::{
    by_hand::{self, Added, micro::AsItIs},
    cell::Setting,
    check::{Sum, of_bytes},
    drain::{Drain, Kept, Look},
    made::Made,
    micro::Micro,
    run::Run,
    tally::{Begin, Tally},
    weir::Ends,
    workload::{Engine, Expected, Workload},
};
use crate::{
    backend::Store,
    error::{Error, Result},
    nexmark::{Generator, generator::PER_MS},
};

/// The ends of workloads, with nothing between them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Alone {
    /// The rows of the workloads of one operator.
    Rows,
    /// The events of Nexmark.
    Events,
}

/// Sums up how long rows are: a query hardly gives any, so that to look at all the bytes of events
/// would be no part of what it costs.
#[derive(Clone, Copy, Debug)]
struct Lengths;

impl Look for Lengths {
    fn look(&self, rows: Rows<'_>, tally: &Tally) {
        let sum = rows.values.iter().map(|row| row.len() as u64).sum();
        tally.seen(rows.len() as u64, sum);
    }
}

impl Alone {
    /// Both of them.
    pub const ALL: [Self; 2] = [Self::Rows, Self::Events];
}

/// What each of the first events adds.
fn of_events(events: u64, of: impl Fn(&[u8]) -> u64) -> Sum {
    let generator = Generator::new(PER_MS);
    let (mut sum, mut row) = (Sum::default(), Vec::new());
    for event in 0..events {
        row.clear();
        generator.write(event, &mut row);
        sum.add(of(&row));
    }
    sum
}

impl Workload for Alone {
    fn name(&self) -> String {
        match self {
            Self::Rows => "source-rows".to_owned(),
            Self::Events => "source-events".to_owned(),
        }
    }

    fn in_words(&self) -> String {
        match self {
            Self::Rows => "source and sink alone: rows".to_owned(),
            Self::Events => "source and sink alone: events of Nexmark".to_owned(),
        }
    }

    fn on_flink(&self) -> Vec<String> {
        match self {
            Self::Rows => vec!["workload=source".to_owned(), "keys=1000".to_owned()],
            Self::Events => vec!["workload=events".to_owned()],
        }
    }

    fn has_stock(&self) -> bool {
        *self == Self::Rows
    }

    fn job_file(&self) -> &'static str {
        match self {
            Self::Rows => "source-rows.yaml",
            Self::Events => "source-events.yaml",
        }
    }

    fn warm_up(&self, store: Store) -> u64 {
        Micro::Chained.warm_up(store)
    }

    fn goal(&self, _setting: Setting) -> Option<f64> {
        None
    }

    fn is_keyed(&self) -> bool {
        false
    }

    fn guess(&self, store: Store, engine: Engine) -> u64 {
        match self {
            Self::Rows => Micro::Chained.guess(store, engine),
            Self::Events => Micro::Hop.guess(store, engine),
        }
    }

    fn begin(&self, warm_up: u64) -> Begin {
        match self {
            Self::Rows => Begin::Seen(warm_up),
            // As the queries begin.
            Self::Events => Begin::Made(warm_up),
        }
    }

    fn ends(&self, rows: u64, parallelism: u32, begin: Begin, kept: Option<Arc<Kept>>) -> Ends {
        if *self == Self::Rows {
            return Micro::Chained.ends(rows, parallelism, begin, kept);
        }
        let tally = Arc::new(Tally::new(begin, parallelism));
        let made = Made::new(
            Generator::new(PER_MS),
            rows,
            parallelism,
            Arc::clone(&tally),
        );
        let look: Arc<dyn Look> = match kept {
            Some(kept) => kept,
            None => Arc::new(Lengths),
        };
        Ends {
            sources: vec![("events", Arc::new(made))],
            sink: ("out", Arc::new(Drain::new(Arc::clone(&tally), look))),
            tally,
        }
    }

    fn by_hand(&self, rows: u64, warm_up: u64, kept: Option<&Kept>) -> Run {
        let lengths = Added::new(|row: &[u8]| row.len() as u64);
        match self {
            Self::Rows => Micro::Chained.by_hand(rows, warm_up, kept),
            Self::Events => {
                let events = Generator::new(PER_MS);
                by_hand::run_into(&events, rows, warm_up, AsItIs, lengths, kept)
            }
        }
    }

    fn expected(&self, rows: u64, parallelism: u32, engine: Engine) -> Expected {
        match (self, engine) {
            (Self::Rows, _) => Micro::Chained.expected(rows, parallelism, engine),
            (Self::Events, Engine::Weir) => {
                Expected::Exactly(of_events(rows, |row| row.len() as u64))
            }
            // What is in them is compared by the queries, first of all the one that gives all bids.
            (Self::Events, Engine::Flink | Engine::Stock) => Expected::Within(rows, rows),
        }
    }

    fn verify(&self, rows: u64, parallelism: u32, found: &[Vec<u8>]) -> Result<()> {
        if *self == Self::Rows {
            return Micro::Chained.verify(rows, parallelism, found);
        }
        let mut sum = Sum::default();
        found.iter().for_each(|row| sum.add(of_bytes(row)));
        let wanted = of_events(rows, of_bytes);
        match sum == wanted {
            true => Ok(()),
            false => Err(Error::new(format_args!("{sum:?} and not {wanted:?}"))),
        }
    }

    fn few_rows(&self) -> u64 {
        Micro::Chained.few_rows()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_all_there_or_it_is_told() {
        let mut rows = Vec::new();
        for event in 0..50 {
            let mut row = Vec::new();
            Generator::new(PER_MS).write(event, &mut row);
            rows.push(row);
        }
        assert!(Alone::Events.verify(50, 1, &rows).is_ok());
        rows[7].push(b'x');
        assert!(Alone::Events.verify(50, 1, &rows).is_err());
        assert!(Alone::Events.verify(50, 1, &rows[1..]).is_err());
        let lengths = of_events(50, |row| row.len() as u64);
        let expected = Alone::Events.expected(50, 1, Engine::Weir);
        assert_eq!(expected, Expected::Exactly(lengths));
        // An auction has some 500 bytes, a person 200, a bid less.
        assert!((5_000..20_000).contains(&lengths.sum), "{lengths:?}");
    }
}
