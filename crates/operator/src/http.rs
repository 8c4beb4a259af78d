//! HTTP as an operator may use it whose calls wait: what a client does for it, and what it may
//! reach.

use std::{fmt, pin::Pin};

/// A request. Nothing of it is checked yet.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HttpRequest {
    /// `GET`, `POST`, ...
    pub method: String,
    /// Where it goes, absolute.
    pub url: String,
    /// Names and values.
    pub headers: Vec<(String, Vec<u8>)>,
    /// What it sends.
    pub body: Vec<u8>,
}

/// An answer, whatever its status.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HttpResponse {
    /// Its status.
    pub status: u16,
    /// Names and values.
    pub headers: Vec<(String, Vec<u8>)>,
    /// What it says.
    pub body: Vec<u8>,
}

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HttpError {
    /// It goes where nothing is granted.
    Denied(String),
    /// It is no request.
    Invalid(String),
    /// There was no connection, or it broke.
    Unreachable(String),
    /// The answer is larger than this many bytes.
    TooLarge(u64),
}

/// What comes of a request. Dropped, it is given up.
pub type Sending = Pin<Box<dyn Future<Output = Result<HttpResponse, HttpError>> + Send>>;

/// Sends requests for one operator, and nowhere but where its grants say.
pub trait HttpClient: Send + Sync {
    /// Begins a request.
    fn send(&self, request: HttpRequest) -> Sending;
}

/// Where requests may go: a scheme, a host and a port, and all paths there.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct HttpOrigin {
    /// Whether it is `https`; else it is `http`.
    pub tls: bool,
    /// The host as a URL has it: in small letters, an IPv6 address in brackets.
    pub host: String,
    /// The port; that of the scheme where none was written.
    pub port: u16,
}

impl HttpOrigin {
    /// Reads `https://api.example.com`, with a port where it is not that of the scheme.
    ///
    /// # Errors
    /// What is wrong with it, in words.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        let (tls, rest) = if let Some(rest) = text.strip_prefix("https://") {
            (true, rest)
        } else if let Some(rest) = text.strip_prefix("http://") {
            (false, rest)
        } else {
            return Err("it begins with neither `https://` nor `http://`");
        };
        let rest = rest.strip_suffix('/').unwrap_or(rest);
        if rest.contains(['/', '?', '#', '@']) {
            return Err("it has more than a host and a port: a grant is for all paths");
        }
        let port_at = match rest.rfind(']') {
            Some(end) => rest[end..].find(':').map(|at| end + at),
            None => rest.find(':'),
        };
        let (host, port) = match port_at {
            None => (rest, if tls { 443 } else { 80 }),
            Some(at) => {
                let port = rest[at + 1..].parse().ok().filter(|&port| port != 0);
                (
                    &rest[..at],
                    port.ok_or("its port is no number from 1 to 65535")?,
                )
            }
        };
        check_host(host)?;
        Ok(Self {
            tls,
            host: host.to_ascii_lowercase(),
            port,
        })
    }
}

/// Names with other letters than those of ASCII are written as URLs have them (`xn--…`), so that
/// nothing is granted that only looks alike.
fn check_host(host: &str) -> Result<(), &'static str> {
    if let Some(inner) = host
        .strip_prefix('[')
        .and_then(|host| host.strip_suffix(']'))
    {
        return match inner.parse::<std::net::Ipv6Addr>() {
            Ok(address) if address.to_string() == inner.to_ascii_lowercase() => Ok(()),
            Ok(_) => Err("its address is not written the short way"),
            Err(_) => Err("what stands in brackets is no address"),
        };
    }
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_');
    match host {
        "" => Err("it has no host"),
        host if host.contains('*') => Err("a host is named in full, without `*`"),
        host if host.bytes().all(plain) => Ok(()),
        _ => Err("its host has characters that a host does not have"),
    }
}

impl fmt::Display for HttpOrigin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (scheme, usual) = if self.tls {
            ("https", 443)
        } else {
            ("http", 80)
        };
        write!(f, "{scheme}://{}", self.host)?;
        if self.port != usual {
            write!(f, ":{}", self.port)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_is_a_scheme_a_host_and_a_port() {
        for (text, tls, host, port) in [
            ("https://api.example.com", true, "api.example.com", 443),
            ("https://API.example.com/", true, "api.example.com", 443),
            ("http://localhost:8080", false, "localhost", 8080),
            ("http://[::1]:81", false, "[::1]", 81),
            ("https://[2001:db8::1]", true, "[2001:db8::1]", 443),
        ] {
            let origin = HttpOrigin::parse(text).unwrap();
            let host = host.to_owned();
            assert_eq!(origin, HttpOrigin { tls, host, port }, "{text}");
            assert_eq!(HttpOrigin::parse(&origin.to_string()), Ok(origin));
        }
    }

    #[test]
    fn what_is_more_or_less_is_refused() {
        for text in [
            "api.example.com",
            "ftp://example.com",
            "https://",
            "https://example.com/api",
            "https://user@example.com",
            "https://example.com?a=b",
            "https://*.example.com",
            "https://exämple.com",
            "https://example.com:0",
            "https://example.com:65536",
            "https://[::1",
            "https://[0:0::1]",
            "https://exa mple.com",
        ] {
            assert!(HttpOrigin::parse(text).is_err(), "{text}");
        }
    }
}
