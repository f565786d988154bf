//! Rows of A made ready for the hot loop: small ids, values already over their column's norm.

use std::ops::Range;

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
    /// Where every row begins, in lines, and its length.
    rows: Vec<(u32, u32)>,
    places: Aligned<u16>,
    values: Aligned<f32>,
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
            let mut lengths = Vec::with_capacity(rows.len());
            let (mut places, mut values) = (Vec::with_capacity(most), Vec::with_capacity(most));
            for row in rows {
                let start = places.len();
                let (ids, of_row) = if keep(row) { csr.row(row) } else { (&[][..], &[][..]) };
                for (candidate, &value) in ids.iter().map(|&id| number(id)).zip(of_row) {
                    let place = candidate.map_or(usize::MAX, |candidate| (candidate as usize).wrapping_sub(first));
                    if let Some(scale) = scales.get(place) {
                        places.push(place as u16);
                        values.push(roster.weight(*scale, value));
                    }
                }
                lengths.push((places.len() - start) as u32);
                places.resize(places.len().next_multiple_of(LINE), 0);
                values.resize(places.len(), 0.0);
            }
            (lengths, places, values)
        };
        let parts: Vec<(Vec<u32>, Vec<u16>, Vec<f32>)> = row_ranges(csr.n_rows()).into_par_iter().map(pack).collect();
        let lengths = parts.iter().flat_map(|(lengths, ..)| lengths);
        let start = |end: &mut u32, &len: &u32| Some((std::mem::replace(end, *end + len.div_ceil(LINE as u32)), len));
        let rows = lengths.scan(0, start).collect();
        let (places, values): (Vec<&[u16]>, Vec<&[f32]>) = parts.iter().map(|(_, p, v)| (&p[..], &v[..])).unzip();
        Self { len, rows, places: Aligned::concat(&places), values: Aligned::concat(&values) }
    }

    /// Places and values of one row.
    #[inline]
    pub fn row(&self, row: u32) -> (&[u16], &[f32]) {
        let (line, len) = self.rows[row as usize];
        let span = line as usize * LINE..line as usize * LINE + len as usize;
        (&self.places.get()[span.clone()], &self.values.get()[span])
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
    fn concat(parts: &[&[T]]) -> Self {
        let total = parts.iter().map(|part| part.len()).sum::<usize>();
        let mut numbers: Vec<T> = Vec::with_capacity(total + 64);
        let lead = numbers.as_ptr().align_offset(64).min(64); // no offset at all would only be slower
        numbers.resize(lead, T::default());
        for part in parts {
            numbers.extend_from_slice(part);
        }
        Self { numbers, lead }
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
