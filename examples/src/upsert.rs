//! Exactly once into a database that knows nothing of streams: each batch is added in the transaction that notes its number.
//!
//! `cargo run -p examples -- upsert`. On the way the connection "breaks" right after a batch has been committed, before the
//! query hears of it. The query is started again, is given that batch again, and the database has it already.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use millstream::prelude::*;
use rusqlite::Connection;

use crate::Result;
use crate::arguments::Folder;

const CLICKS: [&str; 4] = [
    include_str!("../data/clicks/001.json"),
    include_str!("../data/clicks/002.json"),
    include_str!("../data/clicks/003.json"),
    include_str!("../data/clicks/004.json"),
];

pub(crate) async fn run() -> Result<()> {
    let folder = Folder::of_arguments()?;
    folder.write_files("clicks", CLICKS)?;
    let views = Arc::new(Views::open(&folder.path("views.sqlite"))?);

    let session = StreamSession::builder().app_name("upsert").build().await?;
    let start = || async {
        let clicks = session
            .read_stream()
            .schema("user_id STRING, page STRING, at TIMESTAMP, ms BIGINT")
            .option("maxFilesPerTrigger", 1)
            .json(&folder.path("clicks"))
            .await?;
        let views = Arc::clone(&views);
        let query = clicks
            .write_stream()
            .query_name("views")
            .foreach_batch(move |batch, batch_id| add_batch(Arc::clone(&views), batch, batch_id))
            .option("checkpointLocation", folder.path("checkpoint"))
            .trigger(Trigger::AvailableNow)
            .start()
            .await?;
        query.await_termination().await
    };
    if let Err(error) = start().await {
        eprintln!("the query failed: {}\n--- started again", error.message());
        start().await?;
    }
    views.print()
}

/// Adds the views in a batch to those in the database.
async fn add_batch(views: Arc<Views>, batch: DataFrame, batch_id: u64) -> Result<()> {
    let counts =
        batch.group_by([col("page")])?.agg([count_all().alias("views"), max(col("ms")).alias("slowest_ms")])?;
    let counts = counts.collect().await?;
    let mut rows = Vec::new();
    for row in Row::all(&counts) {
        rows.push((row.get_as("page")?, row.get_as("views")?, row.get_as("slowest_ms")?));
    }
    tokio::task::spawn_blocking(move || views.add(batch_id, &rows)).await?
}

/// The table in SQLite.
struct Views {
    database: Mutex<Connection>,
    will_break: AtomicBool,
}

impl Views {
    fn open(path: &str) -> Result<Self> {
        let database = Connection::open(path)?;
        database.execute_batch(
            "CREATE TABLE IF NOT EXISTS views (page TEXT PRIMARY KEY, views INTEGER, slowest_ms INTEGER);
             CREATE TABLE IF NOT EXISTS batches (id INTEGER PRIMARY KEY);",
        )?;
        Ok(Self { database: Mutex::new(database), will_break: AtomicBool::new(true) })
    }

    /// Adds the counts of a batch, unless it has been added before.
    fn add(&self, batch_id: u64, rows: &[(String, i64, i64)]) -> Result<()> {
        let mut database = self.database.lock().unwrap_or_else(PoisonError::into_inner);
        let transaction = database.transaction()?;
        if transaction.execute("INSERT OR IGNORE INTO batches VALUES (?)", [batch_id.cast_signed()])? == 0 {
            eprintln!("batch {batch_id} is there already");
            return Ok(());
        }
        for (page, views, slowest_ms) in rows {
            transaction.execute(
                "INSERT INTO views VALUES (?, ?, ?) ON CONFLICT (page) DO UPDATE
                 SET views = views + excluded.views, slowest_ms = max(slowest_ms, excluded.slowest_ms)",
                (page, views, slowest_ms),
            )?;
        }
        transaction.commit()?;
        eprintln!("batch {batch_id} is added");
        match batch_id == 2 && self.will_break.swap(false, Ordering::Relaxed) {
            true => Err("the connection broke, right after the commit".into()),
            false => Ok(()),
        }
    }

    #[expect(clippy::print_stdout, reason = "the result is what an example is for")]
    fn print(&self) -> Result<()> {
        let database = self.database.lock().unwrap_or_else(PoisonError::into_inner);
        let mut rows = database.prepare("SELECT page, views, slowest_ms FROM views ORDER BY views DESC, page")?;
        let mut rows = rows.query(())?;
        println!("{:<10} {:>5} {:>10}", "page", "views", "slowest_ms");
        while let Some(row) = rows.next()? {
            let (page, views, slowest_ms): (String, i64, i64) = (row.get(0)?, row.get(1)?, row.get(2)?);
            println!("{page:<10} {views:>5} {slowest_ms:>10}");
        }
        Ok(())
    }
}
