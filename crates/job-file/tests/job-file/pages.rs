//! The pages of `docs/errors`: each code that the program knows has one, and none is left over.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use libtest_mimic::Failed;

/// A code of messages in tests, which has no page.
const NO_CODE: &str = "W0000";

fn top() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// The pages, by code.
fn pages() -> Result<Vec<(String, String)>, Failed> {
    let mut pages = Vec::new();
    for entry in fs::read_dir(top().join("docs/errors"))? {
        let path = entry?.path();
        let code = path.file_stem().unwrap_or_default().to_string_lossy();
        if code != "README" {
            pages.push((code.into_owned(), fs::read_to_string(&path)?));
        }
    }
    pages.sort();
    Ok(pages)
}

/// Each code in the sources has a page and the other way about.
pub(crate) fn check_codes() -> Result<(), Failed> {
    let mut used = BTreeSet::new();
    for entry in fs::read_dir(top().join("crates"))? {
        codes_in(&entry?.path().join("src"), &mut used)?;
    }
    codes_in(&top().join("host/src"), &mut used)?;
    used.remove(NO_CODE);
    let paged: BTreeSet<String> = pages()?.into_iter().map(|(code, _)| code).collect();
    let without_page: Vec<_> = used.difference(&paged).collect();
    let without_code: Vec<_> = paged.difference(&used).collect();
    match without_page.is_empty() && without_code.is_empty() {
        true => Ok(()),
        false => Err(format!("no page: {without_page:?}; no code: {without_code:?}").into()),
    }
}

/// Collects all literals such as `"W0204"` below a folder.
fn codes_in(folder: &Path, found: &mut BTreeSet<String>) -> Result<(), Failed> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            codes_in(&path, found)?;
        } else if path.extension().is_some_and(|ending| ending == "rs") {
            let text = fs::read_to_string(&path)?;
            let words = text.split('"').filter(|word| is_code(word));
            found.extend(words.map(str::to_owned));
        }
    }
    Ok(())
}

fn is_code(word: &str) -> bool {
    word.len() == NO_CODE.len()
        && word
            .strip_prefix("W0")
            .is_some_and(|rest| rest.bytes().all(|b| b.is_ascii_digit()))
}

/// Each page begins with its code and title, says what to do, and is listed with that title.
pub(crate) fn check_list() -> Result<(), Failed> {
    let list = fs::read_to_string(top().join("docs/errors/README.md"))?;
    let listed: Vec<&str> = list
        .lines()
        .filter(|line| line.starts_with("- ["))
        .collect();
    let mut expected = Vec::new();
    for (code, text) in pages()? {
        let title = text.lines().next().unwrap_or_default();
        let Some(title) = title.strip_prefix(&format!("# {code}: ")) else {
            return Err(format!("{code}.md does not begin with `# {code}: `").into());
        };
        if !text.contains("\n## What to do\n") {
            return Err(format!("{code}.md does not say what to do").into());
        }
        expected.push(format!("- [{code}]({code}.md): {title}"));
    }
    match listed == expected {
        true => Ok(()),
        false => Err(format!("the list should be\n{}", expected.join("\n")).into()),
    }
}
