//! `weir test`: tests operators by test files, each in a job of its own in this process.

mod case;
mod check;
mod compare;
mod find;
mod held;

use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::{Value, json};
use weir_job_file::{Diagnostics, TestFile};

use self::{case::Failed, compare::text_of};
use super::{Output, Shared, wants_color};
use crate::{
    assemble::Tested,
    exit::Exit,
    load::{load_file, text_of as text_of_file},
    render::{error, say, tell},
};

/// The code of tests that are not there.
const NO_TESTS: &str = "W0063";

/// Tests operators: the compiled component, in the real host, in virtual time.
///
/// A test file (`*.test.yaml`) names an operator, and says what is done with it: rows, watermarks,
/// time that passes, snapshots, restores, crashes, and what should come of it. Each case is a job
/// of its own; nothing is written, and no time of yours is waited for.
///
/// What components log is shown with `--log info`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  weir test
  weir test cart.test.yaml --filter crash
  weir test operators/ --set state.backend=rocksdb
  weir test --output json")]
pub(crate) struct Test {
    /// Test files, and folders that are searched for `*.test.yaml`; by default
    /// the working directory.
    #[arg(value_name = "FILE|DIR")]
    paths: Vec<PathBuf>,

    /// Runs only cases that have this text in their name.
    #[arg(long, value_name = "TEXT")]
    filter: Option<String>,

    /// Sets a value of all test files; may be repeated, later wins. As for job
    /// files: `--set parallelism=3`.
    #[arg(long = "set", value_name = "PATH=VALUE")]
    sets: Vec<String>,
}

/// What came of a test file.
struct Ran {
    path: PathBuf,
    /// An error is why none can be run.
    cases: Result<Vec<RanCase>, Diagnostics>,
}

/// What came of a case.
struct RanCase {
    name: String,
    /// What was not as it should be.
    failed: Option<Box<Failed>>,
}

impl Ran {
    /// Whether it is shown with more than a line for each case.
    fn is_long(&self) -> bool {
        let cases = self.cases.as_ref();
        cases.is_ok_and(|cases| cases.iter().any(|case| case.failed.is_some()))
    }
}

impl Test {
    pub(crate) fn run(self, shared: &Shared) -> Exit {
        let files = match find::files(&self.paths) {
            Ok(files) => files,
            Err(message) => {
                let help = "a test file is called `<operator>.test.yaml`";
                error(shared, NO_TESTS, &message, Some(help));
                return Exit::Usage;
            }
        };
        let mut all: Vec<Ran> = Vec::new();
        for path in files {
            let cases = self.file(&path, shared);
            let ran = Ran { path, cases };
            if shared.output == Output::Text {
                show(&ran, all.last().is_some_and(Ran::is_long));
            }
            all.push(ran);
        }
        let count = Count::of(&all);
        if count.passed + count.failed + count.broken == 0 {
            let filter = self.filter.as_deref().unwrap_or_default();
            let message = format!("no case has `{filter}` in its name");
            error(shared, NO_TESTS, &message, None);
            return Exit::Usage;
        }
        match shared.output {
            Output::Text => tell(&count.text(all.len())),
            Output::Json => tell(&document(&all, &count).to_string()),
        }
        match count {
            Count { broken: 1.., .. } => Exit::Usage,
            Count { failed: 1.., .. } => Exit::Failed,
            Count { .. } => Exit::Done,
        }
    }

    /// Runs the cases of a file.
    fn file(&self, path: &Path, shared: &Shared) -> Result<Vec<RanCase>, Diagnostics> {
        let help = "the arguments are test files, or folders with test files";
        let text = text_of_file(path, "test file", NO_TESTS, help)?;
        let host = shared.config.host_file()?;
        let read_job = |job: &Path| load_file(job, &[], &shared.config);
        let test = TestFile::load(&host, &text, path, &self.sets, &read_job)?;
        let is_wanted = |name: &str| self.filter.as_ref().is_none_or(|text| name.contains(text));
        if !test.cases.iter().any(|case| is_wanted(&case.name)) {
            return Ok(Vec::new());
        }
        let tested = Tested::of(&test, shared)?;
        check::check(&test, &tested)?;
        let wanted = test.cases.iter().filter(|case| is_wanted(&case.name));
        let ran = wanted.map(|case| {
            let failed = case::run(&test, &tested, case).err();
            let name = case.name.clone();
            RanCase { name, failed }
        });
        Ok(ran.collect())
    }
}

/// How many cases passed, how many did not, and how many files could not be run.
#[derive(Clone, Copy, Default)]
struct Count {
    passed: usize,
    failed: usize,
    broken: usize,
}

impl Count {
    fn of(all: &[Ran]) -> Self {
        let mut count = Self::default();
        for ran in all {
            match &ran.cases {
                Ok(cases) => {
                    let failed = cases.iter().filter(|case| case.failed.is_some()).count();
                    count.failed += failed;
                    count.passed += cases.len() - failed;
                }
                Err(_) => count.broken += 1,
            }
        }
        count
    }

    fn text(self, files: usize) -> String {
        let plural = |count: usize, what: &str| match count {
            1 => format!("1 {what}"),
            count => format!("{count} {what}s"),
        };
        let mut text = format!("\n{} passed", plural(self.passed, "case"));
        if self.failed > 0 {
            text.push_str(&format!(", {} failed", self.failed));
        }
        text.push_str(&format!(", in {}", plural(files, "file")));
        if self.broken > 0 {
            text.push_str(&format!(", {} with errors", self.broken));
        }
        text
    }
}

/// Shows what came of a file; apart from what stands before it, where that is long.
fn show(ran: &Ran, is_apart: bool) {
    let path = ran.path.display();
    let cases = match &ran.cases {
        Ok(cases) => cases,
        Err(diagnostics) => {
            tell(&format!("{path}: cannot be run"));
            say(diagnostics.render(wants_color(), 100).trim_end());
            return;
        }
    };
    if cases.is_empty() {
        return;
    }
    let apart = if is_apart { "\n" } else { "" };
    tell(&format!("{apart}{path}"));
    for RanCase { name, failed } in cases {
        let mark = match failed {
            None => "ok    ",
            Some(_) => "FAILED",
        };
        tell(&format!("  {mark}  {name}"));
    }
    for failed in cases.iter().filter_map(|case| case.failed.as_ref()) {
        let mut lines = vec![String::new()];
        // It is a result: on standard output, which need not be the terminal.
        let told = failed.diagnostic.render(false, 100);
        let told = told.trim_end().lines();
        lines.extend(told.map(|line| line.trim_end().to_owned()));
        lines.extend(text_of(&failed.lines));
        tell(&lines.join("\n"));
    }
}

/// The same for programs.
fn document(all: &[Ran], count: &Count) -> Value {
    let mut errors = Vec::new();
    let mut files = Vec::new();
    for ran in all {
        let mut shown = Vec::new();
        match &ran.cases {
            Err(diagnostics) => errors.extend(diagnostics.iter().map(|one| json!(one))),
            Ok(cases) => {
                for RanCase { name, failed } in cases {
                    let error = failed.as_ref().map(|failed| {
                        let mut error = json!(failed.diagnostic);
                        error["difference"] = json!(text_of(&failed.lines));
                        error
                    });
                    errors.extend(error.clone());
                    shown.push(json!({
                        "name": name, "passed": failed.is_none(), "error": error,
                    }));
                }
            }
        }
        files.push(json!({ "file": ran.path, "cases": shown }));
    }
    json!({
        "files": files, "passed": count.passed, "failed": count.failed, "errors": errors,
    })
}
