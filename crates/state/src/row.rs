//! A full row of keyed state as a value, for those who look into state or rewrite it: tools and
//! migrations. Backends read and write rows as they go.

use crate::{
    Error, StateKind,
    rows::{self, Reader},
};

/// One key and what it has: all of it, or a run of a large list or map.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row<'a> {
    /// The key.
    pub key: &'a [u8],
    /// What it has.
    pub value: RowValue<'a>,
}

/// What a key has in one state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RowValue<'a> {
    /// Of a value, reducing or aggregating state.
    Cell(&'a [u8]),
    /// The elements of a list, in order.
    List(Vec<&'a [u8]>),
    /// The entries of a map, in byte order of their map keys; or what has a timer at the time that
    /// the key says, see [`When`](crate::When).
    Map(Vec<(&'a [u8], &'a [u8])>),
}

impl<'a> Row<'a> {
    /// The rows of a block (see [`SnapshotSink::block`](crate::SnapshotSink::block)) of a state of
    /// this kind.
    ///
    /// # Errors
    /// [`Error::Damaged`] where they cannot be read.
    pub fn read_all(kind: StateKind, block: &'a [u8]) -> Result<Vec<Self>, Error> {
        let mut reader = Reader::new(block);
        let mut all = Vec::new();
        while !reader.is_empty() {
            let at = block.len() - reader.len();
            let row = Self::read(kind, &mut reader);
            all.push(row.ok_or_else(|| {
                Error::Damaged(format!("the row at byte {at} of a block cannot be read"))
            })?);
        }
        Ok(all)
    }

    fn read(kind: StateKind, reader: &mut Reader<'a>) -> Option<Self> {
        let key = reader.bytes()?;
        // Namespaces are reserved: none is written yet.
        reader.bytes()?.is_empty().then_some(())?;
        let value = if kind.is_cell() {
            RowValue::Cell(reader.bytes()?)
        } else {
            let count = reader.uvarint()?;
            match kind {
                StateKind::List => {
                    let elements = (0..count).map(|_| reader.bytes());
                    RowValue::List(elements.collect::<Option<_>>()?)
                }
                StateKind::Map | StateKind::Timers => {
                    let entries = (0..count).map(|_| Some((reader.bytes()?, reader.bytes()?)));
                    RowValue::Map(entries.collect::<Option<_>>()?)
                }
                StateKind::Value
                | StateKind::Reducing
                | StateKind::Aggregating
                | StateKind::OperatorList
                | StateKind::OperatorUnion
                | StateKind::Broadcast => return None,
            }
        };
        Some(Self { key, value })
    }

    /// Appends the row to a block.
    pub fn write(&self, out: &mut Vec<u8>) {
        rows::put_bytes(out, self.key);
        rows::put_bytes(out, b"");
        match &self.value {
            RowValue::Cell(value) => rows::put_bytes(out, value),
            RowValue::List(elements) => {
                rows::put_uvarint(out, elements.len() as u64);
                elements.iter().for_each(|e| rows::put_bytes(out, e));
            }
            RowValue::Map(entries) => {
                rows::put_uvarint(out, entries.len() as u64);
                for (map_key, value) in entries {
                    rows::put_bytes(out, map_key);
                    rows::put_bytes(out, value);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    type Bytes = Vec<u8>;

    #[derive(Clone, Debug)]
    enum Owned {
        Cell(Bytes),
        List(Vec<Bytes>),
        Map(Vec<(Bytes, Bytes)>),
    }

    fn bytes() -> impl Strategy<Value = Bytes> {
        prop::collection::vec(any::<u8>(), 0..5)
    }

    fn value(kind: StateKind) -> BoxedStrategy<Owned> {
        match kind {
            StateKind::List => prop::collection::vec(bytes(), 0..4)
                .prop_map(Owned::List)
                .boxed(),
            StateKind::Map => prop::collection::vec((bytes(), bytes()), 0..4)
                .prop_map(Owned::Map)
                .boxed(),
            _ => bytes().prop_map(Owned::Cell).boxed(),
        }
    }

    fn row<'a>(key: &'a Bytes, value: &'a Owned) -> Row<'a> {
        let value = match value {
            Owned::Cell(value) => RowValue::Cell(value),
            Owned::List(all) => RowValue::List(all.iter().map(Vec::as_slice).collect()),
            Owned::Map(all) => RowValue::Map(
                all.iter()
                    .map(|(k, v)| (k.as_slice(), v.as_slice()))
                    .collect(),
            ),
        };
        Row { key, value }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(
            (kind, rows) in prop::sample::select(vec![
                StateKind::Value, StateKind::List, StateKind::Map,
            ]).prop_flat_map(|kind| {
                (Just(kind), prop::collection::vec((bytes(), value(kind)), 0..5))
            })
        ) {
            let mut block = Vec::new();
            let written: Vec<_> = rows.iter().map(|(key, value)| row(key, value)).collect();
            written.iter().for_each(|row| row.write(&mut block));
            prop_assert_eq!(Row::read_all(kind, &block).unwrap(), written);
        }

        #[test]
        fn any_bytes_can_be_read_without_panic(block in any::<Vec<u8>>()) {
            for kind in StateKind::ALL {
                let _ = Row::read_all(kind, &block);
            }
        }
    }
}
