//! Copies of short rows of bytes: a call of `memcpy` costs more than most of them do.

/// Room that [`append`] needs for a moment.
pub(crate) const SLACK_BYTES: usize = 64;

/// Copies all of `from`, which is as long as `to`.
#[inline]
pub(crate) fn copy(to: &mut [u8], from: &[u8]) {
    match from.len() {
        8..16 => ends::<8>(to, from),
        16..=32 => ends::<16>(to, from),
        33..=64 => ends::<32>(to, from),
        _ => to.copy_from_slice(from),
    }
}

/// Adds the bytes at the end.
#[inline]
pub(crate) fn append(to: &mut Vec<u8>, from: &[u8]) {
    let start = to.len();
    // Zeros first, because that is one known length at a time.
    match from.len() {
        8..=64 => {
            to.extend_from_slice(&[0; SLACK_BYTES]);
            copy(&mut to[start..start + from.len()], from);
            to.truncate(start + from.len());
        }
        _ => to.extend_from_slice(from),
    }
}

/// Copies the first and the last `N` bytes, which together are all.
#[inline]
fn ends<const N: usize>(to: &mut [u8], from: &[u8]) {
    if let (Some(to), Some(from)) = (to.first_chunk_mut::<N>(), from.first_chunk::<N>()) {
        *to = *from;
    }
    if let (Some(to), Some(from)) = (to.last_chunk_mut::<N>(), from.last_chunk::<N>()) {
        *to = *from;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_length_is_copied_whole() {
        let from: Vec<u8> = (1..=100).collect();
        for length in 0..=from.len() {
            let mut to = vec![0; length];
            copy(&mut to, &from[..length]);
            assert_eq!(to, from[..length]);
            append(&mut to, &from[..length]);
            assert_eq!(to, from[..length].repeat(2));
        }
    }
}
