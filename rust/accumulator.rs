//! Gustavson's accumulator: the rows of A on which a feature of B fires, added up by feature of A.

use crate::lines::UNTOUCHED;
use crate::packed::{BLOCK, PackedRows, boxed};
use crate::sparse::Column;

/// Rows added in float32 before the sums are moved to float64; bounds the rounding error of long columns.
pub const RUN: usize = 4096;
/// Rows fetched ahead of the one being added.
const AHEAD: usize = 8;

/// Sums by place of one block, untouched between two columns.
pub struct Accumulator {
    pub sums: Box<[f32; BLOCK]>,
    /// The largest sum there was at any time while the last column was added.
    pub peak: f32,
    long_sums: Vec<f64>,
}

impl Accumulator {
    pub fn new() -> Self {
        Self { sums: boxed(UNTOUCHED), peak: f32::NEG_INFINITY, long_sums: Vec::new() }
    }

    /// Add up the rows where a feature of B fires, by what its values weigh; returns the number of terms. `then` is
    /// what will be added next, so that short columns too are fetched in time. With `WATCH` the peak is kept: a
    /// comparison that waits for the one before, which long rows would feel.
    pub fn add<const WATCH: bool>(
        &mut self,
        block: &PackedRows,
        column: Column,
        then: (&PackedRows, &[u32]),
        weigh: impl Fn(f32) -> f32,
    ) -> usize {
        let (mut updates, mut peak) = (0, f32::NEG_INFINITY);
        for (run, (rows, values)) in column.rows.chunks(RUN).zip(column.values.chunks(RUN)).enumerate() {
            if run > 0 {
                self.bank(block.len);
            }
            let sums = &mut *self.sums;
            for (i, (&row, &value)) in rows.iter().zip(values).enumerate() {
                if let Some(&ahead) = rows.get(i + AHEAD) {
                    block.prefetch(ahead);
                } else if let Some(&ahead) = then.1.get(i + AHEAD - rows.len()) {
                    then.0.prefetch(ahead);
                }
                let weight = weigh(value);
                let (places, values) = block.row(row);
                updates += places.len();
                for (&place, &value) in places.iter().zip(values) {
                    let sum = sums[usize::from(place)] + weight * value;
                    sums[usize::from(place)] = sum;
                    if WATCH && sum > peak {
                        peak = sum;
                    }
                }
            }
        }
        if column.len() > RUN {
            self.bank(block.len);
            for (sum, long) in self.sums.iter_mut().zip(&mut self.long_sums[..block.len]) {
                *sum = std::mem::replace(long, f64::from(UNTOUCHED)) as f32;
            }
        }
        self.peak = peak;
        updates
    }

    /// Add the sums that these rows touched to others, and clear them; `updates` is what `add` returned for them.
    pub fn pour(&mut self, block: &PackedRows, rows: &[u32], updates: usize, into: &mut [f32]) {
        if updates < block.len / 4 {
            for &row in rows {
                for &place in block.row(row).0 {
                    let place = usize::from(place);
                    into[place] += std::mem::replace(&mut self.sums[place], UNTOUCHED);
                }
            }
        } else {
            for (into, sum) in into.iter_mut().zip(self.sums.iter_mut()) {
                *into += std::mem::replace(sum, UNTOUCHED);
            }
        }
    }

    /// Move the sums of a run to float64.
    fn bank(&mut self, len: usize) {
        if self.long_sums.len() < len {
            self.long_sums.resize(len, f64::from(UNTOUCHED));
        }
        for (long, sum) in self.long_sums[..len].iter_mut().zip(self.sums.iter_mut()) {
            *long += f64::from(std::mem::replace(sum, UNTOUCHED));
        }
    }
}
