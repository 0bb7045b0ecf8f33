//! Chance from a seed: the same seed gives the same run.

/// SplitMix64 (Steele, Lea, Flood 2014).
pub struct Chance(u64);

impl Chance {
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x2545_f491_4f6c_dd1d) ^ 0x5851_f42d_4c95_7f2d)
    }

    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number from 0 to `bound` - 1.
    pub fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound.max(1)
    }

    pub fn permille(&mut self, share: u64) -> bool {
        self.below(1000) < share
    }

    /// From 0 to 1, neither included.
    fn unit(&mut self) -> f64 {
        ((self.next() >> 11) as f64 + 0.5) / (1u64 << 53) as f64
    }

    /// Time to the next event of a Poisson process, at least 1.
    pub fn wait(&mut self, mean: f64) -> u64 {
        ((-self.unit().ln() * mean) as u64).max(1)
    }

    /// Log-normal with this median: a few are many times as large.
    pub fn size(&mut self, median: f64) -> u64 {
        let (a, b) = (self.unit(), self.unit());
        let normal = (-2.0 * a.ln()).sqrt() * (core::f64::consts::TAU * b).cos();
        ((median * (0.8 * normal).exp()) as u64).max(1)
    }
}
