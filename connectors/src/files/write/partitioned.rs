//! Rows to the folders of their partitions: a batch cut by the values of the `partitionBy` columns.

use std::collections::HashMap;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch, StringArray, UInt32Array};
use arrow::compute::{cast, take_record_batch};
use arrow::datatypes::{DataType, Date32Type, Decimal128Type, Float32Type, Float64Type};
use arrow::row::{RowConverter, SortField};
use millstream_engine::sink::SinkSpec;
use millstream_engine::{Error, Result};
use millstream_formats::java_time::{Zone, cast_date_to_string, cast_timestamp_to_string};
use millstream_formats::number::{write_decimal_plain, write_f32, write_f64};

use crate::files::format::format_error;
use crate::files::partitions;
use crate::rows::arrow_error;

/// Cuts batches by partition.
pub(super) struct Partitioner {
    names: Vec<String>,
    /// Where the partition columns are.
    columns: Vec<usize>,
    /// Where the others are.
    data: Vec<usize>,
    converter: RowConverter,
    zone: Zone,
}

impl Partitioner {
    /// The partitioner of `spec`, or `None` where it partitions by nothing.
    pub(super) fn new(spec: &SinkSpec, zone: Zone) -> Result<Option<Self>> {
        if spec.partition_by.is_empty() {
            return Ok(None);
        }
        let fields = spec.schema.fields();
        let index = |name: &String| {
            let at = fields.iter().position(|field| field.name().eq_ignore_ascii_case(name));
            at.ok_or_else(|| Error::internal(format!("partition column {name} went missing")))
        };
        let columns = spec.partition_by.iter().map(index).collect::<Result<Vec<_>>>()?;
        let names = columns.iter().map(|at| fields[*at].name().clone()).collect();
        let data = (0..fields.len()).filter(|at| !columns.contains(at)).collect();
        let sort_fields = columns.iter().map(|at| SortField::new(fields[*at].data_type().clone())).collect();
        let converter = RowConverter::new(sort_fields).map_err(arrow_error)?;
        Ok(Some(Self { names, columns, data, converter, zone }))
    }

    /// The rows of `batch` by folder (`k=1/j=a`), each without the partition columns.
    pub(super) fn cut(&self, batch: &RecordBatch) -> Result<Vec<(String, RecordBatch)>> {
        let columns: Vec<ArrayRef> = self.columns.iter().map(|at| batch.column(*at).clone()).collect();
        let keys = self.converter.convert_columns(&columns).map_err(arrow_error)?;
        let mut groups: HashMap<&[u8], usize> = HashMap::new();
        let mut rows: Vec<Vec<u32>> = Vec::new();
        for (row, key) in keys.iter().enumerate() {
            let group = *groups.entry(key.data()).or_insert_with(|| {
                rows.push(Vec::new());
                rows.len() - 1
            });
            rows[group].push(u32::try_from(row).map_err(|_| Error::internal("a batch of more than 2³² rows"))?);
        }
        let data = batch.project(&self.data).map_err(arrow_error)?;
        let firsts = UInt32Array::from(rows.iter().map(|rows| rows[0]).collect::<Vec<u32>>());
        let folders = self.folders(&columns, &firsts)?;
        let is_one = rows.len() == 1;
        let parts = rows.into_iter().zip(folders).map(|(rows, folder)| match is_one {
            true => Ok((folder, data.clone())),
            false => Ok((folder, take_record_batch(&data, &UInt32Array::from(rows)).map_err(arrow_error)?)),
        });
        parts.collect()
    }

    /// The folder of each of the rows.
    fn folders(&self, columns: &[ArrayRef], rows: &UInt32Array) -> Result<Vec<String>> {
        let mut folders = vec![String::new(); rows.len()];
        for (column, name) in columns.iter().zip(&self.names) {
            let values = arrow::compute::take(column, rows, None).map_err(arrow_error)?;
            let texts = texts(&values, self.zone)?;
            for (folder, text) in folders.iter_mut().zip(texts.iter()) {
                if !folder.is_empty() {
                    folder.push('/');
                }
                folder.push_str(&partitions::folder(name, text));
            }
        }
        Ok(folders)
    }
}

/// The values as CAST to STRING gives them.
fn texts(values: &ArrayRef, zone: Zone) -> Result<StringArray> {
    let printed = |print: &dyn Fn(usize, &mut Vec<u8>)| -> StringArray {
        let text = |row: usize| {
            let mut bytes = Vec::new();
            print(row, &mut bytes);
            String::from_utf8_lossy(&bytes).into_owned()
        };
        (0..values.len()).map(|row| values.is_valid(row).then(|| text(row))).collect()
    };
    Ok(match values.data_type() {
        DataType::Utf8 => values.as_string::<i32>().clone(),
        DataType::Date32 => cast_date_to_string(values.as_primitive::<Date32Type>()).map_err(format_error)?,
        DataType::Timestamp(..) => cast_timestamp_to_string(values.as_ref(), zone).map_err(format_error)?,
        DataType::Float64 => {
            let values = values.as_primitive::<Float64Type>();
            printed(&|row, out| write_f64(values.value(row), out))
        }
        DataType::Float32 => {
            let values = values.as_primitive::<Float32Type>();
            printed(&|row, out| write_f32(values.value(row), out))
        }
        DataType::Decimal128(_, scale) => {
            let decimals = values.as_primitive::<Decimal128Type>();
            printed(&|row, out| write_decimal_plain(decimals.value(row), *scale, out))
        }
        DataType::Binary => {
            let values = values.as_binary::<i32>();
            printed(&|row, out| out.extend_from_slice(values.value(row)))
        }
        _ => cast(values, &DataType::Utf8).map_err(arrow_error)?.as_string::<i32>().clone(),
    })
}
