//! Where in whole texts the words of keywords stand.

use rayon::prelude::*;

use crate::Error;
use crate::lexicon::{KeywordGroup, Lexicon, Scope};
use crate::reader::Reader;

/// Words of texts that a keyword of a group is or holds, by text, group and place; offsets count characters.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Mentions {
    pub text: Vec<i64>,
    pub group: Vec<i64>,
    pub start: Vec<i64>,
    pub end: Vec<i64>,
}

/// Look for every keyword in every text, as [`crate::keyword_hits`] does by word where a context is a whole text.
///
/// # Errors
/// A keyword without a letter or digit, a regular expression that is none.
pub fn mentions<S: AsRef<str> + Sync>(texts: &[S], groups: &[KeywordGroup]) -> Result<Mentions, Error> {
    let lexicon = Lexicon::new(groups, Scope::Window)?;
    let of_texts: Vec<Vec<[i64; 3]>> = texts
        .par_iter()
        .map_init(|| Reader::new(&lexicon, Scope::Window), |reader, text| in_text(reader, &lexicon, text.as_ref()))
        .collect();
    let mut all = Mentions::default();
    for (text, found) in (0..).zip(of_texts) {
        for [group, start, end] in found {
            all.text.push(text);
            all.group.push(group);
            all.start.push(start);
            all.end.push(end);
        }
    }
    Ok(all)
}

/// Group, first character and the character behind the last, of every word once a group.
fn in_text(reader: &mut Reader<'_>, lexicon: &Lexicon, text: &str) -> Vec<[i64; 3]> {
    let (words, found) = reader.read_text(text);
    let of_groups = found.iter().flat_map(|found| {
        let (group, _) = lexicon.place(found.keyword);
        found.words.clone().map(move |word| (word, group))
    });
    let mut named: Vec<(usize, i64)> = of_groups.collect();
    named.sort_unstable();
    named.dedup();
    let (mut at, mut characters) = (0, 0);
    let mut count = |byte: usize| {
        characters += text[at..byte].chars().count() as i64;
        at = byte;
        characters
    };
    let mut spans = Vec::with_capacity(named.len());
    for of_word in named.chunk_by(|(one, _), (other, _)| one == other) {
        let word = words[of_word[0].0];
        let (start, end) = (count(word.start), count(word.end));
        spans.extend(of_word.iter().map(|&(_, group)| [group, start, end]));
    }
    spans.sort_unstable();
    spans
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::naive;

    fn group(name: &str, keywords: &[&str]) -> KeywordGroup {
        let keywords = keywords.iter().map(|&keyword| keyword.into()).collect();
        KeywordGroup { name: name.into(), keywords, ..KeywordGroup::default() }
    }

    #[test]
    fn offsets_are_characters_and_a_word_stands_once_a_group() {
        let texts = ["Né, a man of New York\nman", "", "🎉 man"];
        let groups = [group("people", &["man", "a man"]), group("places", &["new york"])];
        let found = mentions(&texts, &groups).unwrap();
        assert_eq!(found.text, [0, 0, 0, 0, 0, 2]);
        assert_eq!(found.group, [0, 0, 0, 1, 1, 0]);
        assert_eq!(found.start, [4, 6, 22, 13, 17, 2]);
        assert_eq!(found.end, [5, 9, 25, 16, 21, 5]);
    }

    #[test]
    fn is_the_same_for_any_number_of_threads() {
        let texts: Vec<String> = (0..500).map(|i| "the man and king ".repeat(i % 7)).collect();
        let groups = [group("people", &["man", "king"]), group("all", &["the man"])];
        let [one, three] = [1, 3].map(|threads| naive::with_threads(threads, || mentions(&texts, &groups).unwrap()));
        assert_eq!(one, three);
        assert!(one.text.is_sorted() && one.text.len() > 2000);
    }
}
