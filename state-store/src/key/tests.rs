//! Golden vectors of key bytes and hashes, and the laws of keys.

use arrow_array::types::Int32Type;
use arrow_array::{
    BooleanArray, Date32Array, Decimal128Array, Float32Array, Float64Array, Int8Array, Int16Array, Int32Array,
    Int64Array, ListArray, StringArray, TimestampMicrosecondArray,
};

use arrow_buffer::OffsetBuffer;

use super::*;

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn encoder(columns: &[ArrayRef]) -> Result<KeyEncoder> {
    let field = |(i, column): (usize, &ArrayRef)| Field::new(format!("c{i}"), column.data_type().clone(), true);
    KeyEncoder::new(columns.iter().enumerate().map(field).collect::<Vec<_>>())
}

fn golden_columns() -> Result<Vec<(ArrayRef, Vec<&'static str>)>> {
    let list = ListArray::from_iter_primitive::<Int32Type, _, _>([Some(vec![Some(1), None]), Some(vec![]), None]);
    let decimal = Decimal128Array::from(vec![Some(-1), Some(12345), None]).with_precision_and_scale(10, 2)?;
    Ok(vec![
        (Arc::new(BooleanArray::from(vec![Some(false), Some(true), None])), vec!["0100", "0101", "0000"]),
        (Arc::new(Int8Array::from(vec![Some(-1), Some(42), None])), vec!["017f", "01aa", "0000"]),
        (Arc::new(Int16Array::from(vec![Some(-1), Some(42), None])), vec!["017fff", "01802a", "000000"]),
        (Arc::new(Int32Array::from(vec![Some(-1), Some(42), None])), vec!["017fffffff", "018000002a", "0000000000"]),
        (
            Arc::new(Int64Array::from(vec![Some(-1), Some(42), None])),
            vec!["017fffffffffffffff", "01800000000000002a", "000000000000000000"],
        ),
        (
            Arc::new(Float32Array::from(vec![Some(1.5), Some(f32::NAN), None])),
            vec!["01bfc00000", "01ffc00000", "0000000000"],
        ),
        (
            Arc::new(Float64Array::from(vec![Some(-1.5), Some(f64::NAN), None])),
            vec!["014007ffffffffffff", "01fff8000000000000", "000000000000000000"],
        ),
        (
            Arc::new(decimal),
            vec![
                "017fffffffffffffffffffffffffffffff",
                "0180000000000000000000000000003039",
                "0000000000000000000000000000000000",
            ],
        ),
        (Arc::new(Date32Array::from(vec![Some(20000), None])), vec!["0180004e20", "0000000000"]),
        (
            Arc::new(TimestampMicrosecondArray::from(vec![Some(1_700_000_000_000_000), None]).with_timezone("UTC")),
            vec!["0180060a24181e4000", "000000000000000000"],
        ),
        (
            Arc::new(StringArray::from(vec![Some(""), Some("ab"), Some("123456789"), None])),
            vec!["01", "02616200000000000002", "023132333435363738ff390000000000000001", "00"],
        ),
        (Arc::new(list), vec!["020180000001000000050200000000000000000501", "01", "00"]),
    ])
}

#[test]
fn key_bytes_are_pinned() -> Result<()> {
    for (column, expected) in golden_columns()? {
        let keys = encoder(&[Arc::clone(&column)])?.encode(&[Arc::clone(&column)])?;
        let found: Vec<String> = (0..keys.len()).map(|row| hex(keys.key(row))).collect();
        assert_eq!(found, expected, "{}: bytes changed, which needs a new key encoding version", column.data_type());
    }
    Ok(())
}

#[test]
fn hashes_and_key_groups_are_pinned() -> Result<()> {
    let columns: [ArrayRef; 2] =
        [Arc::new(Int64Array::from(vec![Some(1), Some(2), None])), Arc::new(StringArray::from(vec!["a", "b", ""]))];
    let keys = encoder(&columns)?.encode(&columns)?;
    assert_eq!(keys.hashes(), [3_863_772_016_819_208_942, 15_061_158_146_778_130_471, 10_391_212_014_537_390_374]);
    assert_eq!(keys.key_groups(), [750, 2087, 2342]);
    assert_eq!(keys.partitions(5), [0, 2, 2]);
    Ok(())
}

#[test]
fn zeros_are_one_key_and_so_are_nans() -> Result<()> {
    let odd_nan = f64::from_bits(0xFFF0_0000_0000_0001);
    let floats: ArrayRef = Arc::new(Float64Array::from(vec![0.0, -0.0, f64::NAN, odd_nan, -f64::NAN]));
    let single: ArrayRef =
        Arc::new(Float32Array::from(vec![0.0, -0.0, f32::NAN, -f32::NAN, f32::from_bits(0xFF80_0001)]));
    let half = arrow_cast::cast(&floats, &DataType::Float16)?;
    let item = Arc::new(Field::new("element", DataType::Float64, true));
    let lists: ArrayRef = Arc::new(ListArray::new(item, OffsetBuffer::from_lengths([1; 5]), Arc::clone(&floats), None));
    let fields = Fields::from(vec![Field::new("list", lists.data_type().clone(), true)]);
    let structs: ArrayRef = Arc::new(StructArray::new(fields, vec![Arc::clone(&lists)], None));
    for column in [floats, single, half, lists, structs] {
        let keys = encoder(&[Arc::clone(&column)])?.encode(&[Arc::clone(&column)])?;
        assert_eq!(keys.key(0), keys.key(1), "{}", column.data_type());
        assert_eq!(keys.key(2), keys.key(3), "{}", column.data_type());
        assert_eq!(keys.key(2), keys.key(4), "{}", column.data_type());
        assert_ne!(keys.key(0), keys.key(2), "{}", column.data_type());
    }
    Ok(())
}

#[test]
fn keys_sort_as_their_columns_and_come_back() -> Result<()> {
    let numbers = vec![None, Some(i64::MIN), Some(-5), Some(0), Some(5), Some(i64::MAX)];
    let names = vec![None, Some(""), Some("a"), Some("a\0"), Some("ab"), Some("ä")];
    let (mut left, mut right) = (Vec::new(), Vec::new());
    for number in &numbers {
        for name in &names {
            left.push(*number);
            right.push(*name);
        }
    }
    let columns: [ArrayRef; 2] = [Arc::new(Int64Array::from(left)), Arc::new(StringArray::from(right))];
    let encoder = encoder(&columns)?;
    let keys = encoder.encode(&columns)?;
    assert!((1..keys.len()).all(|row| keys.key(row - 1) < keys.key(row)), "the columns were in order");
    assert_eq!(encoder.decode(&keys)?, columns);
    let picked = keys.take(&UInt32Array::from(vec![3, 1, 3]))?;
    assert_eq!((picked.key(0), picked.key(1), picked.hashes()[2]), (keys.key(3), keys.key(1), keys.hashes()[3]));
    assert_eq!(encoder.decode(&keys.slice(2, 1))?[1].as_string::<i32>().value(0), "a");
    assert_eq!(Keys::from_parts(keys.bytes().clone(), &keys.hash_array())?, keys);
    Ok(())
}

#[test]
fn fixed_lengths_are_the_real_ones() -> Result<()> {
    for (column, _) in golden_columns()? {
        let encoder = encoder(&[Arc::clone(&column)])?;
        let keys = encoder.encode(&[Arc::clone(&column)])?;
        if let Some(bytes) = encoder.fixed_key_bytes() {
            assert!((0..keys.len()).all(|row| keys.key(row).len() == bytes), "{}", column.data_type());
        }
    }
    assert_eq!(Keys::of_no_columns(3).key(2), b"");
    Ok(())
}

#[test]
fn wrong_columns_are_named() -> Result<()> {
    let encoder = KeyEncoder::new(vec![Field::new("user", DataType::Utf8, true)])?;
    let numbers: ArrayRef = Arc::new(Int64Array::from(vec![1]));
    let error = encoder.encode(&[numbers]).expect_err("a number is no string");
    assert_eq!(error.to_string(), "key column 'user' is Utf8, but was given Int64");
    Ok(())
}
