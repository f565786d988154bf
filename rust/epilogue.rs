//! What follows the sums of a feature of B: which of them reach a bar. This is where a pass looks at every pair.

use std::marker::PhantomData;

use crate::accumulator::UNTOUCHED;
use crate::bounds::{Bounds, Extremes, Pass};
use crate::contenders::{Contender, Contenders, lesser};
use crate::given::Reducer;
use crate::packed::{BLOCK, PackedRows, boxed};

/// The contenders of one thread, and a floor for every feature of A that spares most pairs the question.
pub struct Epilogue<B> {
    pub contenders: Contenders,
    /// By places: a sum below this reaches no bar, whatever the feature of B, if its pass is moderate.
    floors: Vec<Box<[f32; BLOCK]>>,
    of_a: Extremes,
    bounds: PhantomData<B>,
}

impl<B: Bounds> Epilogue<B> {
    pub fn new(standings_a: &[f64], standings_b: &[f64], top: usize) -> Self {
        Self {
            contenders: Contenders::new(standings_a, Extremes::of(standings_b), top),
            floors: standings_a.chunks(BLOCK).map(|_| boxed(f32::NEG_INFINITY)).collect(),
            of_a: Extremes::of(standings_a),
            bounds: PhantomData,
        }
    }

    /// Look at the sums of block `number` that these rows touched, and clear them.
    pub fn walk(
        &mut self,
        number: usize,
        block: &PackedRows,
        rows: &[u32],
        sums: &mut [f32; BLOCK],
        pass: Pass,
        reducer: Option<&Reducer>,
    ) {
        let floors = &mut *self.floors[number];
        let mut floor_b = B::floor_b(pass, self.contenders.bar_b, self.of_a);
        for &row in rows {
            for &place in block.row(row).0 {
                let sum = std::mem::replace(&mut sums[usize::from(place)], UNTOUCHED);
                let floor = &mut floors[usize::from(place)];
                if sum >= lesser(*floor, floor_b) {
                    self.contenders.offer::<B>(number, place, sum, pass, floor, reducer);
                    floor_b = B::floor_b(pass, self.contenders.bar_b, self.of_a);
                }
            }
        }
    }

    /// Look at all sums of block `number`, which has `len` places, and clear them.
    pub fn sweep(&mut self, number: usize, len: usize, sums: &mut [f32; BLOCK], pass: Pass, reducer: Option<&Reducer>) {
        const LANES: usize = 64;
        for start in (0..len).step_by(LANES) {
            let places = start..len.min(start + LANES);
            let bar = self.contenders.bar_b;
            let targets = &self.contenders.targets[number][places.clone()];
            let reaching = sums[places.clone()].iter().zip(targets).fold(0, |any, (&sum, target)| {
                any | u32::from(B::reaches(pass, sum, target.standing, lesser(target.bar, bar)))
            });
            if reaching > 0 {
                for place in places.clone() {
                    let floor = &mut self.floors[number][place];
                    self.contenders.offer::<B>(number, place as u16, sums[place], pass, floor, reducer);
                }
            }
            sums[places].fill(UNTOUCHED);
        }
    }

    /// The bar of every candidate of A, and the contenders.
    pub fn finish(self, n_candidates: usize) -> (Vec<f32>, Vec<Contender>) {
        let bars = self.contenders.targets.iter().flat_map(|block| block.iter().map(|target| target.bar));
        (bars.take(n_candidates).collect(), self.contenders.of_a)
    }
}
