//! Two processes on one job, in both orders, with the store failing in between.

use std::{sync::Barrier, thread};

use weir_checkpoint::testing::{Asked, Fault, Hooked, MemoryStore};
use weir_model::{CheckpointId, Name};

use super::*;

fn job() -> JobPaths {
    JobPaths::new(&Name::new("job").unwrap())
}

fn take(store: &Arc<MemoryStore>) -> EpochLock {
    EpochLock::acquire(store.clone(), &job()).unwrap()
}

fn metadata(n: u64) -> String {
    job().metadata(CheckpointId(n))
}

#[test]
fn d28_who_comes_second_fences_who_was_first() {
    let store = Arc::new(MemoryStore::new());
    let first = take(&store);
    assert_eq!(first.next_attempt().unwrap(), Attempt(1));
    let theirs = first.store();
    theirs.put(&metadata(1), vec![]).unwrap();
    let second = take(&store);
    // Files may be there already: they are garbage to whoever runs the job.
    theirs.put("job/chk-2/x/0/state", vec![]).unwrap();
    for result in [
        theirs.put(&metadata(2), vec![]),
        theirs.delete(&metadata(1)),
    ] {
        let error = result.unwrap_err();
        assert_eq!(error.refusal().unwrap().code(), "W0134", "{error}");
        let told = error.to_string();
        assert!(
            told.contains(&format!("process {}", std::process::id())),
            "{told}"
        );
    }
    assert!(matches!(
        first.next_attempt(),
        Err(LockError::Superseded { .. })
    ));
    assert!(store.get(&metadata(1)).is_ok() && store.get(&metadata(2)).is_err());
    // The second goes on as if it were alone.
    assert_eq!(second.next_attempt().unwrap(), Attempt(2));
    second.store().put(&metadata(3), vec![]).unwrap();
    second.store().delete(&metadata(1)).unwrap();
    assert_eq!(second.next_attempt().unwrap(), Attempt(3));
    second.store().put(&metadata(4), vec![]).unwrap();
}

#[test]
fn d28_who_was_first_stays_fenced_however_many_come_and_go() {
    let store = Arc::new(MemoryStore::new());
    let first = take(&store);
    first.next_attempt().unwrap();
    for _ in 0..3 {
        let next = take(&store);
        next.next_attempt().unwrap();
        next.next_attempt().unwrap();
    }
    // Its own epoch and the one above are gone by now.
    assert_eq!(store.paths(), [job().epoch(7)]);
    assert!(first.store().put(&metadata(1), vec![]).is_err());
    // Nor may it where somebody has tidied everything away.
    store.delete(&job().epoch(7)).unwrap();
    assert!(first.store().put(&metadata(1), vec![]).is_err());
}

#[test]
fn d28_of_two_that_come_at_once_one_is_refused() {
    for _ in 0..20 {
        let store = Arc::new(MemoryStore::new());
        take(&store);
        let start = Barrier::new(2);
        let come = || {
            start.wait();
            EpochLock::acquire(store.clone(), &job())
        };
        let (one, other) = thread::scope(|scope| {
            let one = scope.spawn(come);
            let other = scope.spawn(come);
            (one.join().unwrap(), other.join().unwrap())
        });
        // Or one after the other, and the first is fenced.
        let both = [&one, &other];
        let holders = both.iter().filter_map(|lock| lock.as_ref().ok());
        let running: Vec<_> = holders.filter(|lock| lock.next_attempt().is_ok()).collect();
        assert_eq!(running.len(), 1, "{one:?} {other:?}");
        for refused in both.iter().filter_map(|lock| lock.as_ref().err()) {
            assert!(
                matches!(
                    refused,
                    LockError::Held {
                        holder: Some(_),
                        ..
                    }
                ),
                "{refused}"
            );
        }
    }
}

/// A store where others take the job and begin `attempts` before `epoch-<number>` is created.
fn late(store: &Arc<MemoryStore>, number: u64, attempts: u32) -> Arc<Hooked> {
    let (others, created) = (store.clone(), AtomicU64::new(0));
    Hooked::new(store, move |asked, path| {
        let is_it = asked == Asked::Write && path == job().epoch(number);
        if is_it && created.fetch_add(1, Ordering::Relaxed) == 0 {
            let lock = take(&others);
            for _ in 0..attempts {
                lock.next_attempt().unwrap();
            }
        }
        Ok(())
    })
}

#[test]
fn an_epoch_that_is_created_when_higher_ones_were_there_is_nobodys() {
    let store = Arc::new(MemoryStore::new());
    take(&store);
    // Others have come to 4 when 2 is created, which is free again.
    let refused = EpochLock::acquire(late(&store, 2, 3), &job());
    assert!(
        matches!(refused, Err(LockError::Held { .. })),
        "{refused:?}"
    );
    assert_eq!(store.paths(), [job().epoch(4)]);
    // The same to one that runs the job, and begins again.
    let lock = EpochLock::acquire(late(&store, 6, 3), &job()).unwrap();
    assert_eq!(lock.next_attempt().unwrap(), Attempt(5));
    let refused = lock.next_attempt();
    assert!(
        matches!(refused, Err(LockError::Superseded { .. })),
        "{refused:?}"
    );
    assert_eq!(store.paths(), [job().epoch(8)]);
}

#[test]
fn d28_who_is_superseded_leaves_no_mark_of_whoever_runs_the_job() {
    let store = Arc::new(MemoryStore::new());
    let first = take(&store);
    first.next_attempt().unwrap();
    let theirs = first.store();
    theirs.check_owner().unwrap();
    let marks = [
        job().begin(1),
        job().finished(),
        job().committed(CheckpointId(1)),
    ];
    take(&store);
    for path in marks {
        assert!(theirs.put(&path, vec![]).is_err(), "{path}");
        assert!(store.get(&path).is_err(), "{path}");
    }
    assert!(theirs.check_owner().is_err());
}

#[test]
fn an_epoch_whose_writing_was_reported_as_failed_is_the_own_one_if_it_is_there() {
    for (fault, works) in [
        (Fault::LoseReply, true),
        (Fault::Refuse, false),
        (Fault::Tear, false),
    ] {
        let store = Arc::new(MemoryStore::new());
        store.inject(1, fault);
        let lock = EpochLock::acquire(store.clone(), &job());
        assert_eq!(lock.is_ok(), works, "{fault:?}");
        if let Ok(lock) = lock {
            lock.store().put(&metadata(1), vec![]).unwrap();
        }
        // Whatever is left of it, the next one gets past it.
        let next = take(&store);
        next.next_attempt().unwrap();
        next.store().put(&metadata(2), vec![]).unwrap();
    }
}

#[test]
fn a_store_that_cannot_be_asked_is_not_written_to() {
    let store = Arc::new(MemoryStore::new());
    let lock = take(&store);
    store.inject(1, Fault::Freeze);
    assert!(store.put("other/x", vec![]).is_err());
    assert!(lock.store().put(&metadata(1), vec![]).is_err());
    store.thaw();
    lock.store().put(&metadata(1), vec![]).unwrap();
}
