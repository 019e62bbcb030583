//! SQL's statements, one file each: what executing one does, and what it answers.

mod await_stream;
mod create_streaming_table;
mod create_table;
mod create_view;
mod describe;
mod drop;
mod explain;
pub(crate) mod insert;
mod select;
mod set;
mod show;
mod stop_stream;

use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::catalog::MemTable;
use datafusion::datasource::provider_as_source;
use datafusion::logical_expr::LogicalPlanBuilder;
use millstream_engine::query::StreamingQuery;
use millstream_engine::{Error, Result};

use crate::dataframe::DataFrame;
use crate::dialect::{Name, Statement};
use crate::session::StreamSession;

/// Every statement: how it is written, and what it is for. What executes it is found in `execute`.
pub const STATEMENTS: &[(&str, &str)] = &[
    (
        "CREATE TABLE t (k STRING, …) USING connector [PARTITIONED BY (k)] OPTIONS (path '…', …)",
        "declare a connector's table",
    ),
    ("CREATE [OR REPLACE] [TEMPORARY] VIEW v AS SELECT …", "name a query, over streams too"),
    ("CREATE STREAMING TABLE t USING connector OPTIONS (…) AS SELECT … FROM STREAM s …", "start a streaming query"),
    ("INSERT INTO t SELECT … | VALUES …", "start a streaming query into a declared table, or add rows to it"),
    ("SELECT … | WITH … | VALUES …", "run a batch query"),
    ("SHOW STREAMS | TABLES", "list the streaming queries, or tables and views"),
    ("DESCRIBE t | STREAM q", "the columns of a table, or what a query is doing"),
    ("STOP STREAM q", "stop a query; nothing is lost"),
    ("AWAIT STREAM q ['10 seconds']", "wait until a query has ended"),
    ("EXPLAIN [EXTENDED | STREAM] SELECT …", "show how a query would run"),
    ("SET [key [= value]]", "change or show the configuration"),
    ("RESET [key]", "take back what SET did"),
    ("DROP TABLE | VIEW | STREAM [IF EXISTS] name", "forget a table or view, or stop and forget a query"),
];

/// What a statement answered.
#[derive(Debug)]
pub enum Outcome {
    /// Done; there is nothing to show.
    Done,
    /// A streaming query was started.
    Started(Arc<StreamingQuery>),
    /// A query, not yet run: batch, or over a stream.
    Query(DataFrame),
    /// Rows that are there.
    Rows(SchemaRef, Vec<RecordBatch>),
    /// Text to be shown as it is.
    Text(String),
}

/// Executes a statement.
pub(crate) async fn execute(session: &StreamSession, statement: &Statement) -> Result<Outcome> {
    match statement {
        Statement::CreateTable(table) => create_table::create_table(session, table).await,
        Statement::CreateView(view) => create_view::create_view(session, view).await,
        Statement::CreateStreamingTable { table, query } => {
            create_streaming_table::create_streaming_table(session, table, query).await
        }
        Statement::Insert { table, columns, query } => insert::insert(session, table, columns, query).await,
        Statement::Query(query) => select::select(session, query).await,
        Statement::ShowStreams => show::show_streams(session),
        Statement::ShowTables => show::show_tables(session),
        Statement::DescribeTable(name) => describe::describe_table(session, name).await,
        Statement::DescribeStream(name) => describe::describe_stream(session, name),
        Statement::StopStream(name) => stop_stream::stop_stream(session, name).await,
        Statement::AwaitStream { name, timeout } => await_stream::await_stream(session, name, timeout.as_deref()).await,
        Statement::Explain { extended, stream, query } => explain::explain(session, *extended, *stream, query).await,
        Statement::Set { key, value } => set::set(session, key.as_deref(), value.as_deref()),
        Statement::Reset { key } => set::reset(session, key.as_deref()),
        Statement::Drop { kind, if_exists, name } => drop::drop_object(session, *kind, *if_exists, name).await,
    }
}

/// An outcome as a frame.
pub(crate) fn outcome_frame(session: &StreamSession, outcome: Outcome) -> Result<DataFrame> {
    let (schema, rows) = match outcome {
        Outcome::Query(frame) => return Ok(frame),
        Outcome::Rows(schema, rows) => (schema, rows),
        Outcome::Text(text) => text_rows(&["plan"], text.lines().map(|line| vec![Some(line.to_string())]).collect())?,
        Outcome::Done | Outcome::Started(_) => (Arc::new(Schema::empty()), Vec::new()),
    };
    let table = MemTable::try_new(schema, vec![rows])?;
    let plan = LogicalPlanBuilder::scan("result", provider_as_source(Arc::new(table)), None)?.build()?;
    Ok(DataFrame::new(session.clone(), plan))
}

/// Rows of strings under `names`.
fn text_rows(names: &[&str], rows: Vec<Vec<Option<String>>>) -> Result<(SchemaRef, Vec<RecordBatch>)> {
    let fields: Vec<Field> = names.iter().map(|name| Field::new(*name, DataType::Utf8, true)).collect();
    let schema = Arc::new(Schema::new(fields));
    let columns = (0..names.len()).map(|column| {
        Arc::new(StringArray::from_iter(rows.iter().map(|row| row.get(column).cloned().flatten()))) as ArrayRef
    });
    let batch = RecordBatch::try_new(Arc::clone(&schema), columns.collect())
        .map_err(|e| Error::internal(format!("rows of text do not fit together: {e}")))?;
    Ok((schema, vec![batch]))
}

/// The plain name of a table, view or stream; the one schema there is may stand before it.
fn plain_name(name: &Name) -> Result<&str> {
    let is = |part: &str, known: &str| part.eq_ignore_ascii_case(known);
    match name.parts.as_slice() {
        [table] => Ok(table),
        [schema, table] if is(schema, crate::catalog::SCHEMA) => Ok(table),
        [catalog, schema, table] if is(catalog, crate::catalog::CATALOG) && is(schema, crate::catalog::SCHEMA) => {
            Ok(table)
        }
        _ => Err(Error::invalid(format!(
            "there is no schema for {name}: names have one part, or stand in the schema {}",
            crate::catalog::SCHEMA
        ))),
    }
}
