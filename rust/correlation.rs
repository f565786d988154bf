//! Best partners by Pearson correlation between two sparse feature spaces.

use std::sync::atomic::{AtomicU32, Ordering};

use rayon::prelude::*;

use crate::Error;
use crate::gustavson::{Contender, PackedRows, Worker};
use crate::pairs::same_rows;
use crate::side::{Partner, Side};
use crate::sparse::Csr;

/// Features of B a thread takes at a time.
const STRIDE: u32 = 16;

/// For every feature of one side its best partners on the other, `top` a feature, row-major: -1 and 0.0 where
/// the feature is no candidate, or the other side has fewer than `top`.
#[derive(Debug, Clone, PartialEq)]
pub struct BestPartners {
    pub ids: Vec<i64>,
    pub correlations: Vec<f64>,
}

impl BestPartners {
    fn new(of: &Side, other: &Side, top: usize, found: impl IntoIterator<Item = (u32, Vec<Partner>)>) -> Self {
        let mut ids = vec![-1; of.csr.n_features() * top];
        let mut correlations = vec![0.0; of.csr.n_features() * top];
        for (candidate, partners) in found {
            let start = of.features[candidate as usize] as usize * top;
            for (at, (r, partner)) in (start..).zip(partners) {
                ids[at] = i64::from(other.features[partner as usize]);
                correlations[at] = r;
            }
        }
        Self { ids, correlations }
    }
}

/// For every feature of B its `top` best partners in A, and for every feature of A its best in B.
///
/// Best is the largest signed correlation over all rows, lowest id first where two are equal. Candidates are the
/// features that fire at least `min_activations` times with a variance above 1e-12 of their mean square.
///
/// # Errors
/// Sides with different numbers of rows; `top` of 0.
pub fn best_partners(
    a: Csr,
    b: Csr,
    top: usize,
    min_activations: usize,
) -> Result<(BestPartners, BestPartners), Error> {
    same_rows(a, b)?;
    if top == 0 {
        return Err(Error::Number { name: "top".into(), wanted: "at least 1".into(), got: "0".into() });
    }
    let (a, b) = rayon::join(|| Side::new(a, min_activations), || Side::new(b, min_activations));
    let blocks = PackedRows::blocks(&a);
    let next = AtomicU32::new(0);
    let (found, workers): (Vec<_>, Vec<_>) = rayon::broadcast(|_| {
        let mut worker = Worker::new(&a, &b, &blocks, top);
        let mut found = Vec::new();
        loop {
            let start = next.fetch_add(STRIDE, Ordering::Relaxed);
            if start as usize >= b.len() {
                return (found, worker.finish());
            }
            found.extend((start..(b.len() as u32).min(start + STRIDE)).map(|b| (b, worker.visit(b))));
        }
    })
    .into_iter()
    .unzip();
    let of_b = BestPartners::new(&b, &a, top, found.into_iter().flatten());
    let of_a = BestPartners::new(&a, &b, top, settle(&a, &b, top, &workers));
    Ok((of_b, of_a))
}

/// Decide among the contenders of every feature of A.
fn settle(a: &Side, b: &Side, top: usize, workers: &[(Vec<f32>, Vec<Contender>)]) -> Vec<(u32, Vec<Partner>)> {
    let bars: Vec<f32> = (0..a.len())
        .map(|candidate| workers.iter().map(|(bars, _)| bars[candidate]).fold(f32::NEG_INFINITY, f32::max))
        .collect();
    let mut contenders: Vec<(u32, u32)> = workers
        .iter()
        .flat_map(|(_, contenders)| contenders)
        .filter(|contender| contender.upper >= bars[contender.a as usize])
        .map(|contender| (contender.a, contender.b))
        .collect();
    contenders.par_sort_unstable();
    let apart = b.extremes();
    (0..a.len() as u32)
        .into_par_iter()
        .map_init(Vec::new, |seen, candidate| {
            if f64::from(bars[candidate as usize]) <= a.best_apart(candidate, &apart) {
                return (candidate, a.exhaustive(candidate, b, top, seen));
            }
            let start = contenders.partition_point(|pair| pair.0 < candidate);
            let partners: Vec<u32> =
                contenders[start..].iter().take_while(|pair| pair.0 == candidate).map(|pair| pair.1).collect();
            (candidate, a.settle(candidate, b, &partners, top))
        })
        .collect()
}
