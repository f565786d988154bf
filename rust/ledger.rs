//! What one column holds in every group of rows: sums that become means, added up in memory or window by window.

use crate::groups::{GroupedRows, Share};
use crate::sparse::Column;

/// What a column holds in a group that it fires in.
#[derive(Clone, Copy)]
pub struct Holding {
    group: u32,
    count: u32,
    /// The sum over the rows so far; in the end the mean over the whole group.
    held: f64,
}

/// What a column holds while another one is in the ledger, groups in the order in which it came to them.
pub type Book = Vec<Holding>;

/// Sums, then means, and counts of one column by group, and which groups these are.
#[derive(Default)]
pub struct Ledger {
    held: Vec<f64>,
    counts: Vec<u32>,
    touched: Vec<u32>,
}

impl Ledger {
    fn open(&mut self, rows: GroupedRows) {
        self.held.resize(rows.len() + 1, 0.0); // the last is of rows without a group, and stays 0
        self.counts.resize(rows.len(), 0);
    }

    /// The means of a whole column.
    pub fn enter(&mut self, rows: GroupedRows, column: Column) {
        self.add(rows, column);
        self.average(rows);
    }

    /// Add to the sums, row after row.
    pub fn add(&mut self, rows: GroupedRows, column: Column) {
        self.open(rows);
        for (&row, &value) in column.rows.iter().zip(column.values) {
            let group = rows.group(row);
            if let Some(count) = self.counts.get_mut(group) {
                if *count == 0 {
                    self.touched.push(group as u32);
                }
                *count += 1;
                self.held[group] += f64::from(value);
            }
        }
    }

    /// Make means of the sums over all rows.
    pub fn average(&mut self, rows: GroupedRows) {
        for &group in &self.touched {
            self.held[group as usize] /= rows.size(group);
        }
    }

    /// The mean in a group, 0 for the rows without one.
    #[inline]
    pub fn mean(&self, group: usize) -> f64 {
        self.held[group]
    }

    /// Add to `squares` those of stored values about their means.
    pub fn squares(&self, rows: GroupedRows, column: Column, mut squares: f64) -> f64 {
        for (&row, &value) in column.rows.iter().zip(column.values) {
            let group = rows.group(row);
            if group < rows.len() {
                let rest = f64::from(value) - self.held[group];
                squares += rest * rest;
            }
        }
        squares
    }

    /// Add to `squares` those of the groups' other rows, which hold zeros; and the column's share of every group.
    pub fn close(&self, rows: GroupedRows, mut squares: f64) -> (f64, Vec<Share>) {
        let share = |&group: &u32| {
            let (size, mean) = (rows.size(group), self.held[group as usize]);
            squares += (size - f64::from(self.counts[group as usize])) * mean * mean;
            (group, (mean * size.sqrt()) as f32)
        };
        let shares = self.touched.iter().map(share).collect();
        (squares, shares)
    }

    /// Sum of squares of a whole column about its group means, and its shares of the groups. The ledger is empty before
    /// and after.
    pub fn measure(&mut self, rows: GroupedRows, column: Column) -> (f64, Vec<Share>) {
        self.enter(rows, column);
        let measured = self.close(rows, self.squares(rows, column, 0.0));
        self.clear();
        measured
    }

    /// Add to `sum` the products of what is left of two columns: the one whose means stand here, laid out in `dense`, and
    /// `other`.
    ///
    /// Taking the means off one column is enough: what is left of it sums to 0 in every group.
    pub fn product(&self, rows: GroupedRows, dense: &[f32], other: Column, sum: f64) -> f64 {
        other.rows.iter().zip(other.values).fold(sum, |sum, (&row, &value)| {
            sum + (f64::from(dense[row as usize]) - self.mean(rows.group(row))) * f64::from(value)
        })
    }

    /// Take a column up again.
    pub fn load(&mut self, rows: GroupedRows, book: &Book) {
        self.open(rows);
        for holding in book {
            self.held[holding.group as usize] = holding.held;
            self.counts[holding.group as usize] = holding.count;
            self.touched.push(holding.group);
        }
    }

    /// Put a column aside.
    pub fn store(&mut self, book: &mut Book) {
        book.clear();
        book.extend(self.touched.iter().map(|&group| Holding {
            group,
            count: self.counts[group as usize],
            held: self.held[group as usize],
        }));
        self.clear();
    }

    pub fn clear(&mut self) {
        for group in self.touched.drain(..) {
            self.held[group as usize] = 0.0;
            self.counts[group as usize] = 0;
        }
    }
}
