//! Exact scores of chosen pairs, over rows that come in windows.

use std::ops::ControlFlow;

use rayon::prelude::*;

use crate::correlation::BestPartners;
use crate::moments::Together;
use crate::roster::{Partner, Roster, best};
use crate::sparse::{Column, Csc, Csr};

/// Exact sums of chosen pairs.
pub struct PairSums {
    rosters: [Roster; 2],
    /// Sorted: first those that are scored, then those that are being added up.
    of: Vec<(u32, u32)>,
    scores: Vec<f64>,
    sums: Vec<Together>,
}

impl PairSums {
    pub fn new(rosters: [Roster; 2], mut pairs: Vec<(u32, u32)>) -> Self {
        pairs.par_sort_unstable();
        pairs.dedup();
        Self { rosters, scores: Vec::with_capacity(pairs.len()), of: pairs, sums: Vec::new() }
    }

    /// Begin a pass for as many pairs as there is room for.
    pub fn begin(&mut self, room: usize) {
        let most = (room / size_of::<Together>()).max(1);
        let wanted = most.min(self.of.len() - self.scores.len());
        self.sums.clear();
        self.sums.resize(wanted, Together::default());
    }

    pub fn feed(&mut self, a: Csr, b: Csr) {
        let [of_a, of_b] = &self.rosters;
        let (columns_a, columns_b) = rayon::join(|| a.transpose(), || b.transpose());
        let pairs = &self.of[self.scores.len()..][..self.sums.len()];
        let mut rest = &mut self.sums[..];
        let mut of_feature = Vec::new();
        for pairs in pairs.chunk_by(|x, y| x.0 == y.0) {
            let (sums, more) = rest.split_at_mut(pairs.len());
            of_feature.push((pairs, sums));
            rest = more;
        }
        of_feature.into_par_iter().with_min_len(16).for_each_init(
            || vec![0.0_f32; a.n_rows()],
            |dense, (pairs, sums)| {
                let own = column(&columns_a, of_a, pairs[0].0);
                for (&row, &value) in own.rows.iter().zip(own.values) {
                    dense[row as usize] = value;
                }
                for (&(a, b), sums) in pairs.iter().zip(sums) {
                    let other = column(&columns_b, of_b, b);
                    let [of_a, of_b] = [&of_a.candidates[a as usize], &of_b.candidates[b as usize]];
                    sums.add_rows(own, dense, other, &of_a.centred, &of_b.centred);
                }
                for &row in own.rows {
                    dense[row as usize] = 0.0;
                }
            },
        );
    }

    /// After a pass: another one for more pairs, or the partners of B's features and of A's.
    pub fn end(mut self: Box<Self>, top: usize) -> ControlFlow<Box<[BestPartners; 2]>, Box<Self>> {
        let [of_a, of_b] = &self.rosters;
        let score = |(&(a, b), sums): (&(u32, u32), &Together)| {
            let [own, other] = [&of_a.candidates[a as usize].centred, &of_b.candidates[b as usize].centred];
            of_a.metric.of_sums(sums, own, other, of_a.n_rows)
        };
        let scores: Vec<f64> = self.of[self.scores.len()..].iter().zip(&self.sums).map(score).collect();
        self.scores.extend(scores);
        if self.scores.len() < self.of.len() {
            return ControlFlow::Continue(self);
        }
        let [mut by_a, mut by_b] = self.rosters.each_ref().map(|roster| vec![Vec::<Partner>::new(); roster.len()]);
        for (&(a, b), &score) in self.of.iter().zip(&self.scores) {
            by_a[a as usize].push((score, self.rosters[1].candidates[b as usize].feature));
            by_b[b as usize].push((score, self.rosters[0].candidates[a as usize].feature));
        }
        let partners = |roster: &Roster, by: &mut [Vec<Partner>]| {
            let numbered = (0..).zip(by).flat_map(|(number, partners)| {
                best(partners, top).iter().map(move |&partner| (number, partner)).collect::<Vec<_>>()
            });
            BestPartners::new(roster, top, &[numbered.collect()])
        };
        ControlFlow::Break(Box::new([partners(&self.rosters[1], &mut by_b), partners(&self.rosters[0], &mut by_a)]))
    }
}

fn column<'a>(columns: &'a Csc, roster: &Roster, candidate: u32) -> Column<'a> {
    columns.feature(roster.candidates[candidate as usize].feature as usize)
}
