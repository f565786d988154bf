//! One side of a comparison in memory: its candidates with their columns, and exact answers about them.

use std::ops::{Deref, Range};

use rayon::prelude::*;

use crate::groups::{Grouped, Groups};
use crate::metric::Metric;
use crate::moments::{Centred, correlation, sum_of_squares};
use crate::roster::{Candidate, NONE, Partner, Roster, best};
use crate::sparse::{Column, Csc, Csr};

/// Partners are candidates of the other side.
pub struct Side<'a> {
    pub csr: Csr<'a>,
    csc: Csc,
    roster: Roster,
    /// Where the column of every candidate lies, and how many of its rows are no groups'.
    columns: Vec<(Range<usize>, usize)>,
    groups: Option<&'a Groups>,
}

impl Deref for Side<'_> {
    type Target = Roster;

    fn deref(&self) -> &Roster {
        &self.roster
    }
}

impl<'a> Side<'a> {
    pub fn new(csr: Csr<'a>, metric: Metric, min_activations: usize) -> Self {
        let n = csr.n_rows();
        Self::build(csr, metric, None, |column, _| {
            let centred = metric.centre(column, n)?;
            (column.len() >= min_activations).then_some((column.len(), centred, 1.0))
        })
    }

    /// A side of which only what is left within groups counts.
    pub fn within(grouped: &'a Grouped, groups: &'a Groups, min_activations: usize) -> Self {
        Self::build(grouped.csr(), Metric::Within, Some(groups), |column, feature| {
            let split = column.rows.partition_point(|&row| (row as usize) < groups.n_places());
            let (own, (count, alone)) = (column.part(0..split), grouped.alone[feature]);
            let squares = groups.squares_within(own, alone)?;
            let stretch = (sum_of_squares(column) / squares).sqrt();
            (split + count >= min_activations).then(|| (split, Centred::within(squares, split), stretch))
        })
    }

    fn build(
        csr: Csr<'a>,
        metric: Metric,
        groups: Option<&'a Groups>,
        measure: impl Fn(Column, usize) -> Option<(usize, Centred, f64)> + Sync,
    ) -> Self {
        let csc = csr.transpose();
        let candidate = |feature| {
            let span = csc.span(feature);
            let (split, centred, stretch) = measure(csc.column(span.clone()), feature)?;
            Some((Candidate { feature: feature as u32, centred, stretch }, (span, split)))
        };
        let (candidates, columns) = (0..csr.n_features()).into_par_iter().filter_map(candidate).unzip();
        let roster = Roster::new(metric, csr.n_rows(), csr.n_features(), candidates);
        Self { csr, csc, roster, columns, groups }
    }

    /// The whole column, the rows of groups included.
    pub fn column(&self, candidate: u32) -> Column<'_> {
        self.csc.column(self.columns[candidate as usize].0.clone())
    }

    /// The rows where the candidate fires, and those of its groups.
    pub fn parts(&self, candidate: u32) -> (Column<'_>, Column<'_>) {
        let (column, split) = (self.column(candidate), self.columns[candidate as usize].1);
        (column.part(0..split), column.part(split..column.len()))
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
        best(&mut desk.partners, top)
    }

    /// The `top` best partners of a candidate, those that never fire together with it included.
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
        self.weigh(candidate, other, touched, desk);
        let apart = self.best_untouched(candidate, other, top, |partner| seen[partner as usize] == candidate);
        desk.partners.extend(apart);
        desk.seen = seen;
        best(&mut desk.partners, top)
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
        desk.lay(own, self.n_rows);
        desk.partners.clear();
        if let Some(groups) = self.groups {
            groups.spread_means(own, &mut desk.means);
            desk.partners.extend(partners.into_iter().map(|partner| {
                let (column, partner) = (other.parts(partner).0, &other.candidates[partner as usize]);
                let product = groups.product_within(&desk.values, &desk.means, column);
                (correlation(product, centred.squares, partner.centred.squares), partner.feature)
            }));
            groups.clear_means(own, &mut desk.means);
        } else {
            desk.partners.extend(partners.into_iter().map(|partner| {
                let (column, partner) = (other.column(partner), &other.candidates[partner as usize]);
                let score = self.metric.score(own, &desk.values, column, centred, &partner.centred, self.n_rows);
                (score, partner.feature)
            }));
        }
        desk.clear(own);
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
    fn lay(&mut self, column: Column, n_rows: usize) {
        self.values.resize(n_rows, 0.0);
        for (&row, &value) in column.rows.iter().zip(column.values) {
            self.values[row as usize] = value;
        }
    }

    fn clear(&mut self, column: Column) {
        for &row in column.rows {
            self.values[row as usize] = 0.0;
        }
    }
}
