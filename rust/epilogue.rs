//! What follows the sums of a feature of B: which of them reach a bar. This is where a pass looks at every pair.

use std::marker::PhantomData;
use std::sync::Arc;

use crate::bounds::{Bounds, Extremes, Pass};
use crate::contenders::{Contender, Contenders, Target, lesser};
use crate::floors::{Floor, Floors};
use crate::given::Reducer;
use crate::lines::{Isa, LINE, UNTOUCHED};
use crate::packed::{BLOCK, PackedRows, boxed};

/// The contenders of one thread, and a floor for every feature of A that spares most pairs the question.
pub struct Epilogue<B> {
    pub contenders: Contenders,
    /// By places: a sum below this reaches no bar, whatever the feature of B, if its pass is usual.
    floors: Arc<Floors>,
    /// No more than any floor of a line.
    line_floors: Vec<Box<[f32; BLOCK / LINE]>>,
    of_a: Extremes,
    usual: Extremes,
    isa: Isa,
    bounds: PhantomData<B>,
}

impl<B: Bounds> Epilogue<B> {
    pub fn new(standings_a: &[f64], standings_b: &[f64], top: usize, floors: Arc<Floors>) -> Self {
        let usual = B::usual(standings_b);
        Self {
            contenders: Contenders::new(standings_a, usual, top),
            floors,
            line_floors: standings_a.chunks(BLOCK).map(|_| boxed(f32::NEG_INFINITY)).collect(),
            of_a: Extremes::of(standings_a),
            usual,
            isa: Isa::best(),
            bounds: PhantomData,
        }
    }

    /// Some sum is this or more.
    pub fn expect(&mut self, sum: f32, pass: Pass) {
        let lower = |standing: f64| B::interval(pass, sum, standing as f32).0;
        self.contenders.expect(lower(self.of_a.smallest).min(lower(self.of_a.largest)));
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
        let floors = self.floors.block(number);
        let (contenders, of_a, usual) = (&mut self.contenders, self.of_a, B::is_usual(pass, self.usual));
        let floor_of = |bar| if usual { B::floor_b(pass, bar, of_a) } else { f32::NEG_INFINITY };
        let mut floor_b = floor_of(contenders.bar_b);
        // The sums touched last are the nearest.
        for &row in rows.iter().rev() {
            for &place in block.row(row).0 {
                let sum = std::mem::replace(&mut sums[usize::from(place)], UNTOUCHED);
                let floor = &floors[usize::from(place)];
                if sum >= lesser(floor.get(), floor_b)
                    && contenders.offer::<B>(number, place, sum, pass, floor, reducer)
                {
                    floor_b = floor_of(contenders.bar_b);
                }
            }
        }
    }

    /// Look at all sums of block `number`, which has `len` places, and clear them.
    pub fn sweep(&mut self, number: usize, len: usize, sums: &mut [f32; BLOCK], pass: Pass, reducer: Option<&Reducer>) {
        if !B::is_usual(pass, self.usual) {
            return self.scan(number, len, sums, pass, reducer);
        }
        let (lines, _) = sums[..len.next_multiple_of(LINE)].as_chunks_mut();
        let (floors, _) = self.floors.block(number).as_chunks::<LINE>();
        let line_floors = &mut *self.line_floors[number];
        let mut floor_b = B::floor_b(pass, self.contenders.bar_b, self.of_a);
        let mut at = 0;
        loop {
            at = self.isa.clear_to_reaching(lines, line_floors, floor_b, at);
            let Some(line) = lines.get_mut(at) else { return };
            for (place, (sum, floor)) in (at * LINE..).zip(line.iter_mut().zip(&floors[at])) {
                let sum = std::mem::replace(sum, UNTOUCHED);
                if sum >= lesser(floor.get(), floor_b)
                    && self.contenders.offer::<B>(number, place as u16, sum, pass, floor, reducer)
                {
                    floor_b = B::floor_b(pass, self.contenders.bar_b, self.of_a);
                }
            }
            line_floors[at] = floors[at].iter().map(Floor::get).fold(f32::INFINITY, f32::min);
            at += 1;
        }
    }

    /// The same where no floor holds: every pair is asked.
    fn scan(&mut self, number: usize, len: usize, sums: &mut [f32; BLOCK], pass: Pass, reducer: Option<&Reducer>) {
        for (place, floor) in self.floors.block(number)[..len].iter().enumerate() {
            let sum = std::mem::replace(&mut sums[place], UNTOUCHED);
            self.contenders.offer::<B>(number, place as u16, sum, pass, floor, reducer);
        }
    }

    /// Lower bounds of the best scores of a candidate of A, in falling order, and its bar so far.
    pub fn learn(&mut self, a: u32, lower: impl Iterator<Item = f32>, bar: f32) {
        let Target { standing, bar } = self.contenders.learn(a, lower, bar);
        self.floors.block(a as usize / BLOCK)[a as usize % BLOCK].raise(B::floor_a(bar, standing, self.usual));
    }

    /// The bar of every candidate of A, and the contenders.
    pub fn finish(self, n_candidates: usize) -> (Vec<f32>, Vec<Contender>) {
        let bars = self.contenders.targets.iter().flat_map(|block| block.iter().map(|target| target.bar));
        (bars.take(n_candidates).collect(), self.contenders.of_a)
    }
}
