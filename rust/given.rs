//! Pearson given a group, where no code is negative: the second sum of a pair is taken only as far as it decides.
//!
//! Of `sum_t a_t b_t - sum_g S_a S_b / n_g` the first sum is an upper bound, and so is what remains after any part
//! of the second. Most of a feature's mass lies in few groups, so a few terms rule out most partners; over all
//! pairs the second sum has many times the terms of the first (features of one word share all its rows).

use rayon::prelude::*;

use crate::side::Side;

/// Groups of a feature that are put in order, largest share first.
const ORDERED: usize = 8;
/// Terms between two looks at the bound.
const STEP: usize = 8;

/// What every candidate of A holds in the groups, over its norm.
pub struct Shares {
    offsets: Vec<usize>,
    terms: Vec<(u32, f32)>,
}

impl Shares {
    /// Group rows begin at `first`.
    pub fn new(side: &Side, first: usize) -> Self {
        let shares = |candidate: u32| {
            let (column, scale) = (side.parts(candidate).1, side.scale(candidate));
            let values = column.values.iter().map(|&value| side.weight(scale, value));
            let mut terms: Vec<(u32, f32)> = column.rows.iter().map(|&row| row - first as u32).zip(values).collect();
            if terms.len() > ORDERED {
                terms.select_nth_unstable_by(ORDERED - 1, |x, y| y.1.total_cmp(&x.1));
            }
            let ordered = terms.len().min(ORDERED);
            terms[..ordered].sort_unstable_by(|x, y| y.1.total_cmp(&x.1));
            terms
        };
        let parts: Vec<Vec<(u32, f32)>> = (0..side.len() as u32).into_par_iter().map(shares).collect();
        let ends = parts.iter().scan(0, |end, part| {
            *end += part.len();
            Some(*end)
        });
        Self { offsets: std::iter::once(0).chain(ends).collect(), terms: parts.concat() }
    }
}

/// The shares of A, and those of the feature of B at hand by group.
pub struct Reducer<'a> {
    shares: &'a Shares,
    first: u32,
    of_b: Vec<f32>,
}

impl<'a> Reducer<'a> {
    pub fn new(shares: &'a Shares, first: usize, n_groups: usize) -> Self {
        Self { shares, first: first as u32, of_b: vec![0.0; n_groups] }
    }

    pub fn begin(&mut self, b: &Side, candidate: u32) {
        let (column, scale) = (b.parts(candidate).1, b.scale(candidate));
        for (&row, &value) in column.rows.iter().zip(column.values) {
            self.of_b[(row - self.first) as usize] = b.weight(scale, value);
        }
    }

    pub fn end(&mut self, b: &Side, candidate: u32) {
        for &row in b.parts(candidate).1.rows {
            self.of_b[(row - self.first) as usize] = 0.0;
        }
    }

    /// Bounds of the score of a pair with this first sum, or `None` once the upper one is below `bar`; `slack` is
    /// the error of either sum relative to it.
    pub fn reduce(&self, a: u32, sum: f32, slack: f32, bar: f32) -> Option<(f32, f32)> {
        let terms = &self.shares.terms[self.shares.offsets[a as usize]..self.shares.offsets[a as usize + 1]];
        let (most, mut second) = (sum + sum * slack, 0.0);
        let mut banked = 0.0; // however many groups, the sums in float32 are short
        for step in terms.chunks(STEP) {
            let product = |&(group, share): &(u32, f32)| share * self.of_b[group as usize];
            banked += f64::from(step.iter().map(product).sum::<f32>());
            second = banked as f32;
            if most - (second - second * slack) < bar {
                return None;
            }
        }
        let (score, error) = (sum - second, (sum + second) * slack);
        Some((score - error, score + error))
    }
}
