//! Views and visitors of each page in windows of five minutes that begin every minute, each click counted once.

use millstream::Result;
use millstream::prelude::*;

pub(crate) async fn run() -> Result<()> {
    let session = StreamSession::builder().app_name("windowed_counts").build().await?;
    let clicks = session
        .read_stream()
        .format("json")
        .schema("user_id STRING, page STRING, at TIMESTAMP, ms BIGINT")
        .option("maxFilesPerTrigger", 1)
        .load("examples/data/clicks")
        .await?;
    let counts = clicks
        .with_watermark("at", "1 minute")?
        // The same click may be delivered again within a minute.
        .drop_duplicates_within_watermark(["user_id", "page", "at"])?
        .group_by([window(col("at"), "5 minutes").slide("1 minute").into(), col("page")])?
        .agg([count_all().alias("views"), count_distinct(col("user_id")).alias("visitors")])?;
    let query = counts.write_stream().query_name("views").format("console").option("truncate", false);
    // A window is given out once, when the watermark has passed its end.
    query.output_mode(OutputMode::Append).trigger(Trigger::AvailableNow).start().await?.await_termination().await
}
