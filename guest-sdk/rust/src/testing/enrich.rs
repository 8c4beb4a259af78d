//! Calls that wait, without a host: the test says what is answered.

use std::cell::RefCell;

use super::{Harness, Input, Output};
use crate::driver::OneRow;
use crate::error::Error;
use crate::http::{Failure, Request, Response};

/// What answers requests of the operators of this thread.
type Answer = Box<dyn FnMut(Request) -> Result<Response, Failure>>;

thread_local! {
    static ANSWER: RefCell<Option<Answer>> = const { RefCell::new(None) };
}

/// Says what is answered to the requests of operators in this thread, from now on. Until then
/// nothing is granted.
pub fn answer_http(answer: impl FnMut(Request) -> Result<Response, Failure> + 'static) {
    ANSWER.with_borrow_mut(|known| *known = Some(Box::new(answer)));
}

pub(crate) fn answer(request: Request) -> Result<Response, Failure> {
    // It is taken out meanwhile, for it may say what answers next.
    let Some(mut answer) = ANSWER.take() else {
        let why = "the test says no answers: `weir_guest::testing::answer_http`";
        return Err(Failure::Denied(why.to_owned()));
    };
    let answered = answer(request);
    ANSWER.with_borrow_mut(|known| {
        known.get_or_insert(answer);
    });
    answered
}

impl Harness {
    /// What an [`Enrich`](crate::Enrich) makes of a row, with the answers that
    /// [`answer_http`] gives.
    ///
    /// ```
    /// # use weir_guest::{Ctx, Enrich, Result, Row, http, testing::{Harness, answer_http}};
    /// # #[derive(Default)]
    /// # struct Names;
    /// # impl Enrich for Names {
    /// #     type In = String;
    /// #     type Out = String;
    /// #     fn enrich(&mut self, row: Row<String>, ctx: &mut Ctx<String>) -> Result<()> {
    /// #         let answer = http::get(format_args!("https://carriers.example.com/{}", row.value));
    /// #         ctx.emit(answer?.ok()?.text()?)
    /// #     }
    /// # }
    /// let mut names = Harness::open::<Names, _>("null").unwrap();
    /// answer_http(|request| match request.url().ends_with("/UA") {
    ///     true => Ok(http::Response::new(200, "United Air Lines Inc.")),
    ///     false => Ok(http::Response::new(503, "")),
    /// });
    /// assert_eq!(names.enrich("UA").unwrap().main(), ["United Air Lines Inc."]);
    /// assert!(names.enrich("AA").unwrap_err().is_temporary());
    /// ```
    ///
    /// # Errors
    /// What `enrich` returned; nothing of the call is kept then.
    pub fn enrich(&mut self, row: impl AsRef<[u8]>) -> Result<Output, Error> {
        self.enrich_input(Input::row(row.as_ref()))
    }

    /// As [`enrich`](Self::enrich), of a row with a key or an event time.
    ///
    /// # Errors
    /// As there.
    pub fn enrich_input(&mut self, input: Input) -> Result<Output, Error> {
        let timestamp = input.timestamp;
        let row = OneRow {
            value: input.value,
            timestamp,
            key: input.key,
        };
        let mut failed = None;
        let emitted = self.call_without_rows(|logic| {
            logic.enrich(row).map_err(|error| {
                let message = error.to_string();
                failed = Some(error);
                message
            })
        });
        let mut emitted = match (emitted, failed) {
            (Ok(emitted), _) => emitted,
            (Err(_), Some(error)) => return Err(error),
            (Err(message), None) => return Err(Error::fatal(message)),
        };
        for emitted in &mut emitted {
            // As the host does: what has no event time of its own has that of the row.
            if emitted.timestamps.is_empty() {
                let rows = emitted.values.ends.len();
                let times = timestamp.iter().cycle().take(rows);
                emitted.timestamps.extend(times);
            }
        }
        Ok(Output {
            emitted,
            poisoned: None,
            side_outputs: self.side_outputs(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Counter, Ctx, Describe, Enrich, Result as Done, Row, SideOutput, http};

    #[derive(Default)]
    struct Names {
        asked: Counter,
        unknown: SideOutput<String>,
    }

    impl Enrich for Names {
        type In = String;
        type Out = String;

        fn describe(&mut self, d: &mut Describe) {
            d.counter("asked", &mut self.asked);
            d.side_output("unknown", &mut self.unknown);
        }

        fn enrich(&mut self, row: Row<String>, ctx: &mut Ctx<String>) -> Done<()> {
            self.asked.add(1);
            ctx.emit(format_args!("asking for {}", row.value))?;
            let answer = http::get(format_args!("https://a.example/{}", row.value))?;
            if answer.status == 404 {
                return ctx.to(&self.unknown).emit(row.value);
            }
            ctx.emit(answer.ok()?.text()?)
        }
    }

    fn names() -> Harness {
        Harness::open::<Names, _>("null").unwrap()
    }

    #[test]
    fn an_answer_makes_rows_with_the_time_of_the_row() {
        answer_http(|request| {
            assert_eq!(request.method(), "GET");
            Ok(Response::new(200, request.url().to_owned()))
        });
        let mut names = names();
        let row = Input::row(b"UA").at(7);
        let out = names.enrich_input(row).unwrap();
        assert_eq!(out.main(), ["asking for UA", "https://a.example/UA"]);
        assert_eq!(out.emitted[0].timestamps, [7, 7]);
        answer_http(|_| Ok(Response::new(404, "")));
        assert_eq!(names.enrich("XX").unwrap().side("unknown"), ["XX"]);
        assert_eq!(names.metric("asked"), Some(2.0));
    }

    #[test]
    fn what_fails_leaves_nothing_and_says_whether_to_ask_again() {
        let mut names = names();
        assert!(
            names.enrich("UA").unwrap_err().is_fatal(),
            "nothing is granted"
        );
        for (answer, temporary) in [
            (Err(Failure::Unreachable("gone".into())), true),
            (Ok(Response::new(503, "")), true),
            (Ok(Response::new(429, "")), true),
            (Ok(Response::new(400, "")), false),
            (Err(Failure::TooLarge(7)), false),
            (Err(Failure::Invalid("no URL".into())), false),
        ] {
            answer_http(move |_| answer.clone());
            let error = names.enrich("UA").unwrap_err();
            assert_eq!(error.is_temporary(), temporary, "{error}");
            assert!(!error.is_fatal(), "{error}");
        }
        answer_http(|_| Ok(Response::new(200, "x")));
        assert_eq!(names.enrich("UA").unwrap().main(), ["asking for UA", "x"]);
        assert_eq!(names.metric("asked"), Some(1.0));
    }
}
