//! The rows every feature fires on most strongly.

use rayon::prelude::*;

use crate::Error;
use crate::sparse::Csr;

/// For every feature its `k` strongest rows: positions and activations, row-major, -1 and 0 where it has fewer.
#[derive(Debug, Clone, PartialEq)]
pub struct TopPositions {
    pub positions: Vec<i64>,
    pub values: Vec<f32>,
}

/// Rows where a feature's activation is positive, largest first, earlier row first where they are equal.
///
/// # Errors
/// `k` of 0, or beyond 2^31 results.
pub fn top_positions(activations: Csr, k: usize) -> Result<TopPositions, Error> {
    activations.check_width("k", k)?;
    let columns = activations.transpose();
    let mut positions = vec![-1; columns.n_features() * k];
    let mut values = vec![0.0; columns.n_features() * k];
    positions.par_chunks_mut(k).zip(values.par_chunks_mut(k)).enumerate().for_each_init(
        Vec::new,
        |keys, (feature, (positions, values))| {
            let column = columns.feature(feature);
            let fired = column.rows.iter().zip(column.values).filter(|(_, value)| **value > 0.0);
            keys.clear();
            keys.extend(fired.map(|(&row, &value)| u64::from(!value.to_bits()) << 32 | u64::from(row)));
            if keys.len() > k {
                keys.select_nth_unstable(k - 1);
                keys.truncate(k);
            }
            keys.sort_unstable();
            for (rank, &key) in keys.iter().enumerate() {
                positions[rank] = (key & u64::from(u32::MAX)) as i64;
                values[rank] = f32::from_bits(!((key >> 32) as u32));
            }
        },
    );
    Ok(TopPositions { positions, values })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::naive;

    proptest! {
        #[test]
        fn equals_a_stable_sort((a, _) in naive::sides(), k in 1..9_usize, threads in 1..4_usize) {
            let found = naive::with_threads(threads, || top_positions(a.csr(), k).unwrap());
            let (mut positions, mut values) = (Vec::new(), Vec::new());
            for feature in 0..a.n_features {
                let mut fired: Vec<(i64, f32)> = (0..).zip(a.rows.iter().map(|row| row[feature])).collect();
                fired.retain(|(_, value)| *value > 0.0);
                fired.sort_by(|(_, x), (_, y)| y.total_cmp(x));
                fired.resize(fired.len().max(k), (-1, 0.0));
                positions.extend(fired[..k].iter().map(|entry| entry.0));
                values.extend(fired[..k].iter().map(|entry| entry.1));
            }
            prop_assert_eq!(found, TopPositions { positions, values });
        }
    }
}
