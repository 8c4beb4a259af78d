//! Calls about windows and pairs, which give rows and have none to process.

use std::marker::PhantomData;

use super::{Driver, NOTHING_LENT};
use crate::bindings::weir::operator::data::{Emitted, Poison};
use crate::call::Scope;
use crate::column::{self, ColumnRef};
use crate::ctx::{Ctx, Env, HandKey};
use crate::describe::Visit;
use crate::error::Result;
use crate::join::AllPairs;
use crate::operator::Operator;
use crate::output::Hand;
use crate::window::Window;

impl<O: Operator> Driver<O> {
    /// Calls a function for each window of a call, with its key in hand.
    fn give_results(
        &mut self,
        keys: ColumnRef<'_>,
        windows: &[Window],
        mut function: impl FnMut(&mut O, (Window, usize), &mut Ctx<O::Out>) -> Result<()>,
    ) -> Result<()> {
        self.outputs.refuse_watermarks();
        for (index, &window) in windows.iter().enumerate() {
            let mut ctx = Ctx {
                env: Env {
                    host: &*self.call.host,
                },
                outputs: &mut self.outputs,
                origin: Some(index as u32),
                key: HandKey::This(column::row(keys, index)?),
                hand: Hand::EMPTY,
                input: 0,
                types: PhantomData,
            };
            function(&mut self.operator, (window, index), &mut ctx)?;
        }
        Ok(())
    }

    /// Hands pairs over up to the first that is refused; only a fatal error is an error.
    pub(super) fn run_pairs(
        &mut self,
        pairs: &AllPairs,
    ) -> Result<std::result::Result<Vec<Emitted>, Poison>> {
        self.call.begin_without_rows(Scope::Nothing);
        self.outputs.refuse_watermarks();
        for index in 0..pairs.timestamps.len() {
            let mut ctx = Ctx {
                env: Env {
                    host: &*self.call.host,
                },
                outputs: &mut self.outputs,
                origin: Some(index as u32),
                key: HandKey::This(pairs.key(index)?),
                hand: Hand::EMPTY,
                input: 0,
                types: PhantomData,
            };
            let pair = pairs.pair(index)?;
            let Err(error) = self.operator.project(pair, &mut ctx) else {
                continue;
            };
            if error.is_fatal() {
                return Err(error);
            }
            self.operator.visit(Visit::Rollback);
            return Ok(Err(Poison {
                row: index as u32,
                message: error.into_message(),
            }));
        }
        self.flush()?;
        let emitted = self
            .outputs
            .take(pairs.timestamps.len(), &pairs.timestamps, NOTHING_LENT)?;
        Ok(Ok(emitted))
    }

    pub(super) fn all_results(
        &mut self,
        keys: ColumnRef<'_>,
        windows: &[Window],
        function: impl FnMut(&mut O, (Window, usize), &mut Ctx<O::Out>) -> Result<()>,
    ) -> std::result::Result<Vec<Emitted>, String> {
        self.call.begin_without_rows(Scope::Nothing);
        let result = self.give_results(keys, windows, function);
        let result = result.and_then(|()| {
            self.flush()?;
            self.outputs.take(windows.len(), &[], NOTHING_LENT)
        });
        self.finish_call(result)
    }
}
