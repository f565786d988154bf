//! Best partners between two sparse feature spaces: by Pearson correlation, plain or given groups of rows, by
//! cosine, by overlap of firing.

use std::sync::atomic::{AtomicU32, Ordering};

use rayon::prelude::*;

use crate::Error;
use crate::bounds::{Bounds, Extremes, Linear, Overlap, Reducible, Stretched};
use crate::contenders::Contender;
use crate::groups::Groups;
use crate::gustavson::{Plan, Worker};
use crate::metric::Metric;
use crate::pairs::same_rows;
use crate::roster::{Partner, Roster};
use crate::side::{Desk, Side};
use crate::sparse::Csr;

/// Features of B a thread takes at a time.
const STRIDE: u32 = 16;
/// Features of A settled at a time.
const SETTLED: usize = 256;

/// For every feature of one side its best partners on the other, `top` a feature, row-major: -1 and 0.0 where
/// the feature is no candidate, or the other side has fewer than `top`.
#[derive(Debug, Clone, PartialEq)]
pub struct BestPartners {
    pub ids: Vec<i64>,
    pub correlations: Vec<f64>,
}

impl BestPartners {
    /// `found` holds partners of one candidate after another, best first.
    pub(crate) fn new(of: &Roster, top: usize, found: &[Vec<(u32, Partner)>]) -> Self {
        let mut ids = vec![-1; of.n_features() * top];
        let mut correlations = vec![0.0; of.n_features() * top];
        for partners in found.iter().flat_map(|found| found.chunk_by(|x, y| x.0 == y.0)) {
            let start = of.candidates[partners[0].0 as usize].feature as usize * top;
            for (at, &(_, (r, partner))) in (start..).zip(partners) {
                ids[at] = i64::from(partner);
                correlations[at] = r;
            }
        }
        Self { ids, correlations }
    }
}

/// What to look for.
#[derive(Debug, Clone, Copy)]
pub struct Search<'a> {
    /// Partners a feature.
    pub top: usize,
    /// Features that fire on fewer rows take no part.
    pub min_activations: usize,
    /// [`Metric::Within`] goes with groups, and only that.
    pub metric: Metric,
    /// A group id for every row.
    pub groups: Option<&'a [i64]>,
}

impl Search<'_> {
    /// # Errors
    /// Groups without [`Metric::Within`], or the other way round.
    pub(crate) fn check(&self) -> Result<(), Error> {
        if self.groups.is_some() == (self.metric == Metric::Within) {
            return Ok(());
        }
        let got = format!("{:?} {} groups", self.metric, if self.groups.is_some() { "with" } else { "without" });
        Err(Error::Number { name: "metric".into(), wanted: "within where groups are given".into(), got })
    }
}

/// For every feature of B its `top` best partners in A, and for every feature of A its best in B.
///
/// Best is the largest signed score over all rows, lowest id first where two are equal. Candidates are the features
/// that fire at least `min_activations` times and, for Pearson, with a variance above 1e-12 of their mean square
/// (given groups: above 1e-10 of their sum of squares within them).
///
/// # Errors
/// Sides with different numbers of rows; `top` of 0, or beyond 2^31 results; groups that are not one a row, or
/// with another metric than [`Metric::Within`].
pub fn best_partners(a: Csr, b: Csr, search: Search) -> Result<(BestPartners, BestPartners), Error> {
    let Search { top, min_activations, metric, groups } = search;
    same_rows(a, b)?;
    search.check()?;
    a.check_width("top", top)?;
    b.check_width("top", top)?;
    let Some(ids) = groups else {
        let side = |csr| Side::new(csr, metric, min_activations);
        let (a, b) = rayon::join(|| side(a), || side(b));
        let plan = Plan::new(a, b);
        return Ok(if metric == Metric::Jaccard { run::<Overlap>(&plan, top) } else { run::<Linear>(&plan, top) });
    };
    let groups = Groups::new(ids, a.n_rows())?;
    let side = |csr| Side::within(csr, groups.rows_from(0), min_activations);
    let (a, b) = rayon::join(|| side(a), || side(b));
    let plan = Plan::new(a, b);
    Ok(if plan.is_reduced() { run::<Reducible>(&plan, top) } else { run::<Stretched>(&plan, top) })
}

fn run<B: Bounds>(plan: &Plan, top: usize) -> (BestPartners, BestPartners) {
    let next = AtomicU32::new(0);
    let (found, workers): (Vec<_>, Vec<_>) = rayon::broadcast(|_| {
        let mut worker = Worker::<B>::new(plan, top);
        let mut found = Vec::new();
        loop {
            let start = next.fetch_add(STRIDE, Ordering::Relaxed);
            if start as usize >= plan.b.len() {
                return (found, worker.finish());
            }
            found.extend(worker.visit(start..(plan.b.len() as u32).min(start + STRIDE)));
        }
    })
    .into_iter()
    .unzip();
    let of_b = BestPartners::new(&plan.b, top, &found);
    let of_a = BestPartners::new(&plan.a, top, &settle(&plan.a, &plan.b, top, &workers));
    (of_b, of_a)
}

/// Decide among the contenders of every feature of A.
fn settle(a: &Side, b: &Side, top: usize, workers: &[(Vec<f32>, Vec<Contender>)]) -> Vec<Vec<(u32, Partner)>> {
    let bars: Vec<f32> = (0..a.len())
        .map(|candidate| workers.iter().map(|(bars, _)| bars[candidate]).fold(f32::NEG_INFINITY, f32::max))
        .collect();
    let extremes = Extremes::of(&b.means);
    let apart = |candidate: u32| f64::from(bars[candidate as usize]) <= a.best_apart(candidate, extremes);
    let mut contenders: Vec<(u32, u32)> = workers
        .iter()
        .flat_map(|(_, contenders)| contenders)
        .filter(|contender| contender.upper >= bars[contender.a as usize] && !apart(contender.a))
        .map(|contender| (contender.a, contender.b))
        .collect();
    contenders.par_sort_unstable();
    let place = |candidate: usize| contenders.partition_point(|pair| (pair.0 as usize) < candidate);
    let (parts, every) = (0..a.len().div_ceil(SETTLED), 0..a.len() as u32);
    let within = parts.into_par_iter().map_init(Desk::default, |desk, part| {
        a.settle(b, &contenders[place(part * SETTLED)..place((part + 1) * SETTLED)], top, desk)
    });
    let beyond =
        every.into_par_iter().filter(|&candidate| apart(candidate)).map_init(Desk::default, |desk, candidate| {
            a.exhaustive(candidate, b, top, desk).iter().map(|&partner| (candidate, partner)).collect()
        });
    within.chain(beyond).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::naive::{self, Dense};

    const METRICS: [Metric; 3] = [Metric::Pearson, Metric::Cosine, Metric::Jaccard];
    const PLAIN: Search = Search { top: 1, min_activations: 1, metric: Metric::Pearson, groups: None };

    fn check(found: &BestPartners, wanted: &[Vec<(i64, f64)>]) {
        let wanted: Vec<(i64, f64)> = wanted.iter().flatten().copied().collect();
        assert_eq!(found.ids, wanted.iter().map(|pair| pair.0).collect::<Vec<_>>());
        for (r, (_, wanted)) in found.correlations.iter().zip(wanted) {
            assert!((r - wanted).abs() < 1e-10, "{r} is not {wanted}");
        }
    }

    proptest! {
        #[test]
        fn equals_the_definition_both_ways(
            (a, b) in naive::sides(),
            top in 1..5_usize,
            min_activations in 0..4_usize,
            metric in prop::sample::select(METRICS.to_vec()),
        ) {
            let search = Search { top, min_activations, metric, groups: None };
            let (of_b, of_a) = best_partners(a.csr(), b.csr(), search).unwrap();
            check(&of_b, &naive::best_partners(&a, &b, search));
            check(&of_a, &naive::best_partners(&b, &a, search));
        }

        #[test]
        fn given_groups_equals_the_definition_both_ways(
            (a, b) in naive::sides(),
            top in 1..5_usize,
            min_activations in 0..4_usize,
            draws in prop::collection::vec(0..9_i64, 40),
        ) {
            let groups = Some(&draws[..a.rows.len()]);
            let search = Search { top, min_activations, metric: Metric::Within, groups };
            let (of_b, of_a) = best_partners(a.csr(), b.csr(), search).unwrap();
            check(&of_b, &naive::best_partners(&a, &b, search));
            check(&of_a, &naive::best_partners(&b, &a, search));
        }

        #[test]
        fn threads_change_nothing(
            (a, b) in naive::sides(),
            top in 1..3_usize,
            metric in prop::sample::select(METRICS.to_vec()),
            given: bool,
        ) {
            let ids: Vec<i64> = (0..a.rows.len() as i64).map(|row| row % 5).collect();
            let metric = if given { Metric::Within } else { metric };
            let search = Search { top, metric, groups: given.then_some(&ids[..]), ..PLAIN };
            let on = |threads| naive::with_threads(threads, || best_partners(a.csr(), b.csr(), search).unwrap());
            let alone = on(1);
            prop_assert!([2, 3, 16].into_iter().all(|threads| on(threads) == alone));
        }
    }

    /// More rows than one run of float32 sums, more candidates than a walk, values that float32 sums confuse.
    #[test]
    fn long_columns_are_banked_and_settled_exactly() {
        let draw = |row: usize, id: usize| ((row * 7919 + id * 104_729) ^ (row / 3 * id)) % 11;
        let value = |row, id| if draw(row, id) < 7 { 1.0 + draw(row, id) as f32 / 7.0 } else { 0.0 };
        let rows = |shift: usize| (0..9_000).map(|row| (0..6).map(|id| value(row, id + shift)).collect()).collect();
        let (a, b) = (Dense::new(rows(0), 6), Dense::new(rows(3), 6));
        for metric in METRICS {
            let search = Search { top: 2, metric, ..PLAIN };
            let (of_b, of_a) = best_partners(a.csr(), b.csr(), search).unwrap();
            check(&of_b, &naive::best_partners(&a, &b, search));
            check(&of_a, &naive::best_partners(&b, &a, search));
        }
    }

    /// Candidates beyond one block of 65 536: every B feature has its twin there.
    #[test]
    fn partners_beyond_the_first_block() {
        let (width, rows) = (70_000_i32, 140_000_i64);
        let ids: Vec<i32> = (0..rows as i32).map(|row| row % width).collect();
        let values: Vec<f32> = (0..rows).map(|row| 1.0 + (row / i64::from(width)) as f32).collect();
        let offsets: Vec<i64> = (0..=rows).collect();
        let side = Csr::new("", &offsets, &ids, &values, i64::from(width)).unwrap();
        let (of_b, of_a) = best_partners(side, side, Search { min_activations: 2, ..PLAIN }).unwrap();
        assert_eq!(of_b.ids, (0..i64::from(width)).collect::<Vec<_>>());
        assert_eq!(of_b, of_a);
        assert_eq!(of_b.correlations, vec![1.0; width as usize]);
    }

    #[test]
    fn sides_of_other_texts_are_refused() {
        let (a, b) = (Dense::new(vec![vec![1.0]], 1), Dense::new(vec![], 1));
        let error = best_partners(a.csr(), b.csr(), PLAIN).unwrap_err();
        assert_eq!(error.to_string(), "a_indptr and b_indptr must have one length, got 2 and 1");
        let error = best_partners(a.csr(), a.csr(), Search { top: 0, ..PLAIN }).unwrap_err();
        assert_eq!(error.to_string(), "top must be between 1 and 2147483648, got 0");
    }
}
