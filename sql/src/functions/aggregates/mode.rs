//! `mode`: the value that comes most often.
//!
//! Of values that come equally often Spark answers the one that its hash table yields first, or, where an order is asked
//! for, the least or the greatest. The table's order is reproduced for numbers, strings, dates and times: it is that of
//! the values' hash codes in an open-addressing table of 64 places that doubles when 70 % are taken. Other values have no
//! stable hash code in Spark; of them the first to arrive is answered.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, UInt32Array};
use arrow::datatypes::{
    DataType, Date32Type, Decimal128Type, DurationMicrosecondType, Float32Type, Float64Type, Int8Type, Int16Type,
    Int32Type, Int64Type, IntervalUnit, IntervalYearMonthType, TimestampMicrosecondType,
};
use arrow::row::{Row, RowConverter, SortField};
use datafusion::common::Result;

use super::distinct::normal;
use super::function::Call;
use super::groups::Groups;
use super::lists::{Finish, Values, keeping};
use super::percentile::is_true;
use crate::functions::hash;

/// `mode(x, is_ordered, is_descending)`.
pub(super) fn mode(call: &Call<'_>) -> Result<Box<dyn Groups>> {
    let ties = match (is_true(call, 1)?, is_true(call, 2)?) {
        (false, _) => Ties::Hashed,
        (true, false) => Ties::Least,
        (true, true) => Ties::Greatest,
    };
    Ok(keeping(call.types[..1].to_vec(), Arc::new(Mode { ties })))
}

#[derive(Clone, Copy)]
enum Ties {
    Hashed,
    Least,
    Greatest,
}

struct Mode {
    ties: Ties,
}

/// A value's row encoding, how often it came, and where first.
struct Counted<'a> {
    value: Row<'a>,
    count: usize,
    at: usize,
}

impl Finish for Mode {
    fn finish(&self, values: &Values<'_>) -> Result<ArrayRef> {
        let column = normal(&values.columns[0]);
        let converter = RowConverter::new(vec![SortField::new(column.data_type().clone())])?;
        let encoded = converter.convert_columns(&[Arc::clone(&column)])?;
        let mut best: Vec<Option<u32>> = Vec::new();
        for group in values.groups() {
            let mut places: HashMap<&[u8], usize> = HashMap::new();
            let mut counted: Vec<Counted<'_>> = Vec::new();
            for at in group {
                let place = *places.entry(encoded.row(at).data()).or_insert(counted.len());
                match counted.get_mut(place) {
                    Some(known) => known.count += 1,
                    None => counted.push(Counted { value: encoded.row(at), count: 1, at }),
                }
            }
            best.push(self.best(&counted, &column).map(|at| at as u32));
        }
        Ok(arrow::compute::take(&column, &UInt32Array::from(best), None)?)
    }
}

impl Mode {
    fn best(&self, counted: &[Counted<'_>], column: &ArrayRef) -> Option<usize> {
        let most = counted.iter().map(|one| one.count).max()?;
        let tied = counted.iter().filter(|one| one.count == most);
        let first = tied.clone().next()?;
        if tied.clone().nth(1).is_none() {
            return Some(first.at);
        }
        let one = match self.ties {
            Ties::Least => tied.min_by_key(|one| one.value)?,
            Ties::Greatest => tied.max_by_key(|one| one.value)?,
            Ties::Hashed => {
                let codes: Option<Vec<i32>> = counted.iter().map(|one| hash_code(column, one.at)).collect();
                match codes {
                    None => first,
                    Some(codes) => {
                        let order = table_order(&codes);
                        order.into_iter().map(|nth| &counted[nth]).find(|one| one.count == most)?
                    }
                }
            }
        };
        Some(one.at)
    }
}

/// The order in which Spark's table yields keys with these hash codes: as they were put in, then twice as they came out of
/// the table before, which is what sending and merging a state does.
fn table_order(codes: &[i32]) -> Vec<usize> {
    let arrival: Vec<usize> = (0..codes.len()).collect();
    (0..3).fold(arrival, |order, _| yielded(codes, &order))
}

fn yielded(codes: &[i32], order: &[usize]) -> Vec<usize> {
    let mut table: Vec<Option<usize>> = vec![None; 64];
    for (count, key) in order.iter().enumerate() {
        place(&mut table, codes, *key);
        if (count + 1) * 10 > table.len() * 7 {
            let mut larger = vec![None; table.len() * 2];
            table.into_iter().flatten().for_each(|key| place(&mut larger, codes, key));
            table = larger;
        }
    }
    table.into_iter().flatten().collect()
}

fn place(table: &mut [Option<usize>], codes: &[i32], key: usize) {
    let mask = table.len() - 1;
    let mut at = hash::murmur3_int(codes[key], 0) as usize & mask;
    let mut step = 1;
    while table[at].is_some() {
        at = (at + step) & mask;
        step += 1;
    }
    table[at] = Some(key);
}

/// Java's hash code of the value as Spark holds it, where that depends on nothing but the value.
fn hash_code(column: &ArrayRef, at: usize) -> Option<i32> {
    let of_long = |value: i64| (value ^ ((value as u64) >> 32) as i64) as i32;
    let of_double = |value: f64| of_long(if value.is_nan() { 0x7ff8_0000_0000_0000 } else { value.to_bits() as i64 });
    Some(match column.data_type() {
        DataType::Boolean => {
            if column.as_boolean().value(at) {
                1231
            } else {
                1237
            }
        }
        DataType::Int8 => i32::from(column.as_primitive::<Int8Type>().value(at)),
        DataType::Int16 => i32::from(column.as_primitive::<Int16Type>().value(at)),
        DataType::Int32 => column.as_primitive::<Int32Type>().value(at),
        DataType::Date32 => column.as_primitive::<Date32Type>().value(at),
        DataType::Interval(IntervalUnit::YearMonth) => column.as_primitive::<IntervalYearMonthType>().value(at),
        DataType::Int64 => of_long(column.as_primitive::<Int64Type>().value(at)),
        DataType::Timestamp(..) => of_long(column.as_primitive::<TimestampMicrosecondType>().value(at)),
        DataType::Duration(_) => of_long(column.as_primitive::<DurationMicrosecondType>().value(at)),
        DataType::Float32 => {
            let value = column.as_primitive::<Float32Type>().value(at);
            if value.is_nan() { 0x7fc0_0000 } else { value.to_bits() as i32 }
        }
        DataType::Float64 => of_double(column.as_primitive::<Float64Type>().value(at)),
        DataType::Utf8 => hash::of_text(column.as_string::<i32>().value(at)) as i32,
        DataType::Decimal128(_, scale) => {
            let unscaled = column.as_primitive::<Decimal128Type>().value(at);
            let unit = 10_i128.pow(u32::from(scale.unsigned_abs()));
            if *scale >= 0 && unscaled % unit == 0 {
                let whole = i64::try_from(unscaled / unit).ok()?;
                i32::try_from(whole).unwrap_or_else(|_| of_long(whole))
            } else {
                let mut text = Vec::new();
                millstream_formats::number::write_decimal_plain(unscaled, *scale, &mut text);
                of_double(std::str::from_utf8(&text).ok()?.parse().ok()?)
            }
        }
        _ => return None,
    })
}
