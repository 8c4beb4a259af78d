//! Reading channel state. Nothing in it is believed.

use std::collections::HashSet;

use weir_model::{Batch, Column, EventTime, Keyed, Lineage, hash64};

use super::{
    ChannelInput, IDLE, InFlight, KEYS, LINEAGE, MAGIC, ROWS, TIMESTAMPS, TRAILER, VERSION,
    WATERMARK, damaged,
    footer::{BlockEntry, ChannelEntry, Footer},
};
use crate::Error;

/// An open object with channel state.
#[derive(Debug)]
pub struct ChannelFile {
    bytes: Vec<u8>,
    inputs: Vec<ChannelInput>,
    channels: Vec<ChannelEntry>,
}

/// One channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Channel {
    /// Its place in the object.
    pub index: usize,
    /// The input that it belongs to.
    pub input: u32,
    /// The subtask that sent.
    pub producer: u32,
    /// Rows in flight.
    pub rows: u64,
}

impl ChannelFile {
    /// Opens an object that is in memory.
    ///
    /// # Errors
    /// [`Error::Damaged`] where this is no whole channel state, [`Error::NewerFormat`].
    pub fn open(bytes: Vec<u8>) -> Result<Self, Error> {
        let begin = MAGIC.len();
        let trailer_at = bytes
            .len()
            .checked_sub(TRAILER)
            .filter(|&at| at >= begin)
            .ok_or_else(|| damaged(format!("{} bytes are too few", bytes.len())))?;
        let (data, trailer) = bytes.split_at(trailer_at);
        let (numbers, magic) = trailer.split_at(TRAILER - begin);
        if magic != MAGIC || !data.starts_with(MAGIC) {
            return Err(damaged("it does not begin and end as channel state does"));
        }
        let mut numbers = Cursor(numbers);
        let (length, crc, version) = (numbers.u32()?, numbers.u32()?, numbers.u32()?);
        if version > VERSION {
            return Err(Error::NewerFormat {
                found: version,
                known: VERSION,
            });
        }
        if version == 0 {
            return Err(damaged("format version 0"));
        }
        let footer_at = trailer_at
            .checked_sub(length as usize)
            .filter(|&at| at >= begin)
            .ok_or_else(|| damaged("the footer is longer than the object"))?;
        let footer = &data[footer_at..];
        check_crc("the footer", footer, crc)?;
        let (footer, rest) = postcard::take_from_bytes::<Footer>(footer)
            .map_err(|error| damaged(format!("the footer cannot be decoded: {error}")))?;
        if !rest.is_empty() {
            return Err(damaged("the footer has more bytes than it should"));
        }
        footer.check(begin as u64..footer_at as u64)?;
        Ok(Self {
            bytes,
            inputs: footer.inputs.into_iter().map(Into::into).collect(),
            channels: footer.channels,
        })
    }

    /// The inputs of the task, by index.
    #[must_use]
    pub fn inputs(&self) -> &[ChannelInput] {
        &self.inputs
    }

    /// The channels, in the order in which they were written.
    pub fn channels(&self) -> impl Iterator<Item = Channel> {
        let all = self.channels.iter().enumerate();
        all.map(|(index, entry)| Channel {
            index,
            input: entry.input,
            producer: entry.producer,
            rows: entry.rows,
        })
    }

    /// What is in flight in a channel, by its [index](Channel::index), in order.
    ///
    /// # Errors
    /// [`Error::Damaged`] where it cannot be read, or there is no such channel.
    pub fn elements(&self, channel: usize) -> Result<Vec<InFlight>, Error> {
        let entry = self.channels.get(channel);
        let entry = entry.ok_or_else(|| damaged(format!("there is no channel {channel}")))?;
        let mut elements = Vec::new();
        let mut rows = 0;
        for block in &entry.blocks {
            let unpacked = self.unpack(block)?;
            let mut cursor = Cursor(&unpacked);
            while !cursor.0.is_empty() {
                let element = cursor.element()?;
                if let InFlight::Rows(batch) = &element {
                    rows += batch.len() as u64;
                }
                elements.push(element);
            }
        }
        if rows != entry.rows {
            let what = format!(
                "channel {channel} has {rows} rows, {} were written",
                entry.rows
            );
            return Err(damaged(what));
        }
        Ok(elements)
    }

    fn unpack(&self, block: &BlockEntry) -> Result<Vec<u8>, Error> {
        let what = || format!("the block at byte {}", block.offset);
        let begin = block.offset as usize;
        let stored = self.bytes.get(begin..begin + block.stored as usize);
        let stored = stored.ok_or_else(|| damaged(format!("{} is missing", what())))?;
        check_crc(&what(), stored, block.crc)?;
        if block.unpacked == block.stored {
            return Ok(stored.to_vec());
        }
        let unpacked = lz4_flex::block::decompress(stored, block.unpacked as usize)
            .map_err(|error| damaged(format!("{} cannot be unpacked: {error}", what())))?;
        if unpacked.len() == block.unpacked as usize {
            Ok(unpacked)
        } else {
            let found = unpacked.len();
            let what = format!(
                "{} unpacks to {found} bytes, not {}",
                what(),
                block.unpacked
            );
            Err(damaged(what))
        }
    }
}

/// The rest of a block.
struct Cursor<'a>(&'a [u8]);

impl<'a> Cursor<'a> {
    fn take(&mut self, bytes: usize) -> Result<&'a [u8], Error> {
        let (taken, rest) = self
            .0
            .split_at_checked(bytes)
            .ok_or_else(|| damaged("an element ends in the middle"))?;
        self.0 = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Error> {
        let (taken, rest) = self
            .0
            .split_first_chunk()
            .ok_or_else(|| damaged("an element ends in the middle"))?;
        self.0 = rest;
        Ok(*taken)
    }

    fn u8(&mut self) -> Result<u8, Error> {
        self.array::<1>().map(|[byte]| byte)
    }

    fn u32(&mut self) -> Result<u32, Error> {
        self.array().map(u32::from_le_bytes)
    }

    fn u64(&mut self) -> Result<u64, Error> {
        self.array().map(u64::from_le_bytes)
    }

    fn i64(&mut self) -> Result<i64, Error> {
        self.array().map(i64::from_le_bytes)
    }

    /// As many as `read` gives before there is no more room: what is claimed is not allocated.
    fn many<T>(
        &mut self,
        count: usize,
        size: usize,
        read: impl Fn(&mut Cursor<'a>) -> Result<T, Error>,
    ) -> Result<Vec<T>, Error> {
        let bytes = count
            .checked_mul(size)
            .ok_or_else(|| damaged("an element is too large"))?;
        let mut all = Cursor(self.take(bytes)?);
        (0..count).map(|_| read(&mut all)).collect()
    }

    fn element(&mut self) -> Result<InFlight, Error> {
        match self.u8()? {
            ROWS => self.rows().map(InFlight::Rows),
            WATERMARK => self.i64().map(|time| InFlight::Watermark(EventTime(time))),
            IDLE => match self.u8()? {
                0 => Ok(InFlight::Idle(false)),
                1 => Ok(InFlight::Idle(true)),
                other => Err(damaged(format!("idle is {other}"))),
            },
            other => Err(damaged(format!("there is no element {other}"))),
        }
    }

    fn rows(&mut self) -> Result<Batch, Error> {
        let rows = self.u32()? as usize;
        let flags = self.u8()?;
        if rows == 0 || flags & !(TIMESTAMPS | KEYS | LINEAGE) != 0 {
            return Err(damaged(format!("{rows} rows with flags {flags}")));
        }
        let values = self.column(rows)?;
        let timestamps = match flags & TIMESTAMPS {
            0 => Vec::new(),
            _ => self.many(rows, 8, Cursor::i64)?,
        };
        let keyed = match flags & KEYS {
            0 => None,
            _ => Some(self.keyed(rows)?),
        };
        let lineage = match flags & LINEAGE {
            0 => Vec::new(),
            _ => self.many(rows, 9, Cursor::lineage)?,
        };
        Ok(Batch {
            values,
            timestamps,
            keyed,
            lineage,
        })
    }

    fn column(&mut self, rows: usize) -> Result<Column, Error> {
        let ends = self.many(rows, 4, Cursor::u32)?;
        let bytes = self.take(ends.last().copied().unwrap_or(0) as usize)?;
        Column::from_parts(bytes.to_vec(), ends).map_err(|error| damaged(error.to_string()))
    }

    fn keyed(&mut self, rows: usize) -> Result<Keyed, Error> {
        let count = self.u32()? as usize;
        let keys = self.column(count)?;
        let hashes = self.many(count, 8, Cursor::u64)?;
        let key_of_row = self.many(rows, 4, Cursor::u32)?;
        if key_of_row.iter().any(|&key| key as usize >= count) {
            return Err(damaged("a row has a key that is not there"));
        }
        // A row with another hash would come to a subtask that does not have its key.
        if keys
            .iter()
            .zip(&hashes)
            .any(|(key, &hash)| hash64(key) != hash)
        {
            return Err(damaged("the hash of a key is not its own"));
        }
        // State takes the keys of a call for distinct.
        let mut seen = HashSet::with_capacity(count);
        if !keys.iter().all(|key| seen.insert(key)) {
            return Err(damaged("a key is there twice"));
        }
        Ok(Keyed {
            keys,
            hashes,
            key_of_row,
        })
    }

    fn lineage(&mut self) -> Result<Lineage, Error> {
        match (self.u8()?, self.u64()?) {
            (0, 0) => Ok(Lineage::None),
            (1, hash) => Ok(Lineage::Key(hash)),
            (2, hash) => Ok(Lineage::Split(hash)),
            (kind, _) => Err(damaged(format!("there is no lineage {kind}"))),
        }
    }
}

fn check_crc(what: &str, bytes: &[u8], expected: u32) -> Result<(), Error> {
    let found = crc32c::crc32c(bytes);
    if found == expected {
        return Ok(());
    }
    let what = format!("{what} has checksum {found:08x}, it was written with {expected:08x}");
    Err(damaged(what))
}
