//! Chance that can be repeated: the seed is printed, and `MILLSTREAM_SEED` sets it.

use std::time::{SystemTime, UNIX_EPOCH};

/// A sequence of random numbers (SplitMix64).
#[derive(Debug)]
pub struct Dice(u64);

impl Dice {
    /// From `MILLSTREAM_SEED` where it is set, otherwise from the clock. The seed is printed for the test called `test`.
    pub fn thrown(test: &str) -> Self {
        let given = std::env::var("MILLSTREAM_SEED").ok().and_then(|seed| seed.parse().ok());
        let seed = given.unwrap_or_else(|| {
            SystemTime::now().duration_since(UNIX_EPOCH).map_or(1, |since| since.subsec_nanos().into())
        });
        eprintln!("{test}: MILLSTREAM_SEED={seed}");
        Self(seed)
    }

    /// A number below `end`.
    pub fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (z ^ (z >> 31)) % end.max(1)
    }
}
