//! try_add, try_subtract, try_multiply, try_divide: the operators, with null where they would fail.
//!
//! The operators themselves answer, over the whole batch; only a batch in which one row fails is gone through row by row.

use std::sync::{Arc, LazyLock};

use arrow::array::{Array, ArrayRef, Date32Array, Float64Array, Int32Array};
use arrow::compute::concat;
use arrow::datatypes::{DataType, Date32Type, Field, FieldRef, Float64Type};
use datafusion::common::{DataFusionError, Result, ScalarValue};
use datafusion::logical_expr::{ColumnarValue, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF};

use crate::functions::error::refused;
use crate::functions::function::{Call, Shape};
use crate::functions::rows::numbers;
use crate::functions::types;

/// The operator behind a function, and its sign.
struct Tried {
    operator: &'static str,
    on_doubles: fn(f64, f64) -> Option<f64>,
}

const ADD: Tried = Tried { operator: "spark_add", on_doubles: |a, b| Some(a + b) };
const SUBTRACT: Tried = Tried { operator: "spark_subtract", on_doubles: |a, b| Some(a - b) };
const MULTIPLY: Tried = Tried { operator: "spark_multiply", on_doubles: |a, b| Some(a * b) };
const DIVIDE: Tried = Tried { operator: "spark_divide", on_doubles: |a, b| (b != 0.0).then(|| a / b) };

static OPERATORS: LazyLock<Vec<Arc<ScalarUDF>>> = LazyLock::new(crate::expressions::operators);

impl Tried {
    fn udf(&self) -> Result<&'static ScalarUDF> {
        let found = OPERATORS.iter().find(|udf| udf.name() == self.operator);
        found.map(AsRef::as_ref).ok_or_else(|| DataFusionError::Internal(format!("no operator {}", self.operator)))
    }

    fn returns(&self, shape: &Shape<'_>) -> Result<DataType> {
        match &shape.types[0] {
            t @ (DataType::Float64 | DataType::Date32) => Ok(t.clone()),
            _ => self.udf()?.return_type(shape.types),
        }
    }

    fn run(&self, call: &Call<'_>) -> Result<ArrayRef> {
        match call.raw(0).data_type() {
            DataType::Float64 => {
                let (a, b) = (call.column::<Float64Array>(0)?, call.column::<Float64Array>(1)?);
                numbers::<Float64Type>(call.rows, |row| {
                    Ok(a.get(row).zip(b.get(row)).and_then(|(a, b)| (self.on_doubles)(a, b)))
                })
            }
            DataType::Date32 => {
                let (days, by) = (call.column::<Date32Array>(0)?, call.column::<Int32Array>(1)?);
                numbers::<Date32Type>(call.rows, |row| {
                    Ok(days.get(row).zip(by.get(row)).and_then(|(d, by)| d.checked_add(by)))
                })
            }
            _ => self.by_operator(call),
        }
    }

    fn by_operator(&self, call: &Call<'_>) -> Result<ArrayRef> {
        let args = [call.array(0)?, call.array(1)?];
        if let Ok(whole) = self.invoke(call, &args) {
            return Ok(whole);
        }
        let null = arrow::array::new_null_array(call.returns, 1);
        let rows: Vec<ArrayRef> = (0..call.rows)
            .map(|row| {
                let row = [args[0].slice(row, 1), args[1].slice(row, 1)];
                self.invoke(call, &row).unwrap_or_else(|_| Arc::clone(&null))
            })
            .collect();
        let rows: Vec<&dyn Array> = rows.iter().map(AsRef::as_ref).collect();
        Ok(concat(&rows)?)
    }

    fn invoke(&self, call: &Call<'_>, args: &[ArrayRef; 2]) -> Result<ArrayRef> {
        let arg_fields: Vec<FieldRef> =
            args.iter().map(|a| Arc::new(Field::new("", a.data_type().clone(), true)) as FieldRef).collect();
        let constants: [Option<&ScalarValue>; 2] = [None, None];
        let udf = self.udf()?;
        let return_field =
            udf.return_field_from_args(ReturnFieldArgs { arg_fields: &arg_fields, scalar_arguments: &constants })?;
        let number_rows = args[0].len();
        let args = args.iter().map(|a| ColumnarValue::Array(Arc::clone(a))).collect();
        let config_options = Arc::clone(call.config);
        udf.invoke_with_args(ScalarFunctionArgs { args, arg_fields, number_rows, return_field, config_options })?
            .into_array(number_rows)
    }
}

/// Numbers as the operators take them; a date and days for try_add.
pub(in crate::functions) fn operands(given: &[DataType]) -> Result<Vec<DataType>> {
    if given[0] == DataType::Date32 && types::is_integral(&given[1]) {
        return Ok(vec![DataType::Date32, DataType::Int32]);
    }
    let common = types::widest(given)?;
    match common {
        DataType::Decimal128(..) => {
            let each = given.iter().map(|t| match types::as_decimal(t) {
                Some((p, s)) => DataType::Decimal128(p, s),
                None => common.clone(),
            });
            Ok(each.collect())
        }
        DataType::Float32 | DataType::Null => Ok(vec![DataType::Float64; 2]),
        t if types::is_numeric(&t) => Ok(vec![t; 2]),
        other => Err(refused(
            "DATATYPE_MISMATCH.BINARY_OP_WRONG_TYPE",
            format!("the operator takes numbers, not {}", types::sql_name(&other)),
        )),
    }
}

/// Whole numbers are divided as doubles.
pub(in crate::functions) fn divided(given: &[DataType]) -> Result<Vec<DataType>> {
    let targets = operands(given)?;
    Ok(if targets.iter().any(|t| matches!(t, DataType::Decimal128(..))) { targets } else { vec![DataType::Float64; 2] })
}

macro_rules! tried {
    ($($(#[$doc:meta])* $name:ident, $type_name:ident => $tried:expr;)*) => {
        $(
            $(#[$doc])* pub(in crate::functions) fn $name(call: &Call<'_>) -> Result<ArrayRef> { $tried.run(call) }

            /// The operator's type.
            pub(in crate::functions) fn $type_name(shape: &Shape<'_>) -> Result<DataType> { $tried.returns(shape) }
        )*
    };
}

tried! {
    /// `try_add(a, b)`.
    add, add_type => ADD;
    /// `try_subtract(a, b)`.
    subtract, subtract_type => SUBTRACT;
    /// `try_multiply(a, b)`.
    multiply, multiply_type => MULTIPLY;
    /// `try_divide(a, b)`.
    divide, divide_type => DIVIDE;
}
