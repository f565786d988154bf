//! The two things that are asked of activations larger than memory: best partners, and the scores of given pairs.

use crate::bounds::{Bounds, Linear, Overlap, Stretched};
use crate::contenders::Target;
use crate::correlation::Search;
use crate::floors::Floor;
use crate::groups::Groups;
use crate::lines::LINE;
use crate::packed::BLOCK;
use crate::pairs::check_pairs;
use crate::passes::Passes;
use crate::sparse::Csr;
use crate::task::{Goal, Streamed, Task};
use crate::{Error, Metric};

/// Bytes for what is small.
const BASE: usize = 1 << 20;
/// Bytes a feature needs whatever the limit: moments, standings, bars, its activation in one row, its sum with one
/// feature and its part in the two nominees that may come of that.
const FEATURE: usize = 256;
/// Bytes a place among the best needs: settled, and as a result, twice.
const PLACE: usize = 32;
/// Bytes a given pair needs beside its sums.
const PAIR: usize = 64;

/// Begin a search over `n_rows` rows; `limit` bounds the bytes held beside the rows that are fed.
///
/// # Errors
/// A limit below what the features and groups need; a `top` of 0 or beyond 2^31 results; groups that are not one a
/// row, or with another metric than [`Metric::Within`].
pub fn stream(n_rows: usize, n_features: [usize; 2], search: Search, limit: usize) -> Result<Box<dyn Streamed>, Error> {
    let Search { top, min_activations, metric, groups } = search;
    search.check()?;
    for width in n_features {
        Csr::trusted(&[0], &[], &[], width).check_width("top", top)?;
    }
    let groups = groups.map(|ids| Groups::new(ids, n_rows)).transpose()?;
    let fixed = (n_features[0] + n_features[1]) * (FEATURE + PLACE * top) + of_threads(n_features, top);
    let task = Task { n_rows, n_features, metric, min_activations, groups, goal: Goal::Best(top) };
    match metric {
        Metric::Pearson | Metric::Cosine => begin::<Linear>(task, fixed, limit),
        Metric::Jaccard => begin::<Overlap>(task, fixed, limit),
        Metric::Within => begin::<Stretched>(task, fixed, limit),
    }
}

/// Begin to score given pairs over `n_rows` rows as [`pair_correlations`](crate::pair_correlations) does in memory;
/// `limit` bounds the bytes held beside the rows that are fed.
///
/// # Errors
/// A limit below what the features, pairs and groups need; pairs that do not match or lie outside their range; groups
/// that are not one a row.
pub fn stream_pairs(
    n_rows: usize,
    n_features: [usize; 2],
    [feature_a, feature_b]: [&[i64]; 2],
    groups: Option<&[i64]>,
    limit: usize,
) -> Result<Box<dyn Streamed>, Error> {
    check_pairs(feature_a, feature_b, n_features)?;
    let groups = groups.map(|ids| Groups::new(ids, n_rows)).transpose()?;
    let fixed = (n_features[0] + n_features[1]) * FEATURE + feature_a.len() * PAIR;
    let metric = if groups.is_some() { Metric::Within } else { Metric::Pearson };
    let pairs = feature_a.iter().zip(feature_b).map(|(&a, &b)| [a as u32, b as u32]).collect();
    let task = Task { n_rows, n_features, metric, min_activations: 1, groups, goal: Goal::Pairs(pairs) };
    begin::<Linear>(task, fixed, limit)
}

/// Bytes for the sums, bars and contenders that every thread has for itself, and for the floors.
fn of_threads(n_features: [usize; 2], top: usize) -> usize {
    let n_hosts = n_features[0].max(n_features[1]);
    let places = BLOCK * n_hosts.div_ceil(BLOCK);
    let sums = BLOCK * (size_of::<f32>() + size_of::<f64>());
    let bars = places * size_of::<Target>() + places / LINE * size_of::<f32>() + n_hosts * (top - 1) * size_of::<f32>();
    let contenders = n_hosts * size_of::<(f32, u32)>();
    rayon::current_num_threads() * (sums + bars + contenders) + places * size_of::<Floor>()
}

/// A task within its limit.
fn begin<B: Bounds + 'static>(task: Task, fixed: usize, limit: usize) -> Result<Box<dyn Streamed>, Error> {
    let of_groups = task.groups.as_ref().map_or(0, |groups| {
        let ledger = (size_of::<f64>() + 2 * size_of::<u32>()) * groups.rows_from(0).len();
        2 * size_of::<u32>() * task.n_rows + ledger * rayon::current_num_threads()
    });
    let fixed = fixed + of_groups + BASE;
    let Some(room) = limit.checked_sub(fixed) else {
        let these = if of_groups > 0 { "features and groups" } else { "features" };
        let (wanted, got) = (format!("at least {fixed} bytes for these {these}"), limit.to_string());
        return Err(Error::Number { name: "memory_limit".into(), wanted, got });
    };
    Ok(Box::new(Passes::<B>::new(task, fixed, room)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::naive::{self, Dense};

    /// What a refusal asks for.
    fn least(error: &Error) -> usize {
        let text = error.to_string();
        let digits = |c: char| !c.is_ascii_digit();
        text.split(digits).find(|number| !number.is_empty()).expect("a number").parse().expect("digits only")
    }

    #[test]
    fn rows_are_counted_and_limits_are_kept() {
        let search = Search { top: 1, min_activations: 1, metric: Metric::Pearson, groups: None };
        let error = stream(1, [3, 2], search, 1000).err().unwrap();
        let least = least(&error);
        assert_eq!(
            error.to_string(),
            format!("memory_limit must be at least {least} bytes for these features, got 1000")
        );
        assert!(stream(1, [3, 2], search, least - 1).is_err() && stream(1, [3, 2], search, least).is_ok());
        let mut short = stream(2, [1, 1], search, 1 << 28).unwrap();
        let one = Dense::new(vec![vec![1.0]], 1);
        short.feed(one.csr(), one.csr()).unwrap();
        assert_eq!(short.end_pass().unwrap_err().to_string(), "rows must be 2 in every pass, got 1");
        let two = Dense::new(vec![vec![1.0, 0.0]], 2);
        let error = short.feed(two.csr(), one.csr()).unwrap_err();
        assert_eq!(error.to_string(), "features must be 1 in every window, got 2");
    }

    #[test]
    fn what_features_hold_in_groups_counts_against_the_limit() {
        let search = Search { top: 1, min_activations: 1, metric: Metric::Within, groups: Some(&[5, 5]) };
        let error = stream(1, [1, 1], search, 1 << 28).err().unwrap();
        assert_eq!(error.to_string(), "groups and the rows of a must have one length, got 2 and 1");
        let error = stream(1, [1, 1], Search { metric: Metric::Cosine, ..search }, 1 << 28).err().unwrap();
        assert_eq!(error.to_string(), "metric must be within where groups are given, got Cosine with groups");
        let both = Dense::new(vec![vec![1.0; 2]; 2], 2);
        naive::with_threads(1, || {
            let error = stream(2, [2, 2], search, 1000).err().unwrap();
            let fixed = least(&error);
            assert_eq!(fixed, BASE + 4 * (FEATURE + PLACE) + of_threads([2, 2], 1) + 16 + 16);
            let message =
                format!("memory_limit must be at least {fixed} bytes for these features and groups, got 1000");
            assert_eq!(error.to_string(), message);
            let least = fixed + 4 * 64 * 4;
            let mut tight = stream(2, [2, 2], search, least - 4).unwrap();
            let error = tight.feed(both.csr(), both.csr()).unwrap_err();
            let needed = format!("at least {least} bytes for what the features hold in groups of rows so far");
            assert_eq!(error.to_string(), format!("memory_limit must be {needed}, got {}", least - 4));
            let mut enough = stream(2, [2, 2], search, least).unwrap();
            assert!(enough.feed(both.csr(), both.csr()).is_ok());
        });
    }

    #[test]
    fn bad_pairs_are_refused_by_name() {
        let error = |i: &[i64], j: &[i64]| stream_pairs(1, [2, 2], [i, j], None, 1 << 28).err().unwrap().to_string();
        assert_eq!(error(&[2], &[0]), "feature_a must lie in 0..2, got 2");
        assert_eq!(error(&[0], &[]), "feature_a and feature_b must have one length, got 1 and 0");
    }
}
