//! The lists of all keys of a batch.

use super::List;
use crate::call::{self, undeclared};
use crate::codec::StateCodec;
use crate::error::{Error, Result};

/// The lists of a state for all keys of a batch, by the numbers that
/// [`BatchKeys`](crate::BatchKeys) gives them. Like a slice it panics where there is no key of that
/// number. Made by [`List::of_keys`](crate::List::of_keys).
pub struct KeyLists<'s, T> {
    list: &'s mut List<T>,
}

impl<T: StateCodec> List<T> {
    /// The lists of all keys of the batch in hand. Nothing is read for it: the host is asked for a
    /// list, and for some that will be wanted next, where one is looked at. Only in
    /// functions for batches, such as [`process_batch`](crate::KeyedProcess::process_batch).
    ///
    /// # Errors
    /// Fatal anywhere else. Not fatal, so that the rows are processed one by one, if to read the
    /// state is an access, by `on_read` or `return_expired` of its
    /// [time to live](crate::TtlOptions).
    pub fn of_keys(&mut self) -> Result<KeyLists<'_, T>> {
        let binding = self.binding.as_ref().ok_or_else(undeclared)?;
        binding.batch("of_keys")?;
        if binding.call.is_read_alone(binding.index) {
            return Err(call::read_is_access());
        }
        if self.call != binding.call.number() {
            self.enter_call();
        }
        Ok(KeyLists { list: self })
    }
}

impl<T: StateCodec> KeyLists<'_, T> {
    /// Asks the host for the lists of these keys together, because they will be looked at. What
    /// [`get`](Self::get) gives is the same without it: then the host is asked where a list is
    /// looked at, and for some that come next, which may be for nothing. With it no list is read
    /// that is not named or looked at, and of those that are not named each is asked for on its
    /// own. What was read stays in memory until the call ends.
    ///
    /// ```
    /// # use weir_guest::{BatchKeys, KeyLists, KeyValues, Result};
    /// /// Reads the lists that are full with the next number of their key.
    /// fn fetch_full(
    ///     lists: &mut KeyLists<'_, u64>,
    ///     sizes: &KeyValues<'_, u32>,
    ///     keys: BatchKeys<'_>,
    /// ) -> Result<()> {
    ///     let is_full = |&key: &u32| sizes.get(key as usize) == Some(&2);
    ///     let full: Vec<u32> = (0..keys.len() as u32).filter(is_full).collect();
    ///     lists.fetch(&full)
    /// }
    /// ```
    ///
    /// # Errors
    /// Fatal if what the host sends is malformed.
    pub fn fetch(&mut self, keys: &[u32]) -> Result<()> {
        self.list.fetch(keys)
    }

    /// The list of a key; empty if there is none.
    ///
    /// # Errors
    /// Not fatal, if what the host holds cannot be decoded.
    #[inline]
    pub fn get(&mut self, key: usize) -> Result<&[T]> {
        self.list
            .of_key(key)
            .map_err(|error| Error::new(error.into_message()))
    }

    /// Appends to the list of a key, unread.
    ///
    /// # Errors
    /// If the value has no written form.
    #[inline]
    pub fn add(&mut self, key: usize, value: T) -> Result<()> {
        self.list.add_to(key, value)
    }

    /// Replaces the list of a key; an empty one clears it. It is written when the call ends, which
    /// fails if a value has no written form.
    pub fn set(&mut self, key: usize, values: Vec<T>) {
        let list = self.replace(key);
        self.list.lists[list as usize] = values;
    }

    /// Removes the list of a key.
    #[inline]
    pub fn clear(&mut self, key: usize) {
        self.replace(key);
    }

    /// Which of the lists is that of a key from here on: one that is empty. The one that was looked
    /// at, if any was: no row of its own can fail, which would want it back.
    #[inline]
    fn replace(&mut self, key: usize) -> u32 {
        let slot = self.list.slots[key];
        match slot.list {
            Some(list) => {
                self.list.replace_by(key, list);
                super::forget(&mut self.list.lists[list as usize]);
                list
            }
            None => self.list.replace_at(key).0,
        }
    }
}
