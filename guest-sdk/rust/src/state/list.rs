//! List state: values in the order in which they were added.
//!
//! Adding does not read: what a call adds to a list that nobody looks at goes to the host in one
//! column.

use std::mem;

use super::Handle;
use crate::bindings::weir::operator::data::Slots;
use crate::call::{Binding, undeclared};
use crate::codec::StateCodec;
use crate::column;
use crate::describe::count_handle;
use crate::error::{Error, Result};
use crate::host::NestedColumn;

/// How many keys' lists one import reads: enough to make the call cheap, few enough that long lists
/// of keys that are never looked at do not fill the guest's memory.
const KEYS_PER_READ: u32 = 64;

/// A list per key. A field of the operator, declared in `describe`.
pub struct List<T> {
    binding: Option<Binding>,
    call: u64,
    /// One per distinct key of the call.
    lists: Vec<Items<T>>,
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
            replaced: false,
        }
    }
}

impl<T> Default for List<T> {
    fn default() -> Self {
        count_handle();
        Self {
            binding: None,
            call: 0,
            lists: Vec::new(),
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
        if !self.lists[key].whole {
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

    /// Puts what the host holds before what the call added, for this key and those after it, which
    /// the rows that follow will most likely want.
    fn read(&mut self, key: usize) -> Result<()> {
        let binding = self.binding.as_ref().ok_or_else(undeclared)?;
        let end = binding.call.keys().min(key as u32 + KEYS_PER_READ);
        let keys: Vec<u32> = (key as u32..end)
            .filter(|key| !self.lists[*key as usize].whole)
            .collect();
        let stored = binding.call.host.list_get(binding.index, &keys);
        let mut start = 0;
        for (index, key) in keys.iter().enumerate() {
            let end = *stored
                .ends
                .get(index)
                .ok_or_else(|| missing_list(keys.len(), &stored))?;
            let mut items = Vec::with_capacity((end.saturating_sub(start)) as usize);
            for element in start..end {
                let element = column::row(&stored.elements, element as usize)?;
                items.push(T::decode(element).map_err(|error| binding.corrupt(error))?);
            }
            start = end;
            let list = &mut self.lists[*key as usize];
            list.stored = items.len();
            list.whole = true;
            items.append(&mut list.items);
            list.items = items;
        }
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

#[cold]
fn missing_list(keys: usize, stored: &NestedColumn) -> Error {
    let lists = stored.ends.len();
    Error::fatal(format_args!(
        "malformed column from the host: {lists} lists for {keys} keys"
    ))
}
