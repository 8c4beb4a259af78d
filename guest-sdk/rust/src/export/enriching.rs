//! The export of operators whose calls wait.

use super::{EnrichComponent, with};
use crate::bindings::weir::operator::data::BytesColumn;
use crate::driver::OneRow;
use crate::enrich_bindings::exports::weir::operator::enrich;
use crate::enrich_bindings::weir::operator::data as enriched;
use crate::error::Kind;

impl<C: EnrichComponent> enrich::Guest for C {
    fn enrich(row: enrich::Row) -> Result<Vec<enrich::Emitted>, enrich::NotEnriched> {
        let enrich::Row {
            value,
            timestamp,
            key,
        } = row;
        let row = OneRow {
            value,
            timestamp,
            key,
        };
        let emitted = with::<C, _>(|logic| logic.enrich(row));
        let emitted = emitted.map_err(|error| match error.kind() {
            Kind::Row => enrich::NotEnriched::Refused(error.into_message()),
            Kind::Temporary => enrich::NotEnriched::Failed(error.into_message()),
            Kind::Fatal => enrich::NotEnriched::Fatal(error.into_message()),
        })?;
        let out = |BytesColumn { bytes, ends }| enriched::BytesColumn { bytes, ends };
        let emitted = emitted.into_iter().map(|one| enrich::Emitted {
            output: one.output,
            values: out(one.values),
            origin: one.origin,
            timestamps: one.timestamps,
            keys: out(one.keys),
        });
        Ok(emitted.collect())
    }
}
