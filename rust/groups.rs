//! Rows in groups (the tokens of one vocabulary id): what is left of a column once its group means are taken off.
//!
//! Within groups the sum of products of two columns is `sum_t a_t b_t - sum_g S_a S_b / n_g`, S their sums in a
//! group of n rows: the product over the rows less that over one more row for each group, which holds S / sqrt(n).
//! So a side is laid out once with its rows sorted by group and these rows added below them, and both terms are
//! sparse products of it.

use std::collections::HashMap;
use std::ops::Range;

use rayon::prelude::*;

use crate::Error;
use crate::moments::{Centred, sum_of_squares};
use crate::sparse::{Column, Csr};

/// A variance within groups of at most this share of the sum of squares is zero.
pub const WITHIN_FLOOR: f64 = 1e-10;

/// Rows sorted by group. A row alone in its group is its own mean: it carries nothing and has no place.
pub struct Groups {
    /// The row at every place.
    row_at: Vec<u32>,
    /// The group of every place.
    group_at: Vec<u32>,
    /// Where each group's places begin, and the end.
    starts: Vec<usize>,
    /// The rows without a place.
    alone: Vec<u32>,
}

impl Groups {
    /// # Errors
    /// Not one id for each of `n_rows` rows.
    pub fn new(ids: &[i64], n_rows: usize) -> Result<Self, Error> {
        if ids.len() != n_rows {
            return Err(Error::Lengths { what: "groups and the rows of a".into(), left: ids.len(), right: n_rows });
        }
        let mut number = HashMap::new();
        let mut sizes: Vec<usize> = Vec::new();
        let of_row: Vec<usize> = ids
            .iter()
            .map(|id| {
                let group = *number.entry(*id).or_insert(sizes.len());
                sizes.resize(sizes.len().max(group + 1), 0);
                sizes[group] += 1;
                group
            })
            .collect();
        let (mut starts, mut next) = (vec![0], vec![usize::MAX; sizes.len()]);
        let mut end = 0;
        for (next, &size) in next.iter_mut().zip(&sizes).filter(|(_, size)| **size > 1) {
            *next = end;
            end += size;
            starts.push(end);
        }
        let mut row_at = vec![0; end];
        let mut alone = Vec::new();
        for (row, &group) in of_row.iter().enumerate() {
            if next[group] == usize::MAX {
                alone.push(row as u32);
            } else {
                row_at[next[group]] = row as u32;
                next[group] += 1;
            }
        }
        let numbered = (0..).zip(starts.windows(2));
        let group_at = numbered.flat_map(|(group, ends)| std::iter::repeat_n(group, ends[1] - ends[0])).collect();
        Ok(Self { row_at, group_at, starts, alone })
    }

    pub fn len(&self) -> usize {
        self.starts.len() - 1
    }

    /// Rows that have a place.
    pub fn n_places(&self) -> usize {
        self.row_at.len()
    }

    pub fn group(&self, place: u32) -> u32 {
        self.group_at[place as usize]
    }

    /// The stretches of a column of places that lie in one group each, centred there.
    fn runs<'c>(&'c self, column: Column<'c>) -> impl Iterator<Item = (u32, Centred)> + 'c {
        let mut start = 0;
        column.rows.chunk_by(|&i, &j| self.group(i) == self.group(j)).map(move |run| {
            let (span, group) = (start..start + run.len(), self.group(run[0]));
            start = span.end;
            let places = &self.starts[group as usize..][..2];
            (group, Centred::new(column.part(span), places[1] - places[0]))
        })
    }

    /// The sum of squares about the group means, if it is more than rounding; `alone`: the squares without a place.
    pub fn squares_within(&self, column: Column, alone: f64) -> Option<f64> {
        let squares = self.runs(column).map(|(_, centred)| centred.squares).sum();
        Some(squares).filter(|&squares: &f64| squares > WITHIN_FLOOR * (sum_of_squares(column) + alone))
    }

    /// Put the column's mean in every group where it fires into `means`.
    pub fn spread_means(&self, column: Column, means: &mut Vec<f64>) {
        means.resize(self.len(), 0.0);
        for (group, centred) in self.runs(column) {
            means[group as usize] = centred.mean;
        }
    }

    /// Sum of products of what is left of two columns, from one by places and its mean by groups.
    ///
    /// Taking the means off one column is enough: what is left of it sums to 0 in every group.
    pub fn product_within(&self, dense_a: &[f32], means_a: &[f64], b: Column) -> f64 {
        let product = |(&row, &of_b): (&u32, &f32)| {
            (f64::from(dense_a[row as usize]) - means_a[self.group(row) as usize]) * f64::from(of_b)
        };
        b.rows.iter().zip(b.values).map(product).sum()
    }

    /// Set the same places of `means` back to 0.
    pub fn clear_means(&self, column: Column, means: &mut [f64]) {
        for &row in column.rows {
            means[self.group(row) as usize] = 0.0;
        }
    }
}

/// A side laid out by places, with a row for each group below them, and what it holds in rows without a place.
pub struct Grouped {
    indptr: Vec<i64>,
    indices: Vec<i32>,
    values: Vec<f32>,
    n_features: usize,
    /// By feature: activations and sum of squares in rows without a place.
    pub alone: Vec<(usize, f64)>,
}

impl Grouped {
    /// `sign` is that of the groups' rows.
    pub fn new(csr: Csr, groups: &Groups, sign: f64) -> Self {
        let n_features = csr.n_features();
        let length = groups.len().div_ceil(8 * rayon::current_num_threads()).max(1);
        let ranges: Vec<Range<usize>> =
            (0..groups.len()).step_by(length).map(|start| start..groups.len().min(start + length)).collect();
        let parts: Vec<[Part; 2]> = ranges
            .into_par_iter()
            .map_init(|| vec![0.0; n_features], |sums, range| lay_out(csr, groups, range, sign, sums))
            .collect();
        let total = parts.iter().flatten().map(|part| part.indices.len()).sum();
        let (indices, values) = (Vec::with_capacity(total), Vec::with_capacity(total));
        let mut whole = Self { indptr: vec![0], indices, values, n_features, alone: vec![(0, 0.0); n_features] };
        for part in parts.iter().map(|[rows, _]| rows).chain(parts.iter().map(|[_, sums]| sums)) {
            let start = whole.indices.len() as i64;
            whole.indptr.extend(part.ends.iter().map(|&end| start + end as i64));
            whole.indices.extend_from_slice(&part.indices);
            whole.values.extend_from_slice(&part.values);
        }
        for &row in &groups.alone {
            let (ids, values) = csr.row(row as usize);
            for (&id, &value) in ids.iter().zip(values) {
                let (count, squares) = &mut whole.alone[id as usize];
                *count += 1;
                *squares += f64::from(value) * f64::from(value);
            }
        }
        whole
    }

    pub fn csr(&self) -> Csr<'_> {
        Csr::trusted(&self.indptr, &self.indices, &self.values, self.n_features)
    }
}

/// Some rows of a side.
#[derive(Default)]
struct Part {
    ends: Vec<usize>,
    indices: Vec<i32>,
    values: Vec<f32>,
}

/// The rows of some groups, and the rows of their sums; `sums` is zero by feature before and after.
fn lay_out(csr: Csr, groups: &Groups, range: Range<usize>, sign: f64, sums: &mut [f64]) -> [Part; 2] {
    let (mut rows, mut of_groups, mut touched) = (Part::default(), Part::default(), Vec::new());
    for group in range {
        let places = groups.starts[group]..groups.starts[group + 1];
        let scale = sign / (places.len() as f64).sqrt();
        for place in places {
            let (ids, values) = csr.row(groups.row_at[place] as usize);
            for (&id, &value) in ids.iter().zip(values) {
                let sum = &mut sums[id as usize];
                if *sum == 0.0 {
                    touched.push(id);
                }
                *sum += f64::from(value);
            }
            rows.indices.extend_from_slice(ids);
            rows.values.extend_from_slice(values);
            rows.ends.push(rows.indices.len());
        }
        for id in touched.drain(..) {
            let sum = (std::mem::take(&mut sums[id as usize]) * scale) as f32;
            if sum != 0.0 {
                of_groups.indices.push(id);
                of_groups.values.push(sum);
            }
        }
        of_groups.ends.push(of_groups.indices.len());
    }
    [rows, of_groups]
}
