//! Sparse activations: a checked CSR view over borrowed arrays, and its transpose.

use std::ops::Range;

use rayon::prelude::*;

use crate::Error;

/// Token-major activations borrowed from the caller, checked once: row `t` holds the features that fired on it.
#[derive(Clone, Copy)]
pub struct Csr<'a> {
    indptr: &'a [i64],
    indices: &'a [i32],
    values: &'a [f32],
    n_features: usize,
}

/// One feature: the rows it fires on, increasing, and its values there.
#[derive(Clone, Copy)]
pub struct Column<'a> {
    pub rows: &'a [u32],
    pub values: &'a [f32],
}

/// Feature-major activations, owned.
pub struct Csc {
    offsets: Vec<usize>,
    rows: Vec<u32>,
    values: Vec<f32>,
}

#[derive(Clone, Copy, Default)]
struct Entry {
    row: u32,
    feature: u32,
    value: f32,
}

impl<'a> Csr<'a> {
    /// Check and borrow; `side` prefixes the argument names in messages ("a_", "b_" or nothing).
    ///
    /// # Errors
    /// Offsets that do not rise from 0 to the number of values; ids outside `0..n_features` or not increasing
    /// within a row; a value that is zero, NaN or infinite; more than 2^32 - 1 rows or 2^31 features.
    pub fn new(
        side: &'static str,
        indptr: &'a [i64],
        indices: &'a [i32],
        values: &'a [f32],
        n_features: i64,
    ) -> Result<Self, Error> {
        let nnz = values.len();
        if indices.len() != nnz {
            return Err(Error::Lengths {
                what: format!("{side}indices and {side}values"),
                left: indices.len(),
                right: nnz,
            });
        }
        if !(0..=1 << 31).contains(&n_features) {
            return Err(Error::Number {
                name: format!("{side}features"),
                wanted: "between 0 and 2^31".into(),
                got: n_features.to_string(),
            });
        }
        let (first, last) = match indptr {
            [] => return Err(Error::Offsets { side, nnz, got: "an empty array".into() }),
            [first, .., last] => (*first, *last),
            [only] => (*only, *only),
        };
        if first != 0 || last != nnz as i64 || indptr.len() > u32::MAX as usize {
            let got = format!("{first} to {last} in {} offsets", indptr.len());
            return Err(Error::Offsets { side, nnz, got });
        }
        if let Some([before, after]) = indptr.windows(2).find(|pair| pair[0] > pair[1]) {
            return Err(Error::Offsets { side, nnz, got: format!("{before} before {after}") });
        }
        let csr = Self { indptr, indices, values, n_features: n_features as usize };
        (0..csr.n_rows()).into_par_iter().with_min_len(1024).try_for_each(|row| csr.check_row(side, row))?;
        Ok(csr)
    }

    fn check_row(&self, side: &'static str, row: usize) -> Result<(), Error> {
        let (ids, values) = self.row(row);
        let within = |id: i32| (id as u32 as usize) < self.n_features; // a negative id is a large one
        let storable = |value: f32| value != 0.0 && value.is_finite();
        // Counted without early exits these are vector loops; which entry is wrong is asked only of a wrong row.
        let wrong = ids.iter().filter(|&&id| !within(id)).count()
            + ids.windows(2).filter(|pair| pair[0] >= pair[1]).count()
            + values.iter().filter(|&&value| !storable(value)).count();
        if wrong == 0 {
            return Ok(());
        }
        if let Some(&got) = ids.iter().find(|&&id| !within(id)) {
            return Err(Error::Id { name: format!("{side}indices"), end: self.n_features, got: i64::from(got) });
        }
        if let Some([previous, next]) = ids.windows(2).find(|pair| pair[0] >= pair[1]) {
            return Err(Error::Order { side, row, previous: *previous, next: *next });
        }
        let at = values.iter().take_while(|&&value| storable(value)).count();
        Err(Error::Value { side, position: self.span(row).start + at, got: values[at].to_string() })
    }

    pub(crate) fn n_rows(&self) -> usize {
        self.indptr.len() - 1
    }

    pub(crate) fn n_features(&self) -> usize {
        self.n_features
    }

    /// Refuse a result of `width` columns a feature that is empty or beyond any memory.
    pub(crate) fn check_width(&self, name: &str, width: usize) -> Result<(), Error> {
        let largest = (1 << 31) / self.n_features.max(1);
        if (1..=largest).contains(&width) {
            return Ok(());
        }
        Err(Error::Number { name: name.into(), wanted: format!("between 1 and {largest}"), got: width.to_string() })
    }

    pub(crate) fn nnz(&self) -> usize {
        self.values.len()
    }

    /// Borrow arrays that are right by construction; ids may stand in any order within a row.
    pub(crate) fn trusted(indptr: &'a [i64], indices: &'a [i32], values: &'a [f32], n_features: usize) -> Self {
        Self { indptr, indices, values, n_features }
    }

    pub(crate) fn is_non_negative(&self) -> bool {
        self.values.par_iter().with_min_len(1 << 14).all(|&value| value > 0.0)
    }

    /// Where row `t` lies in the arrays.
    pub(crate) fn span(&self, row: usize) -> Range<usize> {
        self.indptr[row] as usize..self.indptr[row + 1] as usize
    }

    /// Ids and values of row `t`.
    pub(crate) fn row(&self, row: usize) -> (&'a [i32], &'a [f32]) {
        let span = self.span(row);
        (&self.indices[span.clone()], &self.values[span])
    }

    /// Transpose: every column lists its rows in increasing order.
    pub(crate) fn transpose(&self) -> Csc {
        self.transpose_by(|place| place)
    }

    /// Transpose features that are wanted only, by the place each is given among `n_places`.
    pub(crate) fn select(&self, n_places: usize, place: impl Fn(i32) -> Option<u32> + Sync) -> Csc {
        let pick = |rows: Range<usize>| {
            let (mut ends, mut places, mut values) = (Vec::with_capacity(rows.len()), Vec::new(), Vec::new());
            for row in rows {
                let (ids, of_row) = self.row(row);
                for (place, &value) in ids.iter().map(|&id| place(id)).zip(of_row) {
                    if let Some(place) = place {
                        places.push(place as i32);
                        values.push(value);
                    }
                }
                ends.push(places.len());
            }
            (ends, places, values)
        };
        let parts: Vec<_> = row_ranges(self.n_rows()).into_par_iter().map(pick).collect();
        let total = parts.iter().map(|part| part.1.len()).sum();
        let mut indptr = Vec::with_capacity(self.n_rows() + 1);
        let (mut indices, mut values) = (Vec::with_capacity(total), Vec::with_capacity(total));
        indptr.push(0);
        for (ends, places, of_part) in parts {
            let start = indices.len();
            indptr.extend(ends.iter().map(|end| (start + end) as i64));
            indices.extend(places);
            values.extend(of_part);
        }
        Csr::trusted(&indptr, &indices, &values, n_places).transpose()
    }

    /// Transpose with the rows rearranged: row `row_at(i)` becomes row `i`.
    ///
    /// A radix partition into ranges of features, then a counting sort inside each range, so that both passes
    /// write to few places at a time and every write stays in a slice its thread owns.
    pub(crate) fn transpose_by(&self, row_at: impl Fn(usize) -> usize + Sync) -> Csc {
        let width = self.n_features.div_ceil(64).next_power_of_two();
        let n_ranges = self.n_features.div_ceil(width);
        let partition = |places| self.partition(places, &row_at, width.ilog2(), n_ranges);
        let chunks: Vec<(Vec<Entry>, Vec<usize>)> = row_ranges(self.n_rows()).into_par_iter().map(partition).collect();

        let mut offsets = vec![0; self.n_features + 1];
        let mut rows = vec![0; self.nnz()];
        let mut values = vec![0.0; self.nnz()];
        let mut tasks = Vec::with_capacity(n_ranges);
        let (mut rest_rows, mut rest_values, mut start) = (&mut rows[..], &mut values[..], 0);
        for (range, ends) in offsets[1..].chunks_mut(width).enumerate() {
            let pieces: Vec<&[Entry]> = chunks.iter().map(|(e, at)| &e[at[range]..at[range + 1]]).collect();
            let size = pieces.iter().map(|piece| piece.len()).sum();
            let (out_rows, more_rows) = rest_rows.split_at_mut(size);
            let (out_values, more_values) = rest_values.split_at_mut(size);
            tasks.push((range * width, start, pieces, ends, out_rows, out_values));
            (rest_rows, rest_values, start) = (more_rows, more_values, start + size);
        }
        tasks.into_par_iter().for_each(|(first, start, pieces, ends, out_rows, out_values)| {
            counting_sort(first, &pieces, ends, out_rows, out_values);
            for end in ends {
                *end += start;
            }
        });
        Csc { offsets, rows, values }
    }

    fn partition(
        &self,
        places: Range<usize>,
        row_at: impl Fn(usize) -> usize,
        shift: u32,
        n_ranges: usize,
    ) -> (Vec<Entry>, Vec<usize>) {
        let mut starts = vec![0; n_ranges + 1];
        for place in places.clone() {
            for &id in self.row(row_at(place)).0 {
                starts[(id as usize >> shift) + 1] += 1;
            }
        }
        for range in 0..n_ranges {
            starts[range + 1] += starts[range];
        }
        let mut next = starts.clone();
        let mut entries = vec![Entry::default(); starts[n_ranges]];
        for place in places {
            let (ids, values) = self.row(row_at(place));
            for (&id, &value) in ids.iter().zip(values) {
                let at = &mut next[id as usize >> shift];
                entries[*at] = Entry { row: place as u32, feature: id as u32, value };
                *at += 1;
            }
        }
        (entries, starts)
    }
}

/// Rows in ranges to share out among the threads.
pub fn row_ranges(n_rows: usize) -> Vec<Range<usize>> {
    let length = n_rows.div_ceil(4 * rayon::current_num_threads()).max(1);
    (0..n_rows).step_by(length).map(|start| start..n_rows.min(start + length)).collect()
}

/// Sort the entries of features `first..first + ends.len()` by feature, keeping their order; `ends` gets the
/// end of every column relative to the output slices.
fn counting_sort(first: usize, pieces: &[&[Entry]], ends: &mut [usize], rows: &mut [u32], values: &mut [f32]) {
    for entry in pieces.iter().copied().flatten() {
        ends[entry.feature as usize - first] += 1;
    }
    let mut total = 0;
    for end in ends.iter_mut() {
        (*end, total) = (total, total + *end);
    }
    for entry in pieces.iter().copied().flatten() {
        let at = &mut ends[entry.feature as usize - first];
        (rows[*at], values[*at]) = (entry.row, entry.value);
        *at += 1;
    }
}

impl Csc {
    pub fn n_features(&self) -> usize {
        self.offsets.len() - 1
    }

    /// Where the column of a feature lies.
    pub fn span(&self, feature: usize) -> Range<usize> {
        self.offsets[feature]..self.offsets[feature + 1]
    }

    pub fn column(&self, span: Range<usize>) -> Column<'_> {
        Column { rows: &self.rows[span.clone()], values: &self.values[span] }
    }

    pub fn feature(&self, feature: usize) -> Column<'_> {
        self.column(self.span(feature))
    }
}

impl Column<'_> {
    pub fn len(&self) -> usize {
        self.rows.len()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::naive;

    proptest! {
        #[test]
        fn columns_of_the_transpose_are_the_columns((a, _) in naive::sides(), threads in 1..5_usize, reversed: bool) {
            let order = |place: usize| if reversed { a.rows.len() - 1 - place } else { place };
            let csc = naive::with_threads(threads, || a.csr().transpose_by(order));
            for feature in 0..a.n_features {
                let places = (0..a.rows.len()).map(|place| (place as u32, a.rows[order(place)][feature]));
                let wanted: Vec<(u32, f32)> = places.filter(|(_, value)| *value != 0.0).collect();
                let column = csc.feature(feature);
                let found = column.rows.iter().copied().zip(column.values.iter().copied());
                prop_assert_eq!(found.collect::<Vec<_>>(), wanted);
            }
        }
    }

    #[test]
    fn malformed_arrays_are_refused_by_name() {
        type Case<'a> = (&'a [i64], &'a [i32], &'a [f32], i64, &'a str);
        let cases: [Case; 11] = [
            (&[], &[], &[], 1, "a_indptr must rise from 0 to the number of values (0), got an empty array"),
            (&[0, 1], &[], &[], 1, "a_indptr must rise from 0 to the number of values (0), got 0 to 1 in 2 offsets"),
            (&[-1, 0], &[], &[], 1, "a_indptr must rise from 0 to the number of values (0), got -1 to 0 in 2 offsets"),
            (&[0, 2, 1], &[0], &[1.0], 1, "a_indptr must rise from 0 to the number of values (1), got 2 before 1"),
            (&[0, 1], &[0, 1], &[1.0], 2, "a_indices and a_values must have one length, got 2 and 1"),
            (&[0, 1], &[2], &[1.0], 2, "a_indices must lie in 0..2, got 2"),
            (&[0, 1], &[-1], &[1.0], 2, "a_indices must lie in 0..2, got -1"),
            (&[0, 2], &[1, 1], &[1.0, 1.0], 2, "a_indices must increase within a row, got 1 before 1 in row 0"),
            (&[0, 1], &[0], &[f32::NAN], 1, "a_values must be finite and not zero, got NaN at position 0"),
            (&[0, 1], &[0], &[0.0], 1, "a_values must be finite and not zero, got 0 at position 0"),
            (&[0], &[], &[], -1, "a_features must be between 0 and 2^31, got -1"),
        ];
        for (indptr, indices, values, n_features, wanted) in cases {
            let error = Csr::new("a_", indptr, indices, values, n_features).err().expect(wanted);
            assert_eq!(error.to_string(), wanted);
        }
    }
}
