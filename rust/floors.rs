//! The least sum by which a feature of A still reaches its bar: the question that spares most pairs the next one.

use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};

use crate::packed::BLOCK;

/// By places of every block, shared by the threads: what one has found spares the others. A bfloat16 is enough, and
/// half of them lie in the nearest cache with the sums.
pub struct Floors {
    blocks: Vec<Box<[Floor; BLOCK]>>,
}

impl Floors {
    /// For so many candidates, none of which has a partner yet.
    pub fn new(n_candidates: usize) -> Arc<Self> {
        let block = |first: usize| {
            let floor = |place| if first + place < n_candidates { f32::NEG_INFINITY } else { f32::INFINITY };
            let floors: Box<[Floor]> = (0..BLOCK).map(|place| Floor::new(floor(place))).collect();
            floors.try_into().unwrap_or_else(|_| unreachable!("BLOCK floors"))
        };
        Arc::new(Self { blocks: (0..n_candidates).step_by(BLOCK).map(block).collect() })
    }

    pub fn block(&self, number: usize) -> &[Floor; BLOCK] {
        &self.blocks[number]
    }
}

/// A float32 rounded down to bfloat16, its upper half.
pub struct Floor(AtomicU16);

impl Floor {
    fn new(floor: f32) -> Self {
        Self(AtomicU16::new(rounded_down(floor)))
    }

    #[inline]
    pub fn get(&self) -> f32 {
        f32::from_bits(u32::from(self.0.load(Ordering::Relaxed)) << 16)
    }

    /// Two threads at once may leave the lower of theirs: a floor too low costs a question, never a partner.
    pub fn raise(&self, floor: f32) {
        if floor > self.get() {
            self.0.store(rounded_down(floor), Ordering::Relaxed);
        }
    }
}

fn rounded_down(x: f32) -> u16 {
    let below_zero = if x < 0.0 { 0xffff } else { 0 }; // the bits cut off bring a number towards zero
    ((x.to_bits() + below_zero) >> 16) as u16
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_floor_is_at_most_what_it_was_given_and_near_it(x in -1e6..1e6_f32, y in -1e6..1e6_f32) {
            let floor = Floor::new(x);
            prop_assert!(floor.get() <= x && floor.get() >= x - x.abs() / 128.0);
            floor.raise(y);
            prop_assert!(floor.get() <= x.max(y) && floor.get() >= Floor::new(x.max(y)).get());
        }
    }

    #[test]
    fn no_partner_is_below_any() {
        let floors = Floors::new(3);
        let of = |place: usize| floors.block(0)[place].get();
        assert!([0, 2].into_iter().all(|place| of(place) == f32::NEG_INFINITY));
        assert!([3, BLOCK - 1].into_iter().all(|place| of(place) == f32::INFINITY));
    }
}
