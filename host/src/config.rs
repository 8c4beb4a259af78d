//! The host file: where it is looked for, and that it can be read.

use std::{
    env,
    path::{Path, PathBuf},
};

use weir_job_file::{Diagnostics, HostFile};

use crate::load::text_of;

/// The code of a host file that cannot be read.
const UNREADABLE: &str = "W0010";

/// The name of a host file in its folder.
const FILE: &str = "weir/weir.yaml";

/// What stands for no host file.
const NONE: &str = "none";

/// What the command line says of the host file.
#[derive(Clone, Debug, Default)]
pub(crate) struct Config {
    /// `--config`.
    said: Option<PathBuf>,
}

impl Config {
    /// As `--config` says.
    pub(crate) fn new(said: Option<PathBuf>) -> Self {
        Self { said }
    }

    /// Without a host file, whatever there is.
    pub(crate) fn none() -> Self {
        Self::new(Some(NONE.into()))
    }

    /// The host file: the one that is named, else the first that there is; one that says nothing
    /// where there is none.
    ///
    /// # Errors
    /// Where one is named or there and cannot be read, or has errors.
    pub(crate) fn host_file(&self) -> Result<HostFile, Diagnostics> {
        let variable = env::var_os("WEIR_CONFIG").filter(|path| !path.is_empty());
        let named = self.said.clone().or_else(|| variable.map(PathBuf::from));
        match named {
            Some(path) if path == Path::new(NONE) => Ok(HostFile::default()),
            Some(path) => read(&path),
            None => match usual_places().into_iter().find(|path| is_there(path)) {
                Some(path) => read(&path),
                None => Ok(HostFile::default()),
            },
        }
    }
}

/// Where it is looked for when nobody names one: first what the user has, then what the machine
/// has. Not in the working directory: no command means something else in another folder.
fn usual_places() -> Vec<PathBuf> {
    let xdg = env::var_os("XDG_CONFIG_HOME").map(PathBuf::from);
    let xdg = xdg.filter(|path| path.is_absolute());
    let home = || env::var_os("HOME").map(|home| PathBuf::from(home).join(".config"));
    let own = xdg.or_else(home);
    let folders = own.into_iter().chain([PathBuf::from("/etc")]);
    folders.map(|folder| folder.join(FILE)).collect()
}

/// Whether there is something: what cannot be looked at is told when it is read.
fn is_there(path: &Path) -> bool {
    !matches!(path.symlink_metadata(), Err(e) if e.kind() == std::io::ErrorKind::NotFound
        || e.kind() == std::io::ErrorKind::NotADirectory)
}

fn read(path: &Path) -> Result<HostFile, Diagnostics> {
    let help = "name a readable file with `--config` or $WEIR_CONFIG, or `none` to go without one";
    let text = text_of(path, "host file", UNREADABLE, help)?;
    HostFile::load(&text, path)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_file_that_is_named_must_be_there() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("weir.yaml");
        let config = Config::new(Some(path.clone()));
        let code = || config.host_file().unwrap_err().iter().next().unwrap().code;
        assert_eq!(code(), UNREADABLE);
        fs::write(&path, "apiVersion: weir/v1\nstate: { backend: tape }\n").unwrap();
        assert_eq!(code(), weir_job_file::code::BAD_VALUE);
        fs::write(&path, "apiVersion: weir/v1\n").unwrap();
        assert_eq!(config.host_file().unwrap().path(), path.to_str());
        assert_eq!(Config::none().host_file().unwrap().path(), None);
    }
}
