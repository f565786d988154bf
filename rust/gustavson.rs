//! One pass over the features of B that finds, for both directions, every pair that may be among the best.
//!
//! Gustavson's row-by-row sparse product: for one feature of B, the rows of A on which it fires are added up in a
//! dense accumulator of one float32 a feature of A. Scores in float32 only nominate. A nominee is kept while
//! the upper end of its error bound reaches the `top`-th largest lower end seen so far, so the exact best are
//! always among the contenders, whatever the order of the work.

use std::marker::PhantomData;

use crate::bounds::{Bounds, Extremes, Pass};
use crate::contenders::{Contender, Contenders, RUN, UNTOUCHED, lesser};
use crate::given::{Reducer, Shares};
use crate::packed::{BLOCK, PackedRows, boxed};
use crate::roster::Partner;
use crate::side::{Desk, Side};
use crate::sparse::Column;

/// Rows fetched ahead of the one being added.
const AHEAD: usize = 8;

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
    a: &'a Side<'a>,
    b: &'a Side<'a>,
    blocks: &'a [PackedRows],
    standings_b: &'a [f64],
    of_a_standings: Extremes,
    apart: Extremes,
    sums: Box<[f32; BLOCK]>,
    long_sums: Vec<f64>,
    contenders: Contenders,
    /// By places: a sum below this reaches no bar, whatever the feature of B, if its pass is moderate.
    floors: Vec<Box<[f32; BLOCK]>>,
    reducer: Option<Reducer<'a>>,
    desk: Desk,
    bounds: PhantomData<B>,
}

impl<'a, B: Bounds> Worker<'a, B> {
    pub fn new(plan: &'a Plan, top: usize) -> Self {
        let Plan { a, b, blocks, standings_a, standings_b, .. } = plan;
        Self {
            a,
            b,
            blocks,
            standings_b,
            of_a_standings: Extremes::of(standings_a),
            apart: Extremes::of(&a.means),
            sums: boxed(UNTOUCHED),
            long_sums: Vec::new(),
            contenders: Contenders::new(standings_a, Extremes::of(standings_b), top),
            floors: blocks.iter().map(|_| boxed(f32::NEG_INFINITY)).collect(),
            reducer: plan.reducer(),
            desk: Desk::default(),
            bounds: PhantomData,
        }
    }

    /// Best partners of one candidate of B; what it may be to candidates of A is remembered.
    pub fn visit(&mut self, b: u32) -> &[Partner] {
        self.contenders.start();
        let mut column = self.b.column(b);
        let pass = B::pass(b, column.len(), self.standings_b[b as usize]);
        if let Some(reducer) = &mut self.reducer {
            reducer.begin(self.b, b);
            column = self.b.parts(b).0;
        }
        let blocks = self.blocks;
        for (number, block) in blocks.iter().enumerate() {
            let updates = self.add(block, column, self.b.scale(b));
            if updates < block.len / 4 && pass.moderate {
                self.walk(number, column.rows, pass);
            } else {
                self.sweep(number, pass);
            }
        }
        if let Some(reducer) = &mut self.reducer {
            reducer.end(self.b, b);
        }
        self.settle(b)
    }

    /// Add up the rows where a feature of B fires; returns the number of terms.
    fn add(&mut self, block: &PackedRows, column: Column, scale: f64) -> usize {
        let mut updates = 0;
        for (run, (rows, values)) in column.rows.chunks(RUN).zip(column.values.chunks(RUN)).enumerate() {
            if run > 0 {
                self.bank(block.len);
            }
            let sums = &mut *self.sums;
            for (i, (&row, &value)) in rows.iter().zip(values).enumerate() {
                if let Some(&ahead) = rows.get(i + AHEAD) {
                    block.prefetch(ahead);
                }
                let weight = self.b.weight(scale, value);
                let (places, values) = block.row(row);
                updates += places.len();
                for (&place, &value) in places.iter().zip(values) {
                    sums[usize::from(place)] += weight * value;
                }
            }
        }
        if column.len() > RUN {
            self.bank(block.len);
            for (sum, long) in self.sums.iter_mut().zip(&mut self.long_sums[..block.len]) {
                *sum = std::mem::replace(long, f64::from(UNTOUCHED)) as f32;
            }
        }
        updates
    }

    /// Move the sums of a run to float64.
    fn bank(&mut self, len: usize) {
        self.long_sums.resize(BLOCK, f64::from(UNTOUCHED));
        for (long, sum) in self.long_sums[..len].iter_mut().zip(self.sums.iter_mut()) {
            *long += f64::from(std::mem::replace(sum, UNTOUCHED));
        }
    }

    /// Look at the sums that were touched, and clear them.
    fn walk(&mut self, number: usize, rows: &[u32], pass: Pass) {
        let block = &self.blocks[number];
        let sums = &mut *self.sums;
        let (floors, of_a, reducer) = (&mut *self.floors[number], self.of_a_standings, self.reducer.as_ref());
        let mut floor_b = B::floor_b(pass, self.contenders.bar_b, of_a);
        for &row in rows {
            for &place in block.row(row).0 {
                let sum = std::mem::replace(&mut sums[usize::from(place)], UNTOUCHED);
                let floor = &mut floors[usize::from(place)];
                if sum >= lesser(*floor, floor_b) {
                    self.contenders.offer::<B>(number, place, sum, pass, floor, reducer);
                    floor_b = B::floor_b(pass, self.contenders.bar_b, of_a);
                }
            }
        }
    }

    /// Look at all sums, and clear them.
    fn sweep(&mut self, number: usize, pass: Pass) {
        const LANES: usize = 64;
        let len = self.blocks[number].len;
        for start in (0..len).step_by(LANES) {
            let places = start..len.min(start + LANES);
            let bar = self.contenders.bar_b;
            let targets = &self.contenders.targets[number][places.clone()];
            let reaching = self.sums[places.clone()].iter().zip(targets).fold(0, |any, (&sum, target)| {
                any | u32::from(B::reaches(pass, sum, target.standing, lesser(target.bar, bar)))
            });
            if reaching > 0 {
                for place in places.clone() {
                    let floor = &mut self.floors[number][place];
                    let (sum, reducer) = (self.sums[place], self.reducer.as_ref());
                    self.contenders.offer::<B>(number, place as u16, sum, pass, floor, reducer);
                }
            }
            self.sums[places].fill(UNTOUCHED);
        }
    }

    fn settle(&mut self, b: u32) -> &[Partner] {
        let Contenders { top, bar_b, of_b, .. } = &self.contenders;
        if f64::from(*bar_b) <= self.b.best_apart(b, self.apart) {
            return self.b.exhaustive(b, self.a, *top, &mut self.desk);
        }
        let partners = of_b.iter().filter(|(upper, _)| upper >= bar_b).map(|&(_, partner)| partner);
        self.b.settle(b, self.a, partners, *top, &mut self.desk)
    }

    /// The bar of every candidate of A, and the contenders.
    pub fn finish(self) -> (Vec<f32>, Vec<Contender>) {
        let bars = self.contenders.targets.iter().flat_map(|block| block.iter().map(|target| target.bar));
        (bars.take(self.a.len()).collect(), self.contenders.of_a)
    }
}
