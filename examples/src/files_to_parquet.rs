//! JSON files into Parquet files, a folder a page, exactly once: run it twice, and the second run finds nothing new.

use millstream::Result;
use millstream::prelude::*;

const SCHEMA: &str = "user_id STRING, page STRING, at TIMESTAMP, ms BIGINT";

pub(crate) async fn run() -> Result<()> {
    let session = StreamSession::builder().app_name("files_to_parquet").build().await?;
    let clicks =
        session.read_stream().schema(SCHEMA).option("maxFilesPerTrigger", 2).json("examples/data/clicks").await?;
    let query = clicks
        .with_column("seconds", col("ms") / lit(1000))?
        .write_stream()
        .query_name("clicks_to_parquet")
        .format("parquet")
        .partition_by(["page"])
        .option("checkpointLocation", "target/examples/files_to_parquet/checkpoint")
        .trigger(Trigger::AvailableNow)
        .start_path("target/examples/files_to_parquet/out")
        .await?;
    query.await_termination().await?;

    // What can be read are the files of committed batches, whatever else may lie in the folder.
    let written = session.read().parquet("target/examples/files_to_parquet/out").await?;
    written.create_or_replace_temp_view("written")?;
    session.sql("SELECT page, count(*) AS clicks FROM written GROUP BY page ORDER BY page").await?.show().await
}
