//! Messages to Arrow columns: each byte is copied once, and only for the columns that are wanted.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, BinaryArray, BinaryBuilder, Int32Array, Int64Array, ListArray, RecordBatch, RecordBatchOptions,
    StringArray, StringBuilder, StructArray, TimestampMicrosecondArray,
};
use arrow::buffer::{NullBuffer, OffsetBuffer};
use arrow::datatypes::SchemaRef;
use millstream_engine::{Error, Result};

use super::native::{Message, Messages};
use super::offsets::TopicPartition;
use super::{header_columns, header_field};
use crate::rows::arrow_error;

/// The first `count` of `messages`, which are of the partition `at`, as the columns `projection` of a topic's schema;
/// `schema` is that of the result.
pub(super) fn batch(
    messages: &mut Messages,
    count: usize,
    at: &TopicPartition,
    projection: &[usize],
    schema: &SchemaRef,
) -> Result<RecordBatch> {
    let columns = projection.iter().map(|column| of_column(*column, messages, count, at)).collect::<Result<_>>()?;
    let options = RecordBatchOptions::new().with_row_count(Some(count));
    RecordBatch::try_new_with_options(Arc::clone(schema), columns, &options).map_err(arrow_error)
}

fn of_column(column: usize, messages: &mut Messages, count: usize, at: &TopicPartition) -> Result<ArrayRef> {
    let wanted = || messages.iter().take(count);
    Ok(match column {
        0 => Arc::new(binary(wanted().map(Message::key), count)),
        1 => Arc::new(binary(wanted().map(Message::value), count)),
        2 => Arc::new(repeated(&at.topic, count)),
        3 => Arc::new(Int32Array::from_value(at.partition, count)),
        4 => Arc::new(Int64Array::from_iter_values(wanted().map(Message::offset))),
        5 => {
            let micros = wanted().map(|message| message.timestamp().0.saturating_mul(1000));
            Arc::new(TimestampMicrosecondArray::from_iter_values(micros).with_timezone("UTC"))
        }
        6 => Arc::new(Int32Array::from_iter_values(wanted().map(|message| message.timestamp().1))),
        7 => Arc::new(headers(messages, count)?),
        _ => return Err(Error::internal(format!("a topic has no column {column}"))),
    })
}

fn binary<'a>(values: impl Iterator<Item = Option<&'a [u8]>> + Clone, count: usize) -> BinaryArray {
    let bytes = values.clone().flatten().map(<[u8]>::len).sum();
    let mut column = BinaryBuilder::with_capacity(count, bytes);
    for value in values {
        column.append_option(value);
    }
    column.finish()
}

fn repeated(text: &str, count: usize) -> StringArray {
    StringArray::from_iter_values(std::iter::repeat_n(text, count))
}

/// A list for each message; null where it has no headers.
fn headers(messages: &mut Messages, count: usize) -> Result<ListArray> {
    let (mut names, mut values) = (StringBuilder::new(), BinaryBuilder::new());
    let (mut lengths, mut some) = (Vec::with_capacity(count), Vec::with_capacity(count));
    for message in messages.iter_mut().take(count) {
        let mut length = 0;
        some.push(message.headers(|name, value| {
            names.append_value(String::from_utf8_lossy(name));
            values.append_option(value);
            length += 1;
        }));
        lengths.push(length);
    }
    let columns: Vec<ArrayRef> = vec![Arc::new(names.finish()), Arc::new(values.finish())];
    let items = StructArray::try_new(header_columns(), columns, None).map_err(arrow_error)?;
    let offsets = OffsetBuffer::from_lengths(lengths);
    let nulls = some.contains(&false).then(|| NullBuffer::from(some));
    ListArray::try_new(Arc::new(header_field()), offsets, Arc::new(items), nulls).map_err(arrow_error)
}

/// About how many bytes `message` takes in columns.
pub(super) fn size_bytes(message: &Message) -> usize {
    message.size_bytes() + 64
}
