//! The counting core of `analogue`: sparse-exact Pearson correlation, top positions and rank permutations.
//!
//! Nothing here knows Python, tokens or models: ids and offsets in, ids and numbers out. [`python`] is the only
//! file that sees `PyO3`, behind the feature of that name. Every result is the same for any number of threads.

mod assignment;
mod contenders;
mod correlation;
mod error;
mod gustavson;
mod moments;
#[cfg(test)]
mod naive;
mod packed;
mod pairs;
#[cfg(feature = "python")]
mod python;
mod ranks;
mod sequences;
mod side;
mod sparse;

pub use assignment::assignment;
pub use correlation::{BestPartners, best_partners};
pub use error::Error;
pub use pairs::pair_correlations;
pub use ranks::mantel_dots;
pub use sequences::{TopPositions, top_positions};
pub use sparse::Csr;
