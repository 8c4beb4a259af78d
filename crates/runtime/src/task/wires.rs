//! What the channels of a task are, so that what is in flight in them finds its way back.

use std::io;

use weir_model::Batch;
use weir_state::{ChannelFileWriter, ChannelInput, Error, PackedChannels};

use super::slicer::Slicer;
use crate::exchange::Recorded;

/// The channels of a task, those of recovery at the end.
#[derive(Clone, Debug, Default)]
pub(crate) struct Wires {
    /// The inputs of the task, by index.
    pub(crate) inputs: Vec<ChannelInput>,
    /// Of each channel its input and the subtask that sends.
    pub(crate) channels: Vec<(u32, u32)>,
}

impl Wires {
    /// Packs what is in flight, by channel.
    pub(super) fn pack<W: io::Write>(
        &self,
        out: W,
        in_flight: Vec<(usize, Vec<Recorded>)>,
    ) -> Result<PackedChannels<W>, Error> {
        let mut writer = ChannelFileWriter::to(out, self.inputs.clone())?;
        let mut slicer = Slicer::default();
        for (channel, elements) in in_flight {
            let (input, producer) = self.channels.get(channel).copied().unwrap_or_default();
            writer.channel(input, producer)?;
            for element in elements {
                match element {
                    Recorded::Rows(batch, from) => {
                        pack_rows(&mut writer, &mut slicer, &batch, from)?
                    }
                    Recorded::Watermark(time) => writer.watermark(time)?,
                    Recorded::Idle(idle) => writer.idle(idle)?,
                }
            }
        }
        writer.finish()
    }
}

/// The rows of a batch from this one on, with only the keys that occur in them.
fn pack_rows<W: io::Write>(
    writer: &mut ChannelFileWriter<W>,
    slicer: &mut Slicer,
    batch: &Batch,
    from: usize,
) -> Result<(), Error> {
    let rows = slicer.cut(batch.rows(), from..batch.len());
    let lineage = batch.lineage.get(from..).unwrap_or_default();
    writer.rows(rows, lineage)
}
