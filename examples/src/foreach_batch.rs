//! Every batch as a table of its own: two actions on it, without reading anything twice.

use millstream::prelude::*;
use millstream::{DataFrame, Result};

pub(crate) async fn run() -> Result<()> {
    let session = StreamSession::builder().app_name("foreach_batch").build().await?;
    let clicks = session
        .read_stream()
        .schema("user_id STRING, page STRING, at TIMESTAMP, ms BIGINT")
        .option("maxFilesPerTrigger", 1)
        .json("examples/data/clicks")
        .await?;
    let query = clicks.write_stream().query_name("slowest").foreach_batch(slowest).trigger(Trigger::AvailableNow);
    query.start().await?.await_termination().await
}

/// Prints how many clicks the batch has, and the slowest three.
async fn slowest(clicks: DataFrame, batch_id: u64) -> Result<()> {
    eprintln!("batch {batch_id} has {} clicks; the slowest are", clicks.count().await?);
    clicks.order_by([col("ms").sort(false, false)])?.limit(3)?.show().await
}
