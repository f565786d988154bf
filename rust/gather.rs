//! What is known of every feature before pairs are looked at, from rows that come in windows.

use std::ops::ControlFlow::{self, Break, Continue};

use rayon::prelude::*;

use crate::given::Shares;
use crate::groups::GroupedRows;
use crate::ledger::{Book, Ledger};
use crate::metric::Metric;
use crate::moments::{Centred, Sums};
use crate::roster::{Candidate, Roster};
use crate::sparse::Csr;
use crate::task::{Goal, Task};

/// Moments of both sides, over one or two passes: sums, and squares about the means.
pub struct Gather {
    metric: Metric,
    n_rows: usize,
    min_activations: usize,
    sides: [Vec<Feature>; 2],
    /// Features that are asked about, where not all are.
    wanted: Option<[Vec<bool>; 2]>,
    centring: bool,
}

#[derive(Clone)]
struct Feature {
    sums: Sums,
    centred: Centred,
    /// What it holds in the groups of rows.
    book: Book,
}

/// The candidates of both sides, and what they hold in groups of rows.
pub struct Gathered {
    pub rosters: [Roster; 2],
    pub holdings: Option<Holdings>,
}

/// By side and candidate.
pub struct Holdings {
    pub books: [Vec<Book>; 2],
    pub shares: [Shares; 2],
}

impl Holdings {
    /// Pairs of a candidate and a group that it holds something in.
    pub fn len(&self) -> usize {
        self.books.iter().flatten().map(Vec::len).sum()
    }
}

impl Gather {
    pub fn new(task: &Task) -> Self {
        let sums = Sums::default();
        let feature = Feature { sums, centred: sums.about_zero(), book: Book::new() };
        let sides = task.n_features.map(|width| vec![feature.clone(); width]);
        let wanted = match &task.goal {
            Goal::Best(_) => None,
            Goal::Pairs(pairs) => {
                let mut wanted = task.n_features.map(|width| vec![false; width]);
                for [a, b] in pairs {
                    wanted[0][*a as usize] = true;
                    wanted[1][*b as usize] = true;
                }
                Some(wanted)
            }
        };
        let Task { metric, n_rows, min_activations, .. } = *task;
        Self { metric, n_rows, min_activations, sides, wanted, centring: false }
    }

    /// Let every feature take in its column, features in parallel, rows in order.
    pub fn feed(&mut self, a: Csr, b: Csr, groups: Option<GroupedRows>) {
        for (side, (features, csr)) in self.sides.iter_mut().zip([a, b]).enumerate() {
            let wanted = self.wanted.as_ref().map(|wanted| &wanted[side]);
            let columns = csr.transpose();
            features.par_iter_mut().with_min_len(64).enumerate().for_each_init(
                Ledger::default,
                |ledger, (number, feature)| {
                    let column = columns.feature(number);
                    let Feature { sums, centred, book } = feature;
                    if column.len() == 0 || wanted.is_some_and(|wanted| !wanted[number]) {
                        return;
                    }
                    match groups {
                        None if self.centring => centred.add(column),
                        None => sums.add(column),
                        Some(rows) if self.centring => {
                            ledger.load(rows, book);
                            centred.squares = ledger.squares(rows, column, centred.squares);
                            ledger.clear();
                        }
                        Some(rows) => {
                            sums.add(column);
                            ledger.load(rows, book);
                            ledger.add(rows, column);
                            ledger.store(book);
                        }
                    }
                },
            );
        }
    }

    /// Pairs of a feature and a group that it holds something in, so far.
    pub fn n_holdings(&self) -> usize {
        self.sides.iter().flatten().map(|feature| feature.book.len()).sum()
    }

    /// After a pass: another one, or the candidates; `groups` are those of all rows.
    pub fn end(mut self: Box<Self>, groups: Option<GroupedRows>) -> ControlFlow<Gathered, Box<Self>> {
        if self.centring || !(self.metric.is_centred() || groups.is_some()) {
            return Break(self.finish(groups));
        }
        self.centring = true;
        let n = self.n_rows;
        for side in &mut self.sides {
            side.par_iter_mut().with_min_len(64).for_each_init(Ledger::default, |ledger, feature| {
                let Feature { sums, centred, book } = feature;
                if let Some(rows) = groups {
                    *centred = Centred::within(0.0, sums.count);
                    ledger.load(rows, book);
                    ledger.average(rows);
                    ledger.store(book);
                    book.shrink_to_fit();
                } else {
                    *centred = sums.about_mean(n);
                }
            });
        }
        Continue(self)
    }

    fn finish(self, groups: Option<GroupedRows>) -> Gathered {
        let Some(rows) = groups else {
            return Gathered { rosters: self.sides.each_ref().map(|side| self.plain(side)), holdings: None };
        };
        let [a, b] = self.sides.each_ref().map(|side| self.within(side, rows));
        let holdings = Holdings { books: [a.1, b.1], shares: [a.2, b.2] };
        Gathered { rosters: [a.0, b.0], holdings: Some(holdings) }
    }

    fn fires(&self, feature: &Feature) -> bool {
        feature.sums.count >= self.min_activations.max(1)
    }

    fn plain(&self, side: &[Feature]) -> Roster {
        let (metric, n) = (self.metric, self.n_rows);
        let candidate = |(number, feature): (usize, &Feature)| {
            let sums = &feature.sums;
            let centred = if metric.is_centred() { feature.centred } else { metric.begin(sums, n)? };
            let centred = metric.finish(centred, sums, n).filter(|_| self.fires(feature))?;
            Some(Candidate { feature: number as u32, centred, stretch: 1.0 })
        };
        let mut candidates = Vec::with_capacity(side.len());
        candidates.extend(side.iter().enumerate().filter_map(candidate));
        Roster::new(metric, n, side.len(), candidates)
    }

    fn within(&self, side: &[Feature], rows: GroupedRows) -> (Roster, Vec<Book>, Shares) {
        let candidate = |ledger: &mut Ledger, (number, feature): (usize, &Feature)| {
            if !self.fires(feature) {
                return None;
            }
            ledger.load(rows, &feature.book);
            let (squares, shares) = ledger.close(rows, feature.centred.squares);
            ledger.clear();
            let centred = Centred::within(squares, feature.sums.count);
            let candidate = Candidate::within(number as u32, centred, feature.sums.squares, &shares)?;
            Some((candidate, feature.book.clone(), shares))
        };
        let numbered = side.par_iter().with_min_len(64).enumerate();
        let found: Vec<_> = numbered.map_init(Ledger::default, candidate).flatten_iter().collect();
        let (mut candidates, mut books, mut shares) = (Vec::new(), Vec::new(), Vec::new());
        for (candidate, book, of_candidate) in found {
            candidates.push(candidate);
            books.push(book);
            shares.push(of_candidate);
        }
        (Roster::new(self.metric, self.n_rows, side.len(), candidates), books, Shares::new(&shares))
    }
}
