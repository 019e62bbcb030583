//! What a function is here: a name, the types it takes, the type it gives and one kernel over whole arrays.
//!
//! DataFusion sees a [`ScalarUDF`] that takes anything; the arguments are brought to the types that the function asks
//! for by Spark's implicit casts when it runs. A literal stays one value: its array has one row, and [`Column`] reads it
//! for every row. Nothing but the name is part of a function's identity, so a plan that names it can be sent anywhere.
//!
//! [`Column`]: super::rows::Column

use std::hash::{Hash, Hasher};
use std::sync::Arc;

use arrow::array::{Array, ArrayRef};
use arrow::datatypes::{DataType, Field, FieldRef};
use datafusion::common::config::ConfigOptions;
use datafusion::common::{DataFusionError, Result, ScalarValue};
use datafusion::logical_expr::simplify::{ExprSimplifyResult, SimplifyContext};
use datafusion::logical_expr::{
    ColumnarValue, Expr, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};

use super::cast;
use super::rows::Column;
use super::types;
use super::zone::Zone;

/// The type that an argument is brought to, or `None` where it cannot be.
pub(super) type Param = fn(&DataType) -> Option<DataType>;

/// All arguments' types at once, where they depend on each other.
pub(super) type Coerce = fn(&[DataType]) -> Result<Vec<DataType>>;

/// The function's type, from the types (and constant values) of its arguments.
pub(super) type Returns = fn(&Shape<'_>) -> Result<DataType>;

/// The kernel: one array of [`Call::rows`] rows from the arguments.
pub(super) type Run = fn(&Call<'_>) -> Result<ArrayRef>;

/// Another way to say the same, for functions whose arguments must not all be evaluated.
pub(super) type Rewrite = fn(Vec<Expr>, &SimplifyContext) -> Result<ExprSimplifyResult>;

/// One line of the catalogue.
pub(super) struct Function {
    pub(super) name: &'static str,
    params: &'static [Param],
    optional: usize,
    repeats: bool,
    coerce: Option<Coerce>,
    returns: Returns,
    run: Run,
    rewrite: Option<Rewrite>,
    volatility: Volatility,
}

/// What is known of a call before it runs: the arguments' types after coercion, and the constants among them.
pub(super) struct Shape<'a> {
    pub(super) types: &'a [DataType],
    pub(super) given: &'a [FieldRef],
    pub(super) constants: &'a [Option<&'a ScalarValue>],
}

/// One invocation over a batch.
pub(super) struct Call<'a> {
    pub(super) name: &'static str,
    pub(super) rows: usize,
    pub(super) returns: &'a DataType,
    pub(super) config: &'a Arc<ConfigOptions>,
    args: Vec<Arg>,
}

struct Arg {
    array: ArrayRef,
    is_constant: bool,
}

impl Function {
    /// A function of exactly these parameters.
    pub(super) const fn new(name: &'static str, params: &'static [Param], returns: Returns, run: Run) -> Self {
        Self {
            name,
            params,
            optional: 0,
            repeats: false,
            coerce: None,
            returns,
            run,
            rewrite: None,
            volatility: Volatility::Immutable,
        }
    }

    /// The last `count` parameters may be left out.
    pub(super) const fn optional(mut self, count: usize) -> Self {
        self.optional = count;
        self
    }

    /// The last parameter may come again and again.
    pub(super) const fn repeats(mut self) -> Self {
        self.repeats = true;
        self
    }

    /// After the parameters have been checked one by one, `coerce` settles all types together.
    pub(super) const fn coerced(mut self, coerce: Coerce) -> Self {
        self.coerce = Some(coerce);
        self
    }

    /// The optimizer replaces the call by another expression.
    pub(super) const fn rewritten(mut self, rewrite: Rewrite) -> Self {
        self.rewrite = Some(rewrite);
        self
    }

    /// Gives another answer in each query, not in each row.
    pub(super) const fn stable(mut self) -> Self {
        self.volatility = Volatility::Stable;
        self
    }

    /// Gives another answer in each row.
    pub(super) const fn volatile(mut self) -> Self {
        self.volatility = Volatility::Volatile;
        self
    }

    fn targets(&self, given: &[DataType]) -> Result<Vec<DataType>> {
        let least = self.params.len() - self.optional;
        let is_too_many = !self.repeats && given.len() > self.params.len();
        if given.len() < least || is_too_many {
            return Err(self.wrong_count(given.len()));
        }
        let mut targets = Vec::with_capacity(given.len());
        for (at, data_type) in given.iter().enumerate() {
            let param = self.params[at.min(self.params.len().saturating_sub(1))];
            let target = param(&types::plain(data_type)).ok_or_else(|| self.wrong_type(at, data_type))?;
            targets.push(target);
        }
        match self.coerce {
            Some(coerce) => coerce(&targets),
            None => Ok(targets),
        }
    }

    fn wrong_count(&self, count: usize) -> DataFusionError {
        let least = self.params.len() - self.optional;
        let expected = match (self.repeats, self.optional) {
            (true, _) => format!("at least {least}"),
            (false, 0) => least.to_string(),
            (false, _) => format!("{least} to {}", self.params.len()),
        };
        DataFusionError::Plan(format!(
            "[WRONG_NUM_ARGS.WITHOUT_SUGGESTION] The `{}` requires {expected} parameters but the actual number is {count}.",
            self.name
        ))
    }

    fn wrong_type(&self, at: usize, data_type: &DataType) -> DataFusionError {
        DataFusionError::Plan(format!(
            "[DATATYPE_MISMATCH.UNEXPECTED_INPUT_TYPE] Cannot resolve \"{}\": parameter {} cannot be of the type {}.",
            self.name,
            at + 1,
            types::sql_name(data_type)
        ))
    }
}

/// A catalogue line as DataFusion knows functions.
pub(super) fn to_udf(function: &'static Function) -> ScalarUDF {
    ScalarUDF::from(SparkFunction { function, signature: Signature::user_defined(function.volatility) })
}

struct SparkFunction {
    function: &'static Function,
    signature: Signature,
}

impl std::fmt::Debug for SparkFunction {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SparkFunction").field("name", &self.function.name).finish_non_exhaustive()
    }
}

impl PartialEq for SparkFunction {
    fn eq(&self, other: &Self) -> bool {
        self.function.name == other.function.name
    }
}

impl Eq for SparkFunction {}

impl Hash for SparkFunction {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.function.name.hash(state);
    }
}

impl ScalarUDFImpl for SparkFunction {
    fn name(&self) -> &str {
        self.function.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, arg_types: &[DataType]) -> Result<DataType> {
        let fields: Vec<FieldRef> = arg_types.iter().map(|t| Arc::new(Field::new("", t.clone(), true))).collect();
        let constants = vec![None; fields.len()];
        let types = self.function.targets(arg_types)?;
        (self.function.returns)(&Shape { types: &types, given: &fields, constants: &constants })
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs) -> Result<FieldRef> {
        let given: Vec<DataType> = args.arg_fields.iter().map(|f| f.data_type().clone()).collect();
        let types = self.function.targets(&given)?;
        let shape = Shape { types: &types, given: args.arg_fields, constants: args.scalar_arguments };
        Ok(Arc::new(Field::new(self.function.name, (self.function.returns)(&shape)?, true)))
    }

    /// What is wrong with the arguments is said by [`Self::return_field_from_args`], whose errors reach the user as they are.
    fn coerce_types(&self, arg_types: &[DataType]) -> Result<Vec<DataType>> {
        Ok(arg_types.iter().map(types::plain).collect())
    }

    fn simplify(&self, args: Vec<Expr>, info: &SimplifyContext) -> Result<ExprSimplifyResult> {
        match self.function.rewrite {
            Some(rewrite) => rewrite(args, info),
            None => Ok(ExprSimplifyResult::Original(args)),
        }
    }

    fn short_circuits(&self) -> bool {
        self.function.rewrite.is_some()
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let given: Vec<DataType> = args.args.iter().map(ColumnarValue::data_type).collect();
        let targets = self.function.targets(&given)?;
        let all_constant = args.args.iter().all(|a| matches!(a, ColumnarValue::Scalar(_)));
        let is_constant = all_constant && self.function.volatility != Volatility::Volatile;
        let zone = Zone::of(&args.config_options)?;
        let arrays = args.args.iter().zip(&targets).map(|(value, target)| Arg::new(value, target, &zone));
        let call = Call {
            name: self.function.name,
            rows: if is_constant { 1 } else { args.number_rows },
            returns: args.return_field.data_type(),
            config: &args.config_options,
            args: arrays.collect::<Result<_>>()?,
        };
        let result = (self.function.run)(&call)?;
        debug_assert_eq!(result.data_type(), call.returns, "{} promised another type", call.name);
        debug_assert_eq!(result.len(), call.rows, "{} gave another number of rows", call.name);
        if is_constant {
            return Ok(ColumnarValue::Scalar(ScalarValue::try_from_array(&result, 0)?));
        }
        Ok(ColumnarValue::Array(result))
    }
}

impl Arg {
    fn new(value: &ColumnarValue, target: &DataType, zone: &Zone) -> Result<Self> {
        let (array, is_constant) = match value {
            ColumnarValue::Array(array) => (Arc::clone(array), false),
            ColumnarValue::Scalar(scalar) => (scalar.to_array()?, true),
        };
        let array = if array.data_type() == target { array } else { cast::to(&array, target, zone)? };
        Ok(Self { array, is_constant })
    }
}

impl<'a> Call<'a> {
    /// How many arguments there are.
    pub(super) fn len(&self) -> usize {
        self.args.len()
    }

    /// Whether argument `at` was given.
    pub(super) fn has(&self, at: usize) -> bool {
        at < self.args.len()
    }

    /// Argument `at` as an array of [`Call::rows`] rows.
    pub(super) fn array(&self, at: usize) -> Result<ArrayRef> {
        let arg = &self.args[at];
        if !arg.is_constant || self.rows == 1 {
            return Ok(Arc::clone(&arg.array));
        }
        ScalarValue::try_from_array(&arg.array, 0)?.to_array_of_size(self.rows)
    }

    /// Argument `at` with one row if it is a constant.
    pub(super) fn raw(&self, at: usize) -> &ArrayRef {
        &self.args[at].array
    }

    /// Whether argument `at` is one value for all rows.
    pub(super) fn is_constant(&self, at: usize) -> bool {
        self.args[at].is_constant
    }

    /// The row of argument `at`'s [`Call::raw`] array for a row of the batch.
    pub(super) fn row(&self, at: usize, row: usize) -> usize {
        if self.args[at].is_constant { 0 } else { row }
    }

    /// Argument `at`, whose type the parameter list has settled.
    ///
    /// # Errors
    /// Internal, if the parameter list promises another type than the kernel asks for.
    pub(super) fn column<A: Array + 'static>(&self, at: usize) -> Result<Column<'_, A>> {
        let arg = &self.args[at];
        let array = arg.array.as_any().downcast_ref::<A>().ok_or_else(|| {
            DataFusionError::Internal(format!("{}: argument {at} is a {}", self.name, arg.array.data_type()))
        })?;
        Ok(Column::new(array, arg.is_constant))
    }

    /// The session's time zone.
    pub(super) fn zone(&self) -> Result<Zone> {
        Zone::of(self.config)
    }

    /// Lets another function answer, with the arguments as this one has coerced them.
    pub(super) fn delegate(&self, to: &ScalarUDF) -> Result<ArrayRef> {
        // A constant is another value in each row for a function that is up to chance.
        let is_random = to.signature().volatility == Volatility::Volatile;
        let args: Vec<ColumnarValue> = (0..self.len())
            .map(|at| if is_random { self.array(at).map(ColumnarValue::Array) } else { self.args[at].value() })
            .collect::<Result<_>>()?;
        let arg_fields: Vec<FieldRef> =
            args.iter().map(|a| Arc::new(Field::new("", a.data_type(), true)) as FieldRef).collect();
        let constants: Vec<Option<&ScalarValue>> = args
            .iter()
            .map(|a| match a {
                ColumnarValue::Scalar(s) => Some(s),
                ColumnarValue::Array(_) => None,
            })
            .collect();
        let return_field =
            to.return_field_from_args(ReturnFieldArgs { arg_fields: &arg_fields, scalar_arguments: &constants })?;
        let config_options = Arc::clone(self.config);
        let number_rows = self.rows;
        let result =
            to.invoke_with_args(ScalarFunctionArgs { args, arg_fields, number_rows, return_field, config_options })?;
        let array = result.into_array(self.rows)?;
        if array.data_type() == self.returns { Ok(array) } else { Ok(arrow::compute::cast(&array, self.returns)?) }
    }
}

impl Arg {
    fn value(&self) -> Result<ColumnarValue> {
        if self.is_constant {
            return Ok(ColumnarValue::Scalar(ScalarValue::try_from_array(&self.array, 0)?));
        }
        Ok(ColumnarValue::Array(Arc::clone(&self.array)))
    }
}
