//! List state: values in the order in which they were added.
//!
//! Adding does not read: what a call adds to a list that nobody looks at goes to the host in one
//! column.

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
    lists: Vec<Items<T>>,
    ahead: Ahead,
    row: u64,
    journal: Vec<(usize, Undo<T>)>,
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

impl<T> Default for List<T> {
    fn default() -> Self {
        made_handle::<Self>();
        Self {
            binding: None,
            call: 0,
            lists: Vec::new(),
            ahead: Ahead::default(),
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
        self.set(Vec::new())
    }

    fn enter(&mut self) -> Result<usize> {
        let binding = self.binding.as_ref().ok_or_else(undeclared)?;
        let key = binding.key()?;
        if self.call != binding.call.number() {
            self.call = binding.call.number();
            self.lists.clear();
            self.lists
                .resize_with(binding.call.keys() as usize, Items::default);
        }
        Ok(key as usize)
    }

    /// Puts what the host holds before what the call added, for this key and for some whose lists
    /// will be wanted next.
    fn read(&mut self, key: usize) -> Result<()> {
        let binding = self.binding.as_ref().ok_or_else(undeclared)?;
        let mut keys: Vec<u32> = self.ahead.window(key as u32, binding.call.keys()).collect();
        keys.retain(|key| !self.lists[*key as usize].whole);
        let stored = binding.call.host.list_get(binding.index, &keys);
        let mut start = 0;
        for (index, other) in keys.iter().enumerate() {
            let end = *stored
                .ends
                .get(index)
                .ok_or_else(|| missing_list(keys.len(), &stored))?;
            let items = decode(binding, &stored.elements, start..end);
            start = end;
            let mut items = match items {
                Ok(items) => items,
                Err(error) if *other as usize == key => return Err(error),
                // It is an error only for who looks at it.
                Err(_) => continue,
            };
            let list = &mut self.lists[*other as usize];
            list.stored = items.len();
            items.append(&mut list.items);
            list.items = items;
            list.whole = true;
            list.unseen = true;
        }
        self.ahead.asked(keys.len());
        self.ahead.seen();
        self.lists[key].unseen = false;
        Ok(())
    }

    fn remember(&mut self, key: usize, undo: Undo<T>) {
        let row = self
            .binding
            .as_ref()
            .map_or(0, |binding| binding.call.row());
        if self.row != row {
            self.row = row;
            self.journal.clear();
        }
        self.journal.push((key, undo));
    }

    /// Hands over the lists that are replaced.
    fn flush_replaced(&self, binding: &Binding) -> Result<()> {
        let mut keys = Vec::new();
        let mut values = NestedColumn {
            ends: Vec::new(),
            elements: column::with_room(0, 0),
        };
        for (key, list) in self
            .lists
            .iter()
            .enumerate()
            .filter(|(_, list)| list.replaced)
        {
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
    fn flush_added(&self, binding: &Binding) -> Result<()> {
        let mut keys = Vec::new();
        let mut values = column::with_room(0, 0);
        for (key, list) in self
            .lists
            .iter()
            .enumerate()
            .filter(|(_, list)| !list.replaced)
        {
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
        self.flush_replaced(binding)?;
        self.flush_added(binding)
    }
}

/// The items of a list: some rows of what the host sent.
fn decode<T: StateCodec>(
    binding: &Binding,
    elements: &BytesColumn,
    rows: Range<u32>,
) -> Result<Vec<T>> {
    // No more room than there are elements, whatever the host says.
    let mut items = Vec::with_capacity(rows.len().min(elements.ends.len()));
    for row in rows {
        let item = T::decode(column::row(elements, row as usize)?);
        items.push(item.map_err(|error| binding.corrupt(error))?);
    }
    Ok(items)
}

#[cold]
fn missing_list(keys: usize, stored: &NestedColumn) -> Error {
    let lists = stored.ends.len();
    Error::fatal(format_args!(
        "malformed column from the host: {lists} lists for {keys} keys"
    ))
}
