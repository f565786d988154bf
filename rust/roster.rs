//! The features of one side that may be partners, and what is known of each without its column.

use std::sync::OnceLock;

use crate::bounds::Extremes;
use crate::groups::{Share, WITHIN_FLOOR};
use crate::metric::Metric;
use crate::moments::Centred;

pub const NONE: u32 = u32::MAX;
/// Partners that are gathered before all but the best are dropped again.
const ROOM: usize = 1024;

/// An exact score and the feature of the other side it is with.
pub type Partner = (f64, u32);

/// What one pass over the columns leaves of a feature that may be a partner.
#[derive(Clone, Copy)]
pub struct Candidate {
    pub feature: u32,
    pub centred: Centred,
    /// Norm of the column, with the rows of groups, over the norm that scores are measured in.
    pub stretch: f64,
}

impl Candidate {
    /// A feature with these shares of the groups by what is left of it within them, if that is more than rounding of
    /// the sum of its squares.
    pub fn within(feature: u32, centred: Centred, squares: f64, shares: &[Share]) -> Option<Self> {
        let of_groups: f64 = shares.iter().map(|&(_, share)| f64::from(share) * f64::from(share)).sum();
        let stretch = ((squares + of_groups) / centred.squares).sqrt();
        (centred.squares > WITHIN_FLOOR * squares).then_some(Self { feature, centred, stretch })
    }
}

/// Candidates are numbered 0.. in the order of their features.
pub struct Roster {
    pub metric: Metric,
    pub n_rows: usize,
    pub candidates: Vec<Candidate>,
    /// Feature to candidate, or `NONE`.
    numbers: Vec<u32>,
    /// Mean of every candidate in its standard deviations; 0 where the measure takes off no means.
    pub means: Vec<f64>,
    by_mean: OnceLock<Vec<u32>>,
}

impl Roster {
    pub fn new(metric: Metric, n_rows: usize, n_features: usize, candidates: Vec<Candidate>) -> Self {
        let mut numbers = vec![NONE; n_features];
        for (number, candidate) in (0..).zip(&candidates) {
            numbers[candidate.feature as usize] = number;
        }
        let standard = |of: &Candidate| of.centred.mean * (n_rows as f64 / of.centred.squares).sqrt();
        let means = candidates.iter().map(standard).collect();
        Self { metric, n_rows, candidates, numbers, means, by_mean: OnceLock::new() }
    }

    pub fn len(&self) -> usize {
        self.candidates.len()
    }

    pub fn n_features(&self) -> usize {
        self.numbers.len()
    }

    pub fn candidate(&self, feature: i32) -> Option<u32> {
        Some(self.numbers[feature as usize]).filter(|&number| number != NONE)
    }

    /// One over the norm of a candidate; counts are left as they are.
    pub fn scale(&self, candidate: u32) -> f64 {
        match self.metric {
            Metric::Jaccard => 1.0,
            _ => 1.0 / self.candidates[candidate as usize].centred.squares.sqrt(),
        }
    }

    /// What a stored value weighs in the sums.
    #[inline]
    pub fn weight(&self, scale: f64, value: f32) -> f32 {
        (self.metric.seen(value) * scale) as f32
    }

    /// What the bounds need to know of every candidate.
    pub fn standings(&self) -> Vec<f64> {
        match self.metric {
            Metric::Jaccard => self.candidates.iter().map(|of| of.centred.squares).collect(),
            Metric::Within => self.candidates.iter().map(|of| of.stretch).collect(),
            Metric::Pearson | Metric::Cosine => self.means.clone(),
        }
    }

    /// The largest score a candidate can have with a partner that never fires together with it.
    pub fn best_apart(&self, candidate: u32, other: Extremes) -> f64 {
        -other.least(self.means[candidate as usize])
    }

    /// The `top` best partners of a candidate among those that never fire together with it.
    ///
    /// Of these the correlation is -`m_a` `m_b` / (`s_a` `s_b`): they are walked in the order of m / s.
    pub fn best_untouched(
        &self,
        candidate: u32,
        other: &Self,
        top: usize,
        touched: impl Fn(u32) -> bool,
    ) -> Vec<Partner> {
        let (own, mean) = (&self.candidates[candidate as usize].centred, self.means[candidate as usize]);
        let mut found: Vec<Partner> = Vec::new();
        let mut visit = |partner: u32| {
            if touched(partner) {
                return true;
            }
            let partner = &other.candidates[partner as usize];
            let score = self.metric.apart(own, &partner.centred, self.n_rows);
            // Where a mean is 0 all of these are equal, and come in order: the first are the best.
            let wanted = found.get(top - 1).is_none_or(|last| score >= last.0 && mean != 0.0);
            if wanted {
                found.push((score, partner.feature));
                if found.len() >= 2 * top + ROOM {
                    best(&mut found, top);
                    found.truncate(top);
                }
            }
            wanted
        };
        let every = 0..other.len() as u32;
        if mean == 0.0 {
            every.into_iter().all(&mut visit);
        } else if mean > 0.0 {
            other.by_mean().iter().copied().all(&mut visit);
        } else {
            other.by_mean().iter().rev().copied().all(&mut visit);
        }
        best(&mut found, top);
        found.truncate(top);
        found
    }

    fn by_mean(&self) -> &[u32] {
        self.by_mean.get_or_init(|| {
            let mut order: Vec<u32> = (0..self.len() as u32).collect();
            order.sort_by(|&i, &j| self.means[i as usize].total_cmp(&self.means[j as usize]));
            order
        })
    }
}

/// The `top` largest scores, lowest feature first where they are equal.
pub fn best(partners: &mut [Partner], top: usize) -> &[Partner] {
    partners.sort_unstable_by(|(r, i), (s, j)| s.total_cmp(r).then(i.cmp(j)));
    &partners[..top.min(partners.len())]
}
