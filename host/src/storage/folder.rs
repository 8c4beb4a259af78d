//! A folder as a user names it: on the local disk, or in a bucket.

use std::{
    fmt,
    path::{Path, PathBuf},
};

use weir_job_file::Location;

/// A folder; whether there is anything in it is another matter.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Folder {
    /// Of the local disk.
    Local(PathBuf),
    /// What the names of objects in a bucket begin with, without `/` at its ends; may be empty.
    Bucket { bucket: String, path: String },
}

impl Folder {
    /// What an argument names: `s3://bucket/path`, else a path, which may begin with `file://`.
    ///
    /// # Errors
    /// What is wrong with the address of a bucket.
    pub(crate) fn of(said: &Path) -> Result<Self, String> {
        let Some(text) = said.to_str() else {
            return Ok(Self::Local(said.to_owned()));
        };
        match Location::bucket(text) {
            Some(Ok(place)) => Ok(Self::of_place(&place).unwrap_or(Self::Local(said.to_owned()))),
            Some(Err(why)) => Err(format!("`{text}`: {why}; it is written `s3://bucket/path`")),
            None => {
                let path = text.strip_prefix("file://").filter(|p| p.starts_with('/'));
                Ok(Self::Local(path.unwrap_or(text).into()))
            }
        }
    }

    /// What a job file names; `None` = the memory of the process.
    pub(crate) fn of_place(place: &Location) -> Option<Self> {
        match place {
            Location::Folder(path) => Some(Self::Local(path.clone())),
            Location::S3 { bucket, prefix } => Some(Self::Bucket {
                bucket: bucket.clone(),
                path: prefix.clone(),
            }),
            Location::Memory { .. } => None,
        }
    }

    /// A folder in it.
    pub(crate) fn join(&self, name: &str) -> Self {
        match self {
            Self::Local(path) => Self::Local(path.join(name)),
            Self::Bucket { bucket, path } => Self::Bucket {
                bucket: bucket.clone(),
                path: match path.as_str() {
                    "" => name.to_owned(),
                    path => format!("{path}/{name}"),
                },
            },
        }
    }

    /// The folder that it is in, and its name there: `None` where it is in none, or the name is no
    /// text.
    pub(crate) fn split(&self) -> Option<(Self, String)> {
        match self {
            Self::Local(path) => {
                let whole = match path.file_name() {
                    Some(_) => None,
                    // `.` or the like.
                    None => path.canonicalize().ok(),
                };
                let path = whole.as_deref().unwrap_or(path);
                let name = path.file_name()?.to_str()?.to_owned();
                let parent = match path.parent()? {
                    parent if parent.as_os_str().is_empty() => Path::new("."),
                    parent => parent,
                };
                Some((Self::Local(parent.to_owned()), name))
            }
            Self::Bucket { bucket, path } => {
                let (parent, name) = match path.rsplit_once('/') {
                    Some(split) => split,
                    None if path.is_empty() => return None,
                    None => ("", path.as_str()),
                };
                let parent = Self::Bucket {
                    bucket: bucket.clone(),
                    path: parent.to_owned(),
                };
                Some((parent, name.to_owned()))
            }
        }
    }

    /// The folder of the checkpoint that an argument names: itself, or where its `_metadata` lies.
    /// Whether it was the latter is said, too.
    pub(crate) fn without_metadata(self) -> (Self, bool) {
        let named = match &self {
            Self::Local(path) => path.file_name().is_some_and(|name| name == "_metadata"),
            Self::Bucket { path, .. } => path.rsplit('/').next() == Some("_metadata"),
        };
        match self.split().filter(|_| named) {
            Some((folder, _)) => (folder, true),
            None => (self, false),
        }
    }

    /// The same folder in every working directory, however it was written.
    ///
    /// # Errors
    /// Why there is no way to write it.
    pub(crate) fn absolute(&self) -> Result<Self, String> {
        let Self::Local(path) = self else {
            return Ok(self.clone());
        };
        let whole = path.canonicalize().or_else(|_| std::path::absolute(path));
        whole.map(Self::Local).map_err(|e| format!("`{self}`: {e}"))
    }
}

impl fmt::Display for Folder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Local(path) => write!(f, "{}", path.display()),
            Self::Bucket { bucket, path } if path.is_empty() => write!(f, "s3://{bucket}"),
            Self::Bucket { bucket, path } => write!(f, "s3://{bucket}/{path}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(text: &str) -> Folder {
        Folder::of(Path::new(text)).unwrap()
    }

    #[test]
    fn a_folder_has_a_name_in_another_one_wherever_it_is() {
        for (text, parent, name) in [
            ("saved/a/chk-7", "saved/a", "chk-7"),
            ("a", ".", "a"),
            ("s3://saved/a/chk-7/", "s3://saved/a", "chk-7"),
            ("s3a://saved/a", "s3://saved", "a"),
        ] {
            let (found, named) = folder(text).split().unwrap();
            assert_eq!((found.to_string().as_str(), named.as_str()), (parent, name));
            assert_eq!(found.join(&named).split(), Some((found, named)));
        }
        assert_eq!(folder("s3://saved").split(), None);
        assert_eq!(folder("file:///a/b"), Folder::Local("/a/b".into()));
        assert!(
            Folder::of(Path::new("s3://A"))
                .unwrap_err()
                .contains("s3://A")
        );
    }

    #[test]
    fn the_metadata_of_a_checkpoint_name_its_folder() {
        for (text, expected) in [
            ("a/_metadata", ("a", true)),
            ("_metadata", (".", true)),
            ("a/chk-1", ("a/chk-1", false)),
            ("s3://saved/a/_metadata", ("s3://saved/a", true)),
            ("s3://saved/a", ("s3://saved/a", false)),
        ] {
            let (found, named) = folder(text).without_metadata();
            assert_eq!((found.to_string().as_str(), named), expected, "{text}");
        }
    }
}
