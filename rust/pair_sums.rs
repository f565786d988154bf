//! Exact scores of chosen pairs, over rows that come in windows.

use std::sync::Arc;

use rayon::prelude::*;

use crate::groups::GroupedRows;
use crate::ledger::{Book, Ledger};
use crate::metric::Metric;
use crate::moments::Together;
use crate::roster::Roster;
use crate::sparse::{Column, Csc, Csr};

/// Two candidates; within groups the means are taken off the first one, and the other way round the last bits of the
/// score can differ.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Pair {
    /// Whether the first is of B.
    of_b: bool,
    own: u32,
    partner: u32,
}

/// Exact sums of chosen pairs.
pub struct PairSums {
    rosters: Arc<[Roster; 2]>,
    /// Sorted; the first `done` are scored.
    of: Vec<Pair>,
    done: usize,
    /// Those that are being added up.
    sums: Vec<(Pair, Together)>,
}

impl Pair {
    /// A pair to be scored for one of its features; by most measures it scores the same for both, and is one pair.
    pub fn new(metric: Metric, of_b: bool, own: u32, partner: u32) -> Self {
        if of_b && metric != Metric::Within {
            return Self { of_b: false, own: partner, partner: own };
        }
        Self { of_b, own, partner }
    }

    /// Two features, if they are candidates.
    pub fn of_features([of_a, of_b]: &[Roster; 2], [a, b]: [u32; 2]) -> Option<Self> {
        Some(Self::new(of_a.metric, false, of_a.candidate(a as i32)?, of_b.candidate(b as i32)?))
    }

    /// The candidates of A and of B.
    pub fn candidates(self) -> [u32; 2] {
        if self.of_b { [self.partner, self.own] } else { [self.own, self.partner] }
    }

    /// Whether its score is one for the feature of A, and for that of B.
    pub fn counts(self, metric: Metric) -> [bool; 2] {
        if metric == Metric::Within { [!self.of_b, self.of_b] } else { [true; 2] }
    }
}

impl PairSums {
    pub fn new(rosters: Arc<[Roster; 2]>, mut pairs: Vec<Pair>) -> Self {
        pairs.par_sort_unstable();
        pairs.dedup();
        Self { rosters, of: pairs, done: 0, sums: Vec::new() }
    }

    /// Begin a pass for as many pairs as there is room for, and one.
    pub fn begin(&mut self, room: usize) {
        let most = 1 + room / size_of::<(Pair, Together)>();
        let wanted = &self.of[self.done..];
        let sums = wanted.iter().take(most).map(|&pair| (pair, Together::default()));
        self.sums.clear();
        self.sums.extend(sums);
    }

    /// Take the next rows; `given` are their groups, and what the candidates of A and B hold in them.
    pub fn feed(&mut self, a: Csr, b: Csr, given: Option<(GroupedRows, &[Vec<Book>; 2])>) {
        let (columns_a, columns_b) = rayon::join(|| a.transpose(), || b.transpose());
        let (side_a, side_b) = ((&columns_a, &self.rosters[0]), (&columns_b, &self.rosters[1]));
        let of_feature = self.sums.par_chunk_by_mut(|(x, _), (y, _)| (x.of_b, x.own) == (y.of_b, y.own));
        of_feature.for_each_init(
            || (vec![0.0_f32; a.n_rows()], Ledger::default()),
            |(dense, ledger), pairs| {
                let Pair { of_b, own: number, .. } = pairs[0].0;
                let [(columns, roster), (others, partners)] = if of_b { [side_b, side_a] } else { [side_a, side_b] };
                let own = column(columns, roster, number);
                if let Some((rows, books)) = given {
                    rows.lay(own, dense);
                    ledger.load(rows, &books[usize::from(of_b)][number as usize]);
                    for (pair, sums) in pairs {
                        let other = column(others, partners, pair.partner);
                        sums.products = ledger.product(rows, dense, other, sums.products);
                    }
                    ledger.clear();
                } else {
                    for (&row, &value) in own.rows.iter().zip(own.values) {
                        dense[row as usize] = value;
                    }
                    let of_own = &roster.candidates[number as usize].centred;
                    for (pair, sums) in pairs {
                        let other = column(others, partners, pair.partner);
                        let of_other = &partners.candidates[pair.partner as usize].centred;
                        sums.add_rows(own, dense, other, of_own, of_other);
                    }
                }
                for &row in own.rows {
                    dense[row as usize] = 0.0;
                }
            },
        );
    }

    /// After a pass: whether all pairs are scored; if not, `begin` another one. Pairs come in their order.
    pub fn end(&mut self, mut found: impl FnMut(Pair, f64)) -> bool {
        let [of_a, of_b] = &*self.rosters;
        for (pair, sums) in &self.sums {
            let [a, b] = pair.candidates().map(|number| number as usize);
            let (a, b) = (&of_a.candidates[a].centred, &of_b.candidates[b].centred);
            found(*pair, of_a.metric.of_sums(sums, a, b, of_a.n_rows));
        }
        self.done += self.sums.len();
        self.done == self.of.len()
    }

    /// The score of two features among those that were found: 0 where one is no candidate.
    pub fn score(&self, features: [u32; 2], found: &[f64]) -> f64 {
        let place = |pair| self.of.binary_search(&pair).expect("one of the pairs");
        Pair::of_features(&self.rosters, features).map_or(0.0, |pair| found[place(pair)])
    }
}

fn column<'a>(columns: &'a Csc, roster: &Roster, candidate: u32) -> Column<'a> {
    columns.feature(roster.candidates[candidate as usize].feature as usize)
}
