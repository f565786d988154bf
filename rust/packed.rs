//! Rows of A made ready for the hot loop: small ids, values already over their column's norm.

use std::ops::Range;

use rayon::prelude::*;

use crate::roster::Roster;
use crate::sparse::{Csr, row_ranges};

/// Candidates in one block: their places fit u16, and an index of that type needs no bounds check.
pub const BLOCK: usize = 1 << 16;

/// One value for every place of a block.
pub fn boxed<T: Clone>(value: T) -> Box<[T; BLOCK]> {
    vec![value; BLOCK].try_into().unwrap_or_else(|_| unreachable!("BLOCK values"))
}

/// Rows of A for one block of candidates, values over their column's norm.
pub struct PackedRows {
    /// Candidates in this block.
    pub len: usize,
    offsets: Vec<usize>,
    places: Vec<u16>,
    values: Vec<f32>,
}

impl PackedRows {
    /// All candidates of a side, in blocks; rows that are not kept are empty.
    pub fn blocks(roster: &Roster, csr: Csr, keep: impl Fn(usize) -> bool + Sync) -> Vec<Self> {
        let number = |feature| roster.candidate(feature);
        (0..roster.len()).step_by(BLOCK).map(|first| Self::new(roster, csr, first, &number, &keep)).collect()
    }

    /// The same from rows of candidates instead of features.
    pub fn blocks_of_candidates(roster: &Roster, csr: Csr) -> Vec<Self> {
        let number = |candidate| Some(candidate as u32);
        (0..roster.len()).step_by(BLOCK).map(|first| Self::new(roster, csr, first, &number, &|_| true)).collect()
    }

    fn new(
        roster: &Roster,
        csr: Csr,
        first: usize,
        number: &(impl Fn(i32) -> Option<u32> + Sync),
        keep: &(impl Fn(usize) -> bool + Sync),
    ) -> Self {
        let len = BLOCK.min(roster.len() - first);
        let scales: Vec<f64> = (first..first + len).map(|candidate| roster.scale(candidate as u32)).collect();
        let pack = |rows: Range<usize>| {
            let most = csr.span(rows.end - 1).end - csr.span(rows.start).start;
            let mut ends = Vec::with_capacity(rows.len());
            let (mut places, mut values) = (Vec::with_capacity(most), Vec::with_capacity(most));
            for row in rows {
                let (ids, of_row) = if keep(row) { csr.row(row) } else { (&[][..], &[][..]) };
                for (candidate, &value) in ids.iter().map(|&id| number(id)).zip(of_row) {
                    let place = candidate.map_or(usize::MAX, |candidate| (candidate as usize).wrapping_sub(first));
                    if let Some(scale) = scales.get(place) {
                        places.push(place as u16);
                        values.push(roster.weight(*scale, value));
                    }
                }
                ends.push(places.len());
            }
            (ends, places, values)
        };
        let parts: Vec<(Vec<usize>, Vec<u16>, Vec<f32>)> = row_ranges(csr.n_rows()).into_par_iter().map(pack).collect();
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

    /// Places and values of one row.
    pub fn row(&self, row: u32) -> (&[u16], &[f32]) {
        let span = self.offsets[row as usize]..self.offsets[row as usize + 1];
        (&self.places[span.clone()], &self.values[span])
    }

    #[inline]
    pub fn prefetch(&self, row: u32) {
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
