//! What a checkpoint records of the channels of a task while barriers overtake (D5).
//!
//! INVARIANT: of each channel that is recorded it has, in order and once, what was taken out since
//! the snapshot and, at the end, what waits before the barrier. End markers are not in it: a task
//! that goes on from the checkpoint sends them anew.

use std::{collections::VecDeque, sync::Arc};

use weir_model::{Batch, CheckpointId, Element, EventTime};

/// An element in flight.
#[derive(Clone, Debug)]
pub(crate) enum Recorded {
    /// The rows of a batch from this one on.
    Rows(Arc<Batch>, usize),
    Watermark(EventTime),
    Idle(bool),
}

pub(crate) struct Recording {
    id: CheckpointId,
    /// By channel; `None` = it is not recorded.
    channels: Vec<Option<Channel>>,
    /// The batch that the task was in the middle of, until its channel is recorded.
    in_hand: Option<(usize, Recorded)>,
}

#[derive(Default)]
struct Channel {
    elements: Vec<Recorded>,
    /// Its barrier was taken.
    is_whole: bool,
}

impl Recording {
    pub(crate) fn new(
        id: CheckpointId,
        channels: usize,
        in_hand: Option<(usize, Recorded)>,
    ) -> Self {
        Self {
            id,
            channels: (0..channels).map(|_| None).collect(),
            in_hand,
        }
    }

    /// Records a channel from now on.
    pub(crate) fn begin(&mut self, channel: usize) {
        let in_hand = self.in_hand.take_if(|(of, _)| *of == channel);
        self.channels[channel] = Some(Channel {
            elements: in_hand.into_iter().map(|(_, rows)| rows).collect(),
            is_whole: false,
        });
    }

    /// An element was taken out of a channel.
    pub(crate) fn taken(&mut self, channel: usize, element: &Element) {
        if let Some(channel) = &mut self.channels[channel] {
            channel.see(self.id, element);
        }
    }

    /// What waits in a channel, at the end.
    pub(crate) fn waiting(&mut self, channel: usize, queue: &VecDeque<Element>) {
        if let Some(channel) = &mut self.channels[channel] {
            queue
                .iter()
                .for_each(|element| channel.see(self.id, element));
        }
    }

    /// What was recorded, by channel: first those of recovery, which are the ones from `recovery`
    /// on, for what is new waits behind them, and will when this is recovered in its turn. One
    /// without rows is left out: its watermarks alone hold nothing back that comes later.
    pub(crate) fn finish(self, recovery: usize) -> Vec<(usize, Vec<Recorded>)> {
        let has_rows = |elements: &[Recorded]| {
            elements
                .iter()
                .any(|element| matches!(element, Recorded::Rows(..)))
        };
        let channels = self.channels.into_iter().enumerate();
        let recorded = channels
            .filter_map(|(index, channel)| Some((index, channel?.elements)))
            .filter(|(_, elements)| has_rows(elements));
        let (mut first, then): (Vec<_>, Vec<_>) = recorded.partition(|(at, _)| *at >= recovery);
        first.extend(then);
        first
    }
}

impl Channel {
    fn see(&mut self, id: CheckpointId, element: &Element) {
        if self.is_whole {
            return;
        }
        match element {
            Element::Batch(batch) => self.elements.push(Recorded::Rows(batch.clone(), 0)),
            Element::Watermark(time) => self.elements.push(Recorded::Watermark(*time)),
            Element::Idle(idle) => self.elements.push(Recorded::Idle(*idle)),
            Element::Barrier(barrier) => self.is_whole = barrier.checkpoint == id,
            Element::Cancel(_) | Element::EndOfData | Element::EndOfChannel => {}
        }
    }
}
