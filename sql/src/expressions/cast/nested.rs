//! Arrays, maps and structs: each part by its own cast.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, ListArray, MapArray, StructArray, make_array};
use arrow::buffer::{NullBuffer, OffsetBuffer};
use arrow::datatypes::DataType;
use datafusion::common::{DataFusionError, Result};

use super::{Mode, cast_array};

pub(super) fn cast(array: &ArrayRef, to: &DataType, mode: Mode) -> Result<ArrayRef> {
    match (array.data_type(), to) {
        (DataType::List(_), DataType::List(element)) => {
            let list = array.as_list::<i32>();
            let (values, offsets) = used(list.values(), list.offsets());
            let values = cast_array(&values, element.data_type(), mode)?;
            Ok(Arc::new(ListArray::try_new(Arc::clone(element), offsets, values, list.nulls().cloned())?))
        }
        (DataType::Map(..), DataType::Map(entries, sorted)) => {
            let map = array.as_map();
            let (structs, offsets) = used(&(Arc::new(map.entries().clone()) as ArrayRef), map.offsets());
            let structs = cast_array(&structs, entries.data_type(), mode)?;
            let result = MapArray::try_new(
                Arc::clone(entries),
                offsets,
                structs.as_struct().clone(),
                map.nulls().cloned(),
                *sorted,
            )?;
            Ok(Arc::new(result))
        }
        (DataType::Struct(_), DataType::Struct(fields)) => {
            let structs = array.as_struct();
            let mut columns = Vec::with_capacity(fields.len());
            for (column, field) in structs.columns().iter().zip(fields) {
                // What stands below a null struct must not fail.
                let nulls = NullBuffer::union(structs.nulls(), column.nulls());
                let column = make_array(column.to_data().into_builder().nulls(nulls).build()?);
                columns.push(cast_array(&column, field.data_type(), mode)?);
            }
            Ok(Arc::new(StructArray::try_new_with_length(
                fields.clone(),
                columns,
                structs.nulls().cloned(),
                array.len(),
            )?))
        }
        (from, to) => Err(DataFusionError::Internal(format!("no cast from {from} to {to}"))),
    }
}

/// The values that the offsets reach, and the offsets into these: a slice of an array keeps the values of all of it.
fn used(values: &ArrayRef, offsets: &OffsetBuffer<i32>) -> (ArrayRef, OffsetBuffer<i32>) {
    let (first, last) = (offsets.first().copied().unwrap_or(0), offsets.last().copied().unwrap_or(0));
    let place = |offset: i32| usize::try_from(offset).unwrap_or(0);
    if first == 0 && place(last) == values.len() {
        return (Arc::clone(values), offsets.clone());
    }
    let moved: Vec<i32> = offsets.iter().map(|offset| offset - first).collect();
    (values.slice(place(first), place(last - first)), OffsetBuffer::new(moved.into()))
}
