//! Click events in JSON files, one file a micro-batch, to the console: what `examples/quickstart.sql` does, from Rust.

use millstream::Result;
use millstream::prelude::*;

pub(crate) async fn run() -> Result<()> {
    let session = StreamSession::builder().app_name("quickstart").build().await?;
    let clicks = session
        .read_stream()
        .format("json")
        .schema("user_id STRING, page STRING, at TIMESTAMP, ms BIGINT")
        .option("maxFilesPerTrigger", 1)
        .load("examples/data/clicks")
        .await?;
    let slow = clicks.filter(col("ms").gt(lit(500)))?.select_expr([
        "user_id",
        "upper(page) AS page",
        "date_format(at, 'HH:mm:ss') AS time",
        "ms / 1000 AS seconds",
    ])?;
    let query = slow.write_stream().query_name("slow_pages").format("console").trigger(Trigger::AvailableNow);
    // Available now: everything that is there, and then the query ends.
    query.start().await?.await_termination().await
}
