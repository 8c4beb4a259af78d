//! Timers of a key: set and deleted while one of its rows or timers is in hand, or of all keys
//! while a batch is; handed over once a call.

use crate::bindings::weir::operator::data::{BytesColumn, Slots};
use crate::call::{Binding, ONLY_IN_BATCHES, undeclared};
use crate::error::{Error, Result};
use crate::handles::made_handle;
use crate::state::Handle;

pub use crate::bindings::weir::operator::data::TimerKind;

/// If a call has more changes than so many, they are put in order, so that none is handed over
/// twice.
const UNSORTED_MOST: usize = 1 << 16;

/// What `on_timer` is handed: a timer that is due. The key is [`Ctx::key`](crate::Ctx::key).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timer {
    /// Which time it went by.
    pub kind: TimerKind,
    /// When it was due, in milliseconds since the Unix epoch.
    pub at: i64,
}

/// The timers of the key in hand. A field of the operator, declared in `describe`; when one is due,
/// `on_timer` is called.
///
/// There is one timer at most of each key, kind and time: setting it twice is setting it once.
/// Event timers are due when the watermark has reached them, those by processing time when the
/// clock has. Timers are state: they are in checkpoints, and go where their key goes.
///
/// ```
/// use weir_guest::{Ctx, KeyedDescribe, KeyedProcess, Result, Row, Timer, Timers, Value};
///
/// /// Tells when a key has had no row for ten seconds of event time.
/// #[derive(Default)]
/// struct Idle { last: Value<i64>, timers: Timers }
///
/// impl KeyedProcess for Idle {
///     type In = String;
///     type Out = String;
///
///     fn describe(&mut self, d: &mut KeyedDescribe) {
///         d.value("last", &mut self.last).prefetch();
///         d.timers(&mut self.timers);
///     }
///
///     fn process(&mut self, row: Row<String>, _ctx: &mut Ctx<String>) -> Result<()> {
///         let now = row.timestamp.unwrap_or(0);
///         if let Some(last) = self.last.get()?.copied() {
///             self.timers.delete_event(last + 10_000)?;
///         }
///         self.last.set(now)?;
///         self.timers.set_event(now + 10_000)
///     }
///
///     fn on_timer(&mut self, timer: Timer, ctx: &mut Ctx<String>) -> Result<()> {
///         self.last.clear()?;
///         ctx.emit(format_args!("{} is idle since {}", ctx.key(), timer.at - 10_000))
///     }
/// }
///
/// weir_guest::operator!(Idle, timed);
/// # use weir_guest::testing::{Harness, Input};
/// # let mut idle = Harness::open::<Idle, _>("null").unwrap();
/// # let row = |key: &str, at| Input::row("").key([key]).at(at);
/// # idle.batch(0, [row("a", 0), row("b", 1_000), row("a", 4_000)]).unwrap();
/// # assert!(idle.advance_watermark(10_999).unwrap().main().is_empty());
/// # let told = idle.advance_watermark(20_000).unwrap().main();
/// # assert_eq!(told, ["b is idle since 1000", "a is idle since 4000"]);
/// ```
pub struct Timers {
    binding: Option<Binding>,
    changes: Vec<Change>,
    /// The last change of each distinct key of the call, plus one; or 0.
    last: Vec<u32>,
    /// Whether some of the changes delete.
    deletes: bool,
    /// How many changes there were before the row in hand.
    before: usize,
    row: u64,
    call: u64,
}

#[derive(Clone, Copy, PartialEq, Eq)]
struct Change {
    kind: TimerKind,
    key: u32,
    at: i64,
    set: bool,
}

/// The timers of all keys of a batch, by the numbers that [`BatchKeys`](crate::BatchKeys) gives
/// them. Like a slice it panics where there is no key of that number. Made by [`Timers::of_keys`].
pub struct KeyTimers<'t> {
    timers: &'t mut Timers,
}

/// Timers that are due, as they cross the boundary.
pub struct Due {
    /// By which time they go.
    pub kind: TimerKind,
    /// When each was due.
    pub at: Vec<i64>,
    /// The distinct keys.
    pub keys: BytesColumn,
    /// The key of each timer.
    pub key_of_timer: Vec<u32>,
}

impl Timers {
    /// Sets a timer for the key in hand: `on_timer` is called when the watermark has reached that
    /// time, in milliseconds since the Unix epoch. What it emits then has that event time. If the
    /// watermark is there already, that is when it next rises.
    ///
    /// # Errors
    /// Fatal if no key is in hand, or the timers are not declared.
    pub fn set_event(&mut self, at: i64) -> Result<()> {
        self.change(TimerKind::EventTime, at, true)
    }

    /// Sets a timer for the key in hand: `on_timer` is called when the clock has reached that time,
    /// in milliseconds since the Unix epoch. What it emits then has no event time of itself. When
    /// the input has ended, it is not called any more.
    ///
    /// # Errors
    /// As [`set_event`](Self::set_event).
    pub fn set_processing(&mut self, at: i64) -> Result<()> {
        self.change(TimerKind::ProcessingTime, at, true)
    }

    /// Deletes a timer of the key in hand. If it is not set, this does nothing.
    ///
    /// # Errors
    /// As [`set_event`](Self::set_event).
    pub fn delete_event(&mut self, at: i64) -> Result<()> {
        self.change(TimerKind::EventTime, at, false)
    }

    /// Deletes a timer of the key in hand. If it is not set, this does nothing.
    ///
    /// # Errors
    /// As [`set_event`](Self::set_event).
    pub fn delete_processing(&mut self, at: i64) -> Result<()> {
        self.change(TimerKind::ProcessingTime, at, false)
    }

    /// The timers of all keys of the batch in hand. Only in functions for batches, such as
    /// [`process_batch`](crate::KeyedProcess::process_batch).
    ///
    /// # Errors
    /// Fatal anywhere else, or if the timers are not declared.
    pub fn of_keys(&mut self) -> Result<KeyTimers<'_>> {
        let binding = self.binding.as_ref().ok_or_else(undeclared)?;
        if !binding.is_batch() {
            return Err(Error::fatal(format_args!(
                "timers: `of_keys` {ONLY_IN_BATCHES}"
            )));
        }
        self.enter()?;
        Ok(KeyTimers { timers: self })
    }

    fn change(&mut self, kind: TimerKind, at: i64, set: bool) -> Result<()> {
        let binding = self.binding.as_ref().ok_or_else(undeclared)?;
        let Some(key) = binding.call.key_in_hand() else {
            return Err(no_key(binding.is_batch()));
        };
        self.enter()?;
        self.change_of(Change { kind, key, at, set });
        Ok(())
    }

    /// Begins anew where the call is another one, and keeps what a row that fails takes back.
    fn enter(&mut self) -> Result<()> {
        let binding = self.binding.as_ref().ok_or_else(undeclared)?;
        if self.call != binding.call.number() {
            self.call = binding.call.number();
            self.changes.clear();
            self.last.clear();
            self.last.resize(binding.call.keys() as usize, 0);
            self.deletes = false;
        }
        if self.row != binding.call.row() {
            self.row = binding.call.row();
            self.before = self.changes.len();
        }
        Ok(())
    }

    fn change_of(&mut self, change: Change) {
        let last = &mut self.last[change.key as usize];
        // A key often sets the same timer again and again.
        let is_said = (*last as usize).checked_sub(1);
        if is_said.and_then(|last| self.changes.get(last)) == Some(&change) {
            return;
        }
        self.changes.push(change);
        *last = self.changes.len() as u32;
        self.deletes |= !change.set;
    }
}

impl KeyTimers<'_> {
    /// Sets a timer for a key, see [`Timers::set_event`].
    #[inline]
    pub fn set_event(&mut self, key: usize, at: i64) {
        self.change(key, TimerKind::EventTime, at, true);
    }

    /// Sets a timer for a key, see [`Timers::set_processing`].
    #[inline]
    pub fn set_processing(&mut self, key: usize, at: i64) {
        self.change(key, TimerKind::ProcessingTime, at, true);
    }

    /// Deletes a timer of a key. If it is not set, this does nothing.
    #[inline]
    pub fn delete_event(&mut self, key: usize, at: i64) {
        self.change(key, TimerKind::EventTime, at, false);
    }

    /// Deletes a timer of a key. If it is not set, this does nothing.
    #[inline]
    pub fn delete_processing(&mut self, key: usize, at: i64) {
        self.change(key, TimerKind::ProcessingTime, at, false);
    }

    #[inline]
    fn change(&mut self, key: usize, kind: TimerKind, at: i64, set: bool) {
        let key = key as u32;
        self.timers.change_of(Change { kind, key, at, set });
    }
}

impl Default for Timers {
    fn default() -> Self {
        made_handle::<Self>();
        Self {
            binding: None,
            changes: Vec::new(),
            last: Vec::new(),
            deletes: false,
            before: 0,
            row: 0,
            call: 0,
        }
    }
}

impl Handle for Timers {
    fn bind(&mut self, binding: Binding) -> bool {
        self.binding.replace(binding).is_none()
    }

    fn rollback(&mut self) {
        let binding = self.binding.as_ref();
        if binding.is_some_and(|binding| binding.call.row() == self.row) {
            self.changes.truncate(self.before);
        }
    }

    fn flush(&mut self, _slots: &mut Vec<Slots>) -> Result<()> {
        let Some(binding) = self.binding.as_ref() else {
            return Ok(());
        };
        if self.call != binding.call.number() || self.changes.is_empty() {
            return Ok(());
        }
        // Of each timer the last word counts; then the order of calls does not matter. Where none
        // is deleted there is but one word on each, and the host puts them in order anyway.
        let of = |change: &Change| (change.kind as u8, change.key, change.at);
        if self.deletes || self.changes.len() > UNSORTED_MOST {
            self.changes.sort_by_key(of);
        }
        for kind in [TimerKind::EventTime, TimerKind::ProcessingTime] {
            for set in [true, false] {
                let (mut keys, mut at) = (Vec::new(), Vec::new());
                let timers = self.changes.chunk_by(|a, b| of(a) == of(b));
                for last in timers.filter_map(<[Change]>::last) {
                    if last.kind == kind && last.set == set {
                        keys.push(last.key);
                        at.push(last.at);
                    }
                }
                if keys.is_empty() {
                    continue;
                }
                let host = &binding.call.host;
                match set {
                    true => host.timers_register(kind, &keys, &at),
                    false => host.timers_delete(kind, &keys, &at),
                }
            }
        }
        self.changes.clear();
        Ok(())
    }
}

/// Timers are used as those of the key in hand, and there is none.
#[cold]
fn no_key(is_batch: bool) -> Error {
    Error::fatal(match is_batch {
        true => {
            "timers belong to keys: in a function for batches they are set and deleted by \
             `Timers::of_keys`"
        }
        false => {
            "timers belong to keys: they can be set and deleted only while a row or a timer of one \
             is processed"
        }
    })
}

/// A timer fires, and the operator does nothing about it.
#[cold]
pub(crate) fn no_on_timer(timer: Timer) -> Error {
    Error::fatal(format_args!(
        "a timer is due at {}, and the operator has no `on_timer`",
        timer.at
    ))
}

#[cfg(test)]
mod tests;
