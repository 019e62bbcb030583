//! Options of sources, sinks and writers: case-insensitive, typed, and none unknown.
//!
//! A connector takes the options it knows out of an [`OptionReader`]; what is left when it calls
//! [`finish`](OptionReader::finish) is refused, naming the nearest name it would have known.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// Option names (in the case they were written) and values, looked up without regard to case. A later value for the
/// same name replaces an earlier one.
#[derive(Clone, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Options(BTreeMap<String, (String, String)>);

/// Whether the value of the option `name` is nobody's business: a password, a key, a token. Such values are never shown.
pub fn is_secret(name: &str) -> bool {
    const SECRET: &[&str] =
        &["password", "secret", "token", "credential", "jaas", "key.pem", "keystore.key", "oauthbearer.config"];
    let name = name.to_lowercase();
    SECRET.iter().any(|part| name.contains(part))
}

/// Names and values, without the values of secrets.
impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map()
            .entries(self.iter().map(|(name, value)| (name, if is_secret(name) { "***" } else { value })))
            .finish()
    }
}

impl Options {
    /// No options.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets `name` to `value`.
    pub fn set(&mut self, name: impl Into<String>, value: impl Into<String>) {
        let name = name.into();
        self.0.insert(name.to_lowercase(), (name, value.into()));
    }

    /// The same options with `name` set.
    pub fn with(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.set(name, value);
        self
    }

    /// The value of `name`.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(&name.to_lowercase()).map(|(_, value)| value.as_str())
    }

    /// Removes `name` and gives its value.
    pub fn remove(&mut self, name: &str) -> Option<String> {
        self.0.remove(&name.to_lowercase()).map(|(_, value)| value)
    }

    /// Names as written, and values, by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.values().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Reads the options of the thing called `owner` (say, "json source").
    pub fn reader(&self, owner: impl Into<String>) -> OptionReader<'_> {
        OptionReader { owner: owner.into(), options: self, known: Vec::new() }
    }
}

impl<N: Into<String>, V: Into<String>> FromIterator<(N, V)> for Options {
    fn from_iter<I: IntoIterator<Item = (N, V)>>(pairs: I) -> Self {
        let mut options = Self::new();
        for (name, value) in pairs {
            options.set(name, value);
        }
        options
    }
}

/// Takes known options out, one call each, and refuses the rest in [`finish`](Self::finish).
#[derive(Debug)]
pub struct OptionReader<'a> {
    owner: String,
    options: &'a Options,
    known: Vec<String>,
}

impl OptionReader<'_> {
    /// The text of `name`, if it is set.
    pub fn text(&mut self, name: &str) -> Option<String> {
        self.known.push(name.to_string());
        self.options.get(name).map(str::to_string)
    }

    /// The text of `name`, which must be set; `meaning` says what it is for.
    pub fn required(&mut self, name: &str, meaning: &str) -> Result<String> {
        self.text(name)
            .ok_or_else(|| Error::invalid(format!("{}: option '{name}' is missing: set it to {meaning}", self.owner)))
    }

    /// The value of `name` as a `T`, or `default` where it is not set. `expected` says what a good value is.
    pub fn parsed<T: FromStr>(&mut self, name: &str, default: T, expected: &str) -> Result<T> {
        Ok(self.parsed_opt(name, expected)?.unwrap_or(default))
    }

    /// The value of `name` as a `T`, where it is set. `expected` says what a good value is.
    pub fn parsed_opt<T: FromStr>(&mut self, name: &str, expected: &str) -> Result<Option<T>> {
        let Some(text) = self.text(name) else { return Ok(None) };
        text.trim().parse().map(Some).map_err(|_| self.bad_value(name, &text, expected))
    }

    /// The value of `name` as a whole number above zero, where it is set.
    pub fn positive(&mut self, name: &str) -> Result<Option<u64>> {
        let expected = "a positive whole number";
        match self.parsed_opt::<u64>(name, expected)? {
            Some(0) => Err(self.bad_value(name, "0", expected)),
            other => Ok(other),
        }
    }

    /// `true` or `false`, in any case.
    pub fn flag(&mut self, name: &str, default: bool) -> Result<bool> {
        match self.text(name) {
            None => Ok(default),
            Some(text) if text.trim().eq_ignore_ascii_case("true") => Ok(true),
            Some(text) if text.trim().eq_ignore_ascii_case("false") => Ok(false),
            Some(text) => Err(self.bad_value(name, &text, "true or false")),
        }
    }

    /// Marks names as known that somebody else reads.
    pub fn also_known(&mut self, names: &[&str]) {
        self.known.extend(names.iter().map(|n| n.to_string()));
    }

    /// Marks every option that starts with `prefix` as known, and gives them with the prefix taken off.
    pub fn with_prefix(&mut self, prefix: &str) -> Vec<(String, String)> {
        let lower = prefix.to_lowercase();
        let mut found = Vec::new();
        for (name, value) in self.options.iter() {
            if name.to_lowercase().starts_with(&lower) {
                self.known.push(name.to_string());
                found.push((name[prefix.len()..].to_string(), value.to_string()));
            }
        }
        found
    }

    /// An error about the value of `name`.
    pub fn bad_value(&self, name: &str, value: &str, expected: &str) -> Error {
        Error::invalid(format!("{}: option '{name}' is '{value}', expected {expected}", self.owner))
    }

    /// Refuses what nobody has asked for.
    pub fn finish(self) -> Result<()> {
        for (name, _) in self.options.iter() {
            if !self.known.iter().any(|known| known.eq_ignore_ascii_case(name)) {
                return Err(Error::invalid(format!(
                    "{}: unknown option '{name}'{}",
                    self.owner,
                    did_you_mean(name, self.known.iter().map(String::as_str))
                )));
            }
        }
        Ok(())
    }
}

/// `; did you mean 'x'?` for the candidate nearest to `name`, or nothing where none is near.
pub fn did_you_mean<'a>(name: &str, candidates: impl IntoIterator<Item = &'a str>) -> String {
    match nearest(name, candidates) {
        Some(near) => format!("; did you mean '{near}'?"),
        None => String::new(),
    }
}

/// The candidate nearest to `name` by Damerau-Levenshtein similarity without regard to case, if any is near at all.
pub fn nearest<'a>(name: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let name = name.to_lowercase();
    candidates
        .into_iter()
        .map(|candidate| (strsim::normalized_damerau_levenshtein(&name, &candidate.to_lowercase()), candidate))
        .filter(|(similarity, _)| *similarity >= 0.5)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, candidate)| candidate)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_found_in_any_case_and_the_last_value_counts() {
        let options = Options::new().with("maxFilesPerTrigger", "1").with("MAXFILESPERTRIGGER", "2");
        assert_eq!(options.get("maxfilespertrigger"), Some("2"));
        assert_eq!(options.iter().count(), 1);
    }

    #[test]
    fn an_unknown_option_names_the_nearest() {
        let options = Options::new().with("maxFilePerTrigger", "1");
        let mut reader = options.reader("json source");
        assert!(reader.positive("maxFilesPerTrigger").is_ok_and(|v| v.is_none()));
        let error = reader.finish().expect_err("an unknown option was accepted");
        assert_eq!(
            error.to_string(),
            "json source: unknown option 'maxFilePerTrigger'; did you mean 'maxFilesPerTrigger'?"
        );
    }

    #[test]
    fn a_bad_value_names_option_value_and_what_is_expected() {
        for (value, expected) in
            [("0", "a positive whole number"), ("x", "a positive whole number"), ("-1", "a positive whole number")]
        {
            let options = Options::new().with("n", value);
            let error = options.reader("rate source").positive("n").expect_err("a bad value was accepted");
            assert_eq!(error.to_string(), format!("rate source: option 'n' is '{value}', expected {expected}"));
        }
    }
}
