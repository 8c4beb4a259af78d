//! The footer of channel state: boundary types, their encoding is the format.

use std::ops::Range;

use serde::{Deserialize, Serialize};

use super::{ChannelInput, damaged};
use crate::Error;

/// One block unpacks to at most this many times its bytes: lz4 cannot do better.
const MAX_RATIO: u32 = 256;

#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Footer {
    pub(super) inputs: Vec<InputEntry>,
    pub(super) channels: Vec<ChannelEntry>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct InputEntry {
    pub(super) from: String,
    pub(super) partitioning: String,
    pub(super) key: Option<String>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct ChannelEntry {
    /// The input that it belongs to.
    pub(super) input: u32,
    /// The subtask that sent.
    pub(super) producer: u32,
    pub(super) rows: u64,
    pub(super) blocks: Vec<BlockEntry>,
}

#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(super) struct BlockEntry {
    /// Where it begins in the object.
    pub(super) offset: u64,
    /// Its bytes in the object.
    pub(super) stored: u32,
    /// Its bytes when unpacked; as many as `stored` = not packed.
    pub(super) unpacked: u32,
    /// CRC-32C of its bytes in the object.
    pub(super) crc: u32,
}

impl From<ChannelInput> for InputEntry {
    fn from(input: ChannelInput) -> Self {
        Self {
            from: input.from,
            partitioning: input.partitioning,
            key: input.key,
        }
    }
}

impl From<InputEntry> for ChannelInput {
    fn from(entry: InputEntry) -> Self {
        Self {
            from: entry.from,
            partitioning: entry.partitioning,
            key: entry.key,
        }
    }
}

impl Footer {
    /// Checks that channels belong to inputs, and that blocks lie in `data` one behind the other:
    /// what claims the same bytes twice would be read without end.
    pub(super) fn check(&self, data: Range<u64>) -> Result<(), Error> {
        let mut at = data.start;
        for channel in &self.channels {
            if channel.input as usize >= self.inputs.len() {
                let what = format!(
                    "a channel of input {}, there are {}",
                    channel.input,
                    self.inputs.len()
                );
                return Err(damaged(what));
            }
            for block in &channel.blocks {
                let BlockEntry {
                    offset,
                    stored,
                    unpacked,
                    ..
                } = *block;
                if offset != at {
                    return Err(damaged(format!(
                        "a block begins at byte {offset}, not {at}"
                    )));
                }
                at = at.saturating_add(u64::from(stored));
                if at > data.end {
                    return Err(damaged("a block lies outside of the data"));
                }
                if unpacked < stored || unpacked > stored.saturating_mul(MAX_RATIO) {
                    let what = format!("{stored} bytes unpack to {unpacked}");
                    return Err(damaged(what));
                }
            }
        }
        if at == data.end {
            Ok(())
        } else {
            Err(damaged("bytes between the blocks and the footer"))
        }
    }
}
