//! Runs an operator over batches: the loop over the rows, what becomes of an error, and the
//! hand-over of state, metrics and output at the end of a call.

use std::marker::PhantomData;
use std::rc::Rc;

use crate::bindings::weir::operator::data::{Batch, Descriptor, Emitted, Outcome, Poison, Slots};
use crate::call::Call;
use crate::column;
use crate::ctx::{Ctx, Env};
use crate::describe::{Declared, Visit, handles_made};
use crate::error::{Error, Result};
use crate::host::Host;
use crate::operator::{IntoOperator, Operator};
use crate::output::Outputs;
use crate::row::{Decode, Row};

/// The exports of the contract, whatever the types of the operator.
pub trait Logic {
    /// `logic.describe`
    ///
    /// # Errors
    /// What is wrong with the declarations.
    fn describe(&self) -> std::result::Result<Descriptor, String>;
    /// `logic.open`
    ///
    /// # Errors
    /// See the contract.
    fn open(&mut self) -> std::result::Result<(), String>;
    /// `logic.process`
    ///
    /// # Errors
    /// See the contract.
    fn process(
        &mut self,
        input: u32,
        rows: Batch,
        slots: Vec<Slots>,
    ) -> std::result::Result<Outcome, String>;
    /// `logic.end-of-input`
    ///
    /// # Errors
    /// See the contract.
    fn end_of_input(&mut self, input: u32) -> std::result::Result<Vec<Emitted>, String>;
    /// `logic.finish`
    ///
    /// # Errors
    /// See the contract.
    fn finish(&mut self) -> std::result::Result<Vec<Emitted>, String>;
}

/// Makes the exports of an operator that lives on this host.
pub(crate) fn make<T, Kind>(host: Box<dyn Host>) -> Box<dyn Logic>
where
    T: IntoOperator<Kind>,
{
    let before = handles_made();
    let mut operator = T::make();
    let made = handles_made() - before;
    let call = Call::new(host);
    let mut declared = Declared::new(Rc::clone(&call));
    operator.visit(Visit::Declare(&mut declared));
    if made > declared.handles {
        let missing = made - declared.handles;
        let name = std::any::type_name::<T>();
        declared.mistakes.push(format!(
            "{missing} of the {made} handles of {name} are not declared"
        ));
    }
    let side_outputs = declared.descriptor.side_outputs.len();
    Box::new(Driver {
        operator,
        call,
        declared,
        outputs: Outputs::new(side_outputs),
    })
}

/// A row that was decoded ahead of its turn; `None` if it could not be.
type Decoded<'b, O> = Option<<<O as Operator>::In as Decode>::View<'b>>;

struct Driver<O> {
    operator: O,
    call: Rc<Call>,
    declared: Declared,
    outputs: Outputs,
}

impl<O: Operator> Driver<O> {
    fn run(&mut self, input: u32, batch: &Batch, slots: Vec<Slots>) -> Result<Outcome> {
        if O::KEYED && batch.keys.ends.is_empty() && !batch.values.ends.is_empty() {
            return Err(Error::fatal(
                "the operator has keyed state: its input needs a `key`",
            ));
        }
        self.call.begin(batch.keys.ends.len() as u32, slots);
        let decoded = if self.declared.looks_ahead {
            self.look_ahead(batch)?
        } else {
            Vec::new()
        };
        let poisoned = self.process_rows(input, batch, decoded)?;
        self.call.leave_rows();
        let slots = self.flush()?;
        let emitted = self
            .outputs
            .take(batch.values.ends.len(), &batch.timestamps)?;
        Ok(Outcome {
            emitted,
            slots,
            poisoned,
        })
    }

    /// Lets the operator name map entries, and keeps what it decoded for that. A row that fails
    /// here fails again in its turn.
    fn look_ahead<'b>(&mut self, batch: &'b Batch) -> Result<Vec<Decoded<'b, O>>> {
        let mut decoded = Vec::with_capacity(batch.values.ends.len());
        for index in 0..batch.values.ends.len() {
            let bytes = column::row(&batch.values, index)?;
            self.call.look_at_row(key_of(batch, index)?);
            decoded.push(O::In::decode(bytes).ok().map(|value| {
                let timestamp = batch.timestamps.get(index).copied();
                let row = Row { value, timestamp };
                let _ = self.operator.prefetch(&row);
                row.value
            }));
        }
        Ok(decoded)
    }

    /// Processes rows up to the first that fails; only a fatal error is an error.
    fn process_rows<'b>(
        &mut self,
        input: u32,
        batch: &'b Batch,
        decoded: Vec<Decoded<'b, O>>,
    ) -> Result<Option<Poison>> {
        let mut decoded = decoded.into_iter();
        for (index, bytes) in column::rows(&batch.values).enumerate() {
            let bytes = bytes?;
            let key_index = key_of(batch, index)?;
            let key = match key_index {
                Some(key) => column::row(&batch.keys, key as usize)?,
                None => &[],
            };
            self.call.enter_row(key_index);
            let row = index as u32;
            let mut ctx = Ctx {
                env: Env {
                    host: &*self.call.host,
                },
                outputs: &mut self.outputs,
                origin: Some(row),
                key,
                input,
                types: PhantomData,
            };
            let timestamp = batch.timestamps.get(index).copied();
            let value = match decoded.next().flatten() {
                Some(value) => Ok(value),
                None => O::In::decode(bytes),
            };
            let result =
                value.and_then(|value| self.operator.process(Row { value, timestamp }, &mut ctx));
            let Err(error) = result else { continue };
            if error.is_fatal() {
                return Err(error);
            }
            self.operator.visit(Visit::Rollback);
            self.outputs.rollback(row);
            return Ok(Some(Poison {
                row,
                message: error.into_message(),
            }));
        }
        Ok(None)
    }

    fn flush(&mut self) -> Result<Vec<Slots>> {
        let mut slots = Vec::new();
        let visit = Visit::Flush {
            slots: &mut slots,
            result: Ok(()),
        };
        match self.operator.visit(visit) {
            Visit::Flush { result, .. } => result?,
            Visit::Declare(_) | Visit::Rollback => {}
        }
        Ok(slots)
    }

    /// Calls a function of the operator that is handed no row.
    fn without_rows(
        &mut self,
        input: u32,
        function: fn(&mut O, &mut Ctx<O::Out>) -> Result<()>,
    ) -> Result<Vec<Emitted>> {
        self.call.begin(0, Vec::new());
        self.call.leave_rows();
        let mut ctx = Ctx {
            env: Env {
                host: &*self.call.host,
            },
            outputs: &mut self.outputs,
            origin: None,
            key: &[],
            input,
            types: PhantomData,
        };
        function(&mut self.operator, &mut ctx)?;
        self.flush()?;
        self.outputs.take(0, &[])
    }

    /// Leaves nothing of a failed call behind.
    fn finish_call<T>(&mut self, result: Result<T>) -> std::result::Result<T, String> {
        result.map_err(|error| {
            self.call.leave_rows();
            self.outputs.clear();
            error.into_message()
        })
    }
}

/// The index of a row's key, if the input is keyed.
fn key_of(batch: &Batch, row: usize) -> Result<Option<u32>> {
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

impl<O: Operator> Logic for Driver<O> {
    fn describe(&self) -> std::result::Result<Descriptor, String> {
        if self.declared.mistakes.is_empty() {
            return Ok(self.declared.descriptor.clone());
        }
        Err(self.declared.mistakes.join("; "))
    }

    fn open(&mut self) -> std::result::Result<(), String> {
        self.call.begin(0, Vec::new());
        self.call.leave_rows();
        let env = Env {
            host: &*self.call.host,
        };
        let result = self.operator.open(env).and_then(|()| self.flush());
        self.finish_call(result).map(drop)
    }

    fn process(
        &mut self,
        input: u32,
        rows: Batch,
        slots: Vec<Slots>,
    ) -> std::result::Result<Outcome, String> {
        let result = self.run(input, &rows, slots);
        self.finish_call(result)
    }

    fn end_of_input(&mut self, input: u32) -> std::result::Result<Vec<Emitted>, String> {
        let result = self.without_rows(input, O::end_of_input);
        self.finish_call(result)
    }

    fn finish(&mut self) -> std::result::Result<Vec<Emitted>, String> {
        let result = self.without_rows(0, O::finish);
        self.finish_call(result)
    }
}

#[cfg(test)]
mod tests;
