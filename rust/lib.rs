//! The counting core of `analogue`: sparse-exact Pearson correlation, top positions, rank permutations and keywords.
//!
//! Nothing here knows Python or models: ids and offsets in, ids and numbers out, and texts only where keywords are
//! looked for. [`python`] is the only file that sees `PyO3`, behind the feature of that name. Every result is the same for any number of threads.

mod accumulator;
mod assignment;
mod bounds;
#[cfg(any(feature = "python", test))]
mod ceiling;
mod contenders;
mod correlation;
mod epilogue;
mod error;
mod floors;
mod gather;
mod given;
mod groups;
mod gustavson;
mod keywords;
mod leaders;
mod ledger;
mod lexicon;
mod lines;
mod mentions;
mod metric;
mod moments;
#[cfg(test)]
mod naive;
mod nominees;
mod packed;
mod pair_sums;
mod pairs;
mod passes;
mod products;
#[cfg(feature = "python")]
mod python;
mod ranks;
mod reader;
mod roster;
mod sequences;
mod side;
mod sparse;
mod stream;
mod task;
mod words;

pub use assignment::assignment;
pub use correlation::{BestPartners, Search, best_partners};
pub use error::Error;
pub use keywords::{Contexts, KeywordHits, keyword_hits};
pub use lexicon::{KeywordGroup, Scope};
pub use mentions::{Mentions, mentions};
pub use metric::Metric;
pub use pairs::pair_correlations;
pub use ranks::mantel_dots;
pub use sequences::{Bands, TopPositions, band_positions, top_positions};
pub use sparse::Csr;
pub use stream::{stream, stream_pairs};
pub use task::Streamed;
