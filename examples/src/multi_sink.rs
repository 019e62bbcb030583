//! Every batch into three places: Parquet files, a table in SQLite and metrics. It is computed once for all of them.
//!
//! `cargo run -p examples -- multi_sink --folder /tmp/orders`; then look at what is in the folder. A batch that a crash
//! interrupted comes again: each place is written so that this changes nothing.

use std::collections::BTreeMap;
use std::fs;
use std::sync::{Arc, Mutex, PoisonError};

use millstream::datafusion::arrow::array::RecordBatch;
use millstream::prelude::*;
use rusqlite::Connection;

use crate::Result;
use crate::arguments::Folder;

const ORDERS: [&str; 3] = [
    r#"{"order": 1, "country": "FI", "item": "flour", "quantity": 2, "price": 3.50}
{"order": 2, "country": "UK", "item": "bread", "quantity": 1, "price": 4.25}
{"order": 3, "country": "FI", "item": "bread", "quantity": 3, "price": 4.25}
"#,
    r#"{"order": 4, "country": "US", "item": "flour", "quantity": 10, "price": 3.25}
{"order": 5, "country": "UK", "item": "millstone", "quantity": 1, "price": 899.00}
"#,
    r#"{"order": 6, "country": "US", "item": "bread", "quantity": 2, "price": 4.00}
{"order": 7, "country": "FI", "item": "flour", "quantity": 1, "price": 3.50}
{"order": 8, "country": "US", "item": "flour", "quantity": 4, "price": 3.25}
"#,
];

pub(crate) async fn run() -> Result<()> {
    let folder = Folder::of_arguments()?;
    folder.write_files("orders", ORDERS)?;
    let places = Arc::new(Places::open(&folder)?);

    let session = StreamSession::builder().app_name("multi_sink").build().await?;
    let orders = session
        .read_stream()
        .schema("`order` BIGINT, country STRING, item STRING, quantity INT, price DOUBLE")
        .option("maxFilesPerTrigger", 1)
        .json(&folder.path("orders"))
        .await?;
    let writing = Arc::clone(&places);
    let query = orders
        .write_stream()
        .query_name("orders")
        .foreach_batch(move |batch, batch_id| write_everywhere(Arc::clone(&writing), batch, batch_id))
        .option("checkpointLocation", folder.path("checkpoint"))
        .trigger(Trigger::AvailableNow)
        .start()
        .await?;
    query.await_termination().await?;

    for (batch_id, metrics) in &*places.metrics.lock().unwrap_or_else(PoisonError::into_inner) {
        eprintln!("batch {batch_id}: {} orders worth {:.2}", metrics.orders, metrics.revenue);
    }
    let lake = session.read().parquet(&folder.path("lake")).await?;
    let by_country =
        lake.group_by([col("country")])?.agg([count_all().alias("orders"), sum(col("total")).alias("revenue")])?;
    by_country.order_by([col("country").sort(true, false)])?.show().await?;
    Ok(())
}

/// Where batches go.
struct Places {
    lake: String,
    database: Mutex<Connection>,
    metrics: Mutex<BTreeMap<u64, Metrics>>,
}

/// What there is to say of a batch.
struct Metrics {
    orders: u64,
    revenue: f64,
}

impl Places {
    fn open(folder: &Folder) -> Result<Self> {
        let database = Connection::open(folder.path("orders.sqlite"))?;
        database.execute_batch(
            "CREATE TABLE IF NOT EXISTS orders (id INTEGER PRIMARY KEY, country TEXT, item TEXT, total REAL)",
        )?;
        Ok(Self { lake: folder.path("lake"), database: Mutex::new(database), metrics: Mutex::default() })
    }

    fn upsert(&self, rows: Vec<RecordBatch>) -> Result<()> {
        let mut database = self.database.lock().unwrap_or_else(PoisonError::into_inner);
        let transaction = database.transaction()?;
        let mut upsert = transaction.prepare("INSERT OR REPLACE INTO orders VALUES (?, ?, ?, ?)")?;
        for row in Row::all(&rows) {
            let (id, country): (i64, String) = (row.get_as("order")?, row.get_as("country")?);
            upsert.execute((id, country, row.get_as::<String>("item")?, row.get_as::<f64>("total")?))?;
        }
        drop(upsert);
        Ok(transaction.commit()?)
    }
}

async fn write_everywhere(places: Arc<Places>, batch: DataFrame, batch_id: u64) -> Result<()> {
    // Computed here; what follows reads the rows from memory.
    let orders = batch.with_column("total", col("quantity") * col("price"))?.cache().await?;

    // Files: a folder for each batch, so that one that comes again replaces what it wrote before.
    let lake = format!("{}/batch_id={batch_id}", places.lake);
    if fs::exists(&lake)? {
        fs::remove_dir_all(&lake)?;
    }
    orders.write().format("parquet").partition_by(["country"]).save(&lake).await?;

    // A table: by key, in one transaction. SQLite blocks its thread while it writes.
    let rows = orders.collect().await?;
    let database = Arc::clone(&places);
    tokio::task::spawn_blocking(move || database.upsert(rows)).await??;

    // Metrics: by batch.
    let totals = orders.group_by([])?.agg([count_all().alias("orders"), sum(col("total")).alias("revenue")])?;
    for row in Row::all(&totals.collect().await?) {
        let revenue = row.get_as::<Option<f64>>("revenue")?.unwrap_or_default();
        let metrics = Metrics { orders: row.get_as::<i64>("orders")?.unsigned_abs(), revenue };
        places.metrics.lock().unwrap_or_else(PoisonError::into_inner).insert(batch_id, metrics);
    }
    Ok(())
}
