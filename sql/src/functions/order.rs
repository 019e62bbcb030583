//! When two values are equal, and which of two is less, in Spark's eyes: −0.0 equals 0.0, NaN equals itself and is above
//! every number.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, ListArray, StructArray};
use arrow::compute::SortOptions;
use arrow::compute::kernels::arity::unary;
use arrow::datatypes::{DataType, Float32Type, Float64Type};
use arrow::row::{RowConverter, Rows, SortField};
use datafusion::common::Result;

use super::error::refused;
use super::types;

/// The same values with one zero and one NaN each.
pub(super) fn normalised(array: &ArrayRef) -> ArrayRef {
    match array.data_type() {
        DataType::Float32 => {
            let f = |x: f32| if x.is_nan() { f32::NAN } else { x + 0.0 };
            Arc::new(unary::<_, _, Float32Type>(array.as_primitive::<Float32Type>(), f))
        }
        DataType::Float64 => {
            let f = |x: f64| if x.is_nan() { f64::NAN } else { x + 0.0 };
            Arc::new(unary::<_, _, Float64Type>(array.as_primitive::<Float64Type>(), f))
        }
        DataType::List(field) if has_floats(field.data_type()) => {
            let list = array.as_list::<i32>();
            let values = normalised(list.values());
            Arc::new(ListArray::new(Arc::clone(field), list.offsets().clone(), values, list.nulls().cloned()))
        }
        DataType::Struct(fields) if has_floats(array.data_type()) => {
            let parts = array.as_struct();
            let columns = parts.columns().iter().map(normalised).collect();
            Arc::new(StructArray::new(fields.clone(), columns, parts.nulls().cloned()))
        }
        _ => Arc::clone(array),
    }
}

fn has_floats(data_type: &DataType) -> bool {
    match data_type {
        DataType::Float32 | DataType::Float64 => true,
        DataType::List(field) => has_floats(field.data_type()),
        DataType::Struct(fields) => fields.iter().any(|f| has_floats(f.data_type())),
        _ => false,
    }
}

/// Values of arrays of one type as bytes that compare as the values do, nulls first.
pub(super) struct Comparable {
    converter: RowConverter,
}

impl Comparable {
    /// # Errors
    /// For a type without an order (a map).
    pub(super) fn new(data_type: &DataType) -> Result<Self> {
        let field =
            SortField::new_with_options(data_type.clone(), SortOptions { descending: false, nulls_first: true });
        let refuse = || {
            refused(
                "DATATYPE_MISMATCH.INVALID_ORDERING_TYPE",
                format!("values of the type {} cannot be compared", types::sql_name(data_type)),
            )
        };
        if has_map(data_type) {
            return Err(refuse());
        }
        Ok(Self { converter: RowConverter::new(vec![field]).map_err(|_| refuse())? })
    }

    pub(super) fn rows(&self, array: &ArrayRef) -> Result<Rows> {
        Ok(self.converter.convert_columns(&[normalised(array)])?)
    }
}

/// Whether there is a map in a type.
pub(super) fn has_map(t: &DataType) -> bool {
    match t {
        DataType::Map(..) => true,
        DataType::List(field) => has_map(field.data_type()),
        DataType::Struct(fields) => fields.iter().any(|f| has_map(f.data_type())),
        _ => false,
    }
}
