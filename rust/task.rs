//! What is asked of activations larger than memory, and how they are taken in.

use crate::correlation::BestPartners;
use crate::groups::{GroupedRows, Groups};
use crate::sparse::Csr;
use crate::{Error, Metric};

/// What is asked.
pub struct Task {
    pub n_rows: usize,
    pub n_features: [usize; 2],
    pub metric: Metric,
    pub min_activations: usize,
    pub groups: Option<Groups>,
    pub goal: Goal,
}

pub enum Goal {
    /// So many partners for every feature.
    Best(usize),
    /// The scores of these pairs of features.
    Pairs(Vec<[u32; 2]>),
}

impl Task {
    /// All rows with their groups.
    pub fn rows(&self) -> Option<GroupedRows<'_>> {
        self.groups.as_ref().map(|groups| groups.rows_from(0))
    }
}

/// A search that is fed windows of rows: `feed` all of them in order, then `end_pass`, until that says it is done.
pub trait Streamed: Send + Sync {
    /// The most activations of both sides that a window should have.
    fn window(&self) -> usize;

    /// How many activations a row counts for, beside those that it has.
    fn row(&self) -> usize;

    /// The most groups that features may hold something in, counted for every feature.
    fn most_holdings(&self) -> usize;

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
