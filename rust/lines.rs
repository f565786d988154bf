//! Sums looked at sixteen at a time, a cache line, by the widest instructions of this processor.
//!
//! One body, compiled for each instruction set. Adding up stays scalar: on the processors measured (Zen 5) sixteen
//! scattered additions by AVX-512 gather and scatter take 1.4 times as long as one by one.

/// What no sum of activations leaves behind, except by underflow: x + -x is +0.
pub const UNTOUCHED: f32 = -0.0;
/// Sums in a line.
pub const LINE: usize = 16;

/// An instruction set that this processor has: there is no other way to make one than to ask.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Isa(Set);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Set {
    Portable,
    #[cfg(target_arch = "x86_64")]
    Avx2,
    #[cfg(target_arch = "x86_64")]
    Avx512,
}

impl Isa {
    /// The widest.
    pub fn best() -> Self {
        #[cfg(target_arch = "x86_64")]
        if is_x86_feature_detected!("avx512f") {
            return Self(Set::Avx512);
        } else if is_x86_feature_detected!("avx2") {
            return Self(Set::Avx2);
        }
        Self(Set::Portable)
    }

    /// All there are.
    #[cfg(test)]
    pub fn every() -> Vec<Self> {
        let mut every = vec![Self(Set::Portable)];
        #[cfg(target_arch = "x86_64")]
        {
            every.extend(is_x86_feature_detected!("avx2").then_some(Self(Set::Avx2)));
            every.extend(is_x86_feature_detected!("avx512f").then_some(Self(Set::Avx512)));
        }
        every
    }

    /// The first line from `start` on in which a sum reaches the lesser of the line's floor and `floor`, or the
    /// number of lines; those passed over are cleared.
    pub fn clear_to_reaching(self, lines: &mut [[f32; LINE]], floors: &[f32], floor: f32, start: usize) -> usize {
        match self.0 {
            Set::Portable => clear_to_reaching(lines, floors, floor, start),
            // SAFETY: `Isa` is made only by `best` and `every`, which ask the processor for the feature first.
            #[cfg(target_arch = "x86_64")]
            Set::Avx2 => unsafe { clear_to_reaching_avx2(lines, floors, floor, start) },
            // SAFETY: as above.
            #[cfg(target_arch = "x86_64")]
            Set::Avx512 => unsafe { clear_to_reaching_avx512(lines, floors, floor, start) },
        }
    }
}

#[inline(always)]
#[allow(clippy::inline_always)] // into the callers below, to be compiled with their features
fn clear_to_reaching(lines: &mut [[f32; LINE]], floors: &[f32], floor: f32, start: usize) -> usize {
    let mut at = start;
    for (line, &of_line) in lines[start..].iter_mut().zip(&floors[start..]) {
        let least = if of_line < floor { of_line } else { floor };
        let mut reaching = false;
        for &sum in &*line {
            reaching |= sum >= least; // no early end: one comparison of vectors
        }
        if reaching {
            break;
        }
        *line = [UNTOUCHED; LINE];
        at += 1;
    }
    at
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
fn clear_to_reaching_avx2(lines: &mut [[f32; LINE]], floors: &[f32], floor: f32, start: usize) -> usize {
    clear_to_reaching(lines, floors, floor, start)
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f")]
fn clear_to_reaching_avx512(lines: &mut [[f32; LINE]], floors: &[f32], floor: f32, start: usize) -> usize {
    clear_to_reaching(lines, floors, floor, start)
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    fn number() -> impl Strategy<Value = f32> {
        prop::sample::select(vec![f32::NEG_INFINITY, -1.0, -0.0, 0.0, 0.5, 1.0, 7.0, f32::INFINITY])
    }

    proptest! {
        #[test]
        fn every_instruction_set_finds_the_first_line_that_reaches(
            (lines, floors) in (0..9_usize).prop_flat_map(|n| (vec(prop::array::uniform16(number()), n), vec(number(), n))),
            floor in number(),
            start in 0..9_usize,
        ) {
            let start = start.min(lines.len());
            let reaches = |at: &usize| lines[*at].iter().any(|sum| *sum >= floors[*at].min(floor));
            let wanted = (start..lines.len()).find(reaches).unwrap_or(lines.len());
            for isa in Isa::every() {
                let mut found = lines.clone();
                prop_assert_eq!(isa.clear_to_reaching(&mut found, &floors, floor, start), wanted, "{:?}", isa);
                for (at, line) in found.iter().enumerate() {
                    let passed = (start..wanted).contains(&at);
                    let kept = line.iter().zip(&lines[at]).all(|(new, old)| {
                        new.to_bits() == if passed { UNTOUCHED.to_bits() } else { old.to_bits() }
                    });
                    prop_assert!(kept);
                }
            }
        }
    }
}
