//! The receiving end of all channels of one task.
//!
//! A channel has a budget in bytes. A sender may go past it by what one call emits (D5: a task
//! never suspends inside a call), and then takes no further batch until the channel is below its
//! budget again. That is the only back-pressure there is.
//!
//! INVARIANT: elements of one channel come out in the order in which they went in.

use std::{
    collections::VecDeque,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use tokio::sync::Notify;
use weir_model::Element;

/// What an element without rows counts against the budget, so that a channel of nothing but
/// watermarks is bounded as well.
const PLAIN_WEIGHT: usize = 64;

/// The receiving end of the channels of one task.
pub(crate) struct Gate {
    shared: Arc<Shared>,
    /// Where the last element came from; the next look begins behind it, so that no channel
    /// starves.
    last: usize,
}

/// The sending end of one channel.
pub(crate) struct Sender {
    shared: Arc<Shared>,
    channel: usize,
    over: Arc<AtomicBool>,
}

struct Shared {
    channels: Mutex<Vec<Channel>>,
    /// Wakes the receiving task.
    wake: Arc<Notify>,
}

struct Channel {
    queue: VecDeque<Element>,
    bytes: usize,
    budget: usize,
    /// Whether the sender was told that it is over budget.
    over: Arc<AtomicBool>,
    /// Wakes the sending task.
    sender: Arc<Notify>,
}

impl Gate {
    /// A gate without channels; `wake` is notified when there is something new.
    pub(crate) fn new(wake: Arc<Notify>) -> Self {
        let shared = Shared {
            channels: Mutex::new(Vec::new()),
            wake,
        };
        Self {
            shared: Arc::new(shared),
            last: 0,
        }
    }

    /// Adds a channel with a budget; `sender` is notified when it falls below it again.
    pub(crate) fn channel(&self, budget: usize, sender: Arc<Notify>) -> Sender {
        let over = Arc::new(AtomicBool::new(false));
        let mut channels = self.shared.lock();
        channels.push(Channel {
            queue: VecDeque::new(),
            bytes: 0,
            budget,
            over: over.clone(),
            sender,
        });
        Sender {
            shared: self.shared.clone(),
            channel: channels.len() - 1,
            over,
        }
    }

    /// Number of channels.
    pub(crate) fn channels(&self) -> usize {
        self.shared.lock().len()
    }

    /// The next element of a channel that is not `blocked`; where `batches` is false, a channel
    /// with a batch at its head is passed over.
    pub(crate) fn next(
        &mut self,
        blocked: impl Fn(usize) -> bool,
        batches: bool,
    ) -> Option<(usize, Element)> {
        let mut channels = self.shared.lock();
        let count = channels.len();
        for i in 1..=count {
            let index = (self.last + i) % count;
            if blocked(index) {
                continue;
            }
            let channel = &mut channels[index];
            if !batches && matches!(channel.queue.front(), Some(Element::Batch(_))) {
                continue;
            }
            if let Some(element) = channel.queue.pop_front() {
                channel.bytes -= weight(&element);
                if channel.bytes < channel.budget && channel.over.load(Ordering::Relaxed) {
                    channel.over.store(false, Ordering::Release);
                    channel.sender.notify_one();
                }
                self.last = index;
                return Some((index, element));
            }
        }
        None
    }
}

impl Sender {
    /// Puts an element in, past the budget if need be.
    pub(crate) fn send(&self, element: Element) {
        let mut channels = self.shared.lock();
        let channel = &mut channels[self.channel];
        channel.bytes += weight(&element);
        let was_empty = channel.queue.is_empty();
        channel.queue.push_back(element);
        if channel.bytes >= channel.budget {
            channel.over.store(true, Ordering::Release);
        }
        drop(channels);
        if was_empty {
            self.shared.wake.notify_one();
        }
    }

    /// Whether the channel is over its budget, so that its sender should take no further batch.
    pub(crate) fn is_over(&self) -> bool {
        self.over.load(Ordering::Acquire)
    }
}

impl Shared {
    /// No code between lock and unlock can panic half way through a change.
    fn lock(&self) -> MutexGuard<'_, Vec<Channel>> {
        self.channels.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn weight(element: &Element) -> usize {
    match element {
        Element::Batch(batch) => PLAIN_WEIGHT + batch.weight(),
        Element::Watermark(_)
        | Element::Idle(_)
        | Element::Barrier(_)
        | Element::Cancel(_)
        | Element::EndOfData
        | Element::EndOfChannel => PLAIN_WEIGHT,
    }
}
