//! The loop over the rows of a call, and the look at them ahead of their turn.

use std::marker::PhantomData;

use super::Driver;
use crate::batch::{BatchCtx, Batched, InputBatch};
use crate::bindings::weir::operator::data::Poison;
use crate::column::{self, BatchRef};
use crate::ctx::{Ctx, Env, HandKey};
use crate::describe::Visit;
use crate::error::{Error, Result};
use crate::inputs::Inputs;
use crate::operator::Operator;
use crate::output::Hand;
use crate::row::Row;

/// A row that was decoded ahead of its turn; `None` if it could not be.
type Decoded<'b, O> = Option<<<O as Operator>::In as Inputs>::View<'b>>;

impl<O: Operator> Driver<O> {
    /// Lets the operator process all rows at once; whether it has. If not, nothing is left of it;
    /// only a fatal error is an error.
    pub(super) fn process_whole(&mut self, input: u32, batch: BatchRef<'_>) -> Result<bool> {
        // Rows of a broadcast input are few, and have no key.
        if self.row_by_row || self.declared.is_broadcast(input) {
            return Ok(false);
        }
        self.call.enter_batch();
        let mut ctx = BatchCtx {
            env: Env {
                host: &*self.call.host,
            },
            outputs: &mut self.outputs,
            rows: batch.values,
            types: PhantomData,
        };
        let of = InputBatch::new(batch, input);
        match self.operator.process_batch(&of, &mut ctx) {
            Ok(Batched::Done) => {
                return self
                    .outputs
                    .check_order(batch.values.ends.len())
                    .map(|()| true);
            }
            Ok(Batched::NotWritten) => {}
            Err(error) if error.is_fatal() => return Err(error),
            Ok(Batched::RowByRow) | Err(_) => {
                self.operator.visit(Visit::Rollback);
                self.outputs.clear();
            }
        }
        self.call.leave_rows();
        Ok(false)
    }

    /// Lets the operator name map entries, and keeps what it decoded for that, unless it is as soon
    /// decoded again. A row that fails here fails again in its turn.
    pub(super) fn look_ahead<'b>(
        &mut self,
        input: u32,
        batch: BatchRef<'b>,
    ) -> Result<Vec<Decoded<'b, O>>> {
        let kept = match O::In::CHEAP {
            true => 0,
            false => batch.values.ends.len(),
        };
        let mut decoded = Vec::with_capacity(kept);
        for (index, bytes) in column::rows(batch.values).enumerate() {
            self.call.look_at_row(key_of(batch, index)?);
            let value = O::In::decode_row(input, bytes?).ok().map(|value| {
                let row = Row {
                    value,
                    timestamp: batch.timestamps.get(index).copied(),
                    input,
                };
                self.operator.prefetch(row).value
            });
            if !O::In::CHEAP {
                decoded.push(value);
            }
        }
        self.call.leave_rows();
        Ok(decoded)
    }

    /// Processes rows up to the first that fails; only a fatal error is an error.
    pub(super) fn process_rows<'b>(
        &mut self,
        input: u32,
        batch: BatchRef<'b>,
        decoded: Vec<Decoded<'b, O>>,
    ) -> Result<Option<Poison>> {
        let mut decoded = decoded.into_iter();
        let first = self.call.row() + 1;
        if !O::KEYED {
            check_keys(batch)?;
        }
        for (index, bytes) in column::rows(batch.values).enumerate() {
            let bytes = bytes?;
            // Without keyed state, whose key it is matters only if the operator asks.
            let (key_index, key) = match O::KEYED {
                true => {
                    let index = key_of(batch, index)?;
                    let key = index.map(|index| column::row(batch.keys, index as usize));
                    (index, HandKey::This(key.transpose()?.unwrap_or_default()))
                }
                false => (None, HandKey::OfRow(&batch, index)),
            };
            self.call.enter_numbered(first + index as u64, key_index);
            let row = index as u32;
            let mut ctx = Ctx {
                env: Env {
                    host: &*self.call.host,
                },
                outputs: &mut self.outputs,
                origin: Some(row),
                key,
                hand: Hand {
                    rows: batch.values,
                    row: bytes,
                },
                input,
                types: PhantomData,
            };
            // Only an operator with keyed state looks ahead.
            let value = match decoded.next().flatten() {
                Some(value) if O::KEYED => Ok(value),
                _ => O::In::decode_row(input, bytes),
            };
            let timestamp = batch.timestamps.get(index).copied();
            let result = value.and_then(|value| {
                let row = Row {
                    value,
                    timestamp,
                    input,
                };
                self.operator.process(row, &mut ctx)
            });
            if let Err(error) = result {
                return self.refuse(row, error).map(Some);
            }
        }
        Ok(None)
    }
}

/// The index of a row's key, if the input is keyed.
pub(super) fn key_of(batch: BatchRef<'_>, row: usize) -> Result<Option<u32>> {
    let keys = batch.keys.ends.len() as u32;
    if keys == 0 {
        return Ok(None);
    }
    match batch.key_of_row.get(row) {
        Some(key) if *key < keys => Ok(Some(*key)),
        _ => Err(Error::fatal(format_args!(
            "malformed batch from the host: no key for row {row}"
        ))),
    }
}

/// Checks the keys of all rows, of which [`HandKey`] reads some.
pub(crate) fn check_keys(batch: BatchRef<'_>) -> Result<()> {
    let (keys, rows) = (batch.keys.ends.len(), batch.values.ends.len());
    if keys == 0 {
        return Ok(());
    }
    // No branch, and nothing that each row waits for from the one before.
    let of_rows = batch.key_of_row.iter();
    let are_there = of_rows.fold(true, |all, key| all & ((*key as usize) < keys));
    if batch.key_of_row.len() < rows || !are_there {
        return Err(Error::fatal(format_args!(
            "malformed batch from the host: {keys} keys and not one for each of {rows} rows"
        )));
    }
    column::rows(batch.keys).try_for_each(|key| key.map(|_| ()))
}
