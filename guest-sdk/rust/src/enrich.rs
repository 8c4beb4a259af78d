//! Operators whose calls wait for something outside.

use crate::ctx::{Ctx, Env};
use crate::describe::{Describe, Visit};
use crate::error::{Error, Result};
use crate::operator::{IntoOperator, Operator};
use crate::row::{Decode, Encode, Row};
use crate::timers::{Timer, no_on_timer};

/// Asks something outside about each row. It is written as if it blocked: the host calls many
/// instances at once, each with a row of its own, and none holds a thread while it waits.
///
/// ```
/// use weir_guest::{Ctx, Enrich, Result, Row, http};
///
/// /// Puts the name of a carrier behind its code.
/// #[derive(Default)]
/// struct Names;
///
/// impl Enrich for Names {
///     type In = String;
///     type Out = String;
///
///     fn enrich(&mut self, row: Row<String>, ctx: &mut Ctx<String>) -> Result<()> {
///         let answer = http::get(format_args!("https://carriers.example.com/{}", row.value))?;
///         let name = answer.ok()?.text()?.to_owned();
///         ctx.emit(format_args!("{},{name}", row.value))
///     }
/// }
///
/// weir_guest::operator!(Names, enrich);
/// # use weir_guest::testing::{Harness, answer_http};
/// # let mut names = Harness::open::<Names, _>("null").unwrap();
/// # answer_http(|request| Ok(http::Response::new(200, format!("of {}", request.url()))));
/// # assert!(names.enrich("UA").unwrap().main()[0].starts_with("UA,of https://"));
/// ```
///
/// In the job file:
///
/// ```yaml
/// operators:
///   names:
///     component: names.wasm
///     inputs: [ { from: codes } ]
///     async: { capacity: 100, timeout: 10s }
///     grants: [ { http: "https://carriers.example.com" } ]
/// ```
///
/// It has no state and no timers. What it keeps in its fields is a cache of its instance, and may
/// be gone at any time. After a failure of the job rows are asked about again whose results were
/// not out: outside, a row may be seen more than once.
pub trait Enrich: Default + 'static {
    /// The type of the rows.
    type In: Decode;
    /// The type of the main output's rows.
    type Out: Encode;

    /// Declares side outputs and metrics, as [`Process::describe`](crate::Process::describe).
    fn describe(&mut self, d: &mut Describe) {
        let _ = d;
    }

    /// Called once in each instance, before its first row. It may wait, too.
    ///
    /// # Errors
    /// An error fails the task.
    fn open(&mut self, env: Env) -> Result<()> {
        let _ = env;
        Ok(())
    }

    /// Asks about a row, and emits what comes of it.
    ///
    /// # Errors
    /// An error made by [`Error::temporary`](crate::Error::temporary), as of a server that cannot
    /// be reached, lets the host call again as the job's `async.retry` says; one made by
    /// [`Error::fatal`](crate::Error::fatal) fails the task; any other is about this row, and the
    /// job's `on-error` decides.
    fn enrich(&mut self, row: Row<Self::In>, ctx: &mut Ctx<Self::Out>) -> Result<()>;
}

/// An [`Enrich`] as an operator.
pub struct Enriched<T>(T);

impl<T: Enrich> IntoOperator<Enriched<T>> for T {
    type Operator = Enriched<T>;

    fn make() -> Enriched<T> {
        Enriched(T::default())
    }

    fn author(operator: &mut Enriched<T>) -> &mut T {
        &mut operator.0
    }
}

impl<T: Enrich> Operator for Enriched<T> {
    const KEYED: bool = false;
    type In = T::In;
    type Out = T::Out;

    fn visit<'v>(&mut self, visit: Visit<'v>) -> Visit<'v> {
        let mut describe = Describe::new(visit);
        self.0.describe(&mut describe);
        describe.into_visit()
    }

    fn open(&mut self, env: Env) -> Result<()> {
        self.0.open(env)
    }

    fn prefetch<'b>(&mut self, row: Row<'b, T::In>) -> Row<'b, T::In> {
        row
    }

    fn process(&mut self, _row: Row<T::In>, _ctx: &mut Ctx<T::Out>) -> Result<()> {
        Err(Error::fatal(
            "rows of an operator whose calls wait come one by one",
        ))
    }

    fn enrich(&mut self, row: Row<T::In>, ctx: &mut Ctx<T::Out>) -> Result<()> {
        self.0.enrich(row, ctx)
    }

    fn on_timer(&mut self, timer: Timer, _ctx: &mut Ctx<T::Out>) -> Result<()> {
        Err(no_on_timer(timer))
    }

    fn end_of_input(&mut self, _ctx: &mut Ctx<T::Out>) -> Result<()> {
        Ok(())
    }

    fn finish(&mut self, _ctx: &mut Ctx<T::Out>) -> Result<()> {
        Ok(())
    }
}
