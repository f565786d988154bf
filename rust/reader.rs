//! Reads texts with a lexicon at hand: which keywords stand in them, and on which of their words.

use std::ops::Range;

use rustc_hash::FxHashMap;

use crate::lexicon::{Lexicon, Scope};
use crate::words::{Word, hyphenated, reaches_edge, scan};

/// A keyword, and the words of the text that it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    pub keyword: u32,
    pub words: Range<usize>,
}

/// Reads one text after another and remembers what it knows of a spelling.
pub struct Reader<'a> {
    lexicon: &'a Lexicon,
    scope: Scope,
    known: FxHashMap<Box<str>, [u32; 2]>,
    matched: FxHashMap<Box<str>, Box<[u32]>>,
    text: String,
    words: Vec<Word>,
    ids: Vec<[u32; 2]>,
    found: Vec<Found>,
    keywords: Vec<u32>,
}

impl<'a> Reader<'a> {
    pub fn new(lexicon: &'a Lexicon, scope: Scope) -> Self {
        Self {
            lexicon,
            scope,
            known: FxHashMap::default(),
            matched: FxHashMap::default(),
            text: String::new(),
            words: Vec::new(),
            ids: Vec::new(),
            found: Vec::new(),
            keywords: Vec::new(),
        }
    }

    /// The keywords of a context, each once, in their order.
    pub fn read_context(&mut self, [left, token, right]: [&str; 3]) -> &[u32] {
        self.text.clear();
        self.words.clear();
        self.found.clear();
        match self.scope {
            Scope::Substring if token.is_empty() => {}
            Scope::Substring => {
                self.text.push_str(token);
                self.remember(Lexicon::inside, 0..token.len(), 0..0);
            }
            Scope::Token => {
                self.text.push_str(token.trim());
                scan(&self.text, &mut self.words);
                if self.words.is_empty() && !self.text.is_empty() {
                    self.words.push(Word { start: 0, end: self.text.len() });
                }
                self.find(0..self.words.len(), 0..self.words.len());
            }
            Scope::Word | Scope::Window | Scope::Phrase => {
                self.text.extend([left, token, right]);
                scan(&self.text, &mut self.words);
                self.find_around(left.len()..left.len() + token.len(), !left.is_empty(), !right.is_empty());
            }
        }
        self.keywords.clear();
        self.keywords.extend(self.found.iter().map(|found| found.keyword));
        self.keywords.sort_unstable();
        self.keywords.dedup();
        &self.keywords
    }

    /// The words of a text that nothing goes on beyond, and where keywords stand in it.
    pub fn read_text(&mut self, text: &str) -> (&[Word], &[Found]) {
        self.text.clear();
        self.words.clear();
        self.found.clear();
        self.text.push_str(text);
        scan(&self.text, &mut self.words);
        self.find(0..self.words.len(), 0..self.words.len());
        (&self.words, &self.found)
    }

    /// Find the keywords of a context whose activating token is `token`, with text to its left and right.
    fn find_around(&mut self, token: Range<usize>, left: bool, right: bool) {
        let whole = self.whole(left, right);
        if self.scope != Scope::Word {
            return self.find(whole.clone(), whole);
        }
        let first = self.words.partition_point(|word| word.end <= token.start);
        let last = self.words.partition_point(|word| word.start < token.end).max(first);
        let reach = self.lexicon.longest() - 1;
        let near = first.saturating_sub(reach).max(whole.start)..(last + reach).min(whole.end);
        if first < last && !near.is_empty() {
            self.find(near, first..last);
        }
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
                        Scope::Phrase => phrase.is_written(&self.text, &self.words, run.clone()),
                        Scope::Window | Scope::Substring => true,
                    };
                    if fits && self.allows(phrase.keyword, &run) {
                        self.found.push(Found { keyword: phrase.keyword, words: run });
                    }
                }
            }
        }
        if lexicon.has_regexes() && !within.is_empty() {
            self.find_regexes(within, &touched);
        }
    }

    fn find_regexes(&mut self, within: Range<usize>, touched: &Range<usize>) {
        match self.scope {
            Scope::Token => self.match_words(within),
            Scope::Word | Scope::Window | Scope::Substring => {
                for word in within.start.max(touched.start)..within.end.min(touched.end) {
                    self.match_words(word..word + 1);
                }
            }
            Scope::Phrase => {
                let possible = self.lexicon.possible(&self.text[self.span(&within)]);
                if possible.is_empty() {
                    return;
                }
                for first in within.clone() {
                    for last in first..within.end {
                        let run = first..last + 1;
                        for keyword in self.lexicon.matches(&self.text[self.span(&run)], &possible) {
                            if self.allows(keyword, &run) {
                                self.found.push(Found { keyword, words: run.clone() });
                            }
                        }
                    }
                }
            }
        }
    }

    /// Regular expressions that match the text from the first to the last of these words, whole.
    fn match_words(&mut self, run: Range<usize>) {
        self.remember(|lexicon, text| lexicon.matches(text, lexicon.regexes()), self.span(&run), run);
    }

    /// Add the keywords that a look-up gives for a part of the text, which it is asked for once.
    fn remember(&mut self, look_up: impl Fn(&Lexicon, &str) -> Vec<u32>, part: Range<usize>, words: Range<usize>) {
        let part = &self.text[part];
        if !self.matched.contains_key(part) {
            self.matched.insert(part.into(), look_up(self.lexicon, part).into());
        }
        for &keyword in &self.matched[part] {
            if self.allows(keyword, &words) {
                self.found.push(Found { keyword, words: words.clone() });
            }
        }
    }

    /// Where a run of words stands in the text.
    fn span(&self, run: &Range<usize>) -> Range<usize> {
        self.words[run.start].start..self.words[run.end - 1].end
    }

    /// Whether a keyword may stand on these words: some may be no part of a compound, which a token alone never is.
    fn allows(&self, keyword: u32, run: &Range<usize>) -> bool {
        let alone = self.scope == Scope::Token || run.is_empty();
        alone || self.lexicon.in_compounds(keyword) || !hyphenated(&self.text, &self.words, run)
    }
}
