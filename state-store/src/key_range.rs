//! A range of keys in key order.

/// The keys from a start, included, up to an end, left out; either may be open.
///
/// Bounds are key bytes or a beginning of them: encode the leading key columns with a
/// [`KeyEncoder`](crate::KeyEncoder) of these columns alone. A null is before all values.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KeyRange {
    start: Option<Vec<u8>>,
    end: Option<Vec<u8>>,
}

impl KeyRange {
    /// Every key.
    pub fn all() -> Self {
        Self::default()
    }

    /// The keys that begin with these bytes.
    pub fn prefix(prefix: impl Into<Vec<u8>>) -> Self {
        let start: Vec<u8> = prefix.into();
        let end = successor(&start);
        Self { start: Some(start), end }
    }

    /// The keys from `start` on and before `end`.
    pub fn between(start: impl Into<Vec<u8>>, end: impl Into<Vec<u8>>) -> Self {
        Self { start: Some(start.into()), end: Some(end.into()) }
    }

    /// The keys before `end` whose first column is not null: what expires before a watermark, say.
    pub fn not_null_below(end: impl Into<Vec<u8>>) -> Self {
        Self::between([1], end)
    }

    /// The keys from `start` on.
    pub fn starting_at(start: impl Into<Vec<u8>>) -> Self {
        Self { start: Some(start.into()), end: None }
    }

    /// The first key that may be in the range.
    pub fn start(&self) -> Option<&[u8]> {
        self.start.as_deref()
    }

    /// The first key behind the range.
    pub fn end(&self) -> Option<&[u8]> {
        self.end.as_deref()
    }

    /// The part of the range from `start` on, which lies in it.
    pub(crate) fn from(&self, start: Vec<u8>) -> Self {
        Self { start: Some(start), end: self.end.clone() }
    }

    /// Whether the key is before the range's end.
    pub(crate) fn ends_after(&self, key: &[u8]) -> bool {
        self.end.as_deref().is_none_or(|end| key < end)
    }
}

/// The first byte string behind all that begin with `prefix`.
fn successor(prefix: &[u8]) -> Option<Vec<u8>> {
    let last = prefix.iter().rposition(|byte| *byte != u8::MAX)?;
    let mut next = prefix[..=last].to_vec();
    next[last] += 1;
    Some(next)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_ends_before_its_successor() {
        for (prefix, end) in [(&b"ab"[..], Some(&b"ac"[..])), (b"a\xff", Some(b"b")), (b"\xff\xff", None), (b"", None)]
        {
            assert_eq!(KeyRange::prefix(prefix).end(), end, "{}", prefix.escape_ascii());
        }
    }
}
