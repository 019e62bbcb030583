//! Columns of a parquet file as the columns a schema asks for: found by name in any case, null where they are missing,
//! widened where Spark widens, an error otherwise.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, ListArray, MapArray, RecordBatch, RecordBatchOptions, StructArray, new_null_array,
};
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::{DataType, Field, FieldRef, Fields, SchemaRef, TimeUnit};
use millstream_engine::{Error, Result};
use millstream_formats::ddl::sql_type_name;

use crate::rows::arrow_error;

/// The Spark type that a column of this type in a file is read as where no schema is given.
pub(in crate::files) fn spark_type(data_type: &DataType) -> DataType {
    let field =
        |field: &FieldRef, name: &str| Arc::new(Field::new(name, spark_type(field.data_type()), field.is_nullable()));
    match data_type {
        DataType::LargeUtf8 | DataType::Utf8View => DataType::Utf8,
        DataType::LargeBinary | DataType::BinaryView | DataType::FixedSizeBinary(_) => DataType::Binary,
        DataType::Timestamp(_, Some(_)) => DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
        DataType::Timestamp(_, None) => DataType::Timestamp(TimeUnit::Microsecond, None),
        DataType::UInt8 => DataType::Int16,
        DataType::UInt16 => DataType::Int32,
        DataType::UInt32 | DataType::Time32(_) | DataType::Time64(_) => DataType::Int64,
        DataType::UInt64 => DataType::Decimal128(20, 0),
        DataType::Float16 => DataType::Float32,
        DataType::Date64 => DataType::Date32,
        DataType::Decimal32(p, s) | DataType::Decimal64(p, s) | DataType::Decimal256(p, s) => {
            DataType::Decimal128((*p).min(38), *s)
        }
        DataType::Dictionary(_, value) => spark_type(value),
        DataType::List(item) | DataType::LargeList(item) | DataType::FixedSizeList(item, _) => {
            DataType::List(field(item, "element"))
        }
        DataType::Struct(fields) => DataType::Struct(fields.iter().map(|f| field(f, f.name())).collect()),
        DataType::Map(entries, _) => match entries.data_type() {
            DataType::Struct(kv) if kv.len() == 2 => {
                let kv = Fields::from(vec![field(&kv[0], "key"), field(&kv[1], "value")]);
                DataType::Map(Arc::new(Field::new("entries", DataType::Struct(kv), false)), false)
            }
            other => other.clone(),
        },
        other => other.clone(),
    }
}

/// The columns of `schema` from those of `batch`; `path` is the file, for errors.
pub(super) fn adapt_batch(batch: &RecordBatch, schema: &SchemaRef, path: &str) -> Result<RecordBatch> {
    let fields = batch.schema_ref().fields();
    let columns = schema.fields().iter().map(|wanted| match find(fields, wanted.name()) {
        Some(at) => adapt(batch.column(at), wanted.data_type()).ok_or_else(|| {
            Error::invalid(format!(
                "column {} of file {path} is {}, which cannot be read as {}: declare it as {}, or cast it in the query",
                wanted.name(),
                type_text(fields[at].data_type()),
                sql_type_name(wanted.data_type()),
                type_text(fields[at].data_type()),
            ))
        }),
        None => Ok(new_null_array(wanted.data_type(), batch.num_rows())),
    });
    let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    RecordBatch::try_new_with_options(Arc::clone(schema), columns.collect::<Result<_>>()?, &options)
        .map_err(arrow_error)
}

/// Where the column `name` is: of that very name, otherwise in any case.
pub(super) fn find(fields: &Fields, name: &str) -> Option<usize> {
    let exact = fields.iter().position(|field| field.name() == name);
    exact.or_else(|| fields.iter().position(|field| field.name().eq_ignore_ascii_case(name)))
}

fn type_text(data_type: &DataType) -> String {
    sql_type_name(&spark_type(data_type))
}

/// `array` as one of type `wanted`; `None` where Spark has no such reading, or a value does not fit.
fn adapt(array: &ArrayRef, wanted: &DataType) -> Option<ArrayRef> {
    if array.data_type() == wanted {
        return Some(Arc::clone(array));
    }
    match (array.data_type(), wanted) {
        (DataType::Struct(fields), DataType::Struct(wanted_fields)) => {
            let from = array.as_struct();
            let columns = wanted_fields.iter().map(|field| match find(fields, field.name()) {
                Some(at) => adapt(from.column(at), field.data_type()),
                None => Some(new_null_array(field.data_type(), from.len())),
            });
            let columns = columns.collect::<Option<Vec<_>>>()?;
            let made = match columns.is_empty() {
                true => StructArray::new_empty_fields(from.len(), from.nulls().cloned()),
                false => StructArray::try_new(wanted_fields.clone(), columns, from.nulls().cloned()).ok()?,
            };
            Some(Arc::new(made))
        }
        (DataType::List(_), DataType::List(item)) => {
            let from = array.as_list::<i32>();
            let values = adapt(from.values(), item.data_type())?;
            let made = ListArray::try_new(Arc::clone(item), from.offsets().clone(), values, from.nulls().cloned());
            Some(Arc::new(made.ok()?))
        }
        (DataType::Map(..), DataType::Map(entries, ordered)) => {
            let from = array.as_map();
            let DataType::Struct(kv) = entries.data_type() else { return None };
            let key = adapt(from.keys(), kv[0].data_type())?;
            let value = adapt(from.values(), kv[1].data_type())?;
            let pairs = StructArray::try_new(kv.clone(), vec![key, value], None).ok()?;
            let (offsets, nulls) = (from.offsets().clone(), from.nulls().cloned());
            Some(Arc::new(MapArray::try_new(Arc::clone(entries), offsets, pairs, nulls, *ordered).ok()?))
        }
        (from, to) if widens(from, to) => {
            cast_with_options(array, to, &CastOptions { safe: false, ..CastOptions::default() }).ok()
        }
        _ => None,
    }
}

/// Whether Spark reads a column of type `from` as one of type `to`.
fn widens(from: &DataType, to: &DataType) -> bool {
    use DataType::{
        Binary, Date32, Decimal128, FixedSizeBinary, Float32, Float64, Int8, Int16, Int32, Int64, Null, Timestamp,
        UInt8, UInt16, UInt32, UInt64, Utf8,
    };
    match (from, to) {
        (Null, _) => true,
        (Int8 | Int16 | Int32 | UInt8 | UInt16, Int8 | Int16 | Int32 | Int64 | Float64) => true,
        (UInt32, Int64) | (UInt64, Int64) => true,
        (Int8 | Int16 | Int32 | Int64 | UInt8 | UInt16 | UInt32 | UInt64, Decimal128(..)) => true,
        (Float32, Float64) => true,
        (Decimal128(p, s), Decimal128(to_p, to_s)) => {
            to_s >= s && i32::from(*to_p) - i32::from(*to_s) >= i32::from(*p) - i32::from(*s)
        }
        (Binary, Utf8) | (Utf8, Binary) | (FixedSizeBinary(_), Binary) => true,
        (Date32, Timestamp(_, None)) => true,
        // An instant is no wall-clock time; the other way Spark takes the number as it is.
        (Timestamp(_, Some(_)), Timestamp(_, None)) => false,
        (Timestamp(..), Timestamp(..)) => true,
        _ => false,
    }
}
