//! Which partitions a source reads: `assign`, `subscribe` or `subscribePattern`.

use std::collections::BTreeSet;

use millstream_engine::options::OptionReader;
use millstream_engine::{Error, Result};

use super::offsets::{TopicPartition, names, parse_partitions};

/// Topics of the brokers' own, which no pattern matches, as in Java's client.
const INTERNAL: &[&str] = &["__consumer_offsets", "__transaction_state", "__share_group_state"];

/// What the user asked for.
#[derive(Clone, Debug)]
pub(super) enum Subscription {
    /// These partitions, as far as they are there.
    Assign(BTreeSet<TopicPartition>),
    /// All partitions of these topics, which must be there.
    Topics(Vec<String>),
    /// All partitions of every topic whose name has a match.
    Pattern(Box<Pattern>),
}

/// A Java regular expression, found anywhere in a name.
#[derive(Clone, Debug)]
pub(super) struct Pattern {
    text: String,
    regex: fancy_regex::Regex,
}

impl Subscription {
    /// Takes it out of `reader`: exactly one of the three options.
    pub(super) fn parse(reader: &mut OptionReader<'_>) -> Result<Self> {
        let given = ["assign", "subscribe", "subscribePattern"].map(|name| (name, reader.text(name)));
        let mut set = given.iter().filter_map(|(name, text)| text.as_ref().map(|text| (*name, text.as_str())));
        let Some((name, text)) = set.next() else {
            return Err(Error::invalid(
                "kafka source: one of the options 'subscribe', 'subscribePattern', 'assign' must say which topics to read",
            ));
        };
        if let Some((other, _)) = set.next() {
            return Err(Error::invalid(format!(
                "kafka source: options '{name}' and '{other}' are both set: only one of 'subscribe', 'subscribePattern', 'assign' can say which topics to read"
            )));
        }
        match name {
            "assign" => assigned(reader, text),
            "subscribe" => subscribed(reader, text),
            _ => Ok(Self::Pattern(Box::new(Pattern::parse(reader, text)?))),
        }
    }

    /// As progress shows it, in Spark's words: `Subscribe[clicks]`.
    pub(super) fn description(&self) -> String {
        match self {
            Self::Assign(partitions) => format!("Assign[{}]", names(partitions)),
            Self::Topics(topics) => format!("Subscribe[{}]", topics.join(", ")),
            Self::Pattern(pattern) => format!("SubscribePattern[{}]", pattern.text),
        }
    }
}

impl Pattern {
    fn parse(reader: &OptionReader<'_>, text: &str) -> Result<Self> {
        let regex = fancy_regex::Regex::new(&unquoted(text))
            .map_err(|e| reader.bad_value("subscribePattern", text, &format!("a regular expression of Java ({e})")))?;
        Ok(Self { text: text.to_string(), regex })
    }

    /// Whether `topic` is to be read.
    ///
    /// # Errors
    /// `Invalid` where the pattern backtracks without end.
    pub(super) fn matches(&self, topic: &str) -> Result<bool> {
        if INTERNAL.contains(&topic) {
            return Ok(false);
        }
        self.regex.is_match(topic).map_err(|e| {
            Error::invalid(format!(
                "kafka source: option 'subscribePattern' is '{}': {e}, in topic '{topic}'",
                self.text
            ))
        })
    }
}

fn assigned(reader: &OptionReader<'_>, text: &str) -> Result<Subscription> {
    let expected = r#"partitions as JSON, such as {"topicA":[0,1]}"#;
    let partitions =
        parse_partitions(text).map_err(|e| reader.bad_value("assign", text, &format!("{expected} ({e})")))?;
    match partitions.is_empty() {
        true => Err(reader.bad_value("assign", text, expected)),
        false => Ok(Subscription::Assign(partitions)),
    }
}

fn subscribed(reader: &OptionReader<'_>, text: &str) -> Result<Subscription> {
    let topics: Vec<String> = text.split(',').map(str::trim).filter(|t| !t.is_empty()).map(str::to_string).collect();
    match topics.is_empty() {
        true => Err(reader.bad_value("subscribe", text, "topics, separated by commas")),
        false => Ok(Subscription::Topics(topics)),
    }
}

/// The same pattern without Java's `\Q…\E`.
fn unquoted(pattern: &str) -> String {
    let mut out = String::with_capacity(pattern.len());
    let mut rest = pattern;
    while let Some(at) = rest.find(r"\Q") {
        // Of `\\Q` the backslash is the quoted one.
        let backslashes = rest[..at].len() - rest[..at].trim_end_matches('\\').len();
        if backslashes % 2 == 1 {
            out.push_str(&rest[..at + 2]);
            rest = &rest[at + 2..];
            continue;
        }
        out.push_str(&rest[..at]);
        let (quoted, after) = rest[at + 2..].split_once(r"\E").unwrap_or((&rest[at + 2..], ""));
        out.push_str(&fancy_regex::escape(quoted));
        rest = after;
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use millstream_engine::options::Options;

    use super::*;

    fn parse(pairs: &[(&str, &str)]) -> Result<Subscription> {
        let options: Options = pairs.iter().copied().collect();
        Subscription::parse(&mut options.reader("kafka source"))
    }

    #[test]
    fn patterns_are_javas_and_not_anchored() -> Result<()> {
        for (pattern, topic, expected) in [
            ("ev[0-9]", "ev1", true),
            ("ev[0-9]", "ev1-more", true),
            ("ev[0-9]", "my-ev1", true),
            ("^ev[0-9]$", "ev1-more", false),
            ("ev(?!2)[0-9]", "ev1", true),
            ("ev(?!2)[0-9]", "ev2", false),
            (r"\Qa.b\E.c", "a.bxc", true),
            (r"\Qa.b\E", "axb", false),
            (r"(\w)\1", "aab", true),
            ("offsets", "__consumer_offsets", false),
        ] {
            let Subscription::Pattern(parsed) = parse(&[("subscribePattern", pattern)])? else {
                panic!("{pattern} is no pattern")
            };
            assert_eq!(parsed.matches(topic)?, expected, "{pattern} in {topic}");
        }
        Ok(())
    }

    #[test]
    fn each_way_is_described_as_in_spark() -> Result<()> {
        for (name, value, expected) in [
            ("subscribe", "a", "Subscribe[a]"),
            ("subscribe", " a, b,", "Subscribe[a, b]"),
            ("subscribePattern", "a.*", "SubscribePattern[a.*]"),
            ("assign", r#"{"b":[0],"a":[1,0]}"#, "Assign[a-0, a-1, b-0]"),
        ] {
            assert_eq!(parse(&[(name, value)])?.description(), expected);
        }
        Ok(())
    }

    #[test]
    fn exactly_one_way_is_needed() {
        for (pairs, expected) in [
            (vec![], "one of the options 'subscribe', 'subscribePattern', 'assign'"),
            (vec![("subscribe", "a"), ("assign", "{}")], "options 'assign' and 'subscribe' are both set"),
            (vec![("subscribe", " , ")], "option 'subscribe' is ' , '"),
            (vec![("assign", r#"{"a":0}"#)], "option 'assign' is"),
            (vec![("assign", "{}")], "option 'assign' is '{}'"),
            (vec![("subscribePattern", "a(")], "option 'subscribePattern' is 'a('"),
        ] {
            let error = parse(&pairs).expect_err("accepted");
            assert!(error.message().contains(expected), "{pairs:?}: {error}");
        }
    }
}
