//! One pass over the features of B that finds, for both directions, every pair that may be among the best.
//!
//! Gustavson's row-by-row sparse product: for one feature of B, the rows of A on which it fires are added up in a
//! dense accumulator of one float32 a feature of A. Correlations in float32 only nominate. A nominee is kept while
//! the upper end of its error bound reaches the `top`-th largest lower end seen so far, so the exact best are
//! always among the contenders, whatever the order of the work.

use crate::contenders::{Contender, Contenders, Pass, RUN, UNTOUCHED, lesser};
use crate::packed::{BLOCK, PackedRows, boxed};
use crate::side::{Desk, Extremes, Partner, Side};
use crate::sparse::Column;

/// Rows fetched ahead of the one being added.
const AHEAD: usize = 8;

/// One thread's accumulator and what it has found.
pub struct Worker<'a> {
    a: &'a Side<'a>,
    b: &'a Side<'a>,
    blocks: &'a [PackedRows],
    apart: Extremes,
    sums: Box<[f32; BLOCK]>,
    long_sums: Vec<f64>,
    contenders: Contenders,
    /// By places: a sum below this reaches no bar, whatever the feature of B, if its standard mean is moderate.
    floors: Vec<Box<[f32; BLOCK]>>,
    desk: Desk,
}

impl<'a> Worker<'a> {
    pub fn new(a: &'a Side, b: &'a Side, blocks: &'a [PackedRows], top: usize) -> Self {
        Self {
            a,
            b,
            blocks,
            apart: a.extremes(),
            sums: boxed(UNTOUCHED),
            long_sums: Vec::new(),
            contenders: Contenders::new(a, b, top),
            floors: blocks.iter().map(|_| boxed(f32::NEG_INFINITY)).collect(),
            desk: Desk::default(),
        }
    }

    /// Best partners of one candidate of B; what it may be to candidates of A is remembered.
    pub fn visit(&mut self, b: u32) -> &[Partner] {
        self.contenders.start();
        let column = self.b.column(b);
        let mean = self.b.means[b as usize];
        let pass = Pass::new(b, column.len(), mean);
        let blocks = self.blocks;
        for (number, block) in blocks.iter().enumerate() {
            let updates = self.add(block, column, self.b.scale(b) / self.b.csr.n_rows() as f64);
            if updates < block.len / 4 && mean.abs() <= 1.0 {
                self.walk(number, column.rows, pass);
            } else {
                self.sweep(number, pass);
            }
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
                let weight = (f64::from(value) * scale) as f32;
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
        let least = self.apart.least(f64::from(pass.mean)) - f64::from(pass.slack) * (1.0 + self.apart.magnitude());
        let (floors, mut floor_b) = (&mut *self.floors[number], self.contenders.bar_b + least as f32);
        for &row in rows {
            for &place in block.row(row).0 {
                let sum = std::mem::replace(&mut sums[usize::from(place)], UNTOUCHED);
                let floor = &mut floors[usize::from(place)];
                if sum >= lesser(*floor, floor_b) {
                    self.contenders.offer(number, place, sum, pass, floor);
                    floor_b = self.contenders.bar_b + least as f32;
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
                let upper = pass.upper(sum, target.mean);
                any | u32::from(upper >= lesser(target.bar, bar))
            });
            if reaching > 0 {
                for place in places.clone() {
                    let floor = &mut self.floors[number][place];
                    self.contenders.offer(number, place as u16, self.sums[place], pass, floor);
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
