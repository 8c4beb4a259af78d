//! Transcripts: Markdown under `docs/transcripts/` that is documentation and test at once.
//!
//! A block after `<!-- file: NAME -->` is a file. A `console` block is a session: `$ COMMAND` is
//! given to a shell, `? N` below it says that it ends with N and not with 0, and what follows is
//! what it prints, on both streams, as at a terminal. The blocks of a file are one session after
//! the other in one folder, in which `components/` has the example guests.
//!
//! Two outputs are the same where they differ only in durations, sizes, times, checksums and such
//! (see [`blurred`]). `[..]` stands for anything in a line, a line `...` for any lines.
//!
//! `WEIR_TRANSCRIPTS=write` writes down what is printed now; what is the same is left as it is.

mod blur;

use std::{
    fs,
    io::Read,
    os::unix::fs::symlink,
    path::Path,
    process::{Command, Stdio},
};

use anyhow::{Context, Result, bail, ensure};

use self::blur::same;
use crate::{AS_PROGRAM, case};

/// In the environment of a run that is to write transcripts anew.
const WRITE: &str = "WEIR_TRANSCRIPTS";

/// What the folder of a session is called in what is printed: it is another each time.
const HOME: &str = "/home/ada/jobs";

/// A part of a transcript.
enum Part {
    /// Lines that are only read by people.
    Text(Vec<String>),
    /// A file and its lines; first what leads in, up to the fence.
    File {
        lead: Vec<String>,
        name: String,
        lines: Vec<String>,
    },
    /// A command.
    Call {
        line: String,
        exit: i32,
        output: Vec<String>,
    },
}

/// A test of the rules.
pub(crate) type Check = fn() -> Result<()>;

/// Plays the transcript in a file.
pub(crate) fn run(path: &Path) -> Result<()> {
    let text = fs::read_to_string(path)?;
    let mut parts = parse(&text)?;
    let place = tempfile::tempdir()?;
    let place = place.path().canonicalize()?;
    prepare(&place)?;
    let mut different = Vec::new();
    for part in &mut parts {
        match part {
            Part::Text(_) => {}
            Part::File { name, lines, .. } => {
                let file = place.join("home").join(name);
                fs::create_dir_all(file.parent().context("a file in no folder")?)?;
                fs::write(&file, lines.join("\n") + "\n")?;
            }
            Part::Call { line, exit, output } => {
                let (code, printed) = call(&place, line)?;
                if code != *exit || !same(output, &printed) {
                    different.push(difference(line, (*exit, output), (code, &printed)));
                    (*exit, *output) = (code, printed);
                }
            }
        }
    }
    if different.is_empty() {
        return Ok(());
    }
    if std::env::var_os(WRITE).is_some_and(|how| how == "write") {
        return Ok(fs::write(path, written(&parts))?);
    }
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    bail!(
        "{name} says otherwise; {WRITE}=write writes this down instead:\n{}",
        different.join("\n")
    )
}

/// What to show of a call that went otherwise: what was expected and what came, each line with a
/// mark and an end that can be seen.
fn difference(line: &str, expected: (i32, &[String]), found: (i32, &[String])) -> String {
    let shown = |mark: char, (exit, output): (i32, &[String])| {
        let line = |line: &String| format!("\n{mark} {}|", line.escape_debug());
        format!(
            "\n{mark} ? {exit}{}",
            output.iter().map(line).collect::<String>()
        )
    };
    format!("$ {line}{}{}", shown('-', expected), shown('+', found))
}

/// Makes the folder of the sessions, and one with the program.
fn prepare(place: &Path) -> Result<()> {
    fs::create_dir(place.join("bin"))?;
    fs::create_dir(place.join("runtime"))?;
    symlink(std::env::current_exe()?, place.join("bin/weir"))?;
    let components = place.join("home/components");
    fs::create_dir_all(&components)?;
    let guests = case::guests();
    let found = fs::read_dir(&guests)
        .with_context(|| format!("{}: run `cargo xtask guests` first", guests.display()))?;
    for guest in found {
        let guest = guest?.path().canonicalize()?;
        symlink(
            &guest,
            components.join(guest.file_name().unwrap_or_default()),
        )?;
    }
    Ok(())
}

/// The exit code of a command, and what it prints.
fn call(place: &Path, line: &str) -> Result<(i32, Vec<String>)> {
    let home = place.join("home");
    let path = std::env::var("PATH").unwrap_or_default();
    let (mut reader, writer) = std::io::pipe()?;
    let mut command = Command::new("sh");
    command
        .args(["-c", line])
        .current_dir(&home)
        .env("PATH", format!("{}:{path}", place.join("bin").display()))
        .env("HOME", &home)
        .env("LC_ALL", "C")
        .env("WEIR_CACHE_DIR", case::cache())
        .env("WEIR_CONFIG", "none")
        .env("XDG_RUNTIME_DIR", place.join("runtime"))
        .env_remove("XDG_CONFIG_HOME")
        .env(AS_PROGRAM, "1")
        .env_remove("WEIR_LOG")
        .stdin(Stdio::null())
        .stdout(writer.try_clone()?)
        .stderr(writer);
    let mut child = command.spawn()?;
    // It holds the pipe's other end too: there would be no end to read.
    drop(command);
    let mut bytes = Vec::new();
    reader.read_to_end(&mut bytes)?;
    let code = child.wait()?.code().unwrap_or(-1);
    let printed = String::from_utf8(bytes).context("what is printed is not UTF-8")?;
    let printed = printed.replace(&*home.to_string_lossy(), HOME);
    let lines = printed.lines().map(|line| line.trim_end().to_owned());
    Ok((code, lines.collect()))
}

/// Takes a transcript apart.
fn parse(text: &str) -> Result<Vec<Part>> {
    let mut parts = Vec::new();
    let mut prose: Vec<String> = Vec::new();
    let mut file: Option<String> = None;
    let mut lines = text.lines().map(str::to_owned);
    while let Some(line) = lines.next() {
        if let Some(name) = line.strip_prefix("<!-- file: ") {
            let name = name
                .strip_suffix(" -->")
                .with_context(|| format!("`{line}`"))?;
            file = Some(name.to_owned());
            prose.push(line);
            continue;
        }
        let Some(kind) = line.strip_prefix("```") else {
            prose.push(line);
            continue;
        };
        let kind = kind.to_owned();
        prose.push(line);
        let block = lines.by_ref().take_while(|line| line != "```");
        let block: Vec<String> = block.collect();
        let before = std::mem::take(&mut prose);
        match (file.take(), kind.as_str()) {
            (Some(name), _) => parts.push(Part::File {
                lead: before,
                name,
                lines: block,
            }),
            (None, "console") => {
                parts.push(Part::Text(before));
                parts.extend(calls(block)?);
            }
            (None, _) => {
                prose = before;
                prose.extend(block);
            }
        }
        prose.push("```".to_owned());
    }
    ensure!(file.is_none(), "a file without a block");
    parts.push(Part::Text(prose));
    let calls = parts
        .iter()
        .filter(|part| matches!(part, Part::Call { .. }));
    ensure!(calls.count() > 0, "nothing is called");
    Ok(parts)
}

/// The commands of a session.
fn calls(block: Vec<String>) -> Result<Vec<Part>> {
    let mut calls: Vec<Part> = Vec::new();
    for text in block {
        if let Some(line) = text.strip_prefix("$ ") {
            let line = line.to_owned();
            calls.push(Part::Call {
                line,
                exit: 0,
                output: Vec::new(),
            });
            continue;
        }
        let Some(Part::Call { exit, output, .. }) = calls.last_mut() else {
            bail!("`{text}` is printed by no command");
        };
        match text.strip_prefix("? ") {
            Some(code) if output.is_empty() && *exit == 0 => *exit = code.parse()?,
            Some(_) | None => output.push(text),
        }
    }
    Ok(calls)
}

/// A transcript as it stands in its file.
fn written(parts: &[Part]) -> String {
    let mut all: Vec<String> = Vec::new();
    for part in parts {
        match part {
            Part::Text(lines) => all.extend(lines.iter().cloned()),
            Part::File { lead, lines, .. } => all.extend(lead.iter().chain(lines).cloned()),
            Part::Call { line, exit, output } => {
                all.push(format!("$ {line}"));
                if *exit != 0 {
                    all.push(format!("? {exit}"));
                }
                all.extend(output.iter().cloned());
            }
        }
    }
    all.join("\n") + "\n"
}

/// The rules of what is the same, and that a transcript that is written is the one that was read.
/// This binary has a harness of its own, so they are called by name.
pub(crate) fn tests() -> Vec<(&'static str, Check)> {
    let mut all = blur::tests();
    all.push(("a_transcript_is_written_as_it_was_read", || {
        let text = "# A\n\n<!-- file: a.txt -->\n```text\n1\n\n2\n```\n\nProse.\n\n```yaml\na: 1\n```\n\n\
                    ```console\n$ weir x\n? 2\nerror\n$ cat a.txt\n1\n```\n\nEnd.\n";
        let parts = parse(text)?;
        ensure!(written(&parts) == text, "{}", written(&parts));
        let calls = parts.iter().filter(|part| matches!(part, Part::Call { .. })).count();
        ensure!(calls == 2, "{calls} calls");
        ensure!(parse("```console\nno command\n```\n").is_err(), "output of nothing");
        ensure!(parse("# Nothing\n").is_err(), "no call");
        Ok(())
    }));
    all
}
