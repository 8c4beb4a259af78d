//! State without keys in a state file. A row is, by kind: list: `uvarint length, item`; broadcast:
//! `uvarint length, map key, uvarint length, value`, rising in byte order of map keys over all
//! blocks of the state; raw: `uvarint length, bytes`. Its blocks have the key group 0.

use std::io;

use weir_model::{Column, KeyGroup};

use super::{damaged, footer::BlockEntry, reader::Sources, writer::Bytes};
use crate::{
    Error, StateKind,
    heap::BLOCK_BYTES,
    limits,
    operator_state::{Content, SharedList, SharedMap},
    rows::{self, Reader},
};

/// A column of what is read is closed at so many bytes: far below what a column can hold.
const PIECE_BYTES: usize = 16 << 20;

/// Rows on their way to a file.
struct Block<'a, W> {
    bytes: &'a mut Bytes<W>,
    entries: &'a mut Vec<BlockEntry>,
    rows: u64,
    encoded: Vec<u8>,
}

impl<W: io::Write> Block<'_, W> {
    /// Adds a row of these byte strings.
    fn row(&mut self, parts: &[&[u8]]) -> Result<(), Error> {
        for part in parts {
            rows::put_bytes(&mut self.encoded, part);
        }
        self.rows += 1;
        if self.encoded.len() >= BLOCK_BYTES {
            self.flush()?;
        }
        Ok(())
    }

    fn flush(&mut self) -> Result<(), Error> {
        if self.rows > 0 {
            let entry = self.bytes.block(KeyGroup(0), self.rows, &self.encoded)?;
            self.entries.push(entry);
        }
        self.rows = 0;
        self.encoded.clear();
        Ok(())
    }
}

fn block<'a, W>(bytes: &'a mut Bytes<W>, entries: &'a mut Vec<BlockEntry>) -> Block<'a, W> {
    Block {
        bytes,
        entries,
        rows: 0,
        encoded: Vec::new(),
    }
}

/// Writes what is in a state.
pub(super) fn write<W: io::Write>(
    content: &Content,
    bytes: &mut Bytes<W>,
    entries: &mut Vec<BlockEntry>,
) -> Result<(), Error> {
    let mut block = block(bytes, entries);
    match content {
        Content::List(list) => list.iter().try_for_each(|item| block.row(&[item]))?,
        Content::Map(map) => map
            .iter()
            .try_for_each(|(map_key, value)| block.row(&[map_key, value]))?,
    }
    block.flush()
}

/// Writes raw state.
pub(super) fn write_raw<W: io::Write>(
    raw: &[Vec<u8>],
    bytes: &mut Bytes<W>,
    entries: &mut Vec<BlockEntry>,
) -> Result<(), Error> {
    let size = raw.iter().map(Vec::len).sum();
    limits::check_column("the raw state of a subtask", size, raw.len())?;
    let mut block = block(bytes, entries);
    raw.iter().try_for_each(|item| block.row(&[item]))?;
    block.flush()
}

/// Reads what is in a state of a kind without keys.
pub(super) fn read(
    kind: StateKind,
    source: &Sources<'_>,
    blocks: &[BlockEntry],
) -> Result<Content, Error> {
    if kind == StateKind::Broadcast {
        let mut map = SharedMap::default();
        each_row(source, blocks, |reader| {
            let (map_key, value) = (reader.bytes()?, reader.bytes()?);
            map.push(map_key, value).then_some(())
        })?;
        return Ok(Content::Map(map));
    }
    let mut list = SharedList::default();
    let mut piece = Column::new();
    each_row(source, blocks, |reader| {
        let item = reader.bytes()?;
        if piece.byte_len() + piece.len() * limits::ROW_BYTES >= PIECE_BYTES {
            list.push_column(std::mem::take(&mut piece));
        }
        piece.push(item);
        Some(())
    })?;
    list.push_column(piece);
    Ok(Content::List(list))
}

/// Reads raw state.
pub(super) fn read_raw(source: &Sources<'_>, blocks: &[BlockEntry]) -> Result<Vec<Vec<u8>>, Error> {
    let mut raw = Vec::new();
    each_row(source, blocks, |reader| {
        raw.push(reader.bytes()?.to_vec());
        Some(())
    })?;
    Ok(raw)
}

/// Gives what is left of a block to `take` once a row; `None` where there is no such row.
fn each_row(
    source: &Sources<'_>,
    blocks: &[BlockEntry],
    mut take: impl FnMut(&mut Reader<'_>) -> Option<()>,
) -> Result<(), Error> {
    source.blocks(blocks, |block, bytes| {
        let mut reader = Reader::new(bytes);
        let mut rows = 0;
        while !reader.is_empty() {
            let row = bytes.len() - reader.len();
            take(&mut reader).ok_or_else(|| {
                damaged(format!(
                    "the row at {row} of the block at byte {} cannot be read",
                    block.offset
                ))
            })?;
            rows += 1;
        }
        if rows == block.rows {
            Ok(())
        } else {
            Err(damaged(format!(
                "the block at byte {} has {rows} rows and claims {}",
                block.offset, block.rows
            )))
        }
    })
}
