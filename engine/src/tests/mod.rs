//! The engine on its own: a source of numbers and a sink that keeps rows, under DataFusion's own SQL.

mod numbers;
mod plans;
mod queries;

use std::sync::Arc;

use arrow::array::{AsArray, RecordBatch};
use arrow::datatypes::Int64Type;
use async_trait::async_trait;
use datafusion::execution::SessionStateBuilder;
use datafusion::execution::context::{QueryPlanner, SessionContext, SessionState};
use datafusion::physical_planner::{DefaultPhysicalPlanner, PhysicalPlanner};
use datafusion::prelude::SessionConfig;
use datafusion_expr::LogicalPlan;
use datafusion_physical_plan::ExecutionPlan;
use datafusion_session::Session;

use crate::plan::{EnginePlanner, StreamTable, configure_for_streams};
use crate::registry::Registry;
use numbers::numbers_spec;

/// A session with streams `n` and `m` of numbers, planned as streams are, with `partitions` source partitions.
fn session(partitions: usize) -> SessionContext {
    let config = configure_for_streams(SessionConfig::new(), partitions);
    let state = SessionStateBuilder::new_with_default_features()
        .with_config(config)
        .with_query_planner(Arc::new(Planner))
        .build();
    let context = SessionContext::new_with_state(state);
    for name in ["n", "m"] {
        let stream = StreamTable::new(numbers_spec(), &Registry::default());
        context.register_table(name, Arc::new(stream)).expect("a new table");
    }
    context
}

#[derive(Debug)]
struct Planner;

#[async_trait]
impl QueryPlanner for Planner {
    async fn create_physical_plan(
        &self,
        plan: &LogicalPlan,
        session: &dyn Session,
    ) -> datafusion_common::Result<Arc<dyn ExecutionPlan>> {
        let planner = DefaultPhysicalPlanner::with_extension_planners(vec![Arc::new(EnginePlanner)]);
        planner.create_physical_plan(plan, session).await
    }
}

/// The analysed plan of `sql`.
async fn logical(context: &SessionContext, sql: &str) -> LogicalPlan {
    let state: SessionState = context.state();
    state.create_logical_plan(sql).await.expect("a plan")
}

/// The numbers in the first column, sorted.
fn numbers_in(rows: &[RecordBatch]) -> Vec<i64> {
    let mut numbers: Vec<i64> =
        rows.iter().flat_map(|batch| batch.column(0).as_primitive::<Int64Type>().values().to_vec()).collect();
    numbers.sort_unstable();
    numbers
}
