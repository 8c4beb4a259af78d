//! What an operator's functions are handed: the row's surroundings, and the way out.

use std::fmt;
use std::marker::PhantomData;
use std::ops::Deref;

use crate::column::{self, BatchRef};
use crate::error::Result;
use crate::host::{Host, Level, Task};
use crate::key::Key;
use crate::output::{Hand, Output, Outputs, SideOutput};
use crate::row::EncodeAs;

/// The job around the operator: its configuration, its task, time, and the log.
#[derive(Clone, Copy)]
pub struct Env<'c> {
    pub(crate) host: &'c dyn Host,
}

/// What `process` and the other functions of an operator that may emit rows are handed. It can be
/// used like [`Env`].
pub struct Ctx<'c, Out> {
    pub(crate) env: Env<'c>,
    pub(crate) outputs: &'c mut Outputs,
    /// The row in hand, unless this is the end of an input.
    pub(crate) origin: Option<u32>,
    pub(crate) key: HandKey<'c>,
    pub(crate) hand: Hand<'c>,
    pub(crate) input: u32,
    pub(crate) types: PhantomData<fn(Out)>,
}

/// The key of the row in hand, of which nothing but its place may be known yet.
#[derive(Clone, Copy)]
pub(crate) enum HandKey<'c> {
    /// The key; empty where there is none.
    This(&'c [u8]),
    /// That of a row of a call, all of whose keys were found to be right.
    OfRow(&'c BatchRef<'c>, usize),
}

impl<'c> HandKey<'c> {
    fn encoded(self) -> &'c [u8] {
        match self {
            Self::This(key) => key,
            Self::OfRow(batch, row) => {
                let key = batch.key_of_row.get(row).copied();
                let key = key.map(|key| column::row(batch.keys, key as usize));
                key.and_then(Result::ok).unwrap_or_default()
            }
        }
    }
}

impl Env<'_> {
    /// The `config:` of the operator in the job file, as JSON; `null` if it has none. What is wrong
    /// with it is up to the operator to say; `config_as`, which comes with the feature `json`, says
    /// it of itself.
    pub fn config(&self) -> String {
        self.host.config()
    }

    /// The `config:` of the operator in the job file; `Option<T>` if it may have none. It needs the
    /// feature `json` of this crate: `features = ["json"]` in `Cargo.toml`.
    ///
    /// ```
    /// use weir_guest::{Ctx, Env, Process, Result, Row};
    ///
    /// #[derive(Default, serde::Deserialize)]
    /// #[serde(deny_unknown_fields)]
    /// struct Config { at_least: u64 }
    ///
    /// /// Passes on numbers that are large enough: `config: { at_least: 10 }`.
    /// #[derive(Default)]
    /// struct Large { config: Config }
    ///
    /// impl Process for Large {
    ///     type In = u64;
    ///     type Out = u64;
    ///
    ///     fn open(&mut self, env: Env) -> Result<()> {
    ///         self.config = env.config_as()?;
    ///         Ok(())
    ///     }
    ///
    ///     fn process(&mut self, row: Row<u64>, ctx: &mut Ctx<u64>) -> Result<()> {
    ///         if row.value < self.config.at_least {
    ///             return Ok(());
    ///         }
    ///         ctx.emit(row.value)
    ///     }
    /// }
    /// # use weir_guest::testing::Harness;
    /// # let mut large = Harness::open::<Large, _>(r#"{"at_least":10}"#).unwrap();
    /// # assert_eq!(large.rows(["9", "10"]).unwrap().main(), ["10"]);
    /// ```
    ///
    /// # Errors
    /// If it does not have this type, or is not there.
    #[cfg(feature = "json")]
    pub fn config_as<T: serde::de::DeserializeOwned>(&self) -> Result<T> {
        crate::json::config(&self.config())
    }

    /// Job, operator, and which of its subtasks this is.
    pub fn task(&self) -> Task {
        self.host.this_task()
    }

    /// The watermark of the operator's inputs, in milliseconds since the Unix epoch.
    pub fn current_watermark(&self) -> i64 {
        self.host.current_watermark()
    }

    /// The time of the wall clock, in milliseconds since the Unix epoch. It stands still while a
    /// batch is processed.
    pub fn processing_time(&self) -> i64 {
        self.host.processing_time()
    }

    /// Writes a line to the log of the operator, at once. Not for every row: unlike all else that a
    /// row does it costs a call to the host, and it is not undone if the row fails.
    pub fn log(&self, level: Level, message: impl fmt::Display) {
        self.host.log(level, &message.to_string());
    }
}

impl<'c, Out> Ctx<'c, Out> {
    /// Emits a row to the main output. It inherits the event time of the row in hand.
    ///
    /// # Errors
    /// If the value has no written form.
    pub fn emit(&mut self, value: impl EncodeAs<Out>) -> Result<()> {
        self.main().emit(value)
    }

    /// The main output, for a row with options: `ctx.main().at(timestamp).emit(value)`.
    pub fn main(&mut self) -> Output<'_, Out> {
        self.outputs.to(Ok(0), self.origin, self.hand)
    }

    /// A side output: `ctx.to(&self.late).emit(value)`.
    pub fn to<T>(&mut self, output: &SideOutput<T>) -> Output<'_, T> {
        self.outputs.to(output.index(), self.origin, self.hand)
    }

    /// Says up to when all rows have come: of what is emitted from here on none has this event time
    /// or an earlier one, late rows apart. The rows of side outputs of this call are before it. In
    /// the job file the operator has `watermark: { component: true }`; elsewhere this fails the
    /// task.
    ///
    /// ```
    /// use weir_guest::{Ctx, Process, Result, Row};
    ///
    /// /// Rows are `<time> <text>`; a row without text says that all up to its time have come.
    /// #[derive(Default)]
    /// struct Punctuated;
    ///
    /// impl Process for Punctuated {
    ///     type In = String;
    ///     type Out = String;
    ///
    ///     fn process(&mut self, row: Row<String>, ctx: &mut Ctx<String>) -> Result<()> {
    ///         match row.split_once(' ') {
    ///             Some((time, text)) => ctx.main().at(time.parse()?).emit(text),
    ///             None => ctx.emit_watermark(row.parse()?),
    ///         }
    ///     }
    /// }
    ///
    /// weir_guest::operator!(Punctuated);
    /// # use weir_guest::testing::Harness;
    /// # let mut punctuated = Harness::open::<Punctuated, _>("null").unwrap();
    /// # let out = punctuated.rows(["5 a", "5", "9 b", "7"]).unwrap();
    /// # assert_eq!(out.main(), ["a", "b"]);
    /// # assert_eq!(punctuated.said_watermarks(), [(1, 5), (2, 7)]);
    /// ```
    ///
    /// # Errors
    /// Fatal where no row, timer or key is in hand.
    pub fn emit_watermark(&mut self, at: i64) -> Result<()> {
        self.outputs.watermark(self.origin, at)
    }

    /// The key of the row in hand; without parts if the input is not keyed.
    pub fn key(&self) -> Key<'c> {
        Key::from_encoded(self.key.encoded())
    }

    /// The input that the row came in by, or that has ended; from 0.
    pub fn input(&self) -> u32 {
        self.input
    }
}

impl<'c, Out> Deref for Ctx<'c, Out> {
    type Target = Env<'c>;

    fn deref(&self) -> &Self::Target {
        &self.env
    }
}
