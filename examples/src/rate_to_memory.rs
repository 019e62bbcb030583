//! Rows made by the clock into a table in memory, asked with SQL while the query runs: a SELECT sees whole batches.

use millstream::Result;
use millstream::prelude::*;

pub(crate) async fn run() -> Result<()> {
    let session = StreamSession::builder().app_name("rate_to_memory").build().await?;
    let numbers = session.read_stream().format("rate-micro-batch").option("rowsPerBatch", 1000).load_options().await?;
    let query = numbers
        .select_expr(["value", "value % 7 = 0 AS divisible"])?
        .write_stream()
        .query_name("numbers")
        .format("memory")
        .trigger(Trigger::processing_time("200 milliseconds")?)
        .start()
        .await?;
    while query.last_progress().is_none_or(|progress| progress.batch_id < 3) {
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    session
        .sql("SELECT divisible, count(*) AS n, max(value) AS largest FROM numbers GROUP BY divisible")
        .await?
        .show()
        .await?;
    query.stop().await
}
