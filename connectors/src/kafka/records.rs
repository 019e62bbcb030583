//! Rows as messages: which columns of a query's result become key, value, headers, topic and partition.
//!
//! | column | type | where it is missing |
//! |---|---|---|
//! | `value` | STRING or BINARY | refused |
//! | `key` | STRING or BINARY | no key |
//! | `headers` | ARRAY<STRUCT<key STRING, value BINARY>> | no headers |
//! | `topic` | STRING | option `topic`, which goes before the column |
//! | `partition` | INT | the partition of the key |
//!
//! Other columns are taken no notice of, as in Spark.

use arrow::array::{Array, BinaryArray, Int32Array, ListArray, RecordBatch, StringArray, StructArray};
use arrow::datatypes::{DataType, Schema};
use millstream_engine::{Error, Result};
use millstream_formats::ddl::sql_type_name;

use super::native_producer::{Headers, Record};

/// Where each part of a message is among the columns.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Layout {
    value: usize,
    key: Option<usize>,
    headers: Option<usize>,
    topic: Option<usize>,
    partition: Option<usize>,
}

impl Layout {
    /// Finds the parts in `schema`; `topic` is the option of that name.
    ///
    /// # Errors
    /// `Invalid` where there is no value or topic, or a column is of a type that cannot be written.
    pub(super) fn find(schema: &Schema, topic: Option<&str>) -> Result<Self> {
        let value = column(schema, "value").ok_or_else(|| {
            let names: Vec<&str> = schema.fields().iter().map(|field| field.name().as_str()).collect();
            Error::invalid(format!(
                "kafka sink: the query has no column 'value', which becomes the message: name one so, such as to_json(struct(*)) AS value; there are {}",
                names.join(", ")
            ))
        })?;
        let layout = Self {
            value,
            key: column(schema, "key"),
            headers: column(schema, "headers"),
            topic: column(schema, "topic").filter(|_| topic.is_none()),
            partition: column(schema, "partition"),
        };
        if topic.is_none() && layout.topic.is_none() {
            return Err(Error::invalid(
                "kafka sink: nothing says which topic to write to: set option 'topic', or give the query a column 'topic'",
            ));
        }
        let text_or_bytes = |kind: &DataType| matches!(kind, DataType::Utf8 | DataType::Binary);
        let text = |kind: &DataType| matches!(kind, DataType::Utf8);
        let number = |kind: &DataType| matches!(kind, DataType::Int32);
        check(schema, Some(value), text_or_bytes, "STRING or BINARY")?;
        check(schema, layout.key, text_or_bytes, "STRING or BINARY")?;
        check(schema, layout.topic, text, "STRING")?;
        check(schema, layout.partition, number, "INT")?;
        check(schema, layout.headers, is_headers, "ARRAY<STRUCT<key: STRING, value: BINARY>>")?;
        Ok(layout)
    }

    /// The messages of `batch`.
    pub(super) fn messages<'a>(&self, batch: &'a RecordBatch) -> Result<Messages<'a>> {
        let column = |index: usize| batch.column(index).as_ref();
        Ok(Messages {
            rows: batch.num_rows(),
            value: bytes(column(self.value))?,
            key: self.key.map(|key| bytes(column(key))).transpose()?,
            topic: self.topic.map(|topic| array(column(topic))).transpose()?,
            partition: self.partition.map(|partition| array(column(partition))).transpose()?,
            headers: self.headers.map(|headers| header_columns(column(headers))).transpose()?,
        })
    }
}

/// The column called `name`, spelt like this or, where none is, in another case.
fn column(schema: &Schema, name: &str) -> Option<usize> {
    let fields = schema.fields();
    let exact = fields.iter().position(|field| field.name() == name);
    exact.or_else(|| fields.iter().position(|field| field.name().eq_ignore_ascii_case(name)))
}

fn check(schema: &Schema, column: Option<usize>, fits: impl Fn(&DataType) -> bool, expected: &str) -> Result<()> {
    let Some(field) = column.map(|column| schema.field(column)) else { return Ok(()) };
    match fits(field.data_type()) {
        true => Ok(()),
        false => Err(Error::invalid(format!(
            "kafka sink: column '{}' is of type {}, expected {expected}: CAST it",
            field.name(),
            sql_type_name(field.data_type())
        ))),
    }
}

fn is_headers(kind: &DataType) -> bool {
    let DataType::List(element) = kind else { return false };
    let DataType::Struct(fields) = element.data_type() else { return false };
    match fields.iter().as_slice() {
        [key, value] => {
            key.name() == "key"
                && *key.data_type() == DataType::Utf8
                && value.name() == "value"
                && *value.data_type() == DataType::Binary
        }
        _ => false,
    }
}

/// The rows of one batch, seen as messages.
pub(super) struct Messages<'a> {
    rows: usize,
    value: Bytes<'a>,
    key: Option<Bytes<'a>>,
    topic: Option<&'a StringArray>,
    partition: Option<&'a Int32Array>,
    headers: Option<HeaderColumns<'a>>,
}

impl<'a> Messages<'a> {
    /// How many.
    pub(super) fn len(&self) -> usize {
        self.rows
    }

    /// Whether nothing but key and value is said of each.
    pub(super) fn are_plain(&self) -> bool {
        self.partition.is_none() && self.headers.is_none()
    }

    /// Key and value of a row.
    pub(super) fn record(&self, row: usize) -> Record<'a> {
        Record { key: self.key.as_ref().and_then(|key| key.get(row)), value: self.value.get(row) }
    }

    /// The partition a row names.
    ///
    /// # Errors
    /// `Invalid` for a negative number.
    pub(super) fn partition(&self, row: usize) -> Result<Option<i32>> {
        match self.partition.filter(|column| column.is_valid(row)).map(|column| column.value(row)) {
            Some(partition) if partition < 0 => Err(Error::invalid(format!(
                "kafka sink: column 'partition' is {partition}, expected a partition's number, 0 or more, or NULL"
            ))),
            partition => Ok(partition),
        }
    }

    /// The headers of a row; `None` where it has none.
    ///
    /// # Errors
    /// `Invalid` for a header without a name.
    pub(super) fn headers(&self, row: usize) -> Result<Option<Headers>> {
        let Some(columns) = self.headers.as_ref().filter(|columns| columns.list.is_valid(row)) else { return Ok(None) };
        let offsets = columns.list.value_offsets();
        let (start, end) = (offsets[row] as usize, offsets[row + 1] as usize);
        let Some(mut headers) = (end > start).then(|| Headers::with_capacity(end - start)).flatten() else {
            return Ok(None);
        };
        for item in start..end {
            if columns.names.is_null(item) {
                return Err(Error::invalid("kafka sink: a header has no name: column 'headers' has a NULL key"));
            }
            let value = columns.values.is_valid(item).then(|| columns.values.value(item));
            headers.add(columns.names.value(item), value);
        }
        Ok(Some(headers))
    }

    /// The rows by the topic they name, each topic's in order; `fixed` is the topic of all, where there is one.
    ///
    /// # Errors
    /// `Invalid` for a row that names no topic.
    pub(super) fn by_topic(&self, fixed: Option<&'a str>) -> Result<Vec<(&'a str, Rows)>> {
        if let Some(topic) = fixed {
            return Ok(vec![(topic, Rows::All(self.rows))]);
        }
        let mut topics: Vec<(&str, Rows)> = Vec::new();
        let Some(column) = self.topic else { return Err(Error::internal("messages without a topic")) };
        let mut last = 0;
        for row in 0..self.rows {
            if column.is_null(row) {
                return Err(Error::invalid(
                    "kafka sink: a row has NULL in column 'topic': fill the column, or set option 'topic'",
                ));
            }
            let topic = column.value(row);
            if topics.get(last).is_none_or(|(name, _)| *name != topic) {
                // A query writes to a handful of topics.
                last = topics.iter().position(|(name, _)| *name == topic).unwrap_or_else(|| {
                    topics.push((topic, Rows::Some(Vec::new())));
                    topics.len() - 1
                });
            }
            if let (_, Rows::Some(rows)) = &mut topics[last] {
                rows.push(row);
            }
        }
        Ok(topics)
    }
}

/// Which rows of a batch.
#[derive(Debug)]
pub(super) enum Rows {
    /// The first so many.
    All(usize),
    /// These.
    Some(Vec<usize>),
}

impl Rows {
    /// How many.
    pub(super) fn len(&self) -> usize {
        match self {
            Self::All(count) => *count,
            Self::Some(rows) => rows.len(),
        }
    }

    /// The row at `index`, which is less than [`len`](Self::len).
    pub(super) fn get(&self, index: usize) -> usize {
        match self {
            Self::All(_) => index,
            Self::Some(rows) => rows[index],
        }
    }
}

/// A column of text or bytes.
enum Bytes<'a> {
    Text(&'a StringArray),
    Binary(&'a BinaryArray),
}

impl<'a> Bytes<'a> {
    fn get(&self, row: usize) -> Option<&'a [u8]> {
        match self {
            Self::Text(column) => column.is_valid(row).then(|| column.value(row).as_bytes()),
            Self::Binary(column) => column.is_valid(row).then(|| column.value(row)),
        }
    }
}

struct HeaderColumns<'a> {
    list: &'a ListArray,
    names: &'a StringArray,
    values: &'a BinaryArray,
}

fn bytes(column: &dyn Array) -> Result<Bytes<'_>> {
    match column.as_any().downcast_ref::<StringArray>() {
        Some(text) => Ok(Bytes::Text(text)),
        None => array(column).map(Bytes::Binary),
    }
}

fn header_columns(column: &dyn Array) -> Result<HeaderColumns<'_>> {
    let list: &ListArray = array(column)?;
    let items: &StructArray = array(list.values().as_ref())?;
    Ok(HeaderColumns { list, names: array(items.column(0).as_ref())?, values: array(items.column(1).as_ref())? })
}

fn array<T: 'static>(column: &dyn Array) -> Result<&T> {
    column.as_any().downcast_ref().ok_or_else(|| {
        Error::internal(format!(
            "the kafka sink was given a column of type {} it had not agreed to",
            column.data_type()
        ))
    })
}
