//! Best partners of activations larger than memory: the rows come in windows, pass after pass over all of them.
//!
//! 1. Sums of every feature, and for Pearson a second pass about their means.
//! 2. For as many features of B as memory holds, the sums with every feature of A, in float32 and window by window;
//!    then the epilogue of the search in memory, which nominates pairs. A pass for each such block of B.
//! 3. The same from the other side for the few features of A that no partner fires with positively.
//! 4. Exact sums of the nominated pairs.
//!
//! Everything that is reported is added up in float64 row after row, as in memory: the answer is the same to the bit
//! whatever the windows, the blocks and the number of threads.

use std::ops::ControlFlow::{Break, Continue};

use rayon::prelude::*;

use crate::bounds::{Bounds, Linear, Overlap};
use crate::correlation::{BestPartners, Search};
use crate::moments::{Centred, Sums};
use crate::pair_sums::PairSums;
use crate::pairs::same_rows;
use crate::products::Products;
use crate::roster::{Candidate, Roster};
use crate::sparse::{Column, Csr};
use crate::{Error, Metric};

/// Bytes a feature needs beside the sums, whatever the limit: moments, standings, bars, floors, contenders.
const FEATURE: usize = 256;
/// Bytes an activation of a window needs while it is transposed and packed.
const ENTRY: usize = 44;

/// A search that is fed windows of rows: `feed` all of them in order, then `end_pass`, until that says it is done.
pub trait Streamed: Send + Sync {
    /// The most activations of both sides that a window should have.
    fn window(&self) -> usize;

    /// Take the next rows of both sides.
    ///
    /// # Errors
    /// Sides with different numbers of rows, or more rows than there are.
    fn feed(&mut self, a: Csr, b: Csr) -> Result<(), Error>;

    /// After the last rows of a pass: whether all is found; if not, the rows are wanted once more.
    ///
    /// # Errors
    /// Fewer rows than there are.
    fn end_pass(&mut self) -> Result<bool, Error>;

    /// Partners of B's features and of A's; `None` while there are passes to come.
    fn found(&self) -> Option<&[BestPartners; 2]>;
}

/// Begin a search over `n_rows` rows; `limit` bounds the bytes held beside the rows that are fed.
///
/// # Errors
/// A limit below what the features need; a `top` of 0 or beyond 2^31 results; groups, whose rows would have to come
/// together.
pub fn stream(
    n_rows: usize,
    n_features: [usize; 2],
    search: Search<'static>,
    limit: usize,
) -> Result<Box<dyn Streamed>, Error> {
    for width in n_features {
        Csr::trusted(&[0], &[], &[], width).check_width("top", search.top)?;
    }
    let fixed = (n_features[0] + n_features[1]) * (FEATURE + 32 * search.top) + (1 << 20);
    let Some(room) = limit.checked_sub(fixed) else {
        let (wanted, got) = (format!("at least {fixed} bytes for these features"), limit.to_string());
        return Err(Error::Number { name: "memory_limit".into(), wanted, got });
    };
    match search.metric {
        Metric::Pearson | Metric::Cosine => Ok(Box::new(Stream::<Linear>::new(n_rows, n_features, search, room))),
        Metric::Jaccard => Ok(Box::new(Stream::<Overlap>::new(n_rows, n_features, search, room))),
        Metric::Within => {
            let wanted = "pearson, cosine or jaccard over shards".into();
            Err(Error::Number { name: "metric".into(), wanted, got: "pearson given groups".into() })
        }
    }
}

struct Stream<B> {
    n_rows: usize,
    n_features: [usize; 2],
    search: Search<'static>,
    /// Bytes for sums, and for what is known of pairs.
    room: usize,
    fed: usize,
    pass: Pass<B>,
}

enum Pass<B> {
    Sums([Vec<Sums>; 2]),
    Squares([Vec<Sums>; 2], [Vec<Centred>; 2]),
    Products(Box<Products<B>>),
    Pairs(Box<PairSums>),
    Done(Box<[BestPartners; 2]>),
}

impl<B: Bounds> Stream<B> {
    fn new(n_rows: usize, n_features: [usize; 2], search: Search<'static>, room: usize) -> Self {
        let sums = n_features.map(|width| vec![Sums::default(); width]);
        Self { n_rows, n_features, search, room, fed: 0, pass: Pass::Sums(sums) }
    }

    fn miscounted(&self, fed: usize) -> Error {
        let (wanted, got) = (format!("{} in every pass", self.n_rows), fed.to_string());
        Error::Number { name: "rows".into(), wanted, got }
    }

    fn products(&self, sums: [Vec<Sums>; 2], centred: [Vec<Centred>; 2]) -> Pass<B> {
        let Search { metric, min_activations, top, .. } = self.search;
        let mut rosters = sums.into_iter().zip(centred).map(|(sums, centred)| {
            let candidate = |(feature, (sums, centred)): (usize, (&Sums, Centred))| {
                let centred =
                    metric.finish(centred, sums, self.n_rows).filter(|_| sums.count >= min_activations.max(1));
                Some(Candidate { feature: feature as u32, centred: centred?, stretch: 1.0 })
            };
            let candidates = sums.iter().zip(centred).enumerate().filter_map(candidate).collect();
            Roster::new(metric, self.n_rows, sums.len(), candidates)
        });
        let [a, b] = [(); 2].map(|()| rosters.next().expect("two sides"));
        Pass::Products(Box::new(Products::new(a, b, top, self.room / 2)))
    }
}

impl<B: Bounds> Streamed for Stream<B> {
    fn window(&self) -> usize {
        self.room / 4 / ENTRY
    }

    fn feed(&mut self, a: Csr, b: Csr) -> Result<(), Error> {
        same_rows(a, b)?;
        for (csr, wanted) in [a, b].into_iter().zip(self.n_features) {
            if csr.n_features() != wanted {
                let (wanted, got) = (format!("{wanted} in every window"), csr.n_features().to_string());
                return Err(Error::Number { name: "features".into(), wanted, got });
            }
        }
        self.fed += a.n_rows();
        if self.fed > self.n_rows {
            return Err(self.miscounted(self.fed));
        }
        match &mut self.pass {
            Pass::Sums([of_a, of_b]) => {
                each_column(a, of_a, Sums::add);
                each_column(b, of_b, Sums::add);
            }
            Pass::Squares(_, [of_a, of_b]) => {
                each_column(a, of_a, Centred::add);
                each_column(b, of_b, Centred::add);
            }
            Pass::Products(products) => products.feed(a, b),
            Pass::Pairs(pairs) => pairs.feed(a, b),
            Pass::Done(_) => {}
        }
        Ok(())
    }

    fn end_pass(&mut self) -> Result<bool, Error> {
        let fed = std::mem::take(&mut self.fed);
        if fed != self.n_rows {
            return Err(self.miscounted(fed));
        }
        let (n, metric) = (self.n_rows, self.search.metric);
        let pass = std::mem::replace(&mut self.pass, Pass::Sums([Vec::new(), Vec::new()]));
        self.pass = match pass {
            Pass::Sums(sums) => {
                let begin = |of: &Sums| metric.begin(of, n).unwrap_or_else(|| of.about_zero());
                let centred = sums.each_ref().map(|sums| sums.iter().map(begin).collect::<Vec<_>>());
                if metric.is_centred() { Pass::Squares(sums, centred) } else { self.products(sums, centred) }
            }
            Pass::Squares(sums, centred) => self.products(sums, centred),
            Pass::Products(products) => match products.end(self.room / 2) {
                Continue(again) => Pass::Products(again),
                Break(pairs) => Pass::Pairs(pairs),
            },
            Pass::Pairs(pairs) => match pairs.end(self.search.top) {
                Continue(again) => Pass::Pairs(again),
                Break(found) => Pass::Done(found),
            },
            done @ Pass::Done(_) => done,
        };
        if let Pass::Pairs(pairs) = &mut self.pass {
            pairs.begin(self.room / 4);
        }
        Ok(matches!(self.pass, Pass::Done(_)))
    }

    fn found(&self) -> Option<&[BestPartners; 2]> {
        if let Pass::Done(found) = &self.pass { Some(found) } else { None }
    }
}

/// Let every feature's state take in its column, features in parallel, rows in order.
fn each_column<T: Send>(csr: Csr, states: &mut [T], take: impl Fn(&mut T, Column) + Sync) {
    let columns = csr.transpose();
    states
        .par_iter_mut()
        .with_min_len(64)
        .enumerate()
        .for_each(|(feature, state)| take(state, columns.feature(feature)));
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::correlation::best_partners;
    use crate::naive::{self, Dense};

    fn streamed<B: Bounds>(
        a: &Dense,
        b: &Dense,
        search: Search<'static>,
        room: usize,
        cuts: &[usize],
    ) -> [BestPartners; 2] {
        let mut stream = Stream::<B>::new(a.rows.len(), [a.n_features, b.n_features], search, room);
        loop {
            for ends in cuts.windows(2) {
                let [a, b] = [a, b].map(|side| Dense::new(side.rows[ends[0]..ends[1]].to_vec(), side.n_features));
                stream.feed(a.csr(), b.csr()).unwrap();
            }
            if stream.end_pass().unwrap() {
                return stream.found().unwrap().clone();
            }
        }
    }

    proptest! {
        #[test]
        fn windows_blocks_and_threads_change_no_bit(
            (a, b) in naive::sides(),
            top in 1..4_usize,
            min_activations in 1..4_usize,
            metric in prop::sample::select(vec![Metric::Pearson, Metric::Cosine, Metric::Jaccard]),
            room in prop::sample::select(vec![0_usize, 600, 1 << 20]),
            cuts in prop::collection::vec(0..40_usize, 0..6),
            threads in prop::sample::select(vec![1_usize, 2, 16]),
        ) {
            let n = a.rows.len();
            let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(n)).chain([0, n]).collect();
            cuts.sort_unstable();
            let search = Search { top, min_activations, metric, groups: None };
            let (of_b, of_a) = best_partners(a.csr(), b.csr(), search).unwrap();
            let found = naive::with_threads(threads, || match metric {
                Metric::Jaccard => streamed::<Overlap>(&a, &b, search, room, &cuts),
                _ => streamed::<Linear>(&a, &b, search, room, &cuts),
            });
            prop_assert_eq!(found, [of_b, of_a]);
        }
    }

    #[test]
    fn rows_are_counted_and_limits_are_kept() {
        let search = Search { top: 1, min_activations: 1, metric: Metric::Pearson, groups: None };
        let error = stream(1, [3, 2], search, 1000).err().unwrap();
        assert_eq!(error.to_string(), "memory_limit must be at least 1050016 bytes for these features, got 1000");
        let mut short = stream(2, [1, 1], search, 1 << 21).unwrap();
        let one = Dense::new(vec![vec![1.0]], 1);
        short.feed(one.csr(), one.csr()).unwrap();
        assert_eq!(short.end_pass().unwrap_err().to_string(), "rows must be 2 in every pass, got 1");
        let two = Dense::new(vec![vec![1.0, 0.0]], 2);
        let error = short.feed(two.csr(), one.csr()).unwrap_err();
        assert_eq!(error.to_string(), "features must be 1 in every window, got 2");
        let groups = Search { metric: Metric::Within, ..search };
        let error = stream(1, [1, 1], groups, 1 << 21).err().unwrap();
        assert_eq!(
            error.to_string(),
            "metric must be pearson, cosine or jaccard over shards, got pearson given groups"
        );
    }
}
