//! Rows in groups (the tokens of one vocabulary id): what is left of a column once its group means are taken off.

use std::collections::HashMap;

use crate::Error;
use crate::moments::{Centred, sum_of_squares};
use crate::sparse::Column;

/// A variance within groups of at most this share of the sum of squares is zero.
pub const WITHIN_FLOOR: f64 = 1e-10;

/// The group of every row. A row alone in its group is its own mean: it carries nothing and counts as without one.
pub struct Groups {
    /// Group by row; `sizes.len()` for none.
    of_row: Vec<u32>,
    sizes: Vec<u32>,
}

/// A group and what a column holds there: its sum over the square root of the group's size.
pub type Share = (u32, f32);

impl Groups {
    /// # Errors
    /// Not one id for each of `n_rows` rows.
    pub fn new(ids: &[i64], n_rows: usize) -> Result<Self, Error> {
        if ids.len() != n_rows {
            return Err(Error::Lengths { what: "groups and the rows of a".into(), left: ids.len(), right: n_rows });
        }
        let mut number = HashMap::new();
        let mut sizes: Vec<u32> = Vec::new();
        let mut of_row: Vec<u32> = ids
            .iter()
            .map(|id| {
                let group = *number.entry(*id).or_insert(sizes.len() as u32);
                sizes.resize(sizes.len().max(group as usize + 1), 0);
                sizes[group as usize] += 1;
                group
            })
            .collect();
        let n_groups = sizes.iter().filter(|&&size| size > 1).count() as u32;
        let mut next = 0..n_groups;
        let renamed: Vec<u32> =
            sizes.iter().map(|&size| if size > 1 { next.next().unwrap_or(n_groups) } else { n_groups }).collect();
        for group in &mut of_row {
            *group = renamed[*group as usize];
        }
        sizes.retain(|&size| size > 1);
        Ok(Self { of_row, sizes })
    }

    pub fn len(&self) -> usize {
        self.sizes.len()
    }

    pub fn has(&self, row: usize) -> bool {
        (self.of_row[row] as usize) < self.len()
    }

    /// A column about its group means, and its shares of the groups, the first `ordered` of them largest first; if
    /// more than rounding is left of it. `ledger` is empty before and after.
    pub fn measure(&self, column: Column, ordered: usize, ledger: &mut Ledger) -> Option<(Centred, Vec<Share>)> {
        ledger.enter(self, column);
        let mut squares = 0.0;
        for (&row, &value) in column.rows.iter().zip(column.values) {
            let group = self.of_row[row as usize] as usize;
            if group < self.len() {
                let rest = f64::from(value) - ledger.means[group];
                squares += rest * rest;
            }
        }
        let mut shares = Vec::with_capacity(ledger.touched.len());
        for &group in &ledger.touched {
            let (size, mean) = (f64::from(self.sizes[group as usize]), ledger.means[group as usize]);
            squares += (size - f64::from(ledger.counts[group as usize])) * mean * mean;
            shares.push((group, (mean * size.sqrt()) as f32));
        }
        ledger.clear();
        if squares <= WITHIN_FLOOR * sum_of_squares(column) {
            return None;
        }
        let ordered = shares.len().min(ordered);
        let larger = |x: &Share, y: &Share| y.1.total_cmp(&x.1);
        if ordered < shares.len() {
            shares.select_nth_unstable_by(ordered, larger);
        }
        shares[..ordered].sort_unstable_by(larger);
        Some((Centred::within(squares, column.len()), shares))
    }

    /// The column by rows, without those that are alone; `dense` is zero before.
    pub fn lay(&self, column: Column, dense: &mut [f32]) {
        for (&row, &value) in column.rows.iter().zip(column.values) {
            if self.has(row as usize) {
                dense[row as usize] = value;
            }
        }
    }

    /// Sum of products of what is left of two columns, from one as it was laid and its means in the ledger.
    ///
    /// Taking the means off one column is enough: what is left of it sums to 0 in every group.
    pub fn product(&self, dense_a: &[f32], means_a: &Ledger, b: Column) -> f64 {
        let product = |(&row, &of_b): (&u32, &f32)| {
            let mean = means_a.means[self.of_row[row as usize] as usize];
            (f64::from(dense_a[row as usize]) - mean) * f64::from(of_b)
        };
        b.rows.iter().zip(b.values).map(product).sum()
    }
}

/// Means and counts of one column by group, and which groups they are.
#[derive(Default)]
pub struct Ledger {
    means: Vec<f64>,
    counts: Vec<u32>,
    touched: Vec<u32>,
}

impl Ledger {
    pub fn enter(&mut self, groups: &Groups, column: Column) {
        self.means.resize(groups.len() + 1, 0.0); // the last is of rows without a group, and stays 0
        self.counts.resize(groups.len(), 0);
        for (&row, &value) in column.rows.iter().zip(column.values) {
            let group = groups.of_row[row as usize];
            if let Some(count) = self.counts.get_mut(group as usize) {
                if *count == 0 {
                    self.touched.push(group);
                }
                *count += 1;
                self.means[group as usize] += f64::from(value);
            }
        }
        for &group in &self.touched {
            self.means[group as usize] /= f64::from(groups.sizes[group as usize]);
        }
    }

    pub fn clear(&mut self) {
        for group in self.touched.drain(..) {
            self.means[group as usize] = 0.0;
            self.counts[group as usize] = 0;
        }
    }
}
