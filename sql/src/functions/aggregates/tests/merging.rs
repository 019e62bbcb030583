//! States merge in any grouping of the input: cut anywhere, accumulated apart, merged in order, rows give what they give
//! together. The model is one accumulation over all rows, which the recorded answers check.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, BooleanArray, Decimal128Array, Float64Array, Int64Array, StringArray};
use arrow::compute::concat;
use arrow::datatypes::{DataType, Field, FieldRef, Schema};
use datafusion::common::{Result, ScalarValue};
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::{AggregateUDF, EmitTo, GroupsAccumulator};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::expressions::{Column, Literal};
use proptest::prelude::*;
use serde_json::Value;

use super::{same, shown};
use crate::functions::{aggregate_function, aggregate_functions};

const GROUPS: usize = 4;

/// One row: its group, whether the filter lets it through, and what its values are made of.
type Row = (usize, bool, Option<i8>, Option<i8>);

/// A function with the types of its arguments, or constants.
struct Call {
    function: Arc<AggregateUDF>,
    exprs: Vec<Arc<dyn PhysicalExpr>>,
    fields: Vec<FieldRef>,
    is_distinct: bool,
    ignore_nulls: bool,
}

enum Arg {
    Of(DataType),
    Is(ScalarValue),
}

impl Call {
    fn new(name: &str, args: &[Arg], is_distinct: bool, ignore_nulls: bool) -> Self {
        let (mut exprs, mut fields) = (Vec::<Arc<dyn PhysicalExpr>>::new(), Vec::new());
        for (at, arg) in args.iter().enumerate() {
            let data_type = match arg {
                Arg::Of(data_type) => {
                    exprs.push(Arc::new(Column::new("x", at)));
                    data_type.clone()
                }
                Arg::Is(value) => {
                    exprs.push(Arc::new(Literal::new(value.clone())));
                    value.data_type()
                }
            };
            fields.push(Arc::new(Field::new("x", data_type, true)) as FieldRef);
        }
        Self { function: aggregate_function(name).expect(name), exprs, fields, is_distinct, ignore_nulls }
    }

    fn accumulator(&self) -> Result<Box<dyn GroupsAccumulator>> {
        self.function.create_groups_accumulator(AccumulatorArgs {
            return_field: self.function.return_field(&self.fields)?,
            schema: &Schema::empty(),
            ignore_nulls: self.ignore_nulls,
            order_bys: &[],
            is_reversed: false,
            name: "it",
            is_distinct: self.is_distinct,
            exprs: &self.exprs,
            expr_fields: &self.fields,
        })
    }

    fn state_types(&self) -> Result<Vec<DataType>> {
        let fields = self.function.state_fields(StateFieldsArgs {
            name: "it",
            input_fields: &self.fields,
            return_field: self.function.return_field(&self.fields)?,
            ordering_fields: &[],
            is_distinct: self.is_distinct,
        })?;
        Ok(fields.iter().map(|field| field.data_type().clone()).collect())
    }

    fn columns(&self, rows: &[Row]) -> Result<Vec<ArrayRef>> {
        let columns = self.exprs.iter().zip(&self.fields).enumerate().map(|(at, (expr, field))| {
            match expr.downcast_ref::<Literal>() {
                Some(literal) => literal.value().to_array_of_size(rows.len()),
                None => Ok(column(field.data_type(), rows, at)),
            }
        });
        columns.collect()
    }

    /// One accumulator over these rows.
    fn updated(&self, rows: &[Row]) -> Result<Box<dyn GroupsAccumulator>> {
        let mut accumulator = self.accumulator()?;
        let groups: Vec<usize> = rows.iter().map(|row| row.0).collect();
        accumulator.update_batch(&self.columns(rows)?, &groups, Some(&filter(rows)), GROUPS)?;
        Ok(accumulator)
    }

    /// The states of these rows: of every group, or of every row on its own.
    fn states(&self, rows: &[Row], is_row_by_row: bool) -> Result<(Vec<ArrayRef>, Vec<usize>)> {
        if is_row_by_row && !rows.is_empty() {
            let states = self.accumulator()?.convert_to_state(&self.columns(rows)?, Some(&filter(rows)))?;
            return Ok((states, rows.iter().map(|row| row.0).collect()));
        }
        Ok((self.updated(rows)?.state(EmitTo::All)?, (0..GROUPS).collect()))
    }
}

fn filter(rows: &[Row]) -> BooleanArray {
    rows.iter().map(|row| Some(row.1)).collect()
}

fn column(data_type: &DataType, rows: &[Row], at: usize) -> ArrayRef {
    let numbers = rows.iter().map(|row| if at == 0 { row.2 } else { row.3 });
    match data_type {
        DataType::Boolean => Arc::new(numbers.map(|n| n.map(|n| n > 0)).collect::<BooleanArray>()),
        DataType::Float64 => Arc::new(numbers.map(|n| n.map(f64::from)).collect::<Float64Array>()),
        DataType::Utf8 => Arc::new(numbers.map(|n| n.map(|n| format!("v{n}"))).collect::<StringArray>()),
        DataType::Decimal128(..) => {
            let decimals: Decimal128Array = numbers.map(|n| n.map(i128::from)).collect();
            Arc::new(decimals.with_data_type(data_type.clone()))
        }
        _ => Arc::new(numbers.map(|n| n.map(i64::from)).collect::<Int64Array>()),
    }
}

fn values(array: &ArrayRef) -> Vec<Value> {
    (0..array.len()).map(|row| shown(array, row)).collect()
}

/// Every function of the catalogue, in each of its ways.
fn calls() -> Vec<(String, Call)> {
    let decimal = DataType::Decimal128(10, 2);
    let doubles = [DataType::Float64, DataType::Float64];
    let one = |data_type: &DataType| vec![Arg::Of(data_type.clone())];
    let half = || Arg::Is(ScalarValue::Float64(Some(0.5)));
    let mut calls = Vec::new();
    for function in aggregate_functions().iter().map(|function| function.name().to_string()) {
        let ways: Vec<Vec<Arg>> = match function.as_str() {
            "grouping" => continue,
            "count"
            | "min"
            | "max"
            | "first"
            | "first_value"
            | "any_value"
            | "last"
            | "last_value"
            | "mode"
            | "collect_list"
            | "array_agg"
            | "collect_set"
            | "approx_count_distinct"
            | "$collect_list_respect_nulls" => {
                vec![one(&DataType::Int64), one(&DataType::Utf8), one(&DataType::Boolean), one(&decimal)]
            }
            "sum" | "try_sum" => vec![one(&DataType::Int64), one(&DataType::Float64), one(&decimal)],
            "avg" | "mean" | "try_avg" => vec![one(&DataType::Float64), one(&decimal)],
            "min_by" | "max_by" => [DataType::Int64, DataType::Utf8, DataType::Boolean, decimal.clone()]
                .into_iter()
                .map(|key| vec![Arg::Of(DataType::Utf8), Arg::Of(key)])
                .collect(),
            "count_if" | "bool_and" | "bool_or" | "every" | "some" | "any" => vec![one(&DataType::Boolean)],
            "bit_and" | "bit_or" | "bit_xor" => vec![one(&DataType::Int64)],
            "listagg" | "string_agg" => {
                vec![vec![Arg::Of(DataType::Utf8), Arg::Is(ScalarValue::Utf8(Some("|".to_string())))]]
            }
            "percentile" | "percentile_cont" | "percentile_disc" | "approx_percentile" | "percentile_approx" => {
                vec![vec![Arg::Of(DataType::Float64), half()]]
            }
            "corr" | "covar_samp" | "covar_pop" => vec![doubles.iter().cloned().map(Arg::Of).collect()],
            name if name.starts_with("regr_") => vec![doubles.iter().cloned().map(Arg::Of).collect()],
            _ => vec![one(&DataType::Float64)],
        };
        for (nth, args) in ways.iter().enumerate() {
            for (is_distinct, ignore_nulls) in [(false, false), (true, false), (false, true)] {
                let name = format!("{function} {nth} distinct {is_distinct} ignore nulls {ignore_nulls}");
                calls.push((name, Call::new(&function, args, is_distinct, ignore_nulls)));
            }
        }
    }
    calls
}

fn check(rows: &[Row], cuts: &[usize], row_by_row: u32) -> Result<()> {
    for (name, call) in calls() {
        let together = call.updated(rows)?.evaluate(EmitTo::All)?;
        let mut merged = call.accumulator()?;
        let mut start = 0;
        let ends = cuts.iter().map(|cut| cut % (rows.len() + 1)).chain([rows.len()]);
        for (nth, end) in ends.enumerate() {
            let end = end.max(start);
            let (states, groups) = call.states(&rows[start..end], row_by_row >> (nth % 32) & 1 == 1)?;
            let types: Vec<DataType> = states.iter().map(|state| state.data_type().clone()).collect();
            assert_eq!(types, call.state_types()?, "{name}: the types of its state");
            merged.merge_batch(&states, &groups, GROUPS)?;
            if nth % 2 == 1 {
                // Kept in a store between batches, and taken out in two parts.
                let parts = [merged.state(EmitTo::First(1))?, merged.state(EmitTo::All)?];
                merged = call.accumulator()?;
                merged.merge_batch(&parts[0], &[0], 1)?;
                merged.merge_batch(&parts[1], &(1..GROUPS).collect::<Vec<_>>(), GROUPS)?;
            }
            start = end;
        }
        let parts = [merged.evaluate(EmitTo::First(2))?, merged.evaluate(EmitTo::All)?];
        let apart = concat(&[parts[0].as_ref(), parts[1].as_ref()])?;
        assert_eq!(together.data_type(), call.function.return_field(&call.fields)?.data_type(), "{name}: its type");
        let (together, apart) = (Value::Array(values(&together)), Value::Array(values(&apart)));
        assert!(same(&apart, &together), "{name}: {apart} in parts, {together} together, of {rows:?}");
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, max_shrink_iters: 60, ..ProptestConfig::default() })]

    #[test]
    fn states_merge_in_any_grouping(
        rows in prop::collection::vec(
            (0..GROUPS, prop::bool::weighted(0.9), prop::option::weighted(0.8, -4_i8..5), prop::option::weighted(0.8, -4_i8..5)),
            0..60,
        ),
        cuts in prop::collection::vec(0_usize..60, 0..5),
        row_by_row in any::<u32>(),
    ) {
        let mut cuts = cuts;
        cuts.sort_unstable();
        check(&rows, &cuts, row_by_row).expect("no overflow among small numbers");
    }
}

/// Sketches and summaries of many values, whose states have other forms than those of few.
#[test]
fn large_states_merge_too() -> Result<()> {
    let numbers = |from: i64, to: i64| Arc::new(Int64Array::from_iter_values(from..to)) as ArrayRef;
    let (all, cuts) = (numbers(0, 3000), [numbers(0, 40), numbers(40, 1700), numbers(1700, 3000)]);
    for name in ["approx_count_distinct", "collect_set", "collect_list", "stddev"] {
        let data_type = if name == "stddev" { DataType::Float64 } else { DataType::Int64 };
        let cast = |array: &ArrayRef| arrow::compute::cast(array, &data_type);
        let call = Call::new(name, &[Arg::Of(data_type.clone())], false, false);
        let mut together = call.accumulator()?;
        together.update_batch(&[cast(&all)?], &vec![0; all.len()], None, 1)?;
        let mut apart = call.accumulator()?;
        for cut in &cuts {
            let mut part = call.accumulator()?;
            part.update_batch(&[cast(cut)?], &vec![0; cut.len()], None, 1)?;
            apart.merge_batch(&part.state(EmitTo::All)?, &[0], 1)?;
            let kept = apart.state(EmitTo::All)?;
            apart.merge_batch(&kept, &[0], 1)?;
        }
        let (together, apart) = (together.evaluate(EmitTo::All)?, apart.evaluate(EmitTo::All)?);
        assert!(same(&Value::Array(values(&apart)), &Value::Array(values(&together))), "{name}");
    }
    Ok(())
}

/// A window over rows that come and leave sees what an accumulation over those rows sees, and can be asked again.
#[test]
fn windows_forget_what_has_left() -> Result<()> {
    let call = Call::new("collect_list", &[Arg::Of(DataType::Int64)], false, false);
    let args = AccumulatorArgs {
        return_field: call.function.return_field(&call.fields)?,
        schema: &Schema::empty(),
        ignore_nulls: false,
        order_bys: &[],
        is_reversed: false,
        name: "it",
        is_distinct: false,
        exprs: &call.exprs,
        expr_fields: &call.fields,
    };
    let mut window = call.function.create_sliding_accumulator(args)?;
    let batch = |numbers: &[i64]| vec![Arc::new(Int64Array::from(numbers.to_vec())) as ArrayRef];
    window.update_batch(&batch(&[1, 2, 3]))?;
    window.update_batch(&batch(&[4]))?;
    window.retract_batch(&batch(&[1, 2]))?;
    for _ in 0..2 {
        let array = window.evaluate()?.to_array()?;
        assert_eq!(values(&array), [serde_json::json!([3, 4])]);
    }
    window.retract_batch(&batch(&[3, 4]))?;
    assert_eq!(window.evaluate()?.to_array()?.len(), 1);
    Ok(())
}
