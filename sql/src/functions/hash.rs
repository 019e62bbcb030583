//! hash (Murmur3, 32 bits) and xxhash64, both from the seed 42 as in Spark; md5, sha and crc32.
//!
//! A row's hash is folded over its columns: each value is hashed with the hash so far as its seed, and null leaves it.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Int32Array, Int64Array};
use arrow::datatypes::{
    DataType, Date32Type, Decimal128Type, DurationMicrosecondType, Float32Type, Float64Type, Int8Type, Int16Type,
    Int32Type, Int64Type, IntervalYearMonthType, TimestampMicrosecondType,
};
use datafusion::common::Result;

use super::error::{refused, unsupported};
use super::function::{Call, Shape};
use super::order::has_map;

const SEED: u64 = 42;

/// INT, unless an argument is a map: Spark hashes none.
pub(super) fn hash_type(shape: &Shape<'_>) -> Result<DataType> {
    check(shape, DataType::Int32)
}

/// BIGINT, unless an argument is a map.
pub(super) fn xxhash64_type(shape: &Shape<'_>) -> Result<DataType> {
    check(shape, DataType::Int64)
}

fn check(shape: &Shape<'_>, returns: DataType) -> Result<DataType> {
    if shape.types.iter().any(has_map) {
        return Err(refused(
            "DATATYPE_MISMATCH.HASH_MAP_TYPE",
            "Input to the function `hash` cannot contain elements of the \"MAP\" type.",
        ));
    }
    Ok(returns)
}

/// `hash(…)`.
pub(super) fn hash(call: &Call<'_>) -> Result<ArrayRef> {
    let seeds = fold::<Murmur3>(call)?;
    Ok(Arc::new(Int32Array::from_iter_values(seeds.into_iter().map(|h| h as u32 as i32))))
}

/// `xxhash64(…)`.
pub(super) fn xxhash64(call: &Call<'_>) -> Result<ArrayRef> {
    let seeds = fold::<XxHash64>(call)?;
    Ok(Arc::new(Int64Array::from_iter_values(seeds.into_iter().map(|h| h as i64))))
}

fn fold<H: Hash>(call: &Call<'_>) -> Result<Vec<u64>> {
    let mut seeds = vec![SEED; call.rows];
    for at in 0..call.len() {
        let array = call.raw(at);
        for (row, seed) in seeds.iter_mut().enumerate() {
            *seed = value::<H>(array, call.row(at, row), *seed)?;
        }
    }
    Ok(seeds)
}

/// A hash function with a seed.
trait Hash {
    fn int(value: i32, seed: u64) -> u64;
    fn long(value: i64, seed: u64) -> u64;
    fn bytes(value: &[u8], seed: u64) -> u64;
}

fn value<H: Hash>(array: &ArrayRef, row: usize, seed: u64) -> Result<u64> {
    if array.is_null(row) {
        return Ok(seed);
    }
    Ok(match array.data_type() {
        DataType::Null => seed,
        DataType::Boolean => H::int(i32::from(array.as_boolean().value(row)), seed),
        DataType::Int8 => H::int(i32::from(array.as_primitive::<Int8Type>().value(row)), seed),
        DataType::Int16 => H::int(i32::from(array.as_primitive::<Int16Type>().value(row)), seed),
        DataType::Int32 => H::int(array.as_primitive::<Int32Type>().value(row), seed),
        DataType::Int64 => H::long(array.as_primitive::<Int64Type>().value(row), seed),
        DataType::Date32 => H::int(array.as_primitive::<Date32Type>().value(row), seed),
        DataType::Timestamp(..) => H::long(array.as_primitive::<TimestampMicrosecondType>().value(row), seed),
        DataType::Duration(_) => H::long(array.as_primitive::<DurationMicrosecondType>().value(row), seed),
        DataType::Interval(arrow::datatypes::IntervalUnit::YearMonth) => {
            H::int(array.as_primitive::<IntervalYearMonthType>().value(row), seed)
        }
        DataType::Float32 => H::int(float_bits(array.as_primitive::<Float32Type>().value(row)), seed),
        DataType::Float64 => H::long(double_bits(array.as_primitive::<Float64Type>().value(row)), seed),
        DataType::Decimal128(precision, _) => {
            let unscaled = array.as_primitive::<Decimal128Type>().value(row);
            if *precision <= 18 {
                H::long(unscaled as i64, seed)
            } else {
                H::bytes(shortest_bytes(&unscaled.to_be_bytes()), seed)
            }
        }
        DataType::Utf8 => H::bytes(array.as_string::<i32>().value(row).as_bytes(), seed),
        DataType::Binary => H::bytes(array.as_binary::<i32>().value(row), seed),
        DataType::List(_) => {
            let list = array.as_list::<i32>();
            let range = list.value_offsets()[row] as usize..list.value_offsets()[row + 1] as usize;
            range.into_iter().try_fold(seed, |seed, at| value::<H>(list.values(), at, seed))?
        }
        DataType::Struct(_) => array.as_struct().columns().iter().try_fold(seed, |seed, c| value::<H>(c, row, seed))?,
        other => return Err(unsupported(format!("hash of {other}"))),
    })
}

/// Java's `floatToIntBits`: one zero, one NaN.
fn float_bits(x: f32) -> i32 {
    if x == 0.0 {
        0
    } else if x.is_nan() {
        0x7fc0_0000
    } else {
        x.to_bits() as i32
    }
}

fn double_bits(x: f64) -> i64 {
    if x == 0.0 {
        0
    } else if x.is_nan() {
        0x7ff8_0000_0000_0000
    } else {
        x.to_bits() as i64
    }
}

/// Java's `BigInteger.toByteArray`: the fewest bytes in two's complement, the highest first.
fn shortest_bytes(bytes: &[u8]) -> &[u8] {
    let mut from = 0;
    while from + 1 < bytes.len() {
        let is_sign = (bytes[from] == 0 && bytes[from + 1] < 0x80) || (bytes[from] == 0xFF && bytes[from + 1] >= 0x80);
        if !is_sign {
            break;
        }
        from += 1;
    }
    &bytes[from..]
}

/// Murmur3's 32-bit form; Spark takes the bytes after the last whole word one by one, as signed words.
struct Murmur3;

impl Murmur3 {
    fn mix(h: u32, k: u32) -> u32 {
        let k = k.wrapping_mul(0xcc9e_2d51).rotate_left(15).wrapping_mul(0x1b87_3593);
        (h ^ k).rotate_left(13).wrapping_mul(5).wrapping_add(0xe654_6b64)
    }

    fn finish(h: u32, length: u32) -> u64 {
        let mut h = h ^ length;
        h = (h ^ (h >> 16)).wrapping_mul(0x85eb_ca6b);
        h = (h ^ (h >> 13)).wrapping_mul(0xc2b2_ae35);
        u64::from(h ^ (h >> 16))
    }
}

impl Hash for Murmur3 {
    fn int(value: i32, seed: u64) -> u64 {
        Self::finish(Self::mix(seed as u32, value as u32), 4)
    }

    fn long(value: i64, seed: u64) -> u64 {
        let low = Self::mix(seed as u32, value as u32);
        Self::finish(Self::mix(low, (value as u64 >> 32) as u32), 8)
    }

    fn bytes(value: &[u8], seed: u64) -> u64 {
        let (words, rest) = value.as_chunks::<4>();
        let h = words.iter().fold(seed as u32, |h, word| Self::mix(h, u32::from_le_bytes(*word)));
        let h = rest.iter().fold(h, |h, byte| Self::mix(h, *byte as i8 as i32 as u32));
        Self::finish(h, value.len() as u32)
    }
}

/// XXH64.
struct XxHash64;

const P1: u64 = 0x9E37_79B1_85EB_CA87;
const P2: u64 = 0xC2B2_AE3D_27D4_EB4F;
const P3: u64 = 0x1656_67B1_9E37_79F9;
const P4: u64 = 0x85EB_CA77_C2B2_AE63;
const P5: u64 = 0x27D4_EB2F_1656_67C5;

impl XxHash64 {
    fn finish(mut h: u64) -> u64 {
        h = (h ^ (h >> 33)).wrapping_mul(P2);
        h = (h ^ (h >> 29)).wrapping_mul(P3);
        h ^ (h >> 32)
    }

    fn round(acc: u64, lane: u64) -> u64 {
        acc.wrapping_add(lane.wrapping_mul(P2)).rotate_left(31).wrapping_mul(P1)
    }

    fn add_long(h: u64, lane: u64) -> u64 {
        (h ^ Self::round(0, lane)).rotate_left(27).wrapping_mul(P1).wrapping_add(P4)
    }

    fn add_int(h: u64, lane: u32) -> u64 {
        (h ^ u64::from(lane).wrapping_mul(P1)).rotate_left(23).wrapping_mul(P2).wrapping_add(P3)
    }

    /// The hash of the whole 32-byte stripes at the start, or the seed's where there are none.
    fn stripes(value: &[[u8; 8]], seed: u64) -> u64 {
        let (stripes, _) = value.as_chunks::<4>();
        if stripes.is_empty() {
            return seed.wrapping_add(P5);
        }
        let mut lanes = [seed.wrapping_add(P1).wrapping_add(P2), seed.wrapping_add(P2), seed, seed.wrapping_sub(P1)];
        for stripe in stripes {
            for (lane, word) in lanes.iter_mut().zip(stripe) {
                *lane = Self::round(*lane, u64::from_le_bytes(*word));
            }
        }
        let mut h = lanes.iter().zip([1, 7, 12, 18]).fold(0u64, |h, (lane, by)| h.wrapping_add(lane.rotate_left(by)));
        for lane in lanes {
            h = (h ^ Self::round(0, lane)).wrapping_mul(P1).wrapping_add(P4);
        }
        h
    }
}

impl Hash for XxHash64 {
    fn int(value: i32, seed: u64) -> u64 {
        Self::finish(Self::add_int(seed.wrapping_add(P5).wrapping_add(4), value as u32))
    }

    fn long(value: i64, seed: u64) -> u64 {
        Self::finish(Self::add_long(seed.wrapping_add(P5).wrapping_add(8), value as u64))
    }

    fn bytes(value: &[u8], seed: u64) -> u64 {
        let (words, rest) = value.as_chunks::<8>();
        let mut h = Self::stripes(words, seed).wrapping_add(value.len() as u64);
        for word in &words[words.len() / 4 * 4..] {
            h = Self::add_long(h, u64::from_le_bytes(*word));
        }
        let (halves, rest) = rest.as_chunks::<4>();
        h = halves.iter().fold(h, |h, half| Self::add_int(h, u32::from_le_bytes(*half)));
        for byte in rest {
            h = (h ^ u64::from(*byte).wrapping_mul(P5)).rotate_left(11).wrapping_mul(P1);
        }
        Self::finish(h)
    }
}

/// `md5(x)`.
pub(super) fn md5(call: &Call<'_>) -> Result<ArrayRef> {
    call.delegate(&datafusion::functions::crypto::md5())
}

/// `sha1(x)`.
pub(super) fn sha1(call: &Call<'_>) -> Result<ArrayRef> {
    call.delegate(&datafusion_spark::function::hash::sha1())
}

/// `sha2(x, bits)`: null for a number of bits that SHA-2 has not.
pub(super) fn sha2(call: &Call<'_>) -> Result<ArrayRef> {
    call.delegate(&datafusion_spark::function::hash::sha2())
}

/// `crc32(x)`.
pub(super) fn crc32(call: &Call<'_>) -> Result<ArrayRef> {
    call.delegate(&datafusion_spark::function::hash::crc32())
}

/// The `xxhash64` of every value of a column; of nulls, anything.
pub(super) fn xxhash64_values(array: &ArrayRef) -> Result<Vec<u64>> {
    let hash = |value: i64| XxHash64::long(value, SEED);
    Ok(match array.data_type() {
        DataType::Int32 => {
            array.as_primitive::<Int32Type>().values().iter().map(|value| XxHash64::int(*value, SEED)).collect()
        }
        DataType::Int64 => array.as_primitive::<Int64Type>().values().iter().map(|value| hash(*value)).collect(),
        DataType::Timestamp(..) => {
            array.as_primitive::<TimestampMicrosecondType>().values().iter().map(|value| hash(*value)).collect()
        }
        DataType::Utf8 => {
            let texts = array.as_string::<i32>();
            (0..texts.len()).map(|row| XxHash64::bytes(texts.value(row).as_bytes(), SEED)).collect()
        }
        _ => (0..array.len()).map(|row| value::<XxHash64>(array, row, SEED)).collect::<Result<_>>()?,
    })
}

/// The Murmur3 of an INT.
pub(super) fn murmur3_int(value: i32, seed: u64) -> u32 {
    Murmur3::int(value, seed) as u32
}

/// A string's `hashCode` in Spark: its Murmur3.
pub(super) fn of_text(text: &str) -> u32 {
    Murmur3::bytes(text.as_bytes(), SEED) as u32
}
