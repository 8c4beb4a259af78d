//! What a guest returns, checked before the engine sees it.
//!
//! INVARIANT: whatever leaves this file keeps the promises of
//! [`Operator`](weir_operator::Operator): columns fit, outputs and origins exist, limits hold. A
//! breach names function and field.

use std::fmt;

use weir_model::{Column, ColumnError, OptionalColumn};
use weir_operator::{Emitted, Failure, Limit, Outcome, Poison};
use weir_state::StateIndex;

use crate::{
    Limits,
    bindings::weir::operator::data,
    guest::Phase,
    host,
    limits::{ENTRY, bytes_in_words, counted},
    log::cut,
};

/// The longest message of a guest that is kept.
pub(crate) const MAX_MESSAGE: usize = 4 << 10;

/// What a returned value is checked against.
#[derive(Clone, Copy)]
pub(crate) struct Check<'a> {
    /// The function that returned it.
    pub(crate) phase: Phase,
    /// How many outputs there are.
    pub(crate) outputs: u32,
    /// How many states there are.
    pub(crate) states: usize,
    /// The rows of the call; `None` where there was no input.
    pub(crate) rows: Option<usize>,
    /// The distinct keys of the call.
    pub(crate) keys: usize,
    pub(crate) limits: &'a Limits,
}

/// The name of a part of what a guest returned: put together only for a message.
#[derive(Clone, Copy)]
enum Field {
    Named(&'static str),
    /// A field of what is emitted, with its number.
    Emitted(usize, &'static str),
    /// Slots, with their number.
    Slots(usize),
    /// The values of these.
    SlotValues(usize),
}

impl fmt::Display for Field {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Named(name) => f.write_str(name),
            Self::Emitted(index, name) => write!(f, "emitted[{index}].{name}"),
            Self::Slots(index) => write!(f, "slots[{index}]"),
            Self::SlotValues(index) => write!(f, "slots[{index}].values"),
        }
    }
}

/// Checks what `snapshot` returned: the state that the component has written down itself.
///
/// # Errors
/// [`Failure::Limit`], which names the limit and both sizes.
pub(crate) fn raw(pieces: Vec<Vec<u8>>, limits: &Limits) -> Result<Vec<Vec<u8>>, Failure> {
    let count = pieces.len();
    let bytes: usize = pieces.iter().map(Vec::len).sum();
    if bytes.saturating_add(count.saturating_mul(ENTRY)) > limits.output_bytes {
        return Err(Failure::Limit(Box::new(Limit {
            key: "output",
            value: bytes_in_words(limits.output_bytes),
            message: format!(
                "{} returned raw state of {bytes} bytes in {count} pieces, each of which counts \
                 {ENTRY} bytes more",
                Phase::Snapshot
            ),
            backtrace: Vec::new(),
            row: None,
        })));
    }
    Ok(pieces)
}

/// What `process` returned.
pub(crate) struct Checked {
    pub(crate) outcome: Outcome,
    /// The slots to write back, each state at most once.
    pub(crate) slots: Vec<(StateIndex, OptionalColumn)>,
}

impl Check<'_> {
    /// Checks an outcome.
    ///
    /// # Errors
    /// [`Failure::Contract`] or [`Failure::Limit`].
    pub(crate) fn outcome(mut self, outcome: data::Outcome) -> Result<Checked, Failure> {
        let poisoned = match outcome.poisoned {
            Some(poison) => Some(self.poison(poison)?),
            None => None,
        };
        if let Some(poison) = &poisoned {
            // Only the rows before it count, so only they can have emitted something.
            self.rows = Some(poison.row as usize);
        }
        let slots = self.slots(outcome.slots)?;
        let mut emitted = self.emitted(outcome.emitted)?;
        if let Some(poison) = &poisoned {
            // That there are as many rows as count is no longer that there are as many as came.
            for emitted in &mut emitted {
                if emitted.origin.is_empty() && !emitted.values.is_empty() {
                    emitted.origin.extend(0..poison.row);
                }
            }
        }
        Ok(Checked {
            outcome: Outcome { emitted, poisoned },
            slots,
        })
    }

    /// Checks what was emitted.
    ///
    /// # Errors
    /// [`Failure::Contract`] or [`Failure::Limit`].
    pub(crate) fn emitted(&self, emitted: Vec<data::Emitted>) -> Result<Vec<Emitted>, Failure> {
        let (mut rows, mut bytes) = (0_usize, 0_usize);
        let mut checked = Vec::with_capacity(emitted.len());
        for (index, emitted) in emitted.into_iter().enumerate() {
            let emitted = self.one(index, emitted)?;
            rows += emitted.values.len();
            bytes += emitted.values.byte_len() + emitted.keys.byte_len();
            checked.push(emitted);
        }
        let most = self.limits.output_rows();
        if rows > most {
            let value = bytes_in_words(self.limits.output_bytes);
            let what = format!("emitted {rows} rows in one call, {most} are the most");
            return Err(self.over(value, &what));
        }
        if bytes > self.limits.output_bytes {
            let value = bytes_in_words(self.limits.output_bytes);
            return Err(self.over(value, &format!("emitted {bytes} bytes in one call")));
        }
        Ok(checked)
    }

    /// Checks how much is kept in state.
    ///
    /// # Errors
    /// [`Failure::Limit`].
    pub(crate) fn written(&self, bytes: usize) -> Result<(), Failure> {
        if bytes <= self.limits.output_bytes {
            return Ok(());
        }
        let value = bytes_in_words(self.limits.output_bytes);
        Err(self.over(value, &format!("wrote {bytes} bytes to state in one call")))
    }

    /// Checks accumulators.
    ///
    /// # Errors
    /// [`Failure::Contract`] or [`Failure::Limit`].
    pub(crate) fn accumulators(&self, column: data::BytesColumn) -> Result<Column, Failure> {
        let field = Field::Named("accumulators");
        let column = self.column(field, column)?;
        self.row_sizes(field, &column)?;
        if column.byte_len() > self.limits.output_bytes {
            let value = bytes_in_words(self.limits.output_bytes);
            let what = format!("returned {} bytes of accumulators", column.byte_len());
            return Err(self.over(value, &what));
        }
        Ok(column)
    }

    fn one(&self, index: usize, emitted: data::Emitted) -> Result<Emitted, Failure> {
        let field = |name| Field::Emitted(index, name);
        if emitted.output >= self.outputs {
            let what = format!(
                "{}, the component declares {}",
                emitted.output,
                counted(self.outputs as usize, "output", "outputs")
            );
            return Err(self.wrong(field("output"), &what));
        }
        let column = |name, column| self.column(field(name), column);
        let values = column("values", emitted.values)?;
        let keys = column("keys", emitted.keys)?;
        self.row_sizes(field("values"), &values)?;
        self.row_sizes(field("keys"), &keys)?;
        let lengths = [
            ("keys", keys.len()),
            ("timestamps", emitted.timestamps.len()),
        ];
        for (name, len) in lengths {
            if len != 0 && len != values.len() {
                let what = format!(
                    "{} for {}",
                    counted(len, "entry", "entries"),
                    counted(values.len(), "row", "rows")
                );
                return Err(self.wrong(field(name), &what));
            }
        }
        self.origin(field("origin"), &emitted.origin, values.len())?;
        Ok(Emitted {
            output: emitted.output,
            values,
            origin: emitted.origin,
            timestamps: emitted.timestamps,
            keys,
        })
    }

    /// Each row inherits from a row of the call. Empty = row `i` from row `i`.
    fn origin(&self, field: Field, origin: &[u32], emitted: usize) -> Result<(), Failure> {
        let Some(rows) = self.rows else {
            if origin.is_empty() {
                return Ok(());
            }
            return Err(self.wrong(field, "not empty, but there is no row to inherit from"));
        };
        if origin.is_empty() {
            if emitted == rows || emitted == 0 {
                return Ok(());
            }
            let what = format!(
                "empty, but {} from {rows}",
                counted(emitted, "row comes", "rows come")
            );
            return Err(self.wrong(field, &what));
        }
        if origin.len() != emitted {
            let what = format!(
                "{} for {}",
                counted(origin.len(), "entry", "entries"),
                counted(emitted, "row", "rows")
            );
            return Err(self.wrong(field, &what));
        }
        // Mostly none is wrong, and to find the largest takes no branch for each.
        let most = origin.iter().fold(0, |most, &from| most.max(from));
        if (most as usize) < rows {
            return Ok(());
        }
        match origin.iter().position(|&from| from as usize >= rows) {
            None => Ok(()),
            Some(at) => {
                let what = format!(
                    "entry {at} is {}, of {}",
                    origin[at],
                    counted(rows, "row that counts", "rows that count")
                );
                Err(self.wrong(field, &what))
            }
        }
    }

    fn slots(&self, slots: Vec<data::Slots>) -> Result<Vec<(StateIndex, OptionalColumn)>, Failure> {
        // Each state at most once, so the guest does not decide how many there are.
        let mut checked: Vec<(StateIndex, OptionalColumn)> = Vec::new();
        let mut bytes = 0;
        for (index, slots) in slots.into_iter().enumerate() {
            let state = StateIndex(slots.state);
            let field = Field::Slots(index);
            if slots.state as usize >= self.states {
                let what = format!(
                    "state {}, the component declares {}",
                    slots.state,
                    counted(self.states, "state", "states")
                );
                return Err(self.wrong(field, &what));
            }
            if checked.iter().any(|(other, _)| *other == state) {
                let what = format!("state {} a second time", slots.state);
                return Err(self.wrong(field, &what));
            }
            let values = host::optional_in(slots.values)
                .map_err(|error| self.wrong(Field::SlotValues(index), &error.to_string()))?;
            if values.len() != self.keys {
                let what = format!(
                    "{} for {}",
                    counted(values.len(), "value", "values"),
                    counted(self.keys, "key", "keys")
                );
                return Err(self.wrong(Field::SlotValues(index), &what));
            }
            bytes += values.column().byte_len();
            checked.push((state, values));
        }
        self.written(bytes)?;
        Ok(checked)
    }

    fn poison(&self, poison: data::Poison) -> Result<Poison, Failure> {
        let rows = self.rows.unwrap_or(0);
        if poison.row as usize >= rows {
            let what = format!(
                "{}, the call has {}",
                poison.row,
                counted(rows, "row", "rows")
            );
            return Err(self.wrong(Field::Named("poisoned.row"), &what));
        }
        Ok(Poison {
            row: poison.row,
            message: cut(&poison.message, MAX_MESSAGE).to_owned(),
        })
    }

    fn column(&self, field: Field, column: data::BytesColumn) -> Result<Column, Failure> {
        host::column_in(column).map_err(|error: ColumnError| self.wrong(field, &error.to_string()))
    }

    fn row_sizes(&self, field: Field, column: &Column) -> Result<(), Failure> {
        // Nearly always the whole column is smaller than one row may be.
        if column.byte_len() <= Limits::ROW {
            return Ok(());
        }
        match column.iter().position(|row| row.len() > Limits::ROW) {
            None => Ok(()),
            Some(row) => {
                let len = column.get(row).len();
                let what = format!("returned `{field}` whose row {row} has {len} bytes");
                let value = bytes_in_words(Limits::ROW) + " a row, whatever the job file says";
                Err(self.over(value, &what))
            }
        }
    }

    fn wrong(&self, field: Field, what: &str) -> Failure {
        Failure::Contract {
            message: format!("{} returned a wrong `{field}`: {what}", self.phase),
        }
    }

    fn over(&self, value: String, what: &str) -> Failure {
        Failure::Limit(Box::new(Limit {
            key: "output",
            value,
            message: format!("{} {what}", self.phase),
            backtrace: Vec::new(),
            row: None,
        }))
    }
}

#[cfg(test)]
mod tests;
