//! Pearson given a group: the second sum of `sum_t a_t b_t - sum_g S_a S_b / n_g`, S the sums in a group of n rows.
//!
//! It is a sparse product too, of columns with an entry S / sqrt(n) for every group. Where no code is negative the
//! first sum is an upper bound, and so is what remains after any part of the second. Most of a feature's mass lies
//! in few groups, so a few terms rule out most partners; over all pairs the second sum can have many times the terms
//! of the first (features of one word share all its rows).

use crate::groups::Share;
use crate::sparse::{Column, Csr};

/// Groups of a feature that are put in order.
const ORDERED: usize = 8;
/// Terms between two looks at the bound.
const STEP: usize = 8;

/// Put the largest shares of a feature first, in order.
pub fn order(shares: &mut [Share]) {
    let ordered = shares.len().min(ORDERED);
    let larger = |x: &Share, y: &Share| y.1.total_cmp(&x.1);
    if ordered < shares.len() {
        shares.select_nth_unstable_by(ordered, larger);
    }
    shares[..ordered].sort_unstable_by(larger);
}

/// The shares of every candidate of a side in the groups.
pub struct Shares {
    offsets: Vec<usize>,
    groups: Vec<u32>,
    values: Vec<f32>,
}

impl Shares {
    pub fn new(of_candidates: &[Vec<Share>]) -> Self {
        let total = of_candidates.iter().map(Vec::len).sum();
        let mut shares =
            Self { offsets: vec![0], groups: Vec::with_capacity(total), values: Vec::with_capacity(total) };
        for of_candidate in of_candidates {
            shares.groups.extend(of_candidate.iter().map(|share| share.0));
            shares.values.extend(of_candidate.iter().map(|share| share.1));
            shares.offsets.push(shares.groups.len());
        }
        shares
    }

    /// The groups of a candidate as rows.
    pub fn column(&self, candidate: u32) -> Column<'_> {
        let span = self.offsets[candidate as usize]..self.offsets[candidate as usize + 1];
        Column { rows: &self.groups[span.clone()], values: &self.values[span] }
    }

    /// One row a group: the candidates that have a share in it, and their shares times `sign`.
    ///
    /// On one thread: a side makes them once, when first asked, and a thread that waits for others in the midst of
    /// that could come to ask again.
    pub fn rows(&self, n_groups: usize, sign: f32) -> Rows {
        let mut indptr = vec![0; n_groups + 1];
        for &group in &self.groups {
            indptr[group as usize + 1] += 1;
        }
        for group in 0..n_groups {
            indptr[group + 1] += indptr[group];
        }
        let mut next = indptr.clone();
        let (mut indices, mut values) = (vec![0; self.groups.len()], vec![0.0; self.groups.len()]);
        for candidate in 0..self.offsets.len() - 1 {
            let column = self.column(candidate as u32);
            for (&group, value) in column.rows.iter().zip(column.values) {
                let at = next[group as usize] as usize;
                (indices[at], values[at]) = (candidate as i32, sign * value);
                next[group as usize] += 1;
            }
        }
        Rows { indptr, indices, values }
    }
}

/// Candidates by group.
pub struct Rows {
    indptr: Vec<i64>,
    indices: Vec<i32>,
    values: Vec<f32>,
}

impl Rows {
    pub fn csr(&self, n_candidates: usize) -> Csr<'_> {
        Csr::trusted(&self.indptr, &self.indices, &self.values, n_candidates)
    }
}

/// The shares of A, and those of the feature of B at hand by group.
pub struct Reducer<'a> {
    shares: &'a Shares,
    scales: &'a [f32],
    of_b: Vec<f32>,
}

impl<'a> Reducer<'a> {
    pub fn new(shares: &'a Shares, scales: &'a [f32], n_groups: usize) -> Self {
        Self { shares, scales, of_b: vec![0.0; n_groups] }
    }

    pub fn begin(&mut self, b: Column, weigh: impl Fn(f32) -> f32) {
        for (&group, &value) in b.rows.iter().zip(b.values) {
            self.of_b[group as usize] = weigh(value);
        }
    }

    pub fn end(&mut self, b: Column) {
        for &group in b.rows {
            self.of_b[group as usize] = 0.0;
        }
    }

    /// Bounds of the score of a pair with this first sum, or `None` once the upper one is below `bar`; `slack` is
    /// the error of either sum relative to it.
    pub fn reduce(&self, a: u32, sum: f32, slack: f32, bar: f32) -> Option<(f32, f32)> {
        let (column, scale) = (self.shares.column(a), self.scales[a as usize]);
        let (most, mut second) = (sum + sum * slack, 0.0);
        let mut banked = 0.0; // however many groups, the sums in float32 are short
        for (groups, shares) in column.rows.chunks(STEP).zip(column.values.chunks(STEP)) {
            let products = groups.iter().zip(shares).map(|(&group, share)| share * self.of_b[group as usize]);
            banked += f64::from(products.sum::<f32>());
            second = banked as f32 * scale;
            if most - (second - second * slack) < bar {
                return None;
            }
        }
        let (score, error) = (sum - second, (sum + second) * slack);
        Some((score - error, score + error))
    }
}
