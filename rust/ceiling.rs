//! What the memory allows: random scatter-adds and nothing else, the bound that the benches print beside the matching.
//!
//! Only the benches call it. It lies in the core because another process or another build would not have the
//! threads, the clock and the compiler of what it is compared with.

use std::hint::black_box;
use std::time::Instant;

use crate::packed::{BLOCK, boxed};

/// Updates in memory at a time: 192 MiB of indices and values, so that they stream past every cache.
const STREAM: usize = 1 << 25;

/// Seconds for `updates` additions at random places of `width` floats, shared out among the threads; every index
/// (u16) and value (f32) is read from memory once.
pub fn scatter_ceiling(updates: usize, width: usize) -> f64 {
    let width = width.clamp(1, BLOCK) as u64;
    let mut state = 0_u64;
    let mut place = |_| {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15); // splitmix64's increment, the top bits mixed once
        let mixed = (state ^ (state >> 31)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        (((mixed >> 32) * width) >> 32) as u16
    };
    let places: Vec<u16> = (0..STREAM.min(updates)).map(&mut place).collect();
    let values: Vec<f32> = (0..places.len()).map(|i| 1.0 / (1 + i % 97) as f32).collect();
    let start = Instant::now();
    rayon::broadcast(|thread| {
        let mut sums = boxed::<_, BLOCK>(0.0_f32);
        let share =
            |of: usize| of * thread.index() / thread.num_threads()..of * (thread.index() + 1) / thread.num_threads();
        let mut left = share(updates).len();
        while left > 0 {
            let mut span = share(places.len());
            span.end = span.end.min(span.start + left);
            for (&place, &value) in places[span.clone()].iter().zip(&values[span.clone()]) {
                sums[usize::from(place)] += value;
            }
            left -= span.len().max(1).min(left);
        }
        black_box(sums);
    });
    start.elapsed().as_secs_f64()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn more_updates_take_longer() {
        assert!(scatter_ceiling(3 * STREAM / 2, 64) > scatter_ceiling(1, 64));
        assert!(scatter_ceiling(0, 1) >= 0.0);
    }
}
