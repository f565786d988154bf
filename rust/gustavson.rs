//! One pass over the features of B that finds, for both directions, every pair that may be among the best.
//!
//! Gustavson's row-by-row sparse product: for one feature of B, the rows of A on which it fires are added up in a
//! dense accumulator of one float32 a feature of A. Correlations in float32 only nominate. A nominee is kept while
//! the upper end of its error bound reaches the `top`-th largest lower end seen so far, so the exact best are
//! always among the contenders, whatever the order of the work.

use std::ops::Range;

use rayon::prelude::*;

use crate::side::{Desk, Extremes, Partner, Side};
use crate::sparse::Column;

/// Candidates of A in one block: their places fit u16, and an index of that type needs no bounds check.
const BLOCK: usize = 1 << 16;
/// Rows added in float32 before the sums are moved to float64; bounds the rounding error of long columns.
const RUN: usize = 4096;
const AHEAD: usize = 8;
/// What no sum of activations leaves behind, except by underflow: x + -x is +0.
const UNTOUCHED: f32 = -0.0;

/// Rows of A for one block of candidates, values in standard deviations.
pub struct PackedRows {
    len: usize,
    offsets: Vec<usize>,
    places: Vec<u16>,
    values: Vec<f32>,
}

impl PackedRows {
    /// All candidates of a side, in blocks.
    pub fn blocks(side: &Side) -> Vec<Self> {
        (0..side.len()).step_by(BLOCK).map(|first| Self::new(side, first)).collect()
    }

    fn new(side: &Side, first: usize) -> Self {
        let len = BLOCK.min(side.len() - first);
        let scales: Vec<f64> = (first..first + len).map(|candidate| side.scale(candidate as u32)).collect();
        let pack = |rows: Range<usize>| {
            let (mut ends, mut places, mut values) = (Vec::new(), Vec::new(), Vec::new());
            for row in rows {
                let (ids, of_row) = side.csr.row(row);
                for (candidate, &value) in ids.iter().map(|&id| side.candidate(id)).zip(of_row) {
                    let place = candidate.map_or(usize::MAX, |candidate| (candidate as usize).wrapping_sub(first));
                    if let Some(scale) = scales.get(place) {
                        places.push(place as u16);
                        values.push((f64::from(value) * scale) as f32);
                    }
                }
                ends.push(places.len());
            }
            (ends, places, values)
        };
        let mut packed = Self { len, offsets: vec![0], places: Vec::new(), values: Vec::new() };
        for (ends, places, values) in side.csr.row_ranges().into_par_iter().map(pack).collect::<Vec<_>>() {
            let start = packed.places.len();
            packed.offsets.extend(ends.iter().map(|end| start + end));
            packed.places.extend(places);
            packed.values.extend(values);
        }
        packed
    }

    fn row(&self, row: u32) -> (&[u16], &[f32]) {
        let span = self.offsets[row as usize]..self.offsets[row as usize + 1];
        (&self.places[span.clone()], &self.values[span])
    }

    #[inline]
    fn prefetch(&self, row: u32) {
        let (start, end) = (self.offsets[row as usize], self.offsets[row as usize + 1]);
        for line in (start..end).step_by(32).chain([end]) {
            prefetch(self.places.as_ptr().wrapping_add(line));
        }
        for line in (start..end).step_by(16).chain([end]) {
            prefetch(self.values.as_ptr().wrapping_add(line));
        }
    }
}

#[inline]
fn prefetch<T>(at: *const T) {
    // SAFETY: a prefetch is a hint; it reads nothing, and no address makes it fault.
    #[cfg(target_arch = "x86_64")]
    unsafe {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        _mm_prefetch::<_MM_HINT_T0>(at.cast());
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = at;
}

/// A pair that may be among the best of its feature of A.
#[derive(Clone, Copy)]
pub struct Contender {
    pub a: u32,
    pub b: u32,
    pub upper: f32,
}

/// What the hot loop knows of a candidate of A: its standard mean, and the bar for its next contender.
#[derive(Clone, Copy)]
struct Target {
    mean: f32,
    bar: f32,
}

/// The pairs of one thread that may be among the best, for the feature of B at hand and for all of A.
struct Contenders {
    top: usize,
    /// Place by place of every block.
    targets: Vec<Box<[Target; BLOCK]>>,
    /// The `top` largest lower bounds of every candidate of A, largest first; the last is the bar.
    lower_a: Vec<f32>,
    of_a: Vec<Contender>,
    room: usize,
    lower_b: Vec<f32>,
    of_b: Vec<(f32, u32)>,
}

impl Contenders {
    fn new(a: &Side, top: usize) -> Self {
        let target = |mean: f64| Target { mean: mean as f32, bar: f32::NEG_INFINITY };
        let block = |means: &[f64]| {
            let mut targets = vec![target(0.0); BLOCK];
            for (place, &mean) in targets.iter_mut().zip(means) {
                *place = target(mean);
            }
            targets.try_into().unwrap_or_else(|_| unreachable!("BLOCK targets"))
        };
        Self {
            top,
            targets: a.means.chunks(BLOCK).map(block).collect(),
            lower_a: vec![f32::NEG_INFINITY; a.len() * top],
            of_a: Vec::new(),
            room: 4 * a.len() * top,
            lower_b: vec![f32::NEG_INFINITY; top],
            of_b: Vec::new(),
        }
    }

    fn start(&mut self) {
        self.lower_b.fill(f32::NEG_INFINITY);
        self.of_b.clear();
    }

    fn bar_b(&self) -> f32 {
        self.lower_b[self.top - 1]
    }

    #[cold]
    fn offer(&mut self, block: usize, place: u16, sum: f32, pass: Pass) {
        if sum.to_bits() == UNTOUCHED.to_bits() {
            return;
        }
        let a = (block * BLOCK) as u32 + u32::from(place);
        let target = &mut self.targets[block][usize::from(place)];
        let (lower, upper) = (pass.lower(sum, target.mean), pass.upper(sum, target.mean));
        if upper >= self.lower_b[self.top - 1] {
            raise(&mut self.lower_b, lower);
            self.of_b.push((upper, a));
        }
        if upper >= target.bar {
            target.bar = raise(&mut self.lower_a[a as usize * self.top..][..self.top], lower);
            self.of_a.push(Contender { a, b: pass.b, upper });
            if self.of_a.len() > self.room {
                let bars = &self.lower_a[self.top - 1..];
                self.of_a.retain(|contender| contender.upper >= bars[contender.a as usize * self.top]);
                self.room = self.room.max(2 * self.of_a.len());
            }
        }
    }
}

/// The lesser of two numbers that are not NaN, in one instruction.
#[inline]
fn lesser(x: f32, y: f32) -> f32 {
    if x < y { x } else { y }
}

/// Put a lower bound among the largest; returns the new bar.
fn raise(bounds: &mut [f32], lower: f32) -> f32 {
    let at = bounds.partition_point(|&bound| bound >= lower);
    if at < bounds.len() {
        bounds[at..].rotate_right(1);
        bounds[at] = lower;
    }
    bounds[bounds.len() - 1]
}

/// One thread's accumulator and what it has found.
pub struct Worker<'a> {
    a: &'a Side<'a>,
    b: &'a Side<'a>,
    blocks: &'a [PackedRows],
    apart: Extremes,
    sums: Box<[f32; BLOCK]>,
    long_sums: Vec<f64>,
    contenders: Contenders,
    reaching: Vec<(u16, f32)>,
    desk: Desk,
}

impl<'a> Worker<'a> {
    pub fn new(a: &'a Side, b: &'a Side, blocks: &'a [PackedRows], top: usize) -> Self {
        Self {
            a,
            b,
            blocks,
            apart: a.extremes(),
            sums: vec![UNTOUCHED; BLOCK].try_into().expect("BLOCK sums"),
            long_sums: Vec::new(),
            contenders: Contenders::new(a, top),
            reaching: Vec::new(),
            desk: Desk::default(),
        }
    }

    /// Best partners of one candidate of B; what it may be to candidates of A is remembered.
    pub fn visit(&mut self, b: u32) -> Vec<Partner> {
        self.contenders.start();
        let column = self.b.column(b);
        let mean = self.b.means[b as usize];
        let pass = Pass { b, mean: mean as f32, slack: rounding(column.len(), mean) };
        let blocks = self.blocks;
        for (number, block) in blocks.iter().enumerate() {
            let updates = self.add(block, column, self.b.scale(b) / self.b.csr.n_rows() as f64);
            if updates < block.len / 4 {
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
        for &row in rows {
            let (targets, bar_b) = (&*self.contenders.targets[number], self.contenders.bar_b());
            for &place in block.row(row).0 {
                let sum = std::mem::replace(&mut sums[usize::from(place)], UNTOUCHED);
                let target = targets[usize::from(place)];
                if pass.upper(sum, target.mean) >= lesser(target.bar, bar_b) {
                    self.reaching.push((place, sum));
                }
            }
            for (place, sum) in self.reaching.drain(..) {
                self.contenders.offer(number, place, sum, pass);
            }
        }
    }

    /// Look at all sums, and clear them.
    fn sweep(&mut self, number: usize, pass: Pass) {
        const LANES: usize = 64;
        let len = self.blocks[number].len;
        for start in (0..len).step_by(LANES) {
            let places = start..len.min(start + LANES);
            let bar = self.contenders.bar_b();
            let targets = &self.contenders.targets[number][places.clone()];
            let reaching = self.sums[places.clone()].iter().zip(targets).fold(0, |any, (&sum, target)| {
                let upper = pass.upper(sum, target.mean);
                any | u32::from(upper >= lesser(target.bar, bar))
            });
            if reaching > 0 {
                for place in places.clone() {
                    self.contenders.offer(number, place as u16, self.sums[place], pass);
                }
            }
            self.sums[places].fill(UNTOUCHED);
        }
    }

    fn settle(&mut self, b: u32) -> Vec<Partner> {
        let Contenders { top, of_b, .. } = &self.contenders;
        let bar = self.contenders.bar_b();
        if f64::from(bar) <= self.b.best_apart(b, &self.apart) {
            return self.b.exhaustive(b, self.a, *top, &mut self.desk);
        }
        let partners: Vec<u32> = of_b.iter().filter(|(upper, _)| *upper >= bar).map(|&(_, partner)| partner).collect();
        self.b.settle(b, self.a, &partners, *top, &mut self.desk)
    }

    /// The bar of every candidate of A, and the contenders.
    pub fn finish(self) -> (Vec<f32>, Vec<Contender>) {
        let Contenders { top, lower_a, of_a, .. } = self.contenders;
        (lower_a.into_iter().skip(top - 1).step_by(top).collect(), of_a)
    }
}

/// What the bounds need to know of one feature of B.
#[derive(Clone, Copy)]
struct Pass {
    b: u32,
    mean: f32,
    slack: f32,
}

impl Pass {
    #[inline]
    fn upper(self, sum: f32, mean: f32) -> f32 {
        (sum - self.mean * mean) + (self.slack + self.slack * mean.abs())
    }

    #[inline]
    fn lower(self, sum: f32, mean: f32) -> f32 {
        (sum - self.mean * mean) - (self.slack + self.slack * mean.abs())
    }
}

/// Bound on the error of a correlation in float32, over 1 + |mean of the partner|.
///
/// A sum of n terms errs by at most g(n) times the sum of their magnitudes, g(n) = n u / (1 - n u), u = 2^-24
/// (Higham, Accuracy and Stability of Numerical Algorithms, section 4.2). By Cauchy-Schwarz the magnitudes sum
/// to at most k(a) k(b), k(x)^2 = 1 + (mean / deviation)^2, and k(a) <= 1 + |mean / deviation|. Sixteen more
/// roundings cover scaling, the product, centring and the bounds themselves.
fn rounding(activations: usize, mean: f64) -> f32 {
    let n = (activations.min(RUN) + 16) as f64 * f64::from(f32::EPSILON) / 2.0;
    (n / (1.0 - n) * mean.hypot(1.0) * (1.0 + 1e-6)) as f32
}
