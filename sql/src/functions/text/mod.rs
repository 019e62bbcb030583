//! Functions of strings. A position counts characters (code points), never bytes.

pub(super) mod case;
pub(super) mod cut;
pub(super) mod encode;
pub(super) mod format;
pub(super) mod join;
pub(super) mod measure;
pub(super) mod pad;
pub(super) mod search;

/// The byte at which character `at` begins; the text's end for what lies beyond it.
pub(super) fn byte_of(text: &str, at: usize) -> usize {
    if text.is_ascii() {
        return at.min(text.len());
    }
    text.char_indices().nth(at).map_or(text.len(), |(byte, _)| byte)
}

/// The number of characters.
pub(super) fn count(text: &str) -> usize {
    // Every byte that does not continue a character begins one.
    text.bytes().filter(|b| (*b as i8) >= -0x40).count()
}
