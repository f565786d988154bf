//! One pass over the features of B that finds, for both directions, every pair that may be among the best.
//!
//! Gustavson's row-by-row sparse product: for one feature of B, the rows of A on which it fires are added up in a
//! dense accumulator of one float32 a feature of A. Scores in float32 only nominate. A nominee is kept while
//! the upper end of its error bound reaches the `top`-th largest lower end seen so far, so the exact best are
//! always among the contenders, whatever the order of the work.

use std::ops::Range;
use std::sync::Arc;

use crate::accumulator::{Accumulator, RUN};
use crate::bounds::{Bounds, Extremes};
use crate::contenders::{Contender, Contenders};
use crate::epilogue::Epilogue;
use crate::floors::Floors;
use crate::given::Reducer;
use crate::metric::Metric;
use crate::packed::PackedRows;
use crate::roster::Partner;
use crate::side::{Desk, Side};

/// From one update in so many places on, looking at all of them is faster than walking over the updates again.
const DENSE: usize = 16;

/// Both sides made ready for the pass.
pub struct Plan<'a> {
    pub a: Side<'a>,
    pub b: Side<'a>,
    blocks: Vec<PackedRows>,
    floors: Arc<Floors>,
    standings_a: Vec<f64>,
    standings_b: Vec<f64>,
    second: Second,
    /// Whether no term of a sum is negative.
    rising: bool,
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
        let rising = a.metric == Metric::Jaccard || a.csr.is_non_negative() && b.csr.is_non_negative();
        let second = match &a.given {
            None => Second::Absent,
            Some(_) if rising => {
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
        let floors = Floors::new(a.len());
        Self { a, b, blocks, floors, standings_a, standings_b, second, rising }
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
    /// Pairs of a feature of B and a contender that are still to be settled.
    nominees: Vec<(u32, u32)>,
}

impl<'a, B: Bounds> Worker<'a, B> {
    pub fn new(plan: &'a Plan, top: usize) -> Self {
        Self {
            plan,
            apart: Extremes::of(&plan.a.means),
            accumulator: Accumulator::new(),
            epilogue: Epilogue::new(&plan.standings_a, &plan.standings_b, top, plan.floors.clone()),
            reducer: plan.reducer(),
            desk: Desk::default(),
            nominees: Vec::new(),
        }
    }

    /// Best partners of candidates of B; what they may be to candidates of A is remembered.
    pub fn visit(&mut self, numbers: Range<u32>) -> Vec<(u32, Partner)> {
        let mut apart = Vec::new();
        for number in numbers {
            self.pass(number);
            self.nominate(number, &mut apart);
        }
        let Plan { a, b, .. } = self.plan;
        let mut found = b.settle(a, &self.nominees, self.epilogue.contenders.top, &mut self.desk);
        self.nominees.clear();
        found.append(&mut apart);
        found
    }

    fn pass(&mut self, number: u32) {
        self.epilogue.contenders.start();
        let Plan { b, blocks, standings_b, second, rising, .. } = self.plan;
        let (column, scale) = (b.column(number), b.scale(number));
        let weigh = |value| b.weight(scale, value);
        let of_groups = b.given.as_ref().map(|given| given.shares.column(number));
        if let (Some(reducer), Some(column)) = (&mut self.reducer, of_groups) {
            reducer.begin(column, weigh);
        }
        let next = if (number as usize) + 1 < b.len() { b.column(number + 1).rows } else { &[] };
        let (reducer, sums) = (self.reducer.as_ref(), &mut self.accumulator);
        for (at, block) in blocks.iter().enumerate() {
            let mut terms = column.len().min(RUN);
            let then = blocks.get(at + 1).map_or((&blocks[0], next), |block| (block, column.rows));
            let few = column.len() * block.usual_len < block.len / DENSE;
            let watches = few && *rising && column.len() <= RUN && matches!(second, Second::Absent);
            let mut updates = if watches {
                sums.add::<true>(block, column, then, weigh)
            } else {
                sums.add::<false>(block, column, then, weigh)
            };
            if let (Second::Added(blocks), Some(column)) = (second, of_groups) {
                updates += sums.add::<false>(&blocks[at], column, (&blocks[at], &[]), weigh);
                terms += column.len();
            }
            let pass = B::pass(number, terms, standings_b[number as usize]);
            if watches {
                self.epilogue.expect(sums.peak, pass);
            }
            if updates < block.len / DENSE && !matches!(second, Second::Added(_)) {
                self.epilogue.walk(at, block, column.rows, &mut sums.sums, pass, reducer);
            } else {
                self.epilogue.sweep(at, block.len, &mut sums.sums, pass, reducer);
            }
        }
        if let (Some(reducer), Some(column)) = (&mut self.reducer, of_groups) {
            reducer.end(column);
        }
    }

    /// Note whom a candidate of B may have as its best; where these may never fire together with it, answer at once.
    fn nominate(&mut self, number: u32, apart: &mut Vec<(u32, Partner)>) {
        let (Plan { a, b, .. }, Contenders { top, bar_b, of_b, .. }) = (self.plan, &self.epilogue.contenders);
        if f64::from(*bar_b) <= b.best_apart(number, self.apart) {
            apart.extend(b.exhaustive(number, a, *top, &mut self.desk).iter().map(|&partner| (number, partner)));
        } else {
            let reaching = of_b.iter().filter(|(upper, _)| upper >= bar_b);
            self.nominees.extend(reaching.map(|&(_, partner)| (number, partner)));
        }
    }

    /// The bar of every candidate of A, and the contenders.
    pub fn finish(self) -> (Vec<f32>, Vec<Contender>) {
        self.epilogue.finish(self.plan.a.len())
    }
}
