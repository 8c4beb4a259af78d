//! The export of joins.

use super::{JoinComponent, with};
use crate::bindings::weir::operator::data::BytesColumn;
use crate::join::AllPairs;
use crate::join_bindings::exports::weir::operator::join;

impl<C: JoinComponent> join::Guest for C {
    fn accept(input: u32, rows: join::BytesColumn) -> Result<Option<join::Poison>, String> {
        let rows = joined_in(rows);
        let poisoned = with::<C, _>(|logic| logic.accept(input, (&rows).into()))?;
        Ok(poisoned.map(|poison| join::Poison {
            row: poison.row,
            message: poison.message,
        }))
    }

    fn project(pairs: join::Pairs) -> Result<join::Projected, String> {
        let pairs = AllPairs {
            keys: joined_in(pairs.keys),
            key_of_pair: pairs.key_of_pair,
            left: joined_in(pairs.left),
            left_timestamps: pairs.left_timestamps,
            left_of_pair: pairs.left_of_pair,
            right: joined_in(pairs.right),
            right_timestamps: pairs.right_timestamps,
            right_of_pair: pairs.right_of_pair,
            timestamps: pairs.timestamps,
        };
        let (emitted, poisoned) = match with::<C, _>(|logic| logic.project(&pairs))? {
            Ok(emitted) => (emitted, None),
            Err(poison) => (Vec::new(), Some(poison)),
        };
        let emitted = emitted.into_iter().map(|one| join::Emitted {
            output: one.output,
            values: joined_out(one.values),
            origin: one.origin,
            timestamps: one.timestamps,
            keys: joined_out(one.keys),
        });
        Ok(join::Projected {
            emitted: emitted.collect(),
            poisoned: poisoned.map(|poison| join::Poison {
                row: poison.row,
                message: poison.message,
            }),
        })
    }
}

fn joined_in(column: join::BytesColumn) -> BytesColumn {
    let join::BytesColumn { bytes, ends } = column;
    BytesColumn { bytes, ends }
}

fn joined_out(column: BytesColumn) -> join::BytesColumn {
    let BytesColumn { bytes, ends } = column;
    join::BytesColumn { bytes, ends }
}
