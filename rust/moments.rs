//! Exact moments of sparse columns: what every reported correlation is computed from, in float64.

use crate::sparse::Column;

/// Above this ratio of lengths, searching the longer of two columns beats reading it.
pub const SEARCH: usize = 16;

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
    pub fn new(column: Column, n: usize) -> Self {
        let count = column.len();
        let mean = column.values.iter().map(|&x| f64::from(x)).sum::<f64>() / n.max(1) as f64;
        let (mut stored, mut squares) = (0.0, 0.0);
        for rest in column.values.iter().map(|&x| f64::from(x) - mean) {
            stored += rest;
            squares += rest * rest;
        }
        Self { mean, squares: squares + (n - count) as f64 * mean * mean, stored, count }
    }

    /// The column as it is, taken about zero instead of its mean.
    pub fn about_zero(column: Column) -> Self {
        let stored = column.values.iter().map(|&x| f64::from(x)).sum();
        Self { mean: 0.0, squares: sum_of_squares(column), stored, count: column.len() }
    }

    /// A column of which only the squares within groups of rows are asked for.
    pub fn within(squares: f64, count: usize) -> Self {
        Self { mean: 0.0, squares, stored: 0.0, count }
    }

    /// The number of rows the column fires on, whatever its values.
    pub fn counted(column: Column) -> Self {
        let count = column.len();
        Self { mean: 0.0, squares: count as f64, stored: count as f64, count }
    }

    /// The same, if more than `floor` of the column's sum of squares is left.
    pub fn varying(column: Column, n: usize, floor: f64) -> Option<Self> {
        Some(Self::new(column, n)).filter(|centred| centred.squares > floor * sum_of_squares(column))
    }
}

pub fn sum_of_squares(column: Column) -> f64 {
    column.values.iter().map(|&x| f64::from(x) * f64::from(x)).sum()
}

/// Sums over the rows where two columns both fire, each value less its column's mean.
#[derive(Clone, Copy, Default)]
pub struct Together {
    products: f64,
    sum_a: f64,
    sum_b: f64,
    count: usize,
}

impl Together {
    pub fn new(a: Column, b: Column, centred_a: &Centred, centred_b: &Centred) -> Self {
        let mut sums = Self::default();
        for_common_rows(a.rows, b.rows, |i, j| {
            sums.add(f64::from(a.values[i]) - centred_a.mean, f64::from(b.values[j]) - centred_b.mean);
        });
        sums
    }

    /// The same from `dense_a`, column `a` by rows with 0 where it does not fire.
    pub fn looked_up(dense_a: &[f32], b: Column, centred_a: &Centred, centred_b: &Centred) -> Self {
        let mut sums = Self::default();
        for (&row, &of_b) in b.rows.iter().zip(b.values) {
            let of_a = dense_a[row as usize];
            if of_a != 0.0 {
                sums.add(f64::from(of_a) - centred_a.mean, f64::from(of_b) - centred_b.mean);
            }
        }
        sums
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

/// Call `visit(i, j)` for every pair of places with one row, in order.
fn for_common_rows(a: &[u32], b: &[u32], mut visit: impl FnMut(usize, usize)) {
    if b.len() / SEARCH > a.len() {
        search(a, b, visit);
    } else if a.len() / SEARCH > b.len() {
        search(b, a, |j, i| visit(i, j));
    } else {
        let (mut i, mut j) = (0, 0);
        while i < a.len() && j < b.len() {
            let order = a[i].cmp(&b[j]);
            if order.is_eq() {
                visit(i, j);
            }
            i += usize::from(order.is_le());
            j += usize::from(order.is_ge());
        }
    }
}

fn search(short: &[u32], long: &[u32], mut visit: impl FnMut(usize, usize)) {
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
