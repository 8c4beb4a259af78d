//! An operator alone: called in a loop on one thread, on batches that lie there, over a heap. What
//! the engine does around a call (`begin`, `commit`) is done, too.

use std::time::Duration;

use weir_guard::{
    Failure,
    rig::{
        operator::{context, fill},
        rows::{Rowful, batches},
    },
};
use weir_operator::{Context, Operator, OperatorFactory};

use crate::{
    guests::{Both, Guests},
    measure::{Effort, Figures, cpu, in_turns},
};

/// The sizes of batches.
pub(crate) const SIZES: [u32; 5] = [1, 8, 64, 512, 4096];
const KEYS: u32 = 1_000;

/// What a row costs in batches of one of the sizes, in their order.
pub(crate) struct Call {
    pub(crate) name: &'static str,
    pub(crate) native: Figures,
    pub(crate) wasm: Figures,
}

/// What access to the state of a key costs, in calls of one of the sizes, in their order.
pub(crate) struct Access {
    /// Nothing is read or written: the keys cross, that is all.
    pub(crate) none: Figures,
    /// Each key by calls of its own.
    pub(crate) single: Figures,
    /// All keys by one call to read and one to write.
    pub(crate) many: Figures,
    /// They come with the call and go back with its result.
    pub(crate) slots: Figures,
}

/// An operator and what it needs of the engine.
pub(crate) struct Alone {
    operator: Box<dyn Operator>,
    cx: Box<Context>,
    keyed: bool,
}

impl Alone {
    /// One that is open; where it has state, so many keys have a value of zero.
    pub(crate) fn new(
        factory: &dyn OperatorFactory,
        config: &str,
        keyed: bool,
        keys: u32,
    ) -> Result<Self, Failure> {
        let states = factory.descriptor().states.clone();
        let has_state = !states.is_empty();
        let mut cx = context(states, config)?;
        if has_state {
            fill(&mut cx.state, keys)?;
        }
        let mut operator = factory.create(&cx.task)?;
        cx.state.begin(None);
        operator.open(&mut cx)?;
        cx.state.commit()?;
        Ok(Self {
            operator,
            cx,
            keyed,
        })
    }

    /// Calls it with some rows of these batches, each as a whole; the time that took, and how many
    /// rows, or keys.
    pub(crate) fn run(
        &mut self,
        batches: &[Rowful],
        rows: u32,
        of_keys: bool,
    ) -> Result<(Duration, u64), Failure> {
        let mut counted = 0;
        let begun = cpu(false);
        let calls = rows as usize / batches[0].values.len();
        for batch in batches.iter().cycle().take(calls.max(1)) {
            let mut rows = batch.rows();
            rows.keyed = rows.keyed.filter(|_| self.keyed);
            self.cx.state.begin(rows.keyed);
            let outcome = self.operator.process(&mut self.cx, 0, rows)?;
            self.cx.state.commit()?;
            if outcome.poisoned.is_some() {
                return Err("a row that is refused".into());
            }
            counted += match of_keys {
                true => batch.keyed.hashes.len() as u64,
                false => rows.len() as u64,
            };
        }
        Ok((cpu(false).saturating_sub(begun), counted))
    }
}

/// Both ways by the size of the batch.
pub(crate) fn calls(guests: &Guests, effort: Effort) -> Result<Vec<Call>, Failure> {
    let mut calls = Vec::new();
    for both in [&guests.passthrough, &guests.keyed_count] {
        for size in SIZES {
            let [native, wasm] = both_ways(both, KEYS, size, effort)?;
            let name = both.name;
            calls.push(Call { name, native, wasm });
        }
    }
    Ok(calls)
}

/// An operator both ways, in turns.
pub(crate) fn both_ways(
    both: &Both,
    keys: u32,
    size: u32,
    effort: Effort,
) -> Result<[Figures; 2], Failure> {
    let batches = batches(keys, size);
    let mut native = Alone::new(&*both.native, "null", both.keyed, keys)?;
    let mut wasm = Alone::new(&*both.wasm, "null", both.keyed, keys)?;
    // Small batches cost more a row.
    let rows = effort.rows.min(size * (1 << 15));
    for alone in [&mut native, &mut wasm] {
        alone.run(&batches, rows / 4, false)?;
    }
    in_turns(
        effort.rounds,
        [&mut || native.run(&batches, rows, false), &mut || {
            wasm.run(&batches, rows, false)
        }],
    )
}

/// State by key index, as a component gets at it; nanoseconds are those of a key.
pub(crate) fn state(guests: &Guests, effort: Effort) -> Result<Vec<Access>, Failure> {
    let mut all = Vec::new();
    for size in SIZES {
        let batches = batches(KEYS, size);
        let alone = |config| Alone::new(&*guests.state_access, config, true, KEYS);
        let (mut none, mut single) = (alone("\"none\"")?, alone("\"single\"")?);
        let mut many = alone("\"many\"")?;
        let mut slots = Alone::new(&*guests.keyed_count.wasm, "null", true, KEYS)?;
        let rows = (effort.rows / 4).min(size * (1 << 15));
        let [none, single, many, slots] = in_turns(
            effort.rounds,
            [
                &mut || none.run(&batches, rows, true),
                &mut || single.run(&batches, rows, true),
                &mut || many.run(&batches, rows, true),
                &mut || slots.run(&batches, rows, true),
            ],
        )?;
        all.push(Access {
            none,
            single,
            many,
            slots,
        });
    }
    Ok(all)
}
