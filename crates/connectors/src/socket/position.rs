//! What a checkpoint holds of a socket: counts for messages, and no place to go back to.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use weir_operator::Failure;

/// How much was read, over all connections.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Position {
    v: u32,
    /// The address that it was read from last.
    pub(super) address: String,
    /// Rows, malformed ones too.
    pub(super) rows: u64,
    /// Line ends. A last line without one counts as if it had one.
    pub(super) lines: u64,
}

impl Position {
    const VERSION: u32 = 1;

    /// What was read by the time of a checkpoint, `Null` = nothing.
    pub(super) fn read(saved: &Value, address: &str) -> Result<Self, Failure> {
        let refuse = |message: String| Failure::Restore { message };
        let mut position = if saved.is_null() {
            Self::default()
        } else {
            let version = saved.get("v").and_then(Value::as_u64);
            if version != Some(u64::from(Self::VERSION)) {
                return Err(refuse(format!(
                    "the position in what {address} sent has version {version:?}, this host reads \
                     {}",
                    Self::VERSION
                )));
            }
            Self::deserialize(saved).map_err(|e| {
                refuse(format!(
                    "the position in what {address} sent is unreadable: {e}"
                ))
            })?
        };
        position.v = Self::VERSION;
        address.clone_into(&mut position.address);
        Ok(position)
    }

    /// The document for the checkpoint.
    pub(super) fn to_value(&self) -> Result<Value, Failure> {
        serde_json::to_value(self).map_err(|e| Failure::Internal {
            message: format!("a position has no document: {e}"),
        })
    }
}
