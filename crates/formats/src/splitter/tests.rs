//! Tests of `splitter`.

use proptest::prelude::*;

use super::*;

/// A piece in short, without the discarded ones.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Seen {
    Row(Vec<u8>),
    Blank,
    Bad(Malformed),
}

/// All pieces of an input that arrives in chunks of the given sizes, each with the line end count
/// before it. Checks that what is consumed adds up.
fn split(mut splitter: Splitter, input: &[u8], chunks: &[usize]) -> Vec<(u32, Seen)> {
    let (mut at, mut have, mut line) = (0, 0, 0);
    let mut start_line = 0;
    let mut seen = Vec::new();
    let mut chunks = chunks
        .iter()
        .copied()
        .chain(std::iter::repeat(input.len().max(1)));
    loop {
        let at_end = have == input.len();
        if let Some(cut) = splitter.next(&input[at..have], at_end) {
            at += cut.consumed;
            line += cut.lines;
            let piece = match cut.piece {
                Piece::Row(row) => Seen::Row(row.to_vec()),
                Piece::Blank => Seen::Blank,
                Piece::Malformed(error) => Seen::Bad(error),
                Piece::Discarded => continue,
            };
            seen.push((start_line, piece));
            start_line = line;
        } else if at_end {
            assert_eq!(at, input.len());
            assert_eq!(line as usize, memchr::memchr_iter(b'\n', input).count());
            return seen;
        } else {
            have = input.len().min(have + chunks.next().unwrap());
        }
    }
}

fn row(text: &str) -> Seen {
    Seen::Row(text.as_bytes().to_vec())
}

#[track_caller]
fn check(splitter: Splitter, input: &str, expected: &[(u32, Seen)]) {
    for chunk in [1, 3, input.len().max(1)] {
        let chunks = vec![chunk; input.len()];
        assert_eq!(
            split(splitter.clone(), input.as_bytes(), &chunks),
            expected,
            "{chunk}"
        );
    }
}

#[test]
fn lines_keep_empty_ones() {
    check(
        Splitter::lines(),
        "a\r\n\nb\rc\nd",
        &[(0, row("a")), (1, row("")), (2, row("b\rc")), (3, row("d"))],
    );
}

#[test]
fn json_lines_must_be_json() {
    let bad = Malformed::NotJson {
        message: "EOF while parsing a value at column 3".into(),
    };
    check(
        Splitter::json(),
        "{\"a\":1}\n \n[1,\r\n2",
        &[
            (0, row("{\"a\":1}")),
            (1, Seen::Blank),
            (2, Seen::Bad(bad)),
            (3, row("2")),
        ],
    );
}

#[test]
fn csv_quotes_may_hold_line_ends() {
    check(
        Splitter::csv(b','),
        "a,b\r\n1,\"x\ny\r\n\"\"z\"\"\"\n\n2,\"\"\r\n3,\"w\"",
        &[
            (0, row("a,b")),
            (1, row("1,\"x\ny\r\n\"\"z\"\"\"")),
            (4, Seen::Blank),
            (5, row("2,\"\"")),
            (6, row("3,\"w\"")),
        ],
    );
}

#[test]
fn a_quote_in_the_middle_of_a_field_is_text() {
    check(
        Splitter::csv(b','),
        "5\" pipe,a\nb,6\"\n",
        &[(0, row("5\" pipe,a")), (1, row("b,6\""))],
    );
}

#[test]
fn a_stray_quote_costs_one_row() {
    let at = 12;
    check(
        Splitter::csv(b','),
        "1,a,x\n2,\"b,x\n3,\"c\",x\n4,d,x\n",
        &[
            (0, row("1,a,x")),
            (1, Seen::Bad(Malformed::TextAfterQuote { at: at - 2 })),
            (2, row("3,\"c\",x")),
            (3, row("4,d,x")),
        ],
    );
    check(
        Splitter::csv(b','),
        "1,a\n\"2,b\n3,c\n4,d",
        &[
            (0, row("1,a")),
            (1, Seen::Bad(Malformed::UnclosedQuote)),
            (2, row("3,c")),
            (3, row("4,d")),
        ],
    );
    check(
        Splitter::csv(b','),
        "\"a\"b,1\nc,2\n",
        &[
            (0, Seen::Bad(Malformed::TextAfterQuote { at: 3 })),
            (1, row("c,2")),
        ],
    );
}

#[test]
fn the_first_record_says_how_many_fields_there_are() {
    let short = Malformed::FieldCount {
        found: 1,
        expected: 2,
    };
    let long = Malformed::FieldCount {
        found: 3,
        expected: 2,
    };
    check(
        Splitter::csv(b'\t'),
        "a\tb\nc\nd\te\tf\ng\th\n",
        &[
            (0, row("a\tb")),
            (1, Seen::Bad(short)),
            (2, Seen::Bad(long)),
            (3, row("g\th")),
        ],
    );
    let mut splitter = Splitter::csv(b',');
    splitter.expect_fields(2);
    assert!(matches!(
        splitter.next(b"a\n", false).unwrap().piece,
        Piece::Malformed(Malformed::FieldCount { .. })
    ));
}

#[test]
fn where_any_number_of_fields_will_do_each_record_is_a_row() {
    let splitter = Splitter::csv(b',').with_any_fields();
    check(
        splitter.clone(),
        "a\nb,c\n\"d,\",e,f\n",
        &[(0, row("a")), (1, row("b,c")), (2, row("\"d,\",e,f"))],
    );
    assert_eq!(splitter.fields(), None);
}

#[test]
fn a_row_that_is_too_long_is_left_out() {
    let bad = || Seen::Bad(Malformed::TooLong { max: 4 });
    for splitter in [Splitter::lines(), Splitter::csv(b',')] {
        check(
            splitter.with_max_bytes(4),
            "abcd\r\nabcde\nabcdefghijkl\nabcd\nabcde",
            &[
                (0, row("abcd")),
                (1, bad()),
                (2, bad()),
                (3, row("abcd")),
                (4, bad()),
            ],
        );
    }
    check(
        Splitter::csv(b',').with_max_bytes(4),
        "\"ab\ncd\nef\"\n\"a\n\"",
        &[
            (0, bad()),
            (1, row("cd")),
            (2, row("ef\"")),
            (3, row("\"a\n\"")),
        ],
    );
}

/// What a csv text should be cut into, a character at a time and without a bound: the rules as the
/// documentation of [`Splitter`] says them.
fn csv_model(text: &[u8]) -> Vec<(u32, Seen)> {
    let mut seen = Vec::new();
    let (mut at, mut line, mut expected) = (0, 0, None);
    while at < text.len() {
        let (end, fields, error) = csv_record(&text[at..]);
        let first_line = text[at..].iter().position(|b| *b == b'\n');
        let (taken, piece) = if let Some(error) = error {
            (
                first_line.map_or(text.len() - at, |len| len + 1),
                Seen::Bad(error),
            )
        } else {
            let taken = if at + end < text.len() { end + 1 } else { end };
            let raw = &text[at..at + end];
            let raw = raw.strip_suffix(b"\r").unwrap_or(raw);
            let piece = if raw.is_empty() {
                Seen::Blank
            } else {
                let expected = *expected.get_or_insert(fields);
                match fields == expected {
                    true => Seen::Row(raw.to_vec()),
                    false => Seen::Bad(Malformed::FieldCount {
                        found: fields,
                        expected,
                    }),
                }
            };
            (taken, piece)
        };
        seen.push((line, piece));
        line += text[at..at + taken].iter().filter(|b| **b == b'\n').count() as u32;
        at += taken;
    }
    seen
}

/// Where the first record of a text ends (before its line feed), how many fields it has, and what
/// is wrong with it.
fn csv_record(text: &[u8]) -> (usize, usize, Option<Malformed>) {
    #[derive(PartialEq)]
    enum State {
        Begin,
        Plain,
        Quoted,
        Closed,
    }
    let (mut state, mut fields) = (State::Begin, 1);
    let mut at = 0;
    while let Some(&byte) = text.get(at) {
        let next = text.get(at + 1);
        state = match (state, byte) {
            (State::Begin, b'"') => State::Quoted,
            (State::Quoted, b'"') if next == Some(&b'"') => {
                at += 1;
                State::Quoted
            }
            (State::Quoted, b'"') => State::Closed,
            (State::Quoted, _) => State::Quoted,
            (_, b'\n') => return (at, fields, None),
            (_, b',') => {
                fields += 1;
                State::Begin
            }
            (State::Closed, b'\r') if matches!(next, None | Some(b'\n')) => State::Closed,
            (State::Closed, _) => return (at, fields, Some(Malformed::TextAfterQuote { at })),
            (State::Begin | State::Plain, _) => State::Plain,
        };
        at += 1;
    }
    let open = (state == State::Quoted).then_some(Malformed::UnclosedQuote);
    (at, fields, open)
}

/// What lines should be cut into, where none may be longer than `max` bytes.
fn lines_model(text: &[u8], max: usize) -> Vec<(u32, Seen)> {
    let mut lines: Vec<_> = text.split(|byte| *byte == b'\n').collect();
    // What follows the last line end is a line only where there is something.
    if lines.last().is_some_and(|line| line.is_empty()) {
        lines.pop();
    }
    let row = |line: &[u8]| {
        let row = line.strip_suffix(b"\r").unwrap_or(line);
        match row.len() > max {
            true => Seen::Bad(Malformed::TooLong { max }),
            false => Seen::Row(row.to_vec()),
        }
    };
    (0..).zip(lines.into_iter().map(row)).collect()
}

/// csv text of a few kinds of pieces, good and bad.
fn csv_text() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        Just("a"),
        Just("bb"),
        Just(","),
        Just(","),
        Just("\""),
        Just("\"\""),
        Just("\n"),
        Just("\r\n"),
        Just("\""),
        Just("\r"),
        Just("x,\"y\nz\"\n"),
        Just("1,2\n"),
    ];
    prop::collection::vec(piece, 0..30).prop_map(|pieces| pieces.concat().into_bytes())
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn pieces_do_not_depend_on_how_bytes_arrive(
        text in csv_text(),
        chunks in prop::collection::vec(1..9_usize, 0..60),
        max in prop_oneof![Just(3_usize), Just(8), Just(1000)],
    ) {
        for splitter in [Splitter::csv(b','), Splitter::lines(), Splitter::json()] {
            let splitter = splitter.with_max_bytes(max);
            let whole = split(splitter.clone(), &text, &[text.len().max(1)]);
            prop_assert_eq!(split(splitter, &text, &chunks), whole);
        }
    }

    #[test]
    fn csv_is_cut_as_its_model_cuts_it(
        text in csv_text(),
        chunks in prop::collection::vec(1..9_usize, 0..60),
    ) {
        prop_assert_eq!(split(Splitter::csv(b','), &text, &chunks), csv_model(&text));
    }

    #[test]
    fn lines_are_cut_as_their_model_cuts_them(
        text in csv_text(),
        chunks in prop::collection::vec(1..9_usize, 0..60),
        max in 1..6_usize,
    ) {
        let lines = Splitter::lines().with_max_bytes(max);
        prop_assert_eq!(split(lines, &text, &chunks), lines_model(&text, max));
    }

    #[test]
    fn rows_read_as_csv_core_reads_them(
        rows in prop::collection::vec(
            prop::collection::vec("[a\",\n ]{0,4}", 2..=2), 0..8),
        crlf in any::<bool>(),
    ) {
        let end = if crlf { "\r\n" } else { "\n" };
        let mut text = String::new();
        for row in &rows {
            let fields: Vec<_> =
                row.iter().map(|f| format!("\"{}\"", f.replace('"', "\"\""))).collect();
            text += &fields.join(",");
            text += end;
        }
        let seen = split(Splitter::csv(b','), text.as_bytes(), &[5, 1, 7]);
        let read: Vec<Vec<String>> = seen
            .into_iter()
            .map(|(_, seen)| match seen {
                Seen::Row(row) => crate::header_names(&row, b','),
                other => panic!("{other:?}"),
            })
            .collect();
        prop_assert_eq!(read, rows);
    }
}
