//! Golden tests: each job file under `valid/` and `invalid/` has beside it, as `.txt`, exactly what
//! a user is shown: the errors at their places, or what the job came to.
//!
//! Those under `host/` are host files.
//!
//! The same holds for the schema and the reference of the job file, which are made by the program.
//!
//! The texts are written anew, to be read in the diff, by
//!
//! ```text
//! WEIR_GOLDEN=write cargo nextest run -p weir-job-file --test job-file
//! ```
//!
//! A job file begins with what the test needs beside it:
//!
//! ```text
//! #% host defaults             it is loaded on `host/defaults.yaml`
//! #% set a.b=c                 an argument of `--set`
//! #% header rows: a, b         what the header of a source says
//! #% no-header rows: why       or why it cannot be read
//! #% outputs op: late          the side outputs of an operator's component
//! #% unloaded op               its component could not be loaded
//! ```

mod made;
mod pages;
mod show;
mod world;

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    process::ExitCode,
};

use libtest_mimic::{Arguments, Failed, Trial};
use weir_job_file::{Diagnostics, HostFile, JobFile, TestFile, code};
use world::World;

/// Set to `write`, the expected texts are written and not compared.
const GOLDEN: &str = "WEIR_GOLDEN";
/// The width that the program prints errors in.
const WIDTH: usize = 100;
/// Errors that no small text has, or that only a host finds.
const WITHOUT_CASE: [&str; 2] = [code::UNREADABLE, code::MORE];

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    let trials = trials()
        .unwrap_or_else(|failed| vec![Trial::test("the cases can be read", move || Err(failed))]);
    libtest_mimic::run(&arguments, trials).exit_code()
}

fn trials() -> Result<Vec<Trial>, Failed> {
    let mut trials = Vec::new();
    for (folder, is_valid) in [("valid", true), ("invalid", false)] {
        let texts = folder_of(folder);
        for path in files(&texts, "yaml")? {
            let name = format!("{folder}/{}", stem(&path));
            trials.push(Trial::test(name, move || check(&path, is_valid)));
        }
        let name = format!("{folder}: every text has its job file");
        trials.push(Trial::test(name, move || check_pairs(&texts)));
    }
    let texts = folder_of("host");
    for path in files(&texts, "yaml")? {
        let name = format!("host/{}", stem(&path));
        trials.push(Trial::test(name, move || check_host(&path)));
    }
    trials.push(Trial::test("host: every text has its file", move || {
        check_pairs(&texts)
    }));
    trials.extend(test_files()?);
    trials.push(Trial::test("every code has a case", check_codes));
    trials.push(Trial::test("pages: every code has one", pages::check_codes));
    trials.push(Trial::test("pages: all are listed", pages::check_list));
    let schema = || made::check("schema/job-v1.json", &made::schema());
    trials.push(Trial::test("made: the schema is written down", schema));
    let schema = || made::check("schema/host-v1.json", &made::host_schema());
    trials.push(Trial::test(
        "made: the host's schema is written down",
        schema,
    ));
    let schema = || made::check("schema/test-v1.json", &made::test_schema());
    trials.push(Trial::test(
        "made: the schema of tests is written down",
        schema,
    ));
    let reference = || {
        made::check(
            "../../docs/reference/test-file.md",
            &weir_job_file::test_reference(),
        )
    };
    trials.push(Trial::test(
        "made: the reference of tests is in the book",
        reference,
    ));
    let reference = || {
        made::check(
            "../../docs/reference/host-file.md",
            &weir_job_file::host_reference(),
        )
    };
    trials.push(Trial::test(
        "made: the host's reference is in the book",
        reference,
    ));
    let reference = || {
        made::check(
            "../../docs/reference/job-file.md",
            &weir_job_file::reference(),
        )
    };
    trials.push(Trial::test("made: the reference is in the book", reference));
    Ok(trials)
}

fn test_files() -> Result<Vec<Trial>, Failed> {
    let mut trials = Vec::new();
    let texts = folder_of("test");
    for path in files(&texts, "yaml")? {
        let name = format!("test/{}", stem(&path));
        trials.push(Trial::test(name, move || check_test_file(&path)));
    }
    trials.push(Trial::test("test: every text has its file", move || {
        check_pairs(&texts)
    }));
    Ok(trials)
}

fn folder_of(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/job-file")
        .join(name)
}

/// The files of a folder with that ending, in order.
fn files(folder: &Path, ending: &str) -> Result<Vec<PathBuf>, Failed> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.extension().is_some_and(|found| found == ending) {
            files.push(path);
        }
    }
    files.sort();
    match files.is_empty() {
        true => Err(format!("no .{ending} in {}", folder.display()).into()),
        false => Ok(files),
    }
}

fn stem(path: &Path) -> String {
    path.file_stem()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned()
}

/// Reads a job file and compares what comes of it with the text beside it.
fn check(path: &Path, is_valid: bool) -> Result<(), Failed> {
    let text = fs::read_to_string(path)?;
    let world = World::of(&text)?;
    // Not in the folder of the test, so that the texts are the same everywhere.
    let shown = PathBuf::from(format!("jobs/{}.yaml", stem(path)));
    let found = match (read(&text, &shown, &world), is_valid) {
        (Ok(found), true) => found,
        (Err(diagnostics), false) => diagnostics.render(false, WIDTH),
        (Ok(found), false) => return Err(format!("no error was found:\n{found}").into()),
        (Err(diagnostics), true) => return Err(diagnostics.render(false, WIDTH).into()),
    };
    check_text(path, &found)
}

/// Reads a host file and compares what comes of it with the text beside it.
fn check_host(path: &Path) -> Result<(), Failed> {
    let found = match host(path) {
        Ok(host) => show::host(&host),
        Err(diagnostics) => diagnostics.render(false, WIDTH),
    };
    check_text(path, &found)
}

/// Reads a test file and compares what comes of it with the text beside it.
fn check_test_file(path: &Path) -> Result<(), Failed> {
    let text = fs::read_to_string(path)?;
    let shown = PathBuf::from(format!("tests/{}.test.yaml", stem(path)));
    let read_job = |job: &Path| {
        // Those beside the job files that are right.
        let file = folder_of("valid").join(job.file_name().unwrap_or_default());
        let text = fs::read_to_string(file).unwrap_or_default();
        JobFile::load(&text, job, &[])
    };
    let found = TestFile::load(&HostFile::default(), &text, &shown, &[], &read_job);
    let found = match found {
        Ok(test) => show::test(&test),
        Err(diagnostics) => diagnostics.render(false, WIDTH),
    };
    check_text(path, &found)
}

/// Reads a host file as if it were in a folder for it.
fn host(path: &Path) -> Result<HostFile, Diagnostics> {
    let text = fs::read_to_string(path).unwrap_or_default();
    HostFile::load(&text, &PathBuf::from(format!("etc/{}.yaml", stem(path))))
}

/// Compares what a user is shown with the text beside a file.
fn check_text(path: &Path, found: &str) -> Result<(), Failed> {
    // An editor would take the space at the end of lines away.
    let mut found: String = found
        .lines()
        .map(|l| l.trim_end().to_owned() + "\n")
        .collect();
    found.truncate(found.trim_end().len() + 1);
    compare(&path.with_extension("txt"), &found)
}

/// Compares a text with the file that holds it, or writes it there.
fn compare(golden: &Path, found: &str) -> Result<(), Failed> {
    if std::env::var(GOLDEN).is_ok_and(|value| value == "write") {
        fs::create_dir_all(golden.parent().unwrap_or(Path::new("")))?;
        fs::write(golden, found)?;
        return Ok(());
    }
    let expected = fs::read_to_string(golden).unwrap_or_default();
    if found == expected {
        return Ok(());
    }
    let message = format!(
        "expected:\n{expected}\nfound:\n{found}\n\
         if that is right, run again with {GOLDEN}=write"
    );
    Err(message.into())
}

/// What a user sees of a job without errors.
fn read(text: &str, path: &Path, world: &World) -> Result<String, Diagnostics> {
    let host = match &world.host {
        Some(name) => host(&folder_of("host").join(format!("{name}.yaml")))?,
        None => HostFile::default(),
    };
    let job = JobFile::load_on(&host, text, path, &world.sets)?;
    let graph = job.to_graph(world);
    let mut wrong = Vec::new();
    for name in job.sources.keys() {
        wrong.extend(job.timestamp_of(name, world).err());
    }
    match (graph, Diagnostics::from_list(wrong)) {
        (Ok(graph), Ok(())) => Ok(show::job(&job, &graph)),
        (Err(mut first), Err(second)) => {
            first.extend(second);
            Err(first)
        }
        (Err(wrong), Ok(())) | (Ok(_), Err(wrong)) => Err(wrong),
    }
}

/// A text without its job file is left over from a case that was renamed.
fn check_pairs(folder: &Path) -> Result<(), Failed> {
    match files(folder, "txt")?
        .iter()
        .find(|path| !path.with_extension("yaml").exists())
    {
        None => Ok(()),
        Some(path) => Err(format!("{} belongs to no job file", path.display()).into()),
    }
}

/// Each code is shown by at least one case.
fn check_codes() -> Result<(), Failed> {
    let mut missing: BTreeSet<&str> = code::ALL.iter().copied().collect();
    for path in files(&folder_of("invalid"), "txt")? {
        let text = fs::read_to_string(path)?;
        missing.retain(|code| !text.lines().any(|line| line == *code));
    }
    missing.retain(|code| !WITHOUT_CASE.contains(code));
    match missing.is_empty() {
        true => Ok(()),
        false => Err(format!("no case shows {missing:?}").into()),
    }
}
