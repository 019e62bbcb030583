//! A stream of orders, each with what a table knows of its customer.
//!
//! `cargo run -p examples -- enrichment`. The table is read once and kept; with the option `staticRefresh` it is read again,
//! for every batch or every so often.

use std::fs;

use millstream::prelude::*;

use crate::Result;
use crate::arguments::Folder;

const CUSTOMERS: &str = "\
id,name,country
1,Ada,UK
2,Grace,US
3,Linus,FI
4,Margaret,US
";

const ORDERS: [&str; 3] = [
    r#"{"order": 101, "customer": 2, "cents": 1250}
{"order": 102, "customer": 1, "cents":  399}
{"order": 103, "customer": 4, "cents": 8900}
"#,
    r#"{"order": 104, "customer": 9, "cents":  700}
{"order": 105, "customer": 3, "cents": 2300}
"#,
    r#"{"order": 106, "customer": 2, "cents": 4100}
"#,
];

pub(crate) async fn run() -> Result<()> {
    let folder = Folder::of_arguments()?;
    folder.write_files("orders", ORDERS)?;
    fs::write(folder.path("customers.csv"), CUSTOMERS)?;

    let session = StreamSession::builder().app_name("enrichment").build().await?;
    let customers = session
        .read()
        .schema("id BIGINT, name STRING, country STRING")
        .option("header", true)
        .csv(&folder.path("customers.csv"))
        .await?
        .with_column_renamed("id", "customer")?;
    let orders = session
        .read_stream()
        .schema("`order` BIGINT, customer BIGINT, cents BIGINT")
        .option("maxFilesPerTrigger", 1)
        .json(&folder.path("orders"))
        .await?;
    // Left outer: orders of customers that nobody knows are kept.
    let enriched = orders.join(&customers, ["customer"], JoinType::Left)?.select_expr([
        "order",
        "coalesce(name, 'unknown') AS name",
        "country",
        "cents / 100 AS amount",
    ])?;
    let query =
        enriched.write_stream().query_name("enriched").format("console").trigger(Trigger::AvailableNow).start().await?;
    Ok(query.await_termination().await?)
}
