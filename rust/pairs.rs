//! Correlation of given pairs of features, plain or within groups of rows.

use rayon::prelude::*;

use crate::Error;
use crate::groups::Groups;
use crate::metric::Metric;
use crate::side::{Desk, Side};
use crate::sparse::Csr;

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
    check_pairs(feature_a, feature_b, [a.n_features(), b.n_features()])?;
    let Some(ids) = groups else {
        return Ok(scores(&Side::new(a, Metric::Pearson, 0), &Side::new(b, Metric::Pearson, 0), feature_a, feature_b));
    };
    let groups = Groups::new(ids, a.n_rows())?;
    let side = |csr| Side::within(csr, groups.rows_from(0), 0);
    Ok(scores(&side(a), &side(b), feature_a, feature_b))
}

/// The pairs of one feature of A are scored together.
fn scores(a: &Side, b: &Side, feature_a: &[i64], feature_b: &[i64]) -> Vec<f64> {
    let mut order: Vec<u32> = (0..feature_a.len() as u32).collect();
    order.par_sort_by_key(|&pair| feature_a[pair as usize]);
    let of_feature: Vec<&[u32]> = order.chunk_by(|&i, &j| feature_a[i as usize] == feature_a[j as usize]).collect();
    let scored = of_feature.into_par_iter().map_init(Desk::default, |desk, pairs| {
        let Some(own) = a.candidate(feature_a[pairs[0] as usize] as i32) else { return Vec::new() };
        let partner = |&pair: &u32| Some((pair, b.candidate(feature_b[pair as usize] as i32)?));
        let partners: Vec<(u32, u32)> = pairs.iter().filter_map(partner).collect();
        let scores = a.scores(own, b, partners.iter().map(|&(_, partner)| partner), desk);
        partners.iter().zip(scores).map(|(&(pair, _), &(score, _))| (pair, score)).collect()
    });
    let mut found = vec![0.0; feature_a.len()];
    for (pair, score) in scored.collect::<Vec<_>>().into_iter().flatten() {
        found[pair as usize] = score;
    }
    found
}

/// Two lists of ids that go together, each in its range.
pub fn check_pairs(feature_a: &[i64], feature_b: &[i64], n_features: [usize; 2]) -> Result<(), Error> {
    if feature_a.len() != feature_b.len() {
        let (left, right) = (feature_a.len(), feature_b.len());
        return Err(Error::Lengths { what: "feature_a and feature_b".into(), left, right });
    }
    check_ids("feature_a", feature_a, n_features[0])?;
    check_ids("feature_b", feature_b, n_features[1])
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
