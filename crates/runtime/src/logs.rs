//! The rows that sinks keep in a checkpoint until they are committed (write-ahead log), as items of
//! the raw state of the sink: so they lie in the file of its task and not in the metadata.
//!
//! INVARIANT: a log is found again by its committable, whatever subtask wrote it, and at whatever
//! parallelism it is read back.

use std::{collections::HashMap, sync::Arc};

use weir_operator::{Committable, Sealed};

/// An item that begins a log: its committable follows.
const BEGIN: u8 = b'c';
/// An item that goes on with one: bytes of it follow.
const PIECE: u8 = b'r';
/// So long a piece of a log is one item: items are compressed in blocks, each held whole in memory.
const PIECE_BYTES: usize = 1 << 20;

/// The items of the logs among what was sealed; none where there are none.
pub(crate) fn items<'a>(sealed: impl Iterator<Item = &'a Sealed>) -> Vec<Vec<u8>> {
    let mut items = Vec::new();
    for one in sealed {
        let Some(log) = &one.log else { continue };
        items.push(tagged(BEGIN, one.committable.to_string().as_bytes()));
        items.extend(log.chunks(PIECE_BYTES).map(|piece| tagged(PIECE, piece)));
    }
    items
}

fn tagged(tag: u8, bytes: &[u8]) -> Vec<u8> {
    let mut item = Vec::with_capacity(1 + bytes.len());
    item.push(tag);
    item.extend_from_slice(bytes);
    item
}

/// Logs that were read back.
#[derive(Debug, Default)]
pub(crate) struct Logs {
    found: HashMap<String, Vec<u8>>,
}

impl Logs {
    /// Adds the items of one subtask. The error is a message for the user.
    pub(crate) fn add(&mut self, items: &[Vec<u8>]) -> Result<(), String> {
        let mut open: Option<(String, Vec<u8>)> = None;
        for item in items {
            match (item.split_first(), &mut open) {
                (Some((&BEGIN, text)), _) => {
                    let text = String::from_utf8(text.to_vec())
                        .map_err(|_| "what a sink had sealed is no text".to_owned())?;
                    self.found.extend(open.replace((text, Vec::new())));
                }
                (Some((&PIECE, piece)), Some((_, log))) => log.extend_from_slice(piece),
                (Some((tag, _)), _) => {
                    return Err(format!("an item of a sink's log begins with {tag}"));
                }
                (None, _) => return Err("an item of a sink's log is empty".to_owned()),
            }
        }
        self.found.extend(open);
        Ok(())
    }

    /// What was sealed, with its log if it has one.
    pub(crate) fn join(&mut self, committable: Committable) -> Sealed {
        let log = self.found.remove(&committable.to_string());
        Sealed {
            committable,
            log: log.map(Arc::from),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn sealed(number: usize, log: Option<Vec<u8>>) -> Sealed {
        Sealed {
            committable: json!({ "v": 1, "number": number }),
            log: log.map(Arc::from),
        }
    }

    proptest! {
        #[test]
        fn logs_are_found_again_by_what_was_sealed(
            lengths in prop::collection::vec(
                prop::option::of(prop_oneof![
                    0usize..50,
                    Just(PIECE_BYTES),
                    Just(2 * PIECE_BYTES + 1),
                ]),
                0..5,
            ),
            cut in any::<prop::sample::Index>(),
        ) {
            let all: Vec<Sealed> = lengths
                .iter()
                .enumerate()
                .map(|(i, length)| sealed(i, length.map(|length| vec![i as u8; length])))
                .collect();
            // Two subtasks wrote them.
            let (a, b) = all.split_at(cut.index(all.len() + 1));
            let mut logs = Logs::default();
            for part in [a, b] {
                logs.add(&items(part.iter())).unwrap();
            }
            for one in all.iter().rev() {
                prop_assert_eq!(&logs.join(one.committable.clone()), one);
            }
        }

        #[test]
        fn no_items_are_too_odd_to_be_refused(
            items in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..4), 0..6),
        ) {
            let _ = Logs::default().add(&items);
        }
    }

    #[test]
    fn items_that_are_no_log_are_refused() {
        let piece = vec![PIECE, 1];
        let begin = [&[BEGIN][..], b"{}"].concat();
        for (items, told) in [
            (vec![piece.clone()], "begins with 114"),
            (vec![begin.clone(), vec![]], "is empty"),
            (vec![begin.clone(), b"x".to_vec()], "begins with 120"),
            (vec![vec![BEGIN, 0xff], piece], "is no text"),
        ] {
            let error = Logs::default().add(&items).unwrap_err();
            assert!(error.contains(told), "{error}");
        }
    }
}
