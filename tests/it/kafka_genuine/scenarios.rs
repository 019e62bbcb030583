//! Recorded queries over Kafka: Spark's answers are ours.

use millstream_tests::TestResult;
use millstream_tests::kafka::Broker;
use millstream_tests::kafka_scenario::KafkaScenario;

use crate::command::MILLSTREAM;

#[test]
#[ignore = "needs a Kafka broker: run tests/kafka/run"]
fn every_scenario_answers_as_spark_did() -> TestResult {
    let broker = Broker::shared()?;
    let answers = KafkaScenario::answers()?;
    let scenarios = KafkaScenario::all()?;
    assert_eq!(scenarios.len(), answers.len());
    let mut different = Vec::new();
    for scenario in &scenarios {
        let spark = answers.get(&scenario.name).ok_or("not answered")?;
        match scenario.difference(MILLSTREAM, &broker, spark) {
            Ok(None) => {}
            Ok(Some(difference)) => different.push(format!("{}: {difference}", scenario.name)),
            Err(error) => different.push(format!("{} could not be run: {error}", scenario.name)),
        }
    }
    assert!(different.is_empty(), "{} of {} differ:\n{}", different.len(), scenarios.len(), different.join("\n"));
    Ok(())
}
