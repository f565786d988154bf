//! Rows of A made ready for the hot loop: small ids, values already over their column's norm.

use std::ops::Range;
use std::sync::Arc;

use rayon::prelude::*;

use crate::lines::LINE;
use crate::roster::Roster;
use crate::sparse::{Csr, row_ranges};

/// Candidates in one block: their places fit u16, and an index of that type needs no bounds check.
pub const BLOCK: usize = 1 << 16;

/// One value for every place.
pub fn boxed<T: Clone, const N: usize>(value: T) -> Box<[T; N]> {
    vec![value; N].try_into().unwrap_or_else(|_| unreachable!("N values"))
}

/// Rows of A for one block of candidates, values over their column's norm.
pub struct PackedRows {
    /// Candidates in this block.
    pub len: usize,
    /// What a row has in this block, more or less.
    pub usual_len: usize,
    number: usize,
    n_blocks: usize,
    every: Arc<Every>,
}

/// The rows of all blocks: the pieces of a row lie side by side, and the first begins with a cache line.
struct Every {
    /// Row by row, a piece for every block.
    pieces: Vec<Piece>,
    places: Aligned<u16>,
    values: Aligned<f32>,
}

/// Where a piece of a row lies.
#[derive(Clone, Copy, Default)]
struct Piece {
    line: u32,
    /// How far into its line it begins, below its length times [`LINE`].
    offset_and_len: u32,
}

impl Piece {
    fn new(start: usize, len: usize) -> Self {
        Self { line: (start / LINE) as u32, offset_and_len: (start % LINE + len * LINE) as u32 }
    }

    #[inline]
    fn span(self) -> Range<usize> {
        let start = self.line as usize * LINE + self.offset_and_len as usize % LINE;
        start..start + self.offset_and_len as usize / LINE
    }
}

impl PackedRows {
    /// All candidates of a side, in blocks; rows that are not kept are empty.
    pub fn blocks(roster: &Roster, csr: Csr, keep: impl Fn(usize) -> bool + Sync) -> Vec<Self> {
        Self::new(roster, csr, |feature| roster.candidate(feature), keep)
    }

    /// The same from rows of candidates instead of features.
    pub fn blocks_of_candidates(roster: &Roster, csr: Csr) -> Vec<Self> {
        Self::new(roster, csr, |candidate| Some(candidate as u32), |_| true)
    }

    /// Ids increase within a row, and candidates with their features, so that every block has a piece of it.
    fn new(
        roster: &Roster,
        csr: Csr,
        number: impl Fn(i32) -> Option<u32> + Sync,
        keep: impl Fn(usize) -> bool + Sync,
    ) -> Vec<Self> {
        let n_blocks = roster.len().div_ceil(BLOCK);
        let scales: Vec<f64> = (0..roster.len() as u32).map(|candidate| roster.scale(candidate)).collect();
        let ids = |row| if keep(row) { csr.row(row).0 } else { &[] };
        let lines = |row| ids(row).iter().filter_map(|&id| number(id)).count().div_ceil(LINE);
        let ranges = row_ranges(csr.n_rows());
        let sizes: Vec<usize> = ranges.par_iter().map(|rows| rows.clone().map(lines).sum()).collect();

        let n_lines = sizes.iter().sum();
        let mut pieces = vec![Piece::default(); csr.n_rows() * n_blocks];
        let (mut places, mut values) = (Aligned::lines(n_lines), Aligned::lines(n_lines));
        let (mut tasks, mut first) = (Vec::with_capacity(ranges.len()), 0);
        let (mut rest, mut rest_places, mut rest_values) = (&mut pieces[..], places.get_mut(), values.get_mut());
        for (rows, size) in ranges.into_iter().zip(sizes) {
            let (of_range, more) = rest.split_at_mut(rows.len() * n_blocks);
            let (places, more_places) = rest_places.split_at_mut(size * LINE);
            let (values, more_values) = rest_values.split_at_mut(size * LINE);
            tasks.push((rows, of_range, first, places, values));
            (rest, rest_places, rest_values, first) = (more, more_places, more_values, first + size * LINE);
        }
        tasks.into_par_iter().for_each(|(rows, pieces, first, places, values)| {
            let mut end = 0;
            for (row, pieces) in rows.zip(pieces.chunks_exact_mut(n_blocks.max(1))) {
                let (mut start, mut block) = (end, 0);
                for (candidate, &value) in ids(row).iter().map(|&id| number(id)).zip(csr.row(row).1) {
                    let Some(candidate) = candidate else { continue };
                    while block < candidate as usize / BLOCK {
                        pieces[block] = Piece::new(first + start, end - start);
                        (start, block) = (end, block + 1);
                    }
                    places[end] = candidate as u16;
                    values[end] = roster.weight(scales[candidate as usize], value);
                    end += 1;
                }
                for piece in &mut pieces[block..] {
                    *piece = Piece::new(first + start, end - start);
                    start = end;
                }
                end = end.next_multiple_of(LINE);
            }
        });
        let usual_len = n_lines * LINE / pieces.len().max(1);
        let every = Arc::new(Every { pieces, places, values });
        let len = |number: usize| BLOCK.min(roster.len() - number * BLOCK);
        (0..n_blocks)
            .map(|number| Self { len: len(number), usual_len, number, n_blocks, every: every.clone() })
            .collect()
    }

    /// Places and values of one row.
    #[inline]
    pub fn row(&self, row: u32) -> (&[u16], &[f32]) {
        let Every { pieces, places, values } = &*self.every;
        let span = pieces[row as usize * self.n_blocks + self.number].span();
        (&places.get()[span.clone()], &values.get()[span])
    }

    #[inline]
    pub fn prefetch(&self, row: u32) {
        let (places, values) = self.row(row);
        places.chunks(2 * LINE).for_each(|line| prefetch(line.as_ptr()));
        values.chunks(LINE).for_each(|line| prefetch(line.as_ptr()));
    }
}

/// Numbers that begin with a cache line, so that a row lies in as few of these as it can.
struct Aligned<T> {
    numbers: Vec<T>,
    /// Before the first.
    lead: usize,
}

impl<T: Copy + Default> Aligned<T> {
    /// Zeros.
    fn lines(n: usize) -> Self {
        let numbers = vec![T::default(); n * LINE + 64];
        let lead = numbers.as_ptr().align_offset(64).min(64); // no offset at all would only be slower
        Self { numbers, lead }
    }

    fn get_mut(&mut self) -> &mut [T] {
        &mut self.numbers[self.lead..]
    }

    #[inline]
    fn get(&self) -> &[T] {
        &self.numbers[self.lead..]
    }
}

/// Bring a cache line near.
#[inline]
pub fn prefetch<T>(at: *const T) {
    // SAFETY: a prefetch is a hint; it reads nothing, and no address makes it fault.
    #[cfg(target_arch = "x86_64")]
    unsafe {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        _mm_prefetch::<_MM_HINT_T0>(at.cast());
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = at;
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metric::Metric;
    use crate::side::Side;

    #[test]
    fn every_block_has_its_piece_of_a_row() {
        let n_features = 2 * BLOCK + 9;
        let every = [1, 1, 70_000, 5].map(|step| (0..n_features as i32).step_by(step));
        let indptr: Vec<i64> = std::iter::once(0)
            .chain(every.iter().scan(0, |end, ids| {
                *end += ids.len() as i64;
                Some(*end)
            }))
            .collect();
        let indices: Vec<i32> = every.into_iter().flatten().collect();
        let values: Vec<f32> = (0..indices.len()).map(|i| 1.0 + (i % 13) as f32).collect();
        let csr = Csr::new("", &indptr, &indices, &values, n_features as i64).expect("a good matrix");
        let side = Side::new(csr, Metric::Cosine, 1);
        let blocks = PackedRows::blocks(&side, csr, |row| row != 1);
        assert_eq!(blocks.iter().map(|block| block.len).sum::<usize>(), side.len());
        for row in 0..4 {
            let (ids, values) = if row == 1 { (&[][..], &[][..]) } else { csr.row(row) };
            let wanted: Vec<(u32, f32)> = ids
                .iter()
                .zip(values)
                .filter_map(|(&id, &value)| Some((side.candidate(id)?, value)))
                .map(|(candidate, value)| (candidate, side.weight(side.scale(candidate), value)))
                .collect();
            let found = blocks.iter().enumerate().flat_map(|(number, block)| {
                let (places, values) = block.row(row as u32);
                places.iter().map(move |&place| (number * BLOCK) as u32 + u32::from(place)).zip(values.iter().copied())
            });
            assert_eq!(found.collect::<Vec<_>>(), wanted);
        }
    }
}
