//! The source where topics change under it: new ones, new partitions, messages that retention has taken away.

use std::io::Read;
use std::time::{SystemTime, UNIX_EPOCH};

use millstream_tests::TestResult;
use millstream_tests::command::send;
use millstream_tests::kafka::{Broker, Sent, until};
use rustix::process::Signal;

use super::{copy_sql, fresh, numbered, numbers, two_topics};
use crate::command::MILLSTREAM;

#[test]
#[ignore = "needs a Kafka broker: run tests/kafka/run"]
fn topics_and_partitions_are_found_while_the_query_runs() -> TestResult {
    let broker = Broker::shared()?;
    let work = tempfile::tempdir()?;
    let (name, to) = (fresh("grows"), fresh("to"));
    let (first, second) = (format!("{name}-1"), format!("{name}-2"));
    broker.create_topic(&first, 1, &[("retention.ms", "-1")])?;
    broker.create_topic(&to, 1, &[("retention.ms", "-1")])?;
    let query = copy_sql(&broker, work.path(), "?", &to, ", exactlyOnce 'true'");
    let query =
        query.replace("subscribe '?'", &format!("subscribePattern '{name}-[0-9]', 'kafka.metadata.max.age.ms' '500'"));
    let mut child = MILLSTREAM.start_sql(work.path(), &query, &[])?;
    let mut sent = 0;
    let mut more = |topic: &str, partition: i32| {
        broker.send(topic, partition, &numbered(sent..sent + 5))?;
        sent += 5;
        until("the rows are copied", || Ok(numbers(&broker.read(&to, false)?) == (0..sent).collect::<Vec<_>>()))
    };
    more(&first, 0)?;
    broker.create_topic(&second, 2, &[("retention.ms", "-1")])?;
    more(&second, 1)?;
    broker.grow(&first, 3)?;
    more(&first, 2)?;
    more(&second, 0)?;
    send(&child, Signal::TERM)?;
    let mut stderr = String::new();
    child.stderr.take().ok_or("no standard error")?.read_to_string(&mut stderr)?;
    assert_eq!((child.wait()?.code(), stderr.as_str()), (Some(0), ""));
    Ok(())
}

#[test]
#[ignore = "needs a Kafka broker: run tests/kafka/run"]
fn messages_that_retention_has_taken_away() -> TestResult {
    let broker = Broker::shared()?;
    for tolerated in [false, true] {
        let work = tempfile::tempdir()?;
        let (from, to) = two_topics(&broker)?;
        let query = copy_sql(&broker, work.path(), &from, &to, ", exactlyOnce 'true', trigger 'availableNow'");
        let query =
            query.replace("maxOffsetsPerTrigger", &format!("failOnDataLoss '{}', maxOffsetsPerTrigger", !tolerated));
        broker.send(&from, 0, &numbered(0..3))?;
        MILLSTREAM.run_sql(work.path(), &query)?.ok()?;
        broker.send(&from, 0, &numbered(3..6))?;
        // Messages of 2024 are older than that.
        broker.keep_for_ms(&from, 3_600_000)?;
        until("retention has done its work", || Ok(broker.bounds(&from, 0)?.0 == 6))?;
        let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs_f64() - 1_704_067_200.0;
        let recent: Vec<Sent> = numbered(6..9).into_iter().map(|sent| Sent { at: Some(now), ..sent }).collect();
        broker.send(&from, 0, &recent)?;
        let ran = MILLSTREAM.run_sql(work.path(), &query)?;
        let seen = numbers(&broker.read(&to, false)?);
        if tolerated {
            ran.ok()?;
            assert_eq!(seen, [0, 1, 2, 6, 7, 8]);
        } else {
            assert_eq!(ran.code, Some(1), "{}", ran.stderr);
            assert!(ran.stderr.contains("failOnDataLoss") && ran.stderr.contains(&from), "{}", ran.stderr);
            assert_eq!(seen, [0, 1, 2]);
        }
    }
    Ok(())
}
