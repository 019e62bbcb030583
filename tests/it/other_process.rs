//! A plan runs in another process, from its bytes and the batch's JSON alone, and gives the same rows.

use std::fs;
use std::io::Cursor;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::ipc::reader::StreamReader;
use arrow::ipc::writer::StreamWriter;
use datafusion::execution::{SessionState, SessionStateBuilder, TaskContext};
use datafusion::physical_plan::{ExecutionPlan, collect};
use datafusion::prelude::SessionConfig;
use millstream::registry::Registry;
use millstream_engine::batch_context::BatchContext;
use millstream_engine::clock::SystemClock;
use millstream_engine::options::Options;
use millstream_engine::plan::{EnginePlanner, codec, configure_for_streams, number_streams, replace_clock_functions};
use millstream_engine::source::{ReadLimit, SourceContext};
use millstream_sql::{DataFrame, expressions, functions};
use millstream_state::Place;
use millstream_tests::TestResult;
use millstream_tests::scenario::{Scenario, json_rows};
use millstream_tests::session::session;
use millstream_tests::values::canonical_rows;

/// Where the worker finds its task; it does nothing without.
const TASK: &str = "MILLSTREAM_TEST_WORKER_FOLDER";

/// The stateless queries that are sent.
const SENT: &[&str] = &[
    "project",
    "case_searched",
    "from_json_struct",
    "explode_map",
    "array_lambda",
    "timestamps",
    "union_all",
    "hashes",
];

#[derive(Debug)]
struct Planner;

#[async_trait::async_trait]
impl datafusion::execution::context::QueryPlanner for Planner {
    async fn create_physical_plan(
        &self,
        plan: &datafusion::logical_expr::LogicalPlan,
        session: &dyn datafusion::catalog::Session,
    ) -> datafusion::common::Result<Arc<dyn ExecutionPlan>> {
        use datafusion::physical_planner::{DefaultPhysicalPlanner, PhysicalPlanner};
        DefaultPhysicalPlanner::with_extension_planners(vec![Arc::new(EnginePlanner)])
            .create_physical_plan(plan, session)
            .await
    }
}

/// What plans are made, decoded and run with: the same in both processes, and shared by neither.
fn state() -> SessionState {
    let mut config = configure_for_streams(SessionConfig::new(), 2);
    config.options_mut().execution.time_zone = Some("UTC".to_string());
    let builder =
        SessionStateBuilder::new().with_config(config).with_query_planner(Arc::new(Planner)).with_default_features();
    expressions::install(functions::register_all(builder)).build()
}

fn registry() -> Arc<Registry> {
    let mut registry = Registry::new();
    millstream::connectors::register_all(&mut registry);
    Arc::new(registry)
}

async fn run(plan: &[u8], batch: &[u8]) -> TestResult<Vec<RecordBatch>> {
    let state = state();
    let batch: BatchContext = serde_json::from_slice(batch)?;
    let config = Arc::new(batch).install(state.config().clone(), registry());
    let context = TaskContext::from(&state).with_session_config(config);
    let plan = codec::decode_plan(plan, &context)?;
    Ok(collect(plan, Arc::new(context)).await?)
}

/// The plan of a streaming frame and its first batch, both as bytes.
async fn plan_and_batch(frame: &DataFrame, work: &Path) -> TestResult<(Vec<u8>, Vec<u8>)> {
    let logical = replace_clock_functions(frame.logical_plan().clone(), "UTC")?;
    let (logical, streams) = number_streams(logical)?;
    let state = state();
    let physical = state.create_physical_plan(&logical).await?;
    let registry = registry();
    let mut batch = BatchContext { batch_timestamp_ms: 1_700_000_000_000, ..BatchContext::default() };
    for (number, stream) in (0u32..).zip(&streams) {
        let cx = SourceContext {
            metadata: Place::open(&work.join(format!("sources/{number}")).to_string_lossy(), &[])?,
            clock: Arc::new(SystemClock),
            conf: Arc::new(Options::new()),
        };
        let source = registry.source(&stream.spec().connector)?.open(stream.spec(), cx).await?;
        let start = source.initial().await?;
        let end = source.latest(start.as_ref(), &ReadLimit::AllAvailable).await?.ok_or("no rows")?;
        batch.splits.insert(number, source.splits(start.as_ref(), &end).await?);
    }
    Ok((codec::encode_plan(&physical)?.to_vec(), serde_json::to_vec(&batch)?))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plan_runs_in_another_process() -> TestResult {
    let scenarios = Scenario::read_lines("fixtures/spark/scenarios/stateless.jsonl")?;
    for name in SENT {
        let scenario = scenarios.iter().find(|scenario| scenario.name == *name).ok_or(*name)?;
        let work = tempfile::tempdir()?;
        scenario.write_input(work.path())?;
        let session = session().await?;
        session.sql(&scenario.tables_sql(work.path())).await?;
        let frame = session.sql(&scenario.query_sql()).await?;
        let (plan, batch) = plan_and_batch(&frame, work.path()).await?;
        fs::write(work.path().join("plan"), &plan)?;
        fs::write(work.path().join("batch"), &batch)?;
        let here = json_rows(&run(&plan, &batch).await?)?;
        assert!(!here.is_empty(), "{name}");

        let output = Command::new(std::env::current_exe()?)
            .args(["--exact", "other_process::the_worker", "--nocapture"])
            .env(TASK, work.path())
            .output()?;
        assert!(output.status.success(), "{name}: {}", String::from_utf8_lossy(&output.stderr));
        let there = StreamReader::try_new(Cursor::new(fs::read(work.path().join("rows"))?), None)?;
        let there = json_rows(&there.collect::<Result<Vec<_>, _>>()?)?;
        assert_eq!(canonical_rows(&there, false), canonical_rows(&here, false), "{name}");
    }
    Ok(())
}

/// The other process. As a test on its own it checks that it is left alone.
#[tokio::test]
async fn the_worker() -> TestResult {
    let Some(folder) = std::env::var_os(TASK) else {
        assert!(run(b"no plan", b"{}").await.is_err(), "bytes that are no plan are refused");
        return Ok(());
    };
    let folder = Path::new(&folder);
    let rows = run(&fs::read(folder.join("plan"))?, &fs::read(folder.join("batch"))?).await?;
    let schema = rows.first().ok_or("no rows")?.schema();
    let mut writer = StreamWriter::try_new(fs::File::create(folder.join("rows"))?, &schema)?;
    for batch in &rows {
        writer.write(batch)?;
    }
    writer.finish()?;
    Ok(())
}
