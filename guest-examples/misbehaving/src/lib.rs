//! Does what it is told, and that is always wrong: for tests of what a host does about it.
//!
//! Rows are text. A row is counted under its key and emitted as `row=count`; a row that begins with
//! `!` names a [`Deed`] instead, as in `!panic`. The deed can come from the configuration as well:
//!
//! ```yaml
//! config: { do: panic, in: process, row: 3, attempts: 1 }
//! ```
//!
//! panics in `process` on the third row of a key, and only in the first attempt of the job. `in`
//! may be `open`, `process`, `end-of-input` or `finish`; without `row` it is each row, without
//! `attempts` each attempt.

use std::hint::black_box;

use serde::Deserialize;
use weir_guest::{
    Ctx, Env, Error, KeyedDescribe, KeyedProcess, Level, Result, Row, Value, bail, operator,
};

const MIB: usize = 1 << 20;

/// Something that no operator should do.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Deed {
    /// Returns an error about the row.
    Error,
    /// Returns an error about the call.
    Fatal,
    /// Panics, which says something first.
    Panic,
    /// Traps without a word.
    Abort,
    /// Never returns.
    Loop,
    /// Calls itself for ever.
    Recurse,
    /// Asks for memory for ever.
    Hog,
    /// Emits 8 MiB in rows of 64 KiB.
    Flood,
    /// Emits one row of 17 MiB, which is longer than a row may be. It needs 128 MiB of memory.
    LongRow,
    /// Writes 8 MiB to the state of one key.
    FatState,
    /// Logs ten thousand lines.
    Chatter,
    /// Takes its time, a millisecond or so.
    Dawdle,
}

#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
enum Place {
    Open,
    #[default]
    Process,
    EndOfInput,
    Finish,
}

/// The `config:` of the operator.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {
    r#do: Deed,
    #[serde(default)]
    r#in: Place,
    /// The row of a key, counted from 1.
    row: Option<u64>,
    /// How many attempts misbehave; the first one is 1.
    attempts: Option<u32>,
}

#[derive(Default)]
struct Misbehaving {
    count: Value<u64>,
    ballast: Value<Vec<u8>>,
    config: Option<Config>,
}

impl Misbehaving {
    /// What the configuration wants done there.
    fn planned(&self, place: Place) -> Option<Deed> {
        let config = self.config.filter(|config| config.r#in == place)?;
        Some(config.r#do)
    }

    fn act(&mut self, deed: Deed, ctx: &mut Ctx<String>) -> Result<()> {
        match deed {
            Deed::Flood => (0..128).try_for_each(|_| ctx.emit("x".repeat(MIB / 16))),
            Deed::LongRow => ctx.emit("x".repeat(17 * MIB)),
            Deed::FatState => self.ballast.set(vec![b'x'; 8 * MIB]),
            _ => act_alone(deed, ctx),
        }
    }
}

#[expect(clippy::panic, reason = "it is what this operator is for")]
fn act_alone(deed: Deed, env: &Env) -> Result<()> {
    match deed {
        Deed::Error => bail!("as told"),
        Deed::Fatal => return Err(Error::fatal("as told")),
        Deed::Panic => panic!("as told"),
        Deed::Abort => std::process::abort(),
        Deed::Loop => loop {
            black_box(());
        },
        Deed::Recurse => drop(black_box(recurse(black_box(1)))),
        Deed::Hog => {
            let mut hog = Vec::new();
            loop {
                hog.push(black_box(vec![1_u8; MIB]));
            }
        }
        Deed::Chatter => (0..10_000).for_each(|line| env.log(Level::Info, line)),
        Deed::Dawdle => (0..3_000_000).for_each(|turn| {
            black_box(turn);
        }),
        Deed::Flood | Deed::LongRow | Deed::FatState => {
            bail!("{deed:?} needs a row in hand");
        }
    }
    Ok(())
}

#[expect(unconditional_recursion, reason = "it is what this deed is")]
fn recurse(depth: u64) -> [u64; 64] {
    let deeper = recurse(black_box(depth + 1));
    black_box([deeper[0] + depth; 64])
}

impl KeyedProcess for Misbehaving {
    type In = String;
    type Out = String;

    fn describe(&mut self, d: &mut KeyedDescribe) {
        d.value("count", &mut self.count).prefetch();
        d.value("ballast", &mut self.ballast);
    }

    fn open(&mut self, env: Env) -> Result<()> {
        let attempt = env.task().attempt;
        let config: Option<Config> = env.config_as()?;
        self.config = config.filter(|config| config.attempts.is_none_or(|most| attempt <= most));
        match self.planned(Place::Open) {
            Some(deed) => act_alone(deed, &env),
            None => Ok(()),
        }
    }

    fn process(&mut self, row: Row<String>, ctx: &mut Ctx<String>) -> Result<()> {
        if let Some(name) = row.strip_prefix('!') {
            return self.act(deed(name)?, ctx);
        }
        let count = self.count.get()?.copied().unwrap_or(0) + 1;
        self.count.set(count)?;
        ctx.emit(format_args!("{}={count}", row.value))?;
        let due = |config: &Config| config.row.is_none_or(|row| row == count);
        match self.planned(Place::Process) {
            Some(deed) if self.config.as_ref().is_some_and(due) => self.act(deed, ctx),
            Some(_) | None => Ok(()),
        }
    }

    fn end_of_input(&mut self, ctx: &mut Ctx<String>) -> Result<()> {
        let planned = self.planned(Place::EndOfInput);
        planned.map_or(Ok(()), |deed| self.act(deed, ctx))
    }

    fn finish(&mut self, ctx: &mut Ctx<String>) -> Result<()> {
        let planned = self.planned(Place::Finish);
        planned.map_or(Ok(()), |deed| self.act(deed, ctx))
    }
}

/// The deed of that name.
fn deed(name: &str) -> Result<Deed> {
    use serde::de::IntoDeserializer;
    use serde::de::value::{Error as NoSuchDeed, StrDeserializer};
    let name: StrDeserializer<'_, NoSuchDeed> = name.into_deserializer();
    Ok(Deed::deserialize(name)?)
}

operator!(Misbehaving);

#[cfg(test)]
mod tests;
