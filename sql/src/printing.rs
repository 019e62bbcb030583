//! How the rows of a batch query are printed: Spark's boxed table, JSON lines, CSV.

use std::str::FromStr;
use std::sync::Arc;

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::{DataType, SchemaRef};
use datafusion::common::DFSchema;
use datafusion::logical_expr::Expr;
use millstream_engine::{Error, Result};
use millstream_formats::json::write_console_json;
use millstream_formats::text_table::text_table;

use crate::expressions::Semantics;
use crate::session::StreamSession;

/// How rows are printed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PrintFormat {
    /// A boxed table, all rows.
    #[default]
    Table,
    /// One JSON object a row; timestamps as the console sink's JSON has them.
    Json,
    /// CSV with a header.
    Csv,
}

impl FromStr for PrintFormat {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.to_lowercase().as_str() {
            "table" => Ok(Self::Table),
            "json" => Ok(Self::Json),
            "csv" => Ok(Self::Csv),
            _ => Err(format!("'{text}' is no format: use table, json or csv")),
        }
    }
}

/// The text of `rows`.
///
/// # Errors
/// `Unsupported` for a type that cannot be printed.
pub fn print(
    session: &StreamSession,
    schema: &SchemaRef,
    rows: &[RecordBatch],
    format: PrintFormat,
) -> Result<Vec<u8>> {
    match format {
        PrintFormat::Table => show(session, schema, rows, usize::MAX, 0).map(String::into_bytes),
        PrintFormat::Json => json_lines(rows),
        PrintFormat::Csv => csv(session, schema, rows),
    }
}

/// Spark's `show()`: at most `rows_max` rows, and a line where there are more.
pub(crate) fn show(
    session: &StreamSession,
    schema: &SchemaRef,
    rows: &[RecordBatch],
    rows_max: usize,
    cell_max: usize,
) -> Result<String> {
    let names: Vec<String> = schema.fields().iter().map(|field| field.name().clone()).collect();
    let mut cells = cells(session, schema, rows)?;
    let has_more = cells.len() > rows_max;
    cells.truncate(rows_max);
    let lines =
        cells.into_iter().map(|row| row.into_iter().map(|cell| cell.unwrap_or_else(|| "NULL".to_string())).collect());
    let mut text = text_table(names, lines.collect(), cell_max);
    if has_more {
        let noun = if rows_max == 1 { "row" } else { "rows" };
        text.push_str(&format!("only showing top {rows_max} {noun}\n"));
    }
    Ok(text)
}

fn json_lines(rows: &[RecordBatch]) -> Result<Vec<u8>> {
    let mut text = Vec::new();
    for batch in rows.iter().filter(|batch| batch.num_rows() > 0) {
        write_console_json(batch, "\n", &mut text).map_err(|e| Error::unsupported(e.to_string()))?;
        text.push(b'\n');
    }
    Ok(text)
}

fn csv(session: &StreamSession, schema: &SchemaRef, rows: &[RecordBatch]) -> Result<Vec<u8>> {
    let names = schema.fields().iter().map(|field| Some(field.name().clone())).collect();
    let mut text = String::new();
    for line in std::iter::once(names).chain(cells(session, schema, rows)?) {
        let line: Vec<String> = line.into_iter().map(csv_cell).collect();
        text.push_str(&line.join(","));
        text.push('\n');
    }
    Ok(text.into_bytes())
}

/// A cell with quotes where they are needed; NULL is empty and an empty string is `""`.
fn csv_cell(cell: Option<String>) -> String {
    match cell {
        None => String::new(),
        Some(text) if text.is_empty() || text.contains(['"', ',', '\n', '\r']) => {
            format!("\"{}\"", text.replace('"', "\"\""))
        }
        Some(text) => text,
    }
}

/// Every value as `CAST(… AS STRING)` gives it.
fn cells(session: &StreamSession, schema: &SchemaRef, rows: &[RecordBatch]) -> Result<Vec<Vec<Option<String>>>> {
    let planning = session.planning()?;
    let zone: Arc<str> = session.conf().get("spark.sql.session.timeZone").unwrap_or_default().into();
    let df_schema = DFSchema::try_from(Arc::clone(schema))?;
    let semantics = Semantics::new(&df_schema, &zone);
    let mut columns = Vec::new();
    for column in df_schema.columns() {
        let text = semantics.explicit_cast(Expr::Column(column), &DataType::Utf8, false)?;
        columns.push(planning.batch.create_physical_expr(text, &df_schema)?);
    }
    let mut cells = Vec::new();
    for batch in rows {
        let texts = columns.iter().map(|text| text.evaluate(batch)?.into_array(batch.num_rows()));
        let texts = texts.collect::<datafusion::common::Result<Vec<_>>>()?;
        for row in 0..batch.num_rows() {
            cells.push(texts.iter().map(|text| text_at(text.as_ref(), row)).collect());
        }
    }
    Ok(cells)
}

fn text_at(texts: &dyn Array, row: usize) -> Option<String> {
    let texts = texts.as_string_opt::<i32>()?;
    (!texts.is_null(row)).then(|| texts.value(row).to_string())
}
