//! The session's configuration: every key there is, what its value may be, and what it is where nobody sets it.
//!
//! Keys are Spark's where the setting is Spark's, and start with `millstream.` otherwise. A key that is not in [`KEYS`] is
//! refused with the nearest one that is. Keys of Spark's that mean nothing here ([`IGNORED`]) are taken and kept, so that
//! scripts that set them run.

use millstream_engine::options::{Options, did_you_mean};
use millstream_engine::trigger::parse_interval_ms;
use millstream_engine::{Error, Result};
use millstream_formats::java_time::Zone;

/// What the values of a key look like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ValueKind {
    /// Any text.
    Text,
    /// `true` or `false`.
    Flag,
    /// A whole number, at least so much.
    Count(u64),
    /// Milliseconds, as a number or with a unit.
    Milliseconds,
    /// A time zone: `UTC`, `Europe/Berlin`, `+02:00`.
    TimeZone,
    /// Bytes, as a number or with a unit: `512MiB`, `4GiB`; or a share of the machine's memory, `75%`.
    Bytes,
    /// One of these, in any case.
    OneOf(&'static [&'static str]),
}

/// A key of the configuration.
#[derive(Clone, Copy, Debug)]
pub struct Key {
    /// Its name.
    pub name: &'static str,
    /// What its values look like.
    pub kind: ValueKind,
    /// Its value where nobody sets it; `None` where the meaning says what happens then.
    pub default: Option<&'static str>,
    /// What it does.
    pub meaning: &'static str,
}

const fn key(name: &'static str, kind: ValueKind, default: Option<&'static str>, meaning: &'static str) -> Key {
    Key { name, kind, default, meaning }
}

use ValueKind::{Bytes, Count, Flag, Milliseconds, OneOf, Text, TimeZone};

/// Every key that does something.
pub const KEYS: &[Key] = &[
    key("spark.sql.session.timeZone", TimeZone, Some("UTC"), "the time zone of casts, printing and calendar functions"),
    key("spark.sql.shuffle.partitions", Count(1), None, "state partitions of a query; as many as cores by default"),
    key(
        "spark.sql.streaming.checkpointLocation",
        Text,
        None,
        "folder of the checkpoints of queries without one of their own",
    ),
    key("spark.sql.streaming.minBatchesToRetain", Count(1), Some("100"), "batches whose log files are kept"),
    key(
        "spark.sql.streaming.pollingDelay",
        Milliseconds,
        Some("10"),
        "pause of an idle query between two looks for new data",
    ),
    key(
        "spark.sql.streaming.noDataProgressEventInterval",
        Milliseconds,
        Some("10000"),
        "pause between two events of an idle query",
    ),
    key(
        "spark.sql.streaming.noDataMicroBatches.enabled",
        Flag,
        Some("true"),
        "batches without data, to emit what a new watermark closed",
    ),
    key("spark.sql.streaming.numRecentProgressUpdates", Count(1), Some("100"), "progress events kept by a query"),
    key(
        "spark.sql.streaming.stopActiveRunOnRestart",
        Flag,
        Some("true"),
        "starting a query again stops its older run instead of failing",
    ),
    key(
        "spark.sql.streaming.stopTimeout",
        Milliseconds,
        Some("0"),
        "how long stopping a query may take; 0 is for ever",
    ),
    key(
        "spark.sql.streaming.multipleWatermarkPolicy",
        OneOf(&["min", "max"]),
        Some("min"),
        "the watermark of a query with several inputs",
    ),
    key(
        "spark.sql.streaming.schemaInference",
        Flag,
        Some("false"),
        "streams of files without a declared schema get that of the files that are there",
    ),
    key(
        "spark.sql.streaming.fileStreamSink.ignoreMetadata",
        Flag,
        Some("false"),
        "read a file sink's folder without its log of committed files",
    ),
    key(
        "spark.sql.streaming.fileSink.log.compactInterval",
        Count(1),
        Some("10"),
        "batches between two compactions of a file sink's log",
    ),
    key(
        "spark.sql.streaming.fileSink.log.cleanupDelay",
        Milliseconds,
        Some("600000"),
        "how long compacted log files of a file sink are kept",
    ),
    key("spark.sql.streaming.fileSink.log.deletion", Flag, Some("true"), "delete compacted log files of a file sink"),
    key(
        "spark.sql.streaming.fileSource.log.compactInterval",
        Count(1),
        Some("10"),
        "batches between two compactions of a file source's log",
    ),
    key(
        "spark.sql.streaming.fileSource.log.cleanupDelay",
        Milliseconds,
        Some("600000"),
        "how long compacted log files of a file source are kept",
    ),
    key(
        "spark.sql.streaming.fileSource.log.deletion",
        Flag,
        Some("true"),
        "delete compacted log files of a file source",
    ),
    key(
        "spark.sql.streaming.stateStore.minDeltasForSnapshot",
        Count(1),
        Some("10"),
        "deltas of state between two snapshots",
    ),
    key(
        "spark.sql.files.ignoreMissingFiles",
        Flag,
        Some("false"),
        "pass over files that vanish between listing and reading",
    ),
    key("spark.sql.files.maxRecordsPerFile", Count(0), Some("0"), "most rows of a written file; 0 is any number"),
    key("spark.sql.sources.default", Text, Some("parquet"), "the connector where none is named"),
    key(
        "spark.sql.sources.partitionColumnTypeInference.enabled",
        Flag,
        Some("true"),
        "types of partition columns from the folders' names",
    ),
    key(
        "spark.sql.columnNameOfCorruptRecord",
        Text,
        Some("_corrupt_record"),
        "the column that takes malformed records",
    ),
    key(
        "spark.sql.parquet.compression.codec",
        OneOf(&["none", "uncompressed", "snappy", "gzip", "lz4", "lz4_raw", "zstd"]),
        Some("snappy"),
        "compression of written parquet files",
    ),
    key(
        "millstream.memory.limit",
        Bytes,
        Some("75%"),
        "the memory budget of the session; fixed once a query has been planned",
    ),
    key("millstream.source.partitions", Count(1), None, "tasks that read a stream; as many as cores by default"),
    key("millstream.batch.rows", Count(1), Some("8192"), "rows of a record batch inside a plan"),
    key(
        "millstream.state.spill",
        Flag,
        Some("true"),
        "state that outgrows the memory budget goes to files; otherwise its query fails",
    ),
];

/// Keys of Spark's that are accepted and have no effect: what they tune does not exist here.
pub const IGNORED: &[&str] = &[
    "spark.app.name",
    "spark.master",
    "spark.default.parallelism",
    "spark.driver.memory",
    "spark.executor.memory",
    "spark.executor.cores",
    "spark.serializer",
    "spark.ui.enabled",
    "spark.ui.showConsoleProgress",
    "spark.sql.ansi.enabled",
    "spark.sql.adaptive.enabled",
    "spark.sql.adaptive.streaming.stateless.enabled",
    "spark.sql.adaptive.coalescePartitions.enabled",
    "spark.sql.autoBroadcastJoinThreshold",
    "spark.sql.caseSensitive",
    "spark.sql.codegen.wholeStage",
    "spark.sql.execution.arrow.pyspark.enabled",
    "spark.sql.files.ignoreCorruptFiles",
    "spark.sql.files.maxPartitionBytes",
    "spark.sql.files.openCostInBytes",
    "spark.sql.json.filterPushdown.enabled",
    "spark.sql.legacy.timeParserPolicy",
    "spark.sql.streaming.fileSource.cleaner.numThreads",
    "spark.sql.streaming.fileSource.schema.forceNullable",
    "spark.sql.streaming.metricsEnabled",
    "spark.sql.streaming.forceDeleteTempCheckpointLocation",
    "spark.sql.streaming.sessionWindow.merge.sessions.in.local.partition",
    "spark.sql.streaming.stateStore.maintenanceInterval",
    "spark.sql.streaming.stateStore.providerClass",
    "spark.sql.streaming.stateStore.stateSchemaCheck",
    "spark.sql.streaming.statefulOperator.checkCorrectness.enabled",
    "spark.sql.streaming.unsupportedOperationCheck",
    "spark.sql.streaming.stateStore.compression.codec",
    "spark.sql.streaming.stateStore.encodingFormat",
    "spark.sql.streaming.stateStore.numStateStoreMaintenanceThreads",
    "spark.sql.streaming.maxBatchesToRetainInMemory",
    "spark.sql.streaming.ui.enabled",
    "spark.sql.warehouse.dir",
];

/// Prefixes below which any key is taken: credentials and endpoints of object stores; Spark's settings of its state store,
/// which have no effect.
const PREFIXES: &[&str] = &["millstream.storage.", "spark.sql.streaming.stateStore.rocksdb.", "spark.hadoop."];

/// Keys whose only value here is Spark's default: another one would change answers.
const FIXED: &[(&str, &str)] = &[
    ("spark.sql.ansi.enabled", "true"),
    ("spark.sql.caseSensitive", "false"),
    ("spark.sql.files.ignoreCorruptFiles", "false"),
    ("spark.sql.streaming.fileSource.schema.forceNullable", "true"),
    ("spark.sql.streaming.stateStore.stateSchemaCheck", "true"),
    ("spark.sql.streaming.statefulOperator.checkCorrectness.enabled", "true"),
    ("spark.sql.streaming.unsupportedOperationCheck", "true"),
];

/// Keys that are the default of an option of these connectors.
const OPTION_DEFAULTS: &[(&str, &[&str], &str)] = &[
    ("spark.sql.columnNameOfCorruptRecord", &["csv", "json"], "columnNameOfCorruptRecord"),
    ("spark.sql.files.ignoreMissingFiles", &["csv", "json", "parquet", "text"], "ignoreMissingFiles"),
    ("spark.sql.files.maxRecordsPerFile", &["csv", "json", "parquet", "text"], "maxRecordsPerFile"),
    ("spark.sql.parquet.compression.codec", &["parquet"], "compression"),
];

/// The configuration of a session: what has been set, over the defaults.
#[derive(Clone, Debug, Default)]
pub struct Conf {
    set: Options,
}

impl Conf {
    /// Sets `name`.
    ///
    /// # Errors
    /// `Invalid` for an unknown key, naming the nearest known one, and for a value that does not fit the key.
    pub fn set(&mut self, name: &str, value: &str) -> Result<()> {
        let (name, value) = check(name, value)?;
        self.set.set(name, value);
        Ok(())
    }

    /// Takes back what was set for `name`.
    ///
    /// # Errors
    /// `Invalid` for an unknown key.
    pub fn reset(&mut self, name: &str) -> Result<()> {
        known(name)?;
        self.set.remove(name);
        Ok(())
    }

    /// Takes back everything.
    pub fn reset_all(&mut self) {
        self.set = Options::new();
    }

    /// The value of `name`: what was set, or its default. `None` where there is neither.
    pub fn get(&self, name: &str) -> Option<String> {
        let default = || KEYS.iter().find(|key| key.name.eq_ignore_ascii_case(name)).and_then(|key| key.default);
        self.set.get(name).or_else(default).map(str::to_string)
    }

    /// The value of `name`.
    ///
    /// # Errors
    /// `Invalid` for an unknown key. `Ok(None)` is a known key without a value.
    pub fn try_get(&self, name: &str) -> Result<Option<String>> {
        known(name)?;
        Ok(self.get(name))
    }

    /// A whole number that has been set or is the default; `otherwise` where there is neither.
    pub fn count(&self, name: &str, otherwise: usize) -> usize {
        self.get(name).and_then(|text| text.parse().ok()).unwrap_or(otherwise)
    }

    /// The options of `connector`: those given, and where they leave one out that has a key here, what the key has been
    /// set to.
    pub(crate) fn with_option_defaults(&self, connector: &str, mut given: Options) -> Options {
        for (key, connectors, option) in OPTION_DEFAULTS {
            if connectors.contains(&connector)
                && given.get(option).is_none()
                && let Some(value) = self.set.get(key)
            {
                given.set(*option, value);
            }
        }
        given
    }

    /// What has been set, for queries and connectors.
    pub fn options(&self) -> &Options {
        &self.set
    }

    /// Every key with its value, sorted: what has been set, and the defaults.
    pub fn all(&self) -> Vec<(String, String)> {
        let mut all: Vec<(String, String)> =
            self.set.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect();
        let defaults = KEYS.iter().filter(|key| self.set.get(key.name).is_none());
        all.extend(defaults.filter_map(|key| Some((key.name.to_string(), key.default?.to_string()))));
        all.sort();
        all
    }
}

/// Bytes of a memory limit: `512MiB`, `4g`, `1000000`, `75%` of `machine_bytes`.
pub fn parse_bytes(text: &str, machine_bytes: u64) -> Option<u64> {
    let text = text.trim().to_ascii_lowercase();
    if let Some(percent) = text.strip_suffix('%') {
        let percent: f64 = percent.trim().parse().ok()?;
        return (percent > 0.0 && percent <= 100.0).then_some((machine_bytes as f64 * percent / 100.0) as u64);
    }
    let digits = text.find(|c: char| !(c.is_ascii_digit() || c == '.')).unwrap_or(text.len());
    let number: f64 = text[..digits].parse().ok()?;
    let unit: u64 = match text[digits..].trim().trim_end_matches("ib").trim_end_matches('b') {
        "" => 1,
        "k" => 1 << 10,
        "m" => 1 << 20,
        "g" => 1 << 30,
        "t" => 1 << 40,
        _ => return None,
    };
    let bytes = number * unit as f64;
    (bytes >= 1.0).then_some(bytes as u64)
}

/// The name as it is written in the table and the value as it is kept, where the key is known and the value fits.
fn check(name: &str, value: &str) -> Result<(String, String)> {
    let Some(key) = known(name)? else {
        if let Some((fixed, only)) = FIXED.iter().find(|(fixed, _)| fixed.eq_ignore_ascii_case(name))
            && !value.trim().eq_ignore_ascii_case(only)
        {
            return Err(Error::unsupported(format!("{fixed} is '{value}': only '{only}' is supported")));
        }
        return Ok((name.to_string(), value.trim().to_string()));
    };
    let value = value.trim();
    let (fits, expected) = match key.kind {
        Text => (true, String::new()),
        Flag => (is_one_of(value, &["true", "false"]), "true or false".to_string()),
        Count(least) => {
            (value.parse::<u64>().is_ok_and(|count| count >= least), format!("a whole number, at least {least}"))
        }
        Milliseconds => {
            (milliseconds(value).is_some(), "milliseconds, or a time such as '10s' or '1 minute'".to_string())
        }
        TimeZone => (is_time_zone(value), "a time zone such as UTC, Europe/Berlin or +02:00".to_string()),
        Bytes => {
            (parse_bytes(value, u64::MAX).is_some(), "bytes such as 512MiB or 4GiB, or a share such as 75%".to_string())
        }
        OneOf(choices) => (is_one_of(value, choices), format!("one of {}", choices.join(", "))),
    };
    match fits {
        true if key.kind == Milliseconds => {
            Ok((key.name.to_string(), milliseconds(value).unwrap_or_default().to_string()))
        }
        true => Ok((key.name.to_string(), value.to_string())),
        false => Err(Error::invalid(format!("configuration '{}' is '{value}', expected {expected}", key.name))),
    }
}

/// The key called `name`; `None` for one that is accepted without being in the table.
fn known(name: &str) -> Result<Option<&'static Key>> {
    if let Some(key) = KEYS.iter().find(|key| key.name.eq_ignore_ascii_case(name)) {
        return Ok(Some(key));
    }
    let lower = name.to_lowercase();
    if IGNORED.iter().any(|known| known.eq_ignore_ascii_case(name))
        || PREFIXES.iter().any(|prefix| lower.starts_with(&prefix.to_lowercase()))
    {
        return Ok(None);
    }
    let candidates = KEYS.iter().map(|key| key.name).chain(IGNORED.iter().copied());
    Err(Error::invalid(format!("there is no configuration '{name}'{}", did_you_mean(name, candidates))))
}

fn is_one_of(value: &str, choices: &[&str]) -> bool {
    choices.iter().any(|choice| choice.eq_ignore_ascii_case(value))
}

fn milliseconds(value: &str) -> Option<u64> {
    value.parse().ok().or_else(|| parse_interval_ms(value).ok())
}

fn is_time_zone(value: &str) -> bool {
    Zone::parse(value).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_checked_when_they_are_set() {
        for (name, value, expected) in [
            ("spark.sql.session.timeZone", "Europe/Berlin", ""),
            ("SPARK.SQL.SESSION.TIMEZONE", "+02:00", ""),
            ("spark.sql.session.timeZone", "Europe/Berln", "expected a time zone such as UTC"),
            ("spark.sql.shuffle.partitions", "4", ""),
            (
                "spark.sql.shuffle.partitions",
                "0",
                "'spark.sql.shuffle.partitions' is '0', expected a whole number, at least 1",
            ),
            ("spark.sql.streaming.pollingDelay", "1 second", ""),
            ("spark.sql.streaming.pollingDelay", "soon", "expected milliseconds"),
            ("spark.sql.streaming.multipleWatermarkPolicy", "MAX", ""),
            ("spark.sql.streaming.multipleWatermarkPolicy", "avg", "expected one of min, max"),
            ("spark.sql.streaming.schemaInference", "yes", "expected true or false"),
            ("millstream.memory.limit", "1.5GiB", ""),
            ("millstream.memory.limit", "75%", ""),
            ("millstream.memory.limit", "much", "expected bytes such as 512MiB"),
            (
                "spark.sql.shufle.partitions",
                "4",
                "there is no configuration 'spark.sql.shufle.partitions'; did you mean 'spark.sql.shuffle.partitions'?",
            ),
            ("millstream.storage.aws_region", "eu", ""),
            ("spark.sql.adaptive.enabled", "false", ""),
            ("spark.sql.ansi.enabled", "false", "only 'true' is supported"),
        ] {
            let outcome = Conf::default().set(name, value);
            match expected {
                "" => assert!(outcome.is_ok(), "{name} = {value}: {outcome:?}"),
                text => {
                    assert!(outcome.is_err_and(|e| e.message().contains(text)), "{name} = {value}: expected {text}")
                }
            }
        }
    }

    #[test]
    fn what_is_set_hides_the_default_until_it_is_reset() -> Result<()> {
        let mut conf = Conf::default();
        let zone = "spark.sql.session.timeZone";
        assert_eq!(conf.get(zone).as_deref(), Some("UTC"));
        conf.set("spark.sql.streaming.pollingDelay", "2 seconds")?;
        assert_eq!(conf.get("spark.sql.streaming.pollingDelay").as_deref(), Some("2000"));
        conf.set(&zone.to_uppercase(), "Asia/Tokyo")?;
        assert_eq!(conf.get(zone).as_deref(), Some("Asia/Tokyo"));
        assert!(conf.all().contains(&(zone.to_string(), "Asia/Tokyo".to_string())));
        conf.reset(zone)?;
        assert_eq!(conf.get(zone).as_deref(), Some("UTC"));
        assert!(conf.reset("spark.sql.zone").is_err());
        Ok(())
    }

    #[test]
    fn sizes() {
        for (text, expected) in [
            ("100", Some(100)),
            ("1k", Some(1024)),
            ("2 MiB", Some(2 << 20)),
            ("1.5gb", Some(3 << 29)),
            ("50%", Some(500)),
            ("0", None),
            ("101%", None),
            ("x", None),
        ] {
            assert_eq!(parse_bytes(text, 1000), expected, "{text}");
        }
    }
}
