//! Documents lead where they say: each link to a file or to a heading finds it, and each page of
//! the book is in its table of contents.

use std::collections::{BTreeMap, BTreeSet};

use super::{File, Finding};

/// The table of contents of the book, and its folder.
const CONTENTS: &str = "docs/SUMMARY.md";
const BOOK: &str = "docs/";

/// Checks all documents. `files` are all files of the tree: what a link may lead to.
pub(crate) fn check(files: &[File], paths: &BTreeSet<String>) -> Vec<Finding> {
    let documents = files.iter().filter(|file| file.path.ends_with(".md"));
    let headings: BTreeMap<&str, BTreeSet<String>> = documents
        .clone()
        .map(|file| (file.path.as_str(), anchors(&file.text)))
        .collect();
    let mut findings = Vec::new();
    for file in documents {
        for (line, target) in links(&file.text) {
            if let Some(advice) = broken(&file.path, target, paths, &headings) {
                findings.push(Finding {
                    path: file.path.clone(),
                    line,
                    rule: "link",
                    advice,
                });
            }
        }
    }
    findings.extend(unlisted(files));
    findings
}

/// What is wrong with a link; nothing with one that leads out of the tree.
fn broken(
    from: &str,
    target: &str,
    paths: &BTreeSet<String>,
    headings: &BTreeMap<&str, BTreeSet<String>>,
) -> Option<String> {
    if target.contains("://") || target.starts_with("mailto:") {
        return None;
    }
    let (file, anchor) = match target.split_once('#') {
        Some((file, anchor)) => (file, Some(anchor)),
        None => (target, None),
    };
    let path = match file {
        "" => from.to_owned(),
        file => resolve(from, file),
    };
    let folder = format!("{}/", path.trim_end_matches('/'));
    let is_there = paths.contains(&path) || paths.iter().any(|known| known.starts_with(&folder));
    if !is_there {
        return Some(format!(
            "`{target}` leads to `{path}`, which does not exist"
        ));
    }
    let anchors = headings.get(path.as_str())?;
    let anchor = anchor?;
    let is_there = anchors.contains(anchor);
    (!is_there).then(|| format!("`{target}`: `{path}` has no heading `#{anchor}`"))
}

/// Pages of the book that its table of contents does not name. Error codes have one of their own.
fn unlisted(files: &[File]) -> Vec<Finding> {
    let Some(contents) = files.iter().find(|file| file.path == CONTENTS) else {
        return Vec::new();
    };
    let listed: BTreeSet<String> = links(&contents.text)
        .map(|(_, target)| resolve(CONTENTS, target))
        .collect();
    let pages = files.iter().filter(|file| {
        file.path.starts_with(BOOK)
            && file.path.ends_with(".md")
            && file.path != CONTENTS
            && !file.path.starts_with("docs/errors/W")
    });
    pages
        .filter(|page| !listed.contains(&page.path))
        .map(|page| Finding {
            path: page.path.clone(),
            line: 0,
            rule: "contents",
            advice: format!("list it in {CONTENTS}"),
        })
        .collect()
}

/// The path that a link in `from` leads to, from the top folder.
fn resolve(from: &str, target: &str) -> String {
    let mut parts: Vec<&str> = from.split('/').collect();
    parts.pop();
    for part in target.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop();
            }
            part => parts.push(part),
        }
    }
    parts.join("/")
}

/// All links of a text with their lines, without those in code.
fn links(text: &str) -> impl Iterator<Item = (usize, &str)> {
    prose(text).flat_map(|(number, line)| {
        let mut found = Vec::new();
        let mut rest = line;
        while let Some(at) = rest.find("](") {
            rest = &rest[at + 2..];
            if let Some(end) = rest.find(')') {
                found.push((number, &rest[..end]));
            }
        }
        found
    })
}

/// The anchors of all headings, as GitHub and mdbook make them.
fn anchors(text: &str) -> BTreeSet<String> {
    let headings = prose(text).filter_map(|(_, line)| {
        let title = line.trim_start_matches('#');
        (title.len() < line.len() && title.starts_with(' ')).then(|| title.trim())
    });
    headings
        .map(|title| {
            let kept = title.chars().filter_map(|c| match c {
                ' ' => Some('-'),
                '-' | '_' => Some(c),
                c if c.is_alphanumeric() => c.to_lowercase().next(),
                _ => None,
            });
            kept.collect()
        })
        .collect()
}

/// The lines that are not in a block of code, with their numbers; code within a line is blanked.
fn prose(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut is_code = false;
    text.lines().enumerate().filter_map(move |(at, line)| {
        let is_fence = line.trim_start().starts_with("```");
        is_code ^= is_fence;
        let is_prose = !is_code && !is_fence && !line.starts_with("    ");
        is_prose.then_some((at + 1, line))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(path: &str, text: &str) -> File {
        File {
            path: path.into(),
            text: text.into(),
        }
    }

    fn findings(files: &[File]) -> Vec<String> {
        let paths = files.iter().map(|file| file.path.clone()).collect();
        let found = check(files, &paths);
        found.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn links_lead_to_files_folders_and_headings() {
        let files = [
            file(
                "README.md",
                "# A\n[b](docs/b.md#two-words) [up](docs) [out](https://example.com/x) [a](#a)\n",
            ),
            file("docs/b.md", "## Two *words*!\n[back](../README.md)\n"),
        ];
        assert_eq!(findings(&files), Vec::<String>::new());
    }

    #[test]
    fn a_link_that_leads_nowhere_is_told() {
        let files = [
            file("a.md", "x\n[b](b.md)\n[c](c.md#no)\n"),
            file("c.md", "# Yes\n```\n[code](nowhere.md)\n```\n"),
        ];
        assert_eq!(
            findings(&files),
            [
                "a.md:2: link: `b.md` leads to `b.md`, which does not exist",
                "a.md:3: link: `c.md#no`: `c.md` has no heading `#no`",
            ]
        );
    }

    #[test]
    fn each_page_is_in_the_contents() {
        let files = [
            file("docs/SUMMARY.md", "[one](one.md)\n"),
            file("docs/one.md", ""),
            file("docs/two.md", ""),
            file("docs/errors/W0001.md", ""),
        ];
        assert_eq!(
            findings(&files),
            ["docs/two.md: contents: list it in docs/SUMMARY.md"]
        );
    }
}
