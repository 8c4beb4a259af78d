//! Writing channel state, to be done off the task.

use std::io;

use weir_model::{ColumnView, EventTime, KeyedView, Lineage, Rows};

use super::{
    BLOCK_BYTES, ChannelInput, IDLE, KEYS, LINEAGE, MAGIC, PackedChannels, ROWS, TIMESTAMPS,
    VERSION, WATERMARK,
    footer::{BlockEntry, ChannelEntry, Footer},
};
use crate::Error;

/// Packs what is in flight in the channels of one task. Bytes leave block by block.
#[derive(Debug)]
pub struct ChannelFileWriter<W = Vec<u8>> {
    footer: Footer,
    out: W,
    length: u64,
    crc: u32,
    /// The block that is being filled.
    block: Vec<u8>,
}

impl<W: io::Write> ChannelFileWriter<W> {
    /// Of a task with these inputs.
    ///
    /// # Errors
    /// [`Error::Storage`] where `out` fails.
    pub fn to(out: W, inputs: Vec<ChannelInput>) -> Result<Self, Error> {
        let mut writer = Self {
            footer: Footer {
                inputs: inputs.into_iter().map(Into::into).collect(),
                channels: Vec::new(),
            },
            out,
            length: 0,
            crc: 0,
            block: Vec::new(),
        };
        writer.push(MAGIC)?;
        Ok(writer)
    }

    /// Begins another channel: of this input, from this subtask of its producer.
    ///
    /// # Errors
    /// [`Error::TooLarge`], [`Error::Storage`].
    pub fn channel(&mut self, input: u32, producer: u32) -> Result<(), Error> {
        self.close_block()?;
        self.footer.channels.push(ChannelEntry {
            input,
            producer,
            rows: 0,
            blocks: Vec::new(),
        });
        Ok(())
    }

    /// Adds rows to the channel. `lineage` is empty, or has as many entries as there are rows.
    ///
    /// # Errors
    /// [`Error::TooLarge`], [`Error::Storage`].
    pub fn rows(&mut self, rows: Rows<'_>, lineage: &[Lineage]) -> Result<(), Error> {
        let Rows {
            values,
            timestamps,
            keyed,
        } = rows;
        if let Some(channel) = self.footer.channels.last_mut() {
            channel.rows += values.len() as u64;
        }
        let block = &mut self.block;
        block.push(ROWS);
        put_len(block, values.len())?;
        let flag = |is: bool, flag: u8| if is { flag } else { 0 };
        block.push(
            flag(!timestamps.is_empty(), TIMESTAMPS)
                | flag(keyed.is_some(), KEYS)
                | flag(!lineage.is_empty(), LINEAGE),
        );
        put_column(block, values)?;
        for time in timestamps {
            block.extend_from_slice(&time.to_le_bytes());
        }
        if let Some(KeyedView {
            keys,
            hashes,
            key_of_row,
        }) = keyed
        {
            put_len(block, keys.len())?;
            put_column(block, keys)?;
            for hash in hashes {
                block.extend_from_slice(&hash.to_le_bytes());
            }
            for key in key_of_row {
                block.extend_from_slice(&key.to_le_bytes());
            }
        }
        for lineage in lineage {
            let (kind, hash) = match *lineage {
                Lineage::None => (0, 0),
                Lineage::Key(hash) => (1, hash),
                Lineage::Split(hash) => (2, hash),
            };
            block.push(kind);
            block.extend_from_slice(&hash.to_le_bytes());
        }
        self.close_full()
    }

    /// Adds a watermark to the channel.
    ///
    /// # Errors
    /// [`Error::TooLarge`], [`Error::Storage`].
    pub fn watermark(&mut self, time: EventTime) -> Result<(), Error> {
        self.block.push(WATERMARK);
        self.block.extend_from_slice(&time.0.to_le_bytes());
        self.close_full()
    }

    /// Adds to the channel that it turned idle, or active.
    ///
    /// # Errors
    /// [`Error::TooLarge`], [`Error::Storage`].
    pub fn idle(&mut self, idle: bool) -> Result<(), Error> {
        self.block.extend_from_slice(&[IDLE, u8::from(idle)]);
        self.close_full()
    }

    /// Closes the object.
    ///
    /// # Errors
    /// [`Error::TooLarge`], [`Error::Storage`].
    pub fn finish(mut self) -> Result<PackedChannels<W>, Error> {
        self.close_block()?;
        let footer = postcard::to_stdvec(&self.footer)
            .map_err(|error| super::damaged(format!("the footer cannot be encoded: {error}")))?;
        let length = len(footer.len(), "the footer of channel state")?;
        let mut end = footer;
        let crc = crc32c::crc32c(&end);
        end.extend_from_slice(&length.to_le_bytes());
        end.extend_from_slice(&crc.to_le_bytes());
        end.extend_from_slice(&VERSION.to_le_bytes());
        end.extend_from_slice(MAGIC);
        self.push(&end)?;
        Ok(PackedChannels {
            out: self.out,
            length: self.length,
            crc32c: self.crc,
        })
    }

    /// What was not yet packed.
    #[cfg(test)]
    pub(super) fn take_block(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.block)
    }

    fn push(&mut self, bytes: &[u8]) -> Result<(), Error> {
        self.crc = crc32c::crc32c_append(self.crc, bytes);
        self.length += bytes.len() as u64;
        let written = self.out.write_all(bytes);
        written.map_err(|error| Error::Storage(error.to_string()))
    }

    fn close_full(&mut self) -> Result<(), Error> {
        if self.block.len() < BLOCK_BYTES {
            return Ok(());
        }
        self.close_block()
    }

    fn close_block(&mut self) -> Result<(), Error> {
        if self.block.is_empty() {
            return Ok(());
        }
        let block = std::mem::take(&mut self.block);
        let unpacked = len(block.len(), "a block of channel state")?;
        let packed = lz4_flex::block::compress(&block);
        let stored = if packed.len() < block.len() {
            packed
        } else {
            block
        };
        let entry = BlockEntry {
            offset: self.length,
            stored: stored.len() as u32,
            unpacked,
            crc: crc32c::crc32c(&stored),
        };
        if let Some(channel) = self.footer.channels.last_mut() {
            channel.blocks.push(entry);
        }
        self.push(&stored)
    }
}

fn len(len: usize, what: &'static str) -> Result<u32, Error> {
    u32::try_from(len).map_err(|_| Error::TooLarge {
        what,
        len,
        limit: u32::MAX as usize,
    })
}

fn put_len(block: &mut Vec<u8>, rows: usize) -> Result<(), Error> {
    let rows = len(rows, "a batch of channel state")?;
    block.extend_from_slice(&rows.to_le_bytes());
    Ok(())
}

/// A view may begin in the middle of its column.
fn put_column(block: &mut Vec<u8>, column: ColumnView<'_>) -> Result<(), Error> {
    let mut end = 0;
    for row in column.iter() {
        end += row.len();
        put_len(block, end)?;
    }
    for row in column.iter() {
        block.extend_from_slice(row);
    }
    Ok(())
}
