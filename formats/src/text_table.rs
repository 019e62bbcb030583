//! Spark's boxed table: what `show()` and the console sink print, byte for byte.
//!
//! Cells are padded to the widest cell of their column, at least 3 places, where a full-width character counts two; lengths
//! are in UTF-16 units, as Java counts. With truncation cells are right-aligned, without it left-aligned.

/// The box with `names` on top and `rows` under it; cells longer than `cell_max` are cut, none where it is 0.
pub fn text_table(names: Vec<String>, rows: Vec<Vec<String>>, cell_max: usize) -> String {
    let lines: Vec<Vec<String>> = std::iter::once(names)
        .chain(rows)
        .map(|line| line.into_iter().map(|cell| shorten(&escape(&cell), cell_max)).collect())
        .collect();
    let columns = lines[0].len();
    let widths: Vec<usize> = (0..columns)
        .map(|c| lines.iter().filter_map(|line| line.get(c)).map(|cell| width(cell)).max().unwrap_or(0).max(3))
        .collect();
    let rule = format!("+{}\n", widths.iter().map(|width| "-".repeat(*width) + "+").collect::<String>());
    let mut text = rule.clone();
    for (number, line) in lines.iter().enumerate() {
        text.push('|');
        for (cell, column_width) in line.iter().zip(&widths) {
            let padding = " ".repeat(column_width - width(cell));
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
fn width(cell: &str) -> usize {
    cell.chars().map(|c| c.len_utf16() + usize::from(is_full_width(c))).sum()
}

fn is_full_width(c: char) -> bool {
    matches!(c,
        '\u{1100}'..='\u{115f}' | '\u{2e80}'..='\u{a4cf}' | '\u{ac00}'..='\u{d7a3}' | '\u{f900}'..='\u{faff}'
        | '\u{fe10}'..='\u{fe19}' | '\u{fe30}'..='\u{fe6f}' | '\u{ff00}'..='\u{ff60}' | '\u{ffe0}'..='\u{ffe6}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_are_cut_and_aligned_as_spark_does() {
        let rows = || vec![vec!["1".to_string(), "abcdefgh\n".to_string()], vec!["22".to_string(), "日本".to_string()]];
        let names = || vec!["k".to_string(), "text".to_string()];
        assert_eq!(
            text_table(names(), rows(), 6),
            "+---+------+\n|  k|  text|\n+---+------+\n|  1|abc...|\n| 22|  日本|\n+---+------+\n"
        );
        assert_eq!(
            text_table(names(), rows(), 0),
            "+---+----------+\n|k  |text      |\n+---+----------+\n|1  |abcdefgh\\n|\n|22 |日本      |\n+---+----------+\n"
        );
    }
}
