//! Keywords made ready to be looked up: words as numbers, phrases by their first word, regular expressions compiled.

use std::ops::Range;

use regex::{Regex, RegexBuilder};
use rustc_hash::FxHashMap;

use crate::Error;
use crate::words::{Word, composed, folded, scan};

/// The number of a word that no keyword has.
const UNKNOWN: u32 = u32::MAX;
const COMPOSED: usize = 0;
const FOLDED: usize = 1;

/// Keywords that go together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeywordGroup {
    pub name: String,
    pub keywords: Vec<String>,
    pub case_sensitive: bool,
    /// Whether the keywords are regular expressions.
    pub regex: bool,
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
}

/// All keywords of all groups, numbered one after another.
pub struct Lexicon {
    /// The number of every word of the keywords, with case and without.
    numbers: [FxHashMap<String, u32>; 2],
    phrases: [Vec<Vec<Phrase>>; 2],
    regexes: Vec<(u32, Regex)>,
    /// The number of every group's first keyword.
    first_keyword: Vec<u32>,
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
            _ => Err(Error::Number {
                name: "where".into(),
                wanted: "token, word, window or phrase".into(),
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
            regexes: Vec::new(),
            first_keyword: Vec::new(),
            longest: 1,
        };
        let mut number = 0;
        for group in groups {
            lexicon.first_keyword.push(number);
            for keyword in &group.keywords {
                let wrong = |reason| Error::Keyword { keyword: keyword.clone(), group: group.name.clone(), reason };
                if group.regex {
                    let regex = whole(keyword, group.case_sensitive).map_err(wrong)?;
                    lexicon.regexes.push((number, regex));
                } else {
                    lexicon.add(number, keyword, group.case_sensitive, scope).map_err(wrong)?;
                }
                number += 1;
            }
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

    /// Keywords that are regular expressions and match the whole text.
    pub fn matches(&self, text: &str) -> Vec<u32> {
        let text = spelt(text, COMPOSED);
        self.regexes.iter().filter(|(_, regex)| regex.is_match(&text)).map(|&(keyword, _)| keyword).collect()
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

/// A regular expression that matches a text as a whole or not at all.
fn whole(pattern: &str, case_sensitive: bool) -> Result<Regex, String> {
    Regex::new(pattern)
        .and_then(|_| RegexBuilder::new(&format!(r"\A(?:{pattern})\z")).case_insensitive(!case_sensitive).build())
        .map_err(|error| {
            let message = error.to_string();
            let reason = message.lines().last().unwrap_or_default().trim_start_matches("error: ");
            format!("must be a regular expression: {reason}")
        })
}
