//! to_csv.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::datatypes::{DataType, Schema};
use datafusion::common::{DataFusionError, Result};
use millstream_formats::csv::{CsvEncoder, CsvOptions};

use super::error::{refused, wrapped};
use super::function::Call;
use super::rows::bytes;
use super::{json, types};

/// A struct of values without parts, and options.
pub(super) fn to_csv_args(given: &[DataType]) -> Result<Vec<DataType>> {
    match &given[0] {
        DataType::Struct(fields) if fields.iter().all(|f| !f.data_type().is_nested()) => {
            // NULL itself is written as a null string.
            let written = |t: &DataType| if t.is_null() { DataType::Utf8 } else { t.clone() };
            let mut targets = given.to_vec();
            targets[0] = types::struct_of(fields.iter().map(|f| (f.name().clone(), written(f.data_type()))));
            Ok(targets)
        }
        other => Err(refused(
            "DATATYPE_MISMATCH.UNSUPPORTED_INPUT_TYPE",
            format!("The input of `to_csv` can't be {} type data.", types::sql_name(other)),
        )),
    }
}

/// `to_csv(struct [, options])`: the line of one row, without its end.
pub(super) fn to_csv(call: &Call<'_>) -> Result<ArrayRef> {
    let source = call.array(0)?;
    let structs = source.as_struct();
    let schema = Arc::new(Schema::new(structs.fields().clone()));
    let options = CsvOptions::take(&mut json::options(call, 1)?, call.zone()?.to_java()?).map_err(wrapped)?;
    let encoder = CsvEncoder::new(&schema, &options).map_err(wrapped)?;
    let batch = RecordBatch::try_new(schema, structs.columns().to_vec())?;
    let lines = bytes(call.rows, |row, out| {
        if structs.is_null(row) {
            return Ok(None);
        }
        encoder.encode_batch(&batch.slice(row, 1), out).map_err(wrapped)?;
        if out.last() == Some(&b'\n') {
            out.pop();
        }
        Ok(Some(()))
    })?;
    arrow::compute::cast(&lines, &DataType::Utf8).map_err(DataFusionError::from)
}
