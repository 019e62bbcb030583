//! The stable hash of key bytes. **Fixed for ever**: state files of every version are addressed by it.
//!
//! ```text
//! fold(a, b)   = low 64 bits ⊕ high 64 bits of the 128-bit product a × b
//! state        = length in bytes ⊕ 0x9E37_79B9_7F4A_7C15
//! for each 8 bytes, the last ones filled up with zeros, as a little-endian word w:
//!     state    = fold(state ⊕ w, 0xD6E8_FEB8_6659_FD93)
//! hash         = fold(state ⊕ 0xA076_1D64_78BD_642F, 0xE703_7ED1_A0B4_28DB)
//! ```
//! The length in the first state keeps keys apart that differ in trailing zeros only. One multiplication a word, no
//! table, no branch but the loop's: for rows of one length the work of many rows overlaps. It is not meant to withstand
//! keys chosen by an enemy.

const START: u64 = 0x9E37_79B9_7F4A_7C15;
const STEP: u64 = 0xD6E8_FEB8_6659_FD93;
const LAST_XOR: u64 = 0xA076_1D64_78BD_642F;
const LAST: u64 = 0xE703_7ED1_A0B4_28DB;

/// The stable 64-bit hash of one key's bytes.
#[inline]
pub fn hash_key(key: &[u8]) -> u64 {
    let mut state = key.len() as u64 ^ START;
    let (words, rest) = key.as_chunks::<8>();
    for word in words {
        state = fold(state ^ u64::from_le_bytes(*word), STEP);
    }
    if !rest.is_empty() {
        let word = rest.iter().rev().fold(0, |word, byte| word << 8 | u64::from(*byte));
        state = fold(state ^ word, STEP);
    }
    fold(state ^ LAST_XOR, LAST)
}

/// The hashes of the keys that lie in `bytes` one after the other, each up to the next of `ends`.
pub(crate) fn hash_keys(bytes: &[u8], offsets: &[i32]) -> Vec<u64> {
    offsets.windows(2).map(|pair| hash_key(&bytes[pair[0] as usize..pair[1] as usize])).collect()
}

#[inline]
fn fold(a: u64, b: u64) -> u64 {
    let product = u128::from(a) * u128::from(b);
    product as u64 ^ (product >> 64) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Computed by an independent implementation (Python's integers) of the description above.
    #[test]
    fn golden_vectors() {
        let cases: [(&[u8], u64); 8] = [
            (b"", 0x7F40_F511_7E11_298B),
            (b"\0", 0x03B0_809C_34B9_3977),
            (b"\0\0", 0x4627_6D1C_1DBD_3CC7),
            (b"a", 0x9C91_F439_EBB6_496F),
            (b"12345678", 0x4E79_AC41_E929_B2C0),
            (b"123456789", 0x067A_08B9_DD2F_8AC6),
            (b"\x01\x80\0\0\0\0\0\0\x2a", 0x72CD_17D0_820C_3101),
            (b"The quick brown fox jumps over the lazy dog", 0x4225_45BA_6906_36A7),
        ];
        for (key, hash) in cases {
            assert_eq!(hash_key(key), hash, "{}", key.escape_ascii());
        }
    }

    #[test]
    fn key_groups_of_numbers_in_a_row_are_even() {
        let mut counts = vec![0_u32; usize::from(crate::KEY_GROUPS)];
        let keys = 64 * 4096_u64;
        for number in 0..keys {
            let mut key = vec![1];
            key.extend((number ^ 1 << 63).to_be_bytes());
            counts[usize::from(crate::key_group(hash_key(&key)))] += 1;
        }
        // Chi-squared with 4,095 degrees of freedom: mean 4,095, standard deviation 90.5; six of them are the bound.
        let chi_squared: f64 = counts.iter().map(|count| (f64::from(*count) - 64.0).powi(2) / 64.0).sum();
        assert!((3552.0..4638.0).contains(&chi_squared), "{chi_squared}");
    }
}
