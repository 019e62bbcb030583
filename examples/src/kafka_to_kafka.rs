//! Clicks of one Kafka topic, counted by window and page, into another topic; then that topic as a table. With
//! `--bootstrap-servers HOST:PORT` on a broker of yours; without it, on one that is started in this process.

use millstream::Error;
use millstream::prelude::*;

use crate::arguments::Folder;
use crate::broker::Broker;

pub(crate) async fn run() -> crate::Result<()> {
    let folder = Folder::of_arguments()?;
    let broker = Broker::of_arguments(&[("millstream-clicks", 2), ("millstream-counts", 1)]).await?;
    let lines = std::fs::read_to_string("examples/data/clicks/002.json").map_err(|e| {
        Error::invalid(format!("examples/data/clicks/002.json: {e}; run this from the repository's root"))
    })?;
    broker.send_lines("millstream-clicks", &lines)?;

    let session = StreamSession::builder().app_name("kafka_to_kafka").build().await?;
    let servers = &broker.servers;
    let checkpoint = folder.path("checkpoint");
    session
        .sql(&format!(
            "CREATE TABLE clicks USING kafka OPTIONS ('kafka.bootstrap.servers' '{servers}', subscribe 'millstream-clicks',
                startingOffsets 'earliest');
             CREATE TABLE counts USING kafka OPTIONS ('kafka.bootstrap.servers' '{servers}', subscribe 'millstream-counts');
             CREATE STREAMING TABLE counting
             USING kafka OPTIONS ('kafka.bootstrap.servers' '{servers}', topic 'millstream-counts', outputMode 'update',
                trigger 'availableNow', checkpointLocation '{checkpoint}')
             AS SELECT c.page AS key, to_json(struct(window.start AS start, c.page AS page, count(*) AS clicks)) AS value
                FROM (SELECT from_json(CAST(value AS STRING), 'page STRING, at TIMESTAMP') AS c FROM STREAM clicks)
                GROUP BY window(c.at, '1 minute'), c.page;
             AWAIT STREAM counting;"
        ))
        .await?;
    session
        .sql(
            "SELECT v.start, v.page, v.clicks
             FROM (SELECT from_json(CAST(value AS STRING), 'start TIMESTAMP, page STRING, clicks BIGINT') AS v FROM counts)
             ORDER BY v.start, v.page",
        )
        .await?
        .show()
        .await?;
    Ok(())
}
