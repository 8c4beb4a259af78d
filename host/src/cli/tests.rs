//! What holds for the help of every verb.

use clap::{Command, CommandFactory};

use super::*;

/// Every command, with the words that lead to it.
fn all() -> Vec<(String, Command)> {
    let mut all = Vec::new();
    let mut root = Cli::command();
    // What holds for all verbs is handed down.
    root.build();
    let mut open = vec![(String::from("weir"), root)];
    while let Some((path, command)) = open.pop() {
        let inner = command
            .get_subcommands()
            .filter(|inner| inner.get_name() != "help");
        for inner in inner {
            open.push((format!("{path} {}", inner.get_name()), inner.clone()));
        }
        all.push((path, command));
    }
    all
}

/// The command lines of the examples of a command.
fn examples(command: &Command) -> Vec<String> {
    let help = command
        .get_after_help()
        .map(ToString::to_string)
        .unwrap_or_default();
    let (_, examples) = help.split_once("Examples:\n").unwrap_or_default();
    let lines = examples.lines().take_while(|line| line.starts_with("  "));
    lines
        .map(|line| {
            // Without what a shell makes of it.
            let begin = line.find("weir ").expect("an example calls the program");
            line[begin..]
                .split(['|', '>', ')'])
                .next()
                .unwrap()
                .trim()
                .to_owned()
        })
        .collect()
}

#[test]
fn every_verb_has_examples_that_can_be_typed() {
    for (path, command) in all() {
        let examples = examples(&command);
        assert!(examples.len() >= 2, "{path} has {examples:?}");
        for example in examples {
            let parsed = Cli::try_parse_from(example.split_whitespace());
            assert!(parsed.is_ok(), "{example}: {}", parsed.unwrap_err());
            assert!(
                example.starts_with(&path),
                "an example of {path}: {example}"
            );
        }
    }
}

#[test]
fn every_help_fits_a_terminal_of_80_columns() {
    for (path, mut command) in all() {
        for help in [command.render_help(), command.render_long_help()] {
            for line in help.to_string().lines() {
                assert!(line.chars().count() <= 80, "{path}: {line}");
            }
        }
    }
}

#[test]
fn every_verb_says_what_it_does_in_a_line_or_two() {
    for (path, command) in all() {
        let about = command
            .get_about()
            .map(ToString::to_string)
            .unwrap_or_default();
        assert!((20..=160).contains(&about.len()), "{path}: {about}");
    }
}

#[test]
fn the_command_line_is_sound() {
    Cli::command().debug_assert();
}

#[test]
fn json_is_known_to_be_wanted_however_it_is_asked_for() {
    let wants = |line: &str| {
        let arguments: Vec<OsString> = line.split(' ').map(OsString::from).collect();
        wants_json(&arguments)
    };
    assert!(wants("weir rum --output json") && wants("weir --output=json rum"));
    assert!(!wants("weir rum") && !wants("weir rum --output text json"));
}

#[test]
fn our_code_stands_behind_the_word_error() {
    for (text, coded_text) in [
        ("error: no", "error: [W0005] no"),
        (
            "\u{1b}[1m\u{1b}[91merror:\u{1b}[0m no",
            "\u{1b}[1m\u{1b}[91merror:\u{1b}[0m [W0005] no",
        ),
        (
            "\u{1b}[1m\u{1b}[31merror:\u{1b}[0m no",
            "\u{1b}[1m\u{1b}[31merror:\u{1b}[0m [W0005] no",
        ),
        ("help", "help"),
    ] {
        assert_eq!(coded(text), coded_text);
    }
    // And clap begins its errors so, with colours and without.
    let error = Cli::try_parse_from(["weir", "rum"]).unwrap_err();
    assert!(coded(&error.render().to_string()).contains("[W0005]"));
    assert!(coded(&error.render().ansi().to_string()).contains("[W0005]"));
}
