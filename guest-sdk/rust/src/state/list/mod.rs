//! List state: values in the order in which they were added.
//!
//! Adding does not read: what a call adds is written at once to the columns by which the host gets
//! it. What the host sends is decoded where somebody looks at it. Lists that were decoded keep
//! their memory from call to call, unless it is much: to ask for it anew for each key costs more
//! than all else.
//!
//! INVARIANT: what `added` has of a key is behind what the host holds of it, as long as the list is
//! not replaced; from then on all of it is in `lists`, and what was added before counts no more.

mod added;
mod batch;

use std::mem;
use std::ops::Range;

use super::Handle;
use super::ahead::{self, Ahead};
use crate::bindings::weir::operator::data::{BytesColumn, Slots};
use crate::call::{Binding, undeclared};
use crate::codec::StateCodec;
use crate::column;
use crate::error::{Error, Result};
use crate::handles::made_handle;
use crate::host::NestedColumn;
use added::Added;

pub use batch::KeyLists;

/// A list that has more memory than so many bytes gives it back at the end of the call.
const KEPT_BYTES: usize = 256;

/// A list per key. A field of the operator, declared in `describe`.
///
/// ```
/// # use weir_guest::{List, Result};
/// /// Gathers the words of a line, until a full stop.
/// fn line_of(words: &mut List<String>, word: &str) -> Result<Option<String>> {
///     if word != "." {
///         // What the list holds already is not read for this.
///         words.add(word.to_owned())?;
///         return Ok(None);
///     }
///     let line = words.get()?.join(" ");
///     words.clear()?;
///     Ok(Some(line))
/// }
/// ```
///
/// Its functions fail where those of [`Value`](crate::Value) do.
pub struct List<T> {
    binding: Option<Binding>,
    call: u64,
    /// One per distinct key of the call.
    slots: Vec<Slot>,
    added: Added,
    /// The lists that were looked at or replaced, whole, and behind them some that are empty.
    lists: Vec<Vec<T>>,
    /// How many lists are in use, or have been in this call.
    used: usize,
    /// Those of them that are in use no more, and are empty.
    free: Vec<u32>,
    /// The keys whose lists are to be replaced.
    replaced: Vec<u32>,
    /// What the host has sent in the call.
    pages: Vec<Page>,
    ahead: Ahead,
    /// Whether the call has said which lists it will look at: no others are read ahead.
    is_told: bool,
    /// The keys that the last import was for.
    asked: Vec<u32>,
    row: u64,
    journal: Vec<(u32, Undo)>,
}

/// What the call knows of the list of a key.
#[derive(Clone, Copy)]
struct Slot {
    /// Which of the lists it is, if it was looked at or replaced.
    list: Option<u32>,
    /// The page that has what the host holds, plus one, and where that begins and ends there; or 0.
    page: u32,
    start: u32,
    end: u32,
    /// The last element that was added, plus one; or 0.
    last_added: u32,
    /// Whether the host's list is to be replaced.
    is_replaced: bool,
}

/// Lists that the host has sent.
struct Page {
    elements: BytesColumn,
    /// Whether each element is as wide as all values of the type, so that they need no ends.
    is_regular: bool,
}

/// What a row did to a list.
enum Undo {
    Add,
    Replace(Slot),
}

const UNKNOWN: Slot = Slot {
    list: None,
    page: 0,
    start: 0,
    end: 0,
    last_added: 0,
    is_replaced: false,
};

impl Page {
    fn new<T: StateCodec>(elements: BytesColumn) -> Self {
        let is_regular = T::WIDTH.is_some_and(|width| {
            let ends = (1..).map(|count| count * width);
            width > 0
                && elements.bytes.len() == elements.ends.len() * width
                && elements
                    .ends
                    .iter()
                    .zip(ends)
                    .all(|(end, at)| *end as usize == at)
        });
        Self {
            elements,
            is_regular,
        }
    }

    /// Appends some of the elements.
    fn decode<T: StateCodec>(&self, rows: Range<u32>, items: &mut Vec<T>) -> Result<()> {
        let BytesColumn { bytes, ends } = &self.elements;
        // No more room than there are elements, whatever the host says.
        items.reserve(rows.len().min(ends.len()));
        if let Some(width) = T::WIDTH.filter(|_| self.is_regular) {
            let range = rows.start as usize * width..rows.end as usize * width;
            if let Some(bytes) = bytes.get(range) {
                for element in bytes.chunks_exact(width) {
                    items.push(T::decode(element)?);
                }
                return Ok(());
            }
        }
        for row in rows {
            items.push(T::decode(column::row(&self.elements, row as usize)?)?);
        }
        Ok(())
    }
}

/// Leaves nothing of a list but its memory, if that is not much.
fn forget<T>(list: &mut Vec<T>) {
    if list.capacity() * size_of::<T>() > KEPT_BYTES {
        *list = Vec::new();
    }
    list.clear();
}

impl<T> Default for List<T> {
    fn default() -> Self {
        made_handle::<Self>();
        Self {
            binding: None,
            call: 0,
            slots: Vec::new(),
            added: Added::default(),
            lists: Vec::new(),
            used: 0,
            free: Vec::new(),
            replaced: Vec::new(),
            pages: Vec::new(),
            ahead: Ahead::default(),
            is_told: false,
            asked: Vec::new(),
            row: 0,
            journal: Vec::new(),
        }
    }
}

impl<T: StateCodec> List<T> {
    /// The list of the key in hand; empty if there is none.
    ///
    /// # Errors
    /// Fatal if what the host holds cannot be decoded.
    pub fn get(&mut self) -> Result<&[T]> {
        let key = self.enter()?;
        self.of_key(key)
    }

    #[inline]
    fn of_key(&mut self, key: usize) -> Result<&[T]> {
        let list = match self.slots[key].list {
            Some(list) => list,
            None => self.look(key)?,
        };
        Ok(&self.lists[list as usize])
    }

    /// Appends to the list of the key in hand, unread.
    ///
    /// # Errors
    /// If the value has no written form; as for [`Value`](crate::Value).
    #[inline]
    pub fn add(&mut self, value: T) -> Result<()> {
        let key = self.enter()?;
        self.add_to(key, value)?;
        self.remember(key, Undo::Add);
        Ok(())
    }

    #[inline]
    fn add_to(&mut self, key: usize, value: T) -> Result<()> {
        let slot = &mut self.slots[key];
        match slot.is_replaced {
            false => self.added.push(key as u32, &mut slot.last_added, &value)?,
            // It is written when the call ends, and then no row is in hand that it could be told.
            true => self.added.check(&value)?,
        }
        if let Some(list) = slot.list {
            self.lists[list as usize].push(value);
        }
        Ok(())
    }

    /// Replaces the list of the key in hand; an empty one clears it.
    ///
    /// # Errors
    /// As for [`Value`](crate::Value).
    pub fn set(&mut self, values: Vec<T>) -> Result<()> {
        *self.replace()? = values;
        Ok(())
    }

    /// Removes the list of the key in hand.
    ///
    /// # Errors
    /// As for [`Value`](crate::Value).
    pub fn clear(&mut self) -> Result<()> {
        self.replace()?;
        Ok(())
    }

    /// The list of the key in hand from here on, which is empty.
    fn replace(&mut self) -> Result<&mut Vec<T>> {
        let key = self.enter()?;
        let (list, before) = self.replace_at(key);
        self.remember(key, Undo::Replace(before));
        Ok(&mut self.lists[list as usize])
    }

    /// Has the list of a key be replaced, by one that is empty: which it is, and what was known of
    /// the key before.
    fn replace_at(&mut self, key: usize) -> (u32, Slot) {
        let list = self.take_list();
        (list, self.replace_by(key, list))
    }

    /// The same by this one, which is empty, or will be.
    #[inline]
    fn replace_by(&mut self, key: usize, list: u32) -> Slot {
        let new = Slot {
            list: Some(list),
            is_replaced: true,
            ..UNKNOWN
        };
        let before = mem::replace(&mut self.slots[key], new);
        if !before.is_replaced {
            self.replaced.push(key as u32);
        }
        before
    }

    /// A list that is empty.
    fn take_list(&mut self) -> u32 {
        if let Some(list) = self.free.pop() {
            return list;
        }
        if self.used == self.lists.len() {
            self.lists.push(Vec::new());
        }
        self.used += 1;
        self.used as u32 - 1
    }

    /// How many lists the call has in memory.
    #[cfg(test)]
    pub(super) fn in_use(&self) -> usize {
        self.used
    }

    #[inline]
    fn enter(&mut self) -> Result<usize> {
        let binding = self.binding.as_ref().ok_or_else(undeclared)?;
        let key = binding.key()?;
        if self.call != binding.call.number() {
            self.enter_call();
        }
        Ok(key as usize)
    }

    /// Begins anew. Once a call; kept apart, so that what is left for each row is small.
    #[cold]
    fn enter_call(&mut self) {
        let Some(binding) = &self.binding else {
            return;
        };
        self.call = binding.call.number();
        self.slots.clear();
        self.slots.resize(binding.call.keys() as usize, UNKNOWN);
        self.added.clear();
        self.lists[..self.used].iter_mut().for_each(forget);
        self.used = 0;
        self.free.clear();
        self.replaced.clear();
        self.pages.clear();
        self.is_told = false;
        self.journal.clear();
    }

    /// Looks at the list of a key for the first time; gives which of the lists it is now.
    fn look(&mut self, key: usize) -> Result<u32> {
        if self.slots[key].page == 0 {
            self.read(key)?;
        }
        let slot = self.slots[key];
        let list = self.take_list();
        let binding = self.binding.as_ref().ok_or_else(undeclared)?;
        let items = &mut self.lists[list as usize];
        let decoded = self.pages[slot.page as usize - 1]
            .decode(slot.start..slot.end, items)
            .and_then(|()| decode_added(&self.added, slot.last_added, items));
        if let Err(error) = decoded {
            items.clear();
            self.free.push(list);
            return Err(binding.corrupt(error));
        }
        self.slots[key].list = Some(list);
        self.ahead.seen();
        Ok(list)
    }

    /// Asks the host for the list of a key, and for some that will be wanted next.
    #[cold]
    fn read(&mut self, key: usize) -> Result<()> {
        let binding = self.binding.as_ref().ok_or_else(undeclared)?;
        let window = match self.is_told && binding.is_batch() {
            true => ahead::alone(key as u32),
            false => self.ahead.keys(binding, key as u32),
        };
        self.ask(window)
    }

    /// Asks the host for the lists of keys that will be looked at.
    fn fetch(&mut self, mut keys: &[u32]) -> Result<()> {
        self.is_told = true;
        while !keys.is_empty() {
            let (some, rest) = keys.split_at(self.ahead.at_once().min(keys.len()));
            self.ask(some.iter().copied())?;
            keys = rest;
        }
        Ok(())
    }

    /// Asks the host for the lists of those of these keys of which nothing is known.
    fn ask(&mut self, keys: impl Iterator<Item = u32>) -> Result<()> {
        let binding = self.binding.as_ref().ok_or_else(undeclared)?;
        let page = self.pages.len() as u32 + 1;
        self.asked.clear();
        for key in keys {
            let slot = &mut self.slots[key as usize];
            if slot.list.is_none() && slot.page == 0 {
                // Who names a key once more does not ask for its list again.
                slot.page = page;
                self.asked.push(key);
            }
        }
        if self.asked.is_empty() {
            return Ok(());
        }
        let stored = binding.call.host.list_get(binding.index, &self.asked);
        self.ahead
            .asked(self.asked.len(), stored.elements.bytes.len());
        if stored.ends.len() < self.asked.len() {
            let missing = missing_list(self.asked.len(), &stored);
            for key in &self.asked {
                self.slots[*key as usize].page = 0;
            }
            return Err(missing);
        }
        self.pages.push(Page::new::<T>(stored.elements));
        let mut start = 0;
        for (key, end) in self.asked.iter().zip(stored.ends) {
            let slot = &mut self.slots[*key as usize];
            (slot.page, slot.start, slot.end) = (page, start, end);
            start = end;
        }
        Ok(())
    }

    #[inline]
    fn remember(&mut self, key: usize, undo: Undo) {
        let row = self
            .binding
            .as_ref()
            .map_or(0, |binding| binding.call.row());
        if self.row != row {
            self.row = row;
            self.forget_replaced();
        }
        self.journal.push((key as u32, undo));
    }

    /// The rows before cannot fail any more: what they have replaced is not wanted.
    fn forget_replaced(&mut self) {
        while let Some((_, undo)) = self.journal.pop() {
            if let Undo::Replace(Slot {
                list: Some(list), ..
            }) = undo
            {
                self.forget_list(list);
            }
        }
    }

    /// One of the lists is in use no more.
    fn forget_list(&mut self, list: u32) {
        forget(&mut self.lists[list as usize]);
        self.free.push(list);
    }

    /// Hands over the lists that are replaced.
    fn flush_replaced(&self, binding: &Binding) -> Result<()> {
        let mut values = NestedColumn {
            ends: Vec::with_capacity(self.replaced.len()),
            elements: column::with_room(0, 0),
        };
        for key in &self.replaced {
            if let Some(list) = self.slots[*key as usize].list {
                for item in &self.lists[list as usize] {
                    item.encode(&mut values.elements.bytes)?;
                    column::end_row(&mut values.elements)?;
                }
            }
            let end = column::end_of(values.elements.ends.len())?;
            values.ends.push(end);
        }
        let host = &binding.call.host;
        host.list_set(binding.index, &self.replaced, &values);
        Ok(())
    }

    /// Has [`on_key`](crate::KeyedBroadcastProcess::on_key) called for each key that has something
    /// here, with this tag: see there. Only while a row of the broadcast input is processed.
    ///
    /// # Errors
    /// Fatal anywhere else.
    pub fn apply_to_keys(&self, tag: impl AsRef<[u8]>) -> Result<()> {
        let binding = self.binding.as_ref().ok_or_else(undeclared)?;
        binding.apply_to_keys(tag.as_ref())
    }
}

impl<T: StateCodec> Handle for List<T> {
    fn bind(&mut self, binding: Binding) -> bool {
        self.binding.replace(binding).is_none()
    }

    fn rollback(&mut self) {
        let Some(binding) = &self.binding else {
            return;
        };
        if binding.is_batch() {
            return self.enter_call();
        }
        if binding.call.row() != self.row {
            return;
        }
        while let Some((key, undo)) = self.journal.pop() {
            let slot = &mut self.slots[key as usize];
            match undo {
                Undo::Replace(before) => {
                    if !before.is_replaced {
                        self.replaced.pop();
                    }
                    *slot = before;
                }
                Undo::Add => {
                    if !slot.is_replaced {
                        self.added.pop(&mut slot.last_added);
                    }
                    // It was put there by adding it, or by looking at the list later.
                    if let Some(list) = slot.list {
                        self.lists[list as usize].pop();
                    }
                }
            }
        }
    }

    fn flush(&mut self, _slots: &mut Vec<Slots>) -> Result<()> {
        let Some(binding) = &self.binding else {
            return Ok(());
        };
        if self.call != binding.call.number() {
            return Ok(());
        }
        if !self.replaced.is_empty() {
            self.flush_replaced(binding)?;
            let slots = &self.slots;
            self.added
                .retain::<T>(|key| !slots[key as usize].is_replaced);
        }
        let Added { keys, values, .. } = &self.added;
        if !keys.is_empty() {
            binding.call.host.list_add(binding.index, keys, values);
        }
        Ok(())
    }
}

/// Appends the elements that the call has added.
fn decode_added<T: StateCodec>(added: &Added, last: u32, items: &mut Vec<T>) -> Result<()> {
    let stored = items.len();
    for element in added.of_key(last) {
        items.push(T::decode(column::row(&added.values, element)?)?);
    }
    if let Some(added) = items.get_mut(stored..) {
        added.reverse();
    }
    Ok(())
}

#[cold]
fn missing_list(keys: usize, stored: &NestedColumn) -> Error {
    let lists = stored.ends.len();
    Error::fatal(format_args!(
        "malformed column from the host: {lists} lists for {keys} keys"
    ))
}
