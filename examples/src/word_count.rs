//! Words of the lines that a server sends, counted: since the start, and in windows by when they came.
//!
//! `cargo run -p examples -- word_count` brings a server that sends a poem. To type lines yourself, run `nc -lk 9999` in
//! another terminal and then `cargo run -p examples -- word_count localhost:9999`; add `--duration 1m` to end it by itself.

use std::time::Duration;

use millstream::prelude::*;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpListener;

use crate::{Result, arguments};

const POEM: &str = include_str!("../data/poem.txt");

pub(crate) async fn run() -> Result<()> {
    let (address, lines) = match arguments::first() {
        Some(address) => (address, None),
        None => (serve_poem().await?, Some(POEM.lines().count() as u64)),
    };
    let (host, port) = address.rsplit_once(':').ok_or_else(|| format!("'{address}' is not HOST:PORT"))?;

    let session = StreamSession::builder().app_name("word_count").build().await?;
    let lines_in = session.read_stream().format("socket").option("host", host).option("port", port);
    let words = lines_in
        .option("includeTimestamp", true)
        .load_options()
        .await?
        .select_expr(["explode(split(trim(value), ' +')) AS word", "timestamp"])?;

    // Since the start: the whole table after every batch, on the console.
    let running = words.group_by([col("word")])?.count()?;
    let running = running.write_stream().query_name("running").output_mode(OutputMode::Complete).format("console");
    let running = running.start().await?;

    // Ten seconds, a new window every five: into a table that SQL asks.
    let windowed = words.group_by([window(col("timestamp"), "10 seconds").slide("5 seconds").into(), col("word")])?;
    let windowed = windowed.count()?.write_stream().query_name("windowed").output_mode(OutputMode::Complete);
    let windowed = windowed.format("memory").start().await?;

    match lines {
        Some(lines) => {
            until_read(&running, lines).await?;
            until_read(&windowed, lines).await?;
        }
        None => drop(session.streams().await_any_termination_for(arguments::duration()?.min(FOREVER)).await?),
    }
    session.streams().stop_all().await?;
    let busiest = "SELECT window.start, window.end, word, count FROM windowed ORDER BY count DESC, word, start LIMIT 6";
    session.sql(busiest).await?.show().await?;
    Ok(())
}

/// A year: as long as a timer can wait.
const FOREVER: Duration = Duration::from_secs(365 * 86_400);

/// Sends the poem to everybody who connects; the address to connect to.
async fn serve_poem() -> Result<String> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?.to_string();
    tokio::spawn(async move {
        let mut connections = Vec::new();
        while let Ok((mut connection, _)) = listener.accept().await {
            if connection.write_all(POEM.as_bytes()).await.is_ok() {
                // Kept open, as a server that has more to say would.
                connections.push(connection);
            }
        }
    });
    Ok(address)
}

/// Waits until the query has read so many lines.
async fn until_read(query: &StreamingQuery, lines: u64) -> Result<()> {
    while query.recent_progress().iter().map(|progress| progress.num_input_rows).sum::<u64>() < lines {
        query.process_all_available().await?;
    }
    Ok(())
}
