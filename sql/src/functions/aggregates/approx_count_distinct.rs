//! `approx_count_distinct`: how many different values there are, by HyperLogLog++ over Spark's `xxhash64`.
//!
//! The algorithm is that of Heule, Nunkesser and Hall, "HyperLogLog in Practice" (2013), without its sparse form. The
//! empirical estimates and biases in `hll_bias.txt` are those of the paper's appendix: for every precision from 4 to 18 a
//! line of raw estimates and a line of their biases.
//!
//! A group's state is one BINARY. Where fewer than a quarter of the registers are set: each of these as 4 little-endian
//! bytes, its index shifted left by 6 bits and its value below, in the order of the indices. Otherwise a byte for every
//! register; the two are told apart by the length.

use std::sync::{Arc, LazyLock};

use arrow::array::{ArrayRef, AsArray, BinaryArray, Int64Array};
use arrow::datatypes::DataType;
use datafusion::common::{DataFusionError, Result, ScalarValue};
use datafusion::logical_expr::EmitTo;

use super::coerce::mismatch;
use super::function::Call;
use super::groups::{Groups, Rows};
use crate::functions::error::fails;
use crate::functions::hash;
use crate::functions::order::has_map;

/// The relative error where none is given.
const DEFAULT_ERROR: f64 = 0.05;
/// The precisions, in bits of the register index, that are supported: with more, a group would take more than 4 MiB.
const MIN_PRECISION: u32 = 4;
const MAX_PRECISION: u32 = 22;
/// How many neighbouring estimates a bias is averaged over.
const NEIGHBOURS: usize = 6;
/// For every precision from 4, below which linear counting is the better estimate.
const THRESHOLDS: [f64; 15] = [
    10.0, 20.0, 40.0, 80.0, 220.0, 400.0, 900.0, 1800.0, 3100.0, 6500.0, 15500.0, 20000.0, 50000.0, 120000.0, 350000.0,
];

/// Raw estimates and their biases, for every precision from 4.
static BIASES: LazyLock<Vec<(Vec<f64>, Vec<f64>)>> = LazyLock::new(|| {
    let numbers = |line: &str| line.split(' ').map(|word| word.parse().expect("a table of numbers")).collect();
    let lines: Vec<Vec<f64>> = include_str!("hll_bias.txt").lines().map(numbers).collect();
    lines.chunks(2).map(|pair| (pair[0].clone(), pair[1].clone())).collect()
});

/// `approx_count_distinct(x, relative error)`.
pub(super) fn approx_count_distinct(call: &Call<'_>) -> Result<Box<dyn Groups>> {
    let error = match call.constant(1, "relativeSD")? {
        None => DEFAULT_ERROR,
        Some(ScalarValue::Float64(Some(error))) => error,
        Some(other) => return Err(bad_error(other)),
    };
    let precision = (2.0 * (1.106 / error).log2()).ceil();
    if !(f64::from(MIN_PRECISION)..=f64::from(MAX_PRECISION)).contains(&precision) {
        return Err(bad_error(error));
    }
    Ok(Box::new(Sketches { precision: precision as u32, groups: Vec::new() }))
}

fn bad_error(error: impl std::fmt::Display) -> DataFusionError {
    fails(
        "FAILED_FUNCTION_CALL",
        format!("approx_count_distinct needs a relative error from 0.0006 to 0.39, not {error}."),
    )
}

/// The types of the arguments: anything without maps, and the error.
pub(super) fn coerce(name: &'static str, types: &[DataType]) -> Result<Vec<DataType>> {
    let mut coerced = Vec::with_capacity(types.len());
    for (at, data_type) in types.iter().enumerate() {
        coerced.push(match at {
            0 if !has_map(data_type) => data_type.clone(),
            1 if data_type.is_numeric() => DataType::Float64,
            _ => return Err(mismatch(name, at, data_type)),
        });
    }
    Ok(coerced)
}

/// The encoded registers.
pub(super) fn state(_: &[DataType], _: &DataType) -> Vec<DataType> {
    vec![DataType::Binary]
}

struct Sketches {
    precision: u32,
    /// The registers of every group; none before its first value.
    groups: Vec<Vec<u8>>,
}

impl Sketches {
    fn raise(registers: &mut Vec<u8>, precision: u32, index: usize, value: u8) {
        if registers.is_empty() {
            registers.resize(1 << precision, 0);
        }
        registers[index] = registers[index].max(value);
    }
}

impl Groups for Sketches {
    fn fresh(&self) -> Box<dyn Groups> {
        Box::new(Self { precision: self.precision, groups: Vec::new() })
    }

    fn resize(&mut self, count: usize) {
        self.groups.resize_with(count, Vec::new);
    }

    fn update(&mut self, args: &[ArrayRef], rows: &Rows<'_>) -> Result<()> {
        let (precision, groups) = (self.precision, &mut self.groups);
        let hashes = hash::xxhash64_values(&args[0])?;
        rows.known(&args[0]).each(|row, group| {
            let hash = hashes[row];
            let rest = (hash << precision) | (1 << (precision - 1));
            let index = (hash >> (64 - precision)) as usize;
            Self::raise(&mut groups[group], precision, index, rest.leading_zeros() as u8 + 1);
        });
        Ok(())
    }

    fn merge(&mut self, states: &[ArrayRef], rows: &Rows<'_>) -> Result<()> {
        let (precision, groups, states) = (self.precision, &mut self.groups, states[0].as_binary::<i32>());
        rows.known(&(Arc::new(states.clone()) as ArrayRef)).try_each(|row, group| {
            let state = states.value(row);
            if state.len() == 1 << precision {
                let registers = state.iter().enumerate();
                registers.for_each(|(index, value)| Self::raise(&mut groups[group], precision, index, *value & 63));
                return Ok(());
            }
            let (registers, rest) = state.as_chunks::<4>();
            for register in registers {
                let packed = u32::from_le_bytes(*register);
                let index = (packed >> 6) as usize;
                if index >> precision != 0 || !rest.is_empty() {
                    let message = "the state of an approximate count is damaged, or of another relative error";
                    return Err(DataFusionError::Execution(message.to_string()));
                }
                Self::raise(&mut groups[group], precision, index, (packed & 63) as u8);
            }
            Ok(())
        })
    }

    fn evaluate(&mut self, emit: EmitTo) -> Result<ArrayRef> {
        let groups = emit.take_needed(&mut self.groups);
        Ok(Arc::new(Int64Array::from_iter_values(groups.iter().map(|group| estimate(group, self.precision)))))
    }

    fn state(&mut self, emit: EmitTo) -> Result<Vec<ArrayRef>> {
        let groups = emit.take_needed(&mut self.groups);
        let encoded = groups.into_iter().map(|registers| {
            if registers.iter().filter(|value| **value > 0).count() * 4 >= 1 << self.precision {
                return registers;
            }
            let set = registers.iter().enumerate().filter(|(_, value)| **value > 0);
            set.flat_map(|(index, value)| ((index as u32) << 6 | u32::from(*value)).to_le_bytes()).collect::<Vec<u8>>()
        });
        Ok(vec![Arc::new(BinaryArray::from_iter_values(encoded))])
    }

    fn size(&self) -> usize {
        self.groups.len() * ((1 << self.precision) + size_of::<Vec<u8>>())
    }
}

fn estimate(registers: &[u8], precision: u32) -> i64 {
    if registers.is_empty() {
        return 0;
    }
    let m = (1_u64 << precision) as f64;
    let inverse: f64 = registers.iter().map(|value| 1.0 / (1_u64 << value) as f64).sum();
    let empty = registers.iter().filter(|value| **value == 0).count() as f64;
    let alpha = match precision {
        4 => 0.673,
        5 => 0.697,
        6 => 0.709,
        _ => 0.7213 / (1.0 + 1.079 / m),
    };
    let raw = alpha * m * m / inverse;
    let tables = (precision - MIN_PRECISION) as usize;
    let corrected = if raw < 5.0 * m && tables < BIASES.len() { raw - bias(raw, &BIASES[tables]) } else { raw };
    let linear = m * (m / empty).ln();
    // Both rules are Spark's: that of the paper, and that of the HyperLogLog before it.
    let is_small = THRESHOLDS.get(tables).is_some_and(|threshold| linear <= *threshold) || raw <= 2.5 * m;
    let is_linear = empty > 0.0 && is_small;
    // Java's Math.round.
    ((if is_linear { linear } else { corrected }) + 0.5).floor() as i64
}

/// The mean bias of the estimates nearest to this one.
fn bias(raw: f64, (estimates, biases): &(Vec<f64>, Vec<f64>)) -> f64 {
    // The tables of the precisions 5 and 6 are not quite in order: which place is found depends on this very search.
    let (mut from, mut to) = (0, estimates.len());
    while from < to {
        let middle = (from + to - 1) / 2;
        match estimates[middle].total_cmp(&raw) {
            std::cmp::Ordering::Less => from = middle + 1,
            std::cmp::Ordering::Greater => to = middle,
            std::cmp::Ordering::Equal => (from, to) = (middle, middle),
        }
    }
    let nearest = from;
    let distance = |at: usize| (raw - estimates[at]) * (raw - estimates[at]);
    let mut low = (nearest + 1).saturating_sub(NEIGHBOURS);
    let mut high = (low + NEIGHBOURS).min(estimates.len());
    while high < estimates.len() && distance(high) < distance(low) {
        low += 1;
        high += 1;
    }
    biases[low..high].iter().sum::<f64>() / (high - low) as f64
}
