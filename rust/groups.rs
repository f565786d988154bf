//! Rows in groups (the tokens of one vocabulary id): what is left of a column once its group means are taken off.

use std::collections::HashMap;

use crate::Error;
use crate::sparse::Column;

/// A variance within groups of at most this share of the sum of squares is zero.
pub const WITHIN_FLOOR: f64 = 1e-10;

/// The group of every row. A row alone in its group is its own mean: it carries nothing and counts as without one.
pub struct Groups {
    /// Group by row; `sizes.len()` for none.
    of_row: Vec<u32>,
    sizes: Vec<u32>,
}

/// The rows from some row on, each with its group: all of them, or those of a window.
#[derive(Clone, Copy)]
pub struct GroupedRows<'a> {
    of_row: &'a [u32],
    sizes: &'a [u32],
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

    pub fn rows_from(&self, first: usize) -> GroupedRows<'_> {
        GroupedRows { of_row: &self.of_row[first..], sizes: &self.sizes }
    }
}

impl GroupedRows<'_> {
    /// Number of groups.
    pub fn len(&self) -> usize {
        self.sizes.len()
    }

    /// The group of a row; their number if it has none.
    #[inline]
    pub fn group(&self, row: u32) -> usize {
        self.of_row[row as usize] as usize
    }

    pub fn has(&self, row: usize) -> bool {
        self.group(row as u32) < self.len()
    }

    /// Rows in a group.
    pub fn size(&self, group: u32) -> f64 {
        f64::from(self.sizes[group as usize])
    }

    /// The column by rows, without those that are alone; `dense` is zero before.
    pub fn lay(&self, column: Column, dense: &mut [f32]) {
        for (&row, &value) in column.rows.iter().zip(column.values) {
            if self.has(row as usize) {
                dense[row as usize] = value;
            }
        }
    }
}
