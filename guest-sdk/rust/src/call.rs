//! The call in hand: which row and which key, and the slots that came with it.
//!
//! INVARIANT: numbers of calls and rows only grow, so a handle sees by comparing a number whether
//! what it caches belongs to this call, and whether what it can undo belongs to this row. Nothing
//! has to visit the handles at the start of a call or of a row.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use crate::bindings::weir::operator::data::{OptionalColumn, Slots};
use crate::error::{Error, Result};
use crate::host::Host;

/// Which state a call may use that does not belong to a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scope {
    /// None: nothing is being asked of the operator, it is only told something.
    Nothing,
    /// All of it; broadcast state is only read.
    Subtask,
    /// All of it: the rows are those of a broadcast input.
    Broadcast,
}

/// Where what is used by the number of a key belongs.
pub(crate) const ONLY_IN_BATCHES: &str = "can be used only in a function for batches: \
     `process_batch`, or of two inputs `process_first_batch` and `process_second_batch`";

/// In place of the index of a key: none is in hand. No call has so many.
const NO_KEY: u32 = u32::MAX;

/// What all handles of an operator share.
pub(crate) struct Call {
    pub(crate) host: Box<dyn Host>,
    number: Cell<u64>,
    /// The last call that failed, or 0.
    failed: Cell<u64>,
    scope: Cell<Scope>,
    row: Cell<u64>,
    /// Whether the row in hand is only looked at, before its turn.
    looking: Cell<bool>,
    /// Whether all rows of the call are in hand.
    batch: Cell<bool>,
    /// The key whose state can be used, or [`NO_KEY`].
    key: Cell<u32>,
    /// The key of a row that is not processed yet: only entries of its maps can be named.
    next_key: Cell<Option<u32>>,
    keys: Cell<u32>,
    slots: RefCell<Vec<Slots>>,
    /// The states whose values count as accessed when they are read: nothing is read with them.
    accessed: RefCell<Vec<u32>>,
}

/// How a handle is tied to the operator: set when it is declared.
pub(crate) struct Binding {
    pub(crate) call: Rc<Call>,
    /// The index of the declaration in `describe`.
    pub(crate) index: u32,
    pub(crate) name: String,
}

impl Binding {
    /// The index of the key in hand.
    #[inline]
    pub(crate) fn key(&self) -> Result<u32> {
        match self.call.key.get() {
            NO_KEY => Err(self.no_key()),
            key => Ok(key),
        }
    }

    #[cold]
    fn no_key(&self) -> Error {
        if self.is_batch() {
            return self.misused(
                "a function for batches can use no keyed state but values, lists and timers of all \
                 keys, by `of_keys`, and entries of maps, by `Map::of_entries`; where it returns \
                 `Batched::RowByRow`, the one for rows can use all",
            );
        }
        self.misused(match self.call.scope.get() {
            Scope::Broadcast => {
                "a row of a broadcast input has no key, so keyed state cannot be used"
            }
            Scope::Nothing | Scope::Subtask => {
                "keyed state can be used only while a row is processed"
            }
        })
    }

    /// Checks that the state of all keys of a batch can be used, by the function of that name.
    pub(crate) fn batch(&self, function: &str) -> Result<()> {
        match self.is_batch() {
            true => Ok(()),
            false => Err(self.misused(&format!("`{function}` {ONLY_IN_BATCHES}"))),
        }
    }

    /// Whether all rows of the call are in hand, as one: whatever a handle has done in the call is
    /// of them then.
    pub(crate) fn is_batch(&self) -> bool {
        self.call.batch.get()
    }

    /// Checks that state of the subtask can be used.
    pub(crate) fn subtask(&self) -> Result<()> {
        if self.call.is_looking() {
            return Err(self.misused("state cannot be used in `prefetch`"));
        }
        match self.call.scope.get() {
            Scope::Subtask | Scope::Broadcast => Ok(()),
            Scope::Nothing => {
                Err(self.misused("state cannot be used in `describe`, `complete` and `aborted`"))
            }
        }
    }

    /// Checks that broadcast state can be written.
    pub(crate) fn broadcasting(&self) -> Result<()> {
        self.subtask()?;
        if self.call.scope.get() == Scope::Broadcast {
            return Ok(());
        }
        Err(self.misused(
            "broadcast state can be written only while a row of a broadcast input is processed",
        ))
    }

    /// Asks for calls for all keys that have something in this state.
    pub(crate) fn apply_to_keys(&self, tag: &[u8]) -> Result<()> {
        if self.call.is_looking() || self.call.scope.get() != Scope::Broadcast {
            return Err(self.misused(
                "calls for all its keys can be asked for only while a row of a broadcast input is \
                 processed",
            ));
        }
        self.call.host.apply_to_keys(self.index, tag);
        Ok(())
    }

    #[cold]
    fn misused(&self, why: &str) -> Error {
        Error::fatal(format_args!("state `{}`: {why}", self.name))
    }

    /// The index of the key whose map entries may be named.
    pub(crate) fn key_to_name(&self) -> Result<u32> {
        self.call.next_key.get().map_or_else(|| self.key(), Ok)
    }

    /// What the host holds cannot be read. No other row would change that, so the call fails.
    #[cold]
    pub(crate) fn corrupt(&self, error: Error) -> Error {
        Error::fatal(format_args!(
            "state `{}` cannot be read: {error}",
            self.name
        ))
    }
}

impl Call {
    pub(crate) fn new(host: Box<dyn Host>) -> Rc<Self> {
        Rc::new(Self {
            host,
            number: Cell::new(0),
            failed: Cell::new(0),
            scope: Cell::new(Scope::Nothing),
            row: Cell::new(0),
            looking: Cell::new(false),
            batch: Cell::new(false),
            key: Cell::new(NO_KEY),
            next_key: Cell::new(None),
            keys: Cell::new(0),
            slots: RefCell::new(Vec::new()),
            accessed: RefCell::default(),
        })
    }

    /// Says which states are read for what is looked at alone.
    pub(crate) fn read_alone(&self, states: Vec<u32>) {
        self.accessed.replace(states);
    }

    /// Whether a read of the state is to ask for what is looked at alone.
    pub(crate) fn is_read_alone(&self, state: u32) -> bool {
        self.accessed.borrow().contains(&state)
    }

    /// Starts a call with so many distinct keys and the slots of prefetched states.
    pub(crate) fn begin(&self, scope: Scope, keys: u32, slots: Vec<Slots>) {
        self.number.set(self.number.get() + 1);
        self.scope.set(scope);
        self.keys.set(keys);
        self.slots.replace(slots);
    }

    /// Starts a call that has no rows.
    pub(crate) fn begin_without_rows(&self, scope: Scope) {
        self.begin(scope, 0, Vec::new());
        self.leave_rows();
    }

    /// Starts a row. Looking at rows is over since [`leave_rows`](Self::leave_rows): nothing of it
    /// is left to be taken back here, once a row.
    #[inline]
    pub(crate) fn enter_row(&self, key: Option<u32>) {
        self.enter_numbered(self.row.get() + 1, key);
    }

    /// The same with the number of the row, which is larger than that of any before: in a loop over
    /// rows it is not read back.
    #[inline]
    pub(crate) fn enter_numbered(&self, number: u64, key: Option<u32>) {
        self.row.set(number);
        self.key.set(key.unwrap_or(NO_KEY));
    }

    /// Looks at a row before its turn, until [`leave_rows`](Self::leave_rows).
    pub(crate) fn look_at_row(&self, key: Option<u32>) {
        self.enter_row(None);
        self.looking.set(true);
        self.next_key.set(key);
    }

    /// Takes all rows of the call in hand, until [`leave_rows`](Self::leave_rows): as one, that has
    /// no key.
    pub(crate) fn enter_batch(&self) {
        self.enter_row(None);
        self.batch.set(true);
    }

    /// From here on no row, and no key, is in hand.
    pub(crate) fn leave_rows(&self) {
        self.enter_row(None);
        self.looking.set(false);
        self.batch.set(false);
        self.next_key.set(None);
    }

    /// The call in hand has failed: the host drops what it did.
    pub(crate) fn fail(&self) {
        self.failed.set(self.number.get());
        self.leave_rows();
    }

    /// Whether this call has failed, or one after it.
    pub(crate) fn has_failed_since(&self, number: u64) -> bool {
        self.failed.get() >= number
    }

    /// Whether the row in hand is only looked at, before its turn.
    pub(crate) fn is_looking(&self) -> bool {
        self.looking.get()
    }

    /// The key whose state can be used.
    pub(crate) fn key_in_hand(&self) -> Option<u32> {
        Some(self.key.get()).filter(|key| *key != NO_KEY)
    }

    pub(crate) fn number(&self) -> u64 {
        self.number.get()
    }

    pub(crate) fn row(&self) -> u64 {
        self.row.get()
    }

    pub(crate) fn keys(&self) -> u32 {
        self.keys.get()
    }

    /// The slots that came for a state, once.
    pub(crate) fn take_slots(&self, state: u32) -> Option<OptionalColumn> {
        let mut slots = self.slots.borrow_mut();
        let found = slots.iter().position(|slots| slots.state == state)?;
        Some(slots.swap_remove(found).values)
    }
}

/// Why a state of a batch is left to its rows: each of them may look at less.
#[cold]
pub(crate) fn read_is_access() -> Error {
    Error::new("to read the state is an access")
}

/// What using a handle gives that `describe` never named.
#[cold]
pub(crate) fn undeclared() -> Error {
    Error::fatal("this handle is not declared in `describe`")
}
