//! One pass over the features of B that finds, for both directions, every pair that may be among the best.
//!
//! Gustavson's row-by-row sparse product: for one feature of B, the rows of A on which it fires are added up in a
//! dense accumulator of one float32 a feature of A. Correlations in float32 only nominate. A nominee is kept while
//! the upper end of its error bound reaches the `top`-th largest lower end seen so far, so the exact best are
//! always among the contenders, whatever the order of the work.

use crate::side::{Extremes, Partner, Side};
use crate::sparse::Csr;

/// Candidates of A in one block: their places fit u16, and an index of that type needs no bounds check.
const BLOCK: usize = 1 << 16;
/// Rows added in float32 before the sums are moved to float64; bounds the rounding error of long columns.
const RUN: usize = 4096;
const AHEAD: usize = 8;
/// What no sum of activations leaves behind, except by underflow: x + -x is +0.
const UNTOUCHED: f32 = -0.0;

/// Rows of A for one block of candidates, values in standard deviations.
pub struct PackedRows {
    first: usize,
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
        let csr: Csr = side.csr;
        let mut packed = Self {
            first,
            len,
            offsets: Vec::with_capacity(csr.n_rows() + 1),
            places: Vec::with_capacity(csr.nnz()),
            values: Vec::with_capacity(csr.nnz()),
        };
        packed.offsets.push(0);
        for row in 0..csr.n_rows() {
            let (ids, values) = csr.row(row);
            for (&id, &value) in ids.iter().zip(values) {
                let place = side.candidate(id).map_or(usize::MAX, |c| (c as usize).wrapping_sub(first));
                if let Some(scale) = scales.get(place) {
                    packed.places.push(place as u16);
                    packed.values.push((f64::from(value) * scale) as f32);
                }
            }
            packed.offsets.push(packed.places.len());
        }
        packed
    }

    fn row(&self, row: u32) -> (&[u16], &[f32]) {
        let span = self.offsets[row as usize]..self.offsets[row as usize + 1];
        (&self.places[span.clone()], &self.values[span])
    }

    #[inline]
    fn prefetch(&self, row: u32) {
        let start = self.offsets[row as usize];
        prefetch(self.places.as_ptr().wrapping_add(start));
        prefetch(self.values.as_ptr().wrapping_add(start));
        prefetch(self.values.as_ptr().wrapping_add(start + 16));
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
    cut: f32,
}

/// The `top` largest lower bounds, largest first; the last is the bar.
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
    top: usize,
    sums: Box<[f32; BLOCK]>,
    long_sums: Vec<f64>,
    targets: Vec<Target>,
    bounds_a: Vec<f32>,
    bounds_b: Vec<f32>,
    contenders_a: Vec<Contender>,
    contenders_b: Vec<(f32, u32)>,
    room: usize,
    seen: Vec<u32>,
}

impl<'a> Worker<'a> {
    pub fn new(a: &'a Side, b: &'a Side, blocks: &'a [PackedRows], top: usize) -> Self {
        let start = |&mean: &f64| Target { mean: mean as f32, cut: f32::NEG_INFINITY };
        Self {
            a,
            b,
            blocks,
            apart: a.extremes(),
            top,
            sums: vec![UNTOUCHED; BLOCK].into_boxed_slice().try_into().expect("BLOCK sums"),
            long_sums: Vec::new(),
            targets: a.means.iter().map(start).collect(),
            bounds_a: vec![f32::NEG_INFINITY; a.len() * top],
            bounds_b: vec![f32::NEG_INFINITY; top],
            contenders_a: Vec::new(),
            contenders_b: Vec::new(),
            room: 4 * a.len() * top,
            seen: Vec::new(),
        }
    }

    /// Best partners of one candidate of B; what it may be to candidates of A is remembered.
    pub fn visit(&mut self, b: u32) -> Vec<Partner> {
        self.bounds_b.fill(f32::NEG_INFINITY);
        self.contenders_b.clear();
        let column = self.b.column(b);
        let scale = self.b.scale(b) / self.b.csr.n_rows() as f64;
        let mean = self.b.means[b as usize];
        let pass = Pass { b, mean: mean as f32, slack: rounding(column.len(), mean) };
        let blocks = self.blocks;
        for block in blocks {
            let mut updates = 0;
            for (run, (rows, values)) in column.rows.chunks(RUN).zip(column.values.chunks(RUN)).enumerate() {
                if run > 0 {
                    self.bank(block.len);
                }
                for (i, (&row, &value)) in rows.iter().zip(values).enumerate() {
                    if let Some(&ahead) = rows.get(i + AHEAD) {
                        block.prefetch(ahead);
                    }
                    let weight = (f64::from(value) * scale) as f32;
                    let (places, values) = block.row(row);
                    updates += places.len();
                    for (&place, &value) in places.iter().zip(values) {
                        self.sums[place as usize] += weight * value;
                    }
                }
            }
            if column.len() > RUN {
                self.bank(block.len);
                self.withdraw(block.len);
            }
            if updates < block.len / 4 {
                self.walk(block, column.rows, pass);
            } else {
                self.sweep(block, pass);
            }
        }
        self.settle(b)
    }

    /// Move the sums of a run to float64.
    fn bank(&mut self, len: usize) {
        self.long_sums.resize(BLOCK, f64::from(UNTOUCHED));
        for (long, sum) in self.long_sums[..len].iter_mut().zip(self.sums.iter_mut()) {
            *long += f64::from(std::mem::replace(sum, UNTOUCHED));
        }
    }

    fn withdraw(&mut self, len: usize) {
        for (long, sum) in self.long_sums[..len].iter_mut().zip(self.sums.iter_mut()) {
            *sum = std::mem::replace(long, f64::from(UNTOUCHED)) as f32;
        }
    }

    /// Look at the sums that were touched, and clear them.
    fn walk(&mut self, block: &PackedRows, rows: &[u32], pass: Pass) {
        for &row in rows {
            for &place in block.row(row).0 {
                let sum = std::mem::replace(&mut self.sums[place as usize], UNTOUCHED);
                let target = self.targets[block.first + place as usize];
                if pass.upper(sum, target.mean) >= target.cut.min(self.bounds_b[self.top - 1]) {
                    self.nominate(block.first as u32 + u32::from(place), sum, pass);
                }
            }
        }
    }

    /// Look at all sums, and clear them.
    fn sweep(&mut self, block: &PackedRows, pass: Pass) {
        const LANES: usize = 64;
        for start in (0..block.len).step_by(LANES) {
            let end = block.len.min(start + LANES);
            let bar = self.bounds_b[self.top - 1];
            let targets = &self.targets[block.first + start..block.first + end];
            let reach = |(&sum, target): (&f32, &Target)| pass.upper(sum, target.mean) >= target.cut.min(bar);
            if self.sums[start..end].iter().zip(targets).map(reach).fold(false, |any, one| any | one) {
                for place in start..end {
                    self.nominate((block.first + place) as u32, self.sums[place], pass);
                }
            }
            self.sums[start..end].fill(UNTOUCHED);
        }
    }

    #[cold]
    fn nominate(&mut self, a: u32, sum: f32, pass: Pass) {
        if sum.to_bits() == UNTOUCHED.to_bits() {
            return;
        }
        let target = &mut self.targets[a as usize];
        let (lower, upper) = (pass.lower(sum, target.mean), pass.upper(sum, target.mean));
        if upper >= self.bounds_b[self.top - 1] {
            raise(&mut self.bounds_b, lower);
            self.contenders_b.push((upper, a));
        }
        if upper >= target.cut {
            target.cut = raise(&mut self.bounds_a[a as usize * self.top..][..self.top], lower);
            self.contenders_a.push(Contender { a, b: pass.b, upper });
            if self.contenders_a.len() > self.room {
                self.contenders_a.retain(|contender| contender.upper >= self.targets[contender.a as usize].cut);
                self.room = self.room.max(2 * self.contenders_a.len());
            }
        }
    }

    fn settle(&mut self, b: u32) -> Vec<Partner> {
        let bar = self.bounds_b[self.top - 1];
        if f64::from(bar) <= self.b.best_apart(b, &self.apart) {
            return self.b.exhaustive(b, self.a, self.top, &mut self.seen);
        }
        let partners: Vec<u32> =
            self.contenders_b.iter().filter(|(upper, _)| *upper >= bar).map(|&(_, partner)| partner).collect();
        self.b.settle(b, self.a, &partners, self.top)
    }

    /// The bar of every candidate of A, and the contenders.
    pub fn finish(self) -> (Vec<f32>, Vec<Contender>) {
        (self.targets.into_iter().map(|target| target.cut).collect(), self.contenders_a)
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
