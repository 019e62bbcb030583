//! Into structs, arrays and maps: `s.f`, `a[0]`, `m['k']`, and the fields of an array's structs.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, Int32Array, ListArray, MapArray, StructArray, UInt64Array, make_comparator,
};
use arrow::buffer::OffsetBuffer;
use arrow::compute::{SortOptions, take};
use arrow::datatypes::{DataType, Field, FieldRef, Fields, Int64Type};
use datafusion::common::{DataFusionError, Result, ScalarValue};
use datafusion::functions::core::expr_fn::get_field;
use datafusion::logical_expr::{Expr, lit};

use super::error::runtime;
use super::operator::{Call, Operator, Shape};
use super::semantics::Semantics;
use super::sql_type_name;
use super::types::is_integer;

pub(super) const ARRAY_ITEM: Operator = Operator { name: "spark_array_item", returns: element_type, run: array_item };
pub(super) const MAP_VALUE: Operator = Operator { name: "spark_map_value", returns: value_type, run: map_value };
pub(super) const ARRAY_FIELD: Operator =
    Operator { name: "spark_array_field", returns: array_field_type, run: array_field };
pub(super) const MAP_ENTRIES: Operator =
    Operator { name: "spark_map_entries", returns: entries_type, run: map_entries };
pub(super) const WITH_POSITIONS: Operator =
    Operator { name: "spark_with_positions", returns: positions_type, run: with_positions };

/// `expr.name`.
pub(super) fn field(semantics: &Semantics<'_>, expr: Expr, name: &str) -> Result<Expr> {
    match semantics.type_of(&expr)? {
        DataType::Struct(fields) => Ok(get_field(expr, exact_name(&fields, name)?)),
        DataType::List(element) => match element.data_type() {
            DataType::Struct(fields) => Ok(ARRAY_FIELD.call(vec![expr, lit(exact_name(fields, name)?)])),
            _ => Err(no_fields(&DataType::List(element), name)),
        },
        DataType::Map(..) => item(semantics, expr, lit(name)),
        other => Err(no_fields(&other, name)),
    }
}

/// `expr[index]`.
pub(super) fn item(semantics: &Semantics<'_>, expr: Expr, index: Expr) -> Result<Expr> {
    let index_type = semantics.type_of(&index)?;
    match semantics.type_of(&expr)? {
        DataType::List(_) if is_integer(&index_type) || index_type.is_null() => {
            Ok(ARRAY_ITEM.call(vec![expr, semantics.cast(index, &DataType::Int64, false)?]))
        }
        DataType::List(_) => Err(DataFusionError::Plan(format!(
            "[DATATYPE_MISMATCH.UNEXPECTED_INPUT_TYPE] the index of an array must be a whole number, not \"{}\".",
            sql_type_name(&index_type)
        ))),
        DataType::Map(entries, _) => match entries.data_type() {
            DataType::Struct(fields) => {
                Ok(MAP_VALUE.call(vec![expr, semantics.cast(index, fields[0].data_type(), false)?]))
            }
            other => Err(no_fields(other, "key")),
        },
        DataType::Struct(fields) => match index {
            Expr::Literal(ScalarValue::Utf8(Some(name)), _) => Ok(get_field(expr, exact_name(&fields, &name)?)),
            _ => Err(DataFusionError::Plan(
                "[INVALID_EXTRACT_FIELD_TYPE] a struct's field is named by a string, as in s['f'] or s.f".to_string(),
            )),
        },
        other => Err(no_fields(&other, "index")),
    }
}

/// The field's name as the struct spells it.
fn exact_name(fields: &Fields, name: &str) -> Result<String> {
    let mut found = fields.iter().filter(|field| field.name().eq_ignore_ascii_case(name));
    match (found.next(), found.next()) {
        (Some(field), None) => Ok(field.name().clone()),
        (Some(_), Some(_)) => Err(DataFusionError::Plan(format!(
            "[AMBIGUOUS_REFERENCE_TO_FIELDS] Ambiguous reference to the field `{name}`: it appears several times in the struct."
        ))),
        (None, _) => {
            let names: Vec<String> = fields.iter().map(|field| format!("`{}`", field.name())).collect();
            Err(DataFusionError::Plan(format!(
                "[FIELD_NOT_FOUND] No such struct field `{name}` in {}.",
                names.join(", ")
            )))
        }
    }
}

fn no_fields(data_type: &DataType, name: &str) -> DataFusionError {
    DataFusionError::Plan(format!(
        "[INVALID_EXTRACT_BASE_FIELD_TYPE] Can't extract `{name}` from \"{}\": it needs an array, a map or a struct.",
        sql_type_name(data_type)
    ))
}

fn element_type(shape: &Shape<'_>) -> Result<DataType> {
    match shape.data_type(0) {
        DataType::List(element) => Ok(element.data_type().clone()),
        other => Err(no_fields(other, "index")),
    }
}

fn entry_fields(data_type: &DataType) -> Result<&Fields> {
    match data_type {
        DataType::Map(entries, _) => match entries.data_type() {
            DataType::Struct(fields) => Ok(fields),
            other => Err(no_fields(other, "key")),
        },
        other => Err(no_fields(other, "key")),
    }
}

fn value_type(shape: &Shape<'_>) -> Result<DataType> {
    Ok(entry_fields(shape.data_type(0))?[1].data_type().clone())
}

fn entries_type(shape: &Shape<'_>) -> Result<DataType> {
    let fields = entry_fields(shape.data_type(0))?.clone();
    Ok(DataType::List(Arc::new(Field::new("element", DataType::Struct(fields), false))))
}

fn array_field_type(shape: &Shape<'_>) -> Result<DataType> {
    match shape.data_type(0) {
        DataType::List(element) => match element.data_type() {
            DataType::Struct(fields) => {
                let field = fields
                    .iter()
                    .find(|field| field.name() == shape.text(1))
                    .ok_or_else(|| no_fields(element.data_type(), shape.text(1)))?;
                Ok(list_of(field.data_type().clone()))
            }
            other => Err(no_fields(other, shape.text(1))),
        },
        other => Err(no_fields(other, shape.text(1))),
    }
}

fn list_of(element: DataType) -> DataType {
    DataType::List(Arc::new(Field::new("element", element, true)))
}

fn positions_type(shape: &Shape<'_>) -> Result<DataType> {
    let position = Field::new("pos", DataType::Int32, false);
    let fields: Vec<Field> = match shape.data_type(0) {
        DataType::List(element) => vec![position, Field::new("col", element.data_type().clone(), true)],
        map => [position].into_iter().chain(entry_fields(map)?.iter().map(|field| field.as_ref().clone())).collect(),
    };
    Ok(list_of(DataType::Struct(fields.into())))
}

/// Elements from 0; outside of the array is an error, a null array or index gives null.
fn array_item(call: &Call<'_>) -> Result<ArrayRef> {
    let (array, index) = (call.array(0)?, call.array(1)?);
    let (list, index) = (array.as_list::<i32>(), index.as_primitive::<Int64Type>());
    let mut places: Vec<Option<u64>> = Vec::with_capacity(list.len());
    for row in 0..list.len() {
        if list.is_null(row) || index.is_null(row) {
            places.push(None);
            continue;
        }
        // As in Spark, an index is an INT: a BIGINT is cut to one.
        #[expect(clippy::cast_possible_truncation, reason = "this is what Spark does")]
        let wanted = i64::from(index.value(row) as i32);
        let length = i64::from(list.value_length(row));
        if wanted < 0 || wanted >= length {
            return Err(runtime(format!(
                "[INVALID_ARRAY_INDEX] The index {wanted} is out of bounds. The array has {length} elements. Use the SQL function `get()` to \
                 tolerate accessing element at invalid index and return NULL instead."
            )));
        }
        places.push(u64::try_from(i64::from(list.value_offsets()[row]) + wanted).ok());
    }
    Ok(take(list.values(), &UInt64Array::from(places), None)?)
}

/// The value of the key, null where there is none.
fn map_value(call: &Call<'_>) -> Result<ArrayRef> {
    let (map, key) = (call.array(0)?, call.array(1)?);
    let map = map.as_map();
    let equals = make_comparator(map.keys(), key.as_ref(), SortOptions::default())?;
    let places: UInt64Array = (0..map.len())
        .map(|row| {
            if map.is_null(row) || key.is_null(row) {
                return None;
            }
            let range =
                usize::try_from(map.value_offsets()[row]).ok()?..usize::try_from(map.value_offsets()[row + 1]).ok()?;
            range.into_iter().find(|place| equals(*place, row).is_eq()).and_then(|place| u64::try_from(place).ok())
        })
        .collect();
    Ok(take(map.values(), &places, None)?)
}

/// The field of each element's struct.
fn array_field(call: &Call<'_>) -> Result<ArrayRef> {
    let array = call.array(0)?;
    let list = array.as_list::<i32>();
    let structs = list.values().as_struct();
    let name = call.text(1);
    let column = structs.column_by_name(name).ok_or_else(|| no_fields(list.data_type(), name))?;
    // A null struct has a null field.
    let nulls = arrow::buffer::NullBuffer::union(structs.nulls(), column.nulls());
    let column = arrow::array::make_array(column.to_data().into_builder().nulls(nulls).build()?);
    let DataType::List(element) = call.returns else { return Err(no_fields(call.returns, name)) };
    Ok(Arc::new(ListArray::try_new(Arc::clone(element), list.offsets().clone(), column, list.nulls().cloned())?))
}

fn map_entries(call: &Call<'_>) -> Result<ArrayRef> {
    let array = call.array(0)?;
    let map: &MapArray = array.as_map();
    let DataType::List(element) = call.returns else { return Err(no_fields(call.returns, "element")) };
    Ok(Arc::new(ListArray::try_new(
        Arc::clone(element),
        map.offsets().clone(),
        Arc::new(map.entries().clone()),
        map.nulls().cloned(),
    )?))
}

fn with_positions(call: &Call<'_>) -> Result<ArrayRef> {
    let array = call.array(0)?;
    let (offsets, columns, nulls): (&OffsetBuffer<i32>, Vec<ArrayRef>, _) = match array.data_type() {
        DataType::List(_) => {
            let list = array.as_list::<i32>();
            (list.offsets(), vec![Arc::clone(list.values())], list.nulls())
        }
        _ => {
            let map = array.as_map();
            (map.offsets(), map.entries().columns().to_vec(), map.nulls())
        }
    };
    let values = columns.first().map_or(0, |column| column.len());
    let mut positions = vec![0_i32; values];
    for window in offsets.windows(2) {
        let range = usize::try_from(window[0]).unwrap_or(0)..usize::try_from(window[1]).unwrap_or(0);
        for (position, value) in positions[range].iter_mut().enumerate() {
            *value = i32::try_from(position).unwrap_or(i32::MAX);
        }
    }
    let element: &FieldRef = match call.returns {
        DataType::List(element) => element,
        other => return Err(no_fields(other, "element")),
    };
    let DataType::Struct(fields) = element.data_type() else { return Err(no_fields(call.returns, "element")) };
    let columns = std::iter::once(Arc::new(Int32Array::from(positions)) as ArrayRef).chain(columns).collect();
    let structs = StructArray::try_new(fields.clone(), columns, None)?;
    Ok(Arc::new(ListArray::try_new(Arc::clone(element), offsets.clone(), Arc::new(structs), nulls.cloned())?))
}
