//! Correlation of given pairs of features, plain or within groups of rows.

use std::collections::HashMap;
use std::ops::Range;

use rayon::prelude::*;

use crate::Error;
use crate::moments::{Centred, Together, correlation, sum_of_squares};
use crate::side::VARIANCE_FLOOR;
use crate::sparse::{Column, Csr};

/// A variance within groups below this share of the sum of squares is zero.
const WITHIN_FLOOR: f64 = 1e-10;

/// Rows sorted by group: where each row went, and the group of every place.
struct Groups {
    row_at: Vec<u32>,
    group_at: Vec<u32>,
    sizes: Vec<usize>,
}

impl Groups {
    fn new(ids: &[i64]) -> Self {
        let mut number = HashMap::new();
        let of_row: Vec<u32> = ids
            .iter()
            .map(|id| {
                let next = number.len() as u32;
                *number.entry(*id).or_insert(next)
            })
            .collect();
        let mut sizes = vec![0; number.len()];
        for &group in &of_row {
            sizes[group as usize] += 1;
        }
        let mut row_at: Vec<u32> = (0..ids.len() as u32).collect();
        row_at.sort_by_key(|&row| of_row[row as usize]);
        let group_at = row_at.iter().map(|&row| of_row[row as usize]).collect();
        Self { row_at, group_at, sizes }
    }

    /// The stretches of a column that lie in one group each.
    fn runs<'c>(&'c self, column: Column<'c>) -> impl Iterator<Item = (u32, Range<usize>)> + 'c {
        let mut start = 0;
        column.rows.chunk_by(|&i, &j| self.group_at[i as usize] == self.group_at[j as usize]).map(move |run| {
            let span = start..start + run.len();
            start = span.end;
            (self.group_at[run[0] as usize], span)
        })
    }

    /// A column centred in each group where it fires, and the sum of squares that leaves.
    fn centre(&self, column: Column) -> (Vec<(u32, Range<usize>, Centred)>, f64) {
        let centred = |(group, span): (u32, Range<usize>)| {
            (group, span.clone(), Centred::new(column.part(span), self.sizes[group as usize]))
        };
        let runs: Vec<_> = self.runs(column).map(centred).collect();
        let squares = runs.iter().map(|(_, _, centred)| centred.squares).sum();
        (runs, squares)
    }

    /// Pearson after subtracting both columns' group means; 0 where that leaves no variance.
    fn within(&self, a: Column, b: Column) -> f64 {
        let ((runs_a, squares_a), (runs_b, squares_b)) = (self.centre(a), self.centre(b));
        if squares_a <= WITHIN_FLOOR * sum_of_squares(a) || squares_b <= WITHIN_FLOOR * sum_of_squares(b) {
            return 0.0;
        }
        let (mut product, mut j) = (0.0, 0);
        for (group, span_a, centred_a) in runs_a {
            j += runs_b[j..].partition_point(|run| run.0 < group);
            if let Some((other, span_b, centred_b)) = runs_b.get(j)
                && *other == group
            {
                let together = Together::new(a.part(span_a), b.part(span_b.clone()), &centred_a, centred_b);
                product += together.product(&centred_a, centred_b, self.sizes[group as usize]);
            }
        }
        correlation(product, squares_a, squares_b)
    }
}

/// Both sides must have been read from the same rows.
pub fn same_rows(a: Csr, b: Csr) -> Result<(), Error> {
    if a.n_rows() == b.n_rows() {
        return Ok(());
    }
    Err(Error::Lengths { what: "a_indptr and b_indptr".into(), left: a.n_rows() + 1, right: b.n_rows() + 1 })
}

/// Pearson correlation of every given pair; with `groups`, after subtracting each feature's mean in every group.
///
/// 0 where a side has no variance: at most 1e-12 of its mean square, within groups 1e-10 of its sum of squares.
pub fn pair_correlations(
    a: Csr,
    b: Csr,
    feature_a: &[i64],
    feature_b: &[i64],
    groups: Option<&[i64]>,
) -> Result<Vec<f64>, Error> {
    same_rows(a, b)?;
    if feature_a.len() != feature_b.len() {
        let (left, right) = (feature_a.len(), feature_b.len());
        return Err(Error::Lengths { what: "feature_a and feature_b".into(), left, right });
    }
    check_ids("feature_a", feature_a, a.n_features())?;
    check_ids("feature_b", feature_b, b.n_features())?;
    let n = a.n_rows();
    let pairs = feature_a.par_iter().zip(feature_b);
    let Some(ids) = groups else {
        let (a, b) = (a.transpose(), b.transpose());
        let centred = |column| Centred::varying(column, n, VARIANCE_FLOOR);
        return Ok(pairs
            .map(|(&i, &j)| (a.feature(i as usize), b.feature(j as usize)))
            .map(|(a, b)| match (centred(a), centred(b)) {
                (Some(of_a), Some(of_b)) => Together::new(a, b, &of_a, &of_b).pearson(&of_a, &of_b, n),
                _ => 0.0,
            })
            .collect());
    };
    if ids.len() != n {
        return Err(Error::Lengths { what: "groups and the rows of a".into(), left: ids.len(), right: n });
    }
    let groups = Groups::new(ids);
    let (a, b) =
        (a.transpose_by(|place| groups.row_at[place] as usize), b.transpose_by(|place| groups.row_at[place] as usize));
    Ok(pairs.map(|(&i, &j)| groups.within(a.feature(i as usize), b.feature(j as usize))).collect())
}

fn check_ids(name: &str, ids: &[i64], end: usize) -> Result<(), Error> {
    match ids.iter().find(|&&id| id < 0 || id >= end as i64) {
        Some(&got) => Err(Error::Id { name: name.into(), end, got }),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::naive;

    proptest! {
        #[test]
        fn equals_the_definition((a, b) in naive::sides(), n_groups in 1..9_i64, seed in any::<u32>()) {
            let (i, j): (Vec<i64>, Vec<i64>) =
                (0..a.n_features as i64).flat_map(|i| (0..b.n_features as i64).map(move |j| (i, j))).unzip();
            let group = |row: usize| (row as i64 + i64::from(seed)) % 97 % n_groups * 1_000_000_007;
            let groups: Vec<i64> = (0..a.rows.len()).map(group).collect();
            let one_group = vec![0; a.rows.len()];
            for (given, used, floor) in [(None, &one_group, 1e-12), (Some(&groups[..]), &groups, 1e-10)] {
                let found = pair_correlations(a.csr(), b.csr(), &i, &j, given).unwrap();
                for ((found, &i), &j) in found.iter().zip(&i).zip(&j) {
                    let wanted = naive::pearson(&a.column(i as usize), &b.column(j as usize), used, floor);
                    prop_assert!((found - wanted.unwrap_or(0.0)).abs() < 1e-10);
                }
            }
        }
    }

    #[test]
    fn bad_pairs_are_refused_by_name() {
        let a = naive::Dense::new(vec![vec![1.0, 0.0], vec![0.0, 1.0]], 2);
        let error =
            |i: &[i64], j: &[i64], groups| pair_correlations(a.csr(), a.csr(), i, j, groups).unwrap_err().to_string();
        assert_eq!(error(&[2], &[0], None), "feature_a must lie in 0..2, got 2");
        assert_eq!(error(&[0], &[-1], None), "feature_b must lie in 0..2, got -1");
        assert_eq!(error(&[0], &[], None), "feature_a and feature_b must have one length, got 1 and 0");
        assert_eq!(error(&[0], &[0], Some(&[5])), "groups and the rows of a must have one length, got 1 and 2");
    }
}
