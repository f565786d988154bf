//! One side of a comparison: the features that may be partners, their columns, and exact answers about them.

use std::sync::OnceLock;

use rayon::prelude::*;

use crate::moments::{Centred, SEARCH, Together};
use crate::sparse::{Column, Csc, Csr};

/// A feature whose variance is at most this share of its mean square is constant.
pub const VARIANCE_FLOOR: f64 = 1e-12;
const NONE: u32 = u32::MAX;

/// A partner and its exact correlation.
pub type Partner = (f64, u32);

/// Candidates are numbered 0.. in the order of their feature ids; partners are candidates of the other side.
pub struct Side<'a> {
    pub csr: Csr<'a>,
    csc: Csc,
    /// Candidate to feature.
    pub features: Vec<u32>,
    /// Feature to candidate, or `NONE`.
    candidates: Vec<u32>,
    centred: Vec<Centred>,
    /// Mean of every candidate in its standard deviations.
    pub means: Vec<f64>,
    by_mean: OnceLock<Vec<u32>>,
}

impl<'a> Side<'a> {
    pub fn new(csr: Csr<'a>, min_activations: usize) -> Self {
        let csc = csr.transpose();
        let n = csr.n_rows();
        let (features, centred): (Vec<u32>, Vec<Centred>) = (0..csr.n_features())
            .into_par_iter()
            .filter(|&f| csc.column(f).len() >= min_activations)
            .filter_map(|f| Some((f as u32, Centred::varying(csc.column(f), n, VARIANCE_FLOOR)?)))
            .unzip();
        let mut candidates = vec![NONE; csr.n_features()];
        for (candidate, &feature) in features.iter().enumerate() {
            candidates[feature as usize] = candidate as u32;
        }
        let means = centred.iter().map(|centred| centred.mean / centred.deviation(n)).collect();
        Self { csr, csc, features, candidates, centred, means, by_mean: OnceLock::new() }
    }

    pub fn len(&self) -> usize {
        self.features.len()
    }

    pub fn column(&self, candidate: u32) -> Column<'_> {
        self.csc.column(self.features[candidate as usize] as usize)
    }

    pub fn candidate(&self, feature: i32) -> Option<u32> {
        Some(self.candidates[feature as usize]).filter(|&candidate| candidate != NONE)
    }

    /// One over the standard deviation of a candidate.
    pub fn scale(&self, candidate: u32) -> f64 {
        1.0 / self.centred[candidate as usize].deviation(self.csr.n_rows())
    }

    /// The largest correlation a candidate can have with a partner that never fires together with it.
    pub fn best_apart(&self, candidate: u32, other: &Extremes) -> f64 {
        let mean = self.means[candidate as usize];
        (-mean * other.smallest).max(-mean * other.largest)
    }

    pub fn extremes(&self) -> Extremes {
        let largest = self.means.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let smallest = self.means.iter().copied().fold(f64::INFINITY, f64::min);
        Extremes { smallest, largest }
    }

    /// The `top` best of the given partners, in order, by their exact correlations.
    pub fn settle(&self, candidate: u32, other: &Side, partners: &[u32], top: usize, desk: &mut Desk) -> Vec<Partner> {
        best(self.exact(candidate, other, partners, desk), top)
    }

    /// The `top` best partners of a candidate, those that never fire together with it included.
    ///
    /// Of these the correlation is -`m_a` `m_b` / (`s_a` `s_b`): they are walked in the order of m / s.
    pub fn exhaustive(&self, candidate: u32, other: &Side, top: usize, desk: &mut Desk) -> Vec<Partner> {
        desk.seen.resize(other.len(), NONE);
        let mut touched = Vec::new();
        for &row in self.column(candidate).rows {
            for partner in other.csr.row(row as usize).0.iter().filter_map(|&feature| other.candidate(feature)) {
                if desk.seen[partner as usize] != candidate {
                    desk.seen[partner as usize] = candidate;
                    touched.push(partner);
                }
            }
        }
        let mut partners = self.exact(candidate, other, &touched, desk);
        let own = &self.centred[candidate as usize];
        let mut add = |&partner: &u32| {
            if desk.seen[partner as usize] == candidate {
                return true;
            }
            let r = Together::default().pearson(own, &other.centred[partner as usize], self.csr.n_rows());
            let wanted = partners.get(touched.len() + top - 1).is_none_or(|last| r >= last.0);
            if wanted {
                partners.push((r, partner));
            }
            wanted
        };
        if self.means[candidate as usize] >= 0.0 {
            other.by_mean().iter().all(&mut add);
        } else {
            other.by_mean().iter().rev().all(&mut add);
        }
        best(partners, top)
    }

    fn exact(&self, candidate: u32, other: &Side, partners: &[u32], desk: &mut Desk) -> Vec<Partner> {
        let own = self.column(candidate);
        desk.values.resize(self.csr.n_rows(), 0.0);
        for (&row, &value) in own.rows.iter().zip(own.values) {
            desk.values[row as usize] = value;
        }
        let correlation = |&partner: &u32| {
            let column = other.column(partner);
            let (centred, theirs) = (&self.centred[candidate as usize], &other.centred[partner as usize]);
            let together = if column.len() / SEARCH > own.len() {
                Together::new(own, column, centred, theirs)
            } else {
                Together::looked_up(&desk.values, column, centred, theirs)
            };
            (together.pearson(centred, theirs, self.csr.n_rows()), partner)
        };
        let found = partners.iter().map(correlation).collect();
        for &row in own.rows {
            desk.values[row as usize] = 0.0;
        }
        found
    }

    fn by_mean(&self) -> &[u32] {
        self.by_mean.get_or_init(|| {
            let mut order: Vec<u32> = (0..self.len() as u32).collect();
            order.sort_by(|&i, &j| self.means[i as usize].total_cmp(&self.means[j as usize]));
            order
        })
    }
}

/// What one thread needs for exact answers.
#[derive(Default)]
pub struct Desk {
    /// For every partner the last candidate it was seen with.
    seen: Vec<u32>,
    /// One column by rows, zeros elsewhere.
    values: Vec<f32>,
}

/// The smallest and the largest standard mean of a side.
#[derive(Clone, Copy)]
pub struct Extremes {
    smallest: f64,
    largest: f64,
}

/// The `top` largest correlations, lowest id first where they are equal.
fn best(mut partners: Vec<Partner>, top: usize) -> Vec<Partner> {
    partners.sort_unstable_by(|(r, i), (s, j)| s.total_cmp(r).then(i.cmp(j)));
    partners.truncate(top);
    partners
}
