//! Words of messages: what a user wrote, lists of what there is, and the nearest of them.

/// The most characters of a text of the user's in a message.
const MAX_QUOTED: usize = 80;

/// What a user wrote, in one line that is not too long.
pub(crate) fn quote(text: &str) -> String {
    let mut quoted = String::from("`");
    for (at, char) in text.chars().enumerate() {
        if at == MAX_QUOTED {
            quoted.push('…');
            break;
        }
        match char.is_control() {
            true => quoted.extend(char.escape_default()),
            false => quoted.push(char),
        }
    }
    quoted.push('`');
    quoted
}

/// Words to choose from: `` `a`, `b` or `c` ``.
pub(crate) fn one_of<S: AsRef<str>>(words: &[S]) -> String {
    list(words, "or")
}

/// Words that are all meant: `` `a`, `b` and `c` ``.
pub(crate) fn all_of<S: AsRef<str>>(words: &[S]) -> String {
    list(words, "and")
}

fn list<S: AsRef<str>>(words: &[S], last: &str) -> String {
    let quoted: Vec<String> = words.iter().map(|word| quote(word.as_ref())).collect();
    match quoted.as_slice() {
        [] => String::new(),
        [one] => one.clone(),
        [first @ .., end] => format!("{} {last} {end}", first.join(", ")),
    }
}

/// What there is: `` there are `a` and `b` ``.
pub(crate) fn there_are<S: AsRef<str>>(words: &[S]) -> String {
    let verb = if words.len() == 1 { "is" } else { "are" };
    format!("there {verb} {}", all_of(words))
}

/// `1 item`, `2 items`.
pub(crate) fn count(number: usize, what: &str) -> String {
    match number {
        1 => format!("1 {what}"),
        many => format!("{many} {what}s"),
    }
}

/// The nearest of some words, where one is near: another spelling of it, its beginning, or a slip
/// or two away.
pub(crate) fn nearest<'w>(word: &str, words: impl IntoIterator<Item = &'w str>) -> Option<&'w str> {
    let words: Vec<&str> = words.into_iter().collect();
    let bare = bare(word);
    if let Some(same) = words.iter().find(|other| self::bare(other) == bare) {
        return Some(same);
    }
    let begins = |other: &&&str| word.len() > 2 && other.starts_with(word);
    if let Some(longer) = words.iter().find(begins) {
        return Some(longer);
    }
    let distance = |other: &str| strsim::damerau_levenshtein(word, other);
    let best = words.into_iter().min_by_key(|other| distance(other))?;
    // One slip in three letters; of two letters any other word would be near.
    let slips = word.chars().count().max(best.chars().count()) / 3;
    (distance(best) <= slips).then_some(best)
}

/// A word without what `camelCase`, `snake_case` and `kebab-case` differ in.
fn bare(word: &str) -> String {
    let kept = word.chars().filter(|char| !matches!(char, '-' | '_'));
    kept.flat_map(char::to_lowercase).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_word_is_the_one_that_was_meant() {
        let words = [
            "parallelism",
            "max-parallelism",
            "job",
            "from",
            "fixed-delay",
            "time-per-call",
        ];
        for (word, near) in [
            ("paralelism", Some("parallelism")),
            ("maxParallelism", Some("max-parallelism")),
            ("MAX_PARALLELISM", Some("max-parallelism")),
            ("timePerCall", Some("time-per-call")),
            ("form", Some("from")),
            ("jobs", Some("job")),
            ("jbo", Some("job")),
            ("fixed", Some("fixed-delay")),
            ("owner", None),
            ("fi", None),
            ("", None),
        ] {
            assert_eq!(nearest(word, words), near, "{word}");
        }
        assert_eq!(nearest("b", ["a"]), None);
        assert_eq!(nearest("x", []), None);
    }

    #[test]
    fn what_a_user_wrote_stays_one_short_line() {
        assert_eq!(quote("a\nb\tc\u{1b}"), r"`a\nb\tc\u{1b}`");
        assert_eq!(quote("été 🌞"), "`été 🌞`");
        assert_eq!(quote(&"é".repeat(81)), format!("`{}…`", "é".repeat(80)));
    }

    #[test]
    fn lists_read_as_sentences() {
        assert_eq!(one_of::<&str>(&[]), "");
        assert_eq!(one_of(&["a"]), "`a`");
        assert_eq!(one_of(&["a", "b"]), "`a` or `b`");
        assert_eq!(all_of(&["a", "b", "c or d"]), "`a`, `b` and `c or d`");
        assert_eq!(there_are(&["a"]), "there is `a`");
        assert_eq!(there_are(&["a", "b"]), "there are `a` and `b`");
        assert_eq!(
            (count(1, "item"), count(0, "item")),
            ("1 item".into(), "0 items".into())
        );
    }
}
