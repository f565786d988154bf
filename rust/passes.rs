//! Best partners of activations larger than memory: the rows come in windows, pass after pass over all of them.
//!
//! 1. Sums of every feature, for Pearson a second pass about their means, or those within groups of rows.
//! 2. For as many features of B as memory holds, the sums with every feature of A, in float32 and window by window;
//!    then the epilogue of the search in memory, which nominates pairs. A pass for each such block of B.
//! 3. The same from the other side for the few features of A that no partner fires with positively.
//! 4. Exact sums of the nominated pairs, or straight after 1. those of given ones. Where the nominees' memory is full
//!    before all features have been looked at, this comes in between: of settled pairs only the best are kept, and
//!    they raise the bars for the next.
//!
//! Everything that is reported is added up in float64 row after row, as in memory: the answer is the same to the bit
//! whatever the windows, the blocks, the nominees' memory and the number of threads.

use std::ops::ControlFlow::{Break, Continue};
use std::sync::Arc;

use crate::Error;
use crate::bounds::Bounds;
use crate::correlation::BestPartners;
use crate::gather::{Gather, Gathered, Holdings};
use crate::leaders::Leaders;
use crate::nominees::NOMINEE;
use crate::packed::BLOCK;
use crate::pair_sums::{Pair, PairSums};
use crate::pairs::same_rows;
use crate::products::{Products, Step};
use crate::roster::Roster;
use crate::sparse::Csr;
use crate::task::{Goal, Streamed, Task};

/// Bytes an activation of a window needs while it is transposed and packed, and a row: its offsets and its place among
/// packed rows, which begin with a cache line.
const ENTRY: usize = 44;
const ROW: usize = 144;
/// Bytes for what a feature holds in a group: while the groups' rows are made and packed, and without that.
const HOLDING: usize = 64;
const HOLDING_OF_PAIRS: usize = 48;

/// A task between two windows.
pub struct Passes<B> {
    task: Task,
    /// Bytes that are needed whatever the rows hold.
    fixed: usize,
    /// Bytes for sums, and for what is known of pairs.
    room: usize,
    /// The most that features may hold in groups.
    most_holdings: usize,
    holdings: Option<Holdings>,
    fed: usize,
    /// Scores of the pairs that are settled: the best, or all in the order of the pairs.
    settled: Settled,
    pass: Pass<B>,
}

enum Pass<B> {
    Gather(Box<Gather>),
    Products(Box<Products<B>>),
    /// Pairs, and what waits for their scores.
    Pairs(Box<PairSums>, Option<Box<Products<B>>>),
    Best(Box<[BestPartners; 2]>),
    Scores(Vec<f64>),
}

enum Settled {
    Best(Arc<[Roster; 2]>, [Leaders; 2]),
    Scores(Vec<f64>),
}

impl<B: Bounds> Passes<B> {
    pub fn new(task: Task, fixed: usize, room: usize) -> Self {
        let pass = Pass::Gather(Box::new(Gather::new(&task)));
        let [share, holding] = Self::share(&task.goal);
        let (most_holdings, settled) = (room / share / holding, Settled::Scores(Vec::new()));
        Self { task, fixed, room, most_holdings, holdings: None, fed: 0, settled, pass }
    }

    /// What part of the room holdings may have, one in so many, and the bytes of one.
    fn share(goal: &Goal) -> [usize; 2] {
        match goal {
            Goal::Best(_) => [4, HOLDING],
            Goal::Pairs(_) => [2, HOLDING_OF_PAIRS],
        }
    }

    fn miscounted(&self, fed: usize) -> Error {
        let (wanted, got) = (format!("{} in every pass", self.task.n_rows), fed.to_string());
        Error::Number { name: "rows".into(), wanted, got }
    }

    fn check_holdings(&self, held: usize) -> Result<(), Error> {
        if held <= self.most_holdings {
            return Ok(());
        }
        let [share, holding] = Self::share(&self.task.goal);
        let least = self.fixed + share * holding * held;
        let wanted = format!("at least {least} bytes for what the features hold in groups of rows so far");
        Err(Error::Number { name: "memory_limit".into(), wanted, got: (self.fixed + self.room).to_string() })
    }

    /// Bytes for the sums of blocks, beside what features hold in groups.
    fn room_for_sums(&self) -> usize {
        let held = self.holdings.as_ref().map_or(0, Holdings::len);
        (self.room / 2).saturating_sub(held * HOLDING)
    }

    fn pair_up(&mut self, gathered: Gathered) -> Pass<B> {
        self.holdings = gathered.holdings;
        let rosters = Arc::new(gathered.rosters);
        match &self.task.goal {
            &Goal::Best(top) => {
                let leaders = rosters.each_ref().map(|roster| Leaders::new(roster.len(), top));
                self.settled = Settled::Best(rosters.clone(), leaders);
                Pass::Products(Box::new(Products::new(rosters, top, self.room_for_sums(), self.room / 8 / NOMINEE)))
            }
            Goal::Pairs(features) => {
                let mut pairs = Vec::with_capacity(features.len());
                pairs.extend(features.iter().filter_map(|&features| Pair::of_features(&rosters, features)));
                self.settled = Settled::Scores(Vec::with_capacity(pairs.len()));
                Pass::Pairs(Box::new(PairSums::new(rosters, pairs)), None)
            }
        }
    }

    /// What comes after a pass that added up products, or after their nominees are settled.
    fn step(&self, products: Box<Products<B>>) -> Pass<B> {
        let Settled::Best(rosters, _) = &self.settled else { unreachable!("a search") };
        let pairs = |pairs| Box::new(PairSums::new(rosters.clone(), pairs));
        match products.step(self.room_for_sums()) {
            Step::Feed(products) => Pass::Products(products),
            Step::Settle(nominated, products) => Pass::Pairs(pairs(nominated), Some(products)),
            Step::Done(nominated) => Pass::Pairs(pairs(nominated), None),
        }
    }

    /// What comes after a pass that added up pairs.
    fn settle(&mut self, mut pairs: Box<PairSums>, waiting: Option<Box<Products<B>>>) -> Pass<B> {
        if !pairs.end(|pair, score| self.settled.note(pair, score)) {
            return Pass::Pairs(pairs, waiting);
        }
        if let Some(mut products) = waiting {
            if let Settled::Best(_, leaders) = &self.settled {
                products.learn(leaders);
            }
            drop(pairs);
            return self.step(products);
        }
        match (std::mem::replace(&mut self.settled, Settled::Scores(Vec::new())), &self.task.goal) {
            (Settled::Best(rosters, [of_a, of_b]), _) => {
                Pass::Best(Box::new([of_b.into_best(&rosters[1]), of_a.into_best(&rosters[0])]))
            }
            (Settled::Scores(scores), Goal::Pairs(features)) => {
                let of_pair = |&features| pairs.score(features, &scores);
                Pass::Scores(features.iter().map(of_pair).collect())
            }
            (Settled::Scores(_), Goal::Best(_)) => unreachable!("a search"),
        }
    }
}

impl Settled {
    fn note(&mut self, pair: Pair, score: f64) {
        match self {
            Self::Scores(scores) => scores.push(score),
            Self::Best(rosters, leaders) => {
                let (numbers, counts) = (pair.candidates(), pair.counts(rosters[0].metric));
                for side in [0, 1].into_iter().filter(|&side| counts[side]) {
                    let partner = rosters[1 - side].candidates[numbers[1 - side] as usize].feature;
                    leaders[side].add(numbers[side], (score, partner));
                }
            }
        }
    }
}

impl<B: Bounds> Streamed for Passes<B> {
    fn window(&self) -> usize {
        self.room / 4 / ENTRY
    }

    fn row(&self) -> usize {
        let blocks = self.task.n_features.map(|width| width.div_ceil(BLOCK));
        (ROW + 8 * blocks[0].max(blocks[1]) + 4 * rayon::current_num_threads()).div_ceil(ENTRY)
    }

    fn most_holdings(&self) -> usize {
        self.most_holdings
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
            Pass::Pairs(pairs, _) => pairs.feed(a, b, rows.zip(self.holdings.as_ref().map(|of| &of.books))),
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
            Pass::Products(mut products) => {
                if let (Some(rows), Some(holdings)) = (self.task.rows(), &self.holdings) {
                    products.feed_groups(&holdings.shares, rows.len());
                }
                self.step(products)
            }
            Pass::Pairs(pairs, waiting) => self.settle(pairs, waiting),
            done => done,
        };
        if let Pass::Pairs(pairs, waiting) = &mut self.pass {
            pairs.begin(if waiting.is_some() { self.room / 8 } else { self.room / 4 });
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
    use crate::bounds::{Linear, Overlap, Stretched};
    use crate::groups::Groups;
    use crate::naive::{self, Dense};
    use crate::{Metric, Search, best_partners, pair_correlations};

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

    fn streamed<B: Bounds>(task: Task, room: usize, a: &Dense, b: &Dense, cuts: &[usize]) -> Passes<B> {
        let mut stream = Passes::new(task, 0, room);
        stream.most_holdings = usize::MAX;
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
}
