//! The JSON of the console sink and of `--format json`: made for scripts, so nothing is left out and nothing is ambiguous.
//!
//! | type | printed as |
//! |---|---|
//! | TIMESTAMP, TIMESTAMP_NTZ | `"2024-01-01T00:00:10.000000Z"`, always six digits, UTC |
//! | DATE | `"2024-01-01"` |
//! | DECIMAL | a string with all digits of the scale |
//! | FLOAT, DOUBLE | a number; `"NaN"`, `"Infinity"`, `"-Infinity"` as strings |
//! | BINARY | lower-case hex |
//! | INTERVAL DAY TO SECOND | microseconds |
//! | STRUCT, MAP | an object; null fields stay as `null` |

use arrow::array::RecordBatch;

use super::encode::{Style, Writer};
use crate::error::Result;

/// Appends each row as one JSON object; `separator` stands between rows (`,` inside an array, `\n` for lines), not after the last.
///
/// # Errors
/// [`ErrorKind::Unsupported`](crate::ErrorKind::Unsupported) for a type that Spark does not have.
pub fn write_console_json(batch: &RecordBatch, separator: &str, out: &mut Vec<u8>) -> Result<()> {
    let style = Style::Console;
    let mut writer = Writer::object(batch.schema_ref().fields(), batch.columns(), None, &style)?;
    for row in 0..batch.num_rows() {
        if row > 0 {
            out.extend_from_slice(separator.as_bytes());
        }
        writer.write(row, out)?;
    }
    Ok(())
}
