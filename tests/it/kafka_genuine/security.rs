//! TLS and SASL: who may come in comes in, others are told so, and no secret is to be seen anywhere.

use std::path::Path;

use millstream_tests::TestResult;
use millstream_tests::command::Ran;
use millstream_tests::kafka::Broker;

use super::{fresh, numbered, numbers};
use crate::command::MILLSTREAM;

const PASSWORD: &str = "alice-secret";

/// Runs a query that copies a topic with `options`, looks at its plan, and logs as much as it can.
fn run(work: &Path, options: &str, from: &str, to: &str) -> TestResult<Ran> {
    let place = work.display();
    let script = format!(
        "CREATE TABLE input USING kafka OPTIONS ({options}, subscribe '{from}', startingOffsets 'earliest', 'kafka.default.api.timeout.ms' '30000');
         EXPLAIN SELECT * FROM STREAM input;
         DESCRIBE input;
         CREATE STREAMING TABLE q USING kafka OPTIONS ({options}, topic '{to}', exactlyOnce 'true', 'kafka.max.block.ms' '30000',
           checkpointLocation '{place}/checkpoint', trigger 'availableNow') AS SELECT value FROM STREAM input;
         SHOW STREAMS;\n"
    );
    std::fs::write(work.join("query.sql"), script)?;
    let arguments = ["run", "query.sql", "--progress", "progress.jsonl"];
    let mut ran: Ran = MILLSTREAM.command(work, &arguments).env("RUST_LOG", "debug").output()?.into();
    ran.stdout.push_str(&std::fs::read_to_string(work.join("progress.jsonl")).unwrap_or_default());
    Ok(ran)
}

#[test]
#[ignore = "needs a Kafka broker: run tests/kafka/run"]
fn tls_and_scram() -> TestResult {
    let broker = Broker::shared()?;
    let (tls, scram) = (broker.tls_servers(), broker.scram_servers());
    let ca = broker.ca_pem();
    let pem = std::fs::read_to_string(&ca)?;
    let ca = ca.display();
    let jaas = |module: &str, password: &str| {
        format!(
            "org.apache.kafka.common.security.{module}LoginModule required username=\"alice\" password=\"{password}\";"
        )
    };
    let sasl = |mechanism: &str, jaas: &str| {
        format!(
            "'kafka.bootstrap.servers' '{scram}', 'kafka.security.protocol' 'SASL_SSL', 'kafka.ssl.ca.location' '{ca}',
             'kafka.sasl.mechanism' '{mechanism}', 'kafka.sasl.jaas.config' '{jaas}'"
        )
    };
    let with_file = format!(
        "'kafka.bootstrap.servers' '{tls}', 'kafka.security.protocol' 'SSL', 'kafka.ssl.truststore.type' 'PEM', 'kafka.ssl.truststore.location' '{ca}'"
    );
    let with_text = format!(
        "'kafka.bootstrap.servers' '{tls}', 'kafka.security.protocol' 'SSL', 'kafka.ssl.truststore.type' 'PEM', 'kafka.ssl.truststore.certificates' '{pem}'"
    );
    let untrusting = format!("'kafka.bootstrap.servers' '{tls}', 'kafka.security.protocol' 'SSL'");
    let cases = [
        (with_file, None),
        (with_text, None),
        (sasl("SCRAM-SHA-256", &jaas("scram.Scram", PASSWORD)), None),
        (sasl("SCRAM-SHA-512", &jaas("scram.Scram", PASSWORD)), None),
        (sasl("PLAIN", &jaas("plain.Plain", PASSWORD)), None),
        (untrusting, Some("certificate verify failed")),
        (sasl("SCRAM-SHA-512", &jaas("scram.Scram", "no-such-password")), Some("uthentication failed")),
        (sasl("PLAIN", &jaas("plain.Plain", "no-such-password")), Some("uthentication failed")),
    ];
    for (options, refused) in cases {
        let (from, to) = (fresh("from"), fresh("to"));
        broker.create_topic(&from, 1, &[("retention.ms", "-1")])?;
        broker.create_topic(&to, 1, &[])?;
        broker.send(&from, 0, &numbered(0..5))?;
        let work = tempfile::tempdir()?;
        let ran = run(work.path(), &options, &from, &to)?;
        let expected = if refused.is_some() { Vec::new() } else { (0..5).collect::<Vec<_>>() };
        assert_eq!(numbers(&broker.read(&to, false)?), expected, "{options}: {}", ran.stderr);
        assert_eq!(ran.code, Some(i32::from(refused.is_some())), "{options}: {}", ran.stderr);
        assert!(refused.is_none_or(|words| ran.stderr.contains(words)), "{options}: {}", ran.stderr);
        for secret in [PASSWORD, "no-such-password"] {
            assert!(!ran.stdout.contains(secret) && !ran.stderr.contains(secret), "a secret is shown with {options}");
        }
    }
    Ok(())
}
