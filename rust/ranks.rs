//! Mantel products: one distance matrix against many rearrangements of another.

use rayon::prelude::*;

use crate::Error;

/// Permutations a thread takes at a time.
const BATCH: usize = 8;

/// For every permutation p the sum over i < j of x[i, j] y[p[i], p[j]]: the statistic of the Mantel test (Mantel
/// 1967, eq. 1), and of a Spearman RSA when x and y hold centred ranks.
///
/// `x` and `y` are n x n, row-major; `permutations` holds one after the other. Sums are in float64; `x` is read in
/// float32 when that changes none of its values, as with ranks up to n = 5 000.
///
/// # Errors
/// Matrices of another size, or a row of `permutations` that is no permutation.
pub fn mantel_dots(x: &[f64], y: &[f64], n: usize, permutations: &[i64]) -> Result<Vec<f64>, Error> {
    for (name, matrix) in [("x", x), ("y", y)] {
        if n == 0 || matrix.len() != n * n {
            let (wanted, got) = (format!("square, {0} x {0}", n.max(1)), format!("{} values", matrix.len()));
            return Err(Error::Number { name: name.into(), wanted, got });
        }
    }
    if !permutations.len().is_multiple_of(n) {
        let (wanted, got) = (format!("rows of {n}"), format!("{} values", permutations.len()));
        return Err(Error::Number { name: "permutations".into(), wanted, got });
    }
    match halved(x) {
        Some(x) => dots(&x, y, n, permutations),
        None => dots(x, y, n, permutations),
    }
}

/// The same values in float32, if it holds them exactly.
fn halved(matrix: &[f64]) -> Option<Vec<f32>> {
    let exact = |half: f32, value: f64| f64::from(half).to_bits() == value.to_bits();
    matrix.par_iter().map(|&value| Some(value as f32).filter(|&half| exact(half, value))).collect()
}

/// Some permutations at a time, row by row of y: the row, which is read at random, stays in the nearest cache for
/// all of them, and x is read in order.
fn dots<T: Copy + Into<f64> + Sync>(x: &[T], y: &[f64], n: usize, permutations: &[i64]) -> Result<Vec<f64>, Error> {
    let batch = (permutations.len() / n).div_ceil(rayon::current_num_threads()).clamp(1, BATCH);
    let batches = permutations.par_chunks(batch * n).enumerate().map(|(number, batch_rows)| {
        let rows = batch_rows.chunks(n).enumerate();
        let orders: Vec<Order> = rows.map(|(i, row)| Order::new(row, number * batch + i)).collect::<Result<_, _>>()?;
        let mut sums = vec![0.0; orders.len()];
        for (to, row) in y.chunks(n).enumerate() {
            for (sum, order) in sums.iter_mut().zip(&orders) {
                let i = order.from[to] as usize;
                *sum += dot(&x[i * n..][i + 1..n], row, &order.to[i + 1..]);
            }
        }
        Ok(sums)
    });
    Ok(batches.collect::<Result<Vec<_>, _>>()?.concat())
}

/// Sum of x[j] row[to[j]], in eight sums so that the additions need not wait for each other.
fn dot<T: Copy + Into<f64>>(x: &[T], row: &[f64], to: &[u32]) -> f64 {
    let mut sums = [0.0; 8];
    let ((x, x_rest), (to, to_rest)) = (x.as_chunks::<8>(), to.as_chunks::<8>());
    for (x, to) in x.iter().zip(to) {
        for lane in 0..8 {
            sums[lane] += x[lane].into() * row[to[lane] as usize];
        }
    }
    for ((sum, &x), &to) in sums.iter_mut().zip(x_rest).zip(to_rest) {
        *sum += x.into() * row[to as usize];
    }
    sums.iter().sum()
}

/// A permutation and its inverse.
struct Order {
    to: Vec<u32>,
    from: Vec<u32>,
}

impl Order {
    fn new(permutation: &[i64], row: usize) -> Result<Self, Error> {
        const NONE: u32 = u32::MAX;
        let n = permutation.len();
        let mut from = vec![NONE; n];
        for (place, &to) in (0..).zip(permutation) {
            match usize::try_from(to).ok().and_then(|to| from.get_mut(to)) {
                Some(place_of) if *place_of == NONE => *place_of = place,
                Some(_) => return Err(Error::Permutation { n, row, got: format!("{to} twice") }),
                None => return Err(Error::Permutation { n, row, got: to.to_string() }),
            }
        }
        Ok(Self { to: permutation.iter().map(|&to| to as u32).collect(), from })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::naive;

    fn naive_dot(x: &[f64], y: &[f64], n: usize, p: &[i64]) -> f64 {
        let pairs = (0..n).flat_map(|i| (i + 1..n).map(move |j| (i, j)));
        pairs.map(|(i, j)| x[i * n + j] * y[p[i] as usize * n + p[j] as usize]).sum()
    }

    proptest! {
        #[test]
        fn equals_the_double_sum(n in 1..40_usize, seed in any::<u64>(), halves in any::<bool>()) {
            let value = |k: usize| ((seed ^ k as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 40) as f64 / 4.0 - 2e6;
            let scale = if halves { 1.0 } else { 1.0 / 3.0 }; // thirds do not fit float32
            let matrix = |side: usize| (0..n * n).map(|k| value(side * n * n + k) * scale).collect::<Vec<_>>();
            let (x, y) = (matrix(0), matrix(1));
            let permutations: Vec<i64> = (0..5)
                .flat_map(|row| {
                    let mut p: Vec<i64> = (0..n as i64).collect();
                    p.sort_by_key(|&i| value(i as usize + 7 * row * n) as i64);
                    p
                })
                .collect();
            let found = mantel_dots(&x, &y, n, &permutations).unwrap();
            let magnitude: f64 = x.iter().map(|x| x.abs()).sum::<f64>() * 2e6;
            for (found, p) in found.iter().zip(permutations.chunks(n)) {
                prop_assert!((found - naive_dot(&x, &y, n, p)).abs() <= 1e-12 * magnitude);
            }
            let alone = naive::with_threads(1, || mantel_dots(&x, &y, n, &permutations).unwrap());
            prop_assert_eq!(found, alone);
        }
    }

    #[test]
    fn rows_that_are_no_permutation_are_refused() {
        let error = |p: &[i64]| mantel_dots(&[0.0; 4], &[0.0; 4], 2, p).unwrap_err().to_string();
        assert_eq!(error(&[0, 1, 1, 1]), "permutations must hold each of 0..2 once in every row, row 1 has 1 twice");
        assert_eq!(error(&[0, 2]), "permutations must hold each of 0..2 once in every row, row 0 has 2");
        assert_eq!(error(&[0, -1]), "permutations must hold each of 0..2 once in every row, row 0 has -1");
        let error = mantel_dots(&[0.0; 4], &[0.0; 9], 2, &[]).unwrap_err();
        assert_eq!(error.to_string(), "y must be square, 2 x 2, got 9 values");
    }
}
