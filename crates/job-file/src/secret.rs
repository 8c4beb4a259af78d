//! Secrets where they have no place: a password that is written in a job file is an error, and the
//! excerpt that shows where must not show it to whoever reads a log.
//!
//! A text is looked through as it is, for it may be no YAML. What is hidden is hidden by as many
//! bytes, so that all places stay what they are.
//!
//! INVARIANT: rather too much is hidden than too little.

use std::ops::Range;

/// How the names of what is secret end, without what stands between their words.
const ENDINGS: [&str; 8] = [
    "password",
    "passwd",
    "passphrase",
    "secret",
    "secretkey",
    "accesskey",
    "token",
    "apikey",
];

/// The text with each secret hidden.
pub(crate) fn hidden(text: String) -> String {
    let places = places(&text);
    if places.is_empty() {
        return text;
    }
    let mut shown = String::with_capacity(text.len());
    for (at, char) in text.char_indices() {
        let is_hidden = places.iter().any(|place| place.contains(&at));
        if is_hidden && !matches!(char, '\n' | '\r') {
            shown.extend(std::iter::repeat_n('*', char.len_utf8()));
        } else {
            shown.push(char);
        }
    }
    shown
}

fn places(text: &str) -> Vec<Range<usize>> {
    let mut places = Vec::new();
    for (at, mark) in text.char_indices() {
        match mark {
            ':' if text[at..].starts_with("://") => places.extend(of_address(text, at + 3)),
            ':' | '=' if is_secret(&text[..at]) => places.push(value(text, at + 1, mark)),
            _ => {}
        }
    }
    places
}

/// Whether what ends here is the name of a secret.
fn is_secret(before: &str) -> bool {
    let before = before.trim_end_matches([' ', '\t']);
    let before = before.strip_suffix(['"', '\'']).unwrap_or(before);
    let is_of_name = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    let start = before.trim_end_matches(is_of_name).len();
    let name = before[start..].to_ascii_lowercase();
    let name: String = name.split(['-', '_', '.']).collect();
    ENDINGS.iter().any(|ending| name.ends_with(ending))
}

/// The value behind the mark of a key.
fn value(text: &str, from: usize, mark: char) -> Range<usize> {
    let line = text[..from].rfind('\n').map_or(0, |at| at + 1);
    let end_of_line = |at: usize| text[at..].find('\n').map_or(text.len(), |n| at + n);
    let blanks = text[from..].len() - text[from..].trim_start_matches([' ', '\t']).len();
    let start = from + blanks;
    let is_in_braces = mark == ':' && text[line..from].contains(['{', ',']);
    if let Some(quote) = text[start..].chars().next().filter(|c| "\"'".contains(*c)) {
        return start..quoted(text, start, quote);
    }
    let mut end = end_of_line(start);
    if is_in_braces {
        return start..text[start..end].find([',', '}']).map_or(end, |n| start + n);
    }
    // It may go on, or stand below: in the lines that are indented deeper.
    let indent = |line: &str| line.len() - line.trim_start_matches(' ').len();
    let own = indent(&text[line..]);
    while end < text.len() && mark == ':' {
        let next = &text[end + 1..end_of_line(end + 1)];
        if !next.trim().is_empty() && indent(next) <= own {
            break;
        }
        end += 1 + next.len();
    }
    start..end
}

/// Where what stands in quotes ends; all that follows where they do not close.
fn quoted(text: &str, start: usize, quote: char) -> usize {
    let mut chars = text[start + 1..].char_indices().peekable();
    while let Some((at, char)) = chars.next() {
        if char == '\\' && quote == '"' {
            chars.next();
        } else if char == quote {
            match chars.peek() {
                Some((_, next)) if quote == '\'' && *next == '\'' => drop(chars.next()),
                _ => return start + 1 + at + 1,
            }
        }
    }
    text.len()
}

/// The password of `scheme://user:password@host`.
fn of_address(text: &str, from: usize) -> Option<Range<usize>> {
    let rest = &text[from..];
    let end = rest.find(|c: char| c.is_whitespace() || c == '"' || c == '\'');
    let rest = &rest[..end.unwrap_or(rest.len())];
    let (before, _) = rest.rsplit_once('@')?;
    let (user, _) = before.split_once(':')?;
    (!user.contains('/')).then(|| from + user.len() + 1..from + before.len())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[track_caller]
    fn check(text: &str, shown: &str) {
        let found = hidden(text.to_owned());
        assert_eq!(found, shown);
        assert_eq!(found.len(), text.len());
    }

    #[test]
    fn what_is_secret_is_hidden_and_nothing_else() {
        check(
            "a: b\npassword: hunter2\nc: d\n",
            "a: b\npassword: *******\nc: d\n",
        );
        check(
            "{ user: a, password: x,y: 1 }",
            "{ user: a, password: *,y: 1 }",
        );
        check(
            r#"{"password":"a\"b, c","d":1}"#,
            r#"{"password":*********,"d":1}"#,
        );
        check("password: 'it''s'  # it", "password: *******  # it");
        check("s3.secret-key: abc", "s3.secret-key: ***");
        check("AWS_SECRET_ACCESS_KEY: abc", "AWS_SECRET_ACCESS_KEY: ***");
        check(
            "--set sinks.out.password=a b",
            "--set sinks.out.password=***",
        );
        check("password: ü\n", "password: **\n");
        check(
            "password: |\n  one\n  two\nb: c",
            "password: *\n*****\n*****\nb: c",
        );
        check(
            "  password:\n    one\n  b: c",
            "  password:\n*******\n  b: c",
        );
        check(
            "url: postgres://me:a@b@db/shop\n",
            "url: postgres://me:***@db/shop\n",
        );
        check(
            "url: postgres://me@db/shop?password=a",
            "url: postgres://me@db/shop?password=*",
        );
        for plain in [
            "password-env: SHOP_PASSWORD",
            "password-file: /run/secrets/shop",
            "url: postgres://me@db:5432/shop",
            "path: a:b@c",
            "endpoint: http://127.0.0.1:9000",
            "tokens: 3",
        ] {
            check(plain, plain);
        }
    }

    proptest! {
        #[test]
        fn places_stay_what_they_are(text in "[a-zü\\-:='\"{},|@/ \n]{0,60}", key in any::<bool>()) {
            let text = if key { text.replace('z', "password: ") } else { text };
            let shown = hidden(text.clone());
            prop_assert_eq!(shown.len(), text.len());
            let lines = |text: &str| text.match_indices('\n').map(|(at, _)| at).collect::<Vec<_>>();
            prop_assert_eq!(lines(&shown), lines(&text));
        }
    }
}
