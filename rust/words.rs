//! Where words begin and end in a text, and one spelling for each of them.

use std::ops::Range;

use unicode_normalization::UnicodeNormalization;
use unicode_normalization::char::is_combining_mark;

/// What joins the words of a compound; a dash does not.
const HYPHENS: [char; 3] = ['-', '\u{2010}', '\u{2011}'];

/// A word by its byte offsets in the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Word {
    pub start: usize,
    pub end: usize,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Class {
    Letter,
    Digit,
    /// A character of a script written without spaces, a word by itself with its marks.
    Alone,
    /// A combining mark or a joiner of letters: part of what stands before it.
    Mark,
    Apostrophe,
    /// A separator of digits.
    Point,
    Other,
}

/// Append the words of `text`.
///
/// A word is a run of letters, digits and combining marks, with apostrophes between two of them and points or commas
/// between two digits. An s after an apostrophe is a word of its own ("man's" holds "man"), and so is a character of
/// a script that is written without spaces (Han, Hiragana, Thai, Lao, Burmese, Khmer). A newline written as a
/// backslash and an n is a break. A replacement character is what is left of a character that a token splits: it
/// belongs to the word, which is then none that a keyword names.
pub fn scan(text: &str, words: &mut Vec<Word>) {
    let bytes = text.as_bytes();
    let mut open: Option<(usize, Class)> = None; // where the word began, and the class of its last letter
    let close = |open: &mut Option<(usize, Class)>, end: usize, words: &mut Vec<Word>| {
        words.extend(open.take().map(|(start, _)| Word { start, end }));
    };
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        let (kind, size) = match ASCII.get(byte as usize) {
            Some(&kind) => (kind, 1),
            None => text[at..].chars().next().map_or((Class::Other, 1), |next| (class(next), next.len_utf8())),
        };
        let mut next = at + size;
        match kind {
            Class::Letter | Class::Digit => {
                match &mut open {
                    Some((_, last)) if *last != Class::Alone => *last = kind,
                    _ => {
                        close(&mut open, at, words);
                        open = Some((at, kind));
                    }
                }
                if kind == Class::Letter {
                    next += bytes[next..].iter().take_while(|byte| byte.is_ascii_alphabetic()).count();
                }
            }
            Class::Alone => {
                close(&mut open, at, words);
                open = Some((at, Class::Alone));
            }
            Class::Mark if open.is_none() && at == 0 => open = Some((0, Class::Letter)), // of a character cut off
            Class::Mark => {}
            Class::Apostrophe if joins(open, text, next) => {}
            Class::Point if matches!(open, Some((_, Class::Digit))) && next_is(text, next, Class::Digit) => {}
            Class::Apostrophe | Class::Point | Class::Other => {
                close(&mut open, at, words);
                if byte == b'\\' {
                    next += bytes[next..].iter().take_while(|byte| **byte == b'\\').count();
                    next += usize::from(bytes.get(next) == Some(&b'n'));
                }
            }
        }
        at = next;
    }
    close(&mut open, text.len(), words);
}

/// Whether an apostrophe stands inside a word that goes on at `next`; before a final s it does not.
fn joins(open: Option<(usize, Class)>, text: &str, next: usize) -> bool {
    let mut rest = text[next..].chars();
    let first = rest.next();
    open.is_some_and(|(_, last)| last != Class::Alone)
        && first.is_some_and(|first| matches!(class(first), Class::Letter | Class::Digit))
        && !(matches!(first, Some('s' | 'S')) && rest.next().is_none_or(|second| !continues(second)))
}

fn next_is(text: &str, at: usize, wanted: Class) -> bool {
    text[at..].chars().next().is_some_and(|next| class(next) == wanted)
}

fn continues(character: char) -> bool {
    matches!(class(character), Class::Letter | Class::Digit | Class::Mark)
}

const ASCII: [Class; 128] = {
    let mut classes = [Class::Other; 128];
    let mut byte: u8 = 0;
    while byte < 128 {
        classes[byte as usize] = match byte {
            b'a'..=b'z' | b'A'..=b'Z' => Class::Letter,
            b'0'..=b'9' => Class::Digit,
            b'\'' => Class::Apostrophe,
            b'.' | b',' => Class::Point,
            _ => Class::Other,
        };
        byte += 1;
    }
    classes
};

fn class(character: char) -> Class {
    match character {
        '\0'..='\x7f' => ASCII[character as usize],
        '’' => Class::Apostrophe,
        char::REPLACEMENT_CHARACTER => Class::Letter,
        '\u{200c}' | '\u{200d}' => Class::Mark,
        _ if is_combining_mark(character) => Class::Mark,
        _ if !character.is_alphanumeric() => Class::Other,
        '\u{0e00}'..='\u{0eff}'
        | '\u{1000}'..='\u{109f}'
        | '\u{1780}'..='\u{17ff}'
        | '\u{3005}'..='\u{3007}'
        | '\u{3041}'..='\u{309f}'
        | '\u{3400}'..='\u{4dbf}'
        | '\u{4e00}'..='\u{9fff}'
        | '\u{a9e0}'..='\u{a9ff}'
        | '\u{aa60}'..='\u{aa7f}'
        | '\u{f900}'..='\u{faff}'
        | '\u{20000}'..='\u{3ffff}' => Class::Alone,
        _ if character.is_numeric() => Class::Digit,
        _ => Class::Letter,
    }
}

/// Whether a word that has `between` it and the edge of the text may go on beyond the edge; `beside` is its letter there.
pub fn reaches_edge(between: &str, beside: Option<char>) -> bool {
    let digit = beside.is_some_and(|beside| class(beside) == Class::Digit);
    between.chars().all(|character| match class(character) {
        Class::Apostrophe | Class::Mark => true,
        Class::Point => digit,
        _ => false,
    })
}

/// Whether a hyphen joins a run of words to the word before or behind it, or may at the edge of the text.
pub fn hyphenated(text: &str, words: &[Word], run: &Range<usize>) -> bool {
    let (start, end) = (words[run.start].start, words[run.end - 1].end);
    let before = text[..start].strip_suffix(HYPHENS).map(str::len);
    let behind = text[end..].strip_prefix(HYPHENS).map(|rest| text.len() - rest.len());
    before.is_some_and(|before| before == if run.start == 0 { 0 } else { words[run.start - 1].end })
        || behind.is_some_and(|behind| behind == words.get(run.end).map_or(text.len(), |word| word.start))
}

/// The composed form (NFC) of a word, the same however its marks were written.
pub fn composed(word: &str) -> String {
    if word.is_ascii() { word.into() } else { word.nfc().map(apostrophe).collect() }
}

/// The composed form without case: full case folding, as `str.casefold` in Python.
pub fn folded(word: &str) -> String {
    if word.is_ascii() { word.to_ascii_lowercase() } else { word.nfd().flat_map(fold).map(apostrophe).nfc().collect() }
}

/// Lower case of the upper case, where ß is ss and every sigma one letter; a dotless i stays itself.
fn fold(character: char) -> impl Iterator<Item = char> {
    let keep = (character == 'ı').then_some(character);
    let folded = character.to_lowercase().flat_map(char::to_uppercase).flat_map(char::to_lowercase);
    keep.into_iter().chain(folded.filter(move |_| keep.is_none()))
}

fn apostrophe(character: char) -> char {
    if character == '’' { '\'' } else { character }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn words(text: &str) -> Vec<&str> {
        let mut found = Vec::new();
        scan(text, &mut found);
        found.iter().map(|word| &text[word.start..word.end]).collect()
    }

    #[test]
    fn punctuation_and_newlines_are_no_part_of_a_word() {
        let text = "(man) \"old-man\"; man: _man_\nman\\nman\\\\nman end.The";
        assert_eq!(words(text), ["man", "old", "man", "man", "man", "man", "man", "man", "end", "The"]);
        assert_eq!(words("man's don’t kings' O'Brien's"), ["man", "s", "don’t", "kings", "O'Brien", "s"]);
        assert_eq!(words("3.14, 1,000. U.S."), ["3.14", "1,000", "U", "S"]);
        assert_eq!(
            words("北京ok カタカナ né e\u{301}te\u{301}"),
            ["北", "京", "ok", "カタカナ", "né", "e\u{301}te\u{301}"]
        );
        assert_eq!(words("❤\u{fe0f}man king\u{fffd}"), ["man", "king\u{fffd}"]);
    }

    #[test]
    fn one_spelling() {
        for (word, wanted) in [
            ("Brockman", "brockman"),
            ("STRASSE", "strasse"),
            ("Straße", "strasse"),
            ("ẞ", "ss"),
            ("ΟΔΟΣ", "οδοσ"),
            ("οδος", "οδοσ"),
            ("CAFE\u{301}", "café"),
            ("don’t", "don't"),
            ("kız", "kız"),
        ] {
            assert_eq!(folded(word), wanted);
        }
    }

    proptest! {
        #[test]
        fn words_are_apart_and_hold_a_letter(text in "[a-zA-Z'’.,0-9 \\\\né\u{301}北ไ\u{fffd}\u{200d}🎉א-]{0,20}") {
            let mut found = Vec::new();
            scan(&text, &mut found);
            prop_assert!(found.iter().all(|word| word.start < word.end && text.is_char_boundary(word.start)));
            prop_assert!(found.windows(2).all(|pair| pair[0].end <= pair[1].start));
        }
    }
}
