//! Measures of togetherness: which features take part, and what a pair of them scores, exactly.

use crate::Error;
use crate::moments::{Centred, Sums, Together, correlation};
use crate::sparse::Column;

/// A feature whose variance is at most this share of its mean square is constant.
pub const VARIANCE_FLOOR: f64 = 1e-12;

/// What makes two features partners.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Metric {
    /// Pearson correlation of the activations over all rows.
    Pearson,
    /// Cosine of the activations.
    Cosine,
    /// Rows where both fire over rows where either does.
    Jaccard,
    /// Pearson given a group id for every row: after subtracting, within each group, both features' means.
    Within,
}

impl Metric {
    /// Read a name.
    ///
    /// # Errors
    /// A name that is none of the three.
    pub fn named(name: &str) -> Result<Self, Error> {
        match name {
            "pearson" => Ok(Self::Pearson),
            "cosine" => Ok(Self::Cosine),
            "jaccard" => Ok(Self::Jaccard),
            _ => Err(Error::Number {
                name: "metric".into(),
                wanted: "pearson, cosine or jaccard".into(),
                got: format!("'{name}'"),
            }),
        }
    }

    /// What the measure looks at in a column over `n` rows; `None` if the feature cannot be anybody's partner.
    pub(crate) fn centre(self, column: Column, n: usize) -> Option<Centred> {
        let mut sums = Sums::default();
        sums.add(column);
        let mut centred = self.begin(&sums, n)?;
        if self.is_centred() {
            centred.add(column);
        }
        self.finish(centred, &sums, n)
    }

    /// What there is after a first pass over a column; for Pearson all its rows are still to be added, centred.
    pub(crate) fn begin(self, sums: &Sums, n: usize) -> Option<Centred> {
        match self {
            _ if sums.count == 0 => None,
            Self::Pearson => Some(sums.about_mean(n)),
            Self::Cosine => Some(sums.about_zero()),
            Self::Jaccard => Some(sums.counted()),
            Self::Within => None,
        }
    }

    /// Whether a second pass is needed, about the mean.
    pub(crate) fn is_centred(self) -> bool {
        self == Self::Pearson
    }

    /// What there is in the end.
    pub(crate) fn finish(self, centred: Centred, sums: &Sums, n: usize) -> Option<Centred> {
        if self.is_centred() {
            return Some(centred.and_zeros(n)).filter(|centred| centred.squares > VARIANCE_FLOOR * sums.squares);
        }
        Some(centred).filter(|centred| centred.squares > 0.0)
    }

    /// What a stored value counts for.
    #[inline]
    pub(crate) fn seen(self, value: f32) -> f64 {
        if self == Self::Jaccard { 1.0 } else { f64::from(value) }
    }

    /// The score of two columns over `n` rows; `dense_a` is column `a` by rows.
    pub(crate) fn score(self, a: Column, dense_a: &[f32], b: Column, of_a: &Centred, of_b: &Centred, n: usize) -> f64 {
        let mut together = Together::default();
        together.add_rows(a, dense_a, b, of_a, of_b);
        self.of_sums(&together, of_a, of_b, n)
    }

    /// The score of two features that never fire together.
    pub(crate) fn apart(self, of_a: &Centred, of_b: &Centred, n: usize) -> f64 {
        self.of_sums(&Together::default(), of_a, of_b, n)
    }

    pub(crate) fn of_sums(self, together: &Together, of_a: &Centred, of_b: &Centred, n: usize) -> f64 {
        match self {
            Self::Jaccard => together.overlap(of_a, of_b),
            Self::Pearson | Self::Cosine | Self::Within => {
                correlation(together.product(of_a, of_b, n), of_a.squares, of_b.squares)
            }
        }
    }
}
