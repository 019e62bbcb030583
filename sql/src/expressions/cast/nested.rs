//! Arrays, maps and structs: each part by its own cast.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, ListArray, MapArray, StructArray};
use arrow::datatypes::DataType;
use datafusion::common::{DataFusionError, Result};

use super::{Mode, cast_array};

pub(super) fn cast(array: &ArrayRef, to: &DataType, mode: Mode) -> Result<ArrayRef> {
    match (array.data_type(), to) {
        (DataType::List(_), DataType::List(element)) => {
            let list = array.as_list::<i32>();
            let values = cast_array(list.values(), element.data_type(), mode)?;
            Ok(Arc::new(ListArray::try_new(
                Arc::clone(element),
                list.offsets().clone(),
                values,
                list.nulls().cloned(),
            )?))
        }
        (DataType::Map(..), DataType::Map(entries, sorted)) => {
            let map = array.as_map();
            let structs = cast_array(&(Arc::new(map.entries().clone()) as ArrayRef), entries.data_type(), mode)?;
            let result = MapArray::try_new(
                Arc::clone(entries),
                map.offsets().clone(),
                structs.as_struct().clone(),
                map.nulls().cloned(),
                *sorted,
            )?;
            Ok(Arc::new(result))
        }
        (DataType::Struct(_), DataType::Struct(fields)) => {
            let structs = array.as_struct();
            let columns =
                structs.columns().iter().zip(fields).map(|(column, field)| cast_array(column, field.data_type(), mode));
            let columns = columns.collect::<Result<Vec<_>>>()?;
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
