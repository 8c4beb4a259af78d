//! Tells code from comments and literals, line by line, well enough for rules about style.
//!
//! Invariant: the masked text has the lines and columns of the source; what is not code is blank.

/// A Rust source, and the same text with comments and the inside of literals blanked.
pub(crate) struct Code<'a> {
    /// The source as it is.
    pub(crate) lines: Vec<&'a str>,
    /// The same lines with nothing but code in them.
    pub(crate) masked: Vec<String>,
    /// For each line, whether it belongs to a `#[cfg(test)]` module.
    pub(crate) in_test: Vec<bool>,
}

impl<'a> Code<'a> {
    pub(crate) fn new(text: &'a str) -> Self {
        let masked: Vec<String> = mask(text).lines().map(str::to_owned).collect();
        let in_test = test_lines(&masked);
        Self {
            lines: text.lines().collect(),
            masked,
            in_test,
        }
    }

    /// The last line of the block that opens at or after `line`, or `None` where a `;` comes first.
    pub(crate) fn block_end(&self, line: usize) -> Option<usize> {
        block_end(&self.masked, line)
    }
}

/// What the scanner is in the middle of.
enum Within {
    Code,
    LineComment,
    /// Block comments nest.
    BlockComment(usize),
    Text,
    /// The number of `#` that close it.
    RawText(usize),
}

fn mask(text: &str) -> String {
    let source: Vec<char> = text.chars().collect();
    let at = |index: usize| source.get(index).copied().unwrap_or('\0');
    let mut out = String::with_capacity(text.len());
    let mut within = Within::Code;
    let mut index = 0;
    while index < source.len() {
        let (here, next) = (at(index), at(index + 1));
        // How many characters this step takes, and whether they are code.
        let (taken, is_code) = match within {
            Within::Code => match here {
                '/' if next == '/' => (enter(&mut within, Within::LineComment), false),
                '/' if next == '*' => (enter(&mut within, Within::BlockComment(1)) + 1, false),
                '"' => (enter(&mut within, Within::Text), true),
                'r' if !is_word(index.checked_sub(1).map_or(' ', at)) || at(index - 1) == 'b' => {
                    match raw_opening(&source[index + 1..]) {
                        Some(hashes) => (
                            enter(&mut within, Within::RawText(hashes)) + hashes + 1,
                            true,
                        ),
                        None => (1, true),
                    }
                }
                '\'' => (character_literal(&source[index..]).unwrap_or(1), true),
                _ => (1, true),
            },
            Within::LineComment if here == '\n' => (enter(&mut within, Within::Code), true),
            Within::LineComment => (1, false),
            Within::BlockComment(depth) => match (here, next) {
                ('*', '/') if depth == 1 => (enter(&mut within, Within::Code) + 1, false),
                ('*', '/') => (
                    enter(&mut within, Within::BlockComment(depth - 1)) + 1,
                    false,
                ),
                ('/', '*') => (
                    enter(&mut within, Within::BlockComment(depth + 1)) + 1,
                    false,
                ),
                _ => (1, false),
            },
            Within::Text => match here {
                '\\' => (2, false),
                '"' => (enter(&mut within, Within::Code), true),
                _ => (1, false),
            },
            Within::RawText(hashes) => {
                let closes = here == '"' && (1..=hashes).all(|offset| at(index + offset) == '#');
                if closes {
                    (enter(&mut within, Within::Code) + hashes, true)
                } else {
                    (1, false)
                }
            }
        };
        let end = source.len().min(index + taken);
        // A character literal may hold a brace or a quote: only its quotes count as code.
        let literal = is_code && here == '\'' && taken > 1;
        for (offset, &character) in source[index..end].iter().enumerate() {
            let inside = literal && offset > 0 && offset + 1 < taken;
            let shown = character == '\n' || (is_code && !inside);
            out.push(if shown { character } else { ' ' });
        }
        index = end;
    }
    out
}

/// Changes the state and takes one character.
fn enter(within: &mut Within, to: Within) -> usize {
    *within = to;
    1
}

fn is_word(character: char) -> bool {
    character.is_alphanumeric() || character == '_'
}

/// The number of `#` of a raw string whose `r` came just before.
fn raw_opening(rest: &[char]) -> Option<usize> {
    let hashes = rest
        .iter()
        .take_while(|&&character| character == '#')
        .count();
    (rest.get(hashes) == Some(&'"')).then_some(hashes)
}

/// The length of a character literal at the start, `None` for a lifetime or label.
fn character_literal(rest: &[char]) -> Option<usize> {
    match rest.get(1..3)? {
        ['\\', _] => rest
            .iter()
            .skip(3)
            .position(|&character| character == '\'')
            .map(|at| at + 4),
        [_, '\''] => Some(3),
        _ => None,
    }
}

/// The last line of the block that opens at or after `start`.
fn block_end(masked: &[String], start: usize) -> Option<usize> {
    // Brackets other than braces count too: `fn f(x: [u8; 4])` holds a `;` that ends nothing.
    let (mut braces, mut brackets) = (0_usize, 0_usize);
    for (number, line) in masked.iter().enumerate().skip(start) {
        for character in line.chars() {
            match character {
                '(' | '[' => brackets += 1,
                ')' | ']' => brackets = brackets.saturating_sub(1),
                '{' => braces += 1,
                '}' => {
                    braces = braces.saturating_sub(1);
                    if braces == 0 {
                        return Some(number);
                    }
                }
                ';' if braces == 0 && brackets == 0 => return None,
                _ => {}
            }
        }
    }
    None
}

/// Marks the lines of every module under `#[cfg(test)]`.
fn test_lines(masked: &[String]) -> Vec<bool> {
    let mut marked = vec![false; masked.len()];
    for (number, line) in masked.iter().enumerate() {
        if line.trim() != "#[cfg(test)]" {
            continue;
        }
        let end = block_end(masked, number).unwrap_or(number + 1);
        for mark in marked.iter_mut().take(end + 1).skip(number) {
            *mark = true;
        }
    }
    marked
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(source: &str, masked: &str) {
        assert_eq!(mask(source), masked);
    }

    #[test]
    fn comments_and_literals_are_blanked_in_place() {
        check("a // b\nc", "a     \nc");
        check("a /* { /* x */ } */ b", "a                   b");
        check(r#"f("{\"}")"#, r#"f("    ")"#);
        check("f(r#\"{\"}\"#)", "f(r#\"   \"#)");
        check("f(br\"{\")", "f(br\" \")");
        check("'{' '\\'' '\\u{7b}'", "' ' '  ' '      '");
    }

    #[test]
    fn lifetimes_and_raw_names_are_code() {
        check("fn f<'a>(x: &'a str) {", "fn f<'a>(x: &'a str) {");
        check("let r = r#type;", "let r = r#type;");
    }

    #[test]
    fn a_literal_over_two_lines_keeps_them() {
        check("\"a\n b\" c", "\" \n  \" c");
    }

    #[test]
    fn a_block_ends_at_its_own_brace() {
        let code = Code::new("fn f(x: [u8; 4]) {\n    { '}' }\n}\nfn g();\n");
        assert_eq!(code.block_end(0), Some(2));
        assert_eq!(code.block_end(3), None);
    }

    #[test]
    fn lines_of_a_test_module_are_known() {
        let code = Code::new("fn f() {}\n#[cfg(test)]\nmod tests {\n    fn g() {}\n}\nfn h() {}\n");
        assert_eq!(code.in_test, [false, true, true, true, true, false]);
        let elsewhere = Code::new("#[cfg(test)]\nmod tests;\nfn h() {}\n");
        assert_eq!(elsewhere.in_test, [true, true, false]);
    }
}
