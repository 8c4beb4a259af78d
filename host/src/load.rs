//! Reads a job file as the command line names it, and tells what is wrong with it.

use std::path::Path;

use weir_job_file::{Diagnostic, Diagnostics, JobFile};

use crate::{
    cli::{JobArgs, Output, Shared, wants_color},
    exit::Exit,
    render::{say, tell},
};

/// Reads the job file and applies `--set`.
pub(crate) fn load(args: &JobArgs) -> Result<JobFile, Diagnostics> {
    load_file(&args.file, &args.sets)
}

/// Reads a job file and applies what is set otherwise.
pub(crate) fn load_file(file: &Path, sets: &[String]) -> Result<JobFile, Diagnostics> {
    let path = file.display().to_string();
    let text = std::fs::read(file).map_err(|error| {
        let help = match error.kind() {
            std::io::ErrorKind::NotFound => "the first argument is the path of a job file",
            _ => "the job file must be a readable file",
        };
        let message = format!("cannot read the job file `{path}`: {error}");
        Diagnostic::without_text("W0001", &path, message, Some(help.to_owned()))
    })?;
    let text = String::from_utf8(text).map_err(|error| {
        let at = error.utf8_error().valid_up_to();
        let message = format!("the job file `{path}` is not UTF-8: byte {at} cannot be read");
        let help = "save it as UTF-8 text".to_owned();
        Diagnostic::without_text("W0001", &path, message, Some(help))
    })?;
    JobFile::load(&text, file, sets)
}

/// Prints what is wrong with a job, as it was asked for.
pub(crate) fn refuse(diagnostics: &Diagnostics, shared: &Shared) -> Exit {
    match shared.output {
        Output::Text => say(diagnostics.render(wants_color(), 100).trim_end()),
        Output::Json => tell(&serde_json::json!({ "errors": diagnostics }).to_string()),
    }
    Exit::Usage
}
