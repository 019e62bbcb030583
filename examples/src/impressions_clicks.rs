//! Two streams joined: which advertisements were clicked within a minute of being shown, and which were not.
//!
//! `cargo run -p examples -- impressions_clicks`. Both streams have watermarks and the join has a bound in time, so the query
//! knows how long it has to remember a row, and when to say that an impression was never clicked.

use millstream::prelude::*;

use crate::Result;
use crate::arguments::Folder;

const IMPRESSIONS: [&str; 3] = [
    r#"{"ad": 1, "campaign": "spring", "shown_at": "2026-03-02T09:00:00Z"}
{"ad": 2, "campaign": "spring", "shown_at": "2026-03-02T09:00:05Z"}
{"ad": 3, "campaign": "tea",    "shown_at": "2026-03-02T09:00:20Z"}
"#,
    r#"{"ad": 4, "campaign": "tea",    "shown_at": "2026-03-02T09:01:10Z"}
{"ad": 5, "campaign": "spring", "shown_at": "2026-03-02T09:01:30Z"}
"#,
    // Much later: now the query knows that ads 2, 3 and 5 will not be clicked in time.
    r#"{"ad": 6, "campaign": "tea",    "shown_at": "2026-03-02T09:30:00Z"}
"#,
];

const CLICKS: [&str; 3] = [
    // Ad 3 was clicked, but two minutes after it had been shown. The second click on ad 1 counts too.
    r#"{"clicked_ad": 1, "clicked_at": "2026-03-02T09:00:12Z"}
{"clicked_ad": 1, "clicked_at": "2026-03-02T09:00:58Z"}
"#,
    r#"{"clicked_ad": 4, "clicked_at": "2026-03-02T09:01:55Z"}
{"clicked_ad": 3, "clicked_at": "2026-03-02T09:02:20Z"}
"#,
    r#"{"clicked_ad": 99, "clicked_at": "2026-03-02T09:31:00Z"}
"#,
];

pub(crate) async fn run() -> Result<()> {
    let folder = Folder::of_arguments()?;
    folder.write_files("impressions", IMPRESSIONS)?;
    folder.write_files("clicks", CLICKS)?;

    let session = StreamSession::builder().app_name("impressions_clicks").build().await?;
    let stream = |schema: &str| session.read_stream().schema(schema).option("maxFilesPerTrigger", 1);
    let impressions = stream("ad BIGINT, campaign STRING, shown_at TIMESTAMP")
        .json(&folder.path("impressions"))
        .await?
        .with_watermark("shown_at", "2 minutes")?;
    let clicks = stream("clicked_ad BIGINT, clicked_at TIMESTAMP")
        .json(&folder.path("clicks"))
        .await?
        .with_watermark("clicked_at", "1 minute")?;

    let in_time = "clicked_ad = ad AND clicked_at BETWEEN shown_at AND shown_at + INTERVAL 1 MINUTE";
    let joined = impressions.join_on(&clicks, in_time, JoinType::Left)?;
    let query = joined
        .select_expr([
            "ad",
            "campaign",
            "date_format(shown_at, 'HH:mm:ss') AS shown",
            "date_format(clicked_at, 'HH:mm:ss') AS clicked",
        ])?
        .write_stream()
        .query_name("joined")
        .format("memory")
        .trigger(Trigger::AvailableNow)
        .start()
        .await?;
    query.await_termination().await?;
    session.sql("SELECT * FROM joined ORDER BY ad, clicked").await?.show().await?;
    Ok(())
}
