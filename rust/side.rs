//! One side of a comparison: the features that may be partners, their columns, and exact answers about them.

use std::ops::Range;
use std::sync::OnceLock;

use rayon::prelude::*;

use crate::moments::{Centred, SEARCH, Together};
use crate::sparse::{Column, Csc, Csr};

/// A feature whose variance is at most this share of its mean square is constant.
pub const VARIANCE_FLOOR: f64 = 1e-12;
const NONE: u32 = u32::MAX;

/// An exact correlation and the feature of the other side it is with.
pub type Partner = (f64, u32);

/// A feature that may be a partner.
pub struct Candidate {
    pub feature: u32,
    /// Where its column lies.
    span: Range<usize>,
    centred: Centred,
}

/// Candidates are numbered 0.. in the order of their features; partners are candidates of the other side.
pub struct Side<'a> {
    pub csr: Csr<'a>,
    csc: Csc,
    pub candidates: Vec<Candidate>,
    /// Feature to candidate, or `NONE`.
    numbers: Vec<u32>,
    /// Mean of every candidate in its standard deviations.
    pub means: Vec<f64>,
    by_mean: OnceLock<Vec<u32>>,
}

impl<'a> Side<'a> {
    pub fn new(csr: Csr<'a>, min_activations: usize) -> Self {
        let (csc, n) = (csr.transpose(), csr.n_rows());
        let candidate = |feature| {
            let span = csc.span(feature);
            let centred = Centred::varying(csc.column(span.clone()), n, VARIANCE_FLOOR)?;
            (span.len() >= min_activations).then_some(Candidate { feature: feature as u32, span, centred })
        };
        let candidates: Vec<Candidate> = (0..csr.n_features()).into_par_iter().filter_map(candidate).collect();
        let mut numbers = vec![NONE; csr.n_features()];
        for (number, candidate) in (0..).zip(&candidates) {
            numbers[candidate.feature as usize] = number;
        }
        let means = candidates.iter().map(|of| of.centred.mean / of.centred.deviation(n)).collect();
        Self { csr, csc, candidates, numbers, means, by_mean: OnceLock::new() }
    }

    pub fn len(&self) -> usize {
        self.candidates.len()
    }

    pub fn column(&self, candidate: u32) -> Column<'_> {
        self.csc.column(self.candidates[candidate as usize].span.clone())
    }

    pub fn candidate(&self, feature: i32) -> Option<u32> {
        Some(self.numbers[feature as usize]).filter(|&number| number != NONE)
    }

    /// One over the standard deviation of a candidate.
    pub fn scale(&self, candidate: u32) -> f64 {
        1.0 / self.candidates[candidate as usize].centred.deviation(self.csr.n_rows())
    }

    /// The largest correlation a candidate can have with a partner that never fires together with it.
    pub fn best_apart(&self, candidate: u32, other: Extremes) -> f64 {
        -other.least(self.means[candidate as usize])
    }

    pub fn extremes(&self) -> Extremes {
        let largest = self.means.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let smallest = self.means.iter().copied().fold(f64::INFINITY, f64::min);
        Extremes { smallest, largest }
    }

    /// The `top` best of the given partners, in order, by their exact correlations.
    pub fn settle<'d>(
        &self,
        candidate: u32,
        other: &Side,
        partners: impl IntoIterator<Item = u32>,
        top: usize,
        desk: &'d mut Desk,
    ) -> &'d [Partner] {
        self.weigh(candidate, other, partners, desk);
        desk.best(top)
    }

    /// The `top` best partners of a candidate, those that never fire together with it included.
    ///
    /// Of these the correlation is -`m_a` `m_b` / (`s_a` `s_b`): they are walked in the order of m / s.
    pub fn exhaustive<'d>(&self, candidate: u32, other: &Side, top: usize, desk: &'d mut Desk) -> &'d [Partner] {
        let mut seen = std::mem::take(&mut desk.seen);
        seen.resize(other.len(), NONE);
        let mut touched = Vec::new();
        for &row in self.column(candidate).rows {
            for partner in other.csr.row(row as usize).0.iter().filter_map(|&feature| other.candidate(feature)) {
                if std::mem::replace(&mut seen[partner as usize], candidate) != candidate {
                    touched.push(partner);
                }
            }
        }
        let full = touched.len() + top;
        self.weigh(candidate, other, touched, desk);
        let (own, found) = (&self.candidates[candidate as usize].centred, &mut desk.partners);
        let mut add = |&partner: &u32| {
            if seen[partner as usize] == candidate {
                return true;
            }
            let partner = &other.candidates[partner as usize];
            let r = Together::default().pearson(own, &partner.centred, self.csr.n_rows());
            let wanted = found.get(full - 1).is_none_or(|last| r >= last.0);
            if wanted {
                found.push((r, partner.feature));
            }
            wanted
        };
        if self.means[candidate as usize] >= 0.0 {
            other.by_mean().iter().all(&mut add);
        } else {
            other.by_mean().iter().rev().all(&mut add);
        }
        desk.seen = seen;
        desk.best(top)
    }

    /// Put exact correlations with the given partners on the desk.
    fn weigh(&self, candidate: u32, other: &Side, partners: impl IntoIterator<Item = u32>, desk: &mut Desk) {
        let (own, centred) = (self.column(candidate), &self.candidates[candidate as usize].centred);
        desk.values.resize(self.csr.n_rows(), 0.0);
        for (&row, &value) in own.rows.iter().zip(own.values) {
            desk.values[row as usize] = value;
        }
        desk.partners.clear();
        desk.partners.extend(partners.into_iter().map(|partner| {
            let (column, partner) = (other.column(partner), &other.candidates[partner as usize]);
            let together = if column.len() / SEARCH > own.len() {
                Together::new(own, column, centred, &partner.centred)
            } else {
                Together::looked_up(&desk.values, column, centred, &partner.centred)
            };
            (together.pearson(centred, &partner.centred, self.csr.n_rows()), partner.feature)
        }));
        for &row in own.rows {
            desk.values[row as usize] = 0.0;
        }
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
    partners: Vec<Partner>,
}

impl Desk {
    /// The `top` largest correlations, lowest feature first where they are equal.
    fn best(&mut self, top: usize) -> &[Partner] {
        self.partners.sort_unstable_by(|(r, i), (s, j)| s.total_cmp(r).then(i.cmp(j)));
        &self.partners[..top.min(self.partners.len())]
    }
}

/// The smallest and the largest standard mean of a side.
#[derive(Clone, Copy)]
pub struct Extremes {
    smallest: f64,
    largest: f64,
}

impl Extremes {
    /// The smallest product of one of the means with `mean`.
    pub fn least(self, mean: f64) -> f64 {
        (mean * self.smallest).min(mean * self.largest)
    }

    pub fn magnitude(self) -> f64 {
        self.largest.max(-self.smallest)
    }

    /// Those within -1..=1.
    pub fn moderate(self) -> Self {
        Self { smallest: self.smallest.clamp(-1.0, 1.0), largest: self.largest.clamp(-1.0, 1.0) }
    }
}
