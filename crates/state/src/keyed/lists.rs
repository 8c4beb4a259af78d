//! The overlay of a list state: for each key whether its list was replaced, and what was appended.
//!
//! INVARIANT: the appended elements of a key are a chain through `next`, in order of appending.

use weir_model::Column;
use weir_model::ColumnView;

use super::Access;
use crate::{Error, ListWrites, NestedColumn, StateIndex, Which, limits};

/// The end of a chain.
const NONE: u32 = u32::MAX;

/// What the call has done to the list of one key.
#[derive(Clone, Copy, Debug)]
struct Slot {
    dirty: bool,
    replaced: bool,
    first: u32,
    last: u32,
}

const UNTOUCHED: Slot = Slot {
    dirty: false,
    replaced: false,
    first: NONE,
    last: NONE,
};

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Lists {
    /// One a key, or none while the call has not written to the state.
    slots: Vec<Slot>,
    elements: Column,
    next: Vec<u32>,
    /// The keys written, in order of their first write.
    dirty: Vec<u32>,
    /// Whether some elements count no more.
    dropped: bool,
    wanted: Vec<u32>,
    base: NestedColumn,
    spare: ListWrites,
}

impl Lists {
    pub(super) fn get(
        &mut self,
        access: Access<'_>,
        which: Which<'_>,
        out: &mut NestedColumn,
    ) -> Result<(), Error> {
        if self.dirty.is_empty() {
            return access
                .backend
                .get_lists(access.state, &access.keys, which, out);
        }
        let keys = which.len(self.slots.len());
        limits::recycle(&mut self.wanted);
        self.wanted.extend(
            (0..keys)
                .map(|position| which.get(position))
                .filter(|&key| !self.slots[key].replaced)
                .map(|key| key as u32),
        );
        limits::recycle(&mut self.base);
        if !self.wanted.is_empty() {
            let wanted = Which::Some(&self.wanted);
            access
                .backend
                .get_lists(access.state, &access.keys, wanted, &mut self.base)?;
        }
        let (mut list, mut element) = (0, 0);
        for position in 0..keys {
            let slot = self.slots[which.get(position)];
            if !slot.replaced {
                let end = self.base.ends[list] as usize;
                list += 1;
                for i in element..end {
                    push(out, self.base.elements.get(i))?;
                }
                element = end;
            }
            for i in chain(&self.next, slot.first) {
                push(out, self.elements.get(i))?;
            }
            out.ends.push(out.elements.len() as u32);
        }
        Ok(())
    }

    pub(super) fn add(
        &mut self,
        access: &Access<'_>,
        keys: &[u32],
        values: ColumnView<'_>,
    ) -> Result<(), Error> {
        self.touch(access, values.contents().len(), values.len())?;
        let first = self.elements.len() as u32;
        self.extend(values);
        for (&key, row) in keys.iter().zip(first..) {
            self.mark(key);
            self.append(key as usize, row);
        }
        Ok(())
    }

    pub(super) fn set(
        &mut self,
        access: &Access<'_>,
        which: Which<'_>,
        values: &NestedColumn,
    ) -> Result<(), Error> {
        self.touch(access, values.elements.byte_len(), values.elements.len())?;
        let mut row = self.elements.len() as u32;
        let first = row;
        self.extend(values.elements.view());
        for (position, &end) in values.ends.iter().enumerate() {
            let key = which.get(position);
            self.mark(key as u32);
            self.dropped |= self.slots[key].first != NONE;
            self.slots[key] = Slot {
                dirty: true,
                replaced: true,
                ..UNTOUCHED
            };
            while row < first + end {
                self.append(key, row);
                row += 1;
            }
        }
        Ok(())
    }

    /// Moves the writes of the call to `writes`.
    pub(super) fn drain_into(
        &mut self,
        state: StateIndex,
        writes: &mut Vec<(StateIndex, ListWrites)>,
    ) {
        if self.dirty.is_empty() {
            return;
        }
        let mut out = std::mem::take(&mut self.spare);
        std::mem::swap(&mut out.keys, &mut self.dirty);
        let slots = out.keys.iter().map(|&key| self.slots[key as usize]);
        out.replace
            .extend(slots.clone().map(|slot| u8::from(slot.replaced)));
        if self.ends_in_order(&out.keys, &mut out.lists.ends) {
            std::mem::swap(&mut out.lists.elements, &mut self.elements);
        } else {
            out.lists.ends.clear();
            for slot in slots {
                for i in chain(&self.next, slot.first) {
                    out.lists.elements.push(self.elements.get(i));
                }
                out.lists.ends.push(out.lists.elements.len() as u32);
            }
        }
        writes.push((state, out));
    }

    /// Appends where the list of each key ends, if all elements count and are in the order of these
    /// keys, which are all that have any; gives back whether they are. Most calls write so.
    ///
    /// Each element is of one key and between its first and its last: where these places follow
    /// each other without a gap, there is no other key's between them.
    fn ends_in_order(&self, keys: &[u32], ends: &mut Vec<u32>) -> bool {
        if self.dropped {
            return false;
        }
        let (mut end, mut in_order) = (0, true);
        ends.extend(keys.iter().map(|&key| {
            let slot = self.slots[key as usize];
            if slot.first != NONE {
                in_order &= slot.first == end;
                end = slot.last + 1;
            }
            end
        }));
        in_order
    }

    /// Takes back the buffers of a commit.
    pub(super) fn reclaim(&mut self, mut buffers: ListWrites) {
        limits::recycle(&mut buffers.keys);
        limits::recycle(&mut buffers.replace);
        limits::recycle(&mut buffers.lists);
        self.spare = buffers;
    }

    /// The call has so many keys now.
    pub(super) fn widen(&mut self, keys: usize) {
        if !self.slots.is_empty() {
            self.slots.resize(keys, UNTOUCHED);
        }
    }

    pub(super) fn reset(&mut self) {
        limits::recycle(&mut self.slots);
        limits::recycle(&mut self.elements);
        limits::recycle(&mut self.next);
        limits::recycle(&mut self.dirty);
        self.dropped = false;
        limits::recycle(&mut self.base);
    }

    /// Makes room for so many bytes in so many elements.
    fn touch(&mut self, access: &Access<'_>, bytes: usize, elements: usize) -> Result<(), Error> {
        limits::check_column(
            "what a call wrote to one state",
            self.elements.byte_len() + bytes,
            self.elements.len() + elements,
        )?;
        if self.slots.is_empty() {
            self.slots.resize(access.keys.keys.len(), UNTOUCHED);
        }
        Ok(())
    }

    fn mark(&mut self, key: u32) {
        let slot = &mut self.slots[key as usize];
        if !slot.dirty {
            slot.dirty = true;
            self.dirty.push(key);
        }
    }

    /// Adds elements that are of no key yet.
    fn extend(&mut self, elements: ColumnView<'_>) {
        self.elements.extend_from(elements);
        self.next.resize(self.elements.len(), NONE);
    }

    /// The element of a row is the last of a key.
    fn append(&mut self, key: usize, row: u32) {
        let slot = &mut self.slots[key];
        if slot.first == NONE {
            slot.first = row;
        } else {
            self.next[slot.last as usize] = row;
        }
        slot.last = row;
    }
}

fn push(out: &mut NestedColumn, element: &[u8]) -> Result<(), Error> {
    let bytes = out.elements.byte_len() + element.len();
    limits::check_column("the column of lists", bytes, out.elements.len() + 1)?;
    out.elements.push(element);
    Ok(())
}

/// The rows of a chain.
fn chain(next: &[u32], first: u32) -> impl Iterator<Item = usize> {
    let mut row = first;
    std::iter::from_fn(move || {
        let here = (row != NONE).then_some(row as usize)?;
        row = next[here];
        Some(here)
    })
}
