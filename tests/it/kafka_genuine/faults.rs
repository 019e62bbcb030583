//! Brokers that are slow, and partitions whose leader goes away in the middle of a batch.

use std::io::Read;
use std::time::{Duration, Instant};

use millstream_tests::TestResult;
use millstream_tests::command::send;
use millstream_tests::kafka::{Broker, until};
use millstream_tests::slow_proxy::SlowProxy;
use rustix::process::Signal;

use super::{copy_sql, fresh, numbered, numbers, two_topics};
use crate::command::MILLSTREAM;

#[test]
#[ignore = "needs a Kafka broker: run tests/kafka/run"]
fn a_slow_broker_only_takes_longer() -> TestResult {
    let broker = Broker::shared()?;
    let delay = Duration::from_millis(60);
    let (port, to_port) = broker.proxied_ports();
    let proxy = SlowProxy::start(port, to_port, delay)?;
    let proxied = format!("127.0.0.1:{port}");
    for guarantee in [", exactlyOnce 'true'", ""] {
        let work = tempfile::tempdir()?;
        let (from, to) = two_topics(&broker)?;
        for partition in [0, 1] {
            broker.send(&from, partition, &numbered(i64::from(partition) * 20..i64::from(partition) * 20 + 20))?;
        }
        let query = copy_sql(&broker, work.path(), &from, &to, &format!("{guarantee}, trigger 'availableNow'"));
        let (started, before) = (Instant::now(), proxy.carried_bytes());
        MILLSTREAM.run_sql(work.path(), &query.replace(&broker.servers(), &proxied))?.ok()?;
        assert_eq!(numbers(&broker.read(&to, false)?), (0..40).collect::<Vec<_>>(), "{guarantee}");
        // Forty messages, seven a batch: each batch waits for its acknowledgements at least.
        assert!(started.elapsed() >= 6 * 2 * delay, "nothing was slow: {:?}", started.elapsed());
        assert!(proxy.carried_bytes() > before, "the proxy was passed by");
    }
    Ok(())
}

#[test]
#[ignore = "needs a Kafka broker: run tests/kafka/run"]
fn leaders_that_change_while_the_query_runs() -> TestResult {
    let first = Broker::own()?;
    let second = first.second()?;
    let work = tempfile::tempdir()?;
    let (from, to) = (fresh("from"), fresh("to"));
    for topic in [&from, &to] {
        // The second broker leads at first.
        first.create_replicated_topic(topic, &[&[2, 1], &[2, 1]])?;
    }
    let mut child = MILLSTREAM.start_sql(work.path(), &copy_sql(&first, work.path(), &from, &to, ""), &[])?;
    let mut sent = 0;
    for [ends, begins] in [["kill9", "start"], ["stop", "start"]] {
        until("the second broker has all messages", || first.in_sync(&from, 2))?;
        for partition in [0, 1] {
            first.send(&from, partition, &numbered(sent..sent + 50))?;
            sent += 50;
        }
        second.script(ends)?;
        for partition in [0, 1] {
            first.send(&from, partition, &numbered(sent..sent + 50))?;
            sent += 50;
        }
        until("rows go on", || Ok(numbers(&first.read(&to, false)?).len() >= usize::try_from(sent)?))?;
        second.script(begins)?;
    }
    assert_eq!(first.leaders(&from)?, [1, 1], "no leader has changed");
    send(&child, Signal::TERM)?;
    let mut stderr = String::new();
    child.stderr.take().ok_or("no standard error")?.read_to_string(&mut stderr)?;
    assert_eq!(child.wait()?.code(), Some(0), "{stderr}");
    assert_eq!(numbers(&first.read(&to, false)?), (0..sent).collect::<Vec<_>>());
    Ok(())
}
