//! Plans that run, are reset, and run again over other rows: each way in which that can go wrong in DataFusion has a case.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{AsArray, RecordBatch};
use arrow::datatypes::{TimestampMicrosecondType, UInt16Type, UInt64Type};
use datafusion::execution::context::SessionContext;
use datafusion_execution::TaskContext;
use datafusion_physical_plan::execution_plan::reset_plan_states;
use datafusion_physical_plan::{ExecutionPlan, ExecutionPlanProperties, collect, displayable};
use millstream_state::{key_group, partition_of};
use proptest::prelude::*;

use super::numbers::{NumbersProvider, split};
use super::{logical, numbers_in, session};
use crate::batch_context::BatchContext;
use crate::plan::{
    ExchangeExec, HASH_COLUMN, KEY_GROUP_COLUMN, SourceExec, codec, number_streams, replace_clock_functions,
};
use crate::registry::Registry;
use crate::source::Split;

/// The physical plan of a streaming `sql`, sent through the codec.
async fn physical(context: &SessionContext, sql: &str) -> Arc<dyn ExecutionPlan> {
    let plan = replace_clock_functions(logical(context, sql).await, "UTC").expect("a plan with a clock");
    let (plan, _) = number_streams(plan).expect("numbered streams");
    let plan = context.state().create_physical_plan(&plan).await.expect("a physical plan");
    let bytes = codec::encode_plan(&plan).expect("an encoding");
    let decoded = codec::decode_plan(&bytes, &context.task_ctx()).expect("a decoding");
    let text = |plan: &Arc<dyn ExecutionPlan>| displayable(plan.as_ref()).indent(true).to_string();
    assert_eq!(text(&decoded), text(&plan), "the plan changed on its way");
    decoded
}

fn task_context(
    context: &SessionContext,
    splits: BTreeMap<u32, Vec<Split>>,
    batch_timestamp_ms: i64,
) -> Arc<TaskContext> {
    let mut registry = Registry::new();
    registry.add_source(Arc::new(NumbersProvider("plans")));
    let batch = BatchContext { splits, batch_timestamp_ms, ..BatchContext::default() };
    // As in another process: what a batch needs is what its JSON says.
    let json = serde_json::to_string(&batch).expect("JSON");
    let batch: BatchContext = serde_json::from_str(&json).expect("a batch context");
    let config = Arc::new(batch).install(context.copied_config(), Arc::new(registry));
    Arc::new(TaskContext::from(context.state().as_ref_session()).with_session_config(config))
}

/// Gives `&dyn Session` of a state.
trait AsSession {
    fn as_ref_session(&self) -> &dyn datafusion_session::Session;
}

impl AsSession for datafusion::execution::context::SessionState {
    fn as_ref_session(&self) -> &dyn datafusion_session::Session {
        self
    }
}

/// Runs `plan` after a reset over the given ranges of streams 0, 1 …
async fn run(context: &SessionContext, plan: &Arc<dyn ExecutionPlan>, ranges: &[(i64, i64)]) -> Vec<RecordBatch> {
    let splits = (0u32..).zip(ranges).map(|(number, (from, to))| (number, vec![split(*from, *to)])).collect();
    let plan = reset_plan_states(Arc::clone(plan)).expect("a reset");
    collect(plan, task_context(context, splits, 5_000)).await.expect("rows")
}

#[tokio::test]
async fn a_plan_that_runs_again_answers_for_its_own_rows() {
    // SQL, the ranges of the streams in each run, and the numbers expected from it.
    type Case = (&'static str, &'static [(&'static [(i64, i64)], &'static [i64])]);
    let cases: &[Case] = &[
        ("SELECT value FROM n WHERE value % 2 = 0", &[(&[(0, 5)], &[0, 2, 4]), (&[(5, 9)], &[6, 8]), (&[(0, 0)], &[])]),
        // A table's statistics would be folded into a literal.
        ("SELECT count(*) FROM n", &[(&[(0, 5)], &[5]), (&[(0, 7)], &[7]), (&[(3, 3)], &[0])]),
        ("SELECT max(value) FROM n", &[(&[(0, 5)], &[4]), (&[(0, 3)], &[2])]),
        // A dynamic filter would keep the first run's bounds.
        (
            "SELECT n.value FROM n JOIN m ON n.value = m.value",
            &[
                (&[(0, 5), (2, 9)], &[2, 3, 4]),
                (&[(100, 105), (101, 103)], &[101, 102]),
                (&[(0, 3), (0, 3)], &[0, 1, 2]),
            ],
        ),
        (
            "SELECT n.value FROM n LEFT JOIN m ON n.value = m.value AND m.value > 3 WHERE m.value IS NULL",
            &[(&[(0, 5), (0, 9)], &[0, 1, 2, 3]), (&[(7, 9), (0, 8)], &[8])],
        ),
        ("SELECT value FROM n ORDER BY value DESC LIMIT 2", &[(&[(0, 5)], &[3, 4]), (&[(0, 3)], &[1, 2])]),
        ("SELECT value FROM n UNION ALL SELECT value FROM n", &[(&[(0, 2)], &[0, 0, 1, 1]), (&[(2, 3)], &[2, 2])]),
        ("SELECT count(DISTINCT half) FROM n", &[(&[(0, 6)], &[3]), (&[(0, 2)], &[1])]),
    ];
    for partitions in [1, 3] {
        let context = session(partitions);
        for (sql, runs) in cases {
            let plan = physical(&context, sql).await;
            for (ranges, expected) in *runs {
                let rows = run(&context, &plan, ranges).await;
                assert_eq!(numbers_in(&rows), *expected, "{sql} over {ranges:?}, {partitions} partitions");
            }
        }
    }
}

#[tokio::test]
async fn a_runs_row_counts_are_its_own() {
    let context = session(2);
    let plan = physical(&context, "SELECT value FROM n").await;
    for rows in [5, 0, 3] {
        let splits = BTreeMap::from([(0, vec![split(0, rows), split(rows, rows + 1)])]);
        let plan = reset_plan_states(Arc::clone(&plan)).expect("a reset");
        collect(Arc::clone(&plan), task_context(&context, splits, 0)).await.expect("rows");
        let mut node = &plan;
        while let Some(input) = node.children().first() {
            node = input;
        }
        let scan = node.downcast_ref::<SourceExec>().expect("a scan at the bottom");
        assert_eq!(scan.metrics().and_then(|m| m.output_rows()), Some(rows as usize + 1));
    }
}

#[tokio::test]
async fn only_the_columns_that_are_needed_are_read() {
    let context = session(1);
    let plan = physical(&context, "SELECT half FROM n WHERE current_timestamp() > TIMESTAMP '1970-01-01'").await;
    let text = displayable(plan.as_ref()).indent(false).to_string();
    assert!(text.contains("columns=[half]"), "{text}");
}

#[tokio::test]
async fn clock_functions_take_their_value_from_the_batch() {
    let context = session(2);
    // now() of DataFusion stands for the session's functions of the same name.
    let sql = "SELECT now() AS at, value FROM n WHERE now() < TIMESTAMP '1970-01-01T00:00:06Z'";
    let plan = physical(&context, sql).await;
    for (batch_timestamp_ms, rows) in [(5_000, 3), (7_000, 0), (1_234, 3)] {
        let splits = BTreeMap::from([(0, vec![split(0, 3)])]);
        let plan = reset_plan_states(Arc::clone(&plan)).expect("a reset");
        let batches = collect(plan, task_context(&context, splits, batch_timestamp_ms)).await.expect("rows");
        let times: Vec<i64> = batches
            .iter()
            .flat_map(|b| b.column(0).as_primitive::<TimestampMicrosecondType>().values().to_vec())
            .collect();
        assert_eq!(times, vec![batch_timestamp_ms * 1000; rows]);
    }
}

#[tokio::test]
async fn an_error_in_a_reader_keeps_its_kind() {
    let context = session(1);
    let plan = physical(&context, "SELECT value + 1 FROM n").await;
    let splits = BTreeMap::from([(0, vec![split(-1, 3)])]);
    let error = collect(plan, task_context(&context, splits, 0)).await.expect_err("a bad split was read");
    let error = crate::Error::from(error);
    assert_eq!((error.kind(), error.message()), (crate::ErrorKind::Invalid, "there are no numbers below zero"));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    /// Every row comes out once, in the partition of its key group, with its hash and key group beside it, and in the
    /// same order in every run.
    #[test]
    fn the_exchange_sends_each_row_to_its_partition(
        inputs in 1usize..4, outputs in 1usize..6, cuts in prop::collection::vec(0i64..3000, 1..6)
    ) {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).build().expect("a runtime");
        runtime.block_on(async {
            let context = session(inputs);
            let scan = physical(&context, "SELECT value, half FROM n").await;
            let plan: Arc<dyn ExecutionPlan> = Arc::new(ExchangeExec::new(scan, vec![0], outputs));
            let bytes = codec::encode_plan(&plan).expect("an encoding");
            let plan = codec::decode_plan(&bytes, &context.task_ctx()).expect("a decoding");
            assert_eq!(plan.output_partitioning().partition_count(), outputs);
            let mut at = 0;
            let splits: Vec<Split> = cuts.iter().map(|rows| { at += rows; split(at - rows, at) }).collect();
            let mut runs = Vec::new();
            for _ in 0..2 {
                let plan = reset_plan_states(Arc::clone(&plan)).expect("a reset");
                let task = task_context(&context, BTreeMap::from([(0, splits.clone())]), 0);
                let streams = (0..outputs).map(|p| datafusion_physical_plan::common::collect(plan.execute(p, Arc::clone(&task)).expect("a stream")));
                let partitions: Vec<Vec<RecordBatch>> = futures::future::try_join_all(streams).await.expect("rows");
                for (partition, batches) in partitions.iter().enumerate() {
                    for batch in batches {
                        let hashes = batch.column_by_name(HASH_COLUMN).expect("hashes").as_primitive::<UInt64Type>();
                        let groups = batch.column_by_name(KEY_GROUP_COLUMN).expect("key groups").as_primitive::<UInt16Type>();
                        for (hash, group) in hashes.values().iter().zip(groups.values()) {
                            assert_eq!(key_group(*hash), *group);
                            assert_eq!(partition_of(*group, outputs), partition);
                        }
                    }
                }
                let all: Vec<RecordBatch> = partitions.iter().flatten().cloned().collect();
                assert_eq!(numbers_in(&all), (0..at).collect::<Vec<_>>());
                runs.push(partitions);
            }
            assert_eq!(&runs[0], &runs[1], "two runs differ in order");
        });
    }
}
