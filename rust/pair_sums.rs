//! Exact scores of chosen pairs, over rows that come in windows.

use rayon::prelude::*;

use crate::correlation::BestPartners;
use crate::groups::GroupedRows;
use crate::ledger::{Book, Ledger};
use crate::metric::Metric;
use crate::moments::Together;
use crate::roster::{Partner, Roster, best};
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
    rosters: [Roster; 2],
    /// Sorted: first those that are scored, then those that are being added up.
    of: Vec<Pair>,
    scores: Vec<f64>,
    sums: Vec<Together>,
}

impl Pair {
    /// A pair to be scored for one of its features; by most measures it scores the same for both, and is one pair.
    pub fn new(metric: Metric, of_b: bool, own: u32, partner: u32) -> Self {
        if of_b && metric != Metric::Within {
            return Self { of_b: false, own: partner, partner: own };
        }
        Self { of_b, own, partner }
    }

    /// The candidates of A and of B.
    fn candidates(self) -> [u32; 2] {
        if self.of_b { [self.partner, self.own] } else { [self.own, self.partner] }
    }
}

impl PairSums {
    pub fn new(rosters: [Roster; 2], mut pairs: Vec<Pair>) -> Self {
        pairs.par_sort_unstable();
        pairs.dedup();
        Self { rosters, scores: Vec::with_capacity(pairs.len()), of: pairs, sums: Vec::new() }
    }

    /// Given pairs of features, those that are candidates.
    pub fn of_features(rosters: [Roster; 2], features: &[[u32; 2]]) -> Self {
        let pairs = features.iter().filter_map(|&pair| candidates(&rosters, pair)).collect();
        Self::new(rosters, pairs)
    }

    /// Begin a pass for as many pairs as there is room for.
    pub fn begin(&mut self, room: usize) {
        let most = (room / size_of::<Together>()).max(1);
        let wanted = most.min(self.of.len() - self.scores.len());
        self.sums.clear();
        self.sums.resize(wanted, Together::default());
    }

    /// Take the next rows; `given` are their groups, and what the candidates of A and B hold in them.
    pub fn feed(&mut self, a: Csr, b: Csr, given: Option<(GroupedRows, &[Vec<Book>; 2])>) {
        let (columns_a, columns_b) = rayon::join(|| a.transpose(), || b.transpose());
        let pairs = &self.of[self.scores.len()..][..self.sums.len()];
        let mut rest = &mut self.sums[..];
        let mut of_feature = Vec::new();
        for pairs in pairs.chunk_by(|x, y| (x.of_b, x.own) == (y.of_b, y.own)) {
            let (sums, more) = rest.split_at_mut(pairs.len());
            of_feature.push((pairs, sums));
            rest = more;
        }
        let (side_a, side_b) = ((&columns_a, &self.rosters[0]), (&columns_b, &self.rosters[1]));
        of_feature.into_par_iter().with_min_len(16).for_each_init(
            || (vec![0.0_f32; a.n_rows()], Ledger::default()),
            |(dense, ledger), (pairs, sums)| {
                let Pair { of_b, own: number, .. } = pairs[0];
                let [(columns, roster), (others, partners)] = if of_b { [side_b, side_a] } else { [side_a, side_b] };
                let own = column(columns, roster, number);
                if let Some((rows, books)) = given {
                    rows.lay(own, dense);
                    ledger.load(rows, &books[usize::from(of_b)][number as usize]);
                    for (pair, sums) in pairs.iter().zip(sums) {
                        let other = column(others, partners, pair.partner);
                        sums.products = rows.product(dense, ledger, other, sums.products);
                    }
                    ledger.clear();
                } else {
                    for (&row, &value) in own.rows.iter().zip(own.values) {
                        dense[row as usize] = value;
                    }
                    let of_own = &roster.candidates[number as usize].centred;
                    for (pair, sums) in pairs.iter().zip(sums) {
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

    /// After a pass: whether all pairs are scored; if not, `begin` another one.
    pub fn end(&mut self) -> bool {
        let [of_a, of_b] = &self.rosters;
        let score = |(pair, sums): (&Pair, &Together)| {
            let [a, b] = pair.candidates().map(|number| number as usize);
            of_a.metric.of_sums(sums, &of_a.candidates[a].centred, &of_b.candidates[b].centred, of_a.n_rows)
        };
        let scores: Vec<f64> = self.of[self.scores.len()..].iter().zip(&self.sums).map(score).collect();
        self.scores.extend(scores);
        self.scores.len() == self.of.len()
    }

    /// The score of a given pair of features, all being scored: 0 where one is no candidate.
    pub fn score(&self, features: [u32; 2]) -> f64 {
        let place = |pair| self.of.binary_search(&pair).expect("one of the given pairs");
        candidates(&self.rosters, features).map_or(0.0, |pair| self.scores[place(pair)])
    }

    /// The partners of B's features and of A's, all pairs being scored.
    pub fn best(&self, top: usize) -> [BestPartners; 2] {
        let mut by = self.rosters.each_ref().map(|roster| vec![Vec::<Partner>::new(); roster.len()]);
        for (pair, &score) in self.of.iter().zip(&self.scores) {
            let candidates = pair.candidates();
            for side in [0, 1] {
                if self.rosters[0].metric != Metric::Within || pair.of_b == (side == 1) {
                    let partner = self.rosters[1 - side].candidates[candidates[1 - side] as usize].feature;
                    by[side][candidates[side] as usize].push((score, partner));
                }
            }
        }
        let partners = |side: usize| {
            let numbered = (0..).zip(&mut by[side]).flat_map(|(number, partners)| {
                best(partners, top).iter().map(move |&partner| (number, partner)).collect::<Vec<_>>()
            });
            BestPartners::new(&self.rosters[side], top, &[numbered.collect()])
        };
        [1, 0].map(partners)
    }
}

fn candidates([of_a, of_b]: &[Roster; 2], [a, b]: [u32; 2]) -> Option<Pair> {
    Some(Pair::new(of_a.metric, false, of_a.candidate(a as i32)?, of_b.candidate(b as i32)?))
}

fn column<'a>(columns: &'a Csc, roster: &Roster, candidate: u32) -> Column<'a> {
    columns.feature(roster.candidates[candidate as usize].feature as usize)
}
