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
use crate::given::{Reducer, Shares};
use crate::packed::PackedRows;
use crate::roster::Partner;
use crate::side::{Desk, Side};

/// Both sides made ready for the pass.
pub struct Plan<'a> {
    pub a: Side<'a>,
    pub b: Side<'a>,
    pub blocks: Vec<PackedRows>,
    standings_a: Vec<f64>,
    standings_b: Vec<f64>,
    /// Given groups: A's shares in them, the first of their rows, and their number.
    shares: Option<(Shares, usize, usize)>,
}

impl<'a> Plan<'a> {
    pub fn new(a: Side<'a>, b: Side<'a>) -> Self {
        let (blocks, n_rows) = (Vec::new(), a.csr.n_rows());
        let (standings_a, standings_b) = (a.standings(), b.standings());
        Self { blocks, standings_a, standings_b, shares: None, a, b }.packed(n_rows)
    }

    /// Add up the first `n_rows` rows only, and take the groups' rows below them off where it matters.
    pub fn reduced(a: Side<'a>, b: Side<'a>, n_rows: usize) -> Self {
        let shares = Shares::new(&a, n_rows);
        let n_groups = a.csr.n_rows() - n_rows;
        let standings = vec![0.0; a.len().max(b.len())];
        let (standings_a, standings_b) = (standings[..a.len()].to_vec(), standings[..b.len()].to_vec());
        Self { blocks: Vec::new(), standings_a, standings_b, shares: Some((shares, n_rows, n_groups)), a, b }
            .packed(n_rows)
    }

    fn packed(mut self, n_rows: usize) -> Self {
        self.blocks = PackedRows::blocks(&self.a, self.a.csr, n_rows);
        self
    }

    fn reducer(&self) -> Option<Reducer<'_>> {
        self.shares.as_ref().map(|(shares, first, n_groups)| Reducer::new(shares, *first, *n_groups))
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
        let Plan { b, blocks, standings_b, .. } = self.plan;
        let (mut column, scale) = (b.column(number), b.scale(number));
        let pass = B::pass(number, column.len().min(RUN), standings_b[number as usize]);
        if let Some(reducer) = &mut self.reducer {
            reducer.begin(b, number);
            column = b.parts(number).0;
        }
        let reducer = self.reducer.as_ref();
        for (number, block) in blocks.iter().enumerate() {
            let updates = self.accumulator.add(block, column, |value| b.weight(scale, value));
            let sums = &mut self.accumulator.sums;
            if updates < block.len / 4 && pass.moderate {
                self.epilogue.walk(number, block, column.rows, sums, pass, reducer);
            } else {
                self.epilogue.sweep(number, block.len, sums, pass, reducer);
            }
        }
        if let Some(reducer) = &mut self.reducer {
            reducer.end(b, number);
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
