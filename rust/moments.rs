//! Exact moments of sparse columns: what every reported correlation is computed from, in float64.

use crate::sparse::Column;

/// Above this ratio of lengths, searching the longer of two columns beats reading it.
const SEARCH: usize = 16;

/// What centring a column over `n` rows leaves; rows that are not stored count as zeros.
#[derive(Clone, Copy, Debug)]
pub struct Centred {
    pub mean: f64,
    /// Sum of squares about the mean: n times the population variance.
    pub squares: f64,
    /// Sum of the stored values less the mean, and their number.
    stored: f64,
    count: usize,
}

impl Centred {
    /// A column of which only the squares within groups of rows are asked for.
    pub fn within(squares: f64, count: usize) -> Self {
        Self { mean: 0.0, squares, stored: 0.0, count }
    }

    /// Take in the stored values of more rows.
    pub fn add(&mut self, column: Column) {
        for rest in column.values.iter().map(|&x| f64::from(x) - self.mean) {
            self.stored += rest;
            self.squares += rest * rest;
        }
        self.count += column.len();
    }

    /// Take in the rows, of `n`, that are not stored, once all that are have been added.
    pub fn and_zeros(mut self, n: usize) -> Self {
        self.squares += (n - self.count) as f64 * self.mean * self.mean;
        self
    }
}

/// What a first pass over a column gathers, part by part in the order of its rows: sums in float64, the same
/// wherever the parts begin and end.
#[derive(Clone, Copy, Debug, Default)]
pub struct Sums {
    pub count: usize,
    pub sum: f64,
    pub squares: f64,
}

impl Sums {
    pub fn add(&mut self, column: Column) {
        self.count += column.len();
        for x in column.values.iter().map(|&x| f64::from(x)) {
            self.sum += x;
            self.squares += x * x;
        }
    }

    /// Begin a second pass, about the mean over `n` rows.
    pub fn about_mean(&self, n: usize) -> Centred {
        Centred { mean: self.sum / n.max(1) as f64, squares: 0.0, stored: 0.0, count: 0 }
    }

    /// The column as it is, taken about zero instead of its mean.
    pub fn about_zero(&self) -> Centred {
        Centred { mean: 0.0, squares: self.squares, stored: self.sum, count: self.count }
    }

    /// The number of rows the column fires on, whatever its values.
    pub fn counted(&self) -> Centred {
        Centred { mean: 0.0, squares: self.count as f64, stored: self.count as f64, count: self.count }
    }
}

pub fn sum_of_squares(column: Column) -> f64 {
    column.values.iter().map(|&x| f64::from(x) * f64::from(x)).sum()
}

/// Sums over the rows where two columns both fire, each value less its column's mean.
#[derive(Clone, Copy, Default)]
pub struct Together {
    pub products: f64,
    sum_a: f64,
    sum_b: f64,
    count: usize,
}

impl Together {
    /// Take in rows of two columns; `dense_a` is the first by rows, with 0 where it does not fire. Terms are added
    /// in the order of the rows, so that columns may come in parts.
    pub fn add_rows(&mut self, a: Column, dense_a: &[f32], b: Column, of_a: &Centred, of_b: &Centred) {
        if b.len() / SEARCH > a.len() {
            for_common_rows(a.rows, b.rows, |i, j| {
                self.add(f64::from(a.values[i]) - of_a.mean, f64::from(b.values[j]) - of_b.mean);
            });
            return;
        }
        for (&row, &value) in b.rows.iter().zip(b.values) {
            let value_a = dense_a[row as usize];
            if value_a != 0.0 {
                self.add(f64::from(value_a) - of_a.mean, f64::from(value) - of_b.mean);
            }
        }
    }

    fn add(&mut self, from_a: f64, from_b: f64) {
        self.products += from_a * from_b;
        self.sum_a += from_a;
        self.sum_b += from_b;
        self.count += 1;
    }

    /// Sum of the centred products over all `n` rows: where both fire, where one does, where none does.
    ///
    /// Nothing is added up that is not centred, so large means cost no digits; the same bits come out with the
    /// columns exchanged.
    pub fn product(&self, a: &Centred, b: &Centred, n: usize) -> f64 {
        let alone = b.mean * (a.stored - self.sum_a) + a.mean * (b.stored - self.sum_b);
        let neither = (n + self.count) as f64 - (a.count + b.count) as f64;
        self.products - alone + neither * (a.mean * b.mean)
    }

    /// Rows where both fire over rows where either does: equal fractions are equal numbers.
    pub fn overlap(&self, a: &Centred, b: &Centred) -> f64 {
        self.count as f64 / (a.count + b.count - self.count) as f64
    }
}

/// `product / sqrt(squares_a squares_b)` in -1..=1, rounded to 2^-40 (9e-13): correlations that are equal must
/// compare equal in whatever order their terms were added, or ties would not go to the lowest index.
pub fn correlation(product: f64, squares_a: f64, squares_b: f64) -> f64 {
    const GRID: f64 = (1_u64 << 40) as f64;
    ((product / (squares_a.sqrt() * squares_b.sqrt())).clamp(-1.0, 1.0) * GRID).round() / GRID + 0.0
}

/// Call `visit(i, j)` for every pair of places with one row, in order, where the first rows are far fewer.
fn for_common_rows(short: &[u32], long: &[u32], mut visit: impl FnMut(usize, usize)) {
    let mut start = 0;
    for (i, row) in short.iter().enumerate() {
        start += count_below(&long[start..], *row);
        if long.get(start) == Some(row) {
            visit(i, start);
        }
    }
}

/// Number of leading rows below `row`, found by doubling steps.
fn count_below(rows: &[u32], row: u32) -> usize {
    let mut step = 1;
    while step < rows.len() && rows[step] < row {
        step *= 2;
    }
    let (low, high) = (step / 2, rows.len().min(step + 1));
    low + rows[low..high].partition_point(|&r| r < row)
}
