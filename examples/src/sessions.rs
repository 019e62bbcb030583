//! Clicks of each user, cut into sessions: a session ends when its user has not clicked for five minutes.
//!
//! `cargo run -p examples -- sessions`. A session is given out once, when the watermark has passed its end: nothing that may
//! still come can make it longer. That is why the newest clicks are in no session yet.

use millstream::prelude::*;

use crate::Result;
use crate::arguments::Folder;

const CLICKS: [&str; 4] = [
    r#"{"user": "ada",   "page": "home",     "at": "2026-03-02T09:00:00Z"}
{"user": "grace", "page": "home",     "at": "2026-03-02T09:00:40Z"}
{"user": "ada",   "page": "search",   "at": "2026-03-02T09:01:10Z"}
{"user": "ada",   "page": "product",  "at": "2026-03-02T09:04:30Z"}
"#,
    r#"{"user": "grace", "page": "product",  "at": "2026-03-02T09:04:10Z"}
{"user": "linus", "page": "home",     "at": "2026-03-02T09:08:00Z"}
{"user": "grace", "page": "checkout", "at": "2026-03-02T09:08:55Z"}
"#,
    // Late by three minutes, and in time: it joins two sessions of linus into one.
    r#"{"user": "linus", "page": "cart",     "at": "2026-03-02T09:14:30Z"}
{"user": "linus", "page": "product",  "at": "2026-03-02T09:11:30Z"}
{"user": "ada",   "page": "home",     "at": "2026-03-02T09:15:00Z"}
"#,
    r#"{"user": "grace", "page": "home",     "at": "2026-03-02T09:40:00Z"}
"#,
];

pub(crate) async fn run() -> Result<()> {
    let folder = Folder::of_arguments()?;
    folder.write_files("clicks", CLICKS)?;

    let session = StreamSession::builder().app_name("sessions").build().await?;
    let clicks = session
        .read_stream()
        .schema("user STRING, page STRING, at TIMESTAMP")
        .option("maxFilesPerTrigger", 1)
        .json(&folder.path("clicks"))
        .await?;
    let sessions = clicks
        .with_watermark("at", "5 minutes")?
        .group_by([session_window(col("at"), lit("5 minutes")), col("user")])?
        .agg([
            count_all().alias("clicks"),
            first(col("page")).alias("landed_on"),
            min(col("at")).alias("from"),
            max(col("at")).alias("to"),
        ])?
        .select_expr([
            "user",
            "clicks",
            "date_format(`from`, 'HH:mm:ss') AS `from`",
            "date_format(`to`, 'HH:mm:ss') AS `to`",
        ])?;
    let query =
        sessions.write_stream().query_name("sessions").format("memory").trigger(Trigger::AvailableNow).start().await?;
    query.await_termination().await?;
    session.sql("SELECT * FROM sessions ORDER BY user, `from`").await?.show().await?;
    Ok(())
}
