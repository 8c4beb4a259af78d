//! `weir:operator/state`: keyed state by column, and the state of the subtask itself, out of the
//! transactions of the call. Indices, kinds and lengths are checked there.

use weir_model::{Column, ColumnError, OptionalColumn};
use weir_state::{EntriesColumn, NestedColumn, StateIndex, Which};

use super::columns::{
    column_in, column_out, entries_out, nested_in, nested_out, optional_in, optional_out,
};
use crate::{
    bindings::weir::operator::{
        data,
        state::{self, Host},
    },
    breach::Breach,
    guest::{Guest, Phase},
    limits::ENTRY,
};

/// A breach that names the import.
fn breach(import: &'static str) -> impl Fn(weir_state::Error) -> Breach {
    move |error| Breach::State { import, error }
}

fn bad_column(import: &'static str) -> impl Fn(ColumnError) -> Breach {
    move |error| Breach::Contract {
        message: format!("`{import}`: {error}"),
    }
}

/// What a column that is written counts for.
fn weight(column: &Column) -> usize {
    column
        .byte_len()
        .saturating_add(column.len().saturating_mul(ENTRY))
}

impl Host for Guest {
    fn value_get(&mut self, state: u32, keys: Vec<u32>) -> wasmtime::Result<data::OptionalColumn> {
        const IMPORT: &str = "state.value-get";
        let mut out = OptionalColumn::new();
        self.keyed(IMPORT)?
            .state
            .value_get(StateIndex(state), Which::Some(&keys), &mut out)
            .map_err(breach(IMPORT))?;
        Ok(optional_out(out))
    }

    fn value_put(
        &mut self,
        state: u32,
        keys: Vec<u32>,
        values: data::OptionalColumn,
    ) -> wasmtime::Result<()> {
        const IMPORT: &str = "state.value-put";
        let values = optional_in(values).map_err(bad_column(IMPORT))?;
        self.write(weight(values.column()))?;
        self.keyed(IMPORT)?
            .state
            .value_put(StateIndex(state), Which::Some(&keys), &values)
            .map_err(breach(IMPORT))?;
        Ok(())
    }

    fn list_get(&mut self, state: u32, keys: Vec<u32>) -> wasmtime::Result<state::NestedColumn> {
        const IMPORT: &str = "state.list-get";
        let mut out = NestedColumn::default();
        self.keyed(IMPORT)?
            .state
            .list_get(StateIndex(state), Which::Some(&keys), &mut out)
            .map_err(breach(IMPORT))?;
        Ok(nested_out(out))
    }

    fn list_add(
        &mut self,
        state: u32,
        keys: Vec<u32>,
        values: data::BytesColumn,
    ) -> wasmtime::Result<()> {
        const IMPORT: &str = "state.list-add";
        let values = column_in(values).map_err(bad_column(IMPORT))?;
        self.write(weight(&values))?;
        self.keyed(IMPORT)?
            .state
            .list_add(StateIndex(state), &keys, values.view())
            .map_err(breach(IMPORT))?;
        Ok(())
    }

    fn list_set(
        &mut self,
        state: u32,
        keys: Vec<u32>,
        values: state::NestedColumn,
    ) -> wasmtime::Result<()> {
        const IMPORT: &str = "state.list-set";
        let values = nested_in(values).map_err(bad_column(IMPORT))?;
        self.write(weight(&values.elements))?;
        self.keyed(IMPORT)?
            .state
            .list_set(StateIndex(state), Which::Some(&keys), &values)
            .map_err(breach(IMPORT))?;
        Ok(())
    }

    fn map_get(
        &mut self,
        state: u32,
        keys: Vec<u32>,
        map_keys: data::BytesColumn,
    ) -> wasmtime::Result<data::OptionalColumn> {
        const IMPORT: &str = "state.map-get";
        let map_keys = column_in(map_keys).map_err(bad_column(IMPORT))?;
        let mut out = OptionalColumn::new();
        self.keyed(IMPORT)?
            .state
            .map_get(
                StateIndex(state),
                Which::Some(&keys),
                map_keys.view(),
                &mut out,
            )
            .map_err(breach(IMPORT))?;
        Ok(optional_out(out))
    }

    fn map_put(
        &mut self,
        state: u32,
        keys: Vec<u32>,
        map_keys: data::BytesColumn,
        values: data::OptionalColumn,
    ) -> wasmtime::Result<()> {
        const IMPORT: &str = "state.map-put";
        let map_keys = column_in(map_keys).map_err(bad_column(IMPORT))?;
        let values = optional_in(values).map_err(bad_column(IMPORT))?;
        self.write(weight(&map_keys) + values.column().byte_len())?;
        self.keyed(IMPORT)?
            .state
            .map_put(
                StateIndex(state),
                Which::Some(&keys),
                map_keys.view(),
                &values,
            )
            .map_err(breach(IMPORT))?;
        Ok(())
    }

    fn map_clear(&mut self, state: u32, keys: Vec<u32>) -> wasmtime::Result<()> {
        const IMPORT: &str = "state.map-clear";
        self.keyed(IMPORT)?
            .state
            .map_clear(StateIndex(state), &keys)
            .map_err(breach(IMPORT))?;
        Ok(())
    }

    fn map_scan(
        &mut self,
        state: u32,
        key: u32,
        after: Option<Vec<u8>>,
        limit: u32,
    ) -> wasmtime::Result<state::EntriesColumn> {
        const IMPORT: &str = "state.map-scan";
        let mut out = EntriesColumn::default();
        self.keyed(IMPORT)?
            .state
            .map_scan(
                StateIndex(state),
                key,
                after.as_deref(),
                limit as usize,
                &mut out,
            )
            .map_err(breach(IMPORT))?;
        Ok(entries_out(out))
    }

    fn operator_get(&mut self, state: u32) -> wasmtime::Result<data::BytesColumn> {
        const IMPORT: &str = "state.operator-get";
        let mut out = Column::new();
        self.unkeyed(IMPORT)?
            .operator_state
            .list_get(StateIndex(state), &mut out)
            .map_err(breach(IMPORT))?;
        Ok(column_out(out))
    }

    fn operator_set(&mut self, state: u32, values: data::BytesColumn) -> wasmtime::Result<()> {
        const IMPORT: &str = "state.operator-set";
        let values = column_in(values).map_err(bad_column(IMPORT))?;
        self.write(weight(&values))?;
        self.unkeyed(IMPORT)?
            .operator_state
            .list_set(StateIndex(state), values)
            .map_err(breach(IMPORT))?;
        Ok(())
    }

    fn broadcast_get(
        &mut self,
        state: u32,
        map_keys: data::BytesColumn,
    ) -> wasmtime::Result<data::OptionalColumn> {
        const IMPORT: &str = "state.broadcast-get";
        let map_keys = column_in(map_keys).map_err(bad_column(IMPORT))?;
        let mut out = OptionalColumn::new();
        self.unkeyed(IMPORT)?
            .operator_state
            .map_get(StateIndex(state), map_keys.view(), &mut out)
            .map_err(breach(IMPORT))?;
        Ok(optional_out(out))
    }

    fn broadcast_put(
        &mut self,
        state: u32,
        map_keys: data::BytesColumn,
        values: data::OptionalColumn,
    ) -> wasmtime::Result<()> {
        const IMPORT: &str = "state.broadcast-put";
        let map_keys = column_in(map_keys).map_err(bad_column(IMPORT))?;
        let values = optional_in(values).map_err(bad_column(IMPORT))?;
        self.write(weight(&map_keys) + values.column().byte_len())?;
        self.broadcasting(IMPORT)?
            .operator_state
            .map_put(StateIndex(state), map_keys.view(), &values)
            .map_err(breach(IMPORT))?;
        Ok(())
    }

    fn broadcast_scan(
        &mut self,
        state: u32,
        after: Option<Vec<u8>>,
        limit: u32,
    ) -> wasmtime::Result<state::EntriesColumn> {
        const IMPORT: &str = "state.broadcast-scan";
        let mut out = EntriesColumn::default();
        self.unkeyed(IMPORT)?
            .operator_state
            .map_scan(
                StateIndex(state),
                after.as_deref(),
                limit as usize,
                &mut out,
            )
            .map_err(breach(IMPORT))?;
        Ok(entries_out(out))
    }

    fn apply_to_keys(&mut self, state: u32, tag: Vec<u8>) -> wasmtime::Result<()> {
        const IMPORT: &str = "state.apply-to-keys";
        self.write(tag.len().saturating_add(ENTRY))?;
        // That the rows are of a broadcast input is known where the call ends.
        let cx = match self.phase {
            Phase::Process => self.context(IMPORT)?,
            phase => {
                let message = format!(
                    "`{IMPORT}` cannot be used in {phase}: it is for rows of a broadcast input, \
                     which every subtask sees alike"
                );
                return Err(Breach::Contract { message }.into());
            }
        };
        cx.state
            .apply_to_keys(StateIndex(state), &tag)
            .map_err(breach(IMPORT))?;
        Ok(())
    }
}
