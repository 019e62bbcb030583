//! try_add, try_subtract, try_multiply, try_divide, try_mod: the operators, with null where they would fail.
//!
//! The operators themselves answer, over the whole batch; only a batch in which one row fails is gone through row by row.

use std::sync::{Arc, LazyLock};

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::compute::{cast as arrow_cast, concat};
use arrow::datatypes::{DataType, Date32Type, Field, FieldRef, Float64Type, Int32Type};
use datafusion::common::{DataFusionError, Result, ScalarValue};
use datafusion::logical_expr::{ColumnarValue, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF};

use crate::functions::cast;
use crate::functions::error::refused;
use crate::functions::function::{Call, Shape};
use crate::functions::rows::{Column, numbers};
use crate::functions::types;

/// The operator behind a function.
struct Tried {
    operator: &'static str,
    /// Whether whole numbers are taken as doubles.
    is_division: bool,
    on_doubles: fn(f64, f64) -> Option<f64>,
}

const ADD: Tried = Tried { operator: "spark_add", is_division: false, on_doubles: |a, b| Some(a + b) };
const SUBTRACT: Tried = Tried { operator: "spark_subtract", is_division: false, on_doubles: |a, b| Some(a - b) };
const MULTIPLY: Tried = Tried { operator: "spark_multiply", is_division: false, on_doubles: |a, b| Some(a * b) };
const DIVIDE: Tried =
    Tried { operator: "spark_divide", is_division: true, on_doubles: |a, b| (b != 0.0).then(|| a / b) };
const MODULO: Tried = Tried { operator: "spark_mod", is_division: false, on_doubles: |a, b| (b != 0.0).then(|| a % b) };

static OPERATORS: LazyLock<Vec<Arc<ScalarUDF>>> = LazyLock::new(crate::expressions::operators);

impl Tried {
    fn udf(&self) -> Result<&'static ScalarUDF> {
        let found = OPERATORS.iter().find(|udf| udf.name() == self.operator);
        found.map(AsRef::as_ref).ok_or_else(|| DataFusionError::Internal(format!("no operator {}", self.operator)))
    }

    /// The types that the operator is to work on, strings being read as what the other operand is.
    fn operands(&self, given: &[DataType], constants: &[Option<&ScalarValue>]) -> Result<[DataType; 2]> {
        if given[0] == DataType::Date32 && types::is_integral(&given[1]) {
            return Ok([DataType::Date32, DataType::Int32]);
        }
        let common = types::widest(given)?;
        let decimal = |at: usize| match types::decimal_of(&given[at], constants[at]) {
            Some((p, s)) => DataType::Decimal128(p, s),
            None => common.clone(),
        };
        match &common {
            DataType::Decimal128(..) => Ok([decimal(0), decimal(1)]),
            DataType::Float32 | DataType::Null | DataType::Utf8 => Ok([DataType::Float64, DataType::Float64]),
            t if types::is_numeric(t) && self.is_division => Ok([DataType::Float64, DataType::Float64]),
            t if types::is_numeric(t) => Ok([t.clone(), t.clone()]),
            other => Err(wrong_type(other)),
        }
    }

    fn returns(&self, shape: &Shape<'_>) -> Result<DataType> {
        match self.operands(shape.types, shape.constants)? {
            [t @ (DataType::Float64 | DataType::Date32), _] => Ok(t),
            both => self.udf()?.return_type(&both),
        }
    }

    fn run(&self, call: &Call<'_>) -> Result<ArrayRef> {
        let args = [call.array(0)?, call.array(1)?];
        let given = [args[0].data_type().clone(), args[1].data_type().clone()];
        let wanted = self.operands(&given, &[None, None])?;
        if let Ok(whole) = self.answer(call, &args, &wanted) {
            return Ok(whole);
        }
        let null = arrow::array::new_null_array(call.returns, 1);
        let rows: Vec<ArrayRef> = (0..call.rows)
            .map(|row| {
                let row = [args[0].slice(row, 1), args[1].slice(row, 1)];
                self.answer(call, &row, &wanted).unwrap_or_else(|_| Arc::clone(&null))
            })
            .collect();
        let rows: Vec<&dyn Array> = rows.iter().map(AsRef::as_ref).collect();
        Ok(concat(&rows)?)
    }

    fn answer(&self, call: &Call<'_>, args: &[ArrayRef; 2], wanted: &[DataType; 2]) -> Result<ArrayRef> {
        let zone = call.zone()?;
        let (left, right) = (cast::to(&args[0], &wanted[0], &zone)?, cast::to(&args[1], &wanted[1], &zone)?);
        match wanted[0] {
            DataType::Float64 => {
                let a = Column::new(left.as_primitive::<Float64Type>(), false);
                let b = Column::new(right.as_primitive::<Float64Type>(), false);
                numbers::<Float64Type>(left.len(), |row| {
                    Ok(a.get(row).zip(b.get(row)).and_then(|(a, b)| (self.on_doubles)(a, b)))
                })
            }
            DataType::Date32 => {
                let days = Column::new(left.as_primitive::<Date32Type>(), false);
                let by = Column::new(right.as_primitive::<Int32Type>(), false);
                let sign = if self.operator == SUBTRACT.operator { -1 } else { 1 };
                numbers::<Date32Type>(left.len(), |row| {
                    Ok(days.get(row).zip(by.get(row)).map(|(d, by)| d.wrapping_add(by.wrapping_mul(sign))))
                })
            }
            _ => {
                let answer = self.invoke(call, [left, right])?;
                // What the operator answers in more digits is null where it does not fit the digits that are promised.
                if answer.data_type() == call.returns { Ok(answer) } else { Ok(arrow_cast(&answer, call.returns)?) }
            }
        }
    }

    fn invoke(&self, call: &Call<'_>, args: [ArrayRef; 2]) -> Result<ArrayRef> {
        let arg_fields: Vec<FieldRef> =
            args.iter().map(|a| Arc::new(Field::new("", a.data_type().clone(), true)) as FieldRef).collect();
        let constants: [Option<&ScalarValue>; 2] = [None, None];
        let udf = self.udf()?;
        let return_field =
            udf.return_field_from_args(ReturnFieldArgs { arg_fields: &arg_fields, scalar_arguments: &constants })?;
        let number_rows = args[0].len();
        let args = args.into_iter().map(ColumnarValue::Array).collect();
        let config_options = Arc::clone(call.config);
        udf.invoke_with_args(ScalarFunctionArgs { args, arg_fields, number_rows, return_field, config_options })?
            .into_array(number_rows)
    }
}

fn wrong_type(t: &DataType) -> DataFusionError {
    refused("DATATYPE_MISMATCH.BINARY_OP_WRONG_TYPE", format!("the operator takes numbers, not {}", types::sql_name(t)))
}

/// Numbers, strings that are read as numbers, and for try_add a date and days. Each is cast where it can be null.
pub(in crate::functions) fn operands(given: &[DataType]) -> Result<Vec<DataType>> {
    if types::widest(given).is_err() && !(given[0] == DataType::Date32 && types::is_integral(&given[1])) {
        return Err(refused(
            "DATATYPE_MISMATCH.BINARY_OP_DIFF_TYPES",
            "the left and right operands are of incompatible types",
        ));
    }
    ADD.operands(given, &[None, None])?;
    Ok(given.to_vec())
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
    /// `try_mod(a, b)`.
    modulo, modulo_type => MODULO;
}
