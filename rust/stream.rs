//! Best partners of activations larger than memory: the rows come in windows, pass after pass over all of them.
//!
//! 1. Sums of every feature, for Pearson a second pass about their means, or those within groups of rows.
//! 2. For as many features of B as memory holds, the sums with every feature of A, in float32 and window by window;
//!    then the epilogue of the search in memory, which nominates pairs. A pass for each such block of B.
//! 3. The same from the other side for the few features of A that no partner fires with positively.
//! 4. Exact sums of the nominated pairs, or straight after 1. those of given ones.
//!
//! Everything that is reported is added up in float64 row after row, as in memory: the answer is the same to the bit
//! whatever the windows, the blocks and the number of threads.

use std::ops::ControlFlow::{Break, Continue};

use crate::bounds::{Bounds, Linear, Overlap, Stretched};
use crate::correlation::{BestPartners, Search};
use crate::gather::{Gather, Gathered, Holdings};
use crate::groups::{GroupedRows, Groups};
use crate::pair_sums::PairSums;
use crate::pairs::{check_pairs, same_rows};
use crate::products::Products;
use crate::sparse::Csr;
use crate::{Error, Metric};

/// Bytes a feature needs beside the sums, whatever the limit: moments, standings, bars, floors, contenders.
const FEATURE: usize = 256;
/// Bytes an activation of a window needs while it is transposed and packed.
const ENTRY: usize = 44;
/// Bytes for what a feature holds in a group, while the groups' rows are made and packed.
const HOLDING: usize = 64;
/// Bytes a given pair needs beside its sums.
const PAIR: usize = 40;

/// A search that is fed windows of rows: `feed` all of them in order, then `end_pass`, until that says it is done.
pub trait Streamed: Send + Sync {
    /// The most activations of both sides that a window should have.
    fn window(&self) -> usize;

    /// Take the next rows of both sides.
    ///
    /// # Errors
    /// Sides with different numbers of rows, or more rows than there are; more groups that features hold something in
    /// than memory.
    fn feed(&mut self, a: Csr, b: Csr) -> Result<(), Error>;

    /// After the last rows of a pass: whether all is found; if not, the rows are wanted once more.
    ///
    /// # Errors
    /// Fewer rows than there are.
    fn end_pass(&mut self) -> Result<bool, Error>;

    /// Partners of B's features and of A's; `None` while there are passes to come, or if pairs were given.
    fn found(&self) -> Option<&[BestPartners; 2]>;

    /// Scores of the given pairs, in their order; `None` while there are passes to come, or if none were given.
    fn found_pairs(&self) -> Option<&[f64]>;
}

/// Begin a search over `n_rows` rows; `limit` bounds the bytes held beside the rows that are fed.
///
/// # Errors
/// A limit below what the features and groups need; a `top` of 0 or beyond 2^31 results; groups that are not one a
/// row, or with another metric than [`Metric::Within`].
pub fn stream(n_rows: usize, n_features: [usize; 2], search: Search, limit: usize) -> Result<Box<dyn Streamed>, Error> {
    let Search { top, min_activations, metric, groups } = search;
    search.check()?;
    for width in n_features {
        Csr::trusted(&[0], &[], &[], width).check_width("top", top)?;
    }
    let groups = groups.map(|ids| Groups::new(ids, n_rows)).transpose()?;
    let fixed = (n_features[0] + n_features[1]) * (FEATURE + 32 * top);
    let task = Task { n_rows, n_features, metric, min_activations, groups, goal: Goal::Best(top) };
    match metric {
        Metric::Pearson | Metric::Cosine => task.begin::<Linear>(fixed, limit),
        Metric::Jaccard => task.begin::<Overlap>(fixed, limit),
        Metric::Within => task.begin::<Stretched>(fixed, limit),
    }
}

/// Begin to score given pairs over `n_rows` rows as [`pair_correlations`](crate::pair_correlations) does in memory;
/// `limit` bounds the bytes held beside the rows that are fed.
///
/// # Errors
/// A limit below what the features, pairs and groups need; pairs that do not match or lie outside their range; groups
/// that are not one a row.
pub fn stream_pairs(
    n_rows: usize,
    n_features: [usize; 2],
    [feature_a, feature_b]: [&[i64]; 2],
    groups: Option<&[i64]>,
    limit: usize,
) -> Result<Box<dyn Streamed>, Error> {
    check_pairs(feature_a, feature_b, n_features)?;
    let groups = groups.map(|ids| Groups::new(ids, n_rows)).transpose()?;
    let fixed = (n_features[0] + n_features[1]) * FEATURE + feature_a.len() * PAIR;
    let metric = if groups.is_some() { Metric::Within } else { Metric::Pearson };
    let pairs = feature_a.iter().zip(feature_b).map(|(&a, &b)| [a as u32, b as u32]).collect();
    let task = Task { n_rows, n_features, metric, min_activations: 1, groups, goal: Goal::Pairs(pairs) };
    task.begin::<Linear>(fixed, limit)
}

/// What is asked.
struct Task {
    n_rows: usize,
    n_features: [usize; 2],
    metric: Metric,
    min_activations: usize,
    groups: Option<Groups>,
    goal: Goal,
}

enum Goal {
    /// So many partners for every feature.
    Best(usize),
    /// The scores of these pairs of features.
    Pairs(Vec<[u32; 2]>),
}

struct Stream<B> {
    task: Task,
    /// Bytes that are needed whatever the rows hold.
    fixed: usize,
    /// Bytes for sums, and for what is known of pairs.
    room: usize,
    /// Bytes of these for what features hold in groups.
    room_for_holdings: usize,
    holdings: Option<Holdings>,
    fed: usize,
    pass: Pass<B>,
}

enum Pass<B> {
    Gather(Box<Gather>),
    Products(Box<Products<B>>),
    Pairs(Box<PairSums>),
    Best(Box<[BestPartners; 2]>),
    Scores(Vec<f64>),
}

impl Task {
    fn begin<B: Bounds + 'static>(self, fixed: usize, limit: usize) -> Result<Box<dyn Streamed>, Error> {
        let of_groups = self.groups.as_ref().map_or(0, |groups| {
            let ledger = (size_of::<f64>() + 2 * size_of::<u32>()) * groups.rows_from(0).len();
            2 * size_of::<u32>() * self.n_rows + ledger * rayon::current_num_threads()
        });
        let fixed = fixed + of_groups + (1 << 20);
        let Some(room) = limit.checked_sub(fixed) else {
            let these = if of_groups > 0 { "features and groups" } else { "features" };
            let (wanted, got) = (format!("at least {fixed} bytes for these {these}"), limit.to_string());
            return Err(Error::Number { name: "memory_limit".into(), wanted, got });
        };
        Ok(Box::new(Stream::<B>::new(self, fixed, room)))
    }

    /// All rows with their groups.
    fn rows(&self) -> Option<GroupedRows<'_>> {
        self.groups.as_ref().map(|groups| groups.rows_from(0))
    }
}

impl<B: Bounds> Stream<B> {
    fn new(task: Task, fixed: usize, room: usize) -> Self {
        let gather = Gather::new(task.metric, task.n_rows, task.n_features, task.min_activations);
        let pass = Pass::Gather(Box::new(gather));
        Self { task, fixed, room, room_for_holdings: room / 4, holdings: None, fed: 0, pass }
    }

    fn miscounted(&self, fed: usize) -> Error {
        let (wanted, got) = (format!("{} in every pass", self.task.n_rows), fed.to_string());
        Error::Number { name: "rows".into(), wanted, got }
    }

    fn check_holdings(&self, held: usize) -> Result<(), Error> {
        if held * HOLDING <= self.room_for_holdings {
            return Ok(());
        }
        let least = self.fixed + 4 * HOLDING * held;
        let wanted = format!("at least {least} bytes for what the features hold in groups of rows");
        Err(Error::Number { name: "memory_limit".into(), wanted, got: (self.fixed + self.room).to_string() })
    }

    /// Bytes for the sums of blocks, beside what features hold in groups.
    fn room_for_sums(&self) -> usize {
        let held = self.holdings.as_ref().map_or(0, Holdings::len);
        (self.room / 2).saturating_sub(held * HOLDING)
    }

    fn pair_up(&mut self, gathered: Gathered) -> Pass<B> {
        self.holdings = gathered.holdings;
        match &self.task.goal {
            Goal::Best(top) => {
                let [a, b] = gathered.rosters;
                Pass::Products(Box::new(Products::new(a, b, *top, self.room_for_sums())))
            }
            Goal::Pairs(pairs) => Pass::Pairs(Box::new(PairSums::of_features(gathered.rosters, pairs))),
        }
    }
}

impl<B: Bounds> Streamed for Stream<B> {
    fn window(&self) -> usize {
        self.room / 4 / ENTRY
    }

    fn feed(&mut self, a: Csr, b: Csr) -> Result<(), Error> {
        same_rows(a, b)?;
        for (csr, wanted) in [a, b].into_iter().zip(self.task.n_features) {
            if csr.n_features() != wanted {
                let (wanted, got) = (format!("{wanted} in every window"), csr.n_features().to_string());
                return Err(Error::Number { name: "features".into(), wanted, got });
            }
        }
        let first = self.fed;
        self.fed += a.n_rows();
        if self.fed > self.task.n_rows {
            return Err(self.miscounted(self.fed));
        }
        let rows = self.task.groups.as_ref().map(|groups| groups.rows_from(first));
        match &mut self.pass {
            Pass::Gather(gather) => {
                gather.feed(a, b, rows);
                let held = gather.n_holdings();
                self.check_holdings(held)?;
            }
            Pass::Products(products) => products.feed(a, b, rows),
            Pass::Pairs(pairs) => pairs.feed(a, b, rows.zip(self.holdings.as_ref().map(|of| &of.books))),
            Pass::Best(_) | Pass::Scores(_) => {}
        }
        Ok(())
    }

    fn end_pass(&mut self) -> Result<bool, Error> {
        let fed = std::mem::take(&mut self.fed);
        if fed != self.task.n_rows {
            return Err(self.miscounted(fed));
        }
        self.pass = match std::mem::replace(&mut self.pass, Pass::Scores(Vec::new())) {
            Pass::Gather(gather) => match gather.end(self.task.rows()) {
                Continue(again) => Pass::Gather(again),
                Break(gathered) => self.pair_up(gathered),
            },
            Pass::Products(products) => {
                let given = self.task.rows().zip(self.holdings.as_ref().map(|of| &of.shares));
                match products.end(self.room_for_sums(), given) {
                    Continue(again) => Pass::Products(again),
                    Break(pairs) => Pass::Pairs(pairs),
                }
            }
            Pass::Pairs(mut pairs) => match (pairs.end(), &self.task.goal) {
                (false, _) => Pass::Pairs(pairs),
                (true, Goal::Best(top)) => Pass::Best(Box::new(pairs.best(*top))),
                (true, Goal::Pairs(of)) => Pass::Scores(of.iter().map(|&of| pairs.score(of)).collect()),
            },
            done => done,
        };
        if let Pass::Pairs(pairs) = &mut self.pass {
            pairs.begin(self.room / 4);
        }
        Ok(matches!(self.pass, Pass::Best(_) | Pass::Scores(_)))
    }

    fn found(&self) -> Option<&[BestPartners; 2]> {
        if let Pass::Best(found) = &self.pass { Some(found) } else { None }
    }

    fn found_pairs(&self) -> Option<&[f64]> {
        if let Pass::Scores(found) = &self.pass { Some(found) } else { None }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::naive::{self, Dense};
    use crate::{best_partners, pair_correlations};

    /// Feed windows of both sides until all is found.
    fn run(stream: &mut dyn Streamed, a: &Dense, b: &Dense, cuts: &[usize]) {
        loop {
            for ends in cuts.windows(2) {
                let [a, b] = [a, b].map(|side| Dense::new(side.rows[ends[0]..ends[1]].to_vec(), side.n_features));
                stream.feed(a.csr(), b.csr()).unwrap();
            }
            if stream.end_pass().unwrap() {
                return;
            }
        }
    }

    fn streamed<B: Bounds>(task: Task, room: usize, a: &Dense, b: &Dense, cuts: &[usize]) -> Stream<B> {
        let mut stream = Stream::new(task, 0, room);
        stream.room_for_holdings = usize::MAX;
        run(&mut stream, a, b, cuts);
        stream
    }

    fn windows(cuts: Vec<usize>, n: usize) -> Vec<usize> {
        let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(n)).chain([0, n]).collect();
        cuts.sort_unstable();
        cuts
    }

    const METRICS: [Metric; 4] = [Metric::Pearson, Metric::Cosine, Metric::Jaccard, Metric::Within];

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(512))]

        #[test]
        fn windows_blocks_and_threads_change_no_bit(
            (a, b) in naive::sides(),
            top in 1..4_usize,
            min_activations in 1..4_usize,
            metric in prop::sample::select(METRICS.to_vec()),
            draws in prop::collection::vec(0..15_i64, 40),
            room in prop::sample::select(vec![0_usize, 600, 1 << 20]),
            cuts in prop::collection::vec(0..40_usize, 0..6),
            threads in prop::sample::select(vec![1_usize, 2, 16]),
        ) {
            let n_rows = a.rows.len();
            let cuts = windows(cuts, n_rows);
            let groups = (metric == Metric::Within).then_some(&draws[..n_rows]);
            let (of_b, of_a) =
                best_partners(a.csr(), b.csr(), Search { top, min_activations, metric, groups }).unwrap();
            let groups = groups.map(|ids| Groups::new(ids, n_rows).unwrap());
            let n_features = [a.n_features, b.n_features];
            let task = Task { n_rows, n_features, metric, min_activations, groups, goal: Goal::Best(top) };
            let found = naive::with_threads(threads, || match metric {
                Metric::Jaccard => streamed::<Overlap>(task, room, &a, &b, &cuts).found().cloned(),
                Metric::Within => streamed::<Stretched>(task, room, &a, &b, &cuts).found().cloned(),
                _ => streamed::<Linear>(task, room, &a, &b, &cuts).found().cloned(),
            });
            prop_assert_eq!(found, Some([of_b, of_a]));
        }

        #[test]
        fn given_pairs_score_the_same_in_windows(
            (a, b) in naive::sides(),
            draws in prop::collection::vec(0..15_i64, 40),
            given: bool,
            pairs in prop::collection::vec((0..63_i64, 0..63_i64), 0..50),
            room in prop::sample::select(vec![0_usize, 600, 1 << 20]),
            cuts in prop::collection::vec(0..40_usize, 0..6),
            threads in prop::sample::select(vec![1_usize, 2, 16]),
        ) {
            let n_rows = a.rows.len();
            let groups = given.then_some(&draws[..n_rows]);
            let n_features = [a.n_features, b.n_features];
            let (i, j): (Vec<i64>, Vec<i64>) =
                pairs.iter().map(|&(i, j)| (i % a.n_features as i64, j % b.n_features as i64)).unzip();
            let wanted = pair_correlations(a.csr(), b.csr(), &i, &j, groups).unwrap();
            let metric = if given { Metric::Within } else { Metric::Pearson };
            let groups = groups.map(|ids| Groups::new(ids, n_rows).unwrap());
            let goal = Goal::Pairs(i.iter().zip(&j).map(|(&i, &j)| [i as u32, j as u32]).collect());
            let task = Task { n_rows, n_features, metric, min_activations: 1, groups, goal };
            let stream = naive::with_threads(threads, || {
                streamed::<Linear>(task, room, &a, &b, &windows(cuts, n_rows))
            });
            prop_assert_eq!(stream.found_pairs(), Some(&wanted[..]));
            prop_assert_eq!(stream.found(), None);
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
    }

    #[test]
    fn what_features_hold_in_groups_counts_against_the_limit() {
        let search = Search { top: 1, min_activations: 1, metric: Metric::Within, groups: Some(&[5, 5]) };
        let error = stream(1, [1, 1], search, 1 << 21).err().unwrap();
        assert_eq!(error.to_string(), "groups and the rows of a must have one length, got 2 and 1");
        let error = stream(1, [1, 1], Search { metric: Metric::Cosine, ..search }, 1 << 21).err().unwrap();
        assert_eq!(error.to_string(), "metric must be within where groups are given, got Cosine with groups");
        let both = Dense::new(vec![vec![1.0; 2]; 2], 2);
        naive::with_threads(1, || {
            let error = stream(2, [2, 2], search, 1000).err().unwrap();
            let fixed = (1 << 20) + 4 * 288 + 16 + 16;
            let message =
                format!("memory_limit must be at least {fixed} bytes for these features and groups, got 1000");
            assert_eq!(error.to_string(), message);
            let least = fixed + 4 * 64 * 4;
            let mut tight = stream(2, [2, 2], search, least - 4).unwrap();
            let error = tight.feed(both.csr(), both.csr()).unwrap_err();
            let needed = format!("at least {least} bytes for what the features hold in groups of rows");
            assert_eq!(error.to_string(), format!("memory_limit must be {needed}, got {}", least - 4));
            let mut enough = stream(2, [2, 2], search, least).unwrap();
            run(&mut *enough, &both, &both, &[0, 1, 2]);
            assert_eq!(enough.found().unwrap()[0].ids, [-1, -1]); // constant within their group
        });
    }

    #[test]
    fn bad_pairs_are_refused_by_name() {
        let error = |i: &[i64], j: &[i64]| stream_pairs(1, [2, 2], [i, j], None, 1 << 21).err().unwrap().to_string();
        assert_eq!(error(&[2], &[0]), "feature_a must lie in 0..2, got 2");
        assert_eq!(error(&[0], &[]), "feature_a and feature_b must have one length, got 1 and 0");
    }
}
