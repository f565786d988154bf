//! The rows every feature fires on: the strongest, and samples from bands of its activations.

use rayon::prelude::*;

use crate::Error;
use crate::sparse::{Column, Csr};

/// For every feature so many rows: positions and activations, row-major, -1 and 0 where it has fewer.
#[derive(Debug, Clone, PartialEq)]
pub struct TopPositions {
    pub positions: Vec<i64>,
    pub values: Vec<f32>,
}

/// Bands of equal width between 0 and every feature's highest activation, and the order rows are drawn in.
#[derive(Clone, Copy)]
pub struct Bands<'a> {
    pub count: usize,
    /// The highest activation of every feature.
    pub highest: &'a [f32],
    /// For every row its turn: a random permutation makes a band's first rows a uniform sample of it.
    pub turns: &'a [u32],
}

/// Rows where a feature's activation is positive, largest first, earlier row first where they are equal.
///
/// With `documents`, the document of every row, only the first of the rows of a document is taken.
///
/// # Errors
/// `k` of 0, or beyond 2^31 results; `documents` of another length than the rows.
pub fn top_positions(activations: Csr, k: usize, documents: Option<&[i64]>) -> Result<TopPositions, Error> {
    activations.check_width("k", k)?;
    check_documents(activations, documents)?;
    let columns = activations.transpose();
    let mut found = TopPositions::empty(columns.n_features() * k);
    found.rows_of(k).for_each_init(Vec::new, |keys, (feature, out)| {
        let column = columns.feature(feature);
        keys.clear();
        keys.extend(fired(column).map(|(row, value)| key(!value.to_bits(), row)));
        keep_first(keys, k, documents);
        write(keys, column, out);
    });
    Ok(found)
}

/// For every feature and every band of its activations, highest band first, the `k` rows whose turn is first.
///
/// Of `n` bands up to `h`, an activation `v` lies in the one of number ceil(v n / h), counted from the lowest, in
/// float64. With `documents` only the first of the rows that a document has in a band is taken.
///
/// # Errors
/// `k` or the number of bands 0, or beyond 2^31 results; slices of another length than what they describe.
pub fn band_positions(
    activations: Csr,
    k: usize,
    bands: Bands,
    documents: Option<&[i64]>,
) -> Result<TopPositions, Error> {
    let width = bands.count.saturating_mul(k);
    activations.check_width("k times bands", width)?;
    check_documents(activations, documents)?;
    check_length("highest and the features", bands.highest.len(), activations.n_features())?;
    check_length("turns and the rows", bands.turns.len(), activations.n_rows())?;
    let columns = activations.transpose();
    let mut found = TopPositions::empty(columns.n_features() * width);
    let buffers = || vec![Vec::new(); bands.count];
    found.rows_of(width).for_each_init(buffers, |keys, (feature, (positions, values))| {
        let column = columns.feature(feature);
        keys.iter_mut().for_each(Vec::clear);
        for (row, value) in fired(column) {
            keys[bands.of(feature, value)].push(key(bands.turns[row as usize], row));
        }
        for ((keys, positions), values) in keys.iter_mut().zip(positions.chunks_mut(k)).zip(values.chunks_mut(k)) {
            keep_first(keys, k, documents);
            write(keys, column, (positions, values));
        }
    });
    Ok(found)
}

impl TopPositions {
    fn empty(size: usize) -> Self {
        Self { positions: vec![-1; size], values: vec![0.0; size] }
    }

    /// Every feature with its slices of the results.
    fn rows_of(&mut self, width: usize) -> impl IndexedParallelIterator<Item = (usize, (&mut [i64], &mut [f32]))> {
        self.positions.par_chunks_mut(width).zip(self.values.par_chunks_mut(width)).enumerate()
    }
}

impl Bands<'_> {
    /// The band of an activation, 0 for the highest.
    fn of(&self, feature: usize, value: f32) -> usize {
        let share = f64::from(value) * self.count as f64 / f64::from(self.highest[feature]);
        self.count - (share.ceil() as usize).clamp(1, self.count)
    }
}

fn fired(column: Column<'_>) -> impl Iterator<Item = (u32, f32)> + '_ {
    column.rows.iter().copied().zip(column.values.iter().copied()).filter(|(_, value)| *value > 0.0)
}

/// What rows are ordered by, with the row itself below, so that the earlier is first among equals.
fn key(order: u32, row: u32) -> u64 {
    u64::from(order) << 32 | u64::from(row)
}

fn row_of(key: u64) -> u32 {
    key as u32
}

/// Leave the `k` smallest keys in order, and of the keys of one document only the smallest.
fn keep_first(keys: &mut Vec<u64>, k: usize, documents: Option<&[i64]>) {
    if let Some(documents) = documents {
        let document = |key: u64| documents[row_of(key) as usize];
        keys.sort_unstable_by_key(|&key| (document(key), key));
        keys.dedup_by_key(|key| document(*key));
    }
    if keys.len() > k {
        keys.select_nth_unstable(k - 1);
        keys.truncate(k);
    }
    keys.sort_unstable();
}

fn write(keys: &[u64], column: Column<'_>, (positions, values): (&mut [i64], &mut [f32])) {
    for ((&key, position), value) in keys.iter().zip(positions).zip(values) {
        let at = column.rows.partition_point(|&row| row < row_of(key));
        (*position, *value) = (i64::from(row_of(key)), column.values[at]);
    }
}

fn check_documents(activations: Csr, documents: Option<&[i64]>) -> Result<(), Error> {
    documents
        .map_or(Ok(()), |documents| check_length("document_ids and the rows", documents.len(), activations.n_rows()))
}

fn check_length(what: &str, left: usize, right: usize) -> Result<(), Error> {
    if left == right { Ok(()) } else { Err(Error::Lengths { what: what.into(), left, right }) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::naive::{self, Dense};

    /// Take rows one by one in the order given, skipping documents that were taken from; fill up with -1 and 0.
    fn take(ordered: impl Iterator<Item = (usize, f32)>, k: usize, documents: Option<&[i64]>) -> Vec<(i64, f32)> {
        let (mut taken, mut seen) = (Vec::new(), Vec::new());
        for (row, value) in ordered {
            let document = documents.map_or(row as i64, |documents| documents[row]);
            if taken.len() < k && !seen.contains(&document) {
                seen.push(document);
                taken.push((row as i64, value));
            }
        }
        taken.resize(k, (-1, 0.0));
        taken
    }

    fn fired(a: &Dense, feature: usize) -> Vec<(usize, f32)> {
        (0..).zip(a.rows.iter().map(|row| row[feature])).filter(|(_, value)| *value > 0.0).collect()
    }

    fn table(entries: Vec<(i64, f32)>) -> TopPositions {
        let (positions, values) = entries.into_iter().unzip();
        TopPositions { positions, values }
    }

    /// Documents that come back after others: nothing says that a document's rows stand together.
    fn documents(n: usize, several: bool) -> Option<Vec<i64>> {
        several.then(|| (0..n).map(|row| (row / 3 % 4) as i64).collect())
    }

    proptest! {
        #[test]
        fn equals_a_stable_sort(
            (a, _) in naive::sides(), k in 1..9_usize, threads in 1..4_usize, several: bool,
        ) {
            let documents = documents(a.rows.len(), several);
            let of_rows = documents.as_deref();
            let found = naive::with_threads(threads, || top_positions(a.csr(), k, of_rows).unwrap());
            let wanted = (0..a.n_features).flat_map(|feature| {
                let mut fired = fired(&a, feature);
                fired.sort_by(|(_, x), (_, y)| y.total_cmp(x));
                take(fired.into_iter(), k, of_rows)
            });
            prop_assert_eq!(found, table(wanted.collect()));
        }

        #[test]
        fn bands_equal_a_walk_in_turn(
            (a, _) in naive::sides(), k in 1..5_usize, count in 1..6_usize, stride in 1..4_usize, threads in 1..4_usize,
            several: bool,
        ) {
            let n = a.rows.len();
            let documents = documents(n, several);
            let of_rows = documents.as_deref();
            let turns: Vec<u32> = (0..n).map(|row| (row * stride % 7) as u32).collect();
            let highest: Vec<f32> =
                (0..a.n_features).map(|f| fired(&a, f).iter().fold(0.0, |most, (_, value)| value.max(most))).collect();
            let bands = Bands { count, highest: &highest, turns: &turns };
            let found = naive::with_threads(threads, || band_positions(a.csr(), k, bands, of_rows).unwrap());
            let mut wanted = Vec::new();
            for (feature, &most) in highest.iter().enumerate() {
                let mut fired = fired(&a, feature);
                fired.sort_by_key(|(row, _)| turns[*row]);
                for band in (0..count).rev() {
                    let edge = |band: usize| f64::from(most) * band as f64;
                    let inside = |value: f32| {
                        let scaled = f64::from(value) * count as f64;
                        edge(band) < scaled && scaled <= edge(band + 1)
                    };
                    wanted.extend(take(fired.iter().copied().filter(|(_, value)| inside(*value)), k, of_rows));
                }
            }
            prop_assert_eq!(found, table(wanted));
        }
    }

    #[test]
    fn slices_of_another_length_are_refused() {
        let a = Dense::new(vec![vec![1.0, 2.0], vec![0.0, 1.0]], 2);
        let message = |found: Result<TopPositions, Error>| found.unwrap_err().to_string();
        let short = Bands { count: 2, highest: &[1.0], turns: &[0, 1] };
        assert_eq!(
            message(band_positions(a.csr(), 1, short, None)),
            "highest and the features must have one length, got 1 and 2"
        );
        let short = Bands { count: 2, highest: &[1.0, 2.0], turns: &[0] };
        assert_eq!(
            message(band_positions(a.csr(), 1, short, None)),
            "turns and the rows must have one length, got 1 and 2"
        );
        assert_eq!(
            message(top_positions(a.csr(), 1, Some(&[0]))),
            "document_ids and the rows must have one length, got 1 and 2"
        );
        let none = Bands { count: 0, highest: &[1.0, 2.0], turns: &[0, 1] };
        assert!(message(band_positions(a.csr(), 1, none, None)).starts_with("k times bands must be between 1 and"));
    }
}
