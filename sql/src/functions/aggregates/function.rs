//! An aggregate function: the types it takes, the type it gives, its state's fields, and how its groups are made.
//!
//! Nothing but the name is part of a function's identity; what a call says further (a percentage, an accuracy) it says in
//! constant arguments, so that a plan can be sent.

use std::hash::{Hash, Hasher};
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions};
use arrow::datatypes::{DataType, Field, FieldRef, Schema};
use datafusion::common::{DataFusionError, Result, ScalarValue};
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::utils::AggregateOrderSensitivity;
use datafusion::logical_expr::{
    Accumulator, AggregateUDF, AggregateUDFImpl, ColumnarValue, GroupsAccumulator, Signature, Volatility,
};
use datafusion::physical_expr::PhysicalExpr;

use super::distinct::Distinct;
use super::groups::{Grouped, Groups, Single, Sliding};
use crate::functions::types;

/// One line of the catalogue.
pub(super) struct Aggregate {
    pub(super) name: &'static str,
    /// The types that the arguments are brought to.
    pub(super) coerce: fn(&'static str, &[DataType]) -> Result<Vec<DataType>>,
    /// The answer's type, from the arguments' types after coercion.
    pub(super) returns: fn(&[DataType]) -> DataType,
    /// The state's types, from the arguments' types after coercion and the answer's.
    pub(super) state: fn(&[DataType], &DataType) -> Vec<DataType>,
    /// The groups of a call.
    pub(super) make: fn(&Call<'_>) -> Result<Box<dyn Groups>>,
    /// What it answers where there is no row.
    pub(super) of_nothing: OfNothing,
    /// Whether `DISTINCT` changes its answer.
    pub(super) heeds_distinct: bool,
}

/// The answer over no row.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum OfNothing {
    Null,
    Zero,
    EmptyArray,
}

/// A call, as far as it is known before the first row.
pub(super) struct Call<'a> {
    pub(super) name: &'static str,
    pub(super) types: Vec<DataType>,
    pub(super) returns: DataType,
    pub(super) ignore_nulls: bool,
    exprs: &'a [Arc<dyn PhysicalExpr>],
}

impl Call<'_> {
    /// The value of the constant argument `at`, or `None` where it was not given.
    ///
    /// # Errors
    /// Spark's, where the argument is no constant.
    pub(super) fn constant(&self, at: usize, what: &str) -> Result<Option<ScalarValue>> {
        let Some(expr) = self.exprs.get(at) else { return Ok(None) };
        let not_constant = || {
            DataFusionError::Plan(format!(
                "[DATATYPE_MISMATCH.NON_FOLDABLE_INPUT] Cannot resolve \"{}\": the input `{what}` should be a foldable expression, \
                 but it is \"{expr}\".",
                self.name
            ))
        };
        if !datafusion::physical_expr::utils::collect_columns(expr).is_empty() {
            return Err(not_constant());
        }
        let options = RecordBatchOptions::new().with_row_count(Some(1));
        let one_row = RecordBatch::try_new_with_options(Arc::new(Schema::empty()), Vec::new(), &options)?;
        match expr.evaluate(&one_row)? {
            ColumnarValue::Scalar(value) => Ok(Some(value)),
            ColumnarValue::Array(array) => ScalarValue::try_from_array(&array, 0).map(Some),
        }
    }
}

/// A catalogue line as DataFusion knows functions.
pub(super) fn to_udaf(aggregate: &'static Aggregate) -> AggregateUDF {
    AggregateUDF::from(SparkAggregate { aggregate, signature: Signature::user_defined(Volatility::Immutable) })
}

pub(super) struct SparkAggregate {
    aggregate: &'static Aggregate,
    signature: Signature,
}

impl SparkAggregate {
    pub(super) fn aggregate(&self) -> &'static Aggregate {
        self.aggregate
    }

    fn groups(&self, args: &AccumulatorArgs<'_>) -> Result<Box<dyn Groups>> {
        let types: Vec<DataType> = args.expr_fields.iter().map(|field| field.data_type().clone()).collect();
        let call = Call {
            name: self.aggregate.name,
            returns: (self.aggregate.returns)(&types),
            types,
            ignore_nulls: args.ignore_nulls,
            exprs: args.exprs,
        };
        let groups = (self.aggregate.make)(&call)?;
        match args.is_distinct && self.aggregate.heeds_distinct {
            true => Ok(Box::new(Distinct::new(&call.types, groups)?)),
            false => Ok(groups),
        }
    }
}

impl std::fmt::Debug for SparkAggregate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SparkAggregate").field("name", &self.aggregate.name).finish_non_exhaustive()
    }
}

impl PartialEq for SparkAggregate {
    fn eq(&self, other: &Self) -> bool {
        self.aggregate.name == other.aggregate.name
    }
}

impl Eq for SparkAggregate {}

impl Hash for SparkAggregate {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.aggregate.name.hash(state);
    }
}

impl AggregateUDFImpl for SparkAggregate {
    fn name(&self) -> &str {
        self.aggregate.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, arg_types: &[DataType]) -> Result<Vec<DataType>> {
        let plain: Vec<DataType> = arg_types.iter().map(types::plain).collect();
        (self.aggregate.coerce)(self.aggregate.name, &plain)
    }

    fn return_type(&self, arg_types: &[DataType]) -> Result<DataType> {
        Ok((self.aggregate.returns)(&self.coerce_types(arg_types)?))
    }

    fn is_nullable(&self) -> bool {
        self.aggregate.of_nothing == OfNothing::Null
    }

    fn default_value(&self, data_type: &DataType) -> Result<ScalarValue> {
        match self.aggregate.of_nothing {
            OfNothing::Null => ScalarValue::try_from(data_type),
            OfNothing::Zero => Ok(ScalarValue::Int64(Some(0))),
            OfNothing::EmptyArray => {
                let none: ArrayRef = arrow::array::new_empty_array(&types::element(data_type)?);
                let list = arrow::array::ListArray::try_new(
                    element_field(none.data_type().clone()),
                    arrow::buffer::OffsetBuffer::from_lengths([0]),
                    none,
                    None,
                )?;
                Ok(ScalarValue::List(Arc::new(list)))
            }
        }
    }

    fn state_fields(&self, args: StateFieldsArgs<'_>) -> Result<Vec<FieldRef>> {
        let types: Vec<DataType> = args.input_fields.iter().map(|field| field.data_type().clone()).collect();
        let state = match args.is_distinct && self.aggregate.heeds_distinct {
            true => vec![Distinct::state_type(&types)],
            false => (self.aggregate.state)(&types, args.return_field.data_type()),
        };
        let fields = state.into_iter().enumerate();
        Ok(fields
            .map(|(nth, data_type)| Arc::new(Field::new(format!("{}[{nth}]", args.name), data_type, true)) as FieldRef)
            .collect())
    }

    fn accumulator(&self, acc_args: AccumulatorArgs<'_>) -> Result<Box<dyn Accumulator>> {
        Ok(Box::new(Single::new(self.groups(&acc_args)?)))
    }

    fn create_sliding_accumulator(&self, args: AccumulatorArgs<'_>) -> Result<Box<dyn Accumulator>> {
        Ok(Box::new(Sliding::new(self.groups(&args)?)))
    }

    fn groups_accumulator_supported(&self, _: AccumulatorArgs<'_>) -> bool {
        true
    }

    fn create_groups_accumulator(&self, args: AccumulatorArgs<'_>) -> Result<Box<dyn GroupsAccumulator>> {
        Ok(Box::new(Grouped(self.groups(&args)?)))
    }

    fn order_sensitivity(&self) -> AggregateOrderSensitivity {
        AggregateOrderSensitivity::Insensitive
    }

    fn supports_null_handling_clause(&self) -> bool {
        true
    }
}

/// The field of an array's elements.
pub(super) fn element_field(data_type: DataType) -> FieldRef {
    Arc::new(Field::new("element", data_type, true))
}
