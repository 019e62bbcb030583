//! `approx_percentile`, `percentile_approx`: quantiles from a summary of bounded size.
//!
//! The summary is that of Greenwald and Khanna, "Space-efficient online computation of quantile summaries" (2001), with
//! new values gathered before they are put in, as Spark does; a rank is off by at most the count over the accuracy. Up to
//! half the accuracy of values, answers are exact.
//!
//! A group's state is one BINARY: the count, then value, gap and uncertainty of every sample, 8 little-endian bytes each.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BinaryArray, Float64Array};
use arrow::datatypes::{DataType, Float64Type};
use datafusion::common::{DataFusionError, Result, ScalarValue};
use datafusion::logical_expr::EmitTo;

use super::coerce::mismatch;
use super::function::Call;
use super::groups::{Groups, Rows};
use super::lists::list_of;
use super::percentile::{as_integers, from_doubles, percentage_type, percentages};
use crate::functions::error::refused;

/// So many new values are gathered before they are put in.
const HEAD_VALUES: usize = 50_000;
/// A summary with fewer samples is not made smaller.
const COMPRESS_SAMPLES: usize = 10_000;
/// The accuracy where none is given.
const DEFAULT_ACCURACY: i64 = 10_000;

/// `approx_percentile(x, percentage, accuracy)`.
pub(super) fn approx_percentile(call: &Call<'_>) -> Result<Box<dyn Groups>> {
    let accuracy = match call.constant(2, "accuracy")? {
        None => DEFAULT_ACCURACY,
        Some(ScalarValue::Int64(Some(accuracy))) => accuracy,
        Some(_) => return Err(out_of_range("NULL")),
    };
    if accuracy <= 0 || accuracy > i64::from(i32::MAX) {
        return Err(out_of_range(accuracy));
    }
    let (percentages, is_list) = percentages(call)?;
    Ok(Box::new(Approximate {
        error: 1.0 / accuracy as f64,
        percentages,
        is_list,
        returns: call.types[0].clone(),
        groups: Vec::new(),
    }))
}

fn out_of_range(accuracy: impl std::fmt::Display) -> DataFusionError {
    refused(
        "DATATYPE_MISMATCH.VALUE_OUT_OF_RANGE",
        format!(
            "Cannot resolve \"approx_percentile\" due to data type mismatch: the accuracy must be between (0, 2147483647] (current value = {accuracy})."
        ),
    )
}

/// The types of the arguments: a number, a date, a time or an interval; percentages; the accuracy.
pub(super) fn coerce(name: &'static str, types: &[DataType]) -> Result<Vec<DataType>> {
    let mut coerced = Vec::with_capacity(types.len());
    for (at, data_type) in types.iter().enumerate() {
        coerced.push(match (at, data_type) {
            (0, DataType::Utf8 | DataType::Null) => DataType::Float64,
            (0, DataType::Date32 | DataType::Timestamp(..) | DataType::Duration(_) | DataType::Interval(_)) => {
                data_type.clone()
            }
            (0, number) if number.is_numeric() => number.clone(),
            (1, _) => percentage_type(name, data_type)?,
            (2, number) if number.is_integer() => DataType::Int64,
            _ => return Err(mismatch(name, at, data_type)),
        });
    }
    Ok(coerced)
}

/// The encoded summary.
pub(super) fn state(_: &[DataType], _: &DataType) -> Vec<DataType> {
    vec![DataType::Binary]
}

struct Approximate {
    error: f64,
    percentages: Vec<f64>,
    is_list: bool,
    returns: DataType,
    groups: Vec<Summary>,
}

impl Groups for Approximate {
    fn fresh(&self) -> Box<dyn Groups> {
        Box::new(Self {
            error: self.error,
            percentages: self.percentages.clone(),
            is_list: self.is_list,
            returns: self.returns.clone(),
            groups: Vec::new(),
        })
    }

    fn resize(&mut self, count: usize) {
        self.groups.resize_with(count, Summary::default);
    }

    fn update(&mut self, args: &[ArrayRef], rows: &Rows<'_>) -> Result<()> {
        let numbers = arrow::compute::cast(&as_integers(&args[0])?, &DataType::Float64)?;
        let (groups, error, numbers) = (&mut self.groups, self.error, numbers.as_primitive::<Float64Type>().values());
        rows.known(&args[0]).each(|row, group| groups[group].insert(numbers[row], error));
        Ok(())
    }

    fn merge(&mut self, states: &[ArrayRef], rows: &Rows<'_>) -> Result<()> {
        let (groups, error, states) = (&mut self.groups, self.error, states[0].as_binary::<i32>());
        rows.try_each(|row, group| {
            if states.is_valid(row) {
                groups[group].merge(Summary::decode(states.value(row))?, error);
            }
            Ok(())
        })
    }

    fn evaluate(&mut self, emit: EmitTo) -> Result<ArrayRef> {
        let groups = emit.take_needed(&mut self.groups);
        let (mut answers, mut offsets, mut is_known) = (Vec::new(), vec![0], Vec::new());
        for mut summary in groups {
            summary.compress(self.error);
            is_known.push(summary.count > 0);
            match (summary.count, self.is_list) {
                (0, true) => {}
                (0, false) => answers.push(None),
                _ => answers.extend(self.percentages.iter().map(|p| Some(summary.quantile(*p, self.error)))),
            }
            offsets.push(answers.len() as i32);
        }
        let answers: ArrayRef = Arc::new(Float64Array::from(answers));
        let answers = from_doubles(&answers, &self.returns)?;
        if !self.is_list {
            return Ok(answers);
        }
        let known = arrow::buffer::NullBuffer::from(is_known);
        let lists = list_of(offsets, answers)?.as_list::<i32>().clone();
        let (field, offsets, values, _) = lists.into_parts();
        Ok(Arc::new(arrow::array::ListArray::try_new(field, offsets, values, Some(known))?))
    }

    fn state(&mut self, emit: EmitTo) -> Result<Vec<ArrayRef>> {
        let groups = emit.take_needed(&mut self.groups);
        let encoded = groups.into_iter().map(|mut summary| {
            summary.compress(self.error);
            summary.encode()
        });
        Ok(vec![Arc::new(BinaryArray::from_iter_values(encoded))])
    }

    fn size(&self) -> usize {
        let bytes = |summary: &Summary| summary.samples.capacity() * size_of::<Sample>() + summary.head.capacity() * 8;
        self.groups.iter().map(bytes).sum::<usize>() + self.groups.capacity() * size_of::<Summary>()
    }
}

/// A value that stands for `gap` values up to it; its greatest rank is `uncertainty` above its least.
#[derive(Clone, Copy)]
struct Sample {
    value: f64,
    gap: i64,
    uncertainty: i64,
}

#[derive(Default)]
struct Summary {
    /// In the order of their values.
    samples: Vec<Sample>,
    /// The values that the samples stand for.
    count: i64,
    /// Values that have not been put in.
    head: Vec<f64>,
    is_compressed: bool,
}

impl Summary {
    fn insert(&mut self, value: f64, error: f64) {
        self.head.push(value);
        self.is_compressed = false;
        if self.head.len() >= HEAD_VALUES {
            self.put_head_in(error);
            if self.samples.len() >= COMPRESS_SAMPLES {
                self.compress(error);
            }
        }
    }

    fn put_head_in(&mut self, error: f64) {
        if self.head.is_empty() {
            return;
        }
        self.head.sort_by(f64::total_cmp);
        let mut merged: Vec<Sample> = Vec::with_capacity(self.samples.len() + self.head.len());
        let mut old = self.samples.iter().peekable();
        for (nth, value) in self.head.iter().enumerate() {
            while let Some(sample) = old.next_if(|sample| sample.value <= *value) {
                merged.push(*sample);
            }
            self.count += 1;
            let is_end = merged.is_empty() || (old.peek().is_none() && nth + 1 == self.head.len());
            let uncertainty = if is_end { 0 } else { (2.0 * error * self.count as f64).floor() as i64 };
            merged.push(Sample { value: *value, gap: 1, uncertainty });
        }
        merged.extend(old);
        self.samples = merged;
        self.head = Vec::new();
    }

    fn compress(&mut self, error: f64) {
        if self.is_compressed {
            return;
        }
        self.put_head_in(error);
        self.samples = thinned(&self.samples, 2.0 * error * self.count as f64);
        self.is_compressed = true;
    }

    /// Samples of one side gain the uncertainty of the other.
    fn merge(&mut self, mut other: Self, error: f64) {
        self.compress(error);
        other.compress(error);
        if other.count == 0 {
            return;
        }
        if self.count == 0 {
            *self = other;
            return;
        }
        let ours = (2.0 * error * self.count as f64).floor() as i64;
        let theirs = (2.0 * error * other.count as f64).floor() as i64;
        let (left, right) = (&self.samples, &other.samples);
        let (mut l, mut r) = (0, 0);
        let mut merged = Vec::with_capacity(left.len() + right.len());
        while l < left.len() && r < right.len() {
            let (mut sample, more) = if left[l].value < right[r].value {
                l += 1;
                (left[l - 1], if r > 0 { theirs } else { 0 })
            } else {
                r += 1;
                (right[r - 1], if l > 0 { ours } else { 0 })
            };
            sample.uncertainty += more;
            merged.push(sample);
        }
        merged.extend_from_slice(&left[l..]);
        merged.extend_from_slice(&right[r..]);
        self.count += other.count;
        self.samples = thinned(&merged, 2.0 * error * self.count as f64);
    }

    /// The value at a rank, of a summary that is not empty.
    fn quantile(&self, percentage: f64, error: f64) -> f64 {
        let (first, last) = (self.samples[0].value, self.samples[self.samples.len() - 1].value);
        if percentage <= error || self.samples.len() == 1 {
            return first;
        }
        if percentage >= 1.0 - error {
            return last;
        }
        let widest = self.samples.iter().map(|sample| sample.gap + sample.uncertainty).max().unwrap_or(0);
        let allowed = widest as f64 / 2.0;
        let rank = (percentage * self.count as f64).ceil();
        let mut least = 0;
        for sample in &self.samples[..self.samples.len() - 1] {
            least += sample.gap;
            let greatest = least + sample.uncertainty;
            if greatest as f64 - allowed <= rank && rank <= least as f64 + allowed {
                return sample.value;
            }
        }
        last
    }

    fn encode(&self) -> Vec<u8> {
        let mut bytes = self.count.to_le_bytes().to_vec();
        for sample in &self.samples {
            bytes.extend_from_slice(&sample.value.to_le_bytes());
            bytes.extend_from_slice(&sample.gap.to_le_bytes());
            bytes.extend_from_slice(&sample.uncertainty.to_le_bytes());
        }
        bytes
    }

    fn decode(bytes: &[u8]) -> Result<Self> {
        let corrupt = || DataFusionError::Execution("the state of an approximate percentile is damaged".to_string());
        let (words, rest) = bytes.as_chunks::<8>();
        let Some((count, samples)) = words.split_first().filter(|_| rest.is_empty()) else { return Err(corrupt()) };
        let (samples, rest) = samples.as_chunks::<3>();
        if !rest.is_empty() {
            return Err(corrupt());
        }
        let sample = |words: &[[u8; 8]; 3]| Sample {
            value: f64::from_le_bytes(words[0]),
            gap: i64::from_le_bytes(words[1]),
            uncertainty: i64::from_le_bytes(words[2]),
        };
        let samples = samples.iter().map(sample).collect();
        Ok(Self { samples, count: i64::from_le_bytes(*count), head: Vec::new(), is_compressed: true })
    }
}

/// Neighbours put together where their ranks allow it; the first and the last value stay.
fn thinned(samples: &[Sample], threshold: f64) -> Vec<Sample> {
    let Some((last, rest)) = samples.split_last() else { return Vec::new() };
    let mut kept = Vec::new();
    let mut head = *last;
    for sample in rest.iter().skip(1).rev() {
        if ((sample.gap + head.gap + head.uncertainty) as f64) < threshold {
            head.gap += sample.gap;
        } else {
            kept.push(head);
            head = *sample;
        }
    }
    kept.push(head);
    if let Some(first) = rest.first().filter(|first| first.value <= head.value) {
        kept.push(*first);
    }
    kept.reverse();
    kept
}
