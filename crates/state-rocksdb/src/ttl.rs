//! Cleaning up what has expired (D16) while RocksDB compacts its files anyway.
//!
//! A value of a state with a time to live begins with the time of its last access, 8 bytes, big
//! endian: a cell, an entry of a map, an element of a list. Reading filters as well, above the
//! backend: this only gives space back.
//!
//! INVARIANT: the time is never the system's. It is the latest that the job told this backend, so
//! that what a test or a replay sees does not depend on when a compaction ran.

use std::{
    ffi::CStr,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
};

use rocksdb::{
    CompactionDecision,
    compaction_filter::CompactionFilter,
    compaction_filter_factory::{CompactionFilterContext, CompactionFilterFactory},
};
use weir_model::ProcessingTime;
use weir_state::backends::{Reader, Shape};

/// The bytes of the time of last access.
pub(crate) const STAMP_BYTES: usize = 8;

/// The processing time that a backend knows of, shared with its compactions.
#[derive(Clone, Debug)]
pub(crate) struct Clock(Arc<AtomicI64>);

impl Clock {
    /// A clock that no time was told yet: nothing has expired.
    pub(crate) fn new() -> Self {
        Self(Arc::new(AtomicI64::new(i64::MIN)))
    }

    /// Tells the time. It may go back, as processing time may: then less has expired.
    pub(crate) fn set(&self, now: ProcessingTime) {
        self.0.store(now.0, Ordering::Relaxed);
    }

    pub(crate) fn now(&self) -> ProcessingTime {
        ProcessingTime(self.0.load(Ordering::Relaxed))
    }
}

/// Makes a filter for each compaction.
pub(crate) struct ExpiredFactory {
    shape: Shape,
    ttl_ms: u64,
    clock: Clock,
}

impl ExpiredFactory {
    pub(crate) fn new(shape: Shape, ttl_ms: u64, clock: Clock) -> Self {
        Self {
            shape,
            ttl_ms,
            clock,
        }
    }
}

impl CompactionFilterFactory for ExpiredFactory {
    type Filter = Expired;

    fn create(&mut self, _context: CompactionFilterContext) -> Expired {
        Expired::at(self.shape, self.ttl_ms, self.clock.now())
    }

    fn name(&self) -> &CStr {
        c"weir.expired"
    }
}

/// Drops what has expired at the time at which its compaction began.
pub(crate) struct Expired {
    shape: Shape,
    ttl_ms: u64,
    now_ms: i64,
    kept: Vec<u8>,
}

/// What is left of a value.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Left {
    All,
    /// Some elements of a list: those that were kept.
    Some,
    Nothing,
}

impl Expired {
    /// What has expired at a time.
    pub(crate) fn at(shape: Shape, ttl_ms: u64, now: ProcessingTime) -> Self {
        Self {
            shape,
            ttl_ms,
            now_ms: now.0,
            kept: Vec::new(),
        }
    }

    /// The elements that were left of the last list.
    pub(crate) fn kept(&self) -> &[u8] {
        &self.kept
    }

    /// Looks at a value as it lies in the database.
    pub(crate) fn look_at(&mut self, value: &[u8]) -> Left {
        let (ttl_ms, now_ms) = (self.ttl_ms, self.now_ms);
        let expired = |value: &[u8]| match value.first_chunk::<STAMP_BYTES>() {
            Some(last) => i64::from_be_bytes(*last).saturating_add_unsigned(ttl_ms) <= now_ms,
            // None of ours: it is not for this to judge it.
            None => false,
        };
        match self.shape {
            Shape::Cell | Shape::Map if expired(value) => Left::Nothing,
            Shape::Cell | Shape::Map | Shape::Timers | Shape::Foreign => Left::All,
            Shape::List => {
                self.kept.clear();
                let mut reader = Reader::new(value);
                while !reader.is_empty() {
                    let before = value.len() - reader.len();
                    let Some(element) = reader.bytes() else {
                        return Left::All;
                    };
                    if !expired(element) {
                        let after = value.len() - reader.len();
                        self.kept.extend_from_slice(&value[before..after]);
                    }
                }
                match self.kept.len() {
                    0 => Left::Nothing,
                    len if len == value.len() => Left::All,
                    _ => Left::Some,
                }
            }
        }
    }
}

impl CompactionFilter for Expired {
    fn filter(&mut self, _level: u32, _key: &[u8], value: &[u8]) -> CompactionDecision {
        match self.look_at(value) {
            Left::All => CompactionDecision::Keep,
            Left::Nothing => CompactionDecision::Remove,
            Left::Some => CompactionDecision::Change(for_rocksdb(&self.kept)),
        }
    }

    fn name(&self) -> &CStr {
        c"weir.expired"
    }
}

/// Hands bytes to RocksDB, whose binding asks for bytes that live for ever.
#[expect(
    unsafe_code,
    reason = "the binding asks for 'static bytes, that would have to be leaked"
)]
fn for_rocksdb(kept: &[u8]) -> &'static [u8] {
    // SAFETY: RocksDB copies them as soon as `filter` has returned (`new_value->assign` in its
    // `db/c.cc`), before it calls the filter again or drops it; nothing else touches `kept`.
    unsafe { std::slice::from_raw_parts(kept.as_ptr(), kept.len()) }
}

#[cfg(test)]
mod tests {
    use weir_state::backends::put_bytes;

    use super::*;

    fn stamped(last: i64, value: &[u8]) -> Vec<u8> {
        [&last.to_be_bytes()[..], value].concat()
    }

    fn filter(shape: Shape, ttl_ms: u64, now_ms: i64) -> Expired {
        let clock = Clock::new();
        clock.set(ProcessingTime(now_ms));
        let mut factory = ExpiredFactory::new(shape, ttl_ms, clock);
        factory.create(CompactionFilterContext {
            is_full_compaction: true,
            is_manual_compaction: true,
        })
    }

    #[test]
    fn a_value_goes_exactly_when_its_time_is_over() {
        for shape in [Shape::Cell, Shape::Map] {
            let value = stamped(50, b"v");
            assert_eq!(filter(shape, 100, 149).look_at(&value), Left::All);
            assert_eq!(filter(shape, 100, 150).look_at(&value), Left::Nothing);
            let for_ever = filter(shape, u64::MAX, i64::MAX - 1).look_at(&value);
            assert_eq!(for_ever, Left::All, "no overflow");
            assert_eq!(filter(shape, 1, i64::MAX).look_at(b"short"), Left::All);
        }
    }

    #[test]
    fn of_a_list_the_elements_go_one_by_one() {
        let mut list = Vec::new();
        put_bytes(&mut list, &stamped(0, b"a"));
        let b = list.len();
        put_bytes(&mut list, &stamped(50, b"b"));
        assert_eq!(filter(Shape::List, 100, 99).look_at(&list), Left::All);
        let mut some = filter(Shape::List, 100, 100);
        assert_eq!(some.look_at(&list), Left::Some);
        assert_eq!(some.kept, list[b..]);
        assert_eq!(filter(Shape::List, 100, 150).look_at(&list), Left::Nothing);
        assert_eq!(filter(Shape::List, 100, 150).look_at(&[9, 1]), Left::All);
    }

    #[test]
    fn without_a_time_nothing_has_expired() {
        let mut factory = ExpiredFactory::new(Shape::Cell, 1, Clock::new());
        let mut filter = factory.create(CompactionFilterContext {
            is_full_compaction: true,
            is_manual_compaction: true,
        });
        assert_eq!(filter.look_at(&stamped(i64::MIN + 5, b"")), Left::All);
    }
}
