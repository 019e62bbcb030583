//! Spark's boxed table: what `show()` prints, byte for byte.
//!
//! Cells of text are padded to the widest cell of their column, at least 3, where a full-width character counts two;
//! lengths are in UTF-16 units, as Java counts. With truncation cells are right-aligned, without it left-aligned.

use std::fmt::Write as _;

use millstream_engine::Result;
use millstream_engine::sink::BatchRows;
use millstream_formats::java_time::Zone;

use super::cells::texts;

/// The table of a batch under its headline.
pub(super) fn batch_table(batch: &BatchRows, zone: Zone, rows_max: usize, cell_max: usize) -> Result<String> {
    let rule = "-------------------------------------------";
    let mut text = format!("{rule}\nBatch: {}\n{rule}\n", batch.batch_id);
    let names = batch.schema.fields().iter().map(|field| field.name().clone()).collect();
    let (rows, has_more) = cells(batch, zone, rows_max)?;
    text.push_str(&table(names, rows, cell_max));
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
    let total: usize = batch.rows.iter().map(|part| part.num_rows()).sum();
    for part in &batch.rows {
        let count = part.num_rows().min(rows_max - rows.len());
        let columns = part.columns().iter().map(|column| texts(column.as_ref(), count, zone));
        let columns = columns.collect::<Result<Vec<_>>>()?;
        rows.extend((0..count).map(|row| columns.iter().map(|column| column[row].clone()).collect()));
    }
    Ok((rows, total > rows_max))
}

/// The box with `names` on top and `rows` in it.
pub(super) fn table(names: Vec<String>, rows: Vec<Vec<String>>, cell_max: usize) -> String {
    let lines: Vec<Vec<String>> = std::iter::once(names)
        .chain(rows)
        .map(|line| line.into_iter().map(|cell| shorten(&escape(&cell), cell_max)).collect())
        .collect();
    let columns = lines[0].len();
    let widths: Vec<usize> =
        (0..columns).map(|c| lines.iter().map(|line| half_width(&line[c])).max().unwrap_or(0).max(3)).collect();
    let mut rule = String::from("+");
    for width in &widths {
        rule.push_str(&"-".repeat(*width));
        rule.push('+');
    }
    rule.push('\n');
    let mut text = rule.clone();
    for (number, line) in lines.iter().enumerate() {
        text.push('|');
        for (cell, width) in line.iter().zip(&widths) {
            let padding = " ".repeat(width - half_width(cell));
            match cell_max > 0 {
                true => text.extend([padding.as_str(), cell, "|"]),
                false => text.extend([cell, padding.as_str(), "|"]),
            }
        }
        text.push('\n');
        if number == 0 {
            text.push_str(&rule);
        }
    }
    text.push_str(&rule);
    text
}

/// Control characters as Java would write them in a string.
fn escape(cell: &str) -> String {
    let mut text = String::with_capacity(cell.len());
    for c in cell.chars() {
        match c {
            '\n' => text.push_str("\\n"),
            '\r' => text.push_str("\\r"),
            '\t' => text.push_str("\\t"),
            '\u{c}' => text.push_str("\\f"),
            '\u{8}' => text.push_str("\\b"),
            '\u{b}' => text.push_str("\\v"),
            '\u{7}' => text.push_str("\\a"),
            other => text.push(other),
        }
    }
    text
}

/// The first `max` UTF-16 units, the last three of them dots where something was cut and four fit; all where `max` is 0.
fn shorten(cell: &str, max: usize) -> String {
    let units: Vec<u16> = cell.encode_utf16().collect();
    if max == 0 || units.len() <= max {
        return cell.to_string();
    }
    match max < 4 {
        true => String::from_utf16_lossy(&units[..max]),
        false => String::from_utf16_lossy(&units[..max - 3]) + "...",
    }
}

/// How many half-width places a cell takes.
fn half_width(cell: &str) -> usize {
    cell.chars().map(|c| c.len_utf16() + usize::from(is_full_width(c))).sum()
}

fn is_full_width(c: char) -> bool {
    matches!(c,
        '\u{1100}'..='\u{115f}' | '\u{2e80}'..='\u{a4cf}' | '\u{ac00}'..='\u{d7a3}' | '\u{f900}'..='\u{faff}'
        | '\u{fe10}'..='\u{fe19}' | '\u{fe30}'..='\u{fe6f}' | '\u{ff00}'..='\u{ff60}' | '\u{ffe0}'..='\u{ffe6}')
}
