//! One pass over the features of B that finds, for both directions, every pair that may be among the best.
//!
//! Gustavson's row-by-row sparse product: for one feature of B, the rows of A on which it fires are added up in a
//! dense accumulator of one float32 a feature of A. Scores in float32 only nominate. A nominee is kept while
//! the upper end of its error bound reaches the `top`-th largest lower end seen so far, so the exact best are
//! always among the contenders, whatever the order of the work.

use crate::accumulator::{Accumulator, RUN};
use crate::bounds::{Bounds, Extremes};
use crate::contenders::{Contender, Contenders};
use crate::epilogue::Epilogue;
use crate::given::Reducer;
use crate::packed::PackedRows;
use crate::roster::Partner;
use crate::side::{Desk, Side};

/// Both sides made ready for the pass.
pub struct Plan<'a> {
    pub a: Side<'a>,
    pub b: Side<'a>,
    blocks: Vec<PackedRows>,
    standings_a: Vec<f64>,
    standings_b: Vec<f64>,
    second: Second,
}

/// What becomes of the second sum of a correlation given groups.
enum Second {
    /// There is none.
    Absent,
    /// Its rows of A are added up after the others, with the other sign.
    Added(Vec<PackedRows>),
    /// It is taken off where it matters, by the scales of A.
    Reduced(Vec<f32>),
}

impl<'a> Plan<'a> {
    pub fn new(a: Side<'a>, b: Side<'a>) -> Self {
        let second = match &a.given {
            None => Second::Absent,
            Some(_) if a.csr.is_non_negative() && b.csr.is_non_negative() => {
                Second::Reduced((0..a.len() as u32).map(|candidate| a.scale(candidate) as f32).collect())
            }
            Some(given) => {
                let rows = given.shares.rows(given.groups.len(), -1.0);
                Second::Added(PackedRows::blocks_of_candidates(&a, rows.csr(a.len())))
            }
        };
        let keep = |row: usize| a.given.as_ref().is_none_or(|given| given.groups.has(row));
        let blocks = PackedRows::blocks(&a, a.csr, keep);
        let (standings_a, standings_b) = (a.standings(), b.standings());
        Self { a, b, blocks, standings_a, standings_b, second }
    }

    /// Whether scores are to be bounded as those of [`Reducible`](crate::bounds::Reducible).
    pub fn is_reduced(&self) -> bool {
        matches!(self.second, Second::Reduced(_))
    }

    fn reducer(&self) -> Option<Reducer<'_>> {
        let (Second::Reduced(scales), Some(given)) = (&self.second, &self.a.given) else { return None };
        Some(Reducer::new(&given.shares, scales, given.groups.len()))
    }
}

/// One thread's accumulator and what it has found.
pub struct Worker<'a, B> {
    plan: &'a Plan<'a>,
    apart: Extremes,
    accumulator: Accumulator,
    epilogue: Epilogue<B>,
    reducer: Option<Reducer<'a>>,
    desk: Desk,
}

impl<'a, B: Bounds> Worker<'a, B> {
    pub fn new(plan: &'a Plan, top: usize) -> Self {
        Self {
            plan,
            apart: Extremes::of(&plan.a.means),
            accumulator: Accumulator::new(),
            epilogue: Epilogue::new(&plan.standings_a, &plan.standings_b, top),
            reducer: plan.reducer(),
            desk: Desk::default(),
        }
    }

    /// Best partners of one candidate of B; what it may be to candidates of A is remembered.
    pub fn visit(&mut self, number: u32) -> &[Partner] {
        self.epilogue.contenders.start();
        let Plan { b, blocks, standings_b, second, .. } = self.plan;
        let (column, scale) = (b.column(number), b.scale(number));
        let weigh = |value| b.weight(scale, value);
        let of_groups = b.given.as_ref().map(|given| given.shares.column(number));
        if let (Some(reducer), Some(column)) = (&mut self.reducer, of_groups) {
            reducer.begin(column, weigh);
        }
        let (reducer, sums) = (self.reducer.as_ref(), &mut self.accumulator);
        for (at, block) in blocks.iter().enumerate() {
            let mut terms = column.len().min(RUN);
            let mut updates = sums.add(block, column, weigh);
            if let (Second::Added(blocks), Some(column)) = (second, of_groups) {
                updates += sums.add(&blocks[at], column, weigh);
                terms += column.len();
            }
            let pass = B::pass(number, terms, standings_b[number as usize]);
            if updates < block.len / 4 && pass.moderate && !matches!(second, Second::Added(_)) {
                self.epilogue.walk(at, block, column.rows, &mut sums.sums, pass, reducer);
            } else {
                self.epilogue.sweep(at, block.len, &mut sums.sums, pass, reducer);
            }
        }
        if let (Some(reducer), Some(column)) = (&mut self.reducer, of_groups) {
            reducer.end(column);
        }
        self.settle(number)
    }

    fn settle(&mut self, number: u32) -> &[Partner] {
        let (Plan { a, b, .. }, Contenders { top, bar_b, of_b, .. }) = (self.plan, &self.epilogue.contenders);
        if f64::from(*bar_b) <= b.best_apart(number, self.apart) {
            return b.exhaustive(number, a, *top, &mut self.desk);
        }
        let partners = of_b.iter().filter(|(upper, _)| upper >= bar_b).map(|&(_, partner)| partner);
        b.settle(number, a, partners, *top, &mut self.desk)
    }

    /// The bar of every candidate of A, and the contenders.
    pub fn finish(self) -> (Vec<f32>, Vec<Contender>) {
        self.epilogue.finish(self.plan.a.len())
    }
}
