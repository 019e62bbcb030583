//! typeof, version, the session's names, functions of chance, casts that are called by a type's name.

use arrow::array::{ArrayRef, StringArray};
use arrow::datatypes::{DataType, Float64Type};
use datafusion::common::Result;

use super::cast;
use super::error::{fails, unsupported};
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

/// `rand()`: each from 0 to below 1.
pub(super) fn rand(call: &Call<'_>) -> Result<ArrayRef> {
    refuse_seed(call)?;
    numbers::<Float64Type>(call.rows, |_| Ok(Some(uniform())))
}

/// `randn()`: normally distributed, by the transform of Box and Muller.
pub(super) fn randn(call: &Call<'_>) -> Result<ArrayRef> {
    refuse_seed(call)?;
    numbers::<Float64Type>(call.rows, |_| {
        let radius = (-2.0 * (1.0 - uniform()).ln()).sqrt();
        Ok(Some(radius * (std::f64::consts::TAU * uniform()).cos()))
    })
}

/// With a seed, Spark's numbers depend on partitions and the order of rows, which are others here.
fn refuse_seed(call: &Call<'_>) -> Result<()> {
    if call.has(0) {
        Err(unsupported(format!("{} with a seed; without one it is supported", call.name)))
    } else {
        Ok(())
    }
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
    /// `url_encode(s)`.
    url_encode => datafusion_spark::function::url::url_encode(),
    /// `try_url_decode(s)`.
    try_url_decode => datafusion_spark::function::url::try_url_decode(),
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
            None => Err(fails(
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

/// `url_decode(s)`.
pub(super) fn url_decode(call: &Call<'_>) -> Result<ArrayRef> {
    call.delegate(&datafusion_spark::function::url::url_decode()).map_err(|error| {
        fails("CANNOT_DECODE_URL", format!("The provided URL cannot be decoded: {error}. Use `try_url_decode` to tolerate it and return NULL instead."))
    })
}

/// `parse_url(url, part [, key])`.
pub(super) fn parse_url(call: &Call<'_>) -> Result<ArrayRef> {
    let urls = call.column::<StringArray>(0)?;
    let invalid = |url: &str| {
        fails(
            "INVALID_URL",
            format!("The url is invalid: {url}. Use `try_parse_url` to tolerate invalid URL and return NULL instead."),
        )
    };
    // Java's URI takes none of these anywhere.
    let is_illegal = |c: char| c <= ' ' || "<>\"{}|\\^`".contains(c) || (c.is_whitespace() || c.is_control());
    for row in 0..call.rows {
        if let Some(url) = urls.get(row).filter(|url| url.contains(is_illegal)) {
            return Err(invalid(url));
        }
    }
    let first = (0..call.rows).find_map(|row| urls.get(row)).unwrap_or("");
    call.delegate(&datafusion_spark::function::url::parse_url()).map_err(|_| invalid(first))
}

/// A STRING is always UTF-8 here; a binary is checked.
fn checked_utf8(call: &Call<'_>, on_invalid: fn(&[u8]) -> Result<Option<String>>) -> Result<ArrayRef> {
    if *call.raw(0).data_type() == DataType::Utf8 {
        return call.array(0);
    }
    let source = call.column::<arrow::array::BinaryArray>(0)?;
    texts(call.rows, |row, out| {
        let Some(bytes) = source.get(row) else { return Ok(None) };
        match std::str::from_utf8(bytes) {
            Ok(text) => out.push_str(text),
            Err(_) => match on_invalid(bytes)? {
                Some(text) => out.push_str(&text),
                None => return Ok(None),
            },
        }
        Ok(Some(()))
    })
}

/// `make_valid_utf8(s)`.
pub(super) fn make_valid_utf8(call: &Call<'_>) -> Result<ArrayRef> {
    checked_utf8(call, |bytes| Ok(Some(String::from_utf8_lossy(bytes).into_owned())))
}

/// `validate_utf8(s)`.
pub(super) fn validate_utf8(call: &Call<'_>) -> Result<ArrayRef> {
    checked_utf8(call, |bytes| {
        let shown: String = bytes.iter().map(|b| format!("\\x{b:02X}")).collect();
        Err(fails("INVALID_UTF8_STRING", format!("Invalid UTF8 byte sequence found in string: {shown}.")))
    })
}

/// `try_validate_utf8(s)`.
pub(super) fn try_validate_utf8(call: &Call<'_>) -> Result<ArrayRef> {
    checked_utf8(call, |_| Ok(None))
}
