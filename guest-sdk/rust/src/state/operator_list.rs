//! Operator state: a list of the subtask, whatever the keys of its rows.
//!
//! A call reads the list at most once, when it is first looked at, and writes it as a whole at its
//! end.

use std::mem;

use super::Handle;
use crate::bindings::weir::operator::data::Slots;
use crate::call::{Binding, undeclared};
use crate::codec::StateCodec;
use crate::column;
use crate::describe::count_handle;
use crate::error::Result;

/// A list that belongs to the subtask and not to a key. A field of the operator, declared in
/// `describe` by [`Describe::operator_list`](crate::Describe::operator_list) or
/// [`Describe::union_list`](crate::Describe::union_list), which say what becomes of it when the
/// parallelism changes.
///
/// ```
/// use weir_guest::{Ctx, Describe, OperatorList, Process, Result, Row};
///
/// /// Numbers its rows, and goes on where it was after a restart.
/// #[derive(Default)]
/// struct Numbers { next: OperatorList<u64> }
///
/// impl Process for Numbers {
///     type In = String;
///     type Out = String;
///
///     fn describe(&mut self, d: &mut Describe) {
///         d.operator_list("next", &mut self.next);
///     }
///
///     fn process(&mut self, row: Row<String>, ctx: &mut Ctx<String>) -> Result<()> {
///         // A subtask may have been given the items of several, or none.
///         let number = self.next.get()?.iter().sum::<u64>();
///         self.next.set(vec![number + 1])?;
///         ctx.emit(format_args!("{number} {}", row.value))
///     }
/// }
/// # use weir_guest::testing::Harness;
/// # let mut numbers = Harness::open::<Numbers, _>("null").unwrap();
/// # assert_eq!(numbers.rows(["a", "b"]).unwrap().main(), ["0 a", "1 b"]);
/// # numbers.restart().unwrap();
/// # assert_eq!(numbers.rows(["c"]).unwrap().main(), ["2 c"]);
/// ```
///
/// It is written as a whole: one that grows long is better kept in a field, and set in
/// [`Checkpointed::snapshot`](crate::Checkpointed::snapshot). It can be used in all functions of an
/// operator but `describe`, `prefetch`, `complete` and `aborted`; there, and where it is not
/// declared, its functions fail, fatally.
pub struct OperatorList<T> {
    binding: Option<Binding>,
    /// The call that the rest belongs to.
    call: u64,
    /// The whole list, once it is known.
    items: Option<Vec<T>>,
    /// Whether the host's list is to be replaced.
    dirty: bool,
    /// The row that the journal belongs to, and what its writes did.
    row: u64,
    journal: Vec<Undo<T>>,
}

struct Undo<T> {
    change: Change<T>,
    /// Whether the list was to be replaced before.
    dirty: bool,
}

enum Change<T> {
    Added,
    Replaced(Option<Vec<T>>),
}

impl<T> Default for OperatorList<T> {
    fn default() -> Self {
        count_handle();
        Self {
            binding: None,
            call: 0,
            items: None,
            dirty: false,
            row: 0,
            journal: Vec::new(),
        }
    }
}

impl<T: StateCodec> OperatorList<T> {
    /// The list; empty if nothing was ever set.
    ///
    /// # Errors
    /// Fatal if what the host holds cannot be decoded.
    pub fn get(&mut self) -> Result<&[T]> {
        self.load().map(|items| &items[..])
    }

    /// Appends to the list. It is read for that.
    ///
    /// # Errors
    /// As [`get`](Self::get).
    pub fn add(&mut self, value: T) -> Result<()> {
        self.load()?.push(value);
        self.changed(Change::Added);
        Ok(())
    }

    /// Replaces the list. What it was before is not read.
    ///
    /// # Errors
    /// See [`OperatorList`].
    pub fn set(&mut self, values: Vec<T>) -> Result<()> {
        self.enter()?;
        let before = self.items.replace(values);
        self.changed(Change::Replaced(before));
        Ok(())
    }

    /// Empties the list.
    ///
    /// # Errors
    /// See [`OperatorList`].
    pub fn clear(&mut self) -> Result<()> {
        self.set(Vec::new())
    }

    /// Checks that the list can be used; what belongs to an earlier call is dropped.
    fn enter(&mut self) -> Result<()> {
        let binding = self.binding.as_ref().ok_or_else(undeclared)?;
        binding.subtask()?;
        if self.call != binding.call.number() {
            self.call = binding.call.number();
            self.items = None;
            self.dirty = false;
        }
        Ok(())
    }

    fn load(&mut self) -> Result<&mut Vec<T>> {
        self.enter()?;
        let binding = self.binding.as_ref().ok_or_else(undeclared)?;
        let items = match self.items.take() {
            Some(items) => items,
            None => read(binding)?,
        };
        Ok(self.items.insert(items))
    }

    fn changed(&mut self, change: Change<T>) {
        let row = self
            .binding
            .as_ref()
            .map_or(0, |binding| binding.call.row());
        if self.row != row {
            self.row = row;
            self.journal.clear();
        }
        let dirty = mem::replace(&mut self.dirty, true);
        self.journal.push(Undo { change, dirty });
    }
}

/// What the host holds.
fn read<T: StateCodec>(binding: &Binding) -> Result<Vec<T>> {
    let stored = binding.call.host.operator_get(binding.index);
    let mut items = Vec::with_capacity(stored.ends.len());
    for row in 0..stored.ends.len() {
        let item = T::decode(column::row(&stored, row)?);
        items.push(item.map_err(|error| binding.corrupt(error))?);
    }
    Ok(items)
}

impl<T: StateCodec> Handle for OperatorList<T> {
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
        while let Some(Undo { change, dirty }) = self.journal.pop() {
            match change {
                Change::Added => drop(self.items.as_mut().and_then(Vec::pop)),
                Change::Replaced(before) => self.items = before,
            }
            self.dirty = dirty;
        }
    }

    fn flush(&mut self, _slots: &mut Vec<Slots>) -> Result<()> {
        let Some(binding) = &self.binding else {
            return Ok(());
        };
        if self.call != binding.call.number() || !self.dirty {
            return Ok(());
        }
        let mut values = column::with_room(0, 0);
        for item in self.items.iter().flatten() {
            item.encode(&mut values.bytes)?;
            column::end_row(&mut values)?;
        }
        binding.call.host.operator_set(binding.index, &values);
        Ok(())
    }
}
