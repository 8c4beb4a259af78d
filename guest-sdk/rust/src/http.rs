//! HTTP for operators whose calls wait ([`Enrich`](crate::Enrich)): requests as if they blocked.
//!
//! Only what the job file grants is reached: `grants: [ { http: "https://api.example.com" } ]`.
//! Redirects are followed as far as they are granted.

use std::fmt;

use crate::error::{Error, Result};

/// A request, about to be sent.
///
/// ```no_run
/// # fn ask() -> weir_guest::Result<()> {
/// use weir_guest::http::Request;
///
/// let request = Request::post("https://api.example.com/score").header("x-client", "weir");
/// let answer = request.body(r#"{"amount": 7}"#).send()?.ok()?;
/// let score: u32 = answer.text()?.parse()?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use = "`send` sends it"]
pub struct Request {
    method: String,
    url: String,
    headers: Vec<(String, Vec<u8>)>,
    body: Vec<u8>,
}

/// An answer, whatever its status.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Response {
    /// Its status, as `200`.
    pub status: u16,
    headers: Vec<(String, Vec<u8>)>,
    body: Vec<u8>,
}

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    /// The job file does not grant where the request, or a redirect of it, goes.
    Denied(String),
    /// This is no request.
    Invalid(String),
    /// No connection, or it broke.
    Unreachable(String),
    /// The answer is larger than this many bytes.
    TooLarge(u64),
}

/// Gets what is there.
///
/// # Errors
/// As [`Request::send`].
pub fn get(url: impl fmt::Display) -> Result<Response> {
    Request::get(url).send()
}

/// Sends something there.
///
/// # Errors
/// As [`Request::send`].
pub fn post(url: impl fmt::Display, body: impl Into<Vec<u8>>) -> Result<Response> {
    Request::post(url).body(body).send()
}

impl Request {
    /// A request of any method. The URL is absolute.
    pub fn new(method: impl Into<String>, url: impl fmt::Display) -> Self {
        Self {
            method: method.into(),
            url: url.to_string(),
            headers: Vec::new(),
            body: Vec::new(),
        }
    }

    /// A `GET`.
    pub fn get(url: impl fmt::Display) -> Self {
        Self::new("GET", url)
    }

    /// A `POST`.
    pub fn post(url: impl fmt::Display) -> Self {
        Self::new("POST", url)
    }

    /// Adds a header.
    pub fn header(mut self, name: impl Into<String>, value: impl Into<Vec<u8>>) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    /// Says what is sent.
    pub fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = body.into();
        self
    }

    /// Its method, for tests.
    pub fn method(&self) -> &str {
        &self.method
    }

    /// Where it goes, for tests.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// A header of it, for tests; names count without case.
    pub fn get_header(&self, name: &str) -> Option<&str> {
        find(&self.headers, name)
    }

    /// What it sends, for tests.
    pub fn get_body(&self) -> &[u8] {
        &self.body
    }

    /// Sends it and waits for the answer, whatever its status.
    ///
    /// # Errors
    /// Where nobody is reached the error is [temporary](Error::temporary), so that the host calls
    /// again as the job's `async.retry` says. Where nothing is granted it is
    /// [fatal](Error::fatal). Else it is about this row.
    pub fn send(self) -> Result<Response> {
        let to = format!("{} {}", self.method, self.url);
        self.try_send().map_err(|failure| {
            let error = match failure {
                Failure::Unreachable(why) => Error::temporary(why),
                Failure::Denied(why) => Error::fatal(why),
                Failure::Invalid(why) => Error::new(why),
                Failure::TooLarge(most) => {
                    Error::new(format_args!("the answer is larger than {most} bytes"))
                }
            };
            error.context(to)
        })
    }

    /// As [`send`](Self::send), for who decides by what is wrong.
    ///
    /// # Errors
    /// Why there is no answer.
    pub fn try_send(self) -> std::result::Result<Response, Failure> {
        outside(self)
    }
}

impl Response {
    /// An answer, for tests.
    pub fn new(status: u16, body: impl Into<Vec<u8>>) -> Self {
        Self {
            status,
            headers: Vec::new(),
            body: body.into(),
        }
    }

    /// The same with a header, for tests.
    #[must_use]
    pub fn with_header(mut self, name: impl Into<String>, value: impl Into<Vec<u8>>) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    /// The answer, if its status is 2xx.
    ///
    /// # Errors
    /// A status that says to come again later (408, 429, 5xx) is a
    /// [temporary](Error::temporary) error; any other is about this row.
    pub fn ok(self) -> Result<Self> {
        let message = format_args!("status {}", self.status);
        match self.status {
            200..=299 => Ok(self),
            408 | 429 | 500..=599 => Err(Error::temporary(message)),
            _ => Err(Error::new(message)),
        }
    }

    /// A header, where it is there and text; names count without case.
    pub fn header(&self, name: &str) -> Option<&str> {
        find(&self.headers, name)
    }

    /// What it says.
    pub fn body(&self) -> &[u8] {
        &self.body
    }

    /// What it says, as text.
    ///
    /// # Errors
    /// If it is not UTF-8.
    pub fn text(&self) -> Result<&str> {
        Ok(std::str::from_utf8(&self.body)?)
    }
}

fn find<'h>(headers: &'h [(String, Vec<u8>)], name: &str) -> Option<&'h str> {
    let mut headers = headers.iter();
    let (_, value) = headers.find(|(known, _)| known.eq_ignore_ascii_case(name))?;
    std::str::from_utf8(value).ok()
}

/// Not by way of [`Host`](crate::host::Host): then every component would import it.
#[cfg(target_family = "wasm")]
fn outside(request: Request) -> std::result::Result<Response, Failure> {
    use crate::enrich_bindings::weir::operator::http;

    let headers = request.headers.into_iter();
    let sent = http::send(&http::Request {
        method: request.method,
        url: request.url,
        headers: headers
            .map(|(name, value)| http::Header { name, value })
            .collect(),
        body: request.body,
    });
    match sent {
        Ok(response) => {
            let headers = response.headers.into_iter();
            Ok(Response {
                status: response.status,
                headers: headers.map(|header| (header.name, header.value)).collect(),
                body: response.body,
            })
        }
        Err(http::Error::Denied(why)) => Err(Failure::Denied(why)),
        Err(http::Error::Invalid(why)) => Err(Failure::Invalid(why)),
        Err(http::Error::Unreachable(why)) => Err(Failure::Unreachable(why)),
        Err(http::Error::TooLarge(most)) => Err(Failure::TooLarge(most)),
    }
}

#[cfg(not(target_family = "wasm"))]
fn outside(request: Request) -> std::result::Result<Response, Failure> {
    crate::testing::answer(request)
}
