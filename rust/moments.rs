//! Exact moments of sparse columns: what every reported correlation is computed from, in float64.

use crate::sparse::Column;

/// Mean of a column over `n` rows and the norm of the centred column, sqrt(n) times its standard deviation.
#[derive(Clone, Copy, Debug)]
pub struct Moments {
    pub mean: f64,
    pub norm: f64,
}

impl Moments {
    /// Population moments over `n` rows; `None` when the variance is at most `floor` times the mean square.
    pub fn of(column: Column, n: usize, floor: f64) -> Option<Self> {
        let (mean, centred) = centred_squares(column, n);
        let squares: f64 = column.values.iter().map(|&x| f64::from(x) * f64::from(x)).sum();
        (centred > floor * squares).then(|| Self { mean, norm: centred.sqrt() })
    }

    /// Standard deviation over `n` rows.
    pub fn deviation(&self, n: usize) -> f64 {
        self.norm / (n as f64).sqrt()
    }
}

/// Mean over `n` rows, and sum of squares about it; the rows that are not stored count as zeros.
pub fn centred_squares(column: Column, n: usize) -> (f64, f64) {
    let mean = column.values.iter().map(|&x| f64::from(x)).sum::<f64>() / n.max(1) as f64;
    let fired: f64 = column.values.iter().map(|&x| (f64::from(x) - mean).powi(2)).sum();
    (mean, fired + (n - column.len()) as f64 * mean * mean)
}

/// Sum over `n` rows of (a - `mean_a`)(b - `mean_b`), from the stored entries alone.
///
/// Centred term by term where both fire, so that columns with large means lose nothing. The same bits come out
/// with the columns exchanged.
pub fn centred_product(a: Column, b: Column, mean_a: f64, mean_b: f64, n: usize) -> f64 {
    let (mut products, mut sum_a, mut sum_b, mut common) = (0.0, 0.0, 0.0, 0);
    for_common_rows(a.rows, b.rows, |i, j| {
        let (from_a, from_b) = (f64::from(a.values[i]) - mean_a, f64::from(b.values[j]) - mean_b);
        products += from_a * from_b;
        sum_a += from_a;
        sum_b += from_b;
        common += 1;
    });
    products + (sum_a * mean_b + sum_b * mean_a) - (n - common) as f64 * (mean_a * mean_b)
}

/// Pearson correlation of two columns over `n` rows.
pub fn pearson(a: Column, b: Column, moments_a: Moments, moments_b: Moments, n: usize) -> f64 {
    correlation(centred_product(a, b, moments_a.mean, moments_b.mean, n), moments_a.norm * moments_b.norm)
}

/// `product / norm` in -1..=1, rounded to 2^-40 (9e-13): correlations that are equal must compare equal in
/// whatever order their terms were added, or ties would not go to the lowest index.
pub fn correlation(product: f64, norm: f64) -> f64 {
    const GRID: f64 = (1_u64 << 40) as f64;
    ((product / norm).clamp(-1.0, 1.0) * GRID).round() / GRID + 0.0
}

/// Call `visit(i, j)` for every pair of places with one row, in order.
fn for_common_rows(a: &[u32], b: &[u32], mut visit: impl FnMut(usize, usize)) {
    const SEARCH: usize = 16; // above this ratio of lengths, searching the longer beats merging
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
