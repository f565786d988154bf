//! Pairs whose score, known to float32 only, may be among the best: bars, and who reaches them.

use crate::bounds::{Bounds, Extremes, Pass};
use crate::floors::Floor;
use crate::given::Reducer;
use crate::lines::UNTOUCHED;
use crate::packed::{BLOCK, boxed};

/// A pair that may be among the best of its feature of A.
#[derive(Clone, Copy)]
pub struct Contender {
    pub a: u32,
    pub b: u32,
    pub upper: f32,
}

/// What is known of a candidate of A: its standing, and the bar for its next contender.
#[derive(Clone, Copy)]
pub struct Target {
    pub standing: f32,
    pub bar: f32,
}

/// The pairs of one thread that may be among the best, for the feature of B at hand and for all of A.
pub struct Contenders {
    pub top: usize,
    /// Place by place of every block.
    pub targets: Vec<Box<[Target; BLOCK]>>,
    usual: Extremes,
    /// The `top` - 1 lower bounds above the bar of every candidate of A, largest first.
    above_a: Vec<f32>,
    pub of_a: Vec<Contender>,
    room: usize,
    pub bar_b: f32,
    above_b: Vec<f32>,
    pub of_b: Vec<(f32, u32)>,
}

impl Contenders {
    pub fn new(standings_a: &[f64], usual: Extremes, top: usize) -> Self {
        let target = |standing: f64| Target { standing: standing as f32, bar: f32::NEG_INFINITY };
        let block = |standings: &[f64]| {
            let mut targets = boxed(target(0.0));
            for (place, &standing) in targets.iter_mut().zip(standings) {
                *place = target(standing);
            }
            targets
        };
        Self {
            top,
            targets: standings_a.chunks(BLOCK).map(block).collect(),
            usual,
            above_a: vec![f32::NEG_INFINITY; standings_a.len() * (top - 1)],
            of_a: Vec::new(),
            room: 4 * standings_a.len() * top,
            bar_b: f32::NEG_INFINITY,
            above_b: vec![f32::NEG_INFINITY; top - 1],
            of_b: Vec::new(),
        }
    }

    /// Have room for so many contenders for features of A, and for all that a feature of B can have.
    pub fn reserve(&mut self, most: usize, of_b: usize) {
        self.of_a.reserve_exact(most);
        self.of_b.reserve_exact(of_b);
        self.room = most;
    }

    /// Whether there is room for `more`, if need be without those that have fallen below their bar.
    pub fn has_room(&mut self, more: usize) -> bool {
        if self.of_a.len() + more > self.room {
            self.drop_beaten();
        }
        self.of_a.len() + more <= self.room
    }

    pub fn bar_a(&self, a: u32) -> f32 {
        self.targets[a as usize / BLOCK][a as usize % BLOCK].bar
    }

    /// The contenders for a feature of A are settled: what is known of its best now are lower bounds in falling
    /// order, one for every place, and a bar that may be above the last of them.
    pub fn learn(&mut self, a: u32, mut lower: impl Iterator<Item = f32>, bar: f32) -> Target {
        let more = self.top - 1;
        let above = &mut self.above_a[a as usize * more..][..more];
        above.iter_mut().zip(&mut lower).for_each(|(above, lower)| *above = lower);
        let target = &mut self.targets[a as usize / BLOCK][a as usize % BLOCK];
        target.bar = lower.next().map_or(bar, |last| last.max(bar));
        *target
    }

    fn drop_beaten(&mut self) {
        let targets = &self.targets;
        let bar = |a: u32| targets[a as usize / BLOCK][a as usize % BLOCK].bar;
        self.of_a.retain(|contender| contender.upper >= bar(contender.a));
    }

    /// Begin with another feature of B.
    pub fn start(&mut self) {
        self.bar_b = f32::NEG_INFINITY;
        self.above_b.fill(f32::NEG_INFINITY);
        self.of_b.clear();
    }

    /// Count in a partner of the feature of B that is known otherwise.
    pub fn raise_b(&mut self, lower: f32) {
        raise(&mut self.bar_b, &mut self.above_b, lower);
    }

    /// Some score of the feature of B is this or more; of use where one is looked for.
    pub fn expect(&mut self, lower: f32) {
        if self.top == 1 {
            self.bar_b = self.bar_b.max(lower);
        }
    }

    /// Count a pair in where it reaches a bar; `floor` follows the bar of the candidate of A. Returns whether it did.
    #[inline]
    pub fn offer<B: Bounds>(
        &mut self,
        block: usize,
        place: u16,
        sum: f32,
        pass: Pass,
        floor: &Floor,
        reducer: Option<&Reducer>,
    ) -> bool {
        let target = self.targets[block][usize::from(place)];
        let reaches = B::reaches(pass, sum, target.standing, lesser(target.bar, self.bar_b));
        if reaches {
            self.admit::<B>(block, place, sum, pass, floor, reducer);
        }
        reaches
    }

    #[cold]
    fn admit<B: Bounds>(
        &mut self,
        block: usize,
        place: u16,
        sum: f32,
        pass: Pass,
        floor: &Floor,
        reducer: Option<&Reducer>,
    ) {
        if sum.to_bits() == UNTOUCHED.to_bits() {
            return;
        }
        let target = &mut self.targets[block][usize::from(place)];
        let a = (block * BLOCK) as u32 + u32::from(place);
        let (lower, upper) = match reducer {
            None => B::interval(pass, sum, target.standing),
            Some(reducer) => match reducer.reduce(a, sum, pass.slack, lesser(target.bar, self.bar_b)) {
                None => return,
                Some(interval) => interval,
            },
        };
        if upper >= self.bar_b {
            raise(&mut self.bar_b, &mut self.above_b, lower);
            self.of_b.push((upper, a));
        }
        if upper >= target.bar {
            let more = self.above_b.len();
            raise(&mut target.bar, &mut self.above_a[a as usize * more..][..more], lower);
            floor.raise(B::floor_a(target.bar, target.standing, self.usual));
            self.of_a.push(Contender { a, b: pass.b, upper });
            if self.of_a.len() > self.room {
                self.drop_beaten();
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
        *bar = bar.max(last);
        above[at..].rotate_right(1);
        above[at] = lower;
    } else {
        *bar = bar.max(lower);
    }
}
