//! A batch as Spark's console sink prints it: a headline, the boxed table of its first rows, and whether there are more.

use std::fmt::Write as _;

use millstream_engine::Result;
use millstream_engine::sink::BatchRows;
use millstream_formats::java_time::Zone;
use millstream_formats::text_table::text_table;

use super::cells::texts;

/// The table of a batch under its headline.
pub(super) fn batch_table(batch: &BatchRows, zone: Zone, rows_max: usize, cell_max: usize) -> Result<String> {
    let rule = "-------------------------------------------";
    let mut text = format!("{rule}\nBatch: {}\n{rule}\n", batch.batch_id);
    let names = batch.schema.fields().iter().map(|field| field.name().clone()).collect();
    let (rows, has_more) = cells(batch, zone, rows_max)?;
    text.push_str(&text_table(names, rows, cell_max));
    if has_more {
        let noun = if rows_max == 1 { "row" } else { "rows" };
        let _ = write!(text, "only showing top {rows_max} {noun}");
    }
    text.push('\n');
    Ok(text)
}

/// The texts of the first `rows_max` rows, and whether there are more.
fn cells(batch: &BatchRows, zone: Zone, rows_max: usize) -> Result<(Vec<Vec<String>>, bool)> {
    let mut rows: Vec<Vec<String>> = Vec::new();
    let total: usize = batch.rows().map(|part| part.num_rows()).sum();
    for part in batch.rows() {
        let count = part.num_rows().min(rows_max - rows.len());
        let columns = part.columns().iter().map(|column| texts(column.as_ref(), count, zone));
        let columns = columns.collect::<Result<Vec<_>>>()?;
        rows.extend((0..count).map(|row| columns.iter().map(|column| column[row].clone()).collect()));
    }
    Ok((rows, total > rows_max))
}
