//! The best partners so far of every candidate, by exact scores: all that a bounded search keeps of settled pairs.

use crate::correlation::BestPartners;
use crate::roster::{NONE, Partner, Roster};

const NOBODY: Partner = (f64::NEG_INFINITY, NONE);

/// By candidate of one side, best first, lowest feature first where scores are equal; [`NOBODY`] where there are fewer.
pub struct Leaders {
    top: usize,
    partners: Vec<Partner>,
}

impl Leaders {
    pub fn new(n_candidates: usize, top: usize) -> Self {
        Self { top, partners: vec![NOBODY; n_candidates * top] }
    }

    /// Count a partner in, once however often it comes.
    pub fn add(&mut self, candidate: u32, (score, feature): Partner) {
        let partners = &mut self.partners[candidate as usize * self.top..][..self.top];
        let at = partners.partition_point(|&(other, id)| score.total_cmp(&other).then(id.cmp(&feature)).is_lt());
        if partners.get(at).is_some_and(|&partner| partner != (score, feature)) {
            partners[at..].rotate_right(1);
            partners[at] = (score, feature);
        }
    }

    /// Scores of a candidate, in falling order.
    pub fn scores(&self, candidate: usize) -> impl Iterator<Item = f64> {
        self.partners[candidate * self.top..][..self.top].iter().map(|partner| partner.0)
    }

    pub fn into_best(self, of: &Roster) -> BestPartners {
        let mut ids = vec![-1; of.n_features() * self.top];
        let mut correlations = vec![0.0; ids.len()];
        for (candidate, partners) in of.candidates.iter().zip(self.partners.chunks(self.top)) {
            let known = partners.iter().take_while(|&&partner| partner != NOBODY);
            for (at, &(score, partner)) in (candidate.feature as usize * self.top..).zip(known) {
                ids[at] = i64::from(partner);
                correlations[at] = score;
            }
        }
        BestPartners { ids, correlations }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::roster::best;

    proptest! {
        #[test]
        fn they_are_the_first_of_all_in_order(
            ids in prop::collection::vec(0..20_u32, 0..40),
            scores in prop::collection::vec(-2..3_i8, 20),
            top in 1..5_usize,
        ) {
            let mut leaders = Leaders::new(2, top);
            let partner = |&id: &u32| (f64::from(scores[id as usize]), id);
            for id in &ids {
                leaders.add(1, partner(id));
            }
            let mut partners: Vec<Partner> = ids.iter().map(partner).collect();
            partners.sort_unstable_by_key(|of| of.1);
            partners.dedup();
            let wanted = best(&mut partners, top);
            prop_assert_eq!(&leaders.partners[top..][..wanted.len()], wanted);
            prop_assert!(leaders.partners[top + wanted.len()..].iter().all(|&of| of == NOBODY));
            prop_assert!(leaders.scores(0).all(|score| score == f64::NEG_INFINITY));
        }
    }
}
