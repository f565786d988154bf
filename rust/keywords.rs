//! Which keywords stand in the contexts of which features, as whole words, all features and groups in one pass.

use rayon::prelude::*;

use crate::Error;
use crate::lexicon::{KeywordGroup, Lexicon, Scope};
use crate::reader::Reader;

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
                let (mut hits, mut found) = (KeywordHits::default(), Vec::new());
                let first = task * FEATURES_A_TASK;
                for feature in first..(first + FEATURES_A_TASK).min(n_features) {
                    found.clear();
                    for row in offsets[feature] as usize..offsets[feature + 1] as usize {
                        found.extend(reader.read_context([
                            left[row].as_ref(),
                            token[row].as_ref(),
                            right[row].as_ref(),
                        ]));
                    }
                    found.sort_unstable();
                    for same in found.chunk_by(|one, other| one == other) {
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
        let group = KeywordGroup { name: "group".into(), keywords, ..KeywordGroup::default() };
        let find = || keyword_hits(&contexts, std::slice::from_ref(&group), Scope::Word).unwrap();
        let [one, three] = [1, 3].map(|threads| naive::with_threads(threads, find));
        assert_eq!(one, three);
        assert_eq!(one.contexts.iter().sum::<i64>(), 3 * 800);
        assert!(one.feature.is_sorted());
    }
}
