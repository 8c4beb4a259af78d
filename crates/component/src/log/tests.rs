//! What of a guest's words becomes a line of the host's log, and what is kept to explain a trap.

use std::{
    fmt::Debug,
    sync::{Arc, Mutex},
};

use proptest::prelude::*;
use tracing::{
    Event, Metadata, Subscriber,
    field::{Field, Visit},
    span,
};
use weir_model::{Attempt, JobName, MaxParallelism, OperatorName, Parallelism, SubtaskIndex};

use super::*;

/// An event with its fields in order.
#[derive(Clone, Debug, PartialEq)]
struct Said {
    level: Level,
    fields: Vec<(&'static str, String)>,
}

/// Collects the events of a thread.
#[derive(Clone, Default)]
struct Ear(Arc<Mutex<Vec<Said>>>);

impl Subscriber for Ear {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
        span::Id::from_u64(1)
    }

    fn record(&self, _: &span::Id, _: &span::Record<'_>) {}

    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}

    fn event(&self, event: &Event<'_>) {
        let mut said = Said {
            level: *event.metadata().level(),
            fields: Vec::new(),
        };
        event.record(&mut said);
        self.0.lock().unwrap().push(said);
    }

    fn enter(&self, _: &span::Id) {}

    fn exit(&self, _: &span::Id) {}
}

impl Visit for Said {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.fields.push((field.name(), format!("{value:?}")));
    }
}

/// The events of this script, which is handed a log whose first call begins at 0 ms.
fn heard(script: impl FnOnce(Log)) -> Vec<Said> {
    let ear = Ear::default();
    tracing::subscriber::with_default(ear.clone(), || {
        let log = Log::new(None);
        log.begin(at(0), false);
        script(log);
    });
    let events = ear.0.lock().unwrap();
    events.clone()
}

/// Levels and texts of the lines of this script.
fn lines(script: impl FnOnce(Log)) -> Vec<(Level, String)> {
    let text = |said: Said| {
        let mut fields = said.fields.into_iter();
        let (_, text) = fields.find(|(name, _)| *name == "message").unwrap();
        (said.level, text)
    };
    heard(script).into_iter().map(text).collect()
}

#[track_caller]
fn check(script: impl FnOnce(Log), expected: &[(Level, &str)]) {
    let lines = lines(script);
    let lines: Vec<(Level, &str)> = lines
        .iter()
        .map(|(level, text)| (*level, &**text))
        .collect();
    assert_eq!(lines, expected);
}

fn at(ms: i64) -> Option<ProcessingTime> {
    Some(ProcessingTime(ms))
}

#[test]
fn each_line_tells_who_says_it() {
    let task = TaskInfo {
        job: JobName::new("shop").unwrap(),
        operator: OperatorName::new("cart").unwrap(),
        subtask: SubtaskIndex(1),
        parallelism: Parallelism::new(2).unwrap(),
        max_parallelism: MaxParallelism::new(128).unwrap(),
        attempt: Attempt(0),
    };
    let fields = |log: Log| {
        let [said] = heard(|_| log.log(Level::INFO, "hello")).try_into().unwrap();
        let fields = said.fields.into_iter();
        let mut fields: Vec<String> = fields.map(|(name, v)| format!("{name}: {v}")).collect();
        fields.sort();
        fields
    };
    assert_eq!(
        fields(Log::new(Some(&task))),
        [
            r#"job: "shop""#,
            "message: hello",
            r#"operator: "cart""#,
            "subtask: 1"
        ]
    );
    assert_eq!(
        fields(Log::new(None)),
        [r#"job: """#, "message: hello", r#"operator: """#],
        "of what is only described there is no task"
    );
}

#[test]
fn each_way_to_speak_has_its_level() {
    check(
        |log| {
            for level in [
                Level::TRACE,
                Level::DEBUG,
                Level::INFO,
                Level::WARN,
                Level::ERROR,
            ] {
                log.log(level, "x");
            }
            log.write(Stream::Out, b"out\n");
            log.write(Stream::Err, b"err\n");
        },
        &[
            (Level::TRACE, "x"),
            (Level::DEBUG, "x"),
            (Level::INFO, "x"),
            (Level::WARN, "x"),
            (Level::ERROR, "x"),
            (Level::INFO, "out"),
            (Level::WARN, "err"),
        ],
    );
}

#[test]
fn a_line_over_several_writes_is_one_line() {
    check(
        |log| {
            let words = "füß".as_bytes();
            log.write(Stream::Out, &words[..2]);
            log.write(Stream::Err, b"between");
            log.write(Stream::Out, &words[2..]);
            log.write(Stream::Out, b"e\n\nnext\nand");
            log.end_line(Stream::Out);
            log.end_line(Stream::Out);
            log.end_line(Stream::Err);
        },
        &[
            (Level::INFO, "füße"),
            (Level::INFO, ""),
            (Level::INFO, "next"),
            (Level::INFO, "and"),
            (Level::WARN, "between"),
        ],
    );
}

#[test]
fn what_is_no_text_is_still_a_line() {
    check(
        |log| log.write(Stream::Err, b"a\xffb\n"),
        &[(Level::WARN, "a\u{fffd}b")],
    );
}

#[test]
fn a_line_that_is_too_long_is_cut_and_says_so() {
    let long = "x".repeat(MAX_LINE + 10);
    let cut = format!("{}… (10 bytes more)", "x".repeat(MAX_LINE));
    check(|log| log.log(Level::INFO, &long), &[(Level::INFO, &cut)]);
    // In pieces, so that the end of what is kept falls into one of them.
    check(
        |log| {
            for piece in long.as_bytes().chunks(1000) {
                log.write(Stream::Out, piece);
            }
            log.write(Stream::Out, b"\nshort\n");
        },
        &[(Level::INFO, &cut), (Level::INFO, "short")],
    );
    let full = "x".repeat(MAX_LINE);
    check(|log| log.log(Level::INFO, &full), &[(Level::INFO, &full)]);
    // A character is not cut in two.
    let wide = format!("{}ß", "x".repeat(MAX_LINE - 1));
    let cut = format!("{}… (2 bytes more)", "x".repeat(MAX_LINE - 1));
    check(|log| log.log(Level::INFO, &wide), &[(Level::INFO, &cut)]);
}

#[test]
fn nothing_of_a_rehearsal_is_logged_but_its_last_words_are_kept() {
    let lines = lines(|log| {
        log.begin(at(1), true);
        log.log(Level::ERROR, "panicked");
        log.write(Stream::Err, b"in vain\n");
        assert_eq!(log.last_words().as_deref(), Some("panicked"));
        log.begin(at(2), false);
        log.log(Level::INFO, "heard");
    });
    assert_eq!(lines, [(Level::INFO, "heard".to_owned())]);
}

#[test]
fn a_second_has_so_many_lines_and_what_is_left_out_is_counted() {
    let lines = lines(|log| {
        for line in 0..MAX_LINES + 3 {
            log.log(Level::INFO, &line.to_string());
        }
        // The same second, from another side.
        log.begin(at(999), false);
        log.write(Stream::Out, b"a\nb\n");
        log.begin(at(1000), false);
        log.log(Level::INFO, "a new second");
    });
    let last: Vec<&str> = lines[lines.len() - 3..]
        .iter()
        .map(|(_, text)| &**text)
        .collect();
    assert_eq!(lines.len(), MAX_LINES as usize + 2);
    assert_eq!(
        last,
        [
            "99",
            "lines of the component left out: 5; 100 in a second is the most",
            "a new second"
        ]
    );
}

#[test]
fn what_was_left_out_is_told_when_the_instance_goes() {
    let lines = lines(|log| {
        let stream = log.clone();
        for _ in 0..=MAX_LINES {
            stream.write(Stream::Err, b"x\n");
        }
    });
    let (level, text) = lines.last().unwrap();
    assert_eq!(*level, Level::WARN);
    assert!(
        text.starts_with("lines of the component left out: 1;"),
        "{text}"
    );
}

#[test]
fn a_clock_that_is_set_back_silences_nobody() {
    check(
        |log| {
            log.begin(at(5000), false);
            log.log(Level::INFO, "later");
            log.begin(at(-1), false);
            log.log(Level::INFO, "before the epoch");
        },
        &[(Level::INFO, "later"), (Level::INFO, "before the epoch")],
    );
}

/// What the guest said last, in this script.
fn last_words(script: impl FnOnce(&Log)) -> Option<String> {
    let mut words = None;
    heard(|log| {
        script(&log);
        words = log.last_words();
    });
    words
}

#[test]
fn the_last_words_are_the_last_error_of_the_call_or_the_end_of_its_standard_error() {
    let nothing = last_words(|log| {
        log.log(Level::WARN, "not an error");
        log.write(Stream::Out, b"nor this\n");
    });
    assert_eq!(nothing, None);
    let stderr = |log: &Log| log.write(Stream::Err, b"thread 'main' panicked\n  at a.rs:1\n");
    assert_eq!(
        last_words(stderr).unwrap(),
        "thread 'main' panicked\n  at a.rs:1"
    );
    let both = last_words(|log| {
        log.log(Level::ERROR, "first");
        log.log(Level::ERROR, "second");
        stderr(log);
    });
    assert_eq!(both.unwrap(), "second");
    let before = last_words(|log| {
        log.log(Level::ERROR, "of the call before");
        stderr(log);
        log.begin(at(1), false);
    });
    assert_eq!(before, None);
}

#[test]
fn last_words_are_kept_also_where_lines_are_left_out() {
    let words = last_words(|log| {
        for _ in 0..MAX_LINES {
            log.log(Level::INFO, "chatter");
        }
        log.log(Level::ERROR, "no more eggs");
    });
    assert_eq!(words.unwrap(), "no more eggs");
}

#[test]
fn of_many_last_words_some_are_kept() {
    let long = format!("begin {}", "x".repeat(2 * MAX_LAST_WORDS));
    let words = last_words(|log| log.log(Level::ERROR, &long)).unwrap();
    assert!(words.starts_with("begin") && words.len() == MAX_LAST_WORDS);
    let words = last_words(|log| {
        for line in 0..10_000 {
            log.write(Stream::Err, format!("{line}\n").as_bytes());
        }
    });
    let words = words.unwrap();
    assert!(
        words.ends_with("9998\n9999") && words.len() < MAX_LAST_WORDS,
        "{words}"
    );
}

proptest! {
    #[test]
    fn lines_do_not_depend_on_how_they_are_written(
        pieces in prop::collection::vec("[aß\n]{0,8}", 0..12),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..6),
    ) {
        let whole = pieces.concat();
        let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(whole.len() + 1)).collect();
        cuts.extend([0, whole.len()]);
        cuts.sort_unstable();
        let lines = lines(|log| {
            for cut in cuts.windows(2) {
                log.write(Stream::Out, &whole.as_bytes()[cut[0]..cut[1]]);
            }
            log.end_line(Stream::Out);
        });
        let texts: Vec<&str> = lines.iter().map(|(_, text)| &**text).collect();
        let expected: Vec<&str> = whole.lines().collect();
        prop_assert_eq!(texts, expected);
    }

    #[test]
    fn a_text_is_cut_between_characters(text in ".{0,40}", max in 0_usize..60) {
        let kept = cut(&text, max);
        prop_assert!(text.starts_with(kept) && kept.len() <= max);
        prop_assert!(kept.len() == text.len() || kept.len() + 4 > max);
    }
}
