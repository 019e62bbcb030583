//! Options as users give them: a map of strings whose keys ignore case, from which each reader takes what it knows.
//!
//! A connector builds one [`OptionMap`], lets every part take its own keys (`JsonOptions::take`, then its own), and at
//! the end calls [`OptionMap::refuse_rest`]: what nobody took is an error that names the nearest known key.

use std::str::FromStr;

use crate::error::{Error, Result, did_you_mean};

/// Options not yet taken by anybody. Keys ignore case; the last of several equal keys wins, as in Spark.
#[derive(Debug, Clone, Default)]
pub struct OptionMap {
    entries: Vec<(String, String)>,
    known: Vec<&'static str>,
}

impl OptionMap {
    /// No options.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds an option, replacing an earlier one of the same name.
    pub fn insert(&mut self, key: impl Into<String>, value: impl Into<String>) {
        let key = key.into();
        self.entries.retain(|(k, _)| !k.eq_ignore_ascii_case(&key));
        self.entries.push((key, value.into()));
    }

    /// The option's value without taking it.
    pub fn get(&self, key: &str) -> Option<&str> {
        self.entries.iter().find(|(k, _)| k.eq_ignore_ascii_case(key)).map(|(_, v)| v.as_str())
    }

    /// Takes an option out; the name counts as known from now on.
    pub fn take(&mut self, key: &'static str) -> Option<String> {
        self.known.push(key);
        let at = self.entries.iter().position(|(k, _)| k.eq_ignore_ascii_case(key))?;
        Some(self.entries.remove(at).1)
    }

    /// Takes the first given of several names for one thing (`sep`, `delimiter`); all of them count as known.
    pub fn take_any(&mut self, keys: &[&'static str]) -> Option<String> {
        keys.iter().filter_map(|k| self.take(k)).reduce(|first, _| first)
    }

    /// Takes `true` or `false`, in any case.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`](crate::ErrorKind::Invalid) naming the option for any other value.
    pub fn take_bool(&mut self, key: &'static str) -> Result<Option<bool>> {
        let Some(value) = self.take(key) else {
            return Ok(None);
        };
        match value.to_ascii_lowercase().as_str() {
            "true" => Ok(Some(true)),
            "false" => Ok(Some(false)),
            _ => Err(Error::invalid(format!("option {key} is true or false, not '{value}'"))),
        }
    }

    /// Takes a number, or anything else that parses from a string.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`](crate::ErrorKind::Invalid) naming the option and the value that does not parse.
    pub fn take_parsed<T: FromStr>(&mut self, key: &'static str) -> Result<Option<T>> {
        let Some(value) = self.take(key) else {
            return Ok(None);
        };
        let parsed = value.trim().parse().map_err(|_| Error::invalid(format!("option {key} cannot be '{value}'")))?;
        Ok(Some(parsed))
    }

    /// Takes a single character; an escaped one (`\t`) counts as one.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`](crate::ErrorKind::Invalid) if there are several characters. The empty string gives `Some(None)`.
    pub fn take_char(&mut self, key: &'static str) -> Result<Option<Option<char>>> {
        let Some(value) = self.take(key) else {
            return Ok(None);
        };
        let mut chars = value.chars();
        match (chars.next(), chars.next()) {
            (None, _) => Ok(Some(None)),
            (Some(c), None) => Ok(Some(Some(c))),
            _ if value == "\\u0000" => Ok(Some(Some('\0'))),
            _ => Err(Error::invalid(format!("option {key} is a single character, not '{value}'"))),
        }
    }

    /// Takes `locale`, which decides how numbers are grouped and what months are called. Only English is known.
    ///
    /// # Errors
    /// [`ErrorKind::Unsupported`](crate::ErrorKind::Unsupported) for any other language.
    pub(crate) fn take_locale(&mut self) -> Result<()> {
        match self.take("locale") {
            Some(name) if name.split(['-', '_']).next() != Some("en") => {
                Err(Error::unsupported(format!("locale '{name}' is not supported; en-US is")))
            }
            _ => Ok(()),
        }
    }

    /// Says that these names mean something to somebody, so that they can be suggested.
    pub fn declare(&mut self, keys: &[&'static str]) {
        self.known.extend_from_slice(keys);
    }

    /// The options that nobody took, as they were written.
    pub fn rest(&self) -> impl Iterator<Item = (&str, &str)> {
        self.entries.iter().map(|(k, v)| (k.as_str(), v.as_str()))
    }

    /// An error if anything is left, naming it and the nearest known name.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`](crate::ErrorKind::Invalid) for the first option that nobody took.
    pub fn refuse_rest(&self, what: &str) -> Result<()> {
        let Some((key, _)) = self.entries.first() else {
            return Ok(());
        };
        let hint = did_you_mean(key, self.known.iter().copied());
        Err(Error::invalid(format!("{what} has no option '{key}'{hint}")))
    }
}

impl<K: Into<String>, V: Into<String>> FromIterator<(K, V)> for OptionMap {
    fn from_iter<I: IntoIterator<Item = (K, V)>>(entries: I) -> Self {
        let mut map = Self::new();
        for (key, value) in entries {
            map.insert(key, value);
        }
        map
    }
}

/// Whether inference looks at a record, the `nth` from 0, if it is to look at this share of them: evenly spread, the first
/// always included.
pub(crate) fn is_sampled(nth: u64, ratio: f64) -> bool {
    ratio >= 1.0 || nth == 0 || ((nth + 1) as f64 * ratio).floor() > (nth as f64 * ratio).floor()
}

/// What to do with a record that does not fit its schema.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ParseMode {
    /// Keep what can be read, null for the rest, and put the raw record into the corrupt record column.
    #[default]
    Permissive,
    /// Leave the record out.
    DropMalformed,
    /// Fail with [`ErrorKind::Corrupt`](crate::ErrorKind::Corrupt).
    FailFast,
}

impl ParseMode {
    /// The option `mode`. As in Spark, a value that is none of the three means `PERMISSIVE`.
    pub(crate) fn take(options: &mut OptionMap) -> Self {
        match options.take("mode").map(|m| m.to_ascii_uppercase()).as_deref() {
            Some("DROPMALFORMED") => Self::DropMalformed,
            Some("FAILFAST") => Self::FailFast,
            _ => Self::Permissive,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_nobody_takes_is_refused_with_the_nearest_name() {
        let mut options: OptionMap =
            [("MULTILINE", "True"), ("modee", "x"), ("sep", ";"), ("Sep", "|")].into_iter().collect();
        assert_eq!(options.take_bool("multiLine"), Ok(Some(true)));
        assert_eq!(ParseMode::take(&mut options), ParseMode::Permissive);
        assert_eq!(options.take_any(&["sep", "delimiter"]).as_deref(), Some("|"), "the last of two counts");
        let error = options.refuse_rest("json").expect_err("modee is no option");
        assert_eq!(error.to_string(), "json has no option 'modee'; did you mean mode?");
        assert_eq!(options.rest().collect::<Vec<_>>(), [("modee", "x")]);
        options.insert("header", "yes");
        let error = options.take_bool("header").expect_err("yes is neither");
        assert_eq!(error.to_string(), "option header is true or false, not 'yes'");
        options.insert("maxColumns", "many");
        assert!(options.take_parsed::<usize>("maxColumns").is_err());
    }

    #[test]
    fn a_sample_is_spread_evenly() {
        assert_eq!((0..10).filter(|n| is_sampled(*n, 0.3)).count(), 4, "the first, and 3 of 10");
        assert_eq!((0..10).filter(|n| is_sampled(*n, 1.0)).count(), 10);
        assert_eq!((0..10).filter(|n| is_sampled(*n, 0.0)).count(), 1);
    }
}
