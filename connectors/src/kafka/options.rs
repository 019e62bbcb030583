//! The options of the Kafka source, which are Spark's, checked before anything is asked of a broker.

use std::time::Duration;

use millstream_engine::options::{OptionReader, Options};
use millstream_engine::source::StaticRefresh;
use millstream_engine::{Error, Result};

use super::client::{ClientSettings, Role};
use super::limits::Limits;
use super::offsets::{EARLIEST, LATEST, Positions, parse_positions};
use super::subscription::Subscription;
use crate::files::milliseconds;

/// Options that only a sink looks at: a table may be read and written, so the source knows them too.
pub(super) const SINK_OPTIONS: &[&str] = &["topic", "exactlyOnce", "transactionalIdPrefix"];

/// Options that only a source looks at: a table may be read and written, so the sink knows them too.
pub(super) const SOURCE_OPTIONS: &[&str] = &[
    "assign",
    "subscribe",
    "subscribePattern",
    "startingOffsets",
    "startingTimestamp",
    "startingOffsetsByTimestamp",
    "startingOffsetsByTimestampStrategy",
    "endingOffsets",
    "endingTimestamp",
    "endingOffsetsByTimestamp",
    "failOnDataLoss",
    "maxOffsetsPerTrigger",
    "minOffsetsPerTrigger",
    "maxTriggerDelay",
    "minPartitions",
    "maxRecordsPerPartition",
    "includeHeaders",
    "groupIdPrefix",
    "kafkaConsumer.pollTimeoutMs",
    "fetchOffset.numRetries",
    "fetchOffset.retryIntervalMs",
    "commitOffsetsToKafka",
    StaticRefresh::OPTION,
];

/// A place in every partition, as the user says it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// The beginning.
    Earliest,
    /// The end.
    Latest,
    /// An offset for each partition, or −1 or −2.
    Offsets(Positions),
    /// The first message that is as late as this, in milliseconds.
    Timestamp(i64),
    /// The same, with a time for each partition.
    Timestamps(Positions),
}

impl Place {
    /// Whether it is `end`, −1 or −2, in any partition.
    fn has(&self, end: i64) -> bool {
        match self {
            Self::Earliest => end == EARLIEST,
            Self::Latest => end == LATEST,
            Self::Offsets(offsets) => offsets.values().any(|offset| *offset == end),
            Self::Timestamp(_) | Self::Timestamps(_) => false,
        }
    }
}

/// What a Kafka source was told.
#[derive(Clone, Debug)]
pub(super) struct KafkaSourceOptions {
    /// What is told to librdkafka.
    pub(super) client: ClientSettings,
    /// What to read.
    pub(super) subscription: Subscription,
    /// Where a query without a checkpoint starts, or a batch.
    pub(super) starting: Place,
    /// Where a batch ends.
    pub(super) ending: Place,
    /// Where no message is as late as asked for, the end will do.
    pub(super) latest_where_none: bool,
    /// Messages that are gone are an error.
    pub(super) fail_on_data_loss: bool,
    /// How much a batch takes.
    pub(super) limits: Limits,
    /// About how many pieces a batch is cut into.
    pub(super) min_partitions: Option<u64>,
    /// The most offsets in a piece.
    pub(super) max_records_per_partition: Option<u64>,
    /// There is a column `headers`.
    pub(super) include_headers: bool,
    /// How long to wait for messages that must be there.
    pub(super) poll_timeout: Duration,
    /// How often offsets are asked for again after an error that may pass.
    pub(super) retries: u32,
    /// How long to wait before that.
    pub(super) retry_interval: Duration,
    /// The group that is told how far the query has come.
    pub(super) commit_to_group: Option<String>,
}

impl KafkaSourceOptions {
    /// Takes them from `options`, for a stream or a table read as a batch.
    pub(super) fn parse(options: &Options, streaming: bool) -> Result<Self> {
        let mut reader = options.reader("kafka source");
        let client = ClientSettings::parse(&mut reader, Role::Source)?;
        let subscription = Subscription::parse(&mut reader)?;
        let commit_to_group = commit_to_group(&mut reader, &client)?;
        let parsed = Self {
            starting: starting(&mut reader, streaming)?,
            ending: ending(&mut reader, streaming)?,
            latest_where_none: latest_where_none(&mut reader)?,
            fail_on_data_loss: reader.flag("failOnDataLoss", true)?,
            limits: limits(&mut reader)?,
            min_partitions: reader.positive("minPartitions")?,
            max_records_per_partition: reader.positive("maxRecordsPerPartition")?,
            include_headers: reader.flag("includeHeaders", false)?,
            poll_timeout: poll_timeout(&mut reader)?,
            retries: reader.parsed("fetchOffset.numRetries", 3, "a whole number, 0 or more")?,
            retry_interval: Duration::from_millis(reader.parsed(
                "fetchOffset.retryIntervalMs",
                10,
                "milliseconds, 0 or more",
            )?),
            commit_to_group,
            client,
            subscription,
        };
        // Spark names its consumer groups with it; no group is joined here.
        reader.also_known(&["groupIdPrefix", StaticRefresh::OPTION]);
        StaticRefresh::of_options(options)?;
        reader.also_known(SINK_OPTIONS);
        reader.finish()?;
        Ok(parsed)
    }

    /// Refuses what makes sense for a stream alone, when the table is read as a batch.
    pub(super) fn check_as_table(&self) -> Result<()> {
        match self.starting.has(LATEST) {
            true => Err(Error::invalid(
                "kafka source: option 'startingOffsets' is latest: a table read as a batch would have no rows; start at 'earliest', an offset or a time",
            )),
            false => Ok(()),
        }
    }
}

/// The name of the group in `kafka.group.id`, where `commitOffsetsToKafka` asks for one.
fn commit_to_group(reader: &mut OptionReader<'_>, client: &ClientSettings) -> Result<Option<String>> {
    if !reader.flag("commitOffsetsToKafka", false)? {
        return Ok(None);
    }
    let group = client.get("group.id").filter(|group| !group.is_empty()).ok_or_else(|| {
        Error::invalid(
            "kafka source: option 'commitOffsetsToKafka' needs a consumer group: set option 'kafka.group.id' to its name",
        )
    })?;
    Ok(Some(group.to_string()))
}

/// Where to start: a timestamp beats times by partition, which beat offsets.
fn starting(reader: &mut OptionReader<'_>, streaming: bool) -> Result<Place> {
    let default = if streaming { Place::Latest } else { Place::Earliest };
    Ok(place(reader, ["startingTimestamp", "startingOffsetsByTimestamp", "startingOffsets"])?.unwrap_or(default))
}

/// Where a batch ends; a stream has no end.
fn ending(reader: &mut OptionReader<'_>, streaming: bool) -> Result<Place> {
    const NAMES: [&str; 3] = ["endingTimestamp", "endingOffsetsByTimestamp", "endingOffsets"];
    let place = place(reader, NAMES)?;
    if place.as_ref().is_some_and(|place| place.has(EARLIEST)) {
        return Err(Error::invalid(
            "kafka source: option 'endingOffsets' is earliest: a table read as a batch would have no rows; end at 'latest', an offset or a time",
        ));
    }
    if streaming && place.is_some() {
        return Err(Error::invalid(format!(
            "kafka source: ending offsets are not valid in streaming queries ('{}'): a stream has no end; leave them out, or read the table as a batch",
            NAMES.join("', '")
        )));
    }
    Ok(place.unwrap_or(Place::Latest))
}

fn place(reader: &mut OptionReader<'_>, names: [&str; 3]) -> Result<Option<Place>> {
    let [timestamp, timestamps, offsets] = names;
    let at_time = match reader.parsed_opt::<i64>(timestamp, "milliseconds since 1970, 0 or more")? {
        Some(at) if at < 0 => {
            return Err(reader.bad_value(timestamp, &at.to_string(), "milliseconds since 1970, 0 or more"));
        }
        at => at.map(Place::Timestamp),
    };
    let by_partition = match reader.text(timestamps) {
        None => None,
        Some(text) => {
            let times = json(
                reader,
                timestamps,
                &text,
                r#"times in milliseconds as JSON, such as {"topic":{"0":1704067200000}}"#,
            )?;
            if let Some((at, time)) = times.iter().find(|(_, time)| **time < 0) {
                return Err(reader.bad_value(timestamps, &text, &format!("times of 0 or more, not {time} for {at}")));
            }
            Some(Place::Timestamps(times))
        }
    };
    let by_offset = reader.text(offsets).map(|text| offsets_of(reader, offsets, &text)).transpose()?;
    Ok(at_time.or(by_partition).or(by_offset))
}

fn offsets_of(reader: &OptionReader<'_>, name: &str, text: &str) -> Result<Place> {
    match text.trim().to_ascii_lowercase().as_str() {
        "earliest" => return Ok(Place::Earliest),
        "latest" => return Ok(Place::Latest),
        _ => {}
    }
    let offsets =
        json(reader, name, text, r#"'earliest', 'latest', or offsets as JSON, such as {"topic":{"0":23,"1":-2}}"#)?;
    if let Some((at, offset)) = offsets.iter().find(|(_, offset)| **offset < EARLIEST) {
        let expected = format!("offsets of 0 or more, -1 (latest) or -2 (earliest), not {offset} for {at}");
        return Err(reader.bad_value(name, text, &expected));
    }
    Ok(Place::Offsets(offsets))
}

fn json(reader: &OptionReader<'_>, name: &str, text: &str, expected: &str) -> Result<Positions> {
    parse_positions(text).map_err(|e| reader.bad_value(name, text, &format!("{expected} ({e})")))
}

fn latest_where_none(reader: &mut OptionReader<'_>) -> Result<bool> {
    let name = "startingOffsetsByTimestampStrategy";
    match reader.text(name) {
        None => Ok(false),
        Some(text) if text.trim().eq_ignore_ascii_case("error") => Ok(false),
        Some(text) if text.trim().eq_ignore_ascii_case("latest") => Ok(true),
        Some(text) => Err(reader.bad_value(name, &text, "error or latest")),
    }
}

fn limits(reader: &mut OptionReader<'_>) -> Result<Limits> {
    let max = reader.positive("maxOffsetsPerTrigger")?;
    let min = reader.positive("minOffsetsPerTrigger")?;
    let delay_ms = match reader.text("maxTriggerDelay") {
        None => 15 * 60_000,
        Some(text) => milliseconds(&text)
            .ok_or_else(|| reader.bad_value("maxTriggerDelay", &text, "a time such as '15m' or '30s'"))?,
    };
    if let (Some(min), Some(max)) = (min, max)
        && min > max
    {
        return Err(Error::invalid(format!(
            "kafka source: option 'minOffsetsPerTrigger' is {min}, more than 'maxOffsetsPerTrigger', {max}: no batch could have so many"
        )));
    }
    Ok(Limits { min: min.map(|min| (min, delay_ms)), max })
}

fn poll_timeout(reader: &mut OptionReader<'_>) -> Result<Duration> {
    let timeout_ms = reader.positive("kafkaConsumer.pollTimeoutMs")?.unwrap_or(120_000);
    Ok(Duration::from_millis(timeout_ms))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kafka::offsets::TopicPartition;

    fn parse(pairs: &[(&str, &str)], streaming: bool) -> Result<KafkaSourceOptions> {
        let given = [("kafka.bootstrap.servers", "b:9092"), ("subscribe", "t")];
        let options: Options = given.iter().chain(pairs).copied().collect();
        let parsed = KafkaSourceOptions::parse(&options, streaming)?;
        if !streaming {
            parsed.check_as_table()?;
        }
        Ok(parsed)
    }

    #[test]
    fn a_time_beats_times_beat_offsets() -> Result<()> {
        let zero = |at| Positions::from([(TopicPartition::new("t", 0), at)]);
        let all = [
            ("startingTimestamp", "7"),
            ("startingOffsetsByTimestamp", r#"{"t":{"0":8}}"#),
            ("startingOffsets", r#"{"t":{"0":9}}"#),
        ];
        assert_eq!(parse(&all, true)?.starting, Place::Timestamp(7));
        assert_eq!(parse(&all[1..], true)?.starting, Place::Timestamps(zero(8)));
        assert_eq!(parse(&all[2..], true)?.starting, Place::Offsets(zero(9)));
        assert_eq!(parse(&[], true)?.starting, Place::Latest);
        assert_eq!(parse(&[], false)?.starting, Place::Earliest);
        assert_eq!(parse(&[("startingoffsets", " EARLIEST ")], true)?.starting, Place::Earliest);
        assert_eq!(parse(&[("endingTimestamp", "5")], false)?.ending, Place::Timestamp(5));
        Ok(())
    }

    #[test]
    fn limits_and_waits_have_units() -> Result<()> {
        let pairs = [("minOffsetsPerTrigger", "4"), ("maxOffsetsPerTrigger", "6"), ("maxTriggerDelay", "1h")];
        assert_eq!(parse(&pairs, true)?.limits, Limits { min: Some((4, 3_600_000)), max: Some(6) });
        assert_eq!(
            parse(&[("minOffsetsPerTrigger", "4")], true)?.limits,
            Limits { min: Some((4, 900_000)), max: None }
        );
        assert_eq!(parse(&[("kafkaConsumer.pollTimeoutMs", "512")], true)?.poll_timeout, Duration::from_millis(512));
        assert!(parse(&[("topic", "t"), ("groupIdPrefix", "x")], true).is_ok(), "options of a sink, or without effect");
        Ok(())
    }

    #[test]
    fn each_bad_value_is_refused_with_what_would_do() {
        let (stream, batch) = (true, false);
        for (name, value, streaming, expected) in [
            (
                "startingOffsets",
                "soon",
                stream,
                "option 'startingOffsets' is 'soon', expected 'earliest', 'latest', or",
            ),
            ("startingOffsets", r#"{"t":{"0":-3}}"#, stream, "not -3 for t-0"),
            ("startingOffsets", "latest", batch, "'startingOffsets' is latest"),
            ("startingOffsets", r#"{"t":{"0":-1}}"#, batch, "'startingOffsets' is latest"),
            ("startingTimestamp", "-1", stream, "option 'startingTimestamp' is '-1'"),
            ("startingTimestamp", "noon", stream, "option 'startingTimestamp' is 'noon'"),
            ("startingOffsetsByTimestamp", r#"{"t":{"0":-5}}"#, stream, "not -5 for t-0"),
            ("startingOffsetsByTimestampStrategy", "guess", stream, "expected error or latest"),
            ("endingOffsets", "latest", stream, "ending offsets are not valid in streaming queries"),
            ("endingTimestamp", "5", stream, "ending offsets are not valid in streaming queries"),
            ("endingOffsets", "earliest", batch, "'endingOffsets' is earliest"),
            ("endingOffsets", r#"{"t":{"0":-2}}"#, batch, "'endingOffsets' is earliest"),
            (
                "maxOffsetsPerTrigger",
                "0",
                stream,
                "option 'maxOffsetsPerTrigger' is '0', expected a positive whole number",
            ),
            ("maxOffsetsPerTrigger", "many", stream, "option 'maxOffsetsPerTrigger' is 'many'"),
            ("maxTriggerDelay", "later", stream, "option 'maxTriggerDelay' is 'later'"),
            ("minPartitions", "0", stream, "option 'minPartitions' is '0'"),
            ("maxRecordsPerPartition", "0", stream, "option 'maxRecordsPerPartition' is '0'"),
            ("failOnDataLoss", "no", stream, "option 'failOnDataLoss' is 'no', expected true or false"),
            ("fetchOffset.numRetries", "x", stream, "option 'fetchOffset.numRetries' is 'x'"),
            ("commitOffsetsToKafka", "true", stream, "set option 'kafka.group.id'"),
            ("startingOffset", "latest", stream, "unknown option 'startingOffset'; did you mean 'startingOffsets'?"),
        ] {
            let error = parse(&[(name, value)], streaming).expect_err("a bad value was accepted");
            assert!(error.message().contains(expected), "{name} {value}: {error}");
        }
        let both = [("minOffsetsPerTrigger", "7"), ("maxOffsetsPerTrigger", "6")];
        assert!(
            parse(&both, stream).expect_err("accepted").message().contains("'minOffsetsPerTrigger' is 7, more than")
        );
        let options: Options = [("subscribe", "t")].into_iter().collect();
        let error = KafkaSourceOptions::parse(&options, stream).expect_err("accepted");
        assert!(error.message().contains("'kafka.bootstrap.servers' is missing"), "{error}");
    }
}
