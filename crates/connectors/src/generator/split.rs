//! Which rows belong to which split, and where a split goes on.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use weir_operator::{Failure, Split};

/// Rows that follow each other in one split: enough to be made in one go, and few enough that even
/// a short count is spread over the readers.
pub(super) const BLOCK_ROWS: u64 = 128;

/// Split `index` of `of`: block `b` of the rows is in split `b mod of`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct SplitId {
    pub(super) index: u32,
    pub(super) of: u32,
}

/// A place between two rows of a split (D25).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Position {
    v: u32,
    /// The number of the next row.
    next: u64,
    /// How many rows there were to be over all splits.
    count: Option<u64>,
}

const VERSION: u32 = 1;

impl SplitId {
    /// Its name. It says of how many: with another number each split would have other rows.
    fn name(self) -> String {
        format!("{}-of-{}", self.index, self.of)
    }

    /// The split of this name, if there can be one.
    pub(super) fn read(name: &str) -> Option<Self> {
        let (index, of) = name.split_once("-of-")?;
        let id = Self {
            index: index.parse().ok()?,
            of: of.parse().ok()?,
        };
        (id.index < id.of && id.name() == name).then_some(id)
    }

    /// The split that has not begun.
    pub(super) fn at_start(self) -> Split {
        Split {
            id: self.name(),
            position: Value::Null,
        }
    }

    /// The number of its first row.
    pub(super) fn first_row(self) -> u64 {
        u64::from(self.index) * BLOCK_ROWS
    }

    /// Behind the last row of the block that holds `row`.
    pub(super) fn block_end(row: u64) -> u64 {
        (row - row % BLOCK_ROWS).saturating_add(BLOCK_ROWS)
    }

    /// The row that follows a block of its rows which ends before `end`; `None` = the numbers are
    /// used up.
    pub(super) fn after_block(self, end: u64) -> Option<u64> {
        end.checked_add(u64::from(self.of - 1) * BLOCK_ROWS)
    }

    /// Whether `row` is one of its rows.
    fn holds(self, row: u64) -> bool {
        row / BLOCK_ROWS % u64::from(self.of) == u64::from(self.index)
    }
}

/// A split that is being read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct OpenSplit {
    pub(super) id: SplitId,
    /// The number of its next row; `None` = there is none.
    pub(super) next: Option<u64>,
}

impl OpenSplit {
    /// Takes a split over at its position, in a generator of `count` rows and `of` splits.
    pub(super) fn open(split: &Split, of: u32, count: Option<u64>) -> Result<Self, Failure> {
        let refuse = |message: String| Failure::Restore { message };
        let Some(id) = SplitId::read(&split.id).filter(|id| id.of == of) else {
            return Err(refuse(format!(
                "`{}` is no split of a generator with {of}",
                split.id
            )));
        };
        if split.position.is_null() {
            return Ok(Self {
                id,
                next: Some(id.first_row()),
            });
        }
        let version = split.position.get("v").and_then(Value::as_u64);
        if version != Some(u64::from(VERSION)) {
            return Err(refuse(format!(
                "the position of split {} has version {version:?}, this host reads {VERSION}",
                split.id
            )));
        }
        let position = Position::deserialize(&split.position).map_err(|e| {
            refuse(format!(
                "the position of split {} is unreadable: {e}",
                split.id
            ))
        })?;
        if position.count != count {
            let told = |count: Option<u64>| count.map_or("no end".into(), |n| format!("{n} rows"));
            return Err(refuse(format!(
                "the checkpoint was taken of a generator of {}, this one has {}; splits that have \
                 ended are not begun again, so restore with the same `count`",
                told(position.count),
                told(count)
            )));
        }
        if !id.holds(position.next) {
            return Err(refuse(format!(
                "row {} is not in split {}",
                position.next, split.id
            )));
        }
        Ok(Self {
            id,
            next: Some(position.next),
        })
    }

    /// The name of the split.
    pub(super) fn name(self) -> String {
        self.id.name()
    }

    /// The split at its position; `None` where it has no rows left.
    pub(super) fn snapshot(self, count: Option<u64>) -> Result<Option<Split>, Failure> {
        let Some(next) = self.next else {
            return Ok(None);
        };
        let position = serde_json::to_value(Position {
            v: VERSION,
            next,
            count,
        });
        let position = position.map_err(|e| Failure::Internal {
            message: format!("a position has no document: {e}"),
        })?;
        Ok(Some(Split {
            id: self.name(),
            position,
        }))
    }
}
