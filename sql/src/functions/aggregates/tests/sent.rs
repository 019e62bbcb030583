//! A plan with aggregates can be sent: encoded, decoded with a session's functions, it answers the same.

use arrow::util::pretty::pretty_format_batches;
use datafusion::common::{DataFusionError, Result};
use datafusion::physical_plan::collect;
use millstream_engine::plan::codec::{decode_plan, encode_plan};

use super::empty_context;
use crate::dialect::{Statement, parse_script, plan_query};
use crate::functions::recorded::NoStreams;

#[tokio::test]
async fn aggregates_are_sent_by_name_and_arguments() -> Result<()> {
    let context = empty_context();
    let sql = "SELECT g, count(*), sum(v), avg(CAST(v AS DECIMAL(10,2))), first(n) IGNORE NULLS, last(n), max_by(n, v), collect_list(n),
        collect_list(n) RESPECT NULLS, count(DISTINCT n), approx_count_distinct(v, 0.1), percentile(v, array(0.1, 0.9)),
        percentile_cont(0.25) WITHIN GROUP (ORDER BY v DESC), approx_percentile(v, 0.5, 100), mode(n, true), listagg(n, '+'),
        count_if(v > 2), stddev(v) FILTER (WHERE v < 5), regr_slope(v, g)
        FROM VALUES (1, 1L, 'a'), (2, 2L, NULL), (1, 3L, NULL), (2, 4L, 'b'), (1, 5L, 'c'), (2, 6L, 'b') AS t(g, v, n) GROUP BY g ORDER BY g";
    let statement = parse_script(sql).map_err(|error| DataFusionError::Plan(error.to_string()))?.remove(0).statement;
    let Statement::Query(query) = statement else { return Err(DataFusionError::Plan("not a query".to_string())) };
    let plan = plan_query(&context.state(), &NoStreams, &query).await?;
    let plan = context.state().create_physical_plan(&plan).await?;
    let bytes = encode_plan(&plan)?;
    let elsewhere = empty_context();
    let sent = decode_plan(&bytes, &elsewhere.task_ctx())?;
    let ours = collect(plan, context.task_ctx()).await?;
    let theirs = collect(sent, elsewhere.task_ctx()).await?;
    let (ours, theirs) = (pretty_format_batches(&ours)?.to_string(), pretty_format_batches(&theirs)?.to_string());
    assert_eq!(ours, theirs);
    assert!(ours.contains("| 1 | 3") && ours.contains("a+c"), "{ours}");
    Ok(())
}
