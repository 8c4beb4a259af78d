//! The receiving end of all channels of one task.
//!
//! A channel has a budget in bytes. A sender may go past it by what one call emits (D5: a task
//! never suspends inside a call), and then takes no further batch until a quarter of the budget is
//! free again. That is the only back-pressure there is.
//!
//! Barriers that may overtake are announced as soon as they are put in. What a checkpoint records
//! of a channel is what was taken out of it since its snapshot and what waits in it before the
//! barrier: batches by reference, so no row is copied (D5).
//!
//! What was in flight when a checkpoint was taken that the job begins with is in *recovery
//! channels*, which come behind the others, without a sender.
//!
//! INVARIANT: elements of one channel come out in the order in which they went in; a barrier is not
//! announced before those in front of it were announced or taken.

use std::{
    collections::VecDeque,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use tokio::{
    runtime::{Handle, RuntimeFlavor},
    sync::Notify,
};
use weir_model::{Barrier, CheckpointId, Element, Passage};

use super::{
    recording::{Recorded, Recording},
    turns::{Head, Turns},
};

/// What an element without rows counts against the budget, so that a channel of nothing but
/// watermarks is bounded as well.
const PLAIN_WEIGHT: usize = 64;
/// From so many bytes on a batch is worth another thread.
const LARGE: usize = 16 << 10;

/// Below how many bytes in a channel its sender is told that there is room again. To wake a thread
/// costs as much as some thousand rows do: where batches are small it is not done for each.
fn low_mark(budget: usize) -> usize {
    budget - budget / 4
}

/// The receiving end of the channels of one task.
pub(crate) struct Gate {
    shared: Arc<Shared>,
    turns: Turns,
    /// What was in flight, by recovery channel; each ends with [`Element::EndOfChannel`].
    recovery: Vec<VecDeque<Element>>,
    recording: Option<Recording>,
}

/// An element that was announced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Announced {
    Barrier(Barrier),
    Cancel(CheckpointId),
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
    /// Whether barriers are announced.
    announces: bool,
    /// Whether there is something to announce.
    news: AtomicBool,
}

struct Channel {
    queue: VecDeque<Element>,
    /// The barriers and cancel markers in the queue that were not announced, in order.
    marks: VecDeque<Announced>,
    bytes: usize,
    budget: usize,
    /// Whether the sender goes on past its budget.
    is_relaxed: bool,
    /// Whether the sender was told that it is over budget.
    over: Arc<AtomicBool>,
    /// Wakes the sending task.
    sender: Arc<Notify>,
}

impl Gate {
    /// A gate without channels; `wake` is notified when there is something new. Barriers that may
    /// overtake are announced if it `announces`.
    pub(crate) fn new(wake: Arc<Notify>, announces: bool) -> Self {
        let shared = Shared {
            channels: Mutex::new(Vec::new()),
            wake,
            announces,
            news: AtomicBool::new(false),
        };
        Self {
            shared: Arc::new(shared),
            turns: Turns::default(),
            recovery: Vec::new(),
            recording: None,
        }
    }

    /// Adds a channel with a budget; `sender` is notified when it has been over it, and a quarter
    /// of it is free again.
    pub(crate) fn channel(&self, budget: usize, sender: Arc<Notify>) -> Sender {
        let over = Arc::new(AtomicBool::new(false));
        let mut channels = self.shared.lock();
        channels.push(Channel {
            queue: VecDeque::new(),
            marks: VecDeque::new(),
            bytes: 0,
            budget,
            is_relaxed: false,
            over: over.clone(),
            sender,
        });
        Sender {
            shared: self.shared.clone(),
            channel: channels.len() - 1,
            over,
        }
    }

    /// Number of channels, those of recovery left out.
    pub(crate) fn channels(&self) -> usize {
        self.shared.lock().len()
    }

    /// Adds a recovery channel, numbered behind all others; when its last element was taken it
    /// gives [`Element::EndOfChannel`]. One is emptied before the next is begun.
    pub(crate) fn recover(&mut self, elements: impl IntoIterator<Item = Element>) {
        let ended = elements.into_iter().chain([Element::EndOfChannel]);
        self.recovery.push(ended.collect());
    }

    /// The next element of a channel that is not `blocked`; where `batches` is false, a channel
    /// with a batch at its head is passed over. What is recovered comes first.
    pub(crate) fn next(
        &mut self,
        blocked: impl Fn(usize) -> bool,
        batches: bool,
    ) -> Option<(usize, Element)> {
        let (channel, element) = match self.recovered(batches) {
            Some(recovered) => recovered,
            None => self.received(blocked, batches)?,
        };
        if let Some(recording) = &mut self.recording {
            recording.taken(channel, &element);
        }
        Some((channel, element))
    }

    fn recovered(&mut self, batches: bool) -> Option<(usize, Element)> {
        if self.recovery.is_empty() {
            return None;
        }
        let takes = |queue: &VecDeque<Element>| match queue.front() {
            Some(Element::Batch(_)) => batches,
            other => other.is_some(),
        };
        let Some(at) = self.recovery.iter().position(takes) else {
            if self.recovery.iter().all(VecDeque::is_empty) {
                self.recovery.clear();
            }
            return None;
        };
        let element = self.recovery[at].pop_front()?;
        Some((self.channels() + at, element))
    }

    fn received(
        &mut self,
        blocked: impl Fn(usize) -> bool,
        batches: bool,
    ) -> Option<(usize, Element)> {
        let mut channels = self.shared.lock();
        let index = self.turns.next(channels.len(), |index| {
            let element = channels[index].queue.front()?;
            let is_batch = matches!(element, Element::Batch(_));
            let may_come = !blocked(index) && (batches || !is_batch);
            may_come.then(|| Head::of(element))
        })?;
        let channel = &mut channels[index];
        let element = channel.queue.pop_front()?;
        channel.bytes -= weight(&element);
        let is_low = channel.bytes < low_mark(channel.budget);
        if is_low && channel.over.load(Ordering::Relaxed) {
            channel.over.store(false, Ordering::Release);
            wake_elsewhere(&channel.sender);
        }
        if channel.took(&element) {
            self.shared.news.store(true, Ordering::Release);
        }
        Some((index, element))
    }

    /// Says of each channel whether its sender goes on past its budget while the channel is
    /// blocked. What is put in meanwhile is as much as has to pass before the task goes on.
    pub(crate) fn relax(&mut self, is_relaxed: impl Fn(usize) -> bool) {
        let mut channels = self.shared.lock();
        for (index, channel) in channels.iter_mut().enumerate() {
            let relaxed = is_relaxed(index);
            if channel.is_relaxed == relaxed {
                continue;
            }
            channel.is_relaxed = relaxed;
            let is_over = channel.bytes >= channel.budget && !relaxed;
            channel.over.store(is_over, Ordering::Release);
            if !is_over {
                channel.sender.notify_one();
            }
        }
    }

    /// Whether something is to be announced.
    pub(crate) fn has_news(&self) -> bool {
        self.shared.news.load(Ordering::Acquire)
    }

    /// What was put in since it was last asked: barriers that may overtake, and cancel markers.
    pub(crate) fn announcements(&mut self) -> Vec<(usize, Announced)> {
        let mut channels = self.shared.lock();
        self.shared.news.store(false, Ordering::Release);
        let mut all = Vec::new();
        for (index, channel) in channels.iter_mut().enumerate() {
            while let Some(mark) = channel.marks.pop_front_if(|mark| mark.is_told()) {
                all.push((index, mark));
            }
        }
        all
    }

    /// Begins to record for a checkpoint: what is recovered at once, other channels as they are
    /// [named](Self::record). `in_hand` is what of its batch the task has not processed.
    pub(crate) fn begin_recording(&mut self, id: CheckpointId, in_hand: Option<(usize, Recorded)>) {
        let channels = self.channels();
        let mut recording = Recording::new(id, channels + self.recovery.len(), in_hand);
        (channels..channels + self.recovery.len()).for_each(|channel| recording.begin(channel));
        self.recording = Some(recording);
    }

    /// Records a channel up to the barrier, from now on.
    pub(crate) fn record(&mut self, channel: usize) {
        if let Some(recording) = &mut self.recording {
            recording.begin(channel);
        }
    }

    /// What was recorded of each channel, and what waits there before the barrier.
    pub(crate) fn end_recording(&mut self) -> Vec<(usize, Vec<Recorded>)> {
        let Some(mut recording) = self.recording.take() else {
            return Vec::new();
        };
        let channels = self.shared.lock();
        let queues = channels.iter().map(|channel| &channel.queue);
        for (index, queue) in queues.chain(&self.recovery).enumerate() {
            recording.waiting(index, queue);
        }
        recording.finish(channels.len())
    }

    /// Drops what was recorded.
    pub(crate) fn drop_recording(&mut self) {
        self.recording = None;
    }
}

impl Sender {
    /// Puts an element in, past the budget if need be.
    pub(crate) fn send(&self, element: Element) {
        let mut channels = self.shared.lock();
        let channel = &mut channels[self.channel];
        let weight = weight(&element);
        channel.bytes += weight;
        let was_empty = channel.queue.is_empty();
        let is_news = self.shared.announces && channel.mark(&element);
        channel.queue.push_back(element);
        if channel.bytes >= channel.budget && !channel.is_relaxed {
            channel.over.store(true, Ordering::Release);
        }
        if is_news {
            self.shared.news.store(true, Ordering::Release);
        }
        drop(channels);
        if was_empty && weight >= LARGE {
            wake_elsewhere(&self.shared.wake);
        } else if was_empty || is_news {
            self.shared.wake.notify_one();
        }
    }

    /// Whether the channel is over its budget, so that its sender should take no further batch.
    pub(crate) fn is_over(&self) -> bool {
        self.over.load(Ordering::Acquire)
    }
}

/// Wakes a task so that it can go on beside the one in hand.
///
/// The runtime keeps what a task wakes for the same thread, to be run next, where no other thread
/// may take it: two tasks that wake each other would take turns on one thread. A task that does
/// nothing takes that place, and what was there goes where others find it.
fn wake_elsewhere(task: &Notify) {
    task.notify_one();
    if let Ok(runtime) = Handle::try_current()
        && runtime.runtime_flavor() == RuntimeFlavor::MultiThread
        && runtime.metrics().num_workers() > 1
    {
        drop(runtime.spawn(async {}));
    }
}

impl Shared {
    /// No code between lock and unlock can panic half way through a change.
    fn lock(&self) -> MutexGuard<'_, Vec<Channel>> {
        self.channels.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Announced {
    fn of(element: &Element) -> Option<Self> {
        match element {
            Element::Barrier(barrier) => Some(Self::Barrier(*barrier)),
            Element::Cancel(id) => Some(Self::Cancel(*id)),
            Element::Batch(_)
            | Element::Watermark(_)
            | Element::Idle(_)
            | Element::EndOfData
            | Element::EndOfChannel => None,
        }
    }

    /// Whether it is told before it is taken. An aligned barrier is not, and so nothing behind it.
    fn is_told(&self) -> bool {
        match self {
            Self::Barrier(barrier) => barrier.passage != Passage::Aligned,
            Self::Cancel(_) => true,
        }
    }
}

impl Channel {
    /// Notes an element that is put in; gives back whether it is to be announced at once.
    fn mark(&mut self, element: &Element) -> bool {
        let Some(mark) = Announced::of(element) else {
            return false;
        };
        self.marks.push_back(mark);
        self.marks.iter().all(Announced::is_told)
    }

    /// An element was taken out; gives back whether there is something to announce behind it.
    fn took(&mut self, element: &Element) -> bool {
        let mark = Announced::of(element);
        if mark.is_none() || self.marks.front() != mark.as_ref() {
            return false;
        }
        self.marks.pop_front();
        self.marks.front().is_some_and(Announced::is_told)
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
