//! Reads a job file as the command line names it, on the host file, and tells what is wrong with
//! it.

use std::{fs::File, io::Read, path::Path};

use weir_job_file::{Diagnostic, Diagnostics, JobFile};

use crate::{
    cli::{JobArgs, Output, Shared, wants_color},
    config::Config,
    exit::Exit,
    render::{say, tell},
};

/// The most bytes that a job file may have.
const MOST: u64 = 4 << 20;

/// Reads the job file and applies `--set`, on the host file that there is.
pub(crate) fn load(args: &JobArgs, shared: &Shared) -> Result<JobFile, Diagnostics> {
    load_file(&args.file, &args.sets, &shared.config)
}

/// Reads a job file and applies what is set otherwise.
pub(crate) fn load_file(
    file: &Path,
    sets: &[String],
    config: &Config,
) -> Result<JobFile, Diagnostics> {
    let help = "the first argument is the path of a job file";
    let text = text_of(file, "job file", "W0001", help)?;
    JobFile::load_on(&config.host_file()?, &text, file, sets)
}

/// The text of a file; `missing` is what can be done where there is none.
pub(crate) fn text_of(
    file: &Path,
    what: &str,
    code: &'static str,
    missing: &str,
) -> Result<String, Diagnostics> {
    let path = file.display().to_string();
    let text = read(file).map_err(|(message, help)| {
        let message = format!("cannot read the {what} `{path}`: {message}");
        let help = help.map_or_else(|| missing.to_owned(), |help| format!("the {what} {help}"));
        Diagnostic::without_text(code, &path, message, Some(help))
    })?;
    String::from_utf8(text).map_err(|error| {
        let at = error.utf8_error().valid_up_to();
        let message = format!("the {what} `{path}` is not UTF-8: byte {at} cannot be read");
        let help = "save it as UTF-8 text".to_owned();
        Diagnostic::without_text(code, &path, message, Some(help)).into()
    })
}

/// The bytes of a file; else what is wrong with it, and what can be done where that is not to name
/// another.
fn read(file: &Path) -> Result<Vec<u8>, (String, Option<&'static str>)> {
    let failed = |error: std::io::Error| {
        let help = match error.kind() {
            std::io::ErrorKind::NotFound => None,
            _ => Some("must be a readable file"),
        };
        (error.to_string(), help)
    };
    // A pipe is as good as a file, as in `weir check <(make-job)`.
    if file.metadata().map_err(failed)?.is_dir() {
        return Err(("it is a folder".to_owned(), None));
    }
    let mut text = Vec::new();
    let begun = File::open(file).map_err(failed)?;
    let read = begun.take(MOST + 1).read_to_end(&mut text);
    read.map_err(failed)?;
    if text.len() as u64 > MOST {
        let what = format!("it is larger than {} MiB", MOST >> 20);
        return Err((what, Some("is written by hand: is it the one you mean?")));
    }
    Ok(text)
}

/// Prints what is wrong with a job, as it was asked for.
pub(crate) fn refuse(diagnostics: &Diagnostics, shared: &Shared) -> Exit {
    match shared.output {
        Output::Text => say(diagnostics.render(wants_color(), 100).trim_end()),
        Output::Json => tell(&serde_json::json!({ "errors": diagnostics }).to_string()),
    }
    Exit::Usage
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_job_file_is_of_moderate_size_and_no_folder() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("job.yaml");
        let most = usize::try_from(MOST).unwrap();
        std::fs::write(&path, vec![b' '; most]).unwrap();
        assert_eq!(read(&path).unwrap().len(), most);
        std::fs::write(&path, vec![b' '; most + 1]).unwrap();
        let what = |path: &Path| read(path).unwrap_err().0;
        assert_eq!(what(&path), "it is larger than 4 MiB");
        assert_eq!(what(dir.path()), "it is a folder");
        assert_eq!(what(Path::new("/dev/zero")), "it is larger than 4 MiB");
        assert!(what(&dir.path().join("none")).contains("No such file"));
    }
}
