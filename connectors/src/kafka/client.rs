//! What is told to librdkafka: the `kafka.*` options of a source or sink, checked and translated.
//!
//! Names are those of Java's client, as Spark's users write them, or librdkafka's own. Most are the same in both. Where
//! they differ, Java's is translated ([`TWINS`], `security.rs`); what only Java's client knows is accepted with a note
//! ([`JAVA_ONLY`]); what the engine decides itself is refused ([`FORBIDDEN`]); anything else must be a property that
//! librdkafka knows.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use millstream_engine::options::{OptionReader, did_you_mean};
use millstream_engine::{Error, Result};
use rdkafka::ClientContext;
use rdkafka::config::{ClientConfig, RDKafkaLogLevel};
use rdkafka::consumer::ConsumerContext;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};

use super::security;

/// How the names of client options start.
pub(super) const PREFIX: &str = "kafka.";

/// For which side of Kafka a client is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    /// It reads.
    Source,
    /// It writes.
    Sink,
}

/// Client options that the engine decides itself, each with what to do instead.
const FORBIDDEN: &[(&str, &str)] = &[
    (
        "auto.offset.reset",
        "set option 'startingOffsets' to 'earliest' or 'latest': the query keeps track of what it has read itself",
    ),
    ("key.deserializer", "keys are always BINARY: CAST them in the query"),
    ("value.deserializer", "values are always BINARY: CAST them, or use from_json, in the query"),
    ("key.serializer", "keys are written as they are: CAST them to STRING or BINARY in the query"),
    ("value.serializer", "values are written as they are: CAST them, or use to_json, in the query"),
    ("enable.auto.commit", "the checkpoint is what counts; option 'commitOffsetsToKafka' shows progress to a group"),
    ("interceptor.classes", "there is no Java here to run them"),
    ("enable.auto.offset.store", "the checkpoint is what counts"),
    ("enable.partition.eof", "the source needs it on"),
    ("offset.store.method", "the checkpoint is what counts"),
];

/// Options of Java's client and librdkafka's property that means the same.
const TWINS: &[(&str, &str)] = &[
    ("fetch.max.wait.ms", "fetch.wait.max.ms"),
    ("send.buffer.bytes", "socket.send.buffer.bytes"),
    ("receive.buffer.bytes", "socket.receive.buffer.bytes"),
    ("max.request.size", "message.max.bytes"),
];

/// Options that only Java's client has, where there is nothing to be done.
const JAVA_ONLY: &[&str] = &[
    "auto.include.jmx.reporter",
    "compression.gzip.level",
    "compression.lz4.level",
    "compression.zstd.level",
    "config.providers",
    "default.api.timeout.ms",
    "exclude.internal.topics",
    "max.block.ms",
    "max.poll.records",
    "metadata.max.idle.ms",
    "metadata.recovery.rebootstrap.trigger.ms",
    "metric.reporters",
    "metrics.num.samples",
    "metrics.recording.level",
    "metrics.sample.window.ms",
    "partition.assignment.strategy",
    "partitioner.adaptive.partitioning.enable",
    "partitioner.availability.timeout.ms",
    "partitioner.class",
    "partitioner.ignore.keys",
    "sasl.client.callback.handler.class",
    "sasl.kerberos.kinit.cmd",
    "sasl.kerberos.min.time.before.relogin",
    "sasl.kerberos.ticket.renew.jitter",
    "sasl.kerberos.ticket.renew.window.factor",
    "sasl.login.callback.handler.class",
    "sasl.login.class",
    "sasl.login.refresh.buffer.seconds",
    "sasl.login.refresh.min.period.seconds",
    "sasl.login.refresh.window.factor",
    "sasl.login.refresh.window.jitter",
    "security.providers",
    "share.acknowledgement.mode",
    "socket.connection.setup.timeout.max.ms",
    "ssl.enabled.protocols",
    "ssl.engine.factory.class",
    "ssl.keymanager.algorithm",
    "ssl.protocol",
    "ssl.secure.random.implementation",
    "ssl.trustmanager.algorithm",
];

/// What a client is made from.
#[derive(Clone)]
pub(super) struct ClientSettings {
    /// librdkafka's properties.
    properties: BTreeMap<String, String>,
    /// Options of Java's client that have no twin, for whoever gives one a meaning.
    java: BTreeMap<String, String>,
    /// How long a broker may take to answer: `kafka.default.api.timeout.ms`.
    pub(super) api_timeout: Duration,
    /// What the user should know.
    pub(super) notes: Vec<String>,
}

impl std::fmt::Debug for ClientSettings {
    /// Without the values of secrets.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let shown = self.properties.iter().map(|(name, value)| (name, if is_secret(name) { "***" } else { value }));
        f.debug_map().entries(shown).finish()
    }
}

impl ClientSettings {
    /// Takes the `kafka.*` options out of `reader`.
    ///
    /// # Errors
    /// `Invalid` for a missing `kafka.bootstrap.servers`, a forbidden or unknown option, and a bad value.
    pub(super) fn parse(reader: &mut OptionReader<'_>, role: Role) -> Result<Self> {
        reader.required("kafka.bootstrap.servers", "the brokers to ask first, such as 'host1:9092,host2:9092'")?;
        let given: BTreeMap<String, String> =
            reader.with_prefix(PREFIX).into_iter().map(|(name, value)| (name.to_lowercase(), value)).collect();
        let mut settings = Self {
            properties: BTreeMap::new(),
            java: BTreeMap::new(),
            api_timeout: Duration::from_secs(60),
            notes: Vec::new(),
        };
        let given = security::translate(given)?;
        for (name, value) in given {
            settings.take(name, value, role)?;
        }
        if let Some(text) = settings.java.get("default.api.timeout.ms") {
            settings.api_timeout = Duration::from_millis(number("default.api.timeout.ms", text)?);
        }
        settings.check()?;
        Ok(settings)
    }

    /// The property `name` of librdkafka, where it was given.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.properties.get(name).map(String::as_str)
    }

    /// The option `name` that only Java's client has, where it was given: `max.block.ms`, say.
    pub(super) fn java(&self, name: &str) -> Option<&str> {
        self.java.get(name).map(String::as_str)
    }

    /// The brokers.
    pub(super) fn bootstrap_servers(&self) -> &str {
        self.get("bootstrap.servers").unwrap_or_default()
    }

    /// A configuration with `defaults` for what was not given, and `fixed` whatever was given.
    pub(super) fn config(&self, defaults: &[(&str, &str)], fixed: &[(&str, &str)]) -> ClientConfig {
        let mut config = ClientConfig::new();
        for (name, value) in defaults {
            config.set(*name, *value);
        }
        for (name, value) in &self.properties {
            config.set(name, value);
        }
        for (name, value) in fixed {
            config.set(*name, *value);
        }
        config.set_log_level(RDKafkaLogLevel::Warning);
        config
    }

    /// The configuration of a client that reads, with `defaults` for what was not given. It joins no group, keeps no
    /// offsets, and says where partitions end and which offsets are not there.
    pub(super) fn reading_config(&self, defaults: &[(&str, &str)]) -> ClientConfig {
        // Java's default, and so Spark's; librdkafka's own is the other one.
        let defaults = [defaults, &[("isolation.level", "read_uncommitted")]].concat();
        let fixed = [
            ("enable.auto.commit", "false"),
            ("enable.auto.offset.store", "false"),
            ("enable.partition.eof", "true"),
            ("auto.offset.reset", "error"),
        ];
        let mut config = self.config(&defaults, &fixed);
        config.remove("group.id");
        config
    }

    fn take(&mut self, name: String, value: String, role: Role) -> Result<()> {
        if let Some((_, instead)) = FORBIDDEN.iter().find(|(forbidden, _)| *forbidden == name) {
            return Err(Error::invalid(format!("Kafka option '{name}' is not supported: {instead}")));
        }
        if let Some((_, twin)) = TWINS.iter().find(|(java, _)| *java == name) {
            // −1 leaves it to the system there; here that is 0.
            let value = if value.trim() == "-1" { "0".to_string() } else { value };
            self.properties.entry((*twin).to_string()).or_insert(value);
        } else if name == "request.timeout.ms" && role == Role::Source {
            let timeout_ms = number(&name, &value)?.clamp(10, 300_000);
            self.properties.entry("socket.timeout.ms".to_string()).or_insert(timeout_ms.to_string());
        } else if name == "buffer.memory" {
            let kbytes = number(&name, &value)?.div_ceil(1024).clamp(1, 2_147_483_647);
            self.properties.entry("queue.buffering.max.kbytes".to_string()).or_insert(kbytes.to_string());
        } else if JAVA_ONLY.contains(&name.as_str()) {
            if !matches!(name.as_str(), "default.api.timeout.ms" | "max.block.ms") {
                self.notes.push(format!("option 'kafka.{name}' is of Java's client alone and has no effect"));
            }
            self.java.insert(name, value);
        } else {
            self.properties.insert(name, value);
        }
        Ok(())
    }

    /// Has librdkafka look at names and values.
    fn check(&self) -> Result<()> {
        self.config(&[], &[]).create_native_config().map(|_| ()).map_err(config_error)
    }
}

fn number(name: &str, text: &str) -> Result<u64> {
    text.trim()
        .parse()
        .map_err(|_| Error::invalid(format!("option 'kafka.{name}' is '{text}', expected a whole number, 0 or more")))
}

/// An error of librdkafka about its configuration, without the value of a secret.
pub(super) fn config_error(error: KafkaError) -> Error {
    let KafkaError::ClientConfig(_, text, name, value) = error else {
        return Error::invalid(format!("the options of the Kafka client do not go together: {error}"));
    };
    if text.starts_with("No such configuration property") {
        let known = TWINS.iter().map(|(java, _)| *java).chain(JAVA_ONLY.iter().copied()).chain(security::JAVA_NAMES);
        let near = did_you_mean(&name, known);
        return Error::invalid(format!("unknown option 'kafka.{name}': no client of Kafka has it{near}"));
    }
    if text.contains("not supported in this build") {
        return Error::unsupported(format!(
            "option 'kafka.{name}': {text}; this build has no TLS: build with the feature kafka-tls"
        ));
    }
    match is_secret(&name) {
        true => Error::invalid(format!("option 'kafka.{name}' has a value that the Kafka client refuses")),
        false => Error::invalid(format!("option 'kafka.{name}' is '{value}': {text}")),
    }
}

/// Whether the value of the option must not be shown.
pub(super) fn is_secret(name: &str) -> bool {
    millstream_engine::options::is_secret(name)
}

/// What a client says besides its answers: its log goes to ours, and its last error is kept, to be named by whoever
/// waited for an answer in vain.
#[derive(Debug, Default)]
pub(super) struct ClientEvents {
    last_error: Mutex<Option<(RDKafkaErrorCode, String)>>,
    /// When it was last told that no broker can be reached, which librdkafka says with every attempt.
    told_down: Mutex<Option<Instant>>,
}

/// That no broker can be reached is told so often.
const TELL_AGAIN: Duration = Duration::from_secs(30);

impl ClientEvents {
    /// `; the client says: …`, or nothing where it has not complained.
    pub(super) fn complaint(&self) -> String {
        let last = self.last_error.lock().unwrap_or_else(PoisonError::into_inner);
        last.as_ref().map_or_else(String::new, |(_, text)| format!("; the client says: {text}"))
    }

    /// The last error that no waiting mends: a wrong password, a certificate that does not fit.
    pub(super) fn refusal(&self) -> Option<Error> {
        let last = self.last_error.lock().unwrap_or_else(PoisonError::into_inner);
        let (code, text) = last.as_ref()?;
        match code {
            RDKafkaErrorCode::Authentication
            | RDKafkaErrorCode::SaslAuthenticationFailed
            | RDKafkaErrorCode::SSL
            | RDKafkaErrorCode::UnsupportedSASLMechanism => {
                Some(Error::invalid(format!("the Kafka brokers refuse this client: {text}")))
            }
            _ => None,
        }
    }

    fn keep(&self, error: &KafkaError, reason: &str) {
        let Some(code) = error.rdkafka_error_code() else { return };
        let mut last = self.last_error.lock().unwrap_or_else(PoisonError::into_inner);
        // "All brokers are down" says less than why.
        if code != RDKafkaErrorCode::AllBrokersDown || last.is_none() {
            *last = Some((code, reason.to_string()));
        }
    }
}

impl ClientContext for ClientEvents {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        let is_error = matches!(
            level,
            RDKafkaLogLevel::Emerg | RDKafkaLogLevel::Alert | RDKafkaLogLevel::Critical | RDKafkaLogLevel::Error
        );
        // Every attempt to connect that fails is told of, many times a second; one line says it, see `error`.
        if is_error && facility != "FAIL" {
            tracing::warn!(facility, "Kafka client: {message}");
        } else {
            tracing::debug!(facility, "Kafka client: {message}");
        }
    }

    fn error(&self, error: KafkaError, reason: &str) {
        match error.rdkafka_error_code() {
            // Of a client that is being closed, none are left.
            Some(RDKafkaErrorCode::AllBrokersDown) if !reason.starts_with("0/") => {
                let mut told = self.told_down.lock().unwrap_or_else(PoisonError::into_inner);
                if told.is_none_or(|at| at.elapsed() >= TELL_AGAIN) {
                    *told = Some(Instant::now());
                    tracing::warn!("Kafka client: {reason}");
                }
            }
            _ => tracing::debug!(%error, "Kafka client: {reason}"),
        }
        self.keep(&error, reason);
    }
}

impl ConsumerContext for ClientEvents {}

#[cfg(test)]
mod tests {
    use millstream_engine::options::Options;

    use super::*;

    fn parse(pairs: &[(&str, &str)]) -> Result<ClientSettings> {
        let options: Options = [("kafka.bootstrap.servers", "b:9092")].iter().chain(pairs).copied().collect();
        ClientSettings::parse(&mut options.reader("kafka source"), Role::Source)
    }

    #[test]
    fn names_of_javas_client_are_translated_or_noted() -> Result<()> {
        let settings = parse(&[
            ("kafka.fetch.max.wait.ms", "100"),
            ("KAFKA.Request.Timeout.Ms", "20000"),
            ("kafka.receive.buffer.bytes", "-1"),
            ("kafka.buffer.memory", "33554432"),
            ("kafka.default.api.timeout.ms", "1500"),
            ("kafka.max.poll.records", "2"),
            ("kafka.fetch.min.bytes", "7"),
        ])?;
        for (name, value) in [
            ("fetch.wait.max.ms", "100"),
            ("socket.timeout.ms", "20000"),
            ("socket.receive.buffer.bytes", "0"),
            ("queue.buffering.max.kbytes", "32768"),
            ("fetch.min.bytes", "7"),
        ] {
            assert_eq!(settings.get(name), Some(value), "{name}");
        }
        assert_eq!(settings.api_timeout, Duration::from_millis(1500));
        assert_eq!(settings.java("max.poll.records"), Some("2"));
        assert_eq!(settings.notes, ["option 'kafka.max.poll.records' is of Java's client alone and has no effect"]);
        Ok(())
    }

    #[test]
    fn what_cannot_be_is_refused_by_name() {
        for (name, value, expected) in [
            (
                "kafka.auto.offset.reset",
                "earliest",
                "'auto.offset.reset' is not supported: set option 'startingOffsets'",
            ),
            ("kafka.value.deserializer", "x", "'value.deserializer' is not supported: values are always BINARY"),
            ("kafka.enable.auto.commit", "true", "'enable.auto.commit' is not supported"),
            (
                "kafka.fetch.max.wait.mss",
                "1",
                "unknown option 'kafka.fetch.max.wait.mss': no client of Kafka has it; did you mean 'fetch.max.wait.ms'?",
            ),
            ("kafka.fetch.min.bytes", "many", "option 'kafka.fetch.min.bytes' is 'many'"),
            ("kafka.buffer.memory", "much", "option 'kafka.buffer.memory' is 'much', expected a whole number"),
        ] {
            let error = parse(&[(name, value)]).expect_err("accepted");
            assert!(error.message().contains(expected), "{name}: {error}");
        }
    }

    #[test]
    fn secrets_are_shown_nowhere() -> Result<()> {
        let settings = parse(&[("kafka.sasl.password", "hunter2"), ("kafka.sasl.username", "ann")])?;
        let shown = format!("{settings:?}");
        assert!(shown.contains("ann") && !shown.contains("hunter2"), "{shown}");
        Ok(())
    }
}
