//! `CREATE TABLE`: connector and options are checked at once; whether the table is read as a stream or as a batch, or
//! written, is up to the queries.

use std::sync::{Arc, Mutex};

use millstream_engine::options::Options;
use millstream_engine::sink::SinkSpec;
use millstream_engine::{Error, Result};

use super::{Outcome, plain_name};
use crate::catalog::{Entry, Table};
use crate::dialect::CreateTable;
use crate::reader::parse_columns;
use crate::session::StreamSession;
use crate::writer::split_options;

pub(super) async fn create_table(session: &StreamSession, create: &CreateTable) -> Result<Outcome> {
    let name = plain_name(&create.name)?;
    if let Some(known) = session.catalog().get(name) {
        if create.if_not_exists {
            return Ok(Outcome::Done);
        }
        return Err(Error::invalid(format!(
            "[TABLE_OR_VIEW_ALREADY_EXISTS] {} exists already: choose another name, drop it first, or write CREATE TABLE IF NOT EXISTS",
            known.name()
        )));
    }
    let table = table(session, create)?;
    check(session, &table).await?;
    session.catalog().put(Entry::Table(Arc::new(table)));
    Ok(Outcome::Done)
}

/// The table that `create` declares.
pub(super) fn table(session: &StreamSession, create: &CreateTable) -> Result<Table> {
    let mut options: Options = create.options.iter().cloned().collect();
    let writer_options = split_options(&mut options)?;
    let default = || session.conf().get("spark.sql.sources.default");
    let connector = create.connector.clone().or_else(default).unwrap_or_default().to_lowercase();
    let columns = create.columns.as_deref().map(parse_columns).transpose()?;
    let is_in_memory = connector == "memory" && options.get("id").is_none();
    Ok(Table {
        name: plain_name(&create.name)?.to_string(),
        connector,
        options,
        writer_options,
        columns,
        partition_by: create.partitioned_by.clone(),
        is_result: false,
        rows: is_in_memory.then(|| Arc::new(Mutex::new(Vec::new()))),
    })
}

/// Refuses what can be neither read nor written.
async fn check(session: &StreamSession, table: &Table) -> Result<()> {
    let registry = session.registry();
    let (can_read, can_write) = (registry.has_source(&table.connector), registry.has_sink(&table.connector));
    if !can_read && !can_write {
        return registry.source(&table.connector).map(|_| ());
    }
    check_partition_columns(table)?;
    if table.rows.is_some() {
        return table.options.reader(format!("memory table {}", table.name)).finish();
    }
    let written = match can_write {
        true => check_as_sink(session, table),
        false => Err(Error::unsupported("it cannot be written")),
    };
    if !can_read {
        return written;
    }
    let conf = session.conf();
    if table.schema(registry, &conf, true).await.is_ok() || written.is_ok() {
        return Ok(());
    }
    // Read as a batch a table needs the least: what is wrong then is wrong in any case.
    table.schema(registry, &conf, false).await.map(|_| ())
}

/// Checks the table as something a query may write into, where its columns are known.
fn check_as_sink(session: &StreamSession, table: &Table) -> Result<()> {
    let provider = session.registry().sink(&table.connector)?;
    let Some(schema) = table.columns.clone() else {
        if provider.takes_any_columns(&table.options)? {
            return Ok(());
        }
        return Err(Error::invalid(format!("table {} has no columns: declare them", table.name)));
    };
    let spec = SinkSpec {
        connector: table.connector.clone(),
        options: table.options.clone(),
        schema,
        partition_by: table.partition_by.clone(),
        output_mode: Default::default(),
        query_name: Some(table.name.clone()),
    };
    provider.check(&spec)
}

fn check_partition_columns(table: &Table) -> Result<()> {
    let Some(columns) = &table.columns else { return Ok(()) };
    for name in &table.partition_by {
        if !columns.fields().iter().any(|field| field.name().eq_ignore_ascii_case(name)) {
            let names: Vec<&str> = columns.fields().iter().map(|field| field.name().as_str()).collect();
            return Err(Error::invalid(format!(
                "PARTITIONED BY ({name}): table {} has no such column; there are {}",
                table.name,
                names.join(", ")
            )));
        }
    }
    Ok(())
}
