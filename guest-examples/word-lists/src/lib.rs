//! Per speaker: gathers words into sentences. Rows are `speaker,word`; a word that ends with a full
//! stop ends the sentence, which is emitted with the number of its letters.

use weir_guest::{
    Csv, Ctx, KeyedDescribe, KeyedProcess, List, Reducing, Result, Row, columns, object, operator,
};

columns! { SPEAKER, WORD }

#[derive(Default)]
struct Sentences {
    /// The words so far. Adding one does not read the list.
    words: List<String>,
    letters: Reducing<u64>,
}

impl KeyedProcess for Sentences {
    type In = Csv;
    type Out = String;

    fn describe(&mut self, d: &mut KeyedDescribe) {
        d.list("words", &mut self.words);
        d.reducing("letters", &mut self.letters, |sum, letters| sum + letters)
            .prefetch();
    }

    fn process(&mut self, row: Row<Csv>, ctx: &mut Ctx<String>) -> Result<()> {
        let (speaker, word) = (row.text(SPEAKER)?, row.text(WORD)?);
        let letters = word.chars().filter(|letter| letter.is_alphabetic()).count();
        let ends = word.ends_with('.');
        self.letters.add(letters as u64)?;
        self.words.add(word.into_owned())?;
        if !ends {
            return Ok(());
        }
        let sentence = self.words.get()?.join(" ");
        let letters = self.letters.get()?.copied().unwrap_or(0);
        ctx.emit(object! { "speaker": speaker, "sentence": sentence, "letters": letters })?;
        self.words.clear()?;
        self.letters.clear()
    }
}

operator!(Sentences);

#[cfg(test)]
mod tests {
    use super::*;
    use weir_guest::testing::Harness;

    #[test]
    fn words_become_sentences_of_their_speakers() {
        let mut sentences = Harness::open::<Sentences, _>("null").unwrap();
        let said = |speaker: &'static str, word: &str| (speaker, format!("{speaker},{word}"));
        let batch = [said("ann", "I"), said("ben", "Yes."), said("ann", "can't")];
        let out = sentences.keyed(batch).unwrap();
        assert_eq!(
            out.main(),
            [r#"{"speaker":"ben","sentence":"Yes.","letters":3}"#]
        );
        assert_eq!((sentences.held("words"), sentences.held("letters")), (2, 1));

        let batch = [said("ann", "see."), said("ann", "Oh.")];
        let out = sentences.keyed(batch).unwrap();
        assert_eq!(
            out.main(),
            [
                r#"{"speaker":"ann","sentence":"I can't see.","letters":8}"#,
                r#"{"speaker":"ann","sentence":"Oh.","letters":2}"#,
            ]
        );
        assert_eq!((sentences.held("words"), sentences.held("letters")), (0, 0));
    }

    #[test]
    fn a_row_without_a_word_is_a_bad_row_and_the_sentence_stays() {
        let mut sentences = Harness::open::<Sentences, _>("null").unwrap();
        let out = sentences
            .keyed([("ann", "ann,Good"), ("ann", "ann")])
            .unwrap();
        let (row, message) = out.poisoned.unwrap();
        assert_eq!(row, 1);
        assert_eq!(message, "no column 1 (WORD): the record has 1 column");
        assert_eq!(sentences.held("words"), 1);
    }
}
