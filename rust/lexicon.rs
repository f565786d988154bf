//! Keywords made ready to be looked up: words as numbers, phrases by their first word, regular expressions compiled.

use std::ops::Range;

use regex::{Regex, RegexBuilder, RegexSet, RegexSetBuilder};
use rustc_hash::FxHashMap;

use crate::Error;
use crate::words::{Word, composed, folded, scan};

/// The number of a word that no keyword has.
const UNKNOWN: u32 = u32::MAX;
const COMPOSED: usize = 0;
const FOLDED: usize = 1;

/// What a regular expression may take when it is compiled, in bytes; the default of the crate.
const COMPILED_BYTES: usize = 10 << 20;

/// Keywords that go together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeywordGroup {
    pub name: String,
    pub keywords: Vec<String>,
    pub case_sensitive: bool,
    /// Whether the keywords are regular expressions.
    pub regex: bool,
    /// Whether a keyword may be part of a compound, words that hyphens join.
    pub compounds: bool,
}

impl Default for KeywordGroup {
    fn default() -> Self {
        Self { name: String::new(), keywords: Vec::new(), case_sensitive: false, regex: false, compounds: true }
    }
}

/// The part of a context that a keyword must match.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// All words of the activating token, as if it stood alone.
    Token,
    /// Whole words, one of which the activating token belongs to.
    Word,
    /// Whole words anywhere.
    Window,
    /// Whole words anywhere, with what the keyword has between and around them.
    Phrase,
    /// Any piece of the activating token, which finds "eat" in "great".
    Substring,
}

/// All keywords of all groups, numbered one after another.
pub struct Lexicon {
    /// The number of every word of the keywords, with case and without.
    numbers: [FxHashMap<String, u32>; 2],
    phrases: [Vec<Vec<Phrase>>; 2],
    /// Keywords to find as pieces of tokens, with case and without.
    pieces: [Vec<(u32, String)>; 2],
    regexes: Vec<(u32, Regex)>,
    /// The places of all regular expressions.
    every_regex: Vec<usize>,
    /// For phrases: the regular expressions, to be searched for anywhere in a text.
    anywhere: RegexSet,
    /// The number of every group's first keyword, and whether its keywords may be parts of compounds.
    first_keyword: Vec<u32>,
    compounds: Vec<bool>,
    longest: usize,
}

/// A keyword as a run of words.
pub struct Phrase {
    pub keyword: u32,
    words: Vec<u32>,
    /// What stands before every word and after the last.
    gaps: Vec<String>,
}

impl Scope {
    pub fn named(name: &str) -> Result<Self, Error> {
        match name {
            "token" => Ok(Self::Token),
            "word" => Ok(Self::Word),
            "window" => Ok(Self::Window),
            "phrase" => Ok(Self::Phrase),
            "substring" => Ok(Self::Substring),
            _ => Err(Error::Number {
                name: "where".into(),
                wanted: "token, word, window, phrase or substring".into(),
                got: name.into(),
            }),
        }
    }
}

impl Lexicon {
    pub fn new(groups: &[KeywordGroup], scope: Scope) -> Result<Self, Error> {
        let mut lexicon = Self {
            numbers: Default::default(),
            phrases: Default::default(),
            pieces: Default::default(),
            regexes: Vec::new(),
            every_regex: Vec::new(),
            anywhere: RegexSet::empty(),
            first_keyword: Vec::new(),
            compounds: Vec::new(),
            longest: 1,
        };
        let (mut number, mut anywhere) = (0, Vec::new());
        for group in groups {
            lexicon.first_keyword.push(number);
            lexicon.compounds.push(group.compounds);
            for keyword in &group.keywords {
                let wrong = |reason| Error::Keyword { keyword: keyword.clone(), group: group.name.clone(), reason };
                if group.regex {
                    let regex = compiled(keyword, group.case_sensitive, scope != Scope::Substring).map_err(wrong)?;
                    lexicon.regexes.push((number, regex));
                    anywhere.push(loose(keyword, group.case_sensitive));
                } else if scope == Scope::Substring {
                    let case = if group.case_sensitive { COMPOSED } else { FOLDED };
                    lexicon.pieces[case].push((number, spelt(keyword.trim(), case)));
                } else {
                    lexicon.add(number, keyword, group.case_sensitive, scope).map_err(wrong)?;
                }
                number += 1;
            }
        }
        lexicon.every_regex = (0..lexicon.regexes.len()).collect();
        if scope == Scope::Phrase {
            let room = COMPILED_BYTES.saturating_mul(anywhere.len().max(1));
            let set = RegexSetBuilder::new(&anywhere).size_limit(room).build();
            lexicon.anywhere = set.expect("each of them was compiled alone");
        }
        Ok(lexicon)
    }

    fn add(&mut self, keyword: u32, text: &str, case_sensitive: bool, scope: Scope) -> Result<(), String> {
        let (text, mut words) = (text.trim(), Vec::new());
        scan(text, &mut words);
        if words.is_empty() && scope == Scope::Token && !text.is_empty() {
            words.push(Word { start: 0, end: text.len() });
        }
        if words.is_empty() {
            return Err("must hold a letter or a digit, unless the keywords are compared with tokens".into());
        }
        let case = if case_sensitive { COMPOSED } else { FOLDED };
        let gaps = (0..=words.len()).map(|place| spaced(gap(text, &words, place))).collect();
        let numbers = &mut self.numbers[case];
        let ids = words.iter().map(|word| {
            let next = numbers.len() as u32;
            *numbers.entry(spelt(&text[word.start..word.end], case)).or_insert(next)
        });
        let words: Vec<u32> = ids.collect();
        self.longest = self.longest.max(words.len());
        self.phrases[case].resize_with(self.numbers[case].len(), Vec::new);
        self.phrases[case][words[0] as usize].push(Phrase { keyword, words, gaps });
        Ok(())
    }

    /// The group of a keyword, and its place there.
    pub fn place(&self, keyword: u32) -> (i64, i64) {
        let group = self.first_keyword.partition_point(|&first| first <= keyword) - 1;
        (group as i64, i64::from(keyword - self.first_keyword[group]))
    }

    /// Whether a keyword may be part of a compound.
    pub fn in_compounds(&self, keyword: u32) -> bool {
        self.compounds[self.first_keyword.partition_point(|&first| first <= keyword) - 1]
    }

    pub fn has_phrases(&self) -> bool {
        self.numbers.iter().any(|numbers| !numbers.is_empty())
    }

    pub fn has_regexes(&self) -> bool {
        !self.regexes.is_empty()
    }

    /// The number of words of the longest keyword.
    pub fn longest(&self) -> usize {
        self.longest
    }

    /// A word's number with case and without.
    pub fn ids(&self, word: &str) -> [u32; 2] {
        [COMPOSED, FOLDED].map(|case| match &self.numbers[case] {
            numbers if numbers.is_empty() => UNKNOWN,
            numbers => numbers.get(&spelt(word, case)).copied().unwrap_or(UNKNOWN),
        })
    }

    /// Keywords whose words are the first of these.
    pub fn phrases_at(&self, ids: &[[u32; 2]]) -> impl Iterator<Item = &Phrase> {
        [COMPOSED, FOLDED].into_iter().flat_map(move |case| {
            let starting = self.phrases[case].get(ids[0][case] as usize).map_or(&[][..], Vec::as_slice);
            starting.iter().filter(move |phrase| {
                phrase.words.len() <= ids.len() && phrase.words.iter().zip(ids).all(|(word, id)| *word == id[case])
            })
        })
    }

    /// The places of all regular expressions.
    pub fn regexes(&self) -> &[usize] {
        &self.every_regex
    }

    /// The places of the regular expressions that may match a part of the text: all others match none.
    pub fn possible(&self, text: &str) -> Vec<usize> {
        self.anywhere.matches(&composed(text)).iter().collect()
    }

    /// Keywords that are regular expressions, those at `places`, and match the whole text.
    pub fn matches(&self, text: &str, places: &[usize]) -> Vec<u32> {
        let text = composed(text);
        places
            .iter()
            .map(|&place| &self.regexes[place])
            .filter(|(_, regex)| regex.is_match(&text))
            .map(|found| found.0)
            .collect()
    }

    /// Keywords that are pieces of the text, or match one.
    pub fn inside(&self, text: &str) -> Vec<u32> {
        let pieces = [COMPOSED, FOLDED].into_iter().flat_map(|case| {
            let text = spelt(text, case);
            self.pieces[case].iter().filter(move |(_, piece)| text.contains(piece)).map(|found| found.0)
        });
        pieces.chain(self.matches(text, &self.every_regex)).collect()
    }
}

impl Phrase {
    pub fn len(&self) -> usize {
        self.words.len()
    }

    /// Whether the text has between and around these words what the keyword has there, white space being one.
    pub fn is_written(&self, text: &str, words: &[Word], run: Range<usize>) -> bool {
        let last = self.len();
        let found = |place: usize| spaced(gap(text, words, run.start + place));
        (1..last).all(|place| found(place) == self.gaps[place])
            && (self.gaps[0].is_empty() || found(0).ends_with(&self.gaps[0]))
            && (self.gaps[last].is_empty() || found(last).starts_with(&self.gaps[last]))
    }
}

/// What stands before a word, or after the last.
fn gap<'a>(text: &'a str, words: &[Word], place: usize) -> &'a str {
    let start = if place == 0 { 0 } else { words[place - 1].end };
    &text[start..words.get(place).map_or(text.len(), |word| word.start)]
}

/// White space and newlines, raw or escaped, as single spaces; one kind of apostrophe.
fn spaced(gap: &str) -> String {
    let mut gap = gap.replace('’', "'");
    while gap.contains(r"\\n") {
        gap = gap.replace(r"\\n", r"\n");
    }
    let mut spaced = String::new();
    for character in gap.replace(r"\n", " ").chars() {
        match character {
            _ if !character.is_whitespace() => spaced.push(character),
            _ if spaced.ends_with(' ') => {}
            _ => spaced.push(' '),
        }
    }
    spaced
}

fn spelt(word: &str, case: usize) -> String {
    if case == COMPOSED { composed(word) } else { folded(word) }
}

/// A regular expression that matches a text as a whole or not at all, or that matches a part of it.
fn compiled(pattern: &str, case_sensitive: bool, whole: bool) -> Result<Regex, String> {
    Regex::new(pattern)
        .and_then(|_| {
            let pattern = if whole { format!(r"\A(?:{pattern})\z") } else { pattern.into() };
            RegexBuilder::new(&pattern).case_insensitive(!case_sensitive).size_limit(COMPILED_BYTES).build()
        })
        .map_err(|error| {
            let message = error.to_string();
            let reason = message.lines().last().unwrap_or_default().trim_start_matches("error: ");
            format!("must be a regular expression: {reason}")
        })
}

/// A pattern that is in a text wherever the regular expression matches a part of it as a whole.
///
/// With assertions, such as that a text ends, it depends on what is around the part: the pattern is in every text.
fn loose(pattern: &str, case_sensitive: bool) -> String {
    let parsed = regex_syntax::parse(pattern).expect("it was compiled");
    match (parsed.properties().look_set().is_empty(), case_sensitive) {
        (false, _) => String::new(),
        (true, true) => format!("(?:{pattern})"),
        (true, false) => format!("(?i:{pattern})"),
    }
}
