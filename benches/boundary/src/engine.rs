//! The same operator in a job: source, exchange, operator and sink on one worker.

use std::{sync::Arc, time::Duration};

use weir_guard::{
    Failure,
    rig::{
        job::{self, Job},
        rows::batches,
    },
};
use weir_operator::OperatorFactory;

use crate::{
    bare::both_ways,
    guests::{Both, Guests},
    measure::{Effort, Figures, cpu, in_turns},
};

/// Rows of a batch of the source.
const SIZE: u32 = 4096;

/// An operator both ways, alone and in a job.
pub(crate) struct Operator {
    pub(crate) name: String,
    pub(crate) bare: [Figures; 2],
    pub(crate) engine: [Figures; 2],
}

/// All of them.
pub(crate) fn operators(guests: &Guests, effort: Effort) -> Result<Vec<Operator>, Failure> {
    let cases = [
        (&guests.passthrough, 1_000),
        (&guests.keyed_count, 1_000),
        (&guests.keyed_count, effort.many_keys),
    ];
    let operator = |(both, keys): (&Both, u32)| {
        let name = match both.keyed {
            true => format!("{}, 1e{} keys", both.name, keys.ilog10()),
            false => both.name.to_owned(),
        };
        Ok(Operator {
            name,
            bare: both_ways(both, keys, SIZE, effort)?,
            engine: in_jobs(both, keys, effort)?,
        })
    };
    cases.into_iter().map(operator).collect()
}

fn in_jobs(both: &Both, keys: u32, effort: Effort) -> Result<[Figures; 2], Failure> {
    let batches = Arc::new(batches(keys, SIZE));
    let job = |factory: &Arc<dyn OperatorFactory>| Job {
        factory: Arc::clone(factory),
        keyed: both.keyed,
        batches: Arc::clone(&batches),
    };
    let (native, wasm) = (job(&both.native), job(&both.wasm));
    in_turns(
        effort.rounds,
        [&mut || per_row(&native, effort.job_rows), &mut || {
            per_row(&wasm, effort.job_rows)
        }],
    )
}

/// The CPU time of the process for so many rows: what a job takes beyond one of a quarter of them,
/// in which start-up and the first row of each key are.
fn per_row(job: &Job, rows: u32) -> Result<(Duration, u64), Failure> {
    let measured = |batches: u32| {
        let begun = cpu(true);
        job::run(job, batches)?;
        Ok::<_, Failure>(cpu(true).saturating_sub(begun))
    };
    let (few, many) = (rows / 4 / SIZE, rows / SIZE);
    let (less, more) = (measured(few)?, measured(many)?);
    Ok((
        more.saturating_sub(less),
        u64::from(many - few) * u64::from(SIZE),
    ))
}
