//! Puts the name of a carrier, which an HTTP service knows, behind its code. A carrier that the
//! service does not know goes to `<operator>.unknown`.

use serde::Deserialize;
use weir_guest::{Ctx, Describe, Enrich, Env, Result, Row, SideOutput, http, object, operator};

#[derive(Default)]
struct CarrierNames {
    config: Config,
    unknown: SideOutput<String>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {
    /// What stands before the code: `https://carriers.example.com/name/`.
    url: String,
}

impl Enrich for CarrierNames {
    type In = String;
    type Out = String;

    fn describe(&mut self, d: &mut Describe) {
        d.side_output("unknown", &mut self.unknown);
    }

    fn open(&mut self, env: Env) -> Result<()> {
        self.config = env.config_as()?;
        Ok(())
    }

    fn enrich(&mut self, row: Row<String>, ctx: &mut Ctx<String>) -> Result<()> {
        let code = row.value;
        let answer = http::get(format_args!("{}{code}", self.config.url))?;
        if answer.status == 404 {
            return ctx.to(&self.unknown).emit(code);
        }
        // A server that is down for the moment is a temporary error: the host asks again.
        let answer = answer.ok()?;
        ctx.emit(object! { "carrier": code, "name": answer.text()?.trim() })
    }
}

operator!(CarrierNames, enrich);

#[cfg(test)]
mod tests {
    use super::*;
    use weir_guest::testing::{Harness, answer_http};

    fn names() -> Harness {
        Harness::open::<CarrierNames, _>(r#"{"url":"http://names/"}"#).unwrap()
    }

    #[test]
    fn a_code_becomes_a_name_and_an_unknown_one_goes_aside() {
        answer_http(|request| match request.url() {
            "http://names/UA" => Ok(http::Response::new(200, "United Air Lines Inc.\n")),
            _ => Ok(http::Response::new(404, "")),
        });
        let mut names = names();
        let out = names.enrich("UA").unwrap();
        assert_eq!(
            out.main(),
            [r#"{"carrier":"UA","name":"United Air Lines Inc."}"#]
        );
        assert_eq!(names.enrich("XX").unwrap().side("unknown"), ["XX"]);
    }

    #[test]
    fn a_server_that_is_down_is_asked_again() {
        answer_http(|_| Ok(http::Response::new(503, "")));
        assert!(names().enrich("UA").unwrap_err().is_temporary());
    }
}
