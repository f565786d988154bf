//! One side of a comparison in memory: its candidates with their columns, and exact answers about them.

use std::ops::{Deref, Range};
use std::sync::OnceLock;

use rayon::prelude::*;

use crate::given::{Rows, Shares, order};
use crate::groups::GroupedRows;
use crate::ledger::Ledger;
use crate::metric::Metric;
use crate::moments::{Centred, correlation, sum_of_squares};
use crate::packed::prefetch;
use crate::roster::{Candidate, NONE, Partner, Roster, best};
use crate::sparse::{Column, Csc, Csr};

/// Pairs fetched ahead of the one being weighed: what is known of a partner lies anywhere.
const AHEAD: usize = 6;

/// Partners are candidates of the other side.
pub struct Side<'a> {
    pub csr: Csr<'a>,
    csc: Csc,
    roster: Roster,
    /// Where the column of every candidate lies.
    spans: Vec<Range<usize>>,
    pub given: Option<Given<'a>>,
}

/// What a side knows of groups of rows.
pub struct Given<'a> {
    pub groups: GroupedRows<'a>,
    pub shares: Shares,
    rows: OnceLock<Rows>,
}

impl Deref for Side<'_> {
    type Target = Roster;

    fn deref(&self) -> &Roster {
        &self.roster
    }
}

impl<'a> Side<'a> {
    pub fn new(csr: Csr<'a>, metric: Metric, min_activations: usize) -> Self {
        let (csc, n) = (csr.transpose(), csr.n_rows());
        let candidate = |feature| {
            let span = csc.span(feature);
            let centred = metric.centre(csc.column(span.clone()), n).filter(|_| span.len() >= min_activations)?;
            Some((Candidate { feature: feature as u32, centred, stretch: 1.0 }, span))
        };
        let (candidates, spans) = (0..csr.n_features()).into_par_iter().filter_map(candidate).unzip();
        let roster = Roster::new(metric, n, csr.n_features(), candidates);
        Self { csr, csc, roster, spans, given: None }
    }

    /// A side of which only what is left within groups counts.
    pub fn within(csr: Csr<'a>, groups: GroupedRows<'a>, min_activations: usize) -> Self {
        let csc = csr.transpose();
        let candidate = |ledger: &mut Ledger, feature| {
            let span = csc.span(feature);
            let column = csc.column(span.clone());
            if span.len() < min_activations {
                return None;
            }
            let (squares, mut shares) = ledger.measure(groups, column);
            let centred = Centred::within(squares, span.len());
            let candidate = Candidate::within(feature as u32, centred, sum_of_squares(column), &shares)?;
            order(&mut shares);
            Some((candidate, span, shares))
        };
        let found = (0..csr.n_features()).into_par_iter().map_init(Ledger::default, candidate).flatten();
        let mut candidates = Vec::new();
        let (mut spans, mut shares) = (Vec::new(), Vec::new());
        for (candidate, span, of_candidate) in found.collect::<Vec<_>>() {
            candidates.push(candidate);
            spans.push(span);
            shares.push(of_candidate);
        }
        let roster = Roster::new(Metric::Within, csr.n_rows(), csr.n_features(), candidates);
        let given = Given { groups, shares: Shares::new(&shares), rows: OnceLock::new() };
        Self { csr, csc, roster, spans, given: Some(given) }
    }

    pub fn column(&self, candidate: u32) -> Column<'_> {
        self.csc.column(self.spans[candidate as usize].clone())
    }

    /// The `top` best of every candidate's partners by their exact scores, in order, from pairs of a candidate and
    /// a partner that come by candidate.
    pub fn settle(&self, other: &Side, pairs: &[(u32, u32)], top: usize, desk: &mut Desk) -> Vec<(u32, Partner)> {
        let mut ahead = pairs.iter().skip(AHEAD);
        let mut found = Vec::with_capacity(pairs.len());
        for own in pairs.chunk_by(|x, y| x.0 == y.0) {
            ahead.by_ref().take(own.len()).for_each(|pair| other.fetch(pair.1));
            let candidate = own[0].0;
            self.weigh(candidate, other, own.iter().map(|pair| pair.1), desk);
            found.extend(best(&mut desk.partners, top).iter().map(|&partner| (candidate, partner)));
        }
        found
    }

    /// Have what `weigh` reads of a partner brought near.
    fn fetch(&self, partner: u32) {
        const LINES: usize = 4; // longer columns fetch themselves
        prefetch(&raw const self.candidates[partner as usize]);
        let column = self.column(partner);
        for line in (0..column.len().min(16 * LINES)).step_by(16) {
            prefetch(&raw const column.rows[line]);
            prefetch(&raw const column.values[line]);
        }
    }

    /// The `top` best partners of a candidate, those that never fire together with it included.
    pub fn exhaustive<'d>(&self, candidate: u32, other: &Side, top: usize, desk: &'d mut Desk) -> &'d [Partner] {
        let mut seen = std::mem::take(&mut desk.seen);
        seen.resize(other.len(), NONE);
        let mut touched = Vec::new();
        let mut touch = |partner: u32| {
            if std::mem::replace(&mut seen[partner as usize], candidate) != candidate {
                touched.push(partner);
            }
        };
        for &row in self.column(candidate).rows {
            other.csr.row(row as usize).0.iter().filter_map(|&feature| other.candidate(feature)).for_each(&mut touch);
        }
        if let (Some(own), Some(given)) = (&self.given, &other.given) {
            let rows = given.rows(other.len());
            for &group in own.shares.column(candidate).rows {
                rows.row(group as usize).0.iter().for_each(|&partner| touch(partner as u32));
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
        let (own, centred) = (self.column(candidate), &self.candidates[candidate as usize].centred);
        desk.values.resize(self.n_rows, 0.0);
        desk.partners.clear();
        if let Some(Given { groups, .. }) = self.given {
            groups.lay(own, &mut desk.values);
            desk.ledger.enter(groups, own);
            desk.partners.extend(partners.into_iter().map(|partner| {
                let (column, partner) = (other.column(partner), &other.candidates[partner as usize]);
                let product = desk.ledger.product(groups, &desk.values, column, 0.0);
                (correlation(product, centred.squares, partner.centred.squares), partner.feature)
            }));
            desk.ledger.clear();
        } else {
            for (&row, &value) in own.rows.iter().zip(own.values) {
                desk.values[row as usize] = value;
            }
            desk.partners.extend(partners.into_iter().map(|partner| {
                let (column, partner) = (other.column(partner), &other.candidates[partner as usize]);
                let score = self.metric.score(own, &desk.values, column, centred, &partner.centred, self.n_rows);
                (score, partner.feature)
            }));
        }
        for &row in own.rows {
            desk.values[row as usize] = 0.0;
        }
    }
}

impl Given<'_> {
    /// The candidates by group.
    fn rows(&self, n_candidates: usize) -> Csr<'_> {
        self.rows.get_or_init(|| self.shares.rows(self.groups.len(), 1.0)).csr(n_candidates)
    }
}

/// What one thread needs for exact answers.
#[derive(Default)]
pub struct Desk {
    /// For every partner the last candidate it was seen with.
    seen: Vec<u32>,
    /// One column by rows, zeros elsewhere.
    values: Vec<f32>,
    /// Its means by group.
    ledger: Ledger,
    partners: Vec<Partner>,
}
