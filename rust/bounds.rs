//! What a sum in float32 says of a score: bounds that hold whatever the order of the additions.

/// No less than `rounding` for any standard mean in -1..=1.
const MODERATE: f32 = 4e-4;
/// Three roundings of float32, and room.
const ROUNDED: f32 = 1e-6;

/// The smallest and the largest of what is known of the features of one side.
#[derive(Clone, Copy, Debug)]
pub struct Extremes {
    pub smallest: f64,
    pub largest: f64,
}

impl Extremes {
    pub fn of(numbers: &[f64]) -> Self {
        let largest = numbers.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let smallest = numbers.iter().copied().fold(f64::INFINITY, f64::min);
        Self { smallest, largest }
    }

    /// The smallest product of one of the numbers with `x`.
    pub fn least(self, x: f64) -> f64 {
        (x * self.smallest).min(x * self.largest)
    }

    fn magnitude(self) -> f64 {
        self.largest.max(-self.smallest)
    }

    pub fn contain(self, x: f32) -> bool {
        (self.smallest as f32..=self.largest as f32).contains(&x)
    }
}

/// What the bounds need to know of one feature of B.
#[derive(Clone, Copy)]
pub struct Pass {
    pub b: u32,
    /// What the measure knows of it beside its sums, see [`Bounds`].
    pub standing: f32,
    pub slack: f32,
}

/// How the sum over the rows where two features fire bounds their score, given a number that is known of each (its
/// *standing*). Scores may be on any scale that rises with the true one.
pub trait Bounds: Copy + Send + Sync {
    /// Above the error of an exact score that is rounded to float32.
    const SHARP: f32 = 1e-6;

    /// The standings of B that floors are made for; those left out would lower the floors of all.
    fn usual(standings: &[f64]) -> Extremes {
        Extremes::of(standings)
    }

    /// Whether floors hold for a pass: its standing is usual, and its error no more than they were made for.
    fn is_usual(pass: Pass, usual: Extremes) -> bool {
        usual.contain(pass.standing) && pass.slack <= MODERATE
    }

    /// For a feature whose sums have at most `terms` terms in a row in float32.
    fn pass(b: u32, terms: usize, standing: f64) -> Pass;

    /// Bounds of the score.
    fn interval(pass: Pass, sum: f32, standing: f32) -> (f32, f32);

    /// A lower bound of the score, from what it is exactly.
    fn exact(score: f64) -> f32 {
        score as f32 - Self::SHARP
    }

    /// Whether the upper bound may be `bar` or more; the hot question.
    fn reaches(pass: Pass, sum: f32, standing: f32, bar: f32) -> bool;

    /// The least sum that reaches the bar of a feature of A in a usual pass.
    fn floor_a(bar: f32, standing: f32, usual: Extremes) -> f32;

    /// The least sum that reaches the bar of the feature of B at hand.
    fn floor_b(pass: Pass, bar: f32, of_a: Extremes) -> f32;
}

/// Score = sum - `standing_a` `standing_b`: the mean in standard deviations for Pearson, 0 for a cosine.
#[derive(Clone, Copy)]
pub struct Linear;

impl Bounds for Linear {
    fn usual(standings: &[f64]) -> Extremes {
        let Extremes { smallest, largest } = Extremes::of(standings);
        Extremes { smallest: smallest.clamp(-1.0, 1.0), largest: largest.clamp(-1.0, 1.0) }
    }

    fn pass(b: u32, terms: usize, standing: f64) -> Pass {
        let slack = rounding(terms, standing);
        Pass { b, standing: standing as f32, slack }
    }

    #[inline]
    fn interval(pass: Pass, sum: f32, standing: f32) -> (f32, f32) {
        let (score, slack) = (sum - pass.standing * standing, pass.slack + pass.slack * standing.abs());
        (score - slack, score + slack)
    }

    #[inline]
    fn reaches(pass: Pass, sum: f32, standing: f32, bar: f32) -> bool {
        (sum - pass.standing * standing) + (pass.slack + pass.slack * standing.abs()) >= bar
    }

    fn floor_a(bar: f32, standing: f32, usual: Extremes) -> f32 {
        bar + usual.least(f64::from(standing)) as f32 - MODERATE * (1.0 + standing.abs())
    }

    fn floor_b(pass: Pass, bar: f32, of_a: Extremes) -> f32 {
        let slack = f64::from(pass.slack) * (1.0 + of_a.magnitude());
        bar + (of_a.least(f64::from(pass.standing)) - slack) as f32
    }
}

/// Sum = rows where both fire, standing = rows where one does, score = sum / (`standing_a` + `standing_b`): it is
/// J / (1 + J) of the Jaccard index J. Counts are exact in float32 below 2^24, and above it a rounding off for each
/// term.
#[derive(Clone, Copy)]
pub struct Overlap;

impl Bounds for Overlap {
    /// The fewer rows a feature fires on, the lower the count that would do: all but the rarest sixteenth.
    fn usual(standings: &[f64]) -> Extremes {
        let mut sorted = standings.to_vec();
        sorted.sort_unstable_by(f64::total_cmp);
        Extremes::of(&sorted[sorted.len() / 16..])
    }

    fn is_usual(pass: Pass, usual: Extremes) -> bool {
        usual.contain(pass.standing) && pass.slack <= ROUNDED
    }

    fn exact(score: f64) -> f32 {
        (score / (1.0 + score)) as f32 - Self::SHARP
    }

    fn pass(b: u32, terms: usize, standing: f64) -> Pass {
        let roundings = if standing < f64::from(1 << 24) { 0 } else { terms };
        Pass { b, standing: standing as f32, slack: ROUNDED + roundings as f32 * f32::EPSILON }
    }

    #[inline]
    fn interval(pass: Pass, sum: f32, standing: f32) -> (f32, f32) {
        let score = sum / (pass.standing + standing);
        (score * (1.0 - pass.slack), score * (1.0 + pass.slack))
    }

    #[inline]
    fn reaches(pass: Pass, sum: f32, standing: f32, bar: f32) -> bool {
        sum * (1.0 + 2.0 * pass.slack) >= bar * (pass.standing + standing)
    }

    fn floor_a(bar: f32, standing: f32, usual: Extremes) -> f32 {
        bar * (standing + usual.smallest as f32) * (1.0 - 2.0 * ROUNDED)
    }

    fn floor_b(pass: Pass, bar: f32, of_a: Extremes) -> f32 {
        bar * (pass.standing + of_a.smallest as f32) * (1.0 - 2.0 * pass.slack)
    }
}

/// A cosine of columns that rows were added to (see `groups`), so that a column's norm may be far above 1: score =
/// sum, standing = norm.
#[derive(Clone, Copy)]
pub struct Stretched;

impl Bounds for Stretched {
    fn is_usual(pass: Pass, usual: Extremes) -> bool {
        usual.contain(pass.standing) && pass.slack <= MODERATE * pass.standing
    }

    fn pass(b: u32, terms: usize, standing: f64) -> Pass {
        Pass { b, standing: standing as f32, slack: rounding(terms, 0.0) * standing as f32 }
    }

    #[inline]
    fn interval(pass: Pass, sum: f32, standing: f32) -> (f32, f32) {
        (sum - pass.slack * standing, sum + pass.slack * standing)
    }

    #[inline]
    fn reaches(pass: Pass, sum: f32, standing: f32, bar: f32) -> bool {
        sum + pass.slack * standing >= bar
    }

    fn floor_a(bar: f32, standing: f32, usual: Extremes) -> f32 {
        bar - MODERATE * usual.largest as f32 * standing
    }

    fn floor_b(pass: Pass, bar: f32, of_a: Extremes) -> f32 {
        bar - pass.slack * of_a.largest as f32
    }
}

/// Bound on the error of a correlation in float32, over 1 + |mean of the partner|.
///
/// A sum of n terms errs by at most g(n) times the sum of their magnitudes, g(n) = n u / (1 - n u), u = 2^-24
/// (Higham, Accuracy and Stability of Numerical Algorithms, section 4.2). By Cauchy-Schwarz the magnitudes sum
/// to at most k(a) k(b), k(x)^2 = 1 + (mean / deviation)^2, and k(a) <= 1 + |mean / deviation|. Two dozen
/// more roundings cover scaling, the product, centring, the bounds and the floors.
fn rounding(terms: usize, mean: f64) -> f32 {
    let n = (terms + 24) as f64 * f64::from(f32::EPSILON) / 2.0;
    (n / (1.0 - n) * mean.hypot(1.0) * (1.0 + 1e-6)) as f32
}

/// Sum of products that are not negative, of which a second sum is still to be taken (see `given`): it is an upper
/// bound itself, and errs relative to its own size.
#[derive(Clone, Copy)]
pub struct Reducible;

impl Bounds for Reducible {
    fn is_usual(pass: Pass, _: Extremes) -> bool {
        pass.slack <= 4.0 * MODERATE
    }

    fn usual(_: &[f64]) -> Extremes {
        Extremes { smallest: 0.0, largest: 0.0 } // of any pass
    }

    fn pass(b: u32, terms: usize, _: f64) -> Pass {
        Pass { b, standing: 0.0, slack: 2.0 * rounding(terms, 0.0) }
    }

    #[inline]
    fn interval(pass: Pass, sum: f32, _: f32) -> (f32, f32) {
        (0.0, sum + sum * pass.slack)
    }

    #[inline]
    fn reaches(pass: Pass, sum: f32, _: f32, bar: f32) -> bool {
        sum + sum * pass.slack >= bar
    }

    fn floor_a(bar: f32, _: f32, _: Extremes) -> f32 {
        bar - 4.0 * MODERATE * bar.abs()
    }

    fn floor_b(pass: Pass, bar: f32, _: Extremes) -> f32 {
        bar - 2.0 * pass.slack * bar.abs()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::accumulator::RUN;

    /// A sum that reaches the bar of a feature of A is never below its floor, in a pass that floors hold for.
    fn floors_spare_nothing<B: Bounds>(terms: usize, standings: [f64; 4], bar: f32, sum: f32) {
        let [standing_a, standing_b, least, most] = standings;
        let usual = B::usual(&[least.min(most), least.max(most)]);
        let pass = B::pass(0, terms, standing_b);
        if B::is_usual(pass, usual) && B::reaches(pass, sum, standing_a as f32, bar) {
            assert!(sum >= B::floor_a(bar, standing_a as f32, usual));
            assert!(sum >= B::floor_b(pass, bar, Extremes::of(&[standing_a])));
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4096))]

        #[test]
        fn floors_are_below_what_reaches(
            terms in prop::sample::select(vec![1_usize, 30, RUN, RUN + 500, RUN + 1_000_000]),
            standings in [-2.0..2.0_f64, -2.0..2.0_f64, -2.0..2.0_f64, -2.0..2.0_f64],
            counts in [1..40_000_000_u32, 1..40_000_000_u32, 1..40_000_000_u32, 1..40_000_000_u32],
            bar in -1.0..1.0_f32,
            near in -1e-3..1e-3_f32,
        ) {
            let [a, b, _, _] = standings.map(|standing| standing as f32);
            floors_spare_nothing::<Linear>(terms, standings, bar, bar + a * b + near);
            floors_spare_nothing::<Stretched>(terms, standings.map(|x| 1.0 + x.abs()), bar, bar + near);
            floors_spare_nothing::<Reducible>(terms, [0.0; 4], bar, bar.abs() * (1.0 + near));
            let share = bar.abs() / 2.0;
            let counts = counts.map(f64::from);
            floors_spare_nothing::<Overlap>(terms, counts, share, share * (counts[0] + counts[1]) as f32 * (1.0 + near / 100.0));
        }
    }

    #[test]
    fn more_windows_than_floors_were_made_for_ask_every_pair() {
        let usual = Extremes { smallest: -1.0, largest: 1.0 };
        assert!(Linear::is_usual(Linear::pass(0, RUN + 100, 0.1), usual));
        assert!(!Linear::is_usual(Linear::pass(0, RUN + 10_000, 0.1), usual));
        let counts = Extremes { smallest: 1.0, largest: 1e9 };
        assert!(Overlap::is_usual(Overlap::pass(0, RUN + 10_000, 1e6), counts));
        assert!(!Overlap::is_usual(Overlap::pass(0, RUN + 10_000, 1e8), counts));
    }
}
