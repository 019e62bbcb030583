//! Hadoop's glob patterns for paths: `*`, `?`, `[a-c]`, `[^a]`, `{x,y}` and `\` before a plain character. A part of a
//! pattern matches a part of a path: `*` never crosses a `/`.

use globset::{GlobBuilder, GlobMatcher};
use millstream_engine::{Error, Result};

/// A pattern, part by part.
#[derive(Clone, Debug)]
pub(super) struct Glob {
    parts: Vec<Part>,
}

#[derive(Clone, Debug)]
enum Part {
    Plain(String),
    Pattern(GlobMatcher),
}

impl Glob {
    /// The pattern that `path` is; `None` where it is a plain path.
    pub(super) fn parse(path: &str) -> Result<Option<Self>> {
        if !is_pattern(path) {
            return Ok(None);
        }
        let parts = split(path).into_iter().map(|part| match is_pattern(&part) {
            true => pattern(&part).map(Part::Pattern),
            false => Ok(Part::Plain(part)),
        });
        Ok(Some(Self { parts: parts.collect::<Result<_>>()? }))
    }

    /// The pattern that matches `path` alone.
    pub(super) fn plain(path: &str) -> Self {
        let parts = path.split('/').filter(|part| !part.is_empty()).map(|part| Part::Plain(part.to_string()));
        Self { parts: parts.collect() }
    }

    /// The plain parts in front, as a path: where to start looking.
    pub(super) fn plain_prefix(&self) -> String {
        let plain = self.parts.iter().map_while(|part| match part {
            Part::Plain(text) => Some(text.as_str()),
            Part::Pattern(_) => None,
        });
        format!("/{}", plain.collect::<Vec<_>>().join("/"))
    }

    /// How many levels there are to look through below the plain parts in front.
    pub(super) fn depth(&self) -> usize {
        self.levels().count()
    }

    /// Whether `name` matches at `level` below the plain parts in front.
    pub(super) fn matches_level(&self, level: usize, name: &str) -> bool {
        self.levels().nth(level).is_some_and(|part| part.matches(name))
    }

    /// Whether the first parts of the pattern and of `path`, as many as both have, match: then something below one may
    /// be something below the other.
    pub(super) fn overlaps(&self, path: &str) -> bool {
        let names = path.split('/').filter(|part| !part.is_empty());
        self.parts.iter().zip(names).all(|(part, name)| part.matches(name))
    }

    fn levels(&self) -> impl Iterator<Item = &Part> {
        self.parts.iter().skip_while(|part| matches!(part, Part::Plain(_)))
    }
}

impl Part {
    fn matches(&self, name: &str) -> bool {
        match self {
            Self::Plain(text) => text == name,
            Self::Pattern(matcher) => matcher.is_match(name),
        }
    }
}

/// The matcher of a pattern for a single name.
pub(super) fn pattern(text: &str) -> Result<GlobMatcher> {
    // Hadoop negates a class with ^, as regular expressions do.
    let text = text.replace("[^", "[!");
    let glob = GlobBuilder::new(&text).literal_separator(true).backslash_escape(true).empty_alternates(true).build();
    glob.map(|glob| glob.compile_matcher())
        .map_err(|e| Error::invalid(format!("'{text}' is not a glob pattern: {e}")).with_source(e))
}

fn is_pattern(part: &str) -> bool {
    part.contains(['{', '}', '[', ']', '*', '?', '\\'])
}

/// Splits at the slashes that are not in braces.
fn split(path: &str) -> Vec<String> {
    let mut parts = Vec::new();
    let mut part = String::new();
    let mut depth = 0usize;
    for c in path.chars() {
        match c {
            '{' => depth += 1,
            '}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        if c == '/' && depth == 0 {
            parts.push(std::mem::take(&mut part));
        } else {
            part.push(c);
        }
    }
    parts.push(part);
    parts.retain(|part| !part.is_empty());
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_match_as_in_hadoop() -> Result<()> {
        for (text, name, expected) in [
            ("*.json", "a.json", true),
            ("*.json", "a.csv", false),
            ("a?c", "abc", true),
            ("[a-c]x", "bx", true),
            ("[^a-c]x", "bx", false),
            ("[^a-c]x", "dx", true),
            ("{x,y}z", "yz", true),
            ("k=\\*", "k=*", true),
            ("k=\\*", "k=1", false),
        ] {
            assert_eq!(pattern(text)?.is_match(name), expected, "{text} {name}");
        }
        Ok(())
    }

    #[test]
    fn an_archive_may_not_lie_where_the_source_looks() -> Result<()> {
        for (source, archive, expected) in [
            ("/data/*/in", "/archive", false),
            ("/data/*/in", "/data/old", true),
            ("/data/*/in", "/data/old/out", false),
            ("/data/in", "/data/in/old", true),
            ("/data/in", "/data", true),
        ] {
            let glob = Glob::parse(source)?.unwrap_or_else(|| Glob::plain(source));
            assert_eq!(glob.overlaps(archive), expected, "{source} {archive}");
        }
        assert!(Glob::parse("/plain/path")?.is_none());
        Ok(())
    }
}
