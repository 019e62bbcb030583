//! typeof, version, the session's names, functions of chance, casts that are called by a type's name.

use arrow::array::{ArrayRef, StringArray};
use arrow::datatypes::{DataType, Float64Type};
use datafusion::common::Result;

use super::cast;
use super::function::{Call, Shape};
use super::rows::{numbers, texts};
use super::types;

fn constant(call: &Call<'_>, text: &str) -> Result<ArrayRef> {
    texts(call.rows, |_, out| {
        out.push_str(text);
        Ok(Some(()))
    })
}

/// `typeof(x)`: the type's name.
pub(super) fn type_of(call: &Call<'_>) -> Result<ArrayRef> {
    constant(call, &millstream_formats::ddl::type_name(&types::plain(call.raw(0).data_type())))
}

/// `version()`.
pub(super) fn version(call: &Call<'_>) -> Result<ArrayRef> {
    constant(call, concat!("millstream ", env!("CARGO_PKG_VERSION")))
}

/// `current_catalog()`.
pub(super) fn current_catalog(call: &Call<'_>) -> Result<ArrayRef> {
    constant(call, "spark_catalog")
}

/// `current_database()`.
pub(super) fn current_database(call: &Call<'_>) -> Result<ArrayRef> {
    constant(call, "default")
}

/// `current_timezone()`.
pub(super) fn current_timezone(call: &Call<'_>) -> Result<ArrayRef> {
    let zone = call.config.execution.time_zone.clone();
    constant(call, zone.as_deref().unwrap_or("UTC"))
}

/// `uuid()`.
pub(super) fn uuid(call: &Call<'_>) -> Result<ArrayRef> {
    texts(call.rows, |_, out| {
        use std::fmt::Write;
        Ok(write!(out, "{}", uuid::Uuid::new_v4()).ok())
    })
}

/// `rand()`: each from 0 to below 1. A seed has no say: the order of a stream's rows has none either.
pub(super) fn rand(call: &Call<'_>) -> Result<ArrayRef> {
    numbers::<Float64Type>(call.rows, |_| Ok(Some(uniform())))
}

/// `randn()`: normally distributed, by the transform of Box and Muller.
pub(super) fn randn(call: &Call<'_>) -> Result<ArrayRef> {
    numbers::<Float64Type>(call.rows, |_| {
        let radius = (-2.0 * (1.0 - uniform()).ln()).sqrt();
        Ok(Some(radius * (std::f64::consts::TAU * uniform()).cos()))
    })
}

/// 53 random bits as a fraction.
fn uniform() -> f64 {
    let bits = uuid::Uuid::new_v4().as_u128();
    // Six of a UUID's bits are fixed; the low 62 are not.
    ((bits as u64 & ((1 << 53) - 1)) as f64) / (1u64 << 53) as f64
}

macro_rules! casts {
    ($($(#[$doc:meta])* $name:ident),* $(,)?) => {
        $($(#[$doc])* pub(super) fn $name(call: &Call<'_>) -> Result<ArrayRef> {
            cast::to(&call.array(0)?, call.returns, &call.zone()?)
        })*
    };
}

casts! {
    /// `string(x)`, `int(x)`, …: a cast by the type's name.
    cast_by_name,
}

/// The type of `decimal(x)`: DECIMAL(10,0).
pub(super) fn default_decimal(_: &Shape<'_>) -> Result<DataType> {
    Ok(DataType::Decimal128(10, 0))
}

/// The type of `smallint(x)`.
pub(super) fn short(_: &Shape<'_>) -> Result<DataType> {
    Ok(DataType::Int16)
}

macro_rules! delegates {
    ($($(#[$doc:meta])* $name:ident => $to:expr),* $(,)?) => {
        $($(#[$doc])* pub(super) fn $name(call: &Call<'_>) -> Result<ArrayRef> { call.delegate(&$to) })*
    };
}

delegates! {
    /// `soundex(s)`.
    soundex => datafusion_spark::function::string::soundex(),
    /// `luhn_check(s)`.
    luhn_check => datafusion_spark::function::string::luhn_check(),
    /// `format_string(format, …)`.
    format_string => datafusion_spark::function::string::format_string(),
    /// `url_encode(s)`.
    url_encode => datafusion_spark::function::url::url_encode(),
    /// `url_decode(s)`.
    url_decode => datafusion_spark::function::url::url_decode(),
    /// `try_url_decode(s)`.
    try_url_decode => datafusion_spark::function::url::try_url_decode(),
    /// `parse_url(url, part [, key])`.
    parse_url => datafusion_spark::function::url::parse_url(),
    /// `try_parse_url(url, part [, key])`.
    try_parse_url => datafusion_spark::function::url::try_parse_url(),
    /// `bitmap_bit_position(n)`.
    bitmap_bit_position => datafusion_spark::function::bitmap::bitmap_bit_position(),
    /// `bitmap_bucket_number(n)`.
    bitmap_bucket_number => datafusion_spark::function::bitmap::bitmap_bucket_number(),
    /// `bitmap_count(b)`.
    bitmap_count => datafusion_spark::function::bitmap::bitmap_count(),
    /// `is_valid_utf8(s)`.
    is_valid_utf8 => datafusion_spark::function::string::is_valid_utf8(),
    /// `shuffle(a)`.
    shuffle => datafusion_spark::function::array::shuffle(),
}

/// `elt(n, …)`: the n-th of the strings; null outside them.
pub(super) fn elt(call: &Call<'_>) -> Result<ArrayRef> {
    let index = call.column::<arrow::array::Int32Array>(0)?;
    let items = (1..call.len()).map(|at| call.column::<StringArray>(at)).collect::<Result<Vec<_>>>()?;
    texts(call.rows, |row, out| {
        let Some(n) = index.get(row) else { return Ok(None) };
        match usize::try_from(n).ok().and_then(|n| items.get(n.wrapping_sub(1))) {
            Some(item) => Ok(item.get(row).map(|s| out.push_str(s))),
            None => Err(super::error::fails(
                "INVALID_ARRAY_INDEX",
                format!(
                    "The index {n} is out of bounds. The array has {} elements. Use the SQL function `get()` to tolerate accessing element at invalid index and return NULL instead.",
                    items.len()
                ),
            )),
        }
    })
}

/// A double argument's column, for functions that only pass it on.
pub(super) fn identity(call: &Call<'_>) -> Result<ArrayRef> {
    call.array(0)
}
