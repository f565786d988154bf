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
            let most = side.csr.span(rows.end - 1).end - side.csr.span(rows.start).start;
            let mut ends = Vec::with_capacity(rows.len());
            let (mut places, mut values) = (Vec::with_capacity(most), Vec::with_capacity(most));
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
        let parts: Vec<(Vec<usize>, Vec<u16>, Vec<f32>)> = side.csr.row_ranges().into_par_iter().map(pack).collect();
        let total = parts.iter().map(|(_, places, _)| places.len()).sum();
        let (places, values) = (Vec::with_capacity(total), Vec::with_capacity(total));
        let mut packed = Self { len, offsets: vec![0], places, values };
        for (ends, places, values) in parts {
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

/// What is known of a candidate of A: its standard mean, and the bar for its next contender.
#[derive(Clone, Copy)]
struct Target {
    mean: f32,
    bar: f32,
}

/// The pairs of one thread that may be among the best, for the feature of B at hand and for all of A.
struct Contenders {
    /// Place by place of every block.
    targets: Vec<Box<[Target; BLOCK]>>,
    means_b: Extremes,
    /// The `top` - 1 lower bounds above the bar of every candidate of A, largest first.
    above_a: Vec<f32>,
    of_a: Vec<Contender>,
    room: usize,
    bar_b: f32,
    above_b: Vec<f32>,
    of_b: Vec<(f32, u32)>,
}

impl Contenders {
    fn new(a: &Side, b: &Side, top: usize) -> Self {
        let target = |mean: f64| Target { mean: mean as f32, bar: f32::NEG_INFINITY };
        let block = |means: &[f64]| {
            let mut targets = boxed(target(0.0));
            for (place, &mean) in targets.iter_mut().zip(means) {
                *place = target(mean);
            }
            targets
        };
        Self {
            targets: a.means.chunks(BLOCK).map(block).collect(),
            means_b: b.extremes().moderate(),
            above_a: vec![f32::NEG_INFINITY; a.len() * (top - 1)],
            of_a: Vec::new(),
            room: 4 * a.len() * top,
            bar_b: f32::NEG_INFINITY,
            above_b: vec![f32::NEG_INFINITY; top - 1],
            of_b: Vec::new(),
        }
    }

    fn start(&mut self) {
        self.bar_b = f32::NEG_INFINITY;
        self.above_b.fill(f32::NEG_INFINITY);
        self.of_b.clear();
    }

    /// `floor` follows the bar of the candidate of A.
    #[cold]
    fn offer(&mut self, block: usize, place: u16, sum: f32, pass: Pass, floor: &mut f32) {
        let target = &mut self.targets[block][usize::from(place)];
        let (lower, upper) = (pass.lower(sum, target.mean), pass.upper(sum, target.mean));
        if sum.to_bits() == UNTOUCHED.to_bits() || upper < lesser(target.bar, self.bar_b) {
            return;
        }
        let a = (block * BLOCK) as u32 + u32::from(place);
        if upper >= self.bar_b {
            raise(&mut self.bar_b, &mut self.above_b, lower);
            self.of_b.push((upper, a));
        }
        if upper >= target.bar {
            let more = self.above_b.len();
            raise(&mut target.bar, &mut self.above_a[a as usize * more..][..more], lower);
            let least = self.means_b.least(f64::from(target.mean)) as f32;
            *floor = target.bar + least - MODERATE * (1.0 + target.mean.abs());
            self.of_a.push(Contender { a, b: pass.b, upper });
            if self.of_a.len() > self.room {
                let bar = |a: u32| self.targets[a as usize / BLOCK][a as usize % BLOCK].bar;
                self.of_a.retain(|contender| contender.upper >= bar(contender.a));
                self.room = self.room.max(2 * self.of_a.len());
            }
        }
    }
}

fn boxed<T: Clone>(value: T) -> Box<[T; BLOCK]> {
    vec![value; BLOCK].try_into().unwrap_or_else(|_| unreachable!("BLOCK values"))
}

/// The lesser of two numbers that are not NaN, in one instruction.
#[inline]
fn lesser(x: f32, y: f32) -> f32 {
    if x < y { x } else { y }
}

/// Count a lower bound among the largest: the bar, and those `above` it in falling order.
fn raise(bar: &mut f32, above: &mut [f32], lower: f32) {
    let at = above.partition_point(|&bound| bound >= lower);
    if let Some(&last) = above[at..].last() {
        *bar = last;
        above[at..].rotate_right(1);
        above[at] = lower;
    } else {
        *bar = bar.max(lower);
    }
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
        let pass = Pass { b, mean: mean as f32, slack: rounding(column.len(), mean) };
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
        let Contenders { bar_b, of_b, above_b, .. } = &self.contenders;
        let top = above_b.len() + 1;
        if f64::from(*bar_b) <= self.b.best_apart(b, self.apart) {
            return self.b.exhaustive(b, self.a, top, &mut self.desk);
        }
        let partners = of_b.iter().filter(|(upper, _)| upper >= bar_b).map(|&(_, partner)| partner);
        self.b.settle(b, self.a, partners, top, &mut self.desk)
    }

    /// The bar of every candidate of A, and the contenders.
    pub fn finish(self) -> (Vec<f32>, Vec<Contender>) {
        let bars = self.contenders.targets.iter().flat_map(|block| block.iter().map(|target| target.bar));
        (bars.take(self.a.len()).collect(), self.contenders.of_a)
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

/// No less than `rounding` for any standard mean in -1..=1.
const MODERATE: f32 = 4e-4;

/// Bound on the error of a correlation in float32, over 1 + |mean of the partner|.
///
/// A sum of n terms errs by at most g(n) times the sum of their magnitudes, g(n) = n u / (1 - n u), u = 2^-24
/// (Higham, Accuracy and Stability of Numerical Algorithms, section 4.2). By Cauchy-Schwarz the magnitudes sum
/// to at most k(a) k(b), k(x)^2 = 1 + (mean / deviation)^2, and k(a) <= 1 + |mean / deviation|. Two dozen
/// more roundings cover scaling, the product, centring, the bounds and the floors.
fn rounding(activations: usize, mean: f64) -> f32 {
    let n = (activations.min(RUN) + 24) as f64 * f64::from(f32::EPSILON) / 2.0;
    (n / (1.0 - n) * mean.hypot(1.0) * (1.0 + 1e-6)) as f32
}
