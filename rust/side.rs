//! One side of a comparison: the features that may be partners, their columns, and exact answers about them.

use std::ops::Range;
use std::sync::OnceLock;

use rayon::prelude::*;

use crate::bounds::Extremes;
use crate::groups::{Grouped, Groups};
use crate::metric::Metric;
use crate::moments::{Centred, correlation};
use crate::sparse::{Column, Csc, Csr};

const NONE: u32 = u32::MAX;

/// An exact score and the feature of the other side it is with.
pub type Partner = (f64, u32);

/// What is measured: all rows as they are, or what is left within groups of them.
#[derive(Clone, Copy)]
pub enum Measure<'a> {
    Plain(Metric),
    /// Pearson given the group; columns have a row for each group below their own.
    Within(&'a Groups),
}

/// A feature that may be a partner.
pub struct Candidate {
    pub feature: u32,
    /// Where its column lies, and where the rows of groups begin in it.
    span: Range<usize>,
    split: usize,
    centred: Centred,
}

/// Candidates are numbered 0.. in the order of their features; partners are candidates of the other side.
pub struct Side<'a> {
    pub csr: Csr<'a>,
    csc: Csc,
    measure: Measure<'a>,
    pub candidates: Vec<Candidate>,
    /// Feature to candidate, or `NONE`.
    numbers: Vec<u32>,
    /// Mean of every candidate in its standard deviations; 0 where the measure takes off no means.
    pub means: Vec<f64>,
    by_mean: OnceLock<Vec<u32>>,
}

impl<'a> Side<'a> {
    pub fn new(csr: Csr<'a>, metric: Metric, min_activations: usize) -> Self {
        let n = csr.n_rows();
        Self::build(csr, Measure::Plain(metric), |column, _| {
            (column.len() >= min_activations).then(|| Some((column.len(), metric.centre(column, n)?)))?
        })
    }

    pub fn within(grouped: &'a Grouped, groups: &'a Groups, min_activations: usize) -> Self {
        Self::build(grouped.csr(), Measure::Within(groups), |column, feature| {
            let split = column.rows.partition_point(|&row| (row as usize) < groups.n_places());
            let (own, (count, alone)) = (column.part(0..split), grouped.alone[feature]);
            let squares = groups.squares_within(own, alone)?;
            (split + count >= min_activations).then(|| (split, Centred::within(squares, split)))
        })
    }

    fn build(
        csr: Csr<'a>,
        measure: Measure<'a>,
        centre: impl Fn(Column, usize) -> Option<(usize, Centred)> + Sync,
    ) -> Self {
        let (csc, n) = (csr.transpose(), csr.n_rows() as f64);
        let candidate = |feature| {
            let span = csc.span(feature);
            let (split, centred) = centre(csc.column(span.clone()), feature)?;
            Some(Candidate { feature: feature as u32, span, split, centred })
        };
        let candidates: Vec<Candidate> = (0..csr.n_features()).into_par_iter().filter_map(candidate).collect();
        let mut numbers = vec![NONE; csr.n_features()];
        for (number, candidate) in (0..).zip(&candidates) {
            numbers[candidate.feature as usize] = number;
        }
        let means = candidates.iter().map(|of| of.centred.mean * (n / of.centred.squares).sqrt()).collect();
        Self { csr, csc, measure, candidates, numbers, means, by_mean: OnceLock::new() }
    }

    pub fn len(&self) -> usize {
        self.candidates.len()
    }

    /// The whole column, the rows of groups included.
    pub fn column(&self, candidate: u32) -> Column<'_> {
        self.csc.column(self.candidates[candidate as usize].span.clone())
    }

    /// The rows where the candidate fires, and those of its groups.
    pub fn parts(&self, candidate: u32) -> (Column<'_>, Column<'_>) {
        let (column, split) = (self.column(candidate), self.candidates[candidate as usize].split);
        (column.part(0..split), column.part(split..column.len()))
    }

    pub fn candidate(&self, feature: i32) -> Option<u32> {
        Some(self.numbers[feature as usize]).filter(|&number| number != NONE)
    }

    /// What a stored value of a candidate weighs: its share of the norm that scores are measured in.
    #[inline]
    pub fn weight(&self, scale: f64, value: f32) -> f32 {
        let seen = if let Measure::Plain(metric) = self.measure { metric.seen(value) } else { f64::from(value) };
        (seen * scale) as f32
    }

    /// One over the norm of a candidate; counts are left as they are.
    pub fn scale(&self, candidate: u32) -> f64 {
        match self.measure {
            Measure::Plain(Metric::Jaccard) => 1.0,
            _ => 1.0 / self.candidates[candidate as usize].centred.squares.sqrt(),
        }
    }

    /// What the bounds need to know of every candidate.
    pub fn standings(&self) -> Vec<f64> {
        match self.measure {
            Measure::Plain(Metric::Jaccard) => self.candidates.iter().map(|of| of.centred.squares).collect(),
            Measure::Plain(_) => self.means.clone(),
            Measure::Within(_) => (0..self.len() as u32).map(|candidate| self.stretch(candidate)).collect(),
        }
    }

    /// Norm of the whole column over the norm within groups.
    fn stretch(&self, candidate: u32) -> f64 {
        Centred::about_zero(self.column(candidate)).squares.sqrt() * self.scale(candidate)
    }

    /// The largest score a candidate can have with a partner that never fires together with it.
    pub fn best_apart(&self, candidate: u32, other: Extremes) -> f64 {
        -other.least(self.means[candidate as usize])
    }

    /// The `top` best of the given partners, in order, by their exact scores.
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
        let (own, mean) = (&self.candidates[candidate as usize].centred, self.means[candidate as usize]);
        let (metric, n, found) = (self.metric(), self.csr.n_rows(), &mut desk.partners);
        let mut apart = |partner: u32| {
            if seen[partner as usize] == candidate {
                return true;
            }
            let partner = &other.candidates[partner as usize];
            let score = metric.apart(own, &partner.centred, n);
            // Where a mean is 0 all of these are equal, and come in order: the first are the best.
            let wanted = found.get(full - 1).is_none_or(|last| score >= last.0 && mean != 0.0);
            if wanted {
                found.push((score, partner.feature));
            }
            wanted
        };
        let every = 0..other.len() as u32;
        if mean == 0.0 {
            every.into_iter().all(&mut apart);
        } else if mean > 0.0 {
            other.by_mean().iter().copied().all(&mut apart);
        } else {
            other.by_mean().iter().rev().copied().all(&mut apart);
        }
        desk.seen = seen;
        desk.best(top)
    }

    /// The measure as it is of two columns that share no row; within groups nothing is left of such a pair.
    fn metric(&self) -> Metric {
        if let Measure::Plain(metric) = self.measure { metric } else { Metric::Cosine }
    }

    /// Exact scores with the given partners, in their order.
    pub fn scores<'d>(
        &self,
        candidate: u32,
        other: &Side,
        partners: impl IntoIterator<Item = u32>,
        desk: &'d mut Desk,
    ) -> &'d [Partner] {
        self.weigh(candidate, other, partners, desk);
        &desk.partners
    }

    /// Put exact scores with the given partners on the desk.
    fn weigh(&self, candidate: u32, other: &Side, partners: impl IntoIterator<Item = u32>, desk: &mut Desk) {
        let (own, centred) = (self.parts(candidate).0, &self.candidates[candidate as usize].centred);
        let n = self.csr.n_rows();
        desk.values.resize(n, 0.0);
        for (&row, &value) in own.rows.iter().zip(own.values) {
            desk.values[row as usize] = value;
        }
        desk.partners.clear();
        match self.measure {
            Measure::Plain(metric) => desk.partners.extend(partners.into_iter().map(|partner| {
                let (column, partner) = (other.column(partner), &other.candidates[partner as usize]);
                let score = metric.score(own, &desk.values, column, centred, &partner.centred, n);
                (score, partner.feature)
            })),
            Measure::Within(groups) => {
                groups.spread_means(own, &mut desk.means);
                desk.partners.extend(partners.into_iter().map(|partner| {
                    let (column, partner) = (other.parts(partner).0, &other.candidates[partner as usize]);
                    let product = groups.product_within(&desk.values, &desk.means, column);
                    (correlation(product, centred.squares, partner.centred.squares), partner.feature)
                }));
                groups.clear_means(own, &mut desk.means);
            }
        }
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
    /// Its mean in every group, zeros elsewhere.
    means: Vec<f64>,
    partners: Vec<Partner>,
}

impl Desk {
    /// The `top` largest scores, lowest feature first where they are equal.
    fn best(&mut self, top: usize) -> &[Partner] {
        self.partners.sort_unstable_by(|(r, i), (s, j)| s.total_cmp(r).then(i.cmp(j)));
        &self.partners[..top.min(self.partners.len())]
    }
}
