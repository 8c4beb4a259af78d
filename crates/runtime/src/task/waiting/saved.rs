//! Rows whose results are not out yet, as a checkpoint holds them: an element of an operator list
//! each, so that they are dealt out evenly at another parallelism.
//!
//! Part of the format of checkpoints, version 1 of `weir.waiting`: two bytes that say what there
//! is, then the event time, the lineage and the key where there are any, and the value to the end.
//! Numbers are little-endian.

use std::sync::Arc;

use weir_model::{Batch, Column, Keyed, Lineage, hash64};
use weir_operator::{BatchRow, Failure};

const HAS_TIME: u8 = 1;
const HAS_KEY: u8 = 2;

/// Writes a row.
pub(super) fn write(row: &BatchRow, to: &mut Vec<u8>) {
    let (timestamp, key) = (row.timestamp(), row.key());
    let has = |is: bool, flag: u8| if is { flag } else { 0 };
    to.push(has(timestamp.is_some(), HAS_TIME) | has(key.is_some(), HAS_KEY));
    // That of a keyed row follows from its key.
    let (tag, hash) = match row.lineage() {
        Lineage::None => (0, 0),
        Lineage::Key(_) if key.is_some() => (0, 0),
        Lineage::Key(hash) => (1, hash),
        Lineage::Split(hash) => (2, hash),
    };
    to.push(tag);
    if let Some(timestamp) = timestamp {
        to.extend_from_slice(&timestamp.to_le_bytes());
    }
    if tag != 0 {
        to.extend_from_slice(&hash.to_le_bytes());
    }
    if let Some((key, _)) = key {
        // A key is shorter than a row, and that is shorter than 16 MiB.
        to.extend_from_slice(&u32::try_from(key.len()).unwrap_or(u32::MAX).to_le_bytes());
        to.extend_from_slice(key);
    }
    to.extend_from_slice(row.value());
}

/// Reads a row that was written.
///
/// # Errors
/// [`Failure::Restore`] where it is none.
pub(super) fn read(saved: &[u8]) -> Result<BatchRow, Failure> {
    let row = parse(saved).map(Arc::new);
    let row = row.and_then(|batch| BatchRow::all(&batch).next());
    row.ok_or_else(|| Failure::Restore {
        message: format!(
            "a row whose result was not out yet is cut short or of a later host ({} bytes)",
            saved.len()
        ),
    })
}

fn parse(mut saved: &[u8]) -> Option<Batch> {
    let [flags, tag] = take(&mut saved)?;
    if flags & !(HAS_TIME | HAS_KEY) != 0 {
        return None;
    }
    let mut batch = Batch::default();
    if flags & HAS_TIME != 0 {
        let timestamp = take(&mut saved)?;
        batch.timestamps.push(i64::from_le_bytes(timestamp));
    }
    match tag {
        0 => {}
        1 => {
            let hash = take(&mut saved)?;
            batch.lineage.push(Lineage::Key(u64::from_le_bytes(hash)));
        }
        2 => {
            let hash = take(&mut saved)?;
            batch.lineage.push(Lineage::Split(u64::from_le_bytes(hash)));
        }
        _ => return None,
    }
    if flags & HAS_KEY != 0 {
        let length = usize::try_from(u32::from_le_bytes(take(&mut saved)?)).ok()?;
        let (key, rest) = saved.split_at_checked(length)?;
        saved = rest;
        batch.keyed = Some(Keyed {
            keys: [key].into_iter().collect(),
            hashes: vec![hash64(key)],
            key_of_row: vec![0],
        });
    }
    let mut values = Column::new();
    values.push(saved);
    batch.values = values;
    Some(batch)
}

fn take<const N: usize>(from: &mut &[u8]) -> Option<[u8; N]> {
    let (first, rest) = from.split_first_chunk::<N>()?;
    *from = rest;
    Some(*first)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn row(value: &[u8], timestamp: Option<i64>, key: Option<&[u8]>, lineage: Lineage) -> BatchRow {
        let batch = Batch {
            values: [value].into_iter().collect(),
            timestamps: timestamp.into_iter().collect(),
            keyed: key.map(|key| Keyed {
                keys: [key].into_iter().collect(),
                hashes: vec![hash64(key)],
                key_of_row: vec![0],
            }),
            lineage: vec![lineage],
        };
        BatchRow::all(&Arc::new(batch)).next().unwrap()
    }

    fn lineages() -> impl Strategy<Value = Lineage> {
        prop_oneof![
            Just(Lineage::None),
            any::<u64>().prop_map(Lineage::Key),
            any::<u64>().prop_map(Lineage::Split),
        ]
    }

    proptest! {
        #[test]
        fn a_row_comes_back_as_it_was(
            value in prop::collection::vec(any::<u8>(), 0..40),
            timestamp in any::<Option<i64>>(),
            key in prop::option::of(prop::collection::vec(any::<u8>(), 0..20)),
            lineage in lineages(),
        ) {
            let row = row(&value, timestamp, key.as_deref(), lineage);
            let mut saved = Vec::new();
            write(&row, &mut saved);
            let again = read(&saved).unwrap();
            prop_assert_eq!(again.value(), row.value());
            prop_assert_eq!(again.timestamp(), row.timestamp());
            prop_assert_eq!(again.key(), row.key());
            prop_assert_eq!(again.lineage(), row.lineage());
        }

        #[test]
        fn nothing_that_is_read_panics(saved in prop::collection::vec(any::<u8>(), 0..40)) {
            let _ = read(&saved);
        }
    }

    #[test]
    fn the_format_is_pinned() {
        let mut saved = Vec::new();
        write(&row(b"v", Some(258), Some(b"k"), Lineage::None), &mut saved);
        assert_eq!(
            saved,
            [3, 0, 2, 1, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, b'k', b'v']
        );
        saved.clear();
        write(&row(b"v", None, None, Lineage::Split(5)), &mut saved);
        assert_eq!(saved, [0, 2, 5, 0, 0, 0, 0, 0, 0, 0, b'v']);
        assert!(matches!(read(&[4, 0]), Err(Failure::Restore { .. })));
        assert!(matches!(read(&[0]), Err(Failure::Restore { .. })));
    }
}
