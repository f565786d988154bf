//! Mantel products: one distance matrix against many rearrangements of another.

use rayon::prelude::*;

use crate::Error;

/// For every permutation p the sum over i < j of x[i, j] y[p[i], p[j]].
pub fn mantel_dots(x: &[f64], y: &[f64], n: usize, permutations: &[i64]) -> Result<Vec<f64>, Error> {
    for (name, matrix) in [("x", x), ("y", y)] {
        if matrix.len() != n * n {
            return Err(Error::Lengths { what: format!("{name} and x"), left: matrix.len(), right: n * n });
        }
    }
    if n == 0 {
        return Ok(Vec::new());
    }
    permutations.par_chunks(n).enumerate().map(|(row, p)| {
        let p = checked(p, n, row)?;
        let mut total = 0.0;
        for i in 0..n {
            let from = &y[p[i] as usize * n..][..n];
            total += (i + 1..n).map(|j| x[i * n + j] * from[p[j] as usize]).sum::<f64>();
        }
        Ok(total)
    }).collect()
}

fn checked(permutation: &[i64], n: usize, row: usize) -> Result<Vec<u32>, Error> {
    let mut seen = vec![false; n];
    permutation.iter().map(|&to| match seen.get_mut(to as usize) {
        Some(seen) if !*seen => {
            *seen = true;
            Ok(to as u32)
        }
        Some(_) => Err(Error::Permutation { n, row, got: format!("{to} twice") }),
        None => Err(Error::Permutation { n, row, got: to.to_string() }),
    }).collect()
}
