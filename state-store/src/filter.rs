//! A Bloom filter over key hashes: says of most keys that are not in a segment that they are not.
//!
//! One 64-bit word a key, found by the hash's high bits, and five bits in it, from further bits: one cache miss a
//! question. With 10 bits a key about one absent key in forty passes.

/// Bits of filter per key.
const BITS_PER_KEY: usize = 10;

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Filter {
    words: Box<[u64]>,
}

impl Filter {
    /// A filter with room for this many keys, and none in it.
    pub(crate) fn with_capacity(keys: usize) -> Self {
        Self { words: vec![0; (keys * BITS_PER_KEY).div_ceil(64)].into() }
    }

    /// Lets the key with this hash pass.
    pub(crate) fn insert(&mut self, hash: u64) {
        if !self.words.is_empty() {
            let word = self.word(hash);
            self.words[word] |= bits(hash);
        }
    }

    /// Whether a key may be there; a filter of no words lets everything pass.
    #[inline]
    pub(crate) fn may_contain(&self, hash: u64) -> bool {
        if self.words.is_empty() {
            return true;
        }
        let bits = bits(hash);
        self.words[self.word(hash)] & bits == bits
    }

    /// Memory it takes.
    pub(crate) fn bytes(&self) -> usize {
        self.words.len() * 8
    }

    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        self.words.iter().flat_map(|word| word.to_le_bytes()).collect()
    }

    pub(crate) fn from_bytes(bytes: &[u8]) -> Self {
        Self { words: bytes.as_chunks::<8>().0.iter().map(|word| u64::from_le_bytes(*word)).collect() }
    }

    #[inline]
    fn word(&self, hash: u64) -> usize {
        ((u128::from(hash) * self.words.len() as u128) >> 64) as usize
    }
}

/// Five bits of a word. The high bits of the hash have chosen the word and the low 12 are alike within a store.
#[inline]
fn bits(hash: u64) -> u64 {
    let hash = (hash >> 12).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    (0..5).fold(0, |bits, i| bits | 1 << (hash >> (34 + 6 * i) & 63))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_that_are_there_pass_and_few_others_do() {
        let hash = |number: u64| crate::hash_key(&number.to_be_bytes());
        for keys in [0, 1, 10, 1000, 50_000] {
            let mut filter = Filter::with_capacity(keys as usize);
            (0..keys).for_each(|key| filter.insert(hash(key)));
            assert!((0..keys).all(|key| filter.may_contain(hash(key))));
            assert_eq!(Filter::from_bytes(&filter.to_bytes()), filter);
            let passing = (1_000_000..1_010_000).filter(|key| filter.may_contain(hash(*key))).count();
            let expected = if keys == 0 { 10_000..10_001 } else { 0..700 };
            assert!(expected.contains(&passing), "{passing} of 10,000 absent keys pass among {keys}");
        }
    }
}
