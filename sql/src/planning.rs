//! How the session's plans are made: DataFusion's planner with the engine's nodes, Spark's functions, one string type, and
//! for streams the settings under which a plan can run again and again.

use std::sync::Arc;

use async_trait::async_trait;
use datafusion::catalog::{CatalogProviderList, Session};
use datafusion::config::ConfigOptions;
use datafusion::execution::context::QueryPlanner;
use datafusion::execution::runtime_env::{RuntimeEnv, RuntimeEnvBuilder};
use datafusion::execution::{SessionState, SessionStateBuilder};
use datafusion::logical_expr::LogicalPlan;
use datafusion::optimizer::AnalyzerRule;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_planner::{DefaultPhysicalPlanner, PhysicalPlanner};
use datafusion::prelude::SessionConfig;
use millstream_engine::plan::{EnginePlanner, configure_for_streams, rules_for_streams};
use millstream_engine::registry::Registry;
use millstream_engine::stateful::sessions_in_batches;
use millstream_engine::{Error, Result};

use crate::conf::{Conf, parse_bytes};
use crate::not_in::NotIn;
use crate::{expressions, functions};

/// What plans are made with: one state for batch queries, one for streams. Made anew when the configuration changes.
#[derive(Debug)]
pub(crate) struct Planning {
    /// For batch queries, on all cores.
    pub(crate) batch: SessionState,
    /// For streams.
    pub(crate) stream: SessionState,
}

impl Planning {
    pub(crate) fn new(
        conf: &Conf,
        registry: &Arc<Registry>,
        runtime: &Arc<RuntimeEnv>,
        catalogs: &Arc<dyn CatalogProviderList>,
    ) -> Self {
        let cores = cores();
        let config = config(conf, registry).with_target_partitions(cores);
        let partitions = conf.count("millstream.source.partitions", cores);
        let streams = configure_for_streams(config.clone(), partitions);
        let builder = SessionStateBuilder::new()
            .with_config(config)
            .with_runtime_env(Arc::clone(runtime))
            .with_catalog_list(Arc::clone(catalogs))
            .with_query_planner(Arc::new(StreamPlanner))
            .with_default_features();
        let batch = expressions::install(functions::register_all(builder))
            .with_analyzer_rule(Arc::new(NotIn))
            .with_analyzer_rule(Arc::new(SessionsInBatches))
            .build();
        let rules = rules_for_streams(batch.physical_optimizers().to_vec());
        let stream = SessionStateBuilder::new_from_existing(batch.clone())
            .with_config(streams)
            .with_physical_optimizer_rules(rules)
            .build();
        Self { batch, stream }
    }
}

/// The cores of this machine that may be used.
pub(crate) fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// The session's runtime, with its memory budget.
pub(crate) fn runtime(conf: &Conf) -> Result<Arc<RuntimeEnv>> {
    let limit = conf.get("millstream.memory.limit").unwrap_or_default();
    let bytes = parse_bytes(&limit, machine_memory_bytes()).ok_or_else(|| {
        Error::invalid(format!("configuration 'millstream.memory.limit' is '{limit}', expected bytes such as 4GiB"))
    })?;
    let bytes = usize::try_from(bytes).unwrap_or(usize::MAX);
    Ok(RuntimeEnvBuilder::new().with_memory_limit(bytes, 1.0).build_arc()?)
}

/// The machine's memory, or what the control group allows where that is less; a huge number where neither is known.
fn machine_memory_bytes() -> u64 {
    let machine = std::fs::read_to_string("/proc/meminfo").ok().and_then(|text| {
        let line = text.lines().find(|line| line.starts_with("MemTotal:"))?.to_string();
        line.split_whitespace().nth(1)?.parse::<u64>().ok()?.checked_mul(1024)
    });
    let group = std::fs::read_to_string("/sys/fs/cgroup/memory.max").ok().and_then(|text| text.trim().parse().ok());
    machine.into_iter().chain(group).min().unwrap_or(1 << 40)
}

fn config(conf: &Conf, registry: &Arc<Registry>) -> SessionConfig {
    let mut config = SessionConfig::new()
        .with_default_catalog_and_schema(crate::catalog::CATALOG, crate::catalog::SCHEMA)
        .with_create_default_catalog_and_schema(false)
        .with_information_schema(false)
        .with_batch_size(conf.count("millstream.batch.rows", 8192))
        .with_extension(Arc::clone(registry));
    let options = config.options_mut();
    options.execution.time_zone = conf.get("spark.sql.session.timeZone");
    // Strings are of one type, from source to sink.
    options.sql_parser.map_string_types_to_utf8view = false;
    options.sql_parser.enable_ident_normalization = false;
    options.execution.parquet.schema_force_view_types = false;
    options.optimizer.expand_views_at_output = false;
    // In DataFusion 55 this rule mixes up `alias.column` and `column` when a struct's field is taken above a subquery.
    options.optimizer.enable_leaf_expression_pushdown = false;
    config
}

/// Merges the rows of a batch into sessions; what streams do with theirs is decided when they start.
#[derive(Debug)]
struct SessionsInBatches;

impl AnalyzerRule for SessionsInBatches {
    fn analyze(&self, plan: LogicalPlan, _: &ConfigOptions) -> datafusion::common::Result<LogicalPlan> {
        sessions_in_batches(plan)
    }

    fn name(&self) -> &str {
        "sessions_in_batches"
    }
}

/// DataFusion's planner with the engine's nodes.
#[derive(Debug)]
struct StreamPlanner;

#[async_trait]
impl QueryPlanner for StreamPlanner {
    async fn create_physical_plan(
        &self,
        plan: &LogicalPlan,
        session: &dyn Session,
    ) -> datafusion::common::Result<Arc<dyn ExecutionPlan>> {
        DefaultPhysicalPlanner::with_extension_planners(vec![Arc::new(EnginePlanner)])
            .create_physical_plan(plan, session)
            .await
    }
}
