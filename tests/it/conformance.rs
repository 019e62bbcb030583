//! Recorded streaming queries, answered as Spark answers them: through the library and through the command.
//!
//! `data/later.txt` lists what this engine does not do yet: it must refuse it, never answer it wrongly.
//! `data/differences.txt` lists where ours answers otherwise on purpose.

use std::sync::Arc;

use futures::{StreamExt, stream};
use millstream_engine::ErrorKind;
use millstream_tests::TestResult;
use millstream_tests::lists::NameList;
use millstream_tests::scenario::{Answer, Scenario, console_answer};
use millstream_tests::session::session;

use crate::command::MILLSTREAM;

/// What ours did with a scenario.
struct Outcome {
    /// The rows; or the error's kind, where it is known, and its text.
    answer: Result<Answer, (Option<ErrorKind>, String)>,
}

async fn in_the_library(scenario: &Scenario) -> TestResult<Outcome> {
    let work = tempfile::tempdir()?;
    scenario.write_input(work.path())?;
    let session = session().await?;
    let answer = scenario.run_in(&session, work.path()).await;
    Ok(Outcome { answer: answer.map_err(|e| (Some(e.kind()), e.to_string())) })
}

fn through_the_command(scenario: &Scenario) -> TestResult<Outcome> {
    let work = tempfile::tempdir()?;
    scenario.write_input(work.path())?;
    let ran = MILLSTREAM.run_sql(work.path(), &scenario.script(work.path()))?;
    let answer = match ran.code {
        Some(0) => Ok(console_answer(&ran.stdout)?),
        Some(1) if !ran.stderr.trim().is_empty() => Err((None, ran.stderr)),
        code => return Err(format!("exit code {code:?}, standard error: {}", ran.stderr).into()),
    };
    Ok(Outcome { answer })
}

/// Why the outcome is not the one expected; `None` where all is well.
fn complaint(scenario: &Scenario, outcome: &Outcome, is_later: bool) -> Option<String> {
    match &outcome.answer {
        Ok(_) if is_later => Some("answered: take it off data/later.txt".to_string()),
        Ok(_) if !scenario.is_answered() => {
            Some(format!("answered; Spark refuses it: {}", scenario.error.as_deref().unwrap_or_default()))
        }
        Ok(answer) => scenario.difference(answer),
        Err((_, text)) if text.contains("panicked") => Some(format!("panicked: {text}")),
        Err((kind, text)) if is_later => match kind {
            Some(ErrorKind::Unsupported | ErrorKind::Invalid) | None => None,
            Some(kind) => Some(format!("refused with kind {kind:?}: {text}")),
        },
        Err((kind, text)) if !scenario.is_answered() => match kind {
            Some(ErrorKind::Internal | ErrorKind::Corrupt) => Some(format!("refused with kind {kind:?}: {text}")),
            _ => None,
        },
        Err((_, text)) => Some(format!("failed: {text}")),
    }
}

/// Runs every scenario through the library, and `through_command` says which through the command too.
async fn check(scenarios: Vec<Scenario>, through_command: fn(&Scenario, bool) -> bool) -> TestResult {
    let (later, differences) = (Arc::new(NameList::read("later")?), Arc::new(NameList::read("differences")?));
    let count = scenarios.len();
    let checks = stream::iter(scenarios).map(|scenario| {
        let (later, differences) = (Arc::clone(&later), Arc::clone(&differences));
        tokio::spawn(async move {
            let is_later = later.about(&scenario.name).is_some();
            let mut complaints = Vec::new();
            let outcome = in_the_library(&scenario).await?;
            complaints.extend(complaint(&scenario, &outcome, is_later).map(|why| format!("library: {why}")));
            if through_command(&scenario, is_later) {
                let again = scenario.clone();
                let outcome = tokio::task::spawn_blocking(move || through_the_command(&again)).await??;
                complaints.extend(complaint(&scenario, &outcome, is_later).map(|why| format!("command: {why}")));
            }
            let differs = differences.about(&scenario.name);
            Ok::<_, Box<dyn std::error::Error + Send + Sync>>(match (complaints.is_empty(), differs) {
                (true, None) | (false, Some(_)) => None,
                (true, Some(_)) => {
                    Some(format!("{}: answers as Spark does: take it off data/differences.txt", scenario.name))
                }
                (false, None) => Some(format!("{}: {}\n  {}", scenario.name, complaints.join("\n  "), scenario.sql)),
            })
        })
    });
    let mut failures = Vec::new();
    let mut checks = checks.buffer_unordered(4);
    while let Some(checked) = checks.next().await {
        failures.extend(checked??);
    }
    failures.sort();
    assert!(failures.is_empty(), "{} of {count} scenarios differ:\n{}", failures.len(), failures.join("\n"));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn scenarios_answer_as_spark_does() -> TestResult {
    check(Scenario::read_folder("conformance")?, |_, _| true).await
}

#[tokio::test(flavor = "multi_thread")]
async fn random_scenarios_answer_as_spark_does() -> TestResult {
    check(Scenario::read_lines("conformance/random.jsonl")?, |_, is_later| !is_later).await
}

#[tokio::test(flavor = "multi_thread")]
async fn stateless_scenarios_answer_as_spark_does() -> TestResult {
    check(Scenario::read_lines("fixtures/spark/scenarios/stateless.jsonl")?, |_, _| true).await
}

#[tokio::test(flavor = "multi_thread")]
async fn deduplication_answers_as_spark_does() -> TestResult {
    check(Scenario::read_lines("fixtures/spark/scenarios/dedup.jsonl")?, |_, _| false).await
}

#[tokio::test(flavor = "multi_thread")]
async fn what_spark_refuses_is_refused() -> TestResult {
    check(Scenario::read_lines("fixtures/spark/scenarios/refused.jsonl")?, |scenario, _| scenario.is_answered()).await
}

#[tokio::test(flavor = "multi_thread")]
async fn joins_answer_as_spark_does() -> TestResult {
    check(Scenario::read_lines("fixtures/spark/scenarios/joins.jsonl")?, |_, _| false).await
}

#[tokio::test(flavor = "multi_thread")]
async fn sessions_answer_as_spark_does() -> TestResult {
    check(Scenario::read_lines("fixtures/spark/scenarios/sessions.jsonl")?, |_, _| false).await
}

#[tokio::test(flavor = "multi_thread")]
async fn grouping_sets_answer_as_spark_does() -> TestResult {
    check(Scenario::read_lines("fixtures/spark/scenarios/grouping_sets.jsonl")?, |_, _| false).await
}

#[tokio::test(flavor = "multi_thread")]
async fn aggregations_answer_as_spark_does() -> TestResult {
    check(Scenario::read_lines("fixtures/spark/scenarios/aggregation.jsonl")?, |_, _| false).await
}

/// Kinds of recorded queries in which one stateful operator stands on another.
const CHAINS: &[&str] = &[
    "joinagg",
    "aggjoin",
    "dedupagg",
    "chain",
    "union",
    "_then_",
    "_joined",
    "dedup_of_",
    "counts_of_counts",
    "limited",
];

#[tokio::test(flavor = "multi_thread")]
async fn chains_answer_as_spark_does_with_a_restart_after_every_batch() -> TestResult {
    let mut scenarios = Scenario::read_folder("conformance")?;
    scenarios.extend(Scenario::read_lines("conformance/random.jsonl")?);
    scenarios.extend(Scenario::read_lines("fixtures/spark/scenarios/dedup.jsonl")?);
    scenarios.retain(|scenario| scenario.is_answered() && CHAINS.iter().any(|kind| scenario.name.contains(kind)));
    assert!(scenarios.len() > 40, "{} chains were found", scenarios.len());
    let checks = stream::iter(scenarios).map(|scenario| async move {
        let work = tempfile::tempdir()?;
        let answer = scenario.run_with_restarts(work.path()).await?;
        let differs = scenario.difference(&answer).map(|why| format!("{}: {why}\n  {}", scenario.name, scenario.sql));
        Ok::<_, Box<dyn std::error::Error + Send + Sync>>(differs)
    });
    let mut failures = Vec::new();
    let mut checks = checks.buffer_unordered(4);
    while let Some(checked) = checks.next().await {
        failures.extend(checked?);
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
    Ok(())
}

#[test]
fn the_lists_are_up_to_date() -> TestResult {
    let mut scenarios = Scenario::read_folder("conformance")?;
    for file in [
        "conformance/random.jsonl",
        "fixtures/spark/scenarios/stateless.jsonl",
        "fixtures/spark/scenarios/refused.jsonl",
        "fixtures/spark/scenarios/joins.jsonl",
        "fixtures/spark/scenarios/sessions.jsonl",
        "fixtures/spark/scenarios/grouping_sets.jsonl",
        "fixtures/spark/scenarios/aggregation.jsonl",
        "fixtures/spark/scenarios/dedup.jsonl",
    ] {
        scenarios.extend(Scenario::read_lines(file)?);
    }
    for list in ["later", "differences"] {
        let unused = NameList::read(list)?.unused(scenarios.iter().map(|scenario| scenario.name.as_str()));
        assert!(unused.is_empty(), "data/{list}.txt names what is not there: {unused:?}");
    }
    Ok(())
}
