//! Where test files are.

use std::{
    fs,
    path::{Path, PathBuf},
};

/// How test files end.
const ENDINGS: [&str; 2] = [".test.yaml", ".test.yml"];
/// Folders that are not searched: what is in them was built or belongs to somebody else.
const PASSED_OVER: [&str; 2] = ["target", "node_modules"];
/// How many folders deep is searched.
const MOST_DEEP: usize = 32;

/// The files that are named, and all test files in the folders that are; of the working directory
/// where nothing is named.
///
/// # Errors
/// Where there are none.
pub(super) fn files(named: &[PathBuf]) -> Result<Vec<PathBuf>, String> {
    let here = [PathBuf::from(".")];
    let named = if named.is_empty() { &here } else { named };
    let mut files = Vec::new();
    for path in named {
        if !path.is_dir() {
            // Whether it can be read is told with what is wrong in it.
            files.push(path.clone());
            continue;
        }
        let before = files.len();
        search(path, 0, &mut files);
        if files.len() == before {
            let shown = match path.as_path() == Path::new(".") {
                true => "the working directory".to_owned(),
                false => format!("`{}`", path.display()),
            };
            return Err(format!("there are no test files in {shown}"));
        }
    }
    Ok(files)
}

/// Adds what is in a folder, in order of the names; what cannot be read is passed over.
fn search(folder: &Path, deep: usize, files: &mut Vec<PathBuf>) {
    if deep > MOST_DEEP {
        return;
    }
    let Ok(entries) = fs::read_dir(folder) else {
        return;
    };
    let mut paths: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    paths.sort();
    for path in paths {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if name.starts_with('.') {
            continue;
        }
        // A link to a folder may lead round in a circle.
        let is_folder = path.is_dir() && !path.is_symlink();
        if is_folder && !PASSED_OVER.contains(&name.as_ref()) {
            search(&path, deep + 1, files);
        } else if ENDINGS.iter().any(|ending| name.ends_with(ending)) && path.is_file() {
            let plain = path.strip_prefix(".").unwrap_or(&path);
            files.push(plain.to_owned());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn test_files_are_found_in_folders_and_not_in_what_was_built() {
        let dir = tempfile::tempdir().unwrap();
        for path in [
            "b.test.yaml",
            "a/c.test.yml",
            "a/job.yaml",
            "target/d.test.yaml",
            ".git/e.test.yaml",
        ] {
            let path = dir.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "").unwrap();
        }
        let found = files(&[dir.path().to_owned()]).unwrap();
        let found: Vec<&Path> = found
            .iter()
            .map(|path| path.strip_prefix(dir.path()).unwrap())
            .collect();
        assert_eq!(found, [Path::new("a/c.test.yml"), Path::new("b.test.yaml")]);
        let named = [dir.path().join("job.yaml")];
        assert_eq!(files(&named).unwrap(), named);
        let empty = dir.path().join("empty");
        fs::create_dir(&empty).unwrap();
        assert!(files(&[empty]).unwrap_err().contains("empty"));
    }
}
