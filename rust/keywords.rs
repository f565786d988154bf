//! Which keywords stand in the contexts of which features, as whole words, all features and groups in one pass.

use std::ops::Range;

use rayon::prelude::*;
use rustc_hash::FxHashMap;

use crate::Error;
use crate::lexicon::{KeywordGroup, Lexicon, Scope};
use crate::words::{Word, reaches_edge, scan};

/// Features that one task takes; the spellings it has met are kept from one to the next.
const FEATURES_A_TASK: usize = 512;

/// Texts before, of and after the activating tokens; feature `f` has rows `offsets[f]..offsets[f + 1]`.
#[derive(Debug, Clone, Copy)]
pub struct Contexts<'a, S> {
    pub offsets: &'a [i64],
    pub left: &'a [S],
    pub token: &'a [S],
    pub right: &'a [S],
}

/// The number of a feature's contexts that a keyword of a group is in, by feature, group and keyword; none is 0.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct KeywordHits {
    pub feature: Vec<i64>,
    pub group: Vec<i64>,
    pub keyword: Vec<i64>,
    pub contexts: Vec<i64>,
}

/// Look for every keyword in every context.
///
/// A word that reaches the edge of a context with text on that side may be the piece of a longer one: it matches
/// nothing.
///
/// # Errors
/// Columns of different lengths, offsets that do not rise from 0 to the number of rows, a keyword without a letter or
/// digit (unless tokens are looked at), a regular expression that is none.
pub fn keyword_hits<S: AsRef<str> + Sync>(
    contexts: &Contexts<S>,
    groups: &[KeywordGroup],
    scope: Scope,
) -> Result<KeywordHits, Error> {
    let &Contexts { offsets, left, token, right } = contexts;
    for (name, column) in [("left", left), ("right", right)] {
        if column.len() != token.len() {
            let what = format!("{name} and token");
            return Err(Error::Lengths { what, left: column.len(), right: token.len() });
        }
    }
    let rising = offsets.first() == Some(&0) && offsets.is_sorted() && offsets.last() == Some(&(token.len() as i64));
    if !rising {
        let wanted = format!("numbers rising from 0 to the number of rows ({})", token.len());
        return Err(Error::Number { name: "offsets".into(), wanted, got: format!("{offsets:?}") });
    }
    let lexicon = Lexicon::new(groups, scope)?;
    let n_features = offsets.len() - 1;
    let tasks: Vec<KeywordHits> = (0..n_features.div_ceil(FEATURES_A_TASK))
        .into_par_iter()
        .map_init(
            || Reader::new(&lexicon, scope),
            |reader, task| {
                let mut hits = KeywordHits::default();
                let first = task * FEATURES_A_TASK;
                for feature in first..(first + FEATURES_A_TASK).min(n_features) {
                    reader.of_feature.clear();
                    for row in offsets[feature] as usize..offsets[feature + 1] as usize {
                        reader.read([left[row].as_ref(), token[row].as_ref(), right[row].as_ref()]);
                    }
                    reader.of_feature.sort_unstable();
                    for same in reader.of_feature.chunk_by(|one, other| one == other) {
                        let (group, keyword) = lexicon.place(same[0]);
                        hits.feature.push(feature as i64);
                        hits.group.push(group);
                        hits.keyword.push(keyword);
                        hits.contexts.push(same.len() as i64);
                    }
                }
                hits
            },
        )
        .collect();
    let mut all = KeywordHits::default();
    for hits in tasks {
        all.feature.extend(hits.feature);
        all.group.extend(hits.group);
        all.keyword.extend(hits.keyword);
        all.contexts.extend(hits.contexts);
    }
    Ok(all)
}

/// Reads one context after another and remembers what it knows of a spelling.
struct Reader<'a> {
    lexicon: &'a Lexicon,
    scope: Scope,
    known: FxHashMap<Box<str>, [u32; 2]>,
    matched: FxHashMap<Box<str>, Box<[u32]>>,
    text: String,
    words: Vec<Word>,
    ids: Vec<[u32; 2]>,
    found: Vec<u32>,
    /// Keywords of all contexts of the feature, once a context.
    of_feature: Vec<u32>,
}

impl<'a> Reader<'a> {
    fn new(lexicon: &'a Lexicon, scope: Scope) -> Self {
        Self {
            lexicon,
            scope,
            known: FxHashMap::default(),
            matched: FxHashMap::default(),
            text: String::new(),
            words: Vec::new(),
            ids: Vec::new(),
            found: Vec::new(),
            of_feature: Vec::new(),
        }
    }

    fn read(&mut self, [left, token, right]: [&str; 3]) {
        self.text.clear();
        self.words.clear();
        self.found.clear();
        if self.scope == Scope::Token {
            self.text.push_str(token.trim());
            scan(&self.text, &mut self.words);
            if self.words.is_empty() && !self.text.is_empty() {
                self.words.push(Word { start: 0, end: self.text.len() });
            }
            self.find(0..self.words.len(), 0..self.words.len());
        } else {
            self.text.extend([left, token, right]);
            scan(&self.text, &mut self.words);
            let whole = self.whole(!left.is_empty(), !right.is_empty());
            let (start, end) = (left.len(), left.len() + token.len());
            let first = self.words.partition_point(|word| word.end <= start);
            let last = self.words.partition_point(|word| word.start < end).max(first);
            if self.scope == Scope::Word {
                let reach = self.lexicon.longest() - 1;
                let near = first.saturating_sub(reach).max(whole.start)..(last + reach).min(whole.end);
                if first < last && !near.is_empty() {
                    self.find(near, first..last);
                }
            } else {
                self.find(whole.clone(), whole);
            }
        }
        self.found.sort_unstable();
        self.found.dedup();
        self.of_feature.extend_from_slice(&self.found);
    }

    /// The words that no edge can have cut.
    fn whole(&self, left: bool, right: bool) -> Range<usize> {
        let (text, mut whole) = (&self.text, 0..self.words.len());
        if let Some(word) = self.words.last()
            && right
            && reaches_edge(&text[word.end..], text[..word.end].chars().next_back())
        {
            whole.end -= 1;
        }
        if let Some(word) = self.words.first()
            && left
            && reaches_edge(&text[..word.start], text[word.start..].chars().next())
        {
            whole.start = 1;
        }
        whole.start.min(whole.end)..whole.end
    }

    /// Keywords that are runs of the words `within`, at least one of them among `touched`; all of them for tokens.
    fn find(&mut self, within: Range<usize>, touched: Range<usize>) {
        let lexicon = self.lexicon;
        if lexicon.has_phrases() {
            self.ids.clear();
            for word in &self.words[within.clone()] {
                let spelling = &self.text[word.start..word.end];
                let ids = self.known.get(spelling).copied().unwrap_or_else(|| {
                    let ids = lexicon.ids(spelling);
                    self.known.insert(spelling.into(), ids);
                    ids
                });
                self.ids.push(ids);
            }
            for first in 0..self.ids.len() {
                for phrase in lexicon.phrases_at(&self.ids[first..]) {
                    let run = within.start + first..within.start + first + phrase.len();
                    let fits = match self.scope {
                        Scope::Token => phrase.len() == self.words.len(),
                        Scope::Word => run.start < touched.end && run.end > touched.start,
                        Scope::Window => true,
                        Scope::Phrase => phrase.is_written(&self.text, &self.words, run),
                    };
                    if fits {
                        self.found.push(phrase.keyword);
                    }
                }
            }
        }
        if lexicon.has_regexes() {
            self.find_regexes(within, &touched);
        }
    }

    fn find_regexes(&mut self, within: Range<usize>, touched: &Range<usize>) {
        match self.scope {
            Scope::Token if within.is_empty() => {}
            Scope::Token => self.match_run(within.start, within.end - 1),
            Scope::Word | Scope::Window => {
                for word in within.start.max(touched.start)..within.end.min(touched.end) {
                    self.match_run(word, word);
                }
            }
            Scope::Phrase => {
                for first in within.clone() {
                    for last in first..within.end {
                        self.match_run(first, last);
                    }
                }
            }
        }
    }

    /// Regular expressions that match the text from the first to the last word, whole.
    fn match_run(&mut self, first: usize, last: usize) {
        let run = &self.text[self.words[first].start..self.words[last].end];
        if let Some(matched) = self.matched.get(run) {
            self.found.extend_from_slice(matched);
            return;
        }
        let matched = self.lexicon.matches(run);
        self.found.extend_from_slice(&matched);
        if first == last || self.scope == Scope::Token {
            self.matched.insert(run.into(), matched.into()); // longer runs hardly ever come back
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::naive;

    #[test]
    fn is_the_same_for_any_number_of_threads() {
        let words = ["man", "Brockman", "the man", "Sanders", "sand"];
        let token: Vec<&str> = words.iter().copied().cycle().take(4000).collect();
        let (offsets, around): (Vec<i64>, _) = ((0..=2000).map(|feature| 2 * feature).collect(), vec![" "; 4000]);
        let contexts = Contexts { offsets: &offsets, left: &around, token: &token, right: &around };
        let keywords = vec!["Man".into(), "sand".into()];
        let group = KeywordGroup { name: "group".into(), keywords, case_sensitive: false, regex: false };
        let find = || keyword_hits(&contexts, std::slice::from_ref(&group), Scope::Word).unwrap();
        let [one, three] = [1, 3].map(|threads| naive::with_threads(threads, find));
        assert_eq!(one, three);
        assert_eq!(one.contexts.iter().sum::<i64>(), 3 * 800);
        assert!(one.feature.is_sorted());
    }
}
