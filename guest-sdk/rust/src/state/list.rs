//! List state: values in the order in which they were added.
//!
//! Adding does not read: what a call adds to a list that nobody looks at goes to the host in one
//! column. Lists keep their memory from call to call, unless it is much: to ask for it anew for
//! each key costs more than all else.

use std::mem;
use std::ops::Range;

use super::Handle;
use super::ahead::Ahead;
use crate::bindings::weir::operator::data::{BytesColumn, Slots};
use crate::call::{Binding, undeclared};
use crate::codec::StateCodec;
use crate::column;
use crate::error::{Error, Result};
use crate::handles::made_handle;
use crate::host::NestedColumn;

/// A list that has more memory than so many bytes gives it back at the end of the call.
const KEPT_BYTES: usize = 256;
/// So many lists that rows have replaced are kept for others.
const KEPT_LISTS: usize = 64;

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
    /// One per distinct key of the call, and behind them some that are empty.
    lists: Vec<Items<T>>,
    /// How many distinct keys the call has.
    keys: usize,
    ahead: Ahead,
    /// The keys that the last import was for.
    asked: Vec<u32>,
    row: u64,
    journal: Vec<(usize, Undo<T>)>,
    /// Empty lists with memory.
    spare: Vec<Vec<T>>,
}

/// The list of one key.
struct Items<T> {
    /// What the host holds, if it is known, then what the call added.
    items: Vec<T>,
    /// How many of the items the host holds already.
    stored: usize,
    /// Whether the items are the whole list.
    whole: bool,
    /// Whether the list was read along with that of another key, and not looked at.
    unseen: bool,
    /// Whether the host's list is to be replaced by the items.
    replaced: bool,
}

enum Undo<T> {
    Add,
    Replace(Items<T>),
}

impl<T> Default for Items<T> {
    fn default() -> Self {
        Self {
            items: Vec::new(),
            stored: 0,
            whole: false,
            unseen: false,
            replaced: false,
        }
    }
}

impl<T> Items<T> {
    /// Forgets what the call knows of the list.
    fn forget(&mut self) {
        let items = emptied(mem::take(&mut self.items));
        *self = Self {
            items,
            ..Self::default()
        };
    }
}

/// A list without its items, and with its memory unless that is much.
fn emptied<T>(mut items: Vec<T>) -> Vec<T> {
    if items.capacity() * size_of::<T>() > KEPT_BYTES {
        return Vec::new();
    }
    items.clear();
    items
}

impl<T> Default for List<T> {
    fn default() -> Self {
        made_handle::<Self>();
        Self {
            binding: None,
            call: 0,
            lists: Vec::new(),
            keys: 0,
            ahead: Ahead::default(),
            asked: Vec::new(),
            row: 0,
            journal: Vec::new(),
            spare: Vec::new(),
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
        let list = &mut self.lists[key];
        if mem::take(&mut list.unseen) {
            self.ahead.seen();
        }
        if !list.whole {
            self.read(key)?;
        }
        Ok(&self.lists[key].items)
    }

    /// Appends to the list of the key in hand, unread.
    ///
    /// # Errors
    /// As for [`Value`](crate::Value).
    pub fn add(&mut self, value: T) -> Result<()> {
        let key = self.enter()?;
        self.lists[key].items.push(value);
        self.remember(key, Undo::Add);
        Ok(())
    }

    /// Replaces the list of the key in hand; an empty one clears it.
    ///
    /// # Errors
    /// As for [`Value`](crate::Value).
    pub fn set(&mut self, values: Vec<T>) -> Result<()> {
        let key = self.enter()?;
        let new = Items {
            items: values,
            stored: 0,
            whole: true,
            unseen: false,
            replaced: true,
        };
        let before = mem::replace(&mut self.lists[key], new);
        self.remember(key, Undo::Replace(before));
        Ok(())
    }

    /// Removes the list of the key in hand.
    ///
    /// # Errors
    /// As for [`Value`](crate::Value).
    pub fn clear(&mut self) -> Result<()> {
        let items = self.spare.pop().unwrap_or_default();
        self.set(items)
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
        self.lists[..self.keys].iter_mut().for_each(Items::forget);
        self.keys = binding.call.keys() as usize;
        if self.lists.len() < self.keys {
            self.lists.resize_with(self.keys, Items::default);
        }
        self.forget_journal();
    }

    /// Puts what the host holds before what the call added, for this key and for some whose lists
    /// will be wanted next.
    fn read(&mut self, key: usize) -> Result<()> {
        let binding = self.binding.as_ref().ok_or_else(undeclared)?;
        let lists = &mut self.lists;
        self.asked.clear();
        let window = self.ahead.window(key as u32, binding.call.keys());
        self.asked
            .extend(window.filter(|key| !lists[*key as usize].whole));
        let stored = binding.call.host.list_get(binding.index, &self.asked);
        let mut start = 0;
        for (index, other) in self.asked.iter().enumerate() {
            let end = *stored
                .ends
                .get(index)
                .ok_or_else(|| missing_list(self.asked.len(), &stored))?;
            let list = &mut lists[*other as usize];
            let added = list.items.len();
            let read = decode(binding, &stored.elements, start..end, &mut list.items);
            start = end;
            if let Err(error) = read {
                list.items.truncate(added);
                if *other as usize == key {
                    return Err(error);
                }
                // It is an error only for who looks at it.
                continue;
            }
            list.stored = list.items.len() - added;
            if added > 0 {
                list.items.rotate_left(added);
            }
            list.whole = true;
            list.unseen = true;
        }
        self.ahead
            .asked(self.asked.len(), stored.elements.bytes.len());
        self.ahead.seen();
        lists[key].unseen = false;
        Ok(())
    }

    #[inline]
    fn remember(&mut self, key: usize, undo: Undo<T>) {
        let row = self
            .binding
            .as_ref()
            .map_or(0, |binding| binding.call.row());
        if self.row != row {
            self.row = row;
            self.forget_journal();
        }
        self.journal.push((key, undo));
    }

    /// Nothing of it will be undone.
    #[inline]
    fn forget_journal(&mut self) {
        for (_, undo) in self.journal.drain(..) {
            if let Undo::Replace(before) = undo
                && before.items.capacity() > 0
                && self.spare.len() < KEPT_LISTS
            {
                self.spare.push(emptied(before.items));
            }
        }
    }

    /// Hands over the lists that are replaced.
    fn flush_replaced(&self, binding: &Binding, lists: &[Items<T>]) -> Result<()> {
        let mut keys = Vec::new();
        let mut values = NestedColumn {
            ends: Vec::new(),
            elements: column::with_room(0, 0),
        };
        for (key, list) in lists.iter().enumerate().filter(|(_, list)| list.replaced) {
            keys.push(key as u32);
            for item in &list.items {
                item.encode(&mut values.elements.bytes)?;
                column::end_row(&mut values.elements)?;
            }
            values
                .ends
                .push(column::end_of(values.elements.ends.len())?);
        }
        if !keys.is_empty() {
            binding.call.host.list_set(binding.index, &keys, &values);
        }
        Ok(())
    }

    /// Hands over what was added to lists that are not replaced.
    fn flush_added(&self, binding: &Binding, lists: &[Items<T>]) -> Result<()> {
        let mut keys = Vec::with_capacity(lists.len());
        let width = T::WIDTH.unwrap_or_default();
        let mut values = column::with_room(lists.len(), lists.len() * width);
        for (key, list) in lists.iter().enumerate().filter(|(_, list)| !list.replaced) {
            for item in &list.items[list.stored..] {
                keys.push(key as u32);
                item.encode(&mut values.bytes)?;
                column::end_row(&mut values)?;
            }
        }
        if !keys.is_empty() {
            binding.call.host.list_add(binding.index, &keys, &values);
        }
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
        if self
            .binding
            .as_ref()
            .is_none_or(|binding| binding.call.row() != self.row)
        {
            return;
        }
        while let Some((key, undo)) = self.journal.pop() {
            match undo {
                // Reading the list meanwhile put items before the added one, never behind it.
                Undo::Add => drop(self.lists[key].items.pop()),
                Undo::Replace(before) => self.lists[key] = before,
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
        let lists = &self.lists[..self.keys];
        self.flush_replaced(binding, lists)?;
        self.flush_added(binding, lists)
    }
}

/// Appends the items of a list: some rows of what the host sent.
fn decode<T: StateCodec>(
    binding: &Binding,
    elements: &BytesColumn,
    rows: Range<u32>,
    items: &mut Vec<T>,
) -> Result<()> {
    // No more room than there are elements, whatever the host says.
    items.reserve(rows.len().min(elements.ends.len()));
    for row in rows {
        let item = T::decode(column::row(elements, row as usize)?);
        items.push(item.map_err(|error| binding.corrupt(error))?);
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
