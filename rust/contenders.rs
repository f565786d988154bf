//! Pairs whose correlation, known to float32 only, may be among the best: bounds, bars, and who reaches them.

use crate::packed::{BLOCK, boxed};
use crate::side::{Extremes, Side};

/// Rows added in float32 before the sums are moved to float64; bounds the rounding error of long columns.
pub const RUN: usize = 4096;
/// What no sum of activations leaves behind, except by underflow: x + -x is +0.
pub const UNTOUCHED: f32 = -0.0;
/// No less than `rounding` for any standard mean in -1..=1.
const MODERATE: f32 = 4e-4;

/// A pair that may be among the best of its feature of A.
#[derive(Clone, Copy)]
pub struct Contender {
    pub a: u32,
    pub b: u32,
    pub upper: f32,
}

/// What is known of a candidate of A: its standard mean, and the bar for its next contender.
#[derive(Clone, Copy)]
pub struct Target {
    pub mean: f32,
    pub bar: f32,
}

/// The pairs of one thread that may be among the best, for the feature of B at hand and for all of A.
pub struct Contenders {
    pub top: usize,
    /// Place by place of every block.
    pub targets: Vec<Box<[Target; BLOCK]>>,
    means_b: Extremes,
    /// The `top` - 1 lower bounds above the bar of every candidate of A, largest first.
    above_a: Vec<f32>,
    pub of_a: Vec<Contender>,
    room: usize,
    pub bar_b: f32,
    above_b: Vec<f32>,
    pub of_b: Vec<(f32, u32)>,
}

impl Contenders {
    pub fn new(a: &Side, b: &Side, top: usize) -> Self {
        let target = |mean: f64| Target { mean: mean as f32, bar: f32::NEG_INFINITY };
        let block = |means: &[f64]| {
            let mut targets = boxed(target(0.0));
            for (place, &mean) in targets.iter_mut().zip(means) {
                *place = target(mean);
            }
            targets
        };
        Self {
            top,
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

    /// Begin with another feature of B.
    pub fn start(&mut self) {
        self.bar_b = f32::NEG_INFINITY;
        self.above_b.fill(f32::NEG_INFINITY);
        self.of_b.clear();
    }

    /// Count a pair in where it reaches a bar; `floor` follows the bar of the candidate of A.
    #[cold]
    pub fn offer(&mut self, block: usize, place: u16, sum: f32, pass: Pass, floor: &mut f32) {
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

/// The lesser of two numbers that are not NaN, in one instruction.
#[inline]
pub fn lesser(x: f32, y: f32) -> f32 {
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

/// What the bounds need to know of one feature of B.
#[derive(Clone, Copy)]
pub struct Pass {
    b: u32,
    pub mean: f32,
    pub slack: f32,
}

impl Pass {
    /// For a feature that fires `activations` times, with this mean in standard deviations.
    pub fn new(b: u32, activations: usize, mean: f64) -> Self {
        Self { b, mean: mean as f32, slack: rounding(activations, mean) }
    }

    #[inline]
    pub fn upper(self, sum: f32, mean: f32) -> f32 {
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
/// to at most k(a) k(b), k(x)^2 = 1 + (mean / deviation)^2, and k(a) <= 1 + |mean / deviation|. Two dozen
/// more roundings cover scaling, the product, centring, the bounds and the floors.
fn rounding(activations: usize, mean: f64) -> f32 {
    let n = (activations.min(RUN) + 24) as f64 * f64::from(f32::EPSILON) / 2.0;
    (n / (1.0 - n) * mean.hypot(1.0) * (1.0 + 1e-6)) as f32
}
