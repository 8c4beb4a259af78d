//! What was received and not read: the queue between the thread of a connection and the task.
//!
//! INVARIANT: it never holds more than [`Queue::MAX_BYTES`]; whoever adds to it waits for room, and
//! no longer than the reader lives.

use std::{
    collections::VecDeque,
    io,
    net::{Shutdown, TcpStream},
    sync::{Condvar, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use weir_operator::{Failure, Waker};

/// Something that came in.
#[derive(Debug)]
pub(super) enum Arrival {
    /// These bytes of the current connection.
    Bytes(Vec<u8>),
    /// The server has closed the connection: its bytes are complete.
    Closed,
    /// The connection has broken: what it brought may end anywhere.
    Broken,
    /// There will be no further connection.
    Failed(Failure),
}

/// The queue. The thread of the connection puts in, the task takes out.
#[derive(Default)]
pub(super) struct Queue {
    inner: Mutex<Inner>,
    /// There is room again, or the reader is gone.
    changed: Condvar,
}

#[derive(Default)]
struct Inner {
    arrivals: VecDeque<Arrival>,
    /// What the arrivals weigh.
    weight: usize,
    wake: Option<Waker>,
    /// The open connection, so that a read of it can be ended.
    stream: Option<TcpStream>,
    /// The reader is gone.
    over: bool,
}

impl Queue {
    /// How much is received ahead of the task: some batches, so that both are busy.
    pub(super) const MAX_BYTES: usize = 1024 * 1024;

    /// How much is received at once.
    pub(super) const CHUNK_BYTES: usize = 64 * 1024;

    /// What the task is woken by.
    pub(super) fn set_waker(&self, wake: Waker) {
        self.lock().wake = Some(wake);
    }

    /// The oldest that is there.
    pub(super) fn take(&self) -> Option<Arrival> {
        let mut inner = self.lock();
        let arrival = inner.arrivals.pop_front()?;
        inner.weight -= arrival.weight();
        drop(inner);
        self.changed.notify_all();
        Some(arrival)
    }

    /// Waits until a chunk has room; `false` = the reader is gone.
    pub(super) fn wait_for_room(&self) -> bool {
        let full = |inner: &mut Inner| {
            inner.weight + Self::CHUNK_BYTES + size_of::<Arrival>() > Self::MAX_BYTES
        };
        let inner = self
            .changed
            .wait_while(self.lock(), |inner| !inner.over && full(inner))
            .unwrap_or_else(PoisonError::into_inner);
        !inner.over
    }

    /// Adds bytes, at most a chunk of them, after [`wait_for_room`](Self::wait_for_room).
    pub(super) fn add_bytes(&self, bytes: &[u8]) {
        let mut inner = self.lock();
        // Small pieces are put together, so that a task that is behind takes much at once.
        if let Some(Arrival::Bytes(last)) = inner.arrivals.back_mut()
            && last.len() + bytes.len() <= Self::CHUNK_BYTES
        {
            last.extend_from_slice(bytes);
            inner.weight += bytes.len();
            return;
        }
        self.add(inner, Arrival::Bytes(bytes.to_vec()));
    }

    /// Adds what is not bytes.
    pub(super) fn tell(&self, arrival: Arrival) {
        self.add(self.lock(), arrival);
    }

    fn add(&self, mut inner: MutexGuard<'_, Inner>, arrival: Arrival) {
        inner.weight += arrival.weight();
        inner.arrivals.push_back(arrival);
        // A task that found nothing waits; one that has more to take is not waiting.
        let wake = inner.wake.clone().filter(|_| inner.arrivals.len() == 1);
        drop(inner);
        if let Some(wake) = wake {
            wake();
        }
    }

    /// Waits for a time; `false` = the reader is gone.
    pub(super) fn pause(&self, time: Duration) -> bool {
        let until = Instant::now() + time;
        let mut inner = self.lock();
        while !inner.over {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            let waited = self.changed.wait_timeout(inner, left);
            (inner, _) = waited.unwrap_or_else(PoisonError::into_inner);
        }
        !inner.over
    }

    /// Remembers the open connection; `false` = the reader is gone.
    pub(super) fn connected(&self, stream: &TcpStream) -> io::Result<bool> {
        let stream = stream.try_clone()?;
        let mut inner = self.lock();
        if !inner.over {
            inner.stream = Some(stream);
        }
        Ok(!inner.over)
    }

    /// The connection is over.
    pub(super) fn disconnected(&self) {
        self.lock().stream = None;
    }

    /// Whether the reader is gone.
    pub(super) fn is_over(&self) -> bool {
        self.lock().over
    }

    /// The reader is gone: ends whatever the thread waits for.
    pub(super) fn end(&self) {
        let mut inner = self.lock();
        inner.over = true;
        if let Some(stream) = inner.stream.take() {
            // One that is closed already need not be.
            let _ = stream.shutdown(Shutdown::Both);
        }
        drop(inner);
        self.changed.notify_all();
    }

    /// What is held.
    #[cfg(test)]
    pub(super) fn weight(&self) -> usize {
        self.lock().weight
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // Every holder leaves it whole at each step, so that a panic of one spoils nothing.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Arrival {
    fn weight(&self) -> usize {
        let bytes = match self {
            Self::Bytes(bytes) => bytes.len(),
            Self::Closed | Self::Broken | Self::Failed(_) => 0,
        };
        bytes + size_of::<Self>()
    }
}

#[cfg(test)]
mod tests {
    use std::{
        sync::{
            Arc,
            atomic::{AtomicUsize, Ordering},
        },
        thread,
    };

    use super::*;

    #[test]
    fn no_more_is_held_than_there_is_room_for() {
        let queue = Arc::new(Queue::default());
        let chunk = vec![b'x'; Queue::CHUNK_BYTES];
        let mut added = 0;
        while queue.lock().weight + chunk.len() + size_of::<Arrival>() <= Queue::MAX_BYTES {
            assert!(queue.wait_for_room());
            queue.add_bytes(&chunk);
            added += chunk.len();
        }
        assert!(queue.lock().weight <= Queue::MAX_BYTES);
        assert!(added > Queue::MAX_BYTES / 2);
        let waiting = thread::spawn({
            let queue = Arc::clone(&queue);
            move || queue.wait_for_room()
        });
        assert!(matches!(queue.take(), Some(Arrival::Bytes(bytes)) if bytes == chunk));
        assert!(waiting.join().unwrap());
    }

    #[test]
    fn whoever_waits_goes_when_the_reader_is_gone() {
        let queue = Arc::new(Queue::default());
        while queue.lock().weight + Queue::CHUNK_BYTES < Queue::MAX_BYTES {
            queue.add_bytes(&vec![b'x'; Queue::CHUNK_BYTES]);
        }
        let waiting: Vec<_> = (0..2)
            .map(|kind| {
                let queue = Arc::clone(&queue);
                thread::spawn(move || match kind {
                    0 => queue.wait_for_room(),
                    _ => queue.pause(Duration::from_secs(3600)),
                })
            })
            .collect();
        queue.end();
        for waiting in waiting {
            assert!(!waiting.join().unwrap());
        }
    }

    #[test]
    fn the_task_is_woken_once_for_what_it_has_not_taken() {
        let queue = Queue::default();
        let woken = Arc::new(AtomicUsize::new(0));
        queue.set_waker({
            let woken = Arc::clone(&woken);
            Arc::new(move || {
                woken.fetch_add(1, Ordering::Relaxed);
            })
        });
        queue.add_bytes(b"a\n");
        queue.add_bytes(b"b\n");
        queue.tell(Arrival::Closed);
        assert_eq!(woken.load(Ordering::Relaxed), 1);
        assert!(matches!(queue.take(), Some(Arrival::Bytes(bytes)) if bytes == b"a\nb\n"));
        assert!(matches!(queue.take(), Some(Arrival::Closed)));
        assert!(queue.take().is_none());
        assert_eq!(queue.lock().weight, 0);
        queue.add_bytes(b"c\n");
        assert_eq!(woken.load(Ordering::Relaxed), 2);
    }
}
