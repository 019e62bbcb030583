//! A job that runs now and then: the JSON files that have come since, cleaned, into Parquet files, a folder for each day.
//!
//! `cargo run -p examples -- file_etl --folder /tmp/etl`. Run it again: there is nothing new. Add a file to
//! `/tmp/etl/incoming` and run it again: that file is read, and no other.

use millstream::prelude::*;

use crate::Result;
use crate::arguments::Folder;

const INCOMING: [&str; 3] = [
    r#"{"id": 1, "sensor": " Weir ",  "at": "2026-03-01T23:59:10Z", "level_mm": 1204}
{"id": 2, "sensor": "wheel",   "at": "2026-03-01T23:59:40Z", "level_mm": 980}
this line is not JSON
"#,
    r#"{"id": 3, "sensor": "WEIR",    "at": "2026-03-02T00:00:10Z", "level_mm": 1207}
{"id": 4, "sensor": "wheel",   "at": "2026-03-02T00:00:40Z", "level_mm": -1}
{"id": 5, "sensor": "sluice",  "at": "2026-03-02T00:01:00Z", "level_mm": 455}
"#,
    r#"{"id": 6, "sensor": "weir",    "at": "2026-03-02T00:01:10Z", "level_mm": 1211}
{"id": 7, "sensor": "wheel",   "at": "yesterday",            "level_mm": 981}
"#,
];

#[expect(clippy::print_stdout, reason = "the result is what an example is for")]
pub(crate) async fn run() -> Result<()> {
    let folder = Folder::of_arguments()?;
    folder.write_files("incoming", INCOMING)?;

    let session = StreamSession::builder().app_name("file_etl").build().await?;
    let readings = session
        .read_stream()
        // What cannot be read is kept as it came, in the column that is named for it.
        .schema("id BIGINT, sensor STRING, at TIMESTAMP, level_mm BIGINT, unreadable STRING")
        .option("columnNameOfCorruptRecord", "unreadable")
        .option("maxFilesPerTrigger", 2)
        .json(&folder.path("incoming"))
        .await?;
    let write = |rows: DataFrame, name: &str| {
        rows.write_stream()
            .query_name(name)
            .option("checkpointLocation", folder.path(&format!("checkpoints/{name}")))
            .trigger(Trigger::AvailableNow)
    };
    let cleaned = readings.filter("unreadable IS NULL AND level_mm >= 0")?.select_expr([
        "id",
        "lower(trim(sensor)) AS sensor",
        "at",
        "level_mm / 1000 AS level_m",
        "to_date(at) AS day",
    ])?;
    let cleaned = write(cleaned, "cleaned").format("parquet").partition_by(["day"]);
    let rejected = readings.filter("unreadable IS NOT NULL OR level_mm < 0")?;
    let rejected = write(rejected, "rejected").format("json");

    let queries =
        [cleaned.start_path(&folder.path("lake")).await?, rejected.start_path(&folder.path("rejected")).await?];
    for query in queries {
        query.await_termination().await?;
        let rows: u64 = query.recent_progress().iter().map(|progress| progress.num_input_rows).sum();
        eprintln!("{}: {rows} new rows looked at", query.label());
    }

    let lake = session.read().parquet(&folder.path("lake")).await?;
    lake.order_by([col("id").sort(true, false)])?.show().await?;
    let rejected = session.read().schema("id BIGINT, level_mm BIGINT, unreadable STRING");
    let rejected = rejected.json(&folder.path("rejected")).await?;
    let rejected = rejected.order_by([col("id").sort(true, true)])?;
    print!("{}", rejected.show_string(20, 0).await?);
    Ok(())
}
