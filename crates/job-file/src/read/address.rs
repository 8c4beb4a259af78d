//! `host:port`, as a socket source is told where to connect to.

use crate::{code, report::Report, source::Span, wording::quote};

/// What is refused without looking at what its parts are.
pub(super) const PATTERN: &str = "^(\\[[^\\[\\]/@\\s]+\\]|[^\\[\\]:/@\\s]+):[0-9]+$";

const HELP: &str =
    "an address is written `localhost:9999`, or `\"[::1]:9999\"` with an IPv6 address";

/// An address as it was written, where it is one; if not, that is reported.
pub(super) fn check(text: &str, span: Span, report: &mut Report) -> Option<String> {
    let Err(label) = parts(text) else {
        return Some(text.to_owned());
    };
    let message = format!("{} is not the address of a socket", quote(text));
    let error = report.error(code::BAD_VALUE, message);
    error.at(span, label).help(HELP);
    None
}

/// Host and port; what is wrong where it is not both.
fn parts(text: &str) -> Result<(&str, u16), String> {
    if text.is_empty() {
        return Err("this is empty".into());
    }
    if let Some((scheme, rest)) = text.split_once("://") {
        let plain = rest.trim_end_matches('/');
        return Err(match scheme {
            "tcp" => format!("did you mean {}?", quote(plain)),
            _ => format!("`{scheme}:` is not spoken: rows come over TCP as they are"),
        });
    }
    if text.contains(|c: char| c.is_whitespace() || c.is_control() || "/@?#".contains(c)) {
        return Err("must be a host and a port, and nothing else".into());
    }
    let (host, port) = match text.strip_prefix('[') {
        Some(rest) => bracketed(rest)?,
        None => named(text)?,
    };
    let number = port.parse::<u16>().ok().filter(|port| *port > 0);
    match number {
        Some(number) if port.bytes().all(|b| b.is_ascii_digit()) => Ok((host, number)),
        Some(_) | None => Err(format!("the port {} is none from 1 to 65535", quote(port))),
    }
}

/// What stands behind `[`.
fn bracketed(rest: &str) -> Result<(&str, &str), String> {
    let Some((host, behind)) = rest.split_once(']') else {
        return Err("the bracket is not closed".into());
    };
    // A zone, as in `fe80::1%eth0`, is for the system to know.
    let address = host.split_once('%').map_or(host, |(address, _)| address);
    if address.parse::<std::net::Ipv6Addr>().is_err() {
        return Err(format!("{} is no IPv6 address", quote(host)));
    }
    match behind.strip_prefix(':') {
        Some("") | None if behind.trim_end_matches(':').is_empty() => {
            Err(format!("the port is missing: `[{host}]:<port>`"))
        }
        Some(port) => Ok((host, port)),
        None => Err("behind the bracket comes `:` and the port".into()),
    }
}

/// A name or an IPv4 address.
fn named(text: &str) -> Result<(&str, &str), String> {
    let missing = |host: &str| format!("the port is missing: `{host}:<port>`");
    let Some((host, port)) = text.rsplit_once(':') else {
        return Err(match text.parse::<u16>() {
            Ok(port) => format!("the host is missing: did you mean `localhost:{port}`?"),
            Err(_) => missing(text),
        });
    };
    if host.contains(':') {
        // Where the port ends and the address begins cannot be told.
        return Err("an IPv6 address stands in brackets: `[…]:<port>`".into());
    }
    match (host.is_empty(), port.is_empty()) {
        (true, _) => Err(format!("the host is missing: did you mean {}?", {
            quote(&format!("localhost:{port}"))
        })),
        (false, true) => Err(missing(host)),
        (false, false) => Ok((host, port)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_a_host_and_a_port() {
        for (text, host, port) in [
            ("localhost:9999", "localhost", 9999),
            ("127.0.0.1:1", "127.0.0.1", 1),
            ("rows.example.com:65535", "rows.example.com", 65_535),
            ("[::1]:80", "::1", 80),
            ("[fe80::1%eth0]:80", "fe80::1%eth0", 80),
            ("[::ffff:10.0.0.1]:80", "::ffff:10.0.0.1", 80),
        ] {
            assert_eq!(parts(text), Ok((host, port)), "{text}");
        }
    }

    #[test]
    fn what_is_none_is_told_why() {
        for (text, label) in [
            ("", "this is empty"),
            ("localhost", "the port is missing: `localhost:<port>`"),
            ("localhost:", "the port is missing: `localhost:<port>`"),
            (
                "9999",
                "the host is missing: did you mean `localhost:9999`?",
            ),
            (
                ":9999",
                "the host is missing: did you mean `localhost:9999`?",
            ),
            ("host:0", "the port `0` is none from 1 to 65535"),
            ("host:65536", "the port `65536` is none from 1 to 65535"),
            ("host:+80", "the port `+80` is none from 1 to 65535"),
            ("host:http", "the port `http` is none from 1 to 65535"),
            ("::1", "an IPv6 address stands in brackets: `[…]:<port>`"),
            ("::1:80", "an IPv6 address stands in brackets: `[…]:<port>`"),
            ("[::1]", "the port is missing: `[::1]:<port>`"),
            ("[::1]:", "the port is missing: `[::1]:<port>`"),
            ("[::1]80", "behind the bracket comes `:` and the port"),
            ("[::1:80", "the bracket is not closed"),
            ("[host]:80", "`host` is no IPv6 address"),
            ("tcp://host:80/", "did you mean `host:80`?"),
            (
                "http://host:80",
                "`http:` is not spoken: rows come over TCP as they are",
            ),
            (
                "host:80/rows",
                "must be a host and a port, and nothing else",
            ),
            ("me@host:80", "must be a host and a port, and nothing else"),
            (" host:80", "must be a host and a port, and nothing else"),
        ] {
            assert_eq!(parts(text), Err(label.to_owned()), "{text}");
        }
    }
}
