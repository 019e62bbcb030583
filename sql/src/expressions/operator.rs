//! An operator of ours as DataFusion runs it: a function known by name, whose parameters are its arguments.

use std::hash::{Hash, Hasher};
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, Datum};
use arrow::datatypes::{DataType, Field, FieldRef};
use datafusion::common::{Result, ScalarValue};
use datafusion::logical_expr::{
    ColumnarValue, Expr, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};

/// One line of [`OPERATORS`](super::OPERATORS).
#[derive(Clone, Copy)]
pub(super) struct Operator {
    pub(super) name: &'static str,
    /// The type of the result, from the arguments' types and literals.
    pub(super) returns: fn(&Shape<'_>) -> Result<DataType>,
    /// The kernel.
    pub(super) run: fn(&Call<'_>) -> Result<ArrayRef>,
}

/// The arguments as they are known before anything runs.
pub(super) struct Shape<'a> {
    fields: &'a [FieldRef],
    literals: &'a [Option<&'a ScalarValue>],
}

impl Shape<'_> {
    pub(super) fn data_type(&self, nth: usize) -> &DataType {
        self.fields[nth].data_type()
    }

    /// The text of a literal argument, empty if it is none.
    pub(super) fn text(&self, nth: usize) -> &str {
        match self.literals.get(nth) {
            Some(Some(ScalarValue::Utf8(Some(text)))) => text,
            _ => "",
        }
    }
}

/// One batch of arguments. A literal is an array of one row where it is asked for as an array, unless all are literals.
pub(super) struct Call<'a> {
    pub(super) args: &'a [ColumnarValue],
    pub(super) rows: usize,
    pub(super) returns: &'a DataType,
}

impl Call<'_> {
    /// The argument with one value a row.
    pub(super) fn array(&self, nth: usize) -> Result<ArrayRef> {
        self.args[nth].to_array(self.rows)
    }

    /// The argument as arrow's kernels take it: a literal is one value for all rows.
    pub(super) fn operand(&self, nth: usize) -> Result<Box<dyn Datum>> {
        match &self.args[nth] {
            ColumnarValue::Scalar(value) if self.rows != 1 => Ok(Box::new(value.to_scalar()?)),
            arg => Ok(Box::new(arg.to_array(self.rows)?)),
        }
    }

    /// The text of a literal argument.
    pub(super) fn text(&self, nth: usize) -> &str {
        match self.args.get(nth) {
            Some(ColumnarValue::Scalar(ScalarValue::Utf8(Some(text)))) => text,
            _ => "",
        }
    }
}

impl Operator {
    /// The function that DataFusion knows.
    pub(super) fn function(self) -> Arc<ScalarUDF> {
        Arc::new(ScalarUDF::new_from_impl(OperatorFunction {
            operator: self,
            signature: Signature::variadic_any(Volatility::Immutable),
        }))
    }

    /// A call of it.
    pub(super) fn call(self, args: Vec<Expr>) -> Expr {
        self.function().call(args)
    }
}

struct OperatorFunction {
    operator: Operator,
    signature: Signature,
}

impl std::fmt::Debug for OperatorFunction {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.operator.name)
    }
}

impl PartialEq for OperatorFunction {
    fn eq(&self, other: &Self) -> bool {
        self.operator.name == other.operator.name
    }
}

impl Eq for OperatorFunction {}

impl Hash for OperatorFunction {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.operator.name.hash(state);
    }
}

impl ScalarUDFImpl for OperatorFunction {
    fn name(&self) -> &str {
        self.operator.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        let fields: Vec<FieldRef> =
            types.iter().map(|data_type| Arc::new(Field::new("", data_type.clone(), true))).collect();
        (self.operator.returns)(&Shape { fields: &fields, literals: &[] })
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs<'_>) -> Result<FieldRef> {
        let data_type = (self.operator.returns)(&Shape { fields: args.arg_fields, literals: args.scalar_arguments })?;
        Ok(Arc::new(Field::new(self.operator.name, data_type, true)))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let is_constant = args.args.iter().all(|arg| matches!(arg, ColumnarValue::Scalar(_)));
        let rows = if is_constant { 1 } else { args.number_rows };
        let array = (self.operator.run)(&Call { args: &args.args, rows, returns: args.return_field.data_type() })?;
        debug_assert_eq!(array.len(), rows, "{}", self.operator.name);
        if is_constant {
            return Ok(ColumnarValue::Scalar(ScalarValue::try_from_array(&array, 0)?));
        }
        Ok(ColumnarValue::Array(array))
    }
}
