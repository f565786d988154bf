//! Test oracles: the definitions on dense float64 columns, and random sparse input for them.

use std::collections::HashMap;

use proptest::collection::vec;
use proptest::prelude::*;

use crate::{Csr, Metric, Search};

/// A dense matrix by rows, and the same as owned CSR arrays.
#[derive(Debug, Clone)]
pub struct Dense {
    pub n_features: usize,
    pub rows: Vec<Vec<f32>>,
    indptr: Vec<i64>,
    indices: Vec<i32>,
    values: Vec<f32>,
}

impl Dense {
    pub fn new(rows: Vec<Vec<f32>>, n_features: usize) -> Self {
        let (mut indptr, mut indices, mut values) = (vec![0], Vec::new(), Vec::new());
        for row in &rows {
            for (id, &value) in row.iter().enumerate().filter(|(_, value)| **value != 0.0) {
                indices.push(id as i32);
                values.push(value);
            }
            indptr.push(indices.len() as i64);
        }
        Self { n_features, rows, indptr, indices, values }
    }

    pub fn csr(&self) -> Csr<'_> {
        Csr::new("", &self.indptr, &self.indices, &self.values, self.n_features as i64).expect("valid arrays")
    }

    pub fn column(&self, feature: usize) -> Vec<f64> {
        self.rows.iter().map(|row| f64::from(row[feature])).collect()
    }
}

/// Two sides read from the same rows, a few values only, so that equal columns and equal correlations abound.
pub fn sides() -> impl Strategy<Value = (Dense, Dense)> {
    let width = || prop::sample::select(vec![1_usize, 2, 7, 63]);
    (0..40_usize, width(), width(), 0.05..0.9_f64, any::<bool>()).prop_flat_map(|(t, fa, fb, density, signed)| {
        let value = (prop::sample::select(vec![0.5_f32, 1.0, 3.0]), any::<bool>())
            .prop_map(move |(x, negative)| if negative && signed { -x } else { x });
        let cell = prop::option::weighted(density, value).prop_map(Option::unwrap_or_default);
        (vec(vec(cell.clone(), fa), t), vec(vec(cell, fb), t), any::<bool>()).prop_map(move |(a, mut b, copy)| {
            if copy {
                b.iter_mut().zip(&a).for_each(|(b, a)| b[fb - 1] = a[0]);
            }
            (Dense::new(a, fa), Dense::new(b, fb))
        })
    })
}

/// Pearson after subtracting each column's mean within every group; `None` where a side keeps at most `floor` of
/// its sum of squares.
pub fn pearson(x: &[f64], y: &[f64], groups: &[i64], floor: f64) -> Option<f64> {
    let residuals = |x: &[f64]| -> Vec<f64> {
        let mut sums = HashMap::new();
        for (x, group) in x.iter().zip(groups) {
            let (sum, count) = sums.entry(group).or_insert((0.0, 0.0));
            (*sum, *count) = (*sum + x, *count + 1.0);
        }
        x.iter().zip(groups).map(|(x, group)| x - sums[group].0 / sums[group].1).collect()
    };
    let dot = |x: &[f64], y: &[f64]| x.iter().zip(y).map(|(x, y)| x * y).sum::<f64>();
    let (rest_x, rest_y) = (residuals(x), residuals(y));
    let (squares_x, squares_y) = (dot(&rest_x, &rest_x), dot(&rest_y, &rest_y));
    let varies = squares_x > floor * dot(x, x) && squares_y > floor * dot(y, y);
    varies.then(|| dot(&rest_x, &rest_y) / (squares_x * squares_y).sqrt())
}

/// The score of two columns by its definition; `None` where there is none.
pub fn score(x: &[f64], y: &[f64], search: Search) -> Option<f64> {
    let norm = |x: &[f64]| x.iter().map(|x| x * x).sum::<f64>().sqrt();
    let count = |fires: &dyn Fn(bool, bool) -> bool| {
        x.iter().zip(y).filter(|(x, y)| fires(**x != 0.0, **y != 0.0)).count() as f64
    };
    let empty = norm(x) == 0.0 || norm(y) == 0.0;
    match search.metric {
        Metric::Pearson => pearson(x, y, &vec![0; x.len()], 1e-12),
        Metric::Within => pearson(x, y, search.groups?, 1e-10),
        _ if empty => None,
        Metric::Cosine => Some(x.iter().zip(y).map(|(x, y)| x * y).sum::<f64>() / (norm(x) * norm(y))),
        Metric::Jaccard => Some(count(&|x, y| x && y) / count(&|x, y| x || y)),
    }
}

/// Best columns of `a` for every column of `b`: ids and scores, ties (to 1e-10) to the lowest id.
pub fn best_partners(a: &Dense, b: &Dense, search: Search) -> Vec<Vec<(i64, f64)>> {
    let fires = |x: &[f64]| x.iter().filter(|x| **x != 0.0).count() >= search.min_activations;
    (0..b.n_features)
        .map(|j| {
            let y = b.column(j);
            let mut found: Vec<(i64, f64)> = (0..a.n_features)
                .map(|i| (i as i64, a.column(i)))
                .filter(|(_, x)| fires(x) && fires(&y))
                .filter_map(|(i, x)| Some((i, score(&x, &y, search)?)))
                .collect();
            found.sort_by_key(|(i, r)| ((-r * 1e10).round() as i64, *i));
            found.resize(search.top, (-1, 0.0));
            found
        })
        .collect()
}

/// Run on a pool of its own.
pub fn with_threads<T: Send>(threads: usize, work: impl FnOnce() -> T + Send) -> T {
    rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("threads").install(work)
}
