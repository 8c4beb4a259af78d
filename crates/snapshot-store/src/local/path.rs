//! Which paths are objects, and what temporary files are called.

use std::{
    io,
    path::{Component, Path, PathBuf},
};

use super::folder::Trouble;

/// What the name of a temporary file begins with.
const TEMPORARY: &str = ".put-";

/// The name of a temporary file: the process and a number, so that no two are the same.
pub(super) fn temporary(process: u32, number: u64) -> String {
    format!("{TEMPORARY}{process}-{number}")
}

/// Whether a file is a temporary one.
pub(super) fn is_temporary(name: &str) -> bool {
    let numbers = name
        .strip_prefix(TEMPORARY)
        .and_then(|rest| rest.split_once('-'));
    numbers.is_some_and(|(process, number)| {
        process.parse::<u32>().is_ok() && number.parse::<u64>().is_ok()
    })
}

/// The path of an object by its file, relative to the root; `None` where it is none.
pub(super) fn of_object(file: &Path) -> Option<String> {
    let mut path = String::new();
    for part in file.components() {
        let Component::Normal(part) = part else {
            return None;
        };
        let part = part.to_str().filter(|part| is_part(part))?;
        if !path.is_empty() {
            path.push('/');
        }
        path.push_str(part);
    }
    (!path.is_empty()).then_some(path)
}

/// A path of the store that stays below its root.
#[derive(Clone, Copy, Debug)]
pub(super) struct Checked<'a>(&'a str);

impl<'a> Checked<'a> {
    /// The path of an object.
    pub(super) fn object(path: &'a str) -> Result<Self, Trouble> {
        if path.split('/').all(is_part) {
            Ok(Self(path))
        } else {
            Err(refused(path))
        }
    }

    /// A prefix: empty, or paths up to and with a `/`.
    pub(super) fn prefix(prefix: &'a str) -> Result<Self, Trouble> {
        match prefix.strip_suffix('/') {
            Some(path) => Self::object(path).map_err(|_| refused(prefix)),
            None if prefix.is_empty() => Ok(Self(prefix)),
            None => Err(refused(prefix)),
        }
    }

    /// Where it is on disk.
    pub(super) fn under(self, root: &Path) -> PathBuf {
        let parts = self.0.split('/').filter(|part| !part.is_empty());
        parts.fold(root.to_path_buf(), |path, part| path.join(part))
    }
}

/// Whether `part` can be a folder or file of an object. Neither `.` nor `..` can, nor what stands
/// for something else on some system.
fn is_part(part: &str) -> bool {
    !part.is_empty() && !part.starts_with('.') && !part.contains(['/', '\\', '\0'])
}

fn refused(path: &str) -> Trouble {
    let why = "no path of an object: each part between `/` has at least one character, and none \
               begins with a dot or holds a backslash";
    let error = io::Error::new(io::ErrorKind::InvalidInput, why);
    Trouble::new("use", Path::new(path), error)
}
