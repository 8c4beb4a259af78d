//! The generator: rows made up from their number and a seed, the same after every restart.
//!
//! A row is a JSON object on one line:
//!
//! ```json
//! {"seq":17,"key":"4","payload":"q3Zk-x"}
//! ```
//!
//! `seq` is the number of the row, from 0; `key` one of the numbers below the number of keys, as
//! text; `payload` filling of the asked length, of letters, digits, `-` and `_`. Rows have no event
//! time. How fast they come is the engine's matter.
//!
//! Blocks of rows go round the splits. There are as many splits as the job can ever have subtasks,
//! so that any number of readers can share them; each reader goes on with the lowest row it has, so
//! a single one gives all rows in order.
//!
//! INVARIANT: what is in a row depends on its number and the options alone.

mod keys;
mod reader;
mod row;
mod split;

use std::sync::Arc;

use weir_model::SourceName;
use weir_operator::{Discovery, Failure, SavedSource, SourceFactory, SourceReader, TaskInfo};

use self::{keys::Keys, reader::GeneratorReader, row::Maker, split::SplitId};

/// What a generator makes.
#[derive(Clone, Debug, PartialEq)]
pub struct GeneratorOptions {
    /// The source, for messages.
    pub source: SourceName,
    /// How many rows there are over all splits; `None` = no end. It must stay the same over a
    /// restore: splits that have ended are not begun again.
    pub count: Option<u64>,
    /// How many different keys there may be, at least 1.
    pub keys: u64,
    /// How keys are spread over the rows.
    pub distribution: KeyDistribution,
    /// Length of the filling of each row in bytes.
    pub payload_bytes: usize,
    /// Another seed gives other keys and fillings. With a sequence of keys only other fillings.
    pub seed: u64,
    /// How many splits there are, at least 1: the most readers that can share the work. It must
    /// stay the same over a restore, so the maximum parallelism of the job fits.
    pub splits: u32,
}

/// How keys are spread over rows. The numbers of keys begin at 0.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum KeyDistribution {
    /// One after the other by the number of the row, and again from the first.
    Sequence,
    /// Each as likely as any other.
    Uniform,
    /// Key `k` is as likely as `1 / (k + 1)^exponent`, so key 0 is the most frequent. Computed in
    /// floating point: another kind of machine may differ in a row out of very many.
    Zipf {
        /// Above 0 and finite; 1 is what words in texts come near.
        exponent: f64,
    },
}

/// Makes the readers of one generator.
#[derive(Clone, Debug)]
pub struct GeneratorSource {
    maker: Maker,
    count: Option<u64>,
    splits: u32,
}

impl GeneratorSource {
    /// The longest filling in bytes: with it, a row is still one that the contract with components
    /// lets through.
    pub const MAX_PAYLOAD_BYTES: usize = 16 * 1024 * 1024 - 1024;

    /// A generator with these options.
    ///
    /// # Errors
    /// [`Failure::External`] where an option is out of its bounds.
    pub fn new(options: &GeneratorOptions) -> Result<Self, Failure> {
        check(options).map_err(|message| Failure::External {
            what: format!("options of generator `{}`", options.source),
            message,
        })?;
        let keys = Keys::new(options.distribution, options.keys);
        Ok(Self {
            maker: Maker::new(options.seed, keys, options.payload_bytes),
            count: options.count,
            splits: options.splits,
        })
    }
}

/// Says what is wrong with the options.
fn check(options: &GeneratorOptions) -> Result<(), String> {
    if options.keys == 0 {
        return Err("`keys` is 0, there must be at least 1 key".into());
    }
    if options.splits == 0 {
        return Err("there are 0 splits, there must be at least 1".into());
    }
    let most = GeneratorSource::MAX_PAYLOAD_BYTES;
    if options.payload_bytes > most {
        return Err(format!(
            "`payload` is {} bytes, a row has room for {most}",
            options.payload_bytes
        ));
    }
    match options.distribution {
        KeyDistribution::Sequence | KeyDistribution::Uniform => Ok(()),
        KeyDistribution::Zipf { exponent } if exponent > 0.0 && exponent.is_finite() => Ok(()),
        KeyDistribution::Zipf { exponent } => Err(format!(
            "`exponent` is {exponent}, it must be a number above 0"
        )),
    }
}

impl SourceFactory for GeneratorSource {
    fn discover(&self) -> Result<Discovery, Failure> {
        let all = (0..self.splits).map(|index| SplitId {
            index,
            of: self.splits,
        });
        let splits = all.filter(|id| self.count.is_none_or(|count| id.first_row() < count));
        // All at once, so that a reader can keep the order of the rows over its splits.
        Ok(Discovery {
            splits: splits.map(SplitId::at_start).collect(),
            spread: true,
        })
    }

    fn reader(&self, _task: &TaskInfo) -> Result<Box<dyn SourceReader>, Failure> {
        Ok(Box::new(GeneratorReader::new(
            self.maker.clone(),
            self.count,
            self.splits,
        )))
    }

    fn replayable(&self) -> bool {
        true
    }

    /// Rows belong to splits by their number, so a job that goes on keeps it: it may have another
    /// max-parallelism by now.
    fn resumed(&self, saved: &SavedSource) -> Option<Arc<dyn SourceFactory>> {
        let ids = saved.split_ids().ok()?;
        let splits = ids.iter().find_map(|id| SplitId::read(id))?.of;
        (splits != self.splits).then(|| {
            let resumed: Arc<dyn SourceFactory> = Arc::new(Self {
                splits,
                ..self.clone()
            });
            resumed
        })
    }
}

#[cfg(test)]
mod tests;
