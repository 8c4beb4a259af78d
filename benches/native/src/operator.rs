//! An operator as a node of a job.

use weir_guest::{
    TimerKind as Kind,
    native::{BatchRef, ColumnRef, Due as GuestDue, Logic, Outcome as Returned, Slots},
};
use weir_model::{OptionalColumn, Rows};
use weir_operator::{
    Context, Descriptor, Due, Emitted, Failure, Operator, OperatorFactory, Outcome, Poison,
    TaskInfo,
};
use weir_state::{StateIndex, TimerKind, Which};

use crate::{
    alone::{Alone, Make},
    columns::{copied, emitted, lent, optional_given, optional_taken, wrong},
    descriptor::descriptor,
};

/// Makes the parallel instances of an operator.
#[derive(Clone)]
pub struct NativeOperator {
    make: Make,
    descriptor: Descriptor,
}

impl NativeOperator {
    /// An operator by the `native_operator` of its crate.
    ///
    /// # Errors
    /// What is wrong with its declarations.
    pub fn new(make: Make) -> Result<Self, Failure> {
        Self::made(make, false)
    }

    /// The same of one that is called for all keys: `operator!(Type, keyed_broadcast)`.
    ///
    /// # Errors
    /// What is wrong with its declarations.
    pub fn keyed_broadcast(make: Make) -> Result<Self, Failure> {
        Self::made(make, true)
    }

    fn made(make: Make, is_keyed_broadcast: bool) -> Result<Self, Failure> {
        let declared = Alone::new(make).logic().describe();
        let declared = declared.map_err(|message| Failure::Guest { message, row: None })?;
        Ok(Self {
            make,
            descriptor: descriptor(declared, is_keyed_broadcast),
        })
    }
}

impl OperatorFactory for NativeOperator {
    fn descriptor(&self) -> &Descriptor {
        &self.descriptor
    }

    fn create(&self, _: &TaskInfo) -> Result<Box<dyn Operator>, Failure> {
        let prefetched = (0_u32..).zip(&self.descriptor.states);
        let prefetched = prefetched.filter(|(_, state)| state.prefetch);
        Ok(Box::new(Instance {
            alone: Alone::new(self.make),
            make: self.make,
            prefetched: prefetched.map(|(state, _)| state).collect(),
            values: Vec::new(),
            keys: Vec::new(),
        }))
    }
}

struct Instance {
    alone: Alone,
    make: Make,
    prefetched: Vec<u32>,
    /// Buffers that are used again from call to call.
    values: Vec<u32>,
    keys: Vec<u32>,
}

impl Instance {
    fn prefetch(&self, cx: &mut Context) -> Result<Vec<Slots>, Failure> {
        let slots = |&state: &u32| {
            let mut values = OptionalColumn::new();
            cx.state
                .value_get(StateIndex(state), Which::All, &mut values)?;
            let values = optional_given(values);
            Ok(Slots { state, values })
        };
        self.prefetched.iter().map(slots).collect()
    }

    /// Calls a function with rows, and with what is prefetched of their keys.
    fn call_rows(
        &mut self,
        cx: &mut Box<Context>,
        rows: Rows<'_>,
        function: impl FnOnce(&mut dyn Logic, BatchRef<'_>, Vec<Slots>) -> Result<Returned, String>,
    ) -> Result<Outcome, Failure> {
        let slots = match rows.keyed {
            Some(_) => self.prefetch(cx)?,
            None => Vec::new(),
        };
        let empty = ColumnRef {
            bytes: &[],
            ends: &[],
        };
        let batch = BatchRef {
            values: lent(rows.values, &mut self.values),
            timestamps: rows.timestamps,
            keys: (rows.keyed).map_or(empty, |keyed| lent(keyed.keys, &mut self.keys)),
            key_of_row: rows.keyed.map_or(&[], |keyed| keyed.key_of_row),
        };
        let returned = (self.alone).call(cx, |logic| function(logic, batch, slots))?;
        let keys = rows.keyed.map_or(0, |keyed| keyed.keys.len());
        take_in(cx, (rows.len(), keys), returned)
    }
}

/// Checks what a call about so many rows or timers and keys came to, and takes in its slots.
fn take_in(
    cx: &mut Context,
    (rows, keys): (usize, usize),
    returned: Returned,
) -> Result<Outcome, Failure> {
    for slots in returned.slots {
        let mut values = optional_taken(slots.values).map_err(|error| wrong("slots", error))?;
        if values.len() != keys {
            let found = format!("{} values for {keys} keys", values.len());
            return Err(wrong("slots", found));
        }
        cx.state.put_slots(StateIndex(slots.state), &mut values)?;
    }
    let poisoned = returned.poisoned.map(|poison| Poison {
        row: poison.row,
        message: poison.message,
    });
    let counts = poisoned.as_ref().map_or(rows, |poison| poison.row as usize);
    let mut emitted = emitted(returned.emitted, counts)?;
    for one in &mut emitted {
        if one.origin.is_empty() && one.values.len() != rows && !one.values.is_empty() {
            if poisoned.is_none() || one.values.len() != counts {
                return Err(wrong(
                    "what was emitted",
                    "rows that come from none of the call",
                ));
            }
            one.origin.extend(0..counts as u32);
        }
    }
    Ok(Outcome { emitted, poisoned })
}

impl Operator for Instance {
    fn open(&mut self, cx: &mut Box<Context>) -> Result<(), Failure> {
        self.alone.call(cx, |logic| logic.open())
    }

    fn process(
        &mut self,
        cx: &mut Box<Context>,
        input: u32,
        rows: Rows<'_>,
    ) -> Result<Outcome, Failure> {
        self.call_rows(cx, rows, |logic, batch, slots| {
            logic.process(input, batch, slots)
        })
    }

    fn on_timers(&mut self, cx: &mut Box<Context>, due: Due<'_>) -> Result<Outcome, Failure> {
        let slots = self.prefetch(cx)?;
        let timers = GuestDue {
            kind: match due.kind {
                TimerKind::EventTime => Kind::EventTime,
                TimerKind::ProcessingTime => Kind::ProcessingTime,
            },
            at: due.at.to_vec(),
            keys: copied(due.keyed.keys),
            key_of_timer: due.keyed.key_of_row.to_vec(),
        };
        let returned = (self.alone).call(cx, |logic| logic.on_timers(&timers, slots))?;
        take_in(cx, (due.len(), due.keyed.keys.len()), returned)
    }

    fn on_keys(
        &mut self,
        cx: &mut Box<Context>,
        tag: &[u8],
        keys: Rows<'_>,
    ) -> Result<Outcome, Failure> {
        self.call_rows(cx, keys, |logic, batch, slots| {
            logic.on_keys(tag, batch, slots)
        })
    }

    fn end_of_input(&mut self, cx: &mut Box<Context>, input: u32) -> Result<Vec<Emitted>, Failure> {
        let all = self.alone.call(cx, |logic| logic.end_of_input(input))?;
        emitted(all, 0)
    }

    fn finish(&mut self, cx: &mut Box<Context>) -> Result<Vec<Emitted>, Failure> {
        let all = self.alone.call(cx, |logic| logic.finish())?;
        emitted(all, 0)
    }

    fn reset(&mut self, cx: &mut Box<Context>) -> Result<(), Failure> {
        self.alone = Alone::new(self.make);
        self.open(cx)
    }
}
