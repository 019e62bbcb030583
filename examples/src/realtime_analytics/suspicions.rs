//! Suspicions in SQLite: upserted by window and user, each batch once.
//!
//! A batch whose commit is lost in a crash is given again. Its number is written in the transaction that writes its rows, so
//! that the second time is noticed. Database and checkpoint belong together: to start anew, delete both.

use std::path::Path;
use std::sync::{Arc, Mutex};

use millstream::prelude::*;
use millstream::{Error, Result};
use rusqlite::{Connection, params};
use serde::Deserialize;

use super::board::{Board, rows_as};

/// A user's payments of a minute.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Suspicion {
    /// When the minute begins, ISO-8601.
    pub(crate) window_start: String,
    /// Who.
    pub(crate) user_id: String,
    /// How many payments.
    pub(crate) payments: i64,
    /// Their sum.
    pub(crate) total: f64,
    /// To how many merchants.
    pub(crate) merchants: i64,
    /// By which means.
    pub(crate) methods: Vec<String>,
    /// From 0 to 100.
    pub(crate) score: i64,
}

const TABLES: &str = "
    CREATE TABLE IF NOT EXISTS fraud (
        window_start TEXT, user_id TEXT, payments INTEGER, total REAL, merchants INTEGER, methods TEXT, score INTEGER,
        PRIMARY KEY (window_start, user_id));
    CREATE TABLE IF NOT EXISTS last_batch (only INTEGER PRIMARY KEY CHECK (only = 1), batch_id INTEGER);";

const UPSERT: &str = "
    INSERT INTO fraud VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)
    ON CONFLICT (window_start, user_id) DO UPDATE SET
        payments = excluded.payments, total = excluded.total, merchants = excluded.merchants,
        methods = excluded.methods, score = excluded.score";

/// The database.
#[derive(Clone)]
pub(crate) struct Suspicions {
    connection: Arc<Mutex<Connection>>,
    board: Arc<Board>,
}

impl Suspicions {
    /// The database at `path`, made where there is none.
    pub(crate) fn open(path: &Path, board: Arc<Board>) -> Result<Self> {
        let open = || {
            let connection = Connection::open(path)?;
            connection.pragma_update(None, "journal_mode", "WAL")?;
            connection.execute_batch(TABLES)?;
            Ok(connection)
        };
        let connection = open().map_err(|e: rusqlite::Error| Error::unavailable(format!("{}: {e}", path.display())))?;
        Ok(Self { connection: Arc::new(Mutex::new(connection)), board })
    }

    /// Writes a batch, unless it is in the database already, and raises an alert for each of its rows.
    pub(crate) async fn upsert(self, rows: DataFrame, batch_id: u64) -> Result<()> {
        let suspicions: Vec<Suspicion> = rows_as(&rows).await?;
        let Self { connection, board } = self;
        // SQLite blocks: it gets a thread where that hurts nobody.
        let written = tokio::task::spawn_blocking(move || {
            let mut connection = connection.lock().map_err(|e| Error::internal(e.to_string()))?;
            let is_new = write(&mut connection, &suspicions, batch_id)
                .map_err(|e| Error::unavailable(format!("SQLite, batch {batch_id}: {e}")))?;
            Ok::<_, Error>(if is_new { suspicions } else { Vec::new() })
        });
        let new = written.await.map_err(|e| Error::internal(e.to_string()))??;
        board.raise_alerts(new);
        Ok(())
    }
}

/// All of the batch, or nothing; false where it was written before.
fn write(connection: &mut Connection, suspicions: &[Suspicion], batch_id: u64) -> rusqlite::Result<bool> {
    let batch_id = i64::try_from(batch_id).unwrap_or(i64::MAX);
    let transaction = connection.transaction()?;
    let advanced = transaction.execute(
        "INSERT INTO last_batch VALUES (1, ?1)
         ON CONFLICT (only) DO UPDATE SET batch_id = excluded.batch_id WHERE excluded.batch_id > batch_id",
        [batch_id],
    )?;
    if advanced == 0 {
        return Ok(false);
    }
    {
        let mut upsert = transaction.prepare(UPSERT)?;
        for s in suspicions {
            let methods = s.methods.join(",");
            upsert.execute(params![s.window_start, s.user_id, s.payments, s.total, s.merchants, methods, s.score])?;
        }
    }
    transaction.commit()?;
    Ok(true)
}
