//! JSON messages of a Kafka topic, decoded, to the console. With `--bootstrap-servers HOST:PORT` from a broker of yours;
//! without it, from one that is started in this process.

use millstream::prelude::*;
use millstream::{Error, Result};

use crate::broker::Broker;

const CLICK: &str = "user_id STRING, page STRING, at TIMESTAMP, ms BIGINT";

pub(crate) async fn run() -> Result<()> {
    let broker = Broker::of_arguments(&[("millstream-clicks", 2)]).await?;
    let lines = std::fs::read_to_string("examples/data/clicks/001.json").map_err(|e| {
        Error::invalid(format!("examples/data/clicks/001.json: {e}; run this from the repository's root"))
    })?;
    broker.send_lines("millstream-clicks", &lines)?;

    let session = StreamSession::builder().app_name("kafka_to_console").build().await?;
    let messages = session
        .read_stream()
        .format("kafka")
        .option("kafka.bootstrap.servers", &broker.servers)
        .option("subscribe", "millstream-clicks")
        .option("startingOffsets", "earliest")
        .option("maxOffsetsPerTrigger", 5)
        .load_options()
        .await?;
    let query = messages
        .select_expr([
            "partition".to_string(),
            "offset".to_string(),
            format!("from_json(CAST(value AS STRING), '{CLICK}') AS click"),
        ])?
        .select_expr(["partition", "offset", "click.user_id", "click.page", "click.ms / 1000 AS seconds"])?
        .write_stream()
        .query_name("kafka_clicks")
        .format("console")
        .trigger(Trigger::AvailableNow)
        .start()
        .await?;
    query.await_termination().await?;
    let lag = query.last_progress().and_then(|progress| progress.sources[0].offsets_behind_latest.clone());
    eprintln!("behind the newest messages, by partition: {}", lag.unwrap_or_default());
    Ok(())
}
