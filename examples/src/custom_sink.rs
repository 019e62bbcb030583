//! A sink of your own: a table in SQLite. Registered once, it is used like any other: `USING sqlite` in SQL, or
//! `format("sqlite")`.
//!
//! `cargo run -p examples -- custom_sink --folder /tmp/sink`, then `sqlite3 /tmp/sink/out.sqlite`. A batch is written in one
//! transaction that also notes its number. A batch that comes again after a crash is then known, and skipped.

use std::sync::{Arc, Mutex, PoisonError};

use millstream::datafusion::arrow::datatypes::DataType;
use millstream::prelude::*;
use millstream::sink::{BatchRows, Delivery, Sink, SinkContext, SinkProvider, SinkSpec};
use millstream::{FromCell, Result, async_trait};
use rusqlite::Connection;
use rusqlite::types::Value;

use crate::arguments::Folder;

const ORDERS: [&str; 3] = [
    r#"{"order": 1, "item": "flour", "quantity": 20, "price": 3.50, "at": "2026-03-02T09:00:00Z"}
{"order": 2, "item": "bread", "quantity": 1, "price": 4.25, "at": "2026-03-02T09:05:00Z"}
"#,
    r#"{"order": 3, "item": "millstone", "quantity": 1, "price": 899.0, "at": "2026-03-02T10:00:00Z"}
{"order": 4, "item": null, "quantity": 30, "price": 3.25, "at": "2026-03-02T10:30:00Z"}
"#,
    r#"{"order": 5, "item": "bread", "quantity": 12, "price": 4.00, "at": "2026-03-02T11:00:00Z"}
{"order": 6, "item": "flour", "quantity": 15, "price": 3.50, "at": "2026-03-02T11:10:00Z"}
"#,
];

pub(crate) async fn run() -> crate::Result<()> {
    let folder = Folder::of_arguments()?;
    folder.write_files("orders", ORDERS)?;
    let (orders, database, checkpoint) = (folder.path("orders"), folder.path("out.sqlite"), folder.path("checkpoint"));

    let session = StreamSession::builder_with(|connectors| connectors.add_sink(Arc::new(SqliteProvider)));
    let session = session.app_name("custom_sink").build().await?;
    session
        .sql(&format!(
            "CREATE TABLE orders (`order` BIGINT, item STRING, quantity INT, price DOUBLE, at TIMESTAMP)
             USING json OPTIONS (path '{orders}', maxFilesPerTrigger '1');

             CREATE STREAMING TABLE large_orders
             USING sqlite OPTIONS (path '{database}', table 'large_orders', checkpointLocation '{checkpoint}', trigger 'availableNow')
             AS SELECT `order`, item, quantity * price AS total, date_format(at, 'HH:mm') AS at FROM STREAM orders WHERE quantity * price > 48;

             AWAIT STREAM large_orders;"
        ))
        .await?;
    print(&Connection::open(database)?)
}

#[expect(clippy::print_stdout, reason = "the result is what an example is for")]
fn print(database: &Connection) -> crate::Result<()> {
    let mut rows = database.prepare("SELECT \"order\", coalesce(item, '?'), total, at FROM large_orders ORDER BY 1")?;
    let mut rows = rows.query(())?;
    println!("{:<5} {:<10} {:>7} at", "order", "item", "total");
    while let Some(row) = rows.next()? {
        let (order, item, total, at): (i64, String, f64, String) = row.try_into()?;
        println!("{order:<5} {item:<10} {total:>7.2} {at}");
    }
    Ok(())
}

/// What is registered: checks options, opens the sink.
#[derive(Debug)]
struct SqliteProvider;

/// `path` and `table`.
fn path_and_table(spec: &SinkSpec) -> Result<(String, String)> {
    let mut reader = spec.options.reader("sqlite sink");
    let path = reader.required("path", "the database file")?;
    let table = reader.required("table", "the table, which is made where there is none")?;
    reader.finish()?;
    Ok((path, table))
}

#[async_trait]
impl SinkProvider for SqliteProvider {
    fn name(&self) -> &'static str {
        "sqlite"
    }

    fn check(&self, spec: &SinkSpec) -> Result<()> {
        path_and_table(spec)?;
        for field in spec.schema.fields() {
            let (name, data_type) = (field.name(), field.data_type());
            if !(data_type.is_integer() || data_type.is_floating() || *data_type == DataType::Utf8) {
                let why = format!("sqlite sink: column {name} is {data_type}: CAST it to BIGINT, DOUBLE or STRING");
                return Err(Error::unsupported(why));
            }
        }
        match spec.output_mode {
            OutputMode::Append => Ok(()),
            mode => {
                Err(Error::unsupported(format!("sqlite sink: rows are added; output mode {mode} would change them")))
            }
        }
    }

    async fn open(&self, spec: &SinkSpec, cx: SinkContext) -> Result<Arc<dyn Sink>> {
        let (path, table) = path_and_table(spec)?;
        let table = quoted(&table);
        let columns: Vec<String> = spec.schema.fields().iter().map(|field| quoted(field.name())).collect();
        let places = vec!["?"; columns.len()].join(", ");
        let insert = format!("INSERT INTO {table} VALUES ({places})");
        let database = Connection::open(&path).map_err(|error| failed(&path, &error))?;
        database
            .execute_batch(&format!(
                "CREATE TABLE IF NOT EXISTS {table} ({});
                 CREATE TABLE IF NOT EXISTS millstream_batches (query TEXT, batch INTEGER, PRIMARY KEY (query, batch));",
                columns.join(", ")
            ))
            .map_err(|error| failed(&path, &error))?;
        let database = Arc::new(Mutex::new(database));
        Ok(Arc::new(Sqlite { path, insert, query: cx.query_id.to_string(), database }))
    }
}

fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

fn failed(path: &str, error: &rusqlite::Error) -> Error {
    Error::unavailable(format!("sqlite sink: {path}: {error}"))
}

/// What lives beside a query. It is handed whole batches; a sink that writes in parallel has writers instead, see
/// [`Delivery`].
#[derive(Debug)]
struct Sqlite {
    path: String,
    insert: String,
    query: String,
    database: Arc<Mutex<Connection>>,
}

#[async_trait]
impl Sink for Sqlite {
    fn description(&self) -> String {
        format!("Sqlite[{}]", self.path)
    }

    fn delivery(&self) -> Delivery {
        Delivery::Rows
    }

    async fn accept(&self, batch: BatchRows) -> Result<()> {
        let (database, insert, query) = (Arc::clone(&self.database), self.insert.clone(), self.query.clone());
        // SQLite blocks its thread while it writes: not one of those that queries run on.
        let written = tokio::task::spawn_blocking(move || {
            let mut database = database.lock().unwrap_or_else(PoisonError::into_inner);
            write(&mut database, &insert, &query, batch)
        });
        let written = written.await.map_err(|error| Error::internal(format!("sqlite sink: {error}")))?;
        written.map_err(|error| Error::unavailable(format!("sqlite sink: {}: {error}", self.path)))
    }
}

/// Writes a batch, unless it is there.
fn write(database: &mut Connection, insert: &str, query: &str, batch: BatchRows) -> crate::Result<()> {
    let transaction = database.transaction()?;
    if transaction
        .execute("INSERT OR IGNORE INTO millstream_batches VALUES (?, ?)", (query, batch.batch_id.cast_signed()))?
        == 0
    {
        return Ok(());
    }
    let mut insert = transaction.prepare(insert)?;
    for row in Row::all(&batch.into_rows()) {
        let values = (0..row.len()).map(|column| Ok(value(&row.get(column)?))).collect::<Result<Vec<Value>>>()?;
        insert.execute(rusqlite::params_from_iter(values))?;
    }
    drop(insert);
    Ok(transaction.commit()?)
}

/// A value as SQLite keeps it.
fn value(cell: &ScalarValue) -> Value {
    let number = i64::from_cell(cell).map(Value::Integer).or_else(|| f64::from_cell(cell).map(Value::Real));
    number.or_else(|| String::from_cell(cell).map(Value::Text)).unwrap_or(Value::Null)
}
