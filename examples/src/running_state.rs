//! State for each key: the balance of every account, kept from batch to batch and from run to run.
//!
//! `cargo run -p examples -- running_state`. The query is stopped half way and started again on the same checkpoint: it goes
//! on with the balances it had. With `--folder DIR` everything stays there, to look at or to go on with.

use millstream::prelude::*;

use crate::Result;
use crate::arguments::Folder;

const JANUARY: [&str; 2] = [
    r#"{"account": "ada",   "amount": 1200, "at": "2026-01-02T09:00:00Z"}
{"account": "grace", "amount":  900, "at": "2026-01-02T10:30:00Z"}
{"account": "ada",   "amount": -250, "at": "2026-01-05T18:12:00Z"}
"#,
    r#"{"account": "linus", "amount":  400, "at": "2026-01-11T08:00:00Z"}
{"account": "grace", "amount": -120, "at": "2026-01-19T20:45:00Z"}
"#,
];

const FEBRUARY: [&str; 2] = [
    r#"{"account": "ada",   "amount":  -90, "at": "2026-02-03T12:00:00Z"}
{"account": "ada",   "amount": 1200, "at": "2026-02-02T09:00:00Z"}
"#,
    r#"{"account": "linus", "amount": -450, "at": "2026-02-14T22:15:00Z"}
{"account": "grace", "amount":  900, "at": "2026-02-02T10:30:00Z"}
{"account": "linus", "amount":  400, "at": "2026-02-15T08:00:00Z"}
"#,
];

pub(crate) async fn run() -> Result<()> {
    let folder = Folder::of_arguments()?;
    folder.write_files("movements", JANUARY)?;
    balances(&folder).await?;
    eprintln!("--- stopped; new movements; started again");
    folder.write_files_from("movements", 1 + JANUARY.len(), FEBRUARY)?;
    balances(&folder).await
}

/// Reads what has come since the last run, and prints the accounts that changed, batch by batch.
async fn balances(folder: &Folder) -> Result<()> {
    let session = StreamSession::builder().app_name("running_state").build().await?;
    let movements = session
        .read_stream()
        .schema("account STRING, amount BIGINT, at TIMESTAMP")
        .option("maxFilesPerTrigger", 1)
        .json(&folder.path("movements"))
        .await?;
    let balances = movements.group_by([col("account")])?.agg([
        sum(col("amount")).alias("balance"),
        count_all().alias("movements"),
        min(col("amount")).alias("smallest"),
        max_by(col("amount"), col("at")).alias("latest"),
    ])?;
    let query = balances
        .write_stream()
        .query_name("balances")
        .output_mode(OutputMode::Update)
        .format("console")
        .option("checkpointLocation", folder.path("checkpoint"))
        .trigger(Trigger::AvailableNow)
        .start()
        .await?;
    Ok(query.await_termination().await?)
}
